"""Visits as a coordinator sees them: found, opened with their history, reviewed.

What is found comes in the order in which it arrived, newest first; while it waits for review, what cannot wait stands
before all of it: danger, nobody answering at a red door, the answer to what was sent back, a need.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import ColumnElement, and_, case, func, or_
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from server.json_field import field_text, names_something
from server.loading import Shown, shown
from server.models import Change, Record
from server.review import NOT_REVIEWED, Review
from server.rules import SCHEMA
from server.scope import Principal, scoped
from sync import changes
from sync.changes import UNREADABLE

PAGE_SIZE = 50
HISTORY_SHOWN = 200
ATTENTION = ("danger", "red_no_answer", "answered", "need", "")  # the most pressing first
DECISIONS = ("approved", "sent_back", "")  # "" takes a review back


class Tab(StrEnum):
    """Of the list: where a visit stands in review, or all."""

    PENDING = Review.PENDING
    SENT_BACK = Review.SENT_BACK
    APPROVED = Review.APPROVED
    WITHDRAWN = Review.WITHDRAWN
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which visits to show. It is the URL, and the URL is it."""

    tab: Tab = Tab.PENDING
    outcome: str = ""
    volunteer_id: str = ""
    page: int = 1

    def query(self) -> str:
        named = {"tab": self.tab.value, "outcome": self.outcome, "volunteer": self.volunteer_id, "page": self.page}
        return urlencode({name: value for name, value in named.items() if value not in ("", 1, Tab.PENDING.value)})

    def on_tab(self, tab: Tab) -> "Filter":
        return replace(self, tab=tab, page=1)

    def on_page(self, page: int) -> "Filter":
        return replace(self, page=page)


@dataclass(frozen=True, slots=True)
class Found:
    """One page of visits: each with its household's fields under `household` and why it is pressing."""

    visits: list[Shown]
    counts: dict[str, int]  # by tab, for the other conditions of the filter
    has_more: bool


HOUSEHOLD = aliased(Record)
FIELDS = col(Record.fields)
OF_ITS_HOUSEHOLD = and_(
    col(HOUSEHOLD.community_id) == col(Record.community_id), col(HOUSEHOLD.record_id) == col(Record.scope_id)
)


def visits_found(session: Session, principal: Principal, wanted: Filter) -> Found:
    """Two statements, however many visits there are."""
    statement = (
        select(Record, HOUSEHOLD.fields, attention())
        .outerjoin(HOUSEHOLD, OF_ITS_HOUSEHOLD)
        .where(*conditions(wanted))
        .limit(PAGE_SIZE + 1)
        .offset((wanted.page - 1) * PAGE_SIZE)
    )
    if wanted.tab is not Tab.ALL:
        statement = statement.where(col(Record.review) == wanted.tab.value)
    if wanted.tab is Tab.PENDING:
        statement = statement.order_by(attention())
    statement = statement.order_by(col(Record.revision).desc())
    rows = session.exec(scoped(principal, statement)).all()
    visits = [visit_shown(record, fields, pressing) for record, fields, pressing in rows]
    counting = select(Record.review, func.count()).where(*conditions(wanted)).group_by(Record.review)
    counts = session.exec(scoped(principal, counting)).all()
    by_tab: dict[str, int] = dict(counts)
    return Found(visits[:PAGE_SIZE], by_tab | {Tab.ALL: sum(by_tab.values())}, len(visits) > PAGE_SIZE)


def visit_with_household(session: Session, principal: Principal, visit_id: str) -> Shown | None:
    statement = (
        select(Record, HOUSEHOLD.fields, attention())
        .outerjoin(HOUSEHOLD, OF_ITS_HOUSEHOLD)
        .where(col(Record.kind) == "visit", col(Record.record_id) == visit_id)
    )
    row = session.exec(scoped(principal, statement)).first()
    return visit_shown(*row) if row else None


def history_of(session: Session, principal: Principal, record_id: str) -> list[Change]:
    """The changes of the record, oldest first: the newest HISTORY_SHOWN of those that moved it, and as many of those that are
    held, which any phone of the same door can send. What could not be read is about none, and a discard says nothing."""
    of_record = (
        col(Change.record_id) == record_id,
        col(Change.kind) != UNREADABLE,
        col(Change.action) != changes.Action.DISCARD.value,
    )
    in_order = (col(Change.received_at), col(Change.revision), col(Change.change_id))

    def newest(condition: ColumnElement[bool]) -> ColumnElement[bool]:
        found = select(Change.change_id).where(*of_record, condition).order_by(*(each.desc() for each in in_order))
        return col(Change.change_id).in_(scoped(principal, found.limit(HISTORY_SHOWN)))

    is_shown = or_(newest(col(Change.revision) > 0), newest(col(Change.revision) == 0))
    statement = select(Change).where(is_shown).order_by(*in_order)
    return list(session.exec(scoped(principal, statement)))


def doors_by_id(session: Session, principal: Principal, household_ids: Collection[str]) -> dict[str, str]:
    statement = select(Record).where(col(Record.kind) == "household", col(Record.record_id).in_(household_ids))
    found = session.exec(scoped(principal, statement))
    return {record.record_id: str(json.loads(record.fields).get("door", "")) for record in found}


def review_change(visit_id: str, *, change_id: str, base: int, decision: str, note: str, now: int) -> changes.Change:
    """A coordinator's word about a visit, to go through the one way in like every other change."""
    return changes.Change(
        change_id=change_id,
        device_sequence=0,
        kind="visit",
        record_id=visit_id,
        action=changes.Action.PUT,
        base=base,
        set={"review_state": decision, "review_note": note},
        made_at=now,
        schema=SCHEMA,
    )


# Parts of the statements


def conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    found = [col(Record.review) != NOT_REVIEWED]  # of every visit, and of nothing else
    if wanted.outcome:
        found.append(field_text(FIELDS, "outcome") == wanted.outcome)
    if wanted.volunteer_id:
        found.append(col(Record.author_id) == wanted.volunteer_id)
    return found


def attention() -> ColumnElement[int]:
    """An index into ATTENTION."""
    risk = field_text(HOUSEHOLD.fields, "risk")
    is_red_no_answer = and_(field_text(FIELDS, "outcome") == "no_answer", risk == "red")
    is_answered = and_(
        field_text(FIELDS, "review_state") == "sent_back",
        field_text(FIELDS, "review_outdated").in_(("1", "true")),  # SQLite's word, and PostgreSQL's
    )
    return case(
        (names_something(field_text(FIELDS, "danger")), 0),
        (is_red_no_answer, 1),
        (is_answered, 2),
        (names_something(field_text(FIELDS, "needs")), 3),
        else_=4,
    )


def visit_shown(record: Record, household_fields: str | None, pressing: int) -> Shown:
    household = json.loads(household_fields) if household_fields else {}
    visit: dict[str, Any] = shown(record)
    return visit | {"household": household, "attention": ATTENTION[pressing]}
