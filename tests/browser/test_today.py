"""今天: what came back from the coordinator, and where somebody promised to come again (EXPERIENCE.md 32, DOMAIN.md 2)."""

import pytest
from playwright.sync_api import expect

from tests.browser.coordinator import Coordinator
from tests.browser.phone import Phone
from tests.browser.screen import submit_of
from tests.browser.server_process import wait_until

pytestmark = pytest.mark.browser

NOTE = "请补充：联系过家人吗？"


def send_back(coordinator: Coordinator, visit: str) -> None:
    page = coordinator.page
    page.goto(f"{coordinator.url}/coordinator/visits/{visit}")
    page.locator("#review summary").click()
    page.locator("#note").fill(NOTE)
    page.locator("#review button[value=sent_back]").click()
    page.wait_for_url("**reviewed=**")


def test_s12_a_sent_back_visit_is_a_task_until_it_is_answered_and_then_comes_first(
    phone: Phone, coordinator: Coordinator
) -> None:
    visit = phone.log_visit("met")
    phone.wait_for_header("全部已上传", seconds=40)
    send_back(coordinator, visit)
    task = phone.page.locator(f"#tasks #visit-{visit}")

    def has_arrived() -> bool:
        phone.wait_until_ready()  # asks for news, and waits for the answer
        phone.open("/today")
        return task.count() == 1

    wait_until(has_arrived, seconds=30, failure=lambda: "the phone was not told")
    expect(task).to_contain_text(f"已退回：{NOTE}")
    phone.context.set_offline(True)
    task.locator("a[href$='/edit']").tap()
    phone.answer({"done_on_spot": ["called_family"]})
    phone.page.locator(submit_of("visit-form")).tap()
    expect(phone.page.locator("#saved")).to_be_visible()
    phone.open("/today")
    expect(task).to_have_count(0)
    phone.context.set_offline(False)
    phone.wait_for_header("全部已上传", seconds=40)

    phone.open("/today")
    expect(phone.page.locator(".round").first).to_be_visible()
    expect(task).to_have_count(0)
    coordinator.page.goto(f"{coordinator.url}/coordinator")
    calm = coordinator.page.locator(".queue > .visit:not(:has(.tag--red))").first
    expect(calm).to_have_attribute("id", f"visit-{visit}")
    expect(calm).to_contain_text("已补充")


def test_a_promise_to_come_again_stands_on_today_when_it_is_due(phone: Phone) -> None:
    phone.context.set_offline(True)
    phone.open("/today")
    today = phone.page.evaluate("() => new Date(Date.now() + 8 * 3600e3).toISOString().slice(0, 10)")
    first = phone.page.locator(".door:has([data-state=open]) .door__link").first
    door = first.get_attribute("href") or ""
    first.tap()
    phone.page.locator("a[href$='/visit']").tap()
    phone.answer({"outcome": ["hospitalised"]})
    phone.page.locator("input[name=next_visit_on]").fill(today)
    phone.save()

    phone.open("/today")

    due = phone.page.locator("#due .door__link")
    expect(due).to_have_count(1)
    expect(due).to_contain_text("再来")
    expect(due).to_have_attribute("href", door)
