"""Leaving a phone: what waits is said and uploads first, or later; everything else is gone (RELIABILITY.md P24)."""

import base64
from pathlib import Path

import pytest
from playwright.sync_api import Error, expect

from tests.browser.canaries import canaries_in
from tests.browser.conftest import MakePhone, enrol
from tests.browser.coordinator import Coordinator
from tests.browser.lossy_proxy import LossyProxy
from tests.browser.phone import CONTROLLED, SECONDS, Phone
from tests.browser.photographs import kept, photograph
from tests.browser.screen import submit_of
from tests.browser.server_process import ServerProcess, wait_until
from tests.browser.test_drafts import drafts
from tests.browser.test_gallery import take
from tests.browser.test_hazards import BAD_COPIES, DRAIN
from tests.browser.test_lock import NOTE, doors_of, names_in, restart, set_pin
from tests.browser.test_photos import (
    CHOSEN,
    FETCH,
    LET_GO,
    NO_ROOM,
    ONE_PHOTO_WAITS,
    TAKE,
    at_the_desk,
    digest_kept,
    file_of,
    log_visit_with,
    open_form,
    wait_for_state,
)
from tests.browser.test_saving import entries, worker_of
from tests.browser.test_trust import ALL_TOO_LARGE, bring_in

pytestmark = pytest.mark.browser

LEFT = "已退出这部手机"
# The worker was killed after the first step.
CUT_SHORT = """() => new Promise((resolve) => {
    indexedDB.open("linli-outbox", 1).onsuccess = ({ target }) => {
        const transaction = target.result.transaction("device", "readwrite", { durability: "strict" });
        transaction.objectStore("device").put("signed_out", "left");
        transaction.oncomplete = () => { target.result.close(); resolve(); };
    };
})"""
BLOCKS = """() => new Promise((resolve) => {
    indexedDB.open("linli-sealed-replica", 1).onsuccess = ({ target }) => {
        const found = target.result.transaction("blocks").objectStore("blocks").count();
        found.onsuccess = () => { target.result.close(); resolve(found.result); };
    };
})"""

SENT_TWICE = """() => {
    const form = document.getElementById("enrol-form");
    const send = () => fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
    return Promise.all([send(), send()]).then((answers) => answers.map(({ url }) => url));
}"""

SENT_PLAINLY = (
    "() => document.getElementById('enrol-form').submit()"  # which asks no listener, so that htmx has no part
)

# There is no room for anything, until the list has gone when `isRoomy`.
FULL = """(isRoomy) => {
    self.isFull = true;
    for (const name of ["put", "add"]) {
        const write = IDBObjectStore.prototype[name];
        IDBObjectStore.prototype[name] = function (...given) {
            if (self.isFull) throw new DOMException("no room", "QuotaExceededError");
            return write.apply(this, given);
        };
    }
    const { clear } = IDBObjectStore.prototype;
    IDBObjectStore.prototype.clear = function () {
        if (this.name === "blocks" && isRoomy) self.isFull = false;
        return clear.apply(this);
    };
}"""
ROOM = "() => { self.isFull = false; }"
# It notes that it is left, and takes nothing in after that.
HALF_LEFT = """() => {
    for (const name of ["put", "clear"]) {
        const write = IDBObjectStore.prototype[name];
        IDBObjectStore.prototype[name] = function (...given) {
            if (given[0] && given[1] === "left") self.isFull = true;
            if (self.isFull && this.name !== "device") throw new DOMException("no room", "QuotaExceededError");
            return write.apply(this, given);
        };
    }
}"""
# The list stays where it is: leaving tries twice, the second time before anything else.
CLEARED_LATE = """() => {
    const { clear } = IDBObjectStore.prototype;
    let left = 2;
    IDBObjectStore.prototype.clear = function () {
        if (this.name === "blocks" && left-- > 0) throw new DOMException("refused by the test", "QuotaExceededError");
        return clear.apply(this);
    };
}"""
NOT_DONE = "这一步没有完成"

