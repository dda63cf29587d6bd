"""The small world of the tests: Alice owns a round, Bob is on her team, Charlie must see nothing of theirs.

Charlie has a round and a household of his own, so that a leak in either direction has something to leak. Everybody and
everything is made up; records go in through the one way in, as they always do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from sqlmodel import Session

from server.accepting import accept_changes, server_author
from server.database import Database
from server.models import Community, Device, Feed, Staff, Volunteer
from server.passwords import hash_password
from server.rounds import assign_round
from server.scope import Principal
from server.sessions import start_session
from sync.changes import Action, Author, Change, Outcome, Result
from sync.kinds import Role

NOW = 1_795_395_600_000  # Monday 2026-11-23 09:00 in Shanghai
TODAY = "2026-11-23"
COMMUNITY_ID = 1
COORDINATOR_LOGIN = "dana"
COORDINATOR_PASSWORD = "the small world's password"


def made_up_id(name: str) -> str:
    """The same id for the same name, in every test."""
    return str(uuid5(NAMESPACE_URL, f"small world: {name}"))


@dataclass(frozen=True, slots=True)
class Person:
    """`device_id` is an active phone without a key: good for a session, not for signing."""

    id: str
    number: str
    name: str
    device_id: str

    def principal(self) -> Principal:
        return Principal(Role.VOLUNTEER, self.id, COMMUNITY_ID, self.name, self.device_id)

    def author(self) -> Author:
        return Author(COMMUNITY_ID, self.id, self.name, self.device_id, Role.VOLUNTEER)


def person(number: str, name: str) -> Person:
    return Person(made_up_id(name), number, name, made_up_id(f"{name}'s phone"))


ALICE = person("0001", "Alice")
BOB = person("0002", "Bob")
CHARLIE = person("0003", "Charlie")
COORDINATOR = Principal(Role.COORDINATOR, made_up_id("Dana"), COMMUNITY_ID, "Dana")

ROUND_ID = made_up_id("the round of Alice and Bob")
CHARLIES_ROUND_ID = made_up_id("the round of Charlie")
# Doors of the round: a red one, a green one, and one whose people agreed to everything.
RED_DOOR = made_up_id("door 2-1-101")
GREEN_DOOR = made_up_id("door 2-1-102")
FULL_DOOR = made_up_id("door 2-1-201")
CHARLIES_DOOR = made_up_id("door 5-2-501")
DOORS = (RED_DOOR, GREEN_DOOR, FULL_DOOR)


def build_world(database: Database) -> None:
    """Fills an empty, migrated database."""
    database.write(add_world)


def add_world(session: Session) -> None:
    session.add(Community(id=COMMUNITY_ID, name="示例社区", epoch="epoch-1", duty_phone="000-0000-0100"))
    session.add(Feed(community_id=COMMUNITY_ID))
    for each in (ALICE, BOB, CHARLIE):
        add_volunteer(session, each)
    session.add(
        Staff(
            community_id=COMMUNITY_ID,
            id=COORDINATOR.person_id,
            login=COORDINATOR_LOGIN,
            name=COORDINATOR.name,
            password_hash=hash_password(COORDINATOR_PASSWORD),
        )
    )
    session.flush()
    put(session, "household", RED_DOOR, door="2-1-101", risk="red", categories=["living_alone"])
    put(session, "household", GREEN_DOOR, door="2-1-102", risk="green", categories=["empty_nest"])
    put(session, "household", FULL_DOOR, door="2-1-201", risk="yellow", consent_state="full")
    put(session, "household", CHARLIES_DOOR, door="5-2-501", risk="green", categories=["left_behind"])
    add_round(session, ROUND_ID, "每月走访", DOORS, (ALICE, BOB))
    add_round(session, CHARLIES_ROUND_ID, "另一轮", (CHARLIES_DOOR,), (CHARLIE,))


def add_volunteer(session: Session, each: Person) -> None:
    session.add(Volunteer(community_id=COMMUNITY_ID, id=each.id, number=each.number, name=each.name))
    session.add(
        Device(
            community_id=COMMUNITY_ID,
            id=each.device_id,
            volunteer_id=each.id,
            name=f"{each.name}'s phone",
            check_number="0042",
            standing="active",
            created_at=NOW,
            confirmed_at=NOW,
        )
    )


HOUSEHOLD: Mapping[str, Any] = {
    "address": "示例小区",
    "members": ["示例居民0001"],
    "categories": [],
    "interval_days": 30,
    "consent_state": "basic",
    "is_closed": False,
}


def put(session: Session, kind: str, record_id: str, **fields: Any) -> None:
    """Writes a record as the server itself does."""
    fields = {**HOUSEHOLD, **fields} if kind == "household" else fields
    change = Change(made_up_id(f"put {record_id}"), 0, kind, record_id, Action.PUT, 0, fields, NOW, 1)
    (result,) = accept_changes(session, server_author(COMMUNITY_ID), [change], NOW)
    assert result.outcome is Outcome.ACCEPTED, result


def add_round(session: Session, round_id: str, title: str, doors: Sequence[str], people: Sequence[Person]) -> None:
    volunteer_ids = [each.id for each in people]
    put(
        session,
        "round",
        round_id,
        title=title,
        occasion="monthly",
        starts_on=TODAY,
        ends_on=TODAY,
        household_ids=list(doors),
        volunteer_ids=volunteer_ids,
    )
    assign_round(
        session,
        community_id=COMMUNITY_ID,
        round_id=round_id,
        household_ids=doors,
        volunteer_ids=volunteer_ids,
    )


def visit_change(
    name: str, *, door: str = RED_DOOR, round_id: str = ROUND_ID, base: int | str = 0, **fields: Any
) -> Change:
    """A change of the visit with this made-up name: a new one unless `base` says otherwise. Asking again for the same
    gives the same change, id and all."""
    given = {"household_id": door, "round_id": round_id, "outcome": "met"} if base == 0 else {}
    return Change(
        change_id=made_up_id(f"change of {name} on {base}: {sorted(fields.items())}"),
        device_sequence=0,
        kind="visit",
        record_id=made_up_id(name),
        action=Action.PUT,
        base=base,
        set={**given, **fields},
        made_at=NOW,
        schema=1,
    )


def outing_change(name: str, who: Person, *, round_id: str = ROUND_ID, base: int | str = 0, **fields: Any) -> Change:
    """When this person was out on a round."""
    given = {"round_id": round_id, "volunteer_id": who.id, "went_on": TODAY, "from_time": "08:40"} if base == 0 else {}
    return own_change("outing", name, base=base, fields={**given, **fields})


def decline_change(name: str, who: Person, *, round_id: str = ROUND_ID) -> Change:
    """That this person hands a round back."""
    return own_change("decline", name, base=0, fields={"round_id": round_id, "volunteer_id": who.id})


def own_change(kind: str, name: str, *, base: int | str, fields: Mapping[str, Any]) -> Change:
    return Change(
        change_id=made_up_id(f"change of {name} on {base}: {sorted(fields.items())}"),
        device_sequence=0,
        kind=kind,
        record_id=made_up_id(name),
        action=Action.PUT,
        base=base,
        set=fields,
        made_at=NOW,
        schema=1,
    )


def log_visits(database: Database, who: Person, *changes: Change, now: int = NOW) -> list[Result]:
    """The changes as this volunteer's phone would have pushed them."""
    return database.write(lambda session: accept_changes(session, who.author(), changes, now))


def sign_in(database: Database, who: Person | Principal, *, now: int = NOW) -> str:
    """The token for a session cookie."""
    principal = who.principal() if isinstance(who, Person) else who
    return database.write(
        lambda session: start_session(
            session,
            role=principal.role,
            person_id=principal.person_id,
            community_id=principal.community_id,
            device_id=principal.device_id,
            now=now,
        )
    )
