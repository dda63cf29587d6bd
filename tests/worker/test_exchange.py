"""The exchange (static/sync/exchange.js) against the real engine: push, pull, and everything the way between them does.

The phone's half runs in V8 with its outbox and replica in memory; the server's half is sync/engine.py over MemoryStore;
the wire is this file, which drops, cuts and forges.
"""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from sync.changes import Action, Author, Change, Held, Record
from sync.engine import Refusal, Rules, accept, page, taken_in_id
from sync.kinds import Kind, Role, Rule, kinds_by_name
from sync.protocol import decode_change, decode_message, encode_answer
from sync.store import MemoryStore
from tests.javascript import JavaScript

COMMUNITY = 1
HOME = str(UUID(int=1))
ALICE = Author(COMMUNITY, "alice", "Alice", "phone", Role.VOLUNTEER)
KINDS = kinds_by_name(
    Kind("visit", writers=frozenset({Role.VOLUNTEER}), fields={"household_id": Rule.OWN, "note": Rule.OWN})
)
SOURCE = (Path(__file__).parent / "exchange_phone.js").read_text(encoding="utf-8")
DAY_MS = 24 * 60 * 60 * 1000

Answer = dict[str, Any]


def check(change: Change, record: Record | None) -> Refusal | None:
    return None


def derive(change: Change, before: Record | None) -> Sequence[Change]:
    return ()


RULES = Rules(KINDS, 1, 1, check, derive)


def refuse_what_is_odd(change: Change, record: Record | None) -> Refusal | None:
    return Refusal(Held.BAD_FIELD, "note") if change.set.get("note") == "odd" else None


class Server:
    """The engine over a store in memory, answering messages as server/sync_api.py does."""

    def __init__(self, epoch: str = "one") -> None:
        self.store = MemoryStore(epoch)
        self.store.grant("alice", HOME)
        self.pushes: list[int] = []
        self.high_water = 0
        self.now = 1
        self.rules = RULES
        self.asked: dict[str, Change] = {}

    def answer(self, text: str) -> Answer:
        message = decode_message(json.loads(text))
        changes = [decode_change(opened(each.sealed or ""), envelope=each) for each in message.envelopes]
        self.asked |= {change.change_id: change for change in changes}
        results = accept(self.store, self.rules, changes, author=ALICE, received_at=1)
        self.pushes.append(len(changes))
        self.high_water = message.high_water
        pulled = page(self.store, author=ALICE, epoch=message.epoch, after=message.cursor, limit=message.limit)
        return encode_answer(
            page=pulled,
            results=[result.wire() for result in results],
            missing=[],
            now=self.now,
            oldest_schema=1,
            standing="active",
        )

    def take_in(self, change_id: str) -> None:
        """As a coordinator does (server/held.py)."""
        held = self.asked[change_id]
        accept(self.store, RULES, [replace(held, change_id=taken_in_id(change_id))], author=ALICE, received_at=1)

    def write(self, record_id: str, note: str, *, household: str = HOME) -> None:
        change_id = str(UUID(int=3000 + self.store.head(COMMUNITY)))
        fields = {"household_id": household, "note": note}
        change = Change(change_id, 0, "visit", record_id, Action.PUT, 0, fields, 1, 1)
        accept(self.store, RULES, [change], author=ALICE, received_at=1)

    def fill(self, households: int) -> None:
        """With a visit in each."""
        for number in range(households):
            household = str(UUID(int=9000 + number))
            self.store.grant("alice", household)
            self.write(record_id(9000 + number), "", household=household)

    def notes(self) -> list[str]:
        rows = self.store.records(COMMUNITY, [record_id(number) for number in range(1, 1000)])
        return sorted(str(row.fields["note"]) for row in rows.values())


def record_id(number: int) -> str:
    return str(UUID(int=2000 + number))


def opened(sealed: str) -> Mapping[str, Any]:
    padded = sealed + "=" * (-len(sealed) % 4)
    change: Mapping[str, Any] = json.loads(base64.urlsafe_b64decode(padded))
    return change


