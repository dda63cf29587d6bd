"""The people map (民情图) of the whole community, for coordinators: what its template draws from, in four statements.

Volunteers' phones draw the same template from what they hold (server/page_table.py).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func
from sqlmodel import Session, col, select

from server.buildings import building_id, building_of, in_order, infer_stairwells
from server.loading import Shown, arrange, shown
from server.models import Record
from server.page_table import ROUNDS_BY_HOUSEHOLD, Load
from server.scope import Principal, scoped

VISIT_FIELDS = ("outcome", "next_visit_on", "until_on")


def people_map(session: Session, principal: Principal, *, volunteer_id: str = "") -> dict[str, Any]:
    """With a volunteer, `rounds` are hers alone."""
    households = all_of(session, principal, "household")
    rounds = [each for each in all_of(session, principal, "round") if is_walked_by(each, volunteer_id)]
    doors = [str(each.get("door", "")) for each in households]
    return {
        "households": arrange(Load("households", "household", group="door"), households),
        "rounds": arrange(ROUNDS_BY_HOUSEHOLD, rounds),
        "buildings": drawn_and_inferred(principal, all_of(session, principal, "building"), doors),
        "visits": last_visits(session, principal),
    }


def all_of(session: Session, principal: Principal, kind: str) -> list[Shown]:
    statement = select(Record).where(col(Record.kind) == kind)
    return [shown(record) for record in session.exec(scoped(principal, statement))]


def is_walked_by(round_: Shown, volunteer_id: str) -> bool:
    return not volunteer_id or volunteer_id in (round_.get("volunteer_ids") or ())


def drawn_and_inferred(principal: Principal, drawn: Sequence[Shown], doors: Sequence[str]) -> list[Shown]:
    """A building that nobody has drawn yet is drawn from the household files."""
    numbers = {str(each["number"]) for each in drawn}
    missing: dict[str, list[str]] = {}
    for door in doors:
        if (number := building_of(door)) and number not in numbers:
            missing.setdefault(number, []).append(door)
    inferred = [
        {
            "id": building_id(principal.community_id, number),
            "number": number,
            "stairwells": infer_stairwells(missing[number]),
            "base": "0",
        }
        for number in sorted(missing, key=in_order)
    ]
    return [*drawn, *inferred]


def last_visits(session: Session, principal: Principal) -> Mapping[str, list[Shown]]:
    """The newest visit of each household that was not withdrawn, as far as a map looks at it."""
    nth = (
        func.row_number()
        .over(partition_by=col(Record.scope_id), order_by=(col(Record.made_at).desc(), col(Record.record_id).desc()))
        .label("nth")
    )
    visits = select(Record.scope_id, Record.made_at, Record.fields, nth).where(
        col(Record.kind) == "visit", col(Record.is_void).is_(False)
    )
    each = scoped(principal, visits).subquery()
    newest = session.exec(select(each.c.scope_id, each.c.made_at, each.c.fields).where(each.c.nth == 1))
    return {household_id: [visit_shown(made_at, json.loads(fields))] for household_id, made_at, fields in newest}


def visit_shown(made_at: int, fields: Mapping[str, Any]) -> Shown:
    return {"made_at": made_at, "is_void": False} | {name: fields.get(name) for name in VISIT_FIELDS}
