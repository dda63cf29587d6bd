"""The central database goes back in time; the phones put it right."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import expect

from server.backup import back_up, restore
from tests.browser.conftest import MakePhone, enrol
from tests.browser.coordinator import Coordinator
from tests.browser.phone import Phone
from tests.browser.server_process import ServerProcess, wait_until
from tests.browser.test_enrolment import send_invite
from tests.browser.test_hazards import DRAIN
from tests.browser.test_saving import entries, worker_of
from tests.browser.test_sign_out import revoke

pytestmark = pytest.mark.browser

NO_EXCHANGE = """() => {
    const fetch = self.fetch;
    const isExchange = (request) => new URL(request.url ?? request, location.href).pathname === "/sync";
    self.fetch = (request, ...more) => (isExchange(request) ? Promise.reject(new TypeError("no")) : fetch(request, ...more));
}"""


def take_backup(server: ServerProcess, folder: Path) -> Path:
    backup = folder / "backup.db"
    server.stop()
    back_up(server.data_dir / "linli.db", backup)
    server.start()
    return backup


def go_back(server: ServerProcess, backup: Path, *, without: str = "") -> None:
    """`without`: the number of a volunteer who was none yet."""
    server.stop()
    database = server.data_dir / "linli.db"
    restore(backup, database)
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("DELETE FROM volunteer WHERE number = ?", (without,))
    server.start()


def test_visits_that_a_restored_backup_lacks_come_back_from_the_phone_once(
    server: ServerProcess, coordinator: Coordinator, phone: Phone, tmp_path: Path
) -> None:
    before = coordinator.visit_ids()
    kept = phone.log_visit("met")
    phone.wait_for_header("全部已上传")
    backup = take_backup(server, tmp_path)
    lost = [phone.log_visit("no_answer"), phone.log_visit("met", note="示例：备份之后")]
    phone.wait_for_header("全部已上传")
    assert sorted(coordinator.visit_ids()) == sorted([*before, kept, *lost])

    phone.close()  # an open page would send them again before anybody could look
    go_back(server, backup)
    assert sorted(coordinator.visit_ids()) == sorted([*before, kept])
    phone.start()
    waiting = phone.log_visit("no_answer")

    phone.wait_for_header("全部已上传", seconds=40)
    assert sorted(coordinator.visit_ids()) == sorted([*before, kept, *lost, waiting])
    assert [coordinator.open_visit(visit).history for visit in (kept, *lost, waiting)] == [("accepted",)] * 4
    phone.open("/my-visits")
    shown = {visit.id: visit.states for visit in phone.my_visits()}
    assert [shown[visit] for visit in (kept, *lost, waiting)] == [("uploaded",)] * 4


def test_what_waits_on_a_phone_that_a_restored_backup_does_not_know_never_goes_up_as_another_s(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone, tmp_path: Path
) -> None:
    backup = take_backup(server, tmp_path)
    phone = make_phone(server.url)
    enrol(phone, coordinator)
    phone.context.set_offline(True)
    visit = phone.log_visit("no_answer")
    before = entries(phone)
    go_back(server, backup)
    phone.context.set_offline(False)

    send_invite(phone, coordinator, "0002")
    expect(phone.page.locator("#problems")).to_contain_text("这部手机登记在另一位志愿者名下")
    assert entries(phone) == before

    enrol(phone, coordinator)
    phone.wait_for_header("全部已上传", seconds=40)
    assert coordinator.visit_ids().count(visit) == 1


def test_whoever_is_given_the_phone_of_somebody_that_a_restored_backup_lacks_is_shown_none_of_her_doors(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone, tmp_path: Path
) -> None:
    """The backup is of before she was a volunteer, and the server takes her phone's key for anybody's."""
    backup = take_backup(server, tmp_path)
    phone = make_phone(server.url)
    enrol(phone, coordinator)
    phone.open("/today")
    assert phone.page.locator(".door__link").count() > 0
    go_back(server, backup, without="0001")
    worker_of(phone).evaluate(NO_EXCHANGE)

    link = coordinator.invite("0002").link
    coordinator.confirm(phone.enrol(link))

    phone.page.wait_for_url("**/today")
    expect(phone.page.locator("h1")).to_have_text("马上就好")
    assert phone.page.locator(".door__link").count() == 0


def test_visits_of_a_phone_that_became_another_device_come_back_from_it_as_well(
    server: ServerProcess, coordinator: Coordinator, phone: Phone, tmp_path: Path
) -> None:
    """Revoked by mistake, and enrolled anew: the backup of the night before knows neither the visit nor the new device."""
    backup = take_backup(server, tmp_path)
    visit = phone.log_visit("no_answer")
    phone.wait_for_header("全部已上传")
    revoke(coordinator)
    phone.page.evaluate(DRAIN, "asked")
    expect(phone.page.locator("h1")).to_have_text("这部手机已停用")
    enrol(phone, coordinator)

    go_back(server, backup)
    assert visit not in coordinator.visit_ids()
    enrol(phone, coordinator)

    def is_back() -> bool:
        phone.exchange()
        return visit in coordinator.visit_ids()

    wait_until(is_back, seconds=60, failure=lambda: "the visit is nowhere")
    assert coordinator.open_visit(visit).history == ("accepted",)
