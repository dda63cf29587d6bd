"""Held changes, and what coordinators decide about them.

Nothing here rewrites history. A held change stays held, whole; taking it in is a second change, in its author's name,
that a coordinator answers for; what she decided is a record of its own (kind `decision`), in the same history.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import ColumnElement, and_, func
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from server.accepting import SAVED, accept_changes, accept_form
from server.json_field import field_text
from server.kinds import KINDS
from server.models import NEEDS_ATTENTION, Change, Record
from server.rules import SCHEMA
from server.scope import Principal, scoped
from server.store import SqlStore
from sync import changes
from sync.changes import UNREADABLE, Action, Author, Held, Outcome
from sync.engine import taken_in_id
from sync.kinds import Role

PAGE_SIZE = 50
# A coordinator may answer for these. The others cannot be read, or belong to somebody else's visit.
TAKEABLE = frozenset({
    Held.NOT_IN_SCOPE, Held.DEVICE_REVOKED, Held.HOUSEHOLD_CLOSED, Held.SAME_ID_OTHER_CONTENT, Held.NOT_ALLOWED,
    Held.UNKNOWN_KIND, Held.UNKNOWN_SCHEMA, Held.BAD_FIELD,
})  # fmt: skip


class Decision(StrEnum):
    OPEN = "open"
    TAKEN = "taken"
    DISMISSED = "dismissed"


@dataclass(frozen=True, slots=True)
class HeldChange:
    """A held change, with the coordinator's decision where there is one."""

    change: Change
    decision: Decision
    reason: str
    decided_at: int
    revision: int  # of the decision; 0 when there is none

    @property
    def is_takeable(self) -> bool:
        kind = KINDS.get(self.change.kind)
        is_no_phones = kind is not None and Role.VOLUNTEER not in kind.writers  # nobody looks at what is in it
        is_closed = self.decision is Decision.TAKEN or is_no_phones or self.change.kind == UNREADABLE
        return not is_closed and self.change.code in TAKEABLE


OVERTAKEN = ("amended", "withdrawn")  # by what its author did since: it can never be taken in


class StillHeld(Exception):
    """The rules refuse it even for a coordinator, with this code; or it is OVERTAKEN. Nothing was written."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


DECISION = aliased(Record)
DECIDED = func.coalesce(field_text(col(DECISION.fields), "decision"), Decision.OPEN.value)
OF_THIS_CHANGE = and_(
    col(DECISION.community_id) == col(Change.community_id),
    col(DECISION.scope_id) == col(Change.change_id),
    col(DECISION.kind) == "decision",
)


def held_changes(
    session: Session, principal: Principal, *, page: int, decision: Decision = Decision.OPEN
) -> list[HeldChange]:
    """What a person must look at, newest first; one more than a page when there is a next."""
    statement = (
        select(Change, DECISION)
        .outerjoin(DECISION, OF_THIS_CHANGE)
        .where(is_held(), decision.value == DECIDED)
        .order_by(col(Change.received_at).desc(), col(Change.change_id).desc())
        .limit(PAGE_SIZE + 1)
        .offset((page - 1) * PAGE_SIZE)
    )
    return [held_change(*row) for row in session.exec(scoped(principal, statement))]


def held_counts(session: Session, principal: Principal) -> dict[str, int]:
    """By decision."""
    decided = DECIDED.label("decided")
    statement = (
        select(decided, func.count(col(Change.change_id)))
        .select_from(Change)
        .outerjoin(DECISION, OF_THIS_CHANGE)
        .where(is_held())
        .group_by(decided)
    )
    return dict(session.exec(scoped(principal, statement)).all())


def held_count(session: Session, principal: Principal) -> int:
    return held_counts(session, principal).get(Decision.OPEN, 0)


def find_held(session: Session, principal: Principal, change_id: str) -> HeldChange | None:
    statement = (
        select(Change, DECISION).outerjoin(DECISION, OF_THIS_CHANGE).where(is_held(), Change.change_id == change_id)
    )
    row = session.exec(scoped(principal, statement)).first()
    return held_change(*row) if row else None


def take_in(session: Session, principal: Principal, held: HeldChange, *, decision_id: str, now: int) -> None:
    """Accepts the change after all: its author's, under the coordinator's authority, once. Raises StillHeld, and then
    the caller's transaction must not be committed."""
    if held.decision is Decision.TAKEN:
        return
    asked, authority = held.change, Role.COORDINATOR
    author = Author(asked.community_id, asked.person_id, asked.person_name, asked.device_id, authority)
    again = asked_again(asked)
    since = [each for each in what_stood(session, principal, again.record_id) if each.position > asked.position]
    by_her = [each for each in since if each.person_id == asked.person_id]
    # Of a record that is hers alone to amend: what she wrote later stands. Photos of another phone of hers stand beside these.
    own_sets = KINDS[asked.kind].own_sets if asked.kind in KINDS else ()
    again = without(
        again,
        {
            name
            for each in by_her
            for name in json.loads(each.fields)
            if name not in own_sets or each.device_id == asked.device_id
        },
    )
    standing = SqlStore(session).records(asked.community_id, [again.record_id]).get(again.record_id)
    if standing is not None and standing.is_void and any(each.action == Action.VOID for each in since):
        raise StillHeld("withdrawn")  # by its author, after this had come
    has_amended = any(each.action == Action.PUT for each in by_her)
    if again.action is Action.VOID and has_amended:
        raise StillHeld("amended")  # by its author, who so takes back that she withdrew it
    (result,) = accept_changes(session, author, [again], now)
    if result.outcome is Outcome.HELD:
        raise StillHeld(result.code)
    decide(session, principal, held, Decision.TAKEN, reason="", decision_id=decision_id, now=now)


