"""The residents' calendar: what is on, as a list 今天/明天/本周/以后, in the reader's language."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlmodel import Session, col, or_, select

from server.models import Event

CATEGORIES = ("course", "activity", "service")
LISTED_MAX = 100
DAY_MS = 24 * 3600 * 1000
WHEN = ("today", "tomorrow", "this_week", "later")


@dataclass(frozen=True, slots=True)
class Time:
    """`part` of the day (morning, afternoon, evening) and the time as people say it: 9:00, also after noon."""

    part: str
    clock: str


@dataclass(frozen=True, slots=True)
class ShownEvent:
    """An event in one language. `old` is set when it was moved: the time that no longer holds."""

    id: str
    title: str
    category: str
    place: str
    host: str
    about: str
    phone: str
    status: str
    starts_at: int
    ends_at: int
    starts: Time
    ends: Time
    old_starts_at: int
    old_starts: Time | None


def coming_events(
    session: Session, *, community_id: int, now: int, utc_offset_minutes: int, category: str = ""
) -> list[Event]:
    """From the beginning of today on or still on, also those that were cancelled. One more than are listed, if there are more."""
    is_of_today = col(Event.starts_at) >= start_of_day(now, utc_offset_minutes)
    statement = select(Event).where(Event.community_id == community_id, or_(is_of_today, col(Event.ends_at) > now))
    if category:
        statement = statement.where(Event.category == category)
    return list(session.exec(statement.order_by(col(Event.starts_at), col(Event.id)).limit(LISTED_MAX + 1)))


def event_by_id(session: Session, *, community_id: int, event_id: str) -> Event | None:
    return session.get(Event, (community_id, event_id))


def events_since(session: Session, *, community_id: int, since: int, limit: int) -> list[Event]:
    statement = select(Event).where(Event.community_id == community_id, Event.starts_at >= since)
    return list(session.exec(statement.order_by(col(Event.starts_at), col(Event.id)).limit(limit)))


def by_when(events: Sequence[ShownEvent], *, now: int, utc_offset_minutes: int) -> list[tuple[str, list[ShownEvent]]]:
    """(one of WHEN, its events), the empty ones left out. 本周 ends with Sunday."""
    today = start_of_day(now, utc_offset_minutes)
    week_ends = today + (7 - local(now, utc_offset_minutes).weekday()) * DAY_MS
    ends = (today + DAY_MS, today + 2 * DAY_MS, week_ends)
    groups: dict[str, list[ShownEvent]] = {name: [] for name in WHEN}
    for event in events:
        nth = next((index for index, end in enumerate(ends) if event.starts_at < end), len(ends))
        groups[WHEN[nth]].append(event)
    return [(name, group) for name, group in groups.items() if group]


def shown(event: Event, *, language: str, utc_offset_minutes: int) -> ShownEvent:
    def words(name: str) -> str:
        other: str = getattr(event, f"{name}_en") if language == "en" else ""
        return other or getattr(event, f"{name}_zh")

    return ShownEvent(
        id=event.id,
        title=words("title"),
        category=event.category,
        place=words("place"),
        host=words("host"),
        about=words("about"),
        phone=event.phone,
        status=event.status,
        starts_at=event.starts_at,
        ends_at=event.ends_at,
        starts=time_of(event.starts_at, utc_offset_minutes),
        ends=time_of(event.ends_at, utc_offset_minutes),
        old_starts_at=event.previous_starts_at,
        old_starts=time_of(event.previous_starts_at, utc_offset_minutes) if event.previous_starts_at else None,
    )


def time_of(moment: int, utc_offset_minutes: int) -> Time:
    at = local(moment, utc_offset_minutes)
    part = "morning" if at.hour < 12 else "afternoon" if at.hour < 18 else "evening"
    return Time(part, f"{(at.hour - 1) % 12 + 1}:{at.minute:02}")


def start_of_day(moment: int, utc_offset_minutes: int) -> int:
    offset_ms = utc_offset_minutes * 60_000
    return (moment + offset_ms) // DAY_MS * DAY_MS - offset_ms


def local(moment: int, utc_offset_minutes: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=moment, minutes=utc_offset_minutes)


def category_from(text: Any) -> str:
    return text if text in CATEGORIES else ""
