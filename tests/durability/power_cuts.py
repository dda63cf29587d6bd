"""Lives of a server whose power is cut, one after the other, on one database."""

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from sqlalchemy.exc import OperationalError

from server.database import CHECKPOINT_ROWS as SELDOM
from server.database import Database
from sync.errors import TryLater
from tests.durability.faulty_disk import Disk, Syncs, on_shared_memory
from tests.durability.workload import DATABASE, PHONES, Findings, Ledger, examine, fill, pull, push

LIVES = 20  # cuts before a fresh database is taken, so that none grows large
CUT_WITHIN = 400  # calls that write
CHECKPOINT_ROWS = (SELDOM, 6, 20)


@dataclass(slots=True)
class Tally:
    cuts: int = 0
    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    corrupt: list[str] = field(default_factory=list)

    def add(self, where: str, found: Findings) -> None:
        self.lost.extend(f"{where}: {each}" for each in found.lost)
        self.doubled.extend(f"{where}: {each}" for each in found.doubled)
        self.corrupt.extend(f"{where}: {each}" for each in found.corrupt)


def cut_the_power(cuts: int, *, seed: int, syncs: Syncs = Syncs.KEPT, stops_at_corruption: bool = True) -> Tally:
    """So many lives, each ended by a cut. What the seed does not decide is how the threads of a life interleave."""
    random, tally = Random(seed), Tally()
    with tempfile.TemporaryDirectory(dir=on_shared_memory(Path(tempfile.gettempdir()))) as name:
        folder = Path(name)
        template = folder / "template"
        template.mkdir()
        fill(template)
        ledger = Ledger()
        current = template
        while tally.cuts < cuts:
            if tally.cuts % LIVES == 0:
                ledger, current = Ledger(), template
            following = folder / f"after-{tally.cuts}"
            following.mkdir()
            before = ledger.total
            live_until_cut(current, following, ledger, random, name=f"disk-{seed}-{tally.cuts}", syncs=syncs)
            tally.cuts += 1
            tally.acknowledged += ledger.total - before
            found = examined_copy(following, ledger, walks_chain=tally.cuts % 5 == 0)
            tally.add(f"seed {seed}, cut {tally.cuts}", found)
            if current is not template:
                shutil.rmtree(current)
            current = following
            if found:
                if stops_at_corruption and found.corrupt:
                    break
                ledger, current = Ledger(), template  # what is lost is counted once
    return tally


def examined_copy(folder: Path, ledger: Ledger, *, walks_chain: bool) -> Findings:
    """A copy is looked at, so that the server itself finds what the cut left, and recovers it."""
    copy = folder.with_name(folder.name + "-copy")
    shutil.copytree(folder, copy)
    found = examine(copy / DATABASE, ledger.acknowledged, walks_chain=walks_chain)
    shutil.rmtree(copy)
    return found


def live_until_cut(folder: Path, survivors: Path, ledger: Ledger, random: Random, *, name: str, syncs: Syncs) -> None:
    working = survivors.with_name(survivors.name + "-working")
    shutil.copytree(folder, working)
    disk = Disk(name, syncs=syncs)
    disk.adopt(working)
    disk.cut_at = random.randrange(1, CUT_WITHIN)
    url, checkpoint_rows = disk.url(working / DATABASE), random.choice(CHECKPOINT_ROWS)
    seeds = [random.randrange(2**32) for _ in PHONES]
    try:
        database: Database | None = Database(url, checkpoint_rows=checkpoint_rows)
    except OperationalError:  # the power went while it was being opened and recovered
        database = None
    if database is not None:
        with ThreadPoolExecutor(len(PHONES)) as threads:
            lives = [
                threads.submit(push_until_dark, database, phone, ledger, Random(seed))
                for phone, seed in zip(PHONES, seeds, strict=True)
            ]
        for life in lives:
            life.result()
    assert disk.is_dead
    disk.cut_power(survivors, random)
    disk.revive()  # what happens from here on reaches nobody
    if database is not None:
        database.close()
    shutil.rmtree(working)
    disk.unregister()


def push_until_dark(database: Database, phone: str, ledger: Ledger, random: Random) -> None:
    while True:
        first, count = ledger.acknowledged[phone] + 1, random.randrange(1, 6)
        try:
            push(database, phone, first, count)
            ledger.acknowledged[phone] = first + count - 1
            if random.random() < 0.2:
                pull(database, phone)
        except TryLater:
            return
