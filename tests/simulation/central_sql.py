"""The central side on real databases: Exchange, assign_round and the rest of the server's own work, run by Database.

One migrated database serves all histories of a process; each starts from emptied tables. A backup is a copy of every
row, and a restore puts the rows back under a new epoch.
"""

import atexit
import json
import tempfile
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
from sqlmodel import Session, SQLModel, col, select, update

from server import migrations, models
from server.accepting import accept_changes
from server.audit import first_broken_line
from server.database import Database
from server.enrolment import revoke_device
from server.rounds import assign_round, withdraw_round
from server.store import SqlStore
from server.sync_api import Answer, Exchange
from sync.changes import Author, Change, Record, Result
from sync.errors import TryLater
from sync.protocol import Message
from tests.postgres import new_database, told_of_statements
from tests.simulation.boxes import sealing_key
from tests.simulation.central import COMMUNITY, Central, Crash, Enrolled, Line, Reply, Request, Round

Rows = dict[str, list[dict[str, Any]]]
PATIENCE_SECONDS = 30
WRITES = ("UPDATE", "INSERT", "COPY")


@dataclass(frozen=True, slots=True)
class FatedExchange(Exchange):
    """An exchange that ends as its history wants, before the commit."""

    fate: str = ""

    def __call__(self, session: Session) -> Answer | None:
        answer = Exchange.__call__(self, session)
        if answer is not None and self.fate == "before":
            raise Crash
        if answer is not None and self.fate == "storage":
            raise TryLater("storage", "the database cannot take it now", retry_after_seconds=30)
        return answer


class SqlCentral(Central):
    """`overlaps`: on PostgreSQL, two messages of the same instant run in two transactions that really overlap."""

    overlaps = False

    def __init__(self, database: Database, devices: Sequence[Enrolled], rounds: Sequence[Round], epoch: str) -> None:
        self.database = database
        database.write(lambda session: prepare(session, devices, epoch))

    def work(self, request: Request, message: Message) -> dict[str, Any]:
        answer = FatedExchange(request.device_id, message, request.now, fate=request.fate).done_in(self.database)
        found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(answer))
        return found

    def together(self, first: Request, second: Request) -> tuple[Reply | None, Reply | None]:
        """On PostgreSQL the first waits at the moment before its first statement that writes, or holds what others write,
        until the second is done: the closest that two transactions come. SQLite has one writer."""
        if self.database.is_sqlite or not self.overlaps:
            return super().together(first, second)
        return Overlap(self, first, second).run()

    def write(self, author: Author, changes: Sequence[Change], now: int) -> list[Result]:
        return self.database.write(lambda session: accept_changes(session, author, changes, now))

    def assign(self, person_id: str, given: Round) -> None:
        self.database.write(
            lambda session: assign_round(
                session,
                community_id=COMMUNITY,
                round_id=given.round_id,
                household_ids=given.household_ids,
                volunteer_ids=[person_id],
            )
        )

    def withdraw(self, person_id: str, given: Round, now: int) -> None:
        self.database.write(
            lambda session: withdraw_round(
                session, community_id=COMMUNITY, round_id=given.round_id, person_id=person_id, now=now, today=""
            )
        )

    def revoke(self, device_id: str) -> None:
        self.database.write(lambda session: revoke_device(session, community_id=COMMUNITY, device_id=device_id, now=1))

    def backup(self) -> Rows:
        return self.database.read(read_all)

    def restore(self, backup: Rows, epoch: str) -> None:
        def work(session: Session) -> None:
            write_all(session, backup)
            session.exec(update(models.Community).where(col(models.Community.id) == COMMUNITY).values(epoch=epoch))

        self.database.write(work)

    def records(self) -> dict[str, Record]:
        def work(session: Session) -> dict[str, Record]:
            ids = session.exec(select(models.Record.record_id).execution_options(is_scoped=True)).all()
            return dict(SqlStore(session).records(COMMUNITY, ids))

        return self.database.read(work)

    def history(self) -> list[Line]:
        def work(session: Session) -> list[Line]:
            statement = select(models.Change).order_by(col(models.Change.position))
            return [line_of(row) for row in session.exec(statement.execution_options(is_scoped=True))]

        return self.database.read(work)

    def head(self) -> int:
        return self.database.read(lambda session: SqlStore(session).head(COMMUNITY))

    def epoch(self) -> str:
        return self.database.read(lambda session: SqlStore(session).epoch(COMMUNITY))

    def scopes(self, person_id: str) -> Collection[str]:
        def work(session: Session) -> set[str]:
            held = session.exec(
                select(models.Grant).where(models.Grant.person_id == person_id, models.Grant.ended_revision == 0)
            )
            return {grant.scope_id for grant in held}

        return self.database.read(work)

    def first_broken_line(self) -> int | None:
        return self.database.read(lambda session: first_broken_line(session, COMMUNITY))


