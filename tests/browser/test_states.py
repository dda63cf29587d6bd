"""Where each record is, on its own line and in words; and how calm it is without a network (EXPERIENCE.md B)."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import MakePhone, enrol
from tests.browser.coordinator import Coordinator
from tests.browser.lossy_proxy import LossyProxy
from tests.browser.phone import Phone
from tests.browser.server_process import ServerProcess, wait_until
from tests.browser.test_gallery import take
from tests.browser.test_saving import worker_of

pytestmark = pytest.mark.browser

# Colours of alarm on screen: more red than anything else, where something is drawn with it.
ALARMS = """() => [...document.querySelectorAll(".top *, main *")]
    .filter((element) => element.checkVisibility() && !element.matches(".tag--red, .tag--red *, .tag--yellow, .tag--yellow *"))
    .filter((element) => {
        const { color, backgroundColor } = getComputedStyle(element);
        return [color, backgroundColor].some((each) => {
            const [red, green, blue, alpha = 1] = each.match(/[\\d.]+/g).map(Number);
            return alpha > 0 && red > green + 60 && red > blue + 60;
        });
    })
    .map((element) => element.outerHTML.slice(0, 100))"""

HAS_NETWORK = """async () => navigator.onLine
    && await fetch("/manifest.webmanifest", { cache: "no-store" }).then(({ ok }) => ok, () => false)"""


def test_s12_every_visit_says_where_it_is_and_the_list_shows_one_state_alone(phone: Phone) -> None:
    up = phone.log_visit("met")
    phone.wait_for_header("全部已上传", seconds=40)
    phone.context.set_offline(True)
    waits = phone.log_visit("no_answer")

    states = {visit.id: (visit.states, visit.words) for visit in phone.my_visits()}

    assert states[waits] == (("waiting",), "待上传")
    assert states[up][0] == ("uploaded",)
    assert states[up][1].startswith("已上传 ")
    phone.page.locator("a.chip[href$='state=waiting']").tap()
    expect(phone.page.locator(".visits > .visit")).to_have_count(1)
    expect(phone.page.locator(f"#visit-{waits}")).to_be_visible()
    phone.open("/today")
    expect(phone.page.locator(".door [data-state=waiting]")).to_have_count(1)
    expect(phone.page.locator(".door [data-state=uploaded]")).to_have_count(1)


HOLD_FIRST_STATUS = """() => {
    const { fetch } = window;
    let isFirst = true;
    window.fetch = async (...given) => {
        if (given[0] !== "/fragments/status" || !isFirst) return fetch(...given);
        isFirst = false;
        return new Promise((resolve) => { window.release = () => resolve(new Response("<p>待上传 9 条</p>")); });
    };
}"""
TELL = "() => navigator.serviceWorker.dispatchEvent(new MessageEvent('message', { data: { type: 'status' } }))"
SHOW_OLD = "() => { document.querySelector('#sync-status').textContent = '待上传 9 条'; }"


def test_an_older_answer_never_takes_the_place_of_a_newer_one_in_the_header(phone: Phone) -> None:
    """A slow phone answers the page that it is told of twice in any order."""
    phone.wait_for_header("全部已上传", seconds=40)
    phone.page.evaluate(SHOW_OLD)
    phone.page.evaluate(HOLD_FIRST_STATUS)
    phone.page.evaluate(TELL)
    phone.page.evaluate(TELL)
    phone.wait_for_header("全部已上传")

    phone.page.evaluate("async () => { window.release(); await new Promise((done) => setTimeout(done)); }")

    assert "全部已上传" in phone.header


def test_a_page_that_was_drawn_before_the_upload_and_shown_after_it_is_told(phone: Phone) -> None:
    phone.wait_for_header("全部已上传", seconds=40)

    phone.page.evaluate("() => document.body.dispatchEvent(new Event('htmx:before:request', { bubbles: true }))")
    phone.page.evaluate(TELL)
    phone.page.evaluate("() => fetch('/fragments/status')")  # what the page then there was told
    phone.page.evaluate(SHOW_OLD)
    phone.page.evaluate("() => document.body.dispatchEvent(new Event('htmx:after:swap', { bubbles: true }))")

    phone.wait_for_header("全部已上传")


def test_s14_without_a_network_nothing_is_red_and_the_strip_says_what_still_works(phone: Phone) -> None:
    phone.context.set_offline(True)
    phone.log_visit("no_answer")

    for path in ("/today", "/my-visits", "/settings", "/map"):
        phone.open(path)
        expect(phone.page.locator(".status__offline")).to_have_text("现在没有网络。走访照常记录，联网后自动上传")
        assert phone.page.evaluate(ALARMS) == [], path


def test_s14_with_a_network_and_no_server_the_strip_says_so_without_alarm(phone: Phone, server: ServerProcess) -> None:
    phone.open("/today")
    server.stop()
    phone.log_visit("no_answer")

    strip = phone.page.locator(".status__offline")
    expect(strip).to_have_text(
        re.compile(r"服务器暂时连不上，已存本机，稍后自动再试。上次尝试 \d\d:\d\d"), timeout=20_000
    )
    assert phone.page.evaluate(ALARMS) == []
    take(phone.page, "unreachable")
    phone.switch_language()
    expect(strip).to_contain_text("Server unreachable. Saved here; retrying. Last tried ")
    take(phone.page, "unreachable-en")
    server.start()
    phone.wait_for_header("All uploaded", seconds=40)
    expect(strip).to_have_text("All 1 uploaded")
    phone.exchange()
    expect(strip).to_have_count(0)


def test_s14_when_the_network_is_back_the_strip_says_what_goes_up_how_slow_it_is_and_that_it_is_there(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    with LossyProxy(server.port) as line:
        phone = make_phone(line.url)
        enrol(phone, coordinator)
        phone.open("/today")
        phone.page.locator(".door:has([data-state=open]) .door__link").first.tap()
        phone.page.wait_for_url("**/doors/*")
        phone.context.set_offline(True)
        # By taps alone: a page that is opened by its address may get another process, which Chromium tells of no cut line.
        phone.page.locator("button[value=no_answer]").tap()
        expect(phone.page.locator("#saved")).to_be_visible()
        phone.page.locator(".actions .button--primary").tap()
        expect(phone.page.locator("#saved")).to_have_count(0)
        phone.page.locator("button[value=no_answer]").tap()
        expect(phone.page.locator("#saved")).to_be_visible()
        strip = phone.page.locator(".status__offline")
        expect(strip).to_contain_text("现在没有网络")
        line.may_exchange.clear()

        # Playwright gives pages their network before the worker, and the worker its name of being online before its network:
        # whoever asks in between, by the event or by the page's own timer, meets the cut line and is told so.
        phone.page.evaluate("() => (navigator.serviceWorker.controller.postMessage = () => {})")
        phone.context.set_offline(False)
        worker = worker_of(phone)
        wait_until(lambda: worker.evaluate(HAS_NETWORK), seconds=20, failure=lambda: "it hears of no network")
        phone.page.evaluate("() => delete navigator.serviceWorker.controller.postMessage")
        phone.page.evaluate("() => dispatchEvent(new Event('online'))")

        expect(strip).to_have_text("已联网，正在上传 2 条…")
        take(phone.page, "back")
        expect(strip).to_have_text("网络较慢，先存本机，不用等", timeout=20_000)
        take(phone.page, "slow")
        line.may_exchange.set()
        expect(strip).to_have_text("2 条已全部上传")
        phone.wait_for_header("全部已上传")
        take(phone.page, "all_up")
        phone.exchange()
        expect(strip).to_have_count(0)


def test_s04_the_app_that_was_killed_opens_on_today_s_round_with_nobody_to_ask(
    phone: Phone, server: ServerProcess
) -> None:
    """How fast: ./linli bench phone."""
    icon = phone.page.evaluate("async () => (await (await fetch('/manifest.webmanifest')).json()).start_url")
    phone.kill()
    server.stop()

    phone.start()
    phone.page.goto(phone.url + icon)

    expect(phone.page.locator(".round .door")).to_have_count(14)
