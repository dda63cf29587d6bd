"""What volunteers saved, and what the world decided: the checker's own knowledge, never read from the product."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.central import Round


@dataclass(slots=True)
class Saved:
    """One change that somebody saved on a phone. `is_told`: the phone said "saved"; from then on it must not be lost."""

    phone: str
    device_id: str
    person_id: str
    change_id: str
    record_id: str
    kind: str
    action: str
    set: Mapping[str, Any]
    made_at: int
    schema: int
    is_new: bool
    is_plain: bool  # nothing about the change itself is odd: a rule may not hold it
    is_told: bool = False


@dataclass(slots=True)
class Truth:
    """Who may see what, as the coordinator decided; goes back in time with a restored backup."""

    rounds: dict[str, Round]
    held: dict[str, set[str]] = field(default_factory=dict)  # rounds by person
    revoked: set[str] = field(default_factory=set)  # devices

    def scopes(self, person_id: str) -> set[str]:
        found: set[str] = set()
        for round_id in self.held.get(person_id, ()):
            found.update((round_id, *self.rounds[round_id].household_ids))
        return found

    def copy(self) -> "Truth":
        return Truth(self.rounds, {who: set(held) for who, held in self.held.items()}, set(self.revoked))


@dataclass(slots=True)
class Ledger:
    truth: Truth
    saved: list[Saved] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    answers: dict[tuple[str, str, str], list[tuple[str, int, str]]] = field(default_factory=dict)
    ever_withdrawn: set[tuple[str, str]] = field(default_factory=set)  # person and household
    ever_revoked: set[str] = field(default_factory=set)
    ever_closed: set[str] = field(default_factory=set)  # households
    first_grants: dict[str, set[str]] = field(default_factory=dict)

    def problem(self, kind: str, text: str) -> None:
        self.problems.append(f"{kind}: {text}")

    def told(self, phone: str, change_id: str) -> None:
        for saved in self.saved:
            if saved.phone == phone and saved.change_id == change_id:
                saved.is_told = True

    def note_answer(self, epoch: str, sent: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        """A change that is answered again is answered the same: same place, same code."""
        key = (epoch, sent["change_id"], sent["sealed"])
        answer = (result["outcome"], result["revision"], result.get("code", ""))
        before = self.answers.setdefault(key, [])
        before.append(answer)
        if len({each[1:] for each in before}) > 1:
            self.problem("unstable", f"{sent['change_id']} was answered {before}")
        if sum(outcome in ("accepted", "merged", "conflict") for outcome, _, _ in before) > 1:
            self.problem("unstable", f"{sent['change_id']} was taken more than once: {before}")
