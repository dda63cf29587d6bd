"""Nobody sees what is not theirs: the choke point of queries, and a walk over every route with a canary behind each door."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Select, literal
from sqlmodel import Session, col, func, select
from starlette.routing import Route
from starlette.testclient import TestClient

from server import migrations
from server.app import create_app
from server.database import Database
from server.models import Change, Record, Volunteer
from server.scope import Principal, UnscopedQuery, scoped
from server.sessions import cookie_name
from server.settings import Settings
from sync.kinds import Role
from tests.people import (
    ALICE,
    CHARLIE,
    CHARLIES_DOOR,
    CHARLIES_ROUND_ID,
    COMMUNITY_ID,
    COORDINATOR,
    NOW,
    RED_DOOR,
    ROUND_ID,
    Person,
    build_world,
    decline_change,
    log_visits,
    made_up_id,
    outing_change,
    sign_in,
    visit_change,
)

ALICES_CANARY, CHARLIES_CANARY = "canary-of-Alice", "canary-of-Charlie"
STRANGER = Principal(Role.COORDINATOR, COORDINATOR.person_id, COMMUNITY_ID + 1, "Dana of next door")
ALICES = {
    "household_id": RED_DOOR,
    "round_id": ROUND_ID,
    "visit_id": made_up_id("hers"),
    "outing_id": made_up_id("her outing"),
    "decline_id": made_up_id("her decline"),
    "door": "2-1-101",
}
CHARLIES = {
    "household_id": CHARLIES_DOOR,
    "round_id": CHARLIES_ROUND_ID,
    "visit_id": made_up_id("his"),
    "outing_id": made_up_id("his outing"),
    "decline_id": made_up_id("his decline"),
    "door": "5-2-501",
}
OTHERS = {
    "change_id": made_up_id("no change"),
    "field": "door",
    "number": "2",
    "volunteer_id": ALICE.id,
    "device_id": ALICE.device_id,
    "event_id": made_up_id("no event"),
    "path": "none.css",
    "sha256": "0" * 64,
}


@dataclass
class World:
    client: TestClient
    database: Database
    routes: list[Route]

    def become(self, who: Person | Principal | None) -> None:
        self.client.cookies.clear()
        if who is not None:
            self.client.cookies.set(self._cookie, sign_in(self.database, who))

    @property
    def _cookie(self) -> str:
        return cookie_name(self.client.app.state.settings)  # type: ignore[attr-defined]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    settings = Settings(data_dir=tmp_path)
    migrations.upgrade(settings.database_url)
    app = create_app(settings, clock=lambda: NOW)
    with TestClient(app, base_url=settings.public_url) as client:
        database = app.state.database
        build_world(database)
        log_visits(database, ALICE, visit_change("hers", note=ALICES_CANARY))
        his = visit_change("his", door=CHARLIES_DOOR, round_id=CHARLIES_ROUND_ID, note=CHARLIES_CANARY)
        log_visits(database, CHARLIE, his)
        log_visits(database, ALICE, outing_change("her outing", ALICE, companions=[ALICES_CANARY]))
        out = outing_change("his outing", CHARLIE, round_id=CHARLIES_ROUND_ID, companions=[CHARLIES_CANARY])
        log_visits(database, CHARLIE, out, decline_change("his decline", CHARLIE, round_id=CHARLIES_ROUND_ID))
        yield World(client, database, [route for route in app.routes if isinstance(route, Route)])


# Queries


def test_a_query_that_did_not_pass_the_scope_is_refused(world: World) -> None:
    with pytest.raises(UnscopedQuery):
        world.database.read(lambda session: session.exec(select(Record)).all())
    with pytest.raises(UnscopedQuery):
        world.database.read(lambda session: session.exec(select(Change)).all())


def test_a_scoped_query_gives_each_their_own(world: World) -> None:
    def notes(session: Session, principal: Principal) -> set[str]:
        rows = session.exec(scoped(principal, select(Record).where(col(Record.kind) == "visit")))
        return {canary for row in rows for canary in (ALICES_CANARY, CHARLIES_CANARY) if canary in row.fields}

    def seen_by(principal: Principal) -> set[str]:
        return world.database.read(lambda session: notes(session, principal))

    assert seen_by(ALICE.principal()) == {ALICES_CANARY}
    assert seen_by(CHARLIE.principal()) == {CHARLIES_CANARY}
    assert seen_by(COORDINATOR) == {ALICES_CANARY, CHARLIES_CANARY}


def test_another_community_is_another_world(world: World) -> None:
    rows = world.database.read(lambda session: session.exec(scoped(STRANGER, select(Record))).all())

    assert rows == []


@pytest.mark.parametrize(
    "statement",
    [
        select(Record),
        select(Record.fields),
        select(func.count(col(Record.record_id))),
        select(func.count()).select_from(Record),
        select(Volunteer.name).join(Record, col(Record.author_id) == col(Volunteer.id)),
        select(literal(CHARLIES_CANARY)).where(col(Record.record_id) == made_up_id("his")),
    ],
    ids=["whole", "a column", "an aggregate", "only from", "a join", "only where"],
)
def test_however_it_asks_for_records_a_query_is_scoped(world: World, statement: Select[Any]) -> None:
    def ask(principal: Principal) -> str:
        found = world.database.read(lambda session: session.execute(scoped(principal, statement)).all())
        return str(found)

    assert ask(STRANGER) in ("[]", "[(0,)]")
    assert CHARLIES_CANARY not in ask(ALICE.principal())
    assert ask(COORDINATOR) not in ("[]", "[(0,)]", ask(ALICE.principal()))


def test_history_is_not_for_volunteers(world: World) -> None:
    with pytest.raises(UnscopedQuery):
        scoped(ALICE.principal(), select(Change))


# Routes


@pytest.mark.parametrize(
    ("who", "may_see"),
    [
        (None, set()),
        (ALICE, {ALICES_CANARY}),
        (CHARLIE, {CHARLIES_CANARY}),
        (COORDINATOR, {ALICES_CANARY, CHARLIES_CANARY}),
    ],
    ids=["anonymous", "Alice", "Charlie", "coordinator"],
)
def test_no_route_shows_a_canary_to_whom_it_does_not_belong(
    world: World, who: Person | Principal | None, may_see: set[str]
) -> None:
    world.become(who)
    seen: set[str] = set()
    for route in world.routes:
        for ids in (ALICES, CHARLIES):
            path = route.path.replace(":path", "").replace(":int", "").format(**ids, **OTHERS)
            for method in ("GET", "HEAD"):
                answer = world.client.request(method, path, follow_redirects=False)
                assert answer.status_code < 500, path
                seen |= {canary for canary in (ALICES_CANARY, CHARLIES_CANARY) if canary in answer.text}

    assert seen == may_see


def test_what_is_not_yours_is_not_there_at_all(world: World) -> None:
    world.become(ALICE)

    for ids in ({**CHARLIES}, {**CHARLIES, "visit_id": made_up_id("nobody's")}):
        answer = world.client.get(f"/visits/{ids['visit_id']}")

        assert answer.status_code == 404


@pytest.mark.parametrize(
    "place", ["z" * 36, "{" + made_up_id("hers").replace("-", "") + "}--", made_up_id("hers").upper()]
)
def test_what_is_no_id_is_not_there_either(world: World, place: str) -> None:
    """An id has one spelling: a form of a page found by another would be written under one that no phone knows."""
    world.become(ALICE)
    door = f"/rounds/{ROUND_ID}/doors/{RED_DOOR.upper()}/visit"

    for path in (f"/visits/{place}", f"/outings/{place}", f"/declines/{place}/undo", door):
        assert world.client.get(path).status_code == 404, path


def test_no_form_writes_across_the_scope(world: World) -> None:
    world.become(ALICE)
    paths = [
        f"/rounds/{CHARLIES_ROUND_ID}/doors/{CHARLIES_DOOR}/visit",
        f"/visits/{made_up_id('his')}/edit",
        f"/visits/{made_up_id('his')}/withdraw",
        "/coordinator/visits/" + made_up_id("his"),
    ]

    for path in paths:
        answer = world.client.post(
            path, data={"outcome": "met"}, headers={"Sec-Fetch-Site": "same-origin"}, follow_redirects=False
        )
        assert answer.status_code in (303, 403, 404), path
        assert answer.headers.get("location", "/sign-in").startswith("/sign-in"), path


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://elsewhere.example"}, {}])
def test_no_other_site_writes_anything(world: World, headers: dict[str, str]) -> None:
    world.become(COORDINATOR)

    for route in world.routes:
        if "POST" in (route.methods or ()) and not route.path.startswith("/operator"):
            answer = world.client.post(route.path.format(**ALICES, **OTHERS), headers=headers)
            assert answer.status_code == 403, route.path


def test_every_page_carries_a_policy_without_exceptions(world: World) -> None:
    world.become(ALICE)

    for path in ("/", "/today", "/calendar", "/enrol", "/sign-in", "/nowhere", "/service-worker.js"):
        policy = world.client.get(path).headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
