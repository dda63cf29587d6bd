"""Signing in and staying in: real requests, a real database, a clock that the test moves."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import pytest
from httpx2 import Response
from sqlmodel import Session, col, select, update
from starlette.applications import Starlette
from starlette.testclient import TestClient

from server import migrations
from server.app import create_app
from server.database import Database
from server.models import Device, SignIn, Staff
from server.pages.sign_in import own_page
from server.passwords import PasswordDesk, hash_password
from server.principals import look_up
from server.rate_limit import RateLimit
from server.sessions import (
    COORDINATOR_MS,
    DAY_MS,
    VOLUNTEER_MAX_MS,
    VOLUNTEER_MS,
    end_session,
    principal_for,
    sign_in_for,
    slide_session,
)
from server.settings import Settings
from sync.errors import TryLater
from tests.people import (
    ALICE,
    COORDINATOR,
    COORDINATOR_LOGIN,
    COORDINATOR_PASSWORD,
    NOW,
    build_world,
    made_up_id,
    sign_in,
)

SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


@dataclass
class Clock:
    now: int = NOW

    def __call__(self) -> int:
        return self.now


@dataclass
class World:
    client: TestClient
    database: Database
    clock: Clock

    def sign_in(self, login: str, password: str, **more: str) -> Response:
        form = {"login": login, "password": password, **more}
        return self.client.post("/sign-in", data=form, headers=SAME_ORIGIN, follow_redirects=False)


def make_app(folder: Path, clock: Clock, public_url: str) -> Starlette:
    settings = Settings(data_dir=folder, public_url=public_url)
    migrations.upgrade(settings.database_url)
    return create_app(settings, clock=clock)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    clock = Clock()
    app = make_app(tmp_path, clock, "http://127.0.0.1:8000")
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        build_world(app.state.database)
        yield World(client, app.state.database, clock)


# Sessions


def test_the_table_holds_only_the_hash_of_a_token(world: World) -> None:
    token = sign_in(world.database, COORDINATOR)

    rows = world.database.read(lambda session: session.exec(select(SignIn)).all())

    assert len(token) >= 43  # 256 bits
    assert [token in row.model_dump_json() for row in rows] == [False]


def test_a_coordinators_session_lasts_twelve_hours(world: World) -> None:
    token = sign_in(world.database, COORDINATOR)

    def principal_at(now: int) -> object:
        return world.database.read(lambda session: principal_for(session, token, now))

    assert principal_at(NOW + COORDINATOR_MS - 1) == COORDINATOR
    assert principal_at(NOW + COORDINATOR_MS) is None


def test_a_volunteers_session_slides_once_a_day_but_not_beyond_half_a_year(world: World) -> None:
    token = sign_in(world.database, ALICE)

    def slide_at(now: int) -> tuple[bool, int]:
        _, is_due = world.database.read(lambda session: look_up(session, token, now))
        world.database.write(lambda session: slide_session(session, token, now))
        found = world.database.read(lambda session: sign_in_for(session, token, now))
        return is_due, found.expires_at - NOW if found else 0

    assert slide_at(NOW + DAY_MS // 2) == (False, VOLUNTEER_MS)
    assert slide_at(NOW + 2 * DAY_MS) == (True, 2 * DAY_MS + VOLUNTEER_MS)
    for day in range(20, 180, 20):
        slide_at(NOW + day * DAY_MS)
    assert slide_at(NOW + 175 * DAY_MS) == (True, VOLUNTEER_MAX_MS)
    assert world.database.read(lambda session: principal_for(session, token, NOW + VOLUNTEER_MAX_MS)) is None


@pytest.mark.parametrize("standing", ["waiting", "revoked"])
def test_a_phone_that_is_not_active_has_no_principal(world: World, standing: str) -> None:
    token = sign_in(world.database, ALICE)
    world.database.write(lambda session: set_standing(session, standing))

    principal, found = world.database.read(
        lambda session: (principal_for(session, token, NOW), sign_in_for(session, token, NOW))
    )

    assert principal is None
    assert found is not None  # its waiting page still knows it
    assert found.device_id == ALICE.device_id


def set_standing(session: Session, standing: str) -> None:
    session.exec(update(Device).where(col(Device.id) == ALICE.device_id).values(standing=standing))


def test_a_coordinator_who_left_is_out_at_the_next_request(world: World) -> None:
    token = sign_in(world.database, COORDINATOR)
    world.database.write(lambda session: session.exec(update(Staff).values(is_active=False)))

    assert world.database.read(lambda session: principal_for(session, token, NOW)) is None


def test_an_ended_session_is_gone_and_others_stay(world: World) -> None:
    first, second = sign_in(world.database, COORDINATOR), sign_in(world.database, COORDINATOR)

    world.database.write(lambda session: end_session(session, first))

    assert world.database.read(lambda session: principal_for(session, first, NOW)) is None
    assert world.database.read(lambda session: principal_for(session, second, NOW)) == COORDINATOR


def test_starting_a_session_sweeps_those_that_ran_out(world: World) -> None:
    sign_in(world.database, COORDINATOR)

    sign_in(world.database, COORDINATOR, now=NOW + COORDINATOR_MS)

    assert len(world.database.read(lambda session: session.exec(select(SignIn)).all())) == 1


# Signing in


def test_signing_in_leads_to_the_desk_with_a_strict_cookie(world: World) -> None:
    answer = world.sign_in(COORDINATOR_LOGIN, COORDINATOR_PASSWORD)

    assert (answer.status_code, answer.headers["location"]) == (303, "/coordinator")
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("linli-s=")
    assert {part.strip() for part in cookie.split(";")[1:]} == {
        "max-age=43200",
        "path=/",
        "httponly",
        "samesite=lax",
    }
    assert world.client.get("/coordinator").status_code == 200


def test_over_https_the_cookie_is_bound_to_the_host(tmp_path: Path) -> None:
    app = make_app(tmp_path, Clock(), "https://linli.example.org")
    with TestClient(app, base_url="https://linli.example.org") as client:
        build_world(app.state.database)
        form = {"login": COORDINATOR_LOGIN, "password": COORDINATOR_PASSWORD}

        answer = client.post("/sign-in", data=form, headers=SAME_ORIGIN, follow_redirects=False)

    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("__host-s=")
    assert {part.strip() for part in cookie.split(";")[1:]} == {
        "max-age=43200",
        "path=/",
        "httponly",
        "samesite=lax",
        "secure",
    }


def test_a_wrong_password_and_an_unknown_login_look_the_same(world: World) -> None:
    wrong = world.sign_in(COORDINATOR_LOGIN, "not it")
    unknown = world.sign_in("nobody", "not it")

    assert (wrong.status_code, unknown.status_code) == (422, 422)
    assert wrong.text.replace(COORDINATOR_LOGIN, "nobody") == unknown.text
    assert "set-cookie" not in wrong.headers
    assert "not it" not in wrong.text


def test_a_wrong_password_and_an_unknown_login_take_equally_long() -> None:
    desk, password_hash = PasswordDesk(), hash_password("right")
    desk.is_right(None, "warm up")

    def fastest(known: str | None) -> float:
        times: list[float] = []
        for _ in range(5):
            began = perf_counter()
            assert not desk.is_right(known, "wrong")
            times.append(perf_counter() - began)
        return min(times)

    assert 0.5 < fastest(None) / fastest(password_hash) < 2


def test_a_new_token_at_every_sign_in_and_the_old_one_ends(world: World) -> None:
    world.sign_in(COORDINATOR_LOGIN, COORDINATOR_PASSWORD)
    first = world.client.cookies["linli-s"]

    world.sign_in(COORDINATOR_LOGIN, COORDINATOR_PASSWORD)

    assert world.client.cookies["linli-s"] != first
    assert world.database.read(lambda session: principal_for(session, first, NOW)) is None


def test_guessing_is_slowed_for_that_login_only(world: World) -> None:
    tries = [world.sign_in(COORDINATOR_LOGIN, f"guess {each}").status_code for each in range(6)]
    right = world.sign_in(COORDINATOR_LOGIN, COORDINATOR_PASSWORD)
    other = world.sign_in("somebody else", "guess")
    world.clock.now += 30_000
    later = world.sign_in(COORDINATOR_LOGIN, COORDINATOR_PASSWORD)

    assert tries == [422, 422, 422, 422, 422, 429]
    assert (right.status_code, right.headers["retry-after"]) == (429, "31")
    assert (other.status_code, later.status_code) == (422, 303)


def test_a_full_queue_of_passwords_asks_to_come_back() -> None:
    desk, password_hash = PasswordDesk(), hash_password("right")

    def check(_: int) -> bool | None:
        try:
            return desk.is_right(password_hash, "right")
        except TryLater:
            return None

    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(check, range(40)))

    assert None in answers
    assert set(answers) == {True, None}
    assert desk.is_right(password_hash, "right")  # and nobody is left waiting


def test_signing_out_ends_the_session_on_the_server(world: World) -> None:
    world.sign_in(COORDINATOR_LOGIN, COORDINATOR_PASSWORD)
    token = world.client.cookies["linli-s"]
    question = world.client.get("/sign-out")

    answer = world.client.post("/sign-out", headers=SAME_ORIGIN, follow_redirects=False)

    assert question.status_code == 200
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "linli-s" not in world.client.cookies
    assert "clear-site-data" not in answer.headers  # it would take unsent visits along
    assert world.database.read(lambda session: principal_for(session, token, NOW)) is None


def test_another_site_cannot_sign_anybody_in_or_out(world: World) -> None:
    form = {"login": COORDINATOR_LOGIN, "password": COORDINATOR_PASSWORD}
    foreign = {"Sec-Fetch-Site": "cross-site"}

    assert world.client.post("/sign-in", data=form, headers=foreign).status_code == 403
    assert world.client.post("/sign-out", headers=foreign).status_code == 403


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("/coordinator/held", "/coordinator/held"),
        ("", "/coordinator"),
        ("https://elsewhere.example", "/coordinator"),
        ("//elsewhere.example", "/coordinator"),
        ("/coordinator\\@elsewhere.example", "/coordinator"),
        ("/coordinator/\r\nSet-Cookie: a=b", "/coordinator"),
        ("/today", "/coordinator"),
    ],
)
def test_signing_in_leads_only_to_a_coordinators_page(asked: str, shown: str) -> None:
    assert own_page(asked) == shown


@pytest.mark.parametrize(
    ("referer", "back"),
    [
        ("http://testserver/coordinator/held?show=open", "/coordinator/held"),
        ("http://elsewhere/coordinator", "/coordinator"),
        ("http://[", "/coordinator"),
        ("", "/coordinator"),
    ],
)
def test_what_was_sent_after_a_session_had_ended_is_said_to_be_lost_and_leads_back_to_its_form(
    world: World, referer: str, back: str
) -> None:
    path = f"/coordinator/held/{made_up_id('change')}"  # which is no page
    sent = world.client.post(path, headers=SAME_ORIGIN | {"Referer": referer}, follow_redirects=False)
    page = world.client.get(sent.headers["location"]).text
    (afterwards,) = re.findall(r'name="next" value="([^"]*)"', page)

    assert "刚才那一步没有存" in page
    assert own_page(afterwards) == back


def test_an_address_that_only_takes_forms_is_no_page(world: World) -> None:
    answer = world.client.get(f"/coordinator/held/{made_up_id('change')}")

    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert "没有找到这一页" in answer.text


def test_a_rate_limit_forgets_full_buckets_and_never_slows_another_key() -> None:
    limit = RateLimit(burst=2, refill_ms=1000)

    assert [limit.wait_ms("a", 0) for _ in range(3)] == [0, 0, 1000]
    assert limit.wait_ms("b", 0) == 0
    assert limit.wait_ms("a", 999) == 1
    assert limit.wait_ms("a", 1000) == 0
    limit.forget("a")
    assert [limit.wait_ms("a", 1000) for _ in range(3)] == [0, 0, 1000]
