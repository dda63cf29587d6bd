"""Forms that another site sends to this phone: the worker sees them before the server, which refuses them."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import MakePhone
from tests.browser.coordinator import Coordinator
from tests.browser.other_site import REFUSED, OtherSite
from tests.browser.phone import CONTROLLED, Phone
from tests.browser.server_process import ServerProcess, wait_until
from tests.browser.test_drafts import drafts
from tests.browser.test_lock import NOTE, doors_of
from tests.browser.test_photos import open_form
from tests.browser.test_sign_out import SENT_PLAINLY

pytestmark = pytest.mark.browser

FORMS = {
    "/settings/sign-out": {"anyway": "1"},
    "/settings/pin": {"pin": "135790", "again": "135790"},
    "/unlock": {"pin": "135790", "next": "/settings/sign-out", "carried-anyway": "1"},
    "/queue": {"wish": "retry"},
    "/drafts": {"draft_path": "http://localhost/"},
    "/enrol": {"code": "12345678"},
}


@pytest.mark.parametrize("policy", ["unsafe-url", "no-referrer"])
@pytest.mark.parametrize("path", FORMS)
def test_what_another_site_sends_is_refused_and_alters_nothing(phone: Phone, path: str, policy: str) -> None:
    open_form(phone)
    phone.page.locator("textarea[name=note]").fill(NOTE)
    wait_until(lambda: len(drafts(phone)) == 1, seconds=10, failure=lambda: "no draft")
    before = drafts(phone)

    with OtherSite(phone.url + path, FORMS[path], policy=policy) as site:
        phone.page.goto(site.url)
        phone.page.wait_for_url(f"{phone.url}/**")

    expect(phone.page.locator("body")).to_have_text(REFUSED)
    phone.open("/settings/pin")
    expect(phone.page.locator("#set-pin")).to_be_visible()
    expect(phone.page.locator("#remove-pin")).to_have_count(0)
    assert drafts(phone) == before
    phone.open("/today")
    assert len(doors_of(phone)) > 0


def test_our_own_form_enrols_a_phone_where_htmx_never_came(
    server: ServerProcess, make_phone: MakePhone, coordinator: Coordinator
) -> None:
    phone = make_phone(server.url)
    phone.page.goto(coordinator.invite("0001").link)
    expect(phone.page.locator("#code")).not_to_have_value("")
    phone.wait_until_true(CONTROLLED)

    phone.page.evaluate(SENT_PLAINLY)

    phone.page.wait_for_url("**/enrol/waiting")
    coordinator.confirm(phone.page.locator(".number").inner_text().strip())
    phone.wait_until_enrolled()
