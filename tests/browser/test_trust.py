"""Trust in the queue: what a volunteer sees of records that are still on her phone, and what she can do about each."""

import pytest
from playwright.sync_api import expect

from tests.browser.phone import Phone
from tests.browser.test_saving import worker_of

pytestmark = pytest.mark.browser

# The exchange is answered as by a server that finds every batch too large, down to one change.
TOO_LARGE = """() => {
    const { fetch } = self;
    self.fetch = (asked, ...rest) => {
        if (asked !== "/sync") return fetch(asked, ...rest);
        return Promise.resolve(new Response(JSON.stringify({ code: "too_large" }), { status: 413 }));
    };
}"""


def test_a_record_too_long_to_upload_says_so_and_where_it_is(phone: Phone) -> None:
    worker_of(phone).evaluate(TOO_LARGE)
    visit = phone.log_visit("no_answer")

    phone.open("/my-visits")

    row = phone.page.locator(f"#visit-{visit}")
    expect(row.locator("[data-state=failed]")).to_have_text("没传上去")
    expect(row.locator(".visit__word")).to_contain_text("太长")
    expect(row.locator(".visit__word")).to_contain_text("还在本机")
