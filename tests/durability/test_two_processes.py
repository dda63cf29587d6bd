"""Two app processes over one PostgreSQL: what one does in the middle of the other's transaction (RELIABILITY.md 2.2)."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlmodel import Session
from starlette.testclient import TestClient

from server import migrations
from server.accepting import accept_changes, principal_author, server_author
from server.app import create_app
from server.conflicts import Choice, open_conflicts, settle
from server.database import Database
from server.enrolment import ClaimProblem, claim_invite, create_invite, volunteer_by_number
from server.identifiers import uuid7
from server.models import Community, Device, Feed
from server.rules import RULES
from server.scope import Principal
from server.sealing import encode_base64url
from server.sessions import end_session, slide_session
from server.settings import Settings
from server.store import SqlStore
from server.sync_api import Exchange
from sync.changes import Action, Change
from sync.engine import accept
from sync.kinds import Role
from sync.protocol import decode_message
from tests.people import ALICE, COMMUNITY_ID, COORDINATOR, NOW, RED_DOOR, build_world, made_up_id, sign_in, visit_change
from tests.postgres import new_database, told_of_statements
from tests.signing_phone import SigningPhone, message, wire_change

DAY = 24 * 3600_000
SECONDS = 10
SECOND = Principal(Role.COORDINATOR, made_up_id("Second"), COMMUNITY_ID, "Second")


@pytest.fixture
def one() -> Iterator[Database]:
    url = new_database()
    migrations.upgrade(url)
    with closing(Database(url)) as database:
        build_world(database)
        yield database


@pytest.fixture
def other(one: Database) -> Iterator[Database]:
    with closing(Database(one.url)) as database:
        yield database


@contextmanager
def meanwhile(database: Database, before: str, work: Callable[[], object]) -> Iterator[None]:
    """Once, just before `database` sends a statement with these words: what another process does. Where it has to wait for
    this transaction, this one goes on after a moment."""
    begun: list[threading.Thread] = []

    def tell(_connection: object, statement: str) -> None:
        if before in statement and not begun:
            begun.append(threading.Thread(target=work))
            begun[0].start()
            begun[0].join(0.5)

    with told_of_statements(database.engine, tell):
        yield
    begun[0].join()


def test_of_two_who_settle_a_conflict_at_once_one_is_told_that_it_is_settled(one: Database, other: Database) -> None:
    base = one.read(lambda session: SqlStore(session).records(COMMUNITY_ID, [RED_DOOR])[RED_DOOR].revision)
    for who, address in ((COORDINATOR, "一号"), (SECOND, "二号")):
        said = Change(uuid7(), 0, "household", RED_DOOR, Action.PUT, base, {"address": address}, NOW, 1)
        one.write(lambda session, who=who, said=said: accept_changes(session, principal_author(who), [said], NOW))  # type: ignore[misc]
    (conflict,) = one.read(lambda session: open_conflicts(session, COORDINATOR))
    told: dict[str, bool] = {}

    def choose(database: Database, who: Principal, choice: Choice) -> None:
        base = conflict.record.revision
        told[who.name] = database.write(
            lambda session: settle(session, who, conflict.id, choice, change_id=uuid7(), base=base, now=NOW)
        )

    with meanwhile(one, "FROM record", lambda: choose(other, SECOND, Choice.PROPOSED)):
        choose(one, COORDINATOR, Choice.CURRENT)

    assert sorted(told.values()) == [False, True]
    address = one.read(lambda session: SqlStore(session).records(COMMUNITY_ID, [RED_DOOR])[RED_DOOR].fields["address"])
    assert address == ("一号" if told[COORDINATOR.name] else "二号")


def test_a_session_that_ends_while_it_is_extended_is_ended(one: Database, other: Database) -> None:
    token = sign_in(one, ALICE)

    with meanwhile(one, "UPDATE session", lambda: other.write(lambda session: end_session(session, token))):
        one.write(lambda session: slide_session(session, token, NOW + 2 * DAY))


def test_a_phone_that_claims_two_codes_at_once_is_one_phone(one: Database, other: Database) -> None:
    key = encode_base64url(SigningPhone(ALICE).public_key)

    def invite(session: Session) -> str:
        return create_invite(session, volunteer_by_number(session, ALICE.number), now=NOW).token

    def claim(database: Database, code: str) -> object:
        claimed = database.write(
            lambda session: claim_invite(session, code=code, device_name="", public_key=key, now=NOW)
        )
        return claimed.id if isinstance(claimed, Device) else claimed

    first, second = one.write(invite), one.write(invite)
    seen: list[object] = []
    with meanwhile(one, "INSERT INTO device", lambda: seen.append(claim(other, second))):
        seen.append(claim(one, first))

    assert len(set(seen)) == 1
    assert seen[0] not in list(ClaimProblem)


def test_two_messages_of_one_phone_at_once_leave_no_gap(one: Database, other: Database) -> None:
    phone = SigningPhone(ALICE)
    one.write(phone.enrol)

    def push(database: Database, number: int) -> object:
        visit = wire_change(visit_change(f"visit {number}"), device_sequence=number)
        entry = {"change_id": visit["change_id"], "device_sequence": number, "change": visit}
        asked = decode_message(json.loads(message([entry], high_water=number)))
        return Exchange(phone.device_id, asked, NOW).done_in(database)["missing"]

    with meanwhile(one, "FOR UPDATE OF f", lambda: push(other, 1)):
        missing = push(one, 2)

    device = one.read(lambda session: session.get_one(Device, (COMMUNITY_ID, phone.device_id)))
    assert (missing, device.received_through, device.high_water) == ([], 2, 2)


def test_two_processes_that_commit_for_two_communities_at_once_do_not_wait_for_each_other(
    one: Database, other: Database
) -> None:
    """Each would hold what the other one needs. PostgreSQL ends that after a second; here it would not."""
    communities = [COMMUNITY_ID, COMMUNITY_ID + 1]
    one.write(lambda session: session.add(Community(id=communities[1], name="示例社区二", epoch="epoch-1")))
    one.write(lambda session: session.add(Feed(community_id=communities[1])))
    each_holds_one = threading.Barrier(2)

    def hold_in_turn(database: Database, order: list[int]) -> list[BaseException | None]:
        queued, met = threading.Event(), threading.Event()

        def begin(session: Session) -> None:
            assert queued.wait(SECONDS)  # those behind it are committed with it
            session.connection().exec_driver_sql("SET LOCAL deadlock_timeout = '20s'")

        def hold_first(session: Session) -> None:
            SqlStore(session).hold(order[0])
            if not met.is_set():  # not when it is run again
                met.set()
                each_holds_one.wait(SECONDS)

        works = [begin, hold_first, lambda session: SqlStore(session).hold(order[1])]
        futures = [database._writer.submit(work) for work in works]
        queued.set()
        return [future.exception(SECONDS) for future in futures]

    with ThreadPoolExecutor(2) as threads:
        told = list(threads.map(hold_in_turn, (one, other), (communities, communities[::-1])))

    assert told == [[None] * 3] * 2


def test_a_server_starts_beside_one_that_is_at_work_on_another_community(
    one: Database, other: Database, tmp_path: Path
) -> None:
    """Both communities have households from before there were search keys, so the start holds the one and the other."""
    second = COMMUNITY_ID + 1
    one.write(lambda session: session.add(Community(id=second, name="示例社区二", epoch="epoch-1")))
    one.write(lambda session: session.add(Feed(community_id=second)))
    fields = {"door": "9-1-101", "members": ["朴姐"]}

    def add_old(session: Session) -> None:
        for community_id, name in ((COMMUNITY_ID, "old"), (second, "old too")):
            old = Change(uuid7(), 0, "household", made_up_id(name), Action.PUT, 0, fields, NOW, 1)
            accept(SqlStore(session), RULES, [old], author=server_author(community_id), received_at=NOW)

    one.write(add_old)
    app = create_app(Settings(data_dir=tmp_path, database_url=one.url), clock=lambda: NOW)

    def start() -> int:
        with TestClient(app) as client:
            return client.get("/healthz").status_code

    def is_waiting(session: Session) -> bool:
        return bool(session.connection().exec_driver_sql("SELECT 1 FROM pg_locks WHERE NOT granted").first())

    def start_meanwhile(session: Session) -> Future[int]:
        SqlStore(session).hold(second)
        started = threads.submit(start)
        while not (started.done() or is_waiting(session)):
            pass
        return started

    with ThreadPoolExecutor(1) as threads:
        started = other.write(start_meanwhile)

    assert started.result() == 200
    (keys,) = one.read(lambda session: SqlStore(session).records(second, [made_up_id("old too")])).values()
    assert keys.fields["search"] == ["pu jie", "piao jie"]


def test_a_machine_that_vanishes_in_a_transaction_holds_nobody_up(other: Database) -> None:
    vanished = threading.Event()

    def hold_and_vanish(session: Session) -> None:
        SqlStore(session).hold(COMMUNITY_ID)
        has_begun.set()
        vanished.wait()

    has_begun = threading.Event()
    with closing(Database(other.url, idle_ms_max=1000)) as gone, ThreadPoolExecutor(1) as thread:
        held = thread.submit(gone.write, hold_and_vanish)
        has_begun.wait()
        other.write(lambda session: SqlStore(session).hold(COMMUNITY_ID))
        vanished.set()
        held.result()  # it comes back, and does its work once more
