"""What stands in an envelope of a push: a change, sealed or open, or whatever came instead of one."""

from typing import Any

import msgspec

from server.bodies import NO_CHARACTER
from server.device_requests import read_json
from server.rules import SCHEMA
from server.sealing import Unsealable, unseal
from sync.changes import Change, Held, canonical
from sync.engine import unreadable
from sync.errors import MalformedMessage
from sync.protocol import CHANGE_BYTES_MAX, HELD_BYTES_MAX, Envelope, decode_change, is_storable


class NoChange(Exception):
    """`code` and `detail` say why, as in the result of a held change."""

    def __init__(self, code: Held = Held.BAD_CHANGE, detail: str = "") -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail


def read_envelope(envelope: Envelope, *, keys: dict[str, bytes], device_id: str) -> Change | None:
    """The change inside; whatever cannot be read is held whole, so that it blocks nobody and nothing is dropped. None for
    what is far bigger than any change: a few hundred of them would fill the memory of whoever looks at them. Raises
    MalformedMessage for what nests so deep, hundreds of levels, that it cannot even be written down."""
    text = b""
    try:
        if envelope.sealed is None:
            return change_of(envelope.change, envelope)
        text = opened(envelope.sealed, envelope, keys=keys, device_id=device_id)
        return change_of(json_of(text), envelope)
    except NoChange as problem:
        raw = storable(written_down(envelope, text))
        if len(raw.encode()) > HELD_BYTES_MAX:
            return None
        return unreadable(
            change_id=envelope.change_id,
            device_sequence=envelope.device_sequence,
            code=problem.code,
            raw=raw,
            detail=problem.detail,
        )


def opened(sealed: str, envelope: Envelope, *, keys: dict[str, bytes], device_id: str) -> bytes:
    """Raises NoChange."""
    if len(sealed) > CHANGE_BYTES_MAX:
        raise NoChange(detail="too big")
    try:
        return unseal(
            sealed,
            keys=keys,
            device_id=device_id,
            change_id=envelope.change_id,
            sequence=envelope.device_sequence,
        )
    except Unsealable as error:
        raise NoChange(Held.UNSEALABLE) from error


def json_of(text: bytes) -> Any:
    """Raises NoChange."""
    try:
        return read_json(text)
    except MalformedMessage as error:
        raise NoChange from error


def change_of(wire: Any, envelope: Envelope) -> Change:
    """One that every store can keep. Raises NoChange."""
    if not isinstance(wire, dict):
        raise NoChange
    stored = [wire.get("kind"), wire.get("set")]  # what else it says is a number, an id, or not looked at
    try:
        text = msgspec.json.encode(stored)
    except (ValueError, OverflowError, RecursionError) as error:  # half a surrogate pair, a number beyond 64 bits
        raise NoChange(detail="text") from error
    if len(text) > CHANGE_BYTES_MAX:
        raise NoChange(detail="too big")
    if not is_storable(stored, text):
        raise NoChange
    try:
        return decode_change(wire, envelope=envelope)
    except MalformedMessage as error:
        schema = wire.get("schema")
        if isinstance(schema, int) and schema > SCHEMA:
            raise NoChange(Held.UNKNOWN_SCHEMA, str(schema)) from error
        raise NoChange(detail=error.message) from error


def written_down(envelope: Envelope, opened_text: bytes) -> str:
    """For a person, who can read no seal. Raises MalformedMessage for what nests too deep."""
    if envelope.sealed is not None:
        return opened_text.decode("utf-8", "backslashreplace").replace("\0", NO_CHARACTER) or envelope.sealed
    try:
        return canonical(envelope.change) if envelope.change is not None else ""
    except RecursionError as error:
        raise MalformedMessage("bad_message", "a change nests too deep to be kept") from error


def storable(came: str) -> str:
    """As text that any database can keep."""
    return came.encode("utf-8", "backslashreplace").decode()
