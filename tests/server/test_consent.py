"""Consent that is given or withdrawn at a door: the household says so from then on, and the more cautious word wins."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import pytest
from sqlmodel import Session
from starlette.testclient import TestClient

from server import migrations
from server.accepting import accept_changes, principal_author
from server.app import create_app
from server.conflicts import Choice, open_conflicts, resolve
from server.database import Database
from server.identifiers import uuid7
from server.models import Community
from server.sessions import cookie_name
from server.settings import Settings
from server.store import SqlStore
from sync.changes import Action, Change, Outcome, Record
from sync.engine import page
from sync.store import Position
from tests.people import (
    ALICE,
    BOB,
    CHARLIE,
    COMMUNITY_ID,
    COORDINATOR,
    FULL_DOOR,
    GREEN_DOOR,
    NOW,
    ROUND_ID,
    Person,
    build_world,
    log_visits,
    made_up_id,
    sign_in,
    visit_change,
)

DAY = 86_400_000


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path / 'linli.db'}"
    migrations.upgrade(url)
    made = Database(url)
    build_world(made)
    yield made
    made.close()


def record(database: Database, record_id: str) -> Record:
    return database.read(lambda session: SqlStore(session).records(COMMUNITY_ID, [record_id])[record_id])


def consent(database: Database, door: str) -> Any:
    return record(database, door).fields["consent_state"]


def asks(database: Database) -> list[tuple[Any, Any]]:
    """What coordinators are asked to decide: what is shown, and what else was said."""
    found = database.read(lambda session: open_conflicts(session, COORDINATOR))
    return [(each.current, each.proposed) for each in found]


def log(database: Database, who: Person, name: str, door: str, said: str, *, day: int = 0, **more: Any) -> Change:
    """A visit at which this was said about consent, so many days from now by the phone's clock; it arrives now."""
    made = replace(visit_change(name, door=door, consent_state=said, **more), made_at=NOW + day * DAY)
    log_visits(database, who, made, now=NOW + 30 * DAY)
    return made


def amend(database: Database, name: str, *, day: int = 0, **fields: Any) -> None:
    base = record(database, made_up_id(name)).revision
    made = replace(visit_change(name, base=base, **fields), made_at=NOW + day * DAY)
    log_visits(database, ALICE, made, now=NOW + 30 * DAY)


def take_back(database: Database, who: Person, name: str) -> None:
    visit = record(database, made_up_id(name))
    void = Change(uuid7(), 0, "visit", visit.record_id, Action.VOID, visit.revision, {}, NOW, 1)
    log_visits(database, who, void, now=NOW + 30 * DAY)


def test_what_is_said_at_the_door_stays_with_the_household(database: Database) -> None:
    log(database, ALICE, "gives it", GREEN_DOOR, "full")
    log(database, ALICE, "withdraws it", FULL_DOOR, "withdrawn")

    assert (consent(database, GREEN_DOOR), consent(database, FULL_DOOR)) == ("full", "withdrawn")
    assert asks(database) == []


def test_a_visit_that_says_what_is_known_writes_no_household(database: Database) -> None:
    before = record(database, FULL_DOOR)

    log(database, ALICE, "as ever", FULL_DOOR, "full")
    log_visits(database, ALICE, visit_change("nobody home", door=FULL_DOOR, outcome="no_answer"))

    assert record(database, FULL_DOOR) == before


def test_one_visit_sent_twice_writes_its_household_once(database: Database) -> None:
    visit = log(database, ALICE, "a visit", GREEN_DOOR, "full")
    once = record(database, GREEN_DOOR)

    log_visits(database, ALICE, visit)

    assert record(database, GREEN_DOOR) == once


