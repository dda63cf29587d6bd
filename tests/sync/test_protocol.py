"""What a message may say, and what each thing that it says wrongly is called. The frozen bodies are in vectors/wire.json."""

import json
from dataclasses import replace
from typing import Any

import pytest

from sync.changes import SEQUENCE_MAX, TIME_MAX, Action, Change, Outcome, Record, Result
from sync.engine import Page
from sync.errors import MalformedMessage, SyncError, TryLater, UnknownDevice
from sync.protocol import (
    CHANGES_MAX,
    DEPTH_MAX,
    PAGE_RECORDS_DEFAULT,
    PAGE_RECORDS_MAX,
    Envelope,
    Message,
    decode_change,
    decode_cursor,
    decode_envelope,
    decode_message,
    depth,
    encode_answer,
    encode_records,
    is_storable,
)
from sync.store import Position, Slice

ONE = "0192a000-0000-7000-8000-000000000001"
TWO = "0192a000-0000-7000-8000-000000000002"


def test_a_message_that_says_only_its_version_means_the_defaults() -> None:
    assert decode_message({"protocol": 1}) == Message(
        schema=1,
        now=0,
        epoch="",
        high_water=0,
        cursor=None,
        limit=PAGE_RECORDS_DEFAULT,
        envelopes=[],
        settings={},
        wants_columns=False,
    )


def test_a_message_says_everything() -> None:
    wire = {
        "protocol": 1,
        "schema": 3,
        "now": -5,
        "epoch": "e" * 70,
        "high_water": 9,
        "cursor": f"4.{ONE}",
        "limit": 7,
        "changes": [{"change_id": ONE, "device_sequence": 9, "sealed": "abc"}],
        "settings": {"language": "en"},
        "form": "columns",
    }

    assert decode_message(wire) == Message(
        schema=3,
        now=-5,
        epoch="e" * 64,
        high_water=9,
        cursor=Position(4, ONE),
        limit=7,
        envelopes=[Envelope(ONE, 9, "abc", None)],
        settings={"language": "en"},
        wants_columns=True,
    )


@pytest.mark.parametrize(("asked", "given"), [(0, 1), (1, 1), (PAGE_RECORDS_MAX, PAGE_RECORDS_MAX), (10**6, 1000)])
def test_a_page_has_its_bounds(asked: int, given: int) -> None:
    assert decode_message({"protocol": 1, "limit": asked}).limit == given


@pytest.mark.parametrize("name", ["schema", "high_water", "limit", "now"])
@pytest.mark.parametrize("value", ["1", 1.5, True, None, SEQUENCE_MAX + 1])
def test_a_number_that_is_none_is_named(name: str, value: object) -> None:
    with pytest.raises(MalformedMessage) as refused:
        decode_message({"protocol": 1, name: value})

    low = -TIME_MAX if name == "now" else 0
    assert refused.value.code == "bad_message"
    assert refused.value.message == f"{name} must be a whole number from {low} to {SEQUENCE_MAX}"


@pytest.mark.parametrize(("name", "value"), [("now", -TIME_MAX), ("now", TIME_MAX), ("high_water", SEQUENCE_MAX)])
def test_a_number_at_its_bound_is_fine(name: str, value: int) -> None:
    assert getattr(decode_message({"protocol": 1, name: value}), name) == value


