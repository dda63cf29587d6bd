"""Buildings, tags and finding people, by real requests: whose are found, what a coordinator may write, old records."""

import html
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session
from starlette.testclient import TestClient

from server import migrations, rounds
from server.accepting import accept_changes, complete_search_keys, principal_author
from server.app import create_app
from server.buildings import building_id
from server.conflicts import open_conflicts
from server.database import Database
from server.held import held_count
from server.households import households_without_keys
from server.identifiers import uuid7
from server.rounds import active_grants, assign_round, rounds_among, withdraw_round
from server.rules import RULES
from server.scope import Principal
from server.settings import Settings
from server.store import SqlStore
from sync.changes import Action, Author, Change, Outcome, Record
from sync.engine import accept
from sync.kinds import Role
from tests.people import (
    ALICE,
    CHARLIE,
    CHARLIES_DOOR,
    CHARLIES_ROUND_ID,
    COMMUNITY_ID,
    COORDINATOR,
    GREEN_DOOR,
    NOW,
    RED_DOOR,
    ROUND_ID,
    TODAY,
    Person,
    add_round,
    build_world,
    log_visits,
    made_up_id,
    sign_in,
    visit_change,
)
from tests.postgres import new_database
from tests.statements import statements

PATIENCE_SECONDS = 0.3  # for what must not go on
MAP_STATEMENTS = 8  # session, name, whether it is due; households, rounds, buildings, last visits; volunteers' names
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}
SECOND = Principal(Role.COORDINATOR, made_up_id("Second"), COMMUNITY_ID, "Second")


@dataclass
class World:
    client: TestClient
    database: Database

    def become(self, who: Person | Principal) -> None:
        self.client.cookies.clear()
        self.client.cookies.set("linli-s", sign_in(self.database, who))

    def post(self, path: str, **form: Any) -> int:
        return self.client.post(path, data=form, headers=SAME_ORIGIN, follow_redirects=False).status_code

    def found(self, path: str, text: str) -> str:
        answer = self.client.post(path, data={"q": text}, headers=SAME_ORIGIN)
        assert answer.status_code == 200
        return answer.text

    def record(self, record_id: str) -> Record:
        return self.database.read(lambda session: SqlStore(session).records(COMMUNITY_ID, [record_id])[record_id])

    def held(self) -> int:
        return self.database.read(lambda session: held_count(session, COORDINATOR))

    def put(self, record_id: str, kind: str = "household", *, who: Principal = COORDINATOR, **fields: Any) -> Outcome:
        """As a coordinator's form does."""
        author = principal_author(who)
        change = Change(uuid7(), 0, kind, record_id, Action.PUT, 2**40, fields, NOW, 1)
        (result,) = self.database.write(lambda session: accept_changes(session, author, [change], NOW))
        return result.outcome


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    settings = Settings(data_dir=tmp_path)
    migrations.upgrade(settings.database_url)
    app = create_app(settings, clock=lambda: NOW)
    with TestClient(app, base_url=settings.public_url) as client:
        build_world(app.state.database)
        yield World(client, app.state.database)


# Finding


def test_only_ones_own_people_are_found(world: World) -> None:
    for household_id in (RED_DOOR, CHARLIES_DOOR):
        world.put(household_id, members=["单奶奶"])

    world.become(ALICE)
    hers = world.found("/find", "snn")
    world.become(CHARLIE)
    his = world.found("/find", "snn")

    assert (RED_DOOR in hers, CHARLIES_DOOR in hers) == (True, False)
    assert (RED_DOOR in his, CHARLIES_DOOR in his) == (False, True)


def test_a_coordinator_finds_everybody(world: World) -> None:
    world.become(COORDINATOR)

    assert "5号楼2单元501" in world.found("/coordinator/find", "5-2-501")
    assert "5号楼2单元501" not in world.found("/coordinator/find", "")


def test_how_names_are_spelled_follows_the_members(world: World) -> None:
    assert world.record(RED_DOOR).fields["search"] == ["shi li ju min 0001"]

    world.put(RED_DOOR, members=["张阿姨", "区伯"])

    assert world.record(RED_DOOR).fields["search"] == ["zhang a yi", "qu bo", "ou bo"]


def test_a_coordinator_cannot_write_the_spelling(world: World) -> None:
    assert world.put(RED_DOOR, search=["x"]) is Outcome.HELD


