"""Blobs in a folder: `<folder>/ab/abcdef…`, one file each, readable by the server's own user only.

    the bytes on the disk ──> a link of the final name ──> the folders on the disk

A name exists only once its bytes do, so whatever is killed in between leaves no half blob behind.
"""

import os
from pathlib import Path
from typing import BinaryIO

from server.blobs.store import NoSuchBlob, StoreTrouble


class FolderStore:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, digest: str, file: Path) -> None:
        target = self._path(digest)
        try:
            settle(file)
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                os.link(file, target)
            except FileExistsError:  # another device was faster with the same bytes: its name is never taken away
                if not is_same_length(target, file):  # cut short by whoever copied the folder
                    replace_whole(file, target)
            # Also when it was there: who put it may not have come to this line.
            settle(target.parent)
            settle(self.folder)
        except OSError as error:
            raise StoreTrouble("the folder of blobs cannot be written to") from error

    def length(self, digest: str) -> int | None:
        try:
            return self._path(digest).stat().st_size
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreTrouble("the folder of blobs cannot be read") from error

    def read(self, digest: str) -> BinaryIO:
        try:
            return self._path(digest).open("rb")
        except FileNotFoundError as error:
            raise NoSuchBlob(digest) from error
        except OSError as error:
            raise StoreTrouble("the folder of blobs cannot be read") from error

    def _path(self, digest: str) -> Path:
        return self.folder / digest[:2] / digest


def replace_whole(file: Path, target: Path) -> None:
    """In one step, and `file` stays: until then, what stood there is read."""
    spare = file.with_name(f"spare.{file.name}")
    spare.unlink(missing_ok=True)
    os.link(file, spare)
    spare.replace(target)


def is_same_length(target: Path, file: Path) -> bool:
    return target.stat().st_size == file.stat().st_size


def settle(path: Path) -> None:
    """On the disk, not only on its way there; a folder as well as a file."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
