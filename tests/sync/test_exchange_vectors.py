"""The server's half of sync/vectors/exchange.json: each request, in its world, gets the answer that is frozen there.

The world of a case is a log, one line a place of the feed: a change that somebody made, a scope granted, one withdrawn.
"""

import json
from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlmodel import Session, SQLModel, col, update

from server import models
from server.accepting import accept_changes
from server.database import Database
from server.device_requests import error_response
from server.envelopes import read_envelope
from server.rounds import assign_round
from server.rules import RULES, SCHEMA, SCHEMA_OLDEST
from server.store import SqlStore
from server.sync_api import Exchange, pull, wire_result
from sync.changes import Author, Held, Outcome
from sync.engine import Rules, accept
from sync.errors import MalformedMessage, TryLater
from sync.gaps import advance
from sync.kinds import Role
from sync.protocol import Envelope, Message, decode_change, decode_message, encode_answer
from tests.simulation.central import SimulatedStore
from tests.simulation.central_sql import database

Json = dict[str, Any]

SYNC = Path("sync")
VECTORS: Json = json.loads((SYNC / "vectors/exchange.json").read_text(encoding="utf-8"))
CASES: list[Json] = VECTORS["cases"]
NAMES = [case["name"] for case in CASES]
REFUSALS = [(case["name"], each) for case in CASES for each in case["messages"] if each.get("text", "").startswith("{")]
COMMUNITY: int = VECTORS["community_id"]
NOW: int = VECTORS["now"]


class Server(ABC):
    """A server that has lived through the world's log, and the device of `who`, ready to be asked."""

    def __init__(self, world: Json, who: str) -> None:
        self.world = world
        self.who = author_of(who, is_revoked=world.get("standing") == "revoked")
        self.prepare()
        for line in world["log"]:
            self.live(line)
            assert self.head() == line["place"]

    def live(self, line: Json) -> None:
        if "grant" in line:
            self.grant(person_id(line["grant"]), line["scope"])
        elif "withdraw" in line:
            self.withdraw(person_id(line["withdraw"]), line["scope"], line["at"])
        else:
            author = author_of(line["by"])
            self.write(replace(author, device_id=line.get("device_id", author.device_id)), line["change"], line["at"])

    def answer(self, request: Json) -> Json:
        message = decode_message(request)
        limit = min(message.limit, self.world.get("page_records_max", message.limit))
        return self.exchange(decode_message({**request, "limit": limit}))

    @abstractmethod
    def prepare(self) -> None: ...

    @abstractmethod
    def head(self) -> int: ...

    @abstractmethod
    def grant(self, person: str, scope: str) -> None: ...

    @abstractmethod
    def withdraw(self, person: str, scope: str, at: int) -> None: ...

    @abstractmethod
    def write(self, author: Author, change: Json, at: int) -> None: ...

    @abstractmethod
    def exchange(self, message: Message) -> Json: ...


class MemoryServer(Server):
    """The engine over MemoryStore, in the steps of server.sync_api.Exchange."""

    def prepare(self) -> None:
        self.store = SimulatedStore(self.world["epoch"])
        newest = self.world.get("schema", RULES.schema_max)
        self.rules = Rules(RULES.kinds, RULES.schema_min, newest, RULES.check, RULES.derive)

    def head(self) -> int:
        return self.store.head(COMMUNITY)

    def grant(self, person: str, scope: str) -> None:
        self.store.grant(person, scope)

    def withdraw(self, person: str, scope: str, at: int) -> None:
        self.store.withdraw(person, scope, now=at)

    def write(self, author: Author, change: Json, at: int) -> None:
        accept(
            self.store, self.rules, [decode_change(change, envelope=envelope(change))], author=author, received_at=at
        )

    def exchange(self, message: Message) -> Json:
        who, store = self.who, self.store
        read = [read_envelope(each, keys={}, device_id=who.device_id) for each in message.envelopes]
        changes = [change for change in read if change is not None]
        results = accept(store, self.rules, changes, author=who, received_at=NOW)
        _, missing = advance(0, store.sequences(who.device_id), message.high_water)
        pause_ms = self.world.get("push_pause_ms", 0) if changes else 0
        oldest = self.world.get("oldest_schema", SCHEMA_OLDEST)
        pulled, _ = pull(store, who, message, is_pressed=pause_ms > 0, oldest_schema=oldest)
        return encode_answer(
            page=pulled,
            results=[wire_result(*each) for each in zip(message.envelopes, results, strict=True)],
            missing=missing,
            now=NOW,
            oldest_schema=oldest,
            standing=standing(self.world),
            pause_ms=pause_ms,
            as_columns=message.wants_columns,
        )


