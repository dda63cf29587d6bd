"""Dates and times on shared pages: the twin of static/worker/filters.js, pinned to it by sync/vectors/filters.json.

Neither `Intl` nor Babel formats anything here, because no two versions of them agree. What is missing prints as
nothing, and so does what is no moment of a year with four digits: no visit is refused for its clock, and none may break
a page.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from jinja2 import pass_context
from jinja2.runtime import Context

CHINESE_WEEKDAYS = ("周一", "周二", "周三", "周四", "周五", "周六", "周日")
ENGLISH_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
ENGLISH_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = re.compile(r"[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}")
Function = TypeVar("Function", bound=Callable[..., str])


def reads(*names: str) -> Callable[[Function], Function]:
    """Marks a function that is given the template's context. It must name all it reads there: for its twin's sake the
    compiler keeps nothing else in the phone's context."""

    def mark(function: Function) -> Function:
        function.context_names = frozenset(names)  # type: ignore[attr-defined]
        return pass_context(function)

    return mark


@reads("language", "utc_offset_minutes")
def day(context: Context, value: Any) -> str:
    """A date, or a moment in ms: 3月12日（周四） or Thu 12 Mar."""
    time = read_day(value) if isinstance(value, str) else local_time(value, context["utc_offset_minutes"])
    return day_text(context, time) if time else ""


@reads("utc_offset_minutes")
def clock(context: Context, value: Any) -> str:
    """A moment in ms: 14:05."""
    time = local_time(value, context["utc_offset_minutes"])
    return clock_text(time) if time else ""


@reads("language", "utc_offset_minutes")
def moment(context: Context, value: Any) -> str:
    """A moment in ms: 3月12日（周四）14:05 or Thu 12 Mar 14:05."""
    time = local_time(value, context["utc_offset_minutes"])
    if time is None:
        return ""
    separator = " " if context["language"] == "en" else ""
    return f"{day_text(context, time)}{separator}{clock_text(time)}"


def read_day(text: str) -> datetime | None:
    if not DAY.fullmatch(text):
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None


def local_time(value: Any, utc_offset_minutes: int) -> datetime | None:
    """A datetime whose UTC fields are the local ones; None for what is no moment of a year with four digits."""
    if not is_whole_number(value):
        return None
    try:
        time = EPOCH + timedelta(milliseconds=value, minutes=utc_offset_minutes)
    except OverflowError:
        return None
    return time if time.year >= 1000 else None


def is_whole_number(value: Any) -> bool:
    """As JSON knows them: 5.0 is one, and JavaScript cannot tell it from 5."""
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())


def day_text(context: Context, time: datetime) -> str:
    if context["language"] == "en":
        return f"{ENGLISH_WEEKDAYS[time.weekday()]} {time.day} {ENGLISH_MONTHS[time.month - 1]}"
    return f"{time.month}月{time.day}日（{CHINESE_WEEKDAYS[time.weekday()]}）"


def clock_text(time: datetime) -> str:
    return f"{time.hour:02}:{time.minute:02}"
