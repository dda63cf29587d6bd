"""A form that a volunteer sent to the server itself: no worker, or JavaScript off. The twin of static/worker/writes.js.

It becomes the same Change that a phone would have queued and goes in through the same `accept`.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from server.forms import (
    LISTS,
    Checked,
    Field,
    Form,
    Problem,
    Sooner,
    Submitted,
    check_submitted,
    field_wire,
    holds,
    is_date,
    is_shown,
)
from server.identifiers import nth_id, uuid7
from server.loading import Shown, resolve
from server.page_table import Write
from server.rules import SCHEMA
from server.visit_form import FORMS
from sync.changes import Action, Change, Fields, Record, canonical, is_id


@dataclass(frozen=True, slots=True)
class Opened:
    """A form as the template draws it. `record_id` and `change_id` are made when it is opened, so that saving twice
    is saving once."""

    name: str
    values: Mapping[str, Any]
    problems: Mapping[str, Problem]
    base: str
    record_id: str
    change_id: str
    opened_at: int
    suggested: Mapping[str, Any] = field(default_factory=dict)  # defaults of questions that are not shown yet
    was: str = ""  # what an edit began with, as JSON

    def wire(self) -> dict[str, Any]:
        form = FORMS.get(self.name)
        problems = {
            name: {"code": problem.code, "label": problem.label, "limit": problem.limit}
            for name, problem in self.problems.items()
        }
        return {
            "name": self.name,
            "fields": [field_wire(each) for each in form.fields] if form else [],
            "values": dict(self.values),
            "problems": problems,
            "base": self.base,
            "record_id": self.record_id,
            "change_id": self.change_id,
            "opened_at": self.opened_at,
            "was": self.was,
            "suggested": dict(self.suggested),
            "draft_at": 0,  # drafts are a phone's own
        }


def open_form(
    write: Write, *, known: Mapping[str, Any], query: Mapping[str, str], now: int, today: str, ids: tuple[str, str]
) -> Opened:
    """A fresh form: an edit begins with the record's values, a new record with the declared defaults and what the
    link's query prefills."""
    record = known[write.record] if write.record else None
    values, suggested = first_answers(write, known=known, query=query, today=today)
    return Opened(
        name=write.form,
        values=values,
        problems={},
        base=record["base"] if record else "0",
        record_id=record["id"] if record else ids[0],
        change_id=ids[1],
        opened_at=now,
        suggested=suggested,
        was=json.dumps(values, ensure_ascii=False, separators=(",", ":")) if record else "",
    )


