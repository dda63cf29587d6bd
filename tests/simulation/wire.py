"""The wire between phones and the centre: what it loses, doubles, delays, cuts short, or answers by itself.

A message is on its way for some ticks, is worked on, and its answer is on its way for some more. Everything that goes
wrong is drawn when the message is sent, from the history's own randomness.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec

from tests.simulation.boxes import opened, seal_envelope
from tests.simulation.central import Reply, Request

PORTAL = Reply(200, "<!doctype html><title>Free Wi-Fi</title><form>Accept our terms</form>")
FOREIGN = Reply(200, '{"status":"ok","results":[]}')
BROKEN = Reply(500, "<h1>Internal Server Error</h1>")
BUSY = Reply(429, '{"code":"busy","message":"later","retry":true}', 20_000)
UNAVAILABLE = Reply(503, "<h1>Service Unavailable</h1>", 10**12)
PROXY_TOO_LARGE = Reply(413, "<h1>Request Entity Too Large</h1>")
TIMEOUT = {"error": "TimeoutError"}
UNREACHABLE = {"error": "TypeError"}
TIMEOUT_TICKS = 4

ANSWERED_BY_OTHERS = {
    "captive_portal": PORTAL,
    "foreign_json": FOREIGN,
    "error_500": BROKEN,
    "busy_429": BUSY,
    "unavailable_503": UNAVAILABLE,
}
FATES = {"crash_before_commit": "before", "crash_after_commit": "after", "storage_full": "storage"}


@dataclass(slots=True)
class Message:
    """One message on its way. `reply_to` is the waiting fetch in the phone."""

    reply_to: int
    phone: str
    device_id: str
    text: str
    due: int
    fate: str = ""
    answer_delay: int = 0
    is_answer_lost: bool = False
    is_cut_short: bool = False
    wants_company: bool = False
    ids: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Wire:
    rng: Random
    chances: Mapping[str, float]
    faults: Counter[str]
    page_limit: int
    is_key_lost: Callable[[str], bool]
    body_limit: int = 10**9
    under_way: list[Message] = field(default_factory=list)
    replies: list[tuple[int, int, dict[str, Any]]] = field(default_factory=list)  # due, fetch, reply

    def draw(self, fault: str) -> bool:
        chance = self.chances.get(fault, 0.0)
        is_drawn = chance > 0 and self.rng.random() < chance
        if is_drawn:
            self.faults[fault] += 1
        return is_drawn

    def heal(self) -> None:
        """From now on everything arrives, at once and once. What is still under way arrives late, as it was drawn."""
        self.chances = {}

    def send(self, post: dict[str, Any], device_id: str, tick: int) -> str:
        """Takes one message from a phone and says what will become of it, for the trace."""
        reply_to, text = post["id"], self._packed(post["text"], device_id)
        message = Message(reply_to, post["phone"], device_id, text, tick, ids=ids_in(text))
        if len(text.encode()) > self.body_limit:
            return self._answer(message, PROXY_TOO_LARGE, tick + 1, "proxy_413")
        for fault, reply in ANSWERED_BY_OTHERS.items():
            if self.draw(fault):
                return self._answer(message, reply, tick + 1, fault)
        if message.ids and self.draw("proxy_413"):
            return self._answer(message, PROXY_TOO_LARGE, tick + 1, "proxy_413")
        if self.draw("request_lost"):
            self.replies.append((tick + 1, reply_to, self.rng.choice((TIMEOUT, UNREACHABLE))))
            return "request_lost"
        return self._let_through(message, tick)

    def _let_through(self, message: Message, tick: int) -> str:
        drawn: list[str] = []
        for fault, fate in FATES.items():
            if not message.fate and self.draw(fault):
                message.fate = fate
                drawn.append(fault)
        if self.draw("delayed"):
            message.due += self.rng.randint(1, 3)
            message.answer_delay = self.rng.randint(0, 3)
            drawn.append("delayed")
        elif self.draw("delayed_beyond_timeout"):
            message.due += self.rng.randint(2, 14)
            message.answer_delay = self.rng.randint(0, 6)
            drawn.append("delayed_beyond_timeout")
            if self.rng.random() < 0.5:
                self.replies.append((tick + TIMEOUT_TICKS, message.reply_to, TIMEOUT))
        for name, fault in (
            ("is_answer_lost", "answer_lost"),
            ("is_cut_short", "answer_cut_short"),
            ("wants_company", "at_the_same_instant"),
        ):
            if self.draw(fault):
                setattr(message, name, True)
                drawn.append(fault)
        self.under_way.append(message)
        if self.draw("request_doubled"):
            later = message.due + self.rng.randint(0, 8)
            self.under_way.append(
                Message(message.reply_to, message.phone, message.device_id, message.text, later, ids=message.ids)
            )
            drawn.append("request_doubled")
        return " ".join(drawn)

    def _answer(self, message: Message, reply: Reply, due: int, fault: str) -> str:
        self.replies.append((due, message.reply_to, reply.wire()))
        return fault

    def arrivals(self, tick: int) -> list[Message]:
        due = [message for message in self.under_way if message.due <= tick]
        self.under_way = [message for message in self.under_way if message.due > tick]
        return due

    def answer(self, message: Message, reply: Reply | None, tick: int) -> None:
        """Sends the server's answer on its way; None when the server died over it."""
        due = tick + 1 + message.answer_delay
        if reply is None:
            self.replies.append((due, message.reply_to, UNREACHABLE))
        elif message.is_answer_lost:
            self.replies.append((due, message.reply_to, self.rng.choice((TIMEOUT, UNREACHABLE))))
        elif message.is_cut_short:
            cut = Reply(reply.status, reply.text[: self.rng.randrange(len(reply.text))])
            self.replies.append((due, message.reply_to, cut.wire()))
        else:
            self.replies.append((due, message.reply_to, reply.wire()))

    def take_replies(self, tick: int) -> list[dict[str, Any]]:
        due = [{"id": fetch, "reply": reply} for at, fetch, reply in self.replies if at <= tick]
        self.replies = [entry for entry in self.replies if entry[0] > tick]
        return due

    def is_quiet(self) -> bool:
        return not self.under_way and not self.replies

    def _packed(self, text: str, device_id: str) -> str:
        """What leaves the phone: its changes sealed, its pages small (a server may send fewer than asked for)."""
        message = msgspec.json.decode(text)
        message["limit"] = min(message["limit"], self.page_limit)
        message["changes"] = [
            seal_envelope(each, device_id=device_id, is_key_lost=self.is_key_lost(opened(each)["change_id"]))
            for each in message["changes"]
        ]
        return msgspec.json.encode(message).decode()


def request_of(message: Message, now: int) -> Request:
    return Request(message.device_id, message.text, now, message.fate)


def ids_in(text: str) -> list[str]:
    return [change["change_id"] for change in msgspec.json.decode(text)["changes"]]
