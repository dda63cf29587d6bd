"""What a call leaves behind: how far a device's numbers have come, when it was heard of last, what it prefers."""

from collections.abc import Mapping, Sequence, Set
from typing import Any

from sqlmodel import Session

from server.callers import Caller
from server.clones import is_cloned, is_set_back
from server.identifiers import packed
from server.statements import statements_of
from sync.changes import TAKEN_NOW, Result
from sync.gaps import advance
from sync.protocol import Message

NOTED_EVERY_MS = 10 * 60_000  # a phone that only looks for news needs no write each time
# What a phone says of itself, and the words for it. Others are ignored: a newer phone may have more.
SETTINGS: Mapping[str, Set[str]] = {
    "language": frozenset({"zh-CN", "en"}),
    "size": frozenset({"normal", "large"}),
    "keeping": frozenset({"kept", "may_be_cleared"}),
}
ARRIVED = "SELECT device_sequence FROM change WHERE community_id = ? AND device_id = ? AND device_sequence > ?"
NOTED = ("last_contact_at", "clock_skew_ms", *SETTINGS)
# What only ever grows: another process may have noted more of this device since it was read.
GROWING = ("received_through", "high_water")
NOTE = (
    f"UPDATE device SET {', '.join(f'{name} = ?' for name in NOTED)}, is_cloned = (is_cloned OR ?), "  # noqa: S608 -- our own names
    + ", ".join(f"{name} = CASE WHEN {name} < ? THEN ? ELSE {name} END" for name in GROWING)
    + " WHERE community_id = ? AND id = ?"
)


def is_news(caller: Caller, message: Message, now: int) -> bool:
    """Whether an exchange without changes still has something to note; if not it needs no write at all."""
    return (
        message.high_water > caller.high_water
        or settings_of(caller, message) != {name: getattr(caller, name) for name in SETTINGS}
        or now - caller.last_contact_at >= NOTED_EVERY_MS
        or (is_set_back(caller, message) and not caller.is_cloned)
    )


def settings_of(caller: Caller, message: Message) -> dict[str, str]:
    """As the phone says now, where the server knows the word; else as it said before."""
    said = message.settings
    return {name: said[name] if said.get(name) in words else getattr(caller, name) for name, words in SETTINGS.items()}


def missing_numbers(
    session: Session, caller: Caller, message: Message, results: Sequence[Result] = ()
) -> tuple[int, list[list[int]], list[int]]:
    """Through which number everything has arrived, the ranges that are missing, and what is here beyond the last note.

    `results`: of what the message pushed. Where history held nothing beyond that note and all that was pushed is new, it
    holds just that, and is not asked. So nobody else may have written since the caller was read.
    """
    if caller.newest_number <= caller.received_through and all(result.outcome in TAKEN_NOW for result in results):
        pushed = [envelope.device_sequence for envelope in message.envelopes]
        arrived = [number for number in pushed if number > caller.received_through]
    else:
        values = caller.community_id, packed(caller.id), caller.received_through
        arrived = [row[0] for row in statements_of(session).rows(ARRIVED, values)]
    through, missing = advance(caller.received_through, arrived, max(message.high_water, caller.high_water))
    return through, missing, arrived


def note_call(
    session: Session, caller: Caller, message: Message, now: int, results: Sequence[Result] = ()
) -> list[list[int]]:
    """Keeps what this call says of the device, and returns the sequence numbers that should have arrived."""
    through, missing, arrived = missing_numbers(session, caller, message, results)
    noted: dict[str, Any] = {
        "last_contact_at": now,
        "clock_skew_ms": max(-(2**53), min(2**53, message.now - now)) if message.now else 0,
        **settings_of(caller, message),
    }
    was_cloned = caller.is_cloned or is_cloned(session, caller, message, arrived)
    high_water = max(message.high_water, caller.high_water)
    grown = (through, through, high_water, high_water)
    values = *(noted[name] for name in NOTED), was_cloned, *grown, caller.community_id, packed(caller.id)
    statements_of(session).run(NOTE, values)
    return missing