# Nobody waits for the last answer: this page is renewed as well.
TEN_WRONG = """() => {
    const body = () => new URLSearchParams({ old: "000000", pin: "4680", again: "4680" });
    const ask = async () => {
        for (let tried = 0; tried < 10; tried += 1) await fetch("/settings/pin", { method: "POST", body: body() });
    };
    void ask();
}"""

# Two answers of the worker later, a page that was going to be loaded again is gone.
TOLD_AGAIN = """async () => {
    navigator.serviceWorker.dispatchEvent(new MessageEvent("message", { data: { type: "locked", is_left: true } }));
    for (let asked = 0; asked < 20; asked += 1) await fetch("/fragments/status");
}"""


def sign_out(phone: Phone) -> None:
    phone.open("/settings")
    phone.page.locator("a[href='/settings/sign-out']").tap()
    phone.page.wait_for_url("**/settings/sign-out")
    phone.page.locator(submit_of("sign-out")).tap()


def expect_left(phone: Phone) -> None:
    expect(phone.page.locator("h1")).to_have_text(LEFT)
    expect(phone.page.locator(".door")).to_have_count(0)


def revoke(coordinator: Coordinator) -> None:
    """The phone that 0001 enrolled last."""
    coordinator.invite("0001")
    newest = coordinator.page.locator(".device").last.get_attribute("id")
    device = coordinator.page.locator(f"#{newest}")
    for part in ("summary", "button[value=revoke]"):
        device.locator(part).click()
    expect(device).to_have_count(0)


def states(phone: Phone) -> list[str]:
    try:
        return [entry["state"] for entry in entries(phone)]
    except Error:  # its page is just being replaced by the one that says so
        return []


def wait_until_answered(phone: Phone) -> None:
    """The page of a phone that was left says it by itself, and renews itself for that."""
    expect(phone.page.locator("main [data-until-sent]")).to_have_count(0, timeout=60_000)
    wait_until(
        lambda: set(states(phone)) == {"acknowledged"},
        seconds=60,
        failure=lambda: f"not uploaded: {states(phone)}",
    )


def test_p24_a_phone_that_was_left_holds_no_word_of_anybody(phone: Phone, tmp_path: Path) -> None:
    names = names_in(doors_of(phone))
    phone.log_visit("no_answer", note=NOTE)
    phone.wait_for_header("全部已上传")
    phone.open("/my-visits")
    phone.open("/calendar")

    sign_out(phone)

    expect_left(phone)
    take(phone.page, "left")
    restart(phone)
    expect_left(phone)
    phone.open("/my-visits")
    expect_left(phone)
    phone.close()
    assert canaries_in(tmp_path / "enrolled", [NOTE, *names]) == []


def test_a_page_that_says_it_already_is_not_loaded_again(phone: Phone) -> None:
    sign_out(phone)
    expect_left(phone)
    phone.page.evaluate("() => { window.isTheSame = true; }")

    phone.page.evaluate(TOLD_AGAIN)

    assert phone.page.evaluate("() => window.isTheSame")


def test_pages_of_a_phone_that_is_taken_away_stop_showing_people_at_once(
    phone: Phone, coordinator: Coordinator
) -> None:
    in_hand, other = phone.page, phone.context.new_page()
    other.goto(f"{phone.url}/map")
    expect(other.locator("h1")).to_have_text("民情图")
    doors_of(phone)
    revoke(coordinator)

    phone.page.evaluate(DRAIN, "asked")

    for page in (in_hand, other):
        expect(page.locator("h1")).to_have_text("这部手机已停用")
        page.evaluate("() => { window.isTheSame = true; }")
    phone.page.evaluate(DRAIN, "asked")
    phone.page.evaluate(TOLD_AGAIN)
    assert [page.evaluate("() => window.isTheSame") for page in (in_hand, other)] == [True, True]


