"""What a volunteer is told of her phone's storage, before it is too late (RELIABILITY.md P4 to P9)."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.canaries import canaries_in
from tests.browser.conftest import VOLUNTEER, MakePhone
from tests.browser.coordinator import Coordinator
from tests.browser.lossy_proxy import LossyProxy
from tests.browser.phone import Phone
from tests.browser.server_process import ServerProcess
from tests.browser.test_first_sync import enrol_without_waiting
from tests.browser.test_gallery import take
from tests.browser.test_lock import ANSWERED, NOTE, doors_of, expect_locked, names_in, restart, set_pin, unlock
from tests.browser.test_photos import NO_ROOM
from tests.browser.test_saving import REFUSE, entries, open_form, worker_of
from tests.browser.test_trust import SHARES

pytestmark = pytest.mark.browser

DAY_MS = 24 * 60 * 60_000
# The last exchange that came to its end, so many ms ago.
UPLOADED_AGO = """(ms) => new Promise((resolve) => {
    indexedDB.open("linli-sealed-replica").onsuccess = ({ target }) => {
        const transaction = target.result.transaction("state", "readwrite");
        const store = transaction.objectStore("state");
        store.get("checkpoint").onsuccess = (found) =>
            store.put({ ...found.target.result, uploaded_at: Date.now() - ms }, "checkpoint");
        transaction.oncomplete = () => { target.result.close(); resolve(true); };
    };
})"""
# What was saved, so many ms ago.
SAVED_AGO = """(ms) => new Promise((resolve) => {
    indexedDB.open("linli-outbox").onsuccess = ({ target }) => {
        const transaction = target.result.transaction("entries", "readwrite");
        const store = transaction.objectStore("entries");
        store.getAll().onsuccess = (found) => {
            for (const entry of found.target.result) store.put({ ...entry, created_at: Date.now() - ms });
        };
        transaction.oncomplete = () => { target.result.close(); resolve(true); };
    };
})"""


# What the phone knows of itself, so many ms ago.
DEVICE_AGO = """([name, ms]) => new Promise((resolve) => {
    indexedDB.open("linli-outbox").onsuccess = ({ target }) => {
        const transaction = target.result.transaction("device", "readwrite");
        transaction.objectStore("device").put(Date.now() - ms, name);
        transaction.oncomplete = () => { target.result.close(); resolve(true); };
    };
})"""

# A tap, and the end of the first sync while its answer is on its way.
TAP_AS_IT_OPENS = """() => {
    const data = { type: "drained", retry_in: null, is_enrolled: true };
    const tell = () => navigator.serviceWorker.dispatchEvent(new MessageEvent("message", { data }));
    addEventListener("beforeunload", () => setTimeout(tell));
    document.querySelector("button.switch[name=language]").click();
}"""


def keep_for_good(phone: Phone) -> None:
    """As a browser does for an app that was installed."""
    tools = phone.context.new_cdp_session(phone.page)
    tools.send("Browser.grantPermissions", {"permissions": ["durableStorage"], "origin": phone.url})


def test_s20_the_storage_page_says_what_is_used_and_free_and_what_lies_there(phone: Phone) -> None:
    phone.context.set_offline(True)
    phone.log_visit("no_answer")
    phone.open("/settings")
    phone.page.locator("a[href='/settings/storage']").tap()

    assert re.fullmatch(r"\d+(\.\d)? [MG]B", phone.page.locator("#used").inner_text())
    assert re.fullmatch(r"约 \d+(\.\d)? [MG]B", phone.page.locator("#free").inner_text())
    expect(phone.page.locator("main")).to_contain_text("待上传")


def test_the_settings_count_again_what_waits_when_it_has_gone_up(phone: Phone) -> None:
    phone.context.set_offline(True)
    phone.log_visit("no_answer")
    phone.open("/settings")
    counted = phone.page.locator("main dl")
    expect(counted).to_contain_text(re.compile(r"待上传\s*1"))

    phone.context.set_offline(False)

    phone.wait_for_header("全部已上传", seconds=40)
    expect(counted).to_contain_text(re.compile(r"待上传\s*0"))


def test_p05_a_phone_that_may_clear_what_waits_says_so_until_it_may_not(phone: Phone) -> None:
    phone.context.set_offline(True)
    phone.log_visit("no_answer")
    phone.open("/my-visits")
    phone.page.locator("#export a[href='/settings/storage']").tap()
    kept = phone.page.locator("#kept")
    expect(kept).to_have_attribute("data-kept", "may_be_cleared")

    kept.locator("[data-persist]").tap()
    expect(kept.locator("[role=status]")).to_be_visible()  # refused, and what to do about it
    keep_for_good(phone)
    kept.locator("[data-persist]").tap()

    expect(kept).to_have_attribute("data-kept", "kept")
    phone.open("/my-visits")
    expect(phone.page.locator("#export a[href='/settings/storage']")).to_have_count(0)


def test_p05_the_coordinator_sees_that_a_phone_may_clear_what_waits(phone: Phone, coordinator: Coordinator) -> None:
    own = coordinator.page.locator(".people__person", has_text=VOLUNTEER)
    coordinator.page.goto(f"{coordinator.url}/coordinator/devices")
    expect(own).to_contain_text("浏览器可能清空数据")

    keep_for_good(phone)
    phone.open("/today")
    phone.wait_until_true("async () => navigator.storage.persisted()")
    phone.exchange()

    coordinator.page.reload()
    expect(own).to_contain_text("数据不会被自动清空")


def test_p05_persistence_is_asked_for_as_soon_as_there_is_something_to_keep(phone: Phone) -> None:
    keep_for_good(phone)

    phone.open("/today")

    phone.wait_until_true("async () => navigator.storage.persisted()")


def test_p04_a_full_phone_saves_the_text_and_says_that_it_is_full(phone: Phone) -> None:
    phone.context.set_offline(True)
    phone.open("/today")
    expect(phone.page.locator("#storage-low")).to_have_count(0)
    open_form(phone)
    worker_of(phone).evaluate(REFUSE, {"error": "QuotaExceededError", "times": 1})

    visit = phone.save()

    assert [entry["record_id"] for entry in entries(phone)] == [visit]
    phone.open("/today")
    expect(phone.page.locator("#storage-low")).to_contain_text("先联网上传这 1 条")


def test_a_list_is_called_old_after_three_days(phone: Phone) -> None:
    phone.context.set_offline(True)
    phone.page.evaluate(UPLOADED_AGO, 3 * DAY_MS - 60_000)
    phone.stop_workers()
    phone.open("/today")
    expect(phone.page.locator(".round").first).to_be_visible()
    expect(phone.page.locator("#stale")).to_have_count(0)

    phone.page.evaluate(UPLOADED_AGO, 3 * DAY_MS)
    phone.stop_workers()
    phone.open("/today")

    expect(phone.page.locator("#stale")).to_contain_text("名单更新于 3 天前。出门前联网更新一次。")
    phone.context.set_offline(False)
    # By script: the phone also asks by itself now, and what is said goes from under a finger.
    phone.page.evaluate("() => document.querySelector('#stale [data-exchange]')?.click()")
    phone.wait_until_true("() => !document.body.textContent.includes('天前')")


def test_after_ten_days_it_says_when_the_list_goes(phone: Phone) -> None:
    phone.context.set_offline(True)
    phone.page.evaluate(UPLOADED_AGO, 10 * DAY_MS)
    phone.stop_workers()
    phone.open("/today")

    expect(phone.page.locator("#stale")).to_contain_text("满 14 天没有联网，名单会从这部手机上清除。")
    take(phone.page, "stale-long")


def test_a_phone_out_of_touch_for_fourteen_days_shows_nobody_keeps_its_visits_and_is_filled_anew(
    phone: Phone, coordinator: Coordinator, tmp_path: Path
) -> None:
    names = names_in(doors_of(phone))
    phone.context.set_offline(True)
    visit = phone.log_visit("no_answer", note=NOTE)
    phone.page.evaluate(UPLOADED_AGO, 14 * DAY_MS + 60_000)
    phone.stop_workers()

    phone.open("/today")

    expect(phone.page.locator("h1")).to_have_text("名单要重新下载")
    expect(phone.page.locator("#sync-status").first).to_contain_text("手机上的名单已清除。没上传的走访都还在。")
    expect(phone.page.locator(".door")).to_have_count(0)
    take(phone.page, "expired")
    assert [entry["record_id"] for entry in entries(phone)] == [visit]
    phone.kill()
    assert canaries_in(tmp_path / "enrolled", [NOTE, *names]) == []
    phone.start()
    phone.open("/today")
    expect(phone.page.locator(".door").first).to_be_visible(timeout=20_000)
    phone.wait_for_header("全部已上传")
    assert coordinator.visit_ids().count(visit) == 1


def test_a_phone_whose_list_is_gone_still_hands_out_what_waits(phone: Phone) -> None:
    phone.context.set_offline(True)
    phone.log_visit("no_answer")
    phone.page.evaluate(UPLOADED_AGO, 14 * DAY_MS + 60_000)
    phone.stop_workers()
    phone.open("/settings/sign-out")
    phone.page.evaluate(SHARES)

    phone.page.locator(".dock [data-export]").tap()

    phone.wait_until_true("() => window.shared")
    name, words = phone.page.evaluate("() => window.shared")
    assert name.endswith("-1.txt")
    assert words.startswith("邻里：")


def test_what_is_no_backup_is_not_shared_as_one(phone: Phone) -> None:
    """A phone whose keys fail can sign no file, and then the server's page is what comes back."""
    phone.context.set_offline(True)
    phone.log_visit("no_answer")
    phone.open("/settings/sign-out")
    phone.page.evaluate(SHARES)
    worker_of(phone).evaluate("() => { crypto.subtle.sign = () => Promise.reject(new DOMException('', 'DataError')); }")

    phone.page.locator(".dock [data-export]").tap()

    expect(phone.page.locator("#no-answer")).to_be_visible()
    assert phone.page.evaluate("() => window.shared === undefined")


