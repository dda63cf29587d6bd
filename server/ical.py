"""Events as iCalendar (RFC 5545), for phones that subscribe to them or keep one.

Times are UTC, which every calendar shows in its own zone. UIDs never change, SEQUENCE rises with every change, and a
cancelled event stays in the feed as cancelled: that is how a phone learns of it.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from icalendar import Calendar
from icalendar import Event as Component

from server.calendar import ShownEvent
from server.models import Event

REFRESH = timedelta(hours=4)
STATUS = {"confirmed": "CONFIRMED", "moved": "CONFIRMED", "cancelled": "CANCELLED"}


def calendar_text(
    events: Iterable[tuple[Event, ShownEvent]], *, name: str, language: str, public_url: str, now: int
) -> bytes:
    """The file, CRLF line ends and folding included. Each event comes with its words in the language."""
    calendar = Calendar()
    calendar.add("prodid", "-//Linli//Linli//EN")
    calendar.add("version", "2.0")
    calendar.add("calscale", "GREGORIAN")
    calendar.add("method", "PUBLISH")
    calendar.add("name", name)
    calendar.add("x-wr-calname", name)
    # RFC 7986 asks for the parameter; the library's own keyword for it leaves it out (EXPERIENCE.md 2.3).
    calendar.add("refresh-interval", REFRESH, parameters={"VALUE": "DURATION"})
    calendar.add("x-published-ttl", "PT4H")
    for event, words in events:
        calendar.add_component(component(event, words, language=language, public_url=public_url, now=now))
    text: bytes = calendar.to_ical()
    return text


def component(event: Event, words: ShownEvent, *, language: str, public_url: str, now: int) -> Component:
    parameters = {"LANGUAGE": language}
    described = "\n".join(part for part in (words.host, words.about, words.phone) if part)
    made = Component()
    made.add("uid", f"{event.id}@linli")
    made.add("dtstamp", moment(now))
    made.add("dtstart", moment(event.starts_at))
    made.add("dtend", moment(event.ends_at))
    made.add("sequence", event.revision)
    made.add("status", STATUS.get(event.status, "CONFIRMED"))
    made.add("summary", words.title, parameters=parameters)
    made.add("location", words.place, parameters=parameters)
    made.add("description", described, parameters=parameters)
    made.add("url", f"{public_url}/calendar/{event.id}")
    return made


def moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds // 1000, UTC)
