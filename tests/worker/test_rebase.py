"""Laying the outbox over the replica: what the volunteer sees (static/sync/rebase.js)."""

from typing import Any

import pytest

from tests.javascript import JavaScript

ME = {"id": "me", "name": "Alice", "community": "示例社区"}
RECORD = {
    "kind": "visit",
    "id": "visit-1",
    "revision": 7,
    "author_id": "me",
    "author_name": "Alice",
    "made_at": 100,
    "received_at": 200,
    "is_void": False,
    "outcome": "met",
    "note": "old",
}


@pytest.fixture(scope="module")
def phone() -> JavaScript:
    return JavaScript("sync/entries.js", "sync/rebase.js")


def entry(sequence: int, *, set: dict[str, Any] | None = None, action: str = "put", **more: Any) -> dict[str, Any]:
    return {
        "sequence": sequence,
        "change_id": f"change-{sequence}",
        "record_id": "visit-1",
        "created_at": 1000 + sequence,
        "state": "waiting",
        "display": {"kind": "visit", "action": action, "set": set or {}, "made_at": 900 + sequence},
        "acknowledged_at": None,
        "revision": None,
        "epoch": None,
        "code": "",
    } | more


def acknowledged(sequence: int, *, revision: int, **more: Any) -> dict[str, Any]:
    more = {"acknowledged_at": 5000 + sequence, "epoch": "one", **more}
    return entry(sequence, state="acknowledged", revision=revision, **more)


def lay(phone: JavaScript, record: dict[str, Any] | None, *entries: dict[str, Any], uploading: str = "") -> Any:
    call = "(record, entries, me, uploading) => layOver({ record, entries, me, isUploading: (id) => id === uploading })"
    return phone.call(call, record, list(entries), ME, uploading)


def test_nothing_is_nothing(phone: JavaScript) -> None:
    assert lay(phone, None) is None


def test_pulled_record_without_entries_is_as_the_server_shows_it(phone: JavaScript) -> None:
    state = {"name": "uploaded", "code": "", "at": 200}

    assert lay(phone, RECORD) == RECORD | {"base": "7", "state": state}


def test_new_record_has_an_author_and_waits(phone: JavaScript) -> None:
    shown = lay(phone, None, entry(1, set={"outcome": "no_answer"}))

    assert shown == {
        "kind": "visit",
        "id": "visit-1",
        "revision": 0,
        "author_id": "me",
        "author_name": "Alice",
        "made_at": 901,
        "received_at": 0,
        "is_void": False,
        "outcome": "no_answer",
        "base": "change-1",
        "state": {"name": "waiting", "code": "", "at": 1001},
    }


def test_edit_lies_over_the_record(phone: JavaScript) -> None:
    shown = lay(phone, RECORD, entry(1, set={"note": "new"}))

    assert (shown["note"], shown["outcome"], shown["made_at"]) == ("new", "met", 100)
    assert (shown["base"], shown["state"]["name"]) == ("change-1", "waiting")


def test_later_edit_wins(phone: JavaScript) -> None:
    shown = lay(phone, RECORD, entry(1, set={"note": "one", "outcome": "refused"}), entry(2, set={"note": "two"}))

    assert (shown["note"], shown["outcome"], shown["base"]) == ("two", "refused", "change-2")


def test_void_withdraws_and_keeps_the_fields(phone: JavaScript) -> None:
    shown = lay(phone, RECORD, entry(1, action="void"))

    assert (shown["is_void"], shown["note"]) == (True, "old")


def test_put_after_void_brings_it_back(phone: JavaScript) -> None:
    shown = lay(phone, RECORD, entry(1, action="void"), entry(2, set={"note": "back"}))

    assert (shown["is_void"], shown["note"]) == (False, "back")


def test_upload_in_flight_is_shown(phone: JavaScript) -> None:
    assert lay(phone, RECORD, entry(1), uploading="change-1")["state"]["name"] == "uploading"


def test_acknowledged_entry_shows_until_the_record_covers_it(phone: JavaScript) -> None:
    taken = acknowledged(1, revision=9, display=entry(1, set={"note": "new"})["display"])

    before = lay(phone, RECORD, taken)
    after = lay(phone, RECORD | {"revision": 9, "note": "new", "received_at": 300}, taken)

    assert (before["note"], before["base"]) == ("new", "change-1")
    assert before["state"] == {"name": "uploaded", "code": "", "at": 5001}
    assert (after["note"], after["base"]) == ("new", "9")
    assert after["state"] == {"name": "uploaded", "code": "", "at": 300}


def test_covered_entry_does_not_lie_over_what_a_coordinator_did_since(phone: JavaScript) -> None:
    taken = acknowledged(1, revision=9, display=entry(1, set={"note": "mine"})["display"])

    assert lay(phone, RECORD | {"revision": 12, "note": "later"}, taken)["note"] == "later"


def test_held_entry_says_why_and_keeps_its_words(phone: JavaScript) -> None:
    held = entry(1, set={"note": "kept"}, state="held", code="not_in_scope", acknowledged_at=5001, epoch="one")

    shown = lay(phone, RECORD, held)

    assert shown["note"] == "kept"
    assert shown["state"] == {"name": "held", "code": "not_in_scope", "at": 5001}


def test_what_waits_counts_more_than_what_is_held(phone: JavaScript) -> None:
    held = entry(1, state="held", code="bad_field", acknowledged_at=5001)

    assert lay(phone, RECORD, held, entry(2))["state"]["name"] == "waiting"


def test_entry_offered_again_without_display_waits(phone: JavaScript) -> None:
    shown = lay(phone, RECORD, entry(1, display=None))

    assert (shown["note"], shown["base"], shown["state"]["name"]) == ("old", "7", "waiting")


def test_a_discard_is_nothing_that_people_see(phone: JavaScript) -> None:
    given_up = entry(2, display={"kind": "", "action": "discard", "set": {}, "made_at": 1})

    assert lay(phone, RECORD, given_up)["state"]["name"] == "uploaded"
    assert lay(phone, None, given_up) is None


def test_entry_without_display_or_record_is_not_shown(phone: JavaScript) -> None:
    assert lay(phone, None, acknowledged(1, revision=9, display=None)) is None


def test_the_record_given_is_left_alone(phone: JavaScript) -> None:
    call = """(record, entries, me) => {
        layOver({ record, entries, me });
        return record;
    }"""

    assert phone.call(call, RECORD, [entry(1, set={"note": "new"})], ME) == RECORD