def test_households_from_before_there_were_keys_get_theirs(world: World) -> None:
    server = Author(COMMUNITY_ID, made_up_id("server"), "", made_up_id("server"), Role.SERVER)
    old = Change(
        uuid7(), 0, "household", made_up_id("old"), Action.PUT, 0, {"door": "9-1-101", "members": ["朴姐"]}, NOW, 1
    )

    def work(session: Session) -> None:
        accept(SqlStore(session), RULES, [old], author=server, received_at=NOW)
        complete_search_keys(session, COMMUNITY_ID, now=NOW)

    world.database.write(work)
    before = world.record(made_up_id("old"))
    world.database.write(lambda session: complete_search_keys(session, COMMUNITY_ID, now=NOW))

    assert before.fields["search"] == ["pu jie", "piao jie"]
    assert world.record(made_up_id("old")).revision == before.revision


def test_a_household_that_names_nobody_waits_for_no_keys(world: World) -> None:
    """Else every start would ask for the community again."""
    written = [
        world.put(made_up_id("nobody"), door="9-1-102"),
        world.put(made_up_id("nobody now"), door="9-1-103", members=[]),
    ]

    assert written == [Outcome.ACCEPTED] * 2
    assert world.database.read(lambda session: households_without_keys(session, COMMUNITY_ID)) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"phone_ends": ["13800000000"]},
        {"phone_ends": "5678"},
        {"strengths": ["no such strength"]},
        {"members": [7]},
        {"members": [""]},
    ],
)
def test_what_a_page_would_stumble_over_is_held(world: World, fields: dict[str, Any]) -> None:
    assert world.put(RED_DOOR, **fields) is Outcome.HELD


# Behind a door


def test_a_coordinator_writes_tags_and_only_the_ends_of_phones(world: World) -> None:
    world.become(COORDINATOR)
    form = {"household_id": RED_DOOR, "change_id": uuid7(), "base": str(world.record(RED_DOOR).revision)}

    status = world.post(
        "/coordinator/map/2-1-101",
        **form,
        members="张阿姨、李叔",
        phone_ends="000-0000-4321，5678",
        category=["living_alone"],
        strength=["haircut"],
    )

    fields = world.record(RED_DOOR).fields
    assert status == 303
    assert (fields["members"], fields["phone_ends"]) == (["张阿姨", "李叔"], ["4321", "5678"])
    assert (fields["categories"], fields["strengths"]) == (["living_alone"], ["haircut"])
    assert "zhang a yi" in fields["search"]


def test_a_phone_of_three_digits_is_asked_about_and_nothing_typed_is_lost(world: World) -> None:
    world.become(COORDINATOR)
    before = world.record(RED_DOOR)
    data = {"household_id": RED_DOOR, "change_id": uuid7(), "base": "1", "members": "张阿姨", "phone_ends": "432"}

    answer = world.client.post("/coordinator/map/2-1-101", data=data, headers=SAME_ORIGIN)

    assert answer.status_code == 422
    assert 'value="432"' in answer.text
    assert 'value="张阿姨"' in answer.text
    assert world.record(RED_DOOR) == before


MANY = "、".join(f"示例{number}" for number in range(21))


@pytest.mark.parametrize("members", ["示" * 41, MANY, "示\x01例"])
def test_what_nobody_could_tick_at_a_visit_is_no_name_of_a_member(world: World, members: str) -> None:
    world.become(COORDINATOR)
    form = {"household_id": RED_DOOR, "change_id": uuid7(), "base": str(world.record(RED_DOOR).revision)}

    answer = world.client.post("/coordinator/map/2-1-101", data=form | {"members": members}, headers=SAME_ORIGIN)

    assert answer.status_code == 422
    assert "每个人的称呼最多 40 个字，一户最多写 20 位" in answer.text
    assert f'value="{members}"' in answer.text
    assert world.post("/coordinator/map/2-1-101", **form, members="示" * 40) == 303


def test_a_household_with_more_names_than_that_may_be_amended_all_the_same(world: World) -> None:
    world.put(RED_DOOR, members=MANY.split("、"))
    world.become(COORDINATOR)
    form = {"household_id": RED_DOOR, "change_id": uuid7(), "base": str(world.record(RED_DOOR).revision)}

    assert world.post("/coordinator/map/2-1-101", **form, members=MANY, phone="000-0000-0000") == 303
    assert world.record(RED_DOOR).fields["phone"] == "000-0000-0000"


