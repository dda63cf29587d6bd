"""What waits for a person: held changes decided about, conflicts settled, phones that need help."""

import html
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import pytest
from httpx2 import Response
from sqlmodel import Session, col, select
from starlette.testclient import TestClient

from server import migrations
from server.accepting import accept_changes, principal_author
from server.app import create_app
from server.audit import first_broken_line
from server.conflicts import Choice, open_conflicts
from server.gap_list import phone, phones
from server.held import held_count
from server.identifiers import uuid7
from server.models import Change as StoredChange
from server.models import Device, Record, Volunteer
from server.scope import Principal
from server.settings import Settings
from sync.changes import Action, Change, Outcome
from sync.kinds import Role
from tests.people import (
    ALICE,
    BOB,
    CHARLIE,
    CHARLIES_DOOR,
    COMMUNITY_ID,
    COORDINATOR,
    NOW,
    RED_DOOR,
    ROUND_ID,
    build_world,
    log_visits,
    made_up_id,
    sign_in,
    visit_change,
)
from tests.server.test_coordinator import SAME_ORIGIN, WHO_STATEMENTS, World, listed, text_of
from tests.server.test_needs import need_id
from tests.statements import statements

MINUTE = 60_000
DAY = 24 * 3600_000
SECOND = Principal(Role.COORDINATOR, made_up_id("Second"), COMMUNITY_ID, "Second")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    settings = Settings(data_dir=tmp_path)
    migrations.upgrade(settings.database_url)
    app = create_app(settings, clock=lambda: NOW)
    with TestClient(app, base_url=settings.public_url) as client:
        build_world(app.state.database)
        client.cookies.set("linli-s", sign_in(app.state.database, COORDINATOR))
        yield World(client, app.state.database)


def post(world: World, path: str, **form: str) -> Response:
    return world.client.post(path, data=form, headers=SAME_ORIGIN, follow_redirects=False)


def stored(world: World, record_id: str) -> list[StoredChange]:
    def read(session: Session) -> list[StoredChange]:
        statement = select(StoredChange).where(StoredChange.record_id == record_id).order_by(col(StoredChange.position))
        return list(session.exec(statement, execution_options={"is_scoped": True}))

    return world.database.read(read)


def record(world: World, record_id: str) -> Record | None:
    def read(session: Session) -> Record | None:
        statement = select(Record).where(Record.record_id == record_id)
        return session.exec(statement, execution_options={"is_scoped": True}).first()

    return world.database.read(read)


# Held changes


def hold(world: World, name: str = "elsewhere") -> str:
    """A visit of Alice's that is not on her list. Returns the change's id."""
    change = visit_change(name, door=CHARLIES_DOOR, note="一个字都不少")
    (result,) = log_visits(world.database, ALICE, change)
    assert result.outcome is Outcome.HELD
    return change.change_id


def decide(world: World, change_id: str, decision: str, **form: str) -> str:
    answer = post(world, f"/coordinator/held/{change_id}", decision=decision, decision_id=uuid7(), **form)
    assert answer.status_code == 303
    return answer.headers["location"]


def problem_on(world: World, address: str) -> str:
    return text_of(world.client.get(address)).partition('id="problems"')[2].partition("</div>")[0]


def test_a_held_visit_is_taken_in_once_in_its_authors_name(world: World) -> None:
    change_id = hold(world)

    first = decide(world, change_id, "taken")
    again = decide(world, change_id, "taken")

    assert {first, again} == {"/coordinator/held?said=taken"}
    assert listed(world.get("/coordinator")) == [made_up_id("elsewhere")]
    kept, taken = stored(world, made_up_id("elsewhere"))
    assert (kept.outcome, taken.outcome) == ("held", "accepted")
    assert (taken.person_id, taken.person_name, taken.fields) == (ALICE.id, "Alice", kept.fields)
    decisions = stored(world, decision_of(world, change_id))
    assert [(each.person_name, each.kind) for each in decisions] == [("Dana", "decision")]
    assert world.database.read(lambda session: first_broken_line(session, COMMUNITY_ID)) is None
    assert "没能直接采用 0" in world.get("/coordinator/held")
    assert "一个字都不少" in world.get("/coordinator/held", show="taken")


