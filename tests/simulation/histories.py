"""Runs histories by seed, and explains one."""

from collections import Counter
from dataclasses import dataclass, field

from tests.simulation.central import CentralFactory, MemoryCentral
from tests.simulation.central_sql import postgresql_central, sqlite_central
from tests.simulation.checker import check
from tests.simulation.options import Options, expand
from tests.simulation.phone import shared_phones
from tests.simulation.world import History

CENTRALS: dict[str, CentralFactory] = {
    "memory": MemoryCentral,
    "sqlite": sqlite_central,
    "postgresql": postgresql_central,
}


@dataclass
class Report:
    options: Options
    problems: list[str]
    faults: Counter[str]
    saved: int
    visits: int
    trace: list[str] = field(default_factory=list)

    def text(self) -> str:
        found = "\n".join(f"  {problem}" for problem in self.problems)
        return "\n".join([*self.options.lines(), "found:", found, "trace:", *self.trace])


def run_seed(seed: int, *, store: str = "memory", keep_trace: bool = False) -> Report:
    return run_history(expand(seed, store=store), CENTRALS[store], keep_trace=keep_trace)


def run_history(options: Options, make_central: CentralFactory, *, keep_trace: bool = False) -> Report:
    phones = shared_phones()
    history = History(options, make_central, phones, keep_trace=keep_trace)
    history.run()
    problems = check(history, phones.inspect())
    told = [saved for saved in history.ledger.saved if saved.is_told]
    visits = len({saved.record_id for saved in told})
    return Report(options, problems, history.faults, len(told), visits, history.trace)


def explain(seed: int, *, store: str = "memory") -> str:
    """The expanded options, the findings and the trace of a seed."""
    return run_seed(seed, store=store, keep_trace=True).text()
