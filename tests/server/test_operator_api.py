"""Commands ask the running server; nobody else can."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import Session, col, select
from starlette.applications import Starlette
from starlette.testclient import TestClient

from server import migrations
from server.database import Database, open_database
from server.identifiers import uuid7
from server.models import Community, Invite, Volunteer
from server.operator_api import operator_routes
from server.settings import Settings
from sync.errors import MalformedMessage

BEARER = {"Authorization": "Bearer the-token"}
HERE = ("127.0.0.1", 50000)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Starlette]:
    settings = Settings(data_dir=tmp_path, public_url="https://linli.example.org")
    migrations.upgrade(settings.database_url)
    app = Starlette(routes=operator_routes)
    app.state.settings = settings
    app.state.database = open_database(settings)
    app.state.operator_token = "the-token"
    app.state.database.write(add_volunteer)
    yield app
    app.state.database.close()


def add_volunteer(session: Session) -> None:
    session.add(Community(id=1, name="示例社区", epoch="e"))
    session.add(Volunteer(community_id=1, id=uuid7(), number="007", name="示例甲"))


def invites(database: Database) -> list[Invite]:
    return database.read(lambda session: list(session.exec(select(Invite).order_by(col(Invite.expires_at)))))


def test_the_operator_gets_an_invite_with_the_public_link(app: Starlette) -> None:
    client = TestClient(app, client=HERE)

    answer = client.post("/operator/invite", json={"volunteer_number": "007"}, headers=BEARER)

    assert answer.status_code == 200
    made = answer.json()
    assert made["volunteer_name"] == "示例甲"
    assert made["link"] == f"https://linli.example.org/enrol#{made['token']}"
    assert [invite.expires_at for invite in invites(app.state.database)] == [made["expires_at"]]


@pytest.mark.parametrize(
    "body", [rb'{"volunteer_number": "\ud800"}', rb'{"volunteer_number": "7\u0000"}', b"{}", b"[]", b"x"]
)
def test_what_no_command_of_ours_sends_is_refused(app: Starlette, body: bytes) -> None:
    """Half a character was an error 500."""
    with pytest.raises(MalformedMessage):
        TestClient(app, client=HERE).post("/operator/invite", content=body, headers=BEARER)


def test_an_unknown_number_is_said_so(app: Starlette) -> None:
    answer = TestClient(app, client=HERE).post("/operator/invite", json={"volunteer_number": "9"}, headers=BEARER)

    assert (answer.status_code, answer.json()) == (422, {"code": "no_such_volunteer"})


@pytest.mark.parametrize(
    ("client", "headers"),
    [
        (HERE, {}),
        (HERE, {"Authorization": "Bearer another-token"}),
        (HERE, {"Authorization": "Bearer "}),
        (HERE, {**BEARER, "X-Forwarded-For": "127.0.0.1"}),
        (HERE, {**BEARER, "Forwarded": "for=127.0.0.1"}),
        (("192.0.2.7", 50000), BEARER),
        (("testclient", 50000), BEARER),
    ],
)
def test_for_everybody_else_the_route_is_not_there(
    app: Starlette, client: tuple[str, int], headers: dict[str, str]
) -> None:
    answer = TestClient(app, client=client).post("/operator/invite", json={"volunteer_number": "007"}, headers=headers)

    assert (answer.status_code, answer.text) == (404, "")
    assert invites(app.state.database) == []


def test_without_a_token_of_its_own_the_server_obeys_nobody(app: Starlette) -> None:
    app.state.operator_token = ""

    answer = TestClient(app, client=HERE).post("/operator/invite", headers={"Authorization": "Bearer "})

    assert answer.status_code == 404
