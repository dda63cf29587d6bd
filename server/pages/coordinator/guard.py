"""The door of every coordinator's page."""

from collections.abc import Awaitable, Callable
from functools import wraps
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from server.principals import current_principal
from server.render import redirect
from server.scope import Principal
from sync.kinds import Role

Handler = Callable[[Request, Principal], Awaitable[Response]]


def for_coordinators(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Whoever is not a signed-in coordinator is sent to sign in, and then back here."""

    @wraps(handler)
    async def guarded(request: Request) -> Response:
        principal = await current_principal(request)
        if principal is not None and principal.role is Role.COORDINATOR:
            return await handler(request, principal)
        path = f"/sign-in?{urlencode(way_back(request))}"
        if request.headers.get("hx-request"):  # a fragment must not be replaced by a page
            return Response(status_code=200, headers={"HX-Redirect": path})
        return redirect(request, path)

    return guarded


def way_back(request: Request) -> dict[str, str]:
    """What was sent is lost with the session that had ended, and may have an address that no page has: back to its form."""
    if request.method in ("GET", "HEAD"):
        return {"next": request.url.path}
    try:
        form = urlsplit(request.headers.get("referer", "")).path
    except ValueError:
        form = ""
    return {"next": form, "problem": "lost"}
