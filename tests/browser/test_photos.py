"""A photo travels after the text, in pieces, and arrives as it was taken, whatever happens on the way."""

import base64
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import FilePayload, expect

from server.vocabularies import OUTCOME
from tests.browser.conftest import MakePhone, Morning, enrol
from tests.browser.coordinator import Coordinator
from tests.browser.lossy_proxy import LossyProxy
from tests.browser.phone import SECONDS, Phone
from tests.browser.photographs import KEPT, WHERE, bytes_kept, kept, photograph, size_of
from tests.browser.screen import submit_of
from tests.browser.server_process import ServerProcess, wait_until
from tests.browser.test_gallery import take
from tests.browser.test_saving import REFUSE, entries, worker_of

pytestmark = pytest.mark.browser

SEND = """async ({ name, file, type }) => {
    const form = document.getElementById("visit-form");
    const body = new FormData(form);
    const bytes = Uint8Array.from(atob(file), (letter) => letter.charCodeAt(0));
    body.append(name, new File([bytes], name, { type }));
    const answer = await fetch(form.action, { method: "POST", body });
    return answer.url;
}"""
DRAIN = "() => navigator.serviceWorker.controller.postMessage({ type: 'drain', cause: 'asked' })"
# How many are chosen in each form that is not saved yet.
CHOSEN = """() => new Promise((resolve) => {
    const request = indexedDB.open("linli-blobs", 1);
    request.onsuccess = () => {
        const store = request.result.transaction("bytes").objectStore("bytes");
        const rows = store.getAll(IDBKeyRange.bound("draft ", "draft~"));
        rows.onsuccess = () => { request.result.close(); resolve(rows.result.map((files) => files.length)); };
    };
})"""
ONE_PHOTO_WAITS = "文字已全部上传，照片、录音还有 1 个没传"
TAKE = "[data-take]"
SEEN = "(image) => image.complete && image.naturalWidth"


def open_form(phone: Phone) -> None:
    phone.open("/today")
    phone.page.locator(".door:has([data-state=open]) .door__link").first.tap()
    phone.page.locator("a[href$='/visit?outcome=met']").tap()
    phone.page.locator("#visit-form").wait_for()


def log_visit_with(phone: Phone, taken: bytes, *, name: str = "photo") -> str:
    """Returns the id of the visit."""
    open_form(phone)
    given = {"name": name, "file": base64.b64encode(taken).decode(), "type": "image/jpeg"}
    url: str = phone.page.evaluate(SEND, given)
    phone.open("/today")
    return url.partition("saved=")[2].partition("&")[0]


def file_of(taken: bytes) -> FilePayload:
    return {"name": "door.jpg", "mimeType": "image/jpeg", "buffer": taken}


def wait_for_state(phone: Phone, state: str) -> None:
    def is_there() -> bool:
        return [blob["state"] for blob in phone.page.evaluate(KEPT)] == [state]

    wait_until(is_there, seconds=2 * SECONDS, failure=lambda: f"never {state}: {phone.page.evaluate(KEPT)}")


def digest_kept(phone: Phone) -> str:
    """Of the only one on this phone."""
    (one,) = kept(phone)
    digest: str = one["sha256"]
    return digest


def at_the_desk(coordinator: Coordinator, digest: str) -> bytes | None:
    """What the coordinator sees of it."""
    answer = coordinator.context.request.get(f"{coordinator.url}/sync/blobs/{digest}")
    return answer.body() if answer.ok else None


