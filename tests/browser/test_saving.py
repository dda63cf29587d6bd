"""Saving a visit when the phone is at its worst: full, broken, stopped half-way, asked twice."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, Worker, expect

from server.accepting import accept_changes, server_author
from server.clock import system_clock
from server.database import Database
from server.demo.names import COMMUNITY_ID
from server.identifiers import uuid7
from sync.changes import Action, Change
from tests.browser.conftest import MakePhone
from tests.browser.coordinator import Coordinator
from tests.browser.phone import Phone
from tests.browser.screen import submit_of
from tests.browser.server_process import ServerProcess, wait_until, with_database

pytestmark = pytest.mark.browser

NOTE = "示例：门铃坏了"
# IndexedDB refuses the next entries, as it does on a full or broken phone.
REFUSE = """({ error, times, after = 0 }) => {
    const { add } = IDBObjectStore.prototype;
    let [passing, left] = [after, times];
    IDBObjectStore.prototype.add = function (...given) {
        if (this.name === "entries" && passing-- <= 0 && left-- > 0) throw new DOMException("refused by the test", error);
        return add.apply(this, given);
    };
}"""
# Every request succeeds, and then the transaction goes, as when iOS takes the connection away.
CUT_OFF = """(times) => {
    const { add } = IDBObjectStore.prototype;
    let left = times;
    IDBObjectStore.prototype.add = function (...given) {
        const request = add.apply(this, given);
        if (this.name === "entries" && left-- > 0) {
            const { transaction } = this;
            request.addEventListener("success", () => transaction.abort());
        }
        return request;
    };
}"""
ENTRIES = """() => new Promise((resolve) => {
    indexedDB.open("linli-outbox", 1).onsuccess = ({ target }) => {
        const all = target.result.transaction("entries").objectStore("entries").getAll();
        all.onsuccess = () => {
            target.result.close();
            resolve(all.result.map(({ sequence, record_id, state }) => ({ sequence, record_id, state })));
        };
    };
})"""


def worker_of(phone: Phone) -> Worker:
    wait_until(lambda: bool(phone.context.service_workers), seconds=10, failure=lambda: "no worker runs")
    return phone.context.service_workers[-1]


def entries(phone: Phone) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = phone.page.evaluate(ENTRIES)
    return found


def open_form(phone: Phone, outcome: str = "no_answer") -> None:
    phone.open("/today")
    phone.page.locator(".door:has([data-state=open]) .door__link").first.tap()
    phone.page.locator(f"a[href$='/visit?outcome={outcome}'], a[href$='/visit']").last.tap()
    phone.answer({"outcome": [outcome]})


def test_p04_a_full_phone_makes_room_by_itself(phone: Phone) -> None:
    phone.context.set_offline(True)
    open_form(phone)
    worker_of(phone).evaluate(REFUSE, {"error": "QuotaExceededError", "times": 1})

    visit = phone.save()

    assert [entry["record_id"] for entry in entries(phone)] == [visit]


def test_phone_that_cannot_save_hands_the_form_to_the_server(phone: Phone, coordinator: Coordinator) -> None:
    open_form(phone)
    phone.page.locator("textarea[name=note]").fill(NOTE)
    worker_of(phone).evaluate(REFUSE, {"error": "DataError", "times": 100})

    visit = phone.save()

    assert entries(phone) == []
    assert coordinator.visit_ids().count(visit) == 1


def test_phone_that_cannot_save_without_a_network_keeps_the_form_and_says_so(phone: Phone) -> None:
    phone.context.set_offline(True)
    open_form(phone)
    phone.page.locator("textarea[name=note]").fill(NOTE)
    worker_of(phone).evaluate(REFUSE, {"error": "DataError", "times": 1})

    phone.page.locator(submit_of("visit-form")).tap()

    expect(phone.page.locator("#problems")).to_contain_text("没能存下")
    expect(phone.page.locator("textarea[name=note]")).to_have_value(NOTE)
    visit = phone.save()
    assert [entry["record_id"] for entry in entries(phone)] == [visit]


def test_form_that_the_phone_cannot_save_and_the_server_holds_is_called_held(
    phone: Phone, server: ServerProcess
) -> None:
    open_form(phone)
    household_id = phone.page.url.partition("/doors/")[2][:36]
    server.stop()
    with_database(server, lambda database: close_household(database, household_id))
    server.start()
    worker_of(phone).evaluate(REFUSE, {"error": "DataError", "times": 1})

    phone.page.locator(submit_of("visit-form")).tap()

    expect(phone.page.locator(".visit__word")).to_contain_text("这户的档案已关闭")
    assert entries(phone) == []


def close_household(database: Database, household_id: str) -> None:
    closing = Change(uuid7(), 0, "household", household_id, Action.PUT, 2**40, {"is_closed": True}, 0, 1)
    author = server_author(COMMUNITY_ID)
    database.write(lambda session: accept_changes(session, author, [closing], system_clock()))


def test_form_that_neither_phone_nor_server_takes_stays_on_screen(phone: Phone) -> None:
    """A phone that works by itself has no use for its session, which ends after a month: the server leads elsewhere then."""
    open_form(phone)
    phone.page.locator("textarea[name=note]").fill(NOTE)
    phone.context.clear_cookies()
    worker_of(phone).evaluate(REFUSE, {"error": "DataError", "times": 1})

    phone.page.locator(submit_of("visit-form")).tap()

    expect(phone.page.locator("#problems")).to_contain_text("没能存下")
    expect(phone.page.locator("textarea[name=note]")).to_have_value(NOTE)
    visit = phone.save()
    assert [entry["record_id"] for entry in entries(phone)] == [visit]


@pytest.mark.timeout(120)
def test_p02_an_entry_is_saved_when_its_transaction_is_complete_and_not_before(phone: Phone) -> None:
    phone.context.set_offline(True)
    open_form(phone)
    phone.page.locator("textarea[name=note]").fill(NOTE)
    worker_of(phone).evaluate(CUT_OFF, 100)

    phone.page.locator(submit_of("visit-form")).tap()

    expect(phone.page.locator("#problems")).to_contain_text("没能存下", timeout=30_000)
    expect(phone.page.locator("textarea[name=note]")).to_have_value(NOTE)
    assert entries(phone) == []


def test_p17_a_connection_that_is_lost_while_saving_is_opened_again_for_the_same_visit(phone: Phone) -> None:
    phone.context.set_offline(True)
    open_form(phone)
    worker_of(phone).evaluate(CUT_OFF, 1)

    visit = phone.save()

    assert [entry["record_id"] for entry in entries(phone)] == [visit]


def test_going_back_and_amending_is_an_edit_and_no_second_visit(
    server: ServerProcess, phone: Phone, coordinator: Coordinator
) -> None:
    phone.context.set_offline(True)
    open_form(phone)
    form = hidden_of(phone.page)
    visit = phone.save()

    answer = phone.page.evaluate(
        """async ([path, fields]) => {
            const answer = await fetch(path, { method: "POST", body: new URLSearchParams(fields) });
            return answer.url;
        }""",
        [form["action"], form["fields"] | {"note": NOTE}],
    )

    assert f"saved={visit}" in answer
    assert [entry["record_id"] for entry in entries(phone)] == [visit, visit]
    phone.context.set_offline(False)
    phone.wait_for_header("全部已上传", seconds=40)
    assert coordinator.visit_ids().count(visit) == 1
    assert coordinator.open_visit(visit).answers["备注"] == NOTE


def hidden_of(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate(
        """() => {
            const form = document.getElementById("visit-form");
            return { action: form.action, fields: Object.fromEntries(new FormData(form)) };
        }"""
    )
    return found


def test_worker_that_is_stopped_after_every_step_loses_nothing(
    server: ServerProcess, phone: Phone, coordinator: Coordinator
) -> None:
    phone.open("/today")
    server.stop()

    visits = []
    for _ in range(3):
        open_form(phone)
        phone.stop_workers()
        visits.append(phone.save())
        phone.stop_workers()
    server.start()

    assert [entry["sequence"] for entry in entries(phone)] == [1, 2, 3]
    phone.wait_for_header("全部已上传", seconds=40)
    assert [coordinator.visit_ids().count(visit) for visit in visits] == [1, 1, 1]


def test_saved_records_change_their_words_on_screen_when_they_are_uploaded(phone: Phone) -> None:
    phone.context.set_offline(True)
    open_form(phone)
    visit = phone.save()
    phone.page.locator("nav a[href='/my-visits']").tap()
    state = phone.page.locator(f"#visit-{visit} .visit__state .state")
    expect(state).to_have_attribute("data-state", "waiting")

    phone.context.set_offline(False)

    expect(state).to_have_attribute("data-state", "uploaded", timeout=40_000)
    assert re.search(r"/my-visits$", phone.page.url)


def test_question_that_no_longer_applies_is_hidden_and_not_sent(phone: Phone) -> None:
    phone.context.set_offline(True)
    open_form(phone, "met")
    phone.answer({"needs": ["meal_delivery"], "urgency": ["h24"]})

    phone.answer({"outcome": ["no_answer"]})

    expect(phone.page.locator("#field-needs")).to_be_hidden()
    expect(phone.page.locator("#field-urgency")).to_be_hidden()
    phone.save()


def test_next_visit_is_set_by_days_from_today(phone: Phone) -> None:
    open_form(phone)
    today = phone.page.locator("#visit-form").get_attribute("data-today")

    phone.page.locator("#field-next_visit_on [data-days='1']").tap()

    assert phone.page.locator("input[name=next_visit_on]").input_value() > str(today)


def test_visible_words_when_nobody_answers_and_no_worker_helps(server: ServerProcess, make_phone: MakePhone) -> None:
    phone = make_phone(server.url, service_workers="block")
    phone.open("/calendar")
    phone.context.set_offline(True)

    phone.page.locator("main a[href^='/calendar/']").first.tap()

    expect(phone.page.locator("#no-answer")).to_be_visible()


# What htmx is asking for, as somebody sees it at that moment.
WATCH_PALE = """() => {
    window.pale = [];
    new MutationObserver((seen) => seen.forEach(({ target }) => {
        if (target.classList.contains("htmx-request")) pale.push([target.localName, getComputedStyle(target).opacity]);
    })).observe(document.documentElement, { subtree: true, attributeFilter: ["class"] });
}"""


def test_a_tap_is_seen_at_once_and_a_search_while_somebody_types_is_not(phone: Phone) -> None:
    phone.open("/today")
    phone.page.evaluate(WATCH_PALE)

    phone.page.locator(".nav a[href='/map']").tap()
    phone.page.wait_for_url("**/map")
    tapped = phone.page.evaluate("() => pale.splice(0)")
    phone.open("/find")
    phone.page.evaluate(WATCH_PALE)
    phone.page.locator("#q").fill("sl")
    expect(phone.page.locator("#found")).to_have_attribute("data-for", "sl")

    assert tapped == [["a", "0.5"]]
    assert phone.page.evaluate("() => pale") == [["form", "1"]]


def open_door(phone: Phone) -> str:
    """The path of the first that was not visited yet."""
    phone.open("/today")
    phone.page.locator(".door:has([data-state=open]) .door__link").first.tap()
    phone.page.wait_for_url("**/doors/*")
    return phone.page.url.removeprefix(phone.url)


def test_p22_what_was_just_saved_is_seen_and_undone_on_a_phone_whose_clock_is_behind(phone: Phone) -> None:
    phone.context.set_offline(True)
    door = open_door(phone)
    for _ in range(3):
        phone.open(f"{door}/visit?outcome=met")
        phone.save()
    worker_of(phone).evaluate("() => { const { now } = Date; Date.now = () => now.call(Date) - 86_400_000; }")

    phone.open(f"{door}/visit?outcome=no_answer")
    phone.save()

    expect(phone.page.locator("#saved")).to_be_visible()
    expect(phone.page.locator("button[value=no_answer]")).to_have_count(0)
    phone.page.locator("#saved button").tap()
    expect(phone.page.locator("#saved")).to_contain_text("撤回")


def test_s11_visits_that_were_taken_back_hide_none_of_the_last_three(phone: Phone) -> None:
    phone.context.set_offline(True)
    door = open_door(phone)
    phone.open(f"{door}/visit?outcome=met")
    visit = phone.save()
    for _ in range(3):
        phone.open(f"{door}/visit?outcome=no_answer")
        phone.save()
        phone.page.locator("#saved button").tap()
        expect(phone.page.locator("#saved button")).to_have_count(0)

    phone.open(door)
    expect(phone.page.locator(f"#last-visits #visit-{visit}")).to_be_visible()
