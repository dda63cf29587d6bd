"""The engine: accept a push, page a pull, over a Store. The order of the steps and nothing else.

    changes ─> known? ─> allowed? ─> merge(base, current, proposed) ─> places in the feed ─> history + records
                 │            └─> held, whole text kept, shown to a person
                 └─> again: the stored answer

`accept` runs inside one transaction owned by the caller and is safe to repeat: a change that was answered before is
answered `again` at its place, or held as before, so a lost reply costs nothing. One bad change never stops its neighbours.
The community is held from before the first look until the transaction ends (`Store.hold`), so that what is judged here is
what it is laid upon. Places are taken when all is judged.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from uuid import UUID, uuid5

from sync.changes import (
    UNREADABLE,
    Action,
    Author,
    Change,
    Conflict,
    Fields,
    Held,
    HistoryEntry,
    Outcome,
    Record,
    Result,
    canonical,
    is_id,
)
from sync.kinds import Kind, Role, Rule
from sync.merge import Merged, merge
from sync.replay import base_fields, touched_since
from sync.store import Entry, Grant, Known, Position, Slice, Store

UNPLACED = 2**62  # provisional revisions inside a batch, above any real one; replaced once places are taken
# What one device may have held: far more than anybody logs, and an end for a phone in the wrong hands.
HELD_MAX = 1_000
HELD_COUNTED_MS = 30 * 24 * 60 * 60_000


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a change is held, and the detail a person reads beside it: the name of a field or kind, a schema's number, or what
    could not be read; never what somebody typed."""

    code: Held
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the community decides, given to the engine as data and plain functions.

    `kinds` stand by their name. A change of a schema outside `schema_min` to `schema_max` is held. `check` looks at a change's
    fields (the form declarations) and `derive` gives the changes that follow from an accepted change (a need ticked in a
    visit opens a need, one that is unticked goes, another urgency is theirs). Both are pure, and are given the record as it
    stood before the change, None for a new one. `held_max`: of a device's changes that came within HELD_COUNTED_MS so
    many are held at most.
    """

    kinds: Mapping[str, Kind]
    schema_min: int
    schema_max: int
    check: Callable[[Change, Record | None], Refusal | None]
    derive: Callable[[Change, Record | None], Sequence[Change]]
    held_max: int = HELD_MAX


def accept(store: Store, rules: Rules, changes: Sequence[Change], *, author: Author, received_at: int) -> list[Result]:
    """Takes a batch and returns one result per change, in order.

    Promises: each change ends in exactly one of accepted, again, merged, conflict, held or later; held text is kept
    whole, and nothing of what is answered later; results are what the database will say once the caller commits, so
    answer only after that. `received_at` is the server's clock in ms UTC. A batch may be of any length, and name a record
    more than once: each change sees what those before it did. What the store raises goes through, and nothing of the
    batch may be committed then.
    """
    batch = _Batch(store, rules, author, received_at)
    return batch.run(changes)


def unreadable(*, change_id: str, device_sequence: int, code: Held, raw: str, detail: str = "") -> Change:
    """Something that came instead of a readable change. It is held whole like any refused change; an id that is no
    UUID is replaced by one made from the content, so that the same rubbish twice is kept once."""
    try:
        record_id = str(UUID(change_id))
    except ValueError:
        record_id = str(UUID(bytes=sha256(f"{change_id}\n{raw}".encode()).digest()[:16], version=5))
    return Change(
        change_id=record_id,
        device_sequence=device_sequence,
        kind=UNREADABLE,
        record_id=record_id,
        action=Action.PUT,
        base=0,
        set={"code": code.value, "detail": detail, "raw": raw},
        made_at=0,
        schema=1,
    )


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a pull. `total` is set on the first page of a first sync."""

    slice: Slice
    epoch: str
    is_reset: bool
    total: int | None


def page(store: Store, *, author: Author, epoch: str, after: Position | None, limit: int) -> Page:
    """The next records in this person's scope, at most `limit` of them. A cursor from another epoch, or none, starts from
    nothing. Whoever is revoked gets an empty page that says it is complete."""
    current_epoch = store.epoch(author.community_id)
    is_reset = after is None or epoch != current_epoch
    position = Position(0) if is_reset or after is None else after
    if author.is_revoked:
        return Page(Slice([], [], position, True), current_epoch, False, None)
    found = store.slice(author.community_id, author.person_id, position, limit)
    total = store.count(author.community_id, author.person_id) if is_reset else None
    return Page(found, current_epoch, is_reset, total)


