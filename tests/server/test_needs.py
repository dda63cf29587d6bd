"""A need that is ticked at a door opens a request of its own, once, and ends (EXPERIENCE.md 10)."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import pytest
from sqlmodel import Session, col, select
from starlette.testclient import TestClient

from server import migrations
from server.accepting import accept_changes, server_author
from server.app import create_app
from server.database import Database
from server.held import held_changes, held_count
from server.models import Record
from server.scope import scoped
from server.sessions import cookie_name
from server.settings import Settings
from sync.changes import Action, Change, Held, Outcome, Result
from tests.people import (
    ALICE,
    BOB,
    CHARLIE,
    COMMUNITY_ID,
    COORDINATOR,
    GREEN_DOOR,
    NOW,
    RED_DOOR,
    ROUND_ID,
    Person,
    build_world,
    log_visits,
    made_up_id,
    sign_in,
    visit_change,
)

DOOR_PAGE = f"/rounds/{ROUND_ID}/doors/{RED_DOOR}"
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    settings = Settings(data_dir=tmp_path)
    migrations.upgrade(settings.database_url)
    app = create_app(settings, clock=lambda: NOW)
    with TestClient(app, base_url=settings.public_url) as opened:
        build_world(app.state.database)
        opened.cookies.set(cookie_name(settings), sign_in(app.state.database, ALICE))
        yield opened


@pytest.fixture
def database(client: TestClient) -> Database:
    found: Database = client.app.state.database  # type: ignore[attr-defined]
    return found


def needs(database: Database) -> list[dict[str, Any]]:
    """Those that stand."""

    def work(session: Session) -> list[dict[str, Any]]:
        statement = select(Record).where(col(Record.kind) == "need", col(Record.is_void).is_(False))
        return [json.loads(record.fields) for record in session.exec(scoped(COORDINATOR, statement))]

    return database.read(work)


def push(database: Database, who: Person, *changes: Change) -> list[Result]:
    return database.write(lambda session: accept_changes(session, who.author(), changes, NOW))


def need_id(visit: Change, service: str) -> str:
    return str(uuid5(UUID(visit.record_id), service))


def done(name: str, need: str, *, state: str = "done", base: int | str = 0, **more: Any) -> Change:
    fields = {"need_state": state, **more}
    return Change(made_up_id(name), 0, "need", need, Action.PUT, base, fields, NOW, 1)


def promises(client: TestClient) -> list[str]:
    """As the door says them."""
    page = client.get(DOOR_PAGE).text
    return [
        re.sub(r"<[^>]*>", "", words.replace("<small>", " · "))
        for words in re.findall(r'<button[^>]* id="need-[^>]*>(.*?)</button>', page)
    ]


def test_a_need_is_opened_once_for_each_service(database: Database) -> None:
    visit = visit_change("a visit", needs=["meal_delivery", "medical_delivery"], urgency="h24")

    log_visits(database, ALICE, visit)
    log_visits(database, ALICE, visit)  # sent twice

    assert sorted(needs(database), key=lambda need: str(need["service"])) == [
        {
            "household_id": RED_DOOR,
            "visit_id": visit.record_id,
            "service": service,
            "urgency": "h24",
            "need_state": "open",
        }
        for service in ("meal_delivery", "medical_delivery")
    ]


def test_a_promise_that_is_kept_leaves_the_door_in_one_tap_and_comes_back_in_another(
    client: TestClient, database: Database
) -> None:
    visit = visit_change("a visit", needs=["meal_delivery", "legal_aid"], urgency="h24")
    log_visits(database, BOB, visit)
    need = need_id(visit, "meal_delivery")

    told = {"need": need, "need_state": "done", "change_id": made_up_id("a tap")}
    answer = client.post(f"{DOOR_PAGE}/needs", data=told, headers=SAME_ORIGIN)

    assert answer.url.path == DOOR_PAGE
    assert promises(client) == ["法律援助 · 24小时内"]
    assert "送餐：办好了" in answer.text
    told = {"need": need, "need_state": "open", "change_id": made_up_id("another tap")}
    client.post(f"{DOOR_PAGE}/needs", data=told, headers=SAME_ORIGIN)
    assert promises(client) == ["送餐 · 24小时内", "法律援助 · 24小时内"]


def test_ticked_by_two_it_stands_in_one_line_and_one_tap_ends_both(client: TestClient, database: Database) -> None:
    first = visit_change("first", needs=["meal_delivery"], urgency="days")
    second = visit_change("second", needs=["meal_delivery"], urgency="h24")
    log_visits(database, ALICE, first)
    log_visits(database, BOB, second)
    assert len(promises(client)) == 1

    (shown,) = re.findall(r'name="need" value="([^"]*)"', client.get(DOOR_PAGE).text)
    told = {"need": shown, "need_state": "done", "change_id": made_up_id("a tap")}
    client.post(f"{DOOR_PAGE}/needs", data=told, headers=SAME_ORIGIN)

    assert shown in [need_id(visit, "meal_delivery") for visit in (first, second)]
    assert promises(client) == []
    assert [need["need_state"] for need in needs(database)] == ["done", "done"]


def test_what_was_answered_at_the_door_is_no_promise(client: TestClient, database: Database) -> None:
    log_visits(database, ALICE, visit_change("a visit", needs=["legal_aid"], urgency="info"))

    assert [need["need_state"] for need in needs(database)] == ["done"]
    assert promises(client) == []


def test_a_visit_that_says_another_urgency_says_it_of_its_needs(client: TestClient, database: Database) -> None:
    visit = visit_change("a visit", needs=["meal_delivery", "legal_aid"], urgency="days")
    log_visits(database, ALICE, visit)
    push(database, ALICE, done("seen to", need_id(visit, "legal_aid")))
    edit = replace(visit, change_id=made_up_id("sooner"), base=visit.change_id, set={"urgency": "h24"})
    answered = replace(edit, change_id=made_up_id("answered"), base=edit.change_id, set={"urgency": "info"})

    log_visits(database, ALICE, edit)
    assert promises(client) == ["送餐 · 24小时内"]
    assert {need["urgency"] for need in needs(database)} == {"h24"}
    assert sorted(need["need_state"] for need in needs(database)) == ["done", "open"]
    log_visits(database, ALICE, answered)
    assert promises(client) == []
    log_visits(database, ALICE, replace(answered, change_id=made_up_id("not answered"), set={"urgency": "h24"}))
    assert promises(client) == ["送餐 · 24小时内", "法律援助 · 24小时内"]  # no more answered: both are promised anew


def test_a_need_goes_with_the_tick_or_the_visit_that_opened_it(client: TestClient, database: Database) -> None:
    visit = visit_change("a visit", needs=["meal_delivery", "legal_aid"], urgency="days")
    log_visits(database, ALICE, visit)
    edit = replace(visit, change_id=made_up_id("unticked"), base=visit.change_id, set={"needs": ["legal_aid"]})
    again = replace(edit, change_id=made_up_id("ticked"), base=edit.change_id, set={"needs": visit.set["needs"]})
    gone = replace(edit, change_id=made_up_id("gone"), base=again.change_id, action=Action.VOID, set={})

    log_visits(database, ALICE, edit)
    assert promises(client) == ["法律援助 · 3–5天"]
    log_visits(database, ALICE, again)
    assert len(promises(client)) == 2
    log_visits(database, ALICE, gone)
    assert promises(client) == []


def test_a_need_that_was_seen_to_before_there_was_a_network_is_done(client: TestClient, database: Database) -> None:
    visit = visit_change("a visit", needs=["meal_delivery"], urgency="h24")
    opened = str(uuid5(UUID(visit.change_id), "meal_delivery"))  # as the phone reckons

    results = push(database, ALICE, visit, done("a tap", need_id(visit, "meal_delivery"), base=opened))

    assert [result.outcome for result in results] == [Outcome.ACCEPTED, Outcome.ACCEPTED]
    assert [need["need_state"] for need in needs(database)] == ["done"]
    assert promises(client) == []


def test_s10_a_need_ticked_at_the_door_is_a_request_with_everything_in_it(
    client: TestClient, database: Database
) -> None:
    """Household, people, whom to call and the words: all of it from the visit and the household's file."""
    file = {"phone": "000-0000-0101", "contact_name": "示例女儿", "contact_phone": "000-0000-0102"}
    edit = Change(made_up_id("the file"), 0, "household", RED_DOOR, Action.PUT, 1, file, NOW, 1)
    database.write(lambda session: accept_changes(session, server_author(COMMUNITY_ID), [edit], NOW))
    note = "<b>要少盐</b>，周三中午在家。"
    early = visit_change("early", needs=["legal_aid"], urgency="days", door=GREEN_DOOR)
    late = visit_change("late", needs=["meal_delivery"], urgency="h24", note=note)
    log_visits(database, ALICE, early, late)
    log_visits(database, BOB, visit_change("again", needs=["meal_delivery"], urgency="h24", note="还是少盐。"))
    client.cookies.set(cookie_name(client.app.state.settings), sign_in(database, COORDINATOR))  # type: ignore[attr-defined]

    page = client.get("/coordinator/needs").text

    urgent, ordinary = re.findall(r"<section.*?</section>", page, re.DOTALL)
    told_by = ("Alice", "&lt;b&gt;要少盐&lt;/b&gt;，周三中午在家。") if "Alice" in urgent else ("Bob", "还是少盐。")
    for words in ("送餐 · 24小时内", "2号楼1单元101", "示例居民0001", "示例女儿", *told_by):
        assert words in urgent
    assert 'href="tel:000-0000-0101"' in urgent
    assert 'href="tel:000-0000-0102"' in urgent
    assert "法律援助 · 3–5天" in ordinary

    (need,) = re.findall(r'name="need" value="([^"]*)"', urgent)
    for _ in range(2):  # a double tap
        told = {"need": need, "need_state": "done"}
        page = client.post("/coordinator/needs", data=told, headers=SAME_ORIGIN).text
    assert "送餐" not in page
    assert "法律援助" in page
    assert [each["need_state"] for each in needs(database) if each["service"] == "meal_delivery"] == ["done", "done"]
    page = client.post("/coordinator/needs", data={"need": need, "need_state": "open"}, headers=SAME_ORIGIN).text
    assert page.count("送餐 · 24小时内") == 1
    assert held(database) == 0


