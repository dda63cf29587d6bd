"""SQL in the driver's own words, inside a session's transaction: for what every exchange asks.

A statement goes straight to the driver's cursor. SQLAlchemy's work around one costs about as much as storing three
visits, and an exchange asks fifteen. Errors are the driver's own, which server/database.py knows.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql
from sqlmodel import Session, SQLModel

ROWS_MAX = 64  # in one INSERT; twenty-odd columns each stay far below the 32,766 values that SQLite binds
# The column of this name is given as the bytes of its JSON: Python would copy Chinese text twice, to text and back.
JSON_COLUMN = "fields"
Row = Sequence[Any]
Values = Sequence[Any] | Mapping[str, Any]


def statements_of(session: Session) -> "Statements":
    """The transaction's own: one for each, because making it opens the transaction. Works that are committed together
    share it (`all_of` in server/database.py)."""
    found: Statements | None = session.info.get("statements")
    if found is None:
        found = session.info["statements"] = Statements(session.connection())
    return found


class Statements:
    """Values are bound by `?`, or by name as `:name`, on both engines. Nothing here commits.

    `feed_ends`: by community, what SqlStore knows of its feed, and nobody else can move before this transaction ends.
    """

    def __init__(self, connection: Connection) -> None:
        self.is_sqlite = connection.dialect.name == "sqlite"
        self.feed_ends: dict[int, Any] = {}
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

    def among(self, ids: Collection[bytes]) -> tuple[str, Sequence[Any]]:
        """What stands behind a column that is one of these, and the values to bind. PostgreSQL takes one array, spelled
        here: its driver takes every statement of more than fifty values apart anew, and an array value by value."""
        if self.is_sqlite:
            return f"IN ({', '.join('?' * len(ids))})", tuple(ids)
        spelled = ",".join([f'"\\\\x{each.hex()}"' for each in ids])
        return "= ANY(CAST(? AS bytea[]))", (f"{{{spelled}}}",)

    def run_each(self, statement: str, rows: Sequence[Row]) -> None:
        """Runs the statement for each row; does nothing without rows."""
        if rows:
            self._cursor.executemany(statement if self.is_sqlite else for_psycopg(statement), rows)

    def insert(self, table: str, columns: tuple[str, ...], rows: Sequence[Row]) -> None:
        """New rows, none is fine. PostgreSQL takes them as one COPY, in half the time of as many INSERTs; SQLite in one
        statement, because between two another thread may take Python's one lock and keep it for milliseconds. The
        driver keeps 128 of them prepared, about as many as pushes of up to fifty changes need."""
        if self.is_sqlite:
            for at in range(0, len(rows), ROWS_MAX):
                part = rows[at : at + ROWS_MAX]
                self._cursor.execute(insert_statement(table, columns, len(part)), list(chain.from_iterable(part)))
        elif rows:
            with self._cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(copied_types(table, columns))
                for row in rows:
                    copy.write_row(row)

    def update(self, table: str, columns: tuple[str, ...], rows: Sequence[Row], *, keys: int) -> None:
        """Rows found by their first `keys` columns, and the others set; none is fine."""
        by = " AND ".join(f"{column} = ?" for column in columns[:keys])
        settings = ", ".join(f"{column} = {place(column, is_sqlite=self.is_sqlite)}" for column in columns[keys:])
        statement = f"UPDATE {table} SET {settings} WHERE {by}"  # noqa: S608 -- our own names
        self.run_each(statement, [(*row[keys:], *row[:keys]) for row in rows])

    def _run(self, statement: str, values: Values) -> Any:
        if self.is_sqlite:
            return self._cursor.execute(statement, values)
        names = tuple(values) if isinstance(values, Mapping) else ()
        return self._cursor.execute(for_psycopg(statement, names), values)


@lru_cache(maxsize=1024)
def for_psycopg(statement: str, names: tuple[str, ...] = ()) -> str:
    statement = statement.replace("%", "%%")
    for name in names:
        statement = statement.replace(f":{name}", f"%({name})s")
    return statement if names else statement.replace("?", "%s")


@lru_cache(maxsize=2 * ROWS_MAX)
def insert_statement(table: str, columns: tuple[str, ...], rows: int) -> str:
    """SQLite's."""
    one = f"({', '.join(place(column, is_sqlite=True) for column in columns)})"
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([one] * rows)}"  # noqa: S608 -- our own names


def place(column: str, *, is_sqlite: bool) -> str:
    """Where a column's value is bound: text that comes as bytes is text all the same."""
    if column != JSON_COLUMN:
        return "?"
    return "CAST(? AS TEXT)" if is_sqlite else "convert_from(?, 'UTF8')"


@lru_cache
def copied_types(table: str, columns: tuple[str, ...]) -> list[str]:
    """What a binary COPY brings for each column; PostgreSQL reads the bytes of JSON as the text that they are."""
    found = SQLModel.metadata.tables[table].columns
    types = {name: found[name].type.compile(postgresql.dialect()).lower() for name in columns}  # type: ignore[no-untyped-call]
    return [*(types | {JSON_COLUMN: "bytea"}).values()]
