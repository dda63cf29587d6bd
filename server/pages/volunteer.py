"""The volunteers' pages, answered by the server: the first load, no worker, JavaScript off.

One handler serves every entry of the page table, as the worker does on the phone.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import urlencode

from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from server.accepting import accept_changes, principal_author
from server.bodies import FORM_BYTES_MAX
from server.forms import Submitted, form_wire, holds
from server.identifiers import uuid7
from server.loading import load_page
from server.models import Community, Device
from server.multipart import LEFT_OUT
from server.page_table import PAGES, Page, Write
from server.pages.enrol import is_in_app
from server.pages.sign_in import end
from server.principals import current_principal, current_volunteer
from server.render import (
    CONTRAST_COOKIE,
    CONTRASTS,
    LANGUAGES,
    NOTHING_WAITS,
    SCHEMES,
    base_context,
    in_thread,
    local_clock,
    local_day,
    me_of,
    redirect,
)
from server.scope import Principal
from server.store import SqlStore
from server.urlencoded import read_form
from server.visit_form import FORMS, STEPS_FORM, VISIT_FORM
from server.writing import Filled, change_from, first, held_again, hers, open_form, read_filled, reopened, sent_again
from sync.changes import Author, Change, Outcome
from sync.engine import taken_in_id
from sync.errors import TryLater
from sync.store import Known

VISIT_FIELDS: list[dict[str, Any]] = form_wire(VISIT_FORM)["fields"] + form_wire(STEPS_FORM)["fields"]
SIZES = ("normal", "large")


async def show(request: Request) -> Response:
    entry, principal = entry_of(request), await current_volunteer(request)
    if principal is None or is_in_app(request):
        return redirect(request, "/enrol")
    known = await load(request, entry, principal)
    if known is None:
        return await show_not_found(request, principal)
    context = await volunteer_context(request, entry, principal, known)
    if entry.write and not entry.write.each:
        now = context["now"]
        ids = (context["new_id"], context["new_change_id"])
        opened = open_form(entry.write, known=known, query=context["query"], now=now, today=context["today"], ids=ids)
        context["form"] = opened.wire()
    return render(request, entry, context)


async def save(request: Request) -> Response:
    entry, principal = entry_of(request), await current_volunteer(request)
    assert entry.write is not None
    if principal is None:
        return redirect(request, "/enrol")
    known = await load(request, entry, principal)
    if known is None:
        return await show_not_found(request, principal)
    asked_for = entry.write
    submitted = await read_form(request, limit=FORM_BYTES_MAX, with_files=True)
    now: int = request.app.state.clock()
    utc_offset_minutes: int = request.app.state.utc_offset_minutes
    day_of = partial(local_day, utc_offset_minutes=utc_offset_minutes)
    known |= {"today": day_of(now), "clock": local_clock(now, utc_offset_minutes)}
    filled = read_filled(entry.write, submitted, known=known, now=now, day_of=day_of)
    if entry.write.action == "later" or not filled:  # only a phone of its own remembers what to show last
        return redirect(request, back_of(submitted) or entry.write.next.format(**request.path_params))
    first_form = filled[0]
    if first_form.checked.problems:
        context = await volunteer_context(request, entry, principal, known)
        form, problems = FORMS.get(entry.write.form), first_form.checked.problems
        context["form"] = reopened(form, entry.write, first_form.submitted, first_form.hidden, problems).wire()
        return render(request, entry, context, status=422)
    made = [change_from(entry.write, one.checked.values, one.hidden, known=one.known, now=now) for one in filled]
    changes = [change for change in made if change is not None]
    was = first_form.hidden.was
    author = principal_author(principal)
    codes = await in_thread(
        request.app.state.database.write,
        lambda session: [write(session, asked_for, author, change, was, now) for change in changes],
    )
    code, record_id = next(filter(None, codes), ""), first_form.hidden.record_id
    stands = [change.record_id for change, held in zip(changes, codes, strict=True) if not held]
    params = {**request.path_params, "visit_id": record_id}
    path = next_path(asked_for, first_form, params, is_there=bool(asked_for.record) or record_id in stands)
    left_out = first(submitted, LEFT_OUT)
    told = {
        "saved": stands[0] if stands else "" if code else record_id,  # what is held is not called saved
        "held": code,
        "left_out": left_out if left_out.isdigit() else "",
        "edited": "1" if asked_for.record else "",  # what was there before is not undone by withdrawing it
    }
    return redirect(request, f"{path}?{urlencode({name: text for name, text in told.items() if text})}")


def next_path(asked: Write, filled: Filled, params: Mapping[str, str], *, is_there: bool) -> str:
    """Whom to call stands on the visit's own page, which a new one that is held has not got."""
    if asked.urgent and is_there and holds(asked.urgent, filled.checked.values.get(asked.urgent.field)):
        return asked.urgent_next.format(**params)
    return back_of(filled.submitted) or asked.next.format(**params)


