"""The engine's own small decisions, on the store in memory. The long way through it is tests/sync/store_contract.py."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest

from sync.changes import UNREADABLE, Action, Author, Change, Held, HistoryEntry, Outcome, Record, Result
from sync.engine import (
    HELD_COUNTED_MS,
    Page,
    Refusal,
    Rules,
    accept,
    again,
    copy_id,
    page,
    put_off,
    taken_in_id,
    unreadable,
    withheld,
)
from sync.holdings import Verdict, compare, digest_of
from sync.kinds import Kind, Role, Rule, kinds_by_name
from sync.replay import place_of
from sync.store import MemoryStore, Position, Slice

COMMUNITY = 1
NOW = 5_000


def uuid(number: int) -> str:
    return f"0192a000-0000-7000-8000-{number:012x}"


DOOR, OTHER_DOOR, VISIT = uuid(0xA), uuid(0xB), uuid(0x100)
ALICE = Author(COMMUNITY, uuid(1), "Alice", uuid(11), Role.VOLUNTEER)
BOB = Author(COMMUNITY, uuid(2), "Bob", uuid(12), Role.VOLUNTEER)
CAROL = Author(COMMUNITY, uuid(3), "Carol", uuid(13), Role.COORDINATOR)
SERVER = Author(COMMUNITY, uuid(4), "", uuid(14), Role.SERVER)
BOTH = frozenset({Role.VOLUNTEER, Role.COORDINATOR})
KINDS = kinds_by_name(
    Kind("visit", {"household_id": Rule.OWN, "note": Rule.OWN, "review_state": Rule.REVIEW, "sum": Rule.SERVER}, BOTH),
    Kind("household", {"door": Rule.REGISTER}, frozenset({Role.COORDINATOR}), scope_field="id"),
)


def check(change: Change, record: Record | None) -> Refusal | None:
    return Refusal(Held.BAD_FIELD, "note") if change.set.get("note") == "bad" else None


RULES = Rules(KINDS, schema_min=2, schema_max=3, check=check, derive=lambda change, record: ())


def visit(number: int, *, record: int = 0x100, **changed: Any) -> Change:
    made = Change(uuid(number), number, "visit", uuid(record), Action.PUT, 0, {"household_id": DOOR}, 100, 2)
    return replace(made, **changed)


def store_of_alice() -> MemoryStore:
    store = MemoryStore()
    store.grant(ALICE.person_id, DOOR)
    return store


def taken(store: MemoryStore, *changes: Change, author: Author = ALICE, rules: Rules = RULES) -> Sequence[Result]:
    return accept(store, rules, changes, author=author, received_at=NOW)


def test_what_is_no_change_is_held_whole_under_its_own_id() -> None:
    found = unreadable(change_id=VISIT, device_sequence=7, code=Held.UNSEALABLE, raw="rubbish", detail="why")

    said = {"code": "unsealable", "detail": "why", "raw": "rubbish"}
    assert found == Change(VISIT, 7, UNREADABLE, VISIT, Action.PUT, 0, said, 0, 1)
    assert taken(store_of_alice(), found) == [Result(VISIT, Outcome.HELD, code="unsealable", detail="why")]


def test_what_has_no_id_is_given_one_from_its_content() -> None:
    def made(change_id: str, raw: str) -> str:
        return unreadable(change_id=change_id, device_sequence=1, code=Held.BAD_CHANGE, raw=raw).change_id

    expected = UUID(bytes=sha256(b"no id\nrubbish").digest()[:16], version=5)
    assert made("no id", "rubbish") == made("no id", "rubbish") == str(expected)
    assert len({made("no id", "rubbish"), made("no id", "other"), made("other", "rubbish")}) == 3
    assert made(VISIT.upper(), "rubbish") == VISIT


def test_without_a_word_of_why_the_detail_is_empty() -> None:
    assert unreadable(change_id=VISIT, device_sequence=1, code=Held.BAD_CHANGE, raw="").set["detail"] == ""


def test_a_line_that_a_device_once_called_unreadable_is_compared_as_well() -> None:
    """Before the word was refused, one that said the right fields was kept, with or without what had come."""
    said = {"code": "bad_change", "detail": ""}
    old = replace(unreadable(change_id=VISIT, device_sequence=1, code=Held.BAD_CHANGE, raw=""), set=said)

    assert [each.outcome for each in taken(store_of_alice(), old, old)] == [Outcome.HELD] * 2


def test_a_copy_is_found_again_by_its_content() -> None:
    first, other = visit(1), visit(1, set={"household_id": DOOR, "note": "other"})

    assert copy_id(first) == copy_id(replace(first, device_sequence=9)) != copy_id(other)
    assert str(UUID(copy_id(first))) == copy_id(first)
    assert UUID(copy_id(first)).version == 5


def test_a_used_id_with_other_content_is_kept_once_however_often_it_comes() -> None:
    store, other = store_of_alice(), visit(1, set={"household_id": DOOR, "note": "other"})
    taken(store, visit(1))

    answers = [taken(store, other), taken(store, other), taken(store, other, other)]

    expected = Result(other.change_id, Outcome.HELD, code="same_id_other_content")
    assert answers == [[expected], [expected], [expected, expected]]
    assert list(store.known(COMMUNITY, [copy_id(other)])) == [copy_id(other)]


def test_a_held_change_that_was_taken_in_is_answered_at_its_place_when_it_is_offered_again() -> None:
    store, held = store_of_alice(), visit(1, set={"household_id": OTHER_DOOR})
    other = visit(2, record=0x101, set={"household_id": OTHER_DOOR})
    assert [result.outcome for result in taken(store, held, other)] == [Outcome.HELD] * 2
    (took,) = taken(store, replace(held, change_id=taken_in_id(held.change_id)), author=CAROL)

    answers = taken(store, held, other)

    assert took.outcome is Outcome.ACCEPTED
    assert answers == [
        Result(held.change_id, Outcome.AGAIN, took.revision),
        Result(other.change_id, Outcome.HELD, code="not_in_scope"),
    ]


def test_so_is_one_whose_id_was_used_already() -> None:
    store, other = store_of_alice(), visit(1, set={"household_id": DOOR, "note": "other"})
    taken(store, visit(1), other)
    again_id = taken_in_id(copy_id(other))
    (took,) = taken(store, replace(other, change_id=again_id, record_id=uuid(0x101)), author=CAROL)

    assert taken(store, other) == [Result(other.change_id, Outcome.AGAIN, took.revision)]


def test_of_one_phone_no_more_is_held_than_a_person_could_read_and_the_rest_stays_on_it() -> None:
    """A phone in the wrong hands, revoked or not, filled the disk with text."""
    store, rules = store_of_alice(), replace(RULES, held_max=3)
    refused = [visit(number, record=0x100 + number, set={"household_id": OTHER_DOOR}) for number in range(1, 6)]
    good = visit(9, record=0x109)
    used = replace(good, set={"household_id": DOOR, "note": "other"})

    first = taken(store, *refused[:2], good, rules=rules)
    second = taken(store, *refused[2:], good, used, rules=rules)

    assert [result.outcome.value for result in first] == ["held", "held", "accepted"]
    assert [result.outcome.value for result in second] == ["held", "later", "later", "again", "later"]
    ids = [each.change_id for each in (*refused, good)] + [copy_id(used)]
    assert list(store.known(COMMUNITY, ids)) == [*ids[:3], good.change_id]
    assert second[-1] == Result(good.change_id, Outcome.LATER)
    # What is held already stays so, and a coordinator's own has no end.
    assert [result.outcome.value for result in taken(store, *refused[:3], rules=rules)] == ["held"] * 3
    strange = [replace(each, kind="poem") for each in refused[3:]]
    assert [result.outcome.value for result in taken(store, *strange, author=CAROL, rules=rules)] == ["held"] * 2


def test_a_phone_that_had_too_much_held_may_go_on_when_that_is_a_month_old() -> None:
    store, rules = store_of_alice(), replace(RULES, held_max=1)
    first, second = (visit(number, record=number, set={"household_id": OTHER_DOOR}) for number in (1, 2))
    taken(store, first, rules=rules)

    def offered(received_at: int) -> Outcome:
        return accept(store, rules, [second], author=ALICE, received_at=received_at)[0].outcome

    assert offered(NOW + HELD_COUNTED_MS) is Outcome.LATER
    assert offered(NOW + HELD_COUNTED_MS + 1) is Outcome.HELD


def test_again_changes_the_outcome_but_not_that_it_is_held() -> None:
    accepted, held = Result(VISIT, Outcome.MERGED, 4), Result(VISIT, Outcome.HELD, code="not_in_scope")

    assert again(accepted) == Result(VISIT, Outcome.AGAIN, 4)
    assert again(held) is held


def test_the_place_of_a_change_that_is_not_there_is_the_beginning() -> None:
    history = [
        HistoryEntry(uuid(number), uuid(11), place, 0, Outcome.ACCEPTED, {}) for number, place in ((1, 4), (2, 6))
    ]

    assert [place_of(uuid(number), history) for number in (1, 2, 3)] == [4, 6, 0]


def test_a_device_older_than_the_server_speaks_is_sent_nothing_and_stays_where_it_is() -> None:
    store = store_of_alice()
    nothing = Slice([], [], Position(0), True)

    assert withheld(store, author=ALICE, after=None) == Page(nothing, "epoch-1", False, None)
    assert withheld(store, author=ALICE, after=Position(3, VISIT)).slice.end == Position(3, VISIT)


def test_who_must_start_from_nothing_is_never_put_off() -> None:
    store, here = store_of_alice(), Position(1)

    assert put_off(store, author=ALICE, epoch="epoch-1", after=None) is None
    assert put_off(store, author=ALICE, epoch="epoch-0", after=here) is None
    assert put_off(store, author=replace(ALICE, is_revoked=True), epoch="epoch-1", after=here) is None
    assert put_off(store, author=ALICE, epoch="epoch-1", after=here) == Page(
        Slice([], [], here, False), "epoch-1", False, None
    )


def test_a_page_starts_from_nothing_without_a_cursor_of_this_epoch() -> None:
    store = store_of_alice()
    taken(store, visit(1), visit(2, record=0x101))

    def asked(epoch: str, after: Position | None) -> tuple[bool, int | None, int]:
        found = page(store, author=ALICE, epoch=epoch, after=after, limit=10)
        return found.is_reset, found.total, len(found.slice.records)

    assert asked("epoch-1", None) == (True, 2, 2)
    assert asked("epoch-0", Position(99)) == (True, 2, 2)
    assert asked("epoch-1", Position(2)) == (False, None, 1)


def test_a_revoked_device_is_at_the_end_at_once_and_keeps_what_its_page_began_from() -> None:
    store = store_of_alice()
    taken(store, visit(1))
    revoked = replace(ALICE, is_revoked=True)

    assert page(store, author=revoked, epoch="epoch-1", after=Position(1), limit=10) == Page(
        Slice([], [], Position(1), True), "epoch-1", False, None
    )
    assert page(store, author=revoked, epoch="", after=None, limit=10).slice.end == Position(0)


REFUSED = [
    # what is wrong, by whom, code, detail
    (visit(1, schema=1), ALICE, Held.UNKNOWN_SCHEMA, "1"),
    (visit(1, schema=4), ALICE, Held.UNKNOWN_SCHEMA, "4"),
    (visit(1, kind="poll"), ALICE, Held.UNKNOWN_KIND, "poll"),
    (visit(1, kind="household", record_id=DOOR, set={"door": "1"}), ALICE, Held.NOT_ALLOWED, ""),
    (visit(1, set={"household_id": DOOR, "review_state": "approved"}), ALICE, Held.NOT_ALLOWED, ""),
    (visit(1, set={"household_id": DOOR, "sum": 1}), CAROL, Held.NOT_ALLOWED, ""),
    (visit(1, set={"household_id": OTHER_DOOR}), ALICE, Held.NOT_IN_SCOPE, ""),
    (visit(1, set={"household_id": DOOR, "note": "bad"}), ALICE, Held.BAD_FIELD, "note"),
    (visit(1), replace(ALICE, is_revoked=True), Held.DEVICE_REVOKED, ""),
    (visit(1, schema=9, kind="poll"), replace(ALICE, is_revoked=True), Held.DEVICE_REVOKED, ""),
    (visit(1, schema=9, kind="poll"), ALICE, Held.UNKNOWN_SCHEMA, "9"),
]


@pytest.mark.parametrize(("change", "author", "code", "detail"), REFUSED)
def test_the_first_rule_that_refuses_is_named(change: Change, author: Author, code: Held, detail: str) -> None:
    store = store_of_alice()

    assert taken(store, change, author=author) == [Result(change.change_id, Outcome.HELD, 0, code.value, detail)]
    assert store.records(COMMUNITY, [change.record_id]) == {}
    assert store.known(COMMUNITY, [change.change_id])[change.change_id].content == change.content()


@pytest.mark.parametrize("schema", [2, 3])
def test_every_schema_between_the_oldest_and_the_newest_is_taken(schema: int) -> None:
    assert taken(store_of_alice(), visit(1, schema=schema))[0].outcome is Outcome.ACCEPTED


def test_the_server_may_write_what_nobody_else_may() -> None:
    change = visit(1, set={"household_id": OTHER_DOOR, "sum": 1, "review_state": "approved"})

    assert taken(store_of_alice(), change, author=SERVER)[0].outcome is Outcome.ACCEPTED


def test_a_coordinator_writes_for_every_door() -> None:
    assert taken(store_of_alice(), visit(1, set={"household_id": OTHER_DOOR}), author=CAROL)[0].outcome is (
        Outcome.ACCEPTED
    )


def test_what_names_no_scope_is_held_whoever_brings_it() -> None:
    change = visit(1, set={"note": "of nobody's door"})

    assert taken(store_of_alice(), change, author=CAROL) == [
        Result(change.change_id, Outcome.HELD, 0, "bad_field", "household_id")
    ]


ON_A_RECORD = [
    (visit(2, kind="household", record_id=VISIT, set={"door": "1"}), CAROL, Held.BAD_CHANGE, "kind"),
    (visit(2, set={"note": "hers"}), CAROL, Held.NOT_THE_AUTHOR, ""),
    (visit(2, set={}, action=Action.VOID), CAROL, Held.NOT_THE_AUTHOR, ""),
    (visit(2, set={"household_id": OTHER_DOOR}), ALICE, Held.NOT_ALLOWED, "household_id"),
]


@pytest.mark.parametrize(("change", "author", "code", "detail"), ON_A_RECORD)
def test_what_may_not_be_done_to_a_record_is_held(change: Change, author: Author, code: Held, detail: str) -> None:
    store = store_of_alice()
    taken(store, visit(1))
    before = store.records(COMMUNITY, [VISIT])

    assert taken(store, change, author=author) == [Result(change.change_id, Outcome.HELD, 0, code.value, detail)]
    assert store.records(COMMUNITY, [VISIT]) == before


def test_an_author_may_say_again_where_her_visit_was() -> None:
    store = store_of_alice()
    taken(store, visit(1))

    (result,) = taken(store, visit(2, base=2, set={"household_id": DOOR, "note": "more"}))

    assert (result.outcome, store.records(COMMUNITY, [VISIT])[VISIT].fields["note"]) == (Outcome.ACCEPTED, "more")


def test_a_discard_moves_nothing_and_is_remembered_even_from_another_kind() -> None:
    store = store_of_alice()
    discard = visit(1, action=Action.DISCARD, set={}, kind="poll")

    answers = [taken(store, discard), taken(store, discard)]

    assert [answer[0].outcome for answer in answers] == [Outcome.ACCEPTED, Outcome.AGAIN]
    assert (store.head(COMMUNITY), store.records(COMMUNITY, [VISIT])) == (1, {})


def test_places_are_given_in_the_order_of_the_batch_to_what_moved() -> None:
    store = store_of_alice()

    results = taken(
        store, visit(1), visit(2, record=0x101, kind="poll"), visit(3, record=0x102), visit(3, record=0x102)
    )

    assert [(result.outcome, result.revision) for result in results] == [
        (Outcome.ACCEPTED, 2),
        (Outcome.HELD, 0),
        (Outcome.ACCEPTED, 3),
        (Outcome.AGAIN, 3),
    ]
    assert store.head(COMMUNITY) == 3


def test_a_batch_lays_its_own_changes_over_one_another() -> None:
    store = store_of_alice()
    made = visit(1, set={"household_id": DOOR, "note": "first"})
    amended = visit(2, base=made.change_id, set={"note": "second"}, made_at=200)

    results = taken(store, made, amended)

    record = store.records(COMMUNITY, [VISIT])[VISIT]
    assert [(result.outcome, result.revision) for result in results] == [(Outcome.ACCEPTED, 2), (Outcome.ACCEPTED, 3)]
    assert record == Record(
        "visit", VISIT, 3, DOOR, ALICE.person_id, "Alice", 100, NOW, False, {"household_id": DOOR, "note": "second"}
    )


def test_what_follows_from_a_change_is_written_once() -> None:
    follower = Change(uuid(0x900), 0, "visit", uuid(0x901), Action.PUT, 0, {"household_id": DOOR, "sum": 1}, 100, 2)
    rules = replace(RULES, derive=lambda change, record: [follower])
    store = store_of_alice()

    first = taken(store, visit(1), visit(2, record=0x101), rules=rules)
    later = taken(store, visit(3, base=2, set={"note": "more"}), rules=rules)

    assert [result.outcome for result in (*first, *later)] == [Outcome.ACCEPTED] * 3
    assert store.records(COMMUNITY, [follower.record_id])[follower.record_id].fields["sum"] == 1
    assert store.head(COMMUNITY) == 5  # the grant, two visits, one follower, one amendment


def test_what_follows_never_takes_the_place_of_another_record() -> None:
    """Whoever made up its id before gains nothing by it, and stops nobody."""
    follower = Change(uuid(0x900), 0, "poll", uuid(0x901), Action.PUT, 0, {"household_id": DOOR}, 100, 2)
    rules = replace(RULES, derive=lambda change, record: [follower] if change.record_id == VISIT else [])
    store = store_of_alice()
    taken(store, visit(2, record=0x901, set={"household_id": DOOR, "note": "mine"}))

    results = taken(store, visit(1), visit(3, base=visit(1).change_id), rules=rules)

    assert [result.outcome for result in results] == [Outcome.ACCEPTED] * 2
    record = store.records(COMMUNITY, [follower.record_id])[follower.record_id]
    assert (record.kind, record.fields["note"]) == ("visit", "mine")
    told = Result(follower.change_id, Outcome.HELD, code="bad_change", detail="kind")
    assert store.known(COMMUNITY, [follower.change_id])[follower.change_id].result == told


def test_nothing_is_taken_back_of_another_record_whose_id_was_foreseen() -> None:
    taken_back = Change(uuid(0x900), 0, "poll", uuid(0x901), Action.VOID, 0, {}, 100, 2)
    store = store_of_alice()
    taken(store, visit(2, record=0x901))

    (result,) = taken(store, visit(1), rules=replace(RULES, derive=lambda change, record: [taken_back]))

    assert result.outcome is Outcome.ACCEPTED
    assert not store.records(COMMUNITY, [taken_back.record_id])[taken_back.record_id].is_void
    assert store.known(COMMUNITY, [taken_back.change_id]) == {}


def test_what_follows_may_be_changed_in_the_same_batch_and_taken_back_in_a_later_one() -> None:
    follower = Change(uuid(0x900), 0, "visit", uuid(0x901), Action.PUT, 0, {"household_id": DOOR, "sum": 1}, 100, 2)
    taken_back = replace(follower, change_id=uuid(0x902), action=Action.VOID, set={})
    never_there = replace(taken_back, change_id=uuid(0x903), record_id=uuid(0x904))
    opening = replace(RULES, derive=lambda change, record: [follower] if change.record_id == VISIT else [])
    closing = replace(RULES, derive=lambda change, record: [taken_back, never_there])
    store = store_of_alice()
    of_follower = visit(2, record=0x901, base=follower.change_id, set={"note": "seen to"})

    opened = taken(store, visit(1), of_follower, rules=opening)
    (closed,) = taken(store, visit(3, base=2, set={"note": "more"}), rules=closing)

    assert [result.outcome for result in (*opened, closed)] == [Outcome.ACCEPTED] * 3
    record = store.records(COMMUNITY, [follower.record_id])[follower.record_id]
    assert (record.is_void, record.scope_id) == (True, DOOR)
    assert record.fields == {"household_id": DOOR, "sum": 1, "note": "seen to"}
    assert store.records(COMMUNITY, [never_there.record_id]) == {}


@pytest.mark.parametrize(("who", "outcome"), [(ALICE, Outcome.ACCEPTED), (BOB, Outcome.HELD), (CAROL, Outcome.HELD)])
def test_only_its_author_brings_back_what_she_withdrew(who: Author, outcome: Outcome) -> None:
    """Whatever the change says of it: nothing, as somebody may make up, or a coordinator's word from an older page."""
    store = store_of_alice()
    store.grant(BOB.person_id, DOOR)
    fields = {"review_state": "approved"} if who is CAROL else {}
    base = [result.revision for result in taken(store, visit(1), visit(2, base=uuid(1), action=Action.VOID, set={}))][1]

    (result,) = taken(store, visit(3, base=base, set=fields), author=who)

    assert result.outcome is outcome
    assert result.code == ("" if outcome is Outcome.ACCEPTED else Held.NOT_THE_AUTHOR)
    assert store.records(COMMUNITY, [VISIT])[VISIT].is_void == (outcome is Outcome.HELD)


