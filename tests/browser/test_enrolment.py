"""Becoming a volunteer's phone: what goes wrong on the way, and that she gets there all the same."""

import re

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.conftest import MakePhone, enrol
from tests.browser.coordinator import Coordinator
from tests.browser.lossy_proxy import LossyProxy
from tests.browser.phone import SECONDS, Phone
from tests.browser.photographs import photograph
from tests.browser.screen import submit_of
from tests.browser.server_process import ServerProcess, wait_until
from tests.browser.test_gallery import take
from tests.browser.test_lock import doors_of, names_in, restart
from tests.browser.test_photos import CHOSEN, TAKE, file_of, open_form
from tests.browser.test_saving import entries

pytestmark = pytest.mark.browser

WORKER = "/service-worker.js"
BUTTON = submit_of("enrol-form")
TURNED_AWAY = "协调员没有通过这部手机，请协调员再发一个邀请码。"
# One of the worker's assets that no page asks for by itself.
ICON = re.compile(r"/static/icon-512\.[^\"]+")
HTMX = re.compile(r"/static/[^\"]*htmx[^\"]*")  # without it the page does less, and is no dead end
ONLINE = """() => {
    dispatchEvent(new Event("online"));
    return navigator.serviceWorker.controller != null;
}"""
LOST = """() => new Promise((resolve, reject) => {
    const request = indexedDB.deleteDatabase("linli-outbox");
    request.onsuccess = () => resolve();
    request.onerror = () => reject(request.error);
})"""
NEVER_OPENS = """
    const { open } = IDBFactory.prototype;
    IDBFactory.prototype.open = function (name, ...version) {
        return name === "linli-canary" ? {} : open.call(this, name, ...version);
    };
"""


def open_invite(phone: Phone, coordinator: Coordinator, number: str = "0001") -> None:
    phone.page.goto(coordinator.invite(number).link.replace(coordinator.url, phone.url))


def open_first_invite(phone: Phone, coordinator: Coordinator) -> tuple[Locator, str]:
    """The field that its code stands in, and the code."""
    open_invite(phone, coordinator)
    field = phone.page.locator("#code")
    expect(field).not_to_have_value("")
    return field, field.input_value()


def send_invite(phone: Phone, coordinator: Coordinator, number: str) -> None:
    open_invite(phone, coordinator, number)
    expect(phone.page.locator("#code")).not_to_have_value("")
    phone.page.locator(BUTTON).click()


# Whom the coordinator refuses