def decision_of(world: World, change_id: str) -> str:
    def read(session: Session) -> str:
        statement = select(Record.record_id).where(Record.kind == "decision", Record.scope_id == change_id)
        return session.exec(statement, execution_options={"is_scoped": True}).one()

    return world.database.read(read)


def test_a_held_visit_is_left_out_with_a_reason_and_put_back(world: World) -> None:
    change_id = hold(world)

    without = decide(world, change_id, "dismissed")
    left_out = decide(world, change_id, "dismissed", reason="已当面核实")

    assert without.startswith("/coordinator/held?said=no_reason")
    assert left_out == "/coordinator/held?said=dismissed"
    assert "一个字都不少" not in world.get("/coordinator/held")
    dismissed = world.get("/coordinator/held", show="dismissed")
    assert "一个字都不少" in dismissed
    assert "已当面核实" in dismissed
    decide(world, change_id, "open")
    assert "一个字都不少" in world.get("/coordinator/held")
    assert [change.outcome for change in stored(world, made_up_id("elsewhere"))] == ["held"]


def test_a_reason_is_kept_whole_or_asked_for_again(world: World) -> None:
    """A browser sends the end of a line as two characters; the ready phrases come on top of what she may type."""
    phrases, typed = "\n".join(["已当面核实"] * 3), "\r\n".join(["长" * 99, "尾" * 100])
    change_id = hold(world)

    too_long = decide(world, change_id, "dismissed", reason="长" * 401)
    kept = decide(world, change_id, "dismissed", reason=phrases + "\n" + typed)

    assert too_long.startswith("/coordinator/held?said=reason_too_long")
    assert "没有存" in problem_on(world, too_long)
    assert kept == "/coordinator/held?said=dismissed"
    assert "尾" * 100 in world.get("/coordinator/held", show="dismissed")


def test_an_amendment_after_the_visit_was_taken_in_is_its_authors(world: World) -> None:
    decide(world, hold(world), "taken")
    standing = record(world, made_up_id("elsewhere"))
    assert standing is not None
    world.database.write(
        lambda session: accept_changes(
            session,
            replace(ALICE.author(), role=Role.SERVER),
            [visit_change("elsewhere", base=standing.revision, note="补")],
            NOW,
        )
    )

    after = record(world, made_up_id("elsewhere"))

    assert after is not None
    assert (after.author_id, '"补"' in after.fields) == (ALICE.id, True)


def test_a_withdrawal_that_is_held_says_what_it_takes_back(world: World) -> None:
    visit = visit_change("hers", note="敲门没人应")
    log_visits(world.database, ALICE, visit)
    revoked = replace(ALICE.author(), is_revoked=True)
    void = replace(visit, change_id=uuid7(), action=Action.VOID, set={}, base=visit.change_id)
    unknown = replace(void, change_id=uuid7(), record_id=uuid7())
    world.database.write(lambda session: accept_changes(session, revoked, [void, unknown], NOW))

    page = html.unescape(world.get("/coordinator/held"))

    assert page.count("志愿者要撤回") == 2
    assert "敲门没人应" in page
    assert re.search(r"2号楼", page)


def test_a_promise_that_is_held_says_which_one_at_which_door(world: World) -> None:
    said = visit_change("visit", needs=["meal_delivery"], urgency="h24")
    log_visits(world.database, ALICE, said)
    done = Change(uuid7(), 0, "need", need_id(said, "meal_delivery"), Action.PUT, 0, {"need_state": "done"}, NOW, 1)
    revoked = replace(ALICE.author(), is_revoked=True)
    world.database.write(lambda session: accept_changes(session, revoked, [done], NOW))

    assert "送餐" in html.unescape(world.get("/coordinator/held"))


def test_a_discard_of_a_phone_that_was_switched_off_asks_nobody(world: World) -> None:
    revoked = replace(ALICE.author(), is_revoked=True)
    discard = replace(visit_change("given up"), action=Action.DISCARD, set={})
    world.database.write(lambda session: accept_changes(session, revoked, [discard], NOW))

    assert world.database.read(lambda session: held_count(session, COORDINATOR)) == 0
    assert "这里没有记录" in world.get("/coordinator/held")


