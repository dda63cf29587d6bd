"""Forty wrong systems and sixteen more, each after a real incident (RELIABILITY.md 5), that the simulator must tell from the right one.

A mutant on the phone (mutants.js) replaces what the worker hands to the exchange; a mutant at the centre is a
MemoryCentral with one step replaced. The product's own code stays as it is.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from server.rules import RULES
from sync.changes import Author, Change, Outcome, Record, Result
from sync.engine import Page, accept, page
from sync.errors import MalformedMessage, UnknownDevice
from sync.protocol import Message
from sync.store import Entry, Known, Position, Slice
from tests.simulation.central import (
    CentralFactory,
    MemoryCentral,
    Reply,
    Request,
    SimulatedStore,
    State,
)


@dataclass(frozen=True, slots=True)
class Mutant:
    name: str
    incident: str
    central: CentralFactory = MemoryCentral

    @property
    def phone(self) -> str:
        """The name in mutants.js; "" for a mutant at the centre."""
        return self.name if self.central is MemoryCentral else ""


# The store


class NoDedupe(SimulatedStore):
    """Every arrival is new. The history keeps all of them, under numbered ids."""

    def known(self, community_id: int, change_ids: Collection[str]) -> Mapping[str, Known]:
        return {}

    def append(self, community_id: int, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._entries[f"{entry.change.change_id} {len(self._entries)}"] = entry
            if entry.fields is not None:
                entry.revision = self._next_place()
                self._records[entry.change.record_id] = entry.record()


class IdsExpire(NoDedupe):
    """Ids are remembered for a while only, as payment interfaces do."""

    def known(self, community_id: int, change_ids: Collection[str]) -> Mapping[str, Known]:
        newest = list(self._entries.values())[-3:]
        found = [entry for entry in newest if entry.change.change_id in change_ids]
        return {entry.change.change_id: Known(entry.change.content(), entry.result()) for entry in found}


class DropForbidden(SimulatedStore):
    """What a rule refuses is answered and stored nowhere."""

    def append(self, community_id: int, entries: Sequence[Entry]) -> None:
        super().append(community_id, [entry for entry in entries if entry.outcome is not Outcome.HELD])


class CopyDropped(SimulatedStore):
    """A second content under a used id is thrown away."""

    def append(self, community_id: int, entries: Sequence[Entry]) -> None:
        super().append(community_id, [entry for entry in entries if entry.code != "same_id_other_content"])


class LastClockWins(SimulatedStore):
    """The newest clock wins, not the newest word: an amendment made by a slow clock is taken and not shown."""

    def append(self, community_id: int, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.fields is not None and entry.before and entry.change.made_at < entry.before.made_at:
                entry.fields = entry.before.fields
        super().append(community_id, entries)


class WholeRecordPut(SimulatedStore):
    """A change replaces the record instead of the fields it set."""

    def append(self, community_id: int, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.fields is not None and entry.change.kind == "visit":
                entry.fields = dict(entry.change.set)
        super().append(community_id, entries)


class UnknownFieldsDropped(SimulatedStore):
    def append(self, community_id: int, entries: Sequence[Entry]) -> None:
        for entry in entries:
            known = {name: value for name, value in entry.change.set.items() if name != "of_a_newer_phone"}
            entry.change = replace(entry.change, set=known)
        super().append(community_id, entries)


class UnscopedPull(SimulatedStore):
    """A pull gives whatever is newer, whoever asks."""

    def slice(self, community_id: int, person_id: str, after: Position, limit: int) -> Slice:
        beyond = sorted(
            (record for record in self._records.values() if record.revision > after.revision),
            key=lambda record: record.revision,
        )
        return Slice(beyond, [], Position(max(self._head, after.revision)), True)


class GrantNotInFeed(SimulatedStore):
    """A newly granted household is not sent when its records are older than the cursor."""

    def slice(self, community_id: int, person_id: str, after: Position, limit: int) -> Slice:
        found = super().slice(community_id, person_id, after, limit)
        return replace(found, records=[each for each in found.records if each.revision >= after.seen_revision])


class WithdrawalNotInFeed(SimulatedStore):
    def slice(self, community_id: int, person_id: str, after: Position, limit: int) -> Slice:
        return replace(super().slice(community_id, person_id, after, limit), purge=[])


class EndIsHead(SimulatedStore):
    """The cursor of a page that was cut says that all is read."""

    def slice(self, community_id: int, person_id: str, after: Position, limit: int) -> Slice:
        found = super().slice(community_id, person_id, after, limit)
        return replace(found, end=Position(max(self._head, after.revision)), is_complete=True)


class EndWithoutRecordId(SimulatedStore):
    """Records that share a place with the last one of a page are passed over."""

    def slice(self, community_id: int, person_id: str, after: Position, limit: int) -> Slice:
        found = super().slice(community_id, person_id, after, limit)
        return replace(found, end=Position(found.end.revision))


class CursorByClock(SimulatedStore):
    """A pull asks for what was made after the newest time it has seen, and the times are the phones'."""

    def slice(self, community_id: int, person_id: str, after: Position, limit: int) -> Slice:
        whole = super().slice(community_id, person_id, Position(0), 10**6)
        newer = sorted((each for each in whole.records if each.made_at > after.revision), key=lambda each: each.made_at)
        end = Position(max([after.revision, *(each.made_at for each in newer)]))
        return Slice(newer, super().slice(community_id, person_id, Position(1), 10**6).purge, end, True)


