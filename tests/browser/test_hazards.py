"""What phones do to an app, played through on the whole app (RELIABILITY.md, P15 and P27). Others stand with what they
threaten: the stores, the drafts, the photos. ARCHITECTURE.md 7 says which, and which need a real phone."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.coordinator import Coordinator
from tests.browser.opening import OPENING
from tests.browser.phone import Phone
from tests.browser.photographs import photograph
from tests.browser.screen import submit_of
from tests.browser.server_process import wait_until
from tests.browser.test_photos import TAKE, file_of
from tests.browser.test_saving import entries, open_form

pytestmark = [pytest.mark.browser, pytest.mark.whole_browser]

NOTE = "示例：他摔倒了，邻居看见的"
DRAIN = "(cause) => navigator.serviceWorker.controller.postMessage({ type: 'drain', cause })"

BAD_COPIES = """async () => {
  const copy = { sequence: 1, change_id: "b", record_id: "b", created_at: 1, device_id: "b", signature: "bad",
    body: JSON.stringify({ changes: [{ change_id: "b", sealed: "AAAA" }] }) };
  const mirror = await caches.open("linli-outbox-mirror");
  await mirror.put("/mirror/a", new Response("half a sen"));
  await mirror.put("/mirror/b", new Response(JSON.stringify(copy)));
}"""


def test_p15_five_tabs_that_upload_at_once_upload_each_visit_once(phone: Phone, coordinator: Coordinator) -> None:
    before = set(coordinator.visit_ids())
    phone.context.set_offline(True)
    visits = {phone.log_visit("no_answer") for _ in range(3)}
    tabs = [phone.page] + [phone.context.new_page() for _ in range(4)]
    for tab in tabs[1:]:
        tab.goto(f"{phone.url}/today")
    phone.context.set_offline(False)

    for cause in ("asked", "online", "asked"):
        for tab in tabs:
            tab.evaluate(DRAIN, cause)

    phone.wait_for_header("全部已上传", seconds=40)
    assert set(coordinator.visit_ids()) - before == visits
    assert [coordinator.open_visit(visit).history for visit in visits] == [("accepted",)] * 3


@pytest.mark.parametrize("breaks", ["MANIFEST-*", "CURRENT", "*.log"])
def test_p19_a_database_that_the_browser_lost_costs_no_visit(
    phone: Phone, coordinator: Coordinator, tmp_path: Path, breaks: str
) -> None:
    """Chromium deletes a store that it cannot read, with all that is in it: the key, too. Nor does a copy that is damaged,
    or that the server refuses, stand in the way of the others."""
    before = set(coordinator.visit_ids())
    phone.context.set_offline(True)
    phone.page.evaluate(BAD_COPIES)
    visits = {phone.log_visit("no_answer", note="示例：写在坏掉的手机里。") for _ in range(3)}
    phone.kill()
    broken = [file for folder in tmp_path.glob("enrolled/**/IndexedDB/*.leveldb") for file in folder.glob(breaks)]
    assert broken
    for file in broken:
        file.write_bytes(b"\xff" * 64)

    phone.start()
    phone.open("/today")

    wait_until(
        lambda: set(coordinator.visit_ids()) - before == visits,
        seconds=60,
        failure=lambda: f"missing: {visits - set(coordinator.visit_ids())}",
    )
    assert [coordinator.open_visit(visit).history for visit in visits] == [("accepted",)] * 3


def take_round_back(coordinator: Coordinator) -> None:
    coordinator.page.goto(f"{coordinator.url}/coordinator/rounds")
    coordinator.page.locator("form[action$='/take-back'] button").click()
    expect(coordinator.page.locator(".saved")).to_be_visible()


def hand_back(phone: Phone) -> None:
    """The phone is about to lose its round: she handed it back and took it up again, and the coordinator was quicker."""
    phone.open("/today")
    phone.page.locator(".round form[action$='/decline'] button").tap()
    expect(phone.page.locator("form[id^=declined-]")).to_have_count(1)  # until then the header is that of before
    phone.wait_for_header("全部已上传", seconds=40)
    phone.context.set_offline(True)
    phone.page.locator("form[id^=declined-] button").tap()
    expect(phone.page.locator("form[id^=declined-]")).to_have_count(0)


def test_p27_a_round_that_is_taken_away_takes_no_visit_with_it(phone: Phone, coordinator: Coordinator) -> None:
    """Five wait on a phone that cannot be told; two more are made after the round is gone."""
    before = set(coordinator.visit_ids())
    hand_back(phone)
    visits = [phone.log_visit("no_answer") for _ in range(5)]
    take_round_back(coordinator)
    late = [phone.log_visit("no_answer") for _ in range(2)]

    phone.context.set_offline(False)

    def has_left() -> bool:
        phone.wait_until_ready()
        phone.open("/today")
        return phone.page.locator(".round").count() == 0

    wait_until(has_left, seconds=60, failure=lambda: "the round stayed on the phone")
    assert set(coordinator.visit_ids()) - before == set(visits)
    coordinator.page.goto(f"{coordinator.url}/coordinator/held")
    shown = coordinator.page.locator(".panel[id^=change-]").count()
    assert shown >= 2
    held = {visit.id: visit.states for visit in phone.my_visits() if visit.id in late}
    assert held == dict.fromkeys(late, ("held",))
    assert re.search("需核对 2 条", phone.header)


def fill_half(phone: Phone) -> str:
    open_form(phone)
    phone.answer({"outcome": ["met"], "danger": ["fall"]})
    phone.page.locator("textarea[name=note]").fill(NOTE)
    return phone.page.url.removeprefix(phone.url).partition("?")[0]


def purged(phone: Phone) -> None:
    """The network is back, and the open page asks; it stays as it is."""
    phone.context.set_offline(False)
    phone.page.evaluate(DRAIN, "asked")
    wait_until(
        lambda: phone.page.evaluate("async () => !(await (await fetch('/today')).text()).includes('door__link')"),
        seconds=60,
        failure=lambda: "the round stayed on the phone",
    )


def test_p27_a_form_that_is_open_when_its_door_leaves_the_phone_is_saved(
    phone: Phone, coordinator: Coordinator
) -> None:
    hand_back(phone)
    fill_half(phone)
    take_round_back(coordinator)
    purged(phone)

    phone.page.locator(submit_of("visit-form")).tap()

    phone.page.wait_for_url("**/steps?saved=*")  # whom to call comes first
    expect(phone.page.locator("a[href='tel:120']")).to_be_visible()
    visit = phone.page.url.split("saved=")[1][:36]
    wait_until(
        lambda: {each.id: each.states for each in phone.my_visits()}.get(visit) == ("held",),
        seconds=40,
        failure=lambda: f"not held: {phone.header}",
    )
    phone.open(f"/visits/{visit}")
    expect(phone.page.locator(".lead")).to_have_text("已不在您的名单上")
    expect(phone.page.locator("dl.answers")).to_contain_text(NOTE)
    coordinator.page.goto(f"{coordinator.url}/coordinator/held")
    expect(coordinator.page.locator("main")).to_contain_text(NOTE)


SEND = """async () => {
    const form = document.getElementById("visit-form");
    const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
    return answer.url.split("saved=")[1].slice(0, 36);
}"""


SAID_LAST = f"""async () => {{ {OPENING}
    const {{ change_id, display }} = (await rowOf("linli-outbox", "entries")).at(-1);
    return (await openedJson(display.sealed ?? display, `display\n${{change_id}}`)).set;
}}"""


def test_p27_words_that_are_added_to_a_visit_that_is_up_and_left_the_phone_go_up_as_well(
    phone: Phone, coordinator: Coordinator
) -> None:
    """Her page had not heard that the visit was saved, and by the time she saves it again it is another's."""
    hand_back(phone)
    fill_half(phone)
    visit = phone.page.evaluate(SEND)
    take_round_back(coordinator)
    purged(phone)
    assert visit in coordinator.visit_ids()

    phone.page.locator("textarea[name=note]").fill(f"{NOTE}，还有一句")
    phone.page.locator("label.chip:has(input[name=danger][value=fall])").tap()  # there is none
    phone.page.locator(TAKE).set_input_files([file_of(photograph(phone, 400, 300))])
    expect(phone.page.locator("[data-chosen] img")).to_have_count(1)
    phone.page.locator(submit_of("visit-form")).tap()

    phone.page.wait_for_url(f"**saved={visit}*left_out=1")  # whether the visit has photos is not known here any more
    wait_until(
        lambda: [each["state"] for each in entries(phone) if each["record_id"] == visit] == ["acknowledged", "held"],
        seconds=40,
        failure=lambda: f"there are: {entries(phone)}",
    )
    assert coordinator.open_visit(visit).history == ("accepted", "held")
    said = phone.page.evaluate(SAID_LAST)
    assert (said["note"], said["danger"]) == (f"{NOTE}，还有一句", [])
    assert "attachments" not in said