def test_phones_of_the_scope_pull_the_household_anew_and_no_other(database: Database) -> None:
    def pulled(who: Person, after: Position | None) -> tuple[dict[str, Record], Position]:
        def work(session: Session) -> tuple[dict[str, Record], Position]:
            epoch = session.get_one(Community, COMMUNITY_ID).epoch
            found = page(SqlStore(session), author=who.author(), epoch=epoch, after=after, limit=100).slice
            return {each.record_id: each for each in found.records}, found.end

        return database.read(work)

    _, bobs = pulled(BOB, None)
    _, charlies = pulled(CHARLIE, None)

    log(database, ALICE, "a visit", FULL_DOOR, "withdrawn")

    assert pulled(BOB, bobs)[0][FULL_DOOR].fields["consent_state"] == "withdrawn"
    assert pulled(CHARLIE, charlies)[0] == {}


def test_somebody_without_the_door_changes_nothing(database: Database) -> None:
    before = record(database, FULL_DOOR)

    visit = visit_change("not his", door=FULL_DOOR, consent_state="withdrawn")
    (result,) = log_visits(database, CHARLIE, visit)

    assert result.outcome is Outcome.HELD
    assert record(database, FULL_DOOR) == before


# Late, and at the same time


def test_a_withdrawal_that_seems_older_stands_until_somebody_decides(database: Database) -> None:
    """By the phones' clocks, which may be wrong: no clock makes less of a withdrawal."""
    log(database, ALICE, "newer", GREEN_DOOR, "full", day=5)

    log(database, BOB, "older", GREEN_DOOR, "withdrawn", day=2)

    assert consent(database, GREEN_DOOR) == "withdrawn"
    assert len(asks(database)) == 1


def test_a_clock_that_is_ahead_does_not_outlast_what_is_said_later(database: Database) -> None:
    log(database, ALICE, "years ahead", GREEN_DOOR, "full", day=3000)

    made = replace(visit_change("later", door=GREEN_DOOR, consent_state="withdrawn"), made_at=NOW + 31 * DAY)
    log_visits(database, BOB, made, now=NOW + 31 * DAY)

    assert consent(database, GREEN_DOOR) == "withdrawn"


def test_nor_does_it_keep_consent_from_being_given(database: Database) -> None:
    made = replace(visit_change("years ahead", door=GREEN_DOOR, consent_state="basic"), made_at=NOW + 3000 * DAY)
    log_visits(database, ALICE, made, now=NOW)

    log(database, BOB, "later", GREEN_DOOR, "full", day=1)

    assert consent(database, GREEN_DOOR) == "full"


def test_a_withdrawal_that_comes_late_wins_over_what_a_phone_filled_in_by_itself(database: Database) -> None:
    log(database, BOB, "as his phone had it", FULL_DOOR, "full", day=5)

    log(database, ALICE, "withdrawn before", FULL_DOOR, "withdrawn", day=2)

    assert consent(database, FULL_DOOR) == "withdrawn"


def test_consent_that_comes_late_does_not_loosen_what_was_said_since(database: Database) -> None:
    log(database, BOB, "only the visit", GREEN_DOOR, "basic", day=5)

    log(database, ALICE, "agreed before", GREEN_DOOR, "full", day=2)

    assert consent(database, GREEN_DOOR) == "basic"


def test_a_phone_that_has_not_heard_does_not_undo_a_withdrawal(database: Database) -> None:
    log(database, ALICE, "withdrawn", FULL_DOOR, "withdrawn", day=1)

    log(database, BOB, "his phone still says full", FULL_DOOR, "full", day=2)

    assert consent(database, FULL_DOOR) == "withdrawn"
    assert asks(database) == [("withdrawn", "full")], "perhaps it was given again: somebody decides"


def test_nor_do_two_of_its_visits(database: Database) -> None:
    """What the first was asked about is nothing that the phone has heard of."""
    log(database, ALICE, "withdrawn", FULL_DOOR, "withdrawn", day=1)

    log(database, BOB, "his phone still says full", FULL_DOOR, "full", day=2)
    log(database, BOB, "and says it again", FULL_DOOR, "full", day=3)

    assert consent(database, FULL_DOOR) == "withdrawn"
    assert asks(database) == [("withdrawn", "full")] * 2


