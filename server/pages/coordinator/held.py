"""What the server kept for a person: changes that no rule could let through, whole, readable, and hers to decide."""

import json
from collections.abc import Mapping
from typing import Any

from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.bodies import FORM_BYTES_MAX
from server.conflicts import open_conflicts
from server.forms import normalise
from server.held import (
    OVERTAKEN,
    PAGE_SIZE,
    Decision,
    HeldChange,
    StillHeld,
    decide,
    find_held,
    held_changes,
    held_counts,
    take_in,
)
from server.identifiers import uuid7
from server.pages.coordinator.answers import answers_of, label_of
from server.pages.coordinator.guard import for_coordinators
from server.render import in_thread, page, redirect
from server.scope import Principal
from server.store import SqlStore
from server.urlencoded import read_form
from server.visits import doors_by_id
from server.writing import first, whole_number
from sync.changes import UNREADABLE, Action, Held, Record, is_id

CODES = frozenset(code.value for code in Held)
RAW_SHOWN = 4000
REASON_MAX = 200
WHOLE_REASON_MAX = 400  # with the ready phrases
SAID = (
    "taken",
    "dismissed",
    "open",
    "still_held",
    *OVERTAKEN,
    "no_reason",
    "reason_too_long",
    "taken_before",
)  # what an action leads back with


@for_coordinators
async def held(request: Request, principal: Principal) -> Response:
    number = max(whole_number(request.query_params.get("page", "")), 1)
    asked = request.query_params.get("show", "")
    decision = Decision(asked) if asked in list(Decision) else Decision.OPEN

    def work(session: Session) -> dict[str, Any]:
        found = held_changes(session, principal, page=number, decision=decision)
        asked = [json.loads(each.change.fields) for each in found]
        silent = [each.change.record_id for each, fields in zip(found, asked, strict=True) if not household_of(fields)]
        standing = SqlStore(session).records(principal.community_id, silent)
        about = [fields_meant(each, fields, standing) for each, fields in zip(found, asked, strict=True)]
        doors = doors_by_id(session, principal, {household_of(fields) for fields in about} - {""})
        return {
            "held": [
                held_shown(each, fields, doors.get(household_of(fields), ""))
                for each, fields in zip(found[:PAGE_SIZE], about, strict=False)
            ],
            "has_more": len(found) > PAGE_SIZE,
            "counts": held_counts(session, principal),
            "conflicts": len(open_conflicts(session, principal)),
        }

    context = await in_thread(request.app.state.database.read, work)
    said = request.query_params.get("said", "")
    context |= {
        "number": number,
        "decision": decision,
        "decisions": list(Decision),
        "said": said if said in SAID else "",
        "reason_max": REASON_MAX,
        "me": {"name": principal.name},
    }
    return page(request, "coordinator/held.html", context)


@for_coordinators
async def decide_held(request: Request, principal: Principal) -> Response:
    change_id, now = request.path_params["change_id"], request.app.state.clock()
    submitted = await read_form(request, limit=FORM_BYTES_MAX)
    asked, decision_id = first(submitted, "decision"), first(submitted, "decision_id")
    reason = "\n".join(text for text in map(normalise, submitted.get("reason", ())) if text)
    if not (asked in list(Decision) and is_id(change_id) and is_id(decision_id)):
        return redirect(request, "/coordinator/held")
    decision = Decision(asked)
    if decision is Decision.DISMISSED and (not reason or len(reason) > WHOLE_REASON_MAX):
        problem = "reason_too_long" if reason else "no_reason"
        return redirect(request, f"/coordinator/held?said={problem}#change-{change_id}")

    def work(session: Session) -> str:
        """What to say; "" of what is not there."""
        SqlStore(session).hold(principal.community_id)  # nobody else decides between the look and the word
        found = find_held(session, principal, change_id)
        if found is None:
            return ""
        if decision is not Decision.TAKEN and found.decision is Decision.TAKEN:
            return "taken_before"
        if decision is not Decision.TAKEN:
            decide(session, principal, found, decision, reason=reason, decision_id=decision_id, now=now)
        elif found.is_takeable:
            take_in(session, principal, found, decision_id=decision_id, now=now)
        return decision.value

    try:
        said = await in_thread(request.app.state.database.write, work)
    except StillHeld as error:
        why = error.code if error.code in OVERTAKEN else "still_held"
        return redirect(request, f"/coordinator/held?said={why}#change-{change_id}")
    if not said:
        return page(request, "errors/not_found.html", {}, status=404)
    return redirect(request, f"/coordinator/held?said={said}")


def household_of(fields: Mapping[str, Any]) -> str:
    named = fields.get("household_id")
    return named if is_id(named) else ""


def fields_meant(each: HeldChange, asked: Mapping[str, Any], standing: Mapping[str, Record]) -> Mapping[str, Any]:
    """What it says, and of which door and promise. A withdrawal says nothing: it is about what it takes back."""
    record = standing.get(each.change.record_id)
    if record is None:
        return asked
    if each.change.action == Action.VOID:
        return record.fields
    return {name: record.fields[name] for name in ("household_id", "service") if name in record.fields} | dict(asked)


def held_shown(each: HeldChange, fields: Mapping[str, Any], door: str) -> dict[str, Any]:
    """Of what could not be read at all the beginning is shown as it came."""
    change = each.change
    raw = str(fields.get("raw", "")) if change.kind == UNREADABLE else ""
    return {
        "change": change,
        "door": door,
        "decision": each,
        "new_id": uuid7(),
        "withdraws": change.action == Action.VOID,
        "reason": f"coordinator.held.{change.code}" if change.code in CODES else "coordinator.held.other",
        "field": label_of(change.kind, change.detail),
        "answers": answers_of(change.kind, fields) if change.kind != UNREADABLE else [],
        "raw": raw[:RAW_SHOWN],
        "more": max(0, len(raw) - RAW_SHOWN),
    }


routes = [
    Route("/coordinator/held", held, methods=["GET"]),
    Route("/coordinator/held/{change_id}", decide_held, methods=["POST"]),
]
