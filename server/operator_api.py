"""What the commands on this machine may ask of the running server (`server/lock.py` says why).

The token lies in `linli.lock`, readable by the server's own user; the request must come from this machine
and through no proxy. To everybody else the route does not exist.
"""

import ipaddress
import secrets
from dataclasses import asdict
from pathlib import Path

import msgspec
from sqlalchemy import make_url
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from server.backup import BackupProblem, back_up
from server.clock import system_clock
from server.database import Database
from server.enrolment import NewInvite, NoSuchVolunteer, create_invite, volunteer_by_number
from sync.errors import MalformedMessage


async def invite(request: Request) -> Response:
    if not is_operator(request):
        return Response(status_code=404)
    number = await asked(request, "volunteer_number")
    try:
        made = await run_in_threadpool(invite_volunteer, request.app.state.database, number)
    except NoSuchVolunteer as error:
        return JSONResponse({"code": error.code}, status_code=422)
    # The link is the server's to make: the command may have been given another address, or none.
    link = made.link(request.app.state.settings.public_url)
    return JSONResponse({**asdict(made), "link": link}, headers={"Cache-Control": "no-store"})


async def backup(request: Request) -> Response:
    if not is_operator(request):
        return Response(status_code=404)
    target = Path(await asked(request, "path"))
    database = make_url(request.app.state.settings.database_url).database or ""
    try:
        made = await run_in_threadpool(back_up, Path(database), target)
    except BackupProblem as problem:
        return JSONResponse({"problem": str(problem)})
    return JSONResponse({"lines": made.lines()})


async def asked(request: Request, name: str) -> str:
    try:
        value = msgspec.json.decode(await request.body())[name]  # no half a character, which no database takes
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise MalformedMessage("bad_message", "not what our commands send") from error
    if not isinstance(value, str) or "\0" in value:
        raise MalformedMessage("bad_message", f"{name} must be text")
    return value


def invite_volunteer(database: Database, number: str) -> NewInvite:
    """`./linli invite` calls this itself when no server is running."""
    now = system_clock()
    return database.write(lambda session: create_invite(session, volunteer_by_number(session, number), now=now))


def is_operator(request: Request) -> bool:
    expected = getattr(request.app.state, "operator_token", "")
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    # Compared first and always, so that the answer takes equally long whatever else is wrong.
    token_fits = secrets.compare_digest(given.encode(), expected.encode())
    return bool(expected) and token_fits and is_from_this_machine(request)


def is_from_this_machine(request: Request) -> bool:
    if request.client is None or {"x-forwarded-for", "forwarded"} & set(request.headers):
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False


operator_routes = [
    Route("/operator/invite", invite, methods=["POST"]),
    Route("/operator/backup", backup, methods=["POST"]),
]
