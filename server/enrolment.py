"""Enrolment: a single-use invite from a coordinator's screen, claimed on the phone, confirmed on the screen.

    create_invite ──QR or short code──> claim_invite (device waits) ──check number on both screens──> confirm_device

Opening the link spends nothing. A photographed QR helps nobody: the coordinator confirms the device she sees.
"""

import hashlib
import secrets
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import or_
from sqlmodel import Session, col, select

from server.devices import new_device
from server.models import Device, Invite, Volunteer
from sync.changes import is_id
from sync.errors import SyncError

INVITE_LIFE_MS = 24 * 3600 * 1000
DEVICE_NAME_MAX = 40


@dataclass(frozen=True, slots=True)
class NewInvite:
    """What the coordinator shows once; the database keeps only hashes."""

    token: str
    short_code: str  # eight digits
    volunteer_name: str
    expires_at: int

    def link(self, public_url: str) -> str:
        """The token is in the fragment: it reaches no log and no Referer."""
        return f"{public_url}/enrol#{self.token}"


class ClaimProblem(StrEnum):
    UNKNOWN_CODE = "unknown_code"
    SPENT_CODE = "spent_code"
    EXPIRED_CODE = "expired_code"
    BAD_KEY = "bad_key"
    ANOTHERS_KEY = "anothers_key"


class NoSuchVolunteer(SyncError):
    pass


def volunteer_by_number(session: Session, number: str) -> Volunteer:
    """For whoever sits at the server itself and has the number alone. Raises NoSuchVolunteer, also where volunteers of
    several communities have it."""
    found = session.exec(select(Volunteer).where(Volunteer.number == number, col(Volunteer.is_active).is_(True))).all()
    if len(found) != 1:
        raise NoSuchVolunteer("no_such_volunteer", f"{len(found)} active volunteers have the number {number}")
    return found[0]


def create_invite(session: Session, volunteer: Volunteer, *, now: int) -> NewInvite:
    invite = NewInvite(
        token=secrets.token_urlsafe(16),
        short_code=f"{secrets.randbelow(10**8):08}",
        volunteer_name=volunteer.name,
        expires_at=now + INVITE_LIFE_MS,
    )
    session.add(
        Invite(
            community_id=volunteer.community_id,
            token_hash=hashed(invite.token),
            short_code_hash=hashed(invite.short_code),
            volunteer_id=volunteer.id,
            created_at=now,
            expires_at=invite.expires_at,
        )
    )
    return invite


def claim_invite(
    session: Session, *, code: str, device_name: str, public_key: str, owner_id: str = "", now: int
) -> Device | ClaimProblem:
    """Spends the invite and adds a waiting device; to a key that the volunteer's device has already, it gives that one.
    The same key claiming the same invite again (a lost answer) gets its device again, and nobody else gets anything of
    a code that was spent or is over. `code` is the token or the short code, with or without its space; `owner_id` is the
    volunteer whose the key was, as its phone says: a database that was restored from a backup may not know."""
    code_hash = hashed("".join(code.split()))
    invite = session.exec(
        select(Invite)
        .where(or_(col(Invite.token_hash) == code_hash, col(Invite.short_code_hash) == code_hash))
        .order_by(col(Invite.created_at).desc())
        .with_for_update()  # whoever claims it at the same moment waits, and finds it spent
    ).first()
    if invite is None:
        return ClaimProblem.UNKNOWN_CODE
    if invite.expires_at <= now:
        return ClaimProblem.EXPIRED_CODE
    volunteer = session.exec(
        select(Volunteer).where(Volunteer.community_id == invite.community_id, Volunteer.id == invite.volunteer_id)
    ).one()
    try:
        device = new_device(volunteer, name=device_name[:DEVICE_NAME_MAX], public_key=public_key, now=now)
    except ValueError:
        return ClaimProblem.BAD_KEY
    known = session.exec(select(Device).where(Device.id == device.id)).first()
    owner = known.volunteer_id if known else find_owner(session, volunteer, owner_id)
    # First, or a phone whose new key had its answer lost would be told of a spent code.
    if owner != volunteer.id:
        return ClaimProblem.ANOTHERS_KEY
    if known is not None and known.standing == "revoked":
        return ClaimProblem.BAD_KEY
    if invite.spent_at and invite.spent_by != device.id:
        return ClaimProblem.SPENT_CODE
    invite.spent_at, invite.spent_by = invite.spent_at or now, device.id
    session.add(invite)
    if known is None:
        session.add(device)
    return known or device


def find_owner(session: Session, volunteer: Volunteer, owner_id: str) -> str:
    """Whose a key was that nobody knows here: whoever it says, if there is such a volunteer, or else who claims it now."""
    if not is_id(owner_id):
        return volunteer.id
    same = Volunteer.community_id == volunteer.community_id, Volunteer.id == owner_id
    return session.exec(select(Volunteer.id).where(*same)).first() or volunteer.id


def confirm_device(session: Session, *, community_id: int, device_id: str, now: int) -> Device | None:
    """The coordinator saw the same check number on both screens. None when no such device waits."""
    device = find_device(session, community_id=community_id, device_id=device_id)
    if device is None or device.standing == "revoked":
        return None
    device.standing = "active"
    device.confirmed_at = device.confirmed_at or now
    session.add(device)
    return device


def revoke_device(session: Session, *, community_id: int, device_id: str, now: int) -> Device | None:
    """From its next request on the device reads nothing; what it still sends is held, not lost."""
    device = find_device(session, community_id=community_id, device_id=device_id)
    if device is None:
        return None
    device.standing = "revoked"
    device.revoked_at = now
    session.add(device)
    return device


def find_device(session: Session, *, community_id: int, device_id: str) -> Device | None:
    """Held until the caller commits: whoever decides about it at the same moment waits, and finds what was decided."""
    statement = select(Device).where(Device.community_id == community_id, Device.id == device_id)
    return session.exec(statement.with_for_update()).first()


def hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
