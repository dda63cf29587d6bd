"""When the phone asks the server, and when it leaves it alone (static/worker/drain.js; PROTOCOL.md, Failures)."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.javascript import JavaScript

Json = dict[str, Any]

SOURCE = (Path(__file__).parent / "drain_phone.js").read_text(encoding="utf-8")
MODULES = (
    "sync/grouping.js",
    "store/database.js",
    "store/replica.js",
    "sync/hash.js",
    "sync/columns.js",
    "sync/protocol.js",
    "sync/entries.js",
    "sync/backoff.js",
    "sync/exchange.js",
    "sync/transport.js",
    "sync/uploads.js",
    "sync/holdings.js",
    "store/mirror.js",
    "worker/enrolment.js",
    "worker/storage.js",
    "worker/uploader.js",
    "worker/drain.js",
)
START = 1_000_000
HOUR_MS = 60 * 60 * 1000
ALMOST_ONE = 1 - 2**-52
ENROLLED = {"keyPair": {}, "standing": "active", "server_key": {}, "asked_at": START, "compared_at": START}
UNKNOWN = {"keyPair": {}, "standing": "unknown"}
ANSWER = {"epoch": "one", "now": 1, "results": [], "purge": [], "records": {}, "cursor": "1.", "more": False}
GOOD = {"status": 200, "text": json.dumps(ANSWER), "retry_after_ms": None}
CAUSES = ("load", "timer", "online", "visible", "saved", "unlocked", "sync")


def refusal(status: int, retry_after_ms: int | None = None) -> Json:
    text = '{"code": "busy", "message": "", "retry": true}'
    return {"status": status, "text": text, "retry_after_ms": retry_after_ms}


class Phone:
    def __init__(self) -> None:
        self._engine = JavaScript(*MODULES, source=SOURCE)
        self.retry_in: float | None = None
        self.reoffered: list[str] = []

    def run(self, cause: str, **given: Any) -> list[str]:
        """What it asks the server for this cause. `given` is how the world has changed."""
        return self._asked(f"drain.run({json.dumps(cause)}).then(() => uploader.run())", given)

    def meet(self, **given: Any) -> list[str]:
        return self._asked("drain.meet()", given)

    def run_under_way(self, cause: str, **given: Any) -> list[str]:
        """The same while an exchange for another cause is under way."""
        return self._asked(f"(drain.run('timer'), drain.run({json.dumps(cause)}))", given)

    def run_beside_photos(self, cause: str, **given: Any) -> list[str]:
        """The same while a piece of a photo is on its way."""
        drained = f"world.piece_takes = drain.run({json.dumps(cause)})"
        return self._asked(f"Promise.all([uploader.run(), {drained}])", given)

    def said(self) -> tuple[bool, int | None]:
        """Is there no network, and when was the server last tried in vain?"""
        told = self._engine.call("() => told")
        return told["is_offline"], told["unreachable_at"]

    def let_go(self) -> list[str]:
        """The copies that it has let go of."""
        return [str(each) for each in self._engine.call("() => told")["let_go"]]

    def device(self) -> Json:
        """What it keeps of itself, and of what the server said of it."""
        kept: Json = self._engine.call("() => told")["device"]
        return kept

    def is_full(self) -> bool:
        return bool(self._engine.call("() => told")["is_full"])

    def _asked(self, call: str, given: Json) -> list[str]:
        self._engine.call(f"(given) => {{ void asked(() => {call}, given); }}", given)
        told = self._engine.call("() => told")
        self.retry_in = told["retry_in"]
        self.reoffered = told["reoffered"]
        asked: list[str] = told["asked"]
        return asked


@pytest.fixture
def phone() -> Phone:
    phone = Phone()
    phone.run("load", now=START, device=ENROLLED, reply=GOOD)
    return phone


# Copies of what a lost database held


@pytest.mark.parametrize(
    ("answer", "let_go"),
    [
        ({"now": 1, "epoch": "one", "results": [{"change_id": "a", "outcome": "accepted", "revision": 5}]}, ["a"]),
        ({"now": 1, "epoch": "one", "results": [{"change_id": "a", "outcome": "held", "revision": 0}]}, ["a"]),
        ({"now": 1, "epoch": "one", "results": [{"change_id": "a", "outcome": "too_big", "revision": 0}]}, []),
        ({"now": 1, "epoch": "one", "results": [{"change_id": "b", "outcome": "accepted", "revision": 5}]}, []),
        ({"now": 1, "results": [{"change_id": "a", "outcome": "accepted", "revision": 5}]}, []),
        ({"results": "a"}, []),
    ],
)
def test_a_copy_is_let_go_of_by_an_answer_of_our_server_s_that_took_it(
    phone: Phone, answer: Json, let_go: list[str]
) -> None:
    reply = {"status": 200, "text": json.dumps(answer), "retry_after_ms": None}

    asked = phone.run("visible", stranded=[{"change_id": "a"}], replies={"/sync/import": reply})

    assert asked == ["/sync", "/sync/import"]
    assert phone.let_go() == let_go


@pytest.mark.parametrize("device", [{}, ENROLLED])
def test_the_order_counts_as_well_when_the_phone_sent_a_copy(phone: Phone, device: Json) -> None:
    copies = [{"change_id": "a"}, {"change_id": "b"}]
    before = ["/sync"] if device else []

    asked = phone.run("timer", device=device, stranded=copies, replies={"/sync/import": refusal(503, 7000)})

    assert asked == [*before, "/sync/import"]
    assert [phone.run(cause, now=START + 6999) for cause in CAUSES] == [[]] * len(CAUSES)
    assert phone.run("timer", now=START + 7000) == [*before, "/sync/import"]


def test_no_copy_is_sent_to_a_server_that_asked_for_a_pause(phone: Phone) -> None:
    assert phone.run("timer", stranded=[{"change_id": "a"}], reply=refusal(503, 7000)) == ["/sync"]


def test_a_copy_that_does_not_get_through_holds_up_nothing_else(phone: Phone) -> None:
    lost = {"/sync/import": {"error": "TimeoutError"}, LOOK: refusal(503)}

    asked = phone.run("timer", stranded=[{"change_id": "a"}], blobs=[PHOTO], replies=lost)

    assert asked == ["/sync", "/sync/import", LOOK]


@pytest.mark.parametrize("storage", ["", "QuotaExceededError"])
def test_a_copy_is_sent_from_a_full_phone_as_well(phone: Phone, storage: str) -> None:
    assert phone.run("timer", stranded=[{"change_id": "a"}], storage=storage) == ["/sync", "/sync/import"]


# What the server orders


@pytest.mark.parametrize("status", [429, 503])
def test_the_server_s_word_on_when_to_come_back_is_obeyed(phone: Phone, status: int) -> None:
    assert phone.run("timer", reply=refusal(status, 7000)) == ["/sync"]
    assert phone.retry_in == 7000

    early = [phone.run(cause, now=START + 6999) for cause in CAUSES]

    assert early == [[]] * len(CAUSES)
    assert phone.run("timer", now=START + 7000, reply=GOOD) == ["/sync"]
    assert phone.retry_in is None


@pytest.mark.parametrize("status", [429, 503])
def test_nobody_is_sent_away_for_more_than_an_hour(phone: Phone, status: int) -> None:
    phone.run("timer", reply=refusal(status, 10**12))

    assert phone.run("timer", now=START + HOUR_MS - 1) == []
    assert phone.run("timer", now=START + HOUR_MS) == ["/sync"]


def test_who_taps_is_not_kept_waiting(phone: Phone) -> None:
    phone.run("timer", reply=refusal(429, HOUR_MS))

    assert phone.run("asked") == ["/sync"]


@pytest.mark.parametrize("cause", CAUSES)
def test_the_order_is_obeyed_by_a_worker_that_began_since(phone: Phone, cause: str) -> None:
    """Browsers stop one after half a minute, and any page starts it again."""
    phone.run("timer", reply=refusal(503, 600_000))
    kept = {"device": phone.device(), "reply": GOOD}

    assert Phone().run(cause, now=START + 599_999, **kept) == []
    assert Phone().meet(now=START + 599_999, **kept) == []
    assert Phone().run("asked", now=START + 599_999, **kept) == ["/sync"]
    assert Phone().run(cause, now=START + 600_000, **kept) == ["/sync"]


def test_an_order_is_forgotten_with_the_answer_that_somebody_asked_for(phone: Phone) -> None:
    phone.run("timer", reply=refusal(503, 600_000))
    phone.run("asked", reply=GOOD)

    assert Phone().run("timer", now=START + 1, device=phone.device(), reply=GOOD) == ["/sync"]


@pytest.mark.parametrize("reply", [refusal(503, 600_000), {"error": "TypeError"}])
def test_a_clock_that_is_put_right_ends_a_wait_that_the_wrong_one_began(phone: Phone, reply: Json) -> None:
    phone.run("timer", now=START + 9000 * HOUR_MS, device=ENROLLED | {"asked_at": START + 9000 * HOUR_MS}, reply=reply)
    device = phone.device() | {"asked_at": START}

    assert Phone().run("timer", now=START, device=device, reply=GOOD) == ["/sync"]
    assert phone.run("timer", now=START, device=device, reply=GOOD) == ["/sync"]


@pytest.mark.parametrize("status", [429, 503])
def test_the_order_counts_as_well_when_the_phone_asked_how_it_stands(phone: Phone, status: int) -> None:
    assert phone.meet(device=UNKNOWN, reply=refusal(status, 7000)) == ["/sync/hello"]

    assert phone.meet(now=START + 6999) == []
    assert phone.meet(now=START + 7000) == ["/sync/hello"]


def test_a_phone_that_waits_for_a_coordinator_asks_again_at_once_after_a_bad_line(phone: Phone) -> None:
    phone.meet(device=UNKNOWN, chance=ALMOST_ONE, reply={"error": "TypeError"})

    assert phone.run("timer") == []
    assert phone.meet() == ["/sync/hello"]


STRANGER = {"status": 401, "text": '{"code": "unknown_device", "message": "", "retry": false}', "retry_after_ms": None}


def test_a_phone_that_the_server_does_not_know_asks_ever_more_seldom(phone: Phone) -> None:
    """As after a restore, when there may be many of them."""
    now, waits = START, []
    for _ in range(10):
        phone.run("timer", now=now, chance=ALMOST_ONE, reply=STRANGER)
        waits.append(round(phone.retry_in or 0))
        now += waits[-1] + 1

    assert waits == [2000, 4000, 8000, 16_000, 32_000, 64_000, 128_000, 256_000, 300_000, 300_000]


def test_a_phone_that_waits_for_a_coordinator_asks_in_its_own_rhythm_whatever_failed_before(phone: Phone) -> None:
    hello = {"status": 200, "text": json.dumps({"epoch": "one", "standing": "waiting"}), "retry_after_ms": None}
    phone.run("timer", device=UNKNOWN, chance=ALMOST_ONE, reply={"error": "TypeError"})

    assert phone.run("timer", now=START + 2000, reply=hello) == ["/sync/hello"]
    assert phone.retry_in is None


@pytest.mark.parametrize("status", [429, 503])
def test_a_known_phone_sends_nothing_to_a_server_that_asked_for_a_pause(phone: Phone, status: int) -> None:
    later = START + 7 * HOUR_MS  # its standing is asked for again

    assert phone.run("timer", now=later, reply=refusal(status, 7000)) == ["/sync/hello"]


@pytest.mark.parametrize("asked_at", [START - 7 * HOUR_MS, START + 7 * HOUR_MS])
def test_a_phone_asks_how_it_stands_after_hours_by_a_clock_that_was_set_back_as_well(
    phone: Phone, asked_at: int
) -> None:
    assert phone.run("timer", device={**ENROLLED, "asked_at": asked_at}) == ["/sync/hello", "/sync"]


def test_the_order_counts_as_well_when_the_phone_compared_what_it_holds(phone: Phone) -> None:
    yesterday = {**ENROLLED, "compared_at": START - 25 * HOUR_MS}
    comparing = {"/sync": GOOD, "/sync/audit": refusal(429, 7000)}

    assert phone.run("timer", device=yesterday, replies=comparing) == ["/sync", "/sync/audit"]

    assert phone.run("timer", now=START + 6999) == []


# What the phone decides by itself


def test_what_is_held_is_asked_for_again_once_a_day_and_not_for_ever(phone: Phone) -> None:
    yesterday = {**ENROLLED, "compared_at": START - 25 * HOUR_MS}
    comparing = {"/sync": GOOD, "/sync/audit": {**GOOD, "text": '{"verdict": "same"}'}}
    shown = {
        "record_id": "visit",
        "display": {},
        "sealed": {"byteLength": 9},
        "revision": None,
        "acknowledged_at": START,
    }
    entries = [
        {**shown, "change_id": "held", "state": "held", "created_at": START - 29 * 24 * HOUR_MS},
        {**shown, "change_id": "held long ago", "state": "held", "created_at": START - 31 * 24 * HOUR_MS},
        {**shown, "change_id": "taken", "state": "acknowledged", "created_at": START},
    ]

    asked = phone.run("timer", device=yesterday, entries=entries, replies=comparing)

    assert (asked, phone.reoffered) == (["/sync", "/sync/audit", "/sync"], ["held"])


@pytest.mark.parametrize("status", [429, 503])
def test_without_a_word_the_wait_is_random_up_to_a_bound_that_doubles(phone: Phone, status: int) -> None:
    now, bounds = START, []
    for _ in range(12):
        phone.run("timer", now=now, chance=ALMOST_ONE, reply=refusal(status))
        bounds.append(round(phone.retry_in or 0))
        now += bounds[-1] + 1

    assert bounds == [2000, 4000, 8000, 16_000, 32_000, 64_000, 128_000, 256_000, *[300_000] * 4]
    phone.run("timer", now=now, chance=0.25)
    assert phone.retry_in == 75_000
    phone.run("timer", now=now + 75_000, chance=0)
    assert phone.retry_in == 0


@pytest.mark.parametrize(("waiting", "longest"), [(0, 30_000), (1, 8000)])
def test_when_nobody_answers_it_looks_again_soon(phone: Phone, waiting: int, longest: int) -> None:
    now = START
    for _ in range(8):
        phone.run("timer", now=now, chance=ALMOST_ONE, waiting=waiting, reply={"error": "TypeError"})
        now += round(phone.retry_in or 0) + 1

    assert round(phone.retry_in or 0) == longest


FOREIGN = {"status": 502, "text": "<h1>Bad Gateway</h1>", "retry_after_ms": None}
FOREIGN_PAUSE = FOREIGN | {"status": 503}


@pytest.mark.parametrize("reply", [FOREIGN, FOREIGN_PAUSE, {"error": "TimeoutError"}])
def test_when_the_server_itself_says_nothing_it_looks_again_within_a_minute(phone: Phone, reply: Json) -> None:
    """Behind a proxy an outage looks like this, and nobody who waits for its end taps (EXPERIENCE.md, 15)."""
    now = START
    for _ in range(12):
        phone.run("timer", now=now, chance=ALMOST_ONE, reply=reply)
        now += round(phone.retry_in or 0) + 1

    assert round(phone.retry_in or 0) == 60_000
    phone.run("timer", now=now, chance=0.25)
    assert phone.retry_in == 15_000
    assert phone.run("timer", now=now + 15_000, reply=GOOD) == ["/sync"]


def test_a_phone_whose_standing_is_asked_for_looks_again_as_soon(phone: Phone) -> None:
    now = START + 7 * HOUR_MS
    for _ in range(12):
        phone.run("timer", now=now, chance=ALMOST_ONE, reply=FOREIGN_PAUSE)
        now += round(phone.retry_in or 0) + 1

    assert round(phone.retry_in or 0) == 60_000


def test_a_proxy_s_word_on_when_to_come_back_is_obeyed_as_well(phone: Phone) -> None:
    phone.run("timer", reply=FOREIGN_PAUSE | {"retry_after_ms": 600_000})

    assert phone.retry_in == 600_000
    assert phone.run("timer", now=START + 599_999) == []


@pytest.mark.parametrize("reply", [refusal(503), {"error": "TypeError"}])
def test_a_network_that_is_back_ends_a_wait_of_the_phone_s_own(phone: Phone, reply: Json) -> None:
    phone.run("timer", chance=ALMOST_ONE, reply=reply)

    assert phone.run("timer") == []
    assert phone.run("online") == ["/sync"]


# What it says of a failure

NOT_CONFIRMED = {"status": 401, "text": '{"code": "not_confirmed", "message": ""}', "retry_after_ms": None}
TO_THE_MINUTE = START - START % 60_000


def test_a_phone_that_was_locked_during_an_exchange_waits_for_nothing_when_it_is_unlocked(phone: Phone) -> None:
    """What the answer brought could not be kept: no storage has failed."""
    assert phone.run("visible", storage="LockedError") == ["/sync"]

    assert phone.run("unlocked", storage="") == ["/sync"]


def test_a_phone_that_has_no_room_for_the_answer_says_so_until_it_has(phone: Phone) -> None:
    phone.run("visible", reply=refusal(503, 7000), now=START + HOUR_MS)
    phone.run("visible", reply=GOOD, storage="QuotaExceededError", now=START + 2 * HOUR_MS)

    assert phone.is_full()
    assert phone.said() == (False, None), "the server has answered"

    phone.run("visible", storage="", now=START + 3 * HOUR_MS)

    assert not phone.is_full()


@pytest.mark.parametrize(
    "reply", [refusal(503, 7000), refusal(429), FOREIGN, {"error": "TypeError"}, {"error": "TimeoutError"}]
)
def test_with_a_network_a_failure_is_the_server_s_until_it_answers(phone: Phone, reply: Json) -> None:
    phone.run("timer", reply=reply)
    assert phone.said() == (False, TO_THE_MINUTE)

    phone.run("asked", now=START + 60_000, reply=reply)
    assert phone.said() == (False, TO_THE_MINUTE + 60_000)

    phone.run("asked", reply=GOOD)
    assert phone.said() == (False, None)


def test_without_a_network_a_failure_is_no_server_s(phone: Phone) -> None:
    phone.run("timer", is_online=False, reply={"error": "TypeError"})

    assert phone.said() == (True, None)


def test_a_server_that_will_not_have_this_device_is_not_called_unreachable(phone: Phone) -> None:
    phone.run("timer", reply=NOT_CONFIRMED)

    assert phone.said() == (False, None)


def test_a_network_that_came_back_while_no_page_listened_is_noticed(phone: Phone) -> None:
    phone.run("timer", is_online=False, chance=ALMOST_ONE, reply={"error": "TypeError"})
    assert phone.run("load") == []

    assert phone.run("load", is_online=True, reply=GOOD) == ["/sync"]


# Photos

PHOTO = {"sha256": "ab", "length": 10, "kind": "photo", "state": "waiting"}
LOOK = "HEAD /sync/blobs/ab"


def test_photos_come_after_the_text(phone: Phone) -> None:
    assert phone.run("timer", blobs=[PHOTO], replies={LOOK: refusal(503)}) == ["/sync", LOOK]


def test_no_photo_is_offered_while_text_is_refused(phone: Phone) -> None:
    assert phone.run("timer", blobs=[PHOTO], reply=refusal(503)) == ["/sync"]


@pytest.mark.parametrize("path", ["/sync/hello", "/sync/audit", "/sync/import"])
def test_no_photo_is_offered_to_a_server_that_asked_for_a_pause(phone: Phone, path: str) -> None:
    later = START + 25 * HOUR_MS  # it asks how it stands, and compares

    asked = phone.run(
        "timer", now=later, blobs=[PHOTO], stranded=[{"change_id": "a"}], replies={path: refusal(503, 7000)}
    )

    assert asked[-1] == path
    assert phone.run("timer", now=later + 6999) == []
    assert phone.run("timer", now=later + 7000, replies={LOOK: refusal(503)})[-1] == LOOK


def test_photos_that_are_going_up_stop_when_the_server_asks_for_a_pause(phone: Phone) -> None:
    stands = {"status": 200, "text": "", "headers": {"Upload-Offset": "0", "Linli-Epoch": "one"}}
    path = f"/sync/blobs/{'0' * 64}"  # the only hash that this phone makes
    replies = {f"HEAD {path}": stands, f"PATCH {path}": stands, "/sync": refusal(503, 7000)}

    asked = phone.run_beside_photos("timer", blobs=[PHOTO | {"sha256": "0" * 64}], replies=replies)

    assert sorted(asked) == ["/sync", f"HEAD {path}", f"PATCH {path}"]


def test_photos_wait_by_themselves(phone: Phone) -> None:
    phone.run("timer", blobs=[PHOTO], replies={LOOK: refusal(503, 600_000)})

    assert phone.retry_in is None
    assert phone.run("timer", now=START + 599_999) == ["/sync"]
    assert phone.run("timer", now=START + 600_000) == ["/sync", LOOK]


@pytest.mark.parametrize("ahead", [{"status": 409}, {"status": 204, "headers": {"Linli-Epoch": "one"}}])
def test_a_photo_that_is_sent_to_and_fro_is_let_go_of(phone: Phone, ahead: Json) -> None:
    """By two machines that know nothing of each other's pieces, say, or a disk that damages each."""
    here, there = ({"text": "", "retry_after_ms": None, **ahead} for _ in range(2))
    here["headers"] = {**ahead.get("headers", {}), "Upload-Offset": "5"}
    there |= {"status": 409, "headers": {"Upload-Offset": "0"}}
    replies = {LOOK: there | {"status": 200, "headers": {"Linli-Epoch": "one", "Upload-Offset": "0"}}}

    asked = phone.run("timer", blobs=[PHOTO], replies=replies | {LOOK.replace("HEAD", "PATCH"): [here, there] * 50})

    assert len(asked) < 25


