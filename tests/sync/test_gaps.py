"""Which numbers of a device should have arrived: `through` is whole, `missing` is what to ask for."""

from collections.abc import Iterable

import pytest

from sync.gaps import MISSING_RANGES_MAX, advance


@pytest.mark.parametrize(
    ("through", "received", "high_water", "expected"),
    [
        (0, [], 0, (0, [])),
        (0, [], 3, (0, [[1, 3]])),
        (0, [1, 2, 3], 3, (3, [])),
        (3, [], 3, (3, [])),
        (3, [4, 5], 5, (5, [])),
        (3, [5], 5, (3, [[4, 4]])),
        (3, [5, 6, 9], 10, (3, [[4, 4], [7, 8], [10, 10]])),
        (3, [4, 6], 6, (4, [[5, 5]])),
        (3, [6, 4, 4, 2, 3], 6, (4, [[5, 5]])),
        (3, [4, 6, 7], 7, (4, [[5, 5]])),
        (5, [1, 2], 4, (5, [])),
        (5, [], 4, (5, [])),
    ],
)
def test_missing_numbers_are_ranges_with_both_ends(
    through: int, received: Iterable[int], high_water: int, expected: tuple[int, list[list[int]]]
) -> None:
    assert advance(through, received, high_water) == expected


def test_only_the_first_ranges_are_named() -> None:
    every_other = range(2, 4 * MISSING_RANGES_MAX, 2)

    through, missing = advance(0, every_other, 4 * MISSING_RANGES_MAX)

    assert through == 0
    assert missing == [[number, number] for number in range(1, 2 * MISSING_RANGES_MAX, 2)]
