"""kill -9 at random instants under load (RELIABILITY.md 3.3 R3, 6.42): 200 kills, nothing acknowledged is lost, nothing
is there twice.

190 of them hit a small process (Database, writer thread, store and engine, three pushing threads, no HTTP), 10 the whole
server under signing phones over HTTP. `./linli bench kills` has the same mix by the thousand.
"""

import sqlite3
from pathlib import Path

from server.database import Database
from server.settings import sqlite_url
from tests.browser.warm_server import WarmServer
from tests.durability.kills import kill_servers, kill_writers
from tests.durability.workload import DATABASE, PHONES, examine, fill, push

SEED = 20261123
WRITERS, SERVERS = 190, 10


def test_killed_writers_lose_and_double_nothing() -> None:
    tally = kill_writers(WRITERS, seed=SEED)

    assert tally.wrong == []
    assert tally.kills == WRITERS
    assert tally.acknowledged > 10 * WRITERS


def test_a_killed_server_loses_and_doubles_nothing(tmp_path: Path) -> None:
    tally = kill_servers(SERVERS, seed=SEED, folder=tmp_path, make=WarmServer)

    assert tally.wrong == []
    assert tally.kills == SERVERS
    assert tally.acknowledged > 10 * SERVERS


# What is wrong is found


def test_an_answer_before_the_commit_is_found_out() -> None:
    tally = kill_writers(40, seed=SEED, mistake="answers before it commits")

    assert any("lost" in each for each in tally.wrong)


def test_ids_made_anew_for_what_is_sent_again_are_found_out() -> None:
    tally = kill_writers(5, seed=SEED, mistake="makes new ids for what it sends again")

    assert any("doubled" in each for each in tally.wrong)


def test_a_rewritten_line_of_history_is_found_out(tmp_path: Path) -> None:
    fill(tmp_path)
    path, phone = tmp_path / DATABASE, PHONES[0]
    database = Database(sqlite_url(path))
    push(database, phone, 1, 5)
    database.close()
    assert not examine(path, {phone: 5})

    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE change SET received_at = received_at + 1 WHERE device_sequence = 3")
    connection.close()

    assert "audit chain" in examine(path, {phone: 5}).corrupt[0]
