"""The 30 buildings of the demo, drawn: three stairwells of six floors with two doors each, and not quite regular."""

from typing import Any

from server.buildings import building_id
from server.demo.households import BUILDINGS, DOORS_A_FLOOR, FLOORS, STAIRWELLS, Household
from server.demo.names import COMMUNITY_ID


def make_buildings(households: list[Household]) -> dict[str, dict[str, Any]]:
    """Fields by id."""
    lived_in = {str(each.fields["door"]) for each in households}
    return {
        building_id(COMMUNITY_ID, str(number)): {
            "number": str(number),
            "stairwells": [stairwell(number, name, lived_in) for name in range(1, STAIRWELLS + 1)],
        }
        for number in range(1, BUILDINGS + 1)
    }


def stairwell(building: int, name: int, lived_in: set[str]) -> dict[str, Any]:
    floors = [floor_line(f"{building}-{name}-", floor, lived_in) for floor in range(FLOORS, 0, -1)]
    return {"name": str(name), "floors": floors}


def floor_line(before: str, floor: int, lived_in: set[str]) -> str:
    """Where nobody lives, the ground floor is a shop, and the top floor one flat over both doors."""
    flats = [f"{floor}{number:02}" for number in range(1, DOORS_A_FLOOR + 1)]
    is_free = not any(before + flat in lived_in for flat in flats)
    doors = ["商铺"] if is_free and floor == 1 else ["+".join(flats)] if is_free and floor == FLOORS else flats
    return " ".join([str(floor), *doors])
