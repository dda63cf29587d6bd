"""`./linli bench sync --postgresql`: pushes of a real server over PostgreSQL, as shares of what PostgreSQL itself does.

Eight phones push as in `./linli bench sync`, first to one app process, then to two that share the database, four phones
each. Beside them, in the same run and in the same database: the very rows that such a push leaves in `change` and
`record`, written into copies of both tables with all their indexes. Eight processes do it, each on a connection of its
own, by psycopg's `executemany`, which pipelines: the phones' own batches, one transaction a batch, nothing else.

Before anything is measured both processes take a push, and PostgreSQL looks at its tables (ANALYZE), as autovacuum does
within a minute of a real life. Until then it knows nothing of them, and reads a whole community to find fifty records.
"""

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import psycopg

from tests.bench.report import print_table
from tests.bench.sync import (
    BATCHES,
    PHONES,
    RECORDS,
    BenchPhone,
    Way,
    in_another_process,
    owner,
    packed_request,
    settle,
)
from tests.browser.server_process import ServerProcess, with_database
from tests.postgres import new_durable_database
from tests.signing_phone import SigningPhone

SENT = PHONES * BATCHES * RECORDS
WANTED = 0.40
WRITERS_SECONDS = 120
ROWS = {
    "change": "SELECT * FROM change WHERE kind = 'visit' ORDER BY device_id, device_sequence",
    "record": """
        SELECT r.* FROM record r JOIN change c ON c.community_id = r.community_id AND c.record_id = r.record_id
         WHERE c.kind = 'visit' ORDER BY c.device_id, c.device_sequence
    """,
}
Written = dict[str, list[tuple[Any, ...]]]  # rows by table, in the order of the phones' batches


@dataclass
class Found:
    """Records a second, the best of all rounds."""

    raw: float = 0
    one: float = 0
    two: float = 0

    def better(self, **measured: float) -> None:
        for name, value in measured.items():
            setattr(self, name, max(getattr(self, name), value))


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./linli bench sync --postgresql", description=__doc__)
    parser.add_argument("--times", type=int, default=3)
    arguments = parser.parse_args(argv)
    found = Found()
    for _ in range(arguments.times):
        with tempfile.TemporaryDirectory() as folder:
            one_round(Path(folder), found)
    print_table(
        f"./linli bench sync --postgresql --times {arguments.times}",
        ["what", "records/s", "share", "wanted"],
        [
            ["raw executemany, eight connections", f"{found.raw:,.0f}", "100 %", ""],
            ["push to one process", f"{found.one:,.0f}", f"{found.one / found.raw:.0%}", "≥ 40 %"],
            ["push to two processes", f"{found.two:,.0f}", f"{found.two / found.raw:.0%}", "≥ one process"],
        ],
    )
    return 0 if found.one >= WANTED * found.raw and found.two >= found.one else 1


def one_round(folder: Path, found: Found) -> None:
    database_url = new_durable_database()
    phones = [BenchPhone(SigningPhone(owner(number // 2))) for number in range(PHONES)]  # each owner has two
    with (
        closing(server_over(database_url, folder / "one")) as one,
        closing(server_over(database_url, folder / "two")) as two,
    ):
        ways: list[Way] = []
        with_database(one, lambda database: ways.append(settle(database, phones)))
        for server in (one, two):
            server.start(LINLI_DATABASE_URL=database_url)
        rate([one, two], ways[0], phones)
        written = look_at_tables(database_url)
        found.better(one=rate([one], ways[0], phones))
        found.better(raw=raw_rate(database_url, written))
        found.better(two=rate([one, two], ways[0], phones))


def server_over(database_url: str, data_dir: Path) -> ServerProcess:
    data_dir.mkdir()
    server = ServerProcess(data_dir)
    server.database_url = database_url
    return server


def rate(servers: Sequence[ServerProcess], way: Way, phones: Sequence[BenchPhone]) -> float:
    """Records a second, all phones at once, each at one of these servers."""
    requests = [
        [packed_request(servers[number % len(servers)], way, phone, phone.visits()) for _ in range(BATCHES)]
        for number, phone in enumerate(phones)
    ]
    seconds, answers = in_another_process(requests)
    for answer in answers:
        assert {result["outcome"] for result in answer["results"]} == {"accepted"}, answer["results"][:2]
    return SENT / seconds


# PostgreSQL alone


def look_at_tables(database_url: str) -> Written:
    """Returns the rows of the first push, and leaves PostgreSQL with statistics of its tables."""
    with psycopg.connect(address(database_url), autocommit=True) as connection:
        connection.execute("ANALYZE")
        return {name: connection.execute(query).fetchall() for name, query in ROWS.items()}


def raw_rate(database_url: str, written: Written) -> float:
    """Rows of `record` a second, each with its row of `change`."""
    with psycopg.connect(address(database_url), autocommit=True) as connection:
        for name in ROWS:
            connection.execute(f"CREATE TABLE raw_{name} (LIKE {name} INCLUDING ALL)")
        seconds = written_by_all(address(database_url), written)
        for name in ROWS:
            (count,) = connection.execute(f"SELECT count(*) FROM raw_{name}").fetchone() or (0,)
            assert count == SENT, f"{count} of {SENT} rows in raw_{name}"
    return SENT / seconds


def address(database_url: str) -> str:
    """As psycopg has it."""
    return database_url.replace("+psycopg", "")


def written_by_all(place: str, written: Written) -> float:
    """Seconds from the moment when all writers are connected until the last has committed its last batch."""
    context = multiprocessing.get_context("fork")
    together = context.Barrier(PHONES + 1)
    own = BATCHES * RECORDS
    writers = [
        context.Process(
            target=write, args=(place, {name: rows[first : first + own] for name, rows in written.items()}, together)
        )
        for first in range(0, SENT, own)
    ]
    for writer in writers:
        writer.start()
    together.wait(WRITERS_SECONDS)
    started = time.perf_counter()
    together.wait(WRITERS_SECONDS)
    seconds = time.perf_counter() - started
    for writer in writers:
        writer.join()
    return seconds


def write(place: str, written: Written, together: Barrier) -> None:
    statements = {
        name: f"INSERT INTO raw_{name} VALUES ({', '.join(['%s'] * len(rows[0]))})" for name, rows in written.items()
    }
    with psycopg.connect(place, autocommit=True) as connection, connection.cursor() as cursor:
        together.wait(WRITERS_SECONDS)
        for first in range(0, BATCHES * RECORDS, RECORDS):
            with connection.transaction():
                for name, rows in written.items():
                    cursor.executemany(statements[name], rows[first : first + RECORDS])
        together.wait(WRITERS_SECONDS)
