"""`./linli bench herd`: a thousand phones come back on line at the same instant, each with its visits.

The phones are prepared in the database, their visits sealed beforehand; then all of them push at once from another
process, obey 503 and Retry-After as real ones do, and a coordinator, a volunteer and a resident open pages meanwhile.
Afterwards the database is asked what it holds.
"""

import argparse
import asyncio
import http.client
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import quantiles
from threading import Event
from typing import Any

from sqlmodel import Session, func, select

from server.clock import system_clock
from server.database import Database
from server.identifiers import uuid7
from server.models import Change as StoredChange
from server.models import Record, Volunteer
from server.rounds import assign_round
from server.sealing import ensure_sealing_key, ephemeral_key
from server.store import SqlStore
from sync.changes import Action, Change
from tests.bench.report import print_table
from tests.browser.server_process import ServerProcess, with_database
from tests.people import ALICE, COMMUNITY_ID, COORDINATOR, NOW, Person, build_world, made_up_id, put, sign_in
from tests.signing_phone import ServerKey, SigningPhone, message, server_key

DOORS = 5  # of each phone
IDLE_SECONDS = 5
PAGES = ("/calendar", "/coordinator", "/today")
PAUSE_SECONDS = 0.05  # between two pages of one person
NOTE = "示例：一切都好，楼道灯坏了，已告诉物业。" * 8


@dataclass(frozen=True, slots=True)
class Prepared:
    """One phone's request, as bytes: signed, sealed, ready to go."""

    request: bytes
    changes: int


@dataclass
class Herd:
    """What the phones met with."""

    drained_seconds: float = 0.0
    turned_away: int = 0
    failures: list[str] = field(default_factory=list)
    outcomes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measured:
    herd: Herd
    visits: int
    stored: int  # records of visits
    changes: int  # lines of history of visits
    idle_ms: dict[str, float]  # p95 by page
    busy_ms: dict[str, float]
    peak_megabytes: float
    cpu_seconds: float  # of the server until the herd was drained, the pages included


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./linli bench herd", description=__doc__)
    parser.add_argument("--phones", type=int, default=1000)
    parser.add_argument("--visits", type=int, default=20)
    arguments = parser.parse_args(argv)
    found = measure(arguments.phones, arguments.visits)
    ratio = max(found.busy_ms[page] / found.idle_ms[page] for page in PAGES)
    command = f"./linli bench herd --phones {arguments.phones} --visits {arguments.visits}"
    print_table(
        command,
        ["what", "measured", "wanted"],
        [
            ["visits sent", str(found.visits), ""],
            ["stored, as records and as lines of history", f"{found.stored}, {found.changes}", "each once"],
            ["drained after", f"{found.herd.drained_seconds:.1f} s", "≤ 20 s"],
            ["asked to come back (503, obeyed)", str(found.herd.turned_away), ""],
            ["failed", str(len(found.herd.failures)), "0"],
            *(
                [f"{page}: p95 idle → meanwhile", f"{found.idle_ms[page]:.0f} → {found.busy_ms[page]:.0f} ms", "≤ 5×"]
                for page in PAGES
            ),
            ["slowest of these ratios", f"{ratio:.1f}×", "≤ 5×"],
            ["server processor time until then", f"{found.cpu_seconds:.1f} s", ""],
            ["server memory at its highest", f"{found.peak_megabytes:.0f} MB", "≤ 300 MB"],
        ],
    )
    for failure in found.herd.failures[:5]:
        print(failure)
    is_well = found.stored == found.changes == found.visits and not found.herd.failures
    return 0 if is_well and found.herd.drained_seconds <= 20 and ratio <= 5 and found.peak_megabytes <= 300 else 1


def measure(phones: int, visits: int, *, idle_seconds: float = IDLE_SECONDS) -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        server = ServerProcess(Path(folder))
        prepared: list[Prepared] = []
        cookies: dict[str, str] = {}
        with_database(server, lambda database: cookies.update(prepare(database, server, prepared, phones, visits)))
        ours, theirs = multiprocessing.get_context("fork").Pipe()
        driver = multiprocessing.get_context("fork").Process(target=drive, args=(prepared, server.port, theirs))
        driver.start()
        theirs.close()
        try:
            server.start()
            warm_up(server.port, cookies)
            spent = cpu_seconds(server.process_id)
            ours.send("go")
            busy = probe(server.port, cookies, lambda: ours.poll(None))
            spent = cpu_seconds(server.process_id) - spent
            herd = Herd(**ours.recv())
            # Idle is measured afterwards, with the same visits to show.
            idle = probe(server.port, cookies, lambda: time.sleep(idle_seconds))
            peak = peak_megabytes(server.process_id)
            server.stop()
        finally:
            driver.kill()
            driver.join()
            server.close()
        counts: list[int] = []
        with_database(server, lambda database: counts.extend(database.read(count)))
        return Measured(herd, phones * visits, counts[0], counts[1], p95(idle), p95(busy), peak, spent)


# The community


def prepare(
    database: Database, server: ServerProcess, prepared: list[Prepared], phones: int, visits: int
) -> dict[str, str]:
    """Everything the herd needs. Returns the cookies of whoever opens pages meanwhile."""
    build_world(database)
    database.write(lambda session: ensure_sealing_key(session, now=NOW))
    key = database.read(server_key)
    signing = [SigningPhone(volunteer(number)) for number in range(phones)]
    for first in range(0, phones, 100):
        database.write(lambda session, first=first: settle(session, signing[first : first + 100]))  # type: ignore[misc]
    epoch, head = database.read(
        lambda session: (SqlStore(session).epoch(COMMUNITY_ID), SqlStore(session).head(COMMUNITY_ID))
    )
    for phone in signing:
        prepared.append(Prepared(request_of(phone, key, server, visits, epoch=epoch, cursor=f"{head}."), visits))
    now = system_clock()
    staff, volunteer_session = sign_in(database, COORDINATOR, now=now), sign_in(database, ALICE, now=now)
    return {"/calendar": "", "/coordinator": f"linli-s={staff}", "/today": f"linli-s={volunteer_session}"}


