"""`./linli bench sync`: pushes, merges and pulls of a real server, as shares of what SQLite itself does.

Eight phones push twenty batches of fifty visits each over HTTP, each phone on one connection, to `./linli serve` with
validation, merge, feed, audit chain and scope on. Beside it, in the same run and on the same disk (raw_sqlite.py): the
very rows that these pushes left behind, by `executemany`, one transaction a batch, and a plain SELECT of what each phone
may see; for orientation also the visits as rows of one plain table (twenty columns, two indexes). The requests are
signed and packed beforehand, as eight real phones would share that work.

Each part is run `--times` times, in turn with its baseline, and its share is taken within each round: the machine's
own speed changes by half from minute to minute. The table has the medians.
"""

import argparse
import gc
import http.client
import json
import multiprocessing
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

from sqlmodel import Session

from server.database import Database
from server.identifiers import uuid7
from server.models import Volunteer
from server.rounds import assign_round
from server.sealing import ensure_sealing_key
from server.store import SqlStore
from sync.changes import Action, Change
from tests.bench.raw_sqlite import plain_rate, read_rate, same_rows_rate, written_rows
from tests.bench.report import print_table
from tests.browser.server_process import ServerProcess, with_database
from tests.people import COMMUNITY_ID, NOW, Person, build_world, made_up_id, put
from tests.signing_phone import ServerKey, SigningPhone, Wire, message, server_key, wire_change

PHONES, BATCHES, RECORDS = 8, 20, 50
DOORS = 100  # of each phone
PAGE = 500
LONE = 60
NOTE = "示例：一切都好，楼道灯坏了，已告诉物业。" * 5
BEYOND = "999999999."  # a cursor after everything
CURSOR = re.compile(rb'"cursor":"([^"]*)"')
WANTED = {"push": 0.45, "merge": 0.25, "pull": 0.60}
SINGLE_MAX = 10.0


@dataclass
class Found:
    """Of one round: records a second; times of a lone request in ms."""

    raw: float = 0
    plain: float = 0
    raw_read: float = 0
    push: float = 0
    sealed: float = 0
    merge: float = 0
    pull: float = 0
    single_ms: float = 0
    empty_ms: float = 0


def typical(rounds: Sequence[Found], name: str, of: str = "") -> float:
    """The median of all rounds, as a share of `of` where one is named."""
    found: list[float] = [getattr(each, name) / (getattr(each, of) if of else 1) for each in rounds]
    return median(found)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./linli bench sync", description=__doc__)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--postgresql", action="store_true", help="pushes over PostgreSQL instead")
    arguments = parser.parse_args(argv)
    if arguments.postgresql:
        from tests.bench import sync_postgresql  # here, because it imports this module

        return sync_postgresql.main(["--times", str(arguments.times)])
    rounds = measure(arguments.times)
    shares = {
        "push": typical(rounds, "push", of="raw"),
        "merge": typical(rounds, "merge", of="raw"),
        "pull": typical(rounds, "pull", of="raw_read"),
    }
    single = typical(rounds, "single_ms", of="empty_ms")

    def row(words: str, name: str, share: float, wanted: str = "") -> list[str]:
        return [words, f"{typical(rounds, name):,.0f}", f"{share:.0%}", wanted]

    print_table(
        f"./linli bench sync --times {arguments.times}",
        ["what", "records/s", "share", "wanted"],
        [
            row("raw executemany of the same rows", "raw", 1),
            row("raw executemany of one plain table", "plain", typical(rounds, "plain", of="raw")),
            row("push", "push", shares["push"], "≥ 45 %"),
            row("push, each change sealed", "sealed", typical(rounds, "sealed", of="raw")),
            row("push that merges four fields", "merge", shares["merge"], "≥ 25 %"),
            row("raw scoped read", "raw_read", 1),
            row("pull", "pull", shares["pull"], "≥ 60 %"),
            ["one 50-record sync, requests", "", "1", "1"],
            [
                "its median ÷ an empty request's",
                f"{typical(rounds, 'single_ms'):.1f} ÷ {typical(rounds, 'empty_ms'):.1f} ms",
                f"{single:.1f}×",
                "≤ 10×",
            ],
        ],
    )
    return 0 if all(shares[name] >= WANTED[name] for name in WANTED) and single <= SINGLE_MAX else 1


