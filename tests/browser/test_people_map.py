"""The people map and finding people, on a phone without a network and at the coordinator's desk."""

import re
import tomllib
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from sqlmodel import Session, select

from server.accepting import accept_changes, server_author
from server.demo.names import COMMUNITY_ID
from server.models import Volunteer
from server.rounds import assign_round
from server.rules import SCHEMA
from server.settings import ROOT
from sync.changes import Action, Change
from tests.browser.conftest import MakePhone, enrol
from tests.browser.coordinator import Coordinator
from tests.browser.phone import Phone
from tests.browser.server_process import ServerProcess, is_refused, with_database
from tests.browser.test_gallery import take
from tests.people import NOW, made_up_id

pytestmark = pytest.mark.browser

PEOPLE = 2000
# Surnames whose reading people know and a table of everyday readings does not, each behind a door of its own.
SURNAMES = {"单": "shan", "解": "xie", "仇": "qiu", "查": "zha", "曾": "zeng", "区": "ou", "盖": "ge", "朴": "piao"}
EVERYDAY = {"单": "dan", "解": "jie", "仇": "chou", "查": "cha", "曾": "ceng", "区": "qu", "盖": "gai", "朴": "pu"}
FOUND = "#found .door__number"


def accessible_name(page: Page, selector: str) -> str:
    """What a screen reader is told, computed by the browser itself."""
    cdp = page.context.new_cdp_session(page)
    root = cdp.send("DOM.getDocument")["root"]["nodeId"]
    node = cdp.send("DOM.querySelector", {"nodeId": root, "selector": selector})["nodeId"]
    found: list[dict[str, Any]] = cdp.send("Accessibility.getPartialAXTree", {"nodeId": node, "fetchRelatives": False})[
        "nodes"
    ]
    cdp.detach()
    return str(found[0]["name"]["value"])


def look_for(phone: Phone, text: str) -> list[str]:
    """Typed, answered while typing; the doors that are found."""
    phone.page.locator("#q").fill(text)
    expect(phone.page.locator("#found")).to_have_attribute("data-for", text)
    return [each.inner_text() for each in phone.page.locator(FOUND).all()]


def add_people(session: Session) -> None:
    """2,000 people behind 800 doors, on the list of the demo's volunteer."""
    names = ["张伟", *(f"{surname}奶奶" for surname in SURNAMES)]
    doors = [
        f"{100 + number // 60}-{number % 60 // 20 + 1}-{number % 20 // 2 + 1}0{number % 2 + 1}" for number in range(800)
    ]
    members = [[f"示例居民{number * 3 + each:04}" for each in range(2 + number % 2)] for number in range(800)]
    for number, name in enumerate(names):
        members[number * 7][0] = name
    changes = [
        Change(
            made_up_id(f"put {door}"),
            0,
            "household",
            made_up_id(door),
            Action.PUT,
            0,
            {"door": door, "members": people, "categories": [], "phone_ends": ["5678"] if number == 0 else []},
            NOW,
            SCHEMA,
        )
        for number, (door, people) in enumerate(zip(doors, members, strict=True))
    ]
    assert sum(map(len, members)) == PEOPLE
    household_ids = [change.record_id for change in changes]
    me = session.exec(select(Volunteer).where(Volunteer.number == "0001")).one()
    fields = {
        "title": "两千人",
        "starts_on": "2026-01-01",
        "ends_on": "2099-12-31",
        "household_ids": household_ids,
        "volunteer_ids": [me.id],
    }
    changes.append(Change(made_up_id("round"), 0, "round", made_up_id("many"), Action.PUT, 0, fields, NOW, SCHEMA))
    accept_changes(session, server_author(COMMUNITY_ID), changes, NOW)
    assign_round(
        session,
        community_id=COMMUNITY_ID,
        round_id=made_up_id("many"),
        household_ids=household_ids,
        volunteer_ids=[me.id],
    )