FILE = {
    "risk": "yellow",
    "interval_days": "14",
    "phone": "+86 000-0000-4321",
    "contact_name": "示例女儿",
    "contact_phone": "",
}


def test_a_coordinator_writes_how_a_household_is_visited_and_whom_to_call(world: World) -> None:
    world.become(COORDINATOR)
    form = {"household_id": RED_DOOR, "change_id": uuid7(), "base": str(world.record(RED_DOOR).revision)}

    status = world.post("/coordinator/map/2-1-101", **form, **FILE | {"contact_phone": " 000-0000-0100 "})

    fields = world.record(RED_DOOR).fields
    page = world.client.get("/coordinator/map/2-1-101").text
    assert status == 303
    assert (fields["risk"], fields["interval_days"], fields["phone"]) == ("yellow", 14, "+86 000-0000-4321")
    assert (fields["contact_name"], fields["contact_phone"]) == ("示例女儿", "000-0000-0100")
    assert 'name="interval_days" inputmode="numeric" maxlength="3" autocomplete="off" value="14"' in page
    assert 'value="yellow" checked' in page


def test_what_a_coordinator_empties_is_empty_and_what_a_page_does_not_ask_stays(world: World) -> None:
    world.put(RED_DOOR, phone="000-0000-4321", contact_name="示例女儿")
    world.become(COORDINATOR)
    form = {"household_id": RED_DOOR, "change_id": uuid7(), "base": str(world.record(RED_DOOR).revision)}

    status = world.post("/coordinator/map/2-1-101", **form, members="张阿姨", interval_days="", phone="")

    fields = world.record(RED_DOOR).fields
    assert status == 303
    assert (fields["interval_days"], fields["phone"]) == ("", "")
    assert (fields["contact_name"], fields["risk"]) == ("示例女儿", "red")


@pytest.mark.parametrize(
    ("name", "typed", "words"),
    [
        ("risk", "purple", "请选一个颜色"),
        ("interval_days", "0", "1 到 365"),
        ("interval_days", "366", "1 到 365"),
        ("interval_days", "1.5", "1 到 365"),
        ("interval_days", "３０", "1 到 365"),
        ("phone", "000-0000 转 1", "本人电话只能"),
        ("phone", "+ -", "本人电话只能"),
        ("contact_phone", "0" * 21, "联系人电话只能"),
        ("contact_name", "长" * 21, "最多 20 个字"),
    ],
)
def test_what_cannot_be_right_is_asked_about_and_comes_back_as_typed(
    world: World, name: str, typed: str, words: str
) -> None:
    world.become(COORDINATOR)
    before = world.record(RED_DOOR)
    data = {
        "household_id": RED_DOOR,
        "change_id": uuid7(),
        "base": "1",
        "category": "care_dependent",
        **FILE,
        name: typed,
    }

    answer = world.client.post("/coordinator/map/2-1-101", data=data, headers=SAME_ORIGIN)

    assert answer.status_code == 422
    assert words in answer.text
    assert name == "risk" or f'value="{typed}"' in answer.text
    assert 'value="care_dependent" checked' in answer.text
    assert world.record(RED_DOOR) == before


def test_a_household_that_is_amended_after_going_back_is_as_it_was_amended(world: World) -> None:
    world.become(COORDINATOR)
    form = {"household_id": RED_DOOR, "change_id": uuid7(), "base": str(world.record(RED_DOOR).revision)}
    world.post("/coordinator/map/2-1-101", **form, members="甲", category=["living_alone"])

    statuses = [world.post("/coordinator/map/2-1-101", **form, members="乙", strength=["haircut"]) for _ in range(2)]

    fields = world.record(RED_DOOR).fields
    assert statuses == [303, 303]
    assert (fields["members"], fields["categories"], fields["strengths"]) == (["乙"], [], ["haircut"])
    assert world.held() == 0


