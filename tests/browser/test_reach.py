"""Every primary action of every page is in reach of one thumb, and big enough for it (EXPERIENCE.md 3, 6.2)."""

import pytest
from playwright.sync_api import expect

from server.page_table import PAGES
from tests.browser.every_page import PRIMARY_ACTIONS, addresses
from tests.browser.phone import Phone

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
    out_of_reach, seen = [], set()

    for name, paths in places.items():
        for path in paths:
            phone.open(path)
            found = [each for each in phone.page.locator(PRIMARY_ACTIONS[name]).all() if each.is_visible()]
            assert found, (name, path)
            for action in found:
                box = action.bounding_box()
                assert box is not None
                seen.add(name)
                is_big = min(box["width"], box["height"]) >= least
                is_below = box["y"] >= UPPER * HEIGHT and box["y"] + box["height"] <= HEIGHT
                is_inside = box["x"] >= 0 and box["x"] + box["width"] <= WIDTH
                if not (is_big and is_below and is_inside):
                    out_of_reach.append((name, path, action.inner_text(), box))

    assert out_of_reach == []
    assert seen == set(places)