class Phone:
    def __init__(self) -> None:
        modules = ("sync/columns.js", "sync/protocol.js", "sync/entries.js", "sync/exchange.js")
        self._engine = JavaScript(*modules, source=SOURCE)
        self._made = 0

    def visit(self, note: str, *, household: str = HOME, bytes_sealed: int = 0) -> str:
        self._made += 1
        change = {
            "change_id": str(UUID(int=1000 + self._made)),
            "kind": "visit",
            "record_id": record_id(self._made),
            "action": "put",
            "base": 0,
            "set": {"household_id": household, "note": note},
            "made_at": self._made,
            "schema": 1,
        }
        self._engine.call("(change, sealedBytes) => phone.save(change, { sealedBytes })", change, bytes_sealed)
        return str(change["change_id"])

    def at(self, now: int) -> None:
        self._engine.call("(now) => { phone.now = now; }", now)

    def shut(self, is_shut: bool) -> None:
        self._engine.call("(isShut) => { phone.isShut = isShut; }", is_shut)

    def start(self) -> None:
        self._engine.call("() => phone.start()")

    def outgoing(self) -> str | None:
        text = self._engine.call("() => phone.outgoing && JSON.stringify(phone.outgoing.message)")
        return None if text is None else str(text)

    def reply(self, status: int, text: str, retry_after_ms: int | None = None) -> None:
        self._engine.call("(...given) => phone.reply(...given)", status, text, retry_after_ms)

    def fail(self, name: str) -> None:
        self._engine.call("(name) => phone.fail(name)", name)

    def fill_up(self) -> None:
        """No room is left to write down what the server says."""
        self._engine.call("() => { phone.isFull = true; }")

    def crash(self) -> str:
        return str(self._engine.call("() => phone.outcome.crashed"))

    def outcome(self) -> Any:
        outcome = self._engine.call("() => phone.outcome")
        assert not (outcome and "crashed" in outcome), outcome
        return outcome

    def state(self) -> Any:
        return self._engine.call("() => phone.state()")

    def states(self) -> list[str]:
        return [entry["state"] for entry in self.state()["entries"]]

    def exchange(self, carry: Callable[[str], None]) -> Any:
        """One exchange, each of its messages carried by the given hand."""
        self.start()
        for _ in range(1000):
            message = self.outgoing()
            if message is None:
                return self.outcome()
            carry(message)
        raise AssertionError("the exchange never ends")

    def exchange_with(self, server: Server) -> Any:
        return self.exchange(lambda message: self.reply(200, json.dumps(server.answer(message))))


@pytest.fixture
def phone() -> Phone:
    return Phone()


@pytest.fixture
def server() -> Server:
    return Server()


DONE = {
    "isDone": True,
    "reason": "",
    "code": "",
    "retry_after_ms": None,
    "oldest_schema": 1,
    "standing": "active",
    "server": {"epoch": "one", "now": 1},
}


# The ordinary day


def test_nothing_to_push_pulls_and_is_ready(phone: Phone, server: Server) -> None:
    assert phone.exchange_with(server) == DONE
    assert phone.state()["checkpoint"]["ready"] is True
    assert server.pushes == [0]


def test_visits_arrive_once_and_their_display_goes_with_the_page(phone: Phone, server: Server) -> None:
    for note in ("a", "b", "c"):
        phone.visit(note)

    phone.exchange_with(server)
    phone.exchange_with(server)

    state = phone.state()
    assert server.notes() == ["a", "b", "c"]
    assert [entry["state"] for entry in state["entries"]] == ["acknowledged"] * 3
    assert [entry["display"] for entry in state["entries"]] == [None] * 3
    assert [entry["epoch"] for entry in state["entries"]] == ["one"] * 3
    assert sorted(record["note"] for record in state["records"]) == ["a", "b", "c"]
    assert server.high_water == 3


def test_what_is_saved_during_an_exchange_goes_up_in_it(phone: Phone, server: Server) -> None:
    phone.visit("first")

    def carry(message: str) -> None:
        if not server.pushes:
            phone.visit("second")
        phone.reply(200, json.dumps(server.answer(message)))

    phone.exchange(carry)

    assert server.notes() == ["first", "second"]
    assert phone.states() == ["acknowledged", "acknowledged"]