def test_what_its_author_wrote_later_stands_when_an_older_edit_is_taken_in(world: World) -> None:
    first = visit_change("hers", note="第一句")
    log_visits(world.database, ALICE, first)
    revoked = replace(ALICE.author(), is_revoked=True)
    older = visit_change("hers", base=first.change_id, note="第二句", wb_mood="poor")
    world.database.write(lambda session: accept_changes(session, revoked, [older], NOW))
    log_visits(world.database, ALICE, visit_change("hers", base=older.change_id, note="第三句"))

    said = decide(world, older.change_id, "taken")

    standing = record(world, made_up_id("hers"))
    assert said.startswith("/coordinator/held?said=taken")
    assert standing is not None
    assert '"note":"第三句"' in standing.fields
    assert '"wb_mood":"poor"' in standing.fields


def attached(*numbers: int) -> list[dict[str, Any]]:
    return [{"sha256": f"{number:064x}", "length": number, "kind": "photo"} for number in numbers]


@pytest.mark.parametrize(
    ("added_on", "stand"), [("her other phone", attached(1, 3, 2)), ("the same phone", attached(1, 3))]
)
def test_a_photo_stands_beside_those_of_another_phone_when_an_older_edit_is_taken_in(
    world: World, added_on: str, stand: list[dict[str, Any]]
) -> None:
    """What the same phone says later is said in place of the older edit, as ever."""
    (made,) = log_visits(world.database, ALICE, visit_change("hers", attachments=attached(1)))
    revoked = replace(ALICE.author(), is_revoked=True)
    older = visit_change("hers", base=made.revision, attachments=attached(1, 2))
    newer = visit_change("hers", base=made.revision, attachments=attached(1, 3))
    phone = ALICE.author() if added_on == "the same phone" else replace(ALICE.author(), device_id=made_up_id("other"))
    world.database.write(lambda session: accept_changes(session, revoked, [older], NOW))
    world.database.write(lambda session: accept_changes(session, phone, [newer], NOW))

    said = decide(world, older.change_id, "taken")

    standing = record(world, made_up_id("hers"))
    assert said.startswith("/coordinator/held?said=taken")
    assert standing is not None
    assert json.loads(standing.fields)["attachments"] == stand


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_held_edits_the_later_one_stands_whichever_is_taken_in_first(
    world: World, order: tuple[int, int]
) -> None:
    first = visit_change("hers", note="第一句")
    log_visits(world.database, ALICE, first)
    revoked = replace(ALICE.author(), is_revoked=True)
    older = visit_change("hers", base=first.change_id, note="第二句")
    newer = visit_change("hers", base=older.change_id, note="第三句")
    world.database.write(lambda session: accept_changes(session, revoked, [older, newer], NOW))

    for place in order:
        decide(world, (older, newer)[place].change_id, "taken")

    standing = record(world, made_up_id("hers"))
    assert standing is not None
    assert '"note":"第三句"' in standing.fields


@pytest.mark.parametrize("years", [-9, 0, 9])
def test_what_its_author_wrote_before_she_took_the_visit_back_brings_it_not_back(world: World, years: int) -> None:
    log_visits(world.database, ALICE, visit_change("hers"))
    amendment = visit_change("hers", base=1, note="示例")
    revoked = replace(ALICE.author(), is_revoked=True)
    amendment = replace(amendment, made_at=NOW + years * 365 * DAY)  # by a clock that is wrong
    world.database.write(lambda session: accept_changes(session, revoked, [amendment], NOW))
    void = replace(amendment, change_id=uuid7(), action=Action.VOID, set={}, made_at=NOW)
    log_visits(world.database, ALICE, void, now=NOW + MINUTE)

    said = decide(world, amendment.change_id, "taken")

    standing = record(world, made_up_id("hers"))
    assert said.startswith("/coordinator/held?said=withdrawn")
    assert "志愿者后来撤回了这条记录" in problem_on(world, said)
    assert standing is not None
    assert standing.is_void


@pytest.mark.parametrize("years", [-9, 0, 9])
def test_what_its_author_wrote_after_a_withdrawal_that_was_held_as_well_is_taken_in_after_it(
    world: World, years: int
) -> None:
    log_visits(world.database, ALICE, visit_change("hers"))
    revoked = replace(ALICE.author(), is_revoked=True)
    after = replace(visit_change("hers", base=1, note="示例"), made_at=NOW + years * 365 * DAY)
    void = replace(after, change_id=uuid7(), action=Action.VOID, set={}, made_at=NOW)
    world.database.write(lambda session: accept_changes(session, revoked, [void, after], NOW - MINUTE))

    said = [decide(world, change.change_id, "taken") for change in (void, after)]

    standing = record(world, made_up_id("hers"))
    assert said == ["/coordinator/held?said=taken"] * 2
    assert standing is not None
    assert not standing.is_void


