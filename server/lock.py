"""On SQLite one process owns the data (RELIABILITY.md 2.1, D2 and D6).

The owner holds `flock` on `linli.lock` in the data folder, so the kernel lets go of it however the
process ends. The file says who holds it and how to ask that server to do something instead; it is
readable by its owner only, because it holds the token that `server/operator_api.py` asks for.
"""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType

from server.settings import Settings


@dataclass(frozen=True)
class Holder:
    """Who owns the data. `url` is empty when it is a command that will be done in a moment."""

    pid: int = 0
    url: str = ""
    token: str = field(default="", repr=False)


class DataInUse(Exception):
    def __init__(self, data_dir: Path, holder: Holder) -> None:
        self.pid = holder.pid
        self.url = holder.url
        self.holder = holder
        who = f"the server at {holder.url}" if holder.url else "another command"
        process = f" (process {holder.pid})" if holder.pid else ""
        super().__init__(f"{data_dir} is in use by {who}{process}.")


class DataLock:
    """`with DataLock(data_dir): ...`, or `acquire` and `release`."""

    def __init__(self, data_dir: Path, *, url: str = "") -> None:
        self.path = data_dir / "linli.lock"
        self.url = url
        self.token = secrets.token_urlsafe(32)
        self._file: int | None = None

    def acquire(self) -> None:
        """Takes the data or raises `DataInUse`. Never waits: the holder may be a server."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = parse_holder(os.pread(file, 4096, 0))
            os.close(file)
            raise DataInUse(self.path.parent, holder) from None
        self._file = file
        self._write(json.dumps(asdict(Holder(os.getpid(), self.url, self.token))))

    def release(self) -> None:
        """The file stays: removing it would let two processes lock two files of one name."""
        if self._file is not None:
            self._write("")
            os.close(self._file)
            self._file = None

    def _write(self, text: str) -> None:
        assert self._file is not None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, text.encode(), 0)

    def __enter__(self) -> "DataLock":
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def holder_of(data_dir: Path) -> Holder | None:
    """Who owns the data, if anybody. Takes nothing and makes nothing."""
    try:
        file = os.open(data_dir / "linli.lock", os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        return parse_holder(os.pread(file, 4096, 0))
    finally:
        os.close(file)


def parse_holder(content: bytes) -> Holder:
    """Between taking the lock and writing its name the holder is unknown; that is no error."""
    try:
        return Holder(**json.loads(content))
    except (ValueError, TypeError):
        return Holder()


@contextmanager
def owned_data(settings: Settings, *, url: str = "") -> Iterator[str]:
    """Holds the data while the block runs, and gives the operator's token. PostgreSQL needs no owner."""
    lock = DataLock(settings.data_dir, url=url)
    if not settings.is_sqlite:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield lock.token
        return
    with lock:
        yield lock.token
