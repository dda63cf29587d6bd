"""Lives of a server whose disk is full, or does not answer, from its k-th call on.

Each life: the disk fails at call k, phones push and keep what is not acknowledged; the disk is released and they send
again; then the power is cut. Whatever was acknowledged at any time must be there. What a failed sync should have
written never reaches the disk by itself (fsyncgate), so a server that believed the second sync would lose here. Where
the server ends itself for that reason, another is started on what the first left.
"""

import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from sqlalchemy.exc import OperationalError

from server.database import Database
from sync.errors import TryLater
from tests.durability.faulty_disk import Disk, Fault, broken_disk, disk_full
from tests.durability.workload import DATABASE, PHONES, Ledger, examine, pull, push

CALLS = 2000  # of one life, at least; the sweep covers the first ones
BATCHES = 30  # each phone's: enough for CALLS, however many a busy machine writes in one commit
BATCH = 3
CHECKPOINT_ROWS = 20  # so that a life has checkpoints to fail in


@dataclass(frozen=True, slots=True)
class Kind:
    """A full disk refuses what is written; a broken one refuses every call."""

    name: str
    error: Callable[[], Exception]
    is_lasting: bool
    calls: frozenset[str] = frozenset()  # empty: any


WRITES = frozenset({"write", "sync"})
KINDS = (
    Kind("full, once", disk_full, is_lasting=False, calls=WRITES),
    Kind("full, until released", disk_full, is_lasting=True, calls=WRITES),
    Kind("I/O error, once", broken_disk, is_lasting=False),
    Kind("I/O error, until released", broken_disk, is_lasting=True),
)


@dataclass(slots=True)
class Sweep:
    lives: int = 0
    hit: int = 0  # lives in which the fault happened
    refused: int = 0  # pushes answered with "later"
    refused_starts: int = 0
    ends: int = 0  # of a server that could not trust the disk any more
    acknowledged: int = 0
    wrong: list[str] = field(default_factory=list)


Push = Callable[[Database, str, Ledger], int]


def sweep(
    kind: Kind, points: Sequence[int], *, folder: Path, template: Path, phone_pushes: Push | None = None
) -> Sweep:
    """One life for each point. `phone_pushes` may be given a phone that is wrong, which must be found out."""
    done = Sweep()
    for point in points:
        live_with_fault(kind, point, done, folder=folder, template=template, phone_pushes=phone_pushes or push_all)
    return done


def live_with_fault(kind: Kind, point: int, done: Sweep, *, folder: Path, template: Path, phone_pushes: Push) -> None:
    where = f"{kind.name}, call {point}"
    life = where.replace("/", "")
    # Folders of its own: a connection that a refused start left open is closed much later, and SQLite then deletes the
    # log by its name, which must not be that of another life.
    working, survivors = folder / f"working, {life}", folder / f"survivors, {life}"
    shutil.copytree(template, working)
    survivors.mkdir()
    disk = Disk(f"disk-{kind.name}-{point}")
    disk.adopt(working)
    disk.fault = Fault(point, kind.error, kind.is_lasting, kind.calls)
    ledger = Ledger()

    def end(_: Exception) -> None:
        disk.is_dead = True  # nothing of that process reaches it any more
        done.ends += 1

    def start() -> Database:
        return Database(disk.url(working / DATABASE), checkpoint_rows=CHECKPOINT_ROWS, end=end)

    try:
        database = start()
    except OperationalError:
        done.refused_starts += 1
        disk.revive()
        database = start()
    try:
        with ThreadPoolExecutor(len(PHONES)) as threads:
            for refused in threads.map(lambda phone: phone_pushes(database, phone, ledger), PHONES):
                done.refused += refused
        done.hit += disk.faults_hit > 0
        if disk.is_dead:
            database.close()
            disk.revive()
            database = start()
        disk.revive()
        for phone in PHONES:
            if push_all(database, phone, ledger):
                done.wrong.append(f"{where}: refused after the disk was released")
        disk.cut_power(survivors, Random(point))
    except Exception as error:  # whatever a phone would not have understood
        done.wrong.append(f"{where}: {error!r}")
        disk.cut_power(survivors, Random(point))
    disk.revive()
    database.close()
    done.lives += 1
    done.acknowledged += ledger.total
    found = examine(survivors / DATABASE, ledger.acknowledged, walks_chain=point % 10 == 0)
    done.wrong.extend(f"{where}: {each}" for each in (*found.lost, *found.doubled, *found.corrupt))
    shutil.rmtree(working)
    shutil.rmtree(survivors)
    disk.unregister()


def push_all(database: Database, phone: str, ledger: Ledger) -> int:
    """What the phone has left, each batch tried once more than it is refused, at most; the number of refusals."""
    refused = 0
    while ledger.acknowledged[phone] < BATCHES * BATCH and refused < 3:
        try:
            push(database, phone, ledger.acknowledged[phone] + 1, BATCH)
            ledger.acknowledged[phone] += BATCH
            pull(database, phone)
        except TryLater:
            refused += 1
    return refused


def calls_of_a_life(*, folder: Path, template: Path) -> int:
    """How many calls there are to fail in a life without faults."""
    working = folder / "counted"
    shutil.copytree(template, working)
    disk = Disk("disk-counted")
    disk.adopt(working)
    database = Database(disk.url(working / DATABASE), checkpoint_rows=CHECKPOINT_ROWS)
    ledger = Ledger()
    for phone in PHONES:
        push_all(database, phone, ledger)
    database.close()
    shutil.rmtree(working)
    disk.unregister()
    return disk.calls
