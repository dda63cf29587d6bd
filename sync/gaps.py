"""The gapless device sequence: which numbers of a device should have arrived and did not."""

from collections.abc import Iterable

MISSING_RANGES_MAX = 50


def advance(through: int, received: Iterable[int], high_water: int) -> tuple[int, list[list[int]]]:
    """`through`: every number up to it has arrived. `received`: numbers above it that have. `high_water`: the last
    number the device gave out. Returns the new `through` and the missing [from, to] ranges, both ends included."""
    missing: list[list[int]] = []
    last = through
    for number in sorted(set(received)):
        if number <= last:
            continue
        if number == last + 1 and not missing:
            through = number
        elif number > last + 1:
            missing.append([last + 1, number - 1])
        last = number
    if high_water > last:
        missing.append([last + 1, high_water])
    return through, missing[:MISSING_RANGES_MAX]
