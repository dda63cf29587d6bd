"""Fields that two people changed: both values, who and when, and the coordinator's choice."""

from typing import Any

from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.bodies import FORM_BYTES_MAX
from server.conflicts import Choice, Conflict, open_conflicts, settle
from server.held import held_count
from server.identifiers import uuid7
from server.pages.coordinator.answers import field_answer
from server.pages.coordinator.guard import for_coordinators
from server.render import in_thread, page, redirect
from server.scope import Principal
from server.urlencoded import read_form
from server.visits import doors_by_id
from server.writing import first, whole_number
from sync.changes import is_id

SHOWN_MAX = 100
SAID = ("resolved", "not_resolved")


@for_coordinators
async def conflicts(request: Request, principal: Principal) -> Response:
    def work(session: Session) -> dict[str, Any]:
        found = open_conflicts(session, principal)
        doors = doors_by_id(session, principal, {each.household_id for each in found[:SHOWN_MAX]})
        return {
            "conflicts": [conflict_shown(each, doors.get(each.household_id, "")) for each in found[:SHOWN_MAX]],
            "count": len(found),
            "held": held_count(session, principal),
        }

    context = await in_thread(request.app.state.database.read, work)
    said = request.query_params.get("said", "")
    context |= {"said": said if said in SAID else "", "me": {"name": principal.name}}
    return page(request, "coordinator/conflicts.html", context)


@for_coordinators
async def choose(request: Request, principal: Principal) -> Response:
    submitted = await read_form(request, limit=FORM_BYTES_MAX)
    wanted, choice = first(submitted, "conflict"), first(submitted, "choice")
    change_id, now = first(submitted, "change_id"), request.app.state.clock()
    base = whole_number(first(submitted, "base"))
    if choice not in list(Choice) or not is_id(change_id):
        return redirect(request, "/coordinator/conflicts")

    def work(session: Session) -> bool:
        return settle(session, principal, wanted, Choice(choice), change_id=change_id, base=base, now=now)

    is_resolved = await in_thread(request.app.state.database.write, work)
    return redirect(request, f"/coordinator/conflicts?said={'resolved' if is_resolved else 'not_resolved'}")


def conflict_shown(conflict: Conflict, door: str) -> dict[str, Any]:
    kind = conflict.change.kind
    return {
        "conflict": conflict,
        "door": door,
        "new_id": uuid7(),
        "current": field_answer(kind, conflict.field, conflict.current),
        "proposed": field_answer(kind, conflict.field, conflict.proposed),
    }


routes = [
    Route("/coordinator/conflicts", conflicts, methods=["GET"]),
    Route("/coordinator/conflicts", choose, methods=["POST"]),
]
