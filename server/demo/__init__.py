"""A fictitious community to try everything with: the same one for the same seed, around the day it is made.

People, rounds and visits go in the way real ones do (`accept`, grants at places of the feed); only what no screen makes
yet, such as events, is written straight into its table.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from sqlmodel import Session, func, select

from server.accepting import accept_changes, server_author
from server.calendar import start_of_day
from server.database import Database
from server.demo.buildings import make_buildings
from server.demo.events import make_events
from server.demo.households import Household, make_households
from server.demo.names import (
    COMMUNITY_ID,
    COMMUNITY_NAME,
    COORDINATOR_LOGIN,
    COORDINATOR_NAME,
    COORDINATOR_PASSWORD,
    SIGNS,
    VOLUNTEER_NUMBER,
    demo_id,
    phone,
    volunteer_name,
)
from server.demo.visits import (
    DAY_MS,
    FOUND,
    HOUR_MS,
    MINUTE_MS,
    EarlierVisit,
    earlier_visits,
    log_visit,
    review,
    visit_change,
)
from server.enrolment import create_invite, volunteer_by_number
from server.models import Community, Device, Event, Feed, Grant, Staff, Volunteer
from server.passwords import hash_password
from server.rounds import assign_round
from server.rules import SCHEMA
from sync.changes import Action, Author, Change
from sync.kinds import Role

__all__ = [
    "COORDINATOR_LOGIN",
    "COORDINATOR_NAME",
    "COORDINATOR_PASSWORD",
    "VOLUNTEER_NUMBER",
    "Demo",
    "create_demo",
]

TEAMS = 5
UTC_OFFSET_MINUTES = 480
WEATHER_DOORS = 15
VISITED = 8


@dataclass(frozen=True, slots=True)
class Demo:
    """The ways in. The invite is fresh at every call: its secret is kept nowhere."""

    volunteer_number: str
    volunteer_name: str
    invite_token: str
    short_code: str
    coordinator_login: str
    coordinator_password: str
    counts: Mapping[str, int]


def create_demo(database: Database, *, seed: int = 1, now: int) -> Demo:
    """Makes the demo community in an empty, migrated database; where it is already, only a new invite."""
    return database.write(lambda session: make_demo(session, seed, now))


def make_demo(session: Session, seed: int, now: int) -> Demo:
    if session.get(Community, COMMUNITY_ID) is None:
        fill(session, seed, now)
        session.flush()
    invite = create_invite(session, volunteer_by_number(session, VOLUNTEER_NUMBER), now=now)
    return Demo(
        volunteer_number=VOLUNTEER_NUMBER,
        volunteer_name=invite.volunteer_name,
        invite_token=invite.token,
        short_code=invite.short_code,
        coordinator_login=COORDINATOR_LOGIN,
        coordinator_password=COORDINATOR_PASSWORD,
        counts={
            model.__name__: session.exec(select(func.count()).select_from(model)).one()
            for model in (Volunteer, Staff, Device, Event, Grant)
        },
    )


def fill(session: Session, seed: int, now: int) -> None:
    random = Random(seed)
    session.add(
        Community(
            id=COMMUNITY_ID,
            name=COMMUNITY_NAME,
            utc_offset_minutes=UTC_OFFSET_MINUTES,
            # Never from the seed: phones of a demo that was thrown away must notice that this is another.
            epoch=secrets.token_hex(8),
            duty_phone=phone(100),
        )
    )
    session.add(Feed(community_id=COMMUNITY_ID))
    staff = coordinator(seed)
    volunteers = [volunteer(seed, index) for index in range(len(SIGNS))]
    session.add_all([staff, *volunteers])
    session.add_all(make_events(seed, random, now=now, utc_offset_minutes=UTC_OFFSET_MINUTES))
    session.flush()
    households = make_households(seed, random)
    put_records(session, seed, "building", make_buildings(households), now - 121 * DAY_MS)
    put_records(session, seed, "household", {each.id: each.fields for each in households}, now - 120 * DAY_MS)
    Rounds(session, seed, now, random, staff, volunteers, households).make()


def coordinator(seed: int) -> Staff:
    return Staff(
        community_id=COMMUNITY_ID,
        id=demo_id(seed, "coordinator"),
        login=COORDINATOR_LOGIN,
        name=COORDINATOR_NAME,
        password_hash=hash_password(COORDINATOR_PASSWORD),
    )


def volunteer(seed: int, index: int) -> Volunteer:
    return Volunteer(
        community_id=COMMUNITY_ID,
        id=demo_id(seed, f"volunteer {index + 1}"),
        number=f"{index + 1:04}",
        name=volunteer_name(index),
        team=f"示例{'一二三四五'[index % TEAMS]}队",
    )


def put_records(session: Session, seed: int, kind: str, fields_by_id: Mapping[str, Mapping[str, Any]], at: int) -> None:
    changes = [
        Change(demo_id(seed, f"put {record_id}"), 0, kind, record_id, Action.PUT, 0, fields, at, SCHEMA)
        for record_id, fields in fields_by_id.items()
    ]
    accept_changes(session, server_author(COMMUNITY_ID), changes, at)


@dataclass(frozen=True, slots=True)
class Rounds:
    """The three rounds: one that begins today, one festival that is over, one weather check under way."""

    session: Session
    seed: int
    now: int
    random: Random
    staff: Staff
    volunteers: list[Volunteer]
    households: list[Household]

    def make(self) -> None:
        key = [each for each in self.households if each.is_key]
        first = [each for each in key if each.building == 2]
        others = [each for each in key if each.building != 2]
        festival, weather = others[:6], others[-WEATHER_DOORS:]
        self.round("2号楼 1–2单元", "monthly", first, self.volunteers[:1], (0, 6))
        festival_id = self.round("重阳慰问", "festival", [*first, *festival], self.volunteers[1:4], (-32, -28))
        cold_id = self.round("降温关怀", "weather", weather, self.volunteers[4:6], (-1, 5))
        self.log_history(first, festival_id)
        self.log_weather(sorted(weather, key=lambda each: each.risk != "red")[:VISITED], cold_id)
        self.send_from_elsewhere(first[0])

    def round(
        self, title: str, occasion: str, doors: list[Household], people: list[Volunteer], days: tuple[int, int]
    ) -> str:
        round_id = demo_id(self.seed, f"round {title}")
        household_ids = [each.id for each in doors]
        volunteer_ids = [each.id for each in people]
        fields = {
            "title": title,
            "occasion": occasion,
            "starts_on": self.day(days[0]),
            "ends_on": self.day(days[1]),
            "household_ids": household_ids,
            "volunteer_ids": volunteer_ids,
            "duty_phone": phone(100),
        }
        put_records(self.session, self.seed, "round", {round_id: fields}, self.now + (days[0] - 1) * DAY_MS)
        assign_round(
            self.session,
            community_id=COMMUNITY_ID,
            round_id=round_id,
            household_ids=household_ids,
            volunteer_ids=volunteer_ids,
        )
        return round_id

    @property
    def today(self) -> int:
        """The beginning of the local day."""
        return start_of_day(self.now, UTC_OFFSET_MINUTES)

    def day(self, days: int) -> str:
        moment = datetime.fromtimestamp(self.now / 1000, UTC)
        return str((moment + timedelta(days=days, minutes=UTC_OFFSET_MINUTES)).date())

    def log_history(self, doors: list[Household], festival_id: str) -> None:
        """Reviewed, but for the newest, which wait, and one that was sent back."""
        visits = earlier_visits(doors, self.volunteers[1:4], round_id=festival_id, today=self.today, random=self.random)
        for index, visit in enumerate(visits):
            visit_id, revision = log_visit(self.session, self.seed, visit)
            if not visit.round_id:
                self.review(visit_id, revision, "approved", "", visit.at + DAY_MS)
            elif index == 2 * len(doors) + 2:
                self.review(visit_id, revision, "sent_back", "请补充：联系过家人吗？", visit.at + DAY_MS)

    def log_weather(self, doors: list[Household], round_id: str) -> None:
        """Came in yesterday: what a coordinator finds in the morning. The first is red, and nobody answered."""
        for index, household in enumerate(doors):
            at = self.today - DAY_MS + 9 * HOUR_MS + index * 20 * MINUTE_MS
            found = FOUND[(2 + index * 3) % len(FOUND)]
            log_visit(
                self.session, self.seed, EarlierVisit(household, self.volunteers[4 + index % 2], round_id, at, found)
            )

    def send_from_elsewhere(self, household: Household) -> None:
        """From somebody who did not have this door on her list: kept for a person to look at."""
        volunteer, at = self.volunteers[6], self.today - DAY_MS + 15 * HOUR_MS
        device_id = demo_id(self.seed, f"old phone of {volunteer.number}")
        author = Author(COMMUNITY_ID, volunteer.id, volunteer.name, device_id, Role.VOLUNTEER)
        found = {"outcome": "met", "person_met": "self", "note": "路过，顺便看了看，一切都好。"}
        change = visit_change(self.seed, EarlierVisit(household, volunteer, "", at, found))
        accept_changes(self.session, author, [change], at + HOUR_MS)

    def review(self, visit_id: str, revision: int, state: str, note: str, at: int) -> None:
        review(self.session, self.seed, self.staff, visit_id, base=revision, state=state, note=note, now=at)
