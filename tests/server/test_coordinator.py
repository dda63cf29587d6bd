"""The coordinators' pages, by real requests over the small world."""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid5

import pytest
from httpx2 import Response
from sqlmodel import Session
from starlette.testclient import TestClient

from server import migrations
from server.accepting import accept_changes, principal_author
from server.app import create_app
from server.database import Database
from server.enrolment import (
    ClaimProblem,
    NewInvite,
    NoSuchVolunteer,
    claim_invite,
    create_invite,
    volunteer_by_number,
)
from server.held import held_count
from server.identifiers import uuid7
from server.models import Community, Device, Staff, Volunteer
from server.scope import Principal
from server.sealing import encode_base64url
from server.settings import Settings
from server.store import SqlStore
from server.visits import HISTORY_SHOWN
from sync.changes import Action, Change, Held, Outcome
from sync.engine import unreadable
from sync.kinds import Role
from sync.store import Position
from tests.people import (
    ALICE,
    BOB,
    CHARLIE,
    CHARLIES_DOOR,
    CHARLIES_ROUND_ID,
    COMMUNITY_ID,
    COORDINATOR,
    FULL_DOOR,
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
from tests.signing_phone import SigningPhone
from tests.statements import statements

SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}
WHO_STATEMENTS = 3  # session, name, whether the session is due
LIST_STATEMENTS = WHO_STATEMENTS + 5  # visits, counts, held, rounds handed back, volunteers' names
VISIT_STATEMENTS = WHO_STATEMENTS + 2  # visit with household, history
VOLUNTEERS_STATEMENTS = WHO_STATEMENTS + 2  # volunteers, phones


@dataclass
class World:
    client: TestClient
    database: Database

    def get(self, path: str, **query: str) -> str:
        answer = self.client.get(f"{path}?{urlencode(query)}" if query else path)
        assert answer.status_code == 200, answer.status_code
        return text_of(answer)

    def review(self, name: str, *, base: int, change_id: str = "", **form: str) -> Response:
        data = {"change_id": change_id or uuid7(), "base": str(base), **form}
        path = f"/coordinator/visits/{made_up_id(name)}"
        return self.client.post(path, data=data, headers=SAME_ORIGIN, follow_redirects=False)

    def log(self, who: Person, name: str, **fields: Any) -> int:
        """Returns the revision at which the visit now stands."""
        (result,) = log_visits(self.database, who, visit_change(name, **fields))
        assert result.outcome is Outcome.ACCEPTED
        return result.revision


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    settings = Settings(data_dir=tmp_path)
    migrations.upgrade(settings.database_url)
    app = create_app(settings, clock=lambda: NOW)
    with TestClient(app, base_url=settings.public_url) as client:
        build_world(app.state.database)
        client.cookies.set("linli-s", sign_in(app.state.database, COORDINATOR))
        yield World(client, app.state.database)


def text_of(answer: Response) -> str:
    return html.unescape(answer.text)


def listed(page: str) -> list[str]:
    """The ids of the visits in a list, in the order shown."""
    return re.findall(r'<li class="visit queue__visit" id="visit-([0-9a-f-]+)"', page)


def ids(*names: str) -> list[str]:
    return [made_up_id(name) for name in names]


# The list


def test_visits_are_listed_newest_first_and_once(world: World) -> None:
    world.log(ALICE, "first")
    world.log(BOB, "second", door=GREEN_DOOR)
    world.log(CHARLIE, "third", door=CHARLIES_DOOR, round_id=CHARLIES_ROUND_ID)

    assert listed(world.get("/coordinator")) == ids("third", "second", "first")


def test_what_cannot_wait_stands_first_and_says_so(world: World) -> None:
    world.log(ALICE, "danger", danger=["fall"])
    world.log(ALICE, "red, no answer", outcome="no_answer")
    world.log(ALICE, "need", needs=["meal_delivery"], urgency="days", door=GREEN_DOOR)
    world.log(ALICE, "green, no answer", outcome="no_answer", door=GREEN_DOOR)
    world.log(ALICE, "plain", danger=["none"], needs=["none"], door=FULL_DOOR)

    page = world.get("/coordinator")

    assert listed(page) == ids("danger", "red, no answer", "need", "plain", "green, no answer")
    assert re.findall("危险情形|红色户无人应|有需要", page) == ["危险情形", "红色户无人应", "有需要"]


