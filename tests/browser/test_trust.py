"""Trust in the queue: what a volunteer sees of records that are still on her phone, and what she can do about each."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.coordinator import Coordinator
from tests.browser.phone import SECONDS, Phone
from tests.browser.screen import submit_of
from tests.browser.server_process import ServerProcess, wait_until
from tests.browser.test_gallery import take
from tests.browser.test_photos import DRAIN
from tests.browser.test_saving import entries, worker_of
from tests.browser.test_today import send_back

pytestmark = pytest.mark.browser

NOTE = "示例：门铃坏了"
MANY = 1000

# The exchange is answered as by a server that finds every batch too large, down to one change.
TOO_LARGE = """() => {
    const { fetch } = self;
    self.fetch = (asked, ...rest) => {
        if (asked !== "/sync") return fetch(asked, ...rest);
        return Promise.resolve(new Response(JSON.stringify({ code: "too_large" }), { status: 413 }));
    };
}"""

# As Chromium tells the worker, minutes after the app was closed. By its own tools it does so only where there is a network.
TRY_IN_BACKGROUND = """async (lastChance) => {
    const event = Object.assign(new Event("sync"), { tag: "linli-drain", lastChance });
    const tried = new Promise((resolve) => Object.assign(event, { waitUntil: (work) => resolve(work.catch(() => {})) }));
    self.dispatchEvent(event);
    await tried;
    return (await self.registration.getNotifications()).map(({ title }) => title);
}"""
# A phone's own way of sharing, which this machine has not.
SHARES = """() => {
    navigator.canShare = ({ files }) => files.every(({ type }) => type === "text/plain");
    navigator.share = async ({ files: [file] }) => { window.shared = [file.name, await file.text()]; };
}"""
# The server takes what it is sent; its answers get lost.
ANSWER_LOST = """(times) => {
    const { fetch } = self;
    self.lost = 0;
    self.fetch = async (asked, ...rest) => {
        const answer = await fetch(asked, ...rest);
        if (asked !== "/sync" || self.lost === times) return answer;
        self.lost += 1;
        throw new TypeError("lost by the test");
    };
}"""
# What was sent is under way until the test says what becomes of it.
UNDER_WAY = """() => {
    const { fetch } = self;
    self.CompressionStream = undefined;
    delete self.CompressionStream;
    const { formData } = Request.prototype;
    Request.prototype.formData = function () {
        self.isAsked ||= this.url.endsWith("/queue");
        return formData.call(this);
    };
    const end = new Promise((resolve) => { self.endWay = resolve; });
    self.fetch = async (asked, ...rest) => {
        self.isTried ||= asked === "/sync";
        if (asked !== "/sync" || !JSON.parse(new TextDecoder().decode(rest[0].body)).changes.length) return fetch(asked, ...rest);
        self.isUnderWay = true;
        if (await end) return fetch(asked, ...rest);
        throw new TypeError("lost by the test");
    };
}"""
# As a phone does that is slow: nothing is sealed before the test lets it.
SEALS_SLOWLY = """() => {
    const { encrypt } = SubtleCrypto.prototype;
    const end = new Promise((resolve) => { self.letSeal = resolve; });
    SubtleCrypto.prototype.encrypt = async function (...given) {
        self.isSealing = true;
        await end;
        return encrypt.apply(this, given);
    };
}"""
# As from a page that was drawn before its record was on its way.
DISCARD = """async (record_id) => {
    const body = new URLSearchParams({ record_id, wish: "discard", back: "/discarded" });
    return new URL((await fetch("/queue", { method: "POST", body })).url).pathname;
}"""
# A worker that cannot open what lies on the phone, until the test lets it.
UNOPENED = """() => {
    const { decrypt } = SubtleCrypto.prototype;
    SubtleCrypto.prototype.decrypt = () => Promise.reject(new DOMException("by the test", "OperationError"));
    self.openAgain = () => { SubtleCrypto.prototype.decrypt = decrypt; };
}"""
# As from a page that was drawn before.
RESTORE = """async (record_id) => {
    const body = new URLSearchParams({ record_id, wish: "restore" });
    await fetch("/queue", { method: "POST", body, redirect: "manual" });
}"""
# Too large is whatever holds the change that was saved first.
FIRST_TOO_LARGE = """() => {
    const { fetch } = self;
    self.CompressionStream = undefined;
    delete self.CompressionStream;
    self.fetch = async (asked, ...rest) => {
        if (asked !== "/sync") return fetch(asked, ...rest);
        const { changes } = JSON.parse(new TextDecoder().decode(rest[0].body));
        self.first ??= changes[0]?.change_id;
        if (!changes.some(({ change_id }) => change_id === self.first)) return fetch(asked, ...rest);
        return new Response(JSON.stringify({ code: "too_large" }), { status: 413 });
    };
}"""
# No change is small enough; what only asks is answered.
ALL_TOO_LARGE = FIRST_TOO_LARGE.replace("!changes.some(({ change_id }) => change_id === self.first)", "!changes.length")


def test_a_record_too_long_to_upload_says_so_and_where_it_is(phone: Phone) -> None:
    worker_of(phone).evaluate(TOO_LARGE)
    visit = phone.log_visit("no_answer")

    phone.open("/my-visits")

    row = phone.page.locator(f"#visit-{visit}")
    expect(row.locator("[data-state=failed]")).to_have_text("没传上去")
    expect(row.locator(".visit__word")).to_contain_text("太长")
    expect(row.locator(".visit__word")).to_contain_text("还在本机")


def open_discarded(phone: Phone, visit: str) -> None:
    phone.open(f"/visits/{visit}")
    phone.page.locator("#unsent [value=discard]").tap()
    phone.page.wait_for_url("**/discarded")


def wait_until_uploaded(phone: Phone) -> None:
    phone.context.set_offline(False)
    phone.open("/my-visits")
    phone.wait_for_header("全部已上传", seconds=40)


def test_a_discarded_visit_is_taken_back_without_a_network_and_arrives_once(
    phone: Phone, coordinator: Coordinator
) -> None:
    phone.context.set_offline(True)
    visit = phone.log_visit("no_answer", note=NOTE)

    open_discarded(phone, visit)

    assert [(entry["sequence"], entry["state"]) for entry in entries(phone)] == [(1, "waiting")]  # its number stays
    expect(phone.page.locator(f"#visit-{visit}")).to_contain_text(NOTE)
    assert [each.id for each in phone.my_visits()] == []
    phone.page.locator("a[href='/discarded']").tap()
    phone.page.locator(f"#visit-{visit} button").tap()
    phone.page.wait_for_url(f"**/visits/{visit}")
    expect(phone.page.locator("main")).to_contain_text(NOTE)
    phone.open("/discarded")
    expect(phone.page.locator("main .empty")).to_be_visible()
    wait_until_uploaded(phone)
    assert coordinator.visit_ids().count(visit) == 1
    assert coordinator.open_visit(visit).answers["备注"] == NOTE


def test_what_the_phone_cannot_open_just_now_is_not_lost_by_taking_it_back(phone: Phone) -> None:
    phone.context.set_offline(True)
    visit = phone.log_visit("no_answer", note=NOTE)
    open_discarded(phone, visit)
    worker = worker_of(phone)

    worker.evaluate(UNOPENED)
    phone.page.evaluate(RESTORE, visit)
    worker.evaluate("() => self.openAgain()")

    phone.open("/discarded")
    phone.page.locator(f"#visit-{visit} button").tap()
    phone.page.wait_for_url(f"**/visits/{visit}")
    expect(phone.page.locator("main")).to_contain_text(NOTE)


def test_what_was_discarded_reaches_nobody_and_leaves_no_gap(phone: Phone, coordinator: Coordinator) -> None:
    phone.context.set_offline(True)
    visit = phone.log_visit("no_answer")
    open_discarded(phone, visit)
    other = phone.log_visit("no_answer")

    wait_until_uploaded(phone)

    assert [entry["state"] for entry in entries(phone)] == ["acknowledged", "acknowledged"]
    assert [coordinator.visit_ids().count(each) for each in (visit, other)] == [0, 1]
    coordinator.page.goto(f"{coordinator.url}/coordinator/devices")
    expect(coordinator.page.locator("main")).not_to_contain_text("没收到")


def test_a_visit_whose_answer_was_lost_is_there_once_after_it_was_discarded_and_taken_back(
    phone: Phone, coordinator: Coordinator
) -> None:
    """The server has it, and the phone does not know: nothing is lost and nothing doubled, and no phone looks cloned."""
    worker_of(phone).evaluate(ANSWER_LOST, MANY)
    visit = phone.log_visit("no_answer", note=NOTE)
    wait_until(lambda: worker_of(phone).evaluate("() => self.lost > 0"), seconds=20, failure=lambda: "nothing was sent")
    phone.context.set_offline(True)
    open_discarded(phone, visit)
    assert "待上传" not in phone.header
    worker_of(phone).evaluate("(times) => { self.lost = times; }", MANY)  # from now on answers arrive
    phone.page.locator(f"#visit-{visit} button").tap()
    phone.page.wait_for_url(f"**/visits/{visit}")

    wait_until_uploaded(phone)

    assert coordinator.visit_ids().count(visit) == 1
    assert coordinator.open_visit(visit).answers["备注"] == NOTE
    coordinator.page.goto(f"{coordinator.url}/coordinator/devices")
    expect(coordinator.page.locator("main")).not_to_contain_text("两部混用")


@pytest.mark.parametrize("arrives", [False, True])
def test_a_visit_discarded_while_it_is_on_its_way_is_discarded_or_said_to_be_up(
    phone: Phone, coordinator: Coordinator, arrives: bool
) -> None:
    worker = worker_of(phone)
    worker.evaluate(UNDER_WAY)
    visit = phone.log_visit("no_answer")
    wait_until(lambda: worker.evaluate("() => self.isUnderWay"), seconds=20, failure=lambda: "nothing was sent")

    phone.page.evaluate(f"(id) => {{ window.led = ({DISCARD})(id); }}", visit)
    wait_until(lambda: worker.evaluate("() => self.isAsked"), seconds=SECONDS, failure=lambda: "nobody asked")
    worker.evaluate("(arrives) => self.endWay(arrives)", arrives)

    assert phone.page.evaluate("() => window.led") == ("/my-visits" if arrives else "/discarded")
    wait_until_uploaded(phone)
    assert coordinator.visit_ids().count(visit) == arrives
    phone.open("/discarded")
    assert phone.page.locator(f"#visit-{visit}").count() == (not arrives)


def test_a_visit_is_not_sent_while_a_slow_phone_is_about_to_discard_it(phone: Phone, coordinator: Coordinator) -> None:
    phone.context.set_offline(True)
    visit = phone.log_visit("no_answer")
    worker = worker_of(phone)
    worker.evaluate(SEALS_SLOWLY)
    phone.page.evaluate(f"(id) => {{ window.led = ({DISCARD})(id); }}", visit)
    wait_until(lambda: worker.evaluate("() => self.isSealing"), seconds=SECONDS, failure=lambda: "nobody seals")
    worker.evaluate(UNDER_WAY)

    phone.context.set_offline(False)
    phone.page.evaluate(DRAIN)
    wait_until(lambda: worker.evaluate("() => self.isTried"), seconds=SECONDS, failure=lambda: "nothing was tried")
    worker.evaluate("() => self.letSeal()")

    assert phone.page.evaluate("() => window.led") == "/discarded"
    worker.evaluate("() => self.endWay(true)")
    wait_until_uploaded(phone)
    assert coordinator.visit_ids().count(visit) == 0


def edit_note(phone: Phone, visit: str, note: str) -> None:
    phone.open(f"/visits/{visit}/edit")
    phone.page.locator("textarea[name=note]").fill(note)
    phone.save()


def test_an_edit_that_went_up_is_not_called_discarded_for_an_older_one_that_was(
    phone: Phone, coordinator: Coordinator
) -> None:
    visit = phone.log_visit("no_answer")
    phone.wait_for_header("全部已上传", seconds=40)
    phone.context.set_offline(True)
    edit_note(phone, visit, "示例：写错了")
    open_discarded(phone, visit)
    assert phone.page.evaluate(DISCARD, visit) == "/discarded"  # a second tap
    edit_note(phone, visit, NOTE)
    worker = worker_of(phone)
    worker.evaluate(UNDER_WAY)
    phone.context.set_offline(False)
    wait_until(lambda: worker.evaluate("() => self.isUnderWay"), seconds=20, failure=lambda: "nothing was sent")

    phone.page.evaluate(f"(id) => {{ window.led = ({DISCARD})(id); }}", visit)
    wait_until(lambda: worker.evaluate("() => self.isAsked"), seconds=SECONDS, failure=lambda: "nobody asked")
    worker.evaluate("() => self.endWay(true)")

    assert phone.page.evaluate("() => window.led") == "/my-visits"
    wait_until_uploaded(phone)
    assert coordinator.open_visit(visit).answers["备注"] == NOTE


def test_s16_a_record_that_fails_is_retried_discarded_taken_back_and_edited_alone(
    phone: Phone, coordinator: Coordinator
) -> None:
    worker = worker_of(phone)
    worker.evaluate(FIRST_TOO_LARGE)
    failing = phone.log_visit("no_answer", note=NOTE)
    second = phone.log_visit("no_answer")
    wait_until(
        lambda: [entry["state"] for entry in entries(phone)] == ["waiting", "acknowledged"],
        seconds=30,
        failure=lambda: f"others wait for it: {entries(phone)}",
    )
    phone.open(f"/visits/{failing}")
    expect(phone.page.locator("[data-state=failed]")).to_be_visible()

    phone.page.locator("#unsent [value=retry]").tap()
    expect(phone.page.locator("[data-state=failed]")).to_be_visible()
    open_discarded(phone, failing)
    phone.wait_for_header("全部已上传", seconds=40)
    assert [coordinator.visit_ids().count(each) for each in (failing, second)] == [0, 1]
    worker.evaluate("() => { self.first = undefined; }")  # taken back, it is too large again
    phone.page.locator(f"#visit-{failing} button").tap()
    phone.page.wait_for_url(f"**/visits/{failing}")
    expect(phone.page.locator("[data-state=failed]")).to_be_visible(timeout=30_000)
    expect(phone.page.locator("main")).to_contain_text(NOTE)
    phone.page.locator(f"a[href='/visits/{failing}/edit']").tap()
    phone.page.locator("textarea[name=note]").fill("短")
    phone.page.locator(submit_of("visit-form")).tap()

    phone.wait_for_header("全部已上传", seconds=40)
    assert [coordinator.visit_ids().count(each) for each in (failing, second)] == [1, 1]
    found = coordinator.open_visit(failing)
    assert found.answers["备注"] == "短"
    assert found.answers["结果"] == "敲门无人应"


def test_p23_what_waits_leaves_the_phone_as_a_locked_file_and_is_there_once(
    phone: Phone, coordinator: Coordinator, tmp_path: Path
) -> None:
    phone.context.set_offline(True)
    first, second = phone.log_visit("no_answer", note=NOTE), phone.log_visit("no_answer")
    phone.open("/my-visits")

    with phone.page.expect_download() as download:
        phone.page.locator("#export [data-export]").tap()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)

    assert re.fullmatch(r"linli-\d{4}-\d\d-\d\d-2\.txt", file.name)
    assert NOTE not in file.read_text()  # sealed
    bring_in(coordinator, file)
    expect(coordinator.page.locator("#import [role=status]")).to_contain_text("新收 2 条")
    assert [coordinator.visit_ids().count(each) for each in (first, second)] == [1, 1]
    assert coordinator.open_visit(first).answers["备注"] == NOTE
    bring_in(coordinator, file)
    expect(coordinator.page.locator("#import [role=status]")).to_contain_text("新收 0 条")
    wait_until_uploaded(phone)  # the phone was found again: what it sends is known
    assert [coordinator.visit_ids().count(each) for each in (first, second)] == [1, 1]


def bring_in(coordinator: Coordinator, file: Path) -> None:
    coordinator.page.goto(f"{coordinator.url}/coordinator/devices")
    coordinator.page.locator("#file").set_input_files(file)
    coordinator.page.locator("#import button").click()
    coordinator.page.wait_for_url("**/coordinator/devices?new=*")


def test_a_phone_that_shares_files_is_asked_where_to(phone: Phone) -> None:
    phone.context.set_offline(True)
    visit = phone.log_visit("no_answer")
    phone.log_visit("no_answer")
    phone.open(f"/visits/{visit}")
    phone.page.evaluate(SHARES)

    phone.page.locator("#unsent [data-export]").tap()

    phone.wait_until_true("() => window.shared")
    name, words = phone.page.evaluate("() => window.shared")
    assert name.endswith("-1.txt")  # this record alone
    assert words.startswith("邻里：")


def test_hours_and_a_round_handed_back_stand_in_the_queue_and_are_discarded_and_taken_back(
    phone: Phone, coordinator: Coordinator
) -> None:
    """Whatever the header counts is there to be looked at, sent, carried off or given up (EXPERIENCE.md 7, 16)."""
    worker_of(phone).evaluate(ALL_TOO_LARGE)

    def rows() -> list[str]:
        phone.open("/my-visits?state=failed")
        return [row.inner_text() for row in phone.page.locator("#queued > .visit").all()]

    for count, button in enumerate(("form[action$='/start'] button", "form[action$='/decline'] button"), start=1):
        phone.open("/today")
        phone.page.locator(button).first.tap()
        phone.wait_for_header(f"待上传 {count} 条")
        wait_until(lambda wanted=count: len(rows()) == wanted, seconds=30, failure=lambda: f"shown: {rows()}")  # type: ignore[misc]
    assert all("没传上去" in row and "太长" in row for row in rows())
    expect(phone.page.locator("#queued [value=retry]")).to_have_count(2)
    take(phone.page, "queue_of_hours")
    phone.context.set_offline(True)

    for place, back in (
        ("这次走访的时间", r"/outings/[0-9a-f-]{36}"),
        ("这一轮我去不了", r"/declines/[0-9a-f-]{36}/undo"),
    ):
        row = phone.page.locator("#queued > .visit", has_text=place)
        row.locator(".ways a").tap()
        phone.page.wait_for_url(re.compile(back))
        expect(phone.page.locator("#unsent [data-export]")).to_be_visible()
        take(phone.page, "unsent_" + place)
        phone.page.locator("#unsent [value=discard]").tap()
        phone.page.wait_for_url("**/discarded")
        phone.page.locator(".visit", has_text=place).locator("button").tap()
        phone.page.wait_for_url(re.compile(back + "$"))
        phone.open("/my-visits")
        expect(phone.page.locator("#queued > .visit")).to_have_count(2)

    phone.page.locator("#queued > .visit", has_text="这一轮我去不了").locator("a").first.tap()
    phone.page.locator("#unsent [value=discard]").tap()
    phone.page.wait_for_url("**/discarded")
    assert "待上传 1 条" in phone.header
    phone.open("/today")
    expect(phone.page.locator("[id^=declined-]")).to_have_count(0)


# What every screen says of the queue (EXPERIENCE.md 7, 12 to 15)


def test_s12_the_list_filters_by_what_each_visit_s_icon_and_words_say(phone: Phone) -> None:
    uploaded = phone.log_visit("no_answer")
    phone.wait_for_header("全部已上传", seconds=40)
    phone.context.set_offline(True)
    waiting = phone.log_visit("no_answer")

    phone.open("/my-visits")
    for visit, words in ((uploaded, "已上传"), (waiting, "待上传")):
        state = phone.page.locator(f"#visit-{visit} .visit__state .state")
        expect(state).to_contain_text(words)
        expect(state.locator("svg")).to_be_visible()
    phone.page.locator("a[href='/my-visits?state=waiting']").tap()

    expect(phone.page.locator(".visits > .visit")).to_have_count(1)
    expect(phone.page.locator(f"#visit-{waiting}")).to_be_visible()


def test_s12_each_state_that_occurs_has_a_filter_and_no_other(phone: Phone, coordinator: Coordinator) -> None:
    reviewed = phone.log_visit("no_answer")
    returned = phone.log_visit("no_answer")
    uploaded = phone.log_visit("no_answer")
    phone.wait_for_header("全部已上传", seconds=40)
    assert filters(phone) == ["全部", "已上传"]
    send_back(coordinator, returned)
    coordinator.page.goto(f"{coordinator.url}/coordinator/visits/{reviewed}")
    coordinator.page.locator("button[form=review][value=approved]").click()
    coordinator.page.wait_for_url("**reviewed=**")
    worker_of(phone).evaluate(FIRST_TOO_LARGE)
    failed = phone.log_visit("no_answer", note=NOTE)
    wait_until(
        lambda: filters(phone) == ["全部", "待上传", "没传上去", "已退回", "已上传", "已审核"],
        seconds=30,
        failure=lambda: f"the phone was not told: {filters(phone)}",
    )
    phone.context.set_offline(True)
    waiting = phone.log_visit("no_answer")
    phone.open("/today")
    phone.page.locator(".door:has([data-state=open]) .door__link").first.tap()
    phone.page.locator("a[href$='/visit']").tap()
    phone.page.locator("textarea[name=note]").fill(NOTE)

    expected = ["全部", "待上传", "没传上去", "已退回", "草稿", "已上传", "已审核"]
    wait_until(lambda: filters(phone) == expected, seconds=10, failure=lambda: f"shown: {filters(phone)}")
    take(phone.page, "my_visits_filters")
    for name, visits in {
        "waiting": {waiting, failed},
        "failed": {failed},
        "sent_back": {returned},
        "uploaded": {uploaded},
        "approved": {reviewed},
    }.items():
        phone.page.locator(f"a.chip[href='/my-visits?state={name}']").tap()
        expect(phone.page.locator(f"a.chip[href$='={name}'][aria-current]")).to_be_visible()
        wait_until_shown(phone, name, {f"visit-{visit}" for visit in visits})
    phone.page.locator("a.chip[href$='=draft']").tap()
    expect(phone.page.locator(".visits > .visit")).to_have_count(1)
    phone.page.locator("#drafts a").tap()
    expect(phone.page.locator("textarea[name=note]")).to_have_value(NOTE)


def wait_until_shown(phone: Phone, name: str, wanted: set[str]) -> None:
    """At first sight, or when no attempt is under way: what is on its way has not failed."""

    def is_shown() -> bool:
        if set(phone.page.evaluate(SHOWN)) == wanted:
            return True
        phone.open(f"/my-visits?state={name}")
        return False

    wait_until(is_shown, seconds=SECONDS, failure=lambda: f"{name}: {phone.page.evaluate(SHOWN)}")


SHOWN = "() => [...document.querySelectorAll('.visits > .visit')].map((visit) => visit.id)"


def filters(phone: Phone) -> list[str]:
    phone.open("/my-visits")
    return [chip.inner_text() for chip in phone.page.locator("a.chip").all()]


def test_s13_the_header_counts_what_the_outbox_holds_and_never_says_all_too_early(phone: Phone) -> None:
    phone.context.set_offline(True)
    visits = []
    for number in range(1, 4):
        visits.append(phone.log_visit("no_answer"))
        phone.wait_for_header(f"待上传 {number} 条")
        assert len(entries(phone)) == number
        assert "全部已上传" not in phone.header
        assert "上次上传" in phone.header

    open_discarded(phone, visits[0])

    phone.wait_for_header("待上传 2 条")
    wait_until_uploaded(phone)
    assert {entry["state"] for entry in entries(phone)} == {"acknowledged"}


def test_s14_offline_is_calm_and_says_what_still_works(phone: Phone) -> None:
    phone.context.set_offline(True)
    phone.log_visit("no_answer")
    phone.open("/today")

    strip = phone.page.locator(".status__offline")
    expect(strip).to_contain_text("走访照常记录，联网后自动上传")
    expect(phone.page.locator("[role=alert]:visible")).to_have_count(0)
    red, green, blue = map(
        int, re.findall(r"\d+", strip.evaluate("(each) => getComputedStyle(each).backgroundColor"))[:3]
    )
    assert max(red, green, blue) - min(red, green, blue) < 32  # grey


def test_s15_after_an_outage_the_queue_empties_without_a_tap_or_a_reload(server: ServerProcess, phone: Phone) -> None:
    phone.open("/today")
    server.stop()
    phone.log_visit("no_answer")
    expect(phone.page.locator(".status__offline")).to_be_visible(timeout=30_000)  # it has tried, and failed
    phone.page.evaluate("() => { window.isSamePage = true; }")

    server.start()

    phone.wait_for_header("全部已上传", seconds=40)
    assert phone.page.evaluate("() => window.isSamePage") is True


@pytest.mark.whole_browser  # the shell lets nobody be reminded
def test_p13_when_the_browser_stops_trying_it_reminds_whoever_asked_for_it(phone: Phone) -> None:
    phone.context.set_offline(True)
    phone.log_visit("no_answer", note="示例：写给提醒看的。")
    phone.open("/settings/storage")
    panel = phone.page.locator("[data-reminder]")
    expect(panel.locator("[data-permission=default]")).to_be_visible()
    phone.context.grant_permissions(["notifications"], origin=phone.url)
    panel.locator("[data-remind]").tap()
    expect(panel.locator("[data-permission=granted]")).to_be_visible()
    take(phone.page, "reminder")

    assert worker_of(phone).evaluate(TRY_IN_BACKGROUND, False) == []
    assert worker_of(phone).evaluate(TRY_IN_BACKGROUND, True) == ["还有走访没上传。联网后打开邻里，就会上传。"]
    phone.context.set_offline(False)
    phone.wait_for_header("全部已上传", seconds=40)


def test_p13_where_background_sync_is_refused_all_leaves_when_there_is_a_network(phone: Phone) -> None:
    worker_of(phone).evaluate(
        "() => { self.registration.sync.register = () => Promise.reject(new DOMException('', 'NotAllowedError')); }"
    )
    phone.context.set_offline(True)
    phone.log_visit("no_answer")

    phone.context.set_offline(False)

    phone.wait_for_header("全部已上传", seconds=40)