def test_a_household_that_is_amended_after_going_back_overwrites_nothing_that_it_was_merged_with(world: World) -> None:
    world.become(COORDINATOR)
    world.put(RED_DOOR, members=["甲"])
    form = {"household_id": RED_DOOR, "change_id": uuid7(), "base": str(world.record(RED_DOOR).revision)}
    world.put(RED_DOOR, who=SECOND, members=["甲", "丙"])

    statuses = [world.post("/coordinator/map/2-1-101", **form, members=members) for members in ("甲、乙", "甲、丁")]
    two = world.record(RED_DOOR)
    statuses += [world.post("/coordinator/map/2-1-101", **form, members=members) for members in ("甲、戊", "甲、戊")]
    three = world.record(RED_DOOR)

    assert statuses == [303] * 4
    assert sorted(two.fields["members"]) == sorted(["甲", "丙", "丁"])
    assert sorted(three.fields["members"]) == sorted(["甲", "丙", "戊"])
    assert three.revision == two.revision + 2, "with its search keys, and once"


def test_what_somebody_else_changed_too_is_said_and_what_was_typed_may_be_saved_again(world: World) -> None:
    world.become(COORDINATOR)
    path, base = "/coordinator/map/2-1-101", str(world.record(RED_DOOR).revision)
    form = {"household_id": RED_DOOR, "change_id": uuid7(), "base": base, "members": "甲"}
    world.post(path, **form, phone="000-0000-0001", contact_name="")
    world.put(RED_DOOR, who=SECOND, phone="000-0000-0002", contact_name="示例女儿")

    answer = world.client.post(
        path, data=form | {"phone": "000-0000-0003", "contact_name": ""}, headers=SAME_ORIGIN, follow_redirects=False
    )
    stood = world.record(RED_DOOR).fields
    again = dict(re.findall(r'name="(change_id|base|phone|contact_name)"[^>]* value="([^"]*)"', answer.text))
    status = world.post(path, **form | again)

    fields = world.record(RED_DOOR).fields
    assert answer.status_code == 422
    assert "别人也刚改过" in answer.text
    assert "已保存。" not in answer.text
    assert again["phone"] == "000-0000-0003"
    assert (stood["phone"], stood["contact_name"]) == ("000-0000-0002", "示例女儿")
    assert status == 303
    assert (fields["phone"], fields["contact_name"]) == ("000-0000-0003", "示例女儿")


def test_a_second_screen_of_one_login_overwrites_nothing_that_the_first_one_saved(world: World) -> None:
    """It was open before: what it says of the risk is what stood there then."""
    world.become(COORDINATOR)
    path = "/coordinator/map/2-1-101"
    world.put(RED_DOOR, risk="green")
    form = {"household_id": RED_DOOR, "base": str(world.record(RED_DOOR).revision), "members": "甲"}

    first = world.post(path, **form, change_id=uuid7(), risk="red")
    second = world.client.post(
        path, data=form | {"change_id": uuid7(), "risk": "green", "phone": "000-0000-0003"}, headers=SAME_ORIGIN
    )

    assert (first, second.status_code) == (303, 422)
    assert "别人也刚改过" in second.text
    assert world.record(RED_DOOR).fields["risk"] == "red"


def test_what_is_put_right_and_saved_again_overwrites_nothing_that_came_between(world: World) -> None:
    world.become(COORDINATOR)
    path, base = "/coordinator/map/2-1-101", str(world.record(RED_DOOR).revision)
    form = {"household_id": RED_DOOR, "change_id": uuid7(), "members": "甲", "contact_name": "示例女儿"}
    world.put(RED_DOOR, who=SECOND, members=["甲", "乙"])

    wrong = world.client.post(path, data=form | {"base": base, "phone_ends": "123"}, headers=SAME_ORIGIN)
    (kept,) = re.findall(r'name="base" value="([^"]*)"', wrong.text)
    again = world.post(path, **form | {"base": kept, "phone_ends": "1234"})

    assert (wrong.status_code, kept, again) == (422, base, 303)
    assert world.record(RED_DOOR).fields["members"] == ["甲", "乙"]
    assert world.record(RED_DOOR).fields["contact_name"] == "示例女儿"


def test_a_saved_form_that_is_put_right_after_a_mistake_does_not_dispute_with_itself(world: World) -> None:
    world.become(COORDINATOR)
    path, base = "/coordinator/map/2-1-101", str(world.record(RED_DOOR).revision)
    form = {"household_id": RED_DOOR, "change_id": uuid7(), "base": base}
    world.post(path, **form, members="甲、乙", phone="000-0000-0001")

    wrong = world.client.post(path, data=form | {"members": "甲、丁", "phone_ends": "123"}, headers=SAME_ORIGIN)
    kept = dict(re.findall(r'name="(change_id|base)"[^>]* value="([^"]*)"', wrong.text))
    again = world.post(path, **form | kept, members="甲、丁", phone="000-0000-0002")

    assert (wrong.status_code, kept, again) == (422, {name: form[name] for name in ("change_id", "base")}, 303)
    fields = world.record(RED_DOOR).fields
    assert (fields["members"], fields["phone"]) == (["甲", "丁"], "000-0000-0002")


