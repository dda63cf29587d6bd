"""The people map, finding people, and the page behind each door: who lives there, what they need and what they are good at."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from sqlmodel import Session, col, select
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.accepting import SAVED, accept_form
from server.bodies import FORM_BYTES_MAX
from server.forms import are_names
from server.json_field import field_text
from server.loading import Shown, shown
from server.models import Record
from server.pages.coordinator.guard import for_coordinators
from server.pages.coordinator.visits import volunteer_names
from server.people_map import all_of, people_map
from server.render import in_thread, page, redirect
from server.rules import SCHEMA
from server.scope import Principal, scoped
from server.search import finds
from server.urlencoded import read_form
from server.vocabularies import CATEGORY, RISK, STRENGTH
from server.writing import first, whole_number
from sync.changes import Action, Change, Result, is_id

VISITS_SHOWN = 5
PHONE = re.compile(r"(?=.*[0-9])[0-9 +-]{1,20}", re.ASCII).fullmatch
INTERVAL = re.compile(r"[1-9][0-9]{0,2}", re.ASCII).fullmatch
CONTACT_NAME_MAX = 20
# How a household is visited and whom to call: what may stand in each, unless it is empty.
FILE: Mapping[str, Callable[[str], Any]] = {
    "risk": RISK.words.__contains__,
    "interval_days": lambda text: INTERVAL(text) and int(text) <= 365,
    "phone": PHONE,
    "contact_name": lambda text: len(text) <= CONTACT_NAME_MAX and text.isprintable(),
    "contact_phone": PHONE,
}
PATHS = {"map_path": "/coordinator/map", "door_path": "map/", "draw_path": "buildings/", "is_whole": True}
SAID = ("saved", "moved")


@for_coordinators
async def show_map(request: Request, principal: Principal) -> Response:
    asked = request.query_params.get("volunteer", "")
    volunteer_id = asked if is_id(asked) else ""

    def work(session: Session) -> dict[str, Any]:
        return people_map(session, principal, volunteer_id=volunteer_id) | {
            "volunteers": volunteer_names(session, principal)
        }

    context = await in_thread(request.app.state.database.read, work)
    context |= PATHS | {"volunteer_id": volunteer_id, "me": {"name": principal.name}}
    return page(request, "coordinator/map.html", context)


@for_coordinators
async def find(request: Request, principal: Principal) -> Response:
    """What is looked for comes in the body of a POST, so that it stands in no address."""
    submitted = await read_form(request, limit=FORM_BYTES_MAX) if request.method == "POST" else {}
    text = first(submitted, "q")

    def work(session: Session) -> list[Shown]:
        return [each for each in all_of(session, principal, "household") if finds(each, text)] if text else []

    found = await in_thread(request.app.state.database.read, work)
    context = {"found": found, "rounds": {}, "door_path": "map/", "query": {"q": text} if text else {}}
    return page(request, "coordinator/find.html", context | {"me": {"name": principal.name}})


@for_coordinators
async def door(request: Request, principal: Principal) -> Response:
    return await show_door(request, principal)


@for_coordinators
async def edit_household(request: Request, principal: Principal) -> Response:
    submitted = await read_form(request, limit=FORM_BYTES_MAX)
    household_id, change_id = first(submitted, "household_id"), first(submitted, "change_id")
    base = whole_number(first(submitted, "base"))
    # With the base they were typed over: shown over a newer one, they would overwrite what came between.
    typed = {"base": str(base)} | {name: first(submitted, name) for name in ("members", "phone_ends")}
    # Only what the page asked: one that was open since before an update empties nothing.
    told = {name: first(submitted, name).strip() for name in FILE if name in submitted}
    wrong = [name for name, text in told.items() if text and not FILE[name](text)]
    ends = [digits_of(number) for number in parts_of(typed["phone_ends"])]
    wanted: dict[str, Any] = {
        "members": parts_of(typed["members"]),
        "phone_ends": [digits[-4:] for digits in ends],
        "categories": [code for code in CATEGORY.codes if code in submitted.get("category", ())],
        "strengths": [code for code in STRENGTH.codes if code in submitted.get("strength", ())],
    }
    standing = await in_thread(
        request.app.state.database.read, lambda session: household_of(session, principal, household_id)
    )
    is_renamed = standing is not None and wanted["members"] != (standing.get("members") or [])
    if is_renamed and not are_names(wanted["members"]):
        wrong.append("members")  # nobody could tick them at a visit
    if any(len(digits) < 4 for digits in ends):
        wrong.append("phone_ends")
    if wrong:
        filled = wanted | typed | told | {"change_id": change_id}  # the same form, put right
        return await show_door(request, principal, problem_id=household_id, wrong=wrong, filled=filled)
    wanted |= {name: int(text) if text and name == "interval_days" else text for name, text in told.items()}
    if not (is_id(household_id) and is_id(change_id)):
        return redirect(request, request.url.path)
    now = request.app.state.clock()

    def work(session: Session) -> tuple[str, Result | None] | None:
        """Where the household lives now, and what became of the change where there is one."""
        household = household_of(session, principal, household_id)
        if household is None:
            return None
        changed = {name: value for name, value in wanted.items() if value != (household.get(name) or type(value)())}
        made = Change(change_id, 0, "household", household_id, Action.PUT, base, changed, now, SCHEMA)
        return household.get("door") or "", accept_form(session, principal, made, now) if changed else None

    found = await in_thread(request.app.state.database.write, work)
    if found is None:
        return page(request, "errors/not_found.html", {}, status=404)
    door, result = found
    if result is not None and result.outcome not in SAVED:
        # What does not conflict is saved. Where it does, a field that was empty when the page was opened empties nothing.
        disputed = {each.field: each.proposed for each in result.conflicts if each.proposed}
        filled = disputed if result.conflicts else wanted | typed | told
        return await show_door(request, principal, problem_id=household_id, unsaved=result, filled=filled)
    said = "saved" if door == request.path_params["door"] else "moved"
    return redirect(request, f"/coordinator/map/{quote(door, safe='')}?said={said}#household-{household_id}")


async def show_door(
    request: Request,
    principal: Principal,
    *,
    problem_id: str = "",
    wrong: Sequence[str] = (),
    unsaved: Result | None = None,
    filled: Mapping[str, Any] | None = None,
) -> Response:
    def work(session: Session) -> list[dict[str, Any]]:
        asked_about = household_of(session, principal, problem_id) if problem_id else None
        door = asked_about.get("door") or "" if asked_about else request.path_params["door"]
        return [
            {
                "household": each,
                "asked": each | dict(filled or {}) if each["id"] == problem_id else each,
                "visits": visits_of(session, principal, each["id"]),
            }
            for each in households_at(session, principal, door)
        ]

    found = await in_thread(request.app.state.database.read, work)
    if not found:
        return page(request, "errors/not_found.html", {}, status=404)
    said = request.query_params.get("said", "")
    context = {
        "found": found,
        "problem_id": problem_id,
        "wrong": wrong,
        "unsaved": unsaved,
        "category_codes": CATEGORY.codes,
        "strength_codes": STRENGTH.codes,
        "risk_codes": RISK.codes,
        "said": said if said in SAID else "",
        "me": {"name": principal.name},
    }
    return page(request, "coordinator/household.html", context, status=422 if problem_id else 200)


# Parts


def households_at(session: Session, principal: Principal, door: str) -> list[Shown]:
    statement = (
        select(Record)
        .where(col(Record.kind) == "household", field_text(col(Record.fields), "door") == door)
        .order_by(col(Record.record_id))
    )
    return [shown(record) for record in session.exec(scoped(principal, statement))]


def household_of(session: Session, principal: Principal, household_id: str) -> Shown | None:
    """Wherever it lives: its door may have been put right while its page was open."""
    statement = select(Record).where(col(Record.kind) == "household", col(Record.record_id) == household_id)
    record = session.exec(scoped(principal, statement)).first() if is_id(household_id) else None
    return shown(record) if record else None


def visits_of(session: Session, principal: Principal, household_id: str) -> list[Shown]:
    statement = (
        select(Record)
        .where(col(Record.scope_id) == household_id, col(Record.kind) == "visit", col(Record.is_void).is_(False))
        .order_by(col(Record.made_at).desc(), col(Record.record_id).desc())
        .limit(VISITS_SHOWN)
    )
    return [shown(record) for record in session.exec(scoped(principal, statement))]


def parts_of(text: str) -> list[str]:
    """Names or numbers as a person types them in one line."""
    return list(dict.fromkeys(part.strip() for part in re.split("[、，,;；\n]", text) if part.strip()))


def digits_of(number: str) -> str:
    return "".join(sign for sign in number if sign in "0123456789")


routes = [
    Route("/coordinator/map", show_map, methods=["GET"]),
    Route("/coordinator/find", find, methods=["GET", "POST"]),
    Route("/coordinator/map/{door}", door, methods=["GET"]),
    Route("/coordinator/map/{door}", edit_household, methods=["POST"]),
]
