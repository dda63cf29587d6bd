"""Copy the database to a file, verified, whether or not the server is running.

The copy is checked before it gets its name: every page, the number of rows, the whole audit chain. Nothing is
overwritten. It holds people's data and the server's keys: keep it where only you can read it. Photos and voice notes
lie in files of their own: the last lines say where, and how many.
"""

import argparse
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

from server.backup import BackupProblem, Summary, back_up, photo_lines
from server.commands import DONE, NOT_WELL, Stop, settings_with
from server.commands.invite import ask
from server.commands.migrate import refuse_old_database
from server.lock import DataInUse, Holder, owned_data
from server.logs import configure_logging
from server.settings import Settings

USE_PG_DUMP = (
    "PostgreSQL makes its own backups: pg_dump --format=custom --file=linli.dump DATABASE. "
    "After pg_restore, and before serving again: ./linli epoch --new"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", type=Path, help="the file to make, for example backups/2026-11-23.db")


def run(arguments: argparse.Namespace) -> int:
    settings = settings_with()
    configure_logging(settings.log_level)
    if not settings.is_sqlite:
        raise Stop(USE_PG_DUMP)
    target = arguments.path.absolute()
    try:
        with owned_data(settings):
            refuse_old_database(settings)
            lines = back_up_here(settings, target).lines()
    except DataInUse as use:
        lines = back_up_there(use.holder, target)
    print("\n".join([f"{target} is made and verified.", *lines, *photo_lines(settings)]))
    return DONE


def back_up_here(settings: Settings, target: Path) -> Summary:
    try:
        return back_up(database_file(settings), target)
    except BackupProblem as problem:
        raise Stop(str(problem), NOT_WELL) from problem


def back_up_there(holder: Holder, target: Path) -> list[str]:
    """Asks the server that owns the data."""
    if not holder.url:
        raise Stop("another command is using the data. Try again in a moment.")
    answer: dict[str, Any] | None = ask(holder, "/operator/backup", {"path": str(target)}, timeout=3600)
    if answer is None or "problem" in answer:
        raise Stop(answer["problem"] if answer else "the server does not make backups", NOT_WELL)
    return list(answer["lines"])


def database_file(settings: Settings) -> Path:
    return Path(make_url(settings.database_url).database or "").absolute()
