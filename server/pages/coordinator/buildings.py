"""Drawing a building: a line a floor, so that no building is too irregular."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.accepting import SAVED, accept_form
from server.bodies import FORM_BYTES_MAX
from server.buildings import Stairwell, are_stairwells, building_id, is_number, read_floors
from server.loading import Shown
from server.pages.coordinator.guard import for_coordinators
from server.people_map import people_map
from server.render import in_thread, page, redirect
from server.rules import SCHEMA
from server.scope import Principal
from server.urlencoded import read_form
from server.writing import first, whole_number
from sync.changes import Action, Change, Result, is_id


@for_coordinators
async def choose(request: Request, principal: Principal) -> Response:
    """A building that is on no list yet, by its number."""
    number = request.query_params.get("number", "").strip()
    return redirect(request, f"/coordinator/buildings/{quote(number)}" if is_number(number) else "/coordinator/map")


@for_coordinators
async def building(request: Request, principal: Principal) -> Response:
    return await show(request, principal)


@for_coordinators
async def draw(request: Request, principal: Principal) -> Response:
    number = request.path_params["number"]
    submitted = await read_form(request, limit=FORM_BYTES_MAX)
    change_id, now = first(submitted, "change_id"), request.app.state.clock()
    base = whole_number(first(submitted, "base"))
    stairwells = read_stairwells(submitted.get("name", ()), submitted.get("floors", ()))
    if not is_number(number) or not is_id(change_id):
        return redirect(request, "/coordinator/map")
    bare = next((each["name"] for each in stairwells if not each["floors"]), "")
    is_misread = not are_stairwells(stairwells) or len({each["name"] for each in stairwells}) < len(stairwells)
    if bare or is_misread:
        return await show(
            request, principal, typed=stairwells, bare=bare, over={"base": str(base), "change_id": change_id}
        )
    change = Change(
        change_id=change_id,
        device_sequence=0,
        kind="building",
        record_id=building_id(principal.community_id, number),
        action=Action.PUT,
        base=base,
        set={"number": number, "stairwells": stairwells},
        made_at=now,
        schema=SCHEMA,
    )
    result = await in_thread(
        request.app.state.database.write, lambda session: accept_form(session, principal, change, now)
    )
    if result.outcome not in SAVED:
        return await show(request, principal, typed=stairwells, unsaved=result)
    return redirect(request, f"/coordinator/map?building={quote(number)}")


async def show(
    request: Request,
    principal: Principal,
    *,
    typed: Sequence[Stairwell] | None = None,
    bare: str = "",
    over: Mapping[str, str] | None = None,
    unsaved: Result | None = None,
) -> Response:
    number = request.path_params["number"]

    def work(session: Session) -> Shown:
        drawn = people_map(session, principal)["buildings"]
        return next((each for each in drawn if each["number"] == number), {"base": "0", "stairwells": []})

    if not is_number(number):
        return page(request, "errors/not_found.html", {}, status=404)
    found = await in_thread(request.app.state.database.read, work)
    context: dict[str, Any] = {
        "number": number,
        "base": found["base"],
        **(over or {}),  # the same form over the same base, while it is put right
        "stairwells": [*(found["stairwells"] if typed is None else typed), {"name": "", "floors": []}],
        "is_misread": typed is not None,
        "bare": bare,
        "unsaved": unsaved,
        "me": {"name": principal.name},
    }
    return page(request, "coordinator/building.html", context, status=422 if typed is not None else 200)


def read_stairwells(names: Sequence[str], floors: Sequence[str]) -> list[Stairwell]:
    """Those that say something; one that was emptied, name and floors, is gone."""
    typed = [(name.strip(), read_floors(text)) for name, text in zip(names, floors, strict=False)]
    return [{"name": name, "floors": lines} for name, lines in typed if name or lines]


routes = [
    Route("/coordinator/buildings", choose, methods=["GET"]),
    Route("/coordinator/buildings/{number}", building, methods=["GET"]),
    Route("/coordinator/buildings/{number}", draw, methods=["POST"]),
]
