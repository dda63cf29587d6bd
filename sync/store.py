"""The Store contract, and MemoryStore.

A Store keeps five things of a community: current records, the append-only history of changes, the grants that say who
sees which scope, the head of the feed, and the epoch. Everything between `accept` and its return happens in one transaction that
the caller owns; a Store never commits.
"""

import json
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, islice
from typing import Protocol, cast

from sync.changes import (
    SKEW_MS_MAX,
    Author,
    Change,
    Conflict,
    Fields,
    HistoryEntry,
    Outcome,
    Record,
    Result,
)

DESK_KINDS = frozenset({"decision"})  # no phone is sent them, whatever scope they name (PROTOCOL.md, 5)
PAGE_BYTES_LEAST = 64 * 1024
VISITS_KEPT = 3  # a phone keeps the last three visits of each household in its scope (PROTOCOL.md, 5)


@dataclass(frozen=True, slots=True)
class Known:
    """A change the store already answered: `Change.content()` as it was asked, and what became of it."""

    content: tuple[object, ...]
    result: Result

    @property
    def asked(self) -> Fields:
        """The fields that the change set."""
        _, _, _, _, fields, _, _ = self.content
        return cast(Fields, fields)

    def is_about(self, change: Change) -> bool:
        """Whether it was asked of the same record."""
        return self.content[:2] == (change.kind, change.record_id)


@dataclass(frozen=True, slots=True)
class Grant:
    """Who may see one scope, from a place in the feed until `ended_revision` (0 = still)."""

    person_id: str
    scope_id: str
    revision: int
    ended_revision: int = 0
    ended_at: int = 0  # server ms; a change made before it is still taken
    is_closed: bool = False  # the scope is a household that `is_closed`

    @property
    def is_active(self) -> bool:
        return self.ended_revision == 0


@dataclass(slots=True)
class Entry:
    """One line of the history: the change as asked, who asked, what became of it, and the record it led to.

    `fields` is the record's state afterwards, None when the change moved no record (it is held, or a discard).
    `revision` is its place in the feed, given when the whole batch has been judged (`Store.append`).
    """

    change: Change
    author: Author
    received_at: int
    outcome: Outcome
    code: str = ""
    detail: str = ""
    conflicts: tuple[Conflict, ...] = ()
    revision: int = 0
    fields: Fields | None = None
    before: Record | None = None
    scope_id: str = ""
    is_void: bool = False  # the record it led to is withdrawn

    def result(self) -> Result:
        return Result(self.change.change_id, self.outcome, self.revision, self.code, self.detail, self.conflicts)

    def told(self) -> HistoryEntry:
        """As Store.histories gives it."""
        change = self.change
        return HistoryEntry(
            change.change_id, self.author.device_id, self.revision, change.base, self.outcome, change.set
        )

    @property
    def made_at(self) -> int:
        """When the record was made, in ms UTC: what the phone said at its birth, but for a clock that is ahead by more than
        SKEW_MS_MAX. A visit dated years ahead would stay among its household's last three for as long. The change keeps what
        was said."""
        if self.before is not None:
            return self.before.made_at
        said = self.change.made_at
        return self.received_at if said - self.received_at > SKEW_MS_MAX else said

    def record(self) -> Record:
        """Only for an entry with fields. The author stays that of the record's birth."""
        change, before = self.change, self.before
        return Record(
            kind=change.kind,
            record_id=change.record_id,
            revision=self.revision,
            scope_id=self.scope_id,
            author_id=before.author_id if before else self.author.person_id,
            author_name=before.author_name if before else self.author.name,
            made_at=self.made_at,
            received_at=self.received_at,
            is_void=self.is_void,
            fields=self.fields or {},
        )


@dataclass(frozen=True, slots=True)
class Position:
    """A place in what one person sees: the later of the record's revision and the grant's, then the record's id."""

    revision: int
    record_id: str = ""

    @property
    def seen_revision(self) -> int:
        """The last place seen whole: in the middle of a place, the one before it."""
        return self.revision - 1 if self.record_id else self.revision

    def __lt__(self, other: "Position") -> bool:
        return self._order < other._order

    @property
    def _order(self) -> tuple[int, bool, str]:
        """Without a record id the place was seen whole, so that it stands behind every record of it."""
        return (self.revision, not self.record_id, self.record_id)


@dataclass(frozen=True, slots=True)
class Slice:
    """What a person may see after a position, in order. `is_complete` when nothing in scope lies beyond it."""

    records: Sequence[Record]
    purge: Sequence[str]  # scopes withdrawn since, even if granted again: what the phone has of them may be old
    end: Position
    is_complete: bool


