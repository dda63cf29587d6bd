"""A token bucket per key, in the memory of one process: enough to make guessing slow.

With several processes each has its own buckets, so the limit is multiplied by their number; it stays a limit.
"""

import threading

KEYS_MAX = 10_000


class RateLimit:
    """`burst` tries at once for each key, then one more every `refill_ms`. Nobody else's key is ever slowed."""

    def __init__(self, *, burst: int, refill_ms: int) -> None:
        self._burst = burst
        self._refill_ms = refill_ms
        self._lock = threading.Lock()
        self._full_at: dict[str, int] = {}  # by key: when its bucket is full again

    def wait_ms(self, key: str, now: int) -> int:
        """Takes a token and returns 0, or takes none and returns how long until there is one."""
        with self._lock:
            full_at = max(self._full_at.get(key, now), now)
            wait = full_at + self._refill_ms - self._burst * self._refill_ms - now
            if wait > 0:
                return wait
            self._full_at[key] = full_at + self._refill_ms
            if len(self._full_at) > KEYS_MAX:
                self._forget_full(now)
            return 0

    def forget(self, key: str) -> None:
        """The key proved itself: its bucket is full again."""
        with self._lock:
            self._full_at.pop(key, None)

    def _forget_full(self, now: int) -> None:
        self._full_at = {key: full_at for key, full_at in self._full_at.items() if full_at > now}
