"""Value types of the exchange: frozen, and valid once built."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeGuard

from sync.errors import MalformedMessage
from sync.kinds import Role

Fields = Mapping[str, Any]

_SPELLED = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII).fullmatch
SEQUENCE_MAX = 2**53 - 1  # what JavaScript counts exactly
TIME_MAX = 2**53 - 1  # ms
SKEW_MS_MAX = 10 * 60_000  # a phone's clock that differs from the server's by more is wrong


UNREADABLE = "unreadable"  # the kind of what came instead of a readable change; no device may name it


class Action(StrEnum):
    PUT = "put"
    VOID = "void"  # withdrawn by its author; a state, not an absence
    DISCARD = "discard"  # carries nothing; fills its device sequence so that no gap stays open


@dataclass(frozen=True, slots=True)
class Change:
    """One edit of one record by one device.

    `base` is what the editor was looking at: a revision (0 = the record was new) or the id of this device's own
    preceding change. `device_sequence` is 0 for what no phone made. `made_at` is the phone's clock in ms UTC, for people:
    no change is ordered by it. It decides three things only: whether the author held the scope when the change was made,
    which visits are a household's last three, and whether an answer that loosens consent is out of date
    (server/consent.py). Raises MalformedMessage (bad_change).
    """

    change_id: str
    device_sequence: int
    kind: str
    record_id: str
    action: Action
    base: int | str
    set: Fields
    made_at: int
    schema: int

    def __post_init__(self) -> None:
        require_uuid("change_id", self.change_id)
        require_uuid("record_id", self.record_id)
        require_integer("device_sequence", self.device_sequence, 0, SEQUENCE_MAX)
        require_integer("made_at", self.made_at, -TIME_MAX, TIME_MAX)
        require_integer("schema", self.schema, 1, 10_000)
        if isinstance(self.base, str):
            require_uuid("base", self.base)
        else:
            require_integer("base", self.base, 0, SEQUENCE_MAX)
        if self.action is not Action.PUT and self.set:
            raise MalformedMessage("bad_change", f"a {self.action} carries no fields")

    def content(self) -> tuple[object, ...]:
        """What was asked: two changes with one id are the same change when this is equal."""
        fields = compared(self.kind, self.set)
        return (self.kind, self.record_id, self.action.value, self.base, fields, self.made_at, self.schema)


def compared(kind: str, fields: Fields) -> Fields:
    """The fields that make two changes the same: of what could not be read, what came and not what was said of it."""
    return {"raw": fields.get("raw")} if kind == UNREADABLE else fields


@dataclass(frozen=True, slots=True)
class Record:
    """The current state of one record. `revision` is its place in the community's feed when it last changed;
    `scope_id` is what it is filed under (PROTOCOL.md, 1): who was granted that scope sees the record."""

    kind: str
    record_id: str
    revision: int
    scope_id: str
    author_id: str
    author_name: str
    made_at: int
    received_at: int
    is_void: bool
    fields: Fields

    def body(self) -> dict[str, Any]:
        """The flat form in which phones and templates see a record; fields never shadow the reserved names."""
        return {
            **self.fields,
            "kind": self.kind,
            "id": self.record_id,
            "revision": self.revision,
            "scope_id": self.scope_id,
            "author_id": self.author_id,
            "author_name": self.author_name,
            "made_at": self.made_at,
            "received_at": self.received_at,
            "is_void": self.is_void,
        }


RESERVED = frozenset(
    {"kind", "id", "revision", "scope_id", "author_id", "author_name", "made_at", "received_at", "is_void", "state"}
)


@dataclass(frozen=True, slots=True)
class Author:
    """Who speaks. Person and role are the server's own knowledge, never the request's. `device_id` is whatever cannot be
    in conflict with itself: a phone, one form of a coordinator (`accept_form` in server/accepting.py), or a visit
    (server/consent.py). `is_revoked`: the device was, or its volunteer is active no more; what it sends is held, and it
    reads nothing."""

    community_id: int
    person_id: str
    name: str
    device_id: str
    role: Role
    is_revoked: bool = False


@dataclass(frozen=True, slots=True)
class Conflict:
    """A field that no rule may settle alone. Both values stay until a person decides."""

    record_id: str
    field: str
    current: Any
    proposed: Any


class Outcome(StrEnum):
    """What became of a change (PROTOCOL.md, Results). TOO_BIG is not the engine's: the server says it of what it did not read."""

    ACCEPTED = "accepted"
    AGAIN = "again"
    MERGED = "merged"
    CONFLICT = "conflict"
    HELD = "held"
    LATER = "later"
    TOO_BIG = "too_big"


# Each is said only of a change that history lacked.
TAKEN_NOW = frozenset({Outcome.ACCEPTED, Outcome.MERGED, Outcome.CONFLICT})


class Held(StrEnum):
    """Why a person must look at it (PROTOCOL.md, Codes). Held text is kept whole."""

    SAME_ID_OTHER_CONTENT = "same_id_other_content"
    NOT_IN_SCOPE = "not_in_scope"
    NOT_ALLOWED = "not_allowed"
    NOT_THE_AUTHOR = "not_the_author"
    UNKNOWN_KIND = "unknown_kind"
    UNKNOWN_SCHEMA = "unknown_schema"
    BAD_FIELD = "bad_field"
    BAD_CHANGE = "bad_change"
    UNSEALABLE = "unsealable"
    DEVICE_REVOKED = "device_revoked"
    HOUSEHOLD_CLOSED = "household_closed"


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one change. `revision` is 0 unless the change stands in the feed."""

    change_id: str
    outcome: Outcome
    revision: int = 0
    code: str = ""
    detail: str = ""
    conflicts: tuple[Conflict, ...] = ()

    def wire(self) -> dict[str, Any]:
        """For a phone; conflicts are shown to coordinators alone."""
        answer: dict[str, Any] = {"change_id": self.change_id, "outcome": self.outcome.value, "revision": self.revision}
        if self.code:
            answer["code"] = self.code
        if self.detail:
            answer["detail"] = self.detail
        return answer


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One change as the append-only history keeps it: as it was asked, and what became of it."""

    change_id: str
    device_id: str
    revision: int
    base: int | str
    outcome: Outcome
    set: Fields


def canonical(value: Any) -> str:
    """JSON with sorted keys and no white space: the form that is hashed. Raises ValueError for NaN, and RecursionError
    for what nests too deep."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def is_id(value: object) -> TypeGuard[str]:
    """Whether it is a UUID in the one spelling that every host uses: lower case, with hyphens."""
    return isinstance(value, str) and _SPELLED(value) is not None


def require_uuid(name: str, value: Any) -> None:
    """Accepts the lower-case hyphenated spelling only, so that one id has one spelling on every host. Raises
    MalformedMessage (bad_change)."""
    if not is_id(value):
        raise MalformedMessage("bad_change", f"{name} must be a lower-case UUID")


def require_integer(name: str, value: Any, low: int, high: int) -> None:
    """Both bounds are included. Raises MalformedMessage (bad_change)."""
    if value.__class__ is not int or not low <= value <= high:  # True is an int, too
        raise MalformedMessage("bad_change", f"{name} must be a whole number from {low} to {high}")
