"""For whoever watches the server: no sign-in, no data."""

from sqlalchemy import text
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from server import migrations
from server.version import VERSION


async def healthz(request: Request) -> Response:
    """The process answers."""
    return JSONResponse({"status": "ok"})


async def readyz(request: Request) -> Response:
    """The database answers, and is at the migration this release needs."""
    if request.app.state.admission.is_closed:
        return JSONResponse({"status": "stopping"}, status_code=503)
    database = request.app.state.database
    try:
        found = await run_in_threadpool(
            database.read,
            lambda session: session.connection().execute(text("SELECT version_num FROM alembic_version")).scalar(),
        )
    except Exception:  # whatever the database says, the answer is: not ready
        return JSONResponse({"status": "no database"}, status_code=503)
    is_ready = found == migrations.head()
    return JSONResponse({"status": "ok" if is_ready else "wrong migration"}, status_code=200 if is_ready else 503)


async def version(request: Request) -> Response:
    return JSONResponse({"version": VERSION, "release": request.app.state.release})


routes = [Route("/healthz", healthz), Route("/readyz", readyz), Route("/version", version)]
