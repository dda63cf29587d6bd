"""Print the version.

With --json also what it runs on, for a report or a monitor.
"""

import argparse
import json
import platform
import sqlite3

from server.commands import DONE
from server.version import VERSION


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="version, Python, SQLite and system as JSON")


def run(arguments: argparse.Namespace) -> int:
    if arguments.json:
        print(json.dumps(versions()))
    else:
        print(f"linli {VERSION}")
    return DONE


def versions() -> dict[str, str]:
    return {
        "linli": VERSION,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "system": f"{platform.system()} {platform.machine()}",
    }
