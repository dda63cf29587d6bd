"""One field of a JSON text column, in SQL, as text: the same on SQLite and PostgreSQL."""

from typing import Any

from sqlalchemy import ColumnElement, Text, func
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction


class field_text(GenericFunction[str]):
    """`field_text(column, "outcome")`: the value as text, a list as compact JSON, NULL when it is not there."""

    type = Text()
    inherit_cache = True
    name = "field_text"

    def __init__(self, column: Any, name: str) -> None:
        super().__init__(column, name)


@compiles(field_text, "sqlite")
def on_sqlite(element: field_text, compiler: SQLCompiler, **options: Any) -> str:
    column, name = element.clauses
    return f"CAST(json_extract({compiler.process(column, **options)}, '$.' || {compiler.process(name, **options)}) AS TEXT)"


@compiles(field_text, "postgresql")
def on_postgresql(element: field_text, compiler: SQLCompiler, **options: Any) -> str:
    column, name = element.clauses
    return (
        f"(CAST({compiler.process(column, **options)} AS json) ->> CAST({compiler.process(name, **options)} AS text))"
    )


def names_something(field: field_text) -> ColumnElement[bool]:
    """A list of codes that says more than nothing, or "none"."""
    return func.coalesce(field, "").not_in(("", "[]", '["none"]'))