class Overlap:
    """Two exchanges on two connections, one within the other."""

    def __init__(self, central: SqlCentral, first: Request, second: Request) -> None:
        self._central = central
        self._requests = (first, second)
        self._replies: list[Reply | Exception | None] = [None, None]
        self._is_there = threading.Event()
        self._may_go = threading.Event()

    def run(self) -> tuple[Reply | None, Reply | None]:
        threads = [threading.Thread(target=self._exchange, args=(place,), daemon=True) for place in (0, 1)]

        def tell(_connection: Any, statement: str) -> None:
            is_write = statement.lstrip().upper().startswith(WRITES) or "FOR UPDATE" in statement.upper()
            if threading.current_thread() is threads[0] and is_write and not self._is_there.is_set():
                self.wait()

        with told_of_statements(self._central.database.engine, tell):
            threads[0].start()
            self._is_there.wait(PATIENCE_SECONDS)
            threads[1].start()
            threads[1].join(PATIENCE_SECONDS)
            self._may_go.set()
            for thread in threads:
                thread.join(PATIENCE_SECONDS)
                assert not thread.is_alive(), "two exchanges wait for each other"
        first, second = self._replies
        for reply in (first, second):
            if isinstance(reply, Exception):
                raise reply
        return first, second  # type: ignore[return-value]  # the exceptions were raised above

    def wait(self) -> None:
        """The first, while the second goes by."""
        self._is_there.set()
        self._may_go.wait(PATIENCE_SECONDS)

    def _exchange(self, place: int) -> None:
        try:
            self._replies[place] = self._central.exchange(self._requests[place])
        except Exception as error:
            self._replies[place] = error
        finally:
            if place == 0:
                self._is_there.set()


def prepare(session: Session, devices: Sequence[Enrolled], epoch: str) -> None:
    write_all(session, {})
    session.add(models.Community(id=COMMUNITY, name="示例社区", epoch=epoch))
    session.add(models.Feed(community_id=COMMUNITY, head=0))
    session.add(sealing_key())
    people = {device.person_id: device.name for device in devices}
    for number, (person_id, name) in enumerate(people.items()):
        session.add(models.Volunteer(community_id=COMMUNITY, id=person_id, number=f"{number:04}", name=name))
    for device in devices:
        session.add(
            models.Device(
                community_id=COMMUNITY,
                id=device.device_id,
                volunteer_id=device.person_id,
                name=device.name,
                check_number="0000",
                standing=device.standing,
                created_at=0,
            )
        )


def read_all(session: Session) -> Rows:
    connection = session.connection()
    return {
        table.name: [dict(row) for row in connection.execute(table.select()).mappings()]
        for table in SQLModel.metadata.sorted_tables
    }


def write_all(session: Session, rows: Rows) -> None:
    connection = session.connection()
    for table in SQLModel.metadata.sorted_tables:
        connection.execute(table.delete())
        if rows.get(table.name):
            connection.execute(table.insert(), rows[table.name])


def line_of(row: models.Change) -> Line:
    return Line(
        row.change_id,
        row.device_id,
        row.device_sequence,
        row.kind,
        row.record_id,
        row.action,
        json.loads(row.fields),
        row.made_at,
        row.schema_version,
        row.outcome,
        row.code,
        row.revision,
    )


@lru_cache(maxsize=2)
def database(engine: str) -> Database:
    """The process's own database on this engine, migrated once."""
    if engine == "sqlite":
        folder = tempfile.TemporaryDirectory(prefix="linli-simulation-")
        atexit.register(folder.cleanup)
        url = f"sqlite:///{Path(folder.name) / 'linli.db'}"
    else:
        url = new_database()
    migrations.upgrade(url)
    opened = Database(url)
    atexit.register(opened.close)
    return opened


def sqlite_central(devices: Sequence[Enrolled], rounds: Sequence[Round], epoch: str) -> Central:
    return SqlCentral(database("sqlite"), devices, rounds, epoch)


class OverlappingCentral(SqlCentral):
    overlaps = True


def overlapping_central(devices: Sequence[Enrolled], rounds: Sequence[Round], epoch: str) -> Central:
    return OverlappingCentral(database("postgresql"), devices, rounds, epoch)


def postgresql_central(devices: Sequence[Enrolled], rounds: Sequence[Round], epoch: str) -> Central:
    return SqlCentral(database("postgresql"), devices, rounds, epoch)
