"""The people map: what it weighs, how doors stand, and what a coordinator draws and changes."""

import gzip
import re
from random import Random
from typing import Any

import pytest

from server.messages import load_catalogue
from server.templating import template_environment
from server.vocabularies import CATEGORY, STRENGTH
from tests.fixtures.pages import DAY, NOW, Context, building, by_door, context, household, people_map, rounds_of, visit

ENVIRONMENT = template_environment(load_catalogue())
BUILDINGS, STAIRWELLS, FLOORS, DOORS = 30, 3, 6, 4
WHOLE = {"map_path": "/coordinator/map", "door_path": "map/", "draw_path": "buildings/", "is_whole": True}
OUTCOMES = ("met", "met", "met", "no_answer", "away_known")


def whole_community() -> Context:
    """2,160 doors, somebody behind each; three in ten have tags, and stand in every way there is."""
    random = Random(1)
    floors = [[f"{floor}{number:02}" for number in range(1, DOORS + 1)] for floor in range(FLOORS, 0, -1)]
    lines = [" ".join([flats[0][:-2], *flats]) for flats in floors]
    buildings = [
        building(number, str(number), {str(name): lines for name in range(1, STAIRWELLS + 1)})
        for number in range(1, BUILDINGS + 1)
    ]
    doors = [
        f"{each['number']}-{stairwell['name']}-{flat}"
        for each in buildings
        for stairwell in each["stairwells"]
        for flats in floors
        for flat in flats
    ]
    households, visits = [], {}
    for number, door in enumerate(doors):
        is_tagged = random.random() < 0.3
        tags = random.sample(CATEGORY.codes, random.choice((1, 1, 1, 2))) if is_tagged else []
        strengths = [random.choice(STRENGTH.codes)] if random.random() < 0.1 else []
        household_ = household(number, door, "示例居民", categories=" ".join(tags), strengths=strengths)
        households.append(household_)
        if is_tagged and random.random() < 0.9:
            at = NOW - random.randrange(60) * DAY
            visits[household_["id"]] = [visit(number, household_, random.choice(OUTCOMES), made_at=at)]
    return context(
        "coordinator",
        "coordinator/map.html",
        "/coordinator/map",
        buildings=buildings,
        households=by_door(households),
        visits=visits,
        rounds={},
        volunteers=[],
        volunteer_id="",
        **WHOLE,
    )


def test_the_whole_map_is_light() -> None:
    html = ENVIRONMENT.get_template("coordinator/map.html").render(whole_community())

    assert html.count("<td") == BUILDINGS * STAIRWELLS * FLOORS * DOORS == 2160
    assert html.count('href="map/') > 600
    assert len(gzip.compress(html.encode(), 6)) <= 15 * 1024


def drawn(*households: Context, **more: Any) -> str:
    chart = building(1, "3", {"2": ["5 501 502", "4 401+402", "1 商铺"]})
    given = people_map(list(households), buildings=[chart], **({"rounds": rounds_of(list(households))} | more))
    return ENVIRONMENT.get_template("map/page.html").render(
        given | {"query": {"building": "3"} | more.get("query", {})}
    )


def said(html: str) -> list[str]:
    """The words of each door's link, as they are read aloud."""
    links = re.findall(r"<td[^>]*><a[^>]*>(.*?)</a>", html, re.DOTALL)
    return [re.sub(r"<[^>]*>|\n", "", link) for link in links]


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (None, "待访"),
        ({"outcome": "met", "made_at": NOW - 5 * DAY}, "已访"),
        ({"outcome": "met", "made_at": NOW - 29 * DAY}, "待访"),
        ({"outcome": "met", "made_at": NOW - 31 * DAY}, "超期"),
        ({"outcome": "met", "made_at": NOW - 40 * DAY, "next_visit_on": "2026-03-13"}, "已访"),
        ({"outcome": "met", "made_at": NOW - DAY, "next_visit_on": "2026-03-12"}, "待访"),
        ({"outcome": "met", "made_at": NOW - DAY, "next_visit_on": "2026-03-11"}, "超期"),
        ({"outcome": "no_answer", "made_at": NOW - DAY}, "未遇"),
        ({"outcome": "hospitalised", "made_at": NOW - DAY}, "外出"),
        ({"outcome": "away_known", "made_at": NOW - DAY, "until_on": "2026-03-12"}, "待访"),
        ({"outcome": "met", "made_at": NOW - DAY, "is_void": True}, "待访"),
        ({"outcome": "moved", "made_at": NOW - 40 * DAY}, ""),
        ({"outcome": "deceased", "made_at": NOW - 40 * DAY}, ""),
        ({"outcome": "wrong_address", "made_at": NOW - 29 * DAY}, ""),
    ],
)
def test_a_door_says_how_it_stands(last: Context | None, expected: str) -> None:
    at = household(1, "3-2-501", "示例居民", categories="living_alone")
    visits = (
        {at["id"]: [visit(1, at, last["outcome"], **{k: v for k, v in last.items() if k != "outcome"})]} if last else {}
    )

    assert said(drawn(at, visits=visits)) == ["，".join(filter(None, ["3号楼2单元501", expected, "独居"]))]


def test_needs_and_strengths_are_both_said() -> None:
    at = household(1, "3-2-502", "示例居民", categories="empty_nest", strengths=["haircut", "electrics"])

    assert said(drawn(at)) == ["3号楼2单元502，待访，空巢，会理发，懂电器"]


def test_whom_nobody_promised_to_visit_is_not_due() -> None:
    at = household(1, "3-2-502", "示例居民", strengths=["haircut"])
    closed = household(2, "3-2-501", "示例居民", categories="empty_nest", is_closed=True)

    assert said(drawn(at, closed)) == ["3号楼2单元501，空巢", "3号楼2单元502，会理发"]


def test_a_merged_flat_is_one_wide_door_and_a_shop_is_none() -> None:
    at = household(1, "3-2-402", "示例居民")

    html = drawn(at)

    assert said(html) == ["3号楼2单元401+402"]
    assert 'colspan="2"' in html
    assert "<td>商铺</td>" in html


def test_a_door_on_no_chart_is_listed_below() -> None:
    html = drawn(household(1, "3-2-999", "示例居民甲"), household(2, "门房", "示例居民乙"))

    assert html.index("图上没画的住户") < html.index("示例居民甲")
    assert "示例居民乙" in html


def test_a_filter_leaves_the_others_as_plain_doors() -> None:
    alone = household(1, "3-2-501", "示例居民", categories="living_alone")
    barber = household(2, "3-2-502", "示例居民", strengths=["haircut"])

    html = drawn(alone, barber, query={"tag": "haircut"})

    assert said(html) == ["3号楼2单元502，会理发"]
    assert "<td>501</td>" in html
