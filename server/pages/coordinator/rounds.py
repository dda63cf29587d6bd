"""Rounds: who walks each, who handed one back, who gets it, and when somebody was out."""

from typing import Any

from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.accepting import SAVED, accept_changes, accept_form, server_author
from server.bodies import FORM_BYTES_MAX
from server.outings import answered, walked_rounds
from server.pages.coordinator.guard import for_coordinators
from server.render import in_thread, local_day, page, redirect
from server.rounds import assign_round, withdraw_round
from server.scope import Principal
from server.store import SqlStore
from server.urlencoded import read_form
from server.volunteers import active_volunteers
from server.writing import first
from sync.changes import is_id

SAID = ("taken", "given")


@for_coordinators
async def rounds(request: Request, principal: Principal) -> Response:
    def work(session: Session) -> dict[str, Any]:
        return {"found": walked_rounds(session, principal), "volunteers": active_volunteers(session, principal)}

    found = await in_thread(request.app.state.database.read, work)
    said = request.query_params.get("said", "")
    context = {**found, "said": said if said in SAID else "", "me": {"name": principal.name}}
    return page(request, "coordinator/rounds.html", context)


@for_coordinators
async def take_back(request: Request, principal: Principal) -> Response:
    """From a volunteer who handed it back: its doors leave her phone, unless another of her rounds that is not over has them."""
    submitted = await read_form(request, limit=FORM_BYTES_MAX)
    round_id, person_id = request.path_params["round_id"], first(submitted, "volunteer_id")
    now = request.app.state.clock()
    today = local_day(now, request.app.state.utc_offset_minutes)

    def work(session: Session) -> bool:
        SqlStore(session).hold(principal.community_id)  # of two who tap at once one finds it answered
        found = {each.round["id"]: each.walkers for each in walked_rounds(session, principal)}
        hers = [walker.declines for walker in found.get(round_id, ()) if walker.id == person_id]
        if not any(hers):
            return False
        community_id = principal.community_id
        withdraw_round(session, community_id=community_id, round_id=round_id, person_id=person_id, now=now, today=today)
        accept_changes(session, server_author(community_id), [answered(each, now=now) for each in hers[0]], now)
        return True

    is_done = is_id(round_id) and await in_thread(request.app.state.database.write, work)
    return redirect(request, "/coordinator/rounds?said=taken" if is_done else "/coordinator/rounds")


@for_coordinators
async def give(request: Request, principal: Principal) -> Response:
    """To one more volunteer: its doors come to her phone with its next exchange."""
    submitted = await read_form(request, limit=FORM_BYTES_MAX)
    round_id, person_id = request.path_params["round_id"], first(submitted, "volunteer_id")
    now = request.app.state.clock()

    def work(session: Session) -> bool:
        found = {each.round["id"]: each for each in walked_rounds(session, principal)}
        people = {each.id for each in active_volunteers(session, principal)}
        if round_id not in found or person_id not in people:
            return False
        given = found[round_id].given_to(person_id, now=now)
        if accept_form(session, principal, given, now).outcome not in SAVED:
            return False
        doors = found[round_id].round.get("household_ids") or []
        community_id = principal.community_id
        assign_round(
            session, community_id=community_id, round_id=round_id, household_ids=doors, volunteer_ids=[person_id]
        )
        return True

    is_done = is_id(round_id) and await in_thread(request.app.state.database.write, work)
    return redirect(request, "/coordinator/rounds?said=given" if is_done else "/coordinator/rounds")


routes = [
    Route("/coordinator/rounds", rounds, methods=["GET"]),
    Route("/coordinator/rounds/{round_id}/take-back", take_back, methods=["POST"]),
    Route("/coordinator/rounds/{round_id}/give", give, methods=["POST"]),
]
