"""Counts what a page asks of the database: lists are held to a literal number, however long they are."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from server.database import Database


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

    event.listen(database.engine, "checkout", listen)
    event.listen(database.engine, "checkin", leave)
    try:
        yield seen
    finally:
        event.remove(database.engine, "checkout", listen)
        event.remove(database.engine, "checkin", leave)
