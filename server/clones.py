"""A cloned phone: two installations that use one identity, as after a profile was copied or put back.

An honest phone numbers its changes once and never counts backwards. So it shows when a number comes with a second
change, or when the counter stands below what has arrived already. Nothing is refused for it: both phones' visits are
taken in, each under its own id. A coordinator is told, and gives each phone an identity of its own.
"""

from collections.abc import Collection, Sequence

from sqlmodel import Session, col, func, select

from server.callers import Caller
from server.models import Change
from server.scope import SCOPED
from sync.changes import Action, Held
from sync.protocol import Message


def is_set_back(caller: Caller, message: Message) -> bool:
    """The counter stands below what has arrived, in a message that is newer by the phone's own clock than the last one
    noted: an old message that comes late, or twice, says the same and is nothing."""
    last_written_at = caller.last_contact_at + caller.clock_skew_ms
    return 0 < message.high_water < caller.received_through and message.now > last_written_at


def is_cloned(session: Session, caller: Caller, message: Message, arrived: Sequence[int]) -> bool:
    """`arrived`: the numbers above `received_through` that history holds, this push's included. The common push, all
    new and each number once, asks nothing more of the database."""
    if is_set_back(caller, message):
        return True
    pushed = {envelope.device_sequence for envelope in message.envelopes} - {0}
    doubtful = {number for number in pushed if number <= caller.received_through}
    if len(set(arrived)) < len(arrived):
        doubtful |= pushed
    return bool(doubtful) and has_twins(session, caller, doubtful)


def has_twins(session: Session, caller: Caller, numbers: Collection[int]) -> bool:
    """Whether one of the numbers stands for two changes. What its owner gave up (a discard takes its number over) and
    a used id with other content are no twins."""
    twins = (
        select(Change.device_sequence)
        .where(
            Change.community_id == caller.community_id,
            Change.device_id == caller.id,
            col(Change.device_sequence).in_(numbers),
            Change.action != Action.DISCARD.value,
            Change.code != Held.SAME_ID_OTHER_CONTENT.value,
        )
        .group_by(col(Change.device_sequence))
        .having(func.count() > 1)
        .limit(1)
        .execution_options(**SCOPED)  # numbers only, of the device's own changes
    )
    return session.exec(twins).first() is not None
