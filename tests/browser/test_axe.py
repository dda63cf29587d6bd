"""axe finds nothing on any page of a volunteer's, in both languages, both sizes, light and dark (EXPERIENCE.md 36)."""

from collections.abc import Callable, Iterator
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from server.page_table import PAGES
from tests.browser.axe import bring_axe, findings
from tests.browser.conftest import MakePhone
from tests.browser.coordinator import Coordinator
from tests.browser.every_page import addresses
from tests.browser.lossy_proxy import LossyProxy
from tests.browser.phone import DEVICE, Phone
from tests.browser.screen import submit_of
from tests.browser.server_process import ServerProcess
from tests.browser.test_lock import restart, set_pin
from tests.browser.test_refused import IPHONE, PRIVATE, WECHAT_ON_ANDROID
from tests.browser.test_storage_page import DAY_MS, UPLOADED_AGO

pytestmark = pytest.mark.browser

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
SIZES = ("normal", "large")


def languages(page: Page, open_first: Callable[[], object]) -> Iterator[str]:
    """Each language, by the switch of a page."""
    open_first()
    before = page.locator("html").get_attribute("lang")
    yield str(before)
    open_first()
    page.locator("button.switch[name=language]").tap()
    page.wait_for_function("(before) => document.documentElement.lang !== before", arg=before)
    yield str(page.locator("html").get_attribute("lang"))


def found_in_every_look(page: Page, where: str) -> list[str]:
    """In both sizes, light and dark. The page that is open takes another size without being opened anew: all that the
    switch changes of it is this attribute (base.html), and its own two words."""
    found = []
    for size in SIZES:
        page.locator("html").evaluate("(html, size) => { html.dataset.size = size; }", size)
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            found += [
                f"{where} {size} {scheme}: {each}"
                for each in findings(page, of_looks=(size, scheme) != ("normal", "light"))
            ]
    return found


def test_axe_finds_nothing_on_a_volunteer_s_pages(phone: Phone) -> None:
    bring_axe(phone.page)
    places = addresses(phone)
    assert {page.name for page in PAGES} == set(places) - {"not in the table"}
    found, seen = [], set()

    for language in languages(phone.page, lambda: phone.open("/settings")):
        seen.add(language)
        for path in [*(path for paths in places.values() for path in paths), "/settings/pin", "/settings/sign-out"]:
            phone.open(path)
            if path == "/find":
                phone.page.locator("#q").fill("sl")
                expect(phone.page.locator("#found .door").first).to_be_visible()
            found += found_in_every_look(phone.page, f"{path} {language}")

    assert seen == {"zh-CN", "en"}
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
            for language in languages(phone.page, open_first):
                found.extend(found_in_every_look(phone.page, f"{phone.page.url} {language}"))

        look_at(lambda: phone.open("/enrol"))
        phone.page.goto("about:blank")  # from the same page, an invite would only change what stands after the #
        number = phone.enrol(coordinator.invite("0002").link.replace(coordinator.url, phone.url))
        look_at(lambda: phone.open("/enrol/waiting"))
        coordinator.confirm(number)
        phone.page.wait_for_url("**/today")
        look_at(lambda: phone.open("/today"))
        expect(phone.page.locator("main #sync-status")).to_be_visible()

    assert not found, "\n".join(found)


def test_axe_finds_nothing_on_a_phone_that_is_locked_or_was_left(server: ServerProcess, phone: Phone) -> None:
    server.stop()
    phone.log_visit("no_answer")
    set_pin(phone)
    restart(phone)
    bring_axe(phone.page)
    found = []

    def look_at(open_first: Callable[[], object], state: str) -> None:
        for language in languages(phone.page, open_first):
            expect(phone.page.locator(state)).to_be_visible()
            found.extend(found_in_every_look(phone.page, f"{state} {language}"))

    look_at(lambda: phone.open("/today"), "#unlock")
    phone.page.locator("#pin").fill("000000")
    phone.page.locator(submit_of("unlock")).tap()
    expect(phone.page.locator("#problems")).to_be_visible()
    found += found_in_every_look(phone.page, "a wrong PIN")
    phone.open("/settings/sign-out")
    phone.page.locator(submit_of("sign-out")).tap()
    phone.page.locator("input[name=anyway]").wait_for(state="attached")
    found += found_in_every_look(phone.page, "what is said before leaving")
    phone.page.locator(submit_of("sign-out")).tap()
    expect(phone.page.locator(".dock a[href='/enrol']")).to_be_visible()
    look_at(lambda: phone.open("/today"), ".dock [data-export]")

    assert not found, "\n".join(found)


def test_axe_finds_nothing_on_a_phone_that_was_away_too_long(server: ServerProcess, phone: Phone) -> None:
    server.stop()
    phone.page.evaluate(UPLOADED_AGO, 14 * DAY_MS + 60_000)
    restart(phone)
    bring_axe(phone.page)
    found = []

    for language in languages(phone.page, lambda: phone.open("/today")):
        expect(phone.page.locator("main #sync-status")).to_be_visible()
        found += found_in_every_look(phone.page, f"expired {language}")

    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("why", "agent", "script"), [("in_app", WECHAT_ON_ANDROID, ""), ("tab", IPHONE, ""), ("private", "", PRIVATE)]
)
def test_axe_finds_nothing_where_nobody_is_enrolled(
    browser: Browser, server: ServerProcess, why: str, agent: str, script: str
) -> None:
    context = browser.new_context(**DEVICE | ({"user_agent": agent} if agent else {}))
    context.add_init_script(script)
    page = context.new_page()
    bring_axe(page)
    found = []

    for language in languages(page, lambda: page.goto(f"{server.url}/enrol?{why}#12345678")):
        expect(page.locator(f"[data-refused={why}]")).to_be_visible()
        found += found_in_every_look(page, f"{why} {language}")

    context.close()
    assert not found, "\n".join(found)
