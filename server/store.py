"""sync.Store on SQL: the same statements on SQLite and PostgreSQL.

A push of fifty visits is a dozen statements, written in the driver's own words: mapped objects would cost ten times as
much as the rows themselves, and building statements twice as much (SYNC.md 5). Ids are bound as their sixteen bytes.
Nothing here commits.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID, uuid5

import msgspec
from sqlalchemy import Select
from sqlmodel import Session, col, select

from server.audit import link
from server.identifiers import packed, spelled
from server.models import IS_CLOSED, NEEDS_ATTENTION
from server.models import Grant as GrantRow
from server.review import review_of
from server.statements import Row, statements_of
from sync.changes import HistoryEntry, Outcome, Record, Result, compared
from sync.store import DESK_KINDS, VISITS_KEPT, Entry, Grant, Known, Position, Slice, page_length

# What a person may see after `seen`: what moved in the scopes she held already, and the scopes she got since, whole but
# for older visits (unless one was sent back to its author, or a page that ended within the grant's own place brought it
# before it changed). A record's place for her is the later of its own revision and her grant's.
VISIBLE = """
    SELECT {columns}, r.revision AS place
      FROM scope_grant g
      JOIN record r ON r.community_id = g.community_id AND r.scope_id = g.scope_id AND r.revision > :seen
     WHERE g.community_id = :community AND g.person_id = :person AND g.ended_revision = 0 AND g.revision <= :seen
       AND r.kind NOT IN ({desk_kinds})
    UNION ALL
    SELECT {columns}, r.place
      FROM (SELECT r.*, g.revision AS granted,
                   CASE WHEN r.revision > g.revision THEN r.revision ELSE g.revision END AS place,
                   row_number() OVER (PARTITION BY r.scope_id, r.kind ORDER BY r.made_at DESC, r.record_id DESC) AS nth
              FROM scope_grant g
              JOIN record r ON r.community_id = g.community_id AND r.scope_id = g.scope_id
             WHERE g.community_id = :community AND g.person_id = :person AND g.ended_revision = 0
               AND g.revision > :seen AND r.kind NOT IN ({desk_kinds})) r
     WHERE r.kind <> 'visit' OR r.nth <= :kept{or_sent_back}
        OR (r.granted = :place AND r.revision > :place AND r.record_id <= :last_id)
""".replace("{desk_kinds}", ", ".join(f"'{kind}'" for kind in sorted(DESK_KINDS)))
PURGED = """
    SELECT DISTINCT g.scope_id FROM scope_grant g
     WHERE g.community_id = :community AND g.person_id = :person
       AND g.ended_revision > :after AND g.ended_revision <= :until
     ORDER BY g.scope_id
