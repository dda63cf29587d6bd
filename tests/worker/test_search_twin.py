"""Both hosts find the same people: server/search.py and static/worker/search.js."""

import json
from pathlib import Path
from typing import Any

import pytest

from server.search import finds
from tests.javascript import JavaScript

VECTORS = json.loads(Path("sync/vectors/search.json").read_text(encoding="utf-8"))
ROWS = [
    (vector["household"], text, text in vector["found"])
    for vector in VECTORS
    for text in (*vector["found"], *vector["missed"])
]


@pytest.fixture(scope="module")
def phone() -> JavaScript:
    return JavaScript("worker/search.js")


@pytest.mark.parametrize(("household", "text", "expected"), ROWS)
def test_server_finds(household: dict[str, Any], text: str, expected: bool) -> None:
    assert finds(household, text) is expected


@pytest.mark.parametrize(("household", "text", "expected"), ROWS)
def test_phone_finds(phone: JavaScript, household: dict[str, Any], text: str, expected: bool) -> None:
    assert phone.call("finds", household, text) is expected
