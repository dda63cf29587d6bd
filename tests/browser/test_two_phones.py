"""Two edits that were made without a network and meet at the server (EXPERIENCE.md 18): both are kept, nobody is stopped."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import MakePhone, enrol
from tests.browser.coordinator import Coordinator
from tests.browser.phone import SECONDS, Phone
from tests.browser.photographs import photograph
from tests.browser.server_process import ServerProcess, wait_until
from tests.browser.test_drafts import drafts
from tests.browser.test_photos import amend_with
from tests.browser.test_rounds import open_doors
from tests.browser.test_saving import entries, worker_of
from tests.browser.test_trust import FIRST_TOO_LARGE

pytestmark = pytest.mark.browser

NOTE = "示例：门铃坏了，请敲门。"


def second_phone(
    number: str, server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone, tmp_path: Path
) -> Phone:
    phone = make_phone(server.url, profile=tmp_path / "second")
    enrol(phone, coordinator, number=number)
    return phone


def go_online(phone: Phone) -> None:
    """Until all of it is up and what the others said has come."""
    phone.context.set_offline(False)
    phone.open("/today")
    phone.wait_for_header("全部已上传", seconds=40)
    assert {entry["state"] for entry in entries(phone)} == {"acknowledged"}


def test_s18_two_edits_of_different_answers_made_offline_merge_silently(
    server: ServerProcess, coordinator: Coordinator, phone: Phone, make_phone: MakePhone, tmp_path: Path
) -> None:
    """A volunteer with two phones, who corrects the same visit on each."""
    visit = phone.log_visit("no_answer")
    go_online(phone)
    other = second_phone("0001", server, coordinator, make_phone, tmp_path)
    for each in (phone, other):
        each.context.set_offline(True)
        each.open(f"/visits/{visit}/edit")
    phone.page.locator("textarea[name=note]").fill(NOTE)
    phone.save()
    other.answer({"outcome": ["away_known"]})
    other.save()

    go_online(other)
    go_online(phone)

    found = coordinator.open_visit(visit)
    assert (found.answers["结果"], found.answers["备注"]) == ("外出，去向已知", NOTE)
    assert coordinator.visit_ids().count(visit) == 1
    coordinator.page.goto(f"{coordinator.url}/coordinator/conflicts")
    expect(coordinator.page.locator("[id^=conflict-]")).to_have_count(0)


@pytest.mark.parametrize("is_left", [False, True])
def test_a_form_that_was_open_or_left_while_the_other_phone_wrote_takes_nothing_back(
    server: ServerProcess,
    coordinator: Coordinator,
    phone: Phone,
    make_phone: MakePhone,
    tmp_path: Path,
    is_left: bool,
) -> None:
    """Her other phone has heard of the note by the time she saves; what stands in her form is from before."""
    visit = phone.log_visit("no_answer")
    go_online(phone)
    other = second_phone("0001", server, coordinator, make_phone, tmp_path)
    other.open(f"/visits/{visit}/edit")
    other.answer({"outcome": ["away_known"]})
    wait_until(lambda: len(drafts(other)) == 1, seconds=SECONDS, failure=lambda: "no draft")
    phone.open(f"/visits/{visit}/edit")
    phone.page.locator("textarea[name=note]").fill(NOTE)
    phone.save()
    go_online(phone)
    wait_until(lambda: has_heard(other, visit), seconds=2 * SECONDS, failure=lambda: "the note has not come")

    if is_left:
        other.open(f"/visits/{visit}/edit")
        expect(other.page.locator("#draft")).to_be_visible()
    other.save()

    go_online(other)
    found = coordinator.open_visit(visit)
    assert (found.answers["结果"], found.answers["备注"]) == ("外出，去向已知", NOTE)


def has_heard(phone: Phone, visit: str) -> bool:
    """In a tab of its own: the form stays open."""
    tab = phone.context.new_page()
    tab.goto(f"{phone.url}/visits/{visit}")
    shown = tab.locator("main").inner_text()
    tab.close()
    return NOTE in shown


def test_an_edit_that_could_not_be_sent_and_is_said_anew_takes_no_photo_of_the_other_phone_away(
    server: ServerProcess, coordinator: Coordinator, phone: Phone, make_phone: MakePhone, tmp_path: Path
) -> None:
    visit = phone.log_visit("no_answer")
    go_online(phone)
    other = second_phone("0001", server, coordinator, make_phone, tmp_path)
    worker_of(phone).evaluate(FIRST_TOO_LARGE)
    amend_with(phone, visit, photograph(phone, 400, 300))
    amend_with(other, visit, photograph(other, 800, 600))
    go_online(other)
    phone.exchange()
    phone.open(f"/visits/{visit}")
    expect(phone.page.locator("[data-state=failed]").first).to_be_visible()

    phone.open(f"/visits/{visit}/edit")
    phone.page.locator("textarea[name=note]").fill(NOTE)
    phone.save()
    go_online(phone)

    assert coordinator.open_visit(visit).answers["备注"] == NOTE
    expect(coordinator.page.locator(".attached img")).to_have_count(2)


def test_s18_two_answers_to_the_same_question_made_offline_are_both_kept_with_who_and_when(
    server: ServerProcess, coordinator: Coordinator, phone: Phone, make_phone: MakePhone, tmp_path: Path
) -> None:
    """At one door on one day: one is told to write less, the other has heard nothing of it."""
    give_round_to("0002", coordinator, phone)
    other = second_phone("0002", server, coordinator, make_phone, tmp_path)
    door = next(door for door in open_doors(phone) if consent_at(phone, door) == "full")
    assert consent_at(other, door) == "full"
    for each in (phone, other):
        each.context.set_offline(True)
    visits = []
    for each, consent in ((phone, "basic"), (other, "full")):
        consent_at(each, door)
        each.answer({"consent_state": [consent]})
        visits.append(each.save())

    go_online(phone)
    go_online(other)

    assert [coordinator.visit_ids().count(visit) for visit in visits] == [1, 1]
    assert [coordinator.open_visit(visit).answers["信息同意"] for visit in visits] == ["只记走访", "同意记录健康等"]
    coordinator.page.goto(f"{coordinator.url}/coordinator/conflicts")
    panel = coordinator.page.locator("[id^=conflict-]")
    expect(panel).to_have_count(1)
    words = re.sub(r"\s+", " ", panel.inner_text())
    assert re.search(
        r"只记走访 示例志愿者甲 · 收到 .*\d\d:\d\d.*同意记录健康等 示例志愿者乙 · 收到 .*\d\d:\d\d", words
    ), words
    go_online(phone)
    assert consent_at(phone, door) == "basic"  # the more cautious stands until somebody decides
    phone.log_visit("no_answer")  # and nobody waits for that
    phone.wait_for_header("全部已上传", seconds=40)


def give_round_to(number: str, coordinator: Coordinator, phone: Phone) -> None:
    """The round of this phone, to one more."""
    round_id = open_doors(phone)[0].split("/")[2]
    page = coordinator.page
    page.goto(f"{coordinator.url}/coordinator/rounds")
    choice = page.locator(f"#give-{round_id}")
    choice.select_option(choice.locator("option", has_text=number).get_attribute("value"))
    page.locator(f"#round-{round_id} form[action$='/give'] button").click()
    expect(page.locator(".saved")).to_be_visible()


def consent_at(phone: Phone, door: str) -> str:
    """What the form of this door proposes."""
    phone.open(f"{door}/visit?outcome=met")
    phone.page.locator("#visit-form").wait_for()
    return str(phone.page.evaluate("() => document.querySelector('input[name=consent_state]:checked')?.value ?? ''"))
