"""What the durability tests write, and how they find out what became of it.

Phones push batches of numbered changes: new visits (every third opens a need) and amendments of the visit before. A
change is made from its phone's name and its number alone, so a later life of the server can send it again, and whoever
finds it can tell whether it is the one that was sent.
"""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from sqlmodel import Session

from server import migrations
from server.accepting import accept_changes
from server.audit import first_broken_line
from server.database import Database
from server.identifiers import packed
from server.settings import sqlite_url
from server.store import SqlStore
from sync.changes import Author, Change, Outcome, Result
from sync.engine import page
from sync.kinds import Role
from sync.store import Position
from tests.people import ALICE, BOB, COMMUNITY_ID, NOW, RED_DOOR, build_world, made_up_id, visit_change

PHONES = ("Alice's first phone", "Alice's second phone", "Bob's phone")
DATABASE = "linli.db"
ACKNOWLEDGED = (Outcome.ACCEPTED, Outcome.AGAIN, Outcome.MERGED)


def fill(folder: Path) -> None:
    """A migrated database with the small world in it."""
    url = sqlite_url(folder / DATABASE)
    migrations.upgrade(url)
    database = Database(url)
    build_world(database)
    database.close()


def author_of(phone: str) -> Author:
    owner = BOB if phone.startswith("Bob") else ALICE
    return Author(COMMUNITY_ID, owner.id, owner.name, device_id_of(phone), Role.VOLUNTEER)


@lru_cache
def device_id_of(phone: str) -> str:
    return made_up_id(phone)


@lru_cache(maxsize=200_000)
def change_of(phone: str, number: int) -> Change:
    if is_amendment(number):
        before = change_of(phone, number - 1)
        made = visit_change(f"{phone}, visit {number - 1}", base=before.change_id, note=f"amended by {number}")
    elif number % 3 == 0:
        made = visit_change(f"{phone}, visit {number}", door=RED_DOOR, needs=["meal_delivery"], urgency="days")
    else:
        made = visit_change(f"{phone}, visit {number}")
    return replace(made, device_sequence=number)


def is_amendment(number: int) -> bool:
    return number % 4 == 0


def push(database: Database, phone: str, first: int, count: int) -> list[Result]:
    """One batch. Returns once it is acknowledged; raises what the database raises."""
    changes = [change_of(phone, number) for number in range(first, first + count)]
    results = database.write(lambda session: accept_changes(session, author_of(phone), changes, NOW))
    assert [result.change_id for result in results] == [change.change_id for change in changes]
    assert all(result.outcome in ACKNOWLEDGED for result in results), results
    return results


def pull(database: Database, phone: str) -> int:
    """A first page, as every exchange reads one."""

    def work(session: Session) -> int:
        found = page(SqlStore(session), author=author_of(phone), epoch="epoch-1", after=Position(0), limit=20)
        return len(found.slice.records)

    return database.read(work)


@dataclass
class Ledger:
    """What each phone sent and what was acknowledged to it: numbers count from 1, and are sent in order."""

    acknowledged: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PHONES, 0))

    @property
    def total(self) -> int:
        return sum(self.acknowledged.values())


@dataclass(slots=True)
class Findings:
    """What is wrong with a database; empty lists when nothing is."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    corrupt: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.lost or self.doubled or self.corrupt)


def examine(
    path: Path,
    acknowledged: Mapping[str, int],
    *,
    walks_chain: bool = True,
    device_of: Callable[[str], str] = device_id_of,
) -> Findings:
    """Looks at a database that no server runs on. Reads with the standard library's own SQLite and with none of the
    server's code, except for the audit chain, which is walked by the server's verifier."""
    found = Findings()
    connection = sqlite3.connect(path)
    try:
        integrity = [row[0] for row in connection.execute("PRAGMA integrity_check")]
        if integrity != ["ok"]:
            found.corrupt.extend(integrity[:3])
            return found
        examine_rows(connection, acknowledged, found, device_of)
    except sqlite3.Error as error:
        found.corrupt.append(repr(error))
        return found
    finally:
        connection.close()
    if walks_chain:
        database = Database(sqlite_url(path))
        line = database.read(lambda session: first_broken_line(session, COMMUNITY_ID))
        database.close()
        if line is not None:
            found.corrupt.append(f"the audit chain breaks at line {line}")
    return found


def examine_rows(
    connection: sqlite3.Connection,
    acknowledged: Mapping[str, int],
    found: Findings,
    device_of: Callable[[str], str],
) -> None:
    records = {
        bytes(record_id): (kind, revision, fields)
        for record_id, kind, revision, fields in connection.execute(
            "SELECT record_id, kind, revision, fields FROM record"
        )
    }
    visits, needs = set[bytes](), 0
    for phone, through in acknowledged.items():
        rows = connection.execute(
            "SELECT device_sequence, change_id, record_id, revision, outcome, kind FROM change WHERE device_id = ?",
            (packed(device_of(phone)),),
        )
        by_number: dict[int, Sequence[object]] = {}
        for number, *row in rows:
            change_id, record_id, revision, outcome, kind = row
            if kind == "need":
                continue
            if number in by_number:
                found.doubled.append(f"{phone}: {number}")
            by_number[number] = row
            expected = change_of(phone, number)
            if bytes(change_id) != packed(expected.change_id) or outcome not in ("accepted", "merged"):
                found.corrupt.append(f"{phone}: {number} is not what was sent")
            kept = records.get(bytes(record_id))
            if kept is None or kept[1] < revision:
                found.lost.append(f"{phone}: {number} has no record")
            elif not is_amendment(number):
                fields = json.loads(kept[2])
                if any(fields.get(name) != value for name, value in expected.set.items()):
                    found.corrupt.append(f"{phone}: {number} has other fields")
                needs += bool(expected.set.get("needs"))
            elif json.loads(kept[2]).get("note") != expected.set["note"]:
                found.lost.append(f"{phone}: amendment {number}")
            visits.add(bytes(record_id))
        found.lost.extend(f"{phone}: {number}" for number in range(1, through + 1) if number not in by_number)
    kinds = [kind for kind, _, _ in records.values()]
    if kinds.count("visit") != len(visits):
        found.doubled.append(f"{kinds.count('visit')} visits for {len(visits)} that were made")
    if kinds.count("need") != needs:
        found.doubled.append(f"{kinds.count('need')} needs for {needs} that were ticked")
    revisions = [revision for _, revision, _ in records.values()]
    ((head, entries),) = connection.execute("SELECT head, entries FROM feed")
    ((lines,),) = connection.execute("SELECT count(*) FROM change")
    if len(set(revisions)) != len(revisions) or max(revisions) > head or entries != lines:
        found.corrupt.append(f"the feed: head {head}, {entries} entries, {lines} lines")
