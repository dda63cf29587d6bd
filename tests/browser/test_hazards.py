"""What phones do to an app, played through on the whole app (RELIABILITY.md, P15 and P27). Others stand with what they
threaten: the stores, the drafts, the photos. ARCHITECTURE.md 8 says which, and which need a real phone."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.coordinator import Coordinator
from tests.browser.phone import Phone
from tests.browser.server_process import wait_until

pytestmark = pytest.mark.browser

DRAIN = "(cause) => navigator.serviceWorker.controller.postMessage({ type: 'drain', cause })"


def test_p15_five_tabs_that_upload_at_once_upload_each_visit_once(phone: Phone, coordinator: Coordinator) -> None:
    before = set(coordinator.visit_ids())
    phone.context.set_offline(True)
    visits = {phone.log_visit("no_answer") for _ in range(3)}
    tabs = [phone.page] + [phone.context.new_page() for _ in range(4)]
    for tab in tabs[1:]:
        tab.goto(f"{phone.url}/today")
    phone.context.set_offline(False)

    for cause in ("asked", "online", "asked"):
        for tab in tabs:
            tab.evaluate(DRAIN, cause)

    phone.wait_for_header("全部已上传", seconds=40)
    assert set(coordinator.visit_ids()) - before == visits
    assert [coordinator.open_visit(visit).history for visit in visits] == [("accepted",)] * 3


@pytest.mark.parametrize("breaks", ["MANIFEST-*", "CURRENT", "*.log"])
def test_p19_a_database_that_the_browser_lost_costs_no_visit(
    phone: Phone, coordinator: Coordinator, tmp_path: Path, breaks: str
) -> None:
    """Chromium deletes a store that it cannot read, with all that is in it: the key, too."""
    before = set(coordinator.visit_ids())
    phone.context.set_offline(True)
    visits = {phone.log_visit("no_answer", note="示例：写在坏掉的手机里。") for _ in range(3)}
    phone.kill()
    broken = [file for folder in tmp_path.glob("enrolled/**/IndexedDB/*.leveldb") for file in folder.glob(breaks)]
    assert broken
    for file in broken:
        file.write_bytes(b"\xff" * 64)

    phone.start()
    phone.open("/today")

    wait_until(
        lambda: set(coordinator.visit_ids()) - before == visits,
        seconds=60,
        failure=lambda: f"missing: {visits - set(coordinator.visit_ids())}",
    )
    assert [coordinator.open_visit(visit).history for visit in visits] == [("accepted",)] * 3


def test_p27_a_round_that_is_taken_away_takes_no_visit_with_it(phone: Phone, coordinator: Coordinator) -> None:
    """Five wait on a phone that cannot be told; two more are made after the round is gone."""
    phone.open("/today")
    phone.page.locator(".round form[action$='/decline'] button").tap()
    phone.wait_for_header("全部已上传", seconds=40)
    before = set(coordinator.visit_ids())
    phone.context.set_offline(True)
    phone.page.locator("form[id^=declined-] button").tap()
    expect(phone.page.locator("form[id^=declined-]")).to_have_count(0)
    visits = [phone.log_visit("no_answer") for _ in range(5)]
    coordinator.page.goto(f"{coordinator.url}/coordinator/rounds")
    coordinator.page.locator("form[action$='/take-back'] button").click()
    expect(coordinator.page.locator(".saved")).to_be_visible()
    late = [phone.log_visit("no_answer") for _ in range(2)]

    phone.context.set_offline(False)

    def has_left() -> bool:
        phone.wait_until_ready()
        phone.open("/today")
        return phone.page.locator(".round").count() == 0

    wait_until(has_left, seconds=60, failure=lambda: "the round stayed on the phone")
    assert set(coordinator.visit_ids()) - before == set(visits)
    coordinator.page.goto(f"{coordinator.url}/coordinator/held")
    shown = coordinator.page.locator(".panel[id^=change-]").count()
    assert shown >= 2
    held = {visit.id: visit.states for visit in phone.my_visits() if visit.id in late}
    assert held == dict.fromkeys(late, ("held",))
    assert re.search("需核对 2 条", phone.header)
