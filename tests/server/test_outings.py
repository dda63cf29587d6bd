"""Outings and rounds handed back: each volunteer's own word, seen by her and the coordinators and by nobody else."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session, col, delete, select
from starlette.testclient import TestClient

from server import migrations
from server.accepting import accept_changes, complete_rounds, server_author
from server.app import create_app
from server.database import Database
from server.models import Grant, Record
from server.rounds import assign_round
from server.scope import Principal, scoped
from server.sessions import cookie_name
from server.settings import Settings
from server.store import SqlStore
from sync.changes import Action, Change, Held, Outcome
from sync.store import Position
from tests.people import (
    ALICE,
    BOB,
    CHARLIE,
    CHARLIES_DOOR,
    COMMUNITY_ID,
    COORDINATOR,
    DOORS,
    NOW,
    ROUND_ID,
    TODAY,
    Person,
    build_world,
    decline_change,
    log_visits,
    made_up_id,
    outing_change,
    own_change,
    sign_in,
    visit_change,
)

SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


@dataclass
class World:
    client: TestClient
    database: Database

    def become(self, who: Person | Principal) -> None:
        name = cookie_name(self.client.app.state.settings)  # type: ignore[attr-defined]
        self.client.cookies.clear()
        self.client.cookies.set(name, sign_in(self.database, who))

    def post(self, path: str, **fields: Any) -> str:
        """Where the browser is sent."""
        answer = self.client.post(path, data=fields, headers=SAME_ORIGIN, follow_redirects=False)
        assert answer.status_code == 303, (path, answer.text)
        return answer.headers["location"]

    def text(self, path: str) -> str:
        answer = self.client.get(path)
        assert answer.status_code == 200, path
        return answer.text

    def mine(self, who: Person, kind: str) -> list[Record]:
        def work(session: Session) -> list[Record]:
            statement = select(Record).where(col(Record.kind) == kind)
            return list(session.exec(scoped(who.principal(), statement)))

        return self.database.read(work)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    settings = Settings(data_dir=tmp_path)
    migrations.upgrade(settings.database_url)
    app = create_app(settings, clock=lambda: NOW)
    with TestClient(app, base_url=settings.public_url) as client:
        build_world(app.state.database)
        yield World(client, app.state.database)


def test_an_outing_is_its_volunteer_s_alone(world: World) -> None:
    """Bob walks the same round; neither his pages nor his phone have a word of when Alice was out."""
    (result,) = log_visits(world.database, ALICE, outing_change("out", ALICE, companions=["Carol"]))

    def pulled(who: Person) -> list[str]:
        return world.database.read(
            lambda session: [
                record.record_id for record in SqlStore(session).slice(COMMUNITY_ID, who.id, Position(0), 100).records
            ]
        )

    assert result.outcome is Outcome.ACCEPTED
    assert made_up_id("out") in pulled(ALICE)
    assert made_up_id("out") not in pulled(BOB)
    assert [len(world.mine(who, "outing")) for who in (ALICE, BOB, CHARLIE)] == [1, 0, 0]


def test_nobody_says_when_somebody_else_was_out(world: World) -> None:
    (as_alice,) = log_visits(world.database, BOB, outing_change("not his", ALICE))
    log_visits(world.database, ALICE, outing_change("out", ALICE))
    (over_hers,) = log_visits(world.database, BOB, outing_change("out", BOB, base=1, from_time="05:00"))
    (moved,) = log_visits(world.database, ALICE, outing_change("out", ALICE, base=2, volunteer_id=BOB.id))

    assert (as_alice.outcome, as_alice.code) == (Outcome.HELD, Held.NOT_IN_SCOPE)
    assert (over_hers.outcome, over_hers.code) == (Outcome.HELD, Held.NOT_THE_AUTHOR)
    assert (moved.outcome, moved.code) == (Outcome.HELD, Held.NOT_ALLOWED)


@pytest.mark.parametrize("kind", ["outing", "decline"])
def test_what_is_filed_under_a_person_is_never_filed_under_a_door_that_others_hold_as_well(
    world: World, kind: str
) -> None:
    """It would lie on their phones, and a round that was handed back would be over for them."""
    made = outing_change("out", CHARLIE) if kind == "outing" else decline_change("back", CHARLIE)
    change = replace(made, set={**made.set, "volunteer_id": CHARLIES_DOOR})

    (result,) = log_visits(world.database, CHARLIE, change)

    assert (result.outcome, result.code) == (Outcome.HELD, Held.NOT_IN_SCOPE)


@pytest.mark.parametrize(
    "fields", [{"from_time": "24:00"}, {"to_time": 840}, {"went_on": "today"}, {"companions": "B"}]
)
def test_what_no_page_of_ours_sends_is_held(world: World, fields: dict[str, Any]) -> None:
    (result,) = log_visits(world.database, ALICE, outing_change("odd", ALICE, **fields))

    assert (result.outcome, result.code) == (Outcome.HELD, Held.BAD_FIELD)


@pytest.mark.parametrize("emptied", [{"went_on": None}, {"went_on": ""}, {"from_time": None}])
def test_when_she_was_out_is_never_emptied(world: World, emptied: dict[str, Any]) -> None:
    """An outing without its day stood on no list, and broke the page of today."""
    log_visits(world.database, ALICE, outing_change("out", ALICE))
    (result,) = log_visits(world.database, ALICE, outing_change("out", ALICE, base=1, **emptied))
    world.become(ALICE)

    assert "08:40" in world.text("/today")
    assert (result.outcome, result.code, result.detail) == (Outcome.HELD, Held.BAD_FIELD, next(iter(emptied)))


def test_a_form_that_was_sent_without_the_day_asks_for_it_again(world: World) -> None:
    log_visits(world.database, ALICE, outing_change("out", ALICE))
    world.become(ALICE)

    data = {"went_on": "", "from_time": "08:50", "to_time": "11:20"}
    answer = world.client.post(f"/outings/{made_up_id('out')}", data=data, headers=SAME_ORIGIN)

    assert answer.status_code == 422
    assert "还没填：哪天" in answer.text
    assert 'value="08:50"' in answer.text
    assert world.mine(ALICE, "outing")[0].fields.count(TODAY) == 1


def test_a_round_handed_back_that_is_none_is_held_and_keeps_no_coordinator_from_her_list(world: World) -> None:
    of_none = own_change("decline", "odd", base=0, fields={"volunteer_id": ALICE.id})
    (result,) = log_visits(world.database, ALICE, of_none)
    world.become(COORDINATOR)

    assert 'href="/coordinator/held">' in world.text("/coordinator")
    assert (result.outcome, result.code, result.detail) == (Outcome.HELD, Held.BAD_FIELD, "round_id")


def test_without_a_worker_a_round_is_begun_and_ended_by_two_forms(world: World) -> None:
    world.become(ALICE)
    ids = {"record_id": made_up_id("mine"), "change_id": made_up_id("begun")}

    begun = world.post(f"/rounds/{ROUND_ID}/start", companions="Carol", **ids)
    again = world.post(f"/rounds/{ROUND_ID}/start", companions="Carol", **ids)
    under_way = world.text("/today")
    ended = world.post(f"/outings/{made_up_id('mine')}/end", change_id=made_up_id("ended"))

    assert begun == again == f"/today?saved={made_up_id('mine')}"
    assert "09:00 开始" in under_way
    assert f'action="/outings/{made_up_id("mine")}/end"' in under_way
    assert ended == f"/outings/{made_up_id('mine')}?saved={made_up_id('mine')}&edited=1"
    (record,) = world.mine(ALICE, "outing")
    assert f'"went_on": "{TODAY}"'.replace(" ", "") in record.fields.replace(" ", "")
    assert "09:00–09:00 · 0 分钟" in world.text("/outings")


def test_a_forgotten_end_is_proposed_from_the_last_visit_of_that_day(world: World) -> None:
    """Never from when the app was open: only from what she wrote. Somebody else's visits, and other days', say nothing."""
    yesterday, hour = "2026-11-22", 3_600_000
    last = NOW - 24 * hour + 2 * hour + 20 * 60_000  # 11:20
    log_visits(world.database, ALICE, visit_change("first", ended_at=last - hour), visit_change("last", ended_at=last))
    log_visits(world.database, ALICE, visit_change("today", ended_at=NOW))
    log_visits(world.database, BOB, visit_change("his", ended_at=last + hour))
    log_visits(world.database, ALICE, outing_change("out", ALICE, went_on=yesterday, companions=["Carol"]))
    world.become(ALICE)

    page = world.text("/today")
    world.post(
        f"/outings/{made_up_id('out')}",
        went_on=yesterday,
        from_time="08:40",
        to_time="11:20",
        companions="Carol",
        change_id=made_up_id("right"),
    )

    assert "最后一户记在 11:20，就算到这时吗？" in page
    assert '<input type="hidden" name="to_time" value="11:20">' in page
    assert "forgotten" not in world.text("/today")
    assert "08:40–11:20 · 2 小时 40 分 · 同行：Carol" in world.text("/outings")


def test_an_end_long_after_the_last_visit_may_be_put_back_to_it(world: World) -> None:
    log_visits(world.database, ALICE, visit_change("last", ended_at=NOW))
    log_visits(world.database, ALICE, outing_change("late", ALICE, to_time="12:00"))
    log_visits(world.database, ALICE, outing_change("soon", ALICE, to_time="09:20"))
    world.become(ALICE)

    assert "算到 09:00" in world.text(f"/outings/{made_up_id('late')}")
    assert "算到 09:00" not in world.text(f"/outings/{made_up_id('soon')}")


def test_the_last_door_of_the_afternoon_does_not_end_the_morning(world: World) -> None:
    hour, yesterday = 3_600_000, "2026-11-22"
    log_visits(world.database, ALICE, visit_change("last", ended_at=NOW))  # 09:00
    log_visits(world.database, ALICE, outing_change("early", ALICE, from_time="07:00", to_time="08:00"))
    for name, at in (("first", NOW - 24 * hour), ("second", NOW - 22 * hour)):  # 09:00, 11:00
        log_visits(world.database, ALICE, visit_change(name, ended_at=at))
    for name, begun in (("no end", "08:40"), ("again", "10:30")):
        log_visits(world.database, ALICE, outing_change(name, ALICE, went_on=yesterday, from_time=begun))
    world.become(ALICE)

    assert "算到 09:00" not in world.text(f"/outings/{made_up_id('early')}")
    proposed = [world.text(f"/outings/{made_up_id(name)}") for name in ("no end", "again")]
    assert [re.findall(r'name="to_time" value="([^"]*)"', page) for page in proposed] == [["09:00"], ["11:00"]]


def test_a_stairwell_that_was_taken_back_is_not_called_visited(world: World) -> None:
    world.become(ALICE)
    path = f"/rounds/{ROUND_ID}/nobody-home"
    form = {"record_id": made_up_id("first"), "change_id": made_up_id("told"), "opened_at": NOW, "quick": 1}

    saved = world.post(path, door=list(DOORS)[:2], outcome="no_answer", **form)
    visits = re.findall(r'name="visit" value="([^"]+)"', world.text(saved))
    undone = world.post(f"{path}/undo", visit=visits, change_id=made_up_id("undone"))

    assert len(visits) == 2
    page = world.text(undone)
    assert "已撤回" in page
    assert "都走访过了" not in page


def test_a_time_that_is_none_is_asked_for_again_with_everything_typed(world: World) -> None:
    log_visits(world.database, ALICE, outing_change("out", ALICE))
    world.become(ALICE)

    answer = world.client.post(
        f"/outings/{made_up_id('out')}",
        data={"went_on": TODAY, "from_time": "8 o'clock", "to_time": "11:20", "companions": ["Carol", "Dan"]},
        headers=SAME_ORIGIN,
    )

    assert answer.status_code == 422
    assert "请重新选时间：开始" in answer.text
    assert 'value="8 o&#39;clock"' in answer.text
    assert 'value="11:20"' in answer.text
    assert 'value="Dan" checked' in answer.text


def test_a_round_handed_back_is_free_again_on_the_coordinator_s_screen(world: World) -> None:
    world.become(COORDINATOR)
    assert "交回来了" not in world.text("/coordinator")

    log_visits(world.database, ALICE, decline_change("no", ALICE))
    queue, half = world.text("/coordinator"), world.text("/coordinator/rounds")
    log_visits(world.database, BOB, decline_change("nor I", BOB))
    free = world.text("/coordinator/rounds")

    assert "有 1 轮走访交回来了" in queue
    assert (half.count("去不了，已交回"), half.count("空出来了")) == (1, 0)
    assert (free.count("去不了，已交回"), free.count("空出来了")) == (2, 1)


def test_what_was_handed_back_is_taken_off_her_list_and_may_be_given_again(world: World) -> None:
    log_visits(world.database, ALICE, decline_change("no", ALICE))
    world.become(COORDINATOR)

    location = world.post(f"/coordinator/rounds/{ROUND_ID}/take-back", volunteer_id=ALICE.id)
    world.post(f"/coordinator/rounds/{ROUND_ID}/take-back", volunteer_id=BOB.id)  # he has not handed it back

    assert location == "/coordinator/rounds?said=taken"
    assert world.mine(ALICE, "round") == []
    assert len(world.mine(BOB, "round")) == 1
    assert "交回来了" not in world.text("/coordinator")
    world.database.write(
        lambda session: assign_round(
            session, community_id=COMMUNITY_ID, round_id=ROUND_ID, household_ids=DOORS, volunteer_ids=[ALICE.id]
        )
    )
    assert [bool(decline.is_void) for decline in world.mine(ALICE, "decline")] == [True]


def test_a_round_that_was_handed_back_twice_and_given_again_is_walked(world: World) -> None:
    """Two tabs leave two words of hers."""
    log_visits(world.database, ALICE, decline_change("no", ALICE), decline_change("no, says her other tab", ALICE))
    world.become(COORDINATOR)
    half = world.text("/coordinator/rounds")

    world.post(f"/coordinator/rounds/{ROUND_ID}/take-back", volunteer_id=ALICE.id)
    world.post(f"/coordinator/rounds/{ROUND_ID}/give", volunteer_id=ALICE.id)

    assert half.count("去不了，已交回") == 1
    assert len(world.mine(ALICE, "round")) == 1
    assert [bool(decline.is_void) for decline in world.mine(ALICE, "decline")] == [True, True]
    assert "去不了，已交回" not in world.text("/coordinator/rounds")


def test_a_free_round_is_given_to_somebody_else_once_and_her_phone_gets_its_doors(world: World) -> None:
    log_visits(world.database, ALICE, decline_change("no", ALICE))
    world.become(COORDINATOR)
    offered = world.text("/coordinator/rounds")

    said = [world.post(f"/coordinator/rounds/{ROUND_ID}/give", volunteer_id=CHARLIE.id) for _ in range(2)]

    assert f'<option value="{CHARLIE.id}">0003 Charlie</option>' in offered
    assert said == ["/coordinator/rounds?said=given"] * 2
    given = {record.record_id: record.fields for record in world.mine(CHARLIE, "round")}
    assert json.loads(given[ROUND_ID])["volunteer_ids"][-1] == CHARLIE.id
    assert {record.record_id for record in world.mine(CHARLIE, "household")} >= set(DOORS)
    panel = world.text("/coordinator/rounds?said=given").split(f'id="round-{ROUND_ID}"')[1].split("</section>")[0]
    assert f'value="{CHARLIE.id}"' not in panel
    assert "Charlie" in panel


@pytest.mark.parametrize(
    ("round_id", "volunteer_id"), [(ROUND_ID, made_up_id("nobody")), (made_up_id("no round"), CHARLIE.id), ("x", "")]
)
def test_a_round_or_a_volunteer_that_is_not_there_gives_nothing(world: World, round_id: str, volunteer_id: str) -> None:
    world.become(COORDINATOR)
    before = len(world.mine(CHARLIE, "round"))

    assert world.post(f"/coordinator/rounds/{round_id}/give", volunteer_id=volunteer_id) == "/coordinator/rounds"
    assert len(world.mine(CHARLIE, "round")) == before


def test_a_round_names_the_team_that_may_go_along(world: World) -> None:
    (record,) = world.mine(ALICE, "round")

    assert '"people":["Alice","Bob","Charlie"]' in record.fields.replace('", "', '","').replace(": ", ":")


def test_rounds_from_before_are_completed_when_the_server_starts(world: World) -> None:
    """They name nobody, and nobody may write under herself."""

    def forget(session: Session) -> None:
        session.exec(delete(Grant).where(col(Grant.scope_id).in_([ALICE.id, BOB.id, CHARLIE.id])))
        old = Change(made_up_id("old"), 0, "round", made_up_id("old round"), Action.PUT, 0, {"title": "旧"}, NOW, 1)
        accept_changes(session, server_author(COMMUNITY_ID), [old], NOW)
        session.add(Grant(community_id=COMMUNITY_ID, person_id=ALICE.id, scope_id=made_up_id("old round"), revision=1))

    world.database.write(forget)
    (before,) = log_visits(world.database, ALICE, outing_change("before", ALICE))

    world.database.write(lambda session: complete_rounds(session, COMMUNITY_ID, now=NOW))

    (after,) = log_visits(world.database, ALICE, outing_change("after", ALICE))
    assert (before.outcome, after.outcome) == (Outcome.HELD, Outcome.ACCEPTED)


def test_what_a_revoked_phone_said_may_be_taken_in_and_is_readable(world: World) -> None:
    revoked = replace(ALICE.author(), is_revoked=True)
    change = outing_change("late", ALICE, companions=["Carol"])
    world.database.write(lambda session: accept_changes(session, revoked, [change], NOW))
    world.become(COORDINATOR)
    page = world.text("/coordinator/held")

    said = world.post(f"/coordinator/held/{change.change_id}", decision="taken", decision_id=made_up_id("a decision"))

    assert ("同行人" in page, "Carol" in page, "from_time" in page) == (True, True, False)
    assert said == "/coordinator/held?said=taken"
    (record,) = world.mine(ALICE, "outing")
    assert record.author_id == ALICE.id
