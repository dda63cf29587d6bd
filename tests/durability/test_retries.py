"""Transactions that lose: run again whole on PostgreSQL, one after the other on SQLite (RELIABILITY.md 2.1 D3, 2.2 G1 and
G2, 6.49 to 6.51)."""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, event, make_url, text
from sqlmodel import Session

from server import migrations
from server.accepting import accept_changes
from server.audit import first_broken_line
from server.database import ATTEMPTS_MAX, PRAGMAS, Database
from server.identifiers import packed
from server.rules import RULES
from server.settings import sqlite_url
from server.store import SqlStore
from sync.changes import Change, Outcome, Result
from sync.engine import accept, page
from sync.errors import TryLater
from sync.store import Position
from tests.durability.workload import PHONES, author_of, change_of, push
from tests.loops import in_own_loop
from tests.people import COMMUNITY_ID, NOW, build_world
from tests.postgres import new_database, told_of_statements

PHONE, OTHER_PHONE = PHONES[0], PHONES[2]
EPOCH = "epoch-1"


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Database]:
    url = new_database()
    migrations.upgrade(url)
    database = Database(url)
    build_world(database)
    yield database
    database.close()


# PostgreSQL: something goes wrong at each statement

Trouble = Callable[["psycopg.Cursor[Any]"], None]


def fail_with(state: str) -> Trouble:
    """A real error of the server's: the transaction is aborted there, too."""

    def trouble(cursor: psycopg.Cursor[Any]) -> None:
        cursor.execute(f"DO $$ BEGIN RAISE EXCEPTION 'on purpose' USING ERRCODE = '{state}'; END $$")

    return trouble


def drop_connection(cursor: psycopg.Cursor[Any]) -> None:
    cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


TROUBLES = {"40001": fail_with("40001"), "40P01": fail_with("40P01"), "a dropped connection": drop_connection}


@contextmanager
def troubled(database: Database, trouble: Trouble, *, at: Callable[[int], bool]) -> Iterator[list[str]]:
    """Makes the n-th statements for which `at` says so fail. Gives the statements that were asked for."""
    seen: list[str] = []

    def tell(connection: psycopg.Connection[Any], statement: str) -> None:
        seen.append(statement)
        if at(len(seen)):
            trouble(psycopg.Cursor(connection))

    with told_of_statements(database.engine, tell):
        yield seen


def numbers(base: int, count: int = 3) -> range:
    """Three in a row, among them one that opens a need and one that amends."""
    return range(base * 12 + 3, base * 12 + 3 + count)


def pushed(database: Database, phone: str, wanted: range, *, is_soon: bool = False) -> list[Result]:
    """`is_soon`: by the one writer that commits together what waits, as POST /sync does."""
    changes = [change_of(phone, number) for number in wanted]

    def work(session: Session) -> list[Result]:
        return accept_changes(session, author_of(phone), changes, NOW)

    return in_own_loop(database.write_soon(work)) if is_soon else database.write(work)


def lines_of(database: Database, changes: Sequence[Change]) -> list[str]:
    names = ", ".join(f"'{change.change_id}'" for change in changes)

    def read(session: Session) -> list[str]:
        rows = session.connection().execute(
            text(f"SELECT encode(change_id, 'hex') FROM change WHERE encode(change_id, 'hex')::uuid IN ({names})")
        )
        return sorted(row[0] for row in rows)

    return database.read(read)


def is_whole(database: Database) -> bool:
    return database.read(lambda session: first_broken_line(session, COMMUNITY_ID)) is None


@pytest.mark.parametrize("is_soon", [False, True])
@pytest.mark.parametrize("name", TROUBLES)
def test_a_push_that_fails_at_any_statement_is_run_again_whole(postgresql: Database, name: str, is_soon: bool) -> None:
    base = 10 + 20 * (2 * list(TROUBLES).index(name) + is_soon)
    with troubled(postgresql, TROUBLES[name], at=lambda _: False) as statements:
        pushed(postgresql, PHONE, numbers(base), is_soon=is_soon)
    assert len(statements) >= 6, statements

    for place in range(1, len(statements) + 1):
        wanted = numbers(base + place)
        with troubled(postgresql, TROUBLES[name], at=lambda nth, place=place: nth == place) as seen:  # type: ignore[misc]
            results = pushed(postgresql, PHONE, wanted, is_soon=is_soon)

        assert {result.outcome for result in results} <= {Outcome.ACCEPTED, Outcome.MERGED}, (place, results)
        assert len(seen) >= len(statements) + place, "run again from its first statement"
        assert len(lines_of(postgresql, [change_of(PHONE, number) for number in wanted])) == len(wanted)
    assert is_whole(postgresql)


