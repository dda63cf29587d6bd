"""The time that a phone says is data about a visit: it orders nothing, loses nothing, and no hour of the day is better."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session, col, select
from starlette.testclient import TestClient

from server import migrations
from server.app import create_app
from server.database import Database
from server.models import Change as Line
from server.models import Record
from server.scope import scoped
from server.settings import Settings
from server.store import SqlStore
from sync.changes import TIME_MAX, Change, Outcome
from sync.store import VISITS_KEPT, Position
from tests.people import (
    ALICE,
    CHARLIES_DOOR,
    COMMUNITY_ID,
    COORDINATOR,
    NOW,
    RED_DOOR,
    ROUND_ID,
    build_world,
    log_visits,
    made_up_id,
    outing_change,
    sign_in,
    visit_change,
)
from tests.signing_phone import SigningPhone, message, server_key

DAY = 86_400_000
YEAR = 365 * DAY
CLOCKS = [NOW + DAY, NOW - YEAR, 0, 1, 2_147_483_648_000, NOW + YEAR, NOW - DAY, NOW]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path / 'linli.db'}"
    migrations.upgrade(url)
    made = Database(url)
    build_world(made)
    yield made
    made.close()


def kept(database: Database) -> list[Record]:
    def work(session: Session) -> list[Record]:
        statement = select(Record).where(col(Record.kind) == "visit").order_by(col(Record.revision))
        return list(session.exec(scoped(COORDINATOR, statement)))

    return database.read(work)


def history(database: Database) -> list[Line]:
    def work(session: Session) -> list[Line]:
        statement = select(Line).where(col(Line.kind) == "visit").order_by(col(Line.position))
        return list(session.exec(scoped(COORDINATOR, statement)))

    return database.read(work)


def test_p22_a_wrong_clock_loses_no_visit_and_orders_none(database: Database) -> None:
    changes = [replace(visit_change(f"at {made_at}"), made_at=made_at) for made_at in CLOCKS]

    results = log_visits(database, ALICE, *changes)

    assert {result.outcome for result in results} == {Outcome.ACCEPTED}
    assert [record.made_at for record in kept(database)] == [min(NOW, said) for said in CLOCKS]
    assert [line.made_at for line in history(database)] == CLOCKS  # as they came, and as they were said


def test_p22_visits_of_a_clock_that_is_years_ahead_do_not_stay_the_last_three_for_years(database: Database) -> None:
    ahead = [replace(visit_change(f"ahead {number}"), made_at=NOW + YEAR) for number in range(VISITS_KEPT)]
    log_visits(database, ALICE, *ahead)
    later = [replace(visit_change(f"later {number}"), made_at=NOW + DAY + number) for number in range(VISITS_KEPT)]
    log_visits(database, ALICE, *later, now=NOW + 2 * DAY)

    brought = database.read(lambda session: SqlStore(session).slice(COMMUNITY_ID, ALICE.id, Position(0), 100))

    assert {each.record_id for each in brought.records if each.kind == "visit"} == {each.record_id for each in later}


@pytest.mark.parametrize("hour", [3, 10, 20.5])
def test_s09_no_hour_of_the_day_is_better_than_another(database: Database, hour: float) -> None:
    made_at = NOW - 9 * 3_600_000 + round(hour * 3_600_000)
    (result,) = log_visits(database, ALICE, replace(visit_change("a visit"), made_at=made_at))

    (record,) = kept(database)

    assert (result.outcome, result.code, result.conflicts) == (Outcome.ACCEPTED, "", ())
    assert record.review == "pending"


# What no calendar has


NO_MOMENTS = [TIME_MAX, -TIME_MAX, 999_999_999_999_999, 2**62, -(2**62), 1e300, 0.5, True, "昨天", [NOW], {"ms": NOW}]
HER_PAGES = [
    "/today",
    f"/rounds/{ROUND_ID}/doors/{RED_DOOR}",
    f"/visits/{made_up_id('visit')}",
    f"/visits/{made_up_id('visit')}/edit",
    f"/visits/{made_up_id('visit')}/steps",
    f"/visits/{made_up_id('visit')}/withdraw",
    f"/rounds/{ROUND_ID}/nobody-home",
    "/my-visits",
    "/map",
    "/outings",
    f"/outings/{made_up_id('outing')}",
]
COORDINATORS_PAGES = [
    "/coordinator",
    "/coordinator?tab=all",
    f"/coordinator/visits/{made_up_id('visit')}",
    "/coordinator/held",
    "/coordinator/map",
    "/coordinator/map/2-1-101",
    "/coordinator/needs",
    "/coordinator/conflicts",
    "/coordinator/rounds",
    "/coordinator/devices",
]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    settings = Settings(data_dir=tmp_path)
    migrations.upgrade(settings.database_url)
    with TestClient(create_app(settings, clock=lambda: NOW), base_url=settings.public_url) as made:
        build_world(made.app.state.database)  # type: ignore[attr-defined]
        yield made


def push(client: TestClient, phone: SigningPhone, *changes: Change) -> list[str]:
    """The outcome of each."""
    database: Database = client.app.state.database  # type: ignore[attr-defined]
    key = database.read(server_key)
    numbered = [replace(change, device_sequence=number) for number, change in enumerate(changes, start=1)]
    body = message([phone.sealed(key, change) for change in numbered])
    answer = client.post("/sync", content=body, headers=phone.headers(body, origin=str(client.base_url))).json()
    return [result["outcome"] for result in answer["results"]]


@pytest.mark.parametrize("value", NO_MOMENTS, ids=repr)
def test_a_time_that_no_calendar_has_is_taken_and_breaks_no_page(client: TestClient, value: Any) -> None:
    phone = SigningPhone(ALICE)
    database: Database = client.app.state.database  # type: ignore[attr-defined]
    database.write(phone.enrol)
    made_at = value if type(value) is int and abs(value) <= TIME_MAX else NOW
    times = {"started_at": value, "ended_at": value, "danger": ["fall"], "needs": ["meal_delivery"], "urgency": "h24"}
    visit, elsewhere = visit_change("visit", **times), visit_change("elsewhere", door=CHARLIES_DOOR, **times)
    untimed = visit_change("untimed")
    outing = outing_change("outing", ALICE, went_on="2026-11-22")

    outcomes = push(client, phone, *(replace(each, made_at=made_at) for each in (visit, elsewhere, untimed, outing)))

    assert outcomes == ["accepted", "held", "accepted", "accepted"]
    for who, paths in ((ALICE, HER_PAGES), (COORDINATOR, COORDINATORS_PAGES)):
        client.cookies.set("linli-s", sign_in(database, who))
        assert {path: client.get(path).status_code for path in paths} == dict.fromkeys(paths, 200)


def test_a_form_that_was_opened_when_no_calendar_has_is_saved(client: TestClient) -> None:
    client.cookies.set("linli-s", sign_in(client.app.state.database, ALICE))  # type: ignore[attr-defined]
    form = {"opened_at": "999999999999999", "outcome": "no_answer", "consent_state": "basic"}  # the second is not asked

    answer = client.post(
        f"/rounds/{ROUND_ID}/doors/{RED_DOOR}/visit",
        data=form,
        headers={"Sec-Fetch-Site": "same-origin"},
        follow_redirects=False,
    )

    assert answer.status_code == 303


@pytest.mark.parametrize(
    ("minutes", "words"),
    [
        (12, "手机时间快了 12 分钟"),
        (-11, "手机时间慢了 11 分钟"),
        (9, ""),
        (0, ""),
        (3650 * 24 * 60, "手机时间快了 3650 天"),
        (-3 * 24 * 60, "手机时间慢了 3 天"),
    ],
)
def test_p22_what_a_phone_s_clock_is_off_by_is_measured_with_each_push_and_said(
    client: TestClient, minutes: int, words: str
) -> None:
    phone = SigningPhone(ALICE)
    database: Database = client.app.state.database  # type: ignore[attr-defined]
    database.write(phone.enrol)
    body = message([], now=NOW + minutes * 60_000)

    answer = client.post("/sync", content=body, headers=phone.headers(body, origin=str(client.base_url)))

    assert answer.status_code == 200
    client.cookies.set("linli-s", sign_in(database, COORDINATOR))
    page = client.get("/coordinator/devices").text
    assert (words in page) if words else ("手机时间" not in page)
