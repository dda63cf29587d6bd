"""A half-filled form outlives its tab, the battery, the worker and a new release, as the same visit (EXPERIENCE.md 7)."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.coordinator import Coordinator
from tests.browser.every_page import addresses
from tests.browser.opening import OPENING
from tests.browser.phone import SECONDS, Phone
from tests.browser.photographs import photograph
from tests.browser.releases import next_release
from tests.browser.screen import submit_of
from tests.browser.server_process import ServerProcess, wait_until
from tests.browser.test_gallery import take
from tests.browser.test_photos import TAKE, file_of, set_clock
from tests.browser.test_saving import worker_of

pytestmark = pytest.mark.browser

NOTE = "示例：老人说药快吃完了"
OPEN_DOOR = ".door:has([data-state=open]) .door__link"
IDS = """() => ["record_id", "change_id"].map((name) => document.querySelector(`#visit-form [name=${name}]`).value)"""
DRAFTS = f"""async () => {{ {OPENING}
    const drafts = await rowOf("linli-outbox", "drafts");
    const open = async ({{ record_id, sealed }}) => (await openedJson(sealed, `draft\\n${{record_id}}`)).submitted;
    return Promise.all(drafts.map(open));
}}"""
STORED = "() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }])"


def drafts(phone: Phone) -> list[dict[str, list[str]]]:
    found: list[dict[str, list[str]]] = phone.page.evaluate(DRAFTS)
    return found


def fill_half(phone: Phone) -> tuple[str, list[str]]:
    """Opens the form of the first open door and fills some of it. Returns its path and its ids."""
    phone.open("/today")
    phone.page.locator(OPEN_DOOR).first.tap()
    phone.page.locator("a[href$='/visit']").tap()
    phone.answer({"outcome": ["met"], "needs": ["meal_delivery", "legal_aid"], "urgency": ["h24"]})
    phone.page.locator("textarea[name=note]").fill(NOTE)
    wait_until(
        lambda: [each.get("note") for each in drafts(phone)] == [[NOTE]],
        seconds=10,
        failure=lambda: f"the draft was not kept: {drafts(phone)}",
    )
    return re.sub(r"^https?://[^/]*|\?.*", "", phone.page.url), ids(phone)


def ids(phone: Phone) -> list[str]:
    found: list[str] = phone.page.evaluate(IDS)
    return found


def assert_as_it_was(phone: Phone, form_ids: list[str]) -> None:
    expect(phone.page.locator("#draft")).to_contain_text("草稿，只在本机")
    expect(phone.page.locator("textarea[name=note]")).to_have_value(NOTE)
    for name, code in {"outcome": "met", "needs": "legal_aid", "urgency": "h24"}.items():
        expect(phone.page.locator(f"input[name={name}][value={code}]")).to_be_checked()
    assert ids(phone) == form_ids


def test_s07_a_tab_that_is_closed_in_the_middle_of_a_word_loses_nothing(phone: Phone) -> None:
    """As the camera does it on a phone with little memory: no time for the pause after the last letter."""
    phone.context.set_offline(True)
    path, form_ids = fill_half(phone)
    phone.context.new_page().goto(f"{phone.url}/today")
    phone.page.locator("textarea[name=note]").fill(NOTE + "。")

    with phone.page.expect_event("close"):
        phone.page.close(run_before_unload=True)

    wait_until(lambda: kept_note(phone) == NOTE + "。", seconds=10, failure=lambda: "the last letter is missing")
    phone.open(path)
    expect(phone.page.locator("textarea[name=note]")).to_have_value(NOTE + "。")
    assert ids(phone) == form_ids


def test_a_photo_that_is_gone_takes_no_words_along(phone: Phone) -> None:
    """It was deleted from the phone's gallery, and the page is left before the worker has answered for anything."""
    phone.context.set_offline(True)
    path, form_ids = fill_half(phone)

    phone.page.evaluate(
        """async ([fields, draft_path]) => {
            const folder = await navigator.storage.getDirectory();
            const handle = await folder.getFileHandle("door.jpg", { create: true });
            const photo = await handle.getFile();
            const stream = await handle.createWritable();
            await stream.write("another photo");
            await stream.close(); // what `photo` named is no more
            const chosen = [["record_id", fields.record_id], ["chosen", "1"], ["photo", photo]];
            const typed = Object.entries({ ...fields, note: fields.note + "。", draft_path });
            navigator.serviceWorker.controller.postMessage({ type: "drafts", drafts: [chosen, typed] });
        }""",
        [phone.page.evaluate("() => Object.fromEntries(new FormData(document.getElementById('visit-form')))"), path],
    )

    wait_until(lambda: kept_note(phone) == NOTE + "。", seconds=10, failure=lambda: f"gone: {drafts(phone)}")
    phone.open(path)
    assert ids(phone) == form_ids


