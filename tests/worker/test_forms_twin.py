"""Both validators read the same submissions in the same way: server/forms.py and static/worker/forms.js."""

import json
from pathlib import Path
from typing import Any

import pytest

from server.forms import Form, check_submitted, form_wire
from server.visit_form import FORMS, VISIT_FORM
from tests.javascript import JavaScript

VECTORS = json.loads(Path("sync/vectors/forms.json").read_text(encoding="utf-8"))
CASES = VECTORS["cases"]
NAMES = [case["name"] for case in CASES]


@pytest.fixture(scope="module")
def phone() -> JavaScript:
    return JavaScript("worker/filters.js", "worker/forms.js")


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


def form_of(case: dict[str, Any]) -> Form:
    return FORMS[case.get("form", VECTORS["form"])]


def problem_wire(problem: Any) -> dict[str, Any]:
    return {"code": problem.code, "label": problem.label, "limit": problem.limit}
