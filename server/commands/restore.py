"""Put a backup in the place of the database. The server must be stopped.

The backup is checked and brought to this release first; one of a newer release is refused. What it replaces is kept
beside it. A new epoch begins: phones notice at their next contact and send again what they sent in the last 30 days,
each visit once.
"""

import argparse
from pathlib import Path

from server.backup import BackupProblem, missing_photos, restore
from server.blobs.opening import blob_folder, open_store
from server.blobs.store import StoreTrouble
from server.commands import DONE, NOT_WELL, Stop, settings_with
from server.commands.backup import USE_PG_DUMP, database_file
from server.lock import owned_data
from server.logs import configure_logging
from server.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", type=Path, help="a file that ./linli backup made")


def run(arguments: argparse.Namespace) -> int:
    settings = settings_with()
    configure_logging(settings.log_level)
    if not settings.is_sqlite:
        raise Stop(USE_PG_DUMP)
    with owned_data(settings):
        try:
            found, replaced = restore(arguments.path.absolute(), database_file(settings))
        except BackupProblem as problem:
            raise Stop(f"{problem} Nothing was changed.", NOT_WELL) from problem
    print(f"{arguments.path} is the database now, in a new epoch.")
    print("\n".join(found.lines()))
    print("\n".join(missing_lines(settings)))
    if replaced:
        print(f"What was there is kept: {replaced}")
    print("Phones send again what they sent since the backup, at their next contact.")
    print(
        "What coordinators did since is gone: phones switched off, reviews, rounds. Look through /coordinator/devices."
    )
    return DONE


def missing_lines(settings: Settings) -> list[str]:
    try:
        missing = missing_photos(database_file(settings), open_store(settings))
    except StoreTrouble as trouble:
        return [f"Whether its photos and voice notes are all there could not be seen: {trouble}."]
    if not missing:
        return ["Its photos and voice notes are all there."]
    where = f"bucket {settings.s3_bucket}" if settings.s3_endpoint else str(blob_folder(settings))
    return [f"{missing} photos and voice notes are missing. Put their copies back: {where}"]
