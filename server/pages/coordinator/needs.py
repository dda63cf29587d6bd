"""What was promised at doors and is not done yet, with whom to call; and the word that it is."""

from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.accepting import SAVED, accept_changes, principal_author
from server.bodies import FORM_BYTES_MAX
from server.needs import need_changes, open_needs
from server.pages.coordinator.guard import for_coordinators
from server.render import in_thread, page, redirect
from server.scope import Principal
from server.store import SqlStore
from server.urlencoded import read_form
from server.vocabularies import NEED_STATE
from server.writing import first
from sync.changes import is_id


@for_coordinators
async def needs(request: Request, principal: Principal) -> Response:
    found = await in_thread(request.app.state.database.read, lambda session: open_needs(session, principal))
    done = request.query_params.get("done", "")
    is_gone = request.query_params.get("said") == "gone"
    context = {"found": found, "done": done if is_id(done) else "", "is_gone": is_gone}
    context |= {"me": {"name": principal.name}}
    return page(request, "coordinator/needs.html", context)


@for_coordinators
async def settle(request: Request, principal: Principal) -> Response:
    submitted = await read_form(request, limit=FORM_BYTES_MAX)
    need_id, need_state = first(submitted, "need"), first(submitted, "need_state")
    now = request.app.state.clock()
    if not is_id(need_id) or need_state not in NEED_STATE.codes:
        return redirect(request, request.url.path)

    def work(session: Session) -> bool:
        SqlStore(session).hold(principal.community_id)  # of two taps at once one finds it done
        made = need_changes(session, principal, need_id, need_state=need_state, now=now)
        if made is None:
            return False
        results = accept_changes(session, principal_author(principal), made, now)
        return all(result.outcome in SAVED for result in results)

    if not await in_thread(request.app.state.database.write, work):
        return redirect(request, f"{request.url.path}?said=gone")
    return redirect(request, f"{request.url.path}?done={need_id}" if need_state == "done" else request.url.path)


routes = [
    Route("/coordinator/needs", needs, methods=["GET"]),
    Route("/coordinator/needs", settle, methods=["POST"]),
]