class Store(Protocol):
    """What the engine asks of a database. One contract suite (tests/sync/store_contract.py) holds for every one."""

    def hold(self, community_id: int) -> None:
        """From here to the end of the transaction nobody else writes to this community: what is read now is what the
        change will be laid upon. Two pushes of one record must not both find it missing."""

    def known(self, community_id: int, change_ids: Collection[str]) -> Mapping[str, Known]:
        """Those of the given changes that were answered before."""

    def records(self, community_id: int, record_ids: Collection[str]) -> Mapping[str, Record]:
        """Those of the given records that there are, as they stand."""

    def histories(self, community_id: int, record_ids: Collection[str]) -> Mapping[str, Sequence[HistoryEntry]]:
        """The changes that moved each record (accepted, merged, conflict), in feed order; for each id that was asked for a
        list, perhaps an empty one."""

    def grants(self, community_id: int, person_id: str, scope_ids: Collection[str]) -> Mapping[str, Grant]:
        """The person's latest grant on each scope, active or ended."""

    def held(self, community_id: int, device_id: str, since: int) -> int:
        """How many of this device's changes are held that came at `since` (server ms) or later, whatever was decided about them."""

    def append(self, community_id: int, entries: Sequence[Entry]) -> None:
        """Writes history and current records, and gives each entry that moved its record (`fields`) the next place in the
        feed. Places follow commit order because the counter row stays locked until the transaction ends. A change id that
        is already there makes it raise the store's own error, never overwrite."""

    def head(self, community_id: int) -> int:
        """The last place given out, 0 before the first."""

    def epoch(self, community_id: int) -> str:
        """Of this life of the database; never empty."""

    def slice(self, community_id: int, person_id: str, after: Position, limit: int) -> Slice:
        """At most `limit` (1 or more) records of what the person may see behind `after`, in the order of Position; fewer where
        they are large (`page_length`). None of DESK_KINDS, here and in what follows."""

    def count(self, community_id: int, person_id: str) -> int:
        """How many records a first sync will bring."""

    def holdings(self, community_id: int, person_id: str) -> Sequence[tuple[str, int]]:
        """Ids and revisions, in any order, of what a phone's digest is made of: what `count` counts, but of visits only the last
        VISITS_KEPT of each scope."""


