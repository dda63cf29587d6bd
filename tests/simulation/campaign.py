"""What one process of a large run does. In a module of its own, so that new processes can import it by name."""

from collections import Counter
from dataclasses import dataclass, field

from tests.simulation.histories import run_history, run_seed
from tests.simulation.mutants import BY_NAME
from tests.simulation.options import expand


@dataclass
class Tally:
    histories: int = 0
    changes: int = 0
    visits: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    failed: list[int] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        self.histories += other.histories
        self.changes += other.changes
        self.visits += other.visits
        self.faults.update(other.faults)
        self.failed += other.failed


def run_chunk(chunk: tuple[range, str]) -> Tally:
    seeds, store = chunk
    tally = Tally()
    for seed in seeds:
        found = run_seed(seed, store=store)
        failed = [seed] if found.problems else []
        tally.add(Tally(1, found.saved, found.visits, found.faults, failed))
    return tally


def catching_seed(asked: tuple[str, int]) -> int | None:
    """The first of so many seeds that shows the mutant."""
    name, seeds = asked
    mutant = BY_NAME[name]
    histories = ((seed, expand(seed, mutant=mutant.phone)) for seed in range(seeds))
    return next((seed for seed, plan in histories if run_history(plan, mutant.central).problems), None)
