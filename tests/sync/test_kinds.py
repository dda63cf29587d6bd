"""What a kind says of its fields."""

import pytest

from sync.kinds import Kind, Role, Rule, kinds_by_name

WRITERS = frozenset({Role.VOLUNTEER})
VISIT = Kind("visit", {"note": Rule.OWN, "review_state": Rule.REVIEW, "held_in": Rule.SERVER}, WRITERS)
HOUSEHOLD = Kind("household", {"door": Rule.REGISTER, "tags": Rule.SET}, WRITERS, scope_field="id")


def test_a_field_that_is_not_listed_is_its_author_s_where_anything_is() -> None:
    assert (VISIT.rule("note"), VISIT.rule("review_state"), VISIT.rule("of a newer phone")) == (
        Rule.OWN,
        Rule.REVIEW,
        Rule.OWN,
    )
    assert (HOUSEHOLD.rule("tags"), HOUSEHOLD.rule("of a newer phone")) == (Rule.SET, Rule.REGISTER)


def test_an_author_s_own_set_is_a_set_and_hers() -> None:
    kind = Kind("visit", {"note": Rule.OWN, "photos": Rule.OWN}, WRITERS, own_sets=("photos",))

    assert [kind.is_set(name) for name in ("note", "photos", "of a newer phone")] == [False, True, False]
    assert kind.rule("photos") is Rule.OWN
    assert [HOUSEHOLD.is_set(name) for name in HOUSEHOLD.fields] == [False, True]


def test_each_writer_has_fields_that_it_may_not_write() -> None:
    writers = frozenset({Role.VOLUNTEER, Role.COORDINATOR})
    kind = Kind("visit", {"note": Rule.OWN, "review_state": Rule.REVIEW, "held_in": Rule.SERVER}, writers)

    assert kind.forbidden == {Role.VOLUNTEER: {"review_state", "held_in"}, Role.COORDINATOR: {"held_in"}}
    own = Kind("log", {"line": Rule.SERVER}, frozenset({Role.SERVER}))
    assert own.forbidden == {Role.SERVER: frozenset()}


def test_a_record_is_filed_under_its_household_unless_its_kind_says_otherwise() -> None:
    assert (VISIT.scope_field, VISIT.indexes, VISIT.caution) == ("household_id", (), {})
    assert HOUSEHOLD.scope_field == "id"


def test_a_kind_is_declared_once() -> None:
    assert kinds_by_name(VISIT, HOUSEHOLD) == {"visit": VISIT, "household": HOUSEHOLD}
    with pytest.raises(ValueError, match=r"a kind is declared twice: \['visit', 'household', 'visit'\]"):
        kinds_by_name(VISIT, HOUSEHOLD, VISIT)


def test_an_id_made_of_fields_is_that_of_these_alone_whatever_they_hold() -> None:
    """With the values only strung together two would look alike, and half a character would stop a whole push."""
    kind = Kind("attendance", {}, frozenset(), once_per=("event_id", "person_id"))

    ids = [
        kind.record_id_of({"event_id": event, "person_id": person, "state": "attended"})
        for event, person in (("a", "b:c"), ("a:b", "c"), ("a", None), ("a", "None"), ("a", "\ud800"), ("a", ["b"]))
    ]

    assert len(set(ids)) == len(ids)
    assert kind.record_id_of({"event_id": "a", "person_id": "b:c", "state": "absent"}) == ids[0]
