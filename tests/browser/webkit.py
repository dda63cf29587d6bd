"""WebKitGTK over its inspector, spoken directly: what WebDriver drives forgets everything when it ends, and a phone must not."""

import itertools
import json
import os
import re
import signal
import subprocess
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import websocket

from tests.browser.server_process import free_port

START_SECONDS = 20
STARTS = 3
OPEN_SECONDS = 60
ANSWER_SECONDS = 30
PAUSE_SECONDS = 0.05


class WebKitError(Exception):
    pass


class WebKit:
    """MiniBrowser on a screen that nobody sees, with a profile that outlives it."""

    taps_to_save = 3  # short of time it now and then loses its worker in the middle

    def __init__(self, mini_browser: str, profile: Path) -> None:
        profile.mkdir(exist_ok=True)
        self._mini_browser = mini_browser
        self._profile = profile
        self._screen = subprocess.Popen(
            ["Xvfb", "-displayfd", "1", "-screen", "0", "800x640x24", "-nolisten", "tcp"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._screen.stdout is not None
        self._display = f":{self._screen.stdout.readline().strip()}"
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: websocket.WebSocket | None = None
        self._numbers = itertools.count(1)
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    # Lifecycle

    def start(self) -> None:
        """Under load it now and then comes up and answers nobody: then it is started again."""
        for tried in range(1, STARTS + 1):
            try:
                self._start()
                break
            except (WebKitError, websocket.WebSocketException):
                self.kill()
                if tried == STARTS:
                    raise

    def _start(self) -> None:
        port = free_port()
        places = {f"XDG_{name}_HOME": str(self._profile / name.lower()) for name in ("DATA", "CACHE", "CONFIG")}
        self._process = subprocess.Popen(
            [self._mini_browser, "--cookies-file", self._profile / "cookies", "about:blank"],
            env={
                **os.environ,
                **places,
                "HOME": str(self._profile),
                "DISPLAY": self._display,
                "WEBKIT_INSPECTOR_HTTP_SERVER": f"127.0.0.1:{port}",
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._socket = websocket.create_connection(inspector(port), timeout=ANSWER_SECONDS)
        self._page = ""
        while not self._page:
            self._hear()

    def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if self._socket is not None:
            self._socket.close()

    def close(self) -> None:
        self.kill()
        self._screen.terminate()
        self._screen.wait()
        if self._screen.stdout is not None:
            self._screen.stdout.close()

    # Acting and looking

    def open(self, url: str) -> None:
        """Until the page is complete. The page that is left is known by a mark."""
        self.evaluate(f"void (window.isLeft = true, location.assign({json.dumps(url)}))")
        deadline = time.monotonic() + OPEN_SECONDS
        while not self._is_there():
            assert time.monotonic() < deadline, f"WebKit does not come to {url}"
            time.sleep(PAUSE_SECONDS)

    def evaluate(self, expression: str) -> Any:
        answer = self._ask("Runtime.evaluate", expression=expression)
        if answer["result"].get("className") == "Promise":
            answer = self._ask("Runtime.awaitPromise", promiseObjectId=answer["result"]["objectId"], returnByValue=True)
        if answer.get("wasThrown"):
            raise WebKitError(answer["result"].get("description", ""))
        result = answer["result"]
        return result.get("value", result["type"] != "undefined" or None)

    # Private

    def _is_there(self) -> bool:
        try:
            return bool(self.evaluate("!window.isLeft && document.readyState === 'complete'"))
        except WebKitError:
            return False

    def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Of the page. What is asked of one that goes before it has answered is an error."""
        number = next(self._numbers)
        page, asked = self._page, json.dumps({"id": number, "method": method, "params": params})
        outer = {"targetId": page, "message": asked}
        assert self._socket is not None
        self._socket.send(json.dumps({"id": number, "method": "Target.sendMessageToTarget", "params": outer}))
        while True:
            said = self._hear()
            if self._page != page or "error" in said:
                raise WebKitError(f"{method}: {said.get('error', 'the page was left')}")
            if said.get("method") == "Target.dispatchMessageFromTarget":
                answer = json.loads(said["params"]["message"])
                if answer.get("id") == number:
                    break
        if "error" in answer:
            raise WebKitError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    def _hear(self) -> dict[str, Any]:
        assert self._socket is not None
        said: dict[str, Any] = json.loads(self._socket.recv())
        if said.get("method") == "Target.targetCreated" and not said["params"]["targetInfo"].get("isProvisional"):
            self._page = said["params"]["targetInfo"]["targetId"]
        if said.get("method") == "Target.didCommitProvisionalTarget":
            self._page = said["params"]["newTargetId"]
        return said


def inspector(port: int) -> str:
    """The address of its only page, once there is one."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=START_SECONDS) as answer:
            if found := re.search(r"/socket/\d+/\d+/WebPage", answer.read().decode()):
                return f"ws://127.0.0.1:{port}{found[0]}"
        if time.monotonic() > deadline:
            raise WebKitError("it does not answer")
        time.sleep(PAUSE_SECONDS)
