"""The database: one writer, many readers, and the same calls on SQLite and PostgreSQL.

    database.read(lambda session: ...)     a consistent look; cannot write
    database.write(lambda session: ...)    returns after commit; the function may be run again from the start
    await database.write_soon(...)         the same for the event loop

SQLite (RELIABILITY.md 2.1): WAL with synchronous=FULL, so that what was answered survives a power cut; one thread owns
the one connection that does every write *and* every checkpoint, which also keeps clear of the WAL-reset race of SQLite
before 3.51.3. What is waiting is committed together (group commit), and nobody is answered before the common commit. One
failure never takes its neighbours along: then each piece of work is run again in a transaction of its own. (A savepoint
around each would cost every push a fifth of its time, for what hardly ever happens.) Checkpoints are the writer's own
statements, after the answer: one that SQLite makes by itself would tell nobody that it failed, and after a failed sync
this process must end (`end_process`). A file that another process holds is waited for at BEGIN, when nothing has been done yet
that would have to be done again (`busy_timeout`); then it is "later".

PostgreSQL: any number of processes; a transaction that lost a race is run again whole. The pushes of a process are
committed together there too (`write_soon`): each holds its community until the disk has its commit. Everything else has
a connection of its own.
"""

import asyncio
import logging
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

import psycopg
from psycopg.types.string import BytesBinaryDumper
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlmodel import Session

from server.settings import Settings
from server.statements import Statements
from sync.errors import TryLater

T = TypeVar("T")
Work = Callable[[Session], T]
Waiting = tuple[Work[Any], Future[Any]]

GROUP_MAX = 64  # pieces of work in one commit
ATTEMPTS_MAX = 5
# Serialisation failure, deadlock, a row that another process had put in first, a transaction that was kept waiting too long,
# a community that another process holds (server/store.py).
RETRIED_STATES = frozenset({"40001", "40P01", "23505", "25P03", "55P03"})
IDLE_MS_MAX = 30_000
LOST_CLASSES = frozenset({"08", "57"})  # SQLSTATE: connection exception, operator intervention (shutdown)
# Read-only, as after a failover; kept waiting too long each time.
REFUSED_STATES = frozenset({"25006", "25P03"})
UNREACHABLE = (OperationalError, sqlite3.OperationalError, psycopg.OperationalError, PoolTimeout)
READERS_MAX = 8
CHECKPOINT_ROWS = 4_000  # changed since the last checkpoint: some 1,000 pages of large pushes, 8,000 of single visits
PRAGMAS = {
    "journal_mode": "wal",
    "synchronous": "2",  # FULL
    "foreign_keys": "1",
    "busy_timeout": "5000",
    "trusted_schema": "0",
    "cell_size_check": "1",
    "wal_autocheckpoint": "0",
}
EXIT_IO_ERROR = 74  # EX_IOERR of sysexits.h


def end_process(error: Exception) -> None:
    """After a failed sync of the database file, or when the writer cannot go on. At once: no connection may be closed.

    The system forgets pages that a sync could not write, says so once, and reads them back as if they were there
    (fsyncgate). Half a checkpoint, which a reader causes, is not synced by SQLite but counted as done: the sync after
    the next one that fails loses its pages, and the checkpoint after that one empties the log, where they still were.
    A new process takes the whole log again. Its supervisor starts it; the phones send again.
    """
    logging.getLogger(__name__).critical("The database cannot be written to safely any more (%r); start anew.", error)
    logging.shutdown()
    os._exit(EXIT_IO_ERROR)


class Database:
    """What the app holds. Safe to call from any thread.

    checkpoint_rows: changed rows between two checkpoints (SQLite).
    idle_ms_max: how long a writing transaction may ask nothing (PostgreSQL).
    end: what happens when only a new process can write safely; the tests give one that ends a server of theirs.
    """

    def __init__(
        self,
        url: str,
        *,
        checkpoint_rows: int = CHECKPOINT_ROWS,
        idle_ms_max: int = IDLE_MS_MAX,
        end: Callable[[Exception], None] = end_process,
    ) -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite")
        if self.is_sqlite:
            self._writer: Writer = SqliteWriter(url, end, checkpoint_rows)
            self.engine = self._look = sqlite_engine(url, is_writer=False)
        else:
            self.engine = postgresql_engine(url)
            self._look = self.engine.execution_options(isolation_level="REPEATABLE READ")  # as SQLite's readers have it
            self._writing = bounded(self.engine, idle_ms_max)
            self._writer = PostgresqlWriter(self._writing, end)

    def read(self, work: Work[T]) -> T:
        """One look at one moment, however many statements it takes. Raises what the work raises, and TryLater when the disk
        or the database does not answer."""
        try:
            with Session(self._look, expire_on_commit=False) as session:
                return work(session)
        except UNREACHABLE as error:
            raise translated(error) from error

    def write(self, work: Work[T]) -> T:
        """Runs the work in a write transaction and returns its result after commit. Raises what the work raises, with
        nothing written; raises TryLater when the disk or the database would not take it."""
        if self.is_sqlite:
            return self._writer.submit(work).result()
        return write_with_retries(self._writing, work)

    async def write_soon(self, work: Work[T]) -> T:
        """As `write`, for the event loop: no thread waits for the commit."""
        return await asyncio.wrap_future(self._writer.submit(work))

    def close(self) -> None:
        self._writer.close()
        self.engine.dispose()


