"""Enrolment on the phone: the code, then waiting for the coordinator's word. Always answered by the server."""

import re
from dataclasses import dataclass, field

from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.bodies import FORM_BYTES_MAX, read_body
from server.devices import device_id_of, is_signed_by
from server.enrolment import ClaimProblem, claim_invite
from server.principals import waiting_device
from server.rate_limit import RateLimit
from server.render import in_thread, page, redirect
from server.sealing import decode_base64url
from server.sessions import set_session_cookie, start_session, token_of
from server.urlencoded import parse_form
from server.writing import first
from sync.kinds import Role

# Of the eight digits; nobody guesses what a QR code holds. A roomful of new phones shares one address.
BURST_BY_ADDRESS, REFILL_BY_ADDRESS_MS = 60, 10_000
BURST_OF_ALL, REFILL_OF_ALL_MS = 600, 2_000
IN_APP = re.compile(r"MicroMessenger|; wv\)")


@dataclass(slots=True)
class Gate:
    """What one app remembers of codes that were tried, in memory."""

    by_address: RateLimit = field(
        default_factory=lambda: RateLimit(burst=BURST_BY_ADDRESS, refill_ms=REFILL_BY_ADDRESS_MS)
    )
    of_all: RateLimit = field(default_factory=lambda: RateLimit(burst=BURST_OF_ALL, refill_ms=REFILL_OF_ALL_MS))

    def wait_ms(self, code: str, address: str, now: int) -> int:
        if not "".join(code.split()).isdigit():
            return 0
        return self.by_address.wait_ms(address, now) or self.of_all.wait_ms("", now)


async def enrol(request: Request) -> Response:
    refused = "in_app" if is_in_app(request) else ""
    problem = "turned_away" if "turned_away" in request.query_params else ""
    return show_form(request, problem=problem, refused=refused)


def is_in_app(request: Request) -> bool:
    """Inside WeChat or another app: its own storage, cleared with the app's, and on iPhones no worker at all (P9)."""
    return IN_APP.search(request.headers.get("user-agent", "")) is not None


async def claim(request: Request) -> Response:
    body = await read_body(request, limit=FORM_BYTES_MAX)
    submitted = parse_form(request, body)
    code, device_name = first(submitted, "code"), first(submitted, "device_name").strip()
    public_key, owner_id = first(submitted, "public_key"), first(submitted, "volunteer_id")
    now: int = request.app.state.clock()
    wait_ms = gate_of(request).wait_ms(code, request.client.host if request.client else "", now)
    if wait_ms:
        wait_seconds = wait_ms // 1000 + 1
        response = show_form(
            request, code=code, device_name=device_name, problem="too_many", wait_seconds=wait_seconds, status=429
        )
        response.headers["Retry-After"] = str(wait_seconds)
        return response

    def work(session: Session) -> ClaimProblem | str:
        if public_key and not holds_key(request, public_key, body):
            return ClaimProblem.BAD_KEY
        claimed = claim_invite(
            session, code=code, device_name=device_name, public_key=public_key, owner_id=owner_id, now=now
        )
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
        response = show_form(request, code=code, device_name=device_name, problem=outcome.value, status=422)
        if outcome in (ClaimProblem.BAD_KEY, ClaimProblem.ANOTHERS_KEY):
            response.headers["Linli-Problem"] = ClaimProblem.BAD_KEY.value  # for the worker, which may have another
        return response
    response = redirect(request, "/enrol/waiting")
    set_session_cookie(response, request.app.state.settings, outcome, role=Role.VOLUNTEER)
    return response


async def waiting(request: Request) -> Response:
    """Asks again by itself, with htmx or without; moves on when the coordinator has decided."""
    device = await waiting_device(request)
    if device is None or device.standing == "revoked":
        # Whoever is refused loses her session, too: a cookie that opens nothing is all that is left of it.
        return lead_on(request, "/enrol?turned_away" if token_of(request) else "/enrol")
    if device.standing == "active":
        return lead_on(request, "/today")
    return page(request, "enrol/waiting.html", {"device": {"name": device.name, "check_number": device.check_number}})


# Parts


def holds_key(request: Request, public_key: str, body: bytes) -> bool:
    """Who brings a key signs the form with it, as anything under /sync: a public key is no secret, and the device that it
    belongs to may be confirmed already."""
    try:
        key = decode_base64url(public_key)
        signature = request.headers.get("linli-signature", "")
        return is_signed_by(key, signature, request.method, request.url.path, device_id_of(key), body)
    except ValueError:
        return False


def lead_on(request: Request, path: str) -> Response:
    """The whole page goes there. A redirect of its own fetch htmx would follow, and swap nothing."""
    if request.headers.get("hx-request"):
        return Response(status_code=200, headers={"HX-Redirect": path})
    return redirect(request, path)


def show_form(
    request: Request,
    *,
    code: str = "",
    device_name: str = "",
    problem: str = "",
    wait_seconds: int = 0,
    refused: str = "",
    status: int = 200,
) -> Response:
    context = {
        "code": code,
        "device_name": device_name,
        "problem": problem,
        "wait_seconds": wait_seconds,
        "refused": refused,
    }
    return page(request, "enrol/page.html", context, status=status)


def gate_of(request: Request) -> Gate:
    state = request.app.state
    if not hasattr(state, "gate"):
        state.gate = Gate()
    gate: Gate = state.gate
    return gate


routes = [
    Route("/enrol", enrol, methods=["GET"]),
    Route("/enrol", claim, methods=["POST"]),
    Route("/enrol/waiting", waiting, methods=["GET"]),
]
