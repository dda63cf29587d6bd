"""A round at the doors, with no network: what takes one tap, what comes next, what can be taken back (EXPERIENCE.md A)."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.coordinator import Coordinator
from tests.browser.phone import Phone
from tests.browser.server_process import wait_until
from tests.browser.test_saving import REFUSE, worker_of

pytestmark = pytest.mark.browser

OPEN_DOOR = ".door:has([data-state=open]) .door__link"
UPPER = 0.45  # of the screen: information; what is done stands below it (EXPERIENCE.md 6.2)


# What a person did since, as the page sees it; a page that was loaded anew would have forgotten it.
COUNT_HANDS = """() => {
    window.hands = { taps: 0, keys: 0 };
    addEventListener("click", ({ isTrusted }) => { window.hands.taps += isTrusted ? 1 : 0; }, { capture: true });
    addEventListener("keydown", () => { window.hands.keys += 1; }, { capture: true });
}"""


def open_doors(phone: Phone) -> list[str]:
    """Addresses of the doors not visited yet, in the order shown."""
    phone.open("/today")
    return [door.get_attribute("href") or "" for door in phone.page.locator(OPEN_DOOR).all()]


def tap(phone: Phone, selector: str) -> None:
    phone.page.locator(selector).first.tap()


def wait_until_saved(phone: Phone) -> str:
    """The id of what was just saved, once the page says so."""
    expect(phone.page.locator("#saved")).to_contain_text("已保存在本机")
    found = re.search(r"saved=([0-9a-f-]{36})", phone.page.url)
    assert found is not None
    return found[1]


def test_s01_not_home_takes_two_taps_and_can_be_undone(phone: Phone) -> None:
    first = open_doors(phone)[0]
    phone.context.set_offline(True)
    phone.page.evaluate(COUNT_HANDS)

    tap(phone, OPEN_DOOR)
    tap(phone, "button[value=no_answer]")
    visit = wait_until_saved(phone)
    assert phone.page.evaluate("() => hands") == {"taps": 2, "keys": 0}
    tap(phone, "#saved button")

    expect(phone.page.locator("#saved")).to_contain_text("已撤回")
    assert phone.page.url.split("?")[0].endswith(first)
    assert open_doors(phone)[0] == first
    assert [(each.id, each.states[0]) for each in phone.my_visits()] == [(visit, "void")]


def test_s02_all_well_takes_three_taps_and_no_typing(phone: Phone, coordinator: Coordinator) -> None:
    phone.open("/today")
    phone.context.set_offline(True)
    phone.page.evaluate(COUNT_HANDS)

    tap(phone, OPEN_DOOR)
    tap(phone, "button[value=met]")
    visit = wait_until_saved(phone)
    hands = phone.page.evaluate("() => hands")
    assert hands["taps"] <= 3
    assert hands["keys"] == 0
    phone.context.set_offline(False)
    phone.wait_for_header("全部已上传", seconds=40)

    answers = coordinator.open_visit(visit).answers
    assert answers["结果"] == "见到本人"
    assert {answers[name] for name in ("水电气暖安全", "卫生", "居住环境")} == {"良"}
    assert {"方式", "信息同意", "下次走访"} <= answers.keys()
    assert not {"需要什么", "危险情形"} & answers.keys()  # nobody said so


def test_s02_what_consent_does_not_cover_is_not_said_by_one_tap(phone: Phone, coordinator: Coordinator) -> None:
    """Health and mood are only ever recorded with full consent, by one tap or by many."""
    phone.open("/today")
    consents = {}
    for _ in range(3):
        phone.open("/today")
        tap(phone, OPEN_DOOR)
        tap(phone, "button[value=met]")
        visit = wait_or_saved(phone)
        answers = coordinator_answers(phone, coordinator, visit)
        consents[visit] = (answers["信息同意"], "健康" in answers)

    assert all(has_health == (consent == "同意记录健康等") for consent, has_health in consents.values())


def wait_or_saved(phone: Phone) -> str:
    phone.page.wait_for_url(re.compile(r"saved="))
    return phone.page.url.split("saved=")[1][:36]


def coordinator_answers(phone: Phone, coordinator: Coordinator, visit: str) -> dict[str, str]:
    phone.wait_for_header("全部已上传", seconds=40)
    return coordinator.open_visit(visit).answers


@pytest.mark.parametrize(("size", "least"), [("normal", 48), ("large", 60)])
def test_s03_what_is_done_at_a_door_is_big_and_within_reach(phone: Phone, size: str, least: int) -> None:
    phone.open("/today")
    if size == "large":
        phone.page.locator("button.switch[name=size]").tap()
        expect(phone.page.locator("html")).to_have_attribute("data-size", "large")
    pages = ["/today", open_doors(phone)[0]]
    pages += [f"{pages[1]}/visit?outcome=met", f"{pages[1].rpartition('/doors')[0]}/nobody-home?stairwell=2-1"]

    for path in pages:
        phone.open(path)
        expect_within_reach(phone, ".actions .button", least)
    phone.open(pages[1])
    tap(phone, "button[value=no_answer]")
    wait_until_saved(phone)
    expect_within_reach(phone, ".actions .button", least)
    expect_within_reach(phone, "#saved button", least)


def expect_within_reach(phone: Phone, selector: str, least: int) -> None:
    buttons = phone.page.locator(selector).all()
    assert buttons, phone.page.url
    for button in buttons:
        box = button.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= least, (phone.page.url, button.inner_text())
        assert box["y"] >= UPPER * 640, (phone.page.url, button.inner_text())
        assert box["y"] + box["height"] <= 640, (phone.page.url, button.inner_text())


def test_s08_the_next_door_is_one_tap_away_in_walking_order(phone: Phone) -> None:
    doors = open_doors(phone)
    phone.context.set_offline(True)
    phone.open(doors[1])
    tap(phone, "button[value=met]")
    wait_until_saved(phone)

    phone.open(doors[0])
    tap(phone, "button[value=no_answer]")
    wait_until_saved(phone)
    tap(phone, ".actions .button--primary")

    phone.page.wait_for_url(f"**{doors[2]}")  # the second is done already


def test_s08_a_door_put_off_comes_last_and_stays_so(phone: Phone) -> None:
    doors = open_doors(phone)
    phone.context.set_offline(True)
    phone.open(doors[0])

    tap(phone, "form[action$='/later'] button")

    phone.page.wait_for_url(f"**{doors[1]}")
    phone.kill()
    phone.start()
    phone.context.set_offline(True)
    assert open_doors(phone) == [*doors[1:], doors[0]]
    expect(phone.page.locator(".doors__building").last).to_have_text("稍后再来的")
    assert phone.page.locator(".actions .button--primary").get_attribute("href") == doors[1]


def test_s11_last_visits_and_every_promise_stand_above_the_fold(phone: Phone) -> None:
    phone.open("/today")
    phone.context.set_offline(True)
    doors = [link.get_attribute("href") or "" for link in phone.page.locator(".round .door__link").all()]
    promised = {door: promises_in_view(phone, door) for door in doors}
    assert sum(map(len, promised.values())) > 0
    door = next(door for door in doors if not promised[door] and not has_task(phone, door))
    phone.open(f"{door}/visit?outcome=met")
    phone.answer({"outcome": ["met"], "needs": ["meal_delivery", "legal_aid", "housekeeping"], "urgency": ["h24"]})
    phone.page.locator("textarea[name=note]").fill("想订周末的送餐，也想问问低保怎么办，家里要打扫。")
    phone.save()

    promises = promises_in_view(phone, door)

    assert sorted(promises) == sorted(["送餐 · 24小时内", "法律援助 · 24小时内", "家政服务 · 24小时内"])


def has_task(phone: Phone, door: str) -> bool:
    """A visit that was sent back, which takes the room of two for whoever made it."""
    phone.open(door)
    return phone.page.locator("#last-visits [data-state=sent_back]").count() > 0


def promises_in_view(phone: Phone, door: str) -> list[str]:
    """What is promised at a door, once all of it and three visits are seen to stand above the dock."""
    phone.open(door)
    expect(phone.page.locator(".status__offline")).to_be_visible()
    phone.page.evaluate("() => scrollTo(0, 0)")
    dock = phone.page.locator(".dock").bounding_box()
    promises = phone.page.locator("#promises button").all()
    visits = phone.page.locator("#last-visits .visit").all()
    assert dock is not None
    assert len(visits) == 3
    for line in [*promises, *visits]:
        box = line.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= dock["y"], (door, line.inner_text(), box, dock)
    return [" · ".join(line.inner_text().split()[:2]) for line in promises]


def begin(phone: Phone) -> str:
    """Out on the round, by one tap. The outing's id."""
    phone.open("/today")
    tap(phone, ".actions form[action$='/start'] button")
    phone.page.wait_for_url("**/today?saved=*")
    return re.search(r"saved=([0-9a-f-]{36})", phone.page.url)[1]  # type: ignore[index]