def test_a_conflict_that_is_sent_twice_is_one_conflict(world: World) -> None:
    world.become(COORDINATOR)
    base = str(world.record(RED_DOOR).revision)
    form = {"household_id": RED_DOOR, "change_id": uuid7(), "base": base, "members": "甲", "phone": "000-0000-0003"}
    world.put(RED_DOOR, who=SECOND, phone="000-0000-0002")

    statuses = [world.post("/coordinator/map/2-1-101", **form) for _ in range(2)]
    others = world.post("/coordinator/map/2-1-101", **form | {"phone": "000-0000-0004"})

    conflicts = world.database.read(lambda session: open_conflicts(session, COORDINATOR))
    assert [*statuses, others] == [422, 422, 422]
    assert sorted(each.proposed for each in conflicts) == ["000-0000-0003", "000-0000-0004"]


def test_a_household_that_moved_meanwhile_is_saved_where_it_lives_now(world: World) -> None:
    world.become(COORDINATOR)
    form = {"household_id": RED_DOOR, "change_id": uuid7(), "base": str(world.record(RED_DOOR).revision)}
    world.put(RED_DOOR, who=SECOND, door="2-1-109")

    wrong = world.client.post(
        "/coordinator/map/2-1-101", data=form | {"members": "乙", "phone_ends": "432"}, headers=SAME_ORIGIN
    )
    answer = world.client.post("/coordinator/map/2-1-101", data=form | {"members": "乙"}, headers=SAME_ORIGIN)

    assert wrong.status_code == 422
    assert 'value="432"' in wrong.text
    assert answer.url.path == "/coordinator/map/2-1-109"
    assert "这户的门牌刚改过" in answer.text
    assert world.record(RED_DOOR).fields["members"] == ["乙"]


def test_a_household_that_is_not_there_is_not_called_saved(world: World) -> None:
    world.become(COORDINATOR)

    form = {"household_id": made_up_id("nobody"), "change_id": uuid7(), "base": "1", "members": "乙"}

    assert world.post("/coordinator/map/2-1-101", **form) == 404


# Buildings


def test_a_building_nobody_drew_is_drawn_from_its_households(world: World) -> None:
    world.become(COORDINATOR)

    page = world.client.get("/coordinator/map").text
    form = world.client.get("/coordinator/buildings/5").text

    assert 'id="building-5"' in page
    assert "5 501" in form


def test_a_building_is_drawn_through_the_one_way_in(world: World) -> None:
    world.become(COORDINATOR)

    form = {"change_id": uuid7(), "base": "0", "name": ["1", ""], "floors": ["3　301，302\n\n1 商铺\n", ""]}
    status = world.post("/coordinator/buildings/2", **form)

    fields = world.record(building_id(COMMUNITY_ID, "2")).fields
    assert status == 303
    assert fields == {"number": "2", "stairwells": [{"name": "1", "floors": ["3 301 302", "1 商铺"]}]}


@pytest.mark.parametrize(
    ("names", "floors"),
    [(["1", "1"], ["1 101", "1 101"]), ([""], ["1 101"]), (["1"], [f"1 {'长' * 13}"])],
)
def test_a_chart_that_cannot_be_read_comes_back_as_typed(world: World, names: list[str], floors: list[str]) -> None:
    world.become(COORDINATOR)

    form = {"change_id": uuid7(), "base": "0", "name": names, "floors": floors}
    answer = world.client.post("/coordinator/buildings/2", data=form, headers=SAME_ORIGIN)

    assert answer.status_code == 422
    assert floors[0] in answer.text


