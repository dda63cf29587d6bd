"""What keeps a volunteer's work, in every engine there is: Chromium, Firefox ESR, and WebKitGTK, the nearest to Safari here.

One story serves all three. What only Chromium's tools can do to a phone stands in the other files.
"""

import base64
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Playwright

from tests.browser.any_phone import AnyPhone, Engine
from tests.browser.bidi import Firefox
from tests.browser.conftest import Morning
from tests.browser.coordinator import Coordinator
from tests.browser.lossy_proxy import LossyProxy
from tests.browser.other_site import REFUSED, OtherSite
from tests.browser.phone import Phone
from tests.browser.photographs import BYTES, DRAW, KEPT
from tests.browser.server_process import ServerProcess, is_refused, wait_until
from tests.browser.test_drafts import DRAFTS
from tests.browser.test_lock import PIN
from tests.browser.test_photos import CHOSEN
from tests.browser.test_saving import ENTRIES
from tests.browser.test_sign_out import LEFT
from tests.browser.warm_server import WarmServer
from tests.browser.webkit import WebKit

pytestmark = pytest.mark.browser

NOTE = "示例 <b>：老人说药快吃完了"
IDS = "['record_id', 'change_id'].map((name) => document.querySelector(`#visit-form [name=${name}]`).value)"
# As a camera gives one: it cannot be handed over by path, because not every engine takes one.
CHOOSE = f"""({DRAW})([400, 300]).then((drawn) => {{
    const bytes = Uint8Array.from(atob(drawn), (letter) => letter.charCodeAt(0));
    const given = new DataTransfer();
    given.items.add(new File([bytes], "door.jpg", {{ type: "image/jpeg" }}));
    const input = document.querySelector("[data-take]");
    input.files = given.files;
    input.dispatchEvent(new Event("change", {{ bubbles: true }}));
}})"""
# What each engine is started with so that a microphone hums without asking; WebKitGTK has none of the kind.
CHROMIUM_HUMS = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
FIREFOX_HUMS = {"media.navigator.streams.fake": True, "media.navigator.permission.disabled": True}
RECORDED_SOME = "/5[0-6] /.test(document.querySelector('[data-microphone]').textContent)"  # three seconds and more
SHOWN_PHOTO = "document.querySelector('[data-chosen] img')?.naturalWidth === 400"


class Chromium:
    """The same by way of Playwright."""

    taps_to_save = 1

    def __init__(self, playwright: Playwright, executable: str, profile: Path) -> None:
        self._phone = Phone(playwright, executable, profile, "", args=CHROMIUM_HUMS)
        self.start, self.kill, self.close = self._phone.start, self._phone.kill, self._phone.close
        self.start()

    def open(self, url: str) -> None:
        self._phone.page.goto(url)

    def evaluate(self, expression: str) -> Any:
        return self._phone.page.evaluate(f"async () => ({expression})")


Start = Callable[[Path], Engine]


@dataclass(frozen=True, slots=True)
class Enrolled:
    """An engine's phone that is off, and what the server knows of it: each test begins with a copy. Chromium's is the
    morning (conftest.py)."""

    start: Start
    data: Path
    profile: Path


@pytest.fixture(scope="module")
def morning(mornings: Callable[[str], Morning], chromium: str) -> Morning:
    return mornings(chromium)