def test_hours_take_two_taps_and_the_companion_is_remembered_for_the_round(
    phone: Phone, coordinator: Coordinator
) -> None:
    phone.context.set_offline(True)
    first = begin(phone)
    tap(phone, f"a[href='/outings/{first}']")
    phone.page.locator("label.chip:has(input[name=companions])").first.tap()
    friend = phone.page.locator("label.chip:has(input[name=companions])").first.inner_text().strip()
    tap(phone, "button[form=outing-form]")
    phone.page.wait_for_url("**/today?saved=*")
    expect(phone.page.locator(f"a[href='/outings/{first}']")).to_contain_text(f"同行：{friend}")

    tap(phone, ".actions form[action$='/end'] button")
    expect(phone.page.locator(".panel strong")).to_contain_text("分钟")
    second = begin(phone)

    expect(phone.page.locator(f"a[href='/outings/{second}']")).to_contain_text(f"同行：{friend}")
    phone.context.set_offline(False)
    phone.wait_for_header("全部已上传", seconds=40)
    coordinator.page.goto(f"{coordinator.url}/coordinator/rounds")
    lines = coordinator.page.locator(".people__person .hint").all_inner_texts()
    assert len([line for line in lines if f"同行：{friend}" in line]) == 2


def test_an_end_that_was_forgotten_is_asked_for_the_next_day(phone: Phone) -> None:
    """What it proposes, where there was a visit: tests/server/test_outings.py."""
    phone.context.set_offline(True)
    outing = begin(phone)
    phone.open(f"/outings/{outing}")
    yesterday = phone.page.evaluate("() => new Date(Date.now() + 8 * 3600e3 - 864e5).toISOString().slice(0, 10)")

    phone.page.locator("input[name=went_on]").fill(yesterday)
    tap(phone, "button[form=outing-form]")

    phone.page.wait_for_url("**/today?saved=*")
    expect(phone.page.locator(f"#forgotten-{outing}")).to_contain_text("没有记结束的时间")
    tap(phone, f"#forgotten-{outing} a")
    phone.page.locator("input[name=from_time]").fill("08:40")
    phone.page.locator("input[name=to_time]").fill("11:10")
    tap(phone, "button[form=outing-form]")
    phone.page.wait_for_url("**/today?saved=*")
    phone.open("/outings")
    expect(phone.page.locator(f"#outing-{outing}")).to_contain_text("08:40–11:10 · 2 小时 30 分")