# The steps


class AckBeforeCommit(MemoryCentral):
    """The answer is on its way before the commit, and the commit may not come."""

    def finish(self, draft: State, request: Request) -> None:
        if not request.fate:
            super().finish(draft, request)


class HalfCommit(MemoryCentral):
    """History and records in two commits: a crash between them leaves a change that is known and a record that is not."""

    def finish(self, draft: State, request: Request) -> None:
        if request.fate == "before":
            half = self.state.fork()
            half.store._entries = dict(draft.store._entries)
            half.store._head = draft.store._head
            self.state = half
        super().finish(draft, request)


class LooksThenInserts(NoDedupe):
    """Looks before it inserts, and has no unique key that would catch it in a race."""

    def known(self, community_id: int, change_ids: Collection[str]) -> Mapping[str, Known]:
        found = [entry for entry in self._entries.values() if entry.change.change_id in change_ids]
        return {entry.change.change_id: Known(entry.change.content(), entry.result()) for entry in found}


class CheckThenInsert(MemoryCentral):
    """Two messages of one instant both looked, neither found the change, both inserted it."""

    store_type = LooksThenInserts

    def together(self, first: Request, second: Request) -> tuple[Reply | None, Reply | None]:
        before = self.state.fork()
        reply = self.exchange(first)
        after_first, self.state = self.state, before
        other = self.exchange(second)
        store = self.state.store
        for key, entry in after_first.store._entries.items():
            if store._entries.get(key) is not entry:
                store._entries[f"{key} of the first"] = entry
                if entry.fields is not None:
                    store._records.setdefault(entry.change.record_id, entry.record())
        store._head = max(store._head, after_first.store._head)
        return reply, other


class StaleStore(SimulatedStore):
    """May show records as they were a while ago."""

    def __init__(self, epoch: str) -> None:
        super().__init__(epoch)
        self.stale: dict[str, Record] = {}

    def records(self, community_id: int, record_ids: Collection[str]) -> Mapping[str, Record]:
        found = super().records(community_id, record_ids)
        return {record_id: self.stale.get(record_id, record) for record_id, record in found.items()}


class LostUpdate(MemoryCentral):
    """A coordinator's page writes the record back as it read it, over what came in between."""

    store_type = StaleStore

    def write(self, author: Author, changes: Sequence[Change], now: int) -> list[Result]:
        read = getattr(self, "read_before", {})
        self.state.store.stale = read  # type: ignore[attr-defined]
        results = super().write(author, changes, now)
        self.state.store.stale = {}  # type: ignore[attr-defined]
        self.read_before = self.records()
        return results


