"""SQL in the driver's own words, inside a session's transaction: for what every exchange asks.

On SQLite a statement goes straight to the driver's cursor. There SQLAlchemy's work around one costs about as much as
storing three visits, and an exchange asks fifteen. Its errors are the driver's own, which server/database.py knows. On
PostgreSQL the wire costs more than that, and SQLAlchemy notices a lost connection for us.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlmodel import Session

Row = Sequence[Any]


def statements_of(session: Session) -> "Statements":
    """The session's own: made once, because it opens the transaction."""
    found: Statements | None = session.info.get("statements")
    if found is None:
        found = session.info["statements"] = Statements(session)
    return found


class Statements:
    """Values are bound by `?`, or by name as `:name`, on both engines. Nothing here commits."""

    def __init__(self, session: Session) -> None:
        self._connection = session.connection()
        self.is_sqlite = self._connection.dialect.name == "sqlite"
        self._cursor = self._connection.connection.cursor() if self.is_sqlite else None

    def rows(self, statement: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Row]:
        return self._run(statement, values).fetchall()  # type: ignore[no-any-return]

    def row(self, statement: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> Row:
        """The one row that there must be."""
        (row,) = self.rows(statement, values)
        return row

    def value(self, statement: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> Any:
        """The one value of the one row that there must be."""
        return self.row(statement, values)[0]

    def run(self, statement: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> None:
        self._run(statement, values)

    def run_each(self, statement: str, rows: Sequence[Row]) -> None:
        """Once for every row, none is fine."""
        if self._cursor is not None:
            self._cursor.executemany(statement, rows)
        elif rows:
            self._connection.exec_driver_sql(for_psycopg(statement), list(rows))

    def _run(self, statement: str, values: Sequence[Any] | Mapping[str, Any]) -> Any:
        if self._cursor is not None:
            return self._cursor.execute(statement, values)
        if isinstance(values, Mapping):
            for name in values:
                statement = statement.replace(f":{name}", f"%({name})s")
            return self._connection.exec_driver_sql(statement, dict(values))
        return self._connection.exec_driver_sql(for_psycopg(statement), tuple(values))


def for_psycopg(statement: str) -> str:
    return statement.replace("?", "%s")


def marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))
