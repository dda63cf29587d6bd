"""The worker as a local server: what it answers, in which tab, under which policy, and when it steps aside."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Response, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from server.page_table import PAGES
from tests.browser.conftest import MakePhone, enrol
from tests.browser.coordinator import Coordinator
from tests.browser.lossy_proxy import LossyProxy
from tests.browser.phone import Phone
from tests.browser.releases import next_release
from tests.browser.screen import submit_of
from tests.browser.server_process import ServerProcess, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.whole_browser]

FETCH = """async ([path, method]) => {
    const answer = await fetch(path, { method, body: method === "POST" ? new URLSearchParams() : undefined });
    return { status: answer.status, text: await answer.text(), headers: Object.fromEntries(answer.headers) };
}"""
POSTED_TO = """() => [...document.querySelectorAll("form")]
    .filter((form) => form.method === "post").map((form) => new URL(form.action).pathname)"""
# What the kill switch clears when it takes over.
HAS_NO_ASSETS = "async () => !(await caches.keys()).some((name) => name.startsWith('linli-assets-'))"
HAS_NEXT_WORKER = """async () => {
    const { waiting } = await navigator.serviceWorker.getRegistration();
    return waiting !== null || !(await caches.keys()).some((name) => name.startsWith("linli-assets-"));
}"""
SENT_TWICE = """async () => {
    const form = document.getElementById("visit-form");
    const body = () => new URLSearchParams(new FormData(form));
    const answers = await Promise.all([1, 2].map(() => fetch(form.action, { method: "POST", body: body() })));
    return answers.map((answer) => answer.url);
}"""


def fetched(page: Page, path: str, method: str = "GET") -> dict[str, Any]:
    answer: dict[str, Any] = page.evaluate(FETCH, [path, method])
    return answer


def pages_with_forms(phone: Phone) -> list[str]:
    """One page of every entry of the table, reached as a volunteer reaches it."""
    visit = phone.log_visit("met", note="示例")
    phone.open("/today")
    door = phone.page.locator(".door__link").first.get_attribute("href") or ""
    round_id, household_id = door.split("/")[2], door.split("/")[4]
    declined = sent(phone, "form[action$='/decline'] button")
    sent(phone, "form[id^=declined-] button")
    parts = {"round_id": round_id, "household_id": household_id, "visit_id": visit, "decline_id": declined}
    parts["outing_id"] = sent(phone, "form[action$='/start'] button")
    return [page.path.format(**parts) for page in PAGES]


def sent(phone: Phone, button: str) -> str:
    """The id of what a button of 今天 saved."""
    phone.page.locator(button).first.tap()
    expect(phone.page.locator(button)).to_have_count(0)
    return phone.page.url.partition("saved=")[2][:36]


# What it answers


def test_every_url_that_is_posted_to_answers_get(phone: Phone) -> None:
    phone.context.set_offline(True)
    posted_to: set[str] = set()

    for path in pages_with_forms(phone):
        phone.open(path)
        posted_to |= set(phone.page.evaluate(POSTED_TO))

    assert len(posted_to) >= 4  # settings, a new visit, an edit, a withdrawal
    assert {path: fetched(phone.page, path)["status"] for path in posted_to} == dict.fromkeys(posted_to, 200)


def test_a_form_with_a_problem_keeps_what_was_typed_and_survives_a_reload(phone: Phone) -> None:
    phone.context.set_offline(True)
    phone.open("/today")
    phone.page.locator(".door__link").first.tap()
    phone.page.locator("a[href$='/visit']").tap()
    phone.page.locator("textarea[name=note]").fill("先写备注")
    phone.page.locator(submit_of("visit-form")).tap()

    expect(phone.page.locator("#problems")).to_contain_text("结果")
    expect(phone.page.locator("textarea[name=note]")).to_have_value("先写备注")
    answer = phone.page.reload()

    assert answer is not None
    assert answer.status == 200
    expect(phone.page.locator("#visit-form")).to_be_visible()


def test_every_answer_of_the_worker_carries_the_server_s_policy(phone: Phone) -> None:
    paths = [*pages_with_forms(phone), "/visits/00000000-0000-7000-8000-000000000000"]
    a_form = next(path for path in paths if path.endswith("/visit"))
    from_server = phone.context.request.get(f"{phone.url}/today").headers
    phone.context.set_offline(True)

    answers = {path: fetched(phone.page, path) for path in [*paths, "/fragments/status"]}
    answers["a form with a problem"] = fetched(phone.page, a_form, "POST")
    answers["a page of the network"] = headers_of(phone.page.goto(f"{phone.url}/sign-in"))

    assert {name: answer["status"] for name, answer in answers.items() if answer["status"] != 200} == {
        paths[-1]: 404,
        "a form with a problem": 422,
        "a page of the network": 503,
    }
    for name, answer in answers.items():
        for header in ("content-security-policy", "x-content-type-options", "referrer-policy", "cache-control"):
            assert (name, header, answer["headers"].get(header)) == (name, header, from_server[header])


def headers_of(answer: Response | None) -> dict[str, Any]:
    assert answer is not None
    return {"status": answer.status, "headers": answer.headers}


def test_a_page_of_the_worker_is_the_server_s_page_but_for_the_outbox(phone: Phone) -> None:
    paths = [
        path for path in pages_with_forms(phone) if path != "/settings/storage"
    ]  # about this phone, which no server sees
    phone.open("/today")
    phone.wait_for_header("全部已上传")

    for path in paths:
        from_worker = fetched(phone.page, path)["text"]
        from_server = phone.context.request.get(phone.url + path).text()

        assert comparable(phone.page, from_worker) == comparable(phone.page, from_server), path


def comparable(page: Page, html: str) -> str:
    """The page without what differs by right: when all was uploaded, and what each host made up for a form."""
    found = page.evaluate(
        """(html) => {
            const page = new DOMParser().parseFromString(html, "text/html");
            page.querySelector("#sync-status")?.remove();
            page.querySelectorAll("dl.answers").forEach((list) => list.closest("form, section.panel")?.remove());
            for (const name of ["change_id", "opened_at", "record_id"]) {
                page.querySelectorAll(`input[name=${name}]`).forEach((input) => input.removeAttribute("value"));
            }
            page.querySelectorAll("[data-moment]").forEach((input) => input.removeAttribute("value"));
            page.querySelectorAll("[data-record]").forEach((form) => form.removeAttribute("data-record"));
            return page.documentElement.outerHTML;
        }""",
        html,
    )
    return str(found)


# Tabs and taps


def test_a_second_tab_works_and_tells_the_first(phone: Phone) -> None:
    phone.open("/today")
    phone.context.set_offline(True)
    second = phone.context.new_page()
    second.goto(f"{phone.url}/today")
    second.locator(".door:has([data-state=open]) .door__link").first.tap()
    second.locator("button[value=no_answer]").tap()
    expect(second.locator("#saved")).to_contain_text("已保存在本机")

    expect(phone.page.locator("#sync-status")).to_contain_text("待上传 1 条")
    phone.context.set_offline(False)
    for page in (phone.page, second):
        expect(page.locator("#sync-status")).to_contain_text("全部已上传")


def test_a_double_tap_on_save_makes_one_visit(phone: Phone, coordinator: Coordinator) -> None:
    before = len(coordinator.visit_ids())
    phone.open("/today")
    phone.page.locator(".door__link").first.tap()
    phone.page.locator("button[value=no_answer]").dblclick()
    phone.page.wait_for_url("**saved=**")
    phone.wait_for_header("全部已上传")

    assert len(phone.my_visits()) == 1
    assert len(coordinator.visit_ids()) == before + 1


def test_a_form_sent_twice_at_once_makes_one_visit(phone: Phone) -> None:
    phone.context.set_offline(True)
    phone.open("/today")
    phone.page.locator(".door__link").first.tap()
    phone.page.locator("a[href$='outcome=met']").tap()
    expect(phone.page.locator("#visit-form")).to_be_visible()

    first, second = phone.page.evaluate(SENT_TWICE)

    assert first == second
    assert [visit.states for visit in phone.my_visits()] == [("waiting",)]


# Settings


def test_the_language_is_switched_without_a_network_and_stays(phone: Phone) -> None:
    phone.open("/today")
    phone.context.set_offline(True)

    phone.switch_language()
    expect(phone.page.locator("html")).to_have_attribute("lang", "en")
    expect(phone.page.locator("h1")).to_have_text("Today")
    phone.kill()
    phone.start()
    phone.context.set_offline(True)
    phone.open("/my-visits")
    assert phone.heading == "My visits"
    phone.context.set_offline(False)
    phone.open("/today")

    # The exchange tells the server, whose own pages then speak English to this phone, too.
    def is_english_at_the_server() -> bool:
        return 'lang="en"' in phone.context.request.get(f"{phone.url}/today").text()

    wait_until(is_english_at_the_server, seconds=10, failure=lambda: "the server was not told")


def test_a_page_that_opens_while_the_worker_starts_asks_the_network_for_nothing(
    phone: Phone, server: ServerProcess
) -> None:
    """Chromium would ask for it as well meanwhile: 110 KB of a long list, for nobody."""
    for _ in range(3):
        phone.stop_workers()
        phone.open("/today")
        expect(phone.page.locator(".door").first).to_be_visible()
    phone.exchange()
    assert '"/sync"' in server.output
    assert '"/today"' not in server.output


# Releases


def test_a_new_worker_waits_until_it_is_asked_for(
    server: ServerProcess, coordinator: Coordinator, phone: Phone, tmp_path: Path
) -> None:
    phone.open("/settings")
    old = shown_release(phone)
    server.stop()
    visit = phone.log_visit("met")
    server.start(code=next_release(tmp_path))
    phone.open("/settings")

    phone.wait_until_true("async () => (await navigator.serviceWorker.getRegistration()).waiting !== null")
    prompt = phone.page.locator("#update-prompt")
    expect(prompt).to_be_visible()
    phone.open("/settings")
    assert shown_release(phone) == old
    expect(prompt).to_be_visible()
    prompt.locator("[data-update=now]").tap()

    expect(phone.page.locator("dl.answers")).not_to_contain_text(old)
    assert phone.heading == "设置二"
    phone.wait_for_header("全部已上传")
    assert [found.id for found in phone.my_visits()] == [visit]
    assert coordinator.visit_ids().count(visit) == 1


def test_to_ask_for_a_new_worker_in_vain_costs_no_script(server: ServerProcess, phone: Phone) -> None:
    """Browsers ask after many a page, on a volunteer's own data plan: 71 KB each time it was sent."""
    phone.open("/settings")
    before = len(answers_of_worker(server))

    phone.page.evaluate("async () => (await navigator.serviceWorker.ready).update()")

    wait_until(
        lambda: set(answers_of_worker(server)[before:]) == {304},
        seconds=20,
        failure=lambda: f"answered: {answers_of_worker(server)[before:]}",
    )