class SequenceGap(MemoryCentral):
    """Places are handed out before the commit: a reader passes a place whose row is not there yet."""

    def together(self, first: Request, second: Request) -> tuple[Reply | None, Reply | None]:
        before = self.state.fork()
        reply = self.exchange(first)
        hidden = self.state
        late = {key: entry for key, entry in hidden.store._entries.items() if key not in before.store._entries}
        visible = before.fork()
        visible.store._head = hidden.store._head
        self.state = visible
        other = self.exchange(second)
        for key, entry in late.items():
            if key not in self.state.store._entries:
                self.state.store._entries[key] = entry
                if entry.fields is not None:
                    self.state.store._records[entry.change.record_id] = entry.record()
        return reply, other


class PoisonBlocksQueue(MemoryCentral):
    """One refused change refuses its whole message."""

    def accept(self, draft: State, author: Author, changes: Sequence[Change], now: int) -> list[Result]:
        results = super().accept(draft, author, changes, now)
        if any(result.outcome is Outcome.HELD and result.code == "bad_field" for result in results):
            raise MalformedMessage("bad_change", "the message has a bad change")
        return results


class OldGrantRefused(MemoryCentral):
    """Reassigned households: what was queued for them is refused for ever, with everything beside it."""

    def accept(self, draft: State, author: Author, changes: Sequence[Change], now: int) -> list[Result]:
        results = super().accept(draft, author, changes, now)
        if any(result.code == "not_in_scope" for result in results):
            raise UnknownDevice("forbidden", "not yours")
        return results


class RevokedRefused(MemoryCentral):
    """A revoked device may not even hand over what it holds."""

    def accept(self, draft: State, author: Author, changes: Sequence[Change], now: int) -> list[Result]:
        if author.is_revoked:
            raise UnknownDevice("unknown_device", "revoked")
        return super().accept(draft, author, changes, now)


class RevokedReads(MemoryCentral):
    def page(self, draft: State, author: Author, message: Message) -> Page:
        return super().page(draft, replace(author, is_revoked=False), message)


class NewerPhoneRefused(MemoryCentral):
    """A phone with a newer form is told to come back later, for ever."""

    def accept(self, draft: State, author: Author, changes: Sequence[Change], now: int) -> list[Result]:
        if any(change.schema > RULES.schema_max for change in changes):
            raise MalformedMessage("unknown_schema", "too new")
        return super().accept(draft, author, changes, now)


class ClockGuard(MemoryCentral):
    """A phone whose clock is off is not let in."""

    def answer(self, draft: State, request: Request, message: Message) -> dict[str, Any]:
        if abs(message.now - request.now) > 10 * 60_000:
            raise MalformedMessage("clock", "set your clock")
        return super().answer(draft, request, message)


class EpochStays(MemoryCentral):
    """A restored server goes on as if nothing had happened."""

    def restore(self, backup: State, epoch: str) -> None:
        super().restore(backup, self.epoch())


class AnswerFromRequest(MemoryCentral):
    """Says "accepted" to what was asked, without looking at what became of it."""

    def answer(self, draft: State, request: Request, message: Message) -> dict[str, Any]:
        answer = super().answer(draft, request, message)
        taken = {"outcome": "accepted", "revision": 1}
        return answer | {"results": [{"change_id": each["change_id"], **taken} for each in answer["results"]]}


class HeldJudgedAgain(MemoryCentral):
    """A held change that comes again is judged afresh, and may end twice."""

    store_type = LooksThenInserts

    def accept(self, draft: State, author: Author, changes: Sequence[Change], now: int) -> list[Result]:
        store = draft.store
        held = {key: entry for key, entry in store._entries.items() if entry.outcome is Outcome.HELD}
        for key in held:
            del store._entries[key]
        results = super().accept(draft, author, changes, now)
        store._entries = {**{f"{key} before": entry for key, entry in held.items()}, **store._entries}
        return results


