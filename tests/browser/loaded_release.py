"""Imported by the process that warm servers are forked off (warm_server.py)."""

import server.commands.serve  # noqa: F401
from server.release import load_release

load_release()
