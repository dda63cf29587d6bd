"""Pushes as they really come: the same one many times at once, and every kind of broken one, to a real server."""

import asyncio
import gzip
import http.client
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import pytest
from sqlmodel import Session, col, select
from starlette.concurrency import run_in_threadpool

from server.app import create_app
from server.database import Database
from server.models import Change as StoredChange
from server.models import Record as StoredRecord
from server.sealing import ensure_sealing_key
from server.settings import Settings
from sync.changes import Change
from sync.engine import HELD_MAX
from sync.holdings import digest_of
from sync.protocol import CHANGE_BYTES_MAX, CHANGES_MAX, HELD_BYTES_MAX, PACKED_BYTES_MAX
from tests.browser.server_process import ServerProcess, with_database
from tests.browser.warm_server import WarmServer
from tests.loops import in_own_loop
from tests.people import (
    ALICE,
    BOB,
    CHARLIE,
    CHARLIES_DOOR,
    CHARLIES_ROUND_ID,
    GREEN_DOOR,
    NOW,
    RED_DOOR,
    build_world,
    log_visits,
    made_up_id,
    visit_change,
)
from tests.signing_phone import ServerKey, SigningPhone, Wire, message, server_key, wire_change

PUSHES = 64
MUTATIONS = 3000
AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class World:
    server: ServerProcess
    phone: SigningPhone
    waiting_phone: SigningPhone
    revoked_phone: SigningPhone
    key: ServerKey

    def push(
        self,
        body: bytes,
        phone: SigningPhone | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        path: str = "/sync",
    ) -> tuple[int, Wire]:
        signer = phone or self.phone
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        try:
            signed = signer.headers(body, origin=self.server.url, path=path)
            connection.request("POST", path, body, {**signed, **(headers or {})})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    server = WarmServer(tmp_path)
    phones = [SigningPhone(ALICE) for _ in range(3)]
    keys: list[ServerKey] = []

    def fill(database: Database) -> None:
        build_world(database)
        log_visits(database, BOB, visit_change("Bob's visit"))

        def add_phones(session: Session) -> None:
            for phone, standing in zip(phones, ("active", "waiting", "revoked"), strict=True):
                phone.enrol(session, standing=standing)
            ensure_sealing_key(session, now=NOW)

        database.write(add_phones)
        keys.append(database.read(server_key))

    with_database(server, fill)
    server.start()
    yield World(server, phones[0], phones[1], phones[2], keys[0])
    server.close()


def numbered(*changes: Change) -> list[Change]:
    return [replace(change, device_sequence=number) for number, change in enumerate(changes, start=1)]


def rows_of(world: World, phone: SigningPhone | None = None) -> tuple[list[StoredChange], dict[str, StoredRecord]]:
    """What the device's pushes left in the database of a server that has been stopped."""
    device_id = (phone or world.phone).device_id
    changes: list[StoredChange] = []
    records: dict[str, StoredRecord] = {}

    def read(session: Session) -> None:
        options = {"is_scoped": True}
        found = session.exec(
            select(StoredChange).where(StoredChange.device_id == device_id).order_by(col(StoredChange.device_sequence)),
            execution_options=options,
        )
        changes.extend(found)
        for record in session.exec(select(StoredRecord), execution_options=options):
            records[record.record_id] = record

    with_database(world.server, lambda database: database.read(read))
    return changes, records


# The same push, many times at once


def test_a_batch_pushed_sixty_four_times_in_parallel_is_stored_once(world: World) -> None:
    made = numbered(*(visit_change(f"visit {n}", needs=["meal_delivery"], urgency="days") for n in range(10)))
    body = message([world.phone.sealed(world.key, change) for change in made])

    with ThreadPoolExecutor(PUSHES) as threads:
        answers = list(threads.map(lambda _: world.push(body), range(PUSHES)))

    assert [status for status, _ in answers] == [200] * PUSHES
    for index, change in enumerate(made):
        results = [answer["results"][index] for _, answer in answers]
        assert {result["change_id"] for result in results} == {change.change_id}
        assert Counter(result["outcome"] for result in results) == {"accepted": 1, "again": PUSHES - 1}
        assert len({result["revision"] for result in results}) == 1
    world.server.stop()
    changes, records = rows_of(world)
    assert [row.change_id for row in changes if row.kind == "visit"] == [change.change_id for change in made]
    assert [json.loads(records[change.record_id].fields) for change in made] == [dict(change.set) for change in made]
    needs = [record for record in records.values() if record.kind == "need"]
    assert len(needs) == len(made)