def back_of(submitted: Submitted) -> str:
    """Where the form itself wants to lead, when that is a page of ours."""
    back = first(submitted, "back").partition("?")[0]
    return own_path(back) if back else ""


def write(session: Session, asked: Write, author: Author, change: Change, was: str, now: int) -> str:
    """Takes the change, once however often the form is sent. The code when it is held, else "". Raises TryLater for what is
    not even held."""
    store = SqlStore(session)
    store.hold(author.community_id)  # two taps may arrive at once: the second must find what became of the first
    taken_in = taken_in_id(change.change_id)
    found = store.known(author.community_id, [change.change_id, taken_in])
    known = found.get(change.change_id)
    if known and not known.is_about(change):  # its id was used before: held, so that a coordinator reads both
        return taken(session, author, change, now)
    standing = store.records(author.community_id, [change.record_id]).get(change.record_id)
    said = said_since(store, author, change.record_id, found.get(taken_in, known)) if known else ()
    mine = hers(asked, change, was, standing.fields if standing else {}, said=said)
    held = known if known and known.result.outcome is Outcome.HELD and taken_in not in found else None
    if mine and held:
        mine = held_again(asked, mine, held.asked)
    elif mine and known:
        mine = sent_again(asked, mine, standing, new_id=uuid7(now))
    if mine is None:
        return held.result.code if held else ""
    if held and (told := store.known(author.community_id, [mine.change_id])):
        return told[mine.change_id].result.code
    return taken(session, author, mine, now)


def taken(session: Session, author: Author, change: Change, now: int) -> str:
    (result,) = accept_changes(session, author, [change], now)
    if result.outcome is Outcome.LATER:
        raise TryLater("busy", "too much of this volunteer's is held already", retry_after_seconds=3600)
    return result.code


def said_since(store: SqlStore, author: Author, record_id: str, known: Known) -> set[str]:
    """The fields that this device has set since that change, with it. One that is held stands nowhere in the history."""
    if known.result.outcome is Outcome.HELD:
        return set(known.asked)
    history = store.histories(author.community_id, [record_id]).get(record_id, ())
    own = [each for each in history if each.device_id == author.device_id and each.revision >= known.result.revision]
    return {name for each in own for name in each.set}


async def ask(request: Request) -> Response:
    """The page with what was typed as its query, and nothing of it in the address."""
    entry, principal = entry_of(request), await current_volunteer(request)
    if principal is None:
        return redirect(request, "/enrol")
    submitted = await read_form(request, limit=FORM_BYTES_MAX)
    query = {name: first(submitted, name) for name in submitted}
    known = await load(request, entry, principal, query)
    assert known is not None  # a page that asks is about no one record
    context = await volunteer_context(request, entry, principal, known)
    return render(request, entry, context | {"query": query})


async def change_settings(request: Request) -> Response:
    """Language, display size, colours and contrast: on the device for a volunteer, in a cookie for everybody else."""
    submitted = await read_form(request, limit=FORM_BYTES_MAX)
    language, size = first(submitted, "language"), first(submitted, "size")
    principal = await current_principal(request)
    if principal is not None and principal.device_id is not None:
        device_id = principal.device_id
        await in_thread(
            request.app.state.database.write,
            lambda session: keep_settings(session, principal, device_id, language, size),
        )
    response = redirect(request, own_path(first(submitted, "back")))
    is_https = request.app.state.settings.public_url.startswith("https")
    options: dict[str, Any] = {"max_age": 365 * 86400, "httponly": True, "samesite": "lax", "secure": is_https}
    if language in LANGUAGES:
        response.set_cookie("language", language, **options)
    if size in SIZES:
        response.set_cookie("size", size, **options)
    if (scheme := first(submitted, "scheme")) in SCHEMES:
        response.set_cookie("scheme", scheme, **options)
    if (contrast := first(submitted, "contrast")) in CONTRASTS:
        response.set_cookie(CONTRAST_COOKIE, contrast, **options)
    return response


def keep_settings(session: Session, principal: Principal, device_id: str, language: str, size: str) -> None:
    device = session.get_one(Device, (principal.community_id, device_id))
    device.language = language if language in LANGUAGES else device.language
    device.size = size if size in SIZES else device.size
    session.add(device)


async def begin_afresh(request: Request) -> Response:
    """Drafts are a phone's own (static/worker/drafts.js): here every form is a fresh one."""
    submitted = await read_form(request, limit=FORM_BYTES_MAX) if request.method == "POST" else {}
    return redirect(request, back_of(submitted) or "/today")


