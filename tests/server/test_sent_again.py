"""Forms that reach the server more than once: tapped twice, or gone back to, amended and saved again. What is held for a
coordinator is held once and whole, as what is accepted is stored once and whole. And two forms about one thing at once."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from html import unescape
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import text
from sqlmodel import Session, col, select
from starlette.testclient import TestClient

from server import migrations
from server.accepting import accept_changes, principal_author
from server.app import create_app
from server.database import Database
from server.enrolment import create_invite, revoke_device
from server.held import Decision, find_held, take_in
from server.identifiers import uuid7
from server.models import Change, Device, Record, Volunteer
from server.scope import Principal, scoped
from server.sessions import cookie_name
from server.settings import Settings
from sync import changes
from sync.changes import Action, Outcome
from tests.people import (
    ALICE,
    CHARLIES_DOOR,
    COMMUNITY_ID,
    COORDINATOR,
    GREEN_DOOR,
    NOW,
    RED_DOOR,
    ROUND_ID,
    Person,
    build_world,
    log_visits,
    made_up_id,
    sign_in,
    visit_change,
)
from tests.postgres import new_database

PATH = f"/rounds/{ROUND_ID}/doors/{RED_DOOR}/visit"
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}
FORM = {"outcome": "met", "record_id": made_up_id("visit"), "change_id": made_up_id("form"), "opened_at": str(NOW)}
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

T = TypeVar("T")


@dataclass
class World:
    client: TestClient
    database: Database

    def become(self, who: Person | Principal) -> None:
        name = cookie_name(self.client.app.state.settings)  # type: ignore[attr-defined]
        self.client.cookies.clear()
        self.client.cookies.set(name, sign_in(self.database, who))

    def post(self, path: str, form: Mapping[str, Any]) -> str:
        """Where the browser is sent."""
        answer = self.client.post(path, data=form, headers=SAME_ORIGIN, follow_redirects=False)
        assert answer.status_code == 303, (path, answer.text)
        return answer.headers["location"]

    def close(self, door: str, *, is_closed: bool = True) -> None:
        fields = {"is_closed": is_closed}
        change = changes.Change(uuid7(), 0, "household", door, Action.PUT, 2**40, fields, NOW, 1)
        (result,) = self.database.write(
            lambda session: accept_changes(session, principal_author(COORDINATOR), [change], NOW)
        )
        assert result.outcome is Outcome.ACCEPTED

    def history(self, outcome: Outcome) -> list[Change]:
        """What came of visits, in its order."""
        statement = select(Change).where(Change.kind == "visit", Change.outcome == outcome.value)
        return self.database.read(
            lambda session: list(session.exec(scoped(COORDINATOR, statement.order_by(col(Change.position)))))
        )

    def held(self) -> list[dict[str, Any]]:
        return [json.loads(change.fields) for change in self.history(Outcome.HELD)]

    def visits(self) -> list[Record]:
        statement = select(Record).where(Record.kind == "visit")
        return self.database.read(lambda session: list(session.exec(scoped(COORDINATOR, statement))))


@contextmanager
def world_at(settings: Settings) -> Iterator[World]:
    """A second goes by between any two looks at the clock."""
    seconds = count()
    app = create_app(settings, clock=lambda: NOW + 1000 * next(seconds))
    migrations.upgrade(settings.database_url)
    with TestClient(app, base_url=settings.public_url) as client:
        build_world(app.state.database)
        yield World(client, app.state.database)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_at(Settings(data_dir=tmp_path)) as made:
        made.become(ALICE)
        yield made


def test_a_form_under_an_id_that_was_used_for_another_visit_is_not_called_saved(world: World) -> None:
    world.post(PATH, FORM)

    said = world.post(PATH, FORM | {"record_id": made_up_id("another visit"), "note": "示例"})

    assert "held=same_id_other_content" in said
    assert "saved=" not in said
    assert [fields["note"] for fields in world.held()] == ["示例"]


# A household that was closed while somebody was at its door: what she writes waits for a coordinator


def test_what_was_amended_after_going_back_is_held_as_it_was_amended(world: World) -> None:
    world.close(RED_DOOR)
    world.post(PATH, FORM | {"note": "示例：门口有积水"})

    said = [world.post(PATH, FORM | {"note": "示例：门口有积水，已叫物业"}) for _ in range(2)]  # a double tap

    assert [fields["note"] for fields in world.held()] == ["示例：门口有积水", "示例：门口有积水，已叫物业"]
    assert all("held=household_closed" in location for location in said)


def test_what_is_held_is_held_once_and_said_each_time(world: World) -> None:
    world.close(RED_DOOR)

    said = [world.post(PATH, FORM) for _ in range(2)]

    assert len(world.held()) == 1
    assert all("held=household_closed" in location for location in said)


def test_an_edit_that_is_held_is_held_once(world: World) -> None:
    log_visits(world.database, ALICE, visit_change("hers"))
    path, form = f"/visits/{made_up_id('hers')}/edit", {"outcome": "met", "change_id": made_up_id("edit")}
    world.close(RED_DOOR)

    said = [world.post(path, form | {"note": note}) for note in ("示例", "示例", "示例，改", "示例，改")]
    said += [world.post(f"/visits/{made_up_id('hers')}/withdraw", {"change_id": made_up_id("void")}) for _ in range(2)]

    assert [fields.get("note") for fields in world.held()] == ["示例", "示例，改", None]
    assert all("held=household_closed" in location for location in said)


@pytest.mark.parametrize(
    ("path", "form"),
    [
        (PATH, {}),
        (PATH, {"danger": "fall"}),  # leads to whom to call of a visit, and there is none
        ("/visits/{hers}/edit", {"note": "示例"}),
        ("/visits/{hers}/withdraw", {}),
        ("/visits/{hers}/withdraw", {"back": f"/rounds/{ROUND_ID}/doors/{RED_DOOR}"}),
        (f"/rounds/{ROUND_ID}/nobody-home", {"door": RED_DOOR, "outcome": "no_answer", "quick": "1"}),
    ],
)
def test_what_is_held_is_said_on_the_next_page_and_not_called_saved(
    world: World, path: str, form: dict[str, str]
) -> None:
    log_visits(world.database, ALICE, visit_change("hers"))
    world.close(RED_DOOR)

    location = world.post(path.format(hers=made_up_id("hers")), FORM | form)

    answer = world.client.get(location)
    assert answer.status_code == 200
    assert "这户的档案已关闭。记录已保留，由协调员核对。" in answer.text
    assert 'id="saved"' not in answer.text


def test_of_several_doors_each_is_what_became_of_it(world: World) -> None:
    world.close(RED_DOOR)
    path = f"/rounds/{ROUND_ID}/nobody-home"
    form = {"door": [RED_DOOR, GREEN_DOOR], "outcome": "no_answer", "quick": "1"}

    page = world.client.get(world.post(path, FORM | form)).text

    assert "这户的档案已关闭。记录已保留，由协调员核对。" in page
    assert "1 户未遇" in page


def test_what_a_coordinator_took_in_meanwhile_is_amended_like_any_visit(world: World) -> None:
    world.close(RED_DOOR)
    world.post(PATH, FORM | {"note": "示例"})
    (held,) = world.history(Outcome.HELD)
    world.become(COORDINATOR)
    world.post(f"/coordinator/held/{held.change_id}", {"decision": "taken", "decision_id": made_up_id("decision")})
    world.close(RED_DOOR, is_closed=False)
    world.become(ALICE)

    said = [world.post(PATH, FORM | {"note": "示例，改"}) for _ in range(2)]

    (visit,) = world.visits()
    assert (json.loads(visit.fields)["note"], len(world.held())) == ("示例，改", 1)
    assert not any("held=" in location for location in said)


# An edit: of a record that others may edit while its form is open


def edit_of_hers(world: World) -> tuple[str, dict[str, Any]]:
    """Where the form that Alice has open is sent, and what stands in it."""
    path = f"/visits/{made_up_id('hers')}/edit"
    page = world.client.get(path).text
    hidden = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page)
    return path, {name: unescape(value) for name, value in hidden} | {"outcome": "met"}


def fields_of_hers(world: World) -> dict[str, Any]:
    (visit,) = world.visits()
    fields: dict[str, Any] = json.loads(visit.fields)
    return fields


def write_meanwhile(world: World, **fields: Any) -> None:
    """As her other phone does."""
    log_visits(world.database, ALICE, replace(visit_change("hers"), change_id=made_up_id("other"), base=1, set=fields))


@pytest.mark.parametrize("times", [1, 2])
def test_an_edit_leaves_what_was_written_while_its_form_was_open(world: World, times: int) -> None:
    log_visits(world.database, ALICE, visit_change("hers"))
    path, form = edit_of_hers(world)
    write_meanwhile(world, note="示例：门铃坏了", contact_mode="phone")

    for _ in range(times):
        world.post(path, form | {"outcome": "away_known"})

    fields = fields_of_hers(world)
    assert (fields["outcome"], fields["note"], fields["contact_mode"]) == ("away_known", "示例：门铃坏了", "phone")


def test_an_edit_that_is_held_is_held_once_whatever_was_written_while_its_form_was_open(world: World) -> None:
    log_visits(world.database, ALICE, visit_change("hers"))
    path, form = edit_of_hers(world)
    write_meanwhile(world, note="示例：门铃坏了")
    world.close(RED_DOOR)

    for _ in range(2):
        world.post(path, form | {"outcome": "away_known"})

    assert len(world.held()) == 1


def test_an_edit_that_was_taken_in_may_be_taken_back_like_any(world: World) -> None:
    log_visits(world.database, ALICE, visit_change("hers", contact_mode="in_person"))
    path, form = edit_of_hers(world)
    world.close(RED_DOOR)
    world.post(path, form | {"note": "示例", "contact_mode": "in_person"})
    (held,) = world.history(Outcome.HELD)
    world.become(COORDINATOR)
    world.post(f"/coordinator/held/{held.change_id}", {"decision": "taken", "decision_id": made_up_id("decision")})
    world.close(RED_DOOR, is_closed=False)
    world.become(ALICE)

    for mode in ("phone", "in_person"):
        world.post(path, form | {"note": "示例", "contact_mode": mode})
        assert fields_of_hers(world)["contact_mode"] == mode


def test_an_edit_says_again_what_it_altered_although_another_did_too(world: World) -> None:
    log_visits(world.database, ALICE, visit_change("hers"))
    path, form = edit_of_hers(world)
    write_meanwhile(world, note="示例：门铃坏了")

    world.post(path, form | {"note": "示例：门铃修好了"})

    assert fields_of_hers(world)["note"] == "示例：门铃修好了"


def test_an_edit_that_is_amended_after_going_back_alters_that_alone(world: World) -> None:
    log_visits(world.database, ALICE, visit_change("hers"))
    path, form = edit_of_hers(world)
    world.post(path, form | {"note": "示例", "contact_mode": "phone"})

    world.post(path, form | {"note": "示例，改", "contact_mode": "phone"})
    assert (fields_of_hers(world)["note"], fields_of_hers(world)["contact_mode"]) == ("示例，改", "phone")
    world.post(path, form | {"contact_mode": "phone"})  # and emptied, as it was when she opened it
    assert (fields_of_hers(world)["note"], fields_of_hers(world)["contact_mode"]) == ("", "phone")


@pytest.mark.parametrize("was", ["", "{", "null", "[]", "1", "[" * 1000, '{"note": {"x": NaN}}', "9" * 5000])
def test_a_form_that_does_not_say_what_it_was_opened_with_is_taken_by_its_word(world: World, was: str) -> None:
    log_visits(world.database, ALICE, visit_change("hers"))
    path, form = edit_of_hers(world)

    world.post(path, form | {"note": "示例", "was": was})

    assert fields_of_hers(world)["note"] == "示例"


# At once: on PostgreSQL two requests write at the same time


@pytest.fixture
def on_postgresql(tmp_path: Path) -> Iterator[World]:
    with world_at(Settings(data_dir=tmp_path, database_url=new_database())) as made:
        yield made


HOLD = f"SELECT 1 FROM feed WHERE community_id = {COMMUNITY_ID} FOR UPDATE"  # as whoever writes a record does


def both_at_once(world: World, request: Callable[[], T], *, holding: str = HOLD) -> list[T]:
    """Neither may write before both have come as far as they get while somebody else writes."""
    with ThreadPoolExecutor(2) as threads:

        def send_both(session: Session) -> list[Future[T]]:
            session.connection().execute(text(holding))
            sent = [threads.submit(request) for _ in range(2)]
            wait_until_blocked(world, sent)
            return sent

        return [each.result() for each in world.database.write(send_both)]


def wait_until_blocked(world: World, sent: Sequence[Future[Any]]) -> None:
    with world.database.engine.connect() as onlooker:
        while onlooker.execute(text(WAITING)).scalar_one() < len(sent):
            onlooker.rollback()  # what goes on is looked up once a transaction
            assert not any(each.done() for each in sent)


def test_two_taps_at_once_are_one_visit(on_postgresql: World) -> None:
    on_postgresql.become(ALICE)

    said = both_at_once(on_postgresql, lambda: on_postgresql.post(PATH, FORM))

    assert (len(on_postgresql.visits()), on_postgresql.held()) == (1, [])
    assert not any("held=" in location for location in said)


def test_two_taps_of_a_coordinator_at_once_are_one_review(on_postgresql: World) -> None:
    log_visits(on_postgresql.database, ALICE, visit_change("hers"))
    on_postgresql.become(COORDINATOR)
    (visit,) = on_postgresql.visits()
    form = {"decision": "approved", "change_id": made_up_id("review"), "base": str(visit.revision)}

    both_at_once(on_postgresql, lambda: on_postgresql.post(f"/coordinator/visits/{made_up_id('hers')}", form))

    assert on_postgresql.held() == []
    assert len(on_postgresql.history(Outcome.ACCEPTED)) == 2, "the visit and its review"


# Two who decide about one phone, or one code, at once


def volunteer(session: Session) -> Volunteer:
    return session.get_one(Volunteer, (COMMUNITY_ID, ALICE.id))


def phone_of(session: Session) -> Device:
    return session.get_one(Device, (COMMUNITY_ID, ALICE.device_id))


def test_one_code_that_two_phones_claim_at_once_enrols_one(on_postgresql: World) -> None:
    invite = on_postgresql.database.write(lambda session: create_invite(session, volunteer(session), now=NOW))

    def claim() -> int:
        form = {"code": invite.short_code, "device_name": "示例手机"}
        return on_postgresql.client.post("/enrol", data=form, headers=SAME_ORIGIN, follow_redirects=False).status_code

    assert sorted(both_at_once(on_postgresql, claim, holding="SELECT 1 FROM invite FOR UPDATE")) == [303, 422]


def test_a_phone_that_is_taken_away_while_another_coordinator_confirms_it_stays_taken_away(
    on_postgresql: World,
) -> None:
    world, path = on_postgresql, f"/coordinator/volunteers/{ALICE.id}/devices"
    world.become(COORDINATOR)
    world.database.write(lambda session: setattr(phone_of(session), "standing", "waiting"))
    with ThreadPoolExecutor(1) as threads:

        def revoke(session: Session) -> Future[str]:
            revoke_device(session, community_id=COMMUNITY_ID, device_id=ALICE.device_id, now=NOW)
            session.flush()
            form = {"device_id": ALICE.device_id, "decision": "confirm"}
            confirming = threads.submit(lambda: world.post(path, form))
            wait_until_blocked(world, [confirming])
            return confirming

        world.database.write(revoke).result()

    assert world.database.read(phone_of).standing == "revoked"


def test_what_is_taken_in_while_another_coordinator_leaves_it_out_is_taken_in(on_postgresql: World) -> None:
    world, change = on_postgresql, visit_change("elsewhere", door=CHARLIES_DOOR)
    log_visits(world.database, ALICE, change)
    world.become(COORDINATOR)
    form = {"decision": "dismissed", "reason": "记错了户。", "decision_id": made_up_id("hers")}
    with ThreadPoolExecutor(1) as threads:

        def take(session: Session) -> Future[str]:
            held = find_held(session, COORDINATOR, change.change_id)
            assert held is not None
            take_in(session, COORDINATOR, held, decision_id=made_up_id("the other's"), now=NOW)
            dismissing = threads.submit(lambda: world.post(f"/coordinator/held/{change.change_id}", form))
            wait_until_blocked(world, [dismissing])
            return dismissing

        said = world.database.write(take).result()

    found = world.database.read(lambda session: find_held(session, COORDINATOR, change.change_id))
    assert found is not None
    assert (found.decision, said) == (Decision.TAKEN, "/coordinator/held?said=taken_before")