def test_what_the_rules_refuse_a_coordinator_too_stays_held_and_writes_nothing(world: World) -> None:
    change = visit_change("bad", outcome="teleported")
    (result,) = log_visits(world.database, ALICE, change)
    assert result.code == "bad_field"

    said = decide(world, change.change_id, "taken")

    assert said.startswith("/coordinator/held?said=still_held")
    assert [each.outcome for each in stored(world, made_up_id("bad"))] == ["held"]
    assert "待核对" not in said
    assert "这一条现在还不能采用" in text_of(world.client.get(said))


@pytest.mark.parametrize("decision", ["taken", "dismissed"])
def test_a_decision_that_cannot_be_kept_is_not_called_made(world: World, decision: str) -> None:
    """Its id follows from the change's, and whoever sent that may have used it."""
    change_id = hold(world)
    used = replace(visit_change("odd"), record_id=str(uuid5(UUID(change_id), "decision")))
    assert log_visits(world.database, ALICE, used)[0].outcome is Outcome.ACCEPTED

    said = decide(world, change_id, decision, reason="示例")

    assert said.startswith("/coordinator/held?said=still_held")
    assert record(world, made_up_id("elsewhere")) is None
    assert f'id="change-{change_id}"' in world.get("/coordinator/held")  # it is still open


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"wb_health": "splendid"}, "在哪一项：健康"),
        ({"called_120": "noon"}, "在哪一项：120 急救"),
        ({"no name": "x"}, "给维护人员：no name"),
    ],
)
def test_which_answer_is_not_valid_is_said_in_the_words_of_the_form(
    world: World, fields: dict[str, Any], said: str
) -> None:
    log_visits(world.database, ALICE, visit_change("odd", **fields))

    assert said in world.get("/coordinator/held")


def test_somebody_elses_visit_is_not_offered_to_be_taken_in(world: World) -> None:
    base = world.log(ALICE, "visit")
    amendment = visit_change("visit", base=base, note="mine now")
    (result,) = log_visits(world.database, BOB, amendment)
    assert result.code == "not_the_author"

    decide(world, amendment.change_id, "taken")

    assert [each.outcome for each in stored(world, made_up_id("visit"))] == ["accepted", "held"]
    assert 'value="taken"' not in world.get("/coordinator/held")


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("household", {"door": 5}),
        ("round", {"volunteer_ids": ["x"]}),
        ("decision", {"change_id": made_up_id("visit"), "decision": "x"}),
    ],
)
def test_what_no_phone_writes_is_not_offered_to_be_taken_in(world: World, kind: str, fields: dict[str, Any]) -> None:
    """Nobody looks at what is in it, and pages stumbled over it."""
    record_id = RED_DOOR if kind == "household" else ROUND_ID if kind == "round" else made_up_id("decision")
    change = replace(visit_change("odd"), kind=kind, record_id=record_id, set=fields, base=2**40)
    (result,) = log_visits(world.database, ALICE, change)
    assert result.code == "not_allowed"

    decide(world, change.change_id, "taken")

    assert [each.outcome for each in stored(world, record_id) if each.change_id == change.change_id] == ["held"]
    assert 'value="taken"' not in world.get("/coordinator/held")
    for path in ("/coordinator", "/coordinator/needs", "/coordinator/rounds", "/coordinator/map"):
        world.get(path)


def test_a_promise_without_a_state_is_held(world: World) -> None:
    """It would stand on no list, and nobody had kept it."""
    visit = visit_change("visit", needs=["meal_delivery"], urgency="days")
    log_visits(world.database, ALICE, visit)
    need = need_id(visit, "meal_delivery")
    emptied = replace(visit_change("odd"), kind="need", record_id=need, set={"need_state": ""}, base=2**40)

    (result,) = log_visits(world.database, ALICE, emptied)

    assert (result.outcome, result.code, result.detail) == (Outcome.HELD, "bad_field", "need_state")


