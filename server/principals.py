"""Who is asking: from the request's cookie to a Principal."""

from sqlmodel import Session
from starlette.requests import Request

from server.database import Database
from server.models import Device
from server.render import in_thread
from server.scope import Principal
from server.sessions import is_slidable, principal_for, sign_in_for, slide_session, token_of
from sync.kinds import Role


async def current_principal(request: Request) -> Principal | None:
    """The person behind the cookie, or None. A volunteer's session in use is extended now and then."""
    token, database, now = token_of(request), database_of(request), request.app.state.clock()
    if not token:
        return None
    principal, is_due = await in_thread(database.read, lambda session: look_up(session, token, now))
    if is_due:
        await in_thread(database.write, lambda session: slide_session(session, token, now))
    return principal


async def current_volunteer(request: Request) -> Principal | None:
    principal = await current_principal(request)
    return principal if principal and principal.role is Role.VOLUNTEER else None


async def waiting_device(request: Request) -> Device | None:
    """The device behind the cookie, whatever its standing: the waiting page of an enrolment asks."""
    token, now = token_of(request), request.app.state.clock()
    return await in_thread(database_of(request).read, lambda session: device_behind(session, token, now))


def look_up(session: Session, token: str, now: int) -> tuple[Principal | None, bool]:
    principal = principal_for(session, token, now)
    found = sign_in_for(session, token, now) if principal else None
    return principal, found is not None and is_slidable(found, now)


def device_behind(session: Session, token: str, now: int) -> Device | None:
    found = sign_in_for(session, token, now)
    return session.get(Device, (found.community_id, found.device_id)) if found and found.device_id else None


def database_of(request: Request) -> Database:
    database: Database = request.app.state.database
    return database
