"""Errors that tell the sender one thing: whether to try again.

SyncError
├── MalformedMessage     the message breaks PROTOCOL.md; the same message will fail again
├── UnknownDevice        no device of ours, not confirmed yet, or a signature that does not fit; keep the outbox
└── TryLater             the world broke or is busy; the same message may succeed

Expected outcomes (accepted, held, ...) are values, not errors: see changes.py.
"""


class SyncError(Exception):
    """`code` is stable; those of paths under /sync are listed in PROTOCOL.md. `retry` says whether the same message may succeed later."""

    retry = False

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class MalformedMessage(SyncError):
    pass


class UnknownDevice(SyncError):
    pass


class TryLater(SyncError):
    retry = True

    def __init__(self, code: str, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(code, message)
        self.retry_after_seconds = retry_after_seconds
