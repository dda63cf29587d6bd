"""POST /sync, the exchange; GET /sync/hello, what a phone asks before its first one.

A request is authenticated by the device's signature, decoded, and done whole in one write transaction: push, then
pull. A request without changes only reads. The answer goes out after commit.
"""

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, select
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from server import models
from server.accepting import accept_changes, device_author
from server.bodies import inflate, read_body
from server.database import Database
from server.devices import signed_device, volunteer_of
from server.models import Community, Device
from server.rules import SCHEMA, SCHEMA_OLDEST
from server.scope import SCOPED
from server.sealing import Unsealable, current_sealing_key, encode_base64url, private_keys, unseal
from server.store import SqlStore, text_of
from sync.changes import Change, Held, Result, canonical
from sync.engine import page, unreadable
from sync.errors import MalformedMessage, SyncError, TryLater, UnknownDevice
from sync.gaps import advance
from sync.protocol import (
    CHANGE_BYTES_MAX,
    CHANGES_MAX,
    INFLATED_BYTES_MAX,
    PACKED_BYTES_MAX,
    PROTOCOL_VERSION,
    Envelope,
    Message,
    decode_change,
    decode_message,
    encode_answer,
)

GZIP_FROM_BYTES = 1024
LANGUAGES = ("zh-CN", "en")
SIZES = ("normal", "large")


@dataclass(frozen=True, slots=True)
class Signed:
    """The signature headers of one request, and the body they were made over."""

    device_id: str
    signature: str
    method: str
    path: str
    body: bytes


async def exchange(request: Request) -> Response:
    database: Database = request.app.state.database
    now: int = request.app.state.clock()
    try:
        signed = await read_signed(request)
        device = await run_in_threadpool(database.read, lambda session: authenticate(session, signed))
        message = decode_message(parse_json(request, signed.body))
        run = Exchange(device.id, message, now)
        does_write = message.envelopes or is_news(device, message)
        answer = await run_in_threadpool(database.write if does_write else database.read, run)
    except SyncError as error:
        return error_response(error)
    return json_response(request, answer)


async def hello(request: Request) -> Response:
    database: Database = request.app.state.database
    now: int = request.app.state.clock()
    try:
        signed = await read_signed(request)
        answer = await run_in_threadpool(database.read, lambda session: greet(session, signed, now))
    except SyncError as error:
        return error_response(error)
    return json_response(request, answer)


def authenticate(session: Session, signed: Signed) -> Device:
    return signed_device(
        session,
        device_id=signed.device_id,
        signature=signed.signature,
        method=signed.method,
        path=signed.path,
        body=signed.body,
    )


def greet(session: Session, signed: Signed, now: int) -> dict[str, Any]:
    """What the device should know of the server, and how it stands here."""
    device = authenticate(session, signed)
    community = session.get_one(Community, device.community_id)
    volunteer = volunteer_of(session, device)
    key = current_sealing_key(session)
    return {
        "protocol": PROTOCOL_VERSION,
        "schema": SCHEMA,
        "oldest_schema": SCHEMA_OLDEST,
        "epoch": community.epoch,
        "now": now,
        "server_key": {"id": key.id, "public": encode_base64url(key.public_key)},
        "standing": device.standing,
        "me": {"id": volunteer.id, "name": volunteer.name, "community": community.name},
        "limits": {"changes": CHANGES_MAX, "bytes": PACKED_BYTES_MAX},
        "language": device.language,
    }


@dataclass(frozen=True, slots=True)
class Exchange:
    """One push and pull as a piece of work for the database: it may be run again from the start."""

    device_id: str
    message: Message
    now: int

    def __call__(self, session: Session) -> dict[str, Any]:
        message = self.message
        device = session.exec(select(Device).where(Device.id == self.device_id)).one()
        if device.standing == "waiting":
            raise UnknownDevice("not_confirmed", "a coordinator has not confirmed this device yet")
        author = device_author(device, volunteer_of(session, device).name)
        results: Sequence[Result] = []
        if message.envelopes:
            keys = private_keys(session)
            changes = [read_envelope(envelope, keys=keys, device_id=device.id) for envelope in message.envelopes]
            results = accept_changes(session, author, changes, self.now)
        missing = note_contact(session, device, message, self.now)
        store = SqlStore(session)
        pulled = page(store, author=author, epoch=message.epoch, after=message.cursor, limit=message.limit)
        echoed = [wire_result(envelope, result) for envelope, result in zip(message.envelopes, results, strict=True)]
        answer = encode_answer(page=pulled, results=[], missing=missing, now=self.now, oldest_schema=SCHEMA_OLDEST)
        return answer | {"results": echoed, "standing": device.standing}


def wire_result(envelope: Envelope, result: Result) -> dict[str, Any]:
    """Under the id the phone gave, even where that was no id."""
    return result.wire() | {"change_id": envelope.change_id}


