"""Browsers and servers for the tests of this folder. A test has its own data, its own port and its own profile."""

import os
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from tests.browser.coordinator import Coordinator
from tests.browser.phone import Phone
from tests.browser.server_process import ServerProcess, demo_server

MakePhone = Callable[..., Phone]
VOLUNTEER = "0001"
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
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def browser(playwright: Playwright, chromium: str) -> Iterator[Browser]:
    """For everybody whose browser is never killed: each has a context of her own."""
    started = playwright.chromium.launch(executable_path=chromium)
    yield started
    started.close()


@pytest.fixture
def witnesses(request: pytest.FixtureRequest) -> list[Callable[[], str]]:
    found: list[Callable[[], str]] = request.node.stash.setdefault(WITNESSES, [])
    return found


@pytest.fixture
def stopped_server(tmp_path: Path, witnesses: list[Callable[[], str]]) -> Iterator[ServerProcess]:
    """The demo community, made but not served yet."""
    made = demo_server(tmp_path / "data")
    witnesses.append(lambda: made.output)
    yield made
    made.close()


@pytest.fixture
def server(stopped_server: ServerProcess) -> ServerProcess:
    stopped_server.start()
    return stopped_server


@pytest.fixture
def make_phone(
    playwright: Playwright, chromium: str, tmp_path: Path, witnesses: list[Callable[[], str]]
) -> Iterator[MakePhone]:
    """`make_phone(url, **options of the context)`: a phone that is on."""
    made: list[Phone] = []

    def make(url: str, **options: Any) -> Phone:
        phone = Phone(playwright, chromium, tmp_path / f"profile-{len(made)}", url, **options)
        made.append(phone)
        witnesses.append(phone.testify)
        phone.start()
        return phone

    yield make
    for phone in made:
        phone.close()
    assert [phone.policy_violations for phone in made] == [[]] * len(made)


@pytest.fixture
def coordinator(browser: Browser, server: ServerProcess) -> Iterator[Coordinator]:
    """At her desk, signed in."""
    seated = Coordinator(browser, server.url)
    seated.sign_in()
    yield seated
    seated.close()


@pytest.fixture
def phone(make_phone: MakePhone, server: ServerProcess, coordinator: Coordinator) -> Phone:
    """Enrolled and ready to work without a network."""
    enrolled = make_phone(server.url)
    enrol(enrolled, coordinator)
    return enrolled


def enrol(phone: Phone, coordinator: Coordinator, *, number: str = VOLUNTEER) -> None:
    link = coordinator.invite(number).link
    check_number = phone.enrol(link.replace(coordinator.url, phone.url))
    coordinator.confirm(check_number)
    phone.wait_until_enrolled()
