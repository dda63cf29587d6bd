"""The merge rules, one table each: base, what others made of it, what is proposed, what stands afterwards."""

from typing import Any

import pytest

from sync.changes import Conflict, Fields
from sync.kinds import Kind, Role, Rule
from sync.merge import Merged, as_list, fields_at, keep_both_notes, merge, merge_sets, more_cautious

DOOR = Kind(
    name="household",
    fields={
        "door": Rule.REGISTER,
        "risk": Rule.GUARD,
        "tags": Rule.SET,
        "remark": Rule.NOTES,
        "members": Rule.REGISTER,
    },
    writers=frozenset({Role.COORDINATOR}),
    caution={"risk": ("red", "yellow", "green")},
)
VISIT = Kind(
    name="visit",
    fields={"note": Rule.OWN, "photos": Rule.OWN, "review_state": Rule.REVIEW, "review_note": Rule.REVIEW},
    writers=frozenset({Role.VOLUNTEER, Role.COORDINATOR}),
    own_sets=("photos",),
)
RECORD = "0192a000-0000-7000-8000-000000000001"


def merged(kind: Kind, *, base: Fields, current: Fields, proposed: Fields, touched: set[str]) -> Merged:
    return merge(kind, record_id=RECORD, base=base, current=current, proposed=proposed, touched=touched)


SETTLED = [
    # field, base, current, proposed, what stands, is it a conflict
    ("door", "1", "2", "3", "2", True),
    ("members", ["a"], ["a", "b"], ["c"], ["a", "b"], True),
    ("unheard of", 1, 2, 3, 2, True),
    ("risk", "green", "yellow", "red", "red", True),
    ("risk", "yellow", "red", "green", "red", True),
    ("risk", "red", "green", "yellow", "yellow", True),
    ("tags", ["a"], ["a", "b"], ["a", "c"], ["a", "b", "c"], False),
    ("tags", ["a", "b"], ["a", "b", "c"], ["b"], ["b", "c"], False),
    ("tags", ["a"], [], ["a", "b"], ["b"], False),
    ("tags", None, ["a"], ["b", "a"], ["a", "b"], False),
    ("remark", "", "hers", "his", "hers\nhis", False),
    ("remark", None, None, "his", "his", False),
]


@pytest.mark.parametrize(("field", "base", "current", "proposed", "stands", "is_conflict"), SETTLED)
def test_a_field_that_both_changed_is_settled_by_its_rule(
    field: str, base: Any, current: Any, proposed: Any, stands: Any, is_conflict: bool
) -> None:
    found = merged(
        DOOR,
        base={field: base},
        current={field: current, "kept": "as it is"},
        proposed={field: proposed},
        touched={field},
    )

    conflicts = (Conflict(RECORD, field, current, proposed),) if is_conflict else ()
    assert found == Merged({field: stands, "kept": "as it is"}, conflicts, is_plain=False)


@pytest.mark.parametrize("field", ["door", "risk", "tags", "remark"])
def test_a_field_that_nobody_else_changed_is_set(field: str) -> None:
    found = merged(
        DOOR, base={field: "old"}, current={field: "old", "door2": "x"}, proposed={field: "new"}, touched=set()
    )

    assert found == Merged({field: "new", "door2": "x"}, (), is_plain=True)


def test_the_fields_of_a_change_are_settled_one_by_one() -> None:
    found = merged(
        DOOR,
        base={"door": "1", "risk": "green", "remark": ""},
        current={"door": "2", "risk": "green", "remark": ""},
        proposed={"door": "3", "risk": "red", "remark": "new"},
        touched={"door"},
    )

    assert found.fields == {"door": "2", "risk": "red", "remark": "new"}
    assert found.conflicts == (Conflict(RECORD, "door", "2", "3"),)
    assert not found.is_plain


def test_two_fields_in_dispute_are_two_conflicts() -> None:
    found = merged(
        DOOR,
        base={},
        current={"door": "2", "members": ["a"]},
        proposed={"door": "3", "members": ["b"]},
        touched={"door", "members"},
    )

    assert [each.field for each in found.conflicts] == ["door", "members"]


def test_proposing_what_already_stands_is_no_conflict() -> None:
    found = merged(DOOR, base={"door": "1"}, current={"door": "2"}, proposed={"door": "2"}, touched={"door"})

    assert found == Merged({"door": "2"}, (), is_plain=False)


def test_what_is_given_is_left_as_it_was() -> None:
    current, proposed = {"tags": ["a"], "door": "1"}, {"tags": ["b"], "door": "2"}

    merged(DOOR, base={"tags": []}, current=current, proposed=proposed, touched={"tags"})

    assert (current, proposed) == ({"tags": ["a"], "door": "1"}, {"tags": ["b"], "door": "2"})


