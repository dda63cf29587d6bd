"""The commands as people run them: in a process of their own."""

import json
import os
import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from server.__main__ import COMMANDS
from server.commands import doctor
from server.commands.invite import qr_lines
from server.lock import DataLock
from server.settings import ROOT, Settings
from server.version import VERSION


def linli(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LINLI_")}
    return subprocess.run(
        [sys.executable, "-m", "server", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**inherited, **variables},
        timeout=120,
    )


def test_help_lists_each_command() -> None:
    done = linli("--help")

    assert done.returncode == 0
    for command in COMMANDS:
        assert re.search(rf"^ +{command} +\S", done.stdout, re.MULTILINE), command


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself_on_one_screen(command: str) -> None:
    done = linli(command, "--help")

    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: linli {command}")
    assert 6 <= len(done.stdout.splitlines()) <= 40


def test_an_unknown_command_is_asked_wrongly() -> None:
    done = linli("dance")

    assert done.returncode == 2
    assert "'dance'" in done.stderr


def test_version_is_the_project_s() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert linli("version").stdout == f"linli {project['version']}\n"


def test_version_as_json_says_what_it_runs_on() -> None:
    versions = json.loads(linli("version", "--json").stdout)

    assert versions.keys() == {"linli", "python", "sqlite", "system"}
    assert versions["linli"] == VERSION


@pytest.mark.parametrize("command", ["serve", "migrate", "doctor", "demo"])
def test_an_unknown_setting_stops_every_command_that_reads_settings(command: str) -> None:
    done = linli(command, LINLI_WROKER="off")

    assert done.returncode == 2
    assert done.stderr == "linli: LINLI_WROKER is not a setting. Did you mean LINLI_WORKER?\n"
    assert done.stdout == ""


def test_doctor_says_what_to_do_about_a_missing_database(tmp_path: Path) -> None:
    done = linli("doctor", LINLI_DATA_DIR=str(tmp_path))

    assert done.returncode == 1
    assert re.search(r"^WRONG +the database is at nothing, not at .*: \./linli migrate$", done.stdout, re.M)
    assert list(tmp_path.iterdir()) == []


def test_migrate_makes_the_database_once_and_doctor_is_content(tmp_path: Path) -> None:
    folder = str(tmp_path / "50% 邻里?")

    first, second = linli("migrate", LINLI_DATA_DIR=folder), linli("migrate", LINLI_DATA_DIR=folder)
    examined = linli("doctor", LINLI_DATA_DIR=folder)

    assert re.fullmatch(r"nothing -> \w+\n", first.stdout), first.stderr
    assert re.fullmatch(r"already at \w+\n", second.stdout), second.stderr
    assert examined.returncode == 0, examined.stdout


def test_migrate_leaves_data_alone_that_a_server_owns(tmp_path: Path) -> None:
    with DataLock(tmp_path, url="http://127.0.0.1:8123"):
        done = linli("migrate", LINLI_DATA_DIR=str(tmp_path))

    assert done.returncode == 3
    assert "is in use by the server at http://127.0.0.1:8123" in done.stderr


def test_a_database_that_does_not_answer_is_one_sentence(tmp_path: Path) -> None:
    address = "postgresql://linli:s3cret@127.0.0.1:1/linli"
    done = linli("migrate", LINLI_DATA_DIR=str(tmp_path), LINLI_DATABASE_URL=address)

    assert done.returncode == 3
    assert done.stderr.startswith("linli: the database does not answer (")
    assert "Traceback" not in done.stderr
    assert "s3cret" not in done.stderr


def test_serve_needs_a_migrated_database(tmp_path: Path) -> None:
    done = linli("serve", LINLI_DATA_DIR=str(tmp_path))

    assert done.returncode == 3
    assert re.search(r"the database is at nothing, this release needs \w+: \./linli migrate", done.stderr)


def test_serve_says_which_port_is_taken(tmp_path: Path) -> None:
    linli("migrate", LINLI_DATA_DIR=str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = linli("serve", "--port", str(port), LINLI_DATA_DIR=str(tmp_path))

    assert done.returncode == 3
    remedy = re.search(
        rf"port {port} on 127.0.0.1 is taken by another program. Choose another: --port (\d+)", done.stderr
    )
    assert remedy is not None, done.stderr
    assert int(remedy[1]) > port


def test_doctor_shows_each_setting_and_no_password(tmp_path: Path) -> None:
    done = linli(
        "doctor", LINLI_DATA_DIR=str(tmp_path), LINLI_DATABASE_URL="postgresql://linli:s3cret@127.0.0.1:1/linli"
    )

    assert done.returncode == 1
    for name in Settings().masked():
        assert name in done.stdout
    assert "postgresql+psycopg://linli:***@127.0.0.1:1/linli" in done.stdout
    assert "the database does not answer (OperationalError)" in done.stdout
    assert "s3cret" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("version", "fixed"),
    [
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 45, 0), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 52, 0), True),
    ],
)
def test_doctor_knows_which_sqlite_has_the_wal_reset_fix(version: tuple[int, ...], fixed: bool) -> None:
    assert doctor.has_wal_reset_fix(version) == fixed
    assert ("single-writer mode" in doctor.sqlite_version(version).text) != fixed


def test_doctor_says_who_owns_the_data(tmp_path: Path) -> None:
    with DataLock(tmp_path, url="http://127.0.0.1:8123"):
        assert "the server at http://127.0.0.1:8123" in doctor.owner(tmp_path).text

    assert doctor.owner(tmp_path).text == "no server is running on this data"


def test_a_qr_is_printed_only_for_an_address_that_phones_can_use() -> None:
    plain = qr_lines("http://127.0.0.1:8000/enrol#x")
    secure = qr_lines("https://linli.example.org/enrol#x")

    assert plain == []
    assert "▄" in secure[1]


def test_bench_lists_and_names_what_it_does_not_know() -> None:
    assert linli("bench").returncode == 0

    done = linli("bench", "no-such-thing")

    assert done.returncode == 2
    assert "no measurement 'no-such-thing'" in done.stderr
