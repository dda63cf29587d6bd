"""The core of the story in Firefox ESR, where it is installed."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.bidi import Firefox
from tests.browser.coordinator import Coordinator
from tests.browser.core_story import play
from tests.browser.other_phone import OtherPhone
from tests.browser.server_process import ServerProcess

pytestmark = pytest.mark.browser


PRIVATE = {"browser.privatebrowsing.autostart": True}


@pytest.fixture
def executable() -> str:
    found = os.environ.get("LINLI_TEST_FIREFOX") or shutil.which("firefox-esr")
    if not found:
        pytest.skip("Firefox: firefox-esr is not installed")
    return found


@pytest.fixture
def firefox(server: ServerProcess, tmp_path: Path, executable: str) -> Iterator[OtherPhone]:
    engine = Firefox(executable, tmp_path / "firefox")
    yield OtherPhone(engine, server.url)
    engine.close()


def test_firefox_keeps_visits_while_the_server_is_gone(
    server: ServerProcess, coordinator: Coordinator, firefox: OtherPhone
) -> None:
    play(server, coordinator, firefox)


@pytest.mark.parametrize(("preferences", "is_refused"), [(PRIVATE, True), ({}, False)])
def test_p08_a_private_window_of_firefox_is_refused(
    server: ServerProcess, tmp_path: Path, executable: str, preferences: dict[str, bool], is_refused: bool
) -> None:
    engine = Firefox(executable, tmp_path / "firefox", **preferences)
    try:
        phone = OtherPhone(engine, server.url)
        phone.open("/enrol")
        phone.wait_for(
            "document.querySelector('#enrol-form').hidden || !document.querySelector('#enrol-form button').disabled"
        )
        assert phone.run("document.querySelector('#enrol-form').hidden") is is_refused
        assert phone.run("document.querySelector('[data-refused=private]').hidden") is not is_refused
    finally:
        engine.close()
