"""Signing in and out. Wrong, unknown and inactive all look the same, and take equally long."""

from dataclasses import dataclass, field

from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.bodies import FORM_BYTES_MAX
from server.passwords import PasswordDesk
from server.rate_limit import RateLimit
from server.render import in_thread, page, redirect
from server.sessions import (
    clear_session_cookie,
    end_session,
    set_session_cookie,
    start_session,
    token_of,
)
from server.staff import staff_by_login
from server.urlencoded import read_form
from server.writing import first
from sync.errors import TryLater
from sync.kinds import Role

AFTERWARDS = "/coordinator"
LOGIN_MAX = 64  # of what is remembered of a login that was tried


@dataclass(slots=True)
class Reception:
    """What one app remembers of sign-ins: its limits and its queue, in memory."""

    desk: PasswordDesk = field(default_factory=PasswordDesk)
    by_login: RateLimit = field(default_factory=lambda: RateLimit(burst=5, refill_ms=30_000))
    by_address: RateLimit = field(default_factory=lambda: RateLimit(burst=30, refill_ms=5_000))


async def sign_in(request: Request) -> Response:
    asked = request.query_params
    return show_form(
        request, afterwards=asked.get("next", ""), problem="lost" if asked.get("problem") == "lost" else ""
    )


async def check_sign_in(request: Request) -> Response:
    submitted = await read_form(request, limit=FORM_BYTES_MAX)
    login, password = first(submitted, "login").strip(), first(submitted, "password")
    afterwards, now = first(submitted, "next"), request.app.state.clock()
    reception, address = reception_of(request), request.client.host if request.client else ""
    key = f"{address} {login[:LOGIN_MAX]}"
    wait_ms = reception.by_address.wait_ms(address, now) or reception.by_login.wait_ms(key, now)
    if wait_ms:
        return too_many(request, login, afterwards, wait_seconds=wait_ms // 1000 + 1)
    database = request.app.state.database
    staff = await in_thread(database.read, lambda session: staff_by_login(session, login))
    try:
        is_right = await in_thread(reception.desk.is_right, staff.password_hash if staff else None, password)
    except TryLater as busy:
        return too_many(request, login, afterwards, wait_seconds=busy.retry_after_seconds)
    if staff is None or not is_right:
        return show_form(request, login=login, afterwards=afterwards, problem="wrong", status=422)
    reception.by_login.forget(key)
    old_token, person_id, community_id = token_of(request), staff.id, staff.community_id

    def work(session: Session) -> str:
        end_session(session, old_token)  # a token from before signing in opens nothing afterwards
        return start_session(
            session,
            role=Role.COORDINATOR,
            person_id=person_id,
            community_id=community_id,
            device_id=None,
            now=now,
        )

    token = await in_thread(database.write, work)
    response = redirect(request, own_page(afterwards))
    set_session_cookie(response, request.app.state.settings, token, role=Role.COORDINATOR)
    return response


async def sign_out(request: Request) -> Response:
    return page(request, "sign_in/sign_out.html", {})


async def end(request: Request) -> Response:
    """Ends the session on the server and forgets the cookie. What lies on a phone is not touched: unsent visits stay."""
    token = token_of(request)
    await in_thread(request.app.state.database.write, lambda session: end_session(session, token))
    response = redirect(request, "/")
    clear_session_cookie(response, request.app.state.settings)
    return response


# Parts


def show_form(
    request: Request,
    *,
    login: str = "",
    afterwards: str = "",
    problem: str = "",
    wait_seconds: int = 0,
    status: int = 200,
) -> Response:
    context = {
        "login": login,
        "afterwards": afterwards,
        "problem": problem,
        "wait_seconds": wait_seconds,
    }
    return page(request, "sign_in/page.html", context, status=status)


def too_many(request: Request, login: str, afterwards: str, *, wait_seconds: int) -> Response:
    response = show_form(
        request,
        login=login,
        afterwards=afterwards,
        problem="too_many",
        wait_seconds=wait_seconds,
        status=429,
    )
    response.headers["Retry-After"] = str(wait_seconds)
    return response


def own_page(path: str) -> str:
    """Only a coordinator's page: an address from outside never leads elsewhere."""
    is_own = path == AFTERWARDS or path.startswith(f"{AFTERWARDS}/")
    return path if is_own and path.isascii() and path.isprintable() and "\\" not in path else AFTERWARDS


def reception_of(request: Request) -> Reception:
    state = request.app.state
    if not hasattr(state, "reception"):
        state.reception = Reception()
    reception: Reception = state.reception
    return reception


routes = [
    Route("/sign-in", sign_in, methods=["GET"]),
    Route("/sign-in", check_sign_in, methods=["POST"]),
    Route("/sign-out", sign_out, methods=["GET"]),
    Route("/sign-out", end, methods=["POST"]),
]
