"""`./linli bench powercuts`: a disk that forgets what was not synced, and disks that are full or do not answer.

The real Database, writer thread, store and engine run through apsw on a VFS of ours (tests/durability/faulty_disk.py).
With `--faults n` each of the first n calls of a life is made to fail, in four ways.
"""

import argparse
import logging
import tempfile
import time
from pathlib import Path

from server import database
from tests.bench.report import print_table
from tests.durability.disk_faults import KINDS, sweep
from tests.durability.faulty_disk import on_shared_memory
from tests.durability.power_cuts import Tally, cut_the_power
from tests.durability.workload import fill

CUTS_A_TURN = 500
CONTROL_CUTS = 40
POINTS_A_TURN = 100


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./linli bench powercuts", description=__doc__)
    parser.add_argument("--cuts", type=int, default=10_000)
    parser.add_argument("--faults", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    command = f"./linli bench powercuts --cuts {options.cuts} --faults {options.faults} --seed {options.seed}"
    wrong = run_cuts(command, options.cuts, options.seed) if options.cuts else []
    wrong += run_faults(command, options.faults) if options.faults else []
    for each in wrong[:20]:
        print(f"WRONG: {each}")
    print(
        "\nNot modelled: a disk that lies about syncs, rot of what was synced, the SQLite that the server links (apsw's own runs"
    )
    print(
        "here; what it left is recovered and examined by both), file systems that lose a synced file's name, PostgreSQL."
    )
    return 1 if wrong else 0


def run_cuts(command: str, cuts: int, seed: int) -> list[str]:
    started, total = time.monotonic(), Tally()
    while total.cuts < cuts:
        turn = cut_the_power(min(CUTS_A_TURN, cuts - total.cuts), seed=seed + total.cuts)
        total.cuts += turn.cuts
        total.acknowledged += turn.acknowledged
        for name in ("lost", "doubled", "corrupt"):
            getattr(total, name).extend(getattr(turn, name))
        print(f"{total.cuts} cuts, {total.acknowledged} acknowledged, {len(total.lost)} lost", flush=True)
        if total.corrupt:
            break
    seconds = time.monotonic() - started
    database.PRAGMAS["synchronous"] = "1"
    try:
        control = cut_the_power(CONTROL_CUTS, seed=seed)
    finally:
        database.PRAGMAS["synchronous"] = "2"
    print_table(
        command,
        ["synchronous", "cuts", "acknowledged changes", "lost", "doubled", "corrupt", "seconds"],
        [row("FULL", total, f"{seconds:.0f}"), row("NORMAL (control: must lose)", control, "")],
    )
    return [*total.lost, *total.doubled, *total.corrupt, *([] if control.lost else ["the control lost nothing"])]


def row(name: str, tally: Tally, seconds: str) -> list[str]:
    counts = (tally.cuts, tally.acknowledged, len(tally.lost), len(tally.doubled), len(tally.corrupt))
    return [name, *map(str, counts), seconds]


def run_faults(command: str, calls: int) -> list[str]:
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)  # it tells of each connection that did not close
    rows: list[list[str]] = []
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(dir=on_shared_memory(Path(tempfile.gettempdir()))) as name:
        folder = Path(name)
        template = folder / "template"
        template.mkdir()
        fill(template)
        for kind in KINDS:
            started, found = time.monotonic(), []
            lives = hit = refused = acknowledged = 0
            for first in range(1, calls + 1, POINTS_A_TURN):
                points = range(first, min(first + POINTS_A_TURN, calls + 1))
                done = sweep(kind, points, folder=folder, template=template)
                lives, hit, refused = lives + done.lives, hit + done.hit, refused + done.refused
                acknowledged += done.acknowledged
                found.extend(done.wrong)
                print(*done.wrong, sep="\n", end="")
                print(f"{kind.name}: {lives} lives, {len(found)} wrong", flush=True)
            seconds = f"{time.monotonic() - started:.0f}"
            rows.append([kind.name, str(lives), str(hit), str(refused), str(acknowledged), str(len(found)), seconds])
            wrong.extend(found)
    heads = [
        "the disk",
        "lives, one a call",
        "fault happened",
        "pushes refused",
        "acknowledged changes",
        "wrong",
        "seconds",
    ]
    print_table(command, heads, rows)
    return wrong
