"""POST /sync, the exchange; GET /sync/hello, what a phone asks before its first one.

A request is authenticated by the device's signature, decoded, and done whole in one write transaction: push, then
pull. A request without changes only reads, unless there is something to note of its device. The answer goes out after commit.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from server.accepting import accept_changes
from server.admission import Admission, Bring, pause_ms
from server.callers import KeyRing, authenticated, caller_of, confirmed
from server.contact import is_news, missing_numbers, note_call
from server.database import Database
from server.device_requests import (
    Signed,
    error_response,
    json_response,
    json_response_soon,
    parse_json,
    read_signed,
)
from server.envelopes import read_envelope
from server.models import Community
from server.rules import SCHEMA, SCHEMA_OLDEST
from server.sealing import current_sealing_key, encode_base64url, private_keys
from server.store import SqlStore, StoredRecords
from sync.changes import Author, Change, Outcome, Result
from sync.engine import Page, page, put_off, withheld
from sync.errors import SyncError
from sync.protocol import (
    BLOB_BYTES_MAX,
    BLOB_CHUNK_BYTES_MAX,
    CHANGES_MAX,
    PACKED_BYTES_MAX,
    PROTOCOL_VERSION,
    Envelope,
    Message,
    decode_message,
    encode_answer,
)
from sync.store import Store

FIRST_SYNC_BYTES = 70  # on the wire, for each record (tests/server/test_first_sync_weight.py)
UPLOAD_BYTES = 512  # a message without changes is smaller; it decides about the order only
Answer = dict[str, Any]


async def exchange(request: Request) -> ASGIApp:
    """Read and opened in a thread, few at a time; then handed to the writer, and no thread waits for the commit."""
    database: Database = request.app.state.database
    admission: Admission = request.app.state.admission
    key_ring: KeyRing = request.app.state.key_ring
    now: int = request.app.state.clock()

    def begin(signed: Signed) -> Exchange | Answer:
        key_ring.check(signed)
        message = decode_message(parse_json(request, signed.body))
        is_put_off = message.envelopes and admission.is_pressed
        run = Exchange(signed.device_id, message, now, pause_ms=pause_ms() if is_put_off else 0)
        return run.begun_in(database)

    async def work(signed: Signed) -> Response:
        begun = await admission.at_desk(lambda: begin(signed))
        answer = await database.write_soon(begun) if isinstance(begun, Exchange) else begun
        assert answer is not None
        return await json_response_soon(request, answer)

    return await in_turn(request, work)


async def hello(request: Request) -> ASGIApp:
    database: Database = request.app.state.database
    now: int = request.app.state.clock()
    return await answered_in_turn(request, lambda signed: database.read(lambda session: greet(session, signed, now)))


async def answered_in_turn(request: Request, work: Callable[[Signed], Answer]) -> ASGIApp:
    """What the work makes of a signed request, done in a thread when it is this one's turn."""
    admission: Admission = request.app.state.admission
    return await in_turn(request, lambda signed: admission.at_desk(lambda: json_response(request, work(signed))))


async def in_turn(request: Request, work: Callable[[Signed], Awaitable[Response]]) -> ASGIApp:
    admission: Admission = request.app.state.admission

    async def read_and_work(bring: Bring) -> Response:
        signed = await read_signed(request, bring=bring)
        async with admission.turn(is_upload=len(signed.body) >= UPLOAD_BYTES):
            return await work(signed)

    try:
        return await admission.answer(read_and_work)
    except SyncError as error:
        return error_response(error)


def greet(session: Session, signed: Signed, now: int) -> dict[str, Any]:
    """What the device should know of the server, and how it stands here."""
    caller = authenticated(session, signed)
    community = session.get_one(Community, caller.community_id)
    key = current_sealing_key(session)
    of_store = SqlStore(session)
    households, records = of_store.first_sync(caller.community_id, caller.volunteer_id) if caller.may_read else (0, 0)
    return {
        "protocol": PROTOCOL_VERSION,
        "schema": SCHEMA,
        "oldest_schema": SCHEMA_OLDEST,
        "epoch": community.epoch,
        "now": now,
        "server_key": {"id": key.id, "public": encode_base64url(key.public_key)},
        "standing": caller.told,
        "me": {"id": caller.volunteer_id, "name": caller.volunteer_name, "community": community.name},
        "limits": {
            "changes": CHANGES_MAX,
            "bytes": PACKED_BYTES_MAX,
            "blob_bytes": BLOB_BYTES_MAX,
            "blob_chunk_bytes": BLOB_CHUNK_BYTES_MAX,
        },
        "language": caller.language,
        "first_sync": {"households": households, "records": records, "bytes": records * FIRST_SYNC_BYTES},
    }


