"""A real server in a process of its own, over the demo community, that a test may stop, kill and start again."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from random import randrange
from typing import Any, Protocol

from server import migrations
from server.calendar import DAY_MS
from server.clock import system_clock
from server.database import Database
from server.demo import create_demo
from server.settings import ROOT, sqlite_url

READY_SECONDS = 30
STOP_SECONDS = 20
PAUSE_SECONDS = 0.05


class Running(Protocol):
    """What is asked of a process; a Popen is one."""

    pid: int

    @property
    def returncode(self) -> int | Any: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, signal: int) -> None: ...

    def kill(self) -> None: ...


class ServerProcess:
    """`./linli serve` on a port of its own. Keeps the port when it is started again, as a real one does."""

    def __init__(self, data_dir: Path, *, port: int = 0) -> None:
        self.data_dir = data_dir
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.database_url = sqlite_url(data_dir / "linli.db")
        self._process: Running | None = None

    # Lifecycle

    def start(self, *, worker: str = "on", code: Path = ROOT, **variables: str) -> None:
        """Returns when the server answers that it is ready. `code` is the copy of Linli to run."""
        assert self._process is None, "the server is running already"
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(code),
            "LINLI_DATA_DIR": str(self.data_dir),
            "LINLI_PORT": str(self.port),
            "LINLI_WORKER": worker,
            **variables,
        }
        self._process = self._launch(code, environment)
        wait_until(self._is_ready, seconds=READY_SECONDS, failure=lambda: f"the server is not ready:\n{self.output}")

    def stop(self) -> None:
        """Ends it in good order, and makes sure that nobody answers at its port any more."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it in the middle of whatever it does."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        if self._process is not None:
            self.kill()

    # Looking

    @property
    def is_running(self) -> bool:
        return self._process is not None

    @property
    def process_id(self) -> int:
        assert self._process is not None, "the server is not running"
        return self._process.pid

    @property
    def log(self) -> Path:
        return self.data_dir / "server.log"

    @property
    def output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    # Private

    def _launch(self, code: Path, environment: Mapping[str, str]) -> Running:
        command = [sys.executable, "-P", "-m", "server", "serve"]
        with self.log.open("ab") as log:
            return subprocess.Popen(command, cwd=code, env=environment, stdout=log, stderr=log)

    def _end(self, by: signal.Signals) -> None:
        assert self._process is not None, "the server is not running"
        self._process.send_signal(by)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"the server did not stop:\n{self.output}") from None
        finally:
            self._process = None
        assert is_refused(self.port), f"somebody still answers at port {self.port}"

    def _is_ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            exit_code, self._process = self._process.returncode, None
            raise AssertionError(f"the server ended with {exit_code}:\n{self.output}")
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:  # refused, or an HTTPError, which is one
            return False


def demo_server(data_dir: Path, make: Callable[[Path], ServerProcess] = ServerProcess) -> ServerProcess:
    """A server that is not running yet, over a demo community of yesterday: so every test sees what a midnight between
    its making and the test's end brings."""
    data_dir.mkdir(parents=True)
    server = make(data_dir)
    with_database(server, lambda database: create_demo(database, now=system_clock() - DAY_MS))
    return server


def with_database(server: ServerProcess, work: Callable[[Database], object]) -> None:
    """Works on the data of a server that is not running: on SQLite exactly one process owns them."""
    assert not server.is_running
    migrations.upgrade(server.database_url)
    database = Database(server.database_url)
    try:
        work(database)
    finally:
        database.close()


def free_port() -> int:
    """Below those that the system gives to outgoing connections: it must still be free when a server comes back."""
    while True:
        port = randrange(20_000, 32_000)
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def is_refused(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(5)
        return client.connect_ex(("127.0.0.1", port)) != 0


def wait_until(is_true: Callable[[], bool], *, seconds: float, failure: Callable[[], str]) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, failure()
        time.sleep(PAUSE_SECONDS)