def test_a_phone_that_is_taken_away_is_shown_no_photo_before_it_knows_and_after(
    phone: Phone, coordinator: Coordinator
) -> None:
    visit = log_visit_with(phone, photograph(phone, 40, 30))
    wait_for_state(phone, "whole")
    path = f"/visits/{visit}/kept/{digest_kept(phone)}"
    phone.page.evaluate(LET_GO)
    phone.context.clear_cookies()
    assert phone.page.evaluate(FETCH, path)["headers"]["content-type"] == "image/jpeg"
    revoke(coordinator)

    before = phone.page.evaluate(FETCH, path)
    phone.page.evaluate(DRAIN, "asked")
    expect(phone.page.locator("h1")).to_have_text("这部手机已停用")
    after = phone.page.evaluate(FETCH, path)

    assert "image/jpeg" not in (before["headers"]["content-type"], after["headers"]["content-type"])


def test_a_second_tab_stops_showing_people_when_the_pin_was_wrong_ten_times_in_the_first(phone: Phone) -> None:
    set_pin(phone)
    other = phone.context.new_page()
    other.goto(f"{phone.url}/today")
    expect(other.locator(".door").first).to_be_visible()

    phone.page.evaluate(TEN_WRONG)

    expect(other.locator("h1")).to_have_text("密码输错 10 次，名单已清除")


def test_words_that_a_full_phone_cannot_keep_keep_no_page_of_a_phone_that_was_left(phone: Phone) -> None:
    open_form(phone)
    other = phone.context.new_page()
    other.goto(f"{phone.url}/settings/sign-out")
    worker_of(phone).evaluate(NO_ROOM.replace('"bytes"', '"drafts"'))
    phone.page.locator("textarea[name=note]").fill(NOTE)
    phone.page.evaluate("() => keepDraft()")

    other.locator(submit_of("sign-out")).tap()

    expect_left(phone)


def test_leaving_that_was_cut_short_is_ended_by_the_next_worker(phone: Phone, tmp_path: Path) -> None:
    names = names_in(doors_of(phone))
    phone.page.evaluate(CUT_SHORT)
    phone.kill()

    phone.start()
    phone.open("/today")

    expect_left(phone)
    wait_until(lambda: phone.page.evaluate(BLOCKS) == 0, seconds=10, failure=lambda: "leaving did not end")
    phone.close()
    assert canaries_in(tmp_path / "enrolled", names) == []


def test_the_server_shows_a_phone_that_was_left_nothing_either(phone: Phone) -> None:
    assert phone.context.request.get(f"{phone.url}/today").url.endswith("/today")

    sign_out(phone)

    expect_left(phone)
    wait_until(
        lambda: phone.context.request.get(f"{phone.url}/today").url.endswith("/enrol"),
        seconds=10,
        failure=lambda: "its session goes on",
    )


def test_s20_signing_out_uploads_first(server: ServerProcess, phone: Phone, coordinator: Coordinator) -> None:
    phone.open("/today")
    server.stop()
    visit = phone.log_visit("no_answer")
    phone.open("/settings/sign-out")
    expect(phone.page.locator("#problems")).to_contain_text("还有 1 条记录没上传")
    take(phone.page, "sign_out")
    server.start()

    phone.page.locator(submit_of("sign-out")).tap()

    expect_left(phone)
    wait_until(lambda: states(phone) == ["acknowledged"], seconds=60, failure=lambda: f"not uploaded: {states(phone)}")
    assert coordinator.visit_ids().count(visit) == 1


def test_p24_what_cannot_go_up_is_said_stays_sealed_and_uploads_later(
    server: ServerProcess, phone: Phone, coordinator: Coordinator, tmp_path: Path
) -> None:
    phone.open("/today")
    server.stop()
    visit = log_visit_with(phone, photograph(phone, 400, 300))
    other = phone.log_visit("no_answer", note=NOTE)

    sign_out(phone)
    expect(phone.page.locator("#problems")).to_contain_text("还有 2 条记录没上传。")
    expect(phone.page.locator("#problems")).to_contain_text("照片、录音还有 1 个没上传。")
    phone.page.locator("text=仍要退出").tap()

    expect_left(phone)
    expect(phone.page.locator("main")).to_contain_text("还有 2 条记录没上传。")
    phone.close()
    assert canaries_in(tmp_path / "enrolled", [NOTE]) == []
    phone.start()
    phone.open("/today")
    expect_left(phone)
    server.start()
    wait_until_answered(phone)
    expect(phone.page.locator("main")).not_to_contain_text("条记录没上传")
    assert [coordinator.visit_ids().count(each) for each in (visit, other)] == [1, 1]
    assert coordinator.open_visit(other).answers["备注"] == NOTE
    wait_until(
        lambda: [blob["state"] for blob in kept(phone)] == ["whole"],
        seconds=60,
        failure=lambda: f"the photo was not sent: {kept(phone)}",
    )
    (photo,) = kept(phone)
    seen = coordinator.context.request.get(f"{coordinator.url}/sync/blobs/{photo['sha256']}")
    assert seen.ok, base64.b64encode(seen.body()[:100])


