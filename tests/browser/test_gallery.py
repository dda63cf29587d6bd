"""Pictures of the main screens, for people to look at and for the README, and what a machine can judge of them.

They go to tests/output/gallery. With LINLI_UPDATE_GALLERY=1 they replace those in tests/browser/gallery, which the README
shows.
"""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from server.settings import ROOT
from tests.browser.conftest import MakePhone, enrol
from tests.browser.coordinator import Coordinator
from tests.browser.phone import DEVICE, Phone
from tests.browser.screen import submit_of
from tests.browser.screenshots import packed_tighter
from tests.browser.server_process import ServerProcess

pytestmark = pytest.mark.browser

OUTPUT = ROOT / "tests" / "output" / "gallery"
COMMITTED = ROOT / "tests" / "browser" / "gallery"
BYTES_MAX = 60_000
SCALE = {"device_scale_factor": 1}
IS_TOO_WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
# What a finger cannot hit: WCAG 2.2, 2.5.8 asks for 24 CSS pixels, links in running text apart.
TOO_SMALL = """() => [...document.querySelectorAll("a[href], button, input, select, summary, textarea")]
    .map((element) => element.closest("label") ?? element)
    .filter((element) => element.checkVisibility() && !element.matches("p a, .skip"))
    .filter((element) => {
        const { width, height } = element.getBoundingClientRect();
        return width > 0 && (width < 24 || height < 24);
    })
    .map((element) => element.outerHTML.slice(0, 120))"""


def take(page: Page, name: str) -> None:
    """The picture, and that nothing in it sticks out or is too small for a finger."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    picture = OUTPUT / f"{name}.png"
    page.evaluate("() => scrollTo(0, 0)")
    page.screenshot(path=picture, animations="disabled")
    assert page.evaluate(IS_TOO_WIDE) == 0, f"{name} scrolls sideways"
    assert page.evaluate(TOO_SMALL) == [], name
    if os.environ.get("LINLI_UPDATE_GALLERY") and name in shown_by_readme():
        COMMITTED.mkdir(exist_ok=True)
        (COMMITTED / picture.name).write_bytes(packed_tighter(picture.read_bytes()))


@pytest.fixture
def busy_phone(server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone) -> Phone:
    """A morning's work: two visits uploaded, one waiting, no network."""
    phone = make_phone(server.url, **SCALE)
    enrol(phone, coordinator)
    phone.log_visit("no_answer")
    phone.log_visit("met", needs=["meal_delivery"], urgency="days", note="想订周末的送餐。")
    phone.wait_for_header("全部已上传")
    phone.context.set_offline(True)
    phone.log_visit("met")
    return phone


def walk(phone: Phone, suffix: str = "") -> None:
    """Through the volunteer's screens as she would."""
    phone.open("/today")
    take(phone.page, f"today{suffix}")
    phone.page.locator(".door__link").nth(1).tap()
    phone.page.wait_for_url("**/doors/*")
    take(phone.page, f"door{suffix}")
    phone.page.locator("a[href$='outcome=met']").tap()
    expect(phone.page.locator("#visit-form")).to_be_visible()
    take(phone.page, f"form{suffix}")
    phone.open("/map")
    take(phone.page, f"map{suffix}")
    phone.open("/find")
    phone.page.locator("#q").fill("sl")
    expect(phone.page.locator("#found .door").first).to_be_visible()
    take(phone.page, f"find{suffix}")
    phone.open("/my-visits")
    take(phone.page, f"my-visits{suffix}")
    phone.open("/settings")
    take(phone.page, f"settings{suffix}")
    phone.open("/today")
    phone.open(f"{phone.page.locator('.door:has([data-state=open]) .door__link').first.get_attribute('href')}/visit")
    phone.answer({"outcome": ["met"], "danger": ["fall"]})
    phone.page.locator(submit_of("visit-form")).tap()
    phone.page.wait_for_url("**/steps?saved=*")
    take(phone.page, f"call{suffix}")


def test_the_volunteer_s_screens(busy_phone: Phone) -> None:
    walk(busy_phone)


def test_the_volunteer_s_screens_in_english_and_large(busy_phone: Phone) -> None:
    busy_phone.open("/today")
    busy_phone.switch_language()
    expect(busy_phone.page.locator("html")).to_have_attribute("lang", "en")
    busy_phone.page.locator("button.switch[name=size]").tap()
    expect(busy_phone.page.locator("html")).to_have_attribute("data-size", "large")

    walk(busy_phone, "-english-large")


def test_the_coordinator_s_and_the_resident_s_screens(browser: Browser, server: ServerProcess) -> None:
    coordinator = Coordinator(browser, server.url, **(DEVICE | SCALE))
    try:
        coordinator.sign_in()
        take(coordinator.page, "coordinator")
        coordinator.page.locator(".queue__link").first.click()
        expect(coordinator.page.locator("#history")).to_be_visible()
        take(coordinator.page, "coordinator-visit")
        for name, path in (
            ("needs", "needs"),
            ("map", "map?building=2"),
            ("household", "map/2-1-602"),
            ("building", "buildings/2"),
        ):
            coordinator.page.goto(f"{server.url}/coordinator/{path}")
            take(coordinator.page, f"coordinator-{name}")
        coordinator.page.goto(f"{server.url}/calendar")
        take(coordinator.page, "calendar")
    finally:
        coordinator.close()


def test_the_committed_pictures_are_light() -> None:
    pictures = sorted(COMMITTED.glob("*.png"))

    assert [picture.name for picture in pictures if picture.stat().st_size >= BYTES_MAX] == []
    assert {picture.stem for picture in pictures} == shown_by_readme()


def shown_by_readme() -> set[str]:
    readme = Path(ROOT / "README.md")
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    found = [part.partition(".png")[0] for part in text.split("tests/browser/gallery/")[1:]]
    return set(found)
