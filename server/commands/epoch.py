"""Show the epoch, or start a new one after the database went back in time.

Needed after pg_restore, after a snapshot of the disk was put back, or when a replica that may lack its tail took over;
./linli restore does it by itself. Phones then send again what they sent in the last 30 days.
"""

import argparse

from server.clock import system_clock
from server.commands import DONE, settings_with
from server.commands.migrate import refuse_old_database
from server.database import open_database
from server.epoch import epochs, start_new_epoch
from server.lock import owned_data
from server.logs import configure_logging


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--new", action="store_true", help="start a new epoch")


def run(arguments: argparse.Namespace) -> int:
    settings = settings_with()
    configure_logging(settings.log_level)
    with owned_data(settings):
        refuse_old_database(settings)
        database = open_database(settings)
        try:
            if arguments.new:
                found = database.write(lambda session: start_new_epoch(session, system_clock()))
            else:
                found = database.read(epochs)
        finally:
            database.close()
    for community_id, epoch in found.items():
        print(f"community {community_id}: {epoch}{' (new)' if arguments.new else ''}")
    return DONE