def test_a_need_that_went_with_its_visit_is_not_called_done(client: TestClient, database: Database) -> None:
    visit = visit_change("visit", needs=["meal_delivery"], urgency="h24")
    log_visits(database, ALICE, visit)
    withdrawn = Change(made_up_id("withdrawn"), 0, "visit", visit.record_id, Action.VOID, 1, {}, NOW, 1)
    push(database, ALICE, withdrawn)
    client.cookies.set(cookie_name(client.app.state.settings), sign_in(database, COORDINATOR))  # type: ignore[attr-defined]

    told = {"need": need_id(visit, "meal_delivery"), "need_state": "done"}
    page = client.post("/coordinator/needs", data=told, headers=SAME_ORIGIN).text

    assert "已经不在这里了" in page
    assert 'class="saved"' not in page


def held(database: Database) -> int:
    return database.read(lambda session: held_count(session, COORDINATOR))


@pytest.mark.parametrize("is_amended_first", [False, True])
def test_a_need_that_is_seen_to_in_the_push_that_amends_its_visit_is_seen_to(
    database: Database, is_amended_first: bool
) -> None:
    visit = visit_change("a visit", needs=["meal_delivery"], urgency="h24")
    log_visits(database, ALICE, visit)
    tap = done("a tap", need_id(visit, "meal_delivery"), base=visit.change_id)
    amended = visit_change("a visit", base=visit.change_id, urgency="days")

    results = push(database, ALICE, *([amended, tap] if is_amended_first else [tap, amended]))

    assert Outcome.HELD not in [result.outcome for result in results]
    (need,) = needs(database)
    assert (need["need_state"], need["urgency"]) == ("done", "days")


