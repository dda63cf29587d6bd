"""sync.Store on SQL: the same statements on SQLite and PostgreSQL.

Statements go through SQLAlchemy Core on the session's connection, not through mapped objects: a push of fifty visits
is a handful of statements, and mapped objects would cost ten times as much (SYNC.md 5). Nothing here commits.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import and_, case, func, insert, literal, or_, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.sql import Select
from sqlmodel import Session, SQLModel

from server import models
from sync.changes import HistoryEntry, Outcome, Record, Result, canonical
from sync.store import VISITS_KEPT, Entry, Grant, Known, Position, Slice


def table(model: type[SQLModel]) -> Any:
    return model.__table__  # type: ignore[attr-defined]  # SQLModel does not declare it


RECORD = table(models.Record)
CHANGE = table(models.Change)
GRANT = table(models.Grant)
FEED = table(models.Feed)
COMMUNITY = table(models.Community)


class SqlStore:
    """The contract of sync.store.Store over one session, inside the caller's transaction."""

    def __init__(self, session: Session) -> None:
        self._connection = session.connection()

    def known(self, community_id: int, change_ids: Collection[str]) -> Mapping[str, Known]:
        rows = self._connection.execute(
            select(CHANGE).where(CHANGE.c.community_id == community_id, CHANGE.c.change_id.in_(change_ids))
        ).mappings()
        return {row["change_id"]: known_from(row) for row in rows}

    def records(self, community_id: int, record_ids: Collection[str]) -> Mapping[str, Record]:
        rows = self._connection.execute(
            select(RECORD).where(RECORD.c.community_id == community_id, RECORD.c.record_id.in_(record_ids))
        ).mappings()
        return {row["record_id"]: record_from(row) for row in rows}

    def histories(self, community_id: int, record_ids: Collection[str]) -> Mapping[str, Sequence[HistoryEntry]]:
        rows = self._connection.execute(
            select(CHANGE.c.record_id, CHANGE.c.change_id, CHANGE.c.device_id, CHANGE.c.revision, CHANGE.c.fields)
            .where(CHANGE.c.community_id == community_id, CHANGE.c.record_id.in_(record_ids), CHANGE.c.revision > 0)
            .order_by(CHANGE.c.revision)
        )
        histories: dict[str, list[HistoryEntry]] = {record_id: [] for record_id in record_ids}
        for record_id, change_id, device_id, revision, fields in rows:
            histories[record_id].append(HistoryEntry(change_id, device_id, revision, json.loads(fields)))
        return histories

    def grants(self, community_id: int, person_id: str, scope_ids: Collection[str]) -> Mapping[str, Grant]:
        rows = self._connection.execute(
            select(GRANT)
            .where(
                GRANT.c.community_id == community_id,
                GRANT.c.person_id == person_id,
                GRANT.c.scope_id.in_([scope_id for scope_id in scope_ids if len(scope_id) == 36]),
            )
            .order_by(GRANT.c.revision)
        ).mappings()
        return {row["scope_id"]: grant_from(row) for row in rows}

    def take_places(self, community_id: int, count: int) -> int:
        head: int = self._connection.execute(
            update(FEED)
            .where(FEED.c.community_id == community_id)
            .values(head=FEED.c.head + count)
            .returning(FEED.c.head)
        ).scalar_one()
        return head - count + 1

    def append(self, community_id: int, entries: Sequence[Entry]) -> None:
        self._connection.execute(insert(CHANGE), [change_row(community_id, entry) for entry in entries])
        latest = {entry.record.record_id: entry.record for entry in entries if entry.record is not None}
        if not latest:
            return
        there = set(
            self._connection.execute(
                select(RECORD.c.record_id).where(RECORD.c.community_id == community_id, RECORD.c.record_id.in_(latest))
            ).scalars()
        )
        new = [record_row(community_id, record) for record in latest.values() if record.record_id not in there]
        if new:
            self._connection.execute(insert(RECORD), new)
        for record_id in there:
            self._connection.execute(
                update(RECORD)
                .where(RECORD.c.community_id == community_id, RECORD.c.record_id == record_id)
                .values(record_row(community_id, latest[record_id]))
            )

    def head(self, community_id: int) -> int:
        found: int = self._connection.execute(
            select(FEED.c.head).where(FEED.c.community_id == community_id)
        ).scalar_one()
        return found

    def epoch(self, community_id: int) -> str:
        found: str = self._connection.execute(
            select(COMMUNITY.c.epoch).where(COMMUNITY.c.id == community_id)
        ).scalar_one()
        return found

    def slice(self, community_id: int, person_id: str, after: Position, limit: int) -> Slice:
        head = self.head(community_id)
        seen = visible(community_id, person_id, after.seen_revision).subquery()
        beyond = or_(
            seen.c.place > after.revision,
            and_(seen.c.place == after.revision, seen.c.record_id > after.record_id)
            if after.record_id
            else literal(False),
        )
        rows = (
            self._connection.execute(
                select(seen).where(beyond).order_by(seen.c.place, seen.c.record_id).limit(limit + 1)
            )
            .mappings()
            .all()
        )
        is_complete = len(rows) <= limit
        taken = rows[:limit]
        end = (
            Position(max(head, after.revision)) if is_complete else Position(taken[-1]["place"], taken[-1]["record_id"])
        )
        purge = self._connection.execute(
            select(GRANT.c.scope_id)
            .where(
                GRANT.c.community_id == community_id,
                GRANT.c.person_id == person_id,
                GRANT.c.ended_revision > after.revision,
                GRANT.c.ended_revision <= end.revision,
                GRANT.c.scope_id.not_in(active_scopes(community_id, person_id)),
            )
            .order_by(GRANT.c.scope_id)
        ).scalars()
        return Slice([record_from(row) for row in taken], list(dict.fromkeys(purge)), end, is_complete)

    def count(self, community_id: int, person_id: str) -> int:
        seen = visible(community_id, person_id, 0).subquery()
        found: int = self._connection.execute(select(func.count()).select_from(seen)).scalar_one()
        return found


