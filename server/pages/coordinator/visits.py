"""The visits that came in: the list, one visit with its history, and the coordinator's word about it."""

import json
from collections.abc import Mapping
from typing import Any

from sqlmodel import Session, col, select
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.accepting import SAVED, accept_form
from server.attachments import digests_arrived
from server.bodies import FORM_BYTES_MAX
from server.forms import normalise
from server.held import held_count
from server.models import Change, Volunteer
from server.outings import handed_back
from server.pages.coordinator.answers import answers, emptied
from server.pages.coordinator.guard import for_coordinators
from server.render import in_thread, local_day, page, redirect
from server.scope import Principal
from server.store import SqlStore
from server.urlencoded import read_form
from server.visits import (
    DECISIONS,
    Filter,
    Tab,
    history_of,
    review_change,
    visit_with_household,
    visits_found,
)
from server.vocabularies import OUTCOME
from server.writing import first, whole_number
from sync.changes import Result, is_id
from sync.errors import MalformedMessage

NOTE_MAX = 200
PAGE_MAX = 10_000


@for_coordinators
async def visits(request: Request, principal: Principal) -> Response:
    wanted = filter_from(request.query_params)
    today = local_day(request.app.state.clock(), request.app.state.utc_offset_minutes)

    def work(session: Session) -> dict[str, Any]:
        return {
            "found": visits_found(session, principal, wanted),
            "held": held_count(session, principal),
            "handed_back": handed_back(session, principal, today=today),
            "volunteers": volunteer_names(session, principal),
        }

    context = await in_thread(request.app.state.database.read, work)
    reviewed = request.query_params.get("reviewed", "")
    context |= {
        "wanted": wanted,
        "tabs": list(Tab),
        "outcomes": OUTCOME.codes,
        "reviewed": reviewed if is_id(reviewed) else "",
        "me": {"name": principal.name},
    }
    return page(request, "coordinator/visits.html", context)


@for_coordinators
async def visit(request: Request, principal: Principal) -> Response:
    return await show_visit(request, principal)


@for_coordinators
async def review(request: Request, principal: Principal) -> Response:
    visit_id = request.path_params["visit_id"]
    submitted = await read_form(request, limit=FORM_BYTES_MAX)
    decision = first(submitted, "decision")
    note = "\n".join(text for text in map(normalise, submitted.get("note", ())) if text)
    if decision not in DECISIONS:
        return redirect(request, request.url.path)
    problem = review_problem(decision, note)
    if problem:
        return await show_visit(request, principal, problem=problem, note=note)
    now = request.app.state.clock()
    try:
        change = review_change(
            visit_id,
            change_id=first(submitted, "change_id"),
            base=whole_number(first(submitted, "base")),
            decision=decision,
            note=note if decision == "sent_back" else "",
            now=now,
        )
    except MalformedMessage:
        return redirect(request, request.url.path)  # tampered hidden parts: a fresh form has sound ones

    def work(session: Session) -> Result | str:
        """The result; or why there is none, and what is not there, is no visit or was withdrawn stays as it is."""
        SqlStore(session).hold(principal.community_id)  # nobody withdraws it between the look and the word
        found = visit_with_household(session, principal, visit_id)
        if found is None or found["is_void"]:
            return "withdrawn" if found else "missing"
        return accept_form(session, principal, change, now)

    result = await in_thread(request.app.state.database.write, work)
    if result == "missing":
        return page(request, "errors/not_found.html", {}, status=404)
    if isinstance(result, str):
        return await show_visit(request, principal, problem="coordinator.withdrawn_meanwhile")
    if result.outcome not in SAVED:
        return await show_visit(request, principal, unsaved=result, note=note)
    wanted = filter_from(request.query_params)
    if decision == "":
        return redirect(request, with_query(request.url.path, wanted.query()))
    return redirect(request, f"/coordinator?{with_reviewed(wanted, visit_id)}")


async def show_visit(
    request: Request, principal: Principal, *, problem: str = "", unsaved: Result | None = None, note: str = ""
) -> Response:
    visit_id = request.path_params["visit_id"]

    def work(session: Session) -> dict[str, Any] | None:
        found = visit_with_household(session, principal, visit_id) if is_id(visit_id) else None
        if found is None:
            return None
        history = [entry_shown(change) for change in history_of(session, principal, visit_id)]
        arrived = digests_arrived(session, principal, visit_id) if found.get("attachments") else set()
        return {"visit": found, "answers": answers(found), "history": history, "arrived": arrived}

    context = await in_thread(request.app.state.database.read, work)
    if context is None:
        return page(request, "errors/not_found.html", {}, status=404)
    context |= {
        "wanted": filter_from(request.query_params),
        "problem": problem,
        "unsaved": unsaved,
        "note": note,
        "note_max": NOTE_MAX,
        "me": {"name": principal.name},
    }
    return page(request, "coordinator/visit.html", context, status=422 if problem or unsaved else 200)


# Parts


def filter_from(query: QueryParams) -> Filter:
    """What the URL asks for; anything that makes no sense is left out."""
    tab, outcome, volunteer_id = query.get("tab", ""), query.get("outcome", ""), query.get("volunteer", "")
    return Filter(
        tab=Tab(tab) if tab in list(Tab) else Tab.PENDING,
        outcome=outcome if outcome in OUTCOME.codes else "",
        volunteer_id=volunteer_id if is_id(volunteer_id) else "",
        page=min(max(whole_number(query.get("page", "")), 1), PAGE_MAX),
    )


def with_query(path: str, query: str) -> str:
    return f"{path}?{query}" if query else path


def with_reviewed(wanted: Filter, visit_id: str) -> str:
    """Back to the same list, which says what was just reviewed and offers to take it back."""
    query = wanted.query()
    return f"{query}&reviewed={visit_id}" if query else f"reviewed={visit_id}"


def volunteer_names(session: Session, principal: Principal) -> list[tuple[str, str]]:
    rows = session.exec(
        select(Volunteer.id, Volunteer.name)
        .where(Volunteer.community_id == principal.community_id)
        .order_by(col(Volunteer.number))
    )
    return [(volunteer_id, name) for volunteer_id, name in rows]


def review_problem(decision: str, note: str) -> str:
    """A catalogue key, or "". Who gets a visit back must be told why."""
    if decision == "sent_back" and not note:
        return "coordinator.note_missing"
    return "coordinator.note_too_long" if len(note) > NOTE_MAX else ""


def entry_shown(change: Change) -> dict[str, Any]:
    """One change of the history: who, when, what was asked, and what became of it."""
    fields = json.loads(change.fields)
    return {
        "change": change,
        "did": did(change, fields),
        "is_review": "review_state" in fields,
        "answers": answers(fields),
        "emptied": emptied(fields),
        "conflicts": json.loads(change.conflicts) if change.conflicts else [],
    }


def did(change: Change, fields: Mapping[str, Any]) -> str:
    """The end of a catalogue key: what this change was about."""
    if change.action == "void":
        return "withdrawn"
    if "review_state" in fields:
        return fields["review_state"] if fields["review_state"] in ("approved", "sent_back") else "reopened"
    return "recorded" if change.base == "0" else "edited"


routes = [
    Route("/coordinator", visits, methods=["GET"]),
    Route("/coordinator/visits/{visit_id}", visit, methods=["GET"]),
    Route("/coordinator/visits/{visit_id}", review, methods=["POST"]),
]