def test_a_visit_pushed_by_many_connections_while_the_server_is_killed_is_there_once(world: World) -> None:
    made = numbered(*(visit_change(f"visit {n}") for n in range(40)))
    bodies = [message([world.phone.sealed(world.key, change)]) for change in made]

    def push_until_answered(body: bytes) -> Wire:
        while True:
            try:
                status, answer = world.push(body)
            except (OSError, http.client.HTTPException):
                continue
            assert status == 200, answer
            return answer

    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(push_until_answered, bodies[0])
        first.result()
        pending = [threads.submit(push_until_answered, body) for body in bodies[1:]]
        world.server.kill()
        world.server.start()
        answers = [first.result(), *(each.result() for each in pending)]

    assert [answer["results"][0]["outcome"] in ("accepted", "again") for answer in answers] == [True] * len(made)
    world.server.stop()
    changes, _ = rows_of(world)
    assert [row.change_id for row in changes] == [change.change_id for change in made]


# Broken changes between sound ones


def test_each_broken_change_gets_its_own_code_and_its_neighbours_are_taken(world: World) -> None:
    phone, key = world.phone, world.key
    entries: list[Wire] = []
    expected: list[tuple[str, str]] = []

    def add(
        name: str,
        code: str,
        *,
        wire: Wire | None = None,
        envelope: Wire | None = None,
        is_open: bool = False,
        **fields: Any,
    ) -> None:
        """The entry called name, sealed or in the open, then a sound one."""
        for which, is_broken in ((name, True), (f"{name}'s neighbour", False)):
            sequence = len(entries) + 1
            made = wire_change(visit_change(which, **(fields if is_broken else {})), device_sequence=sequence)
            if not is_broken:
                entries.append(phone.sealed(key, made))
            elif is_open:
                made |= wire or {}
                entries.append({"change_id": made["change_id"], "device_sequence": sequence, "change": made})
            else:
                entries.append(phone.sealed(key, made | (wire or {})) | (envelope or {}))
        expected.extend([("held", code), ("accepted", "")])

    at_a_door = {"household_id": RED_DOOR, "outcome": "met"}
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    other = phone.sealed(key, wire_change(visit_change("another"), device_sequence=900))
    add("foreign scope", "not_in_scope", door=CHARLIES_DOOR, round_id=CHARLIES_ROUND_ID)
    add("unknown scope", "not_in_scope", door=made_up_id("no door"))
    add("no scope", "not_in_scope", wire={"set": {"outcome": "met"}})
    add("schema of the future", "unknown_schema", wire={"schema": 99})
    add("kind of the future", "unknown_kind", wire={"kind": "hologram"})
    add("code of the future", "bad_field", outcome="teleported")
    add("endless note", "bad_field", note="长" * 201)
    add("number for a name", "not_in_scope", wire={"set": {"household_id": 7, "outcome": "met"}})
    add("reserved name", "bad_field", wire={"set": {**at_a_door, "revision": 1}})
    add("another reserved name", "bad_field", scope_id=RED_DOOR)
    add("no outcome", "bad_field", wire={"set": {"household_id": RED_DOOR}})
    add("too many fields", "bad_field", wire={"set": {f"field_{n}": n for n in range(70)} | at_a_door})
    add("review by a volunteer", "not_allowed", review_state="approved")
    add("household by a volunteer", "not_allowed", wire={"kind": "household", "set": {"risk": "green"}})
    add("somebody else's", "not_the_author", wire={"record_id": made_up_id("Bob's visit"), "set": {"note": "mine now"}})
    add("withdrawal of nothing", "not_in_scope", wire={"action": "void", "set": {}})
    add("action of the future", "bad_change", wire={"action": "improve"})
    add("action of a schema of the future", "unknown_schema", wire={"action": "improve", "schema": 99}, note="READABLE")
    add("no action", "bad_change", wire={"action": None})
    add("fields of another shape", "bad_change", wire={"set": ["outcome", "met"]})
    add("record without an id", "bad_change", wire={"record_id": "7"})
    add("half a character", "bad_change", is_open=True, note="\ud800")
    add("half a character in a box", "bad_change", note="READABLE \ud800")
    add("no number in a box", "bad_change", note="READABLE", odd=float("inf"))
    add("endless change", "bad_change", note="x" * CHANGE_BYTES_MAX)
    add("nested too deep", "bad_change", nested=deep)
    add("base that nests too deep", "bad_change", wire={"base": deep})
    add("nested too deep in the open", "bad_change", is_open=True, wire={"set": {**at_a_door, "odd": deep[0][0]}})
    add("the character 0", "bad_change", odd="a\0b")
    add("the character 0 in the open", "bad_change", is_open=True, wire={"kind": "vi\0sit"})
    add("kind of what cannot be read", "bad_change", wire={"kind": "unreadable"})
    add("half a kind", "bad_change", is_open=True, wire={"kind": "\ud800"})
    add("half a field name", "bad_change", is_open=True, wire={"set": {**at_a_door, "\ud800": 1}})
    add("half a base", "bad_change", is_open=True, wire={"base": "\ud800"})
    add("half a box", "unsealable", envelope={"sealed": "\ud800"})
    add("garbage in the box", "unsealable", envelope={"sealed": "AQID"})
    add("no base64", "unsealable", envelope={"sealed": "=/+ nonsense"})
    add("another's box", "unsealable", envelope={"sealed": other["sealed"]})
    add("another number", "unsealable", envelope={"device_sequence": 901})
    add("no box at all", "bad_change", envelope={"sealed": None})
    add("box of another type", "bad_change", envelope={"sealed": {"a": 1}})

    status, answer = world.push(message(entries))

    assert status == 200, answer
    found = [(result["outcome"], result.get("code", "")) for result in answer["results"]]
    names = [entry["change_id"] for entry in entries]
    assert [result["change_id"] for result in answer["results"]] == names
    assert found == expected
    # Nothing is dropped: every one is in the history, the held ones with all that came.
    world.server.stop()
    changes, _ = rows_of(world)
    assert Counter(row.outcome for row in changes) == Counter(outcome for outcome, _ in expected)
    assert {row.change_id for row in changes} == set(names)
    # And where it could be opened a person can read it.
    unreadable = [row for row in changes if row.kind == "unreadable"]
    readable = [row.code for row in unreadable if "READABLE" in json.loads(row.fields)["raw"]]
    assert sorted(readable) == ["bad_change", "bad_change", "unknown_schema"]