def test_s20_what_waits_can_be_carried_off_before_and_after_leaving(
    server: ServerProcess, phone: Phone, coordinator: Coordinator, tmp_path: Path
) -> None:
    set_pin(phone)
    server.stop()
    first = phone.log_visit("no_answer", note=NOTE)
    sign_out(phone)
    expect(phone.page.locator("button[form=sign-out]")).to_have_text("仍要退出")
    take(phone.page, "sign_out_export")
    restart(phone, "/settings/sign-out")  # locked, and still the way out for who forgot the PIN
    files = [carry_off(phone, tmp_path / "before.txt")]
    phone.page.locator(submit_of("sign-out")).tap()
    phone.page.locator("text=仍要退出").tap()
    expect_left(phone)
    take(phone.page, "left_export")

    files.append(carry_off(phone, tmp_path / "after.txt"))

    phone.close()  # it never comes back
    server.start()
    assert all(NOTE not in file.read_text() for file in files)
    for file, new in zip(files, (1, 0), strict=True):
        bring_in(coordinator, file)
        expect(coordinator.page.locator("#import [role=status]")).to_contain_text(f"新收 {new} 条")
    assert coordinator.visit_ids().count(first) == 1
    assert coordinator.open_visit(first).answers["备注"] == NOTE


def carry_off(phone: Phone, file: Path) -> Path:
    with phone.page.expect_download() as download:
        phone.page.locator(".dock [data-export]").tap()
    download.value.save_as(file)
    return file


def test_p04_leaving_a_full_phone_makes_the_room_it_takes(phone: Phone) -> None:
    phone.open("/settings/sign-out")
    worker_of(phone).evaluate(FULL, True)

    phone.page.locator(submit_of("sign-out")).tap()

    expect_left(phone)
    assert phone.page.evaluate(BLOCKS) == 0


def test_p04_leaving_that_a_phone_without_any_room_could_not_note_is_not_called_done(phone: Phone) -> None:
    """The server had ended the session and led to the start page; the phone showed everybody to whoever opened 今天."""
    phone.open("/settings/sign-out")
    worker_of(phone).evaluate(FULL, False)

    phone.page.locator(submit_of("sign-out")).tap()

    expect(phone.page.locator("h1")).to_have_text(NOT_DONE)
    take(phone.page, "no_room")
    assert phone.context.request.get(f"{phone.url}/today").url.endswith("/today")
    worker_of(phone).evaluate(ROOM)
    phone.open("/settings/sign-out")
    phone.page.locator(submit_of("sign-out")).tap()
    expect_left(phone)


def test_p04_a_full_phone_that_is_taken_away_lets_go_of_everybody(phone: Phone, coordinator: Coordinator) -> None:
    revoke(coordinator)
    worker_of(phone).evaluate(FULL, True)

    phone.page.evaluate(DRAIN, "asked")

    expect(phone.page.locator("h1")).to_have_text("这部手机已停用")
    assert phone.page.evaluate(BLOCKS) == 0


def test_taking_a_phone_away_that_failed_half_way_is_ended_by_the_same_contact(
    phone: Phone, coordinator: Coordinator
) -> None:
    """It was left as far as it knew, so that its pages were told nothing."""
    doors_of(phone)
    revoke(coordinator)
    worker_of(phone).evaluate(CLEARED_LATE)

    phone.page.evaluate(DRAIN, "asked")

    expect(phone.page.locator("h1")).to_have_text("这部手机已停用")
    assert phone.page.evaluate(BLOCKS) == 0


