"""Backup, restore and the epoch, by the real commands over a real server."""

import http.client
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session, select

from server import migrations
from server.attachments import Blob, note_upload
from server.backup import BackupProblem, back_up, restore, verify
from server.callers import caller_of
from server.database import Database
from server.epoch import epochs, start_new_epoch
from server.models import Change as StoredChange
from server.models import Device, Feed
from server.sealing import ensure_sealing_key
from server.settings import sqlite_url
from server.store import SqlStore
from tests.browser.server_process import ServerProcess, with_database
from tests.browser.warm_server import WarmServer
from tests.people import ALICE, COMMUNITY_ID, NOW, build_world, log_visits, visit_change
from tests.postgres import new_database
from tests.server.test_commands import linli
from tests.signing_phone import ServerKey, SigningPhone, message, server_key


@dataclass
class World:
    server: ServerProcess
    phone: SigningPhone
    key: ServerKey
    folder: Path
    sent: list[dict[str, Any]]  # what the phone keeps of what it sent

    def push(self, *numbers: int, again: bool = False) -> dict[str, Any]:
        """New visits with these device sequences; with `again` everything that was sent before goes along."""
        changes = [replace(visit_change(f"visit {number}"), device_sequence=number) for number in numbers]
        new = [self.phone.sealed(self.key, change) for change in changes]
        body = message([*(self.sent if again else []), *new], high_water=len(self.sent) + len(new))
        self.sent += new
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        try:
            connection.request("POST", "/sync", body, self.phone.headers(body, origin=self.server.url))
            answer = connection.getresponse()
            assert answer.status == 200
            return dict(json.loads(answer.read()))
        finally:
            connection.close()

    def run(self, *arguments: str) -> str:
        done = linli(*arguments, LINLI_DATA_DIR=str(self.server.data_dir))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def fail(self, *arguments: str) -> str:
        done = linli(*arguments, LINLI_DATA_DIR=str(self.server.data_dir))
        assert done.returncode in (1, 3), (done.returncode, done.stderr)
        assert "Traceback" not in done.stderr
        return done.stderr


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    (tmp_path / "data").mkdir()
    server = WarmServer(tmp_path / "data")
    phone = SigningPhone(ALICE)
    keys: list[ServerKey] = []

    def fill(database: Database) -> None:
        build_world(database)
        database.write(lambda session: phone.enrol(session))
        database.write(lambda session: ensure_sealing_key(session, now=NOW))
        keys.append(database.read(server_key))

    with_database(server, fill)
    yield World(server, phone, keys[0], tmp_path, [])
    server.close()


def outcomes(answer: dict[str, Any]) -> list[str]:
    return [result["outcome"] for result in answer["results"]]


def test_after_a_restore_the_phone_sends_again_and_all_is_there_once(world: World) -> None:
    backup = world.folder / "backup.db"
    world.server.start()
    before = world.push(1, 2, 3)
    said = world.run("backup", str(backup))  # while the server runs
    lost = world.push(4, 5)
    world.server.stop()

    restored = world.run("restore", str(backup))
    world.server.start()
    fresh = world.push()  # the phone hears of the new epoch, and offers everything again
    after = world.push(6, again=True)

    assert "is made and verified" in said
    assert "in a new epoch" in restored
    assert before["epoch"] == lost["epoch"] != fresh["epoch"] == after["epoch"]
    assert (fresh["reset"], fresh["missing"]) == (True, [[4, 5]])
    assert outcomes(after) == ["again"] * 3 + ["accepted"] * 3
    assert after["missing"] == []
    assert min(result["revision"] for result in after["results"][3:]) > max(r["revision"] for r in lost["results"])
    world.server.stop()
    (kept,) = (world.server.data_dir).glob("linli.db.replaced-*")
    assert counted(kept, "change") == counted(backup, "change") + 2
    assert counted(world.server.data_dir / "linli.db", "record") == counted(backup, "record") + 3
    verify(world.server.data_dir / "linli.db")