@pytest.mark.parametrize(
    ("wire", "code", "words"),
    [
        ([], "bad_message", "the body must be a JSON object"),
        ({}, "unknown_protocol", "protocol must be 1 to 1"),
        ({"protocol": 0}, "unknown_protocol", "protocol must be 1 to 1"),
        ({"protocol": 2}, "unknown_protocol", "protocol must be 1 to 1"),
        ({"protocol": "1"}, "unknown_protocol", "protocol must be 1 to 1"),
        ({"protocol": 1, "changes": {}}, "bad_message", "changes must be a list"),
        ({"protocol": 1, "changes": [{}] * (CHANGES_MAX + 1)}, "too_many_changes", "at most 200 changes a message"),
        ({"protocol": 1, "cursor": 4}, "bad_message", "cursor and epoch must be text"),
        ({"protocol": 1, "epoch": None}, "bad_message", "cursor and epoch must be text"),
        ({"protocol": 1, "settings": []}, "bad_message", "settings must map names to text"),
        ({"protocol": 1, "settings": {"size": 2}}, "bad_message", "settings must map names to text"),
    ],
)
def test_a_message_that_cannot_be_read_says_why(wire: Any, code: str, words: str) -> None:
    with pytest.raises(MalformedMessage) as refused:
        decode_message(wire)

    assert (refused.value.code, refused.value.message, str(refused.value)) == (code, words, words)


def test_as_many_changes_as_a_message_may_have_are_read() -> None:
    assert len(decode_message({"protocol": 1, "changes": [{}] * CHANGES_MAX}).envelopes) == CHANGES_MAX


def nested(levels: int, inside: Any = 1) -> Any:
    found = inside
    for level in range(levels):
        found = [found] if level % 2 else {"inner": found}
    return found


def test_nesting_is_counted_level_by_level() -> None:
    values: list[Any] = [1, "text", None, [], {}, [[]], [1, {"a": []}]]
    assert [depth(value) for value in values] == [0, 0, 0, 1, 1, 2, 3]
    assert [depth(nested(levels)) for levels in (1, 16, 300)] == [1, 16, 300]
    assert depth({"a": 1, "b": [2, [3]]}) == 3


def test_a_message_that_nests_too_deep_is_refused_whole() -> None:
    deepest = {"protocol": 1, "future": nested(DEPTH_MAX - 1)}
    assert decode_message(deepest).schema == 1
    with pytest.raises(MalformedMessage, match="the body nests deeper than 16") as refused:
        decode_message({"protocol": 1, "future": nested(DEPTH_MAX)})
    assert refused.value.code == "bad_message"


def test_a_change_that_nests_too_deep_does_not_stop_its_neighbours() -> None:
    message = decode_message({"protocol": 1, "changes": [{"change": {"set": nested(200)}}, {"change": {"a": 1}}]})
    assert [envelope.change for envelope in message.envelopes] == [{"set": nested(200)}, {"a": 1}]


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        ("rubbish", Envelope("", 0, None, None)),
        ({}, Envelope("", 0, None, None)),
        ({"change_id": ONE, "device_sequence": 3, "sealed": "s"}, Envelope(ONE, 3, "s", None)),
        ({"change_id": ONE, "device_sequence": 0, "change": {"a": 1}}, Envelope(ONE, 0, None, {"a": 1})),
        ({"change_id": 7, "device_sequence": SEQUENCE_MAX}, Envelope("7", SEQUENCE_MAX, None, None)),
        ({"change_id": "x" * 65, "device_sequence": SEQUENCE_MAX + 1}, Envelope("x" * 64, 0, None, None)),
        ({"change_id": "\ud800", "device_sequence": -1}, Envelope("\\ud800", 0, None, None)),
        ({"change_id": ONE, "device_sequence": True, "sealed": 1, "change": []}, Envelope(ONE, 0, None, None)),
    ],
)
def test_an_envelope_is_read_whatever_it_is(wire: Any, expected: Envelope) -> None:
    assert decode_envelope(wire) == expected


WIRE = {
    "change_id": ONE,
    "device_sequence": 3,
    "kind": "visit",
    "record_id": TWO,
    "action": "put",
    "base": 4,
    "set": {"note": "x"},
    "made_at": 5,
    "schema": 2,
}
ENVELOPE = Envelope(ONE, 3, "s", None)


def test_a_change_is_read() -> None:
    assert decode_change(WIRE, envelope=ENVELOPE) == Change(ONE, 3, "visit", TWO, Action.PUT, 4, {"note": "x"}, 5, 2)


