"""Another system that keeps records for phones: what it must do to stand beside our own server in `./linli bench peers`.

A peer is installed from its registry into the cache folder, never into the project, and runs as a real process on
loopback. It has one store a phone, which is the arrangement that suits both peers best.
"""

import os
import re
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from sync.changes import Change
from tests.bench.sync import Request
from tests.browser.server_process import free_port, is_refused, wait_until

INSTALL_SECONDS = 600
READY_SECONDS = 60
STOP_SECONDS = 20


class CannotInstall(Exception):
    """Says why in one line."""


class Peer(ABC):
    name: ClassVar[str]
    version: ClassVar[str]

    def __init__(self) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    # Lifecycle

    @abstractmethod
    def install(self) -> None:
        """Makes it ready to start, or raises CannotInstall. Does nothing when it was installed before."""

    @abstractmethod
    def prepare(self, folder: Path) -> list[str]:
        """The command that serves from this folder, with everything made that it needs."""

    @abstractmethod
    def make_stores(self, phones: int) -> None: ...

    def start(self, folder: Path) -> None:
        """Returns when it answers."""
        command, log = self.prepare(folder), folder / "log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, cwd=folder, env=environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        wait_until(
            lambda: not is_refused(self.port),
            seconds=READY_SECONDS,
            failure=lambda: f"{self.name} is not ready:\n{log.read_text(errors='replace')}",
        )

    def close(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    @property
    def process_id(self) -> int:
        assert self._process is not None, f"{self.name} is not running"
        return self._process.pid

    # Work

    @abstractmethod
    def push(self, phone: int, batches: Sequence[Sequence[Change]]) -> Sequence[Request]:
        """The requests that bring up a phone's batches, one batch after the other."""

    def sync(self, phone: int, batches: Sequence[Sequence[Change]]) -> Sequence[Request]:
        """The same where after each batch its phone also looks for news; none for a peer without such a word."""
        return []

    @abstractmethod
    def pushed(self, answer: object) -> int:
        """How many records this answer says were taken."""

    @abstractmethod
    def pull(self, phone: int, after: str, limit: int) -> Sequence[Request]:
        """The requests of one page of the phone's store, from its beginning when `after` is empty."""

    @abstractmethod
    def pulled(self, answer: object) -> tuple[int, str]:
        """How many records this answer brings, and where the next page goes on, if it says so."""

    @abstractmethod
    def stored(self, phone: int) -> int:
        """How many records the phone's store holds, counted by the peer itself."""


# Installing


def installed(name: str, install: Callable[[Path], None]) -> Path:
    """The folder of this name, installed now unless it was before. One that was not finished begins afresh."""
    folder = cache_folder() / name
    finished = folder / "installed"
    if not finished.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        install(folder)
        finished.touch()
    return folder


def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "linli" / "peers"


def run(*command: str | Path, **variables: str) -> None:
    """One step of an installation."""
    try:
        subprocess.run(
            command, env=environment() | variables, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS
        )
    except subprocess.CalledProcessError as error:
        raise CannotInstall(complaint(error.stderr) or f"{command[0]} ended with {error.returncode}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotInstall(str(error)) from error


def complaint(output: str) -> str:
    """The first line that pip or npm calls an error, or else the last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return next((line for line in lines if re.match("(npm )?error", line, re.IGNORECASE)), lines[-1] if lines else "")


def environment() -> dict[str, str]:
    """Without our own modules, which `./linli` puts on the path."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