@pytest.mark.parametrize("is_soon", [False, True])
def test_a_push_that_fails_each_time_says_later_and_leaves_nothing(postgresql: Database, is_soon: bool) -> None:
    wanted = numbers(1)
    with troubled(postgresql, TROUBLES["40001"], at=lambda _: True) as seen, pytest.raises(TryLater):
        pushed(postgresql, PHONE, wanted, is_soon=is_soon)

    assert len(seen) == ATTEMPTS_MAX + is_soon  # once with the others, then alone
    assert lines_of(postgresql, [change_of(PHONE, number) for number in wanted]) == []


def test_a_connection_lost_after_the_commit_changes_nothing_twice(postgresql: Database) -> None:
    """The server committed and could not say so: the second run finds the change and answers `again`."""
    wanted = numbers(2)
    lost: list[int] = []

    def commit_and_die(connection: Any) -> None:
        if not lost:
            driver: psycopg.Connection[Any] = connection.connection.dbapi_connection
            lost.append(driver.info.backend_pid)
            driver.commit()
            with pytest.raises(psycopg.Error), driver.cursor() as cursor:
                drop_connection(cursor)

    event.listen(postgresql.engine, "commit", commit_and_die)
    try:
        results = pushed(postgresql, PHONE, wanted)
    finally:
        event.remove(postgresql.engine, "commit", commit_and_die)

    assert lost
    assert {result.outcome for result in results} == {Outcome.AGAIN}
    assert len(lines_of(postgresql, [change_of(PHONE, number) for number in wanted])) == len(wanted)
    assert is_whole(postgresql)


@pytest.mark.parametrize("is_soon", [False, True])
@pytest.mark.parametrize("state", ["25006", "25P03"])
def test_a_database_that_takes_no_writes_for_now_says_later(postgresql: Database, state: str, is_soon: bool) -> None:
    """It is read-only, as after a failover; or the transaction was kept waiting each time."""
    wanted = numbers(4)
    with troubled(postgresql, fail_with(state), at=lambda _: True), pytest.raises(TryLater):
        pushed(postgresql, PHONE, wanted, is_soon=is_soon)

    assert lines_of(postgresql, [change_of(PHONE, number) for number in wanted]) == []


def test_an_error_that_is_nobody_s_race_is_not_tried_again(postgresql: Database) -> None:
    wanted = numbers(3)
    with troubled(postgresql, fail_with("22012"), at=lambda _: True) as seen, pytest.raises(Exception, match="purpose"):
        pushed(postgresql, PHONE, wanted)

    assert len(seen) == 1


# A slow first commit

TIMES = 50