def test_a_filter_is_the_address_and_nonsense_in_it_is_left_out(world: World) -> None:
    world.log(ALICE, "met")
    world.log(ALICE, "no answer", outcome="no_answer", door=GREEN_DOOR)
    world.log(BOB, "Bob's", outcome="no_answer", door=FULL_DOOR)

    assert listed(world.get("/coordinator", outcome="no_answer")) == ids("Bob's", "no answer")
    assert listed(world.get("/coordinator", volunteer=BOB.id)) == ids("Bob's")
    assert listed(world.get("/coordinator", outcome="no_answer", volunteer=ALICE.id)) == ids("no answer")
    everything = ids("Bob's", "no answer", "met")
    assert listed(world.get("/coordinator", outcome="'--", volunteer="x", tab="y", page="-1")) == everything


def test_tabs_count_within_the_filter(world: World) -> None:
    approved = world.log(ALICE, "approved")
    sent_back = world.log(ALICE, "sent back", door=GREEN_DOOR)
    world.log(BOB, "waiting", door=FULL_DOOR)
    withdrawn = world.log(BOB, "withdrawn", door=FULL_DOOR)
    world.review("approved", base=approved, decision="approved")
    world.review("sent back", base=sent_back, decision="sent_back", note="请补充")
    withdraw(world, BOB, "withdrawn", base=withdrawn)

    def counts(page: str) -> list[str]:
        return re.findall(r"(?:待审|已退回|已审|已撤回|全部) \d+", page)

    assert counts(world.get("/coordinator")) == ["待审 1", "已退回 1", "已审 1", "已撤回 1", "全部 4"]
    assert counts(world.get("/coordinator", volunteer=BOB.id)) == ["待审 1", "已退回 0", "已审 0", "已撤回 1", "全部 2"]
    assert listed(world.get("/coordinator", tab="approved")) == ids("approved")
    assert listed(world.get("/coordinator", tab="sent_back")) == ids("sent back")
    assert listed(world.get("/coordinator", tab="withdrawn")) == ids("withdrawn")
    assert sorted(listed(world.get("/coordinator", tab="all"))) == sorted(
        ids("approved", "sent back", "waiting", "withdrawn")
    )


def withdraw(world: World, who: Person, name: str, *, base: int) -> None:
    change = Change(uuid7(), 0, "visit", made_up_id(name), Action.VOID, base, {}, NOW, 1)
    log_visits(world.database, who, change)


def test_a_long_list_has_pages_that_miss_and_double_nothing(world: World) -> None:
    log_visits(world.database, ALICE, *(visit_change(f"visit {each}") for each in range(120)))

    pages = [world.get("/coordinator", page=str(number)) for number in (1, 2, 3)]

    assert [len(listed(page)) for page in pages] == [50, 50, 20]
    assert len({visit for page in pages for visit in listed(page)}) == 120
    assert ['rel="next"' in page for page in pages] == [True, True, False]


@pytest.mark.parametrize("visits", [1, 3])
def test_the_list_asks_the_database_a_fixed_number_of_things(world: World, visits: int) -> None:
    doors = (GREEN_DOOR, FULL_DOOR, GREEN_DOOR)
    log_visits(world.database, ALICE, *(visit_change(f"visit {each}", door=doors[each]) for each in range(visits)))

    with statements(world.database) as seen:
        page = world.get("/coordinator")

    assert len(listed(page)) == visits
    assert len(seen) == LIST_STATEMENTS


@pytest.mark.parametrize("nothing", ["", None, []])
def test_an_amendment_that_leaves_a_visit_without_outcome_is_held_and_breaks_no_list(
    world: World, nothing: object
) -> None:
    revision = world.log(ALICE, "visit")

    (result,) = log_visits(world.database, ALICE, visit_change("visit", base=revision, outcome=nothing))

    assert listed(world.get("/coordinator")) == ids("visit")
    world.client.cookies.set("linli-s", sign_in(world.database, BOB))
    assert "见到本人" in world.get("/today")
    assert (result.outcome, result.code, result.detail) == (Outcome.HELD, Held.BAD_FIELD, "outcome")


# One visit