def test_while_the_vault_is_locked_visits_go_up_and_the_pull_waits(phone: Phone, server: Server) -> None:
    phone.exchange_with(server)
    before = phone.state()["checkpoint"]
    server.store.grant("alice", str(UUID(int=2)))
    for number in range(60):
        phone.visit(str(number))
    phone.shut(True)
    limits: list[int] = []

    def carry(message: str) -> None:
        limits.append(json.loads(message)["limit"])
        phone.reply(200, json.dumps(server.answer(message)))

    assert phone.exchange(carry) == DONE
    assert (len(server.notes()), limits) == (60, [1, 1])
    state = phone.state()
    assert (state["checkpoint"], state["records"]) == (before, [])
    assert {(entry["state"], entry["display"] is None) for entry in state["entries"]} == {("acknowledged", False)}

    phone.shut(False)
    phone.exchange_with(server)
    phone.exchange_with(server)

    assert len(phone.state()["records"]) == 60
    assert [entry["display"] for entry in phone.state()["entries"]] == [None] * 60


def test_fifty_visits_go_up_and_what_is_new_comes_down_in_one_request(phone: Phone, server: Server) -> None:
    phone.exchange_with(server)
    for number in range(50):
        phone.visit(str(number))
    messages: list[str] = []

    def carry(message: str) -> None:
        messages.append(message)
        phone.reply(200, json.dumps(server.answer(message)))

    assert phone.exchange(carry) == DONE
    assert len(messages) == 1
    assert len(server.notes()) == 50
    assert set(phone.states()) == {"acknowledged"}


def test_many_visits_go_in_growing_batches(phone: Phone, server: Server) -> None:
    for number in range(400):
        phone.visit(str(number))

    phone.exchange_with(server)

    assert server.pushes == [50, 100, 200, 50]
    assert set(phone.states()) == {"acknowledged"}


def test_slow_answers_do_not_grow_the_batch(phone: Phone, server: Server) -> None:
    for number in range(120):
        phone.visit(str(number))
    clock = iter(range(5000, 10**9, 5000))

    def carry(message: str) -> None:
        phone.at(next(clock))
        phone.reply(200, json.dumps(server.answer(message)))

    phone.exchange(carry)

    assert server.pushes == [50, 50, 20]


def test_batch_keeps_below_the_packed_limit(phone: Phone, server: Server) -> None:
    for number in range(20):
        phone.visit(str(number), bytes_sealed=60_000)
    sizes: list[int] = []

    def carry(message: str) -> None:
        sizes.append(len(message))
        phone.reply(200, json.dumps(server.answer(message)))

    phone.exchange(carry)

    assert max(sizes) < 512 * 1024
    assert len(server.notes()) == 20


# A bad way


def test_lost_request_keeps_everything(phone: Phone, server: Server) -> None:
    phone.visit("a")

    outcome = phone.exchange(lambda message: phone.fail("TypeError"))

    assert (outcome["isDone"], outcome["reason"]) == (False, "unreachable")
    assert phone.states() == ["waiting"]


def test_lost_answer_after_commit_doubles_nothing(phone: Phone, server: Server) -> None:
    phone.visit("a")

    def lose(message: str) -> None:
        server.answer(message)
        phone.fail("TimeoutError")

    assert phone.exchange(lose)["reason"] == "timeout"
    assert phone.states() == ["waiting"]
    phone.exchange_with(server)

    assert server.notes() == ["a"]
    assert phone.states() == ["acknowledged"]


def test_timeouts_halve_the_batch_down_to_one(phone: Phone) -> None:
    for number in range(60):
        phone.visit(str(number))
    offered: list[int] = []

    def drop(message: str) -> None:
        offered.append(len(json.loads(message)["changes"]))
        phone.fail("TimeoutError")

    for _ in range(8):
        phone.exchange(drop)

    assert offered == [50, 25, 12, 6, 3, 1, 1, 1]


def test_a_time_out_halves_what_was_offered(phone: Phone, server: Server) -> None:
    for number in range(150):
        phone.visit(str(number))
    phone.exchange_with(server)
    for number in range(12):
        phone.visit(str(number))
    offered: list[int] = []

    def drop(message: str) -> None:
        offered.append(len(json.loads(message)["changes"]))
        phone.fail("TimeoutError")

    for _ in range(5):
        phone.exchange(drop)

    assert offered == [12, 6, 3, 1, 1]