@pytest.fixture(params=["sqlite", "postgresql"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = sqlite_url(tmp_path / "linli.db") if request.param == "sqlite" else new_database()
    migrations.upgrade(url)
    database = Database(url)
    build_world(database)
    yield database
    database.close()


class Reader:
    """A phone that pulls without end, page after page, and never looks back."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._position = Position(0)
        self.seen: set[str] = set()

    def pull(self) -> None:
        found = self._database.read(
            lambda session: page(
                SqlStore(session), author=author_of(OTHER_PHONE), epoch=EPOCH, after=self._position, limit=500
            )
        )
        self.seen.update(record.record_id for record in found.slice.records)
        self._position = found.slice.end


def race(database: Database, number: int, reader: Reader, store_type: type[SqlStore]) -> list[str]:
    """One session takes its places first and commits last; another comes in between; the reader polls throughout. The
    records of both."""
    slow, quick = change_of(PHONES[0], 4 * number + 1), change_of(PHONES[1], 4 * number + 1)
    has_places, is_over = threading.Event(), threading.Event()

    def write_slowly(session: Session) -> None:
        try:
            accept(store_type(session), RULES, [slow], author=author_of(PHONES[0]), received_at=NOW)
        finally:
            has_places.set()  # also when it fails: the other one must not wait for ever
        is_over.wait(0.02)  # the slowness itself; with places in commit order the other one waits for it

    def write_quickly() -> None:
        has_places.wait()
        database.write(
            lambda session: accept(store_type(session), RULES, [quick], author=author_of(PHONES[1]), received_at=NOW)
        )
        reader.pull()
        is_over.set()

    with ThreadPoolExecutor(2) as threads:
        both = [threads.submit(database.write, write_slowly), threads.submit(write_quickly)]
        while not all(each.done() for each in both):
            reader.pull()
        for each in both:
            each.result()
    return [slow.record_id, quick.record_id]


def test_a_cursor_never_skips_a_slow_commit(fresh: Database) -> None:
    reader, made = Reader(fresh), set[str]()
    for number in range(TIMES):
        made.update(race(fresh, number, reader, SqlStore))
    reader.pull()

    assert len(made) == 2 * TIMES
    assert made - reader.seen == set()


def test_places_from_a_sequence_are_found_out() -> None:
    """What most systems do: a number is given out before, and whatever becomes of, the commit."""
    url = new_database()
    migrations.upgrade(url)
    database = Database(url)
    build_world(database)
    other_connections = create_engine(url)

    class SequenceStore(SqlStore):
        def hold(self, community_id: int) -> None:
            """Nor does it wait for anybody."""

        def append(self, community_id: int, entries: Any) -> None:
            """Without the audit chain, whose row would put the sessions in order after all."""
            for entry in entries:
                with other_connections.begin() as connection:
                    entry.revision = connection.execute(
                        text("UPDATE feed SET head = head + 1 WHERE community_id = :id RETURNING head"),
                        {"id": community_id},
                    ).scalar_one()
                self._statements.run(
                    "INSERT INTO record (community_id, record_id, kind, scope_id, revision, author_id, author_name,"
                    " made_at, received_at, is_void, review, fields)"
                    " SELECT community_id, ?, 'visit', scope_id, ?, author_id, author_name, made_at, received_at,"
                    " is_void, 'pending', '{}' FROM record WHERE record_id = ?",
                    (packed(entry.change.record_id), entry.revision, packed(entry.scope_id)),
                )

    reader, made = Reader(database), set[str]()
    reader.pull()
    for number in range(10):
        made.update(race(database, number, reader, SequenceStore))
    reader.pull()
    database.close()
    other_connections.dispose()

    assert made - reader.seen, "the reader's cursor passed what committed later"


# SQLite: reading, then writing, from twenty threads

THREADS, ROUNDS = 20, 20


def raise_counter(session: Session) -> None:
    """Nothing in it says that it will write."""
    connection = session.connection()
    value = connection.execute(text("SELECT entries FROM feed WHERE community_id = 99")).scalar_one()
    connection.execute(text("UPDATE feed SET entries = :value WHERE community_id = 99"), {"value": value + 1})


def counter_of(path: Path) -> int:
    engine = create_engine(sqlite_url(path))
    with engine.connect() as connection:
        found = int(connection.execute(text("SELECT entries FROM feed WHERE community_id = 99")).scalar_one())
    engine.dispose()
    return found


@pytest.fixture
def counter(tmp_path: Path) -> Path:
    path = tmp_path / "linli.db"
    migrations.upgrade(sqlite_url(path))
    engine = create_engine(sqlite_url(path))
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO feed (community_id, head, entries, chain) VALUES (99, 0, 0, x'')"))
    engine.dispose()
    return path


def test_twenty_threads_that_read_then_write_keep_every_update(counter: Path) -> None:
    database = Database(sqlite_url(counter))

    with ThreadPoolExecutor(THREADS) as threads:
        for _ in threads.map(lambda _: database.write(raise_counter), range(THREADS * ROUNDS)):
            pass
    database.close()

    assert counter_of(counter) == THREADS * ROUNDS


def test_sqlalchemy_s_own_way_with_sqlite_is_found_out(counter: Path) -> None:
    """Its driver begins the transaction at the first write, so the reading stands outside and updates are lost."""
    engine = create_engine(make_url(sqlite_url(counter)), pool_size=THREADS)

    def write(_: int) -> None:
        with Session(engine) as session, session.begin():
            raise_counter(session)

    kept = 0
    with ThreadPoolExecutor(THREADS) as threads:
        for each in [threads.submit(write, number) for number in range(THREADS * ROUNDS)]:
            kept += each.exception() is None
    engine.dispose()

    assert counter_of(counter) < kept, "updates went without an error"


@pytest.fixture
def held(tmp_path: Path) -> Iterator[tuple[str, sqlite3.Connection]]:
    """The address of a database whose file somebody else writes to, and who does."""
    url = sqlite_url(tmp_path / "linli.db")
    migrations.upgrade(url)
    with closing(Database(url)) as database:
        build_world(database)
    other = sqlite3.connect(tmp_path / "linli.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield url, other
    other.close()


@pytest.mark.parametrize("is_soon", [False, True])
def test_a_push_waits_for_whoever_holds_the_file(held: tuple[str, sqlite3.Connection], is_soon: bool) -> None:
    url, other = held
    with closing(Database(url)) as database, ThreadPoolExecutor(1) as thread:
        push = thread.submit(pushed, database, PHONE, numbers(1), is_soon=is_soon)
        with pytest.raises(TimeoutError):
            push.result(timeout=0.3)
        other.execute("COMMIT")

        assert {result.outcome for result in push.result()} <= {Outcome.ACCEPTED, Outcome.MERGED}


def test_a_file_that_stays_busy_says_later(
    held: tuple[str, sqlite3.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRAGMAS, "busy_timeout", "20")
    with closing(Database(held[0])) as database, pytest.raises(TryLater):
        pushed(database, PHONE, numbers(1))


# While it ends


def test_a_database_that_was_closed_says_later_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "linli.db")
    migrations.upgrade(url)
    database = Database(url)
    build_world(database)
    database.close()

    with pytest.raises(TryLater):
        push(database, PHONE, 1, 1)


def test_a_database_that_does_not_open_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "linli.db").mkdir()

    with pytest.raises(Exception, match="unable to open database file"):
        Database(sqlite_url(tmp_path / "linli.db"))