def test_s07_a_saved_visit_is_never_called_unsaved(phone: Phone) -> None:
    phone.context.set_offline(True)
    path, form_ids = fill_half(phone)
    late = phone.page.evaluate("() => Object.fromEntries(new FormData(document.getElementById('visit-form')))")

    phone.save()
    phone.page.evaluate(  # a draft that was still on its way
        "(fields) => fetch('/drafts', { method: 'POST', body: new URLSearchParams(fields) })",
        late | {"draft_path": path},
    )

    assert drafts(phone) == []
    phone.open("/today")
    expect(phone.page.locator("[data-state=draft]")).to_have_count(0)
    phone.open(path)
    expect(phone.page.locator("#visit-form")).to_be_visible()
    expect(phone.page.locator("#draft")).to_have_count(0)
    assert set(ids(phone)).isdisjoint(form_ids)


SEND = """async () => {
    const form = document.getElementById("visit-form");
    const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
    return answer.url;
}"""


def test_what_is_typed_after_a_save_whose_answer_was_lost_is_kept_and_amends_that_visit(
    phone: Phone, coordinator: Coordinator
) -> None:
    phone.context.set_offline(True)
    path, form_ids = fill_half(phone)
    assert f"saved={form_ids[0]}" in phone.page.evaluate(SEND)  # the page does not hear of it
    assert drafts(phone) == []

    phone.page.locator("textarea[name=note]").fill(NOTE + "。")
    wait_until(lambda: kept_note(phone) == NOTE + "。", seconds=10, failure=lambda: f"not kept: {drafts(phone)}")
    phone.open("/today")

    door = path.removesuffix("/visit")
    line = phone.page.locator(f".door:has(a[href='{door}'])")
    expect(line.locator("[data-state=visited]")).to_have_count(1)
    expect(line.locator("[data-state=draft]")).to_have_count(1)
    phone.open("/my-visits")
    expect(phone.page.locator(f"#drafts a[href='/visits/{form_ids[0]}/edit']")).to_have_count(1)
    expect(phone.page.locator(f"#visit-{form_ids[0]}")).to_have_count(1)
    phone.open(f"{door}?saved={form_ids[0]}")
    phone.page.get_by_role("link", name="接着填").tap()
    expect(phone.page.locator("#draft")).to_contain_text("草稿，只在本机")
    expect(phone.page.locator("textarea[name=note]")).to_have_value(NOTE + "。")
    assert ids(phone) == form_ids
    assert phone.save() == form_ids[0]
    assert drafts(phone) == []
    assert [each.id for each in phone.my_visits()] == [form_ids[0]]
    phone.context.set_offline(False)
    phone.wait_for_header("全部已上传", seconds=40)
    assert coordinator.visit_ids().count(form_ids[0]) == 1
    assert coordinator.open_visit(form_ids[0]).answers["备注"] == NOTE + "。"


