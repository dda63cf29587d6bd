"""What the server kept for a person: changes that no rule could let through, whole and readable."""

import json
from collections.abc import Mapping
from typing import Any

from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.models import Change
from server.pages.coordinator.answers import answers
from server.pages.coordinator.guard import for_coordinators
from server.render import in_thread, page
from server.scope import Principal
from server.visits import PAGE_SIZE, doors_by_id, held_changes
from server.writing import whole_number
from sync.changes import IDENTIFIER, Held
from sync.engine import UNREADABLE

CODES = frozenset(code.value for code in Held)


@for_coordinators
async def held(request: Request, principal: Principal) -> Response:
    number = max(whole_number(request.query_params.get("page", "")), 1)

    def work(session: Session) -> list[dict[str, Any]]:
        found = held_changes(session, principal, page=number)
        fields_of = [json.loads(change.fields) for change in found]
        household_ids = {household_of(fields) for fields in fields_of} - {""}
        doors = doors_by_id(session, principal, household_ids)
        return [
            held_shown(change, fields, doors.get(household_of(fields), ""))
            for change, fields in zip(found, fields_of, strict=True)
        ]

    found = await in_thread(request.app.state.database.read, work)
    context = {
        "held": found[:PAGE_SIZE],
        "number": number,
        "has_more": len(found) > PAGE_SIZE,
        "me": {"name": principal.name},
    }
    return page(request, "coordinator/held.html", context)


def household_of(fields: Mapping[str, Any]) -> str:
    named = fields.get("household_id")
    return named if isinstance(named, str) and IDENTIFIER(named) else ""


def held_shown(change: Change, fields: Mapping[str, Any], door: str) -> dict[str, Any]:
    """What could not be read at all is shown as it came."""
    return {
        "change": change,
        "door": door,
        "reason": f"coordinator.held.{change.code}" if change.code in CODES else "coordinator.held.other",
        "answers": answers(fields) if change.kind != UNREADABLE else [],
        "raw": str(fields.get("raw", "")) if change.kind == UNREADABLE else "",
    }


routes = [Route("/coordinator/held", held, methods=["GET"])]