def test_a_phone_that_was_refused_says_so_and_is_enrolled_by_a_new_code(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    phone = make_phone(server.url)
    coordinator.refuse(phone.enrol(coordinator.invite("0001").link))

    expect(phone.page.locator("h1")).to_have_text("启用这部手机")
    expect(phone.page.locator("#problems")).to_have_text(TURNED_AWAY)
    take(phone.page, "turned_away")
    enrol(phone, coordinator)

    visit = phone.log_visit("no_answer")
    phone.wait_for_header("全部已上传")
    assert coordinator.visit_ids().count(visit) == 1


def test_a_phone_without_javascript_that_was_refused_says_so(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    phone = make_phone(server.url, java_script_enabled=False, service_workers="block")
    invite = coordinator.invite("0001")
    phone.open("/enrol")
    phone.page.locator("#code").fill(invite.short_code)
    phone.page.locator(BUTTON).click()
    phone.page.wait_for_url("**/enrol/waiting")

    coordinator.refuse(phone.page.locator(".number").inner_text().strip())

    expect(phone.page.locator("#problems")).to_have_text(TURNED_AWAY)


def test_whoever_waits_for_nobody_is_not_called_refused(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    phone = make_phone(server.url)

    phone.open("/enrol/waiting")

    expect(phone.page.locator("h1")).to_have_text("启用这部手机")
    expect(phone.page.locator("#problems")).to_have_count(0)


def test_a_phone_that_waits_under_the_wrong_volunteer_is_enrolled_by_the_link_of_the_right_one(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    phone = make_phone(server.url)
    phone.enrol(coordinator.invite("0001").link)

    enrol(phone, coordinator, number="0002")

    phone.open("/settings")
    expect(phone.page.locator(".answers")).to_contain_text("示例志愿者")


def test_a_second_invite_that_is_opened_on_the_page_of_the_first_one_is_the_one_that_counts(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    phone = make_phone(server.url)
    field, first = open_first_invite(phone, coordinator)

    open_invite(phone, coordinator)

    expect(field).not_to_have_value(first)


def test_a_link_within_the_page_of_an_invite_is_no_code(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    phone = make_phone(server.url)
    field, code = open_first_invite(phone, coordinator)

    phone.page.locator(".skip").focus()
    phone.page.keyboard.press("Enter")

    phone.wait_until_true("() => location.hash === '#heading'")
    expect(phone.page.locator(BUTTON)).to_be_enabled()
    assert field.input_value() == code


def test_a_phone_that_was_confirmed_keeps_its_key_and_what_waits(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    """A phone is handed over by signing out, which uploads first."""
    with LossyProxy(server.port) as line:
        phone = make_phone(line.url)
        enrol(phone, coordinator)
        line.exchanges_left = 0
        visit = phone.log_visit("no_answer")
        before = entries(phone)

        send_invite(phone, coordinator, "0002")

        expect(phone.page.locator("#problems")).to_be_visible()
        assert entries(phone) == before
        line.exchanges_left = None
        phone.exchange()
        assert coordinator.visit_ids().count(visit) == 1
        send_invite(phone, coordinator, "0002")
        expect(phone.page.locator("#problems")).to_be_visible()
        assert [(entry["record_id"], entry["state"]) for entry in entries(phone)] == [(visit, "acknowledged")]


def test_a_wrong_code_leaves_a_phone_that_waits_its_key(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    phone = make_phone(server.url)
    check_number = phone.enrol(coordinator.invite("0001").link)
    phone.open("/enrol#12345678")
    phone.page.locator(BUTTON).click()
    expect(phone.page.locator("#problems")).to_have_text("没有找到这个邀请码，请再核对一遍。")

    coordinator.confirm(check_number)

    phone.open("/enrol/waiting")
    phone.wait_until_enrolled()


# Whose phone it was before


def test_p19_a_phone_that_lost_its_outbox_alone_shows_the_next_volunteer_nobody_s_list_but_hers(
    phone: Phone, coordinator: Coordinator
) -> None:
    """What only the former one has in it still goes up, under her own key."""
    names = names_in(doors_of(phone))
    phone.context.set_offline(True)
    visit = phone.log_visit("no_answer")
    open_form(phone)
    phone.page.locator(TAKE).set_input_files(file_of(photograph(phone, 40, 30)))
    wait_until(lambda: phone.page.evaluate(CHOSEN) == [1], seconds=SECONDS, failure=lambda: "not kept")
    phone.page.evaluate(LOST)
    restart(phone)

    enrol(phone, coordinator, number="0002")

    shown = "".join(doors_of(phone))
    assert [name for name in names if name in shown] == []
    assert phone.page.evaluate(CHOSEN) == []
    wait_until(lambda: coordinator.visit_ids().count(visit) == 1, seconds=60, failure=lambda: "the visit is nowhere")


# Where the worker does not come at once


def lose(line: LossyProxy, path: str, phone: Phone, coordinator: Coordinator) -> None:
    """The line drops while this is fetched, and is there again."""
    line.closed_paths.add(path)
    open_invite(phone, coordinator)
    wait_until(lambda: path in line.hung_up, seconds=SECONDS, failure=lambda: f"nobody asked for {path}")
    expect(phone.page.locator(BUTTON)).to_be_disabled()
    line.closed_paths.clear()


@pytest.mark.parametrize("lost", ["the worker", "an asset", "htmx"])
def test_a_worker_that_was_lost_on_the_way_is_fetched_again(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone, lost: str
) -> None:
    script = coordinator.context.request.get(server.url + WORKER).text()
    path = {"the worker": WORKER, "an asset": ICON.findall(script)[0], "htmx": HTMX.findall(script)[0]}[lost]
    with LossyProxy(server.port) as line:
        phone = make_phone(line.url)
        lose(line, path, phone, coordinator)

        expect(phone.page.locator(BUTTON)).to_be_enabled()

        phone.page.locator(BUTTON).click()
        phone.page.wait_for_url("**/enrol/waiting")


def test_a_worker_that_was_lost_on_the_way_is_fetched_as_soon_as_there_is_a_network(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    with LossyProxy(server.port) as line:
        phone = make_phone(line.url)
        phone.page.clock.install()
        lose(line, WORKER, phone, coordinator)
        phone.page.clock.pause_at(phone.page.evaluate("() => Date.now() + 10"))

        phone.wait_until_true(ONLINE)  # told more than once: the first time may be before the worker was given up

        expect(phone.page.locator(BUTTON)).to_be_enabled()


def test_p18_a_store_that_never_opens_keeps_nobody_from_being_enrolled(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    """Which tells nothing of a private window: there it is refused."""
    phone = make_phone(server.url)
    phone.context.add_init_script(NEVER_OPENS)
    open_invite(phone, coordinator)

    expect(phone.page.locator(BUTTON)).to_be_enabled()
    expect(phone.page.locator("#code")).not_to_have_value("")
