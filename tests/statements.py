"""Counts what a page asks of the database: lists are held to a literal number, however long they are."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import event

from server.database import Database


@contextmanager
def heard(database: Database, listen: Callable[..., None], leave: Callable[..., None]) -> Iterator[None]:
    """Each connection of the readers' that is taken meanwhile, and given back."""
    event.listen(database.engine, "checkout", listen)
    event.listen(database.engine, "checkin", leave)
    try:
        yield
    finally:
        event.remove(database.engine, "checkout", listen)
        event.remove(database.engine, "checkin", leave)


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """The SELECTs that reading sessions run on SQLite meanwhile, whoever spells them, with their values."""
    seen: list[str] = []

    def note(statement: str) -> None:
        if statement.lstrip().startswith("SELECT"):
            seen.append(statement)

    def listen(connection: Any, *others: Any) -> None:
        connection.set_trace_callback(note)

    def leave(connection: Any, *others: Any) -> None:
        connection.set_trace_callback(None)

    with heard(database, listen, leave):
        yield seen


@contextmanager
def bytes_read(database: Database) -> Iterator[list[int]]:
    """The bytes of each row that reading sessions are given meanwhile, on either database; PostgreSQL's driver is given all
    rows of a statement, whoever looks at them."""
    seen: list[int] = []

    def note(_: sqlite3.Cursor, row: tuple[Any, ...]) -> tuple[Any, ...]:
        seen.append(sum(len(value) for value in row if isinstance(value, str | bytes)))
        return row

    class Weighing(psycopg.Cursor[Any]):
        def execute(self, query: Any, *others: Any, **named: Any) -> Any:
            found = super().execute(query, *others, **named)
            if (result := self.pgresult) is not None:
                columns = range(result.nfields)
                values = ([result.get_value(at, column) or b"" for column in columns] for at in range(result.ntuples))
                seen.extend(sum(map(len, row)) for row in values)
            return found

    def listen(connection: Any, *others: Any) -> None:
        if database.is_sqlite:
            connection.row_factory = note
        else:
            connection.cursor_factory = Weighing

    def leave(connection: Any, *others: Any) -> None:
        if database.is_sqlite:
            connection.row_factory = None
        else:
            connection.cursor_factory = psycopg.Cursor

    with heard(database, listen, leave):
        yield seen
