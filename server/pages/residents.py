"""What everybody may read: the home page and the calendar. Plain pages that need neither an account nor JavaScript."""

from typing import Any

from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.calendar import (
    CATEGORIES,
    DAY_MS,
    LISTED_MAX,
    ShownEvent,
    by_when,
    category_from,
    coming_events,
    event_by_id,
    events_since,
    shown,
)
from server.communities import the_community
from server.ical import calendar_text
from server.models import Community, Event
from server.render import LANGUAGES, in_thread, language_of, page, redirect
from sync.changes import is_id

NEXT_SHOWN = 3
FEED_DAYS_BACK = 60
FEED_MAX = 2000
TEXT_CALENDAR = "text/calendar; charset=utf-8"


async def home(request: Request) -> Response:
    now, offset, language = moment_of(request)

    def work(session: Session) -> dict[str, Any]:
        community = the_community(session)
        if community is None:
            return {"community": None, "events": []}
        found = coming_events(session, community_id=community.id, now=now, utc_offset_minutes=offset)
        still_on = [event for event in found if event.ends_at > now and event.status != "cancelled"]
        return {"community": community, "events": shown_all(still_on[:NEXT_SHOWN], language, offset)}

    return page(request, "home/page.html", await in_thread(request.app.state.database.read, work))


async def calendar(request: Request) -> Response:
    now, offset, language = moment_of(request)
    category = category_from(request.query_params.get("category"))

    def work(session: Session) -> dict[str, Any]:
        community = the_community(session)
        if community is None:
            return {"community": None, "groups": [], "has_more": False}
        found = coming_events(session, community_id=community.id, now=now, utc_offset_minutes=offset, category=category)
        listed = shown_all(found[:LISTED_MAX], language, offset)
        groups = by_when(listed, now=now, utc_offset_minutes=offset)
        return {"community": community, "groups": groups, "has_more": len(found) > LISTED_MAX}

    context = await in_thread(request.app.state.database.read, work)
    context |= {"category": category, "categories": CATEGORIES}
    return page(request, "calendar/page.html", context)


async def event(request: Request) -> Response:
    _, offset, language = moment_of(request)
    found = await in_thread(request.app.state.database.read, lambda session: find_event(session, request))
    if found is None:
        return page(request, "errors/not_found.html", {}, status=404)
    community, there = found
    context = {
        "community": community,
        "event": shown(there, language=language, utc_offset_minutes=offset),
        "link": f"{request.app.state.settings.public_url}{request.url.path}",
    }
    return page(request, "calendar/event.html", context)


async def event_file(request: Request) -> Response:
    """One event to keep. Its later changes come only to who subscribed to all of them."""
    found = await in_thread(request.app.state.database.read, lambda session: find_event(session, request))
    if found is None:
        return page(request, "errors/not_found.html", {}, status=404)
    community, there = found
    return ical_response(request, community, [there], filename="event.ics")


async def feed(request: Request) -> Response:
    now, _, _ = moment_of(request)

    def work(session: Session) -> tuple[Community | None, list[Event]]:
        community = the_community(session)
        if community is None:
            return None, []
        since = now - FEED_DAYS_BACK * DAY_MS
        return community, events_since(session, community_id=community.id, since=since, limit=FEED_MAX)

    community, events = await in_thread(request.app.state.database.read, work)
    if community is None:
        return page(request, "errors/not_found.html", {}, status=404)
    return ical_response(request, community, events, filename="events.ics")


async def to_calendar(request: Request) -> Response:
    return redirect(request, "/calendar")


# Parts


def moment_of(request: Request) -> tuple[int, int, str]:
    """(now, the community's offset from UTC, language). Calendars send no cookie: for them the address names it."""
    state = request.app.state
    asked = request.query_params.get("lang", "")
    return state.clock(), state.utc_offset_minutes, asked if asked in LANGUAGES else language_of(request)


def find_event(session: Session, request: Request) -> tuple[Community, Event] | None:
    event_id = request.path_params["event_id"]
    community = the_community(session)
    if community is None or not is_id(event_id):
        return None
    found = event_by_id(session, community_id=community.id, event_id=event_id)
    return (community, found) if found else None


def shown_all(events: list[Event], language: str, offset: int) -> list[ShownEvent]:
    return [shown(each, language=language, utc_offset_minutes=offset) for each in events]


def ical_response(request: Request, community: Community, events: list[Event], *, filename: str) -> Response:
    now, offset, language = moment_of(request)
    catalogue, public_url = request.app.state.catalogue, request.app.state.settings.public_url
    body = calendar_text(
        [(each, shown(each, language=language, utc_offset_minutes=offset)) for each in events],
        name=catalogue.text(language, "resident.calendar_name", community=community.name),
        language=language,
        public_url=public_url,
        now=now,
    )
    headers = {"Content-Disposition": f'attachment; filename="{filename}"'}
    return Response(body, media_type=TEXT_CALENDAR, headers=headers)


routes = [
    Route("/", home, methods=["GET"]),
    Route("/calendar", calendar, methods=["GET"]),
    Route("/calendar/{event_id}.ics", event_file, methods=["GET"]),
    Route("/calendar/{event_id}", event, methods=["GET"]),
    Route("/events.ics", feed, methods=["GET"]),
    Route("/events", to_calendar, methods=["GET"]),
]
