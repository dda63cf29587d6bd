"""The residents' calendar: the list, one event, and the file that phones subscribe to."""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import vobject
from starlette.testclient import TestClient

from server import migrations
from server.app import create_app
from server.calendar import DAY_MS, LISTED_MAX, Time, start_of_day, time_of
from server.database import Database
from server.models import Event
from server.settings import Settings
from tests.people import COMMUNITY_ID, NOW, build_world, made_up_id

HOUR_MS = 3600 * 1000
OFFSET = 480
TODAY = start_of_day(NOW, OFFSET)  # a Monday


def event(name: str, starts_at: int, **more: Any) -> Event:
    given: dict[str, Any] = {
        "title_zh": f"{name}活动",
        "title_en": f"{name} event",
        "category": "activity",
        "place_zh": "社区大厅",
        "place_en": "Hall",
        "host_zh": "示例老师0001",
        "host_en": "Example teacher 0001",
        "phone": "000-0000-0001",
        "ends_at": starts_at + HOUR_MS,
    }
    return Event(community_id=COMMUNITY_ID, id=made_up_id(name), starts_at=starts_at, **given | more)


def events() -> list[Event]:
    moved = {"status": "moved", "previous_starts_at": TODAY + DAY_MS + 15 * HOUR_MS, "revision": 1}
    return [
        event("昨天", TODAY - DAY_MS + 9 * HOUR_MS),
        event("今天", TODAY + 14 * HOUR_MS),
        event("明天", TODAY + DAY_MS + 9 * HOUR_MS, category="course"),
        event("改期", TODAY + 3 * DAY_MS + 10 * HOUR_MS, **moved),
        event("周日", TODAY + 6 * DAY_MS + 19 * HOUR_MS),
        event("取消", TODAY + 7 * DAY_MS, status="cancelled", revision=2),
    ]


@dataclass
class World:
    client: TestClient
    database: Database

    def get(self, path: str) -> str:
        answer = self.client.get(path)
        assert answer.status_code == 200
        return html.unescape(answer.text)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    settings = Settings(data_dir=tmp_path, public_url="https://linli.example.org")
    migrations.upgrade(settings.database_url)
    app = create_app(settings, clock=lambda: NOW)
    with TestClient(app, base_url=settings.public_url) as client:
        build_world(app.state.database)
        app.state.database.write(lambda session: session.add_all(events()))
        yield World(client, app.state.database)


def groups(page: str) -> dict[str, list[str]]:
    """The titles under each heading."""
    sections = re.findall(r'<h2 id="events-(\w+)">.*?</h2>(.*?)</section>', page, re.DOTALL)
    return {name: re.findall(r"(\w+)活动", body) for name, body in sections}


def plain(text: str) -> str:
    """Without the marks that keep a day or a time on one line."""
    return re.sub(r'<span class="whole">(.*?)</span>', r"\1", text)


# The list


def test_events_are_grouped_by_when_they_are(world: World) -> None:
    assert groups(world.get("/calendar")) == {
        "today": ["今天"],
        "tomorrow": ["明天"],
        "this_week": ["改期", "周日"],
        "later": ["取消"],
    }


def test_a_kind_can_be_chosen_and_nonsense_shows_all(world: World) -> None:
    assert groups(world.get("/calendar?category=course")) == {"tomorrow": ["明天"]}
    assert len(groups(world.get("/calendar?category=x"))) == 4


def test_a_moved_event_shows_the_old_time_struck_and_a_cancelled_one_says_so(world: World) -> None:
    page = world.get("/calendar")

    moved = re.search(rf'id="event-{made_up_id("改期")}".*?</li>', page, re.DOTALL)
    cancelled = re.search(rf'id="event-{made_up_id("取消")}".*?</li>', page, re.DOTALL)
    assert moved is not None
    assert cancelled is not None
    assert "<s>11月24日（周二） 下午3:00</s>" in plain(moved[0])
    assert "改期" in moved[0]
    assert "11月26日（周四） 上午10:00–11:00" in plain(moved[0])
    assert "已取消" in cancelled[0]
    assert "<s>取消活动</s>" in cancelled[0]