def measure(times: int) -> list[Found]:
    rounds = []
    for _ in range(times):
        with tempfile.TemporaryDirectory() as folder:
            rounds.append(one_round(Path(folder)))
    return rounds


def one_round(folder: Path) -> Found:
    found = Found()
    phones = [BenchPhone(SigningPhone(owner(number // 2))) for number in range(PHONES)]  # each owner has two
    server = ServerProcess(folder)
    ways: list[Way] = []
    with_database(server, lambda database: ways.append(settle(database, phones)))
    way = ways[0]
    logged = [[phone.visits() for _ in range(BATCHES)] for phone in phones]
    neighbours = [logged[number ^ 1] for number in range(PHONES)]
    found.plain = plain_rate(folder / "plain.db", [batch for own in zip(*logged, strict=True) for batch in own])
    server.start()
    try:
        found.push = rate(server, way, phones, logged, "accepted")
        with closing(written_rows(server.data_dir / "linli.db")) as written:
            found.raw = same_rows_rate(folder / "raw.db", written, RECORDS)
            people = [phone.signing.owner.id for phone in phones]
            found.raw_read = read_rate(written, people, PAGE, PHONES * 2 * BATCHES * RECORDS)
        found.pull = pull_rate(server, way, phones)
        rate(server, way, phones, amended(phones, logged, FIRST), "accepted")
        found.merge = rate(server, way, phones, amended(phones, neighbours, SECOND), "merged")
        more = [[phone.visits() for _ in range(BATCHES)] for phone in phones]
        found.sealed = rate(server, way, phones, more, "accepted", is_sealed=True)
        found.single_ms, found.empty_ms = lone(server, way, phones[0])
    finally:
        server.close()
    return found


# The phones

FIRST = {"wb_health": "poor", "wb_mood": "poor", "outcome": "met_other", "person_met": "spouse"}
SECOND = {"wb_safety": "poor", "wb_hygiene": "poor", "next_visit_on": "2027-01-01", "note": NOTE[:100]}


@dataclass
class BenchPhone:
    signing: SigningPhone
    sequence: int = 0

    def visits(self) -> list[Change]:
        return [self.change(self.visit(number)) for number in range(RECORDS)]

    def visit(self, number: int) -> dict[str, Any]:
        doors = doors_of(self.signing.owner)
        return {
            "household_id": doors[(self.sequence + number) % DOORS],
            "round_id": round_of(self.signing.owner),
            "started_at": NOW - 600_000,
            "ended_at": NOW,
            "outcome": "met",
            "contact_mode": "in_person",
            "person_met": "self",
            "consent_state": "full",
            "wb_health": "good",
            "wb_mood": "good",
            "wb_safety": "good",
            "wb_hygiene": "good",
            "wb_environment": "good",
            "family_contact": "week",
            "danger": ["none"],
            "done_on_spot": ["chat"],
            "next_visit_on": "2026-12-01",
            "note": NOTE[:200],
        }

    def change(self, fields: dict[str, Any], **changed: Any) -> Change:
        self.sequence += 1
        made = Change(
            change_id=uuid7(),
            device_sequence=self.sequence,
            kind="visit",
            record_id=uuid7(),
            action=Action.PUT,
            base=0,
            set=fields,
            made_at=NOW,
            schema=1,
        )
        return replace(made, **changed)


Logged = list[list[list[Change]]]  # by phone, then by batch


def amended(phones: Sequence[BenchPhone], logged: Logged, fields: dict[str, Any]) -> Logged:
    """Made while looking at the visits as they were first logged."""
    return [
        [[phone.change(fields, record_id=visit.record_id, base=visit.change_id) for visit in batch] for batch in own]
        for phone, own in zip(phones, logged, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Way:
    """What a phone knows of the server when it starts: nothing of the feed before its own visits is news to it."""

    key: ServerKey
    epoch: str
    cursor: str


def owner(number: int) -> Person:
    return Person(made_up_id(f"owner {number}"), f"{1000 + number}", f"示例志愿者{number}", "")


@lru_cache
def doors_of(person: Person) -> list[str]:
    return [made_up_id(f"{person.name}: door {number}") for number in range(DOORS)]


def round_of(person: Person) -> str:
    return made_up_id(f"round of {person.name}")


def settle(database: Database, phones: Sequence[BenchPhone]) -> Way:
    build_world(database)
    database.write(lambda session: ensure_sealing_key(session, now=NOW))

    def enrol(session: Session) -> None:
        for person in {phone.signing.owner.id: phone.signing.owner for phone in phones}.values():
            session.add(Volunteer(community_id=COMMUNITY_ID, id=person.id, number=person.number, name=person.name))
            doors = doors_of(person)
            for number, door in enumerate(doors):
                put(session, "household", door, door=f"9-1-{number}", risk="green", consent_state="full")
            assign_round(
                session,
                community_id=COMMUNITY_ID,
                round_id=round_of(person),
                household_ids=doors,
                volunteer_ids=[person.id],
            )
        for phone in phones:
            phone.signing.enrol(session)

    database.write(enrol)
    return database.read(
        lambda session: Way(
            server_key(session), SqlStore(session).epoch(COMMUNITY_ID), f"{SqlStore(session).head(COMMUNITY_ID)}."
        )
    )


# Over HTTP


@dataclass(frozen=True, slots=True)
class Request:
    port: int
    headers: dict[str, str]
    body: bytes
    method: str = "POST"
    path: str = "/sync"
    status: int = 200  # as it should be answered; 201 is as good


def packed_request(
    server: ServerProcess,
    way: Way,
    phone: BenchPhone,
    changes: Sequence[Change],
    *,
    is_sealed: bool = False,
    **words: Any,
) -> Request:
    signing = phone.signing
    entries = [
        signing.sealed(way.key, change)
        if is_sealed
        else {
            "change_id": change.change_id,
            "device_sequence": change.device_sequence,
            "change": wire_change(change),
        }
        for change in changes
    ]
    body = message(entries, **{"epoch": way.epoch, "cursor": BEYOND, **words})
    return Request(server.port, signing.headers(body, origin=server.url), body)


def rate(
    server: ServerProcess,
    way: Way,
    phones: Sequence[BenchPhone],
    logged: Logged,
    outcome: str,
    *,
    is_sealed: bool = False,
) -> float:
    """Records a second, all phones at once. They say that they have seen everything: reading is measured by itself."""
    requests = [
        [packed_request(server, way, phone, batch, is_sealed=is_sealed) for batch in own]
        for phone, own in zip(phones, logged, strict=True)
    ]
    seconds, answers = in_another_process(requests)
    for answer in answers:
        assert {result["outcome"] for result in answer["results"]} == {outcome}, answer["results"][:2]
    return PHONES * BATCHES * RECORDS / seconds


def pull_rate(server: ServerProcess, way: Way, phones: Sequence[BenchPhone]) -> float:
    """Every phone reads what both phones of its owner have logged; the pages' cursors are learnt beforehand."""
    cursors: list[list[str]] = []
    for phone in phones:
        own, cursor, is_more = [], way.cursor, True
        while is_more:
            own.append(cursor)
            answer = ask_once(packed_request(server, way, phone, [], cursor=cursor, limit=PAGE))
            cursor, is_more = answer["cursor"], answer["more"]
        cursors.append(own)
    requests = [
        [packed_request(server, way, phone, [], cursor=cursor, limit=PAGE) for cursor in own]
        for phone, own in zip(phones, cursors, strict=True)
    ]
    seconds, answers = in_another_process(requests)
    read = sum(len(answer["records"].get("visit", ())) for answer in answers)
    assert read == PHONES * 2 * BATCHES * RECORDS, read
    return read / seconds


@dataclass
class Syncs:
    """What a phone asks that looks for news with each push: from where the answer before ended, signed as it is sent."""

    server: ServerProcess
    signing: SigningPhone
    bodies: list[bytes]
    cursor: str

    @property
    def port(self) -> int:
        return self.server.port

    def __iter__(self) -> Iterator[Request]:
        for body in self.bodies:
            asked = body.replace(BEYOND.encode(), self.cursor.encode())
            yield Request(self.port, self.signing.headers(asked, origin=self.server.url), asked)

    def hear(self, answer: bytes) -> None:
        self.cursor = CURSOR.findall(answer)[0].decode()


def sync_rate(server: ServerProcess, way: Way, phones: Sequence[BenchPhone], logged: Logged) -> float:
    """Records a second, all phones at once, each of which is also sent what it and its owner's other phone have pushed."""
    requests = [
        Syncs(
            server,
            phone.signing,
            [packed_request(server, way, phone, batch, limit=PAGE).body for batch in own],
            way.cursor,
        )
        for phone, own in zip(phones, logged, strict=True)
    ]
    seconds, answers = in_another_process(requests)
    assert {result["outcome"] for answer in answers for result in answer["results"]} == {"accepted"}
    brought = sum(len(answer["records"].get("visit", ())) for answer in answers)
    assert brought >= PHONES * BATCHES * RECORDS, brought
    return PHONES * BATCHES * RECORDS / seconds


def lone(server: ServerProcess, way: Way, phone: BenchPhone) -> tuple[float, float]:
    """Medians in ms of a sync of fifty visits, which is one request, and of one with nothing to say."""
    full: list[float] = []
    empty: list[float] = []
    cursor = way.cursor
    for _ in range(LONE):
        for changes, times in ((phone.visits(), full), ([], empty)):
            asked = packed_request(server, way, phone, changes, is_sealed=True, cursor=cursor, limit=PAGE)
            started = time.perf_counter()
            answer = ask_once(asked)
            times.append((time.perf_counter() - started) * 1000)
            assert len(answer["results"]) == len(changes)
            cursor = answer["cursor"]
    return median(full), median(empty)


def in_another_process(requests: Sequence[Sequence[Request] | Syncs]) -> tuple[float, list[Wire]]:
    """Seconds, and the answers. The phones' own work must not stop the server's threads."""
    ours, theirs = multiprocessing.get_context("fork").Pipe()
    process = multiprocessing.get_context("fork").Process(target=ask_all, args=(requests, theirs))
    process.start()
    theirs.close()
    try:
        seconds, bodies = ours.recv()
    finally:
        process.join()
    return seconds, [json.loads(body) for body in bodies]


def ask_all(requests: Sequence[Sequence[Request] | Syncs], pipe: Connection) -> None:
    gc.disable()
    with ThreadPoolExecutor(PHONES) as threads:
        ports = [own.port if isinstance(own, Syncs) else own[0].port for own in requests]
        connections = [http.client.HTTPConnection("127.0.0.1", port) for port in ports]
        started = time.perf_counter()
        found = list(threads.map(ask_in_turn, connections, requests))
        seconds = time.perf_counter() - started
    pipe.send((seconds, [body for own in found for body in own]))


def ask_in_turn(connection: http.client.HTTPConnection, requests: Sequence[Request] | Syncs) -> list[bytes]:
    found = []
    for each in requests:
        found.append(ask(connection, each))
        if isinstance(requests, Syncs):
            requests.hear(found[-1])
    return found


def ask(connection: http.client.HTTPConnection, asked: Request) -> bytes:
    while True:
        connection.request(asked.method, asked.path, asked.body, asked.headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status == 503:
            time.sleep(float(answer.headers["Retry-After"]))
            continue
        assert answer.status in (asked.status, 200, 201), body
        return body


def ask_once(asked: Request) -> Wire:
    with closing(http.client.HTTPConnection("127.0.0.1", asked.port)) as connection:
        found: Wire = json.loads(ask(connection, asked))
        return found
