"""A household's consent after this phone's own visits: what the phone shows before they arrive is what the server makes of
them (static/sync/rebase.js, server/consent.py)."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from server import migrations
from server.consent import CAUTION
from server.database import Database
from server.store import SqlStore
from tests.javascript import JavaScript
from tests.people import ALICE, COMMUNITY_ID, FULL_DOOR, GREEN_DOOR, NOW, build_world, log_visits, visit_change

HOUR = 3_600_000
SENT = {"name": "waiting", "code": "", "at": NOW}


@pytest.fixture(scope="module")
def phone() -> JavaScript:
    return JavaScript("sync/entries.js", "sync/rebase.js")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path / 'linli.db'}"
    migrations.upgrade(url)
    made = Database(url)
    build_world(made)
    yield made
    made.close()


def consent(database: Database, door: str) -> Any:
    household = database.read(lambda session: SqlStore(session).records(COMMUNITY_ID, [door])[door])
    return household.fields.get("consent_state") or ""


def on_the_phone(phone: JavaScript, pulled: str, said: list[str], **state: str) -> Any:
    visits = [{"consent_state": each, "state": SENT | state} for each in said]
    return phone.call("consentOver", pulled, visits, list(CAUTION))


@pytest.mark.parametrize("door", [FULL_DOOR, GREEN_DOOR])
@pytest.mark.parametrize(
    "said",
    [
        ["withdrawn"],
        ["basic"],
        ["full"],
        ["withdrawn", "full"],
        ["withdrawn", "basic"],
        ["basic", "withdrawn"],
        ["basic", "full", "basic"],
        ["full", "withdrawn", "full"],
        ["withdrawn", "basic", "withdrawn", "basic", "full"],
    ],
    ids=" ".join,
)
def test_the_phone_says_what_the_server_will(database: Database, phone: JavaScript, door: str, said: list[str]) -> None:
    pulled = consent(database, door)
    shown = on_the_phone(phone, pulled, said)

    for place, each in enumerate(said):
        visit = replace(visit_change(f"visit {place}", door=door, consent_state=each), made_at=NOW + place * HOUR)
        log_visits(database, ALICE, visit, now=NOW + 48 * HOUR)

    assert shown == consent(database, door)


def test_a_visit_that_the_server_has_not_taken_only_narrows(phone: JavaScript) -> None:
    assert on_the_phone(phone, "basic", ["full"], name="held", code="not_in_scope") == "basic"
    assert on_the_phone(phone, "basic", ["withdrawn"], name="held", code="not_in_scope") == "withdrawn"