def test_a_line_that_carries_few_records_in_time_brings_the_whole_list_and_takes_a_visit(
    phone: Phone, server: Server
) -> None:
    server.fill(400)
    phone.visit("mine")
    clock = iter(range(5000, 10**9, 5000))

    def carry(message: str) -> None:
        answer = server.answer(message)
        if json.loads(message)["limit"] > 100:
            return phone.fail("TimeoutError")
        phone.at(next(clock))
        return phone.reply(200, json.dumps(answer))

    outcomes = [phone.exchange(carry)["reason"] for _ in range(5)]

    assert outcomes == [*["timeout"] * 4, ""]
    assert (len(phone.state()["records"]), phone.states()) == (401, ["acknowledged"])
    assert server.notes() == ["mine"]


def test_time_outs_ask_for_fewer_records_and_quick_answers_for_more(phone: Phone, server: Server) -> None:
    server.fill(900)
    asked: list[int] = []

    def carry(message: str, *, is_lost: bool) -> None:
        asked.append(json.loads(message)["limit"])
        if is_lost:
            phone.fail("TimeoutError")
        else:
            phone.reply(200, json.dumps(server.answer(message)))

    for _ in range(7):
        phone.exchange(lambda message: carry(message, is_lost=True))
    assert asked == [1000, 500, 250, 125, 62, 31, 25]

    asked.clear()
    phone.exchange(lambda message: carry(message, is_lost=False))
    assert asked == [25, 50, 100, 200, 400, 800]


def test_too_large_a_batch_is_halved_until_it_fits(phone: Phone, server: Server) -> None:
    for number in range(20):
        phone.visit(str(number))

    def carry(message: str) -> None:
        if len(json.loads(message)["changes"]) > 3:
            phone.reply(413, '{"code": "too_large", "message": "", "retry": false}')
        else:
            phone.reply(200, json.dumps(server.answer(message)))

    assert phone.exchange(carry)["isDone"] is True
    assert len(server.notes()) == 20


def test_a_batch_cut_by_its_bytes_is_halved_by_what_was_offered(phone: Phone, server: Server) -> None:
    for number in range(20):
        phone.visit(str(number), bytes_sealed=60_000)
    offered: list[int] = []

    def carry(message: str) -> None:
        offered.append(len(json.loads(message)["changes"]))
        if offered[-1] > 3:
            phone.reply(413, '{"code": "too_large", "message": "", "retry": false}')
        else:
            phone.reply(200, json.dumps(server.answer(message)))

    phone.exchange(carry)

    assert offered[:3] == [5, 2, 4]
    assert len(server.notes()) == 20


@pytest.mark.parametrize("is_one_refused", [False, True])
def test_a_full_phone_offers_all_that_waits_and_says_then_that_it_is_full(
    phone: Phone, server: Server, is_one_refused: bool
) -> None:
    """It may be lost tomorrow: what it cannot note as uploaded must not stand before what was never offered."""
    for number in range(120):
        phone.visit(str(number))
    phone.fill_up()
    messages: list[Answer] = []

    def carry(message: str) -> None:
        messages.append(json.loads(message))
        if is_one_refused and any(change["device_sequence"] == 1 for change in messages[-1]["changes"]):
            phone.reply(413, "<h1>Request Entity Too Large</h1>")
        else:
            phone.reply(200, json.dumps(server.answer(message)))

    phone.start()
    while (message := phone.outgoing()) is not None:
        carry(message)

    assert "no room" in phone.crash()
    assert len(server.notes()) == 120 - is_one_refused
    offered = [change["device_sequence"] for message in messages for change in message["changes"]]
    assert is_one_refused or len(offered) == 120
    assert phone.states() == ["waiting"] * 120


def test_a_pull_that_is_too_large_is_a_failure_and_no_endless_loop(phone: Phone) -> None:
    text = '{"code": "too_large", "message": "", "retry": false}'

    outcome = phone.exchange(lambda message: phone.reply(413, text))

    assert (outcome["isDone"], outcome["reason"], outcome["code"]) == (False, "refused", "too_large")


