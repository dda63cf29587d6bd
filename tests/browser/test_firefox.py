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


@pytest.fixture
def firefox(server: ServerProcess, tmp_path: Path) -> Iterator[OtherPhone]:
    executable = os.environ.get("LINLI_TEST_FIREFOX") or shutil.which("firefox-esr")
    if not executable:
        pytest.skip("Firefox: firefox-esr is not installed")
    engine = Firefox(executable, tmp_path / "firefox")
    yield OtherPhone(engine, server.url)
    engine.close()


def test_firefox_keeps_visits_while_the_server_is_gone(
    server: ServerProcess, coordinator: Coordinator, firefox: OtherPhone
) -> None:
    play(server, coordinator, firefox)
