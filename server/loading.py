"""What a volunteer's page needs, loaded by name from the page table, through the volunteer's scope.

The twin of static/worker/pages.js: there the records come from the replica with the outbox laid over it, here from the
database. Both hand the template the same plain values.
"""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select
from sqlmodel import Session, col, select

from server.models import Record
from server.page_table import Load, Page
from server.scope import Principal, scoped
from server.search import finds
from sync.changes import is_id

Shown = dict[str, Any]


def load_page(
    session: Session, principal: Principal, page: Page, params: Mapping[str, str], query: Mapping[str, str]
) -> dict[str, Any] | None:
    """The records the page names, or None when one it cannot do without is not there or not this volunteer's."""
    known: dict[str, Any] = {**params, "query": query, "me": principal.person_id}
    loaded: dict[str, Any] = {}
    for load in page.loads:
        value = load_one(session, principal, load, known) if load.id else load_many(session, principal, load, known)
        if value is None and not load.may_be_gone:
            return None
        loaded[load.name] = known[load.name] = value
    return loaded


def load_one(session: Session, principal: Principal, load: Load, known: Mapping[str, Any]) -> Shown | None:
    record_id = resolve(load.id, known)
    if not is_id(record_id):
        return None
    statement = of_kind(load.kind).where(col(Record.record_id) == record_id)
    record = session.exec(scoped(principal, statement)).first()  # type: ignore[call-overload]
    return shown(record) if record else None


def load_many(session: Session, principal: Principal, load: Load, known: Mapping[str, Any]) -> Any:
    statement = of_kind(load.kind)
    if load.by == "household_id":
        statement = statement.where(col(Record.scope_id) == resolve(load.key, known))
    elif load.by == "author_id":
        statement = statement.where(col(Record.author_id) == resolve(load.key, known))
    records = [shown(record) for record in session.exec(scoped(principal, statement))]  # type: ignore[call-overload]
    if load.by not in ("", "household_id", "author_id"):
        wanted = resolve(load.key, known)
        records = [record for record in records if record.get(load.by) == wanted]
    if load.match:
        text = str(resolve(load.match, known) or "")
        records = [record for record in records if finds(record, text)]
    return arrange(load, records)


def arrange(load: Load, records: list[Shown]) -> Any:
    """A list, lists by group, or records by id: newest first unless the load names an order."""
    if load.order:
        records.sort(key=lambda record: (str(record.get(load.order, "")), record["id"]))
    else:
        records.sort(key=lambda record: (record["made_at"], record["id"]), reverse=True)
    if load.standing:
        records = [record for record in records if not record["is_void"]]
    if load.by_id:
        return {record["id"]: record for record in records}
    if not load.group:
        return records[: load.limit] if load.limit else records
    groups: dict[str, list[Shown]] = {}
    for record in records:
        value = record.get(load.group, "")
        for name in value if isinstance(value, list) else [value]:
            groups.setdefault(str(name), []).append(record)
    return {name: group[: load.limit] if load.limit else group for name, group in groups.items()}


def of_kind(kind: str) -> Select[Any]:
    return select(Record).where(col(Record.kind) == kind)


def resolve(key: str, known: Mapping[str, Any]) -> Any:
    """`household_id` is a part of the path, `visit.household_id` a field of a record loaded before."""
    name, _, field = key.partition(".")
    return (known[name] or {}).get(field) if field else known[name]


def shown(record: Record) -> Shown:
    """The record as templates see it: flat, with its state. On the server everything has arrived."""
    return {
        **json.loads(record.fields),
        "kind": record.kind,
        "id": record.record_id,
        "revision": record.revision,
        "author_id": record.author_id,
        "author_name": record.author_name,
        "made_at": record.made_at,
        "received_at": record.received_at,
        "is_void": bool(record.is_void),
        "base": str(record.revision),
        "state": {"name": "uploaded", "code": "", "at": record.received_at},
    }