def first_answers(
    write: Write, *, known: Mapping[str, Any], query: Mapping[str, str], today: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a fresh form holds: its answers, and those suggested for questions that are not asked yet."""
    record = known[write.record] if write.record else None
    form = FORMS.get(write.form)
    values: dict[str, Any] = {}
    suggested: dict[str, Any] = {}
    for each in form.fields if form else ():
        value = record.get(each.name) if record else asked_for(each, query) or default_of(each, known, values, today)
        if value not in (None, "", []):
            value = value if each.control not in LISTS or isinstance(value, list) else [value]
            # A default in a question that is not asked would be an answer nobody gave.
            (values if record or is_shown(each, values) else suggested)[each.name] = value
    return values, suggested


def asked_for(each: Field, query: Mapping[str, str]) -> str:
    """What a link, or one tap, says of a question; `all_good` is 一切都好."""
    return query.get(each.name, "") or (each.default.all_good if query.get("all_good") else "")


def one_tap(write: Write, submitted: Submitted, *, known: Mapping[str, Any], today: str) -> Submitted:
    """A form sent by one tap (`quick`): what it does not say is as a fresh form would have it."""
    if not first(submitted, "quick"):
        return submitted
    query = {name: texts[0] for name, texts in submitted.items() if texts}
    values, _ = first_answers(write, known=known, query=query, today=today)
    return {**{name: value if isinstance(value, list) else [value] for name, value in values.items()}, **submitted}


def reopened(
    form: Form | None, write: Write, submitted: Submitted, hidden: "Hidden", problems: Mapping[str, Problem]
) -> Opened:
    """The same form after a problem, with everything that was typed still in it."""
    values: dict[str, Any] = {}
    for each in form.fields if form else ():
        filled = [text for text in submitted.get(each.name, ()) if text]
        if filled:
            values[each.name] = filled if each.control in LISTS else filled[0]
    ids = (hidden.base, hidden.record_id, hidden.change_id, hidden.opened_at)
    return Opened(write.form, values, problems, *ids, was=hidden.was)


@dataclass(frozen=True, slots=True)
class Hidden:
    """What the form was opened with. The ids make a double tap harmless; unreadable ones are made anew, so that what
    was typed is never lost to them."""

    record_id: str
    change_id: str
    base: str
    opened_at: int
    was: str


def read_hidden(submitted: Submitted, record: Mapping[str, Any] | None, now: int) -> Hidden:
    def own(name: str) -> str:
        posted = first(submitted, name)
        return posted if is_id(posted) else uuid7(now)

    base = first(submitted, "base")
    is_base = is_id(base) or (base.isascii() and base.isdigit() and len(base) <= 15)
    return Hidden(
        record_id=record["id"] if record else own("record_id"),
        change_id=own("change_id"),
        base=base if is_base else record["base"] if record else "0",
        opened_at=whole_number(first(submitted, "opened_at")) or now,
        was=first(submitted, "was"),
    )


@dataclass(frozen=True, slots=True)
class Filled:
    """One form as it was sent: the records it is about, what it was opened with, what was answered."""

    known: Mapping[str, Any]
    submitted: Submitted
    hidden: Hidden
    checked: Checked


def read_filled(
    write: Write, submitted: Submitted, *, known: Mapping[str, Any], now: int, day_of: Callable[[int], str]
) -> Sequence[Filled]:
    """The form that was sent; one for each door or visit that was ticked, where it is about several."""
    hidden = read_hidden(submitted, known[write.record] if write.record else None, now)
    if not write.each:
        return [fill(write, submitted, hidden, known=known, now=now, day_of=day_of)]
    ticked = set(submitted.get(write.each, ()))
    if write.each in ("visit", "need"):
        found = needs_meant(known["needs"], ticked) if write.each == "need" else own_visits(known, ticked)
        return [fill(write, submitted, about(hidden, record), known=known, now=now, day_of=day_of) for record in found]
    return [
        fill(
            write,
            submitted,
            replace(hidden, record_id=nth_id(hidden.record_id, place), change_id=nth_id(hidden.change_id, place)),
            known={**known, "household": known["households"][door], "household_id": door},
            now=now,
            day_of=day_of,
        )
        for place, door in enumerate(known["round"].get("household_ids") or ())
        if door in ticked and door in known["households"]
    ]


def own_visits(known: Mapping[str, Any], ticked: Set[str]) -> Sequence[Shown]:
    mine = [visit for visit in known["round_visits"] if visit["author_id"] == known["me"] and not visit["is_void"]]
    return [visit for visit in mine if visit["id"] in ticked]


def needs_meant(needs: Sequence[Shown], ticked: Set[str]) -> Sequence[Shown]:
    """Those ticked, and what else is open of the same service: two visits may have promised the same thing, which the
    page says once."""
    standing = [need for need in needs if not need["is_void"]]
    services = {need["service"] for need in standing if need["id"] in ticked}
    return [
        need
        for need in standing
        if need["id"] in ticked or (need["need_state"] == "open" and need["service"] in services)
    ]


def about(hidden: Hidden, record: Shown) -> Hidden:
    """The form's own ids for one of the records that it ticks: sent twice, they are the same."""
    change_id = nth_id(hidden.change_id, int(record["id"][24:], 16))
    return replace(hidden, record_id=record["id"], change_id=change_id, base=record["base"])


def fill(
    write: Write,
    submitted: Submitted,
    hidden: Hidden,
    *,
    known: Mapping[str, Any],
    now: int,
    day_of: Callable[[int], str],
) -> Filled:
    form = FORMS.get(write.form)
    if form is None:
        return Filled(known, submitted, hidden, Checked({}, {}))
    told = one_tap(write, submitted, known=known, today=day_of(now))
    checked = check_submitted(form, told)
    for each in proposed_only(form, write, told, checked, known=known, today=day_of(hidden.opened_at)):
        told = {**told, each.name: ()}
    return Filled(known, told, hidden, check_submitted(form, told))


def proposed_only(
    form: Form, write: Write, submitted: Submitted, checked: Checked, *, known: Mapping[str, Any], today: str
) -> Iterator[Field]:
    """Questions that are not asked after all, and still say what the form proposed: with JavaScript off nobody takes that
    back. An answer of one's own is never among them."""
    for each in form.fields if not write.record else ():
        problem = checked.problems.get(each.name)
        if problem is None or problem.code != "not_shown":
            continue
        sooner = each.default.sooner
        answers: tuple[dict[str, str], ...] = ({}, {sooner.when.field: sooner.when.values[0]} if sooner else {})
        proposals = [default_of(each, known, values, today) for values in answers]
        if [text for text in submitted[each.name] if text] in [[proposal] for proposal in proposals]:
            yield each


def change_from(
    write: Write, values: Mapping[str, Any], hidden: Hidden, *, known: Mapping[str, Any], now: int
) -> Change | None:
    """The change the checked form asks for; None when it asks for nothing new."""
    form = FORMS.get(write.form)
    record = known[write.record] if write.record else None
    fields: dict[str, Any] = {}
    if write.action != "void":
        fields = edited(form, record, values) if form and record else dict(values)
        fields |= {name: resolve(key, known) for name, key in write.set.items()}
        if record and not fields:
            return None
    if write.kind == "visit" and form and not record:
        fields |= {"started_at": min(hidden.opened_at, now), "ended_at": now}
    return Change(
        change_id=hidden.change_id,
        device_sequence=0,
        kind=write.kind,
        record_id=hidden.record_id,
        action=Action(write.action),
        base=int(hidden.base) if hidden.base.isdigit() else hidden.base,
        set=fields,
        made_at=now,
        schema=SCHEMA,
    )


def hers(write: Write, change: Change, was: str, standing: Fields, *, said: Collection[str] = ()) -> Change | None:
    """The edit reduced to what its author altered since her form was opened (`was`): a field that others wrote meanwhile stands in
    her form as it was, and sending that must not undo them. Kept as well are a field that she has `said` since she first sent
    the form (she may take it back), and one that was emptied elsewhere and is asked for by a field that she altered. None
    when nothing is left; the change as it is for a new record, or where `was` cannot be read."""
    form, opened = FORMS.get(write.form), opened_with(was)
    if form is None or not write.record or opened is None:
        return change
    names = form.field_names()
    altered = {name: value for name, value in change.set.items() if name not in names}
    for each in form.fields:
        name = each.name
        is_asked = not standing.get(name) and any(when.field in altered for when in each.shown_when)
        is_as_it_was = (opened.get(name) or None) == (change.set.get(name) or None)
        if name in change.set and (is_asked or name in said or not is_as_it_was):
            altered[name] = change.set[name]
    return replace(change, set=altered) if altered else None


def opened_with(was: str) -> Mapping[str, Any] | None:
    """What the form says that it was opened with; None when it says nothing of the kind."""
    try:
        values = json.loads(was)
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def sent_again(write: Write, change: Change, standing: Record | None, *, new_id: str) -> Change | None:
    """A form whose change is in already was saved the first time. What was altered in between (Back, amend, save) is
    an edit of what was saved, with an id of its own; None when nothing was. An edit names what it alters, a new record
    all it answers."""
    form = FORMS.get(write.form)
    if standing is None or form is None or change.action is not Action.PUT:
        return None
    altered = edited(form, standing.fields, answers_in(form, change.set))
    if write.record:
        altered = {name: value for name, value in altered.items() if name in change.set}
    return replace(change, change_id=new_id, base=standing.revision, set=altered) if altered else None


def held_again(write: Write, change: Change, asked: Fields) -> Change | None:
    """A form whose change is held already. What was altered in between is held beside it, for a coordinator to read
    both: with an id that follows from what it says, so that it, too, is held once. None when nothing was."""
    form = FORMS.get(write.form)
    answers = answers_in(form, change.set) if form else {}
    if form is None or answers == answers_in(form, asked):
        return None
    return replace(change, change_id=str(uuid5(UUID(change.change_id), canonical(answers))))


def answers_in(form: Form, fields: Fields) -> dict[str, Any]:
    return {each.name: fields[each.name] for each in form.fields if each.name in fields}


def edited(form: Form, record: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Only what the edit changed; an emptied field is set to empty, which is an edit too."""
    changed: dict[str, Any] = {}
    for each in form.fields:
        empty: Any = [] if each.control in LISTS else ""
        before, after = record.get(each.name) or empty, values.get(each.name) or empty
        if before != after:
            changed[each.name] = after
    return changed


def default_of(each: Field, known: Mapping[str, Any], values: Mapping[str, Any], today: str) -> Any:
    default = each.default
    if default.value:
        return default.value
    if default.record:
        return resolve(default.record, known)
    if default.days:
        days = sooner_days(default.sooner, known, values) or resolve(default.days, known)
        return plus_days(today, days) if isinstance(days, int) and not isinstance(days, bool) else None
    return None


def sooner_days(sooner: Sooner | None, known: Mapping[str, Any], values: Mapping[str, Any]) -> int:
    if sooner is None or not holds(sooner.when, values.get(sooner.when.field)):
        return 0
    return sooner.days.get(str(resolve(sooner.by, known)), 0)


def plus_days(day: str, count: int) -> str:
    if not is_date(day):
        return ""
    return (datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=count)).strftime("%Y-%m-%d")


def first(submitted: Submitted, name: str) -> str:
    values: Sequence[str] = submitted.get(name, ())
    return values[0] if values else ""


def whole_number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 16 else 0


def new_ids(now: int) -> tuple[str, str]:
    return uuid7(now), uuid7(now)
