"""`sqlite+apsw:////path/linli.db?vfs=NAME`: the real Database of the server on an SQLite whose disk a test owns.

The standard library's sqlite3 lets nobody between SQLite and the disk; apsw does. SQLAlchemy is given the few calls of
apsw that Linli's code needs under the names that sqlite3 has for them. Nothing of the server is replaced: the same
Database, the same writer thread, the same pragmas and statements run on it.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import apsw
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import URL

Parameters = Sequence[Any] | Mapping[str, Any]

# What the server catches are SQLAlchemy's wraps of these.
Error = sqlite3.Error
InterfaceError = sqlite3.InterfaceError
DatabaseError = sqlite3.DatabaseError
OperationalError = sqlite3.OperationalError
IntegrityError = sqlite3.IntegrityError
ProgrammingError = sqlite3.ProgrammingError
DataError = sqlite3.DataError
InternalError = sqlite3.InternalError
NotSupportedError = sqlite3.NotSupportedError

# The same classes that CPython's Modules/_sqlite/util.c picks; every other error of the library is a DatabaseError.
OPERATIONAL = (
    apsw.SQLError,
    apsw.PermissionsError,
    apsw.AbortError,
    apsw.BusyError,
    apsw.LockedError,
    apsw.ReadOnlyError,
    apsw.InterruptError,
    apsw.IOError,
    apsw.FullError,
    apsw.CantOpenError,
    apsw.ProtocolError,
    apsw.EmptyError,
    apsw.SchemaChangeError,
)
INTEGRITY = (apsw.ConstraintError, apsw.MismatchError)


def translated(error: apsw.Error) -> sqlite3.Error:
    made = class_of(error)(str(error))
    made.sqlite_errorcode = getattr(error, "extendedresult", 0)  # 0: raised by a test's own disk
    return made


def class_of(error: apsw.Error) -> type[sqlite3.Error]:
    if isinstance(error, OPERATIONAL):
        return sqlite3.OperationalError
    if isinstance(error, INTEGRITY):
        return sqlite3.IntegrityError
    return sqlite3.DatabaseError


def call(work: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return work(*arguments)
    except apsw.Error as error:
        raise translated(error) from error


class Connection:
    isolation_level: str | None = None

    def __init__(self, path: str, *, vfs: str) -> None:
        self.inner: apsw.Connection = call(lambda: apsw.Connection(path, vfs=vfs))

    @property
    def total_changes(self) -> int:
        return self.inner.total_changes()

    def cursor(self) -> "Cursor":
        return Cursor(self)

    def commit(self) -> None:
        self._end("COMMIT")

    def rollback(self) -> None:
        self._end("ROLLBACK")

    def close(self) -> None:
        call(self.inner.close, True)

    def _end(self, how: str) -> None:
        if self.inner.in_transaction:
            call(self.inner.execute, how)


class Cursor:
    arraysize = 1
    lastrowid: int | None = None

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: list[tuple[Any, ...]] = []
        self.description: Sequence[Any] | None = None
        self.rowcount = -1

    def execute(self, statement: str, parameters: Parameters = ()) -> "Cursor":
        call(self._execute, statement, [parameters])
        return self

    def executemany(self, statement: str, rows: Iterable[Parameters]) -> "Cursor":
        call(self._execute, statement, list(rows))
        return self

    def _execute(self, statement: str, rows: list[Parameters]) -> None:
        inner = self._connection.inner
        before = inner.total_changes()
        self.description = None
        cursor = inner.cursor()
        cursor.exec_trace = self._note_columns
        self._rows = []
        for row in rows:
            self._rows.extend(cursor.execute(statement, row))
        self.rowcount = inner.total_changes() - before

    def _note_columns(self, cursor: apsw.Cursor, statement: str, parameters: object) -> bool:
        """Called while a statement stands ready, so that one without rows has its columns, too."""
        columns = cursor.get_description()
        self.description = [(name, None, None, None, None, None, None) for name, *_ in columns] or None
        return True

    def fetchone(self) -> tuple[Any, ...] | None:
        return self._rows.pop(0) if self._rows else None

    def fetchmany(self, size: int = 1) -> list[tuple[Any, ...]]:
        taken, self._rows = self._rows[:size], self._rows[size:]
        return taken

    def fetchall(self) -> list[tuple[Any, ...]]:
        taken, self._rows = self._rows, []
        return taken

    def close(self) -> None:
        self._rows = []


class Dialect(SQLiteDialect_pysqlite):
    driver = "apsw"
    supports_statement_cache = True

    @classmethod
    def import_dbapi(cls) -> Any:
        import tests.durability.apsw_driver as this_module  # itself, as a DB-API module

        return this_module

    def create_connect_args(self, url: URL) -> Any:
        options = {name: str(value) for name, value in url.query.items()}
        return [url.database], options

    def on_connect(self) -> None:  # type: ignore[override]  # none of the functions it would add is used
        return None


Binary = memoryview
paramstyle = "qmark"
sqlite_version_info = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))


def connect(path: str, *, vfs: str) -> Connection:
    return Connection(path, vfs=vfs)