@pytest.fixture(scope="module", params=["chromium", "firefox", "webkit"])
def enrolled(
    request: pytest.FixtureRequest, morning: Morning, browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Enrolled:
    start: Start = {"chromium": chromium_start, "firefox": firefox_start, "webkit": webkit_start}[request.param](
        request
    )
    if request.param == "chromium":
        return Enrolled(start, morning.data, morning.profile)
    folder = tmp_path_factory.mktemp(request.param)
    server = WarmServer(shutil.copytree(morning.data, folder / "data"), port=morning.port)
    server.start()
    coordinator = Coordinator(browser, server.url, storage_state=morning.coordinator)
    engine = start(folder / "profile")
    try:
        enrol(AnyPhone(engine, server.url), coordinator)
    finally:
        engine.close()
        coordinator.close()
        server.stop()
    return Enrolled(start, server.data_dir, folder / "profile")


def chromium_start(request: pytest.FixtureRequest) -> Start:
    playwright, executable = request.getfixturevalue("playwright"), request.getfixturevalue("chromium")
    return lambda profile: Chromium(playwright, executable, profile)


def firefox_start(_request: pytest.FixtureRequest) -> Start:
    found = os.environ.get("LINLI_TEST_FIREFOX") or shutil.which("firefox-esr")
    if not found:
        pytest.skip("Firefox: firefox-esr is not installed")
    return lambda profile: Firefox(found, profile, **FIREFOX_HUMS)


def webkit_start(_request: pytest.FixtureRequest) -> Start:
    """It comes with the driver, which the machine is asked for (server/commands/browsers.py)."""
    found = os.environ.get("LINLI_TEST_WEBKIT") or shutil.which("WebKitWebDriver")
    browsers = sorted(Path("/usr/lib").glob("*/webkit2gtk-4.*/MiniBrowser"))
    if not found or not browsers or not shutil.which("Xvfb"):
        pytest.skip("WebKitGTK: webkit2gtk-driver and xvfb are not installed")
    return lambda profile: WebKit(str(browsers[-1]), profile)


@pytest.fixture
def server(
    enrolled: Enrolled, morning: Morning, tmp_path: Path, witnesses: list[Callable[[], str]]
) -> Iterator[ServerProcess]:
    made = WarmServer(shutil.copytree(enrolled.data, tmp_path / "data"), port=morning.port)
    made.log.unlink()
    witnesses.append(lambda: made.output)
    made.start()
    yield made
    made.close()


@pytest.fixture
def engine(enrolled: Enrolled, tmp_path: Path) -> Iterator[Engine]:
    engine = enrolled.start(shutil.copytree(enrolled.profile, tmp_path / "profile", symlinks=True))
    yield engine
    engine.close()


@pytest.fixture
def phone(server: ServerProcess, engine: Engine, witnesses: list[Callable[[], str]]) -> AnyPhone:
    """Enrolled, and ready to work without a network."""
    phone = AnyPhone(engine, server.url)
    witnesses.append(phone.testify)
    phone.open("/today")
    phone.wait_until_enrolled()
    return phone


def enrol(phone: AnyPhone, coordinator: Coordinator) -> None:
    link = coordinator.invite("0001").link.replace(coordinator.url, phone.url)
    coordinator.confirm(phone.enrol(link))
    phone.wait_until_enrolled()


def called(function: str) -> str:
    return f"({function})()"


def wait_for_draft(phone: AnyPhone, note: str) -> None:
    wait_until(
        lambda: [draft.get("note") for draft in phone.json(called(DRAFTS))] == [[note]],
        seconds=20,
        failure=lambda: f"not kept: {phone.json(called(DRAFTS))}",
    )


def wait_for_chosen(phone: AnyPhone, count: int) -> None:
    wait_until(
        lambda: phone.json(called(CHOSEN)) == [count],
        seconds=20,
        failure=lambda: f"not kept: {phone.json(called(CHOSEN))}",
    )


def wait_until_acknowledged(phone: AnyPhone) -> None:
    """Asked of the phone itself: a page without a header says nothing of its queue."""
    wait_until(
        lambda: {entry["state"] for entry in phone.json(called(ENTRIES))} == {"acknowledged"},
        seconds=60,
        failure=lambda: f"not uploaded: {phone.json(called(ENTRIES))}",
    )


def assert_there_once(coordinator: Coordinator, visit: str, *, note: str = NOTE) -> None:
    assert coordinator.visit_ids().count(visit) == 1
    received = coordinator.open_visit(visit)
    assert received.answers["备注"] == note


def test_s15_what_is_logged_while_the_server_is_gone_goes_up_by_itself(
    server: ServerProcess, coordinator: Coordinator, phone: AnyPhone
) -> None:
    before = coordinator.visit_ids()
    server.stop()
    assert is_refused(server.port)

    visits = [phone.log_visit("met", note=NOTE), phone.log_visit("no_answer")]

    wait_until(  # a moment earlier it may just be trying
        lambda: phone.states() == dict.fromkeys(visits, "待上传"), seconds=20, failure=phone.testify
    )
    phone.wait_for_header("待上传 2 条")
    phone.run("window.isSamePage = true")
    server.start()
    phone.wait_for_header("全部已上传")
    assert phone.run("window.isSamePage") is True
    assert sorted(coordinator.visit_ids()) == sorted([*before, *visits])
    received = coordinator.open_visit(visits[0])
    assert (received.answers["结果"], received.answers["备注"]) == ("见到本人", NOTE)
    assert received.history == ("accepted",)


def test_p01_what_was_called_saved_outlives_a_killed_browser(
    server: ServerProcess, coordinator: Coordinator, phone: AnyPhone
) -> None:
    server.stop()
    visits = []
    for _ in range(2):
        visits.append(phone.log_visit("no_answer", note=NOTE))
        phone.restart("/today")

    assert set(phone.states()) == set(visits)
    server.start()
    phone.wait_for_header("全部已上传")
    for visit in visits:
        assert_there_once(coordinator, visit)


def test_s07_a_half_filled_form_outlives_a_killed_browser(
    server: ServerProcess, coordinator: Coordinator, phone: AnyPhone
) -> None:
    server.stop()
    phone.open_form("met")
    phone.fill("textarea[name=note]", NOTE)
    wait_for_draft(phone, NOTE)
    ids = phone.json(IDS)

    phone.restart("/today")
    phone.tap(".door:has([data-state=draft]) .door__link")
    phone.tap("a[href$='/visit']")

    phone.wait_for(f"document.querySelector('textarea[name=note]')?.value === {json.dumps(NOTE)}")
    phone.wait_for("document.querySelector('input[name=outcome][value=met]').checked")
    assert phone.json(IDS) == ids
    visit = phone.save()
    assert visit == ids[0]
    server.start()
    phone.wait_for_header("全部已上传")
    assert_there_once(coordinator, visit)


def test_s07_a_page_that_is_left_in_the_middle_of_a_word_loses_nothing(server: ServerProcess, phone: AnyPhone) -> None:
    """No time for the pause after the last letter. Three times, because Firefox took most of them along, not all."""
    server.stop()
    phone.open_form("met")
    path, ids = phone.run("location.pathname"), phone.json(IDS)

    for letter in "abc":
        typed = f"fill('textarea[name=note]', {json.dumps(NOTE + letter)})"
        phone.run(f"void ({typed}, location.assign('/my-visits'))")
        phone.wait_for("location.pathname === '/my-visits'")

        wait_for_draft(phone, NOTE + letter)
        phone.open(path)
        phone.wait_for(f"document.querySelector('textarea[name=note]')?.value === {json.dumps(NOTE + letter)}")
        assert phone.json(IDS) == ids


def test_s06_a_page_that_is_left_while_it_records_loses_nothing(
    server: ServerProcess, phone: AnyPhone, request: pytest.FixtureRequest
) -> None:
    if "webkit" in request.node.name:
        pytest.skip("WebKitGTK: no microphone that hums by itself")
    server.stop()
    phone.open_form("met")
    path = phone.run("location.pathname")

    for recorded in (1, 2):
        phone.tap("[data-microphone]")
        phone.wait_for(RECORDED_SOME)
        phone.run("void location.assign('/my-visits')")
        phone.wait_for("location.pathname === '/my-visits'")

        wait_for_chosen(phone, recorded)
        phone.run(f"void location.assign({json.dumps(path)})")  # complete it is when its recordings can be played
        phone.wait_for(f"document.querySelectorAll('[data-chosen] audio').length === {recorded}")

    phone.tap("[data-microphone]")
    phone.wait_for(RECORDED_SOME)
    phone.run("void location.reload()")
    phone.wait_for("document.querySelectorAll('[data-chosen] audio').length === 3")


def test_s06_a_page_that_is_left_as_soon_as_a_photo_is_chosen_loses_nothing(
    server: ServerProcess, phone: AnyPhone
) -> None:
    server.stop()
    phone.open_form("met")

    phone.run(f"void {CHOOSE}.then(() => location.assign('/my-visits'))")
    phone.wait_for("location.pathname === '/my-visits'")

    wait_for_chosen(phone, 1)


def test_s07_a_photo_that_was_chosen_outlives_a_killed_browser_and_arrives(
    server: ServerProcess, coordinator: Coordinator, phone: AnyPhone
) -> None:
    server.stop()
    phone.open_form("met")
    path = phone.run("location.pathname")
    phone.run(CHOOSE)
    wait_for_chosen(phone, 1)

    phone.restart(path)
    phone.wait_for(SHOWN_PHOTO)
    visit = phone.save()
    (waiting,) = phone.json(called(KEPT))
    server.start()

    wait_until(
        lambda: [blob["state"] for blob in phone.json(called(KEPT))] == ["whole"],
        seconds=60,
        failure=lambda: f"the photo was not sent: {phone.json(called(KEPT))}",
    )
    assert coordinator.visit_ids().count(visit) == 1
    seen = coordinator.context.request.get(f"{coordinator.url}/sync/blobs/{waiting['sha256']}")
    assert seen.ok
    assert seen.body() == base64.b64decode(phone.run(f"({BYTES})('{waiting['sha256']}')"))


def test_s16_what_was_discarded_is_taken_back_and_arrives_once(
    server: ServerProcess, coordinator: Coordinator, phone: AnyPhone
) -> None:
    server.stop()
    visit = phone.log_visit("no_answer", note=NOTE)
    phone.open(f"/visits/{visit}")
    phone.tap("#unsent [value=discard]")
    phone.wait_for("location.pathname === '/discarded'")
    assert phone.states() == {}

    phone.restart("/discarded")
    phone.tap(f"#visit-{visit} button")
    phone.wait_for(f"location.pathname === '/visits/{visit}'")

    server.start()
    phone.wait_for_header("全部已上传")
    assert_there_once(coordinator, visit)


def test_s17_an_answer_that_is_lost_after_the_commit_doubles_nothing(
    server: ServerProcess, coordinator: Coordinator, engine: Engine
) -> None:
    with LossyProxy(server.port) as line:
        phone = AnyPhone(engine, line.url)
        enrol(phone, coordinator)
        line.lost = 1

        visit = phone.log_visit("no_answer", note=NOTE)
        wait_until(lambda: bool(line.dropped), seconds=40, failure=lambda: "nothing was sent")

        assert coordinator.visit_ids().count(visit) == 1
        phone.wait_for_header("待上传 1 条")
        line.lost = 0
        phone.wait_for_header("全部已上传", seconds=60)
        assert len(line.pushes) > 1
    assert_there_once(coordinator, visit)
    assert coordinator.open_visit(visit).history == ("accepted",)


def test_s20_signing_out_destroys_nothing_that_waits(
    server: ServerProcess, coordinator: Coordinator, phone: AnyPhone
) -> None:
    server.stop()
    visit = phone.log_visit("no_answer", note=NOTE)
    phone.open("/settings/sign-out")
    phone.wait_for("document.querySelector('#problems').innerText.includes('还有 1 条记录没上传')")
    phone.submit("sign-out")
    phone.wait_for("document.querySelector('input[name=anyway]')", seconds=40)
    phone.submit("sign-out")
    phone.wait_for_heading(LEFT)

    phone.restart("/today")
    phone.wait_for_heading(LEFT)
    server.start()

    phone.wait_for("!document.querySelector('main [data-until-sent]')", seconds=60)
    wait_until_acknowledged(phone)
    assert_there_once(coordinator, visit)


def test_another_site_signs_nobody_out(phone: AnyPhone) -> None:
    with OtherSite(f"{phone.url}/settings/sign-out", {"anyway": "1"}) as site:
        phone.engine.open(site.url)
        phone.wait_for(f"document.body.innerText.includes({json.dumps(REFUSED)})")

    phone.open("/today")
    phone.wait_for("seen('.door')")


def test_s20_a_phone_that_is_locked_uploads_what_waits(
    server: ServerProcess, coordinator: Coordinator, phone: AnyPhone
) -> None:
    phone.open("/settings/pin")
    phone.fill("#pin", PIN)
    phone.fill("#again", PIN)
    phone.submit("set-pin")
    phone.wait_for("document.querySelector('#remove-pin')")
    server.stop()
    visit = phone.log_visit("no_answer", note=NOTE)

    phone.restart("/today")
    phone.wait_for("seen('#unlock')")
    assert phone.run("document.querySelectorAll('.door').length") == 0
    server.start()

    wait_until_acknowledged(phone)
    assert_there_once(coordinator, visit)
    phone.fill("#pin", PIN)
    phone.submit("unlock")
    phone.wait_for("seen('.door')")
    assert set(phone.states()) == {visit}