def test_a_round_is_handed_back_by_one_tap_and_taken_again_by_another(phone: Phone, coordinator: Coordinator) -> None:
    doors = open_doors(phone)
    phone.context.set_offline(True)

    tap(phone, ".round form[action$='/decline'] button")

    declined = "form[id^=declined-]"
    expect(phone.page.locator(declined)).to_contain_text("已交回")
    expect(phone.page.locator(f"{declined} [data-state=waiting]")).to_be_visible()
    expect(phone.page.locator(OPEN_DOOR)).to_have_count(0)
    phone.kill()
    phone.start()
    phone.context.set_offline(True)
    phone.open("/today")
    tap(phone, "form[id^=declined-] button")
    expect(phone.page.locator("form[id^=declined-]")).to_have_count(0)
    assert open_doors(phone) == doors
    tap(phone, ".round form[action$='/decline'] button")
    expect(phone.page.locator(declined)).to_be_visible()
    phone.context.set_offline(False)
    phone.wait_for_header("全部已上传", seconds=40)

    coordinator.page.goto(f"{coordinator.url}/coordinator")
    coordinator.page.locator("#rounds").click()
    free = coordinator.page.locator(".panel:has([data-free])")
    expect(free).to_have_count(1)
    expect(free).to_contain_text("空出来了")
    free.locator("form[action$='/take-back'] button").click()
    expect(coordinator.page.locator(".saved")).to_be_visible()

    def has_left() -> bool:
        phone.wait_until_ready()
        phone.open("/today")
        return phone.page.locator(".round, form[id^=declined-]").count() == 0

    wait_until(has_left, seconds=30, failure=lambda: "the round stayed on the phone")