class SqliteServer(Server):
    """What POST /sync itself does with a message, on SQLite."""

    database: Database

    def prepare(self) -> None:
        self.database = database("sqlite")
        self.database.write(self._people)

    def _people(self, session: Session) -> None:
        connection = session.connection()
        for table in reversed(SQLModel.metadata.sorted_tables):
            connection.execute(table.delete())
        session.add(models.Community(id=COMMUNITY, name="示例社区", epoch=self.world["epoch"]))
        session.add(models.Feed(community_id=COMMUNITY, head=0))
        who = self.who
        session.add(models.Volunteer(community_id=COMMUNITY, id=who.person_id, number="0001", name=who.name))
        session.add(
            models.Device(
                community_id=COMMUNITY,
                id=who.device_id,
                volunteer_id=who.person_id,
                name=who.name,
                check_number="0001",
                standing=standing(self.world),
                created_at=0,
            )
        )

    def head(self) -> int:
        return self.database.read(lambda session: SqlStore(session).head(COMMUNITY))

    def grant(self, person: str, scope: str) -> None:
        self.database.write(
            lambda session: assign_round(
                session, community_id=COMMUNITY, round_id=scope, household_ids=[], volunteer_ids=[person]
            )
        )

    def withdraw(self, person: str, scope: str, at: int) -> None:
        def end(session: Session) -> None:
            place = SqlStore(session).take_place(COMMUNITY)
            session.exec(
                update(models.Grant)
                .where(col(models.Grant.person_id) == person, col(models.Grant.scope_id) == scope)
                .values(ended_revision=place, ended_at=at)
            )

        self.database.write(end)

    def write(self, author: Author, change: Json, at: int) -> None:
        changes = [decode_change(change, envelope=envelope(change))]
        self.database.write(lambda session: accept_changes(session, author, changes, at))

    def exchange(self, message: Message) -> Json:
        pause_ms = self.world.get("push_pause_ms", 0) if message.envelopes else 0
        answer: Json = on_the_wire(Exchange(self.who.device_id, message, NOW, pause_ms).done_in(self.database))
        return answer


def on_the_wire(answer: Json) -> Any:
    return msgspec.json.decode(msgspec.json.encode(answer))


def is_of_today(case: Json) -> bool:
    """A volunteer's phone and the schemas of this release: what the server itself can be asked for."""
    role = VECTORS["people"][case["phone"]["who"]]["role"]
    return bool(role == "volunteer" and case["world"].get("schema", SCHEMA) == SCHEMA)


TODAYS = [case for case in CASES if is_of_today(case)]


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_engine_gives_the_frozen_answers(case: Json) -> None:
    check_answers(MemoryServer(case["world"], case["phone"]["who"]), case)


@pytest.mark.parametrize("case", TODAYS, ids=[case["name"] for case in TODAYS])
def test_server_gives_the_frozen_answers(case: Json) -> None:
    check_answers(SqliteServer(case["world"], case["phone"]["who"]), case)


@pytest.mark.parametrize("message", [each for _, each in REFUSALS], ids=[name for name, _ in REFUSALS])
def test_server_words_a_refusal_so(message: Json) -> None:
    said, retry_after = json.loads(message["text"]), message.get("retry_after")
    later = TryLater(said["code"], said["message"], retry_after_seconds=int(retry_after or 0))
    error = later if said["retry"] else MalformedMessage(said["code"], said["message"])

    answer = error_response(error)

    found = (answer.status_code, bytes(answer.body).decode(), answer.headers.get("Retry-After"))
    assert found == (message["status"], message["text"], retry_after)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_case_obeys_words_of_the_protocol(case: Json) -> None:
    words = " ".join((SYNC / "PROTOCOL.md").read_text(encoding="utf-8").split())

    assert case["obeys"] in words


def test_each_outcome_and_each_code_of_held_has_a_case() -> None:
    answers = [message["answer"] for case in CASES for message in case["messages"] if "answer" in message]
    results = [result for answer in answers for result in answer["results"]]

    assert {result["code"] for result in results if result["outcome"] == "held"} == set(Held)
    not_shown = {Outcome.LATER, Outcome.TOO_BIG}  # the one takes a thousand held changes, the other 256 KB
    assert {result["outcome"] for result in results} == set(Outcome) - not_shown


def test_names_are_used_once() -> None:
    assert len(set(NAMES)) == len(NAMES)


def check_answers(server: Server, case: Json) -> None:
    """What was refused, or answered by somebody else on the way (`text`), never reached the engine."""
    asked = [message for message in case["messages"] if "answer" in message]

    assert [server.answer(message["request"]) for message in asked] == [message["answer"] for message in asked]


def author_of(name: str, *, is_revoked: bool = False) -> Author:
    person = VECTORS["people"][name]
    return Author(COMMUNITY, person["id"], person["name"], person["device_id"], Role(person["role"]), is_revoked)


def person_id(name: str) -> str:
    return str(VECTORS["people"][name]["id"])


def standing(world: Json) -> str:
    return str(world.get("standing", "active"))


def envelope(change: Json) -> Envelope:
    return Envelope(change["change_id"], change["device_sequence"], None, change)
