"""Buildings as charts: stairwells, and in each its floors from the top down, one line a floor.

A line is what a coordinator types: the floor's name, then its doors from left to right. `301+302` is one flat across two
doors, a word such as 商铺 is no flat. Irregular buildings need nothing more.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

NUMBER = re.compile(r"[0-9A-Za-z\u4e00-\u9fff]{1,8}").fullmatch
FLAT = re.compile(r"([0-9]{1,2})([0-9]{2})(.*)").fullmatch
STAIRWELLS_MAX, FLOORS_MAX, DOORS_MAX, NAME_MAX = 20, 60, 16, 12

Stairwell = Mapping[str, Any]  # {"name": "2", "floors": ["6 601 602", …]}


def building_id(community_id: int, number: str) -> str:
    """One record a building, whoever draws it first."""
    return str(uuid5(NAMESPACE_URL, f"linli building {community_id} {number}"))


def building_of(door: str) -> str:
    """3 for 3-2-501; "" for a door that belongs to no chart."""
    parts = door.split("-")
    return parts[0] if len(parts) == 3 and all(parts) else ""


# Well formed?


def is_number(value: Any) -> bool:
    return isinstance(value, str) and NUMBER(value) is not None


def are_stairwells(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= STAIRWELLS_MAX and all(map(is_stairwell, value))


def is_stairwell(value: Any) -> bool:
    if not isinstance(value, dict) or value.keys() != {"name", "floors"} or not is_number(value["name"]):
        return False
    floors = value["floors"]
    return isinstance(floors, list) and len(floors) <= FLOORS_MAX and all(map(is_floor, floors))


def is_floor(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    names = value.split(" ")
    return len(names) <= DOORS_MAX + 1 and all(0 < len(name) <= NAME_MAX and name.isprintable() for name in names)


# As typed


def read_floors(text: str) -> list[str]:
    """Lines as they are kept: one space between names, nothing for an empty line."""
    lines = (" ".join(re.sub("[,，、;；\t\u3000]", " ", line).split()) for line in text.splitlines())
    return [line.replace("＋", "+") for line in lines if line]


# Drawn from the household files


def infer_stairwells(doors: Iterable[str]) -> list[Stairwell]:
    """Of one building: every floor up to the highest door, every door that stands on some floor of the stairwell."""
    flats: dict[str, list[str]] = {}
    for door in doors:
        _, stairwell, flat = door.split("-")
        flats.setdefault(stairwell, []).append(flat)
    return [{"name": name, "floors": infer_floors(flats[name])} for name in sorted(flats, key=in_order)]


def infer_floors(flats: Sequence[str]) -> list[str]:
    found = [match.groups() for flat in flats if (match := FLAT(flat))]
    numbers = sorted({number for _, number, rest in found if not rest})
    extra: dict[int, set[str]] = {}
    for floor, number, rest in found:
        if rest:
            extra.setdefault(int(floor), set()).add(f"{number}{rest}")
    highest = max((int(floor) for floor, _, _ in found), default=0)
    return [
        " ".join([str(floor), *(f"{floor}{number}" for number in sorted({*numbers, *extra.get(floor, ())}))])
        for floor in range(highest, 0, -1)
    ]


def in_order(text: str) -> str:
    """Sorts 2 before 10."""
    return text.rjust(8, "0")
