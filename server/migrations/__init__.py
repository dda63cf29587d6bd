"""Schema migrations: `head()` is what this release needs, `current()` what the database has, `upgrade()` the way there.

Each migration carries its own small tables, never imports the models, and suits the release still running and the
phones still offline.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

HERE = Path(__file__).parent


def configuration(database_url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.set_main_option("sqlalchemy.url", database_url.replace("%", "%%"))
    return config


def head() -> str:
    return ScriptDirectory.from_config(configuration("")).get_current_head() or ""


def known() -> frozenset[str]:
    """Every migration that this release has."""
    return frozenset(script.revision for script in ScriptDirectory.from_config(configuration("")).walk_revisions())


def current(database_url: str) -> str:
    """The migration the database is at; "" for an empty one."""
    engine = create_engine(database_url)
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision() or ""
    finally:
        engine.dispose()


def upgrade(database_url: str) -> None:
    command.upgrade(configuration(database_url), "head")
