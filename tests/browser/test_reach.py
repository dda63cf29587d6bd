"""Every primary action of every page is in reach of one thumb, and big enough for it (EXPERIENCE.md 3, 6.2)."""

import pytest
from playwright.sync_api import expect

from server.page_table import PAGES
from tests.browser.every_page import PRIMARY_ACTIONS, addresses
from tests.browser.phone import Phone
from tests.browser.screen import submit_of
from tests.browser.server_process import ServerProcess
from tests.browser.test_lock import restart, set_pin, unlock
from tests.browser.test_sign_out import expect_left

pytestmark = pytest.mark.browser

WIDTH, HEIGHT = 360, 640
UPPER = 0.45  # of the screen: information; what is done stands below it


def test_every_page_says_what_one_comes_for() -> None:
    assert {page.name for page in PAGES} == set(PRIMARY_ACTIONS) - {"not in the table"}


@pytest.mark.parametrize(("size", "least"), [("normal", 48), ("large", 60)])
def test_s03_every_primary_action_is_big_and_within_reach(phone: Phone, size: str, least: int) -> None:
    places = addresses(phone)
    if size == "large":
        phone.open("/settings")
        phone.page.locator("button.switch[name=size]").tap()
        expect(phone.page.locator("html")).to_have_attribute("data-size", "large")
    misses, seen = [], set()

    for name, paths in places.items():
        for path in paths:
            phone.open(path)
            misses += out_of_reach(phone, PRIMARY_ACTIONS[name], least)
            seen.add(name)

    assert misses == []
    assert seen == set(places)


@pytest.mark.parametrize(("size", "least"), [("normal", 48), ("large", 60)])
def test_s03_what_locks_and_leaves_a_phone_is_big_and_within_reach(
    server: ServerProcess, phone: Phone, size: str, least: int
) -> None:
    """Screens that stand in place of any page, and so in no table of pages."""
    server.stop()
    phone.log_visit("no_answer")
    if size == "large":
        phone.open("/settings")
        phone.page.locator("button.switch[name=size]").tap()
        expect(phone.page.locator("html")).to_have_attribute("data-size", "large")
    misses = []
    phone.open("/settings/pin")
    misses += out_of_reach(phone, ".actions button[form=set-pin]", least)
    set_pin(phone)
    misses += out_of_reach(phone, ".actions button[form=set-pin]", least)
    restart(phone)
    misses += out_of_reach(phone, ".actions button[form=unlock]", least)
    unlock(phone, "000000")
    expect(phone.page.locator("#problems")).to_be_visible()
    misses += out_of_reach(phone, ".actions button[form=unlock]", least)
    phone.open("/settings/sign-out")
    misses += out_of_reach(phone, ".actions .button", least)
    phone.page.locator(submit_of("sign-out")).tap()
    phone.page.locator("input[name=anyway]").wait_for(state="attached")
    misses += out_of_reach(phone, ".actions .button", least)
    phone.page.locator(submit_of("sign-out")).tap()
    expect_left(phone)
    misses += out_of_reach(phone, ".actions .button", least)

    assert misses == []


def out_of_reach(phone: Phone, actions: str, least: int) -> list[tuple[str, str, object]]:
    """Those on this screen, as it opens, that a thumb cannot tap."""
    found = [each for each in phone.page.locator(actions).all() if each.is_visible()]
    assert found, (phone.page.url, actions)
    misses: list[tuple[str, str, object]] = []
    for action in found:
        box = action.bounding_box()
        assert box is not None
        is_big = min(box["width"], box["height"]) >= least
        is_below = box["y"] >= UPPER * HEIGHT and box["y"] + box["height"] <= HEIGHT
        is_inside = box["x"] >= 0 and box["x"] + box["width"] <= WIDTH
        if not (is_big and is_below and is_inside):
            misses.append((phone.page.url, action.inner_text(), box))
    return misses
