"""Both hosts make one digest of what a phone should hold: sync/holdings.py and static/sync/holdings.js."""

import json
from pathlib import Path
from typing import Any

import pytest

from sync.holdings import digest_of
from sync.store import VISITS_KEPT
from tests.javascript import STATIC, JavaScript

VECTORS = json.loads(Path("sync/vectors/holdings.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def phone() -> JavaScript:
    return JavaScript("sync/grouping.js", "sync/holdings.js")


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_phone_lists(phone: JavaScript, vector: dict[str, Any]) -> None:
    assert phone.call("holdingsText", vector["records"]) == vector["text"]
    assert phone.call("holdingsText", vector["records"][::-1]) == vector["text"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_server_hashes(vector: dict[str, Any]) -> None:
    holdings = [(line.split()[0], int(line.split()[1])) for line in vector["text"].splitlines()]

    assert digest_of(holdings[::-1]) == vector["digest"]


def test_both_keep_as_many_visits() -> None:
    assert f"const VISITS_KEPT = {VISITS_KEPT};" in (STATIC / "sync" / "holdings.js").read_text(encoding="utf-8")
