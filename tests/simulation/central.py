"""The central side of a history: the real message path over a store that can crash, be backed up and be restored.

    text ─> parse_json ─> decode_message ─> accept ─> page ─> encode_answer ─> text

On the SQL stores this is server.sync_api.Exchange itself, run by the real Database; on memory the same steps stand
here, over a copy of the state that replaces it at commit.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from starlette.requests import Request as HttpRequest

from server.bodies import BodyTooLarge
from server.device_requests import error_response, parse_json
from server.envelopes import read_envelope
from server.rules import RULES, SCHEMA_OLDEST
from server.sync_api import wire_result
from sync.changes import Author, Change, Record, Result
from sync.engine import Page, Rules, accept, page
from sync.errors import SyncError, TryLater, UnknownDevice
from sync.gaps import advance
from sync.kinds import Role
from sync.protocol import PACKED_BYTES_MAX, Message, decode_message, encode_answer
from sync.store import MemoryStore
from tests.simulation.boxes import key_ring

COMMUNITY = 1
JSON_HEADERS = [(b"content-type", b"application/json")]


class Crash(Exception):
    """The process died before its commit."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A device as the central side knows it."""

    device_id: str
    person_id: str
    name: str
    standing: str = "active"
    received_through: int = 0
    high_water: int = 0


