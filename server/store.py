"""sync.Store on SQL: the same statements on SQLite and PostgreSQL.

Statements go through SQLAlchemy Core on the session's connection, not through mapped objects: a push of fifty visits
is a handful of statements, and mapped objects would cost ten times as much (SYNC.md 5). Nothing here commits.
"""

from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import and_, case, func, literal, or_, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.sql import Select
from sqlmodel import Session, SQLModel

from server import models
from server.audit import link
from server.identifiers import packed, spelled
from sync.changes import Action, HistoryEntry, Outcome, Record, Result
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
        self._mark = "?" if self._connection.dialect.name == "sqlite" else "%s"

    def known(self, community_id: int, change_ids: Collection[str]) -> Mapping[str, Known]:
        rows = self._rows_by_id("change", KNOWN_COLUMNS, "change_id", community_id, change_ids)
        return {(found := known_from(row)).result.change_id: found for row in rows}

    def records(self, community_id: int, record_ids: Collection[str]) -> Mapping[str, Record]:
        rows = self._rows_by_id("record", RECORD_COLUMNS[1:], "record_id", community_id, record_ids)
        return {(found := record_of(row)).record_id: found for row in rows}

    def _rows_by_id(
        self, name: str, columns: Sequence[str], key: str, community_id: int, ids: Collection[str]
    ) -> Sequence[Any]:
        """In the driver's own words, like the inserts: these two look-ups stand in front of every push."""
        keys = list(dict.fromkeys(ids))
        marks = ", ".join([self._mark] * len(keys))
        statement = f"SELECT {', '.join(columns)} FROM {name} WHERE community_id = {self._mark} AND {key} IN ({marks})"  # noqa: S608 -- our own names
        return self._connection.exec_driver_sql(statement, (community_id, *map(packed, keys))).all() if keys else ()

    def histories(self, community_id: int, record_ids: Collection[str]) -> Mapping[str, Sequence[HistoryEntry]]:
        rows = self._connection.execute(
            select(CHANGE.c.record_id, CHANGE.c.change_id, CHANGE.c.device_id, CHANGE.c.revision, CHANGE.c.fields)
            .where(CHANGE.c.community_id == community_id, CHANGE.c.record_id.in_(record_ids), CHANGE.c.revision > 0)
            .order_by(CHANGE.c.revision)
        )
        histories: dict[str, list[HistoryEntry]] = {record_id: [] for record_id in record_ids}
        for record_id, change_id, device_id, revision, fields in rows:
            histories[record_id].append(HistoryEntry(change_id, device_id, revision, msgspec.json.decode(fields)))
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
        """Inserts are written in the driver's own words: fifty rows in one call, with nothing between (SYNC.md 5)."""
        end = self._connection.execute(
            select(FEED.c.entries, FEED.c.chain).where(FEED.c.community_id == community_id).with_for_update()
        ).one()
        changes, chain = history_rows(community_id, entries, written=end.entries, chain=end.chain)
        self._insert(CHANGE_COLUMNS, "change", changes)
        self._connection.execute(
            update(FEED)
            .where(FEED.c.community_id == community_id)
            .values(entries=end.entries + len(entries), chain=chain)
        )
        latest = {entry.change.record_id: entry for entry in entries if entry.fields is not None}
        first = {entry.change.record_id: entry for entry in reversed(entries) if entry.fields is not None}
        new = [record_row(community_id, entry) for name, entry in latest.items() if first[name].before is None]
        moved = [record_row(community_id, entry) for name, entry in latest.items() if first[name].before is not None]
        if new:
            self._insert(RECORD_COLUMNS, "record", new)
        if moved:
            self._update_records(moved)

    def _insert(self, columns: Sequence[str], name: str, rows: list[tuple[Any, ...]]) -> None:
        places = ", ".join([self._mark] * len(columns))
        self._connection.exec_driver_sql(f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({places})", rows)  # noqa: S608 -- our own names

    def _update_records(self, rows: list[tuple[Any, ...]]) -> None:
        settings = ", ".join(f"{column} = {self._mark}" for column in RECORD_COLUMNS[2:])
        statement = f"UPDATE record SET {settings} WHERE community_id = {self._mark} AND record_id = {self._mark}"  # noqa: S608 -- our own names
        self._connection.exec_driver_sql(statement, [(*row[2:], *row[:2]) for row in rows])

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


KNOWN_COLUMNS = (
    "change_id", "kind", "record_id", "action", "base", "fields", "made_at", "schema_version", "outcome", "revision",
    "code", "detail",
)  # fmt: skip


def known_from(row: Sequence[Any]) -> Known:
    change_id, kind, record_id, action, base_text, fields, made_at, schema, outcome, revision, code, detail = row
    base: int | str = int(base_text) if base_text.isdigit() else base_text
    asked = (kind, spelled(bytes(record_id)), action, base, msgspec.json.decode(fields), made_at, schema)
    return Known(asked, Result(spelled(bytes(change_id)), Outcome(outcome), revision, code, detail))


def record_of(row: Sequence[Any]) -> Record:
    record_id, kind, scope_id, revision, author_id, author_name, made_at, received_at, is_void, fields = row
    return Record(
        kind=kind,
        record_id=spelled(bytes(record_id)),
        revision=revision,
        scope_id=spelled(bytes(scope_id)),
        author_id=spelled(bytes(author_id)),
        author_name=author_name,
        made_at=made_at,
        received_at=received_at,
        is_void=bool(is_void),
        fields=msgspec.json.decode(fields),
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
        fields=msgspec.json.decode(row["fields"]),
    )


def grant_from(row: RowMapping) -> Grant:
    return Grant(row["person_id"], row["scope_id"], row["revision"], row["ended_revision"], row["ended_at"])


RECORD_COLUMNS = (
    "community_id", "record_id", "kind", "scope_id", "revision", "author_id", "author_name", "made_at", "received_at",
    "is_void", "fields",
)  # fmt: skip
CHANGE_COLUMNS = (
    "community_id", "change_id", "device_id", "device_sequence", "person_id", "person_name", "kind", "record_id",
    "action", "base", "fields", "made_at", "schema_version", "received_at", "outcome", "code", "detail", "revision",
    "conflicts", "position", "digest", "chain",
)  # fmt: skip


def record_row(community_id: int, entry: Entry) -> tuple[Any, ...]:
    change, before = entry.change, entry.before
    return (
        community_id,
        packed(change.record_id),
        change.kind,
        packed(entry.scope_id),
        entry.revision,
        packed(before.author_id if before else entry.author.person_id),
        before.author_name if before else entry.author.name,
        before.made_at if before else change.made_at,
        entry.received_at,
        change.action is Action.VOID,
        text_of(entry.fields),
    )


def history_rows(
    community_id: int, entries: Sequence[Entry], *, written: int, chain: bytes
) -> tuple[list[tuple[Any, ...]], bytes]:
    """The lines of history, chained on from `chain`, and the chain's new end."""
    rows: list[tuple[Any, ...]] = []
    for position, entry in enumerate(entries, written + 1):
        change, author = entry.change, entry.author
        fields = text_of(change.set)
        digest = sha256(fields.encode()).digest()
        change_id, device_id, record_id = packed(change.change_id), packed(author.device_id), packed(change.record_id)
        person_id = packed(author.person_id)
        outcome = entry.outcome.value
        chain = link(
            chain,
            ids=(change_id, device_id, person_id, record_id),
            numbers=(position, entry.revision, entry.received_at),
            words=(change.action.value, outcome, entry.code),
            digest=digest,
        )
        rows.append((
            community_id, change_id, device_id, change.device_sequence, person_id, author.name, change.kind, record_id,
            change.action.value, str(change.base), fields, change.made_at, change.schema, entry.received_at, outcome,
            entry.code, entry.detail, entry.revision, conflicts_text(entry), position, digest, chain,
        ))  # fmt: skip
    return rows, chain


def conflicts_text(entry: Entry) -> str:
    if not entry.conflicts:
        return ""
    return text_of(
        [{"field": each.field, "current": each.current, "proposed": each.proposed} for each in entry.conflicts]
    )


def text_of(value: Any) -> str:
    return msgspec.json.encode(value).decode()
