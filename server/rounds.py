"""Rounds: who walks which doors. An assignment is a grant on the round, on each of its households, and on the charts of
their buildings, which say nothing about anybody.

A grant takes a place in the feed, so a phone that pulls learns of the new scope in order, and of its end likewise.
"""

from collections.abc import Collection, Iterable

from sqlmodel import Session, col, select, update

from server.buildings import building_id, building_of
from server.models import Grant
from server.store import SqlStore


def assign_round(
    session: Session,
    *,
    community_id: int,
    round_id: str,
    household_ids: Iterable[str],
    volunteer_ids: Iterable[str],
) -> None:
    """Lets the volunteers see the round and its households. Safe to repeat: what somebody sees already is left alone."""
    doors = list(household_ids)
    scopes = [round_id, *doors, *buildings_of(session, community_id, doors)]
    wanted = [(person_id, scope_id) for person_id in volunteer_ids for scope_id in scopes]
    held = active_grants(session, community_id=community_id, person_ids={person_id for person_id, _ in wanted})
    missing = [pair for pair in dict.fromkeys(wanted) if pair not in held]
    if not missing:
        return
    place = SqlStore(session).take_places(community_id, 1)
    session.add_all(
        Grant(community_id=community_id, person_id=person_id, scope_id=scope_id, revision=place)
        for person_id, scope_id in missing
    )
    session.flush()


def withdraw_round(session: Session, *, community_id: int, round_id: str, person_id: str, now: int) -> None:
    """Ends what the person sees through this round, except doors that another of her rounds still covers. What she
    wrote before now is still taken when it arrives."""
    held = {scope_id for _, scope_id in active_grants(session, community_id=community_id, person_ids={person_id})}
    doors = households_of_rounds(session, community_id, held)
    if round_id not in doors:
        return
    elsewhere = {door for other, its_doors in doors.items() if other != round_id for door in its_doors}
    ended = [round_id, *(door for door in doors[round_id] if door in held and door not in elsewhere)]
    left = buildings_of(session, community_id, elsewhere & held)
    ended += sorted(buildings_of(session, community_id, doors[round_id]) - left)
    place = SqlStore(session).take_places(community_id, 1)
    session.exec(
        update(Grant)
        .where(
            col(Grant.community_id) == community_id,
            col(Grant.person_id) == person_id,
            col(Grant.scope_id).in_(ended),
            col(Grant.ended_revision) == 0,
        )
        .values(ended_revision=place, ended_at=now)
    )


def buildings_of(session: Session, community_id: int, household_ids: Collection[str]) -> set[str]:
    """The ids of the charts that these doors stand on, drawn already or not."""
    records = SqlStore(session).records(community_id, household_ids).values()
    numbers = {building_of(str(record.fields.get("door", ""))) for record in records}
    return {building_id(community_id, number) for number in numbers if number}


def active_grants(session: Session, *, community_id: int, person_ids: Collection[str]) -> set[tuple[str, str]]:
    """(person, scope) of every grant that has not ended."""
    rows = session.exec(
        select(Grant.person_id, Grant.scope_id).where(
            Grant.community_id == community_id, col(Grant.person_id).in_(person_ids), Grant.ended_revision == 0
        )
    )
    return {(person_id, scope_id) for person_id, scope_id in rows}


def households_of_rounds(session: Session, community_id: int, record_ids: Collection[str]) -> dict[str, list[str]]:
    """The doors of those of the given records that are rounds."""
    records = SqlStore(session).records(community_id, record_ids)
    return {
        record.record_id: list(record.fields.get("household_ids") or ())
        for record in records.values()
        if record.kind == "round"
    }
