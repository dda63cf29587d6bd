"""今天: what came back from the coordinator, and where somebody promised to come again (EXPERIENCE.md 32, DOMAIN.md 2)."""

import pytest
from playwright.sync_api import expect

from tests.browser.coordinator import Coordinator
from tests.browser.phone import Phone
from tests.browser.screen import submit_of
from tests.browser.server_process import wait_until
from tests.browser.test_gallery import take

pytestmark = pytest.mark.browser

NOTE = "请补充：联系过家人吗？"
DRAWN_AGAIN = """() => new Promise((resolve) => {
    document.addEventListener("htmx:after:settle", resolve, { once: true });
    refreshRecords();
}).then(() => {})"""


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


def test_what_was_promised_stands_on_today_the_most_urgent_first_until_it_is_done(phone: Phone) -> None:
    phone.open("/today")
    doors = [link.get_attribute("href") or "" for link in phone.page.locator(".round .door__link").all()]
    before = [link.get_attribute("href") for link in phone.page.locator("#promised .door__link").all()]
    phone.context.set_offline(True)
    days, hours, emergency = [door for door in doors if door not in before][:3]
    for door, urgency in ((days, "days"), (hours, "h24"), (emergency, "emergency")):
        phone.open(f"{door}/visit?outcome=met")
        phone.answer({"outcome": ["met"], "needs": ["meal_delivery"], "urgency": [urgency]})
        phone.save()

    phone.open("/today")
    promised = phone.page.locator("#promised .door__link")
    found = [link.get_attribute("href") for link in promised.all()]
    assert sorted(found, key=str) == sorted([emergency, hours, days, *before], key=str)
    assert found[0] == emergency
    assert found.index(hours) < found.index(days)
    expect(promised.first).to_contain_text("送餐 · 紧急")
    take(phone.page, "follow-ups")
    promised.first.tap()
    phone.page.locator("#promises button").tap()
    phone.page.wait_for_url("**?saved=*")
    phone.open("/today")
    assert [link.get_attribute("href") for link in promised.all()] == found[1:]


@pytest.mark.parametrize(("outcome", "words"), [("away_known", "回来"), ("hospitalised", "出院，24小时内去看看")])
def test_who_comes_back_stands_on_today_on_the_day_and_not_before(phone: Phone, outcome: str, words: str) -> None:
    phone.context.set_offline(True)
    phone.open("/today")
    days = "(days) => new Date(Date.now() + 8 * 3600e3 + days * 864e5).toISOString().slice(0, 10)"
    today, tomorrow = (phone.page.evaluate(days, count) for count in (0, 1))
    door = phone.page.locator(".door:has([data-state=open]) .door__link").first.get_attribute("href")
    phone.open(f"{door}/visit")
    phone.answer({"outcome": [outcome]})
    phone.page.locator("input[name=next_visit_on]").fill(today)
    phone.page.locator("input[name=until_on]").fill(tomorrow)
    visit = phone.save()
    phone.open("/today")
    expect(phone.page.locator(".round").first).to_be_visible()
    expect(phone.page.locator("#due")).to_have_count(0)

    phone.open(f"/visits/{visit}/edit")
    phone.page.locator("input[name=until_on]").fill(today)
    phone.save()

    phone.open("/today")
    due = phone.page.locator("#due .door__link")
    expect(due).to_have_count(1)
    expect(due).to_contain_text(words)
    expect(due).to_have_attribute("href", door or "")


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


def test_what_she_opened_stays_open_while_a_visit_waits(phone: Phone) -> None:
    """The list is drawn again with each attempt to upload, every few seconds."""
    phone.context.set_offline(True)
    phone.log_visit("no_answer")
    phone.open("/today")
    folded = phone.page.locator("main details").first
    folded.locator("summary").tap()
    expect(folded).to_have_attribute("open", "")

    phone.page.evaluate(DRAWN_AGAIN)

    expect(folded).to_have_attribute("open", "")
