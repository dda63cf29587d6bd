"""Wire dictionaries <-> value types, and the limits both sides keep (PROTOCOL.md)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sync.changes import (
    SEQUENCE_MAX,
    TIME_MAX,
    UNREADABLE,
    Action,
    Change,
    Record,
    is_id,
    require_integer,
)
from sync.columns import is_sparse, to_columns
from sync.engine import Page
from sync.errors import MalformedMessage
from sync.store import Position

PROTOCOL_VERSION = 1
PROTOCOL_OLDEST = 1
CHANGES_MAX = 200
PACKED_BYTES_MAX = 512 * 1024
INFLATED_BYTES_MAX = 4 * 1024 * 1024
CHANGE_BYTES_MAX = 64 * 1024
HELD_BYTES_MAX = 4 * CHANGE_BYTES_MAX  # what is no change at all is kept whole up to here
ATTACHMENTS_MAX = 10  # of one record
BLOB_BYTES_MAX = 5 * 1024 * 1024
BLOB_CHUNK_BYTES_MAX = 256 * 1024
DEPTH_MAX = 16
REVISION_DIGITS_MAX = 16  # of a cursor: SEQUENCE_MAX has as many
PAGE_RECORDS_MAX = 1000
PAGE_RECORDS_DEFAULT = 500
ACTIONS = {action.value: action for action in Action}


class Envelope(NamedTuple):
    """One entry of a push: the change sealed to the server's key (`sealed`), or in the open (`change`)."""

    change_id: str
    device_sequence: int
    sealed: str | None
    change: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Message:
    """One request to POST /sync. Either half may be empty.

    `now` is the phone's clock in ms UTC, `high_water` the last device sequence given out. A `cursor` of None starts from
    nothing; `limit` counts records, 1 to PAGE_RECORDS_MAX. `settings` are as said, unchecked.
    `wants_columns`: the form in which a first sync is lighter (sync/columns.py).
    """

    schema: int
    now: int
    epoch: str
    high_water: int
    cursor: Position | None
    limit: int
    envelopes: Sequence[Envelope]
    settings: Mapping[str, str]
    wants_columns: bool = False


def decode_message(wire: Any) -> Message:
    """Raises MalformedMessage (bad_message, unknown_protocol, too_many_changes) only for what makes the whole message
    unreadable; a bad change is the engine's to hold."""
    if not isinstance(wire, dict):
        raise MalformedMessage("bad_message", "the body must be a JSON object")
    if depth({name: value for name, value in wire.items() if name != "changes"}) > DEPTH_MAX:
        raise MalformedMessage("bad_message", f"the body nests deeper than {DEPTH_MAX}")
    version = wire.get("protocol")
    if not isinstance(version, int) or not PROTOCOL_OLDEST <= version <= PROTOCOL_VERSION:
        raise MalformedMessage("unknown_protocol", f"protocol must be {PROTOCOL_OLDEST} to {PROTOCOL_VERSION}")
    changes = wire.get("changes", [])
    if not isinstance(changes, list):
        raise MalformedMessage("bad_message", "changes must be a list")
    if len(changes) > CHANGES_MAX:
        raise MalformedMessage("too_many_changes", f"at most {CHANGES_MAX} changes a message")
    numbers = {"schema": 1, "now": 0, "high_water": 0, "limit": PAGE_RECORDS_DEFAULT}
    for name in numbers:
        numbers[name] = wire.get(name, numbers[name])
        try:
            require_integer(name, numbers[name], -TIME_MAX if name == "now" else 0, SEQUENCE_MAX)
        except MalformedMessage as error:
            raise MalformedMessage("bad_message", error.message) from error
    cursor = wire.get("cursor", "")
    epoch = wire.get("epoch", "")
    if not isinstance(cursor, str) or not isinstance(epoch, str):
        raise MalformedMessage("bad_message", "cursor and epoch must be text")
    settings = wire.get("settings", {})
    if not isinstance(settings, dict) or not all(isinstance(value, str) for value in settings.values()):
        raise MalformedMessage("bad_message", "settings must map names to text")
    return Message(
        schema=numbers["schema"],
        now=numbers["now"],
        epoch=epoch[:64],
        high_water=numbers["high_water"],
        cursor=decode_cursor(cursor),
        limit=max(1, min(numbers["limit"], PAGE_RECORDS_MAX)),
        envelopes=[decode_envelope(change) for change in changes],
        settings=settings,
        wants_columns=wire.get("form") == "columns",
    )


def decode_envelope(wire: Any) -> Envelope:
    """Never raises: what is not as it should be becomes "", 0 or None, and the change is held later. An id is cut at 64
    characters."""
    if not isinstance(wire, dict):
        wire = {}
    sequence = wire.get("device_sequence", 0)
    is_number = sequence.__class__ is int and 0 <= sequence <= SEQUENCE_MAX
    sealed = wire.get("sealed")
    change = wire.get("change")
    return Envelope(
        change_id=str(wire.get("change_id", ""))[:64].encode("utf-8", "backslashreplace").decode(),
        device_sequence=sequence if is_number else 0,
        sealed=sealed if isinstance(sealed, str) else None,
        change=change if isinstance(change, dict) else None,
    )


