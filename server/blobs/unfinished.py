"""Uploads that are not whole yet: `<folder>/<device id>.<sha256>.<length>`, one file each.

The file is all there is to know: whose it is, what it should become, and by its size how far it has come. So nothing can
disagree with it, whenever the server is killed. A file is another device's business never, and goes after two weeks
without a new byte.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from server.blobs.folder import settle
from server.blobs.media import HEAD_BYTES, media_type_of
from server.blobs.store import PIECE_BYTES, StoreTrouble
from sync.errors import TryLater

DAY_MS = 24 * 3600 * 1000
KEPT_MS = 14 * DAY_MS
DEVICE_BYTES_MAX = 25 * 1024 * 1024  # declared, of one device
RESERVE_BYTES = 1_000_000_000  # photos are refused long before text is; `./linli doctor` warns from here on, too


@dataclass(frozen=True, slots=True)
class Progress:
    """How many bytes are here, of how many."""

    offset: int
    length: int


class WrongOffset(Exception):
    """The next byte that is wanted is another one."""

    def __init__(self, progress: Progress) -> None:
        super().__init__(f"the next byte is {progress.offset}")
        self.progress = progress


class TooManyUnfinished(Exception):
    """The device has begun more than it may before it finishes something."""


@dataclass(frozen=True, slots=True)
class Part:
    """One unfinished file, locked: nobody else writes to it meanwhile."""

    path: Path
    handle: int
    length: int

    @property
    def offset(self) -> int:
        return os.fstat(self.handle).st_size

    @property
    def is_full(self) -> bool:
        return self.offset == self.length

    def append(self, chunk: bytes) -> None:
        """Returns once they would survive a power cut. A disk that fills up on the way keeps what it took: that is as
        good a place to go on from as any. Raises StoreTrouble."""
        try:
            rest = memoryview(chunk)
            while rest:
                rest = rest[os.write(self.handle, rest) :]
            os.fsync(self.handle)
        except OSError as error:
            raise StoreTrouble("the disk does not take it") from error

    def digest(self) -> str:
        """Read back from the disk, not from what was sent."""
        found = hashlib.sha256()
        position = 0
        while piece := os.pread(self.handle, PIECE_BYTES, position):
            found.update(piece)
            position += len(piece)
        return found.hexdigest()

    def media_type(self) -> str | None:
        return media_type_of(os.pread(self.handle, HEAD_BYTES, 0))

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)


class Unfinished:
    def __init__(self, folder: Path, *, reserve_bytes: int = RESERVE_BYTES) -> None:
        self.folder = folder
        self._reserve_bytes = reserve_bytes

    def progress(self, device_id: str, digest: str) -> Progress | None:
        """How far this device has come with it, whatever others have."""
        for path in self._files(f"{device_id}.{digest}.*"):
            with suppress(FileNotFoundError):  # finished this moment
                return Progress(path.stat().st_size, declared_length(path))
        return None

    @contextmanager
    def part(self, device_id: str, digest: str, *, offset: int, length: int, now: int) -> Iterator[Part]:
        """The file to append to at this offset; at 0 it is begun if need be. Raises WrongOffset with the true one,
        TooManyUnfinished, TryLater when another request holds it or the disk has no room to spare, StoreTrouble."""
        path = self.folder / f"{device_id}.{digest}.{length}"
        try:
            self._refuse_full_disk()
            if offset == 0 and not path.exists():
                self._begin(path, device_id, digest, length, now)
            handle = opened(path)
        except FileNotFoundError:
            raise WrongOffset(Progress(0, length)) from None
        except OSError as error:
            raise StoreTrouble("the folder of unfinished uploads cannot be used") from error
        try:
            part = Part(path, handle, length)
            if part.offset != offset:
                raise WrongOffset(Progress(part.offset, length))
            yield part
        finally:
            os.close(handle)  # which lets go of the lock

    def _begin(self, path: Path, device_id: str, digest: str, length: int, now: int) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sweep(now)
        for other in self._files(f"{device_id}.{digest}.*"):  # begun with another length: one of the two is a mistake
            if other != path:
                other.unlink(missing_ok=True)
        begun = sum(declared_length(other) for other in self._files(f"{device_id}.*"))
        if begun + length > DEVICE_BYTES_MAX:
            raise TooManyUnfinished
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        settle(self.folder)

    def _sweep(self, now: int) -> None:
        """With each new upload: who sends nothing new leaves nothing new behind, either."""
        for path in self._files("*"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime * 1000 < now - KEPT_MS:
                    path.unlink()

    def _refuse_full_disk(self) -> None:
        place = next(place for place in (self.folder, *self.folder.parents) if place.exists())
        if shutil.disk_usage(place).free < self._reserve_bytes:
            raise TryLater("storage", "the disk is nearly full", retry_after_seconds=600)

    def _files(self, pattern: str) -> list[Path]:
        return list(self.folder.glob(pattern))


def declared_length(path: Path) -> int:
    return int(path.name.rpartition(".")[2])


def opened(path: Path) -> int:
    """Open for appending, and locked. Raises FileNotFoundError, also when the file was finished while it was opened."""
    handle = os.open(path, os.O_RDWR | os.O_APPEND)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.stat().st_ino != os.fstat(handle).st_ino:
            raise FileNotFoundError(path)
    except BlockingIOError as error:
        os.close(handle)
        raise TryLater("busy", "this upload is being written to", retry_after_seconds=5) from error
    except OSError:
        os.close(handle)
        raise
    return handle
