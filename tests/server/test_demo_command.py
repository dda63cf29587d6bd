"""`./linli demo` as a person runs it, with a server that really listens."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlmodel import select

from server.database import Database
from server.models import Community
from server.settings import ROOT, sqlite_url

LAST_LINE = "Ctrl+C stops it."


def environment(**variables: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LINLI_")}
    return {**inherited, **variables}


def linli(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "server", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(**variables),
        timeout=60,
    )


@contextmanager
def demo(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The running demo and what it printed. Once its last line is out, connections are taken."""
    command = [sys.executable, "-m", "server", "demo", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment()) as process:
        try:
            assert process.stdout is not None
            printed = []
            for line in process.stdout:
                printed.append(line)
                if LAST_LINE in line:
                    break
            yield process, "".join(printed)
        finally:
            process.kill()


@pytest.fixture
def port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return str(found.getsockname()[1])


def status(url: str) -> int:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return int(answer.status)


def epoch(data: Path) -> str:
    database = Database(sqlite_url(data / "linli.db"))
    try:
        return database.read(lambda session: session.exec(select(Community)).one().epoch)
    finally:
        database.close()


def test_it_serves_and_prints_a_way_in_for_each_role(tmp_path: Path, port: str) -> None:
    url = f"http://127.0.0.1:{port}"
    with demo("--data", str(tmp_path / "demo"), "--port", port) as (_, printed):
        links = re.findall(r"^  link +(\S+)$", printed, re.MULTILINE)

        assert [status(link) for link in links] == [200, 200, 200]
        assert status(f"{url}/readyz") == 200

    assert [link.split("#")[0] for link in links] == [f"{url}/calendar", f"{url}/sign-in", f"{url}/enrol"]
    assert re.search(r"^  short code  \d{4} \d{4}$", printed, re.MULTILINE)
    assert re.search(r"^  password    \S", printed, re.MULTILINE)
    assert "phones need https" in printed
    assert f"reverse_proxy 127.0.0.1:{port}" in printed
    assert f"Its data lie in {tmp_path / 'demo'};" in printed
    assert "█" not in printed


def test_for_an_https_address_it_prints_a_qr_for_each_role(tmp_path: Path, port: str) -> None:
    address = "https://linli.example.org"
    with demo("--data", str(tmp_path / "demo"), "--port", port, "--public-url", address) as (_, printed):
        pass

    assert printed.count("█ ▄▄▄▄▄ █") == 3 * 3  # three finder patterns in each
    assert "phones need https" not in printed
    assert f"{address}/enrol#" in printed


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_when_it_is_told(tmp_path: Path, port: str, sent: signal.Signals) -> None:
    with demo("--data", str(tmp_path / "demo"), "--port", port) as (process, _):
        process.send_signal(sent)

        assert process.wait(timeout=30) == 0


def test_it_stops_when_it_is_told_behind_a_shell_that_has_it_ignore_ctrl_c(tmp_path: Path, port: str) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with demo("--data", str(tmp_path / "demo"), "--port", port) as (process, _):
            process.send_signal(signal.SIGINT)

            assert process.wait(timeout=30) == 0
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_next_time_it_goes_on_with_the_same_data(tmp_path: Path, port: str) -> None:
    data = tmp_path / "demo"
    with demo("--data", str(data), "--port", port):
        first = epoch(data)
    with demo("--data", str(data), "--port", port):
        second = epoch(data)
    with demo("--data", str(data), "--port", port, "--reset"):
        third = epoch(data)

    assert first == second
    assert second != third


def test_while_it_runs_other_commands_go_through_it(tmp_path: Path, port: str) -> None:
    data = tmp_path / "demo"
    with demo("--data", str(data), "--port", port) as (process, _):
        again = linli("demo", "--data", str(data), "--port", port)
        invited = linli("invite", "0002", LINLI_DATA_DIR=str(data))
        unknown = linli("invite", "9999", LINLI_DATA_DIR=str(data))

    assert again.returncode == 3
    assert f"is in use by the server at http://127.0.0.1:{port} (process {process.pid})" in again.stderr
    assert f"http://127.0.0.1:{port}/enrol#" in invited.stdout, invited.stderr
    assert unknown.returncode == 1
    assert "no active volunteer has the number 9999" in unknown.stderr


def test_when_it_is_stopped_invite_works_by_itself(tmp_path: Path, port: str) -> None:
    data = tmp_path / "demo"
    with demo("--data", str(data), "--port", port):
        pass

    invited = linli("invite", "0002", LINLI_DATA_DIR=str(data), LINLI_PUBLIC_URL="https://linli.example.org")

    assert "https://linli.example.org/enrol#" in invited.stdout, invited.stderr
    assert "█" in invited.stdout


def test_it_never_touches_data_that_are_not_a_demo(tmp_path: Path, port: str) -> None:
    data = tmp_path / "real"
    linli("migrate", LINLI_DATA_DIR=str(data))
    before = (data / "linli.db").read_bytes()

    done = linli("demo", "--data", str(data), "--port", port, "--reset")

    assert done.returncode == 3
    assert f"{data} holds something that is not a demo" in done.stderr
    assert (data / "linli.db").read_bytes() == before