def test_an_amendment_is_its_author_s_own_whoever_touched_what() -> None:
    found = merged(VISIT, base={"note": "a"}, current={"note": "b"}, proposed={"note": "c"}, touched={"note"})

    assert (found.fields, found.conflicts) == ({"note": "c"}, ())


@pytest.mark.parametrize(("touched", "stands"), [(set(), ["c"]), ({"photos"}, ["b", "c"])])
def test_an_author_s_set_is_settled_by_element_where_another_device_of_hers_touched_it(
    touched: set[str], stands: list[str]
) -> None:
    found = merged(
        VISIT, base={"photos": ["a"]}, current={"photos": ["a", "b"]}, proposed={"photos": ["c"]}, touched=touched
    )

    assert (found.fields, found.conflicts) == ({"photos": stands}, ())


def test_the_last_review_counts() -> None:
    found = merged(
        VISIT,
        base={},
        current={"note": "a", "review_state": "approved"},
        proposed={"review_state": "sent_back"},
        touched={"review_state"},
    )

    assert (found.fields["review_state"], found.conflicts) == ("sent_back", ())


REVIEWS = [
    # current, proposed, touched by others, is the review outdated (None: nothing is said of it)
    ({"note": "a"}, {"note": "b"}, set(), None),
    ({"note": "a"}, {"review_state": "approved"}, set(), False),
    ({"note": "b"}, {"review_state": "approved"}, {"note"}, True),
    ({"note": "a"}, {"review_state": "approved"}, {"review_note"}, False),
    ({"note": "a", "review_state": "approved"}, {"note": "b"}, set(), True),
    ({"note": "a", "review_state": "approved"}, {"note": "b"}, {"review_state"}, True),
    ({"note": "a", "review_state": "approved"}, {"review_note": "thanks"}, set(), None),
    ({"note": "a", "review_state": "approved", "review_outdated": True}, {"review_state": "approved"}, set(), False),
]


@pytest.mark.parametrize(("current", "proposed", "touched", "is_outdated"), REVIEWS)
def test_a_review_that_an_amendment_crossed_says_so(
    current: Fields, proposed: Fields, touched: set[str], is_outdated: bool | None
) -> None:
    found = merged(VISIT, base={}, current=current, proposed=proposed, touched=touched)

    assert found.fields.get("review_outdated") is is_outdated


@pytest.mark.parametrize(
    ("base", "current", "proposed", "expected"),
    [
        ([], [], [], []),
        (["a"], ["a"], [], []),
        (["a"], ["b", "a"], ["a", "c"], ["b", "a", "c"]),
        (["a"], [], ["a"], []),
        ("no list", ["a"], None, ["a"]),
        (("a",), ("a", "b"), ("a",), ["a", "b"]),
        ([["x"]], [["x"], ["y"]], [], [["y"]]),
    ],
)
def test_sets_are_merged_by_element(base: Any, current: Any, proposed: Any, expected: list[Any]) -> None:
    assert merge_sets(base, current, proposed) == expected


@pytest.mark.parametrize(
    ("current", "proposed", "expected"),
    [
        ("", "", ""),
        (None, None, ""),
        ("", "his", "his"),
        ("hers", "", "hers"),
        ("hers", None, "hers"),
        ("hers and his", "his", "hers and his"),
        ("hers", "his", "hers\nhis"),
        (7, 8, "7\n8"),
        (7, None, "7"),
        (None, 8, "8"),
    ],
)
def test_notes_keep_both(current: Any, proposed: Any, expected: str) -> None:
    assert keep_both_notes(current, proposed) == expected


def test_without_an_order_of_caution_the_current_value_is_shown() -> None:
    assert more_cautious((), "a", "b") == "a"
    assert more_cautious(("x", "b"), "a", "b") == "b"
    assert more_cautious(("x", "y"), "a", "b") == "a"


def test_a_list_is_copied() -> None:
    given = ["a"]

    assert as_list(given) == given
    assert as_list(given) is not given
    assert as_list({"a"}) == []


def test_fields_at_a_revision_are_folded_in_feed_order() -> None:
    history = [(5, {"a": 5, "b": 5}), (2, {"a": 2, "c": 2}), (9, {"a": 9})]

    assert fields_at(history, 1) == {}
    assert fields_at(history, 2) == {"a": 2, "c": 2}
    assert fields_at(history, 8) == {"a": 5, "b": 5, "c": 2}
    assert fields_at(history, 9) == {"a": 9, "b": 5, "c": 2}
