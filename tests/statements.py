"""Counts what a page asks of the database: lists are held to a literal number, however long they are."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from server.database import Database


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """The SELECTs that reading sessions run meanwhile."""
    seen: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *others: Any) -> None:
        if statement.startswith("SELECT"):
            seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(database.engine, "before_cursor_execute", note)
