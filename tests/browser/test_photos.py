"""A photo travels after the text, in pieces, and arrives as it was taken, whatever happens on the way."""

import base64
import hashlib
from random import Random

import pytest

from tests.browser.conftest import MakePhone, enrol
from tests.browser.coordinator import Coordinator
from tests.browser.lossy_proxy import LossyProxy
from tests.browser.phone import SECONDS, Phone
from tests.browser.server_process import ServerProcess, wait_until

pytestmark = pytest.mark.browser

# The form as it will be sent when it has a field for photos.
SEND = """async ({ photo, type }) => {
    const form = document.getElementById("visit-form");
    const body = new FormData(form);
    const bytes = Uint8Array.from(atob(photo), (letter) => letter.charCodeAt(0));
    body.append("photo", new File([bytes], "door.jpg", { type }));
    const answer = await fetch(form.action, { method: "POST", body });
    return answer.url;
}"""
KEPT = """() => new Promise((resolve) => {
    const request = indexedDB.open("linli-blobs", 1);
    request.onsuccess = () => {
        const rows = request.result.transaction("blobs").objectStore("blobs").getAll();
        rows.onsuccess = () => { request.result.close(); resolve(rows.result); };
    };
})"""
DRAIN = "() => navigator.serviceWorker.controller.postMessage({ type: 'drain', cause: 'asked' })"


def photo(length: int, *, seed: int = 1, head: bytes = b"\xff\xd8\xff\xe0") -> bytes:
    return head + Random(seed).randbytes(length - len(head))


def log_visit_with(phone: Phone, taken: bytes) -> str:
    """Returns the id of the visit."""
    phone.open("/today")
    phone.page.locator(".door:has([data-state=open]) .door__link").first.tap()
    phone.page.locator("a[href$='/visit?outcome=met']").tap()
    phone.page.locator("#visit-form").wait_for()
    given = {"photo": base64.b64encode(taken).decode(), "type": "image/jpeg"}
    url: str = phone.page.evaluate(SEND, given)
    phone.open("/today")
    return url.partition("saved=")[2]


def wait_for_state(phone: Phone, state: str) -> None:
    def is_there() -> bool:
        return [blob["state"] for blob in phone.page.evaluate(KEPT)] == [state]

    wait_until(is_there, seconds=2 * SECONDS, failure=lambda: f"never {state}: {phone.page.evaluate(KEPT)}")


def at_the_desk(coordinator: Coordinator, taken: bytes) -> bytes | None:
    """What the coordinator sees of it."""
    digest = hashlib.sha256(taken).hexdigest()
    answer = coordinator.context.request.get(f"{coordinator.url}/sync/blobs/{digest}")
    return answer.body() if answer.ok else None


def test_a_photo_cut_off_by_network_and_server_arrives_as_it_was_taken(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    taken = photo(900_000)
    with LossyProxy(server.port) as line:
        phone = make_phone(line.url)
        enrol(phone, coordinator)
        line.pieces_left = 2
        visit = log_visit_with(phone, taken)
        phone.wait_for_header("全部已上传")
        wait_until(lambda: line.pieces_left == 0, seconds=SECONDS, failure=lambda: "no piece was sent")

        assert visit in coordinator.visit_ids()
        assert at_the_desk(coordinator, taken) is None
        server.kill()
        phone.kill()
        server.start()
        phone.start()
        line.pieces_left = None
        sent_before = len(line.pieces)
        phone.open("/today")
        phone.page.evaluate(DRAIN)

        wait_for_state(phone, "whole")
        assert at_the_desk(coordinator, taken) == taken
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
        first = log_visit_with(phone, photo(100_000))
        phone.wait_for_header("全部已上传")

        second = phone.log_visit("no_answer")

        phone.wait_for_header("全部已上传")
        assert {first, second} <= set(coordinator.visit_ids())
        wait_for_state(phone, "waiting")


def test_text_does_not_wait_for_a_piece_that_is_on_its_way(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    taken = photo(100_000)
    with LossyProxy(server.port) as line:
        phone = make_phone(line.url)
        enrol(phone, coordinator)
        line.may_pass.clear()
        log_visit_with(phone, taken)
        assert line.is_holding.wait(SECONDS)

        visit = phone.log_visit("no_answer")

        phone.wait_for_header("全部已上传", seconds=10)  # the piece would give up after twenty
        assert visit in coordinator.visit_ids()
        assert at_the_desk(coordinator, taken) is None
        line.may_pass.set()
        wait_for_state(phone, "whole")
        assert at_the_desk(coordinator, taken) == taken


def test_what_is_no_photo_is_not_sent_again_and_the_server_s_words_are_kept(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    with LossyProxy(server.port) as line:
        phone = make_phone(line.url)
        enrol(phone, coordinator)

        visit = log_visit_with(phone, photo(1000, head=b"MZ"))

        wait_for_state(phone, "refused")
        (kept,) = phone.page.evaluate(KEPT)
        assert (kept["code"], kept["words"]) == ("unsupported_type", "这种文件收不了。请用照片或录音。")
        assert visit in coordinator.visit_ids()
        pieces = len(line.pieces)
        phone.open("/today")
        phone.wait_until_ready()
        assert len(line.pieces) == pieces