def test_p04_what_a_full_phone_cannot_discard_is_not_called_discarded(phone: Phone) -> None:
    worker_of(phone).evaluate(ALL_TOO_LARGE)
    visit = phone.log_visit("no_answer")
    phone.open(f"/visits/{visit}")
    expect(phone.page.locator("#unsent")).to_be_visible()
    worker_of(phone).evaluate(FULL, False)

    phone.page.locator("#unsent [value=discard]").tap()

    expect(phone.page.locator("h1")).to_have_text(NOT_DONE)
    worker_of(phone).evaluate(ROOM)
    phone.open(f"/visits/{visit}")
    phone.page.locator("#unsent [value=discard]").tap()
    phone.page.wait_for_url("**/discarded")


def test_drafts_are_named_before_they_go(phone: Phone) -> None:
    phone.context.set_offline(True)
    phone.open("/today")
    phone.page.locator(".door:has([data-state=open]) .door__link").first.tap()
    phone.page.locator("a[href$='/visit']").tap()
    phone.page.locator("textarea[name=note]").fill(NOTE)
    wait_until(lambda: len(drafts(phone)) == 1, seconds=10, failure=lambda: "no draft")
    phone.open("/settings/sign-out")

    phone.page.locator("main a", has_text="接着填").tap()

    expect(phone.page.locator("textarea[name=note]")).to_have_value(NOTE)


def test_a_photo_that_was_given_up_holds_nobody_up_and_goes_with_the_visit(phone: Phone) -> None:
    phone.context.set_offline(True)
    visit = log_visit_with(phone, photograph(phone, 400, 300))
    phone.open(f"/visits/{visit}")
    phone.page.locator("#unsent [value=discard]").tap()
    phone.page.wait_for_url("**/discarded")
    assert len(kept(phone)) == 1
    phone.context.set_offline(False)

    sign_out(phone)

    expect_left(phone)
    assert kept(phone) == []


def test_two_taps_on_enrol_make_one_device(
    server: ServerProcess, make_phone: MakePhone, coordinator: Coordinator
) -> None:
    """Each made a key of its own, and the code was spent for the one that was not kept."""
    blank = make_phone(server.url)
    blank.page.goto(coordinator.invite("0001").link)
    expect(blank.page.locator("#code")).not_to_have_value("")
    blank.page.locator("#device_name").fill("示例手机")
    blank.wait_until_true(CONTROLLED)  # the form waits for it as well

    arrived = blank.page.evaluate(SENT_TWICE)
    blank.open("/enrol/waiting")
    coordinator.confirm(blank.page.locator(".number").inner_text().strip())

    assert arrived == [f"{server.url}/enrol/waiting"] * 2
    blank.wait_until_enrolled()


def test_the_same_volunteer_comes_back_by_a_new_code(phone: Phone, coordinator: Coordinator) -> None:
    doors = doors_of(phone)
    phone.log_visit("no_answer")
    phone.wait_for_header("全部已上传")
    sign_out(phone)
    expect_left(phone)

    # The device is known and confirmed: its code alone opens the door again.
    phone.page.goto(coordinator.invite("0001").link)
    expect(phone.page.locator("#code")).not_to_have_value("")
    phone.page.locator(submit_of("enrol-form")).click()

    phone.wait_until_enrolled()
    phone.open("/today")
    assert len(doors_of(phone)) == len(doors)
    visit = phone.log_visit("no_answer")
    phone.wait_for_header("全部已上传")
    assert coordinator.visit_ids().count(visit) == 1


def test_another_volunteer_may_take_the_phone_over(phone: Phone, coordinator: Coordinator) -> None:
    phone.log_visit("no_answer")
    phone.wait_for_header("全部已上传")
    sign_out(phone)
    expect_left(phone)

    enrol(phone, coordinator, number="0002")

    phone.open("/settings")
    expect(phone.page.locator(".answers")).to_contain_text("示例志愿者")
    assert entries(phone) == []


