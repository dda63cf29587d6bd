"""Needs as a coordinator sees them: what was promised at doors and is not done, with all that whoever sees to it asks for.

Nothing is kept twice: people and whom to call are the household's, the words are the visit's.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case
from sqlmodel import Session, col, select

from server.identifiers import uuid7
from server.json_field import field_text
from server.loading import Shown, shown
from server.models import Record
from server.rules import SCHEMA
from server.scope import Principal, scoped
from server.visits import FIELDS, HOUSEHOLD, OF_ITS_HOUSEHOLD
from server.vocabularies import URGENCY
from server.writing import needs_meant
from sync.changes import Action, Change

SHOWN_MAX = 50


@dataclass(frozen=True, slots=True)
class OpenNeeds:
    """The most urgent first, then by age; one for each household and service."""

    needs: list[Shown]
    has_more: bool


def open_needs(session: Session, principal: Principal) -> OpenNeeds:
    """Two statements, however many there are. Each need has its household's fields and its visit's note."""
    urgency = field_text(FIELDS, "urgency")
    statement = (
        select(Record, HOUSEHOLD.fields)
        .outerjoin(HOUSEHOLD, OF_ITS_HOUSEHOLD)
        .where(col(Record.kind) == "need", col(Record.is_void).is_(False), field_text(FIELDS, "need_state") == "open")
        .order_by(
            case({code: place for place, code in enumerate(URGENCY.codes)}, value=urgency, else_=len(URGENCY.codes)),
            col(Record.made_at),
            col(Record.record_id),
        )
        .limit(SHOWN_MAX + 1)
    )
    rows = session.exec(scoped(principal, statement)).all()
    found: dict[tuple[Any, Any], Shown] = {}
    for record, fields in rows[:SHOWN_MAX]:
        need = shown(record) | {"household": json.loads(fields) if fields else {}}
        found.setdefault((need["household_id"], need["service"]), need)
    notes = notes_of(session, principal, {need["visit_id"] for need in found.values()})
    return OpenNeeds(
        [need | {"note": notes.get(need["visit_id"], "")} for need in found.values()], len(rows) > SHOWN_MAX
    )


def need_changes(
    session: Session, principal: Principal, need_id: str, *, need_state: str, now: int
) -> list[Change] | None:
    """What says that a need is done, or is not after all: for all that stands in its line. Nothing the second time; None
    when the need is no more: it went with its visit, or with the tick."""
    statement = select(Record).where(col(Record.kind) == "need", col(Record.record_id) == need_id)
    need = session.exec(scoped(principal, statement)).first()
    if need is None or need.is_void:
        return None
    statement = select(Record).where(col(Record.kind) == "need", col(Record.scope_id) == need.scope_id)
    of_household = [shown(record) for record in session.exec(scoped(principal, statement))]
    return [
        Change(
            change_id=uuid7(now),
            device_sequence=0,
            kind="need",
            record_id=each["id"],
            action=Action.PUT,
            base=each["revision"],
            set={"need_state": need_state},
            made_at=now,
            schema=SCHEMA,
        )
        for each in needs_meant(of_household, {need_id})
        if each["need_state"] != need_state
    ]


def notes_of(session: Session, principal: Principal, visit_ids: Collection[str]) -> Mapping[str, str]:
    statement = select(Record).where(col(Record.kind) == "visit", col(Record.record_id).in_(visit_ids))
    visits = [shown(record) for record in session.exec(scoped(principal, statement))]
    return {visit["id"]: visit.get("note") or "" for visit in visits}