"""
BEYOND_EVERY_ID = b"\xff" * 17


class FeedEnd(NamedTuple):
    """The last place given out, how many lines of history there are, the end of their chain, and the epoch of all that."""

    head: int
    entries: int
    chain: bytes
    epoch: str


class SqlStore:
    """The contract of sync.store.Store over one session, inside the caller's transaction."""

    def __init__(self, session: Session) -> None:
        self._statements = statements_of(session)
        self._is_sqlite = self._statements.is_sqlite

    def hold(self, community_id: int) -> None:
        self._held_end(community_id)

    def holds(self, community_id: int) -> bool:
        """Whether nobody else has written to this community since the transaction began to look at it. On SQLite a writer
        has the whole file (BEGIN IMMEDIATE), and a reader sees one moment of it."""
        return self._is_sqlite or community_id in self._statements.feed_ends

    def known(self, community_id: int, change_ids: Collection[str]) -> Mapping[str, Known]:
        rows = self._rows_by_id("change", KNOWN_COLUMNS, "change_id", community_id, change_ids)
        return {(found := known_from(row)).result.change_id: found for row in rows}

    def records(self, community_id: int, record_ids: Collection[str]) -> Mapping[str, Record]:
        rows = self._rows_by_id("record", READ_COLUMNS, "record_id", community_id, record_ids)
        return {(found := record_from(row)).record_id: found for row in rows}

    def histories(self, community_id: int, record_ids: Collection[str]) -> Mapping[str, Sequence[HistoryEntry]]:
        histories: dict[str, list[HistoryEntry]] = {record_id: [] for record_id in record_ids}
        found = self._rows_by_id(
            "change", HISTORY_COLUMNS, "record_id", community_id, record_ids, which="AND revision > 0"
        )
        for record_id, revision, *told in found:  # without what is held, of which anybody may have sent any number
            histories[text_id(record_id)].append(history_entry_from(revision, *told))
        for history in histories.values():
            history.sort(key=lambda entry: entry.revision)
        return histories

    def grants(self, community_id: int, person_id: str, scope_ids: Collection[str]) -> Mapping[str, Grant]:
        spelled_by = {packed(scope_id): scope_id for scope_id in scope_ids}
        if not spelled_by:
            return {}
        among, keys = self._statements.among(spelled_by)
        rows = self._statements.rows(
            f"""
            SELECT g.scope_id, g.revision, g.ended_revision, g.ended_at, r.fields FROM scope_grant g
              LEFT JOIN record r {"INDEXED BY record_closed" if self._is_sqlite else ""}
                ON r.community_id = g.community_id AND r.record_id = g.scope_id AND {IS_CLOSED}
             WHERE g.community_id = ? AND g.person_id = ? AND g.scope_id {among} ORDER BY g.scope_id, g.revision
            """,  # noqa: S608 -- our own words
            (community_id, packed(person_id), *keys),
        )
        latest: dict[str, Grant] = {}
        for scope, revision, ended_revision, ended_at, household in rows:
            scope_id = spelled_by[bytes(scope)]
            latest[scope_id] = Grant(person_id, scope_id, revision, ended_revision, ended_at, is_closed(household))
        return latest

    def held(self, community_id: int, device_id: str, since: int) -> int:
        statement = f"""
            SELECT count(*) FROM change
             WHERE community_id = ? AND outcome = 'held' AND received_at >= ? AND device_id = ? AND {NEEDS_ATTENTION}
            """  # noqa: S608 -- our own words
        return int(self._statements.value(statement, (community_id, since, packed(device_id))))

    def take_place(self, community_id: int) -> int:
        """The next place in the feed, for a grant that is given or ended."""
        end = self._held_end(community_id)
        self._move(community_id, end._replace(head=end.head + 1))
        return end.head + 1

    def append(self, community_id: int, entries: Sequence[Entry]) -> None:
        head, written, chain, epoch = self._held_end(community_id)
        for entry in entries:
            if entry.fields is not None:
                head += 1
                entry.revision = head
        asked = [msgspec.json.encode(entry.change.set) for entry in entries]
        changes, chain = history_rows(community_id, entries, asked, written=written, chain=chain)
        self._statements.insert("change", CHANGE_COLUMNS, changes)
        self._move(community_id, FeedEnd(head, written + len(entries), chain, epoch))
        moved = [(entry, text) for entry, text in zip(entries, asked, strict=True) if entry.fields is not None]
        latest = {entry.change.record_id: record_row(community_id, entry, text) for entry, text in moved}
        new_ids = {entry.change.record_id for entry, _ in moved if entry.before is None}
        new = [row for record_id, row in latest.items() if record_id in new_ids]
        moved_on = [row for record_id, row in latest.items() if record_id not in new_ids]
        self._statements.insert("record", RECORD_COLUMNS, new)
        self._statements.update("record", RECORD_COLUMNS, moved_on, keys=2)

    def new_id(self, community_id: int, about_id: str) -> str:
        """For a change of the server's own about this record, in a held community. No phone can use it first: it is made of the
        end of the chain of history, which none is told, and the same history always has the same ids."""
        return str(uuid5(UUID(about_id), self._held_end(community_id).chain.hex()))

    def head(self, community_id: int) -> int:
        return self._feed_end(community_id).head

    def epoch(self, community_id: int) -> str:
        return self._feed_end(community_id).epoch

    def slice(self, community_id: int, person_id: str, after: Position, limit: int) -> Slice:
        head = self.head(community_id)
        if not after.record_id and after.revision >= head:  # seen all there is: most calls of a quiet day
            return Slice([], [], after, True)
        names = visibility(community_id, person_id, after) | {"limit": limit + 1}
        rows = self._statements.rows(NEXT_OF_SQLITE if self._is_sqlite else NEXT_RECORDS, names)
        taken = rows[: page_length(limit, (row[BYTES_AT] for row in rows))]
        is_complete = len(taken) == len(rows)
        records = StoredRecords(self._with_large(community_id, taken))
        all_seen = Position(max(head, after.revision))
        end = all_seen if is_complete else Position(taken[-1][PLACE_AT], text_id(taken[-1][0]))
        names = {"community": community_id, "person": packed(person_id), "after": after.revision, "until": end.revision}
        purge = [text_id(row[0]) for row in self._statements.rows(PURGED, names)]
        return Slice(records, purge, end, is_complete)

    def count(self, community_id: int, person_id: str) -> int:
        statement = f"SELECT count(*) FROM ({VISIBLE_IDS}) AS visible"  # noqa: S608 -- our own names
        return int(self._statements.value(statement, visibility(community_id, person_id, Position(0))))

    def first_sync(self, community_id: int, person_id: str) -> tuple[int, int]:
        """Households, and records in all, that a first sync of this person brings."""
        statement = f"SELECT count(CASE WHEN kind = 'household' THEN 1 END), count(*) FROM ({VISIBLE_KINDS}) AS visible"  # noqa: S608 -- our own names
        households, records = self._statements.row(statement, visibility(community_id, person_id, Position(0)))
        return households, records

    def holdings(self, community_id: int, person_id: str) -> Sequence[tuple[str, int]]:
        rows = self._statements.rows(VISIBLE_HOLDINGS, visibility(community_id, person_id, Position(0)))
        return [(text_id(row[0]), row[1]) for row in rows]

    # Statements

    def _with_large(self, community_id: int, rows: Sequence[Row]) -> Sequence[Row]:
        """The rows of NEXT_RECORDS, each with its fields. The large ones are read anew as a whole: on PostgreSQL another process
        may have moved one since."""
        if not (large := [text_id(row[0]) for row in rows if row[FIELDS_AT] is None]):
            return rows
        columns = (*READ_COLUMNS[:FIELDS_AT], "CAST(fields AS BLOB)" if self._is_sqlite else "fields")
        found = {row[0]: row for row in self._rows_by_id("record", columns, "record_id", community_id, large)}
        return [row if row[FIELDS_AT] is not None else (*found[row[0]], *row[PLACE_AT:]) for row in rows]

    def _rows_by_id(
        self, name: str, columns: Sequence[str], key: str, community_id: int, ids: Iterable[str], *, which: str = ""
    ) -> Sequence[Any]:
        if not (wanted := [packed(each) for each in dict.fromkeys(ids)]):
            return ()
        among, keys = self._statements.among(wanted)
        statement = f"SELECT {', '.join(columns)} FROM {name} WHERE community_id = ? AND {key} {among} {which}"  # noqa: S608 -- our own names
        return self._statements.rows(statement, (community_id, *keys))

    def _feed_end(self, community_id: int) -> FeedEnd:
        return self._held_end(community_id) if self.holds(community_id) else self._read_end(community_id)

    def _held_end(self, community_id: int) -> FeedEnd:
        """Read once: nobody else can move it before this transaction ends."""
        ends = self._statements.feed_ends
        if community_id not in ends:
            # Whoever holds one community waits for no other: two processes could each wait for the other's.
            lock = " FOR UPDATE OF f NOWAIT" if ends else " FOR UPDATE OF f"
            ends[community_id] = self._read_end(community_id, lock="" if self._is_sqlite else lock)
        end: FeedEnd = ends[community_id]
        return end

    def _read_end(self, community_id: int, *, lock: str = "") -> FeedEnd:
        head, entries, chain, epoch = self._statements.row(
            f"""
            SELECT f.head, f.entries, f.chain, c.epoch FROM feed f JOIN community c ON c.id = f.community_id
             WHERE f.community_id = ?{lock}
            """,  # noqa: S608 -- our own words
            (community_id,),
        )
        return FeedEnd(head, entries, bytes(chain), epoch)

    def _move(self, community_id: int, end: FeedEnd) -> None:
        self._statements.run(
            "UPDATE feed SET head = ?, entries = ?, chain = ? WHERE community_id = ?",
            (end.head, end.entries, end.chain, community_id),
        )
        self._statements.feed_ends[community_id] = end


