"""Histories of the real sync code under faults, as many as asked, on both cores; and what they do and do not prove.

./linli bench simulation [--histories N] [--seed S] [--store memory|sqlite|postgresql] [--minutes M]
./linli bench simulation --mutants SEEDS    the seeded-bug score
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from tests.simulation.campaign import Tally, catching_seed, run_chunk
from tests.simulation.histories import explain
from tests.simulation.mutants import MUTANTS

CHUNK = 20
CHUNKS_A_PROCESS = 50  # V8 keeps something of every history: after some four thousand a process has no memory left
SHOWN_MAX = 3
NOT_MODELLED = (
    "disks that lie about a strict write, and torn pages",
    "a phone that is stolen, broken or wiped before it ever reached the server",
    "signatures, TLS and gzip (sealing is real, done at the phone's edge)",
    "a phone that stays away, or a restore that reaches back, more than 30 days",
    "attachments; pages sent as forms; a server with a wrong clock",
    "a household withdrawn and given back between two pulls (tests/simulation/test_histories.py)",
    "two PostgreSQL transactions that overlap (same file)",
    "when a phone asks: drain.js, its waits and its transport (tests/worker/test_drain.py)",
    "in memory: consent, search keys, clone notice, admission; a phone whose own schema is older",
)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./linli bench simulation", description=__doc__)
    parser.add_argument("--histories", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0, help="of the first history; the others follow")
    parser.add_argument("--store", choices=("memory", "sqlite", "postgresql"), default="memory")
    parser.add_argument("--minutes", type=float, help="stop after so many minutes, with what was run by then")
    parser.add_argument("--mutants", type=int, metavar="SEEDS", help="score the seeded bugs on so many seeds instead")
    asked = parser.parse_args(argv)
    if asked.mutants:
        return score_mutants(asked.mutants)
    seeds = range(asked.seed, asked.seed + asked.histories)
    started = time.monotonic()
    tally = Tally()
    for part in in_parallel([(seeds[at : at + CHUNK], asked.store) for at in range(0, len(seeds), CHUNK)]):
        tally.add(part)
        if part.failed:
            print(f"\nfailed: {part.failed}", flush=True)
        show_progress(tally, len(seeds), time.monotonic() - started)
        if asked.minutes and time.monotonic() - started > asked.minutes * 60:
            break
    print(report(tally, seeds, asked.store, time.monotonic() - started))
    for seed in sorted(tally.failed)[:SHOWN_MAX]:
        print(explain(seed, store=asked.store), flush=True)
    return 1 if tally.failed else 0


def in_parallel(chunks: list[tuple[range, str]]) -> Iterator[Tally]:
    # Spawned, not forked: V8 and SQLite do not survive a fork.
    with multiprocessing.get_context("spawn").Pool(os.cpu_count(), maxtasksperchild=CHUNKS_A_PROCESS) as pool:
        yield from pool.imap(run_chunk, chunks)


def show_progress(tally: Tally, whole: int, seconds: float) -> None:
    rate = tally.histories / seconds
    faults = tally.faults.total()
    line = f"{tally.histories:,} of {whole:,} histories, {faults:,} faults, {len(tally.failed)} failed, {rate:.1f}/s"
    print(f"\r{line}   ", end="", file=sys.stderr, flush=True)


def report(tally: Tally, seeds: range, store: str, seconds: float) -> str:
    count = tally.histories
    lines = [
        "",
        f"{count:,} histories on {store}, seeds {seeds[0]} to {seeds[count - 1]}, commit {commit()}, {today()}, {seconds:.0f} s",
        f"{tally.visits:,} visits and {tally.changes:,} saved changes, {tally.faults.total():,} faults",
        *(f"    {name:<24}{number:>12,}" for name, number in tally.faults.most_common()),
        f"{len(tally.failed)} histories failed (lost, doubled, leaked, stuck, altered, or a replica that differs)",
    ]
    if not tally.failed:
        lines.append(
            f"95 % upper bound under this fault model: {3 / count:.1e} a history, {3 / max(1, tally.visits):.1e} a visit"
        )
    return "\n".join([*lines, "not modelled:", *(f"    {each}" for each in NOT_MODELLED)])


# Seeded bugs


def score_mutants(seeds: int) -> int:
    with multiprocessing.get_context("spawn").Pool(os.cpu_count(), maxtasksperchild=1) as pool:
        seeds_found = pool.imap(catching_seed, [(mutant.name, seeds) for mutant in MUTANTS])
        missed = 0
        for mutant, seed in zip(MUTANTS, seeds_found, strict=True):
            missed += seed is None
            found = f"NOT CAUGHT in {seeds}" if seed is None else f"caught by seed {seed}"
            print(f"{mutant.name:<32}{found:<22} {mutant.incident}", flush=True)
    print(f"{len(MUTANTS) - missed} of {len(MUTANTS)} caught; commit {commit()}, {today()}")
    return 1 if missed else 0


def commit() -> str:
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d")