def test_a_coordinator_decides_whether_it_was_given_again(database: Database) -> None:
    log(database, ALICE, "withdrawn", FULL_DOOR, "withdrawn", day=1)
    log(database, BOB, "given again", FULL_DOOR, "full", day=2)

    def decide(session: Session) -> None:
        (conflict,) = open_conflicts(session, COORDINATOR)
        base = conflict.record.revision
        resolve(session, COORDINATOR, conflict, Choice.PROPOSED, change_id=uuid7(), base=base, now=NOW + 30 * DAY)

    database.write(decide)

    assert consent(database, FULL_DOOR) == "full"
    assert asks(database) == []


def test_a_coordinators_newer_word_stands(database: Database) -> None:
    base = record(database, GREEN_DOOR).revision
    word = Change(
        uuid7(), 0, "household", GREEN_DOOR, Action.PUT, base, {"consent_state": "withdrawn"}, NOW + 3 * DAY, 1
    )
    database.write(lambda session: accept_changes(session, principal_author(COORDINATOR), [word], NOW + 3 * DAY))

    log(database, ALICE, "before that", GREEN_DOOR, "full", day=2)

    assert consent(database, GREEN_DOOR) == "withdrawn"


def test_two_answers_of_one_upload_are_taken_in_the_order_they_were_given(database: Database) -> None:
    answers = [("second", "withdrawn", 2), ("first", "full", 1)]
    made = [
        replace(visit_change(name, door=GREEN_DOOR, consent_state=said), made_at=NOW + day * DAY)
        for name, said, day in answers
    ]

    log_visits(database, ALICE, *made, now=NOW + 30 * DAY)

    assert consent(database, GREEN_DOOR) == "withdrawn"


# Amended, and taken back


def test_an_amended_answer_takes_the_place_of_its_own(database: Database) -> None:
    log(database, ALICE, "a visit", GREEN_DOOR, "full", day=1)

    amend(database, "a visit", day=2, consent_state="basic")

    assert consent(database, GREEN_DOOR) == "basic"
    assert asks(database) == []


def test_no_colleague_keeps_a_withdrawal_from_the_household_by_an_id_that_she_foresaw(database: Database) -> None:
    """What the server wrote had an id made of the visit's, which her phone holds as well."""
    visit = log(database, ALICE, "a visit", FULL_DOOR, "full")
    foreseen = f"consent_state {record(database, FULL_DOOR).revision}"
    used = replace(visit_change("odd"), change_id=str(uuid5(UUID(visit.record_id), foreseen)))
    log_visits(database, BOB, used)

    amend(database, "a visit", day=2, consent_state="withdrawn")

    assert consent(database, FULL_DOOR) == "withdrawn"


def test_an_amendment_of_an_older_visit_does_not_overturn_a_newer_one(database: Database) -> None:
    log(database, ALICE, "older", GREEN_DOOR, "basic", day=1)
    log(database, BOB, "newer", GREEN_DOOR, "withdrawn", day=2)

    amend(database, "older", day=9, consent_state="full")

    assert consent(database, GREEN_DOOR) == "withdrawn"


def test_an_amendment_of_something_else_moves_no_household(database: Database) -> None:
    log(database, ALICE, "a visit", GREEN_DOOR, "full")
    before = record(database, GREEN_DOOR)

    amend(database, "a visit", note="补充")

    assert record(database, GREEN_DOOR) == before


@pytest.mark.parametrize("is_void", [True, False])
def test_an_answer_that_is_taken_back_was_never_given(database: Database, is_void: bool) -> None:
    log(database, ALICE, "the wrong door", FULL_DOOR, "withdrawn")

    if is_void:
        base = record(database, made_up_id("the wrong door")).revision
        void = Change(uuid7(), 0, "visit", made_up_id("the wrong door"), Action.VOID, base, {}, NOW, 1)
        log_visits(database, ALICE, void)
    else:
        amend(database, "the wrong door", outcome="no_answer", consent_state="")

    assert consent(database, FULL_DOOR) == "full"