@pytest.mark.parametrize("pushes", [1, 2])
def test_a_need_of_a_visit_that_was_withdrawn_stays_withdrawn_whatever_was_tapped_of_it(
    database: Database, pushes: int
) -> None:
    """Until its visit stands again."""
    visit = visit_change("a visit", needs=["meal_delivery"], urgency="h24")
    log_visits(database, ALICE, visit)
    need = need_id(visit, "meal_delivery")
    withdrawn = Change(made_up_id("gone"), 0, "visit", visit.record_id, Action.VOID, visit.change_id, {}, NOW, 1)
    taps = [done("a tap", need, base=1), done("another", need, state="open", base=made_up_id("a tap"))]
    log_visits(database, ALICE, withdrawn)

    together = [taps] if pushes == 1 else [[tap] for tap in taps]
    results = [result for each in together for result in push(database, BOB, *each)]

    assert Outcome.HELD not in [result.outcome for result in results]
    assert needs(database) == []
    back = visit_change("a visit", base=withdrawn.change_id, note="示例：没有记错")
    log_visits(database, ALICE, back)
    assert [each["need_state"] for each in needs(database)] == ["open"]


@pytest.mark.parametrize("is_late", [False, True])
def test_a_promise_that_was_kept_is_kept_when_its_visit_comes_back(database: Database, is_late: bool) -> None:
    """Also where the word that it was came while the visit was withdrawn."""
    visit = visit_change("a visit", needs=["meal_delivery"], urgency="h24")
    log_visits(database, ALICE, visit)
    tap = done("a tap", need_id(visit, "meal_delivery"), base=2**40)  # she saw all of it
    withdrawn = Change(made_up_id("gone"), 0, "visit", visit.record_id, Action.VOID, visit.change_id, {}, NOW, 1)
    for who, change in [(ALICE, withdrawn), (BOB, tap)] if is_late else [(BOB, tap), (ALICE, withdrawn)]:
        push(database, who, change)

    log_visits(database, ALICE, visit_change("a visit", base=withdrawn.change_id, note="示例：没有记错"))

    assert [(each["need_state"], each["urgency"]) for each in needs(database)] == [("done", "h24")]


