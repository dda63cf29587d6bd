"""What a first sync of five hundred households weighs on the wire: doors, their last three visits, open needs.

The content is as varied as a real street's: everybody has a name, a note of her own, times of her own. Nothing is copied, or
gzip would have an easy day. The same seed gives the same street.
"""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pytest
from sqlmodel import select
from starlette.testclient import TestClient

from server import migrations
from server import vocabularies as words
from server.accepting import accept_changes, server_author, staff_author
from server.app import create_app
from server.database import Database
from server.demo.households import make_households
from server.models import Staff
from server.rounds import assign_round
from server.settings import Settings
from sync.changes import Action, Author, Change, Outcome
from sync.protocol import PAGE_RECORDS_MAX
from tests.people import ALICE, BOB, COMMUNITY_ID, DOORS, NOW, ROUND_ID, add_world
from tests.signing_phone import SigningPhone, message

KB = 1024
SLOW_BYTES_A_SECOND = 50_000  # 400 kbit/s
HOUSEHOLDS = 500
VISITS_EACH = 3
DOORS_A_DAY = 25
BYTES_MAX = 150 * KB
DAY_MS = 24 * 60 * 60 * 1000
MINUTE_MS = 60 * 1000
NOTHING: dict[str, Any] = {"ids": {"id": []}}

SURNAMES = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余潘杜戴夏钟汪田任姜范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段雷钱汤尹黎易常武乔贺赖龚文"
CALLED = ("奶奶", "爷爷", "阿姨", "叔叔", "大妈", "大爷", "老师", "师傅")
WHO = ("儿子", "女儿", "孙女", "外甥", "邻居", "护工", "老伴", "弟弟", "儿媳", "老同事")
WHERE = ("楼道", "厨房", "阳台", "卫生间", "门口", "客厅", "单元门", "小区东门", "菜场", "社区食堂", "卫生站", "花园")
WHAT = (
    "灯",
    "水管",
    "扶手",
    "门铃",
    "煤气阀",
    "血压计",
    "老年卡",
    "轮椅",
    "助听器",
    "电饭锅",
    "药盒",
    "收音机",
    "暖气",
    "纱窗",
    "热水器",
)
STATE = ("坏了", "松了", "漏水", "换新的了", "还能用", "找不到了", "修好了", "要换电池", "声音很大", "不太亮")
WHEN = ("早上", "中午", "下午", "傍晚", "昨天", "前天", "上周", "这个月", "周末", "国庆")
DID = (
    "来看过",
    "打过电话",
    "送了饺子",
    "陪着去复查",
    "帮忙买了菜",
    "带来了水果",
    "住了几天",
    "约好再来",
    "教会了用微信",
    "把账单缴了",
)
FEELS = (
    "精神不错",
    "腿脚有点慢",
    "睡得不太好",
    "胃口好",
    "话比上次多",
    "有点咳嗽",
    "心情好",
    "想找人说说话",
    "眼睛花得厉害",
    "血压稳定",
)
WISH = (
    "想参加合唱班",
    "想换个楼下的信箱",
    "想知道养老补贴怎么办",
    "希望晚上敲门轻一点",
    "让我们下次带老花镜",
    "问什么时候打流感疫苗",
    "想要一份活动表",
    "不想麻烦大家",
)


@dataclass
class Street:
    """Everything on it, from one seed."""

    random: Random

    def id(self, at: int) -> str:
        """As a phone makes one at this time: UUIDv7."""
        noise = self.random.getrandbits(74)
        return str(UUID(int=at << 80 | 7 << 76 | noise >> 62 << 64 | 2 << 62 | noise & (1 << 62) - 1))

    def name(self) -> str:
        return self.random.choice(SURNAMES) + self.random.choice(CALLED)

    def clause(self) -> str:
        pick = self.random.choice
        return pick(
            (
                f"{pick(WHERE)}的{pick(WHAT)}{pick(STATE)}",
                f"{pick(WHO)}{pick(WHEN)}{pick(DID)}",
                f"{self.name()}{pick(FEELS)}",
                f"{pick(WISH)}",
                f"{pick(WHEN)}{self.random.randint(1, 12)}点在{pick(WHERE)}碰到{self.name()}",
                f"{pick(WHAT)}{pick(STATE)}，已告诉{pick(WHO)}",
            )
        )

    def note(self) -> str:
        count = self.random.choice((0, 1, 1, 2, 2, 3))
        return "，".join(self.clause() for _ in range(count)) + ("。" if count else "")

    def answers(self) -> dict[str, Any]:
        pick, chance = self.random.choice, self.random.random
        outcome = "met" if chance() < 0.75 else pick(("no_answer", "met_other", "away_known", "refused"))
        found: dict[str, Any] = {"contact_mode": "in_person" if chance() < 0.85 else "phone", "outcome": outcome}
        if outcome == "met":
            well = {
                name: pick(("good", "good", *words.WELLBEING.codes))
                for name in ("wb_safety", "wb_hygiene", "wb_environment")
            }
            found |= well | {"person_met": pick(("self", "self", "spouse", "child"))}
            found |= {"consent_state": pick(("basic", "full")), "family_contact": pick(words.FAMILY_CONTACT.codes)}
            found["danger"] = ["none"]
            found["done_on_spot"] = self.random.sample(words.DONE_ON_SPOT.codes, self.random.randint(1, 2))
            if chance() < 0.15:
                found |= {
                    "needs": [pick(words.SERVICE.codes)],
                    "urgency": pick(words.URGENCY.codes),
                }
        return found | ({"note": note} if (note := self.note()) else {})


