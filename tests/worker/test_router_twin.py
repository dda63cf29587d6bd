"""Both hosts find the same page for a path: server/router.py and static/worker/router.js."""

import json
from pathlib import Path
from typing import Any

import pytest

from server.page_table import PAGES, page_wire
from server.router import match
from tests.javascript import JavaScript

VECTORS = json.loads(Path("sync/vectors/router.json").read_text(encoding="utf-8"))
NAMES = [vector["path"] or "nothing" for vector in VECTORS]


@pytest.fixture(scope="module")
def phone() -> JavaScript:
    return JavaScript("worker/router.js")


@pytest.mark.parametrize("vector", VECTORS, ids=NAMES)
def test_server_finds_page(vector: dict[str, Any]) -> None:
    found = match(vector["path"])

    assert (found and found[0].name) == vector["page"]
    assert (found[1] if found else {}) == vector["params"]


@pytest.mark.parametrize("vector", VECTORS, ids=NAMES)
def test_phone_finds_page(phone: JavaScript, vector: dict[str, Any]) -> None:
    found = phone.call("matchPage", [page_wire(page) for page in PAGES], vector["path"])

    assert (found and found["page"]["name"]) == vector["page"]
    assert (found["params"] if found else {}) == vector["params"]


def test_every_page_is_found_somewhere() -> None:
    assert {vector["page"] for vector in VECTORS if vector["page"]} == {page.name for page in PAGES}


def test_path_is_filled_with_what_was_found(phone: JavaScript) -> None:
    params = {"visit_id": "a/b 居"}

    assert phone.call("fillPath", "/visits/{visit_id}/edit", params) == "/visits/a%2Fb%20%E5%B1%85/edit"
