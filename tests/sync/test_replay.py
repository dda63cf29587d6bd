"""Random histories of one record through the engine: replayed, each tells what stood after every push."""

from dataclasses import replace
from random import Random
from uuid import UUID, uuid5

from sync.changes import Action, Author, Change, Fields, Outcome, Record
from sync.engine import Rules, accept
from sync.kinds import Kind, Role, Rule, kinds_by_name
from sync.merge import fields_at
from sync.replay import base_fields, left_standing
from sync.store import MemoryStore

COMMUNITY = 1
HISTORIES = 400
PUSHES = 12
SETS = ("members", "tags")
HOUSEHOLD = Kind(
    "household",
    {"door": Rule.REGISTER, "risk": Rule.GUARD, "remark": Rule.NOTES, **dict.fromkeys(SETS, Rule.SET)},
    writers=frozenset({Role.COORDINATOR}),
    scope_field="id",
    caution={"risk": ("red", "green")},
)


def uuid(*parts: object) -> str:
    return str(uuid5(UUID(int=0), " ".join(map(str, parts))))


RECORD = uuid("record")
AUTHORS = [
    Author(COMMUNITY, uuid(name), name, uuid(name, "device"), role)
    for name, role in (("Dana", Role.COORDINATOR), ("Second", Role.COORDINATOR), ("", Role.SERVER))
]


class Edits:
    """Several devices about one record, on bases that are long gone, still to come, another's or nobody's."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.store = MemoryStore()
        self.rules = Rules(kinds_by_name(HOUSEHOLD), 1, 1, check=lambda change, record: None, derive=self.derive)
        self.numbers = 0
        self.outcomes: set[Outcome] = set()
        self.stood: dict[int, Fields] = {}  # by revision
        for _ in range(PUSHES):
            self.push([self.change() for _ in range(self.random.choice((1, 1, 2, 3)))])

    def push(self, changes: list[Change]) -> None:
        author = self.random.choice(AUTHORS)
        results = accept(self.store, self.rules, changes, author=author, received_at=1_000)
        self.outcomes |= {result.outcome for result in results}
        record = self.store.records(COMMUNITY, [RECORD])[RECORD]
        self.stood[record.revision] = record.fields

    def change(self) -> Change:
        self.numbers += 1
        change_id = uuid("change", self.numbers)
        action = Action.VOID if self.numbers > 1 and self.random.random() < 0.05 else Action.PUT
        fields = self.fields() if action is Action.PUT else {}
        return Change(change_id, self.numbers, "household", RECORD, action, self.base(), fields, 0, 1)

    def base(self) -> int | str:
        head, pick = self.store.head(COMMUNITY), self.random.choice
        place = pick((head, head, self.random.randint(0, head + 2), 2**40))
        return pick((place, uuid("change", self.numbers + self.random.randint(-5, 2))))  # its own, too

    def fields(self) -> Fields:
        pick = self.random.choice
        fields: dict[str, object] = {"door": pick("123"), "risk": pick(("red", "green")), "remark": pick("xyz")}
        fields |= {name: self.random.sample("abcde", self.random.randint(0, 4)) for name in SETS}
        fields |= {"members": pick((None, "no list"))} if self.random.random() < 0.05 else {}
        return {name: value for name, value in fields.items() if self.random.random() < 0.6}

    def derive(self, change: Change, before: Record | None) -> list[Change]:
        """Now and then a change brings another of its record along, on no base."""
        if self.random.random() < 0.8:
            return []
        follower_id = uuid("follows", change.change_id)
        return [replace(change, change_id=follower_id, action=Action.PUT, base=0, set=self.fields())]


def test_a_history_replayed_tells_what_stood_after_every_push() -> None:
    outcomes: set[Outcome] = set()

    for seed in range(HISTORIES):
        edits = Edits(seed)
        history = edits.store.histories(COMMUNITY, [RECORD])[RECORD]
        left = left_standing(HOUSEHOLD, history, HOUSEHOLD.fields.keys())
        outcomes |= edits.outcomes
        for revision, fields in edits.stood.items():
            assert fields_at(left, revision) == fields, (seed, revision)
            sets = {name: value for name, value in fields.items() if name in SETS}
            assert base_fields(HOUSEHOLD, history, revision, set(SETS)) == sets, (seed, revision)

    assert outcomes == {Outcome.ACCEPTED, Outcome.MERGED, Outcome.CONFLICT, Outcome.HELD}
