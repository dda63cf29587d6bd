"""Bring the database to this release's revision.

Makes the database where there is none. On SQLite the server must be stopped meanwhile; on PostgreSQL it may
go on: each migration suits the release that is still running.
"""

import argparse
from pathlib import Path
from urllib.parse import quote

from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, make_url

from server import migrations
from server.commands import DONE, Stop, settings_with
from server.lock import owned_data
from server.logs import configure_logging
from server.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def run(arguments: argparse.Namespace) -> int:
    settings = settings_with()
    configure_logging(settings.log_level)
    with owned_data(settings):
        before = current_revision(settings)
        migrations.upgrade(settings.database_url)
    after = current_revision(settings)
    print(f"already at {after}" if before == after else f"{before or 'nothing'} -> {after}")
    return DONE


def refuse_old_database(settings: Settings) -> None:
    current, head = current_revision(settings), migrations.head()
    if current != head:
        raise Stop(f"the database is at {current or 'nothing'}, this release needs {head}: ./linli migrate")


def current_revision(settings: Settings) -> str | None:
    """Only looks: an SQLite file that is not there is not made, and one that is there is opened read-only."""
    url = make_url(settings.database_url)
    if settings.is_sqlite:
        path = Path(url.database or "").absolute()
        if not path.exists():
            return None
        url = url.set(database=f"file:{quote(str(path))}", query={"mode": "ro", "uri": "true"})
    engine = create_engine(url, hide_parameters=True)
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()
