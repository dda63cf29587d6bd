"""The 640 households of the demo, 58 of them key households over the seven categories (DOMAIN.md 7)."""

from dataclasses import dataclass
from random import Random
from typing import Any

from server.demo.names import ESTATE, demo_id, phone
from server.vocabularies import STRENGTH

BUILDINGS = 30
HOUSEHOLDS = 640
RESIDENTS = 1600
STAIRWELLS, FLOORS, DOORS_A_FLOOR = 3, 6, 2
KEY_HOUSEHOLDS = {
    "living_alone": 14,
    "empty_nest": 12,
    "left_behind": 5,
    "care_dependent": 8,
    "severely_disabled": 6,
    "fp_special": 5,
    "women_backbone": 8,
}
# Those of them behind the fourteen doors of the first round: stairwells 1 and 2 of building 2.
FIRST_ROUND = {
    "living_alone": 4,
    "empty_nest": 3,
    "left_behind": 1,
    "care_dependent": 2,
    "severely_disabled": 1,
    "fp_special": 1,
    "women_backbone": 2,
}
# Places differ in how often they visit (DOMAIN.md 2.1): one table, to be changed by whoever knows better.
INTERVAL_DAYS = {"red": 7, "yellow": 30, "green": 90}
RISKS = {
    "living_alone": ("red", "yellow", "yellow"),
    "care_dependent": ("red", "yellow"),
    "women_backbone": ("green",),
}
OTHER_RISKS = ("yellow",)
# About one household in six is good at something and glad to do it for others; leading women always are.
STRENGTHS = tuple(code for code in STRENGTH.codes if code != "willing")
MEMBERS = {"living_alone": 1, "empty_nest": 2}
CONSENTS = ("full", "full", "full", "basic", "basic")


@dataclass(frozen=True, slots=True)
class Household:
    id: str
    building: int
    fields: dict[str, Any]

    @property
    def is_key(self) -> bool:
        return bool(self.fields["categories"])

    @property
    def risk(self) -> str:
        return str(self.fields["risk"])


def make_households(seed: int, random: Random) -> list[Household]:
    """In order of their doors."""
    doors = [door for building in range(1, BUILDINGS + 1) for door in doors_of(building, random)]
    categories = assign_categories(doors, random)
    sizes = household_sizes([categories.get(door, "") for door in doors], random)
    households: list[Household] = []
    resident = 0
    for door, size in zip(doors, sizes, strict=True):
        members = [f"示例居民{resident + each:04}" for each in range(1, size + 1)]
        resident += size
        made = household(seed, door, categories.get(door, ""), members, random)
        made.fields["strengths"] = strengths(categories.get(door, ""), len(households))
        made.fields["phone_ends"] = [f"{resident:04}"]  # of server.demo.names.phone
        households.append(made)
    return households


def strengths(category: str, number: int) -> list[str]:
    """By the household's number, so that everything drawn at random stays as it was."""
    skill = STRENGTHS[number // 6 % len(STRENGTHS)]
    if category == "women_backbone":
        return ["willing", skill]
    return [skill] if number % 6 == 0 and not category else []


Door = tuple[int, int, int, int]  # building, stairwell, floor, number on the floor


def doors_of(building: int, random: Random) -> list[Door]:
    count = HOUSEHOLDS // BUILDINGS + (building <= HOUSEHOLDS % BUILDINGS)
    every = [
        (building, stairwell, floor, number)
        for stairwell in range(1, STAIRWELLS + 1)
        for floor in range(1, FLOORS + 1)
        for number in range(1, DOORS_A_FLOOR + 1)
    ]
    return sorted(random.sample(every, count))


def assign_categories(doors: list[Door], random: Random) -> dict[Door, str]:
    first = [door for door in doors if door[0] == 2 and door[1] <= 2]
    others = [door for door in doors if door[0] != 2]
    here = [category for category, count in FIRST_ROUND.items() for _ in range(count)]
    elsewhere = [category for category, count in KEY_HOUSEHOLDS.items() for _ in range(count - FIRST_ROUND[category])]
    random.shuffle(here)
    chosen = random.sample(first, len(here))
    chosen_elsewhere = random.sample(others, len(elsewhere))
    return dict(zip([*chosen, *chosen_elsewhere], [*here, *elsewhere], strict=True))


def household_sizes(categories: list[str], random: Random) -> list[int]:
    """One to four people behind each door, 1,600 in all."""
    sizes = [MEMBERS.get(category) or random.randint(1, 4) for category in categories]
    free = [index for index, category in enumerate(categories) if category not in MEMBERS]
    while (missing := RESIDENTS - sum(sizes)) != 0:
        index = random.choice(free)
        sizes[index] = min(4, max(1, sizes[index] + (1 if missing > 0 else -1)))
    return sizes


def contacts(number: int) -> dict[str, str]:
    """Whom to phone when nobody opens: asked of key households only."""
    named = {"contact_name": f"示例家人{number % 100:02}", "contact_phone": phone(number % 5000 + 5000)}
    return {"phone": phone(number % 5000), **named}


def household(seed: int, door: Door, category: str, members: list[str], random: Random) -> Household:
    building, stairwell, floor, number = door
    name = f"{building}-{stairwell}-{floor}{number:02}"
    risk = random.choice(RISKS.get(category, OTHER_RISKS)) if category else "green"
    return Household(
        id=demo_id(seed, f"household {name}"),
        building=building,
        fields={
            "door": name,
            "address": f"{ESTATE}{building}号楼{stairwell}单元{floor}{number:02}",
            "members": members,
            "categories": [category] if category else [],
            "risk": risk,
            "interval_days": INTERVAL_DAYS[risk],
            "consent_state": random.choice(CONSENTS) if category else "basic",
            "is_closed": False,
            **(contacts(building * 1000 + stairwell * 100 + floor * 10 + number) if category else {}),
        },
    )