def active_scopes(community_id: int, person_id: str) -> Select[Any]:
    """The scopes this person holds now: the one condition under which anything of a household may be read."""
    return select(GrantRow.scope_id).where(
        GrantRow.community_id == community_id, GrantRow.person_id == person_id, col(GrantRow.ended_revision) == 0
    )


def visibility(community_id: int, person_id: str, after: Position) -> dict[str, Any]:
    return {
        "community": community_id,
        "person": packed(person_id),
        "seen": after.seen_revision,
        "kept": VISITS_KEPT,
        "place": after.revision,
        "last_id": packed(after.record_id) if after.record_id else BEYOND_EVERY_ID,
    }


def is_closed(fields: str | None) -> bool:
    """What the index has preselected, the JSON decides."""
    return fields is not None and msgspec.json.decode(fields).get("is_closed") is True


def text_id(value: Any) -> str:
    return spelled(bytes(value))


# Rows


KNOWN_COLUMNS = (
    "change_id", "kind", "record_id", "action", "base", "fields", "made_at", "schema_version", "outcome", "revision",
    "code", "detail",
)  # fmt: skip


def known_from(row: Sequence[Any]) -> Known:
    change_id, kind, record_id, action, base_text, fields, made_at, schema, outcome, revision, code, detail = row
    told = compared(kind, msgspec.json.decode(fields))
    asked = (kind, text_id(record_id), action, base_from(base_text), told, made_at, schema)
    return Known(asked, Result(text_id(change_id), Outcome(outcome), revision, code, detail))