def test_what_began_before_midnight_and_is_still_on_is_of_today(world: World) -> None:
    night = [
        event("守岁", TODAY - HOUR_MS, ends_at=NOW + HOUR_MS),
        event("昨晚", TODAY - HOUR_MS, ends_at=NOW - HOUR_MS),
    ]
    world.database.write(lambda session: session.add_all(night))

    assert groups(world.get("/calendar"))["today"] == ["守岁", "今天"]
    assert "守岁" in world.get("/")


@pytest.mark.parametrize(("more", "is_cut"), [(LISTED_MAX - 5, False), (LISTED_MAX - 4, True)])
def test_a_calendar_that_is_cut_says_so(world: World, more: int, is_cut: bool) -> None:
    many = [event(f"第{n}", TODAY + 20 * DAY_MS + n) for n in range(more)]
    world.database.write(lambda session: session.add_all(many))

    page = world.get("/calendar")

    assert ("更晚的到时再看" in page) == is_cut
    assert sum(map(len, groups(page).values())) == LISTED_MAX


def test_an_empty_calendar_says_so(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    migrations.upgrade(settings.database_url)
    with TestClient(create_app(settings, clock=lambda: NOW), base_url=settings.public_url) as client:
        assert "近期没有安排" in client.get("/calendar").text
        assert client.get("/").status_code == 200
        assert client.get("/events.ics").status_code == 404


def test_the_home_page_leads_everywhere(world: World) -> None:
    page = world.get("/")

    assert "欢迎来到示例社区" in page
    assert {"/calendar", "/today", "/sign-in", "tel:000-0000-0100"} <= set(re.findall(r'href="([^"]+)"', page))
    assert "今天活动" in page  # what comes next, without a tap
    assert "取消活动" not in page


@pytest.mark.parametrize("path", ["/", "/calendar", f"/calendar/{made_up_id('改期')}"])
def test_pages_read_in_english(world: World, path: str) -> None:
    world.client.cookies.set("language", "en")

    page = re.sub(r'<button[^>]*lang="zh-CN">[^<]*</button>', "", world.get(path))

    assert set(re.findall(r"[一-鿿]+", page)) - {"示例社区", "昨天", "今天", "明天", "改期", "周日", "取消"} == set()
    assert '<html lang="en"' in page


# One event


def test_one_event_says_when_where_with_whom_and_whom_to_call(world: World) -> None:
    page = world.get(f"/calendar/{made_up_id('今天')}")

    assert "11月23日（周一） 下午2:00–3:00" in plain(page)
    assert {"社区大厅", "示例老师0001"} <= set(re.findall(r"[^<>\n]+", page))
    assert 'href="tel:000-0000-0001"' in page
    assert f'href="/calendar/{made_up_id("今天")}.ics"' in page


def test_its_text_can_be_copied_whole(world: World) -> None:
    page = world.get(f"/calendar/{made_up_id('取消')}")

    text = re.search(r"<textarea[^>]*>\n(.*?)</textarea>", page, re.DOTALL)
    assert text is not None
    assert text[1].splitlines() == [
        "已取消：取消活动",
        "11月30日（周一） 上午12:00–1:00",
        "社区大厅",
        "示例老师0001",
        "000-0000-0001",
        f"https://linli.example.org/calendar/{made_up_id('取消')}",
    ]


@pytest.mark.parametrize("event_id", ["no-uuid", made_up_id("nothing"), "x" * 36])
@pytest.mark.parametrize("end", ["", ".ics"])
def test_an_unknown_event_is_not_found(world: World, event_id: str, end: str) -> None:
    assert world.client.get(f"/calendar/{event_id}{end}").status_code == 404


@pytest.mark.parametrize(
    ("hour", "shown"),
    [
        (0, Time("morning", "12:05")),
        (9, Time("morning", "9:05")),
        (12, Time("afternoon", "12:05")),
        (13, Time("afternoon", "1:05")),
        (18, Time("evening", "6:05")),
        (23, Time("evening", "11:05")),
    ],
)
def test_times_are_as_people_say_them(hour: int, shown: Time) -> None:
    assert time_of(TODAY + hour * HOUR_MS + 5 * 60_000, OFFSET) == shown


def test_the_week_ends_with_sunday(world: World) -> None:
    def name_of(days: int) -> str:
        from server.calendar import by_when
        from server.calendar import shown as in_chinese

        here = in_chinese(event("x", NOW + days * DAY_MS), language="zh-CN", utc_offset_minutes=OFFSET)
        return by_when([here], now=NOW, utc_offset_minutes=OFFSET)[0][0]

    assert [name_of(days) for days in range(9)] == ["today", "tomorrow", *["this_week"] * 5, "later", "later"]


# The file


def test_the_feed_is_sound_icalendar(world: World) -> None:
    answer = world.client.get("/events.ics")

    assert answer.headers["content-type"] == "text/calendar; charset=utf-8"
    lines = answer.content.split(b"\r\n")
    assert lines[-1] == b""
    assert all(b"\n" not in line and b"\r" not in line for line in lines)
    assert max(map(len, lines)) <= 75
    assert b"REFRESH-INTERVAL;VALUE=DURATION:PT4H" in lines
    calendar = vobject.readOne(answer.text)
    assert calendar.validate()
    assert calendar.x_wr_calname.value == "示例社区活动"


def test_every_event_is_in_the_feed_with_what_phones_go_by(world: World) -> None:
    components = vobject.readOne(world.client.get("/events.ics").text).vevent_list

    found = {component.summary.value: component for component in components}
    assert sorted(found) == sorted(f"{name}活动" for name in ("昨天", "今天", "明天", "改期", "周日", "取消"))
    assert all({"dtstamp", "uid", "dtstart", "dtend"} <= set(each.contents) for each in components)
    assert len({component.uid.value for component in components}) == len(components)
    moved, cancelled = found["改期活动"], found["取消活动"]
    assert (moved.sequence.value, moved.status.value) == ("1", "CONFIRMED")
    assert (cancelled.sequence.value, cancelled.status.value) == ("2", "CANCELLED")
    assert round(moved.dtstart.value.timestamp() * 1000) == TODAY + 3 * DAY_MS + 10 * HOUR_MS
    assert moved.dtstart.value.utcoffset().total_seconds() == 0
    assert moved.location.value == "社区大厅"


def test_a_changed_event_keeps_its_uid(world: World) -> None:
    def uid() -> str:
        text = world.client.get(f"/calendar/{made_up_id('今天')}.ics").text
        return str(vobject.readOne(text).vevent.uid.value)

    before = uid()
    world.database.write(move_todays)

    assert uid() == before == f"{made_up_id('今天')}@linli"


def move_todays(session: Any) -> None:
    found = session.get_one(Event, (COMMUNITY_ID, made_up_id("今天")))
    found.starts_at += DAY_MS
    found.revision += 1
    session.add(found)


def test_the_feed_reads_in_the_language_of_its_address(world: World) -> None:
    text = vobject.readOne(world.client.get("/events.ics?lang=en").text)

    assert text.x_wr_calname.value == "示例社区 events"
    assert {each.location.value for each in text.vevent_list} == {"Hall"}


def test_hostile_words_stay_words(world: World) -> None:
    evil = 'a;b,c\\d\r\nATTACH:https://elsewhere.example\nBEGIN:VALARM "<b>'
    world.database.write(lambda session: session.add(event("坏", TODAY + DAY_MS, title_zh=evil, about_zh=evil * 20)))

    text = world.client.get("/events.ics").text
    page = world.client.get(f"/calendar/{made_up_id('坏')}").text

    found = [each for each in vobject.readOne(text).vevent_list if each.uid.value.startswith(made_up_id("坏"))]
    assert [name in found[0].contents for name in ("attach", "valarm", "summary")] == [False, False, True]
    assert "<b>" not in page


def test_the_old_address_of_the_calendar_leads_to_the_new(world: World) -> None:
    assert world.client.get("/events", follow_redirects=False).headers["location"] == "/calendar"
