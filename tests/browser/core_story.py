"""The core of the story, for any engine: enrol, log with the server gone, upload when it is back."""

from tests.browser.coordinator import Coordinator
from tests.browser.other_phone import OtherPhone
from tests.browser.server_process import ServerProcess, is_refused


def play(server: ServerProcess, coordinator: Coordinator, phone: OtherPhone) -> None:
    coordinator.confirm(phone.enrol(coordinator.invite("0001").link))
    phone.wait_until_enrolled()
    before = coordinator.visit_ids()
    phone.open("/today")
    server.stop()
    assert is_refused(server.port)

    visits = [phone.log_visit("met", note="示例 <b>"), phone.log_visit("no_answer")]

    assert phone.states() == dict.fromkeys(visits, "待上传")
    server.start()
    phone.wait_for_header("全部已上传")
    assert sorted(coordinator.visit_ids()) == sorted([*before, *visits])
    received = coordinator.open_visit(visits[0])
    assert (received.answers["结果"], received.answers["备注"]) == ("见到本人", "示例 <b>")
    assert received.history == ("accepted",)