HISTORY_COLUMNS = ("record_id", "revision", "change_id", "device_id", "base", "outcome", "fields")


def history_entry_from(
    revision: int, change_id: bytes, device_id: bytes, base: str, outcome: str, fields: Any
) -> HistoryEntry:
    return HistoryEntry(
        change_id=text_id(change_id),
        device_id=text_id(device_id),
        revision=revision,
        base=base_from(base),
        outcome=Outcome(outcome),
        set=msgspec.json.decode(fields),
    )


def base_from(text: str) -> int | str:
    return int(text) if text.isdigit() else text


def as_bytes(stored: Any) -> bytes:
    """A record's fields as JSON: SQLite gives the bytes, PostgreSQL a text."""
    return stored if isinstance(stored, bytes) else stored.encode()


class StoredRecords(Sequence[Record]):
    """Rows of NEXT_RECORDS, read when somebody looks. To a phone they go as they are stored."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return StoredRecords(self._rows[at])
        return record_from(self._rows[at][: len(READ_COLUMNS)])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def wire(self) -> dict[str, msgspec.Raw]:
        """What sync.protocol.encode_records makes of them, as JSON, by kind. Bytes all the way: to make text of Chinese
        notes and bytes of it again costs as much as reading them."""
        by_kind: dict[str, list[bytes]] = {}
        for row in self._rows:
            record_id, kind, scope_id, revision, author_id, name, made_at, received_at, is_void, stored, _, _ = row
            pieces = by_kind.get(kind)
            if pieces is None:
                pieces = by_kind[kind] = []
            fields = as_bytes(stored)
            pieces.append(fields[:-1])
            pieces.append(
                f'{"," if len(fields) > len("{}") else ""}"id":"{spelled(record_id)}","revision":{revision},'
                f'"made_at":{made_at},"received_at":{received_at},"is_void":{"true" if is_void else "false"},'
                f"{shared_text(kind, scope_id, author_id, name)}}},".encode()
            )
        # Each record's last piece ends in a comma, and the last one of all becomes the bracket.
        return {kind: msgspec.Raw(b"".join((b"[", *pieces))[:-1] + b"]") for kind, pieces in by_kind.items()}


def record_from(row: Sequence[Any]) -> Record:
    record_id, kind, scope_id, revision, author_id, author_name, made_at, received_at, is_void, fields = row
    return Record(
        kind=kind,
        record_id=text_id(record_id),
        revision=revision,
        scope_id=text_id(scope_id),
        author_id=text_id(author_id),
        author_name=author_name,
        made_at=made_at,
        received_at=received_at,
        is_void=bool(is_void),
        fields=msgspec.json.decode(fields),
    )


@lru_cache(maxsize=4096)
def shared_text(kind: str, scope_id: bytes, author_id: bytes, author_name: str) -> str:
    """What the visits of one person at one door have in common."""
    return (
        f'"kind":{text_of(kind)},"scope_id":"{spelled(scope_id)}","author_id":"{spelled(author_id)}",'
        f'"author_name":{text_of(author_name)}'
    )


READ_COLUMNS = (
    "record_id", "kind", "scope_id", "revision", "author_id", "author_name", "made_at", "received_at", "is_void",
    "fields",
)  # fmt: skip
RECORD_COLUMNS = ("community_id", *READ_COLUMNS, "review")
OR_SENT_BACK = " OR r.review = 'sent_back'"
FIELDS_AT, PLACE_AT, BYTES_AT = range(READ_COLUMNS.index("fields"), len(READ_COLUMNS) + 2)
LARGE_BYTES = 2048  # fields that are larger are read when the page has room for them
VISIBLE_IDS = VISIBLE.format(columns="r.record_id", or_sent_back=OR_SENT_BACK)
# First which records, then the records: so that sorting them does not carry their text about.
NEXT_RECORDS = f"""
    SELECT {", ".join(f"r.{column}" for column in READ_COLUMNS[:FIELDS_AT])},
           CASE WHEN octet_length(r.fields) <= {LARGE_BYTES} THEN r.fields END, v.place, octet_length(r.fields)
      FROM (SELECT record_id, place FROM ({VISIBLE_IDS}) AS visible
             WHERE (place, record_id) > (:place, :last_id) ORDER BY place, record_id LIMIT :limit) v
      JOIN record r ON r.community_id = :community AND r.record_id = v.record_id
     ORDER BY v.place, v.record_id