def leave_half_way(phone: Phone) -> None:
    """All of it is there still, a half-filled form and a chosen photo among it; the worker that tried goes on."""
    open_form(phone)
    phone.page.locator("textarea[name=note]").fill(NOTE)
    phone.page.locator(TAKE).set_input_files(file_of(photograph(phone, 40, 30)))
    wait_until(lambda: phone.page.evaluate(CHOSEN) == [1], seconds=SECONDS, failure=lambda: "not kept")
    wait_until(lambda: len(drafts(phone)) == 1, seconds=SECONDS, failure=lambda: "no draft")
    phone.open("/settings/sign-out")
    worker_of(phone).evaluate(HALF_LEFT)
    phone.page.locator(submit_of("sign-out")).tap()
    expect(phone.page.locator("h1")).to_have_text(NOT_DONE)
    assert phone.page.evaluate(BLOCKS) > 0


def send_code(phone: Phone) -> None:
    expect(phone.page.locator("#code")).not_to_have_value("")
    phone.page.locator(submit_of("enrol-form")).click()


def test_another_volunteer_is_shown_nothing_of_a_leaving_that_failed_half_way(
    phone: Phone, coordinator: Coordinator
) -> None:
    names = names_in(doors_of(phone))
    leave_half_way(phone)
    worker_of(phone).evaluate(ROOM)

    enrol(phone, coordinator, number="0002")

    shown = "".join(doors_of(phone))
    assert [name for name in names if name in shown] == []
    assert drafts(phone) == []
    assert phone.page.evaluate(CHOSEN) == []


def test_the_same_volunteer_who_comes_back_finds_a_leaving_that_failed_half_way_ended(
    phone: Phone, coordinator: Coordinator
) -> None:
    doors = doors_of(phone)
    leave_half_way(phone)
    worker_of(phone).evaluate(ROOM)

    phone.page.goto(coordinator.invite("0001").link)
    send_code(phone)

    phone.wait_until_enrolled()
    assert doors_of(phone) == doors
    assert drafts(phone) == []
    assert phone.page.evaluate(CHOSEN) == []


def test_p04_a_phone_that_cannot_let_go_of_the_former_volunteer_spends_no_code(
    phone: Phone, coordinator: Coordinator
) -> None:
    leave_half_way(phone)
    link = coordinator.invite("0002").link
    phone.page.goto(link)
    send_code(phone)
    expect(phone.page.locator("h1")).to_have_text(NOT_DONE)
    phone.open("/today")
    expect_left(phone)
    worker_of(phone).evaluate(ROOM)
    phone.stop_workers()  # a key that was made for it is gone

    coordinator.confirm(phone.enrol(link))

    phone.wait_until_enrolled()
    assert drafts(phone) == []


def test_a_copy_that_no_server_takes_keeps_nobody_from_taking_the_phone_over(
    phone: Phone, coordinator: Coordinator
) -> None:
    """Of a key that was lost, it stands on no page that it could be discarded on."""
    phone.page.evaluate(BAD_COPIES)
    sign_out(phone)
    expect_left(phone)

    enrol(phone, coordinator, number="0002")

    assert phone.page.evaluate("async () => Boolean(await caches.match('/mirror/b'))")


def leave_with_a_photo(phone: Phone, coordinator: Coordinator, line: LossyProxy) -> str:
    """Which no longer comes through: the hash of the one that waits."""
    enrol(phone, coordinator)
    line.pieces_left = 0
    log_visit_with(phone, photograph(phone, 400, 300))
    phone.wait_for_header(ONE_PHOTO_WAITS)
    digest = digest_kept(phone)
    sign_out(phone)
    phone.page.locator("text=仍要退出").tap()
    expect_left(phone)
    return digest


