"""The home screen is offered when there is something to keep, and never above a form (EXPERIENCE.md 1.3, 26)."""

import pytest
from playwright.sync_api import expect

from tests.browser.phone import Phone
from tests.browser.test_saving import open_form

pytestmark = [pytest.mark.browser, pytest.mark.whole_browser]

# This machine's own offer, which comes when it likes, is left out.
NONE_OF_ITS_OWN = """
    addEventListener("beforeinstallprompt", (offer) => offer.isTrusted && offer.stopImmediatePropagation(), true);
"""
# What a browser does that would install the app.
OFFER = """() => {
    const offer = new Event("beforeinstallprompt", { cancelable: true });
    offer.prompt = async () => { window.asked = (window.asked ?? 0) + 1; };
    dispatchEvent(offer);
    return offer.defaultPrevented;
}"""


@pytest.fixture(autouse=True)
def quiet(phone: Phone) -> None:
    phone.context.add_init_script(NONE_OF_ITS_OWN)
    phone.open("/today")


def test_the_home_screen_is_offered_after_the_first_upload_and_once(phone: Phone) -> None:
    phone.open("/today")
    assert phone.page.evaluate(OFFER) is True  # the browser's own banner stays away
    expect(phone.page.locator("[data-install]")).to_have_count(0)
    phone.log_visit("no_answer")
    phone.wait_for_header("全部已上传", seconds=40)
    phone.open("/today")
    phone.page.evaluate(OFFER)
    panel = phone.page.locator("[data-install=today]")
    expect(panel).to_be_visible()

    panel.locator("[data-add=now]").tap()

    phone.wait_until_true("() => window.asked === 1")
    expect(panel).to_be_hidden()


def test_put_off_it_waits_in_the_settings(phone: Phone) -> None:
    phone.log_visit("no_answer")
    phone.wait_for_header("全部已上传", seconds=40)
    phone.open("/today")
    phone.page.evaluate(OFFER)
    phone.page.locator("[data-install=today] [data-add=later]").tap()
    expect(phone.page.locator("[data-install=today]")).to_be_hidden()

    phone.open("/today")
    phone.page.evaluate(OFFER)
    expect(phone.page.locator("[data-install=today]")).to_be_hidden()
    phone.page.locator("nav a[href='/settings']").tap()

    expect(phone.page.locator("[data-install=settings]")).to_be_visible()


def test_a_form_is_never_interrupted_by_it(phone: Phone) -> None:
    open_form(phone)

    phone.page.evaluate(OFFER)

    expect(phone.page.locator("[data-install]")).to_have_count(0)
