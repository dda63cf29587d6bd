"""Pages: the context every template gets, and the response around it."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from server.filters import clock_text, local_time
from server.scope import Principal
from server.writing import new_ids
from sync.errors import TryLater

in_thread = run_in_threadpool

LANGUAGES = ("zh-CN", "en")
LANGUAGE_COOKIE = "language"
SIZE_COOKIE = "size"
SCHEMES = ("auto", "light", "dark")
SCHEME_COOKIE = "scheme"
CONTRASTS = ("auto", "more")
CONTRAST_COOKIE = "contrast"
NOTHING_WAITS = {
    "waiting": 0,
    "photos": 0,
    "failed": 0,
    "held": 0,
    "uploaded_at": None,
    "stale_days": 0,
    "oldest_days": 0,
    "line": None,
    "filling": None,
}


def page(request: Request, template: str, context: Mapping[str, Any], *, status: int = 200) -> HTMLResponse:
    """A page of the server's own: coordinators', residents', enrolment, errors."""
    merged = base_context(request, template) | dict(context)
    return HTMLResponse(request.app.state.templates.get_template(template).render(merged), status_code=status)


def base_context(request: Request, template: str) -> dict[str, Any]:
    state = request.app.state
    now: int = state.clock()
    new_id, new_change_id = new_ids(now)
    return {
        "page": {"name": template.partition("/")[0], "path": request.url.path, "template": template},
        "params": dict(request.path_params),
        "query": dict(request.query_params),
        "language": language_of(request),
        "size": "large" if request.cookies.get(SIZE_COOKIE) == "large" else "normal",
        "scheme": scheme_of(request),
        "contrast": "more" if request.cookies.get(CONTRAST_COOKIE) == "more" else "auto",
        "now": now,
        "today": local_day(now, state.utc_offset_minutes),
        "utc_offset_minutes": state.utc_offset_minutes,
        "me": None,
        "outbox": None,
        "assets": state.assets.urls,
        "release": state.release,
        "new_id": new_id,
        "new_change_id": new_change_id,
        "form": None,
    }


def language_of(request: Request) -> str:
    chosen = request.cookies.get(LANGUAGE_COOKIE, "")
    return chosen if chosen in LANGUAGES else LANGUAGES[0]


def scheme_of(request: Request) -> str:
    """On a phone with a worker its pages know; the worker tells the server, for pages of the server's own."""
    chosen = request.cookies.get(SCHEME_COOKIE, "")
    return chosen if chosen in SCHEMES else SCHEMES[0]


def local_day(moment: int, utc_offset_minutes: int) -> str:
    """YYYY-MM-DD; "" for what no such day can name."""
    time = local_time(moment, utc_offset_minutes)
    return time.strftime("%Y-%m-%d") if time else ""


def local_clock(moment: int, utc_offset_minutes: int) -> str:
    time = local_time(moment, utc_offset_minutes)
    return clock_text(time) if time else ""


def me_of(principal: Principal, community_name: str) -> dict[str, str]:
    return {"id": principal.person_id, "name": principal.name, "community": community_name}


IN_AN_ADDRESS = "/?&=%#:+,;@!$'()*~[]"  # what stands for itself; a path that was decoded is encoded again


def redirect(request: Request, path: str) -> Response:
    """303 after a POST: the browser, and htmx, then GET the new page."""
    return Response(status_code=303, headers={"Location": quote(path, safe=IN_AN_ADDRESS)})


# Errors: generic pages that name no detail


async def not_found(request: Request, error: Exception) -> Response:
    return page(request, "errors/not_found.html", {}, status=404)


async def not_allowed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    response = page(request, "errors/not_found.html", {}, status=405)
    response.headers.update(error.headers or {})
    return response


async def failed(request: Request, error: Exception) -> Response:
    return page(request, "errors/error.html", {"retry_later": False}, status=500)


async def try_later(request: Request, error: Exception) -> Response:
    assert isinstance(error, TryLater)
    response = page(request, "errors/error.html", {"retry_later": True}, status=503)
    response.headers["Retry-After"] = str(error.retry_after_seconds)
    return response
