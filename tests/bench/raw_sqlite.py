"""What SQLite itself does with what `./linli bench sync` pushes: no HTTP, no rules, no merge, one thread.

All rates are rows a second, a visit being one row however many tables it stands in.
"""

import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from server import migrations
from server.identifiers import packed
from server.settings import sqlite_url
from server.store import CHANGE_COLUMNS, RECORD_COLUMNS
from sync.changes import Change

PLAIN_COLUMNS = 20
INSERT = "INSERT INTO {name} ({columns}) VALUES ({marks})"
# What moved in the scopes a person holds, and nothing else: no later grants, no withdrawn scopes, no cursor.
READ = """
    SELECT r.record_id, r.kind, r.scope_id, r.revision, r.author_id, r.author_name, r.made_at, r.received_at, r.is_void,
           r.fields
      FROM scope_grant g
     CROSS JOIN record r ON r.community_id = g.community_id AND r.scope_id = g.scope_id AND r.revision > ?
     WHERE g.community_id = 1 AND g.person_id = ? AND g.ended_revision = 0 AND r.kind = 'visit'
     ORDER BY r.revision LIMIT ?
"""


def written_rows(path: Path) -> sqlite3.Connection:
    """The database as the server has it, to read only."""
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True)


def same_rows_rate(path: Path, written: sqlite3.Connection, size: int) -> float:
    """The visits' rows of `change` and `record`, in the order in which they came, into the same tables with the same
    indexes, `size` visits a transaction."""
    migrations.upgrade(sqlite_url(path))
    changes = visits(written, "change", CHANGE_COLUMNS)
    records = visits(written, "record", RECORD_COLUMNS)
    assert len(changes) == len(records)
    insert_change, insert_record = insert("change", CHANGE_COLUMNS), insert("record", RECORD_COLUMNS)
    with closing(opened(path)) as connection:
        started = time.perf_counter()
        for at in range(0, len(changes), size):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(insert_change, changes[at : at + size])
            connection.executemany(insert_record, records[at : at + size])
            connection.execute("COMMIT")
        return len(changes) / (time.perf_counter() - started)


def plain_rate(path: Path, batches: Sequence[Sequence[Change]]) -> float:
    """One table with a column a field and two indexes, as SYNC.md 5 measured other systems."""
    columns = ", ".join(f"field_{number}" for number in range(PLAIN_COLUMNS - 3))
    with closing(opened(path)) as connection:
        connection.execute(f"CREATE TABLE visit (id BLOB PRIMARY KEY, household BLOB, revision INTEGER, {columns})")
        connection.execute("CREATE INDEX visit_household ON visit (household, revision)")
        connection.execute("CREATE INDEX visit_revision ON visit (revision)")
        rows = [
            [plain_row(change, at * len(batch) + number) for number, change in enumerate(batch)]
            for at, batch in enumerate(batches)
        ]
        statement = f"INSERT INTO visit VALUES ({', '.join('?' * PLAIN_COLUMNS)})"
        started = time.perf_counter()
        for batch in rows:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(statement, batch)
            connection.execute("COMMIT")
        return sum(map(len, rows)) / (time.perf_counter() - started)


def read_rate(written: sqlite3.Connection, person_ids: Iterable[str], page: int, expected: int) -> float:
    """Each phone's person reads her visits, a page at a time."""
    read, started = 0, time.perf_counter()
    for person_id in person_ids:
        seen = 0
        while rows := written.execute(READ, (seen, packed(person_id), page)).fetchall():
            read, seen = read + len(rows), rows[-1][3]
    seconds = time.perf_counter() - started
    assert read == expected, f"{read} of {expected}"
    return read / seconds


def opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def visits(written: sqlite3.Connection, name: str, columns: Sequence[str]) -> list[Any]:
    statement = f"SELECT {', '.join(columns)} FROM {name} WHERE kind = 'visit' ORDER BY revision"
    return written.execute(statement).fetchall()


def insert(name: str, columns: Sequence[str]) -> str:
    return INSERT.format(name=name, columns=", ".join(columns), marks=", ".join("?" * len(columns)))


def plain_row(change: Change, revision: int) -> tuple[Any, ...]:
    texts = [json.dumps(value, ensure_ascii=False) for name, value in change.set.items() if name != "household_id"]
    return (packed(change.record_id), packed(change.set["household_id"]), revision, *texts[: PLAIN_COLUMNS - 3])
