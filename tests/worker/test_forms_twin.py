"""Both validators read the same submissions in the same way: server/forms.py and static/worker/forms.js."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from server.forms import Form, check_submitted, form_wire
from server.page_table import PAGES
from server.visit_form import COMES_AGAIN, FORMS, VISIT_FORM
from server.vocabularies import OUTCOME
from server.writing import edited, first_answers, hers
from sync.changes import Action, Change
from tests.javascript import JavaScript
from tests.people import made_up_id

VECTORS = json.loads(Path("sync/vectors/forms.json").read_text(encoding="utf-8"))
CASES = VECTORS["cases"]
NAMES = [case["name"] for case in CASES]


@pytest.fixture(scope="module")
def phone() -> JavaScript:
    return JavaScript("worker/filters.js", "worker/forms.js", "worker/pages.js", "worker/writes.js")


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_server_reads_submission(case: dict[str, Any]) -> None:
    checked = check_submitted(form_of(case), case["submitted"])

    assert checked.values == case["values"]
    assert {name: problem_wire(problem) for name, problem in checked.problems.items()} == case["problems"]


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_phone_reads_submission(phone: JavaScript, case: dict[str, Any]) -> None:
    checked = phone.call("checkSubmitted", form_wire(form_of(case)), case["submitted"])

    assert checked == {"values": case["values"], "problems": case["problems"]}


def test_every_field_of_the_form_is_filled_somewhere() -> None:
    filled = {name for case in CASES if form_of(case) is VISIT_FORM for name in case["values"]}

    assert filled == set(VISIT_FORM.field_names())


@pytest.mark.parametrize("outcome", ["", *OUTCOME.codes])
def test_the_next_visit_is_proposed_where_there_will_be_one(phone: JavaScript, outcome: str) -> None:
    (write,) = [each.write for each in PAGES if each.name == "visit_new"]
    assert write is not None
    known = {"household": {"interval_days": 30, "risk": "yellow", "consent_state": "basic"}}
    query = {"outcome": outcome} if outcome else {}

    values, suggested = first_answers(write, known=known, query=query, today="2026-11-23")

    given = {"loaded": known, "query": query, "today": "2026-11-23"}
    app = {"forms": {"visit": form_wire(VISIT_FORM)}}
    twin = phone.call("firstAnswers", app, {"form": write.form, "record": write.record}, given)
    assert twin == {"values": values, "suggested": suggested}
    assert ("next_visit_on" in values, "next_visit_on" in suggested) == (
        outcome in COMES_AGAIN.values,
        outcome not in COMES_AGAIN.values,
    )


NOTE = "示例"
# What stands, what the form was opened with, what it says; and what of that is its author's doing.
EDITS: dict[str, tuple[dict[str, Any], str, dict[str, Any], dict[str, Any]]] = {
    "altered": ({"note": NOTE}, '{"note":"示例"}', {"note": "x"}, {"note": "x"}),
    "emptied": (
        {"note": NOTE, "danger": ["fall"]},
        '{"note":"示例","danger":["fall"]}',
        {},
        {"danger": [], "note": ""},
    ),
    "written elsewhere": ({"note": NOTE, "danger": ["fall"]}, "{}", {}, {}),
    "emptied elsewhere": ({"note": ""}, '{"note":"示例"}', {"note": NOTE}, {}),
    "altered in both": ({"note": "a"}, '{"note":"示例"}', {"note": "b"}, {"note": "b"}),
    "asked by what is altered": (
        {"needs": [], "urgency": ""},
        '{"needs":["legal_aid"],"urgency":"days"}',
        {"needs": ["legal_aid", "meal_delivery"], "urgency": "days"},
        {"needs": ["legal_aid", "meal_delivery"], "urgency": "days"},
    ),
    "asked, and answered elsewhere": (
        {"needs": ["legal_aid"], "urgency": "h24"},
        '{"needs":["legal_aid"],"urgency":"days"}',
        {"needs": ["legal_aid", "meal_delivery"], "urgency": "days"},
        {"needs": ["legal_aid", "meal_delivery"]},
    ),
    "unsaid": ({"note": NOTE}, "", {}, {"note": ""}),
    "no list of answers": ({"note": NOTE}, "[]", {}, {"note": ""}),
    "null": ({"note": NOTE}, "null", {}, {"note": ""}),
    "no JSON": ({"note": NOTE}, "{note", {}, {"note": ""}),
    "names that every object has": ({"note": NOTE}, '{"__proto__":{"note":""},"constructor":1}', {"note": ""}, {}),
}


@pytest.mark.parametrize(("stands", "was", "values", "altered"), EDITS.values(), ids=EDITS.keys())
def test_an_edit_is_what_its_author_altered(
    phone: JavaScript, stands: dict[str, Any], was: str, values: dict[str, Any], altered: dict[str, Any]
) -> None:
    (write,) = [each.write for each in PAGES if each.name == "visit_edit"]
    assert write is not None
    change = Change(made_up_id("edit"), 0, "visit", made_up_id("visit"), Action.PUT, 1, {}, 1, 1)

    edit = hers(write, replace(change, set=edited(VISIT_FORM, stands, values)), was, stands)

    assert (edit.set if edit else {}) == altered
    twin = "(form, record, was, values) => changedFields(form, record, { opened: openedWith({ was }) }, values)"
    assert phone.call(twin, form_wire(VISIT_FORM), stands, was, values) == altered


@pytest.mark.parametrize(("said", "altered"), [({}, {}), ({"note": NOTE}, {"note": ""})])
def test_what_its_author_said_before_is_hers_to_take_back(
    phone: JavaScript, said: dict[str, Any], altered: dict[str, Any]
) -> None:
    """She goes back, and empties what was empty when she opened the form."""
    (write,) = [each.write for each in PAGES if each.name == "visit_edit"]
    assert write is not None
    change = Change(made_up_id("edit"), 0, "visit", made_up_id("visit"), Action.PUT, 1, {"note": ""}, 1, 1)

    edit = hers(write, change, "{}", {"note": NOTE}, said=said)

    assert (edit.set if edit else {}) == altered
    twin = "(form, record, said, values) => changedFields(form, record, { opened: {}, said }, values)"
    assert phone.call(twin, form_wire(VISIT_FORM), {"note": NOTE}, said, {}) == altered


def form_of(case: dict[str, Any]) -> Form:
    return FORMS[case.get("form", VECTORS["form"])]


def problem_wire(problem: Any) -> dict[str, Any]:
    return {"code": problem.code, "label": problem.label, "limit": problem.limit}
