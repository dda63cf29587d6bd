"""Stories: messages of several people about few records, so that they meet."""

from dataclasses import dataclass, replace
from random import Random
from uuid import UUID, uuid5

from server.rules import RULES
from sync.changes import Action, Author, Change, Record, Result
from sync.kinds import Role
from sync.store import Store
from tests.sync.store_contract import COMMUNITY, World

SCHEMA = RULES.schema_max
SERVICES = ("meal_delivery", "legal_aid")
MESSAGES = 8


def uuid(*parts: object) -> str:
    return str(uuid5(UUID(int=0), " ".join(map(str, parts))))


VOLUNTEERS = [Author(COMMUNITY, uuid(name), name, uuid(name, "phone"), Role.VOLUNTEER) for name in ("Alice", "Bob")]
COORDINATOR = Author(COMMUNITY, uuid("Dana"), "Dana", uuid("Dana"), Role.COORDINATOR)


class Story:
    """The same for the same seed; no two seeds are about the same records."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.doors = [uuid(seed, "door", number) for number in range(2)]
        self.round = uuid(seed, "round")
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
        visit = uuid(self.seed, "visit", self.random.randrange(3))
        record_id = {
            "visit": visit,
            "need": str(uuid5(UUID(visit), self.random.choice(SERVICES))),
            "household": self.random.choice(self.doors),
        }[kind]
        weights = (15, 4, 1) if kind == "visit" else (1, 0, 0)
        action = self.random.choices((Action.PUT, Action.VOID, Action.DISCARD), weights)[0]
        change_id = uuid(self.seed, "change", self.numbers)
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
            return {"risk": pick(("red", "green")), "members": [pick("甲乙丙")]} if author is COORDINATOR else {}
        if author is COORDINATOR and self.random.random() < 0.7:
            return {"review_state": pick(("approved", ""))}
        said: dict[str, object] = {}
        if is_first:
            said |= {"household_id": self.doors[0], "round_id": self.round, "outcome": "met"}
        if self.random.random() < 0.7:
            said |= {"needs": [service for service in SERVICES if self.random.random() < 0.5]}
            said |= {"urgency": pick(("h24", "days", "info"))}
        if self.random.random() < 0.3:
            said |= {"note": f"示例{self.numbers}"}
        return said


@dataclass
class Told:
    """What was answered, and what stands."""

    results: list[Result]
    records: dict[str, Record]
    head: int


def tell(seed: int, world: World, *, is_cut: bool = False) -> Told:
    """Every message comes whole, or a change at a time."""
    story = Story(seed)
    told = Told([], {}, 0)
    for volunteer in VOLUNTEERS:
        for scope in (*story.doors, story.round):
            world.grant(volunteer.person_id, scope)
    for _ in range(MESSAGES):
        author = story.random.choice([*VOLUNTEERS, COORDINATOR])
        message = story.message(author)
        for part in [[change] for change in message] if is_cut else [message]:
            told.results += world.accept(*part, author=author, received_at=10_000)
    ids = {*story.made, *(str(uuid5(UUID(visit), service)) for visit in story.made for service in SERVICES)}

    def look(store: Store) -> None:
        told.records = dict(store.records(COMMUNITY, ids))
        told.head = store.head(COMMUNITY)

    world.act(look)
    return told
