"""Passwords: argon2id, with the same work for a login that does not exist, and never more than two at once.

One hash takes 19 MiB and some tens of milliseconds (OWASP's minimum for argon2id, one pass more), so what may run side
by side is bounded: whoever finds ten others waiting is asked to come back.
"""

import threading
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from sync.errors import TryLater

HASHER = PasswordHasher(time_cost=3, memory_cost=19 * 1024, parallelism=1)
AT_ONCE_MAX = 2
WAITING_MAX = 10
PASSWORD_MAX = 1024


def hash_password(password: str) -> str:
    return HASHER.hash(password)


class PasswordDesk:
    """Checks passwords, two at a time, from any thread."""

    def __init__(self) -> None:
        self._places = threading.BoundedSemaphore(AT_ONCE_MAX)
        self._lock = threading.Lock()
        self._waiting = 0

    def is_right(self, password_hash: str | None, password: str) -> bool:
        """`None` is a login nobody has: it costs the same work and is never right. Raises TryLater when the queue is
        full."""
        with self._lock:
            if self._waiting >= AT_ONCE_MAX + WAITING_MAX:
                raise TryLater("busy", "too many sign-ins at once", retry_after_seconds=5)
            self._waiting += 1
        try:
            with self._places:
                return fits(password_hash, password)
        finally:
            with self._lock:
                self._waiting -= 1


def fits(password_hash: str | None, password: str) -> bool:
    try:
        HASHER.verify(password_hash or nobodys_hash(), password[:PASSWORD_MAX])
    except (VerificationError, InvalidHashError):
        return False
    return password_hash is not None


@cache
def nobodys_hash() -> str:
    return hash_password("nobody has this password")
