"""Enrolment on the phone: the code, then waiting for the coordinator's word. Always answered by the server."""

import re

from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.bodies import FORM_BYTES_MAX
from server.enrolment import ClaimProblem, claim_invite
from server.principals import waiting_device
from server.render import in_thread, page, redirect
from server.sessions import set_session_cookie, start_session
from server.urlencoded import read_form
from server.writing import first
from sync.kinds import Role

IN_APP = re.compile(r"MicroMessenger|; wv\)")


async def enrol(request: Request) -> Response:
    refused = "in_app" if is_in_app(request) else ""
    return page(request, "enrol/page.html", {"code": "", "device_name": "", "problem": "", "refused": refused})


def is_in_app(request: Request) -> bool:
    """Inside WeChat or another app: its own storage, cleared with the app's, and on iPhones no worker at all (P9)."""
    return IN_APP.search(request.headers.get("user-agent", "")) is not None


async def claim(request: Request) -> Response:
    submitted = await read_form(request, limit=FORM_BYTES_MAX)
    code, device_name = first(submitted, "code"), first(submitted, "device_name").strip()
    public_key = first(submitted, "public_key")
    now: int = request.app.state.clock()

    def work(session: Session) -> ClaimProblem | str:
        claimed = claim_invite(session, code=code, device_name=device_name, public_key=public_key, now=now)
        if isinstance(claimed, ClaimProblem):
            return claimed
        return start_session(
            session,
            role=Role.VOLUNTEER,
            person_id=claimed.volunteer_id,
            community_id=claimed.community_id,
            device_id=claimed.id,
            now=now,
        )

    outcome = await in_thread(request.app.state.database.write, work)
    if isinstance(outcome, ClaimProblem):
        context = {"code": code, "device_name": device_name, "problem": outcome.value, "refused": ""}
        return page(request, "enrol/page.html", context, status=422)
    response = redirect(request, "/enrol/waiting")
    set_session_cookie(response, request.app.state.settings, outcome, role=Role.VOLUNTEER)
    return response


async def waiting(request: Request) -> Response:
    """Asks again by itself, with htmx or without; moves on when the coordinator has confirmed."""
    device = await waiting_device(request)
    if device is None or device.standing == "revoked":
        return redirect(request, "/enrol")
    if device.standing == "active":
        if request.headers.get("hx-request"):
            return Response(status_code=200, headers={"HX-Redirect": "/today"})
        return redirect(request, "/today")
    return page(request, "enrol/waiting.html", {"device": {"name": device.name, "check_number": device.check_number}})


routes = [
    Route("/enrol", enrol, methods=["GET"]),
    Route("/enrol", claim, methods=["POST"]),
    Route("/enrol/waiting", waiting, methods=["GET"]),
]
