"""The core of the story in WebKitGTK, where it is installed: the nearest thing to Safari on this side."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import WebKitGTK, WebKitGTKOptions
from selenium.webdriver.webkitgtk.service import Service

from tests.browser.coordinator import Coordinator
from tests.browser.core_story import play
from tests.browser.other_phone import OtherPhone
from tests.browser.server_process import ServerProcess

pytestmark = pytest.mark.browser

SECONDS = 30


class WebKit:
    """MiniBrowser on a screen that nobody sees."""

    def __init__(self, driver: str, mini_browser: str) -> None:
        self._screen = subprocess.Popen(
            ["Xvfb", "-displayfd", "1", "-screen", "0", "800x640x24", "-nolisten", "tcp"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert self._screen.stdout is not None
            display = f":{self._screen.stdout.readline().strip()}"
            options = WebKitGTKOptions()
            options.binary_location = mini_browser
            options.add_argument("--automation")
            service = Service(executable_path=driver, env={**os.environ, "DISPLAY": display})
            self._driver = WebKitGTK(options=options, service=service)
            self._driver.set_script_timeout(SECONDS)
        except BaseException:
            self._end_screen()
            raise

    def open(self, url: str) -> None:
        self._driver.get(url)

    def evaluate(self, expression: str) -> Any:
        script = "const done = arguments[0]; Promise.resolve().then(() => eval0()).then(done, () => done(null));"
        return self._driver.execute_async_script(f"const eval0 = () => ({expression}); {script}")

    def close(self) -> None:
        try:
            self._driver.quit()
        finally:
            self._end_screen()

    def _end_screen(self) -> None:
        self._screen.terminate()
        self._screen.wait()
        if self._screen.stdout is not None:
            self._screen.stdout.close()


@pytest.fixture
def webkit(server: ServerProcess) -> Iterator[OtherPhone]:
    driver = os.environ.get("LINLI_TEST_WEBKIT") or shutil.which("WebKitWebDriver")
    browsers = sorted(Path("/usr/lib").glob("*/webkit2gtk-4.*/MiniBrowser"))
    if not driver or not browsers or not shutil.which("Xvfb"):
        pytest.skip("WebKitGTK: webkit2gtk-driver and xvfb are not installed")
    engine = WebKit(driver, str(browsers[-1]))
    yield OtherPhone(engine, server.url)
    engine.close()


def test_webkit_keeps_visits_while_the_server_is_gone(
    server: ServerProcess, coordinator: Coordinator, webkit: OtherPhone
) -> None:
    play(server, coordinator, webkit)
