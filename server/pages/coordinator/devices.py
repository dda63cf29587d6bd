"""The phones: which of them need help, and what of theirs never arrived."""

from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.gap_list import Phone, phones
from server.pages.coordinator.guard import for_coordinators
from server.render import in_thread, page
from server.scope import Principal


@for_coordinators
async def devices(request: Request, principal: Principal) -> Response:
    now: int = request.app.state.clock()

    def work(session: Session) -> list[Phone]:
        return phones(session, principal, now=now)

    found = await in_thread(request.app.state.database.read, work)
    return page(request, "coordinator/devices.html", {"phones": found, "me": {"name": principal.name}})


routes = [Route("/coordinator/devices", devices, methods=["GET"])]