def test_one_visit_shows_every_answer_and_its_history(world: World) -> None:
    revision = world.log(ALICE, "visit", needs=["meal_delivery"], urgency="h24", note="<b>要少盐</b>", wb_mood="fair")
    edit = visit_change("visit", base=revision, note="要少盐少油")
    log_visits(world.database, ALICE, edit, now=NOW + 60_000)

    page = world.get(f"/coordinator/visits/{made_up_id('visit')}")

    assert {"见到本人", "送餐", "24小时内", "要少盐少油", "2号楼1单元101"} <= set(re.findall(r"[^<>\n ]+", page))
    assert "Alice 记录了这次走访" in page
    assert "Alice 作了修改" in page
    assert page.count('class="history__entry" data-outcome="accepted"') == 2
    labels = re.findall(r"<dt>(.*?)</dt>", page)
    assert labels == ["结果", "情绪", "需要什么", "紧急程度", "备注"]
    raw = world.client.get(f"/coordinator/visits/{made_up_id('visit')}").text
    assert "<b>" not in raw


def test_a_visit_that_was_given_up_and_taken_back_from_there_was_recorded_once(world: World) -> None:
    world.log(ALICE, "visit")
    discard = replace(visit_change("visit"), change_id=uuid7(), action=Action.DISCARD, set={})
    log_visits(world.database, ALICE, discard)

    page = world.get(f"/coordinator/visits/{made_up_id('visit')}")

    assert page.count("history__entry") == 1


@pytest.mark.parametrize("edits", [1, 3])
def test_one_visit_asks_the_database_a_fixed_number_of_things(world: World, edits: int) -> None:
    revision = world.log(ALICE, "visit")
    for each in range(edits - 1):
        log_visits(world.database, ALICE, visit_change("visit", base=revision + each, note=f"{each}"))

    with statements(world.database) as seen:
        page = world.get(f"/coordinator/visits/{made_up_id('visit')}")

    assert page.count("history__entry") == edits
    assert len(seen) == VISIT_STATEMENTS


def test_what_is_held_of_a_visit_pushes_nothing_that_stands_off_its_page(world: World) -> None:
    """Bob's phone may name Alice's visit as often as it likes."""
    revision = world.log(ALICE, "visit")
    held = [visit_change("visit", base=revision, note=f"{each}") for each in range(HISTORY_SHOWN + 1)]
    log_visits(world.database, BOB, *held, now=NOW + 1000)
    log_visits(world.database, ALICE, visit_change("visit", base=revision, note="补充"), now=NOW + 2000)

    page = world.get(f"/coordinator/visits/{made_up_id('visit')}")

    assert re.findall(r'class="history__did">(.*?)<', page) == [
        "Alice 记录了这次走访",
        *["Bob 作了修改"] * HISTORY_SHOWN,
        "Alice 作了修改",
    ]


def test_approving_goes_through_the_feed_to_the_volunteers_phone(world: World) -> None:
    revision = world.log(ALICE, "visit")

    answer = world.review("visit", base=revision, decision="approved")

    assert answer.status_code == 303
    assert answer.headers["location"] == f"/coordinator?reviewed={made_up_id('visit')}"
    pulled = world.database.read(
        lambda session: SqlStore(session).slice(COMMUNITY_ID, ALICE.id, Position(revision), 50)
    )
    assert [(record.record_id, record.fields["review_state"]) for record in pulled.records] == [
        (made_up_id("visit"), "approved")
    ]
    assert listed(world.get("/coordinator")) == []
    assert "Dana 审核通过" in world.get(f"/coordinator/visits/{made_up_id('visit')}")