def without(change: changes.Change, names: Collection[str]) -> changes.Change:
    return replace(change, set={name: value for name, value in change.set.items() if name not in names})


def what_stood(session: Session, principal: Principal, record_id: str) -> list[Change]:
    """The changes of a record that were accepted, each once, at the place in the history at which it first came: what was
    held and taken in is of when it was held."""
    found = session.exec(scoped(principal, select(Change).where(col(Change.record_id) == record_id))).all()
    stood = {change.change_id for change in found if change.revision > 0}
    copies = {taken_in_id(change.change_id) for change in found}
    return [
        change
        for change in found
        if change.change_id not in copies and stood & {change.change_id, taken_in_id(change.change_id)}
    ]


def decide(
    session: Session,
    principal: Principal,
    held: HeldChange,
    decision: Decision,
    *,
    reason: str,
    decision_id: str,
    now: int,
) -> None:
    """Keeps the decision, with who made it and when. `OPEN` takes a dismissal back. Raises StillHeld where it is not kept:
    the phone that sent the change may have used the decision's id."""
    change_id = held.change.change_id
    decided = changes.Change(
        change_id=decision_id,
        device_sequence=0,
        kind="decision",
        record_id=str(uuid5(UUID(change_id), "decision")),
        action=Action.PUT,
        base=held.revision,
        set={"change_id": change_id, "decision": decision.value, "reason": reason},
        made_at=now,
        schema=SCHEMA,
    )
    result = accept_form(session, principal, decided, now)
    if result.outcome not in SAVED:
        raise StillHeld(result.code)


# Parts


def is_held() -> ColumnElement[bool]:
    """In the very words of the index. A discard says nothing, whoever sends it."""
    return and_(NEEDS_ATTENTION, col(Change.outcome) == Outcome.HELD.value, col(Change.action) != Action.DISCARD.value)


def held_change(change: Change, decision: Record | None) -> HeldChange:
    if decision is None:
        return HeldChange(change, Decision.OPEN, "", 0, 0)
    fields: Mapping[str, Any] = json.loads(decision.fields)
    return HeldChange(
        change, Decision(fields["decision"]), str(fields.get("reason", "")), decision.received_at, decision.revision
    )


def asked_again(held: Change) -> changes.Change:
    """The same content under an id of its own, always the same one. What came under the id of another new record becomes
    a record of its own."""
    again = changes.Change(
        change_id=taken_in_id(held.change_id),
        device_sequence=0,
        kind=held.kind,
        record_id=held.record_id,
        action=Action(held.action),
        base=int(held.base) if held.base.isdigit() else held.base,
        set=json.loads(held.fields),
        made_at=held.made_at,
        schema=held.schema_version,
    )
    if held.code == Held.SAME_ID_OTHER_CONTENT and again.base == 0:
        return replace(again, record_id=str(uuid5(UUID(held.change_id), "record")))
    return again
