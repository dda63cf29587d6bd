"""The first sync: how far it has come stands on the first screen, and it goes on where it stopped."""

import pytest
from playwright.sync_api import expect
from sqlmodel import Session, select

from server.accepting import accept_changes, server_author
from server.models import Record, Volunteer
from server.rounds import assign_round
from server.scope import SCOPED
from sync.changes import Action, Change
from tests.browser.conftest import VOLUNTEER, MakePhone
from tests.browser.coordinator import Coordinator
from tests.browser.lossy_proxy import LossyProxy
from tests.browser.phone import Phone
from tests.browser.server_process import ServerProcess, with_database
from tests.browser.test_gallery import take
from tests.people import NOW, made_up_id

pytestmark = pytest.mark.browser

PROGRESS = "main #sync-status"
DOORS = 640
MORE_DOORS = 500  # so that a first sync has two pages


def give_every_door(session: Session) -> None:
    """All of the demo's households to its first volunteer: more than one page of records."""
    me = session.exec(select(Volunteer).where(Volunteer.number == VOLUNTEER)).one()
    records = session.exec(select(Record.kind, Record.record_id).execution_options(**SCOPED)).all()
    (round_id, *_) = [record_id for kind, record_id in records if kind == "round"]
    doors = [record_id for kind, record_id in records if kind == "household"]
    assert len(doors) == DOORS
    more = [made_up_id(f"door {number} of the large round") for number in range(MORE_DOORS)]
    accept_changes(session, server_author(me.community_id), [household(each) for each in more], NOW)
    doors += more
    assign_round(session, community_id=me.community_id, round_id=round_id, household_ids=doors, volunteer_ids=[me.id])


def household(record_id: str) -> Change:
    fields = {"door": "99-1-101", "address": "示例小区", "members": ["示例居民"], "risk": "green"}
    return Change(made_up_id(f"change of {record_id}"), 0, "household", record_id, Action.PUT, 0, fields, NOW, 1)


@pytest.fixture
def large_round(server: ServerProcess) -> ServerProcess:
    server.stop()
    with_database(server, lambda database: database.write(give_every_door))
    server.start()
    return server


def enrol_without_waiting(phone: Phone, coordinator: Coordinator) -> None:
    link = coordinator.invite(VOLUNTEER).link
    coordinator.confirm(phone.enrol(link.replace(coordinator.url, phone.url)))


def test_the_first_sync_says_how_far_it_has_come_and_goes_on_after_a_kill(
    large_round: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    with LossyProxy(large_round.port) as line:
        line.exchanges_left = 1
        phone = make_phone(line.url, device_scale_factor=1)
        enrol_without_waiting(phone, coordinator)

        expect(phone.page.locator(PROGRESS)).to_contain_text("正在下载名单：1000 / ")
        expect(phone.page.locator(PROGRESS)).to_contain_text("服务器暂时连不上，稍后自动接着下载。")
        take(phone.page, "first-sync")
        phone.kill()
        phone.start()
        phone.open("/today")
        expect(phone.page.locator(PROGRESS)).to_contain_text("正在下载名单：1000 / ")
        total = int(phone.page.locator("progress").get_attribute("max") or "0")
        line.exchanges_left = None

        expect(phone.page.locator("h1")).to_have_text("今天")
        assert phone.page.locator(".door, .empty").count() > 0
        cursors = [asked.message["cursor"] for asked in line.asked]
        assert cursors[0] == ""
        assert "" not in cursors[1:]
        assert total > DOORS + MORE_DOORS
        phone.wait_until_ready()
        line.is_cut = True
        phone.open("/today")
        assert phone.heading == "今天"


def test_s19_the_first_sync_says_how_many_households_how_much_and_how_long_before_it_starts(
    large_round: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    with LossyProxy(large_round.port) as line:
        line.exchanges_left = 0
        phone = make_phone(line.url, device_scale_factor=1)
        enrol_without_waiting(phone, coordinator)

        status = phone.page.locator(PROGRESS)
        expect(status).to_contain_text(f"共 {DOORS + MORE_DOORS} 户，约用流量 0.1 MB，网慢时约 2 秒。")
        expect(status).to_contain_text("正在下载名单…")
        assert [asked for asked in line.asked if asked.message["changes"] == []] == []
        take(phone.page, "first-sync-before")
        line.exchanges_left = 1
        expect(status).to_contain_text("正在下载名单：1000 / ", timeout=60_000)
        line.exchanges_left = None
        phone.kill()
        phone.start()
        phone.open("/today")

        expect(phone.page.locator("h1")).to_have_text("今天")
        assert "" not in [asked.message["cursor"] for asked in line.asked][1:]


def test_the_language_may_be_switched_while_the_first_sync_runs(
    large_round: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    with LossyProxy(large_round.port) as line:
        line.exchanges_left = 1
        phone = make_phone(line.url, device_scale_factor=1)
        enrol_without_waiting(phone, coordinator)
        expect(phone.page.locator(PROGRESS)).to_contain_text("正在下载名单：1000 / ")

        phone.switch_language()

        expect(phone.page.locator(PROGRESS)).to_contain_text("Downloading your list: 1000 of ")
        take(phone.page, "first-sync-english")


def test_a_first_sync_that_is_refused_leaves_the_pages_to_the_server(
    large_round: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    with LossyProxy(large_round.port) as line:
        line.refused_paths["/sync"] = (400, b'{"code": "bad_message", "message": "", "retry": false}')
        phone = make_phone(line.url)
        enrol_without_waiting(phone, coordinator)

        phone.page.wait_for_url("**/today")
        phone.open("/today")
        expect(phone.page.locator(".door").first).to_be_visible()
        assert phone.page.locator(PROGRESS).count() == 0
