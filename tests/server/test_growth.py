"""The size of the community is nobody's business who has nothing new to fetch; `./linli bench growth` has the times."""

import re
from contextlib import closing
from pathlib import Path

import pytest

from server import migrations
from server.database import Database
from server.identifiers import uuid7
from server.settings import sqlite_url
from server.sync_api import Exchange
from sync.protocol import decode_message
from tests.bench.growth import enrol, fill, measure, standing, wire
from tests.people import ALICE, BOB, NOW, build_world, put
from tests.signing_phone import SigningPhone
from tests.statements import statements

VALUE = re.compile(r"x'[0-9a-f]*'|'[^']*'|\b\d+\b", re.IGNORECASE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "linli.db"
    migrations.upgrade(sqlite_url(made))
    return made


def empty_pull(database: Database, device_id: str, *, has_moved: bool) -> list[str]:
    """The SELECTs of a pull that brings nothing, their values left out. `has_moved`: something is new, for others."""
    epoch, head, _ = database.read(lambda session: standing(session, device_id))
    if has_moved:
        database.write(lambda session: put(session, "household", uuid7(), door="9-9-901"))
    message = decode_message(wire([], epoch=epoch, cursor=f"{head}."))
    with statements(database) as seen:
        answer = database.read(Exchange(device_id, message, NOW))
        assert answer is not None
    assert (answer["records"], answer["purge"], answer["more"]) == ({}, [], False)
    return [VALUE.sub("?", statement) for statement in seen]


def test_a_pull_with_nothing_new_asks_the_same_questions_however_large_the_community(path: Path) -> None:
    phones = [SigningPhone(ALICE), SigningPhone(BOB)]
    with closing(Database(sqlite_url(path))) as database:
        build_world(database)
        database.write(lambda session: enrol(session, phones))
        small = [empty_pull(database, phones[0].device_id, has_moved=each) for each in (False, True)]
    fill(path, first=0, last=20_000)
    with closing(Database(sqlite_url(path))) as database:
        large = [empty_pull(database, phones[0].device_id, has_moved=each) for each in (False, True)]
        times = measure(database, phones[0].device_id, phones[1].device_id)

    assert small == large
    assert [len(asked) for asked in large] == [2, 4]
    assert times.empty_pull < 1000