def test_a_batch_grows_again_once_the_network_carries_it(phone: Phone, server: Server) -> None:
    for number in range(60):
        phone.visit(str(number))
    for _ in range(3):
        phone.exchange(lambda message: phone.fail("TimeoutError"))

    phone.exchange_with(server)

    assert server.pushes == [6, 12, 24, 18]


def test_one_change_that_never_fits_stops_nobody(phone: Phone, server: Server) -> None:
    big = phone.visit("big")
    for number in range(5):
        phone.visit(str(number))

    def carry(message: str) -> None:
        if big in message:
            phone.reply(413, "<h1>Request Entity Too Large</h1>")
        else:
            phone.reply(200, json.dumps(server.answer(message)))

    outcome = phone.exchange(carry)

    entries = phone.state()["entries"]
    assert outcome["isDone"] is True
    assert server.notes() == ["0", "1", "2", "3", "4"]
    assert (entries[0]["state"], entries[0]["code"]) == ("waiting", "too_big")


@pytest.mark.parametrize(
    ("status", "text", "reason"),
    [
        (200, "<html><title>Welcome to Hotel WiFi</title></html>", "foreign"),
        (200, "", "foreign"),
        (200, "[]", "foreign"),
        (200, "null", "foreign"),
        (200, '{"ok": true}', "foreign"),
        (200, '{"results": [{"change_id": "%s", "outcome": "accepted", "revision": 9}]}', "foreign"),
        (200, '{"epoch": "", "results": [], "purge": [], "records": {}, "cursor": ""}', "foreign"),
        (302, "", "foreign"),
        (500, '{"code": "oops", "message": "", "retry": true}', "refused"),
        (502, "<h1>Bad gateway</h1>", "foreign"),
        (401, '{"code": "unknown_device", "message": "", "retry": false}', "refused"),
        (400, '{"code": "bad_message", "message": "", "retry": false}', "refused"),
    ],
)
def test_what_is_no_answer_of_ours_acknowledges_nothing(phone: Phone, status: int, text: str, reason: str) -> None:
    change_id = phone.visit("a")
    before = phone.state()

    outcome = phone.exchange(lambda message: phone.reply(status, text.replace("%s", change_id)))

    after = phone.state()
    assert (outcome["isDone"], outcome["reason"]) == (False, reason)
    assert (after["entries"], after["checkpoint"]) == (before["entries"], before["checkpoint"])


def test_answer_cut_off_anywhere_acknowledges_nothing(phone: Phone, server: Server) -> None:
    phone.visit("a")
    phone.start()
    text = json.dumps(server.answer(phone.outgoing() or ""))

    for length in range(0, len(text), 7):
        phone.reply(200, text[:length])
        assert phone.outcome()["isDone"] is False
        assert phone.states() == ["waiting"]
        phone.start()


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_handed_on(phone: Phone, status: int) -> None:
    text = '{"code": "busy", "message": "", "retry": true}'

    outcome = phone.exchange(lambda message: phone.reply(status, text, 7000))

    assert (outcome["reason"], outcome["code"], outcome["retry_after_ms"]) == ("refused", "busy", 7000)


def test_result_for_another_change_is_not_believed(phone: Phone, server: Server) -> None:
    phone.visit("a")

    def carry(message: str) -> None:
        answer = server.answer(message)
        answer["results"] = [{**answer["results"][0], "change_id": str(UUID(int=77))}]
        phone.reply(200, json.dumps(answer))

    assert phone.exchange(carry)["isDone"] is True
    assert phone.states() == ["waiting"]


# Results that are no acceptance


def test_held_change_is_shown_with_its_reason_and_stops_nobody(phone: Phone, server: Server) -> None:
    phone.visit("mine")
    phone.visit("elsewhere", household=str(UUID(int=9)))
    phone.visit("mine, too")

    outcome = phone.exchange_with(server)

    held = phone.state()["entries"][1]
    assert outcome["isDone"] is True
    assert phone.states() == ["acknowledged", "held", "acknowledged"]
    assert (held["code"], held["display"]["set"]["note"], held["epoch"]) == ("not_in_scope", "elsewhere", "one")


