"""Pushes that were signed ahead of time (PROTOCOL.md, 11): in a file that a phone exported and a coordinator brings in, or
kept by the phone itself, in case its database is lost with its key.

They are what the device would have sent, sealed and signed, but for a path of their own: whoever finds them can neither
read them nor pull with them. Each is an ordinary push, so twice is once, and what the phone sends later by itself is
known already.
"""

import json
from collections import Counter
from dataclasses import dataclass
from functools import partial

from sqlmodel import Session
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp

from server.callers import Caller, authenticated, confirmed
from server.database import Database
from server.device_requests import Signed, parse_json, read_json
from server.envelopes import read_envelope
from server.scope import Principal
from server.sealing import private_keys
from server.store import SqlStore
from server.sync_api import Answer, accept_opened, answered_in_turn, wire_result
from sync.changes import Outcome, Result
from sync.errors import MalformedMessage, SyncError, UnknownDevice
from sync.protocol import Message, decode_message

IMPORT_PATH = "/sync/import"
EXPORT_BYTES_MAX = 8 * 1024 * 1024
FORMAT, VERSION = "linli-export", 1


class NotOurs(Exception):
    """The file is none of ours, was cut short or altered: `code` names the sentence that says what to do."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Import:
    """How many changes of the file are new here, how many had arrived before, how many a person must look at, and how many
    the server would not keep."""

    new: int
    again: int
    held: int
    left: int


def bring_in(database: Database, principal: Principal, text: str, *, now: int) -> Import:
    """Takes the file in, one message a transaction. Raises NotOurs; what was taken before it stays, and is known then."""
    found: Counter[Outcome] = Counter()
    for signed in signed_messages(text):
        found += database.write(partial(take, principal=principal, signed=signed, message=readable(signed), now=now))
    held, again, left = found[Outcome.HELD], found[Outcome.AGAIN], found[Outcome.TOO_BIG] + found[Outcome.LATER]
    return Import(new=found.total() - held - again - left, again=again, held=held, left=left)


def signed_messages(text: str) -> list[Signed]:
    """Behind the line that says to people what the file is."""
    try:
        wire = json.loads(text[text.index("{") :])
        if (wire["format"], wire["version"]) != (FORMAT, VERSION):
            raise NotOurs("not_ours")
        return [
            Signed(str(wire["device_id"]), str(each["signature"]), "POST", IMPORT_PATH, each["body"].encode())
            for each in wire["messages"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotOurs("not_ours") from error


def readable(signed: Signed) -> Message:
    try:
        return decode_message(read_json(signed.body))
    except MalformedMessage as error:
        raise NotOurs("not_ours") from error


def take(session: Session, *, principal: Principal, signed: Signed, message: Message, now: int) -> Counter[Outcome]:
    """Of a phone of the coordinator's own community alone; to her any other is unknown."""
    try:
        caller = confirmed(authenticated(session, signed))
        if caller.community_id != principal.community_id:
            raise UnknownDevice("unknown_device", "of another community")
    except SyncError as error:
        raise NotOurs("unknown_device") from error
    return Counter(result.outcome for result in push(session, caller, message, now))


def push(session: Session, caller: Caller, message: Message, now: int) -> list[Result]:
    keys = private_keys(session)
    changes = [read_envelope(envelope, keys=keys, device_id=caller.id) for envelope in message.envelopes]
    return accept_opened(session, caller.author, message, changes, now)


async def receive(request: Request) -> ASGIApp:
    """What a phone signed before its database was lost, brought by the phone itself: only what became of it is said."""
    database: Database = request.app.state.database
    now: int = request.app.state.clock()

    def work(signed: Signed) -> Answer:
        def taken(session: Session) -> Answer:
            caller = confirmed(authenticated(session, signed))
            results = push(session, caller, message, now)
            return {
                "now": now,
                "epoch": SqlStore(session).epoch(caller.community_id),
                "results": [wire_result(*each) for each in zip(message.envelopes, results, strict=True)],
            }

        request.app.state.key_ring.check(signed)
        message = decode_message(parse_json(request, signed.body))
        return database.write(taken)

    return await answered_in_turn(request, work)


routes = [Route(IMPORT_PATH, receive, methods=["POST"])]
