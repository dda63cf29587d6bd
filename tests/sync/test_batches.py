"""A message is worth what its changes are worth one by one: whatever they are about, and wherever it is cut.

The engine looks at a whole batch before it judges the first change, and again at a record only where it knows that the batch
names it twice or a change of it brings it along. What it passes over shows here.
"""

import pytest

from sync.changes import Outcome
from tests.sync.stories import tell
from tests.sync.test_stores import memory_world

SEEDS = 400
MET = set(Outcome) - {
    Outcome.LATER,
    Outcome.TOO_BIG,
}  # a thousand held changes in one story; the other is not the engine's


@pytest.mark.parametrize("first", range(0, SEEDS, 100))
def test_a_message_is_worth_what_its_changes_are_one_by_one(first: int) -> None:
    outcomes = set()
    for seed in range(first, first + 100):
        whole = tell(seed, memory_world())
        assert whole == tell(seed, memory_world(), is_cut=True), seed
        outcomes |= {result.outcome for result in whole.results}
    assert outcomes == MET, "the stories no longer meet everything"