@pytest.mark.parametrize(("is_sealed", "character"), [(False, "x"), (False, "户"), (True, "x")])
def test_what_is_far_too_big_for_a_change_is_kept_by_its_phone_and_not_by_the_server(
    world: World, is_sealed: bool, character: str
) -> None:
    """In bytes. Two hundred of them, packed, are a small message; kept whole they filled the memory of whoever looked."""
    neighbour = world.phone.sealed(world.key, replace(visit_change("neighbour"), device_sequence=1))
    far_too_big = character * (HELD_BYTES_MAX // len(character.encode()) + 1)
    entry: Wire = {"change_id": made_up_id("huge"), "device_sequence": 900}
    entry |= {"sealed": far_too_big} if is_sealed else {"change": {"x": far_too_big}}

    answers = [world.push(message([entry, neighbour])) for _ in range(2)]

    found = [[(each["change_id"], each["outcome"]) for each in answer["results"]] for _, answer in answers]
    assert found == [
        [(entry["change_id"], "too_big"), (neighbour["change_id"], outcome)] for outcome in ("accepted", "again")
    ]
    assert [answer["missing"] for _, answer in answers] == [[[2, 900]]] * 2
    world.server.stop()
    changes, _ = rows_of(world)
    assert [row.change_id for row in changes] == [neighbour["change_id"]]


def test_a_phone_that_was_revoked_fills_no_disk(world: World) -> None:
    """Of the last thirty days a thousand; the rest stays where it is, and what is here already is known."""
    entries: list[Wire] = [
        {"change_id": made_up_id(f"sent {number}"), "device_sequence": number, "change": {"x": "text"}}
        for number in range(1, HELD_MAX + 101)
    ]

    def sent() -> Counter[str]:
        parts = [entries[at : at + CHANGES_MAX] for at in range(0, len(entries), CHANGES_MAX)]
        answers = [world.push(message(part), world.revoked_phone) for part in parts]
        assert {status for status, _ in answers} == {200}
        return Counter(result["outcome"] for _, answer in answers for result in answer["results"])

    assert [sent(), sent()] == [{"held": HELD_MAX, "later": 100}] * 2
    status, answer = world.push(message([world.phone.sealed(world.key, visit_change("Alice's own"))]))
    assert (status, answer["results"][0]["outcome"]) == (200, "accepted")
    world.server.stop()
    changes, _ = rows_of(world, world.revoked_phone)
    assert len(changes) == HELD_MAX


@pytest.mark.parametrize(("per_change", "of", "code"), [(60, 1, "bad_field"), (1, 60_000, "bad_change")])
def test_a_record_that_grows_without_end_is_held_where_it_begins_to_stop_others(
    world: World, per_change: int, of: int, code: str
) -> None:
    """A page is cut by records; each amendment for itself is small enough."""
    grown = visit_change("grown")
    amendments: list[Change] = []
    for number in range(5):
        fields = {f"x{number}_{nth}": "x" * of for nth in range(per_change)}
        base = amendments[-1].change_id if amendments else grown.change_id
        amendments.append(visit_change("grown", base=base, **fields))
    wire = [
        world.phone.sealed(world.key, replace(each, device_sequence=n))
        for n, each in enumerate([grown, *amendments], 1)
    ]

    _, answer = world.push(message(wire))

    assert (
        [each.get("code", "") for each in answer["results"]] == [""] * 4 + [code] * 2
        if of == 1
        else [""] * 3 + [code] * 3
    )


def test_a_number_that_no_float_holds_stops_nobody(world: World) -> None:
    """1e999 is JSON. It stays what was sent, and the same bytes sent again are known."""
    first, second, third = numbered(*(visit_change(f"visit {number}", extra=123456789) for number in range(3)))
    entries = [
        open_entry(first),
        open_entry(second) | {"change": {"x": 987654321}},
        world.phone.sealed(world.key, third),
    ]
    body = message(entries).replace(b"123456789", b"1e999").replace(b"987654321", b"[-1e999]")

    answers = [world.push(body) for _ in range(2)]

    outcomes = [[each["outcome"] for each in answer["results"]] for _, answer in answers]
    assert outcomes == [["accepted", "held", "accepted"], ["again", "held", "again"]]
    world.server.stop()
    _, records = rows_of(world)
    assert json.loads(records[first.record_id].fields)["extra"] == "1e999"


def open_entry(change: Change) -> Wire:
    return {"change_id": change.change_id, "device_sequence": change.device_sequence, "change": wire_change(change)}


def test_an_id_used_twice_keeps_both_contents(world: World) -> None:
    first, second = numbered(visit_change("a visit"), visit_change("a visit"))
    other = replace(second, set={**second.set, "note": "other content"})
    world.push(message([world.phone.sealed(world.key, first)]))

    answers = [world.push(message([world.phone.sealed(world.key, other)])) for _ in range(3)]

    outcomes = [(status, answer["results"][0]["outcome"], answer["results"][0]["code"]) for status, answer in answers]
    assert outcomes == [(200, "held", "same_id_other_content")] * 3
    world.server.stop()
    changes, records = rows_of(world)
    assert len(changes) == 2
    assert "note" not in json.loads(records[first.record_id].fields)
    assert "other content" in changes[1].fields


def test_a_revoked_phone_s_visits_are_held_and_it_is_given_nothing(world: World) -> None:
    (change,) = numbered(visit_change("the last visit"))

    status, answer = world.push(message([world.revoked_phone.sealed(world.key, change)]), world.revoked_phone)

    assert (status, answer["standing"], answer["records"]) == (200, "revoked", {})
    assert (answer["results"][0]["outcome"], answer["results"][0]["code"]) == ("held", "device_revoked")


def test_a_pull_shows_nothing_of_other_people_s_doors(world: World) -> None:
    _, answer = world.push(message([]))

    assert CHARLIES_DOOR not in json.dumps(answer)
    assert RED_DOOR in json.dumps(answer)


# Broken messages


def test_each_broken_message_gets_its_own_code_and_changes_nothing(world: World) -> None:
    (change,) = numbered(visit_change("a visit"))
    entry = world.phone.sealed(world.key, change)
    good = message([entry])
    stranger = SigningPhone(CHARLIE)
    nested: Any = []
    for _ in range(100):
        nested = [nested]
    noise = Random(1).randbytes(PACKED_BYTES_MAX)
    zeros = gzip.compress(b" " * 8_000_000)

    def code(body: bytes, phone: SigningPhone | None = None, **headers: str) -> tuple[int, str]:
        status, answer = world.push(body, phone, {name.replace("_", "-"): value for name, value in headers.items()})
        assert "epoch" not in answer, "only an answer with an epoch acknowledges anything"
        return status, answer["code"]

    assert code(b"") == (400, "bad_message")
    assert code(b"{") == (400, "bad_message")
    assert code(b"[]") == (400, "bad_message")
    assert code(b"\xff\xfe" + good) == (400, "bad_message")
    assert code(b"[" * 100_000) == (400, "bad_message")
    assert code(message([entry], now=float("nan"))) == (400, "bad_message")
    assert code(message([entry], extra=nested)) == (400, "bad_message")
    assert code(message([], changes="all of them")) == (400, "bad_message")
    assert code(message([], epoch=7)) == (400, "bad_message")
    assert code(message([], settings={"language": 1})) == (400, "bad_message")
    assert code(message([], limit=-1))[0] == 400
    assert code(message([entry], protocol=99)) == (400, "unknown_protocol")
    assert code(message([entry], protocol="1")) == (400, "unknown_protocol")
    assert code(message([entry] * (CHANGES_MAX + 1))) == (400, "too_many_changes")
    assert code(good, Content_Type="text/plain") == (400, "bad_message")
    assert code(good, Content_Encoding="br") == (400, "bad_message")
    assert code(good, Content_Encoding="gzip") == (400, "bad_gzip")
    assert code(gzip.compress(good)[:-4], Content_Encoding="gzip") == (400, "bad_gzip")
    assert code(zeros, Content_Encoding="gzip") == (413, "too_large")
    assert code(noise + b"1") == (413, "too_large")
    assert code(good, stranger) == (401, "unknown_device")
    assert code(good, world.waiting_phone) == (401, "not_confirmed")
    assert code(good, Linli_Signature=world.phone.headers(b"another", origin="")["Linli-Signature"]) == (
        401,
        "unknown_device",
    )
    assert code(good, Linli_Signature="") == (401, "unknown_device")
    assert code(good, Linli_Device="nobody") == (401, "unknown_device")

    status, answer = world.push(gzip.compress(good), headers={"Content-Encoding": "gzip"})
    assert (status, answer["results"][0]["outcome"]) == (200, "accepted")
    world.server.stop()
    changes, _ = rows_of(world)
    assert [row.change_id for row in changes] == [change.change_id]


# Anything at all


def test_no_body_at_all_makes_the_server_fail(tmp_path: Path) -> None:
    """Bodies that were damaged at random: an answer of ours to each, and every change that was answered is kept."""
    settings = Settings(data_dir=tmp_path, public_url="http://127.0.0.1:8000")
    with_database(ServerProcess(tmp_path), build_world)
    app = create_app(settings, clock=lambda: NOW)
    random, phone = Random(20261123), SigningPhone(ALICE)
    answered: set[str] = set()

    async def push_all() -> set[str]:
        async with app.router.lifespan_context(app):
            database: Database = app.state.database
            await run_in_threadpool(database.write, phone.enrol)
            key = await run_in_threadpool(database.read, server_key)
            bodies = (damaged_message(random, phone, key, number) for number in range(MUTATIONS))
            transport = httpx2.ASGITransport(app=app)
            async with httpx2.AsyncClient(transport=transport, base_url=settings.public_url) as client:
                while batch := list(islice(bodies, AT_ONCE)):
                    await asyncio.gather(*(push(client, body) for body in batch))
            return await run_in_threadpool(database.read, kept_ids)

    async def push(client: httpx2.AsyncClient, body: bytes) -> None:
        headers = phone.headers(body, origin=settings.public_url)
        answer = await client.post("/sync", content=body, headers=headers)
        assert answer.status_code in (200, 400, 413), (answer.status_code, body)
        wire = answer.json()
        if answer.status_code != 200:
            assert wire["code"], body
            assert "epoch" not in wire, body
            return
        assert len(wire["results"]) == len(json.loads(body).get("changes", [])), body
        for result in wire["results"]:
            assert result["outcome"] in ("accepted", "again", "merged", "conflict", "held"), (result, body)
        answered.update(result["change_id"] for result in wire["results"] if result["outcome"] == "accepted")

    kept = in_own_loop(push_all())

    assert len(answered) > MUTATIONS / 10, "too few were sound to prove anything"
    assert answered <= kept


@pytest.mark.parametrize("path", ["/sync", "/sync/import"])
def test_no_depth_at_all_makes_the_server_fail(world: World, path: str) -> None:
    """Just where Python itself gives up, reading may go well and writing down may not."""
    answers = set()
    for levels in (16, 200, *range(960, 1010)):
        name = made_up_id(f"{levels}")
        odd = f'{{"kind":"visit","set":{{"odd":{"[" * levels}{"]" * levels}}}}}'
        body = f'{{"protocol":1,"changes":[{{"change_id":"{name}","device_sequence":1,"change":{odd}}}]}}'
        answers.add(world.push(body.encode(), path=path)[0])

    assert answers == {200, 400}


def kept_ids(session: Session) -> set[str]:
    return set(session.exec(select(StoredChange.change_id), execution_options={"is_scoped": True}))


def damaged_message(random: Random, phone: SigningPhone, key: ServerKey, number: int) -> bytes:
    """A sound message with a few things in it replaced, at any depth, sometimes cut or with bytes overwritten."""
    made: Any = wire_change(
        visit_change(f"visit {number}", door=random.choice((RED_DOOR, GREEN_DOOR))), device_sequence=number
    )
    if random.random() < 0.5:
        made = damaged(random, made)
    entry: Wire = {"change_id": made_up_id(f"broken {number}"), "device_sequence": number, "change": made}
    if isinstance(made, dict) and random.random() < 0.5:
        with suppress(KeyError, UnicodeEncodeError):  # an id is gone, or half a character
            entry = phone.sealed(key, made)
    neighbour = phone.sealed(key, wire_change(visit_change(f"neighbour {number}"), device_sequence=number + MUTATIONS))
    wire = json.loads(message([neighbour]))
    wire["changes"].append(entry)
    for _ in range(random.randrange(3)):
        wire = damaged(random, wire)
    body = json.dumps(wire).encode()
    if random.random() < 0.1:
        body = body[: random.randrange(len(body))]
    if random.random() < 0.1:
        place = random.randrange(len(body) + 1)
        body = body[:place] + random.randbytes(random.randrange(1, 5)) + body[place + 1 :]
    return body


STRANGE: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**53,
    2**63,
    2**64,
    10**400,
    1.5,
    -0.0,
    1e308,
    "",
    "0",
    "x" * 70,
    "\ud800",
    "\udfff.\ud800",
    "\x00",
    "5.zzzz",
    "5.",
    ".5",
    "٣.x",
    "1" * 5000,
    "00000000-0000-0000-0000-000000000000",
    "{00000000-0000-0000-0000-000000000000}",
    [],
    {},
    [None],
    [[]],
    {"": {}},
    ["met", "met"],
)


