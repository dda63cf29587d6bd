"""Backups of an SQLite database: made while it is in use, verified before anybody is told, and put back.

    snapshot:  VACUUM INTO ──> integrity_check, counts, audit chain ──> fsync ──> its name
    put back:  copy ──> migrate ──> new epoch ──> verify ──> fsync ──> replaces the live file in one rename

VACUUM INTO reads one consistent moment over a connection of its own and holds no writer up. Nothing that exists is ever
overwritten: the file that is replaced stays beside the new one under another name.
"""

import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import create_engine
from sqlmodel import Session

from server import migrations
from server.audit import first_broken_line
from server.blobs.opening import blob_folder
from server.blobs.store import BlobStore
from server.epoch import start_new_epoch
from server.settings import Settings, sqlite_url


class BackupProblem(Exception):
    """Why it was not done, in a sentence. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What is in a database: rows by table, and by community the last line of history and its hash."""

    counts: dict[str, int]
    heads: dict[int, tuple[int, str]]

    def lines(self) -> list[str]:
        rows = [f"  {name:<12} {count}" for name, count in sorted(self.counts.items()) if count]
        heads = [
            f"  history of {community}: {line} lines, {chain[:16]}" for community, (line, chain) in self.heads.items()
        ]
        return [*rows, *heads]


def back_up(database: Path, target: Path) -> Summary:
    """Writes a verified copy. Raises BackupProblem; a copy that is not well does not get the name."""
    if target.exists():
        raise BackupProblem(f"{target} is there already; a backup overwrites nothing.")
    if not target.parent.is_dir():
        raise BackupProblem(f"{target.parent} is no folder.")
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with closing(connect(database)) as source:
            before = summary(source)
            source.execute("VACUUM INTO ?", (str(draft),))
            after = summary(source)
        draft.chmod(0o600)
        found = verify(draft)
        refuse_loss(found, before, after)
        settle(draft)
        os.link(draft, target)  # fails where a rename would overwrite
        settle(target.parent)
    except (sqlite3.Error, OSError) as error:
        raise BackupProblem(f"the backup could not be made: {error}.") from error
    finally:
        draft.unlink(missing_ok=True)
    return found


def restore(backup: Path, database: Path, *, now: datetime | None = None) -> tuple[Summary, Path | None]:
    """Puts the backup in the database's place, in a new epoch; the caller holds the data. Returns what it holds, and
    where the replaced database lies now. Raises BackupProblem before anything is replaced."""
    if not backup.is_file():
        raise BackupProblem(f"{backup} is no file.")
    now = now or datetime.now(UTC)
    draft = database.with_name(f"{database.name}.restoring")
    forget(draft)
    try:
        refuse_foreign(backup)
        shutil.copyfile(backup, draft)
        draft.chmod(0o600)
        verify(draft)
        migrations.upgrade(sqlite_url(draft))
        engine = create_engine(sqlite_url(draft))
        with Session(engine) as session, session.begin():
            start_new_epoch(session, int(now.timestamp() * 1000))
        engine.dispose()
        found = verify(draft)
        settle(draft)
        replaced = set_aside(database, now)
        draft.replace(database)
        settle(database.parent)
    except (sqlite3.Error, OSError) as error:
        raise BackupProblem(f"the backup could not be put back: {error}.") from error
    finally:
        forget(draft)
    return found, replaced


def photo_lines(settings: Settings) -> list[str]:
    """What a backup of the database does not hold, and how to keep it."""
    if settings.s3_endpoint:
        return [
            f"Photos and voice notes are not in it: they lie in the bucket {settings.s3_bucket}; back that up, too."
        ]
    folder = blob_folder(settings)
    sizes = [file.stat().st_size for file in folder.glob("*/*")]
    if not sizes:
        return []
    return [
        f"Not in it: {len(sizes)} photos and voice notes, {sum(sizes) / 1e6:.1f} MB. Copy their folder as well: {folder}",
        "None of them changes once it is written, so any program may copy them, after this and while the server runs.",
    ]


def missing_photos(database: Path, store: BlobStore) -> int:
    """How many the database knows of and the store has not got whole. Raises StoreTrouble."""
    with closing(connect(database)) as connection:
        known = connection.execute("SELECT DISTINCT sha256, length FROM blob_upload").fetchall()
    return sum(store.length(bytes(digest).hex()) != length for digest, length in known)


# Parts


def verify(database: Path) -> Summary:
    """Raises BackupProblem unless the file is whole and its history unbroken to the last line."""
    with closing(connect(database)) as connection:
        said = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
        if said != ["ok"]:
            raise BackupProblem(f"{database.name} is damaged: {said[0]}.")
        found = summary(connection)
    engine = create_engine(sqlite_url(database))
    try:
        with Session(engine) as session:
            for community in found.heads:
                if (line := first_broken_line(session, community)) is not None:
                    raise BackupProblem(f"{database.name}: the history of community {community} breaks at line {line}.")
    finally:
        engine.dispose()
    return found


def summary(connection: sqlite3.Connection) -> Summary:
    connection.execute("BEGIN")
    names = [str(row[0]) for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    counts = {
        name: int(connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0])  # noqa: S608 -- our own names
        for name in names
        if not name.startswith("sqlite_")
    }
    rows = connection.execute("SELECT community_id, entries, chain FROM feed ORDER BY community_id")
    heads = {int(row[0]): (int(row[1]), bytes(row[2]).hex()) for row in rows}
    connection.execute("COMMIT")
    return Summary(counts, heads)


def refuse_loss(copy: Summary, before: Summary, after: Summary) -> None:
    """History only grows: the copy holds at least what was there before, and at most what was there afterwards."""
    for community, (line, _) in before.heads.items():
        lines = (line, copy.heads.get(community, (-1, ""))[0], after.heads[community][0])
        if sorted(lines) != list(lines):
            raise BackupProblem(f"the copy has {lines[1]} lines of history, and there were {line}.")
    if before == after and copy != before:
        raise BackupProblem("the copy does not hold what the database holds.")


def refuse_foreign(backup: Path) -> None:
    with closing(connect(backup)) as connection:
        try:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.DatabaseError as error:
            raise BackupProblem(f"{backup} is no database of Linli ({error}).") from error
    if found is None or found[0] not in migrations.known():
        made = found[0] if found else "nothing"
        raise BackupProblem(
            f"{backup} is at {made}, which this release does not know. Put a newer release in place first."
        )


def set_aside(database: Path, now: datetime) -> Path | None:
    """Keeps the live database under another name. Its log is folded in first; where that fails, the log goes along, so
    that it never lies beside a file that it does not belong to."""
    aside = database.with_name(f"{database.name}.replaced-{now:%Y%m%dT%H%M%S.%f}")
    if not database.exists():
        set_log_aside(database, aside)
        return None
    try:
        with closing(sqlite3.connect(database, isolation_level=None)) as live:
            live.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            live.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error:
        set_log_aside(database, aside)
    os.link(database, aside)
    return aside


def set_log_aside(database: Path, aside: Path) -> None:
    for ending in ("-wal", "-shm"):
        log = database.with_name(database.name + ending)
        if log.exists():
            log.replace(aside.with_name(aside.name + ending))


def connect(path: Path) -> sqlite3.Connection:
    """Looks only; never checkpoints somebody else's log."""
    if not path.is_file():
        raise BackupProblem(f"{path} is no file.")
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


def settle(path: Path) -> None:
    """On the disk, not only on its way there."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def forget(draft: Path) -> None:
    for ending in ("", "-wal", "-shm", "-journal"):
        draft.with_name(draft.name + ending).unlink(missing_ok=True)