@dataclass(frozen=True, slots=True)
class Exchange:
    """One push and pull as a piece of work for the database: it may be run again from the start.

    With `pause_ms` what was pushed is all that is done now, and the phone is asked to pull after that pause. Without
    changes it only looks, and ends with None when there is something to note after all, unless it `may_note`. The
    `changes` are the message's own, opened before the transaction (`begun_in`), so that the one writer does nothing
    that others could do.
    """

    device_id: str
    message: Message
    now: int
    pause_ms: int = 0
    may_note: bool = False
    changes: Sequence[Change | None] = ()

    def begun_in(self, database: Database) -> "Exchange | Answer":
        """The answer, where nothing needs to be written; else what is left to write."""
        answer = None if self.message.envelopes else database.read(self)
        if answer is not None:
            return answer
        return replace(self, may_note=True, changes=opened(self.message, self.device_id, database))

    def done_in(self, database: Database) -> Answer:
        begun = self.begun_in(database)
        answer = database.write(begun) if isinstance(begun, Exchange) else begun
        assert answer is not None
        return answer

    def __call__(self, session: Session) -> Answer | None:
        message = self.message
        caller = confirmed(caller_of(session, self.device_id))
        store = SqlStore(session)
        if message.envelopes and not store.holds(caller.community_id):
            store.hold(caller.community_id)  # another message of the same phone may have been at work
            caller = caller_of(session, self.device_id)
        does_note = bool(message.envelopes) or is_news(caller, message, self.now)
        if does_note and not self.may_note:
            return None
        results: Sequence[Result] = []
        if message.envelopes:
            results = accept_opened(session, caller.author, message, self.changes, self.now)
        if does_note:
            missing = note_call(session, caller, message, self.now, results)
        else:
            _, missing, _ = missing_numbers(session, caller, message)
        pulled, is_later = pull(store, caller.author, message, is_pressed=self.pause_ms > 0)
        records = pulled.slice.records
        return encode_answer(
            page=pulled,
            results=[wire_result(*each) for each in zip(message.envelopes, results, strict=True)],
            missing=missing,
            now=self.now,
            oldest_schema=SCHEMA_OLDEST,
            standing=caller.told,
            pause_ms=self.pause_ms if is_later else 0,
            records=records.wire() if isinstance(records, StoredRecords) and not message.wants_columns else None,
            as_columns=message.wants_columns,
        )


def pull(
    store: Store, author: Author, message: Message, *, is_pressed: bool, oldest_schema: int = SCHEMA_OLDEST
) -> tuple[Page, bool]:
    """The pull half of a message, and whether it was put off."""
    if message.schema < oldest_schema:
        return withheld(store, author=author, after=message.cursor), False
    later = put_off(store, author=author, epoch=message.epoch, after=message.cursor) if is_pressed else None
    found = later or page(store, author=author, epoch=message.epoch, after=message.cursor, limit=message.limit)
    return found, later is not None


def wire_result(envelope: Envelope, result: Result) -> dict[str, Any]:
    """Under the id the phone gave, even where that was no id."""
    wire = result.wire()
    wire["change_id"] = envelope.change_id
    return wire


def accept_opened(
    session: Session, author: Author, message: Message, changes: Sequence[Change | None], now: int
) -> list[Result]:
    """A result for each envelope of the message; what is None there is the phone's to keep."""
    taken = iter(accept_changes(session, author, [change for change in changes if change is not None], now))
    return [
        Result(envelope.change_id, Outcome.TOO_BIG) if change is None else next(taken)
        for envelope, change in zip(message.envelopes, changes, strict=True)
    ]


def opened(message: Message, device_id: str, database: Database) -> Sequence[Change | None]:
    """What the device pushes, in the open, whatever the server will make of it. Where something is sealed, raises UnknownDevice
    for a device that no coordinator has confirmed: nothing is unsealed for it."""

    def keys_of(session: Session) -> dict[str, bytes]:
        confirmed(caller_of(session, device_id))
        return private_keys(session)

    is_sealed = any(envelope.sealed is not None for envelope in message.envelopes)
    keys = database.read(keys_of) if is_sealed else {}
    return [read_envelope(envelope, keys=keys, device_id=device_id) for envelope in message.envelopes]


routes = [
    Route("/sync", exchange, methods=["POST"]),
    Route("/sync/hello", hello, methods=["GET"]),
]
