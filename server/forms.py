"""Form declarations and their validation. A form is data: the same declaration drives the macro that draws it
(templates/forms/), this validator, its twin in static/worker/forms.js, and exports.

`sync/vectors/forms.json` pins both validators to each other.
"""

import re
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from functools import lru_cache, partial
from typing import Any

from server.vocabularies import Vocabulary, Words


class Control(StrEnum):
    CHOICE = "choice"
    CHOICES = "choices"
    DATE = "date"
    TEXT = "text"
    NAMES = "names"  # some of a household's members
    MOMENT = "moment"  # ticked: ms UTC of the tick
    CLOCK = "clock"  # a time of the local day, as somebody says it: 08:40


@dataclass(frozen=True, slots=True)
class When:
    """Shown when the named field holds one of the values (for a list: when it holds any of them)."""

    field: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sooner:
    """Other days than usual while an answer says so: as many as stand beside what a record field holds."""

    when: When
    by: str
    days: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Default:
    """What a new form begins with: a fixed `value`, a `record` field ("household.consent_state"), or today plus the
    number of `days` a record field holds ("household.interval_days"). `all_good` is what 一切都好 answers."""

    value: str = ""
    record: str = ""
    days: str = ""
    sooner: Sooner | None = None
    all_good: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    """One question. `shown_when` conditions must all hold. `limit` counts characters (code points) of a text."""

    name: str
    control: Control
    label: Words
    vocabulary: Vocabulary | None = None
    is_required: bool = False
    shown_when: tuple[When, ...] = ()
    limit: int = 0
    default: Default = field(default_factory=Default)
    help: Words | None = None
    group: str = ""  # fields of one group are drawn together; "wellbeing" gets the button 一切都好


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    name: str
    kind: str
    fields: tuple[Field, ...]

    def field_names(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.fields)


CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f]")
MOMENT = re.compile(r"[1-9][0-9]{0,14}", re.ASCII).fullmatch
CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]", re.ASCII).fullmatch

Submitted = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Problem:
    """A catalogue key (`problem.<code>`) and the words that fill it; `label` is the field's own catalogue key."""

    code: str
    label: str
    limit: int = 0


@dataclass(frozen=True, slots=True)
class Checked:
    values: dict[str, Any]
    problems: dict[str, Problem]


def check_submitted(form: Form, submitted: Submitted) -> Checked:
    """Reads what a form sent. `values` has every field shown and filled; nothing typed is dropped: a value that fits
    no rule is a problem that names its field, and the page shows the form again with the text still in it."""
    values: dict[str, Any] = {}
    problems: dict[str, Problem] = {}
    for each in form.fields:
        raw = [normalise(text) for text in submitted.get(each.name, ())]
        filled = [text for text in raw if text != ""]
        problem, value = read(each, filled)
        if is_shown(each, values):
            if problem is None and not filled and each.is_required:
                problem = "required"
        elif filled:
            problem = "not_shown"
        if problem is not None:
            problems[each.name] = Problem(problem, f"{form.name}.{each.name}", each.limit)
        elif filled:
            values[each.name] = value
    return Checked(values, problems)


Fits = Callable[[Any], bool]
EMPTY: tuple[Any, ...] = (None, "", [])  # always allowed in a change: clearing an answer is an edit


def declared(*forms: Form) -> tuple[Mapping[str, frozenset[str]], Mapping[str, Fits]]:
    """How a change of the kind that these forms write is checked: the allowed values of each choice (most of a visit is
    choices), and for every other field whether a value fits."""
    fields = [each for form in forms for each in form.fields]
    choices = {
        each.name: frozenset({"", *(each.vocabulary.codes if each.vocabulary else ())})
        for each in fields
        if each.control is Control.CHOICE
    }
    return choices, {each.name: partial(fits, each) for each in fields if each.name not in choices}


def fits(each: Field, value: Any) -> bool:
    return (not value and value in EMPTY) or not PROBLEMS[each.control](each, value)


def read(each: Field, filled: list[str]) -> tuple[str | None, Any]:
    """One field's texts -> (problem code or None, value)."""
    if not filled:
        return None, None
    if each.control not in LISTS and len(filled) > 1:
        return "unknown_choice", None
    value: Any = filled if each.control in LISTS else filled[0]
    problem = PROBLEMS[each.control](each, value)
    if problem:
        return problem, None
    return None, int(value) if each.control is Control.MOMENT else value