class SharedCache(MemoryCentral):
    """A cache in front of the server that does not look at who asks."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._cache: dict[str, str] = {}

    def exchange(self, request: Request) -> Reply | None:
        message = json.loads(request.text)
        key = json.dumps([message["epoch"], message["cursor"], self.head()])
        if not message["changes"] and key in self._cache:
            return Reply(200, self._cache[key])
        reply = super().exchange(request)
        if reply is not None and reply.status == 200:
            self._cache[key] = reply.text
        return reply


class NeedsOpenedAgain(MemoryCentral):
    """Every amendment of a visit opens its needs once more."""

    def accept(self, draft: State, author: Author, changes: Sequence[Change], now: int) -> list[Result]:
        results = super().accept(draft, author, changes, now)
        records = draft.store._records
        for change in changes:
            own = [each for each in records.values() if each.fields.get("visit_id") == change.record_id]
            for need in own if change.base != 0 else []:
                copy_id = f"{need.record_id[:-4]}{len(records) % 10_000:04}"
                records[copy_id] = Record(**{**fields_of(need), "record_id": copy_id})
        return results


class OldChangesRefused(MemoryCentral):
    """What was made more than a day ago is held."""

    def accept(self, draft: State, author: Author, changes: Sequence[Change], now: int) -> list[Result]:
        old = [change for change in changes if abs(now - change.made_at) > 86_400_000]
        results = accept(draft.store, self.rules, changes, author=author, received_at=now)
        for change in old:
            entry = draft.store._entries.get(change.change_id)
            if entry is not None and entry.received_at == now and entry.fields is not None and entry.before is None:
                entry.outcome, entry.code, entry.fields, entry.revision = Outcome.HELD, "too_old", None, 0
                draft.store._records.pop(change.record_id, None)
        return [
            entry.result()
            if (entry := draft.store._entries.get(result.change_id)) and entry.code == "too_old"
            else result
            for result in results
        ]


class ResetNeverSaid(MemoryCentral):
    """A cursor of another epoch goes on as if it were of this one, so what was lost in a restore stays on phones."""

    def page(self, draft: State, author: Author, message: Message) -> Page:
        return page(draft.store, author=author, epoch=self.epoch(), after=message.cursor, limit=message.limit)


def fields_of(record: Record) -> dict[str, Any]:
    return {name: getattr(record, name) for name in Record.__slots__}


def with_store(store_type: type[SimulatedStore]) -> type[MemoryCentral]:
    return type(f"{store_type.__name__}Central", (MemoryCentral,), {"store_type": store_type})


MUTANTS = (
    Mutant("delete_before_ack", "workbox#2599: removes the entry before the fetch"),
    Mutant("no_dedupe", "formhub#678: one form became ten", with_store(NoDedupe)),
    Mutant("check_then_insert", "kobocat#470, kpi#5047: check-then-insert race", CheckThenInsert),
    Mutant("relaxed_durability", "localForage#154, every browser's default: success before the disk has it"),
    Mutant("poison_blocks_queue", "powersync-swift#179, cht-core#6143: one bad row stops all", PoisonBlocksQueue),
    Mutant("cursor_over_sequence_gap", "Kinto, BIGSERIAL cursors: a later commit with an earlier place", SequenceGap),
    Mutant("cursor_by_clock", "rxdb#3393: a cursor by updatedAt skips documents", with_store(CursorByClock)),
    Mutant("purge_unsynced", "ndb-core#4198: the permission purge destroys unsynced data"),
    Mutant("ack_before_commit", "cht-core#8764: created, acknowledged, missing", AckBeforeCommit),
    Mutant("drop_forbidden", "cht-core#8186: refused documents are stored nowhere", with_store(DropForbidden)),
    Mutant("restore_without_resend", "cht-core#8093: restored from a backup, never sent again"),
    Mutant("checkpoint_ahead", "pouchdb#1240: the checkpoint is written before the documents"),
    Mutant("batch_413_never_shrinks", "cht-core#6143, pouchdb#4210: the user can never recover"),
    Mutant("unscoped_pull", "cht-core#2733: any user reads any other's", with_store(UnscopedPull)),
    Mutant("no_local_purge", "collect#1129: sensitive data stayed on phones"),
    Mutant("epoch_not_in_ack", "RELIABILITY 0.5: an acknowledgement from before the restore arrives after it"),
    Mutant("html_counts_as_answer", "captive portals: 200 with a page of their own"),
    Mutant("http_500_counts_as_sent", "workbox v7.2.0: any HTTP answer is success"),
    Mutant("seven_day_expiry", "workbox v7.2.0: entries older than seven days are dropped"),
    Mutant("same_id_other_content_dropped", "collect#2175: edited while uploading", with_store(CopyDropped)),
    Mutant("delete_after_failed_send", "getodk#1017: forms deleted after a send that had failed"),
    Mutant("cut_body_counts_as_answer", "commcare-hq#19662: a truncated answer is taken for one"),
    Mutant("timeout_counts_as_sent", "ndb-core#4178: a push dropped with no error"),
    Mutant("reset_clears_outbox", "cht-core#7419, collect#6475: a fresh start throws away what waits"),
    Mutant("old_generation_stays", "couchdb#3788: sequences that rewind leave ghosts"),
    Mutant("acknowledged_not_kept", "commcare-android#1110: nothing left to send again"),
    Mutant("held_is_deleted", "commcare-android#2289: quarantine became deletion"),
    Mutant("too_big_is_dropped", "couchdb#1734: the over-size document is skipped in silence"),
    Mutant("success_before_commit", "localForage PR#313: success before commit"),
    Mutant("sequence_apart_from_entry", "collect#6522: a crash between two writes"),
    Mutant("edit_in_flight_rewrites", "kinto.js#788, WatermelonDB#1374: an edit rewrites what is on its way"),
    Mutant("id_made_at_sending", "collect#3517, aggregate#331: no id until it is sent"),
    Mutant("grant_not_in_feed", "WatermelonDB#1264: older than the cursor, never pulled", with_store(GrantNotInFeed)),
    Mutant("page_end_is_head", "pouchdb#1240: the cursor passes what the page left out", with_store(EndIsHead)),
    Mutant("lost_update", "SORMAS#300: two users on one case", LostUpdate),
    Mutant("revoked_device_refused", "cht-core#11306: 403 for ever", RevokedRefused),
    Mutant("revoked_device_reads", "cht-core#1689: yesterday's user still sees", RevokedReads),
    Mutant("clock_guard", "evolu#709: a clock guard locks a phone out for ever", ClockGuard),
    Mutant("epoch_stays_after_restore", "cht-core#8093: nobody can tell that the server went back", EpochStays),
    Mutant("needs_opened_again", "collect#3391: 1,006 forms became 1,514 rows", NeedsOpenedAgain),
    # Beyond the forty
    Mutant("batch_acknowledged_whole", "ndb-core#4178: per batch, not per record"),
    Mutant("ids_expire", "Stripe's 24 hours: a phone comes back after six months", with_store(IdsExpire)),
    Mutant("half_commit", "collect#6522: a crash between row and file", HalfCommit),
    Mutant("whole_record_put", "SORMAS#139: new data lost after save", with_store(WholeRecordPut)),
    Mutant("last_clock_wins", "rxdb#5843: order by the phone's clock", with_store(LastClockWins)),
    Mutant("unknown_fields_dropped", "kpi#3829: an older server loses a newer form", with_store(UnknownFieldsDropped)),
    Mutant(
        "withdrawal_not_in_feed",
        "enketo#1127: records remain where they no longer belong",
        with_store(WithdrawalNotInFeed),
    ),
    Mutant("page_end_without_id", "rxdb#5843: equal times at a page's end", with_store(EndWithoutRecordId)),
    Mutant("newer_phone_refused", "enketo#1226: can be neither loaded nor sent", NewerPhoneRefused),
    Mutant("old_grant_refused", "cht-core#11306: reassigned households", OldGrantRefused),
    Mutant("answer_from_request", "cht-core#8764: answered without looking", AnswerFromRequest),
    Mutant("held_judged_again", "central#705: the same submission ends twice", HeldJudgedAgain),
    Mutant("shared_cache", "kobocat#261: a cache that does not ask who", SharedCache),
    Mutant("reset_never_said", "couchdb#3788: the restored server never says so", ResetNeverSaid),
    Mutant("old_changes_refused", "ODK: offline chains held back", OldChangesRefused),
    Mutant("first_page_is_all", "cht-core#7419: a first replication that ended early"),
)
BY_NAME = {mutant.name: mutant for mutant in MUTANTS}
