"""Where a phone's storage cannot be trusted, nobody begins: what to do instead stands in place of the form (P6 to P9)."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.phone import DEVICE, Phone
from tests.browser.server_process import ServerProcess

pytestmark = pytest.mark.browser

CODE = "12345678"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.1 Mobile/15E148 Safari/604.1"
)
WECHAT_ON_IPHONE = IPHONE.replace("Version/18.1", "") + " MicroMessenger/8.0.50 NetType/WIFI Language/zh_CN"
WECHAT_ON_ANDROID = (
    "Mozilla/5.0 (Linux; Android 13; V2166A; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 "
    "Chrome/116.0.0.0 Mobile Safari/537.36 MicroMessenger/8.0.50 Language/zh_CN"
)
OTHER_APP = WECHAT_ON_ANDROID.split(" MicroMessenger")[0]
# An iPhone has no such storage, by whose room Chromium's private windows (as contexts are) show on some machines.
ON_HOME_SCREEN = """
Object.defineProperty(navigator, "standalone", { value: true });
Object.defineProperty(navigator, "webkitTemporaryStorage", { value: undefined });
"""
# How many things lie in each store of each database, settings left out.
STORED = """async () => {
    const found = {};
    for (const { name } of await indexedDB.databases()) {
        const database = await new Promise((done) => (indexedDB.open(name).onsuccess = ({ target }) => done(target.result)));
        for (const store of database.objectStoreNames) {
            if (store === "settings") continue;
            const count = database.transaction(store).objectStore(store).count();
            found[`${name}/${store}`] = await new Promise((done) => (count.onsuccess = () => done(count.result)));
        }
        database.close();
    }
    return found;
}"""
# What Firefox and Safari answer in a private window.
PRIVATE = "StorageManager.prototype.getDirectory = () => Promise.reject(new DOMException('no', 'SecurityError'));"


def opened(browser: Browser, url: str, agent: str, *, script: str = "", **options: Any) -> Iterator[Page]:
    context = browser.new_context(**DEVICE | {"user_agent": agent} | options)
    context.add_init_script(script)
    page = context.new_page()
    page.goto(url)
    yield page
    context.close()


def see(page: Page, why: str) -> None:
    expect(page.locator(f"[data-refused={why}]")).to_be_visible()
    expect(page.locator("#enrol-form")).to_be_hidden()
    expect(page.locator("[data-refused]:visible")).to_have_count(2)  # with the way to the calendar


@pytest.mark.parametrize("agent", [WECHAT_ON_IPHONE, WECHAT_ON_ANDROID, OTHER_APP])
@pytest.mark.parametrize("java_script", [True, False])
def test_p09_nobody_is_enrolled_inside_wechat_and_the_calendar_is_there(
    browser: Browser, server: ServerProcess, agent: str, java_script: bool
) -> None:
    options: dict[str, Any] = {"java_script_enabled": java_script, "service_workers": "block"}
    for page in opened(browser, f"{server.url}/enrol#{CODE}", agent, **options):
        see(page, "in_app")
        expect(page.locator("[data-refused=in_app] svg")).to_be_visible()
        assert page.url.endswith(f"#{CODE}")  # what the browser then opens
        page.goto(f"{server.url}/calendar")
        expect(page.locator("main a[href^='/calendar/']").first).to_be_visible()


@pytest.mark.parametrize(("agent", "heading"), [(WECHAT_ON_IPHONE, "启用这部手机"), (IPHONE, "今天")])
def test_p09_a_volunteer_s_pages_inside_wechat_lead_to_the_way_out(
    browser: Browser, phone: Phone, agent: str, heading: str
) -> None:
    """Signed in where no worker runs: in WeChat there is no form of a visit, either."""
    state = phone.context.storage_state()
    for page in opened(browser, f"{phone.url}/today", agent, storage_state=state, service_workers="block"):
        expect(page.locator("h1")).to_have_text(heading)
        expect(page.locator("[data-refused=in_app]:visible")).to_have_count(int(agent != IPHONE))


def test_p06_a_tab_of_an_iphone_says_how_to_install_before_anything_is_typed(
    browser: Browser, server: ServerProcess
) -> None:
    for page in opened(browser, f"{server.url}/enrol#{CODE}", IPHONE):
        see(page, "tab")
        expect(page.locator("[data-refused=tab] svg")).to_be_visible()
        expect(page.locator("[data-refused=tab]")).to_contain_text("添加到主屏幕")
        expect(page.locator("[data-code] output")).to_have_text(CODE)


def test_p07_a_tab_of_an_iphone_stores_nothing_and_the_app_on_its_home_screen_does(
    browser: Browser, server: ServerProcess
) -> None:
    """Two stores: what is enrolled in the one is not in the other, so only the one that lasts is ever filled."""
    for page in opened(browser, f"{server.url}/enrol#{CODE}", IPHONE):
        see(page, "tab")
        page.evaluate("() => navigator.serviceWorker.ready")
        rows = page.evaluate(STORED)
        assert rows.pop("linli-vault/keys", 0) <= 1, "keys, and nothing that they seal"
        assert not any(rows.values()), rows
    for page in opened(browser, f"{server.url}/enrol#{CODE}", IPHONE, script=ON_HOME_SCREEN):
        expect(page.locator("#code")).to_have_value(CODE)
        expect(page.locator("[data-refused]:visible")).to_have_count(0)


def test_p08_a_private_window_is_refused_where_it_can_be_seen(browser: Browser, server: ServerProcess) -> None:
    android = "Mozilla/5.0 (Android 14; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0"
    for page in opened(browser, f"{server.url}/enrol#{CODE}", android, script=PRIVATE):
        see(page, "private")
        expect(page.locator("[data-refused=private]")).to_contain_text("无痕窗口")


def test_p08_a_browser_that_keeps_nothing_is_refused(browser: Browser, server: ServerProcess) -> None:
    broken = "IDBFactory.prototype.open = () => { throw new DOMException('no', 'SecurityError'); };"
    for page in opened(browser, f"{server.url}/enrol#{CODE}", IPHONE, script=ON_HOME_SCREEN + broken):
        see(page, "private")


def test_the_pictures_are_read_aloud_and_need_no_colour(browser: Browser, server: ServerProcess) -> None:
    for page in opened(browser, f"{server.url}/enrol", WECHAT_ON_IPHONE):
        picture = page.locator("svg[role=img]:visible")
        assert re.search("三个点.*浏览器打开", picture.get_attribute("aria-label") or "")