def put_off(store: Store, *, author: Author, epoch: str, after: Position | None) -> Page | None:
    """An empty page that leaves the cursor where it is and says that there is more: under pressure a push is taken
    and its pull comes later. None for whoever must start from nothing or reads nothing: a page says so at once."""
    if after is None or author.is_revoked or epoch != store.epoch(author.community_id):
        return None
    return Page(Slice([], [], after, False), epoch, False, None)


def withheld(store: Store, *, author: Author, after: Position | None) -> Page:
    """Nothing, with the cursor where it is: for a device whose schema is older than those this server still sends."""
    return Page(Slice([], [], after or Position(0), True), store.epoch(author.community_id), False, None)


class _Batch:
    """The working state of one accept: what the store holds, with this batch's own changes laid over it.

    Fifty new visits are the common case and go straight through: no history is read, nothing is merged, and a record is
    looked at again inside the batch only when the batch names it twice or a change of it brings it along.
    """

    def __init__(self, store: Store, rules: Rules, author: Author, received_at: int) -> None:
        self._store = store
        self._rules = rules
        self._author = author
        self._received_at = received_at
        self._entries: dict[str, Entry] = {}  # by change id, in the order in which they take their places
        self._moved: dict[str, Entry] = {}  # by record id, the last change that moved it
        self._own_histories: dict[str, list[HistoryEntry]] = {}
        self._held_before: int | None = None  # of this device; asked when something is refused

    def run(self, changes: Sequence[Change]) -> list[Result]:
        community_id, author = self._author.community_id, self._author
        self._store.hold(community_id)
        self._known: Mapping[str, Known] = self._store.known(community_id, [change.change_id for change in changes])
        self._taken_in = self._taken_in_later()
        record_ids = [change.record_id for change in changes]
        self._repeated = {record_id for record_id, count in Counter(record_ids).items() if count > 1}
        self._records = dict(self._store.records(community_id, record_ids))
        stale = [change.record_id for change in changes if self._needs_history(change)]
        self._histories = self._store.histories(community_id, stale) if stale else {}
        self._grants: Mapping[str, Grant] = {}
        scopes = [self._scope_of(change) for change in changes]
        if author.role is Role.VOLUNTEER and not author.is_revoked:
            named = {scope for scope in scopes if scope}
            self._grants = self._store.grants(community_id, author.person_id, named) if named else {}
        answers = [self._answer(change, scope) for change, scope in zip(changes, scopes, strict=True)]
        if self._entries:
            self._store.append(community_id, list(self._entries.values()))
        return [answer.result() if isinstance(answer, Entry) else self._placed(answer) for answer in answers]

    # One change

    def _answer(self, change: Change, scope_id: str) -> Entry | Result:
        known = self._known.get(change.change_id)
        if known is None and (entry := self._entries.get(change.change_id)):
            known = Known(entry.change.content(), entry.result())
        if known is not None:
            if known.content != change.content():
                return self._hold_copy(change)
            taken = self._taken_in.get(taken_in_id(change.change_id)) if self._taken_in else None
            return Result(change.change_id, Outcome.AGAIN, taken.result.revision) if taken else again(known.result)
        if change.record_id in self._repeated:
            scope_id = self._scope_of(change)  # the record may have come to be in this very batch
        refusal = self._refusal(change, scope_id)
        if refusal is not None:
            return self._hold(change, refusal)
        if change.action is Action.DISCARD:
            return self._keep(change, Outcome.ACCEPTED)
        return self._apply(change, scope_id)

    def _taken_in_later(self) -> Mapping[str, Known]:
        """What a coordinator made of held changes that are offered again."""
        held = [change_id for change_id, known in self._known.items() if known.result.outcome is Outcome.HELD]
        return self._store.known(self._author.community_id, [taken_in_id(each) for each in held]) if held else {}

    def _hold_copy(self, change: Change) -> Result:
        """Same id, other content: the first stays, the second is kept under an id of its own, found again if resent."""
        copy = replace(change, change_id=copy_id(change))
        code, taken_id = Held.SAME_ID_OTHER_CONTENT, taken_in_id(copy.change_id)
        if copy.change_id not in self._entries:
            known = self._store.known(self._author.community_id, [copy.change_id, taken_id])
            if taken_id in known:
                return Result(change.change_id, Outcome.AGAIN, known[taken_id].result.revision)
            if copy.change_id not in known and isinstance(self._hold(copy, Refusal(code)), Result):
                return Result(change.change_id, Outcome.LATER)
        return Result(change.change_id, Outcome.HELD, code=code.value)

    def _hold(self, change: Change, refusal: Refusal) -> Entry | Result:
        """Keeps a refused change for a person, whole. Too many of one phone are left where they are."""
        author = self._author
        if author.role is Role.VOLUNTEER:
            if self._held_before is None:
                since = self._received_at - HELD_COUNTED_MS
                self._held_before = self._store.held(author.community_id, author.device_id, since)
            if self._held_before >= self._rules.held_max:
                return Result(change.change_id, Outcome.LATER)
            self._held_before += 1
        return self._keep(change, Outcome.HELD, code=refusal.code.value, detail=refusal.detail)

    def _refusal(self, change: Change, scope_id: str) -> Refusal | None:
        """The first rule that refuses the change, cheapest first."""
        rules, author = self._rules, self._author
        if change.kind == UNREADABLE:
            return Refusal(Held(change.set["code"]), str(change.set["detail"]))
        if author.is_revoked:
            return Refusal(Held.DEVICE_REVOKED)
        if not rules.schema_min <= change.schema <= rules.schema_max:
            return Refusal(Held.UNKNOWN_SCHEMA, str(change.schema))
        if change.action is Action.DISCARD:
            return None
        kind = rules.kinds.get(change.kind)
        if kind is None:
            return Refusal(Held.UNKNOWN_KIND, change.kind)
        record = self._records.get(change.record_id)
        if record is not None and record.kind != change.kind:
            return Refusal(Held.BAD_CHANGE, "kind")
        if kind.once_per and change.record_id != kind.record_id_of({**(record.fields if record else {}), **change.set}):
            return Refusal(Held.BAD_CHANGE, "record_id")
        return self._not_allowed(kind, change, record, scope_id) or rules.check(change, record)

    def _not_allowed(self, kind: Kind, change: Change, record: Record | None, scope_id: str) -> Refusal | None:
        author = self._author
        if author.role is Role.SERVER:
            return None
        forbidden = kind.forbidden.get(author.role)
        if forbidden is None or not change.set.keys().isdisjoint(forbidden):
            return Refusal(Held.NOT_ALLOWED)
        if record is not None:
            withdraws = change.action is Action.VOID and not kind.once_per
            is_own = withdraws or any(kind.rule(name) is Rule.OWN for name in change.set)
            brings_back = record.is_void and Rule.OWN in kind.fields.values()
            if (is_own or brings_back) and record.author_id != author.person_id:
                return Refusal(Held.NOT_THE_AUTHOR)
            moved = change.set.get(kind.scope_field)
            if moved is not None and moved != record.scope_id:
                return Refusal(Held.NOT_ALLOWED, kind.scope_field)
        is_anothers = kind.is_personal and record is None and scope_id != author.person_id
        if is_anothers or (author.role is Role.VOLUNTEER and not self._was_granted(scope_id, change.made_at)):
            return Refusal(Held.NOT_IN_SCOPE)
        if not scope_id:
            return Refusal(Held.BAD_FIELD, kind.scope_field)
        grant = self._grants.get(scope_id)
        if grant is not None and grant.is_closed:
            return Refusal(Held.HOUSEHOLD_CLOSED)
        return None

    def _was_granted(self, scope_id: str, made_at: int) -> bool:
        """A change made while the grant was valid is taken after it ended."""
        grant = self._grants.get(scope_id)
        return grant is not None and (grant.is_active or made_at <= grant.ended_at)

    def _apply(self, change: Change, scope_id: str) -> Entry | Result:
        before = self._records.get(change.record_id)
        if before is None:
            entry = self._keep(change, Outcome.ACCEPTED, fields=change.set, scope_id=scope_id)
        else:
            kind, merged = self._rules.kinds[change.kind], self._merged(change, before)
            refusal = self._too_much(change, before, merged)
            if refusal is not None:
                return self._hold(change, refusal)
            outcome = Outcome.CONFLICT if merged.conflicts else Outcome.ACCEPTED if merged.is_plain else Outcome.MERGED
            entry = self._keep(
                change,
                outcome,
                fields=merged.fields,
                before=before,
                scope_id=before.scope_id,
                conflicts=merged.conflicts,
                is_void=is_void_after(change, before, kind, is_unseen=not merged.is_plain),
            )
        for follower in self._rules.derive(change, before):
            self._follow(follower)
        return entry

    def _merged(self, change: Change, before: Record) -> Merged:
        history = [*self._histories.get(change.record_id, ()), *self._own_histories.get(change.record_id, ())]
        kind, touched = self._rules.kinds[change.kind], touched_since(history, change.base, self._author.device_id)
        sets = {name for name in change.set if name in touched and kind.is_set(name)}
        return merge(
            kind,
            record_id=change.record_id,
            base=base_fields(kind, history, change.base, sets) if sets else {},
            current=before.fields,
            proposed=change.set,
            touched=touched,
        )

    def _too_much(self, change: Change, before: Record, merged: Merged) -> Refusal | None:
        """Two sets that are sound, each by itself, may be more than their field takes once they are one."""
        kind = self._rules.kinds[change.kind]
        sets = {name: merged.fields[name] for name in change.set if kind.is_set(name)}
        if all(change.set[name] == value for name, value in sets.items()):
            return None
        return self._rules.check(replace(change, set={**change.set, **sets}), before)

    def _follow(self, change: Change) -> None:
        """A record that an accepted one brings along, or takes back, in the same transaction, each change of it once. The
        rest of the batch may be about it: whoever ticked a need may have seen to it before there was a network."""
        is_there = change.change_id in self._entries
        if is_there or self._store.known(self._author.community_id, [change.change_id]):
            return
        moved = self._moved.get(change.record_id)
        before = moved.record() if moved else self._records.get(change.record_id)
        if before is None:
            before = self._store.records(self._author.community_id, [change.record_id]).get(change.record_id)
        is_taken = before is not None and before.kind != change.kind  # by somebody who foresaw the id
        if change.action is Action.VOID and (before is None or is_taken):
            return  # nothing to take back
        if is_taken:  # a person must know
            self._keep(change, Outcome.HELD, code=Held.BAD_CHANGE.value, detail="kind")
            return
        self._repeated.add(change.record_id)
        fields = {**before.fields, **change.set} if before else change.set
        scope_id = before.scope_id if before else self._scope_of(change)
        self._keep(change, Outcome.ACCEPTED, fields=fields, before=before, scope_id=scope_id)

    def _keep(
        self,
        change: Change,
        outcome: Outcome,
        *,
        code: str = "",
        detail: str = "",
        fields: Fields | None = None,
        before: Record | None = None,
        scope_id: str = "",
        conflicts: tuple[Conflict, ...] = (),
        is_void: bool | None = None,
    ) -> Entry:
        """Notes what became of a change; with `fields`, its record moves, withdrawn where the change says so unless `is_void`
        says otherwise."""
        entry = Entry(change, self._author, self._received_at, outcome, code, detail, conflicts)
        if fields is not None:
            entry.fields, entry.before, entry.scope_id = fields, before, scope_id
            entry.is_void = change.action is Action.VOID if is_void is None else is_void
            self._moved[change.record_id] = entry
            if change.record_id in self._repeated:
                entry.revision = UNPLACED + len(self._entries)
                self._records[change.record_id] = entry.record()
                self._own_histories.setdefault(change.record_id, []).append(entry.told())
        self._entries[change.change_id] = entry
        return entry

    # The batch

    def _needs_history(self, change: Change) -> bool:
        record = self._records.get(change.record_id)
        return record is not None and change.base != record.revision

    def _scope_of(self, change: Change) -> str:
        record = self._records.get(change.record_id)
        if record is not None:
            return record.scope_id
        kind = self._rules.kinds.get(change.kind)
        if kind is None:
            return ""
        scope = change.record_id if kind.scope_field == "id" else change.set.get(kind.scope_field)
        return scope if is_id(scope) else ""

    def _placed(self, answer: Result) -> Result:
        """An answer given before the places were taken: `again` for a change that this very batch brought first."""
        entry = self._entries.get(answer.change_id)
        return replace(answer, revision=entry.revision) if entry and answer.outcome is Outcome.AGAIN else answer


def is_void_after(change: Change, before: Record, kind: Kind, *, is_unseen: bool) -> bool:
    """Whether a change leaves its record withdrawn. `is_unseen`: others wrote since what it was made upon."""
    if change.action is Action.VOID:
        return before.is_void or not (kind.once_per and is_unseen)
    # What only an accepted record brings along, only that one brings back.
    return before.is_void and kind.rule(kind.scope_field) is Rule.SERVER


def again(result: Result) -> Result:
    return result if result.outcome is Outcome.HELD else replace(result, outcome=Outcome.AGAIN)


def taken_in_id(change_id: str) -> str:
    """The id under which a coordinator takes a held change in: always the same, so that it is taken in once."""
    return str(uuid5(UUID(change_id), "taken in"))


def copy_id(change: Change) -> str:
    """The id under which a second change with a used id is held: the same content always gets the same one."""
    digest = sha256(canonical([change.change_id, *change.content()]).encode()).digest()
    return str(UUID(bytes=digest[:16], version=5))
