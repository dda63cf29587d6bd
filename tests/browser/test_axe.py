"""axe finds nothing on any page of a volunteer's, in both languages, both sizes, light and dark (EXPERIENCE.md 36)."""

from collections.abc import Callable, Iterator
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from server.page_table import PAGES
from tests.browser.axe import bring_axe, findings
from tests.browser.conftest import MakePhone
from tests.browser.coordinator import Coordinator
from tests.browser.every_page import addresses
from tests.browser.lossy_proxy import LossyProxy
from tests.browser.phone import Phone
from tests.browser.server_process import ServerProcess

pytestmark = pytest.mark.browser

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


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


def test_axe_finds_nothing_on_a_volunteer_s_pages(phone: Phone) -> None:
    bring_axe(phone.page)
    places = addresses(phone)
    assert {page.name for page in PAGES} == set(places) - {"not in the table"}
    found, seen = [], set()

    for look in looks(phone.page, lambda: phone.open("/settings")):
        seen.add(look)
        for path in [*(path for paths in places.values() for path in paths), "/settings/pin", "/settings/sign-out"]:
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