def test_the_second_of_two_with_one_id_becomes_a_record_of_its_own(world: World) -> None:
    change = visit_change("twice", note="first")
    log_visits(world.database, ALICE, change)
    (result,) = log_visits(world.database, ALICE, replace(change, set={**change.set, "note": "second"}))
    assert result.code == "same_id_other_content"
    held = next(each for each in stored(world, made_up_id("twice")) if each.outcome == "held")
    log_visits(world.database, ALICE, visit_change("twice", base=change.change_id, note="first, amended"))

    decide(world, held.change_id, "taken")

    notes = [record(world, visit) for visit in listed(world.get("/coordinator"))]
    assert sorted(json.loads(each.fields)["note"] for each in notes if each) == ["first, amended", "second"]


def test_a_visit_of_a_closed_household_waits_and_can_be_taken_in(world: World) -> None:
    standing = record(world, RED_DOOR)
    assert standing is not None
    set_field(world, COORDINATOR, "is_closed", True, base=standing.revision)
    change = visit_change("late")
    (result,) = log_visits(world.database, ALICE, change)

    assert (result.outcome, result.code) == (Outcome.HELD, "household_closed")
    assert "这户的档案已关闭" in world.get("/coordinator/held")
    decide(world, change.change_id, "taken")
    assert listed(world.get("/coordinator")) == [made_up_id("late")]


def test_decisions_reach_no_phone_and_no_stranger(world: World) -> None:
    change_id = hold(world)
    decide(world, change_id, "dismissed", reason="x")

    assert (
        post(world, f"/coordinator/held/{made_up_id('none')}", decision="taken", decision_id=uuid7()).status_code == 404
    )
    assert decide(world, change_id, "nonsense") == "/coordinator/held"
    world.client.cookies.clear()
    answer = post(world, f"/coordinator/held/{change_id}", decision="taken", decision_id=uuid7())
    assert answer.headers["location"].startswith("/sign-in")


def test_a_withdrawal_that_waited_does_not_overrule_what_its_author_wrote_afterwards(world: World) -> None:
    visit = visit_change("visit", consent_state="full")
    log_visits(world.database, ALICE, visit)
    standing = record(world, RED_DOOR)
    assert standing is not None
    set_field(world, COORDINATOR, "is_closed", True, base=standing.revision)
    withdrawal = replace(
        visit_change("withdrawal"), record_id=visit.record_id, action=Action.VOID, base=visit.change_id, set={}
    )
    (held,) = log_visits(world.database, ALICE, withdrawal)
    assert held.code == "household_closed"
    closed = record(world, RED_DOOR)
    assert closed is not None
    set_field(world, COORDINATOR, "is_closed", False, base=closed.revision)
    amended = visit_change("amended", base=visit.change_id, consent_state="withdrawn")
    log_visits(world.database, ALICE, replace(amended, record_id=visit.record_id))

    said = decide(world, withdrawal.change_id, "taken")

    assert said.startswith("/coordinator/held?said=amended")
    assert "志愿者后来又改过这条记录" in problem_on(world, said)
    kept = next(each for each in stored(world, visit.record_id) if each.revision)
    assert kept.outcome == "accepted"
    assert listed(world.get("/coordinator")) == [visit.record_id]


@pytest.mark.parametrize("decision", ["dismissed", "open"])
def test_what_somebody_else_took_in_meanwhile_is_not_called_left_out(world: World, decision: str) -> None:
    """Her page is as old as the other's tap."""
    change_id = hold(world)
    decide(world, change_id, "taken")

    said = decide(world, change_id, decision, reason="记错了户。")

    assert "这一条已经有人采用了，您这一步没有生效。" in text_of(world.client.get(said))
    assert "一个字都不少" in world.get("/coordinator/held", show="taken")


def test_whoever_goes_back_and_gives_another_reason_has_given_that_one(world: World) -> None:
    change_id = hold(world)
    form = {"decision": "dismissed", "decision_id": uuid7()}
    path = f"/coordinator/held/{change_id}"
    post(world, path, **form, reason="记错了户。")
    world.client.app.state.clock = lambda: NOW + 1000  # type: ignore[attr-defined]

    for _ in range(2):  # a double tap
        post(world, path, **form, reason="已当面核实。")

    assert "已当面核实。" in world.get("/coordinator/held", show="dismissed")
    assert world.database.read(lambda session: held_count(session, COORDINATOR)) == 0


# Conflicts


