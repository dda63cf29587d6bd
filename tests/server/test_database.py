"""The writer of SQLite: what waits is committed together, and each piece of work stands for itself."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session, col, select

from server import migrations
from server.database import Database
from server.models import Community
from server.settings import sqlite_url


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    url = sqlite_url(tmp_path / "linli.db")
    migrations.upgrade(url)
    made = Database(url)
    yield made
    made.close()


def found(number: int) -> Community:
    return Community(id=number, name=f"示例社区{number}", epoch="epoch-1")


class Refused(Exception):
    pass


def test_one_failure_in_a_group_takes_no_neighbour_along(database: Database) -> None:
    """They wait behind a slow one, so that they are taken together; the second writes, and then raises."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(session: Session) -> None:
        begun.set()
        assert go_on.wait(30)

    def good(number: int) -> int:
        def work(session: Session) -> int:
            session.add(found(number))
            return number

        return database.write(work)

    def bad() -> None:
        def work(session: Session) -> None:
            session.add(found(99))
            session.flush()
            raise Refused

        database.write(work)

    with ThreadPoolExecutor(5) as threads:
        first: Future[None] = threads.submit(database.write, slow)
        assert begun.wait(30)
        waiting: list[Future[Any]] = [
            threads.submit(good, 1),
            threads.submit(bad),
            threads.submit(good, 2),
            threads.submit(good, 3),
        ]
        assert database._writer is not None
        while database._writer._waiting.qsize() < len(waiting):
            pass
        go_on.set()
        first.result()
        with pytest.raises(Refused):
            waiting[1].result()
        answers = [waiting[at].result() for at in (0, 2, 3)]

    kept = database.read(lambda session: session.exec(select(Community.id).order_by(col(Community.id))).all())
    assert answers == [1, 2, 3]
    assert [number for number in kept if number < 100] == [1, 2, 3]
