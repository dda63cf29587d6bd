"""`./linli bench peers`: the same visits pushed to and pulled from our own server and two that phones sync with today.

Eight phones push twenty batches of fifty visits each (some 900 bytes of JSON a visit), and then every phone reads what
both phones of its owner have logged, 500 a page. Kinto gets a batch as one request to `/batch`, and is read with
`_since`. PouchDB Server is measured twice: as a PouchDB on a phone syncs with it, which is what stands against an
exchange of ours, and with bare `_bulk_docs` and `_changes`, which no phone uses, for orientation. The requests are made, and the pages' cursors
learnt, beforehand: only the server's work is timed. Each server is one process, started afresh on storage that outlives
it, and whatever was pushed is counted in it before the figure stands.

All run `--times` times, in turn; the table has the best of each, because whatever else the machine does only ever takes
away. What a record costs the server's processor says the same with less noise; Kinto's PostgreSQL is not in it.

The two are installed from their registries into the user's cache folder. One that cannot be says so and is left out.
"""

import argparse
import math
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.herd import cpu_seconds
from tests.bench.report import print_table
from tests.bench.sync import (
    BATCHES,
    PAGE,
    PHONES,
    RECORDS,
    BenchPhone,
    Logged,
    Request,
    Way,
    ask_once,
    in_another_process,
    owner,
    pull_rate,
    rate,
    settle,
    sync_rate,
)
from tests.browser.server_process import ServerProcess, with_database
from tests.peers.kinto import Kinto
from tests.peers.peer import CannotInstall, Peer
from tests.peers.pouchdb_server import BarePouchDB, PouchDBServer
from tests.signing_phone import SigningPhone

SENT = PHONES * BATCHES * RECORDS


@dataclass(frozen=True, slots=True)
class Rates:
    """Records a second, the best of all times; processor time of a record pushed in µs, the least. `sync` is of records
    pushed by phones that look for news after each batch; 0 where there is no such thing."""

    push: float = 0
    pull: float = 0
    sync: float = 0
    cost: float = math.inf

    def or_better(self, other: "Rates") -> "Rates":
        best = max(self.push, other.push), max(self.pull, other.pull), max(self.sync, other.sync)
        return Rates(*best, min(self.cost, other.cost))

    def over(self, other: "Rates") -> "Rates":
        sync = self.sync / other.sync if other.sync else 0
        return Rates(self.push / other.push, self.pull / other.pull, sync, self.cost / other.cost)


WANTED: dict[type[Peer], Rates] = {  # how many times theirs
    Kinto: Rates(push=50),
    PouchDBServer: Rates(push=5, pull=5),
    BarePouchDB: Rates(),
}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./linli bench peers", description=__doc__)
    parser.add_argument("--times", type=int, default=3)
    arguments = parser.parse_args(argv)
    peers = installable([make() for make in WANTED])
    ours, theirs = measure(peers, arguments.times)
    print_table(
        f"./linli bench peers --times {arguments.times}",
        ["system", "push records/s", "µs each", "sync", "pull", "ours ÷ theirs: push", "sync", "pull", "wanted"],
        [
            ["Linli", *figures(ours), "", "", "", ""],
            *(row(peer, found, ours.over(found)) for peer, found in theirs.items()),
        ],
    )
    return 0 if all(is_met(ours.over(found), WANTED[type(peer)]) for peer, found in theirs.items()) else 1


def measure(peers: Sequence[Peer], times: int) -> tuple[Rates, dict[Peer, Rates]]:
    ours, theirs = Rates(), dict.fromkeys(peers, Rates())
    for _ in range(times):
        ours = ours.or_better(our_rates())
        for peer in peers:
            theirs[peer] = theirs[peer].or_better(peer_rates(peer))
    return ours, theirs


def installable(peers: Sequence[Peer]) -> list[Peer]:
    """Those that can be installed here; the others are named with the reason."""
    found = []
    for peer in peers:
        try:
            peer.install()
            found.append(peer)
        except CannotInstall as error:
            print(f"{peer.name} {peer.version} is left out: it cannot be installed here ({error})")
    return found


