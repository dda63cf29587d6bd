"""Show every setting and say what is not well.

Exit code 1 when something would keep the server from serving well; each such line says what to do.
Lines marked `note` are good to know. Passwords are shown as stars.
"""

import argparse
import dataclasses
import platform
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy.exc import SQLAlchemyError

from server import migrations
from server.blobs.opening import blob_folder, open_store
from server.blobs.store import StoreTrouble
from server.commands import DONE, NOT_WELL, browsers, settings_with
from server.commands.migrate import current_revision
from server.lock import DataInUse, holder_of
from server.logs import configure_logging
from server.settings import Settings, variable

FREE_BYTES_MIN = 1_000_000_000
NETWORK_FILESYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs"}


@dataclass
class Finding:
    mark: Literal["ok", "note", "WRONG"]
    text: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    lines = [
        f"  {variable(field):<22} {field.metadata['about']}, e.g. {field.metadata['example']}"
        for field in dataclasses.fields(Settings)
    ]
    lines.append("  A secret may lie in a file instead: LINLI_DATABASE_URL_FILE names it.")
    parser.epilog = "The settings:\n" + "\n".join(lines)


def run(arguments: argparse.Namespace) -> int:
    settings = settings_with()
    configure_logging("error")  # what is not well is said below
    for name, value in settings.masked().items():
        print(f"{name:<22} {value}")
    print()
    findings = list(examine(settings))
    for finding in findings:
        print(f"{finding.mark:<5}  {finding.text}")
    return NOT_WELL if any(finding.mark == "WRONG" for finding in findings) else DONE


def examine(settings: Settings) -> Iterator[Finding]:
    yield Finding("ok", f"Python {platform.python_version()}")
    yield data_folder(settings.data_dir)
    yield free_space(settings.data_dir)
    if settings.is_sqlite:
        yield sqlite_version(sqlite3.sqlite_version_info)
        yield filesystem(settings.data_dir)
        yield owner(settings.data_dir)
    yield database(settings)
    yield photos(settings)
    yield public_address(settings)
    yield browser()


def data_folder(folder: Path) -> Finding:
    if not folder.exists():
        return Finding("note", f"{folder} does not exist yet; ./linli migrate makes it")
    try:
        with tempfile.TemporaryFile(dir=folder):
            return Finding("ok", f"{folder} can be written to")
    except OSError as error:
        return Finding("WRONG", f"{folder} cannot be written to ({error.strerror}). Give it to this user.")


def free_space(folder: Path) -> Finding:
    free = shutil.disk_usage(existing(folder)).free
    text = f"{free / 1e9:.1f} GB free"
    if free < FREE_BYTES_MIN:
        return Finding("WRONG", f"{text}. Make room: below 1 GB a bad day is near.")
    return Finding("ok", text)


def sqlite_version(version: tuple[int, ...]) -> Finding:
    """RELIABILITY.md 2.1, D2: two connections that write or checkpoint at once may lose pages."""
    name = f"SQLite {'.'.join(map(str, version))}"
    if has_wal_reset_fix(version):
        return Finding("ok", f"{name}, with the fix of the WAL-reset race")
    return Finding(
        "ok",
        f"{name} has the WAL-reset race (fixed in 3.51.3). It cannot happen here: single-writer mode, one "
        "process and one connection do every write and every checkpoint. Run no other checkpointer, "
        "Litestream included.",
    )


def has_wal_reset_fix(version: tuple[int, ...]) -> bool:
    return version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)


def filesystem(folder: Path) -> Finding:
    kind = filesystem_kind(existing(folder).resolve())
    if kind in NETWORK_FILESYSTEMS:
        return Finding("WRONG", f"{folder} lies on {kind}: SQLite is not safe there. Use a local disk.")
    if kind == "overlay":
        return Finding("note", f"{folder} lies in a container's own layer and goes with it. Mount a volume.")
    return Finding("ok", f"{folder} lies on {kind or 'a local disk'}")


def filesystem_kind(folder: Path) -> str | None:
    """The longest mount point that leads to the folder. Linux tells; elsewhere nothing is known."""
    mounts = Path("/proc/self/mounts")
    if not mounts.exists():
        return None
    fields = (line.split() for line in mounts.read_text(encoding="utf-8").splitlines())
    leading = [(len(point), kind) for _, point, kind, *_ in fields if folder.is_relative_to(point)]
    return max(leading)[1] if leading else None


def owner(folder: Path) -> Finding:
    try:
        holder = holder_of(folder)
    except OSError as error:
        return Finding("WRONG", f"{folder / 'linli.lock'} cannot be opened ({error.strerror})")
    return Finding("ok", str(DataInUse(folder, holder)) if holder else "no server is running on this data")


def database(settings: Settings) -> Finding:
    try:
        current, head = current_revision(settings), migrations.head()
    except SQLAlchemyError as error:
        kind = type(error).__name__
        return Finding("WRONG", f"the database does not answer ({kind}). Is its address right?")
    if current != head:
        at = current or "nothing"
        return Finding("WRONG", f"the database is at {at}, not at {head}: ./linli migrate")
    return Finding("ok", f"the database answers and is at {current}")


def photos(settings: Settings) -> Finding:
    if not settings.s3_endpoint:
        return Finding("ok", f"photos and voice notes lie in {blob_folder(settings)}")
    place = f"the bucket {settings.s3_bucket} at {settings.s3_endpoint}"
    try:
        open_store(settings).length("0" * 64)  # nobody's: only whether it answers
    except StoreTrouble as trouble:
        return Finding("WRONG", f"{place} cannot be used ({trouble}). Are its address and key right?")
    return Finding("ok", f"photos and voice notes lie in {place}")


def public_address(settings: Settings) -> Finding:
    if settings.public_url.startswith("https://"):
        return Finding("ok", f"phones can use {settings.public_url}")
    text = f"{settings.public_url} works on this machine only: phones need https, by a proxy"
    return Finding("note", text)


def browser() -> Finding:
    found = browsers.find_chromium()
    if found is None:
        return Finding("note", "no Chromium or Chrome; ./linli test would get one")
    return Finding("note", f"tests would drive {found}")


def existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(place for place in (folder, *folder.parents) if place.exists())