def test_another_volunteer_waits_for_the_photos_of_the_first_one(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    """Brought by another's device they would be seen by nobody: a record opens what its own author brought."""
    with LossyProxy(server.port) as line:
        phone = make_phone(line.url)
        digest = leave_with_a_photo(phone, coordinator, line)

        phone.page.goto(coordinator.invite("0002").link.replace(coordinator.url, phone.url))
        expect(phone.page.locator("#code")).not_to_have_value("")
        phone.page.locator(submit_of("enrol-form")).click()

        expect(phone.page.locator("#problems")).to_be_visible()
        line.pieces_left = None
        phone.page.evaluate(DRAIN, "asked")
        wait_for_state(phone, "whole")
        assert at_the_desk(coordinator, digest) is not None
        phone.page.locator(submit_of("enrol-form")).click()
        phone.page.wait_for_url("**/enrol/waiting")


def test_photos_that_went_up_after_leaving_are_not_offered_again_by_the_next_volunteer(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    """Of another epoch they were, under her key: for thirty days the phone keeps what the server has."""
    with LossyProxy(server.port) as line:
        phone = make_phone(line.url)
        leave_with_a_photo(phone, coordinator, line)
        line.pieces_left = None
        phone.page.evaluate(DRAIN, "asked")
        wait_for_state(phone, "whole")

        phone.enrol(coordinator.invite("0002").link.replace(coordinator.url, phone.url))

        assert kept(phone) == []


def test_what_the_server_says_late_of_the_first_volunteer_is_not_taken_for_the_second(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    with LossyProxy(server.port) as line:
        phone = make_phone(line.url)
        enrol(phone, coordinator)
        sign_out(phone)
        expect_left(phone)
        revoke(coordinator)
        line.is_holding.clear()
        line.may_exchange.clear()
        phone.page.evaluate(DRAIN, "asked")
        assert line.is_holding.wait(SECONDS)

        check_number = phone.enrol(coordinator.invite("0002").link.replace(coordinator.url, phone.url))
        line.may_exchange.set()
        coordinator.confirm(check_number)

        phone.wait_until_enrolled()
        assert len(doors_of(phone)) > 0


def test_a_phone_that_was_left_is_not_hers_again_because_something_led_elsewhere(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    """Whatever stood before the server had answered, and the list was there for whoever held the phone."""
    with LossyProxy(server.port) as line:
        phone = make_phone(line.url)
        enrol(phone, coordinator)
        sign_out(phone)
        expect_left(phone)
        invite = coordinator.invite("0001").link.replace(coordinator.url, phone.url)
        page = phone.page

        for elsewhere in ("/calendar", coordinator.url):
            line.led_elsewhere["POST /enrol"] = elsewhere
            page.goto(invite)
            expect(page.locator("#code")).not_to_have_value("")
            page.locator(submit_of("enrol-form")).click()
            wait_until(lambda: len(line.were_led) > 0, seconds=SECONDS, failure=lambda: "nothing was led elsewhere")
            line.were_led.clear()
            phone.open("/today")
            expect_left(phone)
        line.led_elsewhere["POST /enrol"] = "/calendar"
        page.goto(invite)
        expect(page.locator("#code")).not_to_have_value("")
        page.evaluate(SENT_PLAINLY)
        page.wait_for_url("**/calendar")
        phone.open("/today")
        expect_left(phone)

        line.led_elsewhere.clear()
        page.goto(invite)
        expect(page.locator("#code")).not_to_have_value("")
        page.evaluate(SENT_PLAINLY)
        phone.wait_until_enrolled()
        assert len(doors_of(phone)) > 0


def test_a_session_counts_as_ended_only_when_the_server_ended_it(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    with LossyProxy(server.port) as line:
        phone = make_phone(line.url)
        enrol(phone, coordinator)
        line.led_elsewhere["POST /sign-out"] = "/calendar"
        sign_out(phone)
        expect_left(phone)
        wait_until(lambda: len(line.were_led) > 0, seconds=SECONDS, failure=lambda: "nobody asked to sign out")
        assert phone.context.request.get(f"{phone.url}/today").url.endswith("/today")
        phone.open("/%74oday")  # which the server reads as /today
        expect_left(phone)
        line.led_elsewhere.clear()

        phone.page.evaluate(DRAIN, "asked")

        wait_until(
            lambda: phone.context.request.get(f"{phone.url}/today").url.endswith("/enrol"),
            seconds=SECONDS,
            failure=lambda: "its session goes on",
        )
