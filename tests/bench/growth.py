"""`./linli bench growth`: one 50-record sync, pushed and pulled, while the community's history grows under it.

Rows are put straight into the file, as many others' visits in others' households; then one volunteer pushes fifty
visits and her neighbour pulls them, again and again, through the very work that POST /sync does. Unsealing and HTTP are
left out: they do not know how large the community is. Times are medians, and only their ratios mean anything.
"""

import argparse
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import msgspec
from sqlmodel import Session, select

from server import migrations
from server.database import Database
from server.identifiers import uuid7
from server.models import Community, Device, Feed
from server.settings import sqlite_url
from server.store import CHANGE_COLUMNS, RECORD_COLUMNS
from server.sync_api import Exchange
from sync.changes import canonical
from sync.protocol import decode_message
from tests.bench.report import print_table
from tests.people import ALICE, BOB, COMMUNITY_ID, NOW, build_world, visit_change
from tests.signing_phone import SigningPhone, Wire, wire_change

RECORDS = 50
ROUNDS = 30
WARM_UP = 5
RATIO_MAX = 2.0
VISITS_A_HOUSEHOLD = 100
AUTHORS = 500
BATCH = 50_000
NOTE = "示例：一切都好，楼道灯坏了，已告诉物业。" * 3


@dataclass(frozen=True, slots=True)
class Times:
    """Medians in ms."""

    push: float
    pull: float
    empty_pull: float


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./linli bench growth", description=__doc__)
    parser.add_argument("--largest", type=int, default=6, help="as a power of ten: 7 needs 12 GB of disk")
    parser.add_argument("--folder", type=Path, help="where to put the database meanwhile")
    arguments = parser.parse_args(argv)
    sizes = [10**power for power in range(4, arguments.largest + 1)]
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        found = [(size, times) for size, times in grow(Path(folder) / "linli.db", sizes)]
    first, last = found[0][1], found[-1][1]
    ratios = [last.push / first.push, last.pull / first.pull, last.empty_pull / first.empty_pull]
    print_table(
        f"./linli bench growth --largest {arguments.largest}",
        ["records in the store", f"push of {RECORDS}", f"pull of {RECORDS}", "pull with nothing new"],
        [
            *(
                [f"{size:,}", f"{each.push:.2f} ms", f"{each.pull:.2f} ms", f"{each.empty_pull:.2f} ms"]
                for size, each in found
            ),
            ["last ÷ first (wanted: ≤ 2)", *(f"{ratio:.2f}×" for ratio in ratios)],
        ],
    )
    return 0 if max(ratios) <= RATIO_MAX else 1


def grow(path: Path, sizes: list[int]) -> Iterator[tuple[int, Times]]:
    migrations.upgrade(sqlite_url(path))
    phones = [SigningPhone(ALICE), SigningPhone(BOB)]
    with closing(Database(sqlite_url(path))) as database:
        build_world(database)
        database.write(lambda session: enrol(session, phones))
    stored = 0
    for size in sizes:
        fill(path, first=stored, last=size)
        stored = size
        with closing(Database(sqlite_url(path))) as database:
            yield size, measure(database, phones[0].device_id, phones[1].device_id)


def enrol(session: Session, phones: list[SigningPhone]) -> None:
    """Heard of a moment ago, so that looking for news writes nothing."""
    for phone in phones:
        phone.enrol(session)
        device = session.get_one(Device, (COMMUNITY_ID, phone.device_id))
        device.last_contact_at = NOW
        session.add(device)


# Other people's visits