def test_a_photo_cut_off_by_network_and_server_arrives_as_it_was_taken(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    with LossyProxy(server.port) as line:
        phone = make_phone(line.url)
        enrol(phone, coordinator)
        line.pieces_left = 2
        visit = log_visit_with(phone, photograph(phone, 1600, 1200))
        digest = digest_kept(phone)
        taken = bytes_kept(phone, digest)
        phone.wait_for_header(ONE_PHOTO_WAITS)
        wait_until(lambda: line.pieces_left == 0, seconds=SECONDS, failure=lambda: "no piece was sent")

        assert visit in coordinator.visit_ids()
        assert at_the_desk(coordinator, digest) is None
        server.kill()
        phone.kill()
        server.start()
        phone.start()
        line.pieces_left = None
        sent_before = len(line.pieces)
        phone.open("/today")
        phone.page.evaluate(DRAIN)

        wait_for_state(phone, "whole")
        assert at_the_desk(coordinator, digest) == taken
        resumed_at, _ = line.pieces[sent_before]
        assert resumed_at == sum(length for _, length in line.pieces[:sent_before]) > 0
        assert max(length for _, length in line.pieces) <= 256 * 1024


def test_text_goes_up_while_a_photo_is_refused(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    with LossyProxy(server.port) as line:
        phone = make_phone(line.url)
        enrol(phone, coordinator)
        line.pieces_left = 0
        first = log_visit_with(phone, photograph(phone, 400, 300))
        phone.wait_for_header(ONE_PHOTO_WAITS)

        second = phone.log_visit("no_answer")

        phone.wait_for_header(ONE_PHOTO_WAITS)
        assert {first, second} <= set(coordinator.visit_ids())
        wait_for_state(phone, "waiting")
        line.pieces_left = None
        phone.page.evaluate(DRAIN)
        phone.wait_for_header("全部已上传", seconds=40)


def test_text_does_not_wait_for_a_piece_that_is_on_its_way(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    with LossyProxy(server.port) as line:
        phone = make_phone(line.url)
        enrol(phone, coordinator)
        line.may_pass.clear()
        log_visit_with(phone, photograph(phone, 400, 300))
        digest = digest_kept(phone)
        assert line.is_holding.wait(SECONDS)

        visit = phone.log_visit("no_answer")

        phone.wait_for_header(ONE_PHOTO_WAITS, seconds=10)  # the piece would give up after twenty
        assert visit in coordinator.visit_ids()
        assert at_the_desk(coordinator, digest) is None
        line.may_pass.set()
        wait_for_state(phone, "whole")
        assert at_the_desk(coordinator, digest) == bytes_kept(phone, digest)


def test_what_is_no_photo_is_not_sent_again_and_the_server_s_words_are_kept(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    with LossyProxy(server.port) as line:
        phone = make_phone(line.url)
        enrol(phone, coordinator)

        visit = log_visit_with(phone, b"MZ" + bytes(1000), name="voice")

        wait_for_state(phone, "refused")
        (refused,) = kept(phone)
        assert (refused["code"], refused["words"]) == ("unsupported_type", "这种文件收不了。请用照片或录音。")
        assert visit in coordinator.visit_ids()
        pieces = len(line.pieces)
        phone.open(f"/visits/{visit}")
        expect(phone.page.locator(".attached [data-state=refused]")).to_have_text(
            "没传：这种文件收不了。走访文字不受影响。"
        )
        phone.switch_language()
        expect(phone.page.locator(".attached [data-state=refused]")).to_contain_text("this kind of file is not taken")
        phone.wait_until_ready()
        assert len(line.pieces) == pieces


def test_p16_a_photo_is_kept_small_without_where_it_was_taken_and_arrives_byte_for_byte(
    phone: Phone, coordinator: Coordinator
) -> None:
    taken = photograph(phone, 4000, 3000)
    assert WHERE in taken
    open_form(phone)
    phone.context.set_offline(True)

    phone.page.locator(TAKE).set_input_files([file_of(taken)])
    phone.page.locator(TAKE).set_input_files([file_of(photograph(phone, 300, 400))])
    expect(phone.page.locator("[data-chosen] img")).to_have_count(2)
    phone.page.locator("[data-chosen] button").last.tap()
    expect(phone.page.locator("[data-chosen] img")).to_have_count(1)
    visit = phone.save()

    phone.open(f"/visits/{visit}")
    image = phone.page.locator(".attached img")
    wait_until(lambda: image.evaluate(SEEN) == 1600, seconds=SECONDS, failure=lambda: "the photo is not shown")
    expect(phone.page.locator(".attached [data-state=waiting]")).to_contain_text("待上传")
    digest = digest_kept(phone)
    small = bytes_kept(phone, digest)
    assert size_of(small) == (1600, 1200)
    assert b"Exif" not in small
    assert WHERE not in small

    phone.context.set_offline(False)
    phone.page.evaluate(DRAIN)
    expect(phone.page.locator(".attached [data-state=uploaded]")).to_be_visible()
    assert at_the_desk(coordinator, digest) == small
    assert image.evaluate(SEEN) == 1600
    assert phone.context.request.get(f"{phone.url}/visits/{visit}/kept/{digest}").body() == small


def test_what_cannot_be_opened_as_a_photo_is_said_and_the_text_is_saved(phone: Phone, coordinator: Coordinator) -> None:
    open_form(phone)
    phone.page.locator("textarea[name=note]").fill("示例：楼道灯坏了")
    phone.page.locator(TAKE).set_input_files([file_of(b"\xff\xd8\xff\xe0 no photo at all")])

    visit = phone.save()

    expect(phone.page.locator(".dock")).to_contain_text("文字已保存。照片、录音有 1 个没能存下")
    phone.wait_for_header("全部已上传")
    assert visit in coordinator.visit_ids()
    assert kept(phone) == []


# IndexedDB has no room for a photo, as on a full phone.
NO_ROOM = """() => {
    const { put } = IDBObjectStore.prototype;
    IDBObjectStore.prototype.put = function (...given) {
        if (this.name === "bytes") throw new DOMException("no room", "QuotaExceededError");
        return put.apply(this, given);
    };
}"""


# Neither photo nor visit is taken until somebody has made room.
FULL_FOR_NOW = """() => {
    self.isFull = true;
    for (const name of ["put", "add"]) {
        const write = IDBObjectStore.prototype[name];
        IDBObjectStore.prototype[name] = function (...given) {
            const isNeeded = ["bytes", "entries"].includes(this.name);
            if (self.isFull && isNeeded) throw new DOMException("no room", "QuotaExceededError");
            return write.apply(this, given);
        };
    }
}"""


def test_p04_a_full_phone_leaves_the_photo_out_and_keeps_the_text(phone: Phone, coordinator: Coordinator) -> None:
    open_form(phone)
    phone.page.locator(TAKE).set_input_files([file_of(photograph(phone, 1600, 1200))])
    worker_of(phone).evaluate(NO_ROOM)

    visit = phone.save()

    expect(phone.page.locator(".dock")).to_contain_text("文字已保存。照片、录音有 1 个没能存下")
    phone.wait_for_header("全部已上传")
    assert visit in coordinator.visit_ids()


# There is room for a photo or for a visit, and not for both.
ROOM_FOR_ONE = """() => {
    const kept = new Set();
    const { add, put, delete: remove } = IDBObjectStore.prototype;
    Object.assign(IDBObjectStore.prototype, {
        put(value, key) {
            if (this.name === "bytes" && !key.startsWith("draft ")) kept.add(key);
            return put.call(this, ...(key === undefined ? [value] : [value, key]));
        },
        delete(key) {
            if (this.name === "bytes") kept.delete(key);
            return remove.call(this, key);
        },
        add(value) {
            if (this.name === "entries" && kept.size > 0) throw new DOMException("no room", "QuotaExceededError");
            return add.call(this, value);
        },
    });
}"""


def test_p04_photos_that_were_kept_first_make_room_for_the_text(phone: Phone) -> None:
    phone.context.set_offline(True)
    open_form(phone)
    phone.page.locator(TAKE).set_input_files([file_of(photograph(phone, 400, 300))])
    worker_of(phone).evaluate(ROOM_FOR_ONE)

    visit = phone.save()

    expect(phone.page.locator(".dock")).to_contain_text("文字已保存。照片、录音有 1 个没能存下")
    assert [each.id for each in phone.my_visits()] == [visit]
    assert kept(phone) == []


def test_photos_of_a_visit_that_was_not_saved_do_not_go_up(phone: Phone) -> None:
    """The form has its own copies; one that stands with another visit stays."""
    phone.context.set_offline(True)
    taken = photograph(phone, 400, 300)
    log_visit_with(phone, taken)
    (standing,) = kept(phone)
    open_form(phone)
    worker_of(phone).evaluate(REFUSE, {"error": "DataError", "times": 1})
    phone.page.locator(TAKE).set_input_files([file_of(taken)])
    phone.page.locator(TAKE).set_input_files([file_of(photograph(phone, 800, 600))])
    phone.page.locator(submit_of("visit-form")).tap()
    expect(phone.page.locator("#problems")).to_contain_text("没能存下")

    assert kept(phone) == [standing]
    visit = phone.save()
    assert len(kept(phone)) == 2
    phone.open(f"/visits/{visit}")
    expect(phone.page.locator(".attached img")).to_have_count(2)


# From the moment that a visit is saved until that is answered nothing can be read of the drafts: the connection was lost.
NO_DRAFTS_AFTER_SAVING = """() => {
    const { add, getAll } = IDBObjectStore.prototype;
    let isLost = false;
    IDBObjectStore.prototype.add = function (...given) {
        isLost ||= this.name === "entries";
        return add.apply(this, given);
    };
    IDBObjectStore.prototype.getAll = function (...given) {
        if (isLost && this.name === "drafts") throw new DOMException("lost by the test", "DataError");
        return getAll.apply(this, given);
    };
    self.Response = class extends Response {
        constructor(body, options) {
            super(body, options);
            if (options?.status === 303) isLost = false;
        }
    };
}"""


@pytest.mark.parametrize("is_offline", [True, False], ids=["offline", "online"])
def test_what_fails_after_a_visit_is_saved_sends_it_to_nobody_a_second_time(
    phone: Phone, coordinator: Coordinator, is_offline: bool
) -> None:
    """The server would have it without its photo, and the phone's own change with the same id would count for nothing."""
    open_form(phone)
    taken = photograph(phone, 400, 300)
    phone.context.set_offline(is_offline)
    worker_of(phone).evaluate(NO_DRAFTS_AFTER_SAVING)

    given = {"name": "photo", "file": base64.b64encode(taken).decode(), "type": "image/jpeg"}
    url: str = phone.page.evaluate(SEND, given)

    (entry,) = entries(phone)
    assert f"saved={entry['record_id']}" in url
    phone.context.set_offline(False)
    phone.stop_workers()
    phone.open("/today")
    phone.page.evaluate(DRAIN)
    wait_for_state(phone, "whole")
    assert coordinator.visit_ids().count(entry["record_id"]) == 1
    digest = digest_kept(phone)
    assert at_the_desk(coordinator, digest) == bytes_kept(phone, digest)


def test_a_photo_that_is_left_out_of_a_visit_in_danger_is_spoken_of_where_she_is_led(phone: Phone) -> None:
    open_form(phone)
    phone.answer({"danger": ["fall"]})
    phone.page.locator(TAKE).set_input_files([file_of(photograph(phone, 400, 300))])
    worker_of(phone).evaluate(NO_ROOM)

    phone.save()

    assert "/steps?" in phone.page.url
    expect(phone.page.locator("main")).to_contain_text("文字已保存。照片、录音有 1 个没能存下")


def test_photos_of_a_discarded_visit_wait_with_it_and_go_when_it_does(phone: Phone) -> None:
    phone.context.set_offline(True)
    open_form(phone)
    phone.page.locator(TAKE).set_input_files([file_of(photograph(phone, 1600, 1200))])
    visit = phone.save()
    phone.open(f"/visits/{visit}")
    phone.page.locator("#unsent [value=discard]").tap()
    phone.page.wait_for_url("**/discarded")
    phone.open("/my-visits")
    phone.context.set_offline(False)
    phone.wait_for_header("全部已上传")
    log_visit_with(phone, photograph(phone, 800, 600))  # of another visit, which goes up
    wait_until(
        lambda: sorted(blob["state"] for blob in phone.page.evaluate(KEPT)) == ["waiting", "whole"],
        seconds=2 * SECONDS,
        failure=lambda: f"not apart: {phone.page.evaluate(KEPT)}",
    )
    phone.wait_until_ready()
    assert "waiting" in [blob["state"] for blob in phone.page.evaluate(KEPT)]

    phone.open("/discarded")
    phone.page.locator(f"#visit-{visit} button").tap()
    phone.page.wait_for_url(f"**/visits/{visit}")
    wait_until(
        lambda: [blob["state"] for blob in phone.page.evaluate(KEPT)] == ["whole", "whole"],
        seconds=SECONDS,  # without the page's own rhythm of half a minute
        failure=lambda: f"not up: {phone.page.evaluate(KEPT)}",
    )


def push_off(phone: Phone, visit: str, door: str) -> None:
    """Three newer visits at that door leave no room for this one on a phone that was offline."""
    for _ in range(3):
        phone.open(door)
        phone.save()
    phone.context.set_offline(False)
    phone.wait_for_header(ONE_PHOTO_WAITS)
    for _ in range(2):  # what is left out of a page is let go of with the next one
        phone.exchange()
    phone.open(f"/visits/{visit}")
    expect(phone.page.locator("#unsent")).to_have_count(0)


def test_a_photo_of_a_visit_that_is_up_goes_up_whatever_becomes_of_an_edit_and_of_the_visit(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    """Three newer ones push it off the phone, which had taken its photo for one that only the discarded edit named."""
    with LossyProxy(server.port) as line:
        phone = make_phone(line.url)
        enrol(phone, coordinator)
        line.pieces_left = 0
        open_form(phone)
        door = phone.page.url.removeprefix(phone.url)
        phone.page.locator(TAKE).set_input_files([file_of(photograph(phone, 400, 300))])
        visit = phone.save()
        phone.wait_for_header(ONE_PHOTO_WAITS)
        first = digest_kept(phone)
        phone.context.set_offline(True)
        phone.open(f"/visits/{visit}/edit")
        phone.page.locator(TAKE).set_input_files([file_of(photograph(phone, 800, 600))])
        phone.save()
        phone.open(f"/visits/{visit}")
        phone.page.locator("#unsent [value=discard]").tap()
        phone.page.wait_for_url("**/discarded")
        push_off(phone, visit, door)

        line.pieces_left = None
        phone.page.evaluate(DRAIN)

        wait_until(
            lambda: {blob["sha256"]: blob["state"] for blob in kept(phone)}[first] == "whole",
            seconds=2 * SECONDS,
            failure=lambda: f"not up: {kept(phone)}",
        )
        assert sorted(blob["state"] for blob in kept(phone)) == ["waiting", "whole"]


def test_a_photo_that_is_chosen_again_after_its_visit_was_discarded_goes_up_also_when_the_new_one_has_left(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    """Three newer ones push it off the phone, which took its photo for that of the discarded one alone."""
    with LossyProxy(server.port) as line:
        phone = make_phone(line.url)
        enrol(phone, coordinator)
        line.pieces_left = 0
        phone.context.set_offline(True)
        open_form(phone)
        door, picture = phone.page.url.removeprefix(phone.url), file_of(photograph(phone, 400, 300))
        phone.page.locator(TAKE).set_input_files([picture])
        phone.open(f"/visits/{phone.save()}")
        phone.page.locator("#unsent [value=discard]").tap()
        phone.page.wait_for_url("**/discarded")
        phone.open(door)
        phone.page.locator(TAKE).set_input_files([picture])
        visit = phone.save()
        assert len(kept(phone)) == 1
        push_off(phone, visit, door)

        line.pieces_left = None
        phone.page.evaluate(DRAIN)

        wait_until(
            lambda: [blob["state"] for blob in kept(phone)] == ["whole"],
            seconds=2 * SECONDS,
            failure=lambda: f"not up: {kept(phone)}",
        )


def amend_with(phone: Phone, visit: str, taken: bytes) -> None:
    phone.open(f"/visits/{visit}/edit")
    phone.page.locator(TAKE).set_input_files([file_of(taken)])
    phone.save()


def test_an_edit_that_is_taken_back_takes_no_photo_away_that_was_added_since(phone: Phone) -> None:
    open_form(phone)
    visit = phone.save()
    phone.wait_for_header("全部已上传")
    phone.context.set_offline(True)
    amend_with(phone, visit, photograph(phone, 400, 300))
    phone.open(f"/visits/{visit}")
    phone.page.locator("#unsent [value=discard]").tap()
    phone.page.wait_for_url("**/discarded")
    amend_with(phone, visit, photograph(phone, 800, 600))

    phone.open("/discarded")
    phone.page.locator(f"#visit-{visit} button").tap()
    phone.page.wait_for_url(f"**/visits/{visit}")

    expect(phone.page.locator(".attached img")).to_have_count(2)


def set_clock(phone: Phone, days: int) -> None:
    """The worker's own, as if its phone had been so many days off."""
    worker_of(phone).evaluate(
        "(ms) => { const now = (self.realNow ??= Date.now); Date.now = () => now.call(Date) + ms; }", days * 86_400_000
    )


def test_a_discarded_visit_and_its_photos_are_gone_after_seven_days_by_the_phone_s_clock_and_the_server_s(
    phone: Phone,
) -> None:
    phone.context.set_offline(True)
    open_form(phone)
    phone.page.locator(TAKE).set_input_files([file_of(photograph(phone, 1600, 1200))])
    visit = phone.save()
    phone.open(f"/visits/{visit}")
    phone.page.locator("#unsent [value=discard]").tap()
    phone.page.wait_for_url("**/discarded")

    set_clock(phone, 8)  # it jumps, in a cellar and then where the server says otherwise
    for is_offline in (True, False):
        phone.context.set_offline(is_offline)
        for _ in range(2):  # an exchange is told to be over just before old things are let go of
            phone.exchange()
        phone.open("/discarded")
        expect(phone.page.locator("[name=record_id]")).to_have_value(visit)
    phone.context.set_offline(True)

    set_clock(phone, -8)  # it was discarded eight days ago, by both clocks
    phone.page.locator("[value=restore]").tap()
    phone.page.wait_for_url(f"**/visits/{visit}")
    phone.page.locator("#unsent [value=discard]").tap()
    phone.page.wait_for_url("**/discarded")
    set_clock(phone, 0)
    assert len(phone.page.evaluate(KEPT)) == 1
    phone.context.set_offline(False)
    phone.exchange()

    wait_until(lambda: phone.page.evaluate(KEPT) == [], seconds=SECONDS, failure=lambda: "they stay")
    phone.open("/discarded")
    expect(phone.page.locator("main .empty")).to_be_visible()


def test_s06_a_voice_note_is_recorded_offline_heard_again_and_goes_up_later(
    make_phone: MakePhone, server: ServerProcess, morning: Morning, coordinator: Coordinator, tmp_path: Path
) -> None:
    profile = shutil.copytree(morning.profile, tmp_path / "enrolled", symlinks=True)
    microphone = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    phone = make_phone(server.url, profile=profile, args=microphone)
    phone.open("/today")
    phone.wait_until_ready()
    open_form(phone)
    phone.context.set_offline(True)
    button = phone.page.locator("[data-microphone]")

    button.tap()
    expect(button).to_contain_text("还剩 58 秒")
    button.tap()
    expect(button).to_contain_text("点一下录音")
    expect(phone.page.locator("[data-chosen] audio")).to_have_count(1)
    phone.page.locator("[data-chosen] button").tap()
    expect(phone.page.locator("[data-chosen] audio")).to_have_count(0)
    button.tap()
    expect(button).to_contain_text("还剩 57 秒")
    visit = phone.save()  # while it records

    (note,) = kept(phone)
    assert note["kind"] == "voice"
    # Three seconds, and a minute of the same stays within 150 KB.
    assert 1_000 < note["length"] < 150 * 1024 * 4 / 60
    phone.context.set_offline(False)
    phone.open(f"/visits/{visit}")
    phone.page.evaluate(DRAIN)
    expect(phone.page.locator(".attached [data-state=uploaded]")).to_be_visible()
    sound = phone.page.locator(".attached audio")
    wait_until(lambda: sound.evaluate("(audio) => audio.readyState > 0"), seconds=SECONDS, failure=lambda: "not heard")
    assert at_the_desk(coordinator, note["sha256"]) == bytes_kept(phone, note["sha256"])


# The phone lets go of its copies, as it does after a month.
LET_GO = """() => new Promise((resolve) => {
    indexedDB.open("linli-blobs", 1).onsuccess = ({ target }) => {
        const transaction = target.result.transaction(["blobs", "bytes"], "readwrite");
        for (const name of ["blobs", "bytes"]) transaction.objectStore(name).clear();
        transaction.oncomplete = () => { target.result.close(); resolve(); };
    };
})"""
FETCH = """async (given) => {
    const [path, headers = {}] = [given].flat();
    const answer = await fetch(path, { headers });
    const bytes = new Uint8Array(await answer.arrayBuffer());
    return { status: answer.status, headers: Object.fromEntries(answer.headers), text: btoa(String.fromCharCode(...bytes)) };
}"""


def test_a_photo_that_is_on_this_phone_no_more_is_seen_without_a_session(phone: Phone) -> None:
    visit = log_visit_with(phone, photograph(phone, 40, 30))
    wait_for_state(phone, "whole")
    digest = digest_kept(phone)
    taken = bytes_kept(phone, digest)
    phone.page.evaluate(LET_GO)
    phone.context.clear_cookies()
    phone.stop_workers()

    phone.open(f"/visits/{visit}")
    image = phone.page.locator(".attached img")
    wait_until(lambda: image.evaluate(SEEN) == 40, seconds=SECONDS, failure=lambda: "the photo is not shown")

    path = f"/visits/{visit}/kept/{digest}"
    answer = phone.page.evaluate(FETCH, path)
    assert base64.b64decode(answer["text"]) == taken
    headers = answer["headers"]
    assert headers["content-type"] == "image/jpeg"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert headers["content-disposition"].startswith("attachment")
    assert headers["cache-control"] == "no-store"
    assert kept(phone) == []
    assert phone.page.evaluate("async (path) => (await caches.match(path)) === undefined", path)

    assert phone.page.evaluate(FETCH, f"/visits/{visit}/kept/{'0' * 64}")["status"] == 401


def test_a_player_is_given_the_part_of_a_voice_note_that_it_asks_for(phone: Phone) -> None:
    """Apple's begin with `bytes=0-1`, and play nothing of what is not answered with 206."""
    sound = b"OggS\0\x02" + bytes(range(200))
    visit = log_visit_with(phone, sound, name="voice")
    wait_for_state(phone, "whole")
    path = f"/visits/{visit}/kept/{digest_kept(phone)}"

    for _ in ("from the phone", "from the server"):
        for asked, part in (("bytes=0-1", sound[:2]), ("bytes=200-", sound[200:]), ("bytes=-5", sound[-5:])):
            answer = phone.page.evaluate(FETCH, [path, {"Range": asked}])
            start = sound.index(part)
            found = (answer["status"], base64.b64decode(answer["text"]), answer["headers"]["content-range"])
            assert found == (206, part, f"bytes {start}-{start + len(part) - 1}/{len(sound)}")
            assert answer["headers"]["content-type"] == "audio/ogg"
        for asked in ("bytes=900-", "bytes=0-1,3-4"):
            answer = phone.page.evaluate(FETCH, [path, {"Range": asked}])
            assert (answer["status"], base64.b64decode(answer["text"])) == (200, sound)
        phone.page.evaluate(LET_GO)


# A phone that takes no word on how much a second of sound may weigh.
LAVISH = """() => {
    const { MediaRecorder: Real } = window;
    window.MediaRecorder = class extends Real {
        constructor(stream, options) { super(stream, { ...options, audioBitsPerSecond: 510_000, audioBitrateMode: "constant" }); }
    };
}"""


def test_s06_a_recording_stops_at_its_limit_under_the_lock_and_for_an_update_and_keeps_what_is_there(
    make_phone: MakePhone, server: ServerProcess, morning: Morning, tmp_path: Path
) -> None:
    profile = shutil.copytree(morning.profile, tmp_path / "enrolled", symlinks=True)
    microphone = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    phone = make_phone(server.url, profile=profile, args=microphone)
    phone.open("/today")
    phone.wait_until_ready()
    phone.context.set_offline(True)
    open_form(phone)
    button, words = phone.page.locator("[data-microphone]"), phone.page.locator(".attach [role=status]")

    phone.page.evaluate(LAVISH)
    button.tap()
    expect(words).to_contain_text("录满了", timeout=40_000)
    expect(button).to_contain_text("点一下录音")
    take(phone.page, "recording-full")
    phone.save()
    (note,) = kept(phone)
    assert 75 * 1024 < note["length"] <= 150 * 1024

    open_form(phone)
    button.tap()
    expect(button).to_contain_text("还剩 58 秒")
    phone.page.evaluate(
        "() => lock()"
    )  # there is no PIN, so nothing is locked; what is recorded is kept as it would be
    expect(phone.page.locator("[data-chosen] audio")).to_have_count(1)
    assert phone.page.evaluate(CHOSEN) == [1]

    button.tap()
    expect(button).to_contain_text("还剩 58 秒")
    phone.page.evaluate("() => update()")
    expect(phone.page.locator("[data-chosen] audio")).to_have_count(2)
    wait_until(lambda: phone.page.evaluate(CHOSEN) == [2], seconds=SECONDS, failure=lambda: "the recording is not kept")


# What was chosen before comes back to its form when the test lets it.
SLOW_RETURN = """
    const { fetch } = window;
    const end = new Promise((resolve) => { window.letReturn = resolve; });
    window.fetch = async (asked, ...rest) => {
        if (!String(asked).startsWith("/drafts?chosen=")) return fetch(asked, ...rest);
        window.isReturning = true;
        const answer = await fetch(asked, ...rest);
        await end;
        return answer;
    };
"""


def test_a_photo_that_is_chosen_while_a_draft_s_photos_are_coming_back_joins_them(phone: Phone) -> None:
    phone.context.set_offline(True)
    open_form(phone)
    path = phone.page.url.removeprefix(phone.url).partition("?")[0]
    phone.page.locator(TAKE).set_input_files([file_of(photograph(phone, 400, 300))])
    wait_until(lambda: phone.page.evaluate(CHOSEN) == [1], seconds=SECONDS, failure=lambda: "not kept")
    phone.page.add_init_script(SLOW_RETURN)
    phone.open(path)
    expect(phone.page.locator("#draft")).to_be_visible()
    phone.wait_until_true("() => window.isReturning")

    phone.page.locator(TAKE).set_input_files([file_of(photograph(phone, 800, 600))])
    expect(phone.page.locator("[data-chosen] img")).to_have_count(1)
    phone.page.evaluate("() => window.letReturn()")

    expect(phone.page.locator("[data-chosen] img")).to_have_count(2)
    wait_until(
        lambda: phone.page.evaluate(CHOSEN) == [2],
        seconds=SECONDS,
        failure=lambda: f"kept: {phone.page.evaluate(CHOSEN)}",
    )
    phone.save()
    assert len(kept(phone)) == 2


LEAVE_BEHIND = """({ files }) => {
    const { record } = document.getElementById("visit-form").dataset;
    const photos = files.map((file) => {
        const bytes = Uint8Array.from(atob(file), (letter) => letter.charCodeAt(0));
        return ["photo", new File([bytes], "door.jpg", { type: "image/jpeg" })];
    });
    const drafts = [[["record_id", record], ["chosen", "1"], ...photos]];
    const { serviceWorker } = navigator;
    window.isHeard = false;
    serviceWorker.addEventListener("message", ({ data }) => { window.isHeard ||= data.type === "left_behind"; });
    serviceWorker.controller.postMessage({ type: "drafts", drafts });
}"""


def test_what_a_page_left_behind_is_shown_however_late_the_worker_hears_of_it(phone: Phone) -> None:
    open_form(phone)
    path = phone.page.url.removeprefix(phone.url).partition("?")[0]
    taken = [photograph(phone, 400, 300), photograph(phone, 300, 400)]
    phone.page.locator(TAKE).set_input_files([file_of(taken[0])])
    wait_until(lambda: phone.page.evaluate(CHOSEN) == [1], seconds=SECONDS, failure=lambda: "not kept")
    phone.open(path)
    shown = phone.page.locator("[data-chosen] img")
    expect(shown).to_have_count(1)

    phone.page.evaluate(LEAVE_BEHIND, {"files": [base64.b64encode(each).decode() for each in taken]})

    expect(shown).to_have_count(2)
    phone.page.locator("[data-chosen] button").last.tap()
    expect(shown).to_have_count(1)
    wait_until(lambda: phone.page.evaluate(CHOSEN) == [1], seconds=SECONDS, failure=lambda: "not kept")

    phone.page.evaluate(LEAVE_BEHIND, {"files": []})  # of a page that came before what was done on this one

    phone.wait_until_true("() => window.isHeard")
    wait_until(lambda: phone.page.evaluate(CHOSEN) == [1], seconds=SECONDS, failure=lambda: "given up")
    expect(shown).to_have_count(1)


def test_a_phone_that_cannot_record_says_so(phone: Phone) -> None:
    phone.page.add_init_script("delete window.MediaRecorder")
    open_form(phone)

    expect(phone.page.locator("[data-microphone]")).to_be_hidden()
    expect(phone.page.locator(".attach [role=status]")).to_contain_text("不录也行，写几个字就好")


def test_photos_are_spoken_of_when_a_phone_that_cannot_save_hands_its_form_to_the_server(phone: Phone) -> None:
    open_form(phone)
    phone.page.locator(TAKE).set_input_files([file_of(photograph(phone, 400, 300))])
    expect(phone.page.locator("[data-chosen] img")).to_have_count(1)
    phone.answer({"outcome": ["no_answer"]})
    worker_of(phone).evaluate(REFUSE, {"error": "DataError", "times": 100})

    phone.save()

    expect(phone.page.locator(".dock")).to_contain_text("没能存下")
    assert kept(phone) == []


def test_s06_no_outcome_asks_for_a_photo_and_a_form_without_one_is_sent_as_ever(phone: Phone) -> None:
    phone.context.set_offline(True)
    for outcome in OUTCOME.codes:
        phone.open("/today")
        door = phone.page.locator(".door:has([data-state=open]) .door__link").first.get_attribute("href")
        phone.open(f"{door}/visit?outcome={outcome}")
        expect(phone.page.locator(f"input[name=outcome][value={outcome}]")).to_be_checked()
        form = phone.page.locator("#visit-form")
        assert form.evaluate("(form) => form.enctype") == "application/x-www-form-urlencoded", outcome
        assert form.evaluate(REQUIRED) == [], outcome

        phone.save()

    assert [visit.words for visit in phone.my_visits()] == ["待上传"] * len(OUTCOME.codes)
    assert kept(phone) == []


# What the browser would not send a form without; the worker asks for more when it is sent.
REQUIRED = "(form) => [...form.elements].filter((each) => each.required).map((each) => each.name)"


def test_s07_a_photo_that_was_chosen_and_not_saved_outlives_its_page(phone: Phone) -> None:
    open_form(phone)
    form = phone.page.url
    phone.context.set_offline(True)
    phone.page.locator(TAKE).set_input_files([file_of(photograph(phone, 400, 300))])
    phone.page.locator(TAKE).set_input_files([file_of(photograph(phone, 300, 400))])
    expect(phone.page.locator("[data-chosen] img")).to_have_count(2)
    wait_until(lambda: phone.page.evaluate(CHOSEN) == [2], seconds=SECONDS, failure=lambda: "the choice was never kept")

    phone.kill()
    phone.start()
    phone.context.set_offline(True)
    phone.page.goto(form)

    chosen = phone.page.locator("[data-chosen] img")
    expect(chosen).to_have_count(2)
    wait_until(lambda: chosen.first.evaluate(SEEN) == 400, seconds=SECONDS, failure=lambda: "the photo is not shown")
    phone.page.locator("[data-chosen] button").last.tap()
    expect(chosen).to_have_count(1)
    visit = phone.save()
    assert len(kept(phone)) == 1
    assert phone.page.evaluate(CHOSEN) == []
    phone.open(f"/visits/{visit}")
    expect(phone.page.locator(".attached img")).to_have_count(1)


def test_a_form_that_is_sent_again_leaves_out_what_is_over_ten_and_is_taken(
    phone: Phone, coordinator: Coordinator
) -> None:
    phone.context.set_offline(True)
    open_form(phone)
    photos = [photograph(phone, 40 + place, 30) for place in range(11)]

    def send(photo: bytes) -> str:
        given = {"name": "photo", "file": base64.b64encode(photo).decode(), "type": "image/jpeg"}
        url: str = phone.page.evaluate(SEND, given)
        return url.partition("saved=")[2]

    sent = [send(photo) for photo in photos]
    again = send(photos[0])

    visit = sent[0]
    assert sent == [visit] * 10 + [f"{visit}&left_out=1"]
    assert again == visit
    assert len(kept(phone)) == 10
    phone.open(f"/visits/{visit}")
    expect(phone.page.locator(".attached img")).to_have_count(10)
    phone.context.set_offline(False)
    phone.wait_for_header("全部已上传", seconds=2 * SECONDS)
    assert visit in coordinator.visit_ids()
    assert [each.states for each in phone.my_visits()] == [("uploaded",)]


def test_a_photo_is_still_there_and_sent_after_a_form_with_a_problem(phone: Phone) -> None:
    phone.context.set_offline(True)
    open_form(phone)
    phone.page.locator(TAKE).set_input_files([file_of(photograph(phone, 400, 300))])
    phone.answer({"needs": ["meal_delivery"]})
    phone.page.locator(submit_of("visit-form")).tap()
    expect(phone.page.locator("#problems")).to_contain_text("紧急程度")

    expect(phone.page.locator("[data-chosen] img")).to_have_count(1)
    phone.answer({"urgency": ["days"]})
    visit = phone.save()

    phone.open(f"/visits/{visit}")
    expect(phone.page.locator(".attached img")).to_have_count(1)


def test_p04_a_photo_outlives_a_save_that_a_full_phone_refused(phone: Phone) -> None:
    phone.context.set_offline(True)
    open_form(phone)
    worker_of(phone).evaluate(FULL_FOR_NOW)
    phone.page.locator(TAKE).set_input_files([file_of(photograph(phone, 400, 300))])
    phone.page.locator(submit_of("visit-form")).tap()
    expect(phone.page.locator("#problems")).to_contain_text("没能存下")

    expect(phone.page.locator("[data-chosen] img")).to_have_count(1)
    worker_of(phone).evaluate("() => { self.isFull = false; }")
    visit = phone.save()

    phone.open(f"/visits/{visit}")
    expect(phone.page.locator(".attached img")).to_have_count(1)


def test_who_begins_an_edit_afresh_has_no_photo_chosen(phone: Phone) -> None:
    """The page that follows is about the same record as the one that is left."""
    phone.context.set_offline(True)
    visit = phone.log_visit("met")
    phone.open(f"/visits/{visit}/edit")
    phone.page.locator(TAKE).set_input_files([file_of(photograph(phone, 400, 300))])
    phone.answer({"needs": ["meal_delivery"]})
    wait_until(lambda: phone.page.evaluate(CHOSEN) == [1], seconds=SECONDS, failure=lambda: "the choice was never kept")
    phone.open(f"/visits/{visit}/edit")
    expect(phone.page.locator("[data-chosen] img")).to_have_count(1)

    phone.page.locator("#draft button").tap()

    expect(phone.page.locator("#draft")).to_have_count(0)
    expect(phone.page.locator("[data-chosen] img")).to_have_count(0)


def test_saving_one_form_leaves_what_was_chosen_for_another(phone: Phone) -> None:
    open_form(phone)
    form = phone.page.url
    phone.page.locator("textarea[name=note]").fill("两张照片")
    phone.page.locator(TAKE).set_input_files([file_of(photograph(phone, 400, 300))])
    wait_until(lambda: phone.page.evaluate(CHOSEN) == [1], seconds=SECONDS, failure=lambda: "the choice was never kept")
    phone.open("/today")
    phone.page.locator(".door:has([data-state=open]) .door__link").nth(1).tap()
    phone.page.locator("a[href$='/visit?outcome=met']").tap()
    phone.page.locator(TAKE).set_input_files([file_of(photograph(phone, 300, 400))])
    wait_until(lambda: phone.page.evaluate(CHOSEN) == [1, 1], seconds=SECONDS, failure=lambda: "the other was not kept")

    phone.save()

    assert phone.page.evaluate(CHOSEN) == [1]
    phone.page.goto(form)
    expect(phone.page.locator("[data-chosen] img")).to_have_count(1)


def test_who_begins_afresh_has_no_photo_chosen(phone: Phone) -> None:
    open_form(phone)
    form = phone.page.url
    phone.page.locator(TAKE).set_input_files([file_of(photograph(phone, 400, 300))])
    wait_until(lambda: phone.page.evaluate(CHOSEN) == [1], seconds=SECONDS, failure=lambda: "the choice was never kept")
    phone.open("/today")
    phone.page.goto(form)
    expect(phone.page.locator("[data-chosen] img")).to_have_count(1)

    phone.page.locator("#draft button").tap()

    expect(phone.page.locator("#draft")).to_have_count(0)
    expect(phone.page.locator("[data-chosen] img")).to_have_count(0)
    assert phone.page.evaluate(CHOSEN) == []


def test_a_coordinator_sees_the_photos_of_a_visit_and_which_have_not_come(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    with LossyProxy(server.port) as line:
        phone = make_phone(line.url)
        enrol(phone, coordinator)
        line.pieces_left = 0
        visit = log_visit_with(phone, photograph(phone, 400, 300))
        phone.wait_for_header(ONE_PHOTO_WAITS)
        coordinator.page.goto(f"{coordinator.url}/coordinator/visits/{visit}")
        expect(coordinator.page.locator(".attached")).to_have_text("还在那部手机上，没有传到")

        line.pieces_left = None
        phone.open("/today")
        phone.page.evaluate(DRAIN)
        wait_for_state(phone, "whole")

    coordinator.page.reload()
    photo = coordinator.page.locator(".attached img")
    wait_until(lambda: photo.evaluate(SEEN) == 400, seconds=SECONDS, failure=lambda: "the photo is not shown")
    answer = coordinator.context.request.get(f"{coordinator.url}{photo.get_attribute('src')}")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "attachments" not in coordinator.page.locator(".answers").first.inner_text()