def test_what_a_change_leaves_out_has_a_default() -> None:
    wire = {name: WIRE[name] for name in ("change_id", "device_sequence", "kind", "record_id")} | {"action": "void"}

    assert decode_change(wire, envelope=ENVELOPE) == Change(ONE, 3, "visit", TWO, Action.VOID, 0, {}, 0, 1)


def test_a_kind_is_forty_letters_at_most() -> None:
    assert decode_change({**WIRE, "kind": "k" * 41}, envelope=ENVELOPE).kind == "k" * 40


ID_WORDS = "must be a lower-case UUID"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"change_id": TWO}, "the envelope names another change"),
        ({"device_sequence": 4}, "the envelope names another change"),
        ({"set": []}, "set must be an object"),
        ({"kind": None}, "kind must be text"),
        ({"kind": "unreadable"}, "kind must be one of the community's"),
        ({"record_id": 1}, "record_id must be text"),
        ({"action": 1}, "action must be text"),
        ({"action": "delete"}, "action must be put, void or discard"),
        ({"record_id": "no id"}, f"record_id {ID_WORDS}"),
        ({"record_id": TWO.upper().replace("0192A", "0192B")}, f"record_id {ID_WORDS}"),
        ({"base": "no id"}, f"base {ID_WORDS}"),
        ({"base": -1}, f"base must be a whole number from 0 to {SEQUENCE_MAX}"),
        ({"base": None}, f"base must be a whole number from 0 to {SEQUENCE_MAX}"),
        ({"made_at": "now"}, f"made_at must be a whole number from {-TIME_MAX} to {TIME_MAX}"),
        ({"made_at": TIME_MAX + 1}, f"made_at must be a whole number from {-TIME_MAX} to {TIME_MAX}"),
        ({"schema": 0}, "schema must be a whole number from 1 to 10000"),
        ({"schema": 10_001}, "schema must be a whole number from 1 to 10000"),
        ({"action": "void"}, "a void carries no fields"),
        ({"action": "discard"}, "a discard carries no fields"),
    ],
)
def test_a_change_that_breaks_the_protocol_says_why(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(MalformedMessage) as refused:
        decode_change({**WIRE, **changed}, envelope=ENVELOPE)

    assert (refused.value.code, refused.value.message) == ("bad_change", words)


@pytest.mark.parametrize(
    "changed",
    [{"base": ONE}, {"base": SEQUENCE_MAX}, {"made_at": -TIME_MAX}, {"schema": 10_000}, {"schema": 1}, {"base": 0}],
)
def test_a_change_at_its_bounds_is_read(changed: dict[str, Any]) -> None:
    read = decode_change({**WIRE, **changed}, envelope=ENVELOPE)

    assert {name: getattr(read, name) for name in changed} == changed


def test_a_change_is_numbered_within_its_bounds() -> None:
    with pytest.raises(MalformedMessage, match=f"device_sequence must be a whole number from 0 to {SEQUENCE_MAX}"):
        Change(ONE, -1, "visit", TWO, Action.PUT, 0, {}, 0, 1)
    with pytest.raises(MalformedMessage, match=f"change_id {ID_WORDS}"):
        Change("x", 1, "visit", TWO, Action.PUT, 0, {}, 0, 1)


def test_the_number_that_a_change_came_under_is_no_content() -> None:
    first = decode_change(WIRE, envelope=ENVELOPE)
    other = decode_change({**WIRE, "device_sequence": 8}, envelope=Envelope(ONE, 8, None, None))

    assert first.content() == other.content() == ("visit", TWO, "put", 4, {"note": "x"}, 5, 2)


RECORD = Record("visit", ONE, 7, TWO, TWO, "Alice", 5, 6, False, {"note": "x"})
FLAT = {
    "note": "x",
    "kind": "visit",
    "id": ONE,
    "revision": 7,
    "author_id": TWO,
    "author_name": "Alice",
    "made_at": 5,
    "received_at": 6,
    "is_void": False,
    "scope_id": TWO,
}


def test_an_answer_carries_the_page_and_the_epoch() -> None:
    page = Page(Slice([RECORD], [TWO], Position(7, ONE), is_complete=False), "epoch-1", is_reset=True, total=2)

    answer = encode_answer(
        page=page,
        results=[Result(ONE, Outcome.ACCEPTED, 7).wire()],
        missing=[[1, 2]],
        now=9,
        oldest_schema=1,
        standing="active",
    )

    assert answer == {
        "protocol": 1,
        "now": 9,
        "epoch": "epoch-1",
        "results": [{"change_id": ONE, "outcome": "accepted", "revision": 7}],
        "missing": [[1, 2]],
        "reset": True,
        "records": {"visit": [FLAT]},
        "purge": [TWO],
        "cursor": f"7.{ONE}",
        "more": True,
        "oldest_schema": 1,
        "standing": "active",
        "pause_ms": 0,
        "total": 2,
    }


def test_the_last_page_of_a_later_sync_has_no_total() -> None:
    page = Page(Slice([], [], Position(7), is_complete=True), "epoch-1", is_reset=False, total=None)
    written = {"visit": ["as it is stored"]}

    answer = encode_answer(
        page=page, results=[], missing=[], now=9, oldest_schema=1, standing="active", records=written
    )

    assert (answer["more"], answer["cursor"], answer["records"]) == (False, "7.", written)
    assert not {"total", "columns"} & answer.keys()


def test_columns_stand_in_place_of_records() -> None:
    page = Page(Slice([RECORD], [], Position(7), is_complete=True), "epoch-1", is_reset=False, total=None)

    answer = encode_answer(
        page=page, results=[], missing=[], now=9, oldest_schema=1, standing="active", as_columns=True
    )

    assert "records" not in answer
    assert answer["columns"]["ids"] == [ONE, TWO]


def test_records_stand_by_kind_in_their_order() -> None:
    need = Record("need", TWO, 8, TWO, TWO, "", 5, 6, True, {})

    found = encode_records([RECORD, need, replace(RECORD, revision=9)])

    assert list(found) == ["visit", "need"]
    assert [record["revision"] for record in found["visit"]] == [7, 9]
    assert found["need"][0]["is_void"] is True


def test_a_result_says_no_more_than_there_is() -> None:
    held = Result(ONE, Outcome.HELD, code="bad_field", detail="note")

    assert held.wire() == {
        "change_id": ONE,
        "outcome": "held",
        "revision": 0,
        "code": "bad_field",
        "detail": "note",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [(f"{SEQUENCE_MAX}.", Position(SEQUENCE_MAX)), (f"{SEQUENCE_MAX + 1}.", None), ("0" * 20 + "9" * 30 + ".", None)],
)
def test_a_cursor_has_the_bounds_of_a_number(text: str, expected: Position | None) -> None:
    assert decode_cursor(text) == expected


def test_an_error_says_whether_to_try_again() -> None:
    later = TryLater("storage", "the disk is full", retry_after_seconds=30)

    assert (later.code, later.message, later.retry_after_seconds, later.retry) == (
        "storage",
        "the disk is full",
        30,
        True,
    )
    assert [error("code", "words").retry for error in (SyncError, MalformedMessage, UnknownDevice)] == [False] * 3


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"set": {"note": "示例", "needs": ["meal"], "sum": 1, "is": None}}, True),
        (nested(DEPTH_MAX), True),
        (nested(DEPTH_MAX, "deep"), True),
        (nested(DEPTH_MAX + 1), False),
        (nested(500), False),
        ({"set": {"note": "a\0b"}}, False),
        ({"set": {"a\0b": 1}}, False),
        ({"needs": [["\0"]]}, False),
        (nested(DEPTH_MAX, "\0"), False),
        ({"note": "\\u0000"}, True),
    ],
)
def test_what_no_store_keeps_or_no_page_shows_is_known(value: Any, expected: bool) -> None:
    assert is_storable(value, json.dumps(value).encode()) is expected
