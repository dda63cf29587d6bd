"""`./linli bench kills`: kill -9 under load, and whether what was acknowledged is there, once.

Nineteen of twenty kills hit a small process (Database, writer thread, store and engine; no HTTP), one the whole server
under signing phones over HTTP. After each, a copy of the files is examined; the next life recovers the originals.
"""

import argparse
import tempfile
from pathlib import Path

from tests.bench.report import print_table
from tests.durability.kills import Tally, kill_servers, kill_writers

SERVERS_A_LIFE = 100  # kills of the whole server before it gets a fresh database
WRITERS_A_TURN = 500


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./linli bench kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    servers = options.kills // 20
    writers = Tally()
    while writers.kills < options.kills - servers and not writers.wrong:
        turn = min(WRITERS_A_TURN, options.kills - servers - writers.kills)
        merge(writers, kill_writers(turn, seed=options.seed + writers.kills, walks_chain_every=25))
        print(f"writers: {writers.kills} kills, {writers.acknowledged} acknowledged", flush=True)
    whole = Tally()
    while whole.kills < servers and not whole.wrong:
        turn = min(SERVERS_A_LIFE, servers - whole.kills)
        with tempfile.TemporaryDirectory() as name:
            merge(whole, kill_servers(turn, seed=options.seed + whole.kills, folder=Path(name)))
        print(f"servers: {whole.kills} kills, {whole.acknowledged} acknowledged", flush=True)
    print_table(
        f"./linli bench kills --kills {options.kills} --seed {options.seed}",
        ["killed", "kills", "acknowledged changes", "lost, doubled or corrupt", "seconds", "95 % bound"],
        [row("small writers", writers), row("`./linli serve` over HTTP", whole)],
    )
    print(
        "\nNot modelled: power cuts (`./linli bench powercuts`), a kernel that dies, PostgreSQL, several communities."
    )
    return report(writers.wrong + whole.wrong)


def merge(total: Tally, part: Tally) -> None:
    total.kills += part.kills
    total.acknowledged += part.acknowledged
    total.seconds += part.seconds
    total.wrong.extend(part.wrong)


def row(name: str, tally: Tally) -> list[str]:
    bound = f"< {3 / tally.acknowledged:.1e} a change" if tally.acknowledged and not tally.wrong else "—"
    return [name, str(tally.kills), str(tally.acknowledged), str(len(tally.wrong)), f"{tally.seconds:.0f}", bound]


def report(wrong: list[str]) -> int:
    for each in wrong[:20]:
        print(f"WRONG: {each}")
    return 1 if wrong else 0