class Writer:
    """A thread that takes whatever waits and commits it together."""

    def __init__(self, end: Callable[[Exception], None]) -> None:
        self._end = end
        self._door = threading.Lock()
        self._is_closed = False
        self._waiting: SimpleQueue[Waiting | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="writer", daemon=True)
        self._thread.start()

    def submit(self, work: Work[T]) -> Future[T]:
        future: Future[T] = Future()
        with self._door:  # nothing may queue behind the end: nobody would answer it
            if self._is_closed:
                raise TryLater("storage", "the server is stopping", retry_after_seconds=5)
            self._waiting.put((work, future))
        return future

    def close(self) -> None:
        with self._door:
            self._is_closed = True
            self._waiting.put(None)
        self._thread.join()

    def in_one_transaction(self, works: Iterable[Work[Any]]) -> list[Any]:
        raise NotImplementedError

    def alone(self, work: Work[Any]) -> Any:
        """In a transaction of its own."""
        return self.in_one_transaction([work])[0]

    def is_passing(self, error: Exception) -> bool:
        """Whether the same work may well succeed when it is run again."""
        return False

    def afterwards(self) -> None:
        """When those who waited have been answered."""

    def _serve(self) -> None:
        try:
            while (first := self._waiting.get()) is not None:
                self._commit_together(first)
                self.afterwards()
        except Exception as error:  # nobody else would ever answer those who wait
            self._end(error)

    def _commit_together(self, first: Waiting) -> None:
        """Nobody is answered before the commit. When one of them fails, each gets a transaction of its own."""
        if not first[1].set_running_or_notify_cancel():  # whoever asked has gone
            return
        group = [first]
        try:
            results = self.in_one_transaction(self._with_who_comes(group))
        except Exception as error:
            if len(group) == 1 and not self.is_passing(error):
                group[0][1].set_exception(translated(error))
                return
            for work, future in group:
                settle(future, self.alone, work)
            return
        for (_, future), result in zip(group, results, strict=True):
            future.set_result(result)

    def _with_who_comes(self, group: list[Waiting]) -> Iterator[Work[Any]]:
        """The work of the first, and of whoever has come by the time that the work before is done: with a commit for
        each two or three of eight phones that push, the disk takes a sixth of the time. All are put into `group`."""
        yield group[0][0]
        while len(group) < GROUP_MAX and not self._waiting.empty():
            following = self._waiting.get()
            if following is None:  # the end waits until the group is committed
                self._waiting.put(None)
                return
            if following[1].set_running_or_notify_cancel():
                group.append(following)
                yield following[0]


class SqliteWriter(Writer):
    """Owns the one connection which writes."""

    def __init__(self, url: str, end: Callable[[Exception], None], checkpoint_rows: int) -> None:
        self._checkpoint_rows = checkpoint_rows
        self._rows_at_checkpoint = 0
        self._engine = sqlite_engine(url, is_writer=True)
        self._connection = self._engine.connect()  # here, so that a database that does not open stops the start
        super().__init__(end)

    def close(self) -> None:
        super().close()
        self._connection.close()
        self._engine.dispose()

    def in_one_transaction(self, works: Iterable[Work[Any]]) -> list[Any]:
        with self._connection.begin():
            return all_of(self._connection, works)

    def afterwards(self) -> None:
        """A checkpoint when one is due. What cannot be moved now, for a reader or a full disk, is moved another time."""
        connection = self._connection.connection
        rows: int = connection.driver_connection.total_changes  # type: ignore[union-attr]
        if rows - self._rows_at_checkpoint < self._checkpoint_rows:
            return
        try:
            connection.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_IOERR_FSYNC:
                self._end(error)
            logging.getLogger(__name__).warning("No checkpoint now: %s", error)
            return
        self._rows_at_checkpoint = rows


