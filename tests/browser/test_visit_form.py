"""The visit form at the door: what it asks when, danger and nobody home with no data (DOMAIN.md 2.2–2.5)."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.coordinator import Coordinator
from tests.browser.phone import Phone
from tests.browser.screen import submit_of
from tests.browser.test_gallery import take

pytestmark = pytest.mark.browser

OPEN_DOOR = ".door:has([data-state=open]) .door__link"


def open_form(phone: Phone, query: str = "") -> None:
    phone.open("/today")
    path = phone.page.locator(OPEN_DOOR).first.get_attribute("href")
    phone.open(f"{path}/visit{query}")


def upload(phone: Phone) -> None:
    phone.context.set_offline(False)
    phone.wait_for_header("全部已上传", seconds=40)


def test_s02_one_tap_for_all_well_stands_above_the_fold_of_the_form(phone: Phone) -> None:
    phone.context.set_offline(True)
    open_form(phone)
    button = phone.page.locator("[data-all-good]")
    box = button.bounding_box()
    assert box is not None
    assert 640 * 0.45 <= box["y"] <= 640 - box["height"]

    button.tap()

    expect(phone.page.locator("input[name=outcome][value=met]")).to_be_checked()
    assert phone.page.locator("[data-group=wellbeing] input[value=good]:checked").count() >= 3
    phone.answer({"outcome": ["refused"]})
    expect(button).to_be_hidden()
    phone.save()


def test_consent_changes_which_questions_are_asked(phone: Phone) -> None:
    phone.context.set_offline(True)
    open_form(phone, "?outcome=met")
    health = phone.page.locator("#field-wb_health")

    phone.answer({"consent_state": ["full"]})
    expect(health).to_be_visible()
    phone.answer({"wb_health": ["poor"], "consent_state": ["basic"]})
    expect(health).to_be_hidden()
    expect(phone.page.locator("#field-wb_safety")).to_be_visible()
    visit = phone.save()

    phone.open(f"/visits/{visit}")
    expect(phone.page.locator("dl.answers")).not_to_contain_text("健康")


def test_needs_ask_how_urgent_they_are(phone: Phone) -> None:
    phone.context.set_offline(True)
    open_form(phone, "?outcome=met")
    expect(phone.page.locator("#field-urgency")).to_be_hidden()

    phone.answer({"needs": ["meal_delivery"]})
    phone.page.locator(submit_of("visit-form")).tap()

    expect(phone.page.locator("#problems")).to_contain_text("紧急程度")
    phone.answer({"urgency": ["h24"]})
    phone.save()


def test_several_members_are_met_in_one_visit(phone: Phone, coordinator: Coordinator) -> None:
    phone.open("/today")
    phone.context.set_offline(True)
    path = phone.page.locator(".door__link:has(.door__people:text('、'))").first.get_attribute("href")
    phone.open(f"{path}/visit?outcome=met")
    names = phone.page.locator("#field-members_met label.chip")
    assert names.count() >= 2
    met = [names.nth(place).inner_text() for place in (0, 1)]

    for place in (0, 1):
        names.nth(place).tap()
    visit = phone.save()
    upload(phone)

    assert coordinator.open_visit(visit).answers["见到家里哪几位"] == "、".join(met)


def test_the_next_visit_is_proposed_by_what_was_found(phone: Phone) -> None:
    phone.open("/today")
    phone.context.set_offline(True)
    path = phone.page.locator(".door__link").first.get_attribute("href")
    phone.open(path or "")
    expect(phone.page.locator(".tag--yellow")).to_be_visible()  # 30 days as a rule, one when nobody opens
    phone.page.locator("a[href$='/visit']").tap()
    date = phone.page.locator("input[name=next_visit_on]")
    usual = date.input_value()

    phone.answer({"outcome": ["no_answer"]})
    assert date.input_value() < usual
    phone.answer({"outcome": ["met"]})
    assert date.input_value() == usual
    date.fill("2030-01-31")
    phone.answer({"outcome": ["no_answer"]})

    assert date.input_value() == "2030-01-31"


def test_no_next_visit_is_proposed_where_nobody_will_be_visited(phone: Phone) -> None:
    phone.context.set_offline(True)
    open_form(phone)
    date = phone.page.locator("input[name=next_visit_on]")

    phone.answer({"outcome": ["deceased"]})
    expect(date).to_be_hidden()
    phone.answer({"outcome": ["met"]})
    expect(date).to_be_visible()
    assert date.input_value() != ""
    phone.answer({"outcome": ["moved"]})
    phone.save()

    assert "下次走访" not in phone.page.locator("main").inner_text()


def test_danger_is_saved_first_and_then_shows_whom_to_call(phone: Phone, coordinator: Coordinator) -> None:
    phone.open("/today")
    phone.context.set_offline(True)
    open_form(phone)
    phone.answer({"outcome": ["met"], "danger": ["fall"]})
    phone.page.locator(submit_of("visit-form")).tap()

    phone.page.wait_for_url(re.compile(r"/steps\?saved="))
    assert "待上传 1 条" in phone.header
    numbers = [link.get_attribute("href") for link in phone.page.locator("a[href^='tel:']").all()]
    assert numbers[:3] == ["tel:120", "tel:110", "tel:119"]
    assert len(numbers) == 5  # the duty phone and the family, too
    expect(phone.page.locator("nav")).to_have_count(0)
    assert phone.page.locator("a[href='tel:120']").evaluate("(link) => link.getBoundingClientRect().bottom") < 640
    phone.page.locator("label.chip:has([name=called_120])").tap()
    phone.page.locator(submit_of("steps-form")).tap()
    phone.page.wait_for_url(re.compile(r"/doors/[^/]*\?saved="))
    visit = phone.page.url.split("saved=")[1][:36]
    upload(phone)

    received = coordinator.open_visit(visit)
    assert received.answers["危险情形"] == "跌倒/无反应"
    assert re.search(r"\d\d:\d\d$", received.answers["120 急救"])
    assert received.history == ("accepted", "accepted")


def test_nobody_home_leads_to_the_steps_of_its_risk_and_each_keeps_its_time(phone: Phone) -> None:
    phone.open("/today")
    phone.context.set_offline(True)
    phone.page.locator(OPEN_DOOR).first.tap()
    level = phone.page.locator(".tags").inner_text()[-1]
    phone.page.locator("button[value=no_answer]").tap()
    expect(phone.page.locator(".visit__word")).to_contain_text(f"{level}色户")

    phone.page.locator("a[href$='/steps']").tap()
    expect(phone.page.locator("h1")).to_have_text("没人应，找一找")
    assert phone.page.locator("a[href^='tel:']").count() == 3
    phone.page.locator("label.chip:has([name=asked_neighbour])").tap()
    phone.page.locator(submit_of("steps-form")).tap()
    phone.page.wait_for_url(re.compile(r"saved="))
    visit = phone.page.url.split("saved=")[1][:36]

    phone.open(f"/visits/{visit}/steps")
    expect(phone.page.locator("[name=asked_neighbour]")).to_be_checked()
    expect(phone.page.locator(".step:has([name=asked_neighbour])")).to_contain_text(re.compile(r"\d\d:\d\d"))
    expect(phone.page.locator("[name=called_person]")).not_to_be_checked()

    phone.open(f"/visits/{visit}/edit")  # the neighbour says that he fell
    phone.answer({"danger": ["fall"]})
    phone.page.locator(submit_of("visit-form")).tap()
    phone.page.wait_for_url(re.compile(r"/steps\?saved="))
    phone.page.locator("label.chip:has([name=called_120])").tap()
    phone.page.locator(submit_of("steps-form")).tap()
    phone.page.wait_for_url(re.compile(r"/doors/[^/]*\?saved="))
    phone.open(f"/visits/{visit}")
    for step in ("问邻居", "120"):
        expect(phone.page.locator(".answers__pair", has_text=step)).to_contain_text(re.compile(r"\d\d:\d\d"))


def test_an_edit_is_not_undone_by_withdrawing_the_visit(phone: Phone) -> None:
    phone.context.set_offline(True)
    visit = phone.log_visit("no_answer")
    expect(phone.page.locator("#saved button")).to_have_count(1)

    phone.open(f"/visits/{visit}/edit")
    phone.page.locator("textarea[name=note]").fill("示例")
    phone.save()
    expect(phone.page.locator("#saved")).to_be_visible()
    expect(phone.page.locator("#saved button")).to_have_count(0)
    phone.open(f"/visits/{visit}/steps")
    phone.page.locator("label.chip:has([name=asked_neighbour])").tap()
    phone.page.locator(submit_of("steps-form")).tap()
    phone.page.wait_for_url(re.compile(r"saved="))
    expect(phone.page.locator("#saved")).to_be_visible()
    expect(phone.page.locator("#saved button")).to_have_count(0)


def test_whoever_left_the_steps_finds_them_again_at_the_door_and_at_her_visit(phone: Phone) -> None:
    phone.open("/today")
    phone.context.set_offline(True)
    open_form(phone)
    in_danger = phone.page.url.partition("/visit")[0].removeprefix(phone.url)
    phone.answer({"outcome": ["met"], "danger": ["fall"]})
    phone.page.locator(submit_of("visit-form")).tap()
    phone.page.wait_for_url(re.compile(r"/steps\?saved="))
    phone.open("/today")
    phone.page.locator(OPEN_DOOR).first.tap()
    phone.page.wait_for_url("**/doors/*")
    closed = phone.page.url.removeprefix(phone.url)
    phone.page.locator("button[value=no_answer]").tap()
    phone.page.wait_for_url("**?saved=*")
    take(phone.page, "door_to_steps_saved")

    for number, (door, heading) in enumerate([(closed, "没人应，找一找"), (in_danger, "打电话求助")]):
        phone.open(door)
        take(phone.page, f"door_to_steps_{number}")
        phone.page.locator(".dock a[href$='/steps']").tap()
        expect(phone.page.locator("h1")).to_have_text(heading)
        phone.open("/my-visits")
        phone.page.locator(".visit__link").nth(number).tap()
        phone.page.wait_for_url("**/visits/*")
        take(phone.page, f"visit_to_steps_{number}")
        phone.page.locator(".dock a[href$='/steps']").tap()
        expect(phone.page.locator("h1")).to_have_text(heading)
    plain = phone.log_visit("met")
    expect(phone.page.locator("a[href$='/steps']")).to_have_count(0)
    phone.open(f"/visits/{plain}")
    expect(phone.page.locator("a[href$='/steps']")).to_have_count(0)


def test_the_next_form_opens_with_what_was_said_of_consent_just_now(phone: Phone) -> None:
    """With no network, so that the household itself is as it was pulled."""
    phone.context.set_offline(True)
    open_form(phone, "?outcome=met")
    path = re.sub(r"\?.*", "", phone.page.url).removeprefix(phone.url)

    def opens_with() -> str | None:
        phone.open(f"{path}?outcome=met")
        return phone.page.locator("input[name=consent_state]:checked").get_attribute("value")

    before = opens_with()
    said = "basic" if before == "withdrawn" else "withdrawn"
    phone.answer({"consent_state": [said]})
    visit = phone.save()

    assert opens_with() == said
    phone.open(f"/visits/{visit}/withdraw")
    phone.page.locator(submit_of("withdraw-form")).tap()
    phone.page.wait_for_url("**/my-visits*")
    assert opens_with() == before