def set_field(world: World, who: Principal, name: str, value: object, *, base: int, door: str = RED_DOOR) -> Outcome:
    change = Change(uuid7(), 0, "household", door, Action.PUT, base, {name: value}, NOW, 1)
    (result,) = world.database.write(lambda session: accept_changes(session, principal_author(who), [change], NOW))
    return result.outcome


def dispute(world: World, name: str = "address", first: object = "一号", second: object = "二号") -> None:
    standing = record(world, RED_DOOR)
    assert standing is not None
    base = standing.revision
    assert set_field(world, COORDINATOR, name, first, base=base) is Outcome.ACCEPTED
    assert set_field(world, SECOND, name, second, base=base) is Outcome.CONFLICT


def drawn_form(world: World) -> dict[str, str]:
    """The form of the first conflict on the page, as it is drawn now."""
    page = world.get("/coordinator/conflicts")
    return dict(re.findall(r'name="(conflict|base|change_id)" value="([^"]+)"', page)[:3])


def choose(world: World, choice: str) -> None:
    form = drawn_form(world) | {"choice": choice}
    assert post(world, "/coordinator/conflicts", **form).headers["location"] == "/coordinator/conflicts?said=resolved"


def test_s18_a_conflict_shows_both_values_with_who_and_when(world: World) -> None:
    dispute(world)

    page = re.sub(r"\s+", " ", world.get("/coordinator/conflicts"))

    assert "2号楼1单元101 · 地址" in page
    assert re.search("前者.*一号.*Dana · 收到.*后者.*二号.*Second · 收到", page)
    assert "都留" not in page
    assert "说法不一 1" in world.get("/coordinator/held")


@pytest.mark.parametrize(("choice", "value"), [("current", "一号"), ("proposed", "二号")])
def test_a_conflict_is_settled_by_a_change_of_the_coordinators(world: World, choice: str, value: str) -> None:
    dispute(world)

    choose(world, choice)

    standing = record(world, RED_DOOR)
    assert standing is not None
    assert f'"address":"{value}"' in standing.fields
    assert "没有不一致的地方" in world.get("/coordinator/conflicts")
    last = stored(world, RED_DOOR)[-1]
    assert (last.person_name, last.outcome) == ("Dana", "accepted")


def test_whoever_goes_back_and_chooses_the_other_has_chosen_the_other(world: World) -> None:
    dispute(world)
    form = drawn_form(world)

    said = [
        post(world, "/coordinator/conflicts", **form, choice=choice).headers["location"]
        for choice in ("current", "current", "proposed")
    ]

    standing = record(world, RED_DOOR)
    assert standing is not None
    assert said == ["/coordinator/conflicts?said=resolved"] * 3
    assert '"address":"二号"' in standing.fields
    assert "没有不一致的地方" in world.get("/coordinator/conflicts")
    assert world.database.read(lambda session: held_count(session, COORDINATOR)) == 0


def test_a_form_that_is_sent_again_settles_a_conflict_as_its_first_sending_would(world: World) -> None:
    dispute(world, "phone", "000-0000-0001", "000-0000-0002")
    standing = record(world, RED_DOOR)
    assert standing is not None
    form = {"household_id": RED_DOOR, "change_id": uuid7(), "base": str(standing.revision), "members": "甲"}

    post(world, "/coordinator/map/2-1-101", **form)
    assert len(world.database.read(lambda session: open_conflicts(session, COORDINATOR))) == 1
    post(world, "/coordinator/map/2-1-101", **form, phone="000-0000-0003")

    assert world.database.read(lambda session: open_conflicts(session, COORDINATOR)) == []


def test_a_conflict_that_somebody_else_just_settled_is_not_called_settled_by_this_choice(world: World) -> None:
    dispute(world)
    form = drawn_form(world) | {"choice": "proposed"}
    standing = record(world, RED_DOOR)
    assert standing is not None
    set_field(world, SECOND, "address", "三号", base=standing.revision)

    location = post(world, "/coordinator/conflicts", **form).headers["location"]

    after = record(world, RED_DOOR)
    assert after is not None
    assert '"address":"三号"' in after.fields
    assert location == "/coordinator/conflicts?said=not_resolved"
    assert "这次没有定" in world.get("/coordinator/conflicts", said="not_resolved")