def test_nobody_home_on_a_stairwell_is_one_visit_a_door_and_one_undo(phone: Phone, coordinator: Coordinator) -> None:
    before = set(coordinator.visit_ids())
    doors = open_doors(phone)
    phone.context.set_offline(True)
    phone.open(doors[0])
    tap(phone, "a[href*='/nobody-home']")
    expect(phone.page.locator("#nobody-form")).to_be_visible()
    listed = phone.page.locator("#nobody-form label.chip")
    count = listed.count()
    assert count > 2
    listed.first.tap()  # somebody answered here

    tap(phone, "button[form=nobody-form]")

    expect(phone.page.locator("#saved")).to_contain_text(f"{count - 1} 户未遇")
    assert [visit.outcome for visit in phone.my_visits()] == ["敲门无人应"] * (count - 1)
    phone.page.go_back()
    tap(phone, "#saved button")
    expect(phone.page.locator(".saved")).to_contain_text("已撤回")
    assert open_doors(phone) == doors
    phone.context.set_offline(False)
    phone.wait_for_header("全部已上传", seconds=40)
    after = [coordinator.open_visit(visit) for visit in set(coordinator.visit_ids()) - before]
    assert [visit.history for visit in after] == [("accepted", "accepted")] * (count - 1)


def test_nobody_home_that_fails_half_way_is_sent_again_and_is_one_visit_a_door(
    phone: Phone, coordinator: Coordinator
) -> None:
    """All doors or none: had some been saved, the server would take in the whole form and hold those as other visits."""
    before = set(coordinator.visit_ids())
    doors = open_doors(phone)
    phone.open(doors[0])
    tap(phone, "a[href*='/nobody-home']")
    expect(phone.page.locator("#nobody-form")).to_be_visible()
    count = phone.page.locator("#nobody-form label.chip").count()
    worker_of(phone).evaluate(REFUSE, {"error": "DataError", "times": 1, "after": 2})

    tap(phone, "button[form=nobody-form]")

    expect(phone.page.locator("#saved")).to_contain_text(f"{count} 户未遇")
    phone.wait_for_header("全部已上传", seconds=40)
    after = [coordinator.open_visit(visit) for visit in set(coordinator.visit_ids()) - before]
    assert [visit.history for visit in after] == [("accepted",)] * count


def test_nobody_home_sent_twice_is_one_visit_a_door(phone: Phone) -> None:
    doors = open_doors(phone)
    phone.context.set_offline(True)
    phone.open(doors[0])
    tap(phone, "a[href*='/nobody-home']")
    expect(phone.page.locator("#nobody-form")).to_be_visible()
    count = phone.page.locator("#nobody-form label.chip").count()

    phone.page.evaluate(
        """async () => {
            const form = document.getElementById("nobody-form");
            const body = () => new URLSearchParams(new FormData(form));
            await Promise.all([1, 2].map(() => fetch(form.action, { method: "POST", body: body() })));
        }"""
    )

    assert len(phone.my_visits()) == count