@pytest.mark.parametrize("is_amended", [False, True], ids=["saved", "amended"])
def test_a_draft_that_was_typed_before_its_form_was_sent_is_none_however_late_it_comes(
    phone: Phone, is_amended: bool
) -> None:
    """Sent once more, the form is an edit with an id of its own."""
    phone.context.set_offline(True)
    fill_half(phone)
    if is_amended:
        phone.page.evaluate(SEND)
        phone.page.locator("textarea[name=note]").fill(NOTE + "。")
        wait_until(lambda: len(drafts(phone)) == 1, seconds=10, failure=lambda: "not kept")
    late = phone.page.evaluate("() => readDraft(document.getElementById('visit-form'))")

    visit = phone.save()
    phone.page.evaluate("(late) => fetch('/drafts', { method: 'POST', body: new URLSearchParams(late) })", late)

    assert drafts(phone) == []
    assert [each.id for each in phone.my_visits()] == [visit]


def test_what_was_typed_while_the_clock_was_years_behind_stays_when_it_is_set_right(phone: Phone) -> None:
    """A battery that was empty: the phone begins in a year long past, until a network tells it the time."""
    phone.context.set_offline(True)
    phone.open("/today")
    set_clock(phone, -1000)
    path, form_ids = fill_half(phone)

    set_clock(phone, 0)
    phone.context.set_offline(False)
    for _ in range(2):  # an exchange is told to be over just before old things are let go of
        phone.exchange()

    phone.open(path)
    assert_as_it_was(phone, form_ids)


def test_an_edit_that_alters_nothing_leaves_no_draft(phone: Phone) -> None:
    phone.context.set_offline(True)
    visit = phone.log_visit("met", note=NOTE)
    phone.open(f"/visits/{visit}/edit")
    phone.page.locator("textarea[name=note]").fill("x")
    wait_until(lambda: len(drafts(phone)) == 1, seconds=10, failure=lambda: "no draft")

    phone.page.locator("textarea[name=note]").fill(NOTE)
    phone.save()

    assert drafts(phone) == []


def test_two_forms_of_one_visit_keep_a_draft_each(phone: Phone) -> None:
    phone.context.set_offline(True)
    visit = phone.log_visit("no_answer")
    phone.open(f"/visits/{visit}/edit")
    phone.page.locator("textarea[name=note]").fill(NOTE)
    wait_until(lambda: len(drafts(phone)) == 1, seconds=10, failure=lambda: "no draft")
    phone.open(f"/visits/{visit}/steps")
    phone.page.locator("label.chip:has([name=asked_neighbour])").tap()
    wait_until(lambda: len(drafts(phone)) == 2, seconds=10, failure=lambda: f"{drafts(phone)}")

    phone.page.locator(submit_of("steps-form")).tap()
    phone.page.wait_for_url(re.compile(r"saved="))

    phone.open(f"/visits/{visit}/edit")
    expect(phone.page.locator("textarea[name=note]")).to_have_value(NOTE)
    phone.save()
    assert drafts(phone) == []


def test_of_a_visit_that_is_withdrawn_or_discarded_no_draft_is_left(phone: Phone) -> None:
    phone.context.set_offline(True)
    for way in ("withdraw", "discard"):
        visit = phone.log_visit("no_answer")
        phone.open(f"/visits/{visit}/edit")
        phone.page.locator("textarea[name=note]").fill(NOTE)
        wait_until(lambda: len(drafts(phone)) == 1, seconds=10, failure=lambda: "no draft")

        if way == "withdraw":
            phone.open(f"/visits/{visit}/withdraw")
            phone.page.locator(submit_of("withdraw-form")).tap()
            phone.page.wait_for_url("**/my-visits?saved=*")
        else:
            phone.open(f"/visits/{visit}")
            phone.page.locator("#unsent [value=discard]").tap()
            phone.page.wait_for_url("**/discarded")

        assert drafts(phone) == []


