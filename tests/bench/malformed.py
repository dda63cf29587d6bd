"""`./linli bench malformed`: requests that make no sense, to every route, in process and on the wire."""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from server import migrations
from server.app import create_app
from server.clock import system_clock
from server.commands.serve import share_memory_pools
from server.database import Database
from server.logs import configure_logging
from server.sealing import ensure_sealing_key
from server.settings import Settings
from tests.bench.report import print_table
from tests.browser.server_process import ServerProcess, with_database
from tests.durability.faulty_disk import on_shared_memory
from tests.durability.malformed import Attacker, Attempt, Outcome, attack_in_process, attack_on_the_wire, peak_kilobytes
from tests.people import NOW, build_world

# What is pushed makes every list longer, and a coordinator's page slower: then a new community takes its place, and the next seed.
TURN = 25_000
CONNECTIONS = 8
WARM = 1000
WRONG_SHOWN = 5


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./linli bench malformed", description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--wire", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    configure_logging("error")
    share_memory_pools()  # as serving does, or the threads of each community that takes its turn would keep pools of their own
    rows: list[list[str]] = []
    wrong: list[str] = []
    for name, count, attack in (
        ("in process", options.requests, in_process),
        ("on the wire", options.wire, on_the_wire),
    ):
        if count:
            started = time.monotonic()
            outcome = attack(count, options.seed)
            rows.append(row(name, outcome, time.monotonic() - started))
            wrong += outcome.wrong
    print_table(
        f"./linli bench malformed --requests {options.requests} --wire {options.wire} --seed {options.seed}",
        ["where", "requests", "answers by status", "failures, traces", "memory grown", "seconds"],
        rows,
    )
    for each in wrong[:20]:
        print(f"WRONG: {each}")
    return 1 if wrong or any(float(each[4].split()[0]) >= 50 for each in rows) else 0


def row(name: str, outcome: Outcome, seconds: float) -> list[str]:
    statuses = ", ".join(f"{status or 'closed'}: {count}" for status, count in sorted(outcome.statuses.items()))
    grown = f"{outcome.grown_mb:.1f} MB"
    return [name, str(outcome.requests), statuses, str(len(outcome.wrong)), grown, f"{seconds:.0f}"]


def in_process(requests: int, seed: int) -> Outcome:
    whole = Outcome()
    warm = 0.0
    while whole.requests < requests:
        part = attack_a_community(min(TURN, requests - whole.requests), seed)
        seed += 1
        whole.requests += part.requests
        whole.statuses += part.statuses
        whole.wrong += part.wrong
        warm = warm or peak_kilobytes() / 1024 - part.grown_mb
        whole.grown_mb = peak_kilobytes() / 1024 - warm
        print(
            "\n".join([f"{whole.requests} requests, {len(whole.wrong)} wrong", *part.wrong[:WRONG_SHOWN]]), flush=True
        )
    return whole


def attack_a_community(requests: int, seed: int) -> Outcome:
    with tempfile.TemporaryDirectory(dir=on_shared_memory(Path(tempfile.gettempdir()))) as name:
        settings = Settings(data_dir=Path(name), public_url="http://127.0.0.1:8000")
        migrations.upgrade(settings.database_url)
        app = create_app(settings, operator_token="the operator's token", clock=lambda: NOW)
        return attack_in_process(app, requests, seed=seed, now=NOW)


def on_the_wire(requests: int, seed: int) -> Outcome:
    with tempfile.TemporaryDirectory(dir=on_shared_memory(Path(tempfile.gettempdir()))) as name:
        server = ServerProcess(Path(name))
        made: list[Attacker] = []

        def prepare(database: Database) -> None:
            build_world(database)
            database.write(lambda session: ensure_sealing_key(session, now=NOW))
            app = create_app(Settings(data_dir=Path(name), public_url=server.url))
            made.append(Attacker(app, database, seed=seed, now=system_clock()))

        with_database(server, prepare)
        server.start()
        try:
            return asyncio.run(wire(server, made[0], requests))
        finally:
            server.close()


async def wire(server: ServerProcess, attacker: Attacker, requests: int) -> Outcome:
    """Some requests first, so that the server's caches are warm when its memory is first looked at."""
    outcome = Outcome()
    numbers = iter(range(WARM + requests))

    def attempts(until: int) -> Iterator[tuple[int, Attempt]]:
        for number in numbers:
            yield number, attacker.attempt(number)[0]
            if number + 1 >= until:
                return

    await asyncio.gather(*(attack_on_the_wire(server.port, attempts(WARM), outcome) for _ in range(CONNECTIONS)))
    warm = memory_kilobytes(server.process_id)
    await asyncio.gather(
        *(attack_on_the_wire(server.port, attempts(WARM + requests), outcome) for _ in range(CONNECTIONS))
    )
    outcome.grown_mb = (memory_kilobytes(server.process_id) - warm) / 1024
    return outcome


def memory_kilobytes(pid: int) -> int:
    """The most that the process ever held."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
