"""Records as columns: what a page of a first sync looks like on the wire, at two thirds of the weight in gzip.

    {"visit": [{"id": A, "scope_id": S, "note": "x"}, {"id": B, "scope_id": S}]}

    {"ids": [A, S, B],
     "kinds": {"visit": {"values": {"note": ["x", null]}, "ids": {"id": [0, 2], "scope_id": [1, 1]}}}}

An id is random, so no compression helps it, and gzip forgets one that stood 32 KB ago: here each stands once, and is
named by its place in `ids` afterwards. A column holds ids when everything in it is one; null is what a record does not
have. Columns with one value all along cost next to nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sync.changes import is_id

Flat = Mapping[str, Any]  # a record as sync.protocol.encode_records writes it
Columns = dict[str, Any]
HOLES_MAX = 8  # times as many places as there are values


def to_columns(records: Mapping[str, Sequence[Flat]]) -> Columns:
    """`records` by kind. What is null in a record is left out of it by whoever reads the columns."""
    places: dict[str, int] = {}
    kinds = {}
    for kind, rows in records.items():
        values: dict[str, list[Any]] = {}
        ids: dict[str, list[int | None]] = {}
        for name in dict.fromkeys(name for row in rows for name in row if name != "kind"):
            column = [row.get(name) for row in rows]
            if all(value is None or is_id(value) for value in column):
                ids[name] = [None if value is None else places.setdefault(value, len(places)) for value in column]
            else:
                values[name] = column
        kinds[kind] = {"values": values, "ids": ids}
    return {"ids": list(places), "kinds": kinds}


def is_sparse(records: Mapping[str, Sequence[Flat]]) -> bool:
    """Whether as columns they would be holes above all: each field that any of a kind has takes a place in every one of
    them, so that a thousand records with names of their own would be a thousand times as large."""
    places = sum(len(rows) * len({name for row in rows for name in row}) for rows in records.values())
    return places > HOLES_MAX * sum(len(row) for rows in records.values() for row in rows)


def from_columns(columns: Columns) -> dict[str, list[dict[str, Any]]]:
    """The records by kind, as they were, but for what was null."""
    table = columns["ids"]
    records = {}
    for kind, of in columns["kinds"].items():
        rows: list[dict[str, Any]] = [{"kind": kind} for _ in of["ids"]["id"]]
        for name, values in of["values"].items():
            fill(rows, name, values)
        for name, places in of["ids"].items():
            fill(rows, name, [None if place is None else table[place] for place in places])
        records[kind] = rows
    return records


def fill(rows: Sequence[dict[str, Any]], name: str, values: Sequence[Any]) -> None:
    for row, value in zip(rows, values, strict=True):
        if value is not None:
            row[name] = value