class PostgresqlWriter(Writer):
    def __init__(self, engine: Engine, end: Callable[[Exception], None]) -> None:
        self._engine = engine
        super().__init__(end)

    def in_one_transaction(self, works: Iterable[Work[Any]]) -> list[Any]:
        with self._engine.begin() as connection:
            return all_of(connection, works)

    def alone(self, work: Work[Any]) -> Any:
        return write_with_retries(self._engine, work)

    def is_passing(self, error: Exception) -> bool:
        return isinstance(error, DBAPIError | psycopg.Error) and is_worth_retrying(error)


def settle(future: Future[T], run: Callable[[Work[T]], T], work: Work[T]) -> None:
    try:
        result = run(work)
    except Exception as error:
        future.set_exception(translated(error))
    else:
        future.set_result(result)


def all_of(connection: Connection, works: Iterable[Work[Any]]) -> list[Any]:
    """Each in a session of its own, and with what the ones before know of the transaction they share."""
    shared = {"statements": Statements(connection)}
    results = []
    for work in works:
        with Session(connection, join_transaction_mode="rollback_only", expire_on_commit=False, info=shared) as session:
            results.append(work(session))
            session.flush()
    return results


def write_with_retries(engine: Engine, work: Work[T]) -> T:
    """PostgreSQL: the whole transaction again, ATTEMPTS_MAX times in all, after what `is_worth_retrying`."""
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            with Session(engine, expire_on_commit=False) as session, session.begin():
                return work(session)
        except (DBAPIError, psycopg.Error) as error:
            if attempt == ATTEMPTS_MAX or not is_worth_retrying(error):
                raise translated(error) from error
            time.sleep(random.uniform(0, 0.01 * 2**attempt))  # full jitter
        except PoolTimeout as error:
            raise translated(error) from error
    raise AssertionError("unreachable")


def own_error(error: Exception) -> BaseException | None:
    """The driver's, which SQLAlchemy may have wrapped."""
    return error.orig if isinstance(error, DBAPIError) else error


def state_of(error: Exception) -> str | None:
    """PostgreSQL's SQLSTATE, where it is an error of its own."""
    return getattr(own_error(error), "sqlstate", None)


def is_worth_retrying(error: DBAPIError | psycopg.Error) -> bool:
    """SQLAlchemy's wrap of an error, or the driver's own (server/statements.py)."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    own, state = own_error(error), state_of(error)
    is_lost = isinstance(own, psycopg.OperationalError) and (state is None or state[:2] in LOST_CLASSES)
    return is_lost or state in RETRIED_STATES


def translated(error: Exception) -> Exception:
    """A full disk, an I/O error, a database that stays busy or has no connection left says "later"; anything else stays
    what it is."""
    if isinstance(error, UNREACHABLE) or state_of(error) in REFUSED_STATES:
        later = TryLater("storage", "the database cannot take it now", retry_after_seconds=30)
        later.__cause__ = error
        return later
    if isinstance(error, StopIteration):  # none may end in a future: whoever awaits it would wait for ever
        return RuntimeError(repr(error))
    return error


def postgresql_engine(url: str) -> Engine:
    engine = create_engine(url, pool_size=READERS_MAX, max_overflow=READERS_MAX, pool_pre_ping=True)

    @event.listens_for(engine, "connect")
    def prepare(connection: psycopg.Connection, _: Any) -> None:
        # For bytes in a COPY. The one that psycopg would take is Python, for a wrapper of DB-API 1.0.
        connection.adapters.register_dumper(None, BytesBinaryDumper)

    return engine


def bounded(engine: Engine, idle_ms_max: int) -> Engine:
    """For writing: a machine that vanishes in the middle of a transaction would hold its community's row until TCP gives it
    up, after two hours. Readers hold nothing that anybody waits for."""
    writing = engine.execution_options()

    @event.listens_for(writing, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = {idle_ms_max}")

    return writing


def sqlite_engine(url: str, *, is_writer: bool) -> Engine:
    engine = create_engine(url, pool_size=1 if is_writer else READERS_MAX, max_overflow=0)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # our own BEGIN: the driver's would leave SELECTs outside (D3)
        cursor = connection.cursor()
        for name, value in PRAGMAS.items():
            cursor.execute(f"PRAGMA {name} = {value}")
        if not is_writer:
            cursor.execute("PRAGMA query_only = ON")
        for name, value in PRAGMAS.items():
            found = str(cursor.execute(f"PRAGMA {name}").fetchone()[0])
            if found != value:
                raise RuntimeError(f"SQLite refused PRAGMA {name}={value}: it says {found}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")

    return engine


def open_database(settings: Settings) -> Database:
    return Database(settings.database_url)
