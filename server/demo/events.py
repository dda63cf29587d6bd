"""The sixty events of the demo: twelve weekly programmes, from last week to three weeks ahead."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from server.demo.names import COMMUNITY_ID, demo_id, phone
from server.models import Event

FIRST_WEEK, WEEKS = -1, 5
MOVED, CANCELLED = 4, 3
DAY_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Programme:
    title: tuple[str, str]
    category: str
    place: tuple[str, str]
    weekday: int  # 0 = Monday
    starts: str
    minutes: int
    about: tuple[str, str] = ("免费，直接来就行。", "Free. Just come along.")


CLASSROOM = ("社区二楼教室（有电梯）", "Classroom, level 2 (lift)")
HALL = ("社区一楼大厅", "Hall, level 1")
WOMENS_HOME = ("妇女之家，社区三楼", "Women's Home, level 3")
READING_ROOM = ("阅览室，社区一楼", "Reading room, level 1")
SQUARE = ("小区中心广场", "Central square")
CANTEEN = ("老年餐厅，2号楼旁", "Seniors' canteen, beside building 2")

PROGRAMMES = (
    Programme(
        ("书法班", "Calligraphy class"),
        "course",
        CLASSROOM,
        2,
        "09:00",
        90,
        ("免费，纸墨自备或借用。", "Free. Bring paper and ink, or borrow ours."),
    ),
    Programme(("合唱排练", "Choir rehearsal"), "activity", HALL, 0, "14:30", 90),
    Programme(("舞蹈队排练", "Dance troupe"), "activity", SQUARE, 3, "19:00", 60),
    Programme(
        ("手工坊", "Handicraft workshop"),
        "course",
        WOMENS_HOME,
        1,
        "09:30",
        120,
        ("材料由社区准备。", "Materials are provided."),
    ),
    Programme(("绘画班", "Painting class"), "course", CLASSROOM, 4, "09:00", 90),
    Programme(("养生保健课", "Healthy living class"), "course", CLASSROOM, 0, "09:00", 60),
    Programme(("应急自救讲座", "First-aid talk"), "activity", HALL, 4, "15:00", 60),
    Programme(
        ("义务理发", "Free haircuts"),
        "service",
        HALL,
        1,
        "14:00",
        150,
        ("先到先理，请带毛巾。", "First come, first served. Please bring a towel."),
    ),
    Programme(
        ("量血压", "Blood pressure checks"),
        "service",
        READING_ROOM,
        3,
        "08:30",
        120,
        ("量之前请先静坐五分钟。", "Please sit quietly for five minutes first."),
    ),
    Programme(
        ("政务帮办", "Help with paperwork"),
        "service",
        HALL,
        2,
        "14:00",
        120,
        ("请带上要办的材料。", "Please bring your papers."),
    ),
    Programme(("亲子阅读", "Reading with children"), "activity", READING_ROOM, 5, "10:00", 60),
    Programme(("周日包饺子", "Sunday dumplings"), "activity", CANTEEN, 6, "10:30", 90),
)


def make_events(seed: int, random: Random, *, now: int, utc_offset_minutes: int) -> list[Event]:
    monday = monday_of(now, utc_offset_minutes)
    events = [
        occurrence(seed, programme, monday + timedelta(weeks=week), utc_offset_minutes)
        for week in range(FIRST_WEEK, FIRST_WEEK + WEEKS)
        for programme in PROGRAMMES
    ]
    coming = [event for event in events if event.starts_at > now + DAY_MS]
    changed = random.sample(coming, MOVED + CANCELLED)
    for event in changed[:MOVED]:
        move(event)
    for event in changed[MOVED:]:
        event.status = "cancelled"
        event.revision += 1
    return events


def monday_of(now: int, utc_offset_minutes: int) -> datetime:
    """The start of the local week, as a moment in UTC."""
    local = datetime.fromtimestamp(now / 1000, UTC) + timedelta(minutes=utc_offset_minutes)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - timedelta(days=midnight.weekday(), minutes=utc_offset_minutes)


def occurrence(seed: int, programme: Programme, monday: datetime, utc_offset_minutes: int) -> Event:
    hour, minute = (int(part) for part in programme.starts.split(":"))
    starts = monday + timedelta(days=programme.weekday, hours=hour, minutes=minute)
    day = (starts + timedelta(minutes=utc_offset_minutes)).date()
    teacher = PROGRAMMES.index(programme) + 1
    starts_at = round(starts.timestamp() * 1000)
    return Event(
        community_id=COMMUNITY_ID,
        id=demo_id(seed, f"event {programme.title[1]} {day}"),
        title_zh=programme.title[0],
        title_en=programme.title[1],
        category=programme.category,
        place_zh=programme.place[0],
        place_en=programme.place[1],
        host_zh=f"示例老师{teacher:04}",
        host_en=f"Example teacher {teacher:04}",
        about_zh=programme.about[0],
        about_en=programme.about[1],
        starts_at=starts_at,
        ends_at=starts_at + programme.minutes * 60_000,
        phone=phone(200 + teacher),
    )


def move(event: Event) -> None:
    """Two days later, an hour later."""
    event.previous_starts_at = event.starts_at
    event.starts_at += 2 * DAY_MS + 3600 * 1000
    event.ends_at += 2 * DAY_MS + 3600 * 1000
    event.status = "moved"
    event.revision += 1
