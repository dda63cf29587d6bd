"""The coordinator's queries, and rounds, on both databases."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlmodel import Session

from server import migrations
from server.accepting import accept_changes, principal_author
from server.database import Database
from server.held import held_changes, held_count
from server.loading import arrange
from server.page_table import Load
from server.rounds import assign_round, withdraw_round
from server.store import SqlStore
from server.visits import HISTORY_SHOWN, Filter, Found, Tab, history_of, visits_found
from sync.changes import Change, Outcome
from sync.store import Position, Slice
from tests.people import (
    ALICE,
    BOB,
    CHARLIE,
    CHARLIES_DOOR,
    CHARLIES_ROUND_ID,
    COMMUNITY_ID,
    COORDINATOR,
    DOORS,
    FULL_DOOR,
    GREEN_DOOR,
    NOW,
    RED_DOOR,
    ROUND_ID,
    TODAY,
    add_round,
    build_world,
    log_visits,
    made_up_id,
    visit_change,
)
from tests.postgres import new_database

SECOND_ROUND_ID = made_up_id("a second round of Alice")
TOMORROW = "2026-11-24"


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path / 'linli.db'}" if request.param == "sqlite" else new_database()
    migrations.upgrade(url)
    made = Database(url)
    build_world(made)
    yield made
    made.close()


def find(database: Database, wanted: Filter) -> Found:
    return database.read(lambda session: visits_found(session, COORDINATOR, wanted))


def test_visits_are_found_by_what_is_in_them(database: Database) -> None:
    log_visits(
        database,
        ALICE,
        visit_change("plain", danger=["none"], needs=["none"]),
        visit_change("red", outcome="no_answer"),
        visit_change("need", needs=["meal_delivery"], urgency="days", door=FULL_DOOR),
        visit_change("danger", danger=["fall"], needs=["other"], urgency="h24", door=GREEN_DOOR),
        visit_change("green", outcome="no_answer", door=GREEN_DOOR),
    )

    everything = find(database, Filter())
    no_answers = find(database, Filter(outcome="no_answer"))

    assert [(visit["id"], visit["attention"]) for visit in everything.visits] == [
        (made_up_id("danger"), "danger"),
        (made_up_id("red"), "red_no_answer"),
        (made_up_id("need"), "need"),
        (made_up_id("green"), ""),
        (made_up_id("plain"), ""),
    ]
    assert everything.counts == {"pending": 5, "all": 5}
    assert [visit["household"]["door"] for visit in no_answers.visits] == ["2-1-101", "2-1-102"]


def test_a_review_that_an_amendment_overtook_waits_again(database: Database) -> None:
    (logged,) = log_visits(database, ALICE, visit_change("visit"))
    reviewed = visit_change("visit", base=logged.revision, review_state="approved", review_note="")
    database.write(lambda session: accept_as_coordinator(session, reviewed))
    approved = find(database, Filter(tab=Tab.APPROVED))

    log_visits(database, ALICE, visit_change("visit", base=logged.revision + 1, note="补充"))

    assert [visit["id"] for visit in approved.visits] == [made_up_id("visit")]
    assert find(database, Filter()).counts == {"pending": 1, "all": 1}


def test_a_visit_s_history_is_all_that_stands_and_the_newest_of_what_is_held(database: Database) -> None:
    (logged,) = log_visits(database, ALICE, visit_change("visit"))
    held = [visit_change("visit", base=logged.revision, note=f"{each}") for each in range(HISTORY_SHOWN + 1)]
    for minute, change in enumerate(held, start=1):
        log_visits(database, BOB, change, now=NOW + minute * 60_000)

    history = database.read(lambda session: history_of(session, COORDINATOR, made_up_id("visit")))

    wanted = [visit_change("visit"), *held[1:]]
    assert [change.change_id for change in history] == [change.change_id for change in wanted]


def test_of_a_visit_that_is_amended_without_end_the_newest_changes_are_shown(database: Database) -> None:
    """One phone could fill its page, with 64 KB a change."""
    (logged,) = log_visits(database, ALICE, visit_change("visit"))
    edits = [visit_change("visit", base=logged.revision + each, note=f"{each}") for each in range(HISTORY_SHOWN + 1)]
    log_visits(database, ALICE, *edits)

    history = database.read(lambda session: history_of(session, COORDINATOR, made_up_id("visit")))

    assert [change.change_id for change in history] == [change.change_id for change in edits[1:]]


@pytest.mark.parametrize("tab", list(Tab))
def test_the_list_reads_no_more_than_the_index_holds(database: Database, tab: Tab) -> None:
    if not database.is_sqlite:
        pytest.skip("PostgreSQL plans by what is in the table; the statements and the indexes are the same")
    asked: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        asked.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    find(database, Filter(tab=tab))
    event.remove(database.engine, "before_cursor_execute", note)

    listing, counting = database.read(
        lambda session: [plan_of(session, *each) for each in asked if "SELECT" in each[0]]
    )
    assert "record USING INDEX record_" in listing
    assert "record USING COVERING INDEX record_review" in counting


def plan_of(session: Session, statement: str, parameters: Any) -> str:
    rows = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
    return "\n".join(row[-1] for row in rows)


def accept_as_coordinator(session: Session, change: Change) -> None:
    (result,) = accept_changes(session, principal_author(COORDINATOR), [change], NOW)
    assert result.outcome is Outcome.ACCEPTED


def test_held_changes_are_counted_and_found(database: Database) -> None:
    log_visits(database, ALICE, visit_change("mine"), visit_change("not mine", door=CHARLIES_DOOR))

    count, found = database.read(
        lambda session: (held_count(session, COORDINATOR), held_changes(session, COORDINATOR, page=1))
    )

    assert count == 1
    assert [(each.change.record_id, each.change.code) for each in found] == [(made_up_id("not mine"), "not_in_scope")]


# Rounds


def pull(database: Database, after: Position = Position(0)) -> Slice:  # noqa: B008 - frozen
    return database.read(lambda session: SqlStore(session).slice(COMMUNITY_ID, ALICE.id, after, 100))


def withdraw(database: Database, round_id: str, *, today: str = TODAY) -> None:
    database.write(
        lambda session: withdraw_round(
            session, community_id=COMMUNITY_ID, round_id=round_id, person_id=ALICE.id, now=NOW + 1, today=today
        )
    )


def test_assigning_a_round_brings_its_doors_to_the_phone_once(database: Database) -> None:
    before = pull(database)

    database.write(lambda session: assign_charlies_round_to_alice(session))
    after = pull(database, before.end)
    database.write(lambda session: assign_charlies_round_to_alice(session))

    assert {record.record_id for record in before.records} == {ROUND_ID, *DOORS}
    assert {record.record_id for record in after.records} == {CHARLIES_ROUND_ID, CHARLIES_DOOR}
    assert pull(database, after.end).records == []


def assign_charlies_round_to_alice(session: Session) -> None:
    assign_round(
        session,
        community_id=COMMUNITY_ID,
        round_id=CHARLIES_ROUND_ID,
        household_ids=[CHARLIES_DOOR],
        volunteer_ids=[ALICE.id, CHARLIE.id],
    )


def test_withdrawing_a_round_keeps_the_doors_of_another(database: Database) -> None:
    database.write(lambda session: add_round(session, SECOND_ROUND_ID, "又一轮", [RED_DOOR], [ALICE]))
    before = pull(database)

    withdraw(database, ROUND_ID)
    after = pull(database, before.end)

    assert sorted(after.purge) == sorted([ROUND_ID, GREEN_DOOR, FULL_DOOR])
    assert {record.record_id for record in pull(database).records} == {SECOND_ROUND_ID, RED_DOOR}
    withdraw(database, SECOND_ROUND_ID)
    assert pull(database).records == []


def test_withdrawing_a_round_leaves_no_door_to_one_that_is_over(database: Database) -> None:
    """Nobody takes last month's round off her list: it would cover its doors for ever. What is over itself keeps the rest."""
    database.write(lambda session: add_round(session, SECOND_ROUND_ID, "又一轮", [RED_DOOR], [ALICE]))

    withdraw(database, SECOND_ROUND_ID, today=TOMORROW)

    kept = {record.record_id for record in pull(database).records}
    assert kept == {ROUND_ID, *DOORS} - {RED_DOOR}
    withdraw(database, ROUND_ID, today=TOMORROW)
    assert pull(database).records == []


def test_a_visit_made_before_the_round_was_withdrawn_is_still_taken(database: Database) -> None:
    withdraw(database, ROUND_ID)

    (result,) = log_visits(database, ALICE, visit_change("made before"), now=NOW + 2)

    assert result.outcome is Outcome.ACCEPTED


def test_withdrawing_what_was_never_given_changes_nothing(database: Database) -> None:
    before = pull(database)

    withdraw(database, CHARLIES_ROUND_ID)
    withdraw(database, made_up_id("no round at all"))

    assert pull(database) == before


def test_what_was_withdrawn_is_no_visit_of_the_last_three() -> None:
    visits = [{"id": str(number), "made_at": number, "is_void": number > 3} for number in range(1, 6)]

    last = arrange(Load("visits", "visit", limit=2, standing=True), visits)

    assert [visit["id"] for visit in last] == ["3", "2"]
