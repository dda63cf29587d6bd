"""A disk that loses what was not synced, and that fails when it is told to: an SQLite VFS over ordinary files.

Everything SQLite writes goes to real files, so that it reads back what it wrote, as it would from the page cache. Beside
them stands what would survive a power cut: for each file the bytes as of its last sync, and the writes since then.

    cut the power     the file as of its last sync, and of each later write by lot: all, nothing, or a torn beginning
    fail a call       FULL or IOERR at the k-th call, once or from then on; what a failed sync should have brought to
                      the disk is forgotten for good, though it can still be read (fsyncgate)

The writes since the last sync survive in any combination: a disk may write them in any order. The shared-memory index
of the WAL does not survive.
"""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from random import Random
from typing import Any

import apsw
from sqlalchemy.dialects import registry

registry.register("sqlite.apsw", "tests.durability.apsw_driver", "Dialect")

TORN_UNIT = 512  # a disk tears between sectors


@dataclass(frozen=True, slots=True)
class Write:
    """One write since the last sync; `data` None is a truncation to `offset`."""

    offset: int
    data: bytes | None


@dataclass(slots=True)
class Image:
    """What the disk holds of one file. It `exists` once it was synced (a new file may vanish in a power cut)."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[Write] = field(default_factory=list)
    exists: bool = False

    def sync(self) -> None:
        for write in self.pending:
            apply(self.durable, write)
        self.pending.clear()
        self.exists = True


def apply(content: bytearray, write: Write) -> None:
    if write.data is None:
        del content[write.offset :]
        return
    if len(content) < write.offset:
        content.extend(bytes(write.offset - len(content)))
    content[write.offset : write.offset + len(write.data)] = write.data


class Syncs(Enum):
    """What a sync is worth."""

    KEPT = auto()
    IGNORED = auto()  # the disk lies: for negative controls


@dataclass(frozen=True, slots=True)
class Fault:
    """The first call from the `at`-th on that is one of `calls` (none named: any) and about a file of this ending fails,
    and with `is_lasting` all of them until the disk is revived."""

    at: int
    error: Callable[[], Exception]
    is_lasting: bool
    calls: frozenset[str] = frozenset()
    file: str = ""


WRITING = frozenset({"write", "sync", "truncate", "delete"})


class Disk(apsw.VFS):
    """Named after itself: `sqlite+apsw:////path?vfs=<name>`. Close it when the last connection is gone."""

    def __init__(self, name: str, *, syncs: Syncs = Syncs.KEPT) -> None:
        self.name = name
        self.syncs = syncs
        self.images: dict[str, Image] = {}
        self.calls = 0
        self.fault: Fault | None = None
        self.faults_hit = 0
        self.cut_at = 0  # the power goes at this call that writes; 0: never
        self.writing_calls = 0
        self.is_dead = False
        self.lock = threading.RLock()
        super().__init__(name, "unix")

    def url(self, path: Path) -> str:
        return f"sqlite+apsw:///{path}?vfs={self.name}"

    def adopt(self, folder: Path) -> None:
        """What lies in the folder has been on the disk for long."""
        for path in folder.iterdir():
            if not path.name.endswith("-shm"):
                self.images[str(path)] = Image(bytearray(path.read_bytes()), exists=True)

    # Faults

    def cut_power(self, survivors: Path, random: Random) -> None:
        """Writes into the folder what the next start finds. Nothing reaches the disk afterwards."""
        with self.lock:
            self.is_dead = True
            for name, image in self.images.items():
                content = bytearray(image.durable)
                exists = image.exists
                for write in image.pending:
                    kept = survived(write, random)
                    if kept is not None:
                        exists = True
                        apply(content, kept)
                if exists:
                    (survivors / Path(name).name).write_bytes(content)

    def revive(self) -> None:
        """So that connections can be closed in good order."""
        with self.lock:
            self.is_dead, self.cut_at, self.fault = False, 0, None

    def enter(self, call: str, file: str) -> None:
        """Every call passes here first, and may end here."""
        self.calls += 1
        if call in WRITING:
            self.writing_calls += 1
            if self.cut_at and self.writing_calls > self.cut_at:
                self.is_dead = True
        if self.is_dead:
            raise apsw.IOError("the power is gone")
        fault = self.fault
        if fault is None or self.calls < fault.at or not file.endswith(fault.file):
            return
        if not fault.calls or call in fault.calls:
            self.faults_hit += 1
            self.fault = fault if fault.is_lasting else None
            raise fault.error()

    # VFS

    def xOpen(self, name: Any, flags: list[int]) -> "File":
        with self.lock:
            path = name.filename() if isinstance(name, apsw.URIFilename) else name or ""
            self.enter("open", path)
            return File(self, path, name, flags)

    def xDelete(self, filename: str, sync_dir: bool) -> None:
        with self.lock:
            self.enter("delete", filename)
            super().xDelete(filename, sync_dir)
            self.images.pop(filename, None)

    def excepthook(self, kind: Any, error: Any, trace: Any) -> bool:
        """Errors that SQLite asked nobody about are ours, made on purpose."""
        return True


class File(apsw.VFSFile):
    def __init__(self, disk: Disk, path: str, name: Any, flags: list[int]) -> None:
        self._disk = disk
        self._path = path
        self._image = disk.images.setdefault(path, Image()) if path else Image()
        super().__init__("unix", name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:
        with self._disk.lock:
            self._disk.enter("read", self._path)
            return super().xRead(amount, offset)

    def xWrite(self, data: Any, offset: int) -> None:
        with self._disk.lock:
            self._disk.enter("write", self._path)
            copy = bytes(data)
            super().xWrite(copy, offset)
            self._image.pending.append(Write(offset, copy))

    def xTruncate(self, size: int) -> None:
        with self._disk.lock:
            self._disk.enter("truncate", self._path)
            super().xTruncate(size)
            self._image.pending.append(Write(size, None))

    def xSync(self, flags: int) -> None:
        """Never passed on: this disk's power is ours to cut, the machine's is not."""
        with self._disk.lock:
            try:
                self._disk.enter("sync", self._path)
            except apsw.Error as error:
                if self._disk.is_dead:
                    raise
                self._image.pending.clear()
                raise failed_sync() from error
            if self._disk.syncs is Syncs.KEPT:
                self._image.sync()

    def xFileSize(self) -> int:
        with self._disk.lock:
            self._disk.enter("size", self._path)
            return super().xFileSize()

    def excepthook(self, kind: Any, error: Any, trace: Any) -> bool:
        """As above."""
        return True


def survived(write: Write, random: Random) -> Write | None:
    lot = random.random()
    if lot < 0.4:
        return write
    if lot < 0.7 or write.data is None or len(write.data) < 2:
        return None
    whole_units = len(write.data) // TORN_UNIT
    end = random.randrange(whole_units + 1) * TORN_UNIT if random.random() < 0.7 else random.randrange(len(write.data))
    return Write(write.offset, write.data[:end]) if end else None


def disk_full() -> Exception:
    return apsw.FullError("the disk is full")


def broken_disk() -> Exception:
    return apsw.IOError("the disk does not answer")


def failed_sync() -> Exception:
    """What SQLite's own VFS makes of a sync that fails, a full disk included."""
    error = apsw.IOError("the disk did not take what was synced")
    error.extendedresult = apsw.SQLITE_IOERR_FSYNC  # type: ignore[attr-defined]  # apsw asks for it by name
    return error


def on_shared_memory(fallback: Path) -> Path:
    """A folder in memory where there is one: these disks lose what they lose by themselves."""
    shared = Path("/dev/shm")  # noqa: S108 -- a new folder is made in it
    return shared if os.access(shared, os.W_OK) else fallback