@dataclass(frozen=True, slots=True)
class Round:
    round_id: str
    household_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """One message as it arrives. `fate` is what befalls the server while it works on it:
    "" nothing, "before" it dies before the commit, "after" between commit and answer, "storage" the disk is full."""

    device_id: str
    text: str
    now: int
    fate: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    text: str
    retry_after_ms: int | None = None

    def wire(self) -> dict[str, Any]:
        return {"status": self.status, "text": self.text, "retry_after_ms": self.retry_after_ms}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the history, as the checker reads it."""

    change_id: str
    device_id: str
    device_sequence: int
    kind: str
    record_id: str
    action: str
    set: Mapping[str, Any]
    made_at: int
    schema: int
    outcome: str
    code: str
    revision: int


class Central(ABC):
    """What the world asks of the central side. `exchange` returns None when nothing comes back."""

    def exchange(self, request: Request) -> Reply | None:
        try:
            message = decode_message(self.parse(request.text))
            answer = self.work(request, message)
        except SyncError as error:
            return failure(error)
        except Crash:
            return None
        return None if request.fate == "after" else Reply(200, text_of(answer))

    def parse(self, text: str) -> Any:
        body = text.encode()
        if len(body) > PACKED_BYTES_MAX:
            raise BodyTooLarge(PACKED_BYTES_MAX)
        return parse_json(HttpRequest({"type": "http", "headers": JSON_HEADERS}), body)

    def together(self, first: Request, second: Request) -> tuple[Reply | None, Reply | None]:
        """Two messages at the same instant. The store decides what that means; here one waits for the other."""
        return self.exchange(first), self.exchange(second)

    @abstractmethod
    def work(self, request: Request, message: Message) -> dict[str, Any]:
        """One push and pull in one transaction. Raises Crash when the server dies before the commit."""

    @abstractmethod
    def write(self, author: Author, changes: Sequence[Change], now: int) -> list[Result]:
        """What a coordinator does at her desk, or the server itself."""

    @abstractmethod
    def assign(self, person_id: str, given: Round) -> None: ...

    @abstractmethod
    def withdraw(self, person_id: str, given: Round, now: int) -> None: ...

    @abstractmethod
    def revoke(self, device_id: str) -> None: ...

    @abstractmethod
    def backup(self) -> Any: ...

    @abstractmethod
    def restore(self, backup: Any, epoch: str) -> None: ...

    @abstractmethod
    def records(self) -> dict[str, Record]: ...

    @abstractmethod
    def history(self) -> list[Line]: ...

    @abstractmethod
    def head(self) -> int: ...

    @abstractmethod
    def epoch(self) -> str: ...

    @abstractmethod
    def scopes(self, person_id: str) -> Collection[str]:
        """What the person may see now."""


# Memory


class SimulatedStore(MemoryStore):
    """MemoryStore with a few looks inside for the world and the checker."""

    def fork(self) -> "SimulatedStore":
        twin = copy(self)
        for name, value in vars(self).items():
            if isinstance(value, dict):
                setattr(twin, name, dict(value))
        return twin

    def begin_epoch(self, epoch: str) -> None:
        self._epoch = epoch

    def lines(self) -> list[Line]:
        return [
            Line(
                entry.change.change_id,
                entry.author.device_id,
                entry.change.device_sequence,
                entry.change.kind,
                entry.change.record_id,
                entry.change.action.value,
                entry.change.set,
                entry.change.made_at,
                entry.change.schema,
                entry.outcome.value,
                entry.code,
                entry.revision,
            )
            for entry in self._entries.values()
        ]

    def sequences(self, device_id: str) -> set[int]:
        entries = self._entries.values()
        return {entry.change.device_sequence for entry in entries if entry.author.device_id == device_id}

    def all_records(self) -> dict[str, Record]:
        return dict(self._records)

    def active(self, person_id: str) -> Collection[str]:
        return {each.scope_id for each in self._grants.values() if each.person_id == person_id and each.is_active}


@dataclass
class State:
    """Everything that a commit makes lasting."""

    store: SimulatedStore
    devices: dict[str, Enrolled] = field(default_factory=dict)
    rounds: dict[str, set[str]] = field(default_factory=dict)  # by person

    def fork(self) -> "State":
        return State(self.store.fork(), dict(self.devices), {who: set(held) for who, held in self.rounds.items()})


class MemoryCentral(Central):
    """Mutants replace single steps: the store, the rules, `accept`, `page`, `commit`."""

    store_type: type[SimulatedStore] = SimulatedStore
    rules: Rules = RULES

    def __init__(self, devices: Sequence[Enrolled], rounds: Sequence[Round], epoch: str) -> None:
        self.state = State(self.store_type(epoch), {device.device_id: device for device in devices})
        self.rounds = {each.round_id: each for each in rounds}

    # The steps of server.sync_api.Exchange

    def work(self, request: Request, message: Message) -> dict[str, Any]:
        draft = self.state.fork()
        answer = self.answer(draft, request, message)
        self.finish(draft, request)
        return answer

    def answer(self, draft: State, request: Request, message: Message) -> dict[str, Any]:
        device = draft.devices[request.device_id]
        if device.standing == "waiting":
            raise UnknownDevice("not_confirmed", "a coordinator has not confirmed this device yet")
        author = author_of(device)
        changes = [self.read(envelope, device.device_id) for envelope in message.envelopes]
        results = self.accept(draft, author, changes, request.now)
        missing = note_contact(draft, device, message)
        pulled = self.page(draft, author, message)
        return encode_answer(
            page=pulled,
            results=[wire_result(*each) for each in zip(message.envelopes, results, strict=True)],
            missing=missing,
            now=request.now,
            oldest_schema=SCHEMA_OLDEST,
            standing=device.standing,
            as_columns=message.wants_columns,
        )

    def read(self, envelope: Any, device_id: str) -> Change:
        change = read_envelope(envelope, keys=key_ring(), device_id=device_id)
        assert change is not None, "no phone here sends anything as big"
        return change

    def accept(self, draft: State, author: Author, changes: Sequence[Change], now: int) -> list[Result]:
        return accept(draft.store, self.rules, changes, author=author, received_at=now)

    def page(self, draft: State, author: Author, message: Message) -> Page:
        return page(draft.store, author=author, epoch=message.epoch, after=message.cursor, limit=message.limit)

    def finish(self, draft: State, request: Request) -> None:
        if request.fate == "before":
            raise Crash
        if request.fate == "storage":
            raise TryLater("storage", "the database cannot take it now", retry_after_seconds=30)
        self.state = draft

    # Administration

    def write(self, author: Author, changes: Sequence[Change], now: int) -> list[Result]:
        draft = self.state.fork()
        results = accept(draft.store, self.rules, changes, author=author, received_at=now)
        self.state = draft
        return results

    def assign(self, person_id: str, given: Round) -> None:
        self.state.rounds.setdefault(person_id, set()).add(given.round_id)
        for scope_id in (given.round_id, *given.household_ids):
            self.state.store.grant(person_id, scope_id)

    def withdraw(self, person_id: str, given: Round, now: int) -> None:
        """As server.rounds.withdraw_round: doors that another of the person's rounds covers stay."""
        held = self.state.rounds.setdefault(person_id, set())
        if given.round_id not in held:
            return
        held.remove(given.round_id)
        covered = {door for other in held for door in self.rounds[other].household_ids}
        for scope_id in (given.round_id, *given.household_ids):
            if scope_id not in covered:
                self.state.store.withdraw(person_id, scope_id, now=now)

    def revoke(self, device_id: str) -> None:
        self.state.devices[device_id] = replace(self.state.devices[device_id], standing="revoked")

    def backup(self) -> State:
        return self.state.fork()

    def restore(self, backup: State, epoch: str) -> None:
        self.state = backup.fork()
        self.state.store.begin_epoch(epoch)

    # Looking

    def records(self) -> dict[str, Record]:
        return self.state.store.all_records()

    def history(self) -> list[Line]:
        return self.state.store.lines()

    def head(self) -> int:
        return self.state.store.head(COMMUNITY)

    def epoch(self) -> str:
        return self.state.store.epoch(COMMUNITY)

    def scopes(self, person_id: str) -> Collection[str]:
        return self.state.store.active(person_id)


def author_of(device: Enrolled) -> Author:
    is_revoked = device.standing != "active"
    return Author(COMMUNITY, device.person_id, device.name, device.device_id, Role.VOLUNTEER, is_revoked)


def note_contact(draft: State, device: Enrolled, message: Message) -> list[list[int]]:
    arrived = draft.store.sequences(device.device_id)
    high_water = max(message.high_water, device.high_water)
    through, missing = advance(device.received_through, arrived, high_water)
    draft.devices[device.device_id] = replace(device, received_through=through, high_water=high_water)
    return missing


def failure(error: SyncError) -> Reply:
    response = error_response(error)
    wait = response.headers.get("retry-after")
    return Reply(response.status_code, bytes(response.body).decode(), int(wait) * 1000 if wait else None)


def text_of(answer: Mapping[str, Any]) -> str:
    return msgspec.json.encode(answer).decode()


CentralFactory = Callable[[Sequence[Enrolled], Sequence[Round], str], Central]
