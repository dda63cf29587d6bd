"""The power goes at any write, and takes along what was not synced (RELIABILITY.md 2.1 D1, 6.54).

The real Database, writer thread, store and engine run on an SQLite over a disk of ours (faulty_disk.py). Each cut is
recovered by the next life, on what the cut left; a copy is examined before.
"""

import pytest

from server import database
from tests.durability.faulty_disk import Syncs
from tests.durability.power_cuts import cut_the_power

CUTS = 200
SEED = 20261123


def test_power_cuts_lose_nothing_that_was_acknowledged() -> None:
    tally = cut_the_power(CUTS, seed=SEED)

    assert (tally.lost, tally.doubled, tally.corrupt) == ([], [], [])
    assert tally.cuts == CUTS
    assert tally.acknowledged > 10 * CUTS, "there was something to lose"


# The same with a server or a disk that is wrong: the cuts find it.


def test_a_server_that_does_not_sync_each_commit_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(database.PRAGMAS, "synchronous", "1")  # NORMAL, what most guides recommend for WAL

    tally = cut_the_power(10, seed=SEED)

    assert tally.lost
    assert not tally.corrupt, "NORMAL forgets, but stays whole"


def test_a_server_that_never_syncs_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(database.PRAGMAS, "synchronous", "0")

    tally = cut_the_power(50, seed=SEED)

    assert tally.corrupt


def test_a_disk_that_lies_is_found_out() -> None:
    tally = cut_the_power(10, seed=SEED, syncs=Syncs.IGNORED)

    assert tally.lost or tally.corrupt