def test_held_change_that_was_taken_in_is_settled_when_its_record_comes(phone: Phone, server: Server) -> None:
    server.rules = replace(RULES, check=refuse_what_is_odd)
    phone.visit("odd")
    phone.exchange_with(server)
    (held,) = phone.state()["entries"]
    server.take_in(held["change_id"])

    outcome = phone.exchange_with(server)

    (settled,) = phone.state()["entries"]
    assert (held["state"], outcome["isDone"]) == ("held", True)
    assert (settled["state"], settled["code"], settled["display"]) == ("acknowledged", "", None)
    assert [record["note"] for record in phone.state()["records"]] == ["odd"]


def test_held_change_whose_record_came_for_another_reason_is_held_as_before(phone: Phone, server: Server) -> None:
    server.rules = replace(RULES, check=refuse_what_is_odd)
    phone.visit("odd")
    phone.exchange_with(server)
    server.write(phone.state()["entries"][0]["record_id"], "even")

    outcome = phone.exchange_with(server)

    assert (phone.states(), outcome["isDone"], server.pushes) == (["held"], True, [1, 0, 1])


@pytest.mark.parametrize("outcome", ["later", "too_big", "something of a newer server"])
def test_change_that_was_not_taken_keeps_waiting_and_ends_the_exchange(
    phone: Phone, server: Server, outcome: str
) -> None:
    phone.visit("a")

    def carry(message: str) -> None:
        changes = json.loads(message)["changes"]
        answer = server.answer(json.dumps({**json.loads(message), "changes": []}))
        results = [{"change_id": each["change_id"], "outcome": outcome, "revision": 0} for each in changes]
        phone.reply(200, json.dumps({**answer, "results": results}))

    assert phone.exchange(carry)["isDone"] is True
    (entry,) = phone.state()["entries"]
    assert (entry["state"], entry["code"]) == ("waiting", outcome if outcome in ("later", "too_big") else "")


# Another epoch


def test_restored_server_gets_again_what_it_lost(phone: Phone, server: Server) -> None:
    for note in ("a", "b"):
        phone.visit(note)
    phone.exchange_with(server)
    phone.exchange_with(server)
    restored = Server(epoch="two")
    phone.visit("c")

    phone.exchange_with(restored)

    state = phone.state()
    assert restored.notes() == ["a", "b", "c"]
    assert {entry["epoch"] for entry in state["entries"]} == {"two"}
    assert phone.states() == ["acknowledged"] * 3
    assert sorted(record["note"] for record in state["records"]) == ["a", "b", "c"]


def test_answer_from_before_the_restore_that_comes_late_loses_nothing(phone: Phone, server: Server) -> None:
    phone.visit("a")
    phone.start()
    late = json.dumps(server.answer(phone.outgoing() or ""))
    phone.fail("TimeoutError")
    restored = Server(epoch="two")

    phone.start()
    phone.reply(200, late)  # as a proxy may: the old server's answer to the new one's request
    phone.exchange_with(restored)

    assert restored.notes() == ["a"]
    assert phone.state()["entries"][0]["epoch"] == "two"


def test_held_entry_is_offered_again_to_a_restored_server(phone: Phone, server: Server) -> None:
    phone.visit("elsewhere", household=str(UUID(int=9)))
    phone.exchange_with(server)

    restored = Server(epoch="two")
    phone.exchange_with(restored)

    assert sum(restored.pushes) == 1
    assert phone.states() == ["held"]


def test_pull_that_starts_afresh_sweeps_what_is_gone_only_at_its_end(phone: Phone, server: Server) -> None:
    for number in range(600):
        phone.visit(f"{number:03}")
    phone.exchange_with(server)
    phone.exchange_with(server)
    before = len(phone.state()["records"])
    restored = Server(epoch="two")
    seen: list[int] = []

    def carry(message: str) -> None:
        wire = json.loads(message)
        answer = restored.answer(json.dumps({**wire, "changes": [], "limit": 500}))
        phone.reply(200, json.dumps(answer | {"results": [], "more": len(seen) == 0}))
        seen.append(len(phone.state()["records"]))

    phone.exchange(carry)

    assert seen[0] == before
    assert phone.state()["records"] == []
    assert phone.states() == ["waiting"] * 600


