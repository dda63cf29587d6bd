"""The demo community: what is in it, that it is the same for the same seed, and that nothing in it is real."""

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
from starlette.datastructures import QueryParams

from server import migrations
from server.database import Database
from server.demo import COORDINATOR_LOGIN, COORDINATOR_PASSWORD, VOLUNTEER_NUMBER, Demo, create_demo
from server.enrolment import claim_invite
from server.models import Device
from server.pages.coordinator.visits import filter_from
from server.scope import Principal
from server.store import SqlStore
from server.visits import visits_found
from sync.kinds import Role
from sync.store import Position
from tests.people import NOW

SECONDS_MAX = 10
# Made anew every time: an epoch names one life of the database, and secrets are secret.
NEVER_THE_SAME = {("community", "epoch"), ("staff", "password_hash")}


def make(folder: Path, *, seed: int = 1) -> tuple[Database, Demo]:
    url = f"sqlite:///{folder / 'linli.db'}"
    migrations.upgrade(url)
    database = Database(url)
    return database, create_demo(database, seed=seed, now=NOW)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, Demo]]:
    database, made = make(tmp_path_factory.mktemp("demo"))
    yield database, made
    database.close()


def rows(database: Database, statement: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(database.url.removeprefix("sqlite:///")) as connection:
        return connection.execute(statement).fetchall()


def fields_of(database: Database, kind: str) -> list[dict[str, Any]]:
    return [json.loads(text) for (text,) in rows(database, f"SELECT fields FROM record WHERE kind = '{kind}'")]


def test_the_counts_are_those_of_the_domain(demo: tuple[Database, Demo]) -> None:
    database, _ = demo
    households = fields_of(database, "household")

    assert len(households) == 640
    assert len({household["door"].split("-")[0] for household in households}) == 30
    assert len({household["door"] for household in households}) == 640
    assert Counter(category for household in households for category in household["categories"]) == {
        "living_alone": 14,
        "empty_nest": 12,
        "left_behind": 5,
        "care_dependent": 8,
        "severely_disabled": 6,
        "fp_special": 5,
        "women_backbone": 8,
    }
    members = [member for household in households for member in household["members"]]
    assert len(members) == len(set(members)) == 1600
    assert {len(household["members"]) for household in households} == {1, 2, 3, 4}
    assert len(fields_of(database, "round")) == 3
    assert rows(database, "SELECT count(*) FROM volunteer") == [(40,)]
    assert rows(database, "SELECT count(*) FROM event") == [(60,)]
    assert rows(database, "SELECT count(*) FROM staff") == [(1,)]


def test_the_first_volunteer_sees_todays_fourteen_doors_with_their_last_visits(demo: tuple[Database, Demo]) -> None:
    database, made = demo
    ((volunteer_id,),) = rows(database, f"SELECT id FROM volunteer WHERE number = '{VOLUNTEER_NUMBER}'")

    def pull(session: Any) -> Any:
        person_id = "-".join(re.findall(r"^(.{8})(.{4})(.{4})(.{4})(.{12})$", volunteer_id.hex())[0])
        return SqlStore(session).slice(1, person_id, Position(0), 1000)

    records = database.read(pull).records
    kinds = Counter(record.kind for record in records)
    doors = [record for record in records if record.kind == "household"]
    visits = Counter(record.scope_id for record in records if record.kind == "visit")
    assert (kinds["round"], kinds["household"]) == (1, 14)
    assert all(record.fields["door"].startswith(("2-1-", "2-2-")) for record in doors)
    assert all(isinstance(record.fields["interval_days"], int) for record in doors)
    assert {record.fields["risk"] for record in doors} == {"red", "yellow", "green"}
    assert visits == {record.record_id: 3 for record in doors}
    assert all(record.author_name != made.volunteer_name for record in records if record.kind == "visit")
    assert kinds["need"] > 0


def test_a_coordinator_finds_something_of_everything(demo: tuple[Database, Demo]) -> None:
    database, _ = demo
    principal = Principal(Role.COORDINATOR, "0" * 8 + "-0000-0000-0000-" + "0" * 12, 1, "示例")

    found = database.read(lambda session: visits_found(session, principal, filter_from(QueryParams(""))))

    assert found.counts["pending"] > 10
    assert found.counts["approved"] > 10
    assert found.counts["sent_back"] == 1
    assert [visit["attention"] for visit in found.visits][:2] == ["danger", "danger"]
    assert {"danger", "red_no_answer", "need", ""} == {visit["attention"] for visit in found.visits}
    assert rows(database, "SELECT code, count(*) FROM change WHERE outcome = 'held' GROUP BY code") == [
        ("not_in_scope", 1)
    ]
    assert {outcome for (outcome,) in rows(database, "SELECT DISTINCT outcome FROM change")} == {"accepted", "held"}


def test_events_lie_around_now_and_some_were_moved_or_cancelled(demo: tuple[Database, Demo]) -> None:
    database, _ = demo
    day = 24 * 3600 * 1000

    statuses = dict(rows(database, "SELECT status, count(*) FROM event GROUP BY status"))
    ((first, last),) = rows(database, "SELECT min(starts_at), max(starts_at) FROM event")

    assert statuses == {"confirmed": 53, "moved": 4, "cancelled": 3}
    assert -14 * day < first - NOW < 0
    assert 14 * day < last - NOW < 35 * day
    assert rows(
        database, "SELECT count(*) FROM event WHERE status = 'moved' AND (previous_starts_at = 0 OR revision = 0)"
    ) == [(0,)]


def test_the_same_seed_makes_the_same_community_and_another_another(
    demo: tuple[Database, Demo], tmp_path: Path
) -> None:
    (tmp_path / "same").mkdir()
    (tmp_path / "other").mkdir()
    same, _ = make(tmp_path / "same")
    other, _ = make(tmp_path / "other", seed=2)

    assert contents(same) == contents(demo[0])
    assert contents(other) != contents(demo[0])
    same.close()
    other.close()


def contents(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table that is the same for the same seed."""
    names = [name for (name,) in rows(database, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    found: dict[str, list[dict[str, Any]]] = {}
    with sqlite3.connect(database.url.removeprefix("sqlite:///")) as connection:
        connection.row_factory = sqlite3.Row
        for name in names:
            if name in ("invite", "session", "sealing_key", "sealingkey"):
                continue
            lines = [dict(row) for row in connection.execute(f"SELECT * FROM {name}")]
            kept = [{key: value for key, value in line.items() if (name, key) not in NEVER_THE_SAME} for line in lines]
            found[name] = sorted(kept, key=repr)
    return found


def test_making_it_again_changes_nothing_but_gives_a_new_invite(tmp_path: Path) -> None:
    database, first = make(tmp_path)
    before = contents(database)

    second = create_demo(database, seed=1, now=NOW + 1)

    assert contents(database) == before
    assert first.invite_token != second.invite_token
    device = database.write(
        lambda session: claim_invite(session, code=second.short_code, device_name="", public_key="", now=NOW + 2)
    )
    assert isinstance(device, Device)
    database.close()


def test_it_is_made_in_seconds(tmp_path: Path) -> None:
    began = perf_counter()

    database, made = make(tmp_path)

    assert perf_counter() - began < SECONDS_MAX
    assert (made.coordinator_login, made.coordinator_password) == (COORDINATOR_LOGIN, COORDINATOR_PASSWORD)
    database.close()


def test_nothing_in_it_could_be_anybodys(demo: tuple[Database, Demo]) -> None:
    """No number that could be an identity card's or a telephone's, no name but plainly made-up ones."""
    database, _ = demo
    text = json.dumps(contents(database), ensure_ascii=False, default=lambda value: "")
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "", text)

    assert re.findall(r"(?<!\d)\d{17}[\dXx](?!\d)", text) == []
    assert re.findall(r"(?<!\d)1[3-9]\d{9}(?!\d)", re.sub(r'_at": \d+', "", text)) == []
    assert {number[:9] for number in re.findall(r"\d{3}-\d{4}-\d{4}(?!-)", text)} == {"000-0000-"}
    people = [name for (name,) in rows(database, "SELECT name FROM volunteer UNION SELECT name FROM staff")]
    members = [member for household in fields_of(database, "household") for member in household["members"]]
    assert all(name.startswith("示例") for name in [*people, *members])
