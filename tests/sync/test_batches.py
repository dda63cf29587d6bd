"""A message is worth what its changes are worth one by one: whatever they are about, and wherever it is cut.

The engine looks at a whole batch before it judges the first change, and again at a record only where it knows that the batch
names it twice. What it passes over shows here.
"""

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from uuid import UUID, uuid5

import pytest

from server.rules import RULES
from sync.changes import Action, Author, Change, Outcome, Record, Result
from sync.engine import accept
from sync.kinds import Role
from sync.store import MemoryStore

COMMUNITY = 1
SCHEMA = RULES.schema_max
SEEDS = 400
MET = set(Outcome) - {Outcome.LATER, Outcome.TOO_BIG}  # which the engine gives nobody
SERVICES = ("meal_delivery", "legal_aid")


def uuid(*parts: object) -> str:
    return str(uuid5(UUID(int=0), " ".join(map(str, parts))))


DOORS = [uuid("door", number) for number in range(2)]
ROUND = uuid("round")
AUTHORS = [
    *(Author(COMMUNITY, uuid(name), name, uuid(name, "phone"), Role.VOLUNTEER) for name in ("Alice", "Bob")),
    Author(COMMUNITY, uuid("Dana"), "Dana", uuid("Dana"), Role.COORDINATOR),
]


class Story:
    """Messages of several people about few records, so that they meet: the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.made: dict[str, list[str]] = {}  # by record id, the changes of it so far
        self.numbers = 0

    def message(self, author: Author) -> list[Change]:
        changes = [self.change(author) for _ in range(self.random.randint(2, 7))]
        if self.random.random() < 0.2:
            again = self.random.choice(changes)
            changes.append(again if self.random.random() < 0.5 else replace(again, made_at=0))  # the same id once more
        return changes

    def change(self, author: Author) -> Change:
        self.numbers += 1
        kind = self.random.choices(("visit", "need", "household"), (5, 4, 1))[0]
        visit = uuid("visit", self.random.randrange(3))
        record_id = {
            "visit": visit,
            "need": str(uuid5(UUID(visit), self.random.choice(SERVICES))),
            "household": self.random.choice(DOORS),
        }[kind]
        weights = (15, 4, 1) if kind == "visit" else (1, 0, 0)
        action = self.random.choices((Action.PUT, Action.VOID, Action.DISCARD), weights)[0]
        change_id = uuid("change", self.numbers)
        earlier = self.made.setdefault(record_id, [])
        bases: list[int | str] = [0, *earlier[-3:]]
        base = self.random.choice(bases)
        earlier.append(change_id)
        fields = {} if action is not Action.PUT else self.fields(kind, author, is_first=not base)
        return Change(change_id, self.numbers, kind, record_id, action, base, fields, self.numbers, SCHEMA)

    def fields(self, kind: str, author: Author, *, is_first: bool) -> dict[str, object]:
        pick = self.random.choice
        if kind == "need":
            return {"need_state": pick(("open", "done"))}
        if kind == "household":
            return (
                {"risk": pick(("red", "green")), "members": [pick("甲乙丙")]} if author.role is Role.COORDINATOR else {}
            )
        if author.role is Role.COORDINATOR and self.random.random() < 0.7:
            return {"review_state": pick(("approved", ""))}
        said: dict[str, object] = {"household_id": DOORS[0], "round_id": ROUND, "outcome": "met"} if is_first else {}
        if self.random.random() < 0.7:
            said |= {"needs": [service for service in SERVICES if self.random.random() < 0.5]}
            said |= {"urgency": pick(("h24", "days", "info"))}
        if self.random.random() < 0.3:
            said |= {"note": f"示例{self.numbers}"}
        return said


def told(seed: int, *, cut: bool) -> tuple[list[Result], dict[str, Record], int]:
    """What was answered, and what stands, when every message comes whole or a change at a time."""
    story, store, results = Story(seed), MemoryStore(), []
    for author in AUTHORS[:2]:
        for scope in (*DOORS, ROUND):
            store.grant(author.person_id, scope)
    for _ in range(8):
        author = story.random.choice(AUTHORS)
        message = story.message(author)
        parts: Sequence[Sequence[Change]] = [[change] for change in message] if cut else [message]
        for part in parts:
            results += accept(store, RULES, part, author=author, received_at=10_000)
    ids = {*story.made, *(str(uuid5(UUID(visit), service)) for visit in story.made for service in SERVICES)}
    return results, dict(store.records(COMMUNITY, ids)), store.head(COMMUNITY)


@pytest.mark.parametrize("first", range(0, SEEDS, 100))
def test_a_message_is_worth_what_its_changes_are_one_by_one(first: int) -> None:
    outcomes = set()
    for seed in range(first, first + 100):
        whole, one_by_one = told(seed, cut=False), told(seed, cut=True)
        assert whole == one_by_one, seed
        outcomes |= {result.outcome for result in whole[0]}
    assert outcomes == MET, "the stories no longer meet everything"
