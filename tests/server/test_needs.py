"""A need that is ticked at a door opens a request of its own: nobody enters it a second time (EXPERIENCE.md 10)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session, col, select
from starlette.testclient import TestClient

from server import migrations
from server.app import create_app
from server.database import Database
from server.models import Record
from server.scope import scoped
from server.sessions import cookie_name
from server.settings import Settings
from tests.people import ALICE, COORDINATOR, NOW, RED_DOOR, ROUND_ID, build_world, log_visits, sign_in, visit_change


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    settings = Settings(data_dir=tmp_path)
    migrations.upgrade(settings.database_url)
    app = create_app(settings, clock=lambda: NOW)
    with TestClient(app, base_url=settings.public_url) as opened:
        build_world(app.state.database)
        opened.cookies.set(cookie_name(settings), sign_in(app.state.database, ALICE))
        yield opened


def needs(database: Database) -> list[dict[str, Any]]:
    def work(session: Session) -> list[dict[str, Any]]:
        statement = select(Record).where(col(Record.kind) == "need")
        return [json.loads(record.fields) for record in session.exec(scoped(COORDINATOR, statement))]

    return database.read(work)


def test_s10_a_need_ticked_at_the_door_is_a_request_with_everything_in_it(client: TestClient) -> None:
    database: Database = client.app.state.database  # type: ignore[attr-defined]
    visit = visit_change("a visit", needs=["meal_delivery", "medical_delivery"], urgency="h24")

    log_visits(database, ALICE, visit)
    log_visits(database, ALICE, visit)  # sent twice

    assert sorted(needs(database), key=lambda need: str(need["service"])) == [
        {
            "household_id": RED_DOOR,
            "visit_id": visit.record_id,
            "service": service,
            "urgency": "h24",
            "need_state": "open",
        }
        for service in ("meal_delivery", "medical_delivery")
    ]
    page = client.get(f"/rounds/{ROUND_ID}/doors/{RED_DOOR}").text
    assert page.count('id="need-') == 2
