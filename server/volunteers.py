"""Volunteers and their phones, as a coordinator looks after them."""

from dataclasses import dataclass

from sqlmodel import Session, col, select

from server.models import Device, Volunteer
from server.scope import Principal


@dataclass(frozen=True, slots=True)
class VolunteerWithDevices:
    volunteer: Volunteer
    devices: list[Device]  # waiting ones first, then active; revoked ones are left out


def volunteers_with_devices(session: Session, *, community_id: int) -> list[VolunteerWithDevices]:
    """Two statements, however many volunteers there are."""
    volunteers = session.exec(
        select(Volunteer).where(Volunteer.community_id == community_id).order_by(col(Volunteer.number))
    ).all()
    devices = session.exec(
        select(Device)
        .where(Device.community_id == community_id, Device.standing != "revoked")
        .order_by(col(Device.standing).desc(), col(Device.created_at))
    ).all()
    return [
        VolunteerWithDevices(each, [device for device in devices if device.volunteer_id == each.id])
        for each in volunteers
    ]


def active_volunteers(session: Session, principal: Principal) -> list[Volunteer]:
    """Those who may be given a round, by their numbers."""
    of_community = Volunteer.community_id == principal.community_id
    wanted = select(Volunteer).where(of_community, col(Volunteer.is_active)).order_by(col(Volunteer.number))
    return list(session.exec(wanted))


def volunteer_with_devices(session: Session, *, community_id: int, volunteer_id: str) -> VolunteerWithDevices | None:
    volunteer = session.get(Volunteer, (community_id, volunteer_id))
    if volunteer is None:
        return None
    devices = session.exec(
        select(Device)
        .where(Device.community_id == community_id, Device.volunteer_id == volunteer_id, Device.standing != "revoked")
        .order_by(col(Device.standing).desc(), col(Device.created_at))
    ).all()
    return VolunteerWithDevices(volunteer, list(devices))