def test_what_the_server_misses_is_offered_again_once(phone: Phone, server: Server) -> None:
    change_id = phone.visit("a")
    phone.exchange_with(server)
    offered: list[int] = []

    def carry(message: str) -> None:
        offered.append(message.count(change_id))
        phone.reply(200, json.dumps(server.answer(message) | {"missing": [[1, 1]]}))

    phone.exchange(carry)

    assert offered == [0, 1]
    assert phone.states() == ["acknowledged"]


def test_standing_is_handed_on(phone: Phone, server: Server) -> None:
    answer = server.answer('{"protocol": 1}') | {"standing": "revoked"}

    assert phone.exchange(lambda message: phone.reply(200, json.dumps(answer)))["standing"] == "revoked"


# Keeping and forgetting


def test_sealed_copies_are_kept_thirty_days_of_both_clocks(phone: Phone, server: Server) -> None:
    phone.visit("a")
    phone.exchange_with(server)

    phone.at(40 * DAY_MS)
    server.now += 30 * DAY_MS
    phone.exchange_with(server)
    assert phone.states() == ["acknowledged"]
    server.now += 1
    phone.exchange_with(server)

    assert phone.states() == []
    assert server.notes() == ["a"]


@pytest.mark.parametrize("now", [-40_000 * DAY_MS, 0, 40_000 * DAY_MS])
def test_clock_of_the_phone_forgets_nothing(phone: Phone, server: Server, now: int) -> None:
    phone.visit("a")
    phone.exchange_with(server)

    phone.at(now)
    phone.exchange_with(server)

    assert phone.states() == ["acknowledged"]


def test_a_server_whose_clock_was_years_behind_and_is_put_right_forgets_nothing(phone: Phone, server: Server) -> None:
    """It came up after a power cut without its battery's time."""
    phone.visit("a")
    phone.exchange_with(server)

    server.now += 700 * DAY_MS
    phone.exchange_with(server)

    assert phone.states() == ["acknowledged"]


def test_waiting_entry_is_never_forgotten(phone: Phone, server: Server) -> None:
    phone.visit("a")
    phone.exchange(lambda message: phone.fail("TypeError"))

    phone.at(4000 * DAY_MS)
    phone.exchange_with(server)

    assert server.notes() == ["a"]


def test_display_of_a_visit_outside_the_scope_goes_with_the_next_exchange(phone: Phone, server: Server) -> None:
    phone.visit("a")

    def carry(message: str) -> None:
        answer = server.answer(message)
        phone.reply(200, json.dumps(answer | {"records": {}}))  # accepted, but not this phone's to see any more

    phone.exchange(carry)
    shown = phone.state()["entries"][0]["display"]
    server.now += 1
    phone.exchange(carry)

    assert shown is not None
    assert phone.state()["entries"][0]["display"] is None


def test_withdrawn_scope_is_purged_and_the_outbox_is_not(phone: Phone, server: Server) -> None:
    phone.visit("pulled")
    phone.exchange_with(server)
    server.store.withdraw("alice", HOME, now=1)
    phone.visit("waiting")

    phone.exchange_with(server)

    assert phone.state()["records"] == []
    assert [entry["state"] for entry in phone.state()["entries"]] == ["acknowledged", "held"]


# The server's pace


def test_pause_is_obeyed_between_pages(phone: Phone, server: Server) -> None:
    pages = iter([{"more": True, "pause_ms": 250}, {"more": True, "pause_ms": 10**9}, {}])

    phone.exchange(lambda message: phone.reply(200, json.dumps(server.answer(message) | next(pages))))

    assert phone.state()["pauses"] == [250, 60_000]


def test_pull_without_end_is_left(phone: Phone, server: Server) -> None:
    answer = json.dumps(server.answer('{"protocol": 1}') | {"more": True})

    phone.start()
    for _ in range(1000):
        phone.reply(200, answer)

    assert phone.outcome()["isDone"] is False


def test_uploading_changes_are_named_while_they_are_on_their_way(phone: Phone, server: Server) -> None:
    phone.visit("a")

    phone.exchange_with(server)

    assert phone.state()["offers"] == [[1, "waiting"], [0, "acknowledged"]]  # until the outbox says what became of it