def read_envelope(envelope: Envelope, *, keys: dict[str, bytes], device_id: str) -> Change:
    """The change inside; whatever cannot be read is held whole, so that it blocks nobody and nothing is dropped."""
    raw = envelope.sealed if envelope.sealed is not None else canonical_or_empty(envelope.change)

    def held(code: Held, detail: str = "") -> Change:
        return unreadable(
            change_id=envelope.change_id,
            device_sequence=envelope.device_sequence,
            code=code,
            raw=raw,
            detail=detail,
        )

    if len(raw) > CHANGE_BYTES_MAX:
        return held(Held.BAD_CHANGE, "too big")
    wire: Any = envelope.change
    if envelope.sealed is not None:
        try:
            wire = unseal(
                envelope.sealed,
                keys=keys,
                device_id=device_id,
                change_id=envelope.change_id,
                sequence=envelope.device_sequence,
            )
        except Unsealable:
            return held(Held.UNSEALABLE)
    if not isinstance(wire, dict):
        return held(Held.BAD_CHANGE)
    try:
        change = decode_change(wire, envelope=envelope)
        text_of(change.set)  # half a surrogate pair or a number beyond 64 bits cannot be stored
    except MalformedMessage as error:
        return held(Held.BAD_CHANGE, error.message)
    except (ValueError, OverflowError, RecursionError):
        return held(Held.BAD_CHANGE, "text")
    return change


def canonical_or_empty(value: Any) -> str:
    """What came in the open, as text that any database can keep."""
    return canonical(value).encode("utf-8", "backslashreplace").decode() if value is not None else ""


def is_news(device: Device, message: Message) -> bool:
    """Whether an exchange without changes still has something to note; if not it needs no write at all."""
    return (
        message.high_water > device.high_water
        or message.settings.get("language", device.language) != device.language
        or message.settings.get("size", device.size) != device.size
        or device.last_contact_at == 0
    )


def note_contact(session: Session, device: Device, message: Message, now: int) -> list[list[int]]:
    """Keeps what this contact says of the device, and returns the sequence numbers that should have arrived."""
    arrived = session.exec(
        select(models.Change.device_sequence)
        .where(
            models.Change.community_id == device.community_id,
            models.Change.device_id == device.id,
            col(models.Change.device_sequence) > device.received_through,
        )
        .execution_options(**SCOPED)  # numbers only, of the device's own changes
    )
    through, missing = advance(device.received_through, arrived, max(message.high_water, device.high_water))
    if message.envelopes or is_news(device, message):
        device.received_through = through
        device.high_water = max(message.high_water, device.high_water)
        device.last_contact_at = now
        device.clock_skew_ms = max(-(2**53), min(2**53, message.now - now)) if message.now else 0
        language, size = message.settings.get("language", ""), message.settings.get("size", "")
        device.language = language if language in LANGUAGES else device.language
        device.size = size if size in SIZES else device.size
        session.add(device)
        session.flush()
    return missing


# HTTP


async def read_signed(request: Request) -> Signed:
    return Signed(
        device_id=request.headers.get("linli-device", ""),
        signature=request.headers.get("linli-signature", ""),
        method=request.method,
        path=request.url.path,
        body=await read_body(request, limit=PACKED_BYTES_MAX),
    )


def parse_json(request: Request, body: bytes) -> Any:
    """JSON without duplicate names, NaN or floods of digits."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise MalformedMessage("bad_message", "the content type must be application/json")
    match request.headers.get("content-encoding", "identity"):
        case "identity":
            pass
        case "gzip":
            body = inflate(body, limit=INFLATED_BYTES_MAX)
        case _:
            raise MalformedMessage("bad_message", "the only content encoding is gzip")
    try:
        return json.loads(body, object_pairs_hook=without_duplicates, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise MalformedMessage("bad_message", "the body is not JSON") from error


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


STATUS: dict[type[SyncError], int] = {UnknownDevice: 401, TryLater: 503}


def error_response(error: SyncError) -> Response:
    status = 413 if error.code == "too_large" else STATUS.get(type(error), 400)
    headers = {"Cache-Control": "no-store"}
    if isinstance(error, TryLater):
        headers["Retry-After"] = str(error.retry_after_seconds)
    body = {"code": error.code, "message": error.message, "retry": error.retry}
    return JSONResponse(body, status_code=status, headers=headers)


def json_response(request: Request, answer: dict[str, Any]) -> Response:
    body = json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
    headers = {"Cache-Control": "no-store", "Content-Type": "application/json", "Vary": "Accept-Encoding"}
    if len(body) >= GZIP_FROM_BYTES and "gzip" in request.headers.get("accept-encoding", ""):
        body = gzip.compress(body, compresslevel=1)
        headers["Content-Encoding"] = "gzip"
    return Response(body, headers=headers)


routes = [
    Route("/sync", exchange, methods=["POST"]),
    Route("/sync/hello", hello, methods=["GET"]),
]