def test_photos_that_fail_without_a_word_wait_longer_each_time(phone: Phone) -> None:
    phone.run("timer", blobs=[PHOTO], chance=ALMOST_ONE, replies={LOOK: {"error": "TypeError"}})

    assert phone.run("timer", now=START + 1999) == ["/sync"]
    assert phone.run("timer", now=START + 2000) == ["/sync", LOOK]
    assert phone.run("timer", now=START + 5999) == ["/sync"]
    assert phone.run("timer", now=START + 6000) == ["/sync", LOOK]


@pytest.mark.parametrize("cause", ["asked", "online"])
def test_photos_do_not_wait_once_somebody_asks_or_the_network_is_back(phone: Phone, cause: str) -> None:
    phone.run("timer", blobs=[PHOTO], chance=ALMOST_ONE, replies={LOOK: {"error": "TypeError"}})
    assert phone.run("timer") == ["/sync"]

    assert phone.run(cause) == ["/sync", LOOK]


def test_photos_come_back_when_the_server_says_so_unless_somebody_asks(phone: Phone) -> None:
    phone.run("timer", blobs=[PHOTO], replies={LOOK: refusal(503, 600_000)})

    assert phone.run("online") == ["/sync"]
    assert phone.run("asked") == ["/sync", LOOK]


# What a Retry-After may say

NOW = 1_795_395_600_000


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("120", 120_000),
        ("0", None),
        ("99999999999", 99_999_999_999_000),
        ("Mon, 23 Nov 2026 01:00:30 GMT", 30_000),
        ("Mon, 23 Nov 2026 00:00:00 GMT", None),
        ("-5", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str | None, wait: int | None) -> None:
    found = JavaScript("sync/transport.js").call("readRetryAfter", text, NOW)

    assert found == wait


@pytest.mark.parametrize(("cause", "exchanges"), [("saved", 2), ("asked", 2), ("unlocked", 2), ("visible", 1)])
def test_what_is_saved_taken_back_or_unlocked_while_an_exchange_is_under_way_has_one_after_it(
    phone: Phone, cause: str, exchanges: int
) -> None:
    """It may have missed the last batch, and brings no list to a phone that was locked."""
    assert phone.run_under_way(cause, device=ENROLLED, reply=GOOD) == ["/sync"] * exchanges
