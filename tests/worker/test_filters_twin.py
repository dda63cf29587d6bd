"""Both hosts print dates and times alike: server/filters.py and static/worker/filters.js."""

import json
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment

from server import filters
from tests.javascript import JavaScript

VECTORS = json.loads(Path("sync/vectors/filters.json").read_text(encoding="utf-8"))
ROWS = [(vector, language) for vector in VECTORS for language in vector["text"]]
NAMES = [f"{vector['filter']} {vector['value']!r} {language}" for vector, language in ROWS]
SECOND = 1000
DAY = 24 * 60 * 60 * SECOND


@pytest.fixture(scope="module")
def phone() -> JavaScript:
    return JavaScript("worker/filters.js")


@pytest.fixture(scope="module")
def server() -> Environment:
    environment = Environment(autoescape=True)
    environment.filters |= {name: getattr(filters, name) for name in ("day", "clock", "moment")}
    return environment


@pytest.mark.parametrize(("vector", "language"), ROWS, ids=NAMES)
def test_server_prints(server: Environment, vector: dict[str, Any], language: str) -> None:
    assert on_server(server, vector["filter"], vector, language) == vector["text"][language]


@pytest.mark.parametrize(("vector", "language"), ROWS, ids=NAMES)
def test_phone_prints(phone: JavaScript, vector: dict[str, Any], language: str) -> None:
    assert on_phone(phone, vector["filter"], vector, language) == vector["text"][language]


def test_hosts_agree_over_two_centuries(server: Environment, phone: JavaScript) -> None:
    moments = range(-70 * 365 * DAY, 130 * 365 * DAY, 29 * DAY + 7 * 61 * 61 * SECOND)
    vectors = [{"value": moment, "utc_offset_minutes": 480} for moment in moments]

    printed = [on_server(server, "moment", vector, "zh-CN") for vector in vectors]

    script = """(vectors) => vectors.map(({ value, utc_offset_minutes }) =>
        dateFilters.moment({ language: "zh-CN", utc_offset_minutes }, value))"""
    assert phone.call(script, vectors) == printed


@pytest.mark.parametrize(
    ("date", "days", "expected"),
    [
        ("2026-11-23", 7, "2026-11-30"),
        ("2026-12-31", 1, "2027-01-01"),
        ("2028-02-28", 1, "2028-02-29"),
        ("2026-03-01", -1, "2026-02-28"),
        ("2026-11-23", 0, "2026-11-23"),
        ("", 7, ""),
    ],
)
def test_days_are_added(phone: JavaScript, date: str, days: int, expected: str) -> None:
    assert phone.call("addDays", date, days) == expected


def on_server(server: Environment, name: str, vector: dict[str, Any], language: str) -> str:
    template = server.from_string(f"{{{{ value|{name} }}}}")
    return template.render(value=vector["value"], language=language, utc_offset_minutes=vector["utc_offset_minutes"])


def on_phone(phone: JavaScript, name: str, vector: dict[str, Any], language: str) -> Any:
    context = {"language": language, "utc_offset_minutes": vector["utc_offset_minutes"]}
    return phone.call(f"dateFilters.{name}", context, vector["value"])
