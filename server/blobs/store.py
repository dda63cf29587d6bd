"""Where the bytes of photos and voice notes lie: content-addressed, written once, never changed.

    BlobStore
    ├── FolderStore   a folder of this machine (folder.py)
    └── S3Store       a bucket of an S3-compatible server (s3.py)

A store knows no people: who may see what is decided in server/attachments.py. What is not whole yet lies with neither
(unfinished.py).
"""

from pathlib import Path
from typing import BinaryIO, Protocol

PIECE_BYTES = 64 * 1024


class NoSuchBlob(Exception):
    """The store does not hold these bytes."""


class StoreTrouble(Exception):
    """The disk or the other server would not do it now. The same call may succeed later."""


class BlobStore(Protocol):
    """`digest` is the SHA-256 of the bytes, 64 lower-case hex digits; the caller has checked that it is."""

    def put(self, digest: str, file: Path) -> None:
        """Keeps the bytes of a file whose SHA-256 this is; the file stays. Returns once a power cut would not take them
        any more. Putting the same again changes nothing. Raises StoreTrouble."""

    def length(self, digest: str) -> int | None:
        """How many bytes it holds under this digest; None when it holds none. Raises StoreTrouble."""

    def read(self, digest: str) -> BinaryIO:
        """An open file of this machine with all the bytes. Raises NoSuchBlob or StoreTrouble."""