@pytest.mark.parametrize("pushes", [1, 2])
def test_an_answer_that_is_brought_back_was_given_after_all(database: Database, pushes: int) -> None:
    log(database, ALICE, "the right door", FULL_DOOR, "withdrawn")
    visit = record(database, made_up_id("the right door"))
    void = Change(uuid7(), 1, "visit", visit.record_id, Action.VOID, visit.revision, {}, NOW, 1)
    back = replace(
        void, change_id=uuid7(), device_sequence=2, action=Action.PUT, base=void.change_id, set={"note": "示例"}
    )

    for part in [[void, back]] if pushes == 1 else [[void], [back]]:
        log_visits(database, ALICE, *part)

    assert not record(database, visit.record_id).is_void
    assert consent(database, FULL_DOOR) == "withdrawn"


def test_an_answer_that_was_brought_back_once_is_not_given_again_with_every_word_about_its_visit(
    database: Database,
) -> None:
    log(database, ALICE, "the right door", GREEN_DOOR, "withdrawn")
    visit = record(database, made_up_id("the right door"))
    void = Change(uuid7(), 1, "visit", visit.record_id, Action.VOID, visit.revision, {}, NOW, 1)
    log_visits(database, ALICE, void, now=NOW + 30 * DAY)
    amend(database, "the right door", note="示例")
    log(database, ALICE, "given again", GREEN_DOOR, "full", day=2)

    amend(database, "the right door", note="示例二", day=3)

    assert consent(database, GREEN_DOOR) == "full"
    assert asks(database) == []


def test_a_withdrawal_that_was_held_gives_no_answer_anew(database: Database) -> None:
    log(database, ALICE, "hers", FULL_DOOR, "withdrawn")
    visit = record(database, made_up_id("hers"))
    void = Change(uuid7(), 1, "visit", visit.record_id, Action.VOID, visit.revision, {}, NOW, 1)
    (held,) = log_visits(database, BOB, void, now=NOW + 30 * DAY)
    log(database, ALICE, "given again", FULL_DOOR, "full", day=2)
    before = (consent(database, FULL_DOOR), asks(database))

    amend(database, "hers", note="示例", day=3)

    assert held.outcome is Outcome.HELD
    assert (consent(database, FULL_DOOR), asks(database)) == before


@pytest.mark.parametrize("is_void", [True, False])
def test_consent_never_falls_back_to_what_was_itself_taken_back(database: Database, is_void: bool) -> None:
    log(database, ALICE, "the wrong door", GREEN_DOOR, "full", day=1)
    log(database, BOB, "the wrong door, too", GREEN_DOOR, "withdrawn", day=2)
    if is_void:
        take_back(database, ALICE, "the wrong door")
    else:
        amend(database, "the wrong door", day=3, consent_state="basic")
    meanwhile = consent(database, GREEN_DOOR)

    take_back(database, BOB, "the wrong door, too")

    assert (meanwhile, consent(database, GREEN_DOOR)) == ("withdrawn", "basic")


def test_what_it_fell_back_to_goes_with_the_visit_that_said_it(database: Database) -> None:
    log(database, ALICE, "the wrong door", GREEN_DOOR, "full", day=1)
    log(database, BOB, "the wrong door, too", GREEN_DOOR, "withdrawn", day=2)
    take_back(database, BOB, "the wrong door, too")
    meanwhile = consent(database, GREEN_DOOR)

    take_back(database, ALICE, "the wrong door")

    assert (meanwhile, consent(database, GREEN_DOOR)) == ("full", "basic")


