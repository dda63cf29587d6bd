"""The phones: which of them need help, and what of theirs never arrived."""

from dataclasses import asdict
from urllib.parse import urlencode

from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.gap_list import Phone, phones
from server.importing import EXPORT_BYTES_MAX, NotOurs, bring_in
from server.multipart import read_multipart
from server.pages.coordinator.guard import for_coordinators
from server.render import in_thread, page, redirect
from server.scope import Principal
from sync.errors import MalformedMessage


@for_coordinators
async def devices(request: Request, principal: Principal) -> Response:
    return await show(request, principal)


@for_coordinators
async def bring_file_in(request: Request, principal: Principal) -> Response:
    """A file that a volunteer exported. The answer counts what it held."""
    now: int = request.app.state.clock()
    try:
        submitted = await read_multipart(request, limit=EXPORT_BYTES_MAX, fields_max=1, file="file")
        (text,) = submitted.get("file") or [""]
        done = await in_thread(lambda: bring_in(request.app.state.database, principal, text, now=now))
    except NotOurs as problem:
        return await show(request, principal, problem=problem.code)
    except MalformedMessage:
        return await show(request, principal, problem="not_ours")
    return redirect(request, f"/coordinator/devices?{urlencode(asdict(done))}")


async def show(request: Request, principal: Principal, *, problem: str = "") -> Response:
    now: int = request.app.state.clock()

    def work(session: Session) -> list[Phone]:
        return phones(session, principal, now=now)

    found = await in_thread(request.app.state.database.read, work)
    context = {"phones": found, "me": {"name": principal.name}, "problem": problem}
    return page(request, "coordinator/devices.html", context, status=422 if problem else 200)


routes = [
    Route("/coordinator/devices", devices, methods=["GET"]),
    Route("/coordinator/devices", bring_file_in, methods=["POST"]),
]
