"""One line a request: what, how it went, how long. The route's pattern is logged, never the path: paths hold ids."""

import secrets
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.logs import get_logger

QUIET = frozenset({"/healthz", "/readyz"})


class RequestLog:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._log = get_logger("request")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in QUIET:
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def send_noting_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noting_status)
        finally:
            route = scope.get("route")
            self._log.info(
                "request",
                request_id=secrets.token_hex(6),
                method=scope["method"],
                route=getattr(route, "path", ""),
                status=status,
                duration_ms=round((time.perf_counter() - started) * 1000),
            )