def test_p27_a_draft_whose_door_left_the_phone_is_read_and_begun_afresh(phone: Phone, coordinator: Coordinator) -> None:
    hand_back(phone)
    path = fill_half(phone)
    phone.open("/settings")
    take_round_back(coordinator)
    purged(phone)

    phone.open("/my-visits")
    draft = phone.page.locator("#drafts .visit")
    expect(draft).to_contain_text("已不在您的名单上")
    draft.locator("a").tap()
    phone.page.wait_for_url(f"**{path}")
    expect(phone.page.locator("textarea[name=note]")).to_have_value(NOTE)
    phone.page.locator("#draft button").tap()
    expect(phone.page.locator("#draft")).to_have_count(0)

    phone.open("/my-visits")
    expect(phone.page.locator("#drafts")).to_have_count(0)


def test_p27_calls_that_are_ticked_when_their_visit_left_the_phone_are_saved(
    phone: Phone, coordinator: Coordinator
) -> None:
    visit = phone.log_visit("no_answer")
    hand_back(phone)
    phone.open(f"/visits/{visit}/steps")
    take_round_back(coordinator)
    purged(phone)

    phone.page.locator("label.chip:has([name=asked_neighbour])").tap()
    phone.page.locator(submit_of("steps-form")).tap()

    phone.page.wait_for_url("**/my-visits?saved=*")
    expect(phone.page.locator(f"#visit-{visit}")).to_contain_text("走访的修改")