"""  # noqa: S608 -- our own names
# The bytes as they lie there; and of bytes `length` counts them.
NEXT_OF_SQLITE = NEXT_RECORDS.replace("r.fields", "CAST(r.fields AS BLOB)").replace("octet_length", "length")
VISIBLE_KINDS = VISIBLE.format(columns="r.record_id, r.kind", or_sent_back=OR_SENT_BACK)
VISIBLE_HOLDINGS = VISIBLE.format(columns="r.record_id, r.revision", or_sent_back="")  # as a phone adds its own up
CHANGE_COLUMNS = (
    "community_id", "change_id", "device_id", "device_sequence", "person_id", "person_name", "kind", "record_id",
    "action", "base", "fields", "made_at", "schema_version", "received_at", "outcome", "code", "detail", "revision",
    "conflicts", "position", "digest", "chain",
)  # fmt: skip


def record_row(community_id: int, entry: Entry, asked: bytes) -> tuple[Any, ...]:
    """`asked`: the change's fields as JSON. A new record holds just these."""
    change, before = entry.change, entry.before
    is_void = entry.is_void
    return (
        community_id,
        packed(change.record_id),
        change.kind,
        packed(entry.scope_id),
        entry.revision,
        packed(before.author_id if before else entry.author.person_id),
        before.author_name if before else entry.author.name,
        entry.made_at,
        entry.received_at,
        is_void,
        asked if entry.fields is change.set else msgspec.json.encode(entry.fields),
        review_of(change.kind, entry.fields or {}, is_void=is_void),
    )


def history_rows(
    community_id: int, entries: Sequence[Entry], asked: Sequence[bytes], *, written: int, chain: bytes
) -> tuple[list[tuple[Any, ...]], bytes]:
    """The lines of history, chained on from `chain`, and the chain's new end."""
    rows: list[tuple[Any, ...]] = []
    for position, (entry, fields) in enumerate(zip(entries, asked, strict=True), written + 1):
        change, author = entry.change, entry.author
        digest = sha256(fields).digest()
        change_id, device_id, record_id = packed(change.change_id), packed(author.device_id), packed(change.record_id)
        person_id = packed(author.person_id)
        action, outcome = change.action.value, entry.outcome.value
        chain = link(
            chain,
            ids=(change_id, device_id, person_id, record_id),
            numbers=(position, entry.revision, entry.received_at),
            words=(action, outcome, entry.code),
            digest=digest,
        )
        rows.append((
            community_id, change_id, device_id, change.device_sequence, person_id, author.name, change.kind, record_id,
            action, str(change.base), fields, change.made_at, change.schema, entry.received_at, outcome,
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
