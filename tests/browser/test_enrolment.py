"""Becoming a volunteer's phone: what goes wrong on the way, and that she gets there all the same."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import MakePhone
from tests.browser.coordinator import Coordinator
from tests.browser.screen import submit_of
from tests.browser.server_process import ServerProcess
from tests.browser.test_gallery import take

pytestmark = pytest.mark.browser

BUTTON = submit_of("enrol-form")
TURNED_AWAY = "协调员没有通过这部手机，请协调员再发一个邀请码。"


# Whom the coordinator refuses


def test_a_phone_that_was_refused_says_so(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    phone = make_phone(server.url)
    coordinator.refuse(phone.enrol(coordinator.invite("0001").link))

    expect(phone.page.locator("h1")).to_have_text("启用这部手机")
    expect(phone.page.locator("#problems")).to_have_text(TURNED_AWAY)
    take(phone.page, "turned_away")


def test_a_phone_without_javascript_that_was_refused_says_so(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    phone = make_phone(server.url, java_script_enabled=False, service_workers="block")
    invite = coordinator.invite("0001")
    phone.open("/enrol")
    phone.page.locator("#code").fill(invite.short_code)
    phone.page.locator(BUTTON).click()
    phone.page.wait_for_url("**/enrol/waiting")

    coordinator.refuse(phone.page.locator(".number").inner_text().strip())

    expect(phone.page.locator("#problems")).to_have_text(TURNED_AWAY)


def test_whoever_waits_for_nobody_is_not_called_refused(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    phone = make_phone(server.url)

    phone.open("/enrol/waiting")

    expect(phone.page.locator("h1")).to_have_text("启用这部手机")
    expect(phone.page.locator("#problems")).to_have_count(0)
