"""Firefox over WebDriver BiDi, spoken directly: Debian has no geckodriver, and ESR is too old for Playwright."""

import itertools
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import websocket

from tests.browser.server_process import free_port

START_SECONDS = 60
ANSWER_SECONDS = 30
PREFERENCES = {
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.enabled": False,
}


class BidiError(Exception):
    pass


class Firefox:
    """One window of a Firefox of our own."""

    taps_to_save = 1

    def __init__(self, executable: str, profile: Path, **preferences: Any) -> None:
        profile.mkdir(exist_ok=True)
        chosen = PREFERENCES | preferences
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in chosen.items()]
        (profile / "user.js").write_text("\n".join(lines), encoding="utf-8")
        self._executable = executable
        self._profile = profile
        self._numbers = itertools.count(1)
        self.start()

    def start(self) -> None:
        port = free_port()
        self._process = subprocess.Popen(
            [
                self._executable,
                "--headless",
                "--no-remote",
                "--profile",
                self._profile,
                "--remote-debugging-port",
                str(port),
            ],
            env={**os.environ, "HOME": str(self._profile)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._socket: websocket.WebSocket | None = None
        try:
            self._socket = connected(f"ws://127.0.0.1:{port}/session")
            self._ask("session.new", capabilities={})
            self._window = self._ask("browsingContext.getTree")["contexts"][0]["context"]
        except BaseException:
            self.kill()
            raise

    def open(self, url: str) -> None:
        self._ask("browsingContext.navigate", context=self._window, url=url, wait="complete")

    def evaluate(self, expression: str) -> Any:
        answer = self._ask(
            "script.evaluate", expression=expression, target={"context": self._window}, awaitPromise=True
        )
        if answer["type"] == "exception":
            raise BidiError(answer["exceptionDetails"]["text"])
        return answer["result"].get("value", answer["result"]["type"] not in ("undefined", "null") or None)

    def kill(self) -> None:
        if self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if self._socket is not None:
            self._socket.close()

    close = kill

    # Private

    def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        assert self._socket is not None
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while (answer := json.loads(self._socket.recv())).get("id") != number:
            pass  # an event
        if answer["type"] == "error":
            raise BidiError(f"{method}: {answer['error']}: {answer['message']}")
        result: dict[str, Any] = answer["result"]
        return result


def connected(address: str) -> websocket.WebSocket:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return websocket.create_connection(address, timeout=ANSWER_SECONDS, suppress_origin=True)
        except (OSError, websocket.WebSocketException):
            assert time.monotonic() < deadline, "Firefox does not answer"
            time.sleep(0.1)
