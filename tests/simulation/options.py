"""What a seed stands for: the size of the world and how likely each fault is.

Every history draws its own set of faults (some are off), so that rare ones also meet alone. Printed with a failing seed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

# Chance of each fault: on the wire per message, on a phone or at the centre per tick.
WIRE = {
    "request_lost": 0.10,
    "answer_lost": 0.10,
    "request_doubled": 0.08,
    "delayed": 0.25,
    "delayed_beyond_timeout": 0.08,
    "answer_cut_short": 0.05,
    "captive_portal": 0.05,
    "foreign_json": 0.03,
    "error_500": 0.05,
    "busy_429": 0.03,
    "unavailable_503": 0.04,
    "proxy_413": 0.06,
    "crash_before_commit": 0.06,
    "crash_after_commit": 0.06,
    "storage_full": 0.03,
    "at_the_same_instant": 0.20,
}
PHONE = {
    "worker_killed": 0.12,
    "power_cut": 0.08,
    "clock_jump": 0.04,
    "second_drain": 0.10,
    "second_tab": 0.05,
    "cloned": 0.006,
    "outbox_broken": 0.01,
}
CENTRE = {
    "grant": 0.10,
    "withdrawal": 0.10,
    "revocation": 0.02,
    "restore": 0.05,
    "days_pass": 0.04,
}
CHANGE = {
    "newer_schema": 0.03,
    "unknown_field": 0.15,
    "refused_field": 0.03,
    "foreign_door": 0.06,
    "lost_key": 0.02,
    "large": 0.10,
}
# What comes to this list later comes at its end, so that old seeds go on meaning what they meant.
LATER = {
    "granted_again": 0.0,  # of what was withdrawn; on for the seeds of test_histories.py: on for all, every seed would mean something else
}
ALL_FAULTS = {**WIRE, **PHONE, **CENTRE, **CHANGE, **LATER}


@dataclass(frozen=True, slots=True)
class Options:
    seed: int
    store: str = "memory"
    mutant: str = ""
    people: int = 4
    phones: int = 5
    rounds: int = 3
    doors: int = 2  # a round
    ticks: int = 30
    save_chance: float = 0.3
    drain_chance: float = 0.4
    page_limit: int = 500
    body_limit_after_heal: int = 512 * 1024
    chances: Mapping[str, float] = field(default_factory=dict)

    def lines(self) -> list[str]:
        world = (
            f"seed {self.seed} on {self.store}{f', mutant {self.mutant}' if self.mutant else ''}: {self.phones} phones of "
            f"{self.people} people, {self.rounds} rounds of {self.doors} doors, {self.ticks} ticks, pages of "
            f"{self.page_limit}, bodies up to {self.body_limit_after_heal} bytes in the end"
        )
        return [world, *(f"    {name:<24}{chance:.3f}" for name, chance in self.chances.items() if chance)]


def expand(seed: int, *, store: str = "memory", mutant: str = "") -> Options:
    """The same options for the same seed, for ever (until this file changes)."""
    rng = Random(f"options {seed}")
    people = rng.randint(3, 6)
    return Options(
        seed=seed,
        store=store,
        mutant=mutant,
        people=people,
        phones=max(4, people + rng.randint(0, 2)),
        rounds=rng.randint(2, 4),
        doors=rng.randint(1, 3),
        ticks=rng.randint(20, 36),
        save_chance=rng.uniform(0.15, 0.45),
        drain_chance=rng.uniform(0.2, 0.7),
        page_limit=rng.choice((2, 3, 5, 20, 500)),
        body_limit_after_heal=rng.choice((5_000, 9_000, 512 * 1024, 512 * 1024)),
        chances={
            name: 0.0 if rng.random() < 0.25 else chance * rng.uniform(0.4, 1.6) for name, chance in ALL_FAULTS.items()
        },
    )
