"""The time that a phone says is data about a visit: it orders nothing, loses nothing, and no hour of the day is better."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlmodel import Session, col, select

from server import migrations
from server.database import Database
from server.models import Record
from server.scope import scoped
from sync.changes import Outcome
from tests.people import ALICE, COORDINATOR, NOW, build_world, log_visits, visit_change

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


def test_p22_a_wrong_clock_loses_no_visit_and_orders_none(database: Database) -> None:
    changes = [replace(visit_change(f"at {made_at}"), made_at=made_at) for made_at in CLOCKS]

    results = log_visits(database, ALICE, *changes)

    assert {result.outcome for result in results} == {Outcome.ACCEPTED}
    assert [record.made_at for record in kept(database)] == CLOCKS  # as they came, and as they were said


@pytest.mark.parametrize("hour", [3, 10, 20.5])
def test_s09_no_hour_of_the_day_is_better_than_another(database: Database, hour: float) -> None:
    made_at = NOW - 9 * 3_600_000 + round(hour * 3_600_000)
    (result,) = log_visits(database, ALICE, replace(visit_change("a visit"), made_at=made_at))

    (record,) = kept(database)

    assert (result.outcome, result.code, result.conflicts) == (Outcome.ACCEPTED, "", ())
    assert record.review == "pending"