def test_a_change_id_that_somebody_made_up_for_a_need_stops_no_push(database: Database) -> None:
    visit = visit_change("a visit", needs=["meal_delivery"], urgency="h24")
    made_up = done("made up", made_up_id("nothing"))
    made_up = replace(made_up, change_id=str(uuid5(UUID(visit.change_id), "meal_delivery")))
    push(database, BOB, made_up)

    (result, beside) = push(database, ALICE, visit, visit_change("another"))

    assert (result.outcome, beside.outcome) == (Outcome.ACCEPTED, Outcome.ACCEPTED)


def test_a_need_whose_id_somebody_foresaw_is_put_before_a_coordinator(database: Database) -> None:
    """It was ticked, and stood nowhere."""
    visit = visit_change("a visit")
    log_visits(database, ALICE, visit)
    used = replace(visit_change("odd"), record_id=need_id(visit, "meal_delivery"))
    log_visits(database, BOB, used)

    (result,) = push(database, ALICE, visit_change("a visit", base=visit.change_id, needs=["meal_delivery"]))

    (held,) = database.read(lambda session: held_changes(session, COORDINATOR, page=1))
    assert (result.outcome, needs(database)) == (Outcome.ACCEPTED, [])
    assert (held.change.kind, held.change.person_id, held.change.code) == ("need", ALICE.id, "bad_change")
    assert json.loads(held.change.fields)["service"] == "meal_delivery"


def test_two_who_did_it_agree_and_two_who_disagree_are_asked(database: Database) -> None:
    visit = visit_change("a visit", needs=["meal_delivery"], urgency="h24")
    log_visits(database, ALICE, visit)
    need = need_id(visit, "meal_delivery")

    (first,) = push(database, ALICE, done("first", need, base=1))
    (same,) = push(database, BOB, done("same", need, base=1))
    (other,) = push(database, BOB, done("other", need, state="open", base=1))

    assert (first.outcome, same.outcome, other.outcome) == (Outcome.ACCEPTED, Outcome.MERGED, Outcome.CONFLICT)


@pytest.mark.parametrize(
    ("who", "fields", "code"),
    [
        (CHARLIE, {}, Held.NOT_IN_SCOPE),
        (BOB, {"urgency": "info"}, Held.NOT_ALLOWED),
        (BOB, {"state": "finished"}, Held.BAD_FIELD),
    ],
)
def test_nobody_says_more_of_a_need_than_that_it_is_done(
    database: Database, who: Person, fields: dict[str, str], code: Held
) -> None:
    visit = visit_change("a visit", needs=["meal_delivery"], urgency="h24")
    log_visits(database, ALICE, visit)

    (result,) = push(database, who, done("a tap", need_id(visit, "meal_delivery"), **fields))

    assert (result.outcome, result.code) == (Outcome.HELD, code.value)
    assert [need["need_state"] for need in needs(database)] == ["open"]
