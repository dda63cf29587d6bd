"""Residents' pages on a phone with a worker: from the network, and without one the last copy."""

import pytest
from playwright.sync_api import expect

from tests.browser.phone import CONTROLLED, Phone

pytestmark = pytest.mark.browser


def test_calendar_without_a_network_is_the_last_copy_and_says_from_when(phone: Phone) -> None:
    phone.page.wait_for_function(CONTROLLED)
    phone.open("/calendar")
    online = phone.page.locator("main").inner_text()
    event = phone.page.locator("main a[href^='/calendar/']").first.get_attribute("href")
    phone.wait_until_true("async () => Boolean(await caches.match('/calendar'))")
    phone.context.set_offline(True)

    answer = phone.page.goto(f"{phone.url}/calendar")

    assert answer is not None
    assert "GMT" in answer.headers["linli-copy-from"]
    assert phone.page.locator("main").inner_text() == online
    phone.page.goto(f"{phone.url}{event}")
    expect(phone.page.locator("h1")).to_have_text("这一页需要联网")


def test_page_with_a_network_is_no_copy(phone: Phone) -> None:
    phone.open("/calendar")

    answer = phone.page.goto(f"{phone.url}/calendar")

    assert answer is not None
    assert "linli-copy-from" not in answer.headers


def test_volunteers_pages_and_answers_are_in_no_cache(phone: Phone) -> None:
    for path in ("/today", "/my-visits", "/settings", "/calendar"):
        phone.open(path)

    kept = phone.page.evaluate(
        """async () => {
            const paths = [];
            for (const name of await caches.keys())
                for (const { url } of await (await caches.open(name)).keys()) paths.push(new URL(url).pathname);
            return paths.filter((path) => !path.startsWith("/static/"));
        }"""
    )

    assert set(kept) <= {"/calendar", "/"}
