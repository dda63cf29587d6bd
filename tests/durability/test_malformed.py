"""Twenty thousand requests that make no sense, on every route (RELIABILITY.md 2.4 H3 and H4, 3.3 R10)."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from server import migrations
from server.app import create_app
from server.logs import configure_logging
from server.settings import Settings
from tests.durability.faulty_disk import on_shared_memory
from tests.durability.malformed import attack_in_process
from tests.people import NOW

REQUESTS = 20_000
SEED = 20261123


def new_app(folder: Path) -> Starlette:
    settings = Settings(data_dir=folder, public_url="http://127.0.0.1:8000")
    migrations.upgrade(settings.database_url)
    return create_app(settings, operator_token="the operator's token", clock=lambda: NOW)


@pytest.fixture(autouse=True)
def logs_as_served(logging_as_before: None) -> None:
    """A line of the log has to hold any method and any route, too."""
    configure_logging("info")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory: this is not about the disk."""
    with TemporaryDirectory(dir=on_shared_memory(tmp_path)) as name:
        yield Path(name)


def test_no_request_makes_the_server_fail(folder: Path) -> None:
    app = new_app(folder)

    outcome = attack_in_process(app, REQUESTS, seed=SEED, now=NOW)

    assert outcome.wrong == []
    assert outcome.requests == REQUESTS
    assert set(outcome.routes) == {route.path for route in app.routes if isinstance(route, Route)}
    assert {200, 303, 400, 401, 403, 404, 405, 413} <= set(outcome.statuses), "it was not all refused at the door"
    assert outcome.grown_mb < 50


def test_a_handler_that_trusts_is_found_out(folder: Path) -> None:
    async def trusting(request: Request) -> Response:
        return PlainTextResponse(str([int(text) for text in request.query_params.values()]))

    app = new_app(folder)
    app.router.routes.insert(0, Route("/calendar", trusting))

    outcome = attack_in_process(app, 3000, seed=SEED, now=NOW)

    assert any("ValueError" in each for each in outcome.wrong)


def test_an_answer_with_a_trace_is_found_out(folder: Path) -> None:
    async def telling(request: Request) -> Response:
        return PlainTextResponse('Traceback (most recent call last): File "server/app.py"', status_code=400)

    app = new_app(folder)
    app.router.routes.insert(0, Route("/calendar", telling))

    outcome = attack_in_process(app, 300, seed=SEED, now=NOW)

    assert any("in the answer" in each for each in outcome.wrong)