def fill(path: Path, *, first: int, last: int) -> None:
    """Grows the store to `last` records, each with its line of history, beyond everything that is there."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        for start in range(first, last, BATCH):
            numbers = range(start, min(start + BATCH, last))
            (head,) = connection.execute("SELECT head FROM feed").fetchone()
            connection.execute("BEGIN")
            insert(connection, "record", RECORD_COLUMNS, (record_values(number, head) for number in numbers))
            insert(connection, "change", CHANGE_COLUMNS, (change_values(number, head) for number in numbers))
            connection.execute(
                "UPDATE feed SET head = head + ?, entries = entries + ?", (numbers.stop + 1, len(numbers))
            )
            connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def insert(
    connection: sqlite3.Connection, table: str, columns: tuple[str, ...], rows: Iterator[dict[str, object]]
) -> None:
    marks = ", ".join(f":{column}" for column in columns)
    connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)


def record_values(number: int, head: int) -> dict[str, object]:
    return {
        "community_id": COMMUNITY_ID,
        "record_id": numbered_id(7, number),
        "kind": "visit",
        "scope_id": numbered_id(1, number // VISITS_A_HOUSEHOLD),
        "revision": head + number + 1,
        "author_id": numbered_id(2, number % AUTHORS),
        "author_name": "示例志愿者",
        "made_at": NOW - number,
        "received_at": NOW,
        "is_void": 0,
        "review": "pending",
        "fields": canonical({"household_id": "x", "round_id": "y", "outcome": "met", "note": NOTE}),
    }


def change_values(number: int, head: int) -> dict[str, object]:
    record = record_values(number, head)
    return record | {
        "change_id": numbered_id(8, number),
        "device_id": numbered_id(3, number % AUTHORS),
        "device_sequence": number // AUTHORS + 1,
        "person_id": record["author_id"],
        "person_name": record["author_name"],
        "action": "put",
        "base": "0",
        "schema_version": 1,
        "outcome": "accepted",
        "code": "",
        "detail": "",
        "conflicts": "",
        "position": number,
        "digest": b"\0" * 32,
        "chain": b"\0" * 32,
    }


def numbered_id(kind: int, number: int) -> bytes:
    """In the order of its number, as UUIDs of version 7 are in the order of time."""
    return (NOW // 1000 + number).to_bytes(6) + bytes([0x70, kind]) + (1 << 63 | number).to_bytes(8)


# One sync


def measure(database: Database, pushing: str, pulling: str) -> Times:
    """`pushing` and `pulling` are the devices."""
    pushes: list[float] = []
    pulls: list[float] = []
    empty: list[float] = []
    for _ in range(ROUNDS + WARM_UP):
        epoch, head, sequence = database.read(lambda session: standing(session, pushing))
        seen = {"epoch": epoch, "cursor": f"{head}."}
        message = decode_message(wire([envelope(sequence + 1 + each) for each in range(RECORDS)], **seen))
        answer, push_ms = timed(database, Exchange(pushing, message, NOW))
        assert {result["outcome"] for result in answer["results"]} == {"accepted"}
        answer, pull_ms = timed(database, Exchange(pulling, decode_message(wire([], **seen)), NOW))
        assert len(answer["records"]["visit"]) == RECORDS
        seen["cursor"] = answer["cursor"]
        answer, empty_ms = timed(database, Exchange(pulling, decode_message(wire([], **seen)), NOW))
        assert (answer["records"], answer["more"]) == ({}, False)
        pushes.append(push_ms)
        pulls.append(pull_ms)
        empty.append(empty_ms)
    return Times(*(median(times[WARM_UP:]) for times in (pushes, pulls, empty)))


def standing(session: Session, device_id: str) -> tuple[str, int, int]:
    device = session.exec(select(Device).where(Device.id == device_id)).one()
    community, feed = session.get_one(Community, COMMUNITY_ID), session.get_one(Feed, COMMUNITY_ID)
    return community.epoch, feed.head, device.high_water


def timed(database: Database, exchange: Exchange) -> tuple[Wire, float]:
    """The answer as a phone reads it, and the ms that it took."""
    started = time.perf_counter()
    text = msgspec.json.encode(exchange.done_in(database))
    milliseconds = (time.perf_counter() - started) * 1000
    return msgspec.json.decode(text), milliseconds


def envelope(sequence: int) -> Wire:
    change = replace(visit_change("visit", note=NOTE), change_id=uuid7(), record_id=uuid7(), device_sequence=sequence)
    return {"change_id": change.change_id, "device_sequence": sequence, "change": wire_change(change)}


def wire(entries: list[Wire], **changed: str) -> Wire:
    high_water = max((entry["device_sequence"] for entry in entries), default=0)
    return {
        "protocol": 1,
        "schema": 1,
        "now": NOW,
        "high_water": high_water,
        "limit": 500,
        "changes": entries,
        "settings": {},
        **changed,
    }