def row(peer: Peer, found: Rates, ratio: Rates) -> list[str]:
    wanted = WANTED[type(peer)]
    wishes = [f"{name} ≥ {wish:.0f}×" for name, wish in (("push", wanted.push), ("pull", wanted.pull)) if wish]
    ratios = [f"{each:.1f}×" if each else "–" for each in (ratio.push, ratio.sync, ratio.pull)]
    return [f"{peer.name} {peer.version}", *figures(found), *ratios, ", ".join(wishes)]


def figures(found: Rates) -> list[str]:
    sync = f"{found.sync:,.0f}" if found.sync else "–"
    return [f"{found.push:,.0f}", f"{found.cost:,.0f}", sync, f"{found.pull:,.0f}"]


def is_met(ratio: Rates, wanted: Rates) -> bool:
    return ratio.push >= wanted.push and ratio.pull >= wanted.pull


# The work


def our_rates() -> Rates:
    phones, logged = made_visits()
    with our_server(phones) as (server, way):
        before = cpu_seconds(server.process_id)
        push = rate(server, way, phones, logged, "accepted")
        cost = cpu_seconds(server.process_id) - before
        pull = pull_rate(server, way, phones)
    with our_server(phones) as (server, way):
        return Rates(push, pull, sync_rate(server, way, phones, logged), cost * 1e6 / SENT)


@contextmanager
def our_server(phones: Sequence[BenchPhone]) -> Iterator[tuple[ServerProcess, Way]]:
    ways: list[Way] = []
    with tempfile.TemporaryDirectory() as folder, closing(ServerProcess(Path(folder))) as server:
        with_database(server, lambda database: ways.append(settle(database, phones)))
        server.start()
        yield server, ways[0]


def peer_rates(peer: Peer) -> Rates:
    _, logged = made_visits()
    with tempfile.TemporaryDirectory() as folder, closing(peer):
        peer.start(Path(folder))
        peer.make_stores(2 * PHONES)
        requests = [list(peer.push(phone, own)) for phone, own in enumerate(logged)]
        before = cpu_seconds(peer.process_id)
        push = written_rate(peer, requests, range(PHONES))
        cost = cpu_seconds(peer.process_id) - before
        others = range(PHONES, 2 * PHONES)
        requests = [list(peer.sync(phone, own)) for phone, own in zip(others, logged, strict=True)]
        sync = written_rate(peer, requests, others) if any(requests) else 0
        return Rates(push, read_rate(peer), sync, cost * 1e6 / SENT)


def made_visits() -> tuple[list[BenchPhone], Logged]:
    phones = [BenchPhone(SigningPhone(owner(number // 2))) for number in range(PHONES)]  # each owner has two
    return phones, [[phone.visits() for _ in range(BATCHES)] for phone in phones]


def written_rate(peer: Peer, requests: list[list[Request]], phones: Iterable[int]) -> float:
    seconds, answers = in_another_process(requests)
    pushed, stored = sum(map(peer.pushed, answers)), sum(map(peer.stored, phones))
    assert pushed == stored == SENT, f"{peer.name} took {pushed} and holds {stored} of {SENT} records"
    return SENT / seconds


def read_rate(peer: Peer) -> float:
    pages = [pages_of(peer, phone) for phone in range(PHONES)]
    requests = [[*pages[phone], *pages[phone ^ 1]] for phone in range(PHONES)]
    seconds, answers = in_another_process(requests)
    read = sum(peer.pulled(answer)[0] for answer in answers)
    assert read == 2 * SENT, f"{peer.name} gave {read} records"
    return read / seconds


def pages_of(peer: Peer, phone: int) -> list[Request]:
    """Exactly as many as there are: no peer is asked in vain."""
    pages: list[Request] = []
    after = ""
    for _ in range(0, BATCHES * RECORDS, PAGE):
        page = peer.pull(phone, after, PAGE)
        after = "".join(peer.pulled(ask_once(each))[1] for each in page)
        pages.extend(page)
    return pages
