"""Rounds: who walks which doors. An assignment is a grant on the round, on each of its households, and on the charts of
their buildings, which say nothing about anybody. With her first one a volunteer is granted what is filed under herself
(her outings), which no other volunteer ever is.

A grant takes a place in the feed, so a phone that pulls learns of the new scope in order, and of its end likewise.
"""

from collections.abc import Collection, Iterable, Sequence

from sqlmodel import Session, col, select, update

from server.buildings import building_id, building_of
from server.models import Grant, Record, Volunteer
from server.rules import SCHEMA
from server.scope import Principal, scoped
from server.store import SqlStore
from sync import changes
from sync.kinds import Role

PEOPLE_MAX = 60


def assign_round(
    session: Session,
    *,
    community_id: int,
    round_id: str,
    household_ids: Iterable[str],
    volunteer_ids: Iterable[str],
) -> None:
    """Lets the volunteers see the round and its households. Safe to repeat: what somebody sees already is left alone."""
    SqlStore(session).hold(community_id)
    doors = list(household_ids)
    scopes = [round_id, *doors, *buildings_of(session, community_id, doors)]
    wanted = [(person_id, scope_id) for person_id in volunteer_ids for scope_id in (*scopes, person_id)]
    held = active_grants(session, community_id=community_id, person_ids={person_id for person_id, _ in wanted})
    missing = [pair for pair in dict.fromkeys(wanted) if pair not in held]
    if not missing:
        return
    place = SqlStore(session).take_place(community_id)
    session.add_all(
        Grant(community_id=community_id, person_id=person_id, scope_id=scope_id, revision=place)
        for person_id, scope_id in missing
    )
    session.flush()


def withdraw_round(session: Session, *, community_id: int, round_id: str, person_id: str, now: int, today: str) -> None:
    """Ends what the person sees through this round, except doors that another of her rounds, which is not over, still covers.
    What she wrote before now is still taken when it arrives."""
    SqlStore(session).hold(community_id)  # nobody gives or takes doors between what is read and what is written
    held = {scope_id for _, scope_id in active_grants(session, community_id=community_id, person_ids={person_id})}
    rounds = rounds_among(session, community_id, held)
    if round_id not in rounds:
        return
    doors = doors_of([rounds.pop(round_id)])
    ended = doors & held - doors_of(each for each in rounds.values() if not is_over(each, today))
    left = doors_of(rounds.values()) & held - ended
    ended |= buildings_of(session, community_id, doors) - buildings_of(session, community_id, left)
    place = SqlStore(session).take_place(community_id)
    session.exec(
        update(Grant)
        .where(
            col(Grant.community_id) == community_id,
            col(Grant.person_id) == person_id,
            col(Grant.scope_id).in_([round_id, *ended]),
            col(Grant.ended_revision) == 0,
        )
        .values(ended_revision=place, ended_at=now)
    )


def people_changes(session: Session, community_id: int, round_ids: Collection[str], now: int) -> list[changes.Change]:
    """What the server must write so that each round names who may go along: the teams of those who walk it."""
    store = SqlStore(session)
    records = store.records(community_id, round_ids).values()
    found = [(record, people_of(session, community_id, record.fields.get("volunteer_ids") or ())) for record in records]
    moved = [(record, people) for record, people in found if people != record.fields.get("people")]
    return [named_anew(record, people, now, store.new_id(community_id, record.record_id)) for record, people in moved]


def people_of(session: Session, community_id: int, volunteer_ids: Collection[str]) -> list[str]:
    """In order of their numbers; a name that two of them bear is told apart by them."""
    of_community = Volunteer.community_id == community_id
    teams = select(Volunteer.team).where(of_community, col(Volunteer.id).in_(volunteer_ids))
    rows = session.exec(
        select(Volunteer.number, Volunteer.name)
        .where(of_community, col(Volunteer.is_active), col(Volunteer.team).in_(teams))
        .order_by(col(Volunteer.number))
        .limit(PEOPLE_MAX)
    ).all()
    names = [name for _, name in rows]
    return [name if names.count(name) == 1 else f"{name} {number}" for number, name in rows]


def named_anew(record: changes.Record, people: list[str], now: int, change_id: str) -> changes.Change:
    return changes.Change(
        change_id=change_id,
        device_sequence=0,
        kind="round",
        record_id=record.record_id,
        action=changes.Action.PUT,
        base=record.revision,
        set={"people": people},
        made_at=now,
        schema=SCHEMA,
    )


def rounds_without_people(session: Session, community_id: int) -> Sequence[str]:
    """Those written before rounds named them."""
    server = Principal(Role.COORDINATOR, "", community_id, "")
    statement = select(Record.record_id).where(col(Record.kind) == "round", col(Record.fields).not_like('%"people":%'))
    return session.exec(scoped(server, statement)).all()


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


def active_holders(session: Session, *, community_id: int, scope_id: str) -> list[str]:
    """Who may see this now."""
    statement = select(Grant.person_id).where(
        Grant.community_id == community_id, Grant.scope_id == scope_id, Grant.ended_revision == 0
    )
    return sorted(session.exec(statement).all())


def rounds_among(session: Session, community_id: int, record_ids: Collection[str]) -> dict[str, changes.Record]:
    """Those of the given records that are rounds."""
    records = SqlStore(session).records(community_id, record_ids)
    return {record_id: record for record_id, record in records.items() if record.kind == "round"}


def doors_of(rounds: Iterable[changes.Record]) -> set[str]:
    return {door for each in rounds for door in each.fields.get("household_ids") or ()}


def is_over(given: changes.Record, today: str) -> bool:
    return str(given.fields.get("ends_on") or today) < today