LISTS = (Control.CHOICES, Control.NAMES)
NAMES_MAX = 20
NAME_MAX = 40  # characters of one

# What is wrong with a value that is not empty, or "". A change may bring a value of any type.


def choice_problem(each: Field, value: Any) -> str:
    return "" if isinstance(value, str) and value in codes_of(each) else "unknown_choice"


def choices_problem(each: Field, value: Any) -> str:
    if value.__class__ is not list:
        return "unknown_choice"
    try:
        chosen = set(value)
    except TypeError:  # what no set takes is no code
        return "unknown_choice"
    if len(chosen) < len(value) or not chosen <= codes_of(each):
        return "unknown_choice"
    return "none_with_others" if len(value) > 1 and "none" in chosen else ""


def names_problem(each: Field, value: Any) -> str:
    return "" if are_names(value, limit=each.limit) else "unknown_choice"


def are_names(value: Any, *, limit: int = NAME_MAX) -> bool:
    """Some of a household, each named once."""
    if not is_list_of_texts(value) or len(value) > NAMES_MAX or len(set(value)) < len(value):
        return False
    return not any(len(name) > limit or CONTROL.search(name) for name in value)


def date_problem(each: Field, value: Any) -> str:
    return "" if isinstance(value, str) and is_date(value) else "bad_date"


def clock_problem(each: Field, value: Any) -> str:
    return "" if isinstance(value, str) and CLOCK(value) else "bad_time"


def moment_problem(each: Field, value: Any) -> str:
    """A form sends its digits, a record holds the number."""
    text = str(value) if isinstance(value, int) else value
    return "" if isinstance(text, str) and MOMENT(text) else "unknown_choice"


def text_problem(each: Field, value: Any) -> str:
    if not isinstance(value, str):
        return "unknown_choice"
    if not value.isprintable() and CONTROL.search(value):
        return "control_character"
    return "too_long" if len(value) > each.limit else ""


PROBLEMS: Mapping[Control, Callable[[Field, Any], str]] = {
    Control.CHOICE: choice_problem,
    Control.CHOICES: choices_problem,
    Control.NAMES: names_problem,
    Control.DATE: date_problem,
    Control.CLOCK: clock_problem,
    Control.MOMENT: moment_problem,
    Control.TEXT: text_problem,
}


def is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(each.__class__ is str for each in value)


def codes_of(each: Field) -> Set[str]:
    return each.vocabulary.words.keys() if each.vocabulary else set()


def is_shown(each: Field, values: Mapping[str, Any]) -> bool:
    return all(holds(condition, values.get(condition.field)) for condition in each.shown_when)


def holds(condition: When, value: Any) -> bool:
    if isinstance(value, list):
        return any(item in condition.values for item in value)
    return value in condition.values


def is_date(text: str) -> bool:
    """YYYY-MM-DD of a real day between 2000 and 2099."""
    return len(text) == 10 and is_day(text)  # before the cache, which would keep whatever it was asked


@lru_cache(maxsize=1024)
def is_day(text: str) -> bool:
    if not text.isascii() or text[4] != "-" or text[7] != "-" or not text.startswith("20"):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def normalise(text: str) -> str:
    """Browsers send line ends as CR LF; both hosts keep LF. Outer white space is never meant."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip(" \n\t")


def form_wire(form: Form) -> dict[str, Any]:
    """The declaration as the phone reads it, inside the worker's script."""
    return {"name": form.name, "kind": form.kind, "fields": [field_wire(each) for each in form.fields]}


def field_wire(each: Field) -> dict[str, Any]:
    return {
        "name": each.name,
        "control": each.control.value,
        "vocabulary": each.vocabulary.name if each.vocabulary else "",
        "codes": list(each.vocabulary.codes) if each.vocabulary else [],
        "is_required": each.is_required,
        "shown_when": [{"field": when.field, "values": list(when.values)} for when in each.shown_when],
        "limit": each.limit,
        "default": default_wire(each.default),
        "has_help": each.help is not None,
        "group": each.group,
    }


def default_wire(default: Default) -> dict[str, Any]:
    named = ("value", "record", "days", "all_good")
    wire: dict[str, Any] = {name: value for name in named if (value := getattr(default, name))}
    if (sooner := default.sooner) is not None:
        when = {"field": sooner.when.field, "values": list(sooner.when.values)}
        wire["sooner"] = {**when, "by": sooner.by, "days": dict(sooner.days)}
    return wire