def active_scopes(community_id: int, person_id: str) -> Select[Any]:
    """The scopes this person holds now: the one condition under which anything of a household may be read."""
    return select(GRANT.c.scope_id).where(
        GRANT.c.community_id == community_id, GRANT.c.person_id == person_id, GRANT.c.ended_revision == 0
    )


def visible(community_id: int, person_id: str, seen_revision: int) -> Select[Any]:
    """Every record in the person's scope that a phone which saw the feed up to `seen_revision` may lack, with its place:
    the later of the record's revision and the grant's. A scope granted since brings only its last visits."""
    place = case((RECORD.c.revision > GRANT.c.revision, RECORD.c.revision), else_=GRANT.c.revision)
    nth_newest = func.row_number().over(
        partition_by=(RECORD.c.scope_id, RECORD.c.kind), order_by=(RECORD.c.made_at.desc(), RECORD.c.record_id.desc())
    )
    ranked = (
        select(RECORD, place.label("place"), GRANT.c.revision.label("granted"), nth_newest.label("nth_newest"))
        .join(GRANT, and_(GRANT.c.community_id == RECORD.c.community_id, GRANT.c.scope_id == RECORD.c.scope_id))
        .where(
            RECORD.c.community_id == community_id,
            GRANT.c.community_id == community_id,
            GRANT.c.person_id == person_id,
            GRANT.c.ended_revision == 0,
            or_(RECORD.c.revision >= seen_revision, GRANT.c.revision >= seen_revision),
        )
        .subquery()
    )
    return select(ranked).where(
        or_(ranked.c.kind != "visit", ranked.c.granted <= seen_revision, ranked.c.nth_newest <= VISITS_KEPT)
    )


# Rows


def known_from(row: RowMapping) -> Known:
    base: int | str = int(row["base"]) if row["base"].isdigit() else row["base"]
    content = canonical(
        [
            row["kind"],
            row["record_id"],
            row["action"],
            base,
            json.loads(row["fields"]),
            row["made_at"],
            row["schema_version"],
        ]
    )
    return Known(
        content, Result(row["change_id"], Outcome(row["outcome"]), row["revision"], row["code"], row["detail"])
    )


def record_from(row: RowMapping) -> Record:
    return Record(
        kind=row["kind"],
        record_id=row["record_id"],
        revision=row["revision"],
        scope_id=row["scope_id"],
        author_id=row["author_id"],
        author_name=row["author_name"],
        made_at=row["made_at"],
        received_at=row["received_at"],
        is_void=bool(row["is_void"]),
        fields=json.loads(row["fields"]),
    )


def grant_from(row: RowMapping) -> Grant:
    return Grant(row["person_id"], row["scope_id"], row["revision"], row["ended_revision"], row["ended_at"])


def record_row(community_id: int, record: Record) -> dict[str, Any]:
    return {
        "community_id": community_id,
        "record_id": record.record_id,
        "kind": record.kind,
        "scope_id": record.scope_id,
        "revision": record.revision,
        "author_id": record.author_id,
        "author_name": record.author_name,
        "made_at": record.made_at,
        "received_at": record.received_at,
        "is_void": record.is_void,
        "fields": canonical(dict(record.fields)),
    }


def change_row(community_id: int, entry: Entry) -> dict[str, Any]:
    change, result = entry.change, entry.result
    conflicts = [{"field": each.field, "current": each.current, "proposed": each.proposed} for each in result.conflicts]
    return {
        "community_id": community_id,
        "change_id": change.change_id,
        "device_id": entry.author.device_id,
        "device_sequence": change.device_sequence,
        "person_id": entry.author.person_id,
        "person_name": entry.author.name,
        "kind": change.kind,
        "record_id": change.record_id,
        "action": change.action.value,
        "base": str(change.base),
        "fields": canonical(dict(change.set)),
        "made_at": change.made_at,
        "schema_version": change.schema,
        "received_at": entry.received_at,
        "outcome": result.outcome.value,
        "code": result.code,
        "detail": result.detail,
        "revision": result.revision,
        "conflicts": canonical(conflicts) if conflicts else "",
    }