def test_p04_a_full_phone_that_cannot_note_how_it_stands_uploads_all_the_same(
    phone: Phone, coordinator: Coordinator
) -> None:
    phone.context.set_offline(True)
    phone.page.evaluate(DEVICE_AGO, ["asked_at", DAY_MS])
    visit = phone.log_visit("no_answer")
    worker_of(phone).evaluate(NO_ROOM.replace('"bytes"', '"device"'))

    phone.context.set_offline(False)

    phone.wait_for_header("全部已上传", seconds=40)
    assert coordinator.visit_ids().count(visit) == 1


@pytest.mark.parametrize("has_pin", [False, True])
def test_what_was_typed_outlives_those_fourteen_days(
    phone: Phone, server: ServerProcess, tmp_path: Path, has_pin: bool
) -> None:
    """A half-filled form and what was discarded are nowhere else."""
    if has_pin:
        set_pin(phone)
    phone.context.set_offline(True)
    visit = phone.log_visit("no_answer", note=NOTE)
    phone.open(f"/visits/{visit}")
    phone.page.locator("#unsent [value=discard]").tap()
    phone.page.wait_for_url("**/discarded")
    open_form(phone)
    path = phone.page.url.removeprefix(phone.url)
    with phone.page.expect_response("**/drafts"):
        phone.page.locator("textarea[name=note]").fill(NOTE)
    server.stop()  # the browser has a network while it starts, and its worker would use it
    phone.page.evaluate(UPLOADED_AGO, 14 * DAY_MS + 60_000)
    phone.kill()
    phone.start()

    phone.open("/today")
    if has_pin:
        unlock(phone)
    expect(phone.page.locator("#sync-status").first).to_contain_text("草稿和丢弃的也都留着")
    phone.kill()
    assert canaries_in(tmp_path / "enrolled", [NOTE]) == []
    server.start()
    phone.start()
    phone.open("/today")
    if has_pin:
        unlock(phone)

    expect(phone.page.locator(".door").first).to_be_visible(timeout=20_000)
    phone.open("/my-visits")
    expect(phone.page.locator("#drafts .visit")).to_have_count(1)
    phone.open("/discarded")
    expect(phone.page.locator("main")).to_contain_text(NOTE)
    phone.open(path)
    expect(phone.page.locator("textarea[name=note]")).to_have_value(NOTE)