POST_DRAFT = """async ({ note, other, ahead = 0 }) => {
    const form = document.getElementById("visit-form");
    const body = new URLSearchParams([...new FormData(form)].filter(([, text]) => typeof text === "string"));
    body.set("note", note);
    body.set("draft_path", new URL(form.action).pathname);
    body.set("typed_at", String(Date.now() + ahead));
    if (other) for (const name of ["record_id", "change_id"]) body.set(name, crypto.randomUUID());
    return (await fetch("/drafts", { method: "POST", body })).status;
}"""


def test_who_begins_afresh_in_one_tab_gives_up_nothing_of_another(phone: Phone) -> None:
    fill_half(phone)
    for note, other in (("第一个", True), ("第二个", False)):
        assert phone.page.evaluate(POST_DRAFT, {"note": note, "other": other}) == 204
    assert len(drafts(phone)) == 2

    phone.page.reload()
    expect(phone.page.locator("#visit-form [name=note]")).to_have_value("第二个")
    phone.page.locator("#draft button").tap()

    expect(phone.page.locator("#visit-form [name=note]")).to_have_value("第一个")
    assert [draft["note"] for draft in drafts(phone)] == [["第一个"]]


def test_a_draft_that_a_clock_far_ahead_has_dated_is_over_with_its_save(phone: Phone) -> None:
    """It is set right before she saves, and nothing was typed since."""
    path, _ = fill_half(phone)
    assert phone.page.evaluate(POST_DRAFT, {"note": NOTE, "other": False, "ahead": 400 * 86_400_000}) == 204
    phone.open(path)
    expect(phone.page.locator("#draft")).to_be_visible()

    phone.save()

    assert drafts(phone) == []


SLOW_PICTURES = """() => {
    const draw = self.createImageBitmap;
    self.isDrawing = false;
    const go = new Promise((resolve) => { self.letDraw = resolve; });
    self.createImageBitmap = async (...given) => {
        self.isDrawing = true;
        await go;
        return draw(...given);
    };
}"""


def write_while_it_is_saved(phone: Phone, *, start_seconds: int = 0) -> tuple[str, str]:
    """Sends a form and writes on in it, before its worker has even started or while it draws the photo anew. Returns the
    visit's id and the path of its form."""
    path, (visit, _) = fill_half(phone)
    phone.page.locator(TAKE).set_input_files([file_of(photograph(phone, 400, 300))])
    expect(phone.page.locator("[data-chosen] img")).to_have_count(1)
    worker = worker_of(phone)
    worker.evaluate(SLOW_PICTURES)
    worker.evaluate("(late) => { const now = Date.now; Date.now = () => now() + late; }", start_seconds * 1000)

    phone.page.locator(submit_of("visit-form")).click(no_wait_after=True)
    wait_until(lambda: worker.evaluate("() => self.isDrawing"), seconds=SECONDS, failure=lambda: "nothing is drawn")
    phone.page.locator("#visit-form [name=note]").fill(f"{NOTE}，还有一句")
    phone.page.locator("#visit-form [name=note]").blur()  # or it says so once more as it goes
    wait_until(
        lambda: [draft["note"] for draft in drafts(phone)] == [[f"{NOTE}，还有一句"]],
        seconds=SECONDS,
        failure=lambda: f"kept: {drafts(phone)}",
    )
    worker.evaluate("() => self.letDraw()")
    phone.page.wait_for_url("**saved=*")
    return visit, path


def test_what_is_typed_while_a_visit_is_being_saved_is_no_part_of_it_and_kept(phone: Phone) -> None:
    """Photos are drawn anew first, for seconds on a slow phone, and the form is there to be written in."""
    write_while_it_is_saved(phone)

    assert [draft["note"] for draft in drafts(phone)] == [[f"{NOTE}，还有一句"]]


def test_what_is_typed_before_a_worker_that_starts_has_looked_at_the_clock_is_kept(phone: Phone) -> None:
    """She taps, the worker takes five seconds to start, and she goes on writing."""
    write_while_it_is_saved(phone, start_seconds=5)

    assert [draft["note"] for draft in drafts(phone)] == [[f"{NOTE}，还有一句"]]