def test_two_taps_on_approve_are_one_change(world: World) -> None:
    revision, change_id = world.log(ALICE, "visit"), uuid7()

    answers = [world.review("visit", base=revision, change_id=change_id, decision="approved") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [303, 303]
    page = world.get(f"/coordinator/visits/{made_up_id('visit')}")
    assert page.count("history__entry") == 2


def test_a_review_sent_again_later_is_the_same_and_holds_nothing(world: World) -> None:
    revision, change_id = world.log(ALICE, "visit"), uuid7()
    world.review("visit", base=revision, change_id=change_id, decision="approved")
    world.client.app.state.clock = lambda: NOW + 1000  # type: ignore[attr-defined]

    answer = world.review("visit", base=revision, change_id=change_id, decision="approved")

    assert answer.status_code == 303
    assert world.get(f"/coordinator/visits/{made_up_id('visit')}").count("history__entry") == 2
    assert world.database.read(lambda session: held_count(session, COORDINATOR)) == 0


def test_a_review_under_an_id_that_was_used_for_another_visit_is_held(world: World) -> None:
    change_id = uuid7()
    for name in ("visit", "another"):
        answer = world.review(name, base=world.log(ALICE, name), change_id=change_id, decision="approved")

    assert answer.status_code != 500
    assert world.database.read(lambda session: held_count(session, COORDINATOR)) == 1


def test_whoever_goes_back_and_decides_otherwise_has_decided_otherwise(world: World) -> None:
    revision, change_id = world.log(ALICE, "visit"), uuid7()
    world.review("visit", base=revision, change_id=change_id, decision="approved")

    for _ in range(2):  # a double tap
        answer = world.review("visit", base=revision, change_id=change_id, decision="sent_back", note="联系过家人吗？")

    page = world.get(f"/coordinator/visits/{made_up_id('visit')}")
    assert answer.status_code == 303
    assert listed(world.get("/coordinator", tab="sent_back")) == ids("visit")
    assert "联系过家人吗？" in page
    assert page.count("history__entry") == 3
    assert world.database.read(lambda session: held_count(session, COORDINATOR)) == 0


def test_sending_back_needs_a_word_and_keeps_what_was_typed(world: World) -> None:
    revision = world.log(ALICE, "visit")

    without = world.review("visit", base=revision, decision="sent_back", note="  ")
    too_long = world.review("visit", base=revision, decision="sent_back", note="长" * 201)
    sent = world.review("visit", base=revision, decision="sent_back", note="联系过家人吗？")

    assert (without.status_code, too_long.status_code, sent.status_code) == (422, 422, 303)
    assert "请写一句" in text_of(without)
    assert "长" * 201 in text_of(too_long)
    assert "联系过家人吗？" in world.get(f"/coordinator/visits/{made_up_id('visit')}")


@pytest.mark.parametrize(("who", "is_asked"), [(ALICE, True), (BOB, False)])
def test_only_whoever_made_a_visit_is_asked_to_complete_it(world: World, who: Person, is_asked: bool) -> None:
    revision = world.log(ALICE, "visit")
    world.review("visit", base=revision, decision="sent_back", note="请补充：见到的是谁？")
    world.client.cookies.set("linli-s", sign_in(world.database, who))

    page = world.get(f"/rounds/{ROUND_ID}/doors/{RED_DOOR}")

    assert made_up_id("visit") in page
    assert (f'href="/visits/{made_up_id("visit")}/edit"' in page) == is_asked


def test_an_amended_visit_waits_again_and_says_why(world: World) -> None:
    revision = world.log(ALICE, "visit")
    world.review("visit", base=revision, decision="sent_back", note="请补充")
    log_visits(world.database, ALICE, visit_change("visit", base=revision + 1, note="补充了"))

    page = world.get("/coordinator")

    assert listed(page) == ids("visit")
    assert "审核后又有修改" in page


def test_a_review_can_be_taken_back(world: World) -> None:
    revision = world.log(ALICE, "visit")
    world.review("visit", base=revision, decision="approved")

    world.review("visit", base=revision + 1, decision="")

    assert listed(world.get("/coordinator")) == ids("visit")
    assert "Dana 改回待审" in world.get(f"/coordinator/visits/{made_up_id('visit')}")


@pytest.mark.parametrize("decision", ["approved", "sent_back", ""])
def test_a_visit_that_was_withdrawn_meanwhile_is_not_brought_back_by_a_review(world: World, decision: str) -> None:
    revision = world.log(ALICE, "visit", needs=["meal_delivery"], urgency="h24")
    log_visits(world.database, ALICE, replace(visit_change("visit", base=revision), action=Action.VOID, set={}))

    answer = world.review("visit", base=revision, decision=decision, note="请补充")

    assert answer.status_code == 422
    assert "您的审核没有存" in text_of(answer)
    records = [made_up_id("visit"), str(uuid5(UUID(made_up_id("visit")), "meal_delivery"))]
    found = world.database.read(lambda session: SqlStore(session).records(COMMUNITY_ID, records))
    assert [found[each].is_void for each in records] == [True, True]


def test_a_note_as_long_as_it_may_be_is_that_long_in_a_browser_too(world: World) -> None:
    """Which sends the end of a line as two characters."""
    revision = world.log(ALICE, "visit")

    sent = world.review("visit", base=revision, decision="sent_back", note="\r\n".join(["长" * 99, "长" * 100]))

    assert sent.status_code == 303


@pytest.mark.parametrize("visit_id", ["no-uuid", made_up_id("nobody's"), GREEN_DOOR])
def test_what_is_no_visit_does_not_exist(world: World, visit_id: str) -> None:
    path = f"/coordinator/visits/{visit_id}"
    form = {"change_id": uuid7(), "base": "1", "decision": "approved"}

    assert world.client.get(path).status_code == 404
    assert world.client.post(path, data=form, headers=SAME_ORIGIN, follow_redirects=False).status_code in (303, 404)
    assert world.client.get(path).status_code == 404


# Held changes


def test_held_changes_are_readable_whole_with_their_reason(world: World) -> None:
    note = "路过看了看，一切都好。" * 10
    (result,) = log_visits(world.database, ALICE, visit_change("elsewhere", door=CHARLIES_DOOR, note=note))

    assert result.outcome is Outcome.HELD
    assert "需核对 1 条" in world.get("/coordinator")
    page = world.get("/coordinator/held")
    assert "5号楼2单元501 · 这户当时不在这位志愿者的名单上" in page
    assert note in page
    assert "见到本人" in page


def test_what_could_not_be_read_is_shown_as_it_came(world: World) -> None:
    rubbish = unreadable(change_id="x", device_sequence=1, code=Held.BAD_CHANGE, raw="{<script>", detail="kind")
    log_visits(world.database, ALICE, rubbish)

    page = world.get("/coordinator/held")

    assert "读不出来" in page
    assert "{<script>" in page
    assert "<script>" not in world.client.get("/coordinator/held").text.replace("<script src", "")


def test_of_megabytes_that_could_not_be_read_the_beginning_is_shown(world: World) -> None:
    world.log(ALICE, "visit")
    raw = "始" + "长" * 100_000 + "末"
    rubbish = unreadable(
        change_id=made_up_id("visit"), device_sequence=1, code=Held.BAD_CHANGE, raw=raw, detail="too big"
    )
    log_visits(world.database, ALICE, rubbish)

    page = world.get("/coordinator/held")

    assert "始长长" in page
    assert "末" not in page
    assert "后面还有 96002 个字没有列出，整份都留着。" in page
    assert "长长" not in world.get(f"/coordinator/visits/{made_up_id('visit')}")


# Phones


def test_an_invite_is_shown_once_and_the_phone_confirmed_by_its_number(world: World) -> None:
    path = f"/coordinator/volunteers/{BOB.id}"
    before = world.get(f"{path}/invite")

    made = world.client.post(f"{path}/invite", headers=SAME_ORIGIN)

    assert "<svg" in made.text
    assert " style=" not in made.text
    code = re.search(r'id="short-code">(\d{4} \d{4})<', made.text)
    assert code is not None
    assert code[1] not in before + world.get(f"{path}/invite")
    device = world.database.write(
        lambda session: claim_invite(session, code=code[1], device_name="红色华为", public_key="", now=NOW)
    )
    assert isinstance(device, Device)
    waiting = world.client.get(f"{path}/devices", headers={"HX-Request": "true"}).text
    assert "<html" not in waiting
    assert "红色华为" in waiting
    assert device.check_number in waiting
    decide(world, BOB, device.id, "confirm")
    assert standing(world, device.id) == "active"
    assert "红色华为" in world.get(f"{path}/invite")
    assert "红色华为" not in world.client.get(f"{path}/devices", headers={"HX-Request": "true"}).text


def test_a_revoked_phone_is_out_at_once(world: World) -> None:
    token = sign_in(world.database, ALICE)
    volunteer = TestClient(world.client.app, base_url=str(world.client.base_url), cookies={"linli-s": token})
    assert volunteer.get("/today", follow_redirects=False).status_code == 200

    decide(world, ALICE, ALICE.device_id, "revoke")

    assert standing(world, ALICE.device_id) == "revoked"
    assert volunteer.get("/today", follow_redirects=False).headers["location"] == "/enrol"


def test_a_revoked_phone_s_key_enrols_no_more(world: World) -> None:
    """The phone makes itself another one (static/worker/enrolment.js)."""
    phone = SigningPhone(ALICE)
    first, second = invite(world), invite(world)
    device = claim(world, first.token, phone)
    assert isinstance(device, Device)
    decide(world, ALICE, device.id, "confirm")
    assert isinstance(claim(world, second.token, phone), Device)

    decide(world, ALICE, device.id, "revoke")

    assert claim(world, second.token, phone) is ClaimProblem.BAD_KEY


def test_a_code_that_was_spent_or_is_over_opens_nothing_to_a_phone_that_is_known(world: World) -> None:
    """But for the phone that spent it: its answer may have been lost."""
    phone, other = SigningPhone(ALICE), SigningPhone(ALICE)
    first, second, third = invite(world), invite(world), invite(world)
    device = claim(world, first.token, phone)
    assert isinstance(device, Device)
    assert isinstance(claim(world, first.token, phone), Device)
    assert isinstance(claim(world, second.short_code, other), Device)

    assert claim(world, second.token, phone) is ClaimProblem.SPENT_CODE
    assert claim(world, first.token, phone, now=first.expires_at) is ClaimProblem.EXPIRED_CODE
    again = claim(world, third.token, phone)
    assert isinstance(again, Device)
    assert again.id == device.id
    assert claim(world, third.token, other) is ClaimProblem.SPENT_CODE


def test_a_phone_whose_key_is_refused_is_told_so_although_its_next_key_has_spent_the_code(world: World) -> None:
    """The answer to the second one was lost: told of a spent code, it would not send that key again."""
    phone, next_key = SigningPhone(ALICE), SigningPhone(ALICE)
    first, second = invite(world), invite(world)
    device = claim(world, first.token, phone)
    assert isinstance(device, Device)
    decide(world, ALICE, device.id, "revoke")

    assert claim(world, second.token, phone) is ClaimProblem.BAD_KEY
    assert isinstance(claim(world, second.token, next_key), Device)
    assert claim(world, second.token, phone) is ClaimProblem.BAD_KEY
    assert isinstance(claim(world, second.token, next_key), Device)


def test_an_invite_is_for_the_volunteer_of_that_page_whoever_else_has_her_number(world: World) -> None:
    """In another community, as numbers are each community's own."""
    zoe = Volunteer(community_id=2, id=made_up_id("Zoe"), number=ALICE.number, name="Zoe")
    eve = Staff(community_id=2, id=made_up_id("Eve"), login="eve", name="Eve", password_hash="")

    def add(session: Session) -> None:
        session.add(Community(id=2, name="另一个示例社区", epoch="epoch-1"))
        session.flush()
        session.add_all([zoe, eve])

    world.database.write(add)
    world.client.cookies.set("linli-s", sign_in(world.database, Principal(Role.COORDINATOR, eve.id, 2, "Eve")))
    path = f"/coordinator/volunteers/{zoe.id}/invite"
    (code,) = re.findall(r'id="short-code">(\d{4} \d{4})<', text_of(world.client.post(path, headers=SAME_ORIGIN)))

    device = claim(world, code, SigningPhone(ALICE))

    assert isinstance(device, Device)
    assert (device.community_id, device.volunteer_id) == (2, zoe.id)
    with pytest.raises(NoSuchVolunteer):  # at the server's own command line the number alone says too little
        world.database.read(lambda session: volunteer_by_number(session, ALICE.number))


def test_who_is_inactive_is_invited_by_nobody(world: World) -> None:
    def deactivate(session: Session) -> None:
        session.get_one(Volunteer, (COMMUNITY_ID, ALICE.id)).is_active = False

    world.database.write(deactivate)
    answer = world.client.post(f"/coordinator/volunteers/{ALICE.id}/invite", headers=SAME_ORIGIN)

    assert answer.status_code == 200
    assert "已不再服务" in text_of(answer)
    assert 'id="short-code"' not in answer.text


def test_codes_are_not_guessed_by_trying(world: World) -> None:
    """Eight digits are quickly typed, and quickly tried."""
    made = invite(world)

    def tried(code: str) -> int:
        phone = SigningPhone(ALICE)
        return send_claim(world, code, phone, signed_by=phone).status_code

    answers = [tried(f"{number:08}") for number in range(100)]

    assert answers[:20] == [422] * 20
    assert answers[-1] == 429
    assert tried(made.short_code) == 429
    assert tried(made.token) == 303  # what nobody guesses is not limited


def test_a_public_key_is_no_secret_and_opens_no_device_to_who_cannot_sign_with_it(world: World) -> None:
    """Whoever has a copy of the database has every public key, and a coordinator's fresh code may be photographed."""
    phone = SigningPhone(ALICE)
    world.database.write(phone.enrol)
    code = invite(world).token
    world.client.cookies.clear()

    strangers = [send_claim(world, code, phone, signed_by=signer) for signer in (None, SigningPhone(ALICE))]
    hers = send_claim(world, code, phone, signed_by=phone)

    assert [(each.status_code, each.headers["linli-problem"], dict(each.cookies)) for each in strangers] == [
        (422, "bad_key", {}),
        (422, "bad_key", {}),
    ]
    assert (hers.status_code, hers.headers["location"]) == (303, "/enrol/waiting")  # strangers spent no code


def test_a_key_that_is_not_known_is_whose_its_phone_says_if_there_is_such_a_volunteer(world: World) -> None:
    """After a restore the server knows neither the phone nor whose it was."""
    key = encode_base64url(SigningPhone(ALICE).public_key)

    def claimed(owner_id: str) -> Device | ClaimProblem:
        code = invite(world).token
        return world.database.write(
            lambda session: claim_invite(session, code=code, device_name="", public_key=key, owner_id=owner_id, now=NOW)
        )

    assert claimed(BOB.id) == ClaimProblem.ANOTHERS_KEY
    assert isinstance(claimed("no id at all"), Device)
    assert isinstance(claimed(made_up_id("of a server that is gone")), Device)
    assert isinstance(claimed(BOB.id), Device)  # known now, and hers


def send_claim(world: World, code: str, phone: SigningPhone, *, signed_by: SigningPhone | None) -> Response:
    """The form with that phone's public key."""
    form = {"code": code, "device_name": "示例手机", "public_key": encode_base64url(phone.public_key)}
    body = urlencode(form).encode()
    signature = (
        replace(phone, private_key=signed_by.private_key).headers(body, origin="", path="/enrol") if signed_by else {}
    )
    headers = {**signature, **SAME_ORIGIN, "Content-Type": "application/x-www-form-urlencoded"}
    return world.client.post("/enrol", content=body, headers=headers, follow_redirects=False)


def invite(world: World) -> NewInvite:
    return world.database.write(
        lambda session: create_invite(session, volunteer_by_number(session, ALICE.number), now=NOW)
    )


def claim(world: World, code: str, phone: SigningPhone, *, now: int = NOW) -> Device | ClaimProblem:
    key = encode_base64url(phone.public_key)
    return world.database.write(
        lambda session: claim_invite(session, code=code, device_name="", public_key=key, now=now)
    )


def test_a_volunteer_without_a_worker_signs_out_of_the_browser(world: World) -> None:
    token = sign_in(world.database, ALICE)
    browser = TestClient(world.client.app, base_url=str(world.client.base_url), cookies={"linli-s": token})
    assert "退出这部手机" in browser.get("/settings/sign-out").text
    assert "不用设密码" in browser.get("/settings/pin").text

    answer = browser.post("/settings/sign-out", headers=SAME_ORIGIN, follow_redirects=False)

    assert answer.headers["location"] == "/"
    again = TestClient(world.client.app, base_url=str(world.client.base_url), cookies={"linli-s": token})
    assert again.get("/today", follow_redirects=False).headers["location"] == "/enrol"


def test_a_browser_that_keeps_nothing_is_not_called_silent(world: World) -> None:
    path = f"/coordinator/volunteers/{BOB.id}"
    code = re.search(r'id="short-code">(\d{4} \d{4})<', world.client.post(f"{path}/invite", headers=SAME_ORIGIN).text)
    assert code is not None
    device = world.database.write(
        lambda session: claim_invite(session, code=code[1], device_name="旧浏览器", public_key="", now=NOW)
    )
    assert isinstance(device, Device)
    decide(world, BOB, device.id, "confirm")

    pages = [world.get(f"{path}/invite"), world.get("/coordinator/devices")]

    shown = [re.search(rf'id="device-{device.id}".*?class="hint">(.*?)</p>', page, re.DOTALL) for page in pages]
    assert ["直接用浏览器" in found[1] for found in shown if found] == [True, True]


def test_a_phone_is_decided_about_only_under_its_own_volunteer(world: World) -> None:
    decide(world, BOB, ALICE.device_id, "revoke")
    decide(world, ALICE, ALICE.device_id, "nonsense")
    decide(world, ALICE, "no uuid", "revoke")

    assert standing(world, ALICE.device_id) == "active"


def decide(world: World, who: Person, device_id: str, decision: str) -> None:
    form = {"device_id": device_id, "decision": decision}
    path = f"/coordinator/volunteers/{who.id}/devices"
    answer = world.client.post(path, data=form, headers=SAME_ORIGIN, follow_redirects=False)
    assert answer.status_code == 303


def standing(world: World, device_id: str) -> str:
    return world.database.read(lambda session: session.get_one(Device, (COMMUNITY_ID, device_id)).standing)


def test_the_volunteers_are_listed_with_a_fixed_number_of_questions(world: World) -> None:
    with statements(world.database) as seen:
        page = world.get("/coordinator/volunteers")

    assert re.findall(r'id="volunteer-(\d+)"', page) == ["0001", "0002", "0003"]
    assert len(seen) == VOLUNTEERS_STATEMENTS


# Who may


PAGES = (
    "/coordinator",
    "/coordinator/held",
    "/coordinator/conflicts",
    "/coordinator/devices",
    "/coordinator/volunteers",
    f"/coordinator/volunteers/{ALICE.id}/invite",
)


@pytest.mark.parametrize("path", [*PAGES, f"/coordinator/visits/{made_up_id('visit')}"])
@pytest.mark.parametrize("who", ["nobody", "a volunteer"])
def test_others_are_sent_to_sign_in_and_learn_nothing(world: World, path: str, who: str) -> None:
    world.log(ALICE, "visit", note="canary")
    world.client.cookies.clear()
    if who == "a volunteer":
        world.client.cookies.set("linli-s", sign_in(world.database, ALICE))

    answer = world.client.get(path, follow_redirects=False)

    assert answer.status_code == 303
    assert answer.headers["location"] == f"/sign-in?{urlencode({'next': path})}"
    assert answer.text == ""


def test_a_volunteer_cannot_review(world: World) -> None:
    revision = world.log(ALICE, "visit")
    world.client.cookies.set("linli-s", sign_in(world.database, ALICE))

    answer = world.review("visit", base=revision, decision="approved")

    assert answer.headers["location"].startswith("/sign-in")
    world.client.cookies.set("linli-s", sign_in(world.database, COORDINATOR))
    assert listed(world.get("/coordinator")) == ids("visit")


def test_another_community_is_out_of_sight(world: World) -> None:
    """Scope is the community's: a coordinator elsewhere finds nothing here."""
    from server.held import held_changes
    from server.scope import Principal
    from server.visits import Filter, history_of, visit_with_household, visits_found
    from sync.kinds import Role

    world.log(ALICE, "visit")
    log_visits(world.database, ALICE, visit_change("elsewhere", door=CHARLIES_DOOR))
    stranger = Principal(Role.COORDINATOR, made_up_id("stranger"), COMMUNITY_ID + 1, "Eve")

    found = world.database.read(
        lambda session: (
            visits_found(session, stranger, Filter()).visits,
            visit_with_household(session, stranger, made_up_id("visit")),
            history_of(session, stranger, made_up_id("visit")),
            held_changes(session, stranger, page=1),
        )
    )

    assert found == ([], None, [], [])


def test_a_coordinators_own_visit_is_reviewable_too(world: World) -> None:
    """Recorded from a phone call at the desk: the same way in, the same list."""
    world.database.write(
        lambda session: accept_changes(session, principal_author(COORDINATOR), [visit_change("by phone")], NOW)
    )

    assert listed(world.get("/coordinator")) == ids("by phone")


def test_pages_work_in_both_languages(world: World) -> None:
    world.log(ALICE, "visit", danger=["scam"])
    world.client.cookies.set("language", "en")

    for path in (*PAGES, f"/coordinator/visits/{made_up_id('visit')}"):
        body = re.sub(r'<button[^>]*lang="zh-CN">[^<]*</button>', "", world.get(path))
        chinese = set(re.findall(r"[一-鿿]+", body)) - {"示例居民", "示例小区", "每月走访"}
        assert chinese == set(), path