def damaged(random: Random, value: Any) -> Any:
    """The value with one thing in it, somewhere, replaced, removed or renamed."""
    if not isinstance(value, dict | list) or not value or random.random() < 0.15:
        return random.choice(STRANGE)
    if isinstance(value, list):
        place = random.randrange(len(value))
        return [*value[:place], damaged(random, value[place]), *value[place + 1 :]]
    name = random.choice(sorted(value))
    chance = random.random()
    rest = {other: inside for other, inside in value.items() if other != name}
    if chance < 0.1:
        return rest
    if chance < 0.2:
        return {**rest, random.choice(("", "\ud800", "id", "set", "code", "x" * 50)): value[name]}
    return {**rest, name: damaged(random, value[name])}


def test_a_phone_learns_whether_it_holds_what_it_should(world: World) -> None:
    status, answer = world.push(message([]))
    assert (status, answer["more"]) == (200, False)
    held = [(record["id"], record["revision"]) for records in answer["records"].values() for record in records]
    asked = {"epoch": answer["epoch"], "cursor": answer["cursor"], "digest": digest_of(held)}

    def verdict(phone: SigningPhone | None = None, **changed: Any) -> tuple[int, str]:
        status, found = world.push(json.dumps(asked | changed).encode(), phone, path="/sync/audit")
        return status, found.get("verdict") or found["code"]

    assert held
    assert verdict() == (200, "same")
    assert verdict(digest=digest_of(held[1:])) == (200, "differs")
    assert verdict(epoch="another") == (200, "behind")
    assert verdict(cursor="nonsense") == (200, "behind")
    assert verdict(world.revoked_phone) == (200, "behind")
    assert verdict(world.waiting_phone) == (401, "not_confirmed")
    assert verdict(SigningPhone(CHARLIE)) == (401, "unknown_device")
    assert verdict(digest=7) == (400, "bad_message")
    assert world.push(b"[]", path="/sync/audit")[0] == 400
