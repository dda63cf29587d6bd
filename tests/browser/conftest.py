"""Browsers and servers for the tests of this folder. A test has its own data and its own profile."""

import os
import shutil
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Playwright, StorageState, expect, sync_playwright

from tests.browser.coordinator import Coordinator
from tests.browser.modules import open_empty
from tests.browser.phone import Phone
from tests.browser.server_process import ServerProcess, demo_server
from tests.browser.warm_server import WarmServer

MakePhone = Callable[..., Phone]
VOLUNTEER = "0001"
expect.set_options(timeout=20_000)  # as everything else is waited for: two slow cores run two browsers
WITNESSES = pytest.StashKey[list[Callable[[], str]]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure shows what each phone showed and said, and what the server wrote."""
    report = yield
    if report.failed:
        report.sections += [("seen", testify()) for testify in item.stash.get(WITNESSES, [])]
    return report


@pytest.fixture(scope="session")
def chromium() -> str:
    """Where it is: `./linli test` says, or it is on the PATH."""
    named = os.environ.get("LINLI_TEST_BROWSER")
    found = named or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not found:
        pytest.skip("no Chromium or Chrome: ./linli test installs one")
    return found


@pytest.fixture(scope="session")
def shell(chromium: str) -> str:
    """Chromium's headless shell, where `./linli test` found one: half the work for the same engine."""
    return os.environ.get("LINLI_TEST_SHELL") or chromium


@pytest.fixture
def phone_browser(request: pytest.FixtureRequest, chromium: str, shell: str) -> str:
    """What a phone runs: the shell, and in tests marked `whole_browser` all of Chromium."""
    return chromium if request.node.get_closest_marker("whole_browser") else shell


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def browser(playwright: Playwright, shell: str) -> Iterator[Browser]:
    """For everybody whose browser is never killed: each has a context of her own."""
    started = playwright.chromium.launch(executable_path=shell)
    yield started
    started.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """For single modules: nothing of the app runs in it (modules.py)."""
    context = browser.new_context()
    page = context.new_page()
    open_empty(page)
    yield page
    context.close()


@dataclass(frozen=True, slots=True)
class Morning:
    """A demo community with one phone enrolled and everything switched off: each test begins with a copy of it.

    Enrolling is told once, by test_story.py; a copy saves every other test the way there. The port stays with the
    profile, because to a browser another port is another place.
    """

    data: Path
    profile: Path
    port: int
    coordinator: StorageState


@pytest.fixture(scope="session")
def mornings(
    playwright: Playwright, browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Morning]:
    """`mornings(executable)`: one browser does not read the profile of the other."""

    @cache
    def begin(executable: str) -> Morning:
        folder = tmp_path_factory.mktemp("morning")
        server = demo_server(folder / "data", WarmServer)
        server.start()
        coordinator = Coordinator(browser, server.url)
        phone = Phone(playwright, executable, folder / "profile", server.url)
        try:
            coordinator.sign_in()
            phone.start()
            enrol(phone, coordinator)
            return Morning(folder / "data", folder / "profile", server.port, coordinator.context.storage_state())
        finally:
            phone.close()
            coordinator.close()
            server.stop()

    return begin


@pytest.fixture
def morning(mornings: Callable[[str], Morning], phone_browser: str) -> Morning:
    return mornings(phone_browser)


@pytest.fixture
def witnesses(request: pytest.FixtureRequest) -> list[Callable[[], str]]:
    found: list[Callable[[], str]] = request.node.stash.setdefault(WITNESSES, [])
    return found


@pytest.fixture
def server(morning: Morning, tmp_path: Path, witnesses: list[Callable[[], str]]) -> Iterator[ServerProcess]:
    made = WarmServer(shutil.copytree(morning.data, tmp_path / "data"), port=morning.port)
    made.log.unlink()
    witnesses.append(lambda: made.output)
    made.start()
    yield made
    made.close()


@pytest.fixture
def make_phone(
    playwright: Playwright, phone_browser: str, tmp_path: Path, witnesses: list[Callable[[], str]]
) -> Iterator[MakePhone]:
    """`make_phone(url, **options of the context)`: a new phone that is on."""
    made: list[Phone] = []

    def make(url: str, *, profile: Path = tmp_path / "profile", **options: Any) -> Phone:
        phone = Phone(playwright, phone_browser, profile, url, **options)
        made.append(phone)
        witnesses.append(phone.testify)
        phone.start()
        return phone

    yield make
    for phone in made:
        phone.close()
    assert [phone.policy_violations for phone in made] == [[]] * len(made)


@pytest.fixture
def coordinator(browser: Browser, server: ServerProcess, morning: Morning) -> Iterator[Coordinator]:
    """At her desk, signed in since the morning."""
    seated = Coordinator(browser, server.url, storage_state=morning.coordinator)
    yield seated
    seated.close()


@pytest.fixture
def phone(make_phone: MakePhone, server: ServerProcess, morning: Morning, tmp_path: Path) -> Phone:
    """Enrolled, and ready to work without a network."""
    profile = shutil.copytree(morning.profile, tmp_path / "enrolled", symlinks=True)
    awake = make_phone(server.url, profile=profile)
    awake.open("/today")
    awake.wait_until_ready()
    return awake


def enrol(phone: Phone, coordinator: Coordinator, *, number: str = VOLUNTEER) -> None:
    link = coordinator.invite(number).link
    check_number = phone.enrol(link.replace(coordinator.url, phone.url))
    coordinator.confirm(check_number)
    phone.wait_until_enrolled()
