"""Sessions: a signed-in period, kept on the server so that it can be ended there.

The cookie holds a token of 256 bits; the table holds its SHA-256, so that a copy of the database opens nothing. A
coordinator's session lasts twelve hours. A volunteer's serves the pages of a browser without a worker and slides: each
day of use gives it thirty more, up to half a year. It never decides about `/sync`, which the device's key signs.
"""

import hashlib
import secrets

from sqlmodel import Session, col, delete, select, update
from starlette.requests import Request
from starlette.responses import Response

from server.models import Device, SignIn, Staff, Volunteer
from server.scope import Principal
from server.settings import Settings
from sync.kinds import Role

HOUR_MS = 3600 * 1000
DAY_MS = 24 * HOUR_MS
COORDINATOR_MS = 12 * HOUR_MS
VOLUNTEER_MS = 30 * DAY_MS
VOLUNTEER_MAX_MS = 180 * DAY_MS


def start_session(
    session: Session, *, role: Role, person_id: str, community_id: int, device_id: str | None, now: int
) -> str:
    """Adds a session and returns its token, which is shown to nobody else and kept nowhere else. Sessions that have
    run out are swept away in the same go."""
    token = secrets.token_urlsafe(32)
    session.exec(delete(SignIn).where(col(SignIn.expires_at) <= now))
    session.add(
        SignIn(
            token_hash=hashed(token),
            community_id=community_id,
            role=role.value,
            person_id=person_id,
            device_id=device_id,
            created_at=now,
            expires_at=now + life_ms(role),
        )
    )
    return token


def sign_in_for(session: Session, token: str, now: int) -> SignIn | None:
    """The signed-in period itself, whatever the standing of its device: the waiting page of an enrolment needs it."""
    found = session.get(SignIn, hashed(token)) if token else None
    return found if found is not None and found.expires_at > now else None


def principal_for(session: Session, token: str, now: int) -> Principal | None:
    """Who holds the token. None when it has run out or was ended, when the person left, or when the device waits for
    its confirmation or was revoked: all of them end at the very next request."""
    found = sign_in_for(session, token, now)
    if found is None:
        return None
    name = staff_name(session, found) if found.role == Role.COORDINATOR else volunteer_name(session, found)
    if name is None:
        return None
    return Principal(
        role=Role(found.role),
        person_id=found.person_id,
        community_id=found.community_id,
        name=name,
        device_id=found.device_id,
    )


def staff_name(session: Session, found: SignIn) -> str | None:
    return session.exec(
        select(Staff.name).where(
            Staff.community_id == found.community_id, Staff.id == found.person_id, col(Staff.is_active).is_(True)
        )
    ).first()


def volunteer_name(session: Session, found: SignIn) -> str | None:
    return session.exec(
        select(Volunteer.name)
        .join(
            Device,
            (col(Device.community_id) == Volunteer.community_id) & (col(Device.volunteer_id) == Volunteer.id),
        )
        .where(
            Volunteer.community_id == found.community_id,
            Volunteer.id == found.person_id,
            col(Volunteer.is_active).is_(True),
            Device.id == found.device_id,
            Device.standing == "active",
        )
    ).first()


def slide_session(session: Session, token: str, now: int) -> None:
    """A volunteer's session that was used gets its thirty days anew, at most once a day, never beyond half a year."""
    found = sign_in_for(session, token, now)
    if found is None or not is_slidable(found, now):
        return
    # In words of its own: who signed out in this very moment has no row left, and needs none.
    session.exec(
        update(SignIn)
        .where(col(SignIn.token_hash) == found.token_hash)
        .values(expires_at=min(now + VOLUNTEER_MS, found.created_at + VOLUNTEER_MAX_MS))
    )


def is_slidable(found: SignIn, now: int) -> bool:
    """Asked first, on a reading session, so that an ordinary page view writes nothing."""
    return found.role == Role.VOLUNTEER and found.expires_at < now + VOLUNTEER_MS - DAY_MS


def end_session(session: Session, token: str) -> None:
    session.exec(delete(SignIn).where(col(SignIn.token_hash) == hashed(token)))


def end_sessions_of(session: Session, *, community_id: int, device_id: str) -> None:
    session.exec(delete(SignIn).where(col(SignIn.community_id) == community_id, col(SignIn.device_id) == device_id))


# The cookie


def cookie_name(settings: Settings) -> str:
    """`__Host-` ties the cookie to this very host, and needs https; a plain name serves http on the loopback."""
    return "__Host-s" if is_secure(settings) else "linli-s"


def token_of(request: Request) -> str:
    return request.cookies.get(cookie_name(request.app.state.settings), "")


def set_session_cookie(response: Response, settings: Settings, token: str, *, role: Role) -> None:
    response.set_cookie(
        cookie_name(settings),
        token,
        max_age=(VOLUNTEER_MAX_MS if role is Role.VOLUNTEER else COORDINATOR_MS) // 1000,
        path="/",
        secure=is_secure(settings),
        httponly=True,
        samesite="lax",
    )


def clear_session_cookie(response: Response, settings: Settings) -> None:
    response.delete_cookie(cookie_name(settings), path="/", secure=is_secure(settings), httponly=True, samesite="lax")


def is_secure(settings: Settings) -> bool:
    return settings.public_url.startswith("https:")


def life_ms(role: Role) -> int:
    return VOLUNTEER_MS if role is Role.VOLUNTEER else COORDINATOR_MS


def hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