def test_a_stairwell_without_floors_is_asked_about_and_nothing_typed_is_lost(world: World) -> None:
    world.become(COORDINATOR)
    form = {"change_id": uuid7(), "base": "0", "name": ["1", "西", ""], "floors": ["1 101", " ", ""]}

    answer = world.client.post("/coordinator/buildings/2", data=form, headers=SAME_ORIGIN)
    world.client.cookies.set("language", "en")
    english = world.client.post("/coordinator/buildings/2", data=form, headers=SAME_ORIGIN)
    gone = world.post("/coordinator/buildings/2", **form | {"name": ["1", "", ""]})

    assert answer.status_code == 422
    assert "“西”的“各层门牌”还空着" in html.unescape(answer.text)
    assert 'name="name" maxlength="8" value="西"' in answer.text
    assert "1 101</textarea>" in answer.text
    assert "“Floors and doors” of stairwell “西” is empty" in html.unescape(english.text)
    assert gone == 303


def test_a_building_that_is_redrawn_after_going_back_is_as_it_was_redrawn(world: World) -> None:
    world.become(COORDINATOR)
    form = {"change_id": uuid7(), "base": "0", "name": "1"}
    world.post("/coordinator/buildings/2", **form, floors="1 101")

    status = world.post("/coordinator/buildings/2", **form, floors="1 101 102")

    fields = world.record(building_id(COMMUNITY_ID, "2")).fields
    assert status == 303
    assert fields["stairwells"] == [{"name": "1", "floors": ["1 101 102"]}]
    assert world.held() == 0


def redrawn_meanwhile(world: World) -> str:
    """The base of a coordinator's open page of a building that another redraws."""
    world.become(COORDINATOR)
    two = building_id(COMMUNITY_ID, "2")
    world.post("/coordinator/buildings/2", change_id=uuid7(), base="0", name="1", floors="1 101")
    base = str(world.record(two).revision)
    world.put(two, "building", who=SECOND, stairwells=[{"name": "1", "floors": ["1 101 102"]}])
    return base


def test_a_building_that_somebody_else_redrew_is_not_called_saved(world: World) -> None:
    base = redrawn_meanwhile(world)

    form = {"change_id": uuid7(), "base": base, "name": "1", "floors": "1 商铺"}
    answer = world.client.post("/coordinator/buildings/2", data=form, headers=SAME_ORIGIN, follow_redirects=False)

    assert answer.status_code == 422
    assert "别人也刚改过" in answer.text
    assert "1 商铺</textarea>" in answer.text


@pytest.mark.parametrize("stairwells", ["", [7], [{"name": "1"}], [{"name": "1", "floors": ["1  101"]}]])
def test_a_chart_of_another_shape_is_held(world: World, stairwells: Any) -> None:
    assert world.put(building_id(COMMUNITY_ID, "2"), "building", number="2", stairwells=stairwells) is Outcome.HELD


def test_a_chart_that_is_put_right_and_saved_again_overwrites_no_other(world: World) -> None:
    base = redrawn_meanwhile(world)

    wrong = world.client.post(
        "/coordinator/buildings/2",
        data={"change_id": uuid7(), "base": base, "name": "1", "floors": " "},
        headers=SAME_ORIGIN,
    )
    (kept,) = re.findall(r'name="base" value="([^"]*)"', wrong.text)
    (change_id,) = re.findall(r'name="change_id" value="([^"]*)"', wrong.text)
    again = world.post("/coordinator/buildings/2", change_id=change_id, base=kept, name="1", floors="1 商铺")

    assert (wrong.status_code, kept, again) == (422, base, 422)
    stands = world.record(building_id(COMMUNITY_ID, "2")).fields["stairwells"]
    assert stands == [{"name": "1", "floors": ["1 101 102"]}]


@pytest.mark.parametrize("categories", [None, []])
def test_a_household_without_categories_breaks_no_page(world: World, categories: list[str] | None) -> None:
    world.put(RED_DOOR, categories=categories)

    world.become(COORDINATOR)
    pages = [world.client.get(path) for path in ("/coordinator/map", "/coordinator/map/2-1-101")]
    world.become(ALICE)
    pages += [world.client.get(path) for path in ("/today", "/map", f"/rounds/{ROUND_ID}/doors/{RED_DOOR}")]

    assert [page.status_code for page in pages] == [200] * 5
    assert RED_DOOR in world.found("/find", "2-1-101")


