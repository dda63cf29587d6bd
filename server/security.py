"""What every response carries and every unsafe request must show.

Pure ASGI middleware, so that streaming bodies stay streams.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

DOCUMENT_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "worker-src 'self'",
        "manifest-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "object-src 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types default",
    ]
)
WORKER_POLICY = "default-src 'none'; connect-src 'self'"
HEADERS = {
    "Content-Security-Policy": DOCUMENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), camera=(), microphone=(self)",
    "Cache-Control": "no-store",
}
HSTS = "max-age=31536000; includeSubDomains"
SAFE_METHODS = frozenset({"GET", "HEAD"})


class SecurityHeaders:
    """Adds each header that the response does not set itself."""

    def __init__(self, app: ASGIApp, *, is_https: bool) -> None:
        self._app = app
        headers = HEADERS | ({"Strict-Transport-Security": HSTS} if is_https else {})
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]  # as ASGI has them

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = message.setdefault("headers", [])
                named = {name for name, _ in own}
                message["headers"] = [*own, *(header for header in self._headers if header[0] not in named)]
            await send(message)

        await self._app(scope, receive, send_with_headers)


class SameOriginOnly:
    """Refuses an unsafe request that another site made: by Sec-Fetch-Site, else by Origin against Host.

    A request with neither comes from no browser. Two are taken all the same: at `exempt`, the operator's own route, which
    has its own token; and at `signed` and below it one that carries a signature (PROTOCOL.md, 2). There the signature alone
    decides and no unsafe request reads a cookie, so a browser carries nothing there that another site could use; and none can
    have it send that header: a browser asks for leave first, with OPTIONS, and gets none. What it says of a request
    counts there as well.
    """

    def __init__(self, app: ASGIApp, *, exempt: str, signed: str) -> None:
        self._app = app
        self._exempt = exempt
        self._signed = signed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (not scope["query_string"].isascii() or holds_zero(scope)):
            await PlainTextResponse("This is not an address.", status_code=400)(scope, receive, send)
            return
        if scope["type"] != "http" or is_same_origin(scope) or self._speaks_for_itself(scope):
            await self._app(scope, receive, send)
            return
        refusal = PlainTextResponse("This request came from another site.", status_code=403)
        await refusal(scope, receive, send)

    def _speaks_for_itself(self, scope: Scope) -> bool:
        path = scope["path"]
        if path.startswith(self._exempt):
            return True
        return f"{path}/".startswith(f"{self._signed}/") and is_signed_without_a_browser(scope)


def holds_zero(scope: Scope) -> bool:
    """The character 0, which no address of ours holds and PostgreSQL looks for in vain."""
    return "\0" in scope["path"] or b"%00" in scope["query_string"]


def is_signed_without_a_browser(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return "linli-signature" in headers and "origin" not in headers and "sec-fetch-site" not in headers


def is_same_origin(scope: Scope) -> bool:
    if scope["method"] in SAFE_METHODS:
        return True
    headers = Headers(scope=scope)
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    try:
        return urlsplit(headers.get("origin", "")).netloc == headers.get("host", "-")
    except ValueError:  # "http://[::1" is no origin
        return False