def counted(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_a_backup_is_whole_private_and_overwrites_nothing(world: World) -> None:
    backup = world.folder / "backup.db"

    said = world.run("backup", str(backup))  # while the server is stopped
    refused = world.fail("backup", str(backup))
    nowhere = world.fail("backup", str(world.folder / "none" / "backup.db"))

    assert re.search(r"^ +record +\d+$", said, re.MULTILINE)
    assert re.search(r"^ +history of 1: \d+ lines, [0-9a-f]{16}$", said, re.MULTILINE)
    assert "overwrites nothing" in refused
    assert "is no folder" in nowhere
    assert backup.stat().st_mode & 0o077 == 0
    assert sorted(path.name for path in world.folder.iterdir()) == ["backup.db", "data"]
    assert verify(backup) == verify(world.server.data_dir / "linli.db")


def test_a_server_refuses_what_the_command_would(world: World) -> None:
    world.server.start()
    backup = world.folder / "backup.db"
    backup.write_text("something else")

    assert "overwrites nothing" in world.fail("backup", str(backup))
    assert backup.read_text() == "something else"
    assert "is in use by the server" in world.fail("restore", str(backup))


def test_restore_refuses_what_is_no_backup_and_changes_nothing(world: World) -> None:
    live = world.server.data_dir / "linli.db"
    backup, rubbish, empty = (world.folder / name for name in ("backup.db", "rubbish.db", "empty.db"))
    world.run("backup", str(backup))
    before = live.read_bytes()
    rubbish.write_bytes(b"not a database" * 1000)
    empty.touch()

    assert "is no database of Linli" in world.fail("restore", str(rubbish))
    assert "is no database of Linli" in world.fail("restore", str(empty))
    assert "is no file" in world.fail("restore", str(world.folder / "missing.db"))
    rewrite(backup, "UPDATE alembic_version SET version_num = '2099_01_01_later'")
    assert "is at 2099_01_01_later, which this release does not know" in world.fail("restore", str(backup))
    rewrite(backup, f"UPDATE alembic_version SET version_num = '{migrations.head()}'")
    rewrite(backup, "UPDATE change SET fields = replace(fields, 'green', 'red') WHERE position = 3")
    assert "the history of community 1 breaks at line 3" in world.fail("restore", str(backup))
    assert live.read_bytes() == before
    assert sorted(path.name for path in world.server.data_dir.iterdir()) == ["linli.db", "linli.lock"]


def rewrite(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def test_restore_works_where_the_live_database_is_broken_or_gone(world: World) -> None:
    backup, live = world.folder / "backup.db", world.server.data_dir / "linli.db"
    world.run("backup", str(backup))

    live.write_bytes(b"\0" * 8192)
    world.run("restore", str(backup))
    first = verify(live)
    live.unlink()
    world.run("restore", str(backup))

    assert first.heads == verify(live).heads == verify(backup).heads
    world.server.start()
    assert outcomes(world.push(1)) == ["accepted"]


def test_restore_leaves_no_log_of_the_one_that_was_there_before_it(world: World) -> None:
    """Somebody moved the damaged file away, and its log stayed: SQLite would read it into whatever has that name."""
    backup, live = world.folder / "backup.db", world.server.data_dir / "linli.db"
    world.run("backup", str(backup))
    world.server.start()
    assert outcomes(world.push(1)) == ["accepted"]
    world.server.kill()
    log = live.with_name("linli.db-wal")
    assert log.stat().st_size > 0
    live.unlink()

    world.run("restore", str(backup))

    assert verify(live).heads == verify(backup).heads
    assert not log.exists()
    (aside,) = live.parent.glob("linli.db.replaced-*-wal")
    assert aside.stat().st_size > 0


def test_a_backup_made_while_visits_come_in_holds_one_moment(tmp_path: Path) -> None:
    live = tmp_path / "linli.db"
    migrations.upgrade(sqlite_url(live))
    database = Database(sqlite_url(live))
    build_world(database)
    summaries = []
    for number in range(5):
        log_visits(database, ALICE, *(visit_change(f"visit {number} {each}") for each in range(20)))
        summaries.append(back_up(live, tmp_path / f"backup-{number}.db"))
    database.close()

    lines = [summary.heads[COMMUNITY_ID][0] for summary in summaries]
    assert [line - lines[0] for line in lines] == [0, 20, 40, 60, 80]
    with pytest.raises(BackupProblem, match="overwrites nothing"):
        back_up(live, tmp_path / "backup-0.db")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = sqlite_url(tmp_path / "linli.db") if request.param == "sqlite" else new_database()
    migrations.upgrade(url)
    made = Database(url)
    build_world(made)
    yield made
    made.close()


def test_a_new_epoch_gives_no_place_out_twice(database: Database) -> None:
    before = database.read(epochs)
    head = database.read(lambda session: SqlStore(session).head(COMMUNITY_ID))

    after = database.write(lambda session: start_new_epoch(session, NOW))
    (result,) = log_visits(database, ALICE, visit_change("visit"))

    assert before.keys() == after.keys() == {COMMUNITY_ID}
    assert before != after
    assert result.revision > head + 2**31
    assert database.read(lambda session: session.get_one(Feed, COMMUNITY_ID)).head == result.revision


def test_two_lives_of_one_backup_give_no_place_out_twice(world: World, tmp_path: Path) -> None:
    live, backup = world.server.data_dir / "linli.db", tmp_path / "backup.db"
    back_up(live, backup)
    places = []
    for life in range(2):
        restore(backup, live, now=datetime(2026, 11, 29, 9, 0, life, tzinfo=UTC))
        database = Database(sqlite_url(live))
        (result,) = log_visits(database, ALICE, visit_change(f"visit of life {life}"))
        places.append(result.revision)
        database.close()

    assert places[1] > places[0] + 1_000_000


@pytest.mark.parametrize("seconds", [1, 300, 600, 3600])
def test_two_lives_of_a_young_backup_begin_apart(world: World, tmp_path: Path, seconds: int) -> None:
    """One that was made soon after its own life began, itself by a restore."""
    live, backup, young = world.server.data_dir / "linli.db", tmp_path / "backup.db", tmp_path / "young.db"
    begun = datetime(2026, 11, 29, 9, 0, tzinfo=UTC)
    back_up(live, backup)
    restore(backup, live, now=begun)
    back_up(live, young)

    heads = []
    for after in (0, 1, 1 + seconds):
        if after:
            restore(young, live, now=begun + timedelta(seconds=after))
        database = Database(sqlite_url(live))
        heads.append(database.read(lambda session: SqlStore(session).head(COMMUNITY_ID)))
        database.close()

    assert heads[0] + 4_000_000 < heads[1]
    assert heads[1] + seconds * 4_000_000 < heads[2]


def test_a_life_that_begins_while_the_clock_was_set_back_begins_above_the_last(database: Database) -> None:
    database.write(lambda session: start_new_epoch(session, NOW))
    log_visits(database, ALICE, visit_change("visit"))

    for now in (NOW, NOW - 3_600_000):
        before = database.read(lambda session: SqlStore(session).head(COMMUNITY_ID))
        database.write(lambda session, now=now: start_new_epoch(session, now))  # type: ignore[misc]
        after = database.read(lambda session: SqlStore(session).head(COMMUNITY_ID))

        assert after >= before + 2**32


def test_postgresql_is_told_what_to_do(tmp_path: Path) -> None:
    url = new_database()
    migrations.upgrade(url)
    variables = {"LINLI_DATABASE_URL": url, "LINLI_DATA_DIR": str(tmp_path)}

    refused = linli("backup", str(tmp_path / "x.db"), **variables)
    epoch = linli("epoch", "--new", **variables)

    assert refused.returncode == 3
    assert "pg_dump --format=custom" in refused.stderr
    assert "./linli epoch --new" in refused.stderr
    assert epoch.returncode == 0, epoch.stderr


# A cloned phone


def devices_of(world: World) -> tuple[bool, int]:
    found: list[tuple[bool, int]] = []

    def read(session: Session) -> None:
        device = session.exec(select(Device).where(Device.id == world.phone.device_id)).one()
        statement = select(StoredChange.change_id).where(StoredChange.device_id == world.phone.device_id)
        changes = session.exec(statement, execution_options={"is_scoped": True}).all()
        found.append((device.is_cloned, len(changes)))

    world.server.stop()
    with_database(world.server, lambda database: database.read(read))
    world.server.start()
    return found[0]


def test_two_changes_with_one_number_are_both_taken_and_the_clone_is_noticed(world: World) -> None:
    world.server.start()
    world.push(1, 2)
    assert devices_of(world) == (False, 2)
    twin = world.phone.sealed(world.key, replace(visit_change("the clone's"), device_sequence=2))
    world.sent = [twin]

    answer = world.push(again=True)

    assert outcomes(answer) == ["accepted"]
    assert devices_of(world) == (True, 3)


def test_a_counter_that_went_back_is_noticed_and_an_old_message_again_is_not(world: World) -> None:
    world.server.start()
    world.push(1)
    world.push(2, 3)
    old = message(world.sent[:1], high_water=1)  # with the clock of then, as a proxy might repeat it
    back = message([], high_water=1, now=NOW + 60_000)

    def send(body: bytes) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", world.server.port, timeout=60)
        connection.request("POST", "/sync", body, world.phone.headers(body, origin=world.server.url))
        assert connection.getresponse().status == 200
        connection.close()

    send(old)
    assert devices_of(world)[0] is False
    send(back)
    assert devices_of(world)[0] is True


# Photos and voice notes


def test_a_backup_says_where_the_photos_are_and_a_restore_whether_they_are_there(world: World) -> None:
    backup = world.folder / "backup.db"
    kept = world.server.data_dir / "blobs" / "whole" / "ab" / ("ab" * 32)
    kept.parent.mkdir(parents=True)
    kept.write_bytes(bytes(100_000))

    def bring(session: Session) -> None:
        device = caller_of(session, world.phone.device_id)
        note_upload(session, device, "ab" * 32, Blob(100_000, "image/jpeg"), now=NOW)

    with_database(world.server, lambda database: database.write(bring))

    made = world.run("backup", str(backup))
    all_there = world.run("restore", str(backup))
    kept.write_bytes(bytes(99_999))
    one_missing = world.run("restore", str(backup))

    assert f"Not in it: 1 photos and voice notes, 0.1 MB. Copy their folder as well: {kept.parent.parent}" in made
    assert "Its photos and voice notes are all there." in all_there
    assert f"1 photos and voice notes are missing. Put their copies back: {kept.parent.parent}" in one_missing
