"""SQL in the driver's own words, inside a session's transaction: for what every exchange asks.

A statement goes straight to the driver's cursor. SQLAlchemy's work around one costs about as much as storing three
visits, and an exchange asks fifteen. Errors are the driver's own, which server/database.py knows.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlmodel import Session

Row = Sequence[Any]
Values = Sequence[Any] | Mapping[str, Any]


def statements_of(session: Session) -> "Statements":
    """The session's own: made once, because it opens the transaction."""
    found: Statements | None = session.info.get("statements")
    if found is None:
        found = session.info["statements"] = Statements(session)
    return found


class Statements:
    """Values are bound by `?`, or by name as `:name`, on both engines. Nothing here commits."""

    def __init__(self, session: Session) -> None:
        connection = session.connection()
        self.is_sqlite = connection.dialect.name == "sqlite"
        self._cursor: Any = connection.connection.cursor()

    def rows(self, statement: str, values: Values = ()) -> list[Row]:
        return self._run(statement, values).fetchall()  # type: ignore[no-any-return]

    def row(self, statement: str, values: Values = ()) -> Row:
        """The one row that there must be."""
        (row,) = self.rows(statement, values)
        return row

    def value(self, statement: str, values: Values = ()) -> Any:
        """The one value of the one row that there must be."""
        return self.row(statement, values)[0]

    def run(self, statement: str, values: Values = ()) -> None:
        self._run(statement, values)

    def run_each(self, statement: str, rows: Sequence[Row]) -> None:
        """Once for every row, none is fine."""
        if rows:
            self._cursor.executemany(statement if self.is_sqlite else for_psycopg(statement), rows)

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """New rows, none is fine. PostgreSQL takes them as one COPY, in half the time of as many INSERTs."""
        names = ", ".join(columns)
        if self.is_sqlite:
            self.run_each(f"INSERT INTO {table} ({names}) VALUES ({marks(columns)})", rows)  # noqa: S608 -- our own names
        elif rows:
            with self._cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)

    def _run(self, statement: str, values: Values) -> Any:
        if self.is_sqlite:
            return self._cursor.execute(statement, values)
        names = tuple(values) if isinstance(values, Mapping) else ()
        return self._cursor.execute(for_psycopg(statement, names), values)


@lru_cache(maxsize=1024)
def for_psycopg(statement: str, names: tuple[str, ...] = ()) -> str:
    for name in names:
        statement = statement.replace(f":{name}", f"%({name})s")
    return statement if names else statement.replace("?", "%s")


def marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))
