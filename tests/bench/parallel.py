"""`./linli bench parallel`: one record pushed sixty-four times at once, over HTTP, again and again: one row each."""

import argparse
import http.client
import json
import sqlite3
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from server.database import Database
from server.sealing import ensure_sealing_key
from tests.bench.report import print_table
from tests.browser.server_process import ServerProcess, with_database
from tests.people import ALICE, NOW, build_world, visit_change
from tests.signing_phone import ServerKey, SigningPhone, message, server_key

AT_ONCE = 64
BUSY_SECONDS = 0.05


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./linli bench parallel", description=__doc__)
    parser.add_argument("--records", type=int, default=1000)
    options = parser.parse_args(argv)
    wrong: list[str] = []
    statuses: Counter[int] = Counter()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        server, phone, keys = ServerProcess(Path(name)), SigningPhone(ALICE), list[ServerKey]()

        def prepare(database: Database) -> None:
            build_world(database)
            database.write(phone.enrol)
            database.write(lambda session: ensure_sealing_key(session, now=NOW))
            keys.append(database.read(server_key))

        with_database(server, prepare)
        server.start()
        try:
            with ThreadPoolExecutor(AT_ONCE) as threads:
                for number in range(1, options.records + 1):
                    change = replace(visit_change(f"visit {number}"), device_sequence=number)
                    body = message([phone.sealed(keys[0], change)], limit=1)
                    outcomes = push_at_once(threads, server, body, phone.headers(body, origin=server.url), statuses)
                    if outcomes != {"accepted": 1, "again": AT_ONCE - 1}:
                        wrong.append(f"record {number}: {dict(outcomes)}")
        finally:
            server.stop()
        rows, lines = counted(server)
    if (rows, lines) != (options.records, options.records):
        wrong.append(f"{rows} records and {lines} lines of history for {options.records}")
    print_table(
        f"./linli bench parallel --records {options.records}",
        ["records", "pushes of each at once", "rows", "lines of history", "answers by status", "wrong", "seconds"],
        [
            [
                str(options.records),
                str(AT_ONCE),
                str(rows),
                str(lines),
                ", ".join(f"{status}: {count}" for status, count in sorted(statuses.items())),
                str(len(wrong)),
                f"{time.monotonic() - started:.0f}",
            ]
        ],
    )
    for each in wrong[:20]:
        print(f"WRONG: {each}")
    return 1 if wrong else 0


def push_at_once(
    threads: ThreadPoolExecutor, server: ServerProcess, body: bytes, headers: dict[str, str], statuses: Counter[int]
) -> Counter[str]:
    gate = threading.Barrier(AT_ONCE)

    def push(_: int) -> str:
        gate.wait()
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            try:
                connection.request("POST", "/sync", body, headers)
                response = connection.getresponse()
                answer = json.loads(response.read())
            finally:
                connection.close()
            statuses[response.status] += 1
            if response.status in (429, 503):
                time.sleep(BUSY_SECONDS)  # sooner than it asks for: this bench wants the crowd
                continue
            outcome = answer["results"][0]["outcome"] if response.status == 200 else str(response.status)
            if outcome != "later":
                return str(outcome)

    return Counter(threads.map(push, range(AT_ONCE)))


def counted(server: ServerProcess) -> tuple[int, int]:
    connection = sqlite3.connect(server.data_dir / "linli.db")
    (rows,) = connection.execute("SELECT count(*) FROM record WHERE kind = 'visit'").fetchone()
    (lines,) = connection.execute("SELECT count(*) FROM change WHERE kind = 'visit'").fetchone()
    connection.close()
    return int(rows), int(lines)