def volunteer(number: int) -> Person:
    name = f"示例志愿者{number:04}"
    return Person(made_up_id(name), f"{1000 + number}", name, made_up_id(f"{name}'s phone"))


def doors_of(phone: SigningPhone) -> list[str]:
    return [made_up_id(f"{phone.owner.name}: door {number}") for number in range(DOORS)]


def settle(session: Session, phones: Sequence[SigningPhone]) -> None:
    for phone in phones:
        owner = phone.owner
        session.add(Volunteer(community_id=COMMUNITY_ID, id=owner.id, number=owner.number, name=owner.name))
        phone.enrol(session)
        doors = doors_of(phone)
        for number, door in enumerate(doors):
            put(session, "household", door, door=f"9-1-{number}01", risk="green")
        assign_round(
            session,
            community_id=COMMUNITY_ID,
            round_id=made_up_id(f"round of {owner.name}"),
            household_ids=doors,
            volunteer_ids=[owner.id],
        )


def request_of(
    phone: SigningPhone, key: ServerKey, server: ServerProcess, visits: int, *, epoch: str, cursor: str
) -> bytes:
    ephemeral_key.cache_clear()  # a key pair for each start of a worker
    doors, round_id = doors_of(phone), made_up_id(f"round of {phone.owner.name}")
    changes = [
        Change(
            change_id=uuid7(NOW),
            device_sequence=number,
            kind="visit",
            record_id=uuid7(NOW),
            action=Action.PUT,
            base=0,
            set={"household_id": doors[number % DOORS], "round_id": round_id, "outcome": "met", "note": NOTE[:200]},
            made_at=NOW,
            schema=1,
        )
        for number in range(1, visits + 1)
    ]
    body = message([phone.sealed(key, change) for change in changes], epoch=epoch, cursor=cursor)
    headers = phone.headers(body, origin=server.url) | {
        "Host": f"127.0.0.1:{server.port}",
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST /sync HTTP/1.1\r\n{head}\r\n".encode() + body


# The phones: a process of their own


def drive(prepared: Sequence[Prepared], port: int, pipe: Connection) -> None:
    pipe.recv()
    pipe.send(asdict(asyncio.run(stampede(prepared, port))))


async def stampede(prepared: Sequence[Prepared], port: int) -> Herd:
    herd, started = Herd(), time.monotonic()
    await asyncio.gather(*(exchange(each, port, herd) for each in prepared))
    herd.drained_seconds = time.monotonic() - started
    return herd


async def exchange(phone: Prepared, port: int, herd: Herd) -> None:
    """Until it is acknowledged: waits as long as the server says."""
    while True:
        try:
            status, headers, body = await ask(phone.request, port)
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            herd.failures.append(f"{type(error).__name__}: {error}")
            return
        if status == 503:
            herd.turned_away += 1
            await asyncio.sleep(float(headers["retry-after"]))
            continue
        if status != 200:
            herd.failures.append(f"{status}: {body[:200]!r}")
            return
        results: list[dict[str, Any]] = json.loads(body)["results"]
        for result in results:
            herd.outcomes[result["outcome"]] = herd.outcomes.get(result["outcome"], 0) + 1
        if {result["outcome"] for result in results} - {"accepted", "again"} or len(results) != phone.changes:
            herd.failures.append(f"answered {results[:2]}")
        return


async def ask(request: bytes, port: int) -> tuple[int, dict[str, str], bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        await writer.drain()
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    return int(lines[0].split()[1]), headers, body


# The people at their screens


def warm_up(port: int, cookies: dict[str, str]) -> None:
    """The first answers of a fresh server are left out: templates are compiled then."""
    for page in PAGES * 3:
        open_page(port, page, cookies[page])


def probe(port: int, cookies: dict[str, str], until: Callable[[], object]) -> dict[str, list[float]]:
    """Each person opens their page again and again, whatever it costs the others: a herd is over in seconds, and of twenty
    answers the slowest would be the 95th percentile."""
    stop = Event()
    with ThreadPoolExecutor(len(PAGES)) as people:
        seen = {page: people.submit(keep_opening, port, page, cookies[page], stop) for page in PAGES}
        try:
            until()
        finally:
            stop.set()
    return {page: answers.result() for page, answers in seen.items()}


def keep_opening(port: int, page: str, cookie: str, stop: Event) -> list[float]:
    times = [open_page(port, page, cookie)]
    while not stop.wait(PAUSE_SECONDS):
        times.append(open_page(port, page, cookie))
    return times


def open_page(port: int, page: str, cookie: str) -> float:
    started = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", page, headers={"Cookie": cookie} if cookie else {})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert answer.status == 200, (page, answer.status)
    return (time.perf_counter() - started) * 1000


def p95(seen: dict[str, list[float]]) -> dict[str, float]:
    return {page: quantiles([*times, *times], n=20)[-1] for page, times in seen.items()}


# What is left


def peak_megabytes(process_id: int) -> float:
    status = Path(f"/proc/{process_id}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def cpu_seconds(process_id: int) -> float:
    fields = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def count(session: Session) -> list[int]:
    """Visits, as records and as lines of history."""
    found = []
    for model in (Record, StoredChange):
        statement = select(func.count()).select_from(model).where(model.kind == "visit")
        found.append(session.exec(statement, execution_options={"is_scoped": True}).one())
    return found