async def show_lock(request: Request) -> Response:
    """A PIN locks what a worker keeps; where the server answers, nothing is kept."""
    return await show_alone(request, "lock/pin.html", {"lock": None})


async def show_sign_out(request: Request) -> Response:
    return await show_alone(request, "lock/sign_out.html", {"photos": 0, "tried": False})


async def show_alone(request: Request, template: str, context: Mapping[str, Any]) -> Response:
    principal = await current_volunteer(request)
    if principal is None:
        return redirect(request, "/enrol")
    entry = Page("settings", request.url.path, template)
    return render(request, entry, await volunteer_context(request, entry, principal, {}) | dict(context))


async def to_today(request: Request) -> Response:
    """A form for the worker that reached the server: nothing is locked here."""
    return redirect(request, "/today")


async def nothing_waits(request: Request) -> Response:
    """What waits is a phone's own (static/worker/queue.js); here everything has arrived."""
    return redirect(request, "/my-visits")


async def status_fragment(request: Request) -> Response:
    principal = await current_volunteer(request)
    if principal is None:
        return Response(status_code=204)
    entry = Page("status", "/fragments/status", "fragments/_status.html")
    return render(request, entry, await volunteer_context(request, entry, principal, {}))


# Parts


async def show_not_found(request: Request, principal: Principal) -> Response:
    """In the volunteer's own language and with her way back, as the worker shows it."""
    entry = Page("", "", "errors/not_found.html")
    return render(request, entry, await volunteer_context(request, entry, principal, {}), status=404)


def entry_of(request: Request) -> Page:
    return next(entry for entry in PAGES if entry.name == request.scope["route"].name)


async def load(
    request: Request, entry: Page, principal: Principal, query: Mapping[str, str] | None = None
) -> dict[str, Any] | None:
    params = {name: str(value) for name, value in request.path_params.items()}
    asked = dict(request.query_params) if query is None else query
    loaded = await in_thread(
        request.app.state.database.read, lambda session: load_page(session, principal, entry, params, asked)
    )
    return None if loaded is None else {**params, "me": principal.person_id, **loaded}


async def volunteer_context(
    request: Request, entry: Page, principal: Principal, known: Mapping[str, Any]
) -> dict[str, Any]:
    community, device = await in_thread(
        request.app.state.database.read, lambda session: surroundings(session, principal)
    )
    context = base_context(request, entry.template)
    context["page"]["name"] = entry.name
    context |= {load.name: known[load.name] for load in entry.loads}
    # What only a phone of its own keeps: drafts, doors put off, photos, what was given up.
    context |= {"me": me_of(principal, community.name), "outbox": NOTHING_WAITS}
    context |= {"drafts": {}, "later": {}, "kept": {}, "discarded": [], "queued": [], "unfinished": [], "storage": None}
    if device is not None:
        context |= {"language": device.language, "size": device.size}
        context["outbox"] = NOTHING_WAITS | {"uploaded_at": device.last_contact_at or None}
    if entry.template.startswith("visits/"):
        context["fields"] = VISIT_FIELDS
    return context


def surroundings(session: Session, principal: Principal) -> tuple[Community, Device | None]:
    community = session.get_one(Community, principal.community_id)
    device = session.get(Device, (principal.community_id, principal.device_id)) if principal.device_id else None
    return community, device


def render(request: Request, entry: Page, context: Mapping[str, Any], *, status: int = 200) -> HTMLResponse:
    html = request.app.state.templates.get_template(entry.template).render(context)
    return HTMLResponse(html, status_code=status)


def own_path(back: str) -> str:
    """Only a path of ours: anything that could lead elsewhere becomes the home page."""
    is_own = back.startswith("/") and not back.startswith(("//", "/\\")) and "\\" not in back
    return back if is_own and back.isprintable() else "/"


def page_routes() -> list[Route]:
    routes: list[Route] = []
    for entry in PAGES:
        routes.append(Route(entry.path, show, methods=["GET"], name=entry.name))
        if entry.write:
            routes.append(Route(entry.path, save, methods=["POST"], name=entry.name))
        if entry.asks:
            routes.append(Route(entry.path, ask, methods=["POST"], name=entry.name))
    return routes


routes = [
    *page_routes(),
    Route("/settings", change_settings, methods=["POST"]),
    Route("/settings/pin", show_lock, methods=["GET", "POST"]),
    Route("/settings/sign-out", show_sign_out, methods=["GET"]),
    Route("/settings/sign-out", end, methods=["POST"]),
    Route("/unlock", to_today, methods=["GET", "POST"]),
    Route("/drafts", begin_afresh, methods=["GET", "POST"]),
    Route("/queue", nothing_waits, methods=["GET", "POST"]),
    Route("/queue/export", nothing_waits, methods=["GET"]),
    Route("/fragments/status", status_fragment, methods=["GET"]),
]