def decode_change(wire: Mapping[str, Any], *, envelope: Envelope) -> Change:
    """Raises MalformedMessage when the change breaks PROTOCOL.md or is not the one its envelope names."""
    if wire.get("change_id") != envelope.change_id or wire.get("device_sequence") != envelope.device_sequence:
        raise MalformedMessage("bad_change", "the envelope names another change")
    fields = wire.get("set", {})
    if not isinstance(fields, dict):
        raise MalformedMessage("bad_change", "set must be an object")
    for name in ("kind", "record_id", "action"):
        if not isinstance(wire.get(name), str):
            raise MalformedMessage("bad_change", f"{name} must be text")
    if wire["kind"] == UNREADABLE:
        raise MalformedMessage("bad_change", "kind must be one of the community's")
    action = ACTIONS.get(wire["action"])
    if action is None:
        raise MalformedMessage("bad_change", "action must be put, void or discard")
    return Change(
        change_id=envelope.change_id,
        device_sequence=envelope.device_sequence,
        kind=wire["kind"][:40],
        record_id=wire["record_id"],
        action=action,
        base=wire.get("base", 0),
        set=fields,
        made_at=wire.get("made_at", 0),
        schema=wire.get("schema", 1),
    )


def encode_answer(
    *,
    page: Page,
    results: Sequence[Mapping[str, Any]],
    missing: list[list[int]],
    now: int,
    oldest_schema: int,
    standing: str,
    pause_ms: int = 0,
    records: Mapping[str, Any] | None = None,
    as_columns: bool = False,
) -> dict[str, Any]:
    """The answer to POST /sync. The epoch stands in it so that every acknowledgement carries it. `results`: in their wire form;
    `standing`: the device's; `records`: the page's, if the store has them in their wire form already; `as_columns`: what the
    message asked for."""
    answer: dict[str, Any] = {
        "protocol": PROTOCOL_VERSION,
        "now": now,
        "epoch": page.epoch,
        "results": results,
        "missing": missing,
        "reset": page.is_reset,
        "purge": list(page.slice.purge),
        "cursor": encode_cursor(page.slice.end),
        "more": not page.slice.is_complete,
        "oldest_schema": oldest_schema,
        "standing": standing,
        "pause_ms": pause_ms,
    }
    if page.total is not None:
        answer["total"] = page.total
    if as_columns or records is None:
        encoded = encode_records(page.slice.records)
        if as_columns and not is_sparse(encoded):
            return answer | {"columns": to_columns(encoded)}
        records = encoded
    return answer | {"records": records}


def encode_records(records: Sequence[Record]) -> dict[str, list[dict[str, Any]]]:
    """Flat records by kind, in order."""
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        by_kind.setdefault(record.kind, []).append(record.body())
    return by_kind


def encode_cursor(position: Position) -> str:
    """Opaque to a phone; `decode_cursor` reads it."""
    return f"{position.revision}.{position.record_id}"


def decode_cursor(text: str) -> Position | None:
    """None, which starts from nothing, for no cursor and for one this server never gave out."""
    revision, dot, record_id = text.partition(".")
    if not dot or not revision.isascii() or not revision.isdigit():
        return None
    if len(revision) > REVISION_DIGITS_MAX or int(revision) > SEQUENCE_MAX:
        return None
    return Position(int(revision), record_id) if not record_id or is_id(record_id) else None


def depth(value: Any) -> int:
    """How deep lists and objects nest, level by level: a hostile body must not exhaust the stack."""
    found = 0
    level = [value] if isinstance(value, dict | list) else []
    while level:
        found += 1
        inner = [item.values() if isinstance(item, dict) else item for item in level]
        level = [child for children in inner for child in children if child.__class__ in NESTING]
    return found


NESTING = (dict, list)  # what JSON nests in


def is_storable(value: Any, text: bytes) -> bool:
    """Whether every store can keep it and every page can show it: PostgreSQL has no text with the character 0, and what
    nests too deep can be taken in and never given out.

    `text` is the same as JSON. A look at it settles all but hostile values: the character 0 is spelled in one way there,
    and what has few brackets cannot nest deep.
    """
    brackets = len(text) - len(text.replace(b"[", b"").replace(b"{", b""))  # several times quicker than count()
    if b"\\u0000" not in text and brackets <= DEPTH_MAX:
        return True
    level = [value]
    for _ in range(DEPTH_MAX):
        deeper: list[Any] = []
        for each in level:
            if each.__class__ is str:
                if "\0" in each:
                    return False
            elif each.__class__ is dict:
                if any("\0" in name for name in each):
                    return False
                deeper += each.values()
            elif each.__class__ is list:
                deeper += each
        if not deeper:
            return True
        level = deeper
    return not any(each.__class__ in NESTING or (each.__class__ is str and "\0" in each) for each in level)
