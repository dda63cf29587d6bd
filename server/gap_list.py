"""The gap list: each phone, and what of it should have arrived and did not.

A phone numbers its changes 1, 2, 3 ... and says at every contact how far it has counted (`high_water`). What lies above
everything that came is still on the phone; a number that is missing below one that came never arrived.
Whoever needs help stands first. It is no measure of anybody's work.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import and_
from sqlmodel import Session, col, select

from server.models import Change, Device, Volunteer
from server.scope import Principal, scoped
from sync.changes import SKEW_MS_MAX
from sync.gaps import advance

STUCK_AFTER_MS = 3 * 24 * 3600_000  # unsent for so long: somebody should ask
QUIET_AFTER_MS = 14 * 24 * 3600_000
MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS

# Why a phone needs help, the most pressing first; "" is a phone that is well.
NEEDS = ("cloned", "gap", "stuck", "at_risk", "skew", "waiting", "quiet", "", "revoked")


@dataclass(frozen=True, slots=True)
class Skew:
    """`words`: of the messages, with the number that they count in."""

    words: str
    n: int


@dataclass(frozen=True, slots=True)
class Phone:
    device: Device
    volunteer: Volunteer
    unsent: int  # counted by the phone, not arrived
    gaps: Sequence[tuple[int, int]]  # never arrived although later ones did, both ends included
    need: str  # the most pressing of NEEDS

    @property
    def skew(self) -> Skew | None:
        """How far the phone's clock is ahead or behind; None when it hardly is."""
        skew = self.device.clock_skew_ms
        if abs(skew) <= SKEW_MS_MAX:
            return None
        words = "ahead" if skew > 0 else "behind"
        if abs(skew) < 2 * DAY_MS:
            return Skew(words, round(abs(skew) / MINUTE_MS))
        return Skew(f"days_{words}", round(abs(skew) / DAY_MS))


def phones(session: Session, principal: Principal, *, now: int) -> list[Phone]:
    """Two statements, however many phones there are."""
    owned = (
        select(Device, Volunteer)
        .join(
            Volunteer,
            and_(
                col(Volunteer.community_id) == col(Device.community_id), col(Volunteer.id) == col(Device.volunteer_id)
            ),
        )
        .where(Device.community_id == principal.community_id)
        .order_by(col(Volunteer.number), col(Device.created_at))
    )
    numbers = (
        select(Change.device_id, Change.device_sequence)
        .join(
            Device, and_(col(Device.community_id) == col(Change.community_id), col(Device.id) == col(Change.device_id))
        )
        .where(col(Change.device_sequence) > col(Device.received_through))
    )
    arrived: dict[str, list[int]] = {}
    for device_id, number in session.exec(scoped(principal, numbers)):
        arrived.setdefault(device_id, []).append(number)
    found = [phone(device, volunteer, arrived.get(device.id, []), now) for device, volunteer in session.exec(owned)]
    return sorted(found, key=lambda each: NEEDS.index(each.need))  # within a need, by the volunteers' numbers


def phone(device: Device, volunteer: Volunteer, arrived: Sequence[int], now: int) -> Phone:
    through, missing = advance(device.received_through, arrived, device.high_water)
    last = max(arrived, default=through)
    gaps = [(first, end) for first, end in missing if first < last]
    unsent = max(0, device.high_water - through - len({number for number in arrived if number > through}))
    made = Phone(device, volunteer, unsent, gaps, "")
    return Phone(device, volunteer, unsent, gaps, need_of(made, now))


def need_of(phone: Phone, now: int) -> str:
    device = phone.device
    silent_ms = now - device.last_contact_at
    if device.standing == "revoked":
        return "revoked"
    if device.is_cloned:
        return "cloned"
    if phone.gaps:
        return "gap"
    if phone.unsent and silent_ms > STUCK_AFTER_MS:
        return "stuck"
    if phone.unsent and device.keeping == "may_be_cleared":
        return "at_risk"
    if phone.skew:
        return "skew"
    if device.standing == "waiting":
        return "waiting"
    return "quiet" if device.public_key and silent_ms > QUIET_AFTER_MS else ""
