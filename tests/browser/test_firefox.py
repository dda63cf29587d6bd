"""What only Firefox ESR does, where it is installed. The story it plays with the others: test_every_engine.py."""

import os
import shutil
from pathlib import Path

import pytest

from tests.browser.any_phone import AnyPhone
from tests.browser.bidi import Firefox
from tests.browser.server_process import ServerProcess

pytestmark = pytest.mark.browser


PRIVATE = {"browser.privatebrowsing.autostart": True}


@pytest.fixture
def executable() -> str:
    found = os.environ.get("LINLI_TEST_FIREFOX") or shutil.which("firefox-esr")
    if not found:
        pytest.skip("Firefox: firefox-esr is not installed")
    return found


@pytest.mark.parametrize(("preferences", "is_refused"), [(PRIVATE, True), ({}, False)])
def test_p08_a_private_window_of_firefox_is_refused(
    server: ServerProcess, tmp_path: Path, executable: str, preferences: dict[str, bool], is_refused: bool
) -> None:
    engine = Firefox(executable, tmp_path / "firefox", **preferences)
    try:
        phone = AnyPhone(engine, server.url)
        phone.open("/enrol")
        phone.wait_for(
            "document.querySelector('#enrol-form').hidden || !document.querySelector('#enrol-form button').disabled"
        )
        assert phone.run("document.querySelector('#enrol-form').hidden") is is_refused
        assert phone.run("document.querySelector('[data-refused=private]').hidden") is not is_refused
    finally:
        engine.close()