def test_a_choice_overrules_no_withdrawal_of_consent_that_came_after_its_page_was_drawn(world: World) -> None:
    dispute(world, "consent_state", "full", "basic")
    form = drawn_form(world) | {"choice": "current"}
    log_visits(world.database, ALICE, replace(visit_change("late", consent_state="withdrawn"), made_at=NOW - DAY))

    location = post(world, "/coordinator/conflicts", **form).headers["location"]

    after = record(world, RED_DOOR)
    assert after is not None
    assert '"consent_state":"withdrawn"' in after.fields
    assert location == "/coordinator/conflicts?said=not_resolved"
    found = world.database.read(lambda session: open_conflicts(session, COORDINATOR))
    assert ("basic", "withdrawn") in [(each.current, each.proposed) for each in found]


def test_a_choice_stands_whatever_else_was_written_of_the_household_meanwhile(world: World) -> None:
    dispute(world)
    form = drawn_form(world) | {"choice": "proposed"}
    standing = record(world, RED_DOOR)
    assert standing is not None
    set_field(world, SECOND, "interval_days", 7, base=standing.revision)

    location = post(world, "/coordinator/conflicts", **form).headers["location"]

    assert location == "/coordinator/conflicts?said=resolved"
    assert world.database.read(lambda session: open_conflicts(session, COORDINATOR)) == []


@pytest.mark.parametrize("base", [None, "", "0", "a page", "9" * 16, "9" * 99])
@pytest.mark.parametrize("choice", list(Choice)[:2])
def test_a_choice_that_does_not_say_what_was_seen_settles_nothing(
    world: World, choice: Choice, base: str | None
) -> None:
    dispute(world)
    form = drawn_form(world) | {"choice": choice}
    form.pop("base", None)

    answer = post(world, "/coordinator/conflicts", **form, **({} if base is None else {"base": base}))

    assert answer.headers["location"] == "/coordinator/conflicts?said=not_resolved"
    assert len(world.database.read(lambda session: open_conflicts(session, COORDINATOR))) == 1


def test_about_what_was_withdrawn_nothing_is_asked(world: World) -> None:
    said = visit_change("visit", needs=["meal_delivery"], urgency="h24")
    (visit,) = log_visits(world.database, ALICE, said)
    need = need_id(said, "meal_delivery")
    standing = record(world, need)
    assert standing is not None
    done = Change(uuid7(), 0, "need", need, Action.PUT, standing.revision, {"need_state": "done"}, NOW, 1)
    for who, change in (
        (COORDINATOR, done),
        (SECOND, replace(done, change_id=uuid7(), set={"need_state": "open"})),
    ):
        world.database.write(partial(accept_changes, author=principal_author(who), changes=[change], now=NOW))
    asked = world.database.read(lambda session: len(open_conflicts(session, COORDINATOR)))

    log_visits(world.database, ALICE, replace(visit_change("visit", base=visit.revision), action=Action.VOID, set={}))

    assert asked == 1
    assert world.database.read(lambda session: open_conflicts(session, COORDINATOR)) == []


def test_a_third_answer_leaves_both_disputes_open(world: World) -> None:
    standing = record(world, RED_DOOR)
    assert standing is not None
    dispute(world)
    third = Principal(Role.COORDINATOR, made_up_id("Third"), COMMUNITY_ID, "Third")

    assert set_field(world, third, "address", "三号", base=standing.revision) is Outcome.CONFLICT
    set_field(world, third, "interval_days", 7, base=standing.revision)

    page = world.get("/coordinator/conflicts")
    assert page.count('name="conflict"') == 2
    assert "二号" in page
    assert "三号" in page


def test_the_more_cautious_value_stands_until_somebody_decides(world: World) -> None:
    dispute(world, "risk", "green", "yellow")

    standing = record(world, RED_DOOR)
    assert standing is not None
    assert '"risk":"yellow"' in standing.fields
    choose(world, "current")
    after = record(world, RED_DOOR)
    assert after is not None
    assert '"risk":"green"' in after.fields


def test_s18_both_are_kept_where_a_field_holds_several(world: World) -> None:
    dispute(world)
    (found,) = world.database.read(lambda session: open_conflicts(session, COORDINATOR))

    members = replace(found, field="members", current=["甲"], proposed=["甲", "乙"])

    assert members.can_keep_both
    assert members.value(Choice.BOTH) == ["甲", "乙"]
    assert not found.can_keep_both