def answers_of_worker(server: ServerProcess) -> list[int]:
    lines = [json.loads(line) for line in server.output.splitlines() if '"route":"/service-worker.js"' in line]
    return [line["status"] for line in lines]


def shown_release(phone: Phone) -> str:
    return phone.page.locator("dl.answers dd").last.inner_text().strip()


def test_the_kill_switch_hands_pages_to_the_server_and_keeps_the_outbox(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    with LossyProxy(server.port) as proxy:
        phone = make_phone(proxy.url)
        enrol(phone, coordinator)
        proxy.closed_paths.add("/sync")
        visit = phone.log_visit("met", note="示例")
        server.stop()

        server.start(worker="off")
        phone.open("/today")
        # Chromium puts off its own look for a new worker while pages follow each other quickly.
        phone.page.evaluate("() => navigator.serviceWorker.ready.then((found) => found.update())")
        # Chromium at times lets it wait for minutes while a page is open; the next start of the app is the promise.
        phone.wait_until_true(HAS_NEXT_WORKER)
        wait_until(lambda: opens_again(phone), seconds=90, failure=lambda: "the app does not open")
        phone.wait_until_true(HAS_NO_ASSETS)
        assert is_from_server(phone)
        # Its own pages are the server's, which has never heard of the visit; nor does anybody send it now.
        assert phone.my_visits() == []
        proxy.closed_paths.clear()
        phone.page.evaluate("() => navigator.serviceWorker.controller?.postMessage({ type: 'drain', cause: 'asked' })")
        assert outbox_of(phone) == ["waiting"]
        assert visit not in coordinator.visit_ids()
        server.stop()

        server.start(worker="on")
        phone.open("/today")
        phone.page.locator("#update-prompt [data-update=now]").tap()
        phone.wait_until_ready()
        phone.open("/today")  # the kill may have lost the cookie: the worker needs none
        phone.wait_for_header("全部已上传")
        assert [found.id for found in phone.my_visits()] == [visit]
        assert coordinator.visit_ids().count(visit) == 1


def opens_again(phone: Phone) -> bool:
    """Closes the app and opens it. About once in twenty times Chromium, driven from outside, never answers a page asked
    for while it puts a waiting worker in charge; people, too, would close the app once more."""
    phone.close()
    phone.start()
    with suppress(PlaywrightTimeout):
        phone.page.goto(f"{phone.url}/today", timeout=8000)
        return True
    return False


def is_from_server(phone: Phone) -> bool:
    answer = phone.page.goto(f"{phone.url}/today")
    return answer is not None and answer.ok and not answer.from_service_worker


def outbox_of(phone: Phone) -> list[str]:
    """The states of the entries in the outbox, read past the worker."""
    found = phone.page.evaluate(
        """() => new Promise((resolve, reject) => {
            const request = indexedDB.open("linli-outbox", 1);
            request.onerror = () => reject(request.error);
            request.onsuccess = () => {
                const entries = request.result.transaction("entries").objectStore("entries").getAll();
                entries.onsuccess = () => {
                    request.result.close();
                    resolve(JSON.stringify(entries.result.map((entry) => entry.state)));
                };
            };
        })"""
    )
    states: list[str] = json.loads(found)
    return states
