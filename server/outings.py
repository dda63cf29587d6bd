"""Rounds as a coordinator sees them: who walks each, who handed it back, and when somebody was out.

Hours are what volunteers say; nothing here measures anybody, and nothing is added up over people or put in an order.
"""

from dataclasses import dataclass, field
from uuid import UUID, uuid5

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, select

from server.loading import Shown, shown
from server.models import Grant, Record, Volunteer
from server.rounds import active_grants, is_over
from server.rules import SCHEMA
from server.scope import Principal, scoped
from server.store import SqlStore
from sync import changes

ROUNDS_MAX = 60
RECORDS_MAX = 2000


@dataclass(slots=True)
class Walker:
    """One of a round's people. `declines` are what she handed it back with, none while she goes: two tabs leave two."""

    id: str
    name: str
    declines: list[Shown] = field(default_factory=list)
    outings: list[Shown] = field(default_factory=list)


@dataclass(slots=True)
class WalkedRound:
    round: Shown
    walkers: list[Walker]

    @property
    def is_free(self) -> bool:
        """Everybody who had it has handed it back: somebody else must be found."""
        return bool(self.walkers) and all(walker.declines for walker in self.walkers)

    def given_to(self, person_id: str, *, now: int) -> changes.Change:
        """The round's own word of who walks it; sent twice it is taken once."""
        people = [*(self.round.get("volunteer_ids") or []), person_id]
        return changes.Change(
            change_id=str(uuid5(UUID(self.round["id"]), f"given to {person_id} {self.round['revision']}")),
            device_sequence=0,
            kind="round",
            record_id=self.round["id"],
            action=changes.Action.PUT,
            base=self.round["revision"],
            set={"volunteer_ids": list(dict.fromkeys(people))},
            made_at=now,
            schema=SCHEMA,
        )


def walked_rounds(session: Session, principal: Principal) -> list[WalkedRound]:
    """The newest first, by when they end. Four statements, however many there are."""
    found = records_of(session, principal, "round")
    found.sort(key=lambda each: (str(each.get("ends_on", "")), each["id"]), reverse=True)
    rounds = {each["id"]: WalkedRound(each, []) for each in found[:ROUNDS_MAX] if not each["is_void"]}
    walkers: dict[tuple[str, str], Walker] = {}
    for round_id, person_id, name in session.exec(
        select(Grant.scope_id, Grant.person_id, Volunteer.name)
        .join(Volunteer, (col(Volunteer.community_id) == Grant.community_id) & (col(Volunteer.id) == Grant.person_id))
        .where(
            Grant.community_id == principal.community_id,
            col(Grant.scope_id).in_(rounds),
            col(Grant.ended_revision) == 0,
        )
        .order_by(col(Volunteer.number))
    ):
        walkers[round_id, person_id] = walker = Walker(person_id, name)
        rounds[round_id].walkers.append(walker)
    for kind in ("outing", "decline"):
        for each in records_of(session, principal, kind):
            walker_of = walkers.get((str(each.get("round_id")), each["author_id"]))
            if walker_of is None or each["is_void"]:
                continue
            if kind == "decline":
                walker_of.declines.append(each)
            else:
                walker_of.outings.append(each)
    for walker in walkers.values():
        walker.outings.sort(key=lambda each: (str(each.get("went_on")), str(each.get("from_time"))))
    return list(rounds.values())


def handed_back(session: Session, principal: Principal, *, today: str) -> int:
    """How many rounds that are not over somebody has handed back, and still has on her list. One statement on most days."""
    declines = records_of(session, principal, "decline", col(Record.is_void).is_(False))
    if not declines:
        return 0
    community_id = principal.community_id
    people = {each["author_id"] for each in declines}
    held = active_grants(session, community_id=community_id, person_ids=people)
    named = {each["round_id"] for each in declines if (each["author_id"], each["round_id"]) in held}
    rounds = SqlStore(session).records(community_id, named).values()
    return sum(not is_over(each, today) for each in rounds)


def answered(decline: Shown, *, now: int) -> changes.Change:
    """What the server writes once the round is off her list: given it again, she has not declined it."""
    return changes.Change(
        change_id=str(uuid5(UUID(decline["id"]), f"answered {decline['revision']}")),
        device_sequence=0,
        kind="decline",
        record_id=decline["id"],
        action=changes.Action.VOID,
        base=decline["revision"],
        set={},
        made_at=now,
        schema=SCHEMA,
    )


def records_of(session: Session, principal: Principal, kind: str, *conditions: ColumnElement[bool]) -> list[Shown]:
    """The newest, by when they last moved."""
    statement = select(Record).where(col(Record.kind) == kind, *conditions)
    statement = statement.order_by(col(Record.revision).desc()).limit(RECORDS_MAX)
    return [shown(record) for record in session.exec(scoped(principal, statement))]