def test_another_communitys_conflicts_and_phones_are_out_of_sight(world: World) -> None:
    dispute(world)
    stranger = Principal(Role.COORDINATOR, made_up_id("stranger"), COMMUNITY_ID + 1, "Eve")

    found = world.database.read(lambda session: (open_conflicts(session, stranger), phones(session, stranger, now=NOW)))

    assert found == ([], [])


# Phones


def known(world: World, device_id: str, **values: object) -> None:
    def work(session: Session) -> None:
        device = session.get_one(Device, (COMMUNITY_ID, device_id))
        for name, value in values.items():
            setattr(device, name, value)
        session.add(device)

    world.database.write(work)


def test_p21_what_never_arrived_is_named_by_its_number(world: World) -> None:
    for number in (41, 43, 46):
        change = replace(visit_change(f"visit {number}"), device_sequence=number)
        assert log_visits(world.database, BOB, change)[0].outcome is Outcome.ACCEPTED
    known(world, BOB.device_id, received_through=39, high_water=48, last_contact_at=NOW)

    page = world.get("/coordinator/devices")

    assert "第 40 条没收到、第 42 条没收到、第 44 到 45 条没收到" in page
    assert "还有 6 条没到" in page
    assert "第 47" not in page


def test_phones_that_need_help_come_first(world: World) -> None:
    known(world, CHARLIE.device_id, is_cloned=True, last_contact_at=NOW)
    known(world, BOB.device_id, clock_skew_ms=12 * MINUTE, last_contact_at=NOW)
    known(world, ALICE.device_id, high_water=3, received_through=2, last_contact_at=NOW, keeping="may_be_cleared")

    page = world.get("/coordinator/devices")

    assert re.findall(r'id="device-([0-9a-f-]+)" data-need="(\w*)"', page) == [
        (CHARLIE.device_id, "cloned"),
        (ALICE.device_id, "at_risk"),
        (BOB.device_id, "skew"),
    ]
    assert "可能丢失" in page
    assert "请志愿者尽快联网上传" in page
    assert "手机时间快了 12 分钟" in page
    assert "两部混用" in page


@pytest.mark.parametrize(
    ("values", "need"),
    [
        ({"high_water": 2, "last_contact_at": NOW - 2 * DAY}, ""),
        ({"high_water": 2, "last_contact_at": NOW - 4 * DAY}, "stuck"),
        ({"high_water": 2, "last_contact_at": NOW, "keeping": "may_be_cleared"}, "at_risk"),
        ({"high_water": 2, "last_contact_at": NOW, "keeping": "kept"}, ""),
        ({"high_water": 0, "last_contact_at": NOW, "keeping": "may_be_cleared"}, ""),
        ({"last_contact_at": NOW - 15 * DAY}, "quiet"),
        ({"clock_skew_ms": -11 * MINUTE, "last_contact_at": NOW}, "skew"),
        ({"clock_skew_ms": 9 * MINUTE, "last_contact_at": NOW}, ""),
        ({"standing": "waiting", "last_contact_at": NOW}, "waiting"),
        ({"standing": "revoked", "is_cloned": True}, "revoked"),
    ],
)
def test_what_a_phone_needs(values: dict[str, Any], need: str) -> None:
    given: dict[str, Any] = {"standing": "active", "public_key": b"x", "high_water": 0, "received_through": 0}
    given |= {"last_contact_at": 0, "clock_skew_ms": 0, "is_cloned": False, **values}
    owner = Volunteer(community_id=COMMUNITY_ID, number="0001", name="Alice")

    assert phone(Device(**given), owner, [], NOW).need == need


def test_the_phones_are_listed_with_a_fixed_number_of_questions(world: World) -> None:
    with statements(world.database) as seen:
        world.get("/coordinator/devices")

    assert len(seen) == WHO_STATEMENTS + 2


def test_the_lists_to_check_are_found_by_their_index(world: World) -> None:
    """However long the history is: what needs nobody is not in it."""
    hold(world)
    dispute(world)
    with statements(world.database) as seen:
        world.get("/coordinator/held")
        world.get("/coordinator/conflicts")
    asked = [statement for statement in seen if "outcome IN ('held', 'conflict')" in statement]

    def plan(session: Session, statement: str) -> str:
        rows = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}")
        return " ".join(str(row) for row in rows)

    assert len(asked) == 5
    for statement in asked:
        assert "change_attention" in world.database.read(partial(plan, statement=statement)), statement