def test_a_first_sync_of_five_hundred_households_is_light(world: "World") -> None:
    answers = world.pull_everything()

    kinds = {
        kind: sum(len(answer["columns"]["kinds"].get(kind, NOTHING)["ids"]["id"]) for answer, _ in answers)
        for kind in ("household", "visit", "need")
    }
    sizes = [size for _, size in answers]
    print(
        f"{kinds}: {len(sizes)} answers, {sum(sizes) / KB:.1f} KB gz ({', '.join(f'{size / KB:.1f}' for size in sizes)})"
    )
    assert (kinds["household"], kinds["visit"]) == (HOUSEHOLDS + len(DOORS), HOUSEHOLDS * VISITS_EACH)
    assert kinds["need"] > 100
    assert sum(sizes) <= BYTES_MAX
    told = world.hello()["first_sync"]
    assert told["households"] == HOUSEHOLDS + len(DOORS)
    assert told["records"] == sum(
        len(of["ids"]["id"]) for answer, _ in answers for of in answer["columns"]["kinds"].values()
    )
    assert 0.8 <= told["bytes"] / sum(sizes) <= 1.25


def test_s19_five_hundred_households_come_in_five_seconds_over_a_slow_line(world: "World") -> None:
    answers = world.pull_everything()

    households = [of for answer, _ in answers for kind, of in answer["columns"]["kinds"].items() if kind == "household"]
    ids = [answer["columns"]["ids"] for answer, _ in answers]
    alone = len(gzip.compress(json.dumps([ids[0], households], ensure_ascii=False).encode()))
    sizes = [size for _, size in answers]
    print(f"households alone {alone / KB:.1f} KB gz; all of it {sum(sizes) / SLOW_BYTES_A_SECOND:.1f} s of a slow line")
    assert alone <= 50 * KB
    assert sum(sizes) / SLOW_BYTES_A_SECOND <= 5


@dataclass
class World:
    client: TestClient
    phone: SigningPhone
    origin: str

    def hello(self) -> dict[str, Any]:
        headers = self.phone.headers(b"", origin=self.origin, method="GET", path="/sync/hello")
        answer: dict[str, Any] = self.client.get("/sync/hello", headers=headers).json()
        return answer

    def pull_everything(self) -> list[tuple[dict[str, Any], int]]:
        """Each answer with its bytes on the wire."""
        found: list[tuple[dict[str, Any], int]] = []
        checkpoint = {"epoch": "", "cursor": ""}
        while not found or found[-1][0]["more"]:
            body = message([], **checkpoint, limit=PAGE_RECORDS_MAX, form="columns")
            headers = self.phone.headers(body, origin=self.origin) | {"Accept-Encoding": "gzip"}
            answer = self.client.post("/sync", content=body, headers=headers)
            assert answer.headers["content-encoding"] == "gzip"
            found.append((answer.json(), int(answer.headers["content-length"])))
            checkpoint = {name: found[-1][0][name] for name in checkpoint}
        return found


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    settings = Settings(data_dir=tmp_path)
    migrations.upgrade(settings.database_url)
    with TestClient(create_app(settings, clock=lambda: NOW), base_url=settings.public_url) as client:
        phone = SigningPhone(ALICE)
        build_street(client.app.state.database, phone, Street(Random(1)))  # type: ignore[attr-defined]
        yield World(client, phone, settings.public_url)


def build_street(database: Database, phone: SigningPhone, street: Street) -> None:
    doors = make_households(1, street.random)[:HOUSEHOLDS]
    households = []
    for each in doors:
        fields = {**each.fields, "members": [street.name() for _ in each.fields["members"]]}
        households.append(put("household", each.id, fields, NOW - 200 * DAY_MS, street))
    database.write(add_world)
    database.write(phone.enrol)
    accept(database, server_author(COMMUNITY_ID), households)
    database.write(
        lambda session: assign_round(
            session,
            community_id=COMMUNITY_ID,
            round_id=ROUND_ID,
            household_ids=[each.id for each in doors],
            volunteer_ids=[ALICE.id, BOB.id],
        )
    )
    for turn in range(VISITS_EACH):
        walk(database, street, [each.id for each in doors], NOW - (VISITS_EACH - turn) * 30 * DAY_MS)


def walk(database: Database, street: Street, doors: list[str], start: int) -> None:
    """Every door is visited once within three weeks, by one of two, and most visits are approved."""
    street.random.shuffle(doors)
    for day in range(len(doors) // DOORS_A_DAY):
        who = street.random.choice((ALICE, BOB))
        at, visits = start + day * DAY_MS, []
        for door in doors[day * DOORS_A_DAY : (day + 1) * DOORS_A_DAY]:
            at += street.random.randint(4 * MINUTE_MS, 25 * MINUTE_MS)
            times = {"started_at": at - street.random.randint(30_000, 6 * MINUTE_MS), "ended_at": at}
            fields = {"household_id": door, "round_id": ROUND_ID, **street.answers(), **times}
            visits.append(put("visit", street.id(times["started_at"]), fields, at, street))
        accept(database, who.author(), visits, received_at=at + street.random.randint(1, 60) * MINUTE_MS)
        coordinator = database.read(lambda session: staff_author(session.exec(select(Staff)).one()))
        approved = [each for each in visits if street.random.random() < 0.8]
        reviews = [
            put("visit", each.record_id, {"review_state": "approved"}, at, street, base=2**40) for each in approved
        ]
        accept(database, coordinator, reviews, received_at=at + DAY_MS)


def put(kind: str, record_id: str, fields: dict[str, Any], at: int, street: Street, *, base: int = 0) -> Change:
    return Change(street.id(at), 0, kind, record_id, Action.PUT, base, fields, at, 1)


def accept(database: Database, author: Author, changes: list[Change], *, received_at: int = NOW) -> None:
    results = database.write(lambda session: accept_changes(session, author, changes, received_at))
    assert {result.outcome for result in results} <= {Outcome.ACCEPTED}, results
