"""The phone's half of sync/vectors/exchange.json: from the state that a case begins with it sends exactly its requests,
and handed the answers it ends as the case says. Outbox, replica and exchange are the product's own, in V8.
"""

import base64
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sync.columns import from_columns
from tests.javascript import JavaScript
from tests.simulation.phone import Phones, shared_phones

Json = dict[str, Any]

VECTORS: Json = json.loads(Path("sync/vectors/exchange.json").read_text(encoding="utf-8"))
CASES: list[Json] = VECTORS["cases"]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_phone_asks_and_ends_as_frozen(case: Json) -> None:
    phone = Phone(case["phone"])
    asked: list[Json] = []

    message = phone.drain()
    for given in case["messages"]:
        assert message is not None, "the phone is done too early"
        asked.append(in_the_open(message))
        text = given.get("text") or json.dumps(given["answer"])
        message = phone.hand(given.get("status", 200), text, given.get("retry_after"))

    assert asked == [each["request"] for each in case["messages"]]
    assert message is None
    assert phone.left() == case["after"]
    assert phone.records() == held_records(case)


class Phone:
    """One phone of the simulator, alone, with a wire that is this test's hand."""

    def __init__(self, given: Json) -> None:
        self._now: int = given["now"]
        person = VECTORS["people"][given["who"]]
        me = {"id": person["id"], "name": person["name"]}
        self._phones: Phones = shared_phones()
        self._phones.start([{"name": "phone", "schema": given["schema"], "me": me}], seed=1, mutant="")
        self._asked = 0
        self._is_done = False
        self._ordered_ms: int | None = None
        laid = {
            "entries": [entry_of(each, given["now"]) for each in given["outbox"]],
            "high_water": given["high_water"],
            "settings": given["settings"],
            "checkpoint": {"epoch": given["epoch"], "cursor": given["cursor"], "ready": given["cursor"] != ""},
            "records": given["records"],
        }
        self._run([{"phone": "phone", "command": "lay", **laid}])

    def drain(self) -> str | None:
        """Starts an exchange; gives the message it sends first."""
        return self._run([{"phone": "phone", "command": "drain", "tab": 0}])

    def hand(self, status: int, text: str, retry_after: str | None) -> str | None:
        """Hands it an answer; gives the next message, None when there is none."""
        retry_after_ms = retry_after and JavaScript("sync/transport.js").call("readRetryAfter", retry_after, self._now)
        reply = {"status": status, "text": text, "retry_after_ms": retry_after_ms}
        return self._run([], [{"id": self._asked, "reply": reply}])

    def left(self) -> Json:
        """What a case calls `after`."""
        found = self._phones.inspect()[0]
        checkpoint = found["checkpoint"]
        names = ("change_id", "state", "revision", "epoch", "code")
        return self._wait() | {
            "is_done": self._is_done,
            "epoch": checkpoint["epoch"],
            "cursor": checkpoint["cursor"],
            "outbox": [{name: entry[name] for name in names} for entry in found["entries"]],
            "records": {record["id"]: record["revision"] for record in found["records"]},
        }

    def _wait(self) -> Json:
        """How long it leaves the server alone, where that was the server's word."""
        if self._ordered_ms is None:
            return {}
        return {"wait_ms": JavaScript("sync/backoff.js").call("waitAfter", 1, {"retryAfterMs": self._ordered_ms})}

    def records(self) -> Json:
        return {record["id"]: record for record in self._phones.inspect()[0]["records"]}

    def _run(self, commands: list[Json], replies: list[Json] | None = None) -> str | None:
        posts, events = self._phones.run(
            seed=1, clocks={"phone": self._now}, commands=commands, replies=[] if replies is None else replies
        )
        assert not [event for event in events if event["event"] == "threw"], events
        self._is_done = any(event.get("isDone", False) for event in events)
        self._ordered_ms = next((event["retry_after_ms"] for event in events if "retry_after_ms" in event), None)
        for post in posts:
            self._asked = post["id"]
        assert len(posts) <= 1
        return str(posts[0]["text"]) if posts else None


def entry_of(given: Json, now: int) -> Json:
    """An outbox entry whose seal is left off: the simulator's phones keep their changes in the open. One that the case
    has in a box lies there in that box."""
    change = given["change"]
    return {
        "sequence": change["device_sequence"],
        "change_id": change["change_id"],
        "record_id": change["record_id"],
        "created_at": change["made_at"],
        "state": given["state"],
        "sealed": json.dumps(change),
        "box": given.get("sealed"),
        "display": {name: change[name] for name in ("kind", "action", "set", "made_at")},
        "version": 1,
        "acknowledged_at": None if given["state"] == "waiting" else now,
        "revision": given["revision"],
        "epoch": given["epoch"],
        "code": given["code"],
    }


def in_the_open(text: str) -> Json:
    """The message with each change as it was before it was sealed, or in the box that it came in."""
    message: Json = json.loads(text)
    for each in message["changes"]:
        sealed = each["sealed"]
        with suppress(ValueError):
            each["change"] = json.loads(base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4)))
            del each["sealed"]
    return message


def records_of(answer: Json) -> Json:
    return from_columns(answer["columns"]) if "columns" in answer else answer["records"]


def held_records(case: Json) -> Json:
    """The records named by `after`, as they came: in an answer, or before the case began."""
    answers = [message["answer"] for message in case["messages"] if "answer" in message]
    pulled = [record for answer in answers for records in records_of(answer).values() for record in records]
    newest = {record["id"]: record for record in [*case["phone"]["records"], *pulled]}
    return {record_id: newest[record_id] for record_id in case["after"]["records"]}
