"""Households: how their people are spelled is kept with them, so that a phone finds them by letters."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlmodel import Session, col, select

from server.json_field import field_text, names_something
from server.models import Record
from server.rules import SCHEMA
from server.scope import Principal, scoped
from server.spelling import spellings
from server.store import SqlStore
from sync import changes
from sync.kinds import Role


def search_keys(fields: Mapping[str, Any]) -> list[str]:
    names = fields.get("members")
    spelled = (each for name in names or () if isinstance(name, str) for each in spellings(name))
    return list(dict.fromkeys(spelled))


def search_changes(
    session: Session, community_id: int, household_ids: Collection[str], now: int
) -> list[changes.Change]:
    """What the server must write so that the keys fit the members as they stand now, after merging."""
    store = SqlStore(session)
    records = store.records(community_id, household_ids).values()
    found = [(record, search_keys(record.fields)) for record in records]
    moved = [(record, keys) for record, keys in found if keys != (record.fields.get("search") or [])]
    return [spelled_anew(record, keys, now, store.new_id(community_id, record.record_id)) for record, keys in moved]


def spelled_anew(record: changes.Record, keys: list[str], now: int, change_id: str) -> changes.Change:
    return changes.Change(
        change_id=change_id,
        device_sequence=0,
        kind="household",
        record_id=record.record_id,
        action=changes.Action.PUT,
        base=record.revision,
        set={"search": keys},
        made_at=now,
        schema=SCHEMA,
    )


def households_without_keys(session: Session, community_id: int) -> Sequence[str]:
    """Those written before there were keys; who names nobody needs none."""
    server = Principal(Role.COORDINATOR, "", community_id, "")
    statement = select(Record.record_id).where(
        col(Record.kind) == "household",
        col(Record.fields).not_like('%"search":%'),
        names_something(field_text(col(Record.fields), "members")),
    )
    return session.exec(scoped(server, statement)).all()
