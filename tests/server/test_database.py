"""The writer: what waits is committed together, and each piece of work stands for itself."""

import asyncio
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session, col, select

from server import migrations
from server.database import Database
from server.identifiers import uuid7
from server.models import Community
from server.settings import sqlite_url
from server.statements import statements_of
from server.store import SqlStore
from tests.loops import in_own_loop
from tests.postgres import new_database
from tests.statements import statements


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = sqlite_url(tmp_path / "linli.db") if request.param == "sqlite" else new_database()
    migrations.upgrade(url)
    made = Database(url)
    yield made
    made.close()


def found(number: int) -> Community:
    return Community(id=number, name=f"示例社区{number}", epoch="epoch-1")


class Refused(Exception):
    pass


def test_a_look_is_at_one_moment(database: Database) -> None:
    """However much is committed between its statements."""

    def look(session: Session) -> list[int]:
        counts = []
        for number in (1, 2):
            counts.append(len(session.exec(select(Community)).all()))
            database.write(lambda other, number=number: other.add(found(number)))  # type: ignore[misc]
        return counts

    assert database.read(look) == [0, 0]
    assert database.read(lambda session: len(session.exec(select(Community)).all())) == 2


def test_who_comes_while_another_s_work_is_done_is_committed_with_it(database: Database) -> None:
    begun, go_on = threading.Event(), threading.Event()
    transactions: list[Any] = []

    def slow(session: Session) -> None:
        begun.set()
        assert go_on.wait(30)
        transactions.append(session.connection().get_transaction())

    def add(number: int, session: Session) -> None:
        session.add(found(number))
        transactions.append(session.connection().get_transaction())

    async def story() -> None:
        first = asyncio.create_task(database.write_soon(slow))
        assert await asyncio.to_thread(begun.wait, 30)
        later = asyncio.create_task(database.write_soon(partial(add, 1)))
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(first, later)

    in_own_loop(story())

    assert transactions[0] is transactions[1]
    assert database.read(lambda session: session.exec(select(Community.id)).all()) == [1]


def test_one_failure_in_a_group_takes_no_neighbour_along(database: Database) -> None:
    """They come while a slow one is at work, so that they are taken together; the second writes, and then raises."""
    begun, go_on = threading.Event(), threading.Event()
    tried: dict[int, list[Any]] = {}  # by number, the transactions

    def slow(session: Session) -> None:
        begun.set()
        assert go_on.wait(30)

    def add(number: int, session: Session) -> int:
        session.add(found(number))
        session.flush()
        tried.setdefault(number, []).append(session.connection().get_transaction())
        if number == 99:
            raise Refused
        return number

    async def story() -> list[Any]:
        first = asyncio.create_task(database.write_soon(slow))
        assert await asyncio.to_thread(begun.wait, 30)
        waiting = [asyncio.create_task(database.write_soon(partial(add, number))) for number in (1, 99, 2, 3)]
        await asyncio.sleep(0)
        go_on.set()
        await first
        return await asyncio.gather(*waiting, return_exceptions=True)

    one, refused, two, three = in_own_loop(story())

    assert (one, two, three) == (1, 2, 3)
    assert isinstance(refused, Refused)
    kept = database.read(lambda session: session.exec(select(Community.id).order_by(col(Community.id))).all())
    assert [number for number in kept if number < 100] == [1, 2, 3]
    assert tried[1][0] is tried[99][0], "they were not taken together"


def test_who_leaves_while_waiting_takes_nobody_along(database: Database) -> None:
    """One waits behind a slow piece of work and is cancelled, as when its request ends; its neighbour is written."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(session: Session) -> None:
        begun.set()
        assert go_on.wait(30)

    def add(community: Community, session: Session) -> None:
        session.add(community)

    async def story() -> tuple[bool, bool]:
        first = asyncio.create_task(database.write_soon(slow))
        assert await asyncio.to_thread(begun.wait, 30)
        leaving, staying = (asyncio.create_task(database.write_soon(partial(add, found(number)))) for number in (1, 2))
        await asyncio.sleep(0)
        first.cancel(), leaving.cancel()
        await asyncio.gather(first, leaving, return_exceptions=True)
        go_on.set()
        await staying
        return first.cancelled(), leaving.cancelled()

    assert in_own_loop(story()) == (True, True)
    assert database.read(lambda session: session.exec(select(Community.id)).all()) == [2]
    database.write(lambda session: session.add(found(3)))


def test_whatever_the_work_raises_reaches_who_awaits_it(database: Database) -> None:
    def stops(session: Session) -> None:
        next(iter(()))

    async def story() -> None:
        await asyncio.wait_for(database.write_soon(stops), 30)

    with pytest.raises(RuntimeError, match="StopIteration"):
        in_own_loop(story())


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_which_households_are_closed_is_asked_of_an_index_of_the_closed_ones(database: Database) -> None:
    with statements(database) as seen:
        database.read(lambda session: SqlStore(session).grants(1, uuid7(), [uuid7(), uuid7()]))
    (asked,) = (each for each in seen if "is_closed" in each)

    plan = database.read(lambda session: statements_of(session).rows(f"EXPLAIN QUERY PLAN {asked}"))

    assert "USING INDEX record_closed (community_id=? AND record_id=?)" in plan[-1][-1]