def test_two_answers_taken_back_in_one_upload_were_never_given(database: Database) -> None:
    log(database, ALICE, "the wrong door", GREEN_DOOR, "full", day=1)
    log(database, ALICE, "the wrong door, too", GREEN_DOOR, "withdrawn", day=2)
    visits = [record(database, made_up_id(name)) for name in ("the wrong door", "the wrong door, too")]

    void = [Change(uuid7(), 0, "visit", each.record_id, Action.VOID, each.revision, {}, NOW, 1) for each in visits]
    log_visits(database, ALICE, *void, now=NOW + 30 * DAY)

    assert consent(database, GREEN_DOOR) == "basic"


@pytest.mark.parametrize("day", [1, 3])
def test_a_withdrawal_that_another_visit_repeats_stands_when_the_first_is_taken_back(
    database: Database, day: int
) -> None:
    log(database, ALICE, "withdrawn", GREEN_DOOR, "withdrawn", day=2)
    log(database, BOB, "and again", GREEN_DOOR, "withdrawn", day=day)

    take_back(database, ALICE, "withdrawn")
    meanwhile = consent(database, GREEN_DOOR)
    take_back(database, BOB, "and again")

    assert (meanwhile, consent(database, GREEN_DOOR)) == ("withdrawn", "basic")
    assert asks(database) == []


def test_what_a_visit_said_before_a_coordinators_word_repeats_nothing_after_it(database: Database) -> None:
    log(database, ALICE, "withdrawn", FULL_DOOR, "withdrawn", day=1)
    base = record(database, FULL_DOOR).revision
    word = Change(uuid7(), 0, "household", FULL_DOOR, Action.PUT, base, {"consent_state": "full"}, NOW + 2 * DAY, 1)
    database.write(lambda session: accept_changes(session, principal_author(COORDINATOR), [word], NOW + 2 * DAY))
    log(database, BOB, "the wrong door", FULL_DOOR, "basic", day=3)

    take_back(database, BOB, "the wrong door")

    assert consent(database, FULL_DOOR) == "full"


def test_what_was_taken_back_speaks_against_no_answer_that_comes_late(database: Database) -> None:
    log(database, BOB, "the wrong door", GREEN_DOOR, "withdrawn", day=5)
    take_back(database, BOB, "the wrong door")

    log(database, ALICE, "agreed before", GREEN_DOOR, "full", day=2)

    assert consent(database, GREEN_DOOR) == "full"


def test_a_phone_that_heard_what_was_taken_back_since_gives_no_consent_anew(database: Database) -> None:
    log(database, ALICE, "the wrong door", GREEN_DOOR, "full", day=1)
    take_back(database, ALICE, "the wrong door")

    log(database, BOB, "his phone still says full", GREEN_DOOR, "full", day=2)

    assert consent(database, GREEN_DOOR) == "basic"
    assert asks(database) == [("basic", "full")]


# At the next door


def test_one_tap_fills_in_health_only_while_consent_covers_it(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    migrations.upgrade(settings.database_url)
    app = create_app(settings, clock=lambda: NOW)
    with TestClient(app, base_url=settings.public_url) as client:
        database: Database = app.state.database
        build_world(database)
        client.cookies.set(cookie_name(settings), sign_in(database, ALICE))

        def one_tap(name: str, door: str) -> dict[str, Any]:
            form = {"quick": "1", "outcome": "met", "all_good": "1"}
            ids = {"record_id": made_up_id(name), "change_id": made_up_id(f"change of {name}"), "base": "0"}
            path = f"/rounds/{ROUND_ID}/doors/{door}/visit"
            headers = {"Sec-Fetch-Site": "same-origin"}
            answer = client.post(path, data=form | ids, headers=headers, follow_redirects=False)
            assert answer.status_code == 303
            return dict(record(database, made_up_id(name)).fields)

        assert one_tap("before", FULL_DOOR)["wb_health"] == "good"

        log_visits(database, ALICE, visit_change("said", door=FULL_DOOR, consent_state="withdrawn"))
        after = one_tap("after", FULL_DOOR)

    assert (after["consent_state"], after["wb_safety"]) == ("withdrawn", "good")
    assert not {"wb_health", "wb_mood"} & after.keys()
