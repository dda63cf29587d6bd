"""create_app(settings): routes, middleware, what the app holds. The one file that knows all parts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from sqlmodel import Session
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from server import assets, blob_api, health, holdings_api, importing, render, sync_api, worker_script
from server.accepting import complete_rounds, complete_search_keys
from server.admission import Admission
from server.blobs.opening import open_blobs
from server.bodies import BodyTooLarge
from server.callers import KeyRing
from server.clock import Clock, system_clock
from server.communities import community_ids
from server.database import Database, open_database
from server.operator_api import operator_routes
from server.pages import coordinator, enrol, residents, sign_in, volunteer
from server.release import load_release
from server.request_log import RequestLog
from server.sealing import ensure_sealing_key
from server.security import SameOriginOnly, SecurityHeaders
from server.settings import Settings
from sync.errors import MalformedMessage, TryLater


def create_app(settings: Settings, *, operator_token: str = "", clock: Clock = system_clock) -> Starlette:
    """The whole application. Refuses to start when a shared template cannot be compiled for the phone."""
    release = load_release()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.database = open_database(settings)
        app.state.key_ring = KeyRing(app.state.database)
        await run_in_threadpool(get_ready, app.state.database, app.state.clock())
        yield
        app.state.database.close()

    app = Starlette(
        lifespan=lifespan,
        routes=[
            *sync_api.routes,  # first: routes are tried in turn, and nothing is asked for more often
            *residents.routes,
            *volunteer.routes,
            *enrol.routes,
            *sign_in.routes,
            *coordinator.routes,
            *holdings_api.routes,
            *importing.routes,
            *blob_api.routes,
            *worker_script.routes,
            *assets.routes,
            *health.routes,
            *operator_routes,
        ],
        middleware=[
            Middleware(RequestLog),
            Middleware(SecurityHeaders, is_https=settings.public_url.startswith("https")),
            Middleware(SameOriginOnly, exempt="/operator/", signed="/sync"),
        ],
        exception_handlers={
            404: render.not_found,
            405: render.not_allowed,
            500: render.failed,
            TryLater: render.try_later,
            MalformedMessage: refuse_body,
        },
    )
    app.state.settings = settings
    app.state.catalogue = release.catalogue
    app.state.templates = release.templates
    app.state.assets = release.assets
    app.state.worker_script = release.worker_script
    app.state.worker_packed = release.worker_packed
    app.state.release = release.name
    app.state.clock = clock
    app.state.admission = Admission(in_house_max=settings.exchanges_max)
    app.state.blob_admission = blob_api.upload_line(settings.exchanges_max)
    app.state.photo_admission = blob_api.photo_line()
    app.state.blobs = open_blobs(settings)
    app.state.operator_token = operator_token
    app.state.utc_offset_minutes = 480
    return app


def get_ready(database: Database, now: int) -> None:
    """Each community in a transaction of its own: another process may be at work on it, and who holds one waits for no other."""

    def complete(session: Session, community_id: int) -> None:
        complete_search_keys(session, community_id, now=now)
        complete_rounds(session, community_id, now=now)

    database.write(lambda session: ensure_sealing_key(session, now=now))
    for community_id in database.read(community_ids):
        database.write(partial(complete, community_id=community_id))


async def refuse_body(request: Request, error: Exception) -> Response:
    """A form that no page of ours sends."""
    status = 413 if isinstance(error, BodyTooLarge) else 400
    return render.page(request, "errors/error.html", {"retry_later": False}, status=status)
