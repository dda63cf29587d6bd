"""Conflicts: fields that two people changed to different values, both kept until a person decides.

A conflict is open until somebody who had the state after it before her eyes sets that field (her `base` is at or beyond
it). Deciding is therefore an ordinary change, and nothing but history says whether a conflict is open.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import and_
from sqlmodel import Session, col, select

from server.accepting import SAVED, accept_form
from server.kinds import KINDS
from server.models import NEEDS_ATTENTION, Change, Record
from server.rules import SCHEMA
from server.scope import Principal, scoped
from server.store import SqlStore
from sync import changes
from sync.changes import Action, Outcome, Result
from sync.kinds import Rule
from sync.merge import keep_both_notes, merge_sets

CONFLICTS_MAX = 2000  # looked through; far more than a community has in years


class Choice(StrEnum):
    CURRENT = "current"
    PROPOSED = "proposed"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Conflict:
    """One field in dispute: what stood first and who wrote it, what came second, and the record as it is now."""

    change: Change  # which proposed the second value
    field: str
    current: Any
    proposed: Any
    former: Change | None  # which wrote the first
    record: Record
    is_open: bool

    @property
    def id(self) -> str:
        return f"{self.change.change_id}-{self.field}"

    @property
    def can_keep_both(self) -> bool:
        return KINDS[self.change.kind].rule(self.field) in (Rule.SET, Rule.NOTES)

    @property
    def household_id(self) -> str:
        return self.record.scope_id

    def value(self, choice: Choice) -> Any:
        match choice:
            case Choice.CURRENT:
                return self.current
            case Choice.PROPOSED:
                return self.proposed
        if KINDS[self.change.kind].rule(self.field) is Rule.SET:
            return merge_sets([], self.current, self.proposed)
        return keep_both_notes(self.current, self.proposed)


def open_conflicts(session: Session, principal: Principal) -> list[Conflict]:
    """Of what was withdrawn nothing is asked."""
    return [each for each in all_conflicts(session, principal) if each.is_open and not each.record.is_void]


def all_conflicts(session: Session, principal: Principal) -> list[Conflict]:
    """Also those that are settled. Newest first. Three statements, however many there are."""
    asked = (
        select(Change)
        .where(and_(NEEDS_ATTENTION, col(Change.outcome) == Outcome.CONFLICT.value))
        .order_by(col(Change.received_at).desc(), col(Change.change_id).desc())
        .limit(CONFLICTS_MAX)
    )
    disputed = session.exec(scoped(principal, asked)).all()
    if not disputed:
        return []
    record_ids = {change.record_id for change in disputed}
    told = (
        select(Change)
        .where(col(Change.record_id).in_(record_ids), col(Change.revision) > 0)
        .order_by(col(Change.revision))
    )
    histories: dict[str, list[Change]] = {}
    for change in session.exec(scoped(principal, told)):
        histories.setdefault(change.record_id, []).append(change)
    standing = select(Record).where(col(Record.record_id).in_(record_ids))
    records = {record.record_id: record for record in session.exec(scoped(principal, standing))}
    return [
        conflict
        for change in disputed
        for conflict in conflicts_of(change, histories[change.record_id], records[change.record_id])
    ]


def settle(
    session: Session, principal: Principal, conflict_id: str, choice: Choice, *, change_id: str, base: int, now: int
) -> bool:
    """Whether the choice stands. Nobody else writes between the look and the word: somebody may just have decided. Her own
    choice she may change. `base` is the record's revision when her page was drawn: what came after it is not overruled."""
    store = SqlStore(session)
    store.hold(principal.community_id)
    found = next((each for each in all_conflicts(session, principal) if each.id == conflict_id), None)
    if found is None or (choice == Choice.BOTH and not found.can_keep_both):
        return False
    if not found.change.revision <= base <= found.record.revision:
        return False  # no page that shows this conflict was drawn there
    if not found.is_open and not store.known(principal.community_id, [change_id]):
        return False
    return resolve(session, principal, found, choice, change_id=change_id, base=base, now=now).outcome in SAVED


def resolve(
    session: Session, principal: Principal, conflict: Conflict, choice: Choice, *, change_id: str, base: int, now: int
) -> Result:
    """Sets the field, as a change of the coordinator's own."""
    chosen = changes.Change(
        change_id=change_id,
        device_sequence=0,
        kind=conflict.change.kind,
        record_id=conflict.change.record_id,
        action=Action.PUT,
        base=base,
        set={conflict.field: conflict.value(choice)},
        made_at=now,
        schema=SCHEMA,
    )
    return accept_form(session, principal, chosen, now)


# Parts


def conflicts_of(change: Change, history: Sequence[Change], record: Record) -> list[Conflict]:
    """The fields of one change that are, or were, in dispute."""
    return [
        Conflict(
            change,
            each["field"],
            each["current"],
            each["proposed"],
            writer_of(each, change, history),
            record,
            is_open=not any(settles(later, change, each["field"], history) for later in history),
        )
        for each in json.loads(change.conflicts)
    ]


def settles(later: Change, conflict: Change, field: str, history: Sequence[Change]) -> bool:
    if later.revision <= conflict.revision or seen_by(later, history) < conflict.revision:
        return False
    return field in json.loads(later.fields) and field not in disputed_fields(later)


def seen_by(change: Change, history: Sequence[Change]) -> int:
    """The revision that its writer had seen: a form that is sent again names its own first change (`accept_form`)."""
    base = change.base
    for earlier in reversed(history):
        if earlier.change_id == base:
            base = earlier.base
    return int(base) if base.isdigit() else 0


def disputed_fields(change: Change) -> set[str]:
    return {each["field"] for each in json.loads(change.conflicts)} if change.conflicts else set()


def writer_of(disputed: Mapping[str, Any], conflict: Change, history: Sequence[Change]) -> Change | None:
    """The change that last set the field to the value which stood."""
    for change in reversed(history):
        if change.revision < conflict.revision:
            fields = json.loads(change.fields)
            if disputed["field"] in fields and fields[disputed["field"]] == disputed["current"]:
                return change
    return None