class MemoryStore:
    """The whole contract in dictionaries: the reference that the SQL stores are compared with, and the simulator's. Of one
    community: `community_id` is not looked at."""

    def __init__(self, epoch: str = "epoch-1") -> None:
        self._epoch = epoch
        self._head = 0
        self._records: dict[str, Record] = {}
        self._entries: dict[str, Entry] = {}
        self._grants: dict[tuple[str, str], Grant] = {}
        self._withdrawn: dict[int, Grant] = {}  # by the place at which each ended

    # Grants

    def grant(self, person_id: str, scope_id: str) -> None:
        current = self._grants.get((person_id, scope_id))
        if current is None or not current.is_active:
            self._grants[person_id, scope_id] = Grant(person_id, scope_id, self._next_place())

    def withdraw(self, person_id: str, scope_id: str, *, now: int) -> None:
        """`now`: the server's clock in ms UTC. Raises KeyError for what was never granted."""
        current = self._grants[person_id, scope_id]
        ended = replace(current, ended_revision=self._next_place(), ended_at=now)
        self._grants[person_id, scope_id] = ended
        self._withdrawn[ended.ended_revision] = ended

    # Store

    def hold(self, community_id: int) -> None:
        """One thread, one store: nobody else writes."""

    def known(self, community_id: int, change_ids: Collection[str]) -> Mapping[str, Known]:
        found = (self._entries[change_id] for change_id in change_ids if change_id in self._entries)
        return {entry.change.change_id: Known(entry.change.content(), entry.result()) for entry in found}

    def records(self, community_id: int, record_ids: Collection[str]) -> Mapping[str, Record]:
        return {record_id: self._records[record_id] for record_id in record_ids if record_id in self._records}

    def histories(self, community_id: int, record_ids: Collection[str]) -> Mapping[str, Sequence[HistoryEntry]]:
        histories: dict[str, list[HistoryEntry]] = {record_id: [] for record_id in record_ids}
        for entry in sorted(self._entries.values(), key=lambda entry: entry.revision):
            if entry.fields is not None and entry.change.record_id in histories:
                histories[entry.change.record_id].append(entry.told())
        return histories

    def grants(self, community_id: int, person_id: str, scope_ids: Collection[str]) -> Mapping[str, Grant]:
        found = [self._grants[person_id, scope_id] for scope_id in scope_ids if (person_id, scope_id) in self._grants]
        return {grant.scope_id: replace(grant, is_closed=self._is_closed(grant.scope_id)) for grant in found}

    def held(self, community_id: int, device_id: str, since: int) -> int:
        held = (entry for entry in self._entries.values() if entry.outcome is Outcome.HELD)
        return sum(1 for entry in held if entry.author.device_id == device_id and entry.received_at >= since)

    def append(self, community_id: int, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.change.change_id in self._entries:
                raise ValueError(f"change {entry.change.change_id} is already in the history")
            self._entries[entry.change.change_id] = entry
            if entry.fields is not None:
                entry.revision = self._next_place()
                self._records[entry.change.record_id] = entry.record()

    def head(self, community_id: int) -> int:
        return self._head

    def epoch(self, community_id: int) -> str:
        return self._epoch

    def slice(self, community_id: int, person_id: str, after: Position, limit: int) -> Slice:
        placed = sorted(self._visible(person_id, after), key=lambda pair: (pair[0].revision, pair[0].record_id))
        beyond = [pair for pair in placed if after < pair[0]]
        taken = beyond[: page_length(limit, (len(json.dumps(record.fields)) for _, record in beyond))]
        is_complete = len(taken) == len(beyond)
        end = Position(max(self._head, after.revision)) if is_complete else taken[-1][0]
        purge = {
            grant.scope_id
            for grant in self._withdrawn.values()
            if grant.person_id == person_id and after.revision < grant.ended_revision <= end.revision
        }
        return Slice([record for _, record in taken], sorted(purge), end, is_complete)

    def count(self, community_id: int, person_id: str) -> int:
        return sum(1 for _ in self._visible(person_id, Position(0)))

    def holdings(self, community_id: int, person_id: str) -> Sequence[tuple[str, int]]:
        visible = self._visible(person_id, Position(0), with_sent_back=False)
        return [(record.record_id, record.revision) for _, record in visible]

    def _next_place(self) -> int:
        self._head += 1
        return self._head

    def _is_closed(self, scope_id: str) -> bool:
        record = self._records.get(scope_id)
        return record is not None and record.kind == "household" and record.fields.get("is_closed") is True

    def _visible(
        self, person_id: str, after: Position, *, with_sent_back: bool = True
    ) -> Iterable[tuple[Position, Record]]:
        """What the person may see, each with its place for her, from the last place that she has not seen whole."""
        active = {
            grant.scope_id: grant for grant in self._grants.values() if grant.person_id == person_id and grant.is_active
        }
        has_new_scope = any(grant.revision > after.seen_revision for grant in active.values())
        newest = newest_visits(self._records.values()) if has_new_scope else set()
        for record in self._records.values():
            grant = active.get(record.scope_id) if record.kind not in DESK_KINDS else None
            if grant is None or (place := max(record.revision, grant.revision)) <= after.seen_revision:
                continue
            # A page that ended within the grant's own place may have brought this visit before it changed.
            was_begun = grant.revision == after.revision < record.revision and record.record_id <= after.record_id
            is_new_scope = grant.revision > after.seen_revision and not was_begun
            is_older = record.kind == "visit" and is_new_scope and record.record_id not in newest
            if is_older and not (with_sent_back and is_sent_back(record)):
                continue
            yield Position(place, record.record_id), record


def page_length(limit: int, sizes: Iterable[int]) -> int:
    """How many of the next records make a page: at most `limit`, and of their fields' JSON (`sizes`, in bytes) no more KB
    than that, or PAGE_BYTES_LEAST; always one. A phone on a slow line asks for fewer records, and so for fewer bytes: what
    others wrote at its doors can keep no answer from it."""
    so_far = list(accumulate(islice(sizes, limit)))
    return max(1, bisect_right(so_far, max(limit * 1024, PAGE_BYTES_LEAST)))


def is_sent_back(visit: Record) -> bool:
    """It waits for its author, however many came after it."""
    is_due = visit.fields.get("review_state") == "sent_back" and not visit.fields.get("review_outdated")
    return is_due and not visit.is_void


def newest_visits(records: Iterable[Record]) -> set[str]:
    """The ids of the last VISITS_KEPT visits of each scope: all that a newly granted scope brings along."""
    by_scope: dict[str, list[Record]] = {}
    for record in records:
        if record.kind == "visit":
            by_scope.setdefault(record.scope_id, []).append(record)
    newest: set[str] = set()
    for visits in by_scope.values():
        visits.sort(key=lambda visit: (visit.made_at, visit.record_id), reverse=True)
        newest.update(visit.record_id for visit in visits[:VISITS_KEPT])
    return newest
