"""The server's clock, in ms UTC. Passed in, so that a test can hand over its own."""

import time
from collections.abc import Callable

Clock = Callable[[], int]


def system_clock() -> int:
    return time.time_ns() // 1_000_000
