"""Volunteers and their phones: invite, confirm what both screens show, take away in two taps."""

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import segno
from markupsafe import Markup
from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.bodies import FORM_BYTES_MAX
from server.enrolment import NewInvite, confirm_device, create_invite, find_device, revoke_device
from server.pages.coordinator.guard import for_coordinators
from server.render import in_thread, page, redirect
from server.scope import Principal
from server.sessions import end_sessions_of
from server.urlencoded import read_form
from server.volunteers import VolunteerWithDevices, volunteer_with_devices, volunteers_with_devices
from server.writing import first
from sync.changes import is_id

DECISIONS = ("confirm", "revoke")


@dataclass(frozen=True, slots=True)
class ShownInvite:
    """What stands on the coordinator's screen, once: nothing of it is kept."""

    link: str
    code: str
    qr: Markup
    expires_at: int


@for_coordinators
async def volunteers(request: Request, principal: Principal) -> Response:
    found = await in_thread(
        request.app.state.database.read,
        lambda session: volunteers_with_devices(session, community_id=principal.community_id),
    )
    return page(request, "coordinator/volunteers.html", {"found": found, "me": {"name": principal.name}})


@for_coordinators
async def invite(request: Request, principal: Principal) -> Response:
    return await show_invite(request, principal, None)


@for_coordinators
async def make_invite(request: Request, principal: Principal) -> Response:
    """Answers with the invite itself rather than a redirect: the next request could not show it any more."""
    found = await find_volunteer(request, principal)
    if found is None:
        return page(request, "errors/not_found.html", {}, status=404)
    if not found.volunteer.is_active:
        return await show_invite(request, principal, None)
    now: int = request.app.state.clock()
    made = await in_thread(
        request.app.state.database.write,
        lambda session: create_invite(session, found.volunteer, now=now),
    )
    return await show_invite(request, principal, made)


@for_coordinators
async def devices(request: Request, principal: Principal) -> Response:
    """The fragment that the invite's page asks for again and again; a page for whoever opens it plainly."""
    if not request.headers.get("hx-request"):
        return redirect(request, f"/coordinator/volunteers/{request.path_params['volunteer_id']}/invite")
    found = await find_volunteer(request, principal)
    if found is None:
        return page(request, "errors/not_found.html", {}, status=404)
    return page(request, "coordinator/_waiting.html", {"found": found})


@for_coordinators
async def decide(request: Request, principal: Principal) -> Response:
    """Confirm or take away one phone of this volunteer."""
    submitted = await read_form(request, limit=FORM_BYTES_MAX)
    volunteer_id, device_id = request.path_params["volunteer_id"], first(submitted, "device_id")
    decision, now = first(submitted, "decision"), request.app.state.clock()

    def work(session: Session) -> None:
        community_id = principal.community_id
        device = find_device(session, community_id=community_id, device_id=device_id)
        if device is None or device.volunteer_id != volunteer_id:
            return
        if decision == "confirm":
            confirm_device(session, community_id=community_id, device_id=device_id, now=now)
        else:
            revoke_device(session, community_id=community_id, device_id=device_id, now=now)
            end_sessions_of(session, community_id=community_id, device_id=device_id)

    if decision in DECISIONS and is_id(device_id):
        await in_thread(request.app.state.database.write, work)
    if request.headers.get("hx-request") and not request.headers.get("hx-boosted"):
        return await devices(request)
    return redirect(request, f"/coordinator/volunteers/{volunteer_id}/invite")


# Parts


async def show_invite(request: Request, principal: Principal, made: NewInvite | None) -> Response:
    found = await find_volunteer(request, principal)
    if found is None:
        return page(request, "errors/not_found.html", {}, status=404)
    context: dict[str, Any] = {
        "found": found,
        "address": f"{request.app.state.settings.public_url}/enrol",
        "invite": shown_invite(made, request.app.state.settings.public_url) if made else None,
        "me": {"name": principal.name},
    }
    return page(request, "coordinator/invite.html", context)


async def find_volunteer(request: Request, principal: Principal) -> VolunteerWithDevices | None:
    volunteer_id = request.path_params["volunteer_id"]
    if not is_id(volunteer_id):
        return None
    found: VolunteerWithDevices | None = await in_thread(
        request.app.state.database.read,
        lambda session: volunteer_with_devices(session, community_id=principal.community_id, volunteer_id=volunteer_id),
    )
    return found


def shown_invite(made: NewInvite, public_url: str) -> ShownInvite:
    link = made.link(public_url)
    return ShownInvite(link, f"{made.short_code[:4]} {made.short_code[4:]}", qr_svg(link), made.expires_at)


def qr_svg(text: str) -> Markup:
    """Drawn with presentation attributes only: the content-security policy allows no style of its own."""
    drawing = BytesIO()
    segno.make(text, error="m").save(
        drawing,
        kind="svg",
        xmldecl=False,
        svgns=False,
        omitsize=True,
        border=4,
        light="#fff",
        svgclass="qr__drawing",
        lineclass=None,
    )
    return Markup(drawing.getvalue().decode())  # noqa: S704 - segno drew it; no text of anybody's is in it


routes = [
    Route("/coordinator/volunteers", volunteers, methods=["GET"]),
    Route("/coordinator/volunteers/{volunteer_id}/invite", invite, methods=["GET"]),
    Route("/coordinator/volunteers/{volunteer_id}/invite", make_invite, methods=["POST"]),
    Route("/coordinator/volunteers/{volunteer_id}/devices", devices, methods=["GET"]),
    Route("/coordinator/volunteers/{volunteer_id}/devices", decide, methods=["POST"]),
]
