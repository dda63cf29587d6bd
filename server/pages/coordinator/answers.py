"""What was written in a record or a change, as lines of label and answer, ready for a template."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from server.forms import Control, Field, is_date
from server.kinds import KINDS
from server.visit_form import FORMS, NEED_FORM, OUTING_FORM, STEPS_FORM, VISIT_FORM
from server.vocabularies import CONSENT, NEED, NEED_STATE, OCCASION, RISK, URGENCY
from sync.changes import RESERVED

TIMES = ("started_at", "ended_at")
# What is no answer: where it is filed, and what stands beside the fields of a record that is shown.
LEFT_OUT = RESERVED | {
    "household_id",
    "round_id",
    "visit_id",
    "volunteer_id",
    "review_outdated",
    "base",
    "household",
    "attention",
    "attachments",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """`label` is a catalogue key, or the plain name of a field nobody declared. `shape` says how to print the values:
    code (catalogue keys), day, moment or text."""

    label: str
    is_declared: bool
    shape: str
    values: tuple[Any, ...]


def answers(fields: Mapping[str, Any]) -> list[Answer]:
    """In the order of the form; then what a review or a newer phone added."""
    asked = [
        Answer(f"visit.{each.name}", True, *shape_of(each, value))
        for each in VISIT_FORM.fields
        if (value := fields.get(each.name)) not in (None, "", [])
    ]
    asked += [
        Answer(f"steps.{name}", True, "moment", (fields[name],))
        for name in STEPS_FORM.field_names()
        if isinstance(fields.get(name), int)
    ]
    asked += [
        Answer(f"outing.{each.name}", True, *shape_of(each, value))
        for each in OUTING_FORM.fields
        if (value := fields.get(each.name)) not in (None, "", [])
    ]
    asked += [
        Answer(f"promise.{each.name}", True, *shape_of(each, value))
        for each in NEED_FORM.fields
        if (value := fields.get(each.name)) not in (None, "", [])
    ]
    declared = {name for form in FORMS.values() for name in form.field_names()}
    others = [
        other_answer(name, value)
        for name, value in fields.items()
        if name not in declared and name not in LEFT_OUT and value not in (None, "", [])
    ]
    return [*asked, *others]


def answers_of(kind: str, fields: Mapping[str, Any]) -> list[Answer]:
    """Of what several people write each field by its name, of all else as `answers`."""
    if kind not in SHARED_KINDS:
        return answers(fields)
    return [field_answer(kind, name, value) for name, value in fields.items() if name not in LEFT_OUT]


def label_of(kind: str, name: str) -> str:
    """The catalogue key of a field's label, "" where there is none."""
    if kind in SHARED_KINDS:
        return f"coordinator.of.{name}" if name in SHARED_FIELDS else ""
    forms = {"visit": VISIT_FORM, "steps": STEPS_FORM, "outing": OUTING_FORM}
    return next((f"{group}.{name}" for group, form in forms.items() if name in form.field_names()), "")


def emptied(fields: Mapping[str, Any]) -> list[str]:
    """The form's fields that a change set to nothing: an edit, too."""
    return [each.name for each in VISIT_FORM.fields if each.name in fields and fields[each.name] in (None, "", [])]


def shape_of(field: Field, value: Any) -> tuple[str, tuple[Any, ...]]:
    """A value that its own declaration would refuse is shown as it stands: somebody sent it, somebody must read it."""
    if field.vocabulary is not None:
        codes = tuple(value) if isinstance(value, list) else (value,)
        if all(isinstance(code, str) and code in field.vocabulary.codes for code in codes):
            return "code", tuple(f"{field.vocabulary.name}.{code}" for code in codes)
    if field.control is Control.DATE and isinstance(value, str) and is_date(value):
        return "day", (value,)
    if field.control is Control.NAMES and isinstance(value, list):
        return "text", tuple(map(readable, value))
    return "text", (readable(value),)


# Codes of the fields that several people write; their words stand in the catalogue.
VOCABULARIES = {
    "risk": RISK,
    "consent_state": CONSENT,
    "urgency": URGENCY,
    "service": NEED,
    "need_state": NEED_STATE,
    "occasion": OCCASION,
}
SHARED_KINDS = ("household", "building", "round", "need")
SHARED_FIELDS = frozenset(name for kind in SHARED_KINDS for name in KINDS[kind].fields)


def field_answer(kind: str, name: str, value: Any) -> Answer:
    """One field of a household, a round or a need, by its name in the catalogue where it has one."""
    label = f"coordinator.of.{name}"
    is_declared = kind in SHARED_KINDS and name in SHARED_FIELDS
    if value in (None, "", []):
        return Answer(label if is_declared else name, is_declared, "code", ("coordinator.of.nothing",))
    if isinstance(value, bool):
        return Answer(
            label if is_declared else name, is_declared, "code", (f"coordinator.of.{'yes' if value else 'no'}",)
        )
    if is_declared and name in VOCABULARIES and isinstance(value, str) and value in VOCABULARIES[name].codes:
        return Answer(label, True, "code", (f"{VOCABULARIES[name].name}.{value}",))
    if isinstance(value, str) and is_date(value):
        return Answer(label if is_declared else name, is_declared, "day", (value,))
    return Answer(label if is_declared else name, is_declared, "text", (readable(value),))


def other_answer(name: str, value: Any) -> Answer:
    if name == "review_state" and value in ("approved", "sent_back"):
        return Answer("coordinator.field.review_state", True, "code", (f"review.{value}",))
    if name == "review_note":
        return Answer("coordinator.field.review_note", True, "text", (readable(value),))
    if name in TIMES and isinstance(value, int):
        return Answer(f"coordinator.field.{name}", True, "moment", (value,))
    return Answer(name, False, "text", (readable(value),))


def readable(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
