"""axe finds nothing on any page of a volunteer's, in both languages, both sizes, light and dark (EXPERIENCE.md 36)."""

from collections.abc import Callable, Iterator
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from server.page_table import PAGES
from tests.browser.axe import bring_axe, findings
from tests.browser.conftest import MakePhone
from tests.browser.coordinator import Coordinator
from tests.browser.lossy_proxy import LossyProxy
from tests.browser.phone import Phone
from tests.browser.screen import submit_of
from tests.browser.server_process import ServerProcess

pytestmark = pytest.mark.browser

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
OPEN_DOOR = ".door:has([data-state=open]) .door__link"


def looks(page: Page, open_first: Callable[[], object]) -> Iterator[str]:
    """Each language in each size, by the switches of a page."""
    for switched in ("", "size", "language", "size"):
        open_first()
        if switched:
            shown = page.locator("html").evaluate("(html) => `${html.lang} ${html.dataset.size}`")
            page.locator(f"button.switch[name={switched}]").tap()
            page.wait_for_function(
                "(shown) => `${document.documentElement.lang} ${document.documentElement.dataset.size}` !== shown",
                arg=shown,
            )
        yield str(page.locator("html").evaluate("(html) => `${html.lang} ${html.dataset.size}`"))


def found_in_both_schemes(page: Page, where: str) -> list[str]:
    found = []
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        found += [f"{where} {scheme}: {each}" for each in findings(page)]
    return found


def addresses(phone: Phone) -> dict[str, list[str]]:
    """By the name of a page: where it is seen with something on it. A visit in danger, one at a closed door, one waiting."""
    door = phone.page.locator(OPEN_DOOR).first.get_attribute("href") or ""
    round_path = door.partition("/doors/")[0]
    phone.open(f"{door}/visit?outcome=met")
    phone.answer({"outcome": ["met"], "danger": ["fall"]})
    phone.page.locator(submit_of("visit-form")).tap()
    phone.page.wait_for_url("**/steps?saved=*")
    danger = phone.page.url.split("/visits/")[1][:36]
    phone.wait_for_header("全部已上传")
    phone.context.set_offline(True)
    closed = phone.log_visit("no_answer", note="敲门没有人应。")
    closed_door = phone.page.url.removeprefix(phone.url)
    phone.open("/today")
    phone.open(f"{round_path}/nobody-home?stairwell=" + stairwell(phone))
    return {
        "today": ["/today"],
        "door": [door, closed_door],
        "door_later": [f"{door}/later"],
        "visit_new": [f"{door}/visit?outcome=met", f"{door}/visit?outcome=no_answer"],
        "nobody_home": [phone.page.url.removeprefix(phone.url)],
        "nobody_home_undo": [f"{round_path}/nobody-home/undo"],
        "visit": [f"/visits/{danger}", f"/visits/{closed}"],
        "visit_edit": [f"/visits/{danger}/edit"],
        "visit_steps": [f"/visits/{danger}/steps", f"/visits/{closed}/steps"],
        "visit_withdraw": [f"/visits/{closed}/withdraw"],
        "my_visits": ["/my-visits"],
        "map": ["/map"],
        "find": ["/find"],
        "discarded": ["/discarded"],
        "settings": ["/settings"],
        "storage": ["/settings/storage"],
        "not in the table": ["/visits/00000000-0000-7000-8000-000000000000", "/enrol"],  # not found; no network
    }


def stairwell(phone: Phone) -> str:
    phone.open(phone.page.locator(OPEN_DOOR).first.get_attribute("href") or "")
    link = phone.page.locator("a[href*='/nobody-home']").get_attribute("href") or ""
    return link.partition("stairwell=")[2]


def test_axe_finds_nothing_on_a_volunteer_s_pages(phone: Phone) -> None:
    bring_axe(phone.page)
    places = addresses(phone)
    assert {page.name for page in PAGES} == set(places) - {"not in the table"}
    found, seen = [], set()

    for look in looks(phone.page, lambda: phone.open("/settings")):
        seen.add(look)
        for path in [path for paths in places.values() for path in paths]:
            phone.open(path)
            if path == "/find":
                phone.page.locator("#q").fill("sl")
                expect(phone.page.locator("#found .door").first).to_be_visible()
            found += found_in_both_schemes(phone.page, f"{path} {look}")

    assert seen == {"zh-CN normal", "zh-CN large", "en large", "en normal"}
    assert not found, "\n".join(found)


def test_axe_finds_nothing_while_a_phone_is_enrolled(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    with LossyProxy(server.port) as line:
        line.exchanges_left = 0
        phone = make_phone(line.url)
        bring_axe(phone.page)
        found = []

        def look_at(open_first: Callable[[], object]) -> None:
            for look in looks(phone.page, open_first):
                found.extend(found_in_both_schemes(phone.page, f"{phone.page.url} {look}"))

        look_at(lambda: phone.open("/enrol"))
        phone.page.goto("about:blank")  # from the same page, an invite would only change what stands after the #
        number = phone.enrol(coordinator.invite("0002").link.replace(coordinator.url, phone.url))
        look_at(lambda: phone.open("/enrol/waiting"))
        coordinator.confirm(number)
        phone.page.wait_for_url("**/today")
        look_at(lambda: phone.open("/today"))
        expect(phone.page.locator("main #sync-status")).to_be_visible()

    assert not found, "\n".join(found)