def test_s05_anyone_of_two_thousand_is_found_offline(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    server.stop()
    with_database(server, lambda database: database.write(add_people))
    server.start()
    phone = make_phone(server.url)
    enrol(phone, coordinator)
    server.stop()
    assert is_refused(server.port)
    phone.open("/today")
    phone.page.locator("a[href='/find']").tap()
    phone.page.wait_for_url("**/find")

    by_each = {text: look_for(phone, text) for text in ("张伟", "张", "zw", "zhangw", "5678", "100-1-101", "1001101")}

    assert {text: doors[:1] for text, doors in by_each.items()} == {text: ["100号楼1单元101"] for text in by_each}
    for readings in (SURNAMES, EVERYDAY):
        for surname, letters in readings.items():
            assert look_for(phone, f"{letters}nn") == look_for(phone, f"{surname}奶") != [], surname
    assert phone.page.url.endswith("/find"), "what was typed stands in the address"
    search, nothing = answer_ms(phone)
    assert search < 10 * nothing, f"searching takes {search / nothing:.1f} times as long as a page without any search"


# The worker, which was asleep, answers the first question when the last letter has been typed.
SLOW_FIRST = """() => {
    const { fetch } = window;
    const end = new Promise((resolve) => { window.letFind = resolve; });
    let asked = 0;
    window.fetch = async (path, ...rest) => {
        const answer = await fetch(path, ...rest);
        if (!String(path).endsWith("/find")) return answer;
        asked += 1;
        if (asked === 1) await end;
        return answer;
    };
    window.countAsked = () => asked;
}"""


def test_s05_what_is_found_is_what_stands_in_the_box_however_slowly_the_first_answer_comes(phone: Phone) -> None:
    phone.open("/find")
    phone.page.evaluate(SLOW_FIRST)
    box = phone.page.locator("#q")

    box.press_sequentially("w")
    phone.page.wait_for_function("() => countAsked() === 1")
    box.press_sequentially("ang", delay=200)
    phone.page.evaluate("() => letFind()")

    expect(phone.page.locator("#found")).to_have_attribute("data-for", "wang")


# The same page, the same way through worker, template and browser: once searching 2,000 people, once none.
ANSWER_MS = """async (typed) => {
    const times = [];
    for (let count = 0; count < 15; count += 1) {
        const start = performance.now();
        await (await fetch("/find", { method: "POST", body: new URLSearchParams({ q: typed }) })).text();
        times.push(performance.now() - start);
    }
    return times.sort((left, right) => left - right)[7];
}"""


def answer_ms(phone: Phone) -> tuple[float, float]:
    return float(phone.page.evaluate(ANSWER_MS, "zhangw")), float(phone.page.evaluate(ANSWER_MS, ""))


def test_s34_a_door_of_the_map_is_read_aloud_and_walked_to_offline(phone: Phone, server: ServerProcess) -> None:
    server.stop()
    assert is_refused(server.port)

    phone.page.locator(".nav a[href='/map']").tap()
    phone.page.wait_for_url("**/map")
    names = [
        re.sub(r"\s", "", accessible_name(phone.page, f"#{self_id}"))
        for self_id in phone.page.evaluate(
            "() => [...document.querySelectorAll('.stack a')].map((link, place) => (link.id = `door-link-${place}`))"
        )
    ]
    assert len(names) == 14
    assert all(
        re.fullmatch(r"2号楼[12]单元\d{3}，(待访|超期|已访|未遇|外出)(，[\u4e00-\u9fff]{2,5})+", name) for name in names
    )
    assert len({name.split("，")[1] for name in names}) >= 3
    assert phone.page.locator(".stack td", has_text="602").count() == 3  # of doors that are not hers, the number alone

    phone.page.locator(".stack a").first.tap()
    phone.page.wait_for_url("**/doors/*")
    assert phone.heading in names[0]


def test_s34_a_door_reads_in_grey_by_one_letter_and_a_corner_of_its_own(phone: Phone, server: ServerProcess) -> None:
    server.stop()
    said = tomllib.loads((ROOT / "server/messages/shared.toml").read_text(encoding="utf-8"))["map"]
    for language in ("zh", "en"):
        phone.open("/map")
        words = {name: said[name][language] for name in ("due", "overdue", "missed", "seen", "away")}
        looks = [phone.page.evaluate(LOOK, [name, word]) for name, word in words.items()]

        assert len({word[0] for word in words.values()}) == len(words)
        assert len({look["corner"] for look in looks}) == len(words)
        for look in looks:
            assert (look["letters"], look["text"]) == (1, look["word"])
        take(phone.page, f"map_letters-{language}")
        phone.switch_language()


# A door that stands like this: its corner, how many letters of the word are seen, and what is read aloud.
LOOK = """([name, word]) => {
    const link = document.querySelector(".stack a:has(em)").cloneNode(true);
    document.querySelector(".stack td:has(a)").append(link);
    const em = link.querySelector("em");
    em.className = name;
    em.textContent = word;
    const box = em.getBoundingClientRect();
    const letter = (place) => {
        const range = document.createRange();
        range.setStart(em.firstChild, place);
        range.setEnd(em.firstChild, place + 1);
        return range.getBoundingClientRect();
    };
    const isSeen = (_, place) => letter(place).left < box.right - 1 && letter(place).top < box.bottom - 1;
    const letters = getComputedStyle(em).overflow === "clip" ? [...word].filter(isSeen).length : word.length;
    const found = { corner: getComputedStyle(link, "::after").clipPath, letters, word, text: em.textContent };
    link.remove();
    return found;
}"""


def test_s34_arrow_keys_walk_the_whole_map(coordinator: Coordinator) -> None:
    page = coordinator.page
    page.goto(f"{coordinator.url}/coordinator/map?building=2")
    links = page.locator(".stack").first.locator("a")
    links.first.focus()
    doors = [each.get_attribute("href") or "" for each in links.all()]
    below = next(door for door in doors[1:] if door[-2:] == doors[0][-2:])

    page.keyboard.press("ArrowDown")

    assert page.evaluate("() => document.activeElement.getAttribute('href')") == below
    page.keyboard.press("ArrowUp")
    assert page.evaluate("() => document.activeElement.getAttribute('href')") == doors[0]
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/{doors[0]}")


def test_s34_arrow_keys_pass_short_floors_and_flats_made_one(coordinator: Coordinator) -> None:
    page = coordinator.page
    page.goto(f"{coordinator.url}/coordinator/map?building=2")
    page.locator("a[href='buildings/2']").click()
    page.wait_for_url("**/buildings/2")
    # Somebody lives behind 602, 502, 401, 402, 101 and 102; the rest leads nowhere.
    page.locator("#floors-1").fill("6 603+604 601 602\n5 502\n4 401+403 402 404\n3 商铺\n2 201 202 203\n1 x 101 y 102")
    page.locator("button[form=draw]").click()
    page.wait_for_url("**/coordinator/map?building=2")

    def walked(start: str, *keys: str) -> list[str]:
        page.locator(f".stack a[href$='2-1-{start}']").focus()
        passed = []
        for key in keys:
            page.keyboard.press(f"Arrow{key}")
            passed.append(page.evaluate("() => document.activeElement.getAttribute('href').slice(-3)"))
        return passed

    assert walked("602", "Down", "Up") == ["102", "602"]  # the fourth column, past a short floor
    assert walked("402", "Left", "Right", "Down") == ["401", "402", "101"]  # none below it: the nearest on the left
    assert walked("101", "Up", "Up", "Up", "Down") == ["401", "502", "502", "401"]  # 401+403 are two columns wide
    assert walked("402", "Up") == ["502"]


# What fingers touch, and whether it can be reached with a thumb.
SMALL = """(least) => [...document.querySelectorAll("main a[href], main button, main input, .dock a, .dock button, .dock input")]
    .filter((element) => element.checkVisibility() && !element.closest("[hidden]") && element.type !== "hidden")
    .map((element) => [element.outerHTML.slice(0, 90), element.getBoundingClientRect()])
    .filter(([, { width, height }]) => width < least || height < least)
    .map(([html, { width, height }]) => `${width}×${height} ${html}`)"""


@pytest.mark.parametrize(("size", "least"), [("normal", 48), ("large", 60)])
def test_s03_the_map_and_the_search_are_made_for_thumbs(phone: Phone, size: str, least: int) -> None:
    phone.open("/find")
    if size == "large":
        phone.page.locator("button.switch[name=size]").tap()
        expect(phone.page.locator("html")).to_have_attribute("data-size", "large")
    phone.page.locator("#q").fill("sl")
    expect(phone.page.locator("#found .door").first).to_be_visible()

    assert phone.page.evaluate(SMALL, least) == []
    box = phone.page.locator("#q").bounding_box()
    assert box is not None
    assert box["y"] >= 640 * 0.45
    phone.open("/map")
    assert phone.page.evaluate(SMALL, least) == []


def test_a_filter_of_the_map_is_an_address(phone: Phone, server: ServerProcess) -> None:
    server.stop()
    phone.open("/map?building=2&show=overdue")
    shown = phone.page.locator(".stack a")
    expect(phone.page.locator("[aria-current]", has_text="超期")).to_be_visible()
    assert shown.count() == phone.page.locator(".stack a .overdue").count() > 0

    phone.open("/map?building=2&tag=living_alone")

    assert shown.count() == phone.page.locator(".stack a", has_text="独居").count() == 4


def test_a_building_drawn_by_the_coordinator_reaches_the_phone(phone: Phone, coordinator: Coordinator) -> None:
    page = coordinator.page
    page.goto(f"{coordinator.url}/coordinator/map?building=2")
    page.locator("a[href='buildings/2']").click()
    page.wait_for_url("**/buildings/2")
    page.locator("#floors-3").fill("3 301+302\n2 201A 201B 202\n\n1 商铺")
    page.locator("button[form=draw]").click()
    page.wait_for_url("**/coordinator/map?building=2")

    phone.exchange()
    phone.open("/map")
    drawn = phone.page.locator(".stack").nth(2)
    expect(drawn.locator("tr")).to_have_count(3)
    assert [each.inner_text() for each in drawn.locator("td").all()] == ["301+302", "201A", "201B", "202", "商铺"]
    assert drawn.locator("td").first.get_attribute("colspan") == "2"


def test_strengths_and_phone_ends_are_kept_by_the_coordinator_and_found(phone: Phone, coordinator: Coordinator) -> None:
    page = coordinator.page
    page.goto(f"{coordinator.url}/coordinator/find")
    page.locator("#q").fill("2-1-602")
    page.locator("#found .door__link").click()
    page.wait_for_url("**/coordinator/map/2-1-602")
    page.locator("label.chip:has(input[value=haircut])").click()
    page.locator("#members-1").fill("单奶奶、小明")
    page.locator("#phone-ends-1").fill("000-0000-4321")
    page.locator("form[id^=edit] button").click()
    page.wait_for_url("**said=saved*")
    expect(page.locator("#phone-ends-1")).to_have_value("4321")

    phone.exchange()
    phone.open("/find")
    for text in ("4321", "snn", "单", "xm"):
        assert look_for(phone, text) == ["2号楼1单元602"], text
    expect(phone.page.locator("#found")).to_contain_text("会理发")