def test_what_was_written_while_a_visit_was_saved_is_added_to_that_one_and_not_laid_over_the_next(phone: Phone) -> None:
    """The draft stood in the form of the next visit at that door, which so overwrote the first."""
    first, path = write_while_it_is_saved(phone)
    expect(phone.page.get_by_role("link", name="后面写的几句还没保存")).to_be_visible()
    take(phone.page, "written-since")

    phone.open(path)  # the next visit at that door
    expect(phone.page.locator("#draft")).to_have_count(0)
    expect(phone.page.locator("#visit-form [name=note]")).to_have_value("")
    assert ids(phone)[0] != first
    phone.open("/my-visits")
    phone.page.locator("#drafts a").first.tap()
    expect(phone.page).to_have_url(re.compile(rf"/visits/{first}/edit$"))
    expect(phone.page.locator("#visit-form [name=note]")).to_have_value(f"{NOTE}，还有一句")
    phone.save()

    assert drafts(phone) == []
    phone.open(f"/visits/{first}")
    expect(phone.page.locator(".answers")).to_contain_text(f"{NOTE}，还有一句")


def test_a_draft_can_be_begun_afresh(phone: Phone) -> None:
    phone.context.set_offline(True)
    path, form_ids = fill_half(phone)
    phone.open(path)

    phone.page.locator("#draft button").tap()

    expect(phone.page.locator("#draft")).to_have_count(0)
    expect(phone.page.locator("textarea[name=note]")).to_have_value("")
    assert ids(phone)[0] != form_ids[0]
    assert drafts(phone) == []


def test_s21_a_new_release_waits_two_hours_and_gives_the_draft_back(
    server: ServerProcess, coordinator: Coordinator, phone: Phone, tmp_path: Path
) -> None:
    server.stop()
    path, form_ids = fill_half(phone)
    server.start(code=next_release(tmp_path))
    phone.page.evaluate("() => navigator.serviceWorker.ready.then((found) => found.update())")
    prompt = phone.page.locator("#update-prompt")
    expect(prompt).to_be_visible(timeout=20_000)
    expect(phone.page.locator("textarea[name=note]")).to_have_value(NOTE)  # nothing was interrupted

    prompt.locator("[data-update=later]").tap()
    expect(prompt).to_be_hidden()
    phone.open(path)
    expect(prompt).to_be_hidden()
    phone.page.evaluate("() => localStorage.setItem('linli-update-put-off', Date.now() - 2 * 60 * 60_000)")
    phone.open(path)
    expect(prompt).to_be_visible()
    phone.page.locator("textarea[name=note]").fill(NOTE)
    prompt.locator("[data-update=now]").tap()

    phone.wait_until_true("async () => (await navigator.serviceWorker.getRegistration()).waiting === null")
    assert_as_it_was(phone, form_ids)
    phone.open("/settings")
    assert phone.heading == "设置二"


def test_p10_a_form_opened_before_an_update_is_saved_once_after_it(
    server: ServerProcess, coordinator: Coordinator, phone: Phone, tmp_path: Path
) -> None:
    """An old page on the screen, a new worker behind it."""
    server.stop()
    _path, form_ids = fill_half(phone)
    server.start(code=next_release(tmp_path))
    phone.page.evaluate(
        """async () => {
            const registration = await navigator.serviceWorker.ready;
            await registration.update();
            const controlled = new Promise((resolve) =>
                navigator.serviceWorker.addEventListener("controllerchange", resolve, { once: true }));
            const send = () => registration.waiting?.postMessage({ type: "SKIP_WAITING" });
            registration.addEventListener("updatefound", () =>
                registration.installing.addEventListener("statechange", send));
            registration.installing?.addEventListener("statechange", send);
            send();
            await controlled;
        }"""
    )

    visit = phone.save()

    assert visit == form_ids[0]
    phone.wait_for_header("全部已上传", seconds=40)
    assert coordinator.visit_ids().count(visit) == 1
    assert coordinator.open_visit(visit).answers["备注"] == NOTE
    assert drafts(phone) == []