def test_a_list_that_was_put_away_opens_itself_when_it_is_unlocked_during_an_exchange(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    """While it is locked an exchange brings no list, and whoever unlocks it joins the one that runs."""
    with LossyProxy(server.port) as line:
        phone = make_phone(line.url)
        enrol_without_waiting(phone, coordinator)
        phone.wait_until_ready()
        set_pin(phone)
        phone.page.evaluate(UPLOADED_AGO, 14 * DAY_MS + 60_000)
        line.may_exchange.clear()
        restart(phone)
        assert line.is_holding.wait(20)

        unlock(phone)

        expect(phone.page.locator("h1")).to_have_text("名单要重新下载")
        phone.page.evaluate(ANSWERED)
        line.may_exchange.set()
        expect(phone.page.locator(".door").first).to_be_visible(timeout=20_000)


def save_as_the_clock_jumps(phone: Phone) -> str:
    """Of a form that was open; the list is put away. Returns the visit's id."""
    phone.context.set_offline(True)
    open_form(phone)
    phone.page.evaluate(UPLOADED_AGO, 14 * DAY_MS + 60_000)
    phone.page.evaluate(DEVICE_AGO, ["seen_at", 14 * DAY_MS])
    phone.stop_workers()

    visit = phone.save()
    expect(phone.page.locator("h1")).to_have_text("名单先收起来了")
    return visit


def test_a_clock_that_jumped_forward_puts_the_list_away_and_destroys_nothing(phone: Phone) -> None:
    visit = save_as_the_clock_jumps(phone)
    assert [entry["record_id"] for entry in entries(phone)] == [visit]
    expect(phone.page.locator(".door")).to_have_count(0)
    expect(phone.page.locator("body")).not_to_contain_text("下载")  # nothing is, and nothing was lost
    take(phone.page, "put-away")

    phone.open("/calendar")  # which does not open itself, as the page before does, beside the next one
    phone.page.evaluate(UPLOADED_AGO, DAY_MS)  # the clock was put right
    phone.stop_workers()
    phone.open("/today")
    expect(phone.page.locator(".door").first).to_be_visible()

    phone.page.evaluate(UPLOADED_AGO, 14 * DAY_MS + 60_000)
    phone.page.evaluate(DEVICE_AGO, ["shut_at", DAY_MS + 60_000])
    phone.stop_workers()
    phone.open("/today")  # a day later it stands as it is
    expect(phone.page.locator("#sync-status").first).to_contain_text("手机上的名单已清除")


def test_a_page_that_opens_itself_leaves_a_tap_on_its_way_alone(phone: Phone) -> None:
    save_as_the_clock_jumps(phone)

    phone.page.evaluate(TAP_AS_IT_OPENS)

    expect(phone.page.locator("html")).to_have_attribute("lang", "en")


def test_a_pin_outlives_those_fourteen_days(phone: Phone) -> None:
    set_pin(phone)
    phone.page.evaluate(UPLOADED_AGO, 14 * DAY_MS + 60_000)
    restart(phone)

    expect_locked(phone)
    unlock(phone)
    expect(phone.page.locator(".door").first).to_be_visible(timeout=20_000)


@pytest.mark.parametrize(("days", "age"), [(3, None), (4, "old"), (7, "late")])
def test_what_has_waited_for_days_says_so_in_words_and_more_than_colour(
    phone: Phone, days: int, age: str | None
) -> None:
    phone.context.set_offline(True)
    phone.log_visit("no_answer")
    phone.page.evaluate(SAVED_AGO, days * DAY_MS)
    phone.stop_workers()

    phone.open("/my-visits")

    waiting = phone.page.locator("#sync-status strong")
    assert waiting.get_attribute("data-age") == age
    assert (f"已等 {days} 天" in waiting.inner_text()) == (age is not None)