def test_what_a_phone_holds_is_judged_only_when_nothing_is_new() -> None:
    store = store_of_alice()
    taken(store, visit(1))
    held = digest_of([(VISIT, 2)])

    def verdict(
        *, author: Author = ALICE, epoch: str = "epoch-1", after: Position | None, digest: str = held
    ) -> Verdict:
        return compare(store, author=author, epoch=epoch, after=after, digest=digest)

    assert verdict(after=Position(2)) is Verdict.SAME
    assert verdict(after=Position(2), digest=digest_of([])) is Verdict.DIFFERS
    assert verdict(after=None) is Verdict.BEHIND
    assert verdict(after=Position(1)) is Verdict.BEHIND
    assert verdict(after=Position(2), epoch="epoch-0") is Verdict.BEHIND
    assert verdict(after=Position(2), author=replace(ALICE, is_revoked=True)) is Verdict.BEHIND
    store.withdraw(ALICE.person_id, DOOR, now=NOW)
    assert verdict(after=Position(2)) is Verdict.BEHIND, "a purge waits"
    assert verdict(after=Position(3), digest=digest_of([])) is Verdict.SAME


def test_a_digest_is_of_sorted_lines() -> None:
    lines = f"{uuid(1)} 3\n{uuid(2)} 1"

    assert digest_of([(uuid(2), 1), (uuid(1), 3)]) == sha256(lines.encode()).hexdigest()
    assert digest_of([]) == sha256(b"").hexdigest()
