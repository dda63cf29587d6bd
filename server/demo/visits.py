"""Earlier visits of the demo, as their volunteers wrote them, and what the coordinator said about them."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from sqlmodel import Session

from server.accepting import accept_changes, staff_author
from server.demo.households import Household
from server.demo.names import COMMUNITY_ID, demo_id
from server.models import Staff, Volunteer
from server.rules import SCHEMA
from sync.changes import Action, Author, Change
from sync.kinds import Role

HOUR_MS = 3600 * 1000
DAY_MS = 24 * HOUR_MS
MINUTE_MS = 60 * 1000

ALL_GOOD = dict.fromkeys(("wb_health", "wb_mood", "wb_safety", "wb_hygiene", "wb_environment"), "good")
BASIC = dict.fromkeys(("wb_safety", "wb_hygiene", "wb_environment"), "good")
# What was found, in turn: plain visits most of the time.
FOUND: tuple[dict[str, Any], ...] = (
    {"outcome": "met", "person_met": "self", "family_contact": "week", "danger": ["none"]},
    {"outcome": "met", "person_met": "self", "needs": ["meal_delivery"], "urgency": "days", "done_on_spot": ["chat"]},
    {"outcome": "no_answer", "done_on_spot": ["card_left"]},
    {"outcome": "met", "person_met": "self", "done_on_spot": ["chat", "safety_tip"]},
    {"outcome": "met_other", "person_met": "child", "person_well": "yes"},
    {"outcome": "met", "person_met": "self", "needs": ["none"]},
    {"outcome": "met", "person_met": "spouse", "needs": ["medical_delivery", "housekeeping"], "urgency": "h24"},
    {"outcome": "met", "person_met": "self", "danger": ["scam"], "note": "有人打电话推销保健品，已提醒不要转账。"},
    {"outcome": "away_known", "note": "去女儿家住几天。"},
    {"outcome": "refused"},
)


@dataclass(frozen=True, slots=True)
class EarlierVisit:
    household: Household
    volunteer: Volunteer
    round_id: str
    at: int
    found: dict[str, Any]


def earlier_visits(
    doors: list[Household], volunteers: list[Volunteer], *, round_id: str, today: int, random: Random
) -> Iterator[EarlierVisit]:
    """Three for each door, about one, two and three months ago, in the forenoon, oldest first. Only the last belongs
    to the round."""
    for months in (3, 2, 1):
        for index, household in enumerate(doors):
            days = months * 30 - index // 5
            at = today - days * DAY_MS + 9 * HOUR_MS + random.randrange(180) * MINUTE_MS
            volunteer = volunteers[(index + months) % len(volunteers)]
            found = FOUND[(index * 3 + months) % len(FOUND)]
            yield EarlierVisit(household, volunteer, round_id if months == 1 else "", at, found)


def visit_change(seed: int, visit: EarlierVisit) -> Change:
    name = f"visit {visit.household.fields['door']} {visit.at}"
    is_met = visit.found["outcome"] == "met"
    consent = visit.household.fields["consent_state"]
    fields = {
        "household_id": visit.household.id,
        **({"round_id": visit.round_id} if visit.round_id else {}),
        "started_at": visit.at - 4 * MINUTE_MS,
        "ended_at": visit.at,
        "contact_mode": "in_person",
        **({"consent_state": consent, **(ALL_GOOD if consent == "full" else BASIC)} if is_met else {}),
        **visit.found,
    }
    return Change(
        change_id=demo_id(seed, f"change {name}"),
        device_sequence=0,
        kind="visit",
        record_id=demo_id(seed, name),
        action=Action.PUT,
        base=0,
        set=fields,
        made_at=visit.at,
        schema=SCHEMA,
    )


def log_visit(session: Session, seed: int, visit: EarlierVisit) -> tuple[str, int]:
    """Through the one way in, in the volunteer's name. The rounds of those months have ended, so it is the server that
    vouches for them. Returns the visit's id and revision."""
    volunteer = visit.volunteer
    device_id = demo_id(seed, f"old phone of {volunteer.number}")
    author = Author(COMMUNITY_ID, volunteer.id, volunteer.name, device_id, Role.SERVER)
    (result,) = accept_changes(session, author, [visit_change(seed, visit)], visit.at + 3 * HOUR_MS)
    return visit_change(seed, visit).record_id, result.revision


def review(
    session: Session, seed: int, staff: Staff, visit_id: str, *, base: int, state: str, note: str, now: int
) -> None:
    change = Change(
        change_id=demo_id(seed, f"review of {visit_id}"),
        device_sequence=0,
        kind="visit",
        record_id=visit_id,
        action=Action.PUT,
        base=base,
        set={"review_state": state, "review_note": note},
        made_at=now,
        schema=SCHEMA,
    )
    accept_changes(session, staff_author(staff), [change], now)
