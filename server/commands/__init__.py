"""What the commands share: how one stops, and what its exit code means.

- 0: done
- 1: it ran, and what it found is not well (a test failed, doctor saw something wrong)
- 2: it was asked wrongly: an argument or a `LINLI_` variable
- 3: something is in the way, and the message says what to do about it
- 130: Ctrl+C before it was done, as shells count it; to a server it is the way to stop, and 0
"""

import os
from dataclasses import dataclass

from server.settings import Settings

DONE = 0
NOT_WELL = 1
ASKED_WRONGLY = 2
IN_THE_WAY = 3
INTERRUPTED = 130


@dataclass
class Stop(Exception):
    """Ends the command with a sentence for people instead of a traceback."""

    message: str
    exit_code: int = IN_THE_WAY

    def __str__(self) -> str:
        return self.message


def settings_with(**options: object) -> Settings:
    """The environment's settings, where an option that was given wins over its variable."""
    given = {f"LINLI_{name.upper()}": str(value) for name, value in options.items() if value is not None}
    return Settings.from_environment({**os.environ, **given})