def test_whoever_is_given_a_door_sees_its_building_until_the_last_door_is_gone(world: World) -> None:
    def scopes(who: Person) -> set[str]:
        granted = world.database.read(
            lambda session: active_grants(session, community_id=COMMUNITY_ID, person_ids={who.id})
        )
        return {scope_id for _, scope_id in granted}

    two, five = building_id(COMMUNITY_ID, "2"), building_id(COMMUNITY_ID, "5")
    assert scopes(ALICE) & {two, five} == {two}
    assert scopes(CHARLIE) & {two, five} == {five}

    world.database.write(
        lambda session: withdraw_round(
            session, community_id=COMMUNITY_ID, round_id=ROUND_ID, person_id=ALICE.id, now=NOW, today=TODAY
        )
    )

    assert scopes(ALICE) == {ALICE.id}, "what is hers alone stays hers"
    assert CHARLIES_ROUND_ID in scopes(CHARLIE)


def test_a_round_that_is_taken_back_while_another_is_given_takes_no_door_of_that_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two processes over PostgreSQL: the one waits for the other, and then finds what it left."""
    url = new_database()
    migrations.upgrade(url)
    one, other = Database(url), Database(url)
    build_world(one)
    second = made_up_id("another round of that door")
    one.write(lambda session: add_round(session, second, "另一轮", (RED_DOOR,), ()))

    def give() -> None:
        other.write(
            lambda session: assign_round(
                session,
                community_id=COMMUNITY_ID,
                round_id=second,
                household_ids=[RED_DOOR],
                volunteer_ids=[ALICE.id],
            )
        )

    giving = threading.Thread(target=give)

    def read_slowly(*given: Any) -> Any:
        found = rounds_among(*given)
        giving.start()
        giving.join(PATIENCE_SECONDS)
        return found

    monkeypatch.setattr(rounds, "rounds_among", read_slowly)
    one.write(
        lambda session: withdraw_round(
            session, community_id=COMMUNITY_ID, round_id=ROUND_ID, person_id=ALICE.id, now=NOW, today=TODAY
        )
    )
    giving.join()

    grants = one.read(lambda session: active_grants(session, community_id=COMMUNITY_ID, person_ids={ALICE.id}))
    assert {(ALICE.id, second), (ALICE.id, RED_DOOR)} <= set(grants)
    one.close()
    other.close()


def test_two_processes_that_start_at_once_complete_old_records_once() -> None:
    """Over PostgreSQL. The second looks when the first is done, and finds nothing to do."""
    url = new_database()
    migrations.upgrade(url)
    one, other = Database(url), Database(url)
    build_world(one)
    server = Author(COMMUNITY_ID, made_up_id("server"), "", made_up_id("server"), Role.SERVER)
    fields = {"door": "9-1-101", "members": ["朴姐"]}
    old = Change(uuid7(), 0, "household", made_up_id("old"), Action.PUT, 0, fields, NOW, 1)
    one.write(lambda session: accept(SqlStore(session), RULES, [old], author=server, received_at=NOW) and None)
    starting = threading.Thread(
        target=lambda: other.write(lambda session: complete_search_keys(session, COMMUNITY_ID, now=NOW + 1))
    )

    def work(session: Session) -> None:
        SqlStore(session).hold(COMMUNITY_ID)
        starting.start()
        starting.join(PATIENCE_SECONDS)
        complete_search_keys(session, COMMUNITY_ID, now=NOW)

    one.write(work)
    starting.join()

    assert one.read(lambda session: held_count(session, COORDINATOR)) == 0
    keys = one.read(lambda session: SqlStore(session).records(COMMUNITY_ID, [old.record_id]))[old.record_id].fields[
        "search"
    ]
    assert keys == ["pu jie", "piao jie"]
    one.close()
    other.close()


def test_the_whole_map_is_a_handful_of_statements(world: World) -> None:
    def asked() -> int:
        with statements(world.database) as seen:
            assert world.client.get("/coordinator/map").status_code == 200
        return len(seen)

    world.become(COORDINATOR)
    before = asked()
    for number in range(3):
        log_visits(world.database, ALICE, visit_change(f"visit {number}"))
        world.put(made_up_id(f"new {number}"), door=f"7-1-{number + 1}01", members=["示例居民"], categories=[])

    assert asked() == before == MAP_STATEMENTS


def test_a_filter_by_volunteer_is_an_address(world: World) -> None:
    world.put(RED_DOOR, categories=["living_alone"])
    world.put(CHARLIES_DOOR, categories=["living_alone"])
    world.become(COORDINATOR)

    page = world.client.get(f"/coordinator/map?show=mine&volunteer={CHARLIE.id}").text

    assert "map/5-2-501" in page
    assert "map/2-1-101" not in page
    assert GREEN_DOOR not in page
