"""A server that is there in a tenth of a second: forked off a process that has loaded the release already.

It is a process of its own like any other, with its port, its database and its death; only what every start of Python does
again is left out. Measurements start theirs cold (server_process.py).
"""

import multiprocessing
import os
import subprocess
from collections.abc import Mapping
from multiprocessing.context import ForkServerContext
from pathlib import Path

from server.settings import ROOT
from tests.browser.server_process import Running, ServerProcess

FORKS: ForkServerContext = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.browser.loaded_release"])


class WarmServer(ServerProcess):
    def _launch(self, code: Path, environment: Mapping[str, str]) -> Running:
        if code != ROOT:
            return super()._launch(code, environment)
        return ForkedProcess(environment, self.log)


class ForkedProcess:
    """What ServerProcess asks of a Popen."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self._process = FORKS.Process(target=serve, args=(dict(environment), log), daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("serve", timeout or 0)
        return self._process.exitcode

    def send_signal(self, signal: int) -> None:
        os.kill(self.pid, signal)

    def kill(self) -> None:
        self._process.kill()


def serve(environment: dict[str, str], log: Path) -> None:
    from server.__main__ import main

    written = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(written, 1)
    os.dup2(written, 2)
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    raise SystemExit(main(["serve"]))