def test_p14_a_worker_that_is_stopped_at_every_step_loses_nothing(
    server: ServerProcess, phone: Phone, coordinator: Coordinator
) -> None:
    phone.open("/today")
    server.stop()
    stop = stopper_of(phone)
    phone.page.locator(OPEN_DOOR).first.tap()
    phone.page.locator("a[href$='/visit']").tap()
    expect(phone.page.locator("#visit-form")).to_be_visible()
    path, form_ids = re.sub(r"^https?://[^/]*|\?.*", "", phone.page.url), ids(phone)

    stop()  # before typing
    phone.answer({"outcome": ["met"]})
    phone.page.locator("textarea[name=note]").fill(NOTE)
    wait_until(lambda: kept_note(phone) == NOTE, seconds=10, failure=lambda: "the draft was not kept")
    stop()  # after the draft is kept
    phone.open(path)
    expect(phone.page.locator("textarea[name=note]")).to_have_value(NOTE)
    phone.page.locator("textarea[name=note]").fill(NOTE + "。")
    stop()  # just before saving
    visit = phone.save()
    stop()  # after saving
    (shown,) = phone.my_visits()
    stop()  # before the upload
    server.start()
    phone.wait_for_header("全部已上传", seconds=40)

    assert visit == form_ids[0]
    assert (shown.id, shown.words) == (visit, "待上传")
    assert drafts(phone) == []
    assert coordinator.visit_ids().count(visit) == 1
    assert coordinator.open_visit(visit).answers["备注"] == NOTE + "。"


def stopper_of(phone: Phone) -> Callable[[], None]:
    """Stops the worker, and ends when it has stopped."""
    tools = phone.context.new_cdp_session(phone.page)
    seen: list[str] = []
    tools.on(
        "ServiceWorker.workerVersionUpdated",
        lambda update: seen.extend(version["runningStatus"] for version in update["versions"]),
    )
    tools.send("ServiceWorker.enable")

    def stop() -> None:
        seen.clear()
        tools.send("ServiceWorker.stopAllWorkers")
        wait_until(
            lambda: phone.page.evaluate("() => true") and "stopped" in seen,  # the browser is heard while it is asked
            seconds=10,
            failure=lambda: f"the worker did not stop: {seen}",
        )

    return stop


def kept_note(phone: Phone) -> Any:
    return (drafts(phone) or [{}])[0].get("note", [""])[0]


def test_p25_what_is_typed_stands_in_no_page_storage(phone: Phone) -> None:
    phone.context.set_offline(True)
    path, _ids = fill_half(phone)
    phone.open(path)
    phone.save()
    phone.my_visits()

    assert NOTE not in phone.page.evaluate(STORED)


def test_p25_nothing_of_anybody_stands_in_page_storage_after_a_day_s_work(phone: Phone) -> None:
    """Every page of hers, by boosted navigation and by loading it, forth and back."""
    phone.open("/today")
    doors = phone.page.locator(".door__link").all_inner_texts()
    people = {word for door in doors for word in re.findall(r"示例居民\S*", door)}
    assert people
    for place in ("/map", "/my-visits", "/settings", "/today"):
        phone.page.locator(f".nav a[href='{place}']").tap()
        phone.page.wait_for_url(f"**{place}")
    places = addresses(phone)
    for path in (path for paths in places.values() for path in paths):
        phone.open(path)
    phone.open("/find")
    phone.page.locator("#q").fill("sl")
    expect(phone.page.locator("#found .door").first).to_be_visible()
    phone.page.go_back()

    stored = phone.page.evaluate(STORED)

    assert [word for word in (*people, "敲门没有人应", "号楼", "/doors/", "/visits/") if word in stored] == []
