"""The central database goes back in time; the phones put it right."""

from pathlib import Path

import pytest

from server.backup import back_up, restore
from tests.browser.coordinator import Coordinator
from tests.browser.phone import Phone
from tests.browser.server_process import ServerProcess

pytestmark = pytest.mark.browser


def test_visits_that_a_restored_backup_lacks_come_back_from_the_phone_once(
    server: ServerProcess, coordinator: Coordinator, phone: Phone, tmp_path: Path
) -> None:
    live, backup = server.data_dir / "linli.db", tmp_path / "backup.db"
    before = coordinator.visit_ids()
    kept = phone.log_visit("met")
    phone.wait_for_header("全部已上传")
    server.stop()
    back_up(live, backup)
    server.start()
    lost = [phone.log_visit("no_answer"), phone.log_visit("met", note="示例：备份之后")]
    phone.wait_for_header("全部已上传")
    assert sorted(coordinator.visit_ids()) == sorted([*before, kept, *lost])

    server.stop()
    phone.close()  # an open page would send them again before anybody could look
    restore(backup, live)
    server.start()
    assert sorted(coordinator.visit_ids()) == sorted([*before, kept])
    phone.start()
    waiting = phone.log_visit("no_answer")

    phone.wait_for_header("全部已上传", seconds=40)
    assert sorted(coordinator.visit_ids()) == sorted([*before, kept, *lost, waiting])
    assert [coordinator.open_visit(visit).history for visit in (kept, *lost, waiting)] == [("accepted",)] * 4
    phone.open("/my-visits")
    shown = {visit.id: visit.states for visit in phone.my_visits()}
    assert [shown[visit] for visit in (kept, *lost, waiting)] == [("uploaded",)] * 4
