"""POST /sync, the exchange; GET /sync/hello, what a phone asks before its first one.

A request is authenticated by the device's signature, decoded, and done whole in one write transaction: push, then
pull. A request without changes only reads. The answer goes out after commit.
"""

import asyncio
import gzip
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import bindparam
from sqlmodel import Session, col, select
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from server import models
from server.accepting import accept_changes, device_author
from server.admission import BODY_SECONDS, Admission, busy, pause_ms
from server.bodies import inflate, read_body
from server.clones import is_cloned, is_set_back
from server.database import Database
from server.devices import DEVICE, signed_device, volunteer_of
from server.models import Community, Device
from server.rules import SCHEMA, SCHEMA_OLDEST
from server.scope import SCOPED
from server.sealing import Unsealable, current_sealing_key, encode_base64url, private_keys, unseal
from server.store import SqlStore
from sync.changes import Author, Change, Held, Result, canonical
from sync.engine import Page, page, put_off, unreadable, withheld
from sync.errors import MalformedMessage, SyncError, TryLater, UnknownDevice
from sync.gaps import advance
from sync.protocol import (
    BLOB_BYTES_MAX,
    BLOB_CHUNK_BYTES_MAX,
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
from sync.store import Store

GZIP_FROM_BYTES = 1024
GZIP_HARDER_FROM_BYTES = 64 * 1024  # a page of a first sync: a sixth less for somebody on a slow line
UPLOAD_BYTES = 512  # a message without changes is smaller; it decides about the order only
CONTACT_NOTED_EVERY_MS = 10 * 60_000  # a phone that only looks for news needs no write each time
LANGUAGES = ("zh-CN", "en")
SIZES = ("normal", "large")
ARRIVED = (
    select(models.Change.device_sequence)
    .where(
        models.Change.community_id == bindparam("community_id"),
        models.Change.device_id == bindparam("device_id"),
        col(models.Change.device_sequence) > bindparam("through"),
    )
    .execution_options(**SCOPED)  # numbers only, of the device's own changes
)


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
    admission: Admission = request.app.state.admission
    now: int = request.app.state.clock()

    def prepare(session: Session) -> tuple[Device, Message]:
        return authenticate(session, signed), decode_message(parse_json(request, signed.body))

    try:
        with admission.enter():
            signed = await read_signed(request)
            async with admission.turn(is_upload=len(signed.body) >= UPLOAD_BYTES, size=len(signed.body)):
                device, message = await run_in_threadpool(database.read, prepare)
                is_put_off = message.envelopes and admission.is_pressed
                run = Exchange(device.id, message, now, pause_ms=pause_ms() if is_put_off else 0)
                does_write = message.envelopes or is_news(device, message, now)
                answer = await run_in_threadpool(database.write if does_write else database.read, run)
            return await run_in_threadpool(json_response, request, answer)
    except SyncError as error:
        return error_response(error)


async def hello(request: Request) -> Response:
    database: Database = request.app.state.database
    admission: Admission = request.app.state.admission
    now: int = request.app.state.clock()
    try:
        with admission.enter():
            signed = await read_signed(request)
            async with admission.turn(is_upload=False, size=len(signed.body)):
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
        "limits": {
            "changes": CHANGES_MAX,
            "bytes": PACKED_BYTES_MAX,
            "blob_bytes": BLOB_BYTES_MAX,
            "blob_chunk_bytes": BLOB_CHUNK_BYTES_MAX,
        },
        "language": device.language,
    }


@dataclass(frozen=True, slots=True)
class Exchange:
    """One push and pull as a piece of work for the database: it may be run again from the start.

    With `pause_ms` what was pushed is all that is done now, and the phone is asked to pull after that pause.
    """

    device_id: str
    message: Message
    now: int
    pause_ms: int = 0

    def __call__(self, session: Session) -> dict[str, Any]:
        message = self.message
        device = session.scalars(DEVICE, {"id": self.device_id}).one()
        if device.standing == "waiting":
            raise UnknownDevice("not_confirmed", "a coordinator has not confirmed this device yet")
        author = device_author(device, volunteer_of(session, device).name)
        results: Sequence[Result] = []
        if message.envelopes:
            is_sealed = any(envelope.sealed is not None for envelope in message.envelopes)
            keys = private_keys(session) if is_sealed else {}
            changes = [read_envelope(envelope, keys=keys, device_id=device.id) for envelope in message.envelopes]
            results = accept_changes(session, author, changes, self.now)
        missing = note_contact(session, device, message, self.now)
        pulled, is_later = pull(SqlStore(session), author, message, is_pressed=self.pause_ms > 0)
        echoed = [wire_result(envelope, result) for envelope, result in zip(message.envelopes, results, strict=True)]
        answer = encode_answer(page=pulled, results=[], missing=missing, now=self.now, oldest_schema=SCHEMA_OLDEST)
        pause = self.pause_ms if is_later else 0
        return answer | {"results": echoed, "standing": device.standing, "pause_ms": pause}


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
    return result.wire() | {"change_id": envelope.change_id}


def read_envelope(envelope: Envelope, *, keys: dict[str, bytes], device_id: str) -> Change:
    """The change inside; whatever cannot be read is held whole, so that it blocks nobody and nothing is dropped."""

    def held(code: Held, detail: str = "") -> Change:
        return unreadable(
            change_id=envelope.change_id,
            device_sequence=envelope.device_sequence,
            code=code,
            raw=envelope.sealed if envelope.sealed is not None else canonical_or_empty(envelope.change),
            detail=detail,
        )

    wire: Any = envelope.change
    if envelope.sealed is not None:
        if len(envelope.sealed) > CHANGE_BYTES_MAX:
            return held(Held.BAD_CHANGE, "too big")
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
        # Half a surrogate pair or a number beyond 64 bits cannot be stored.
        if len(msgspec.json.encode(change.set)) > CHANGE_BYTES_MAX:
            return held(Held.BAD_CHANGE, "too big")
    except MalformedMessage as error:
        return held(Held.BAD_CHANGE, error.message)
    except (ValueError, OverflowError, RecursionError):
        return held(Held.BAD_CHANGE, "text")
    return change


def canonical_or_empty(value: Any) -> str:
    """What came in the open, as text that any database can keep."""
    return canonical(value).encode("utf-8", "backslashreplace").decode() if value is not None else ""


def is_news(device: Device, message: Message, now: int) -> bool:
    """Whether an exchange without changes still has something to note; if not it needs no write at all."""
    return (
        message.high_water > device.high_water
        or message.settings.get("language", device.language) != device.language
        or message.settings.get("size", device.size) != device.size
        or now - device.last_contact_at >= CONTACT_NOTED_EVERY_MS
        or (is_set_back(device, message) and not device.is_cloned)
    )


def note_contact(session: Session, device: Device, message: Message, now: int) -> list[list[int]]:
    """Keeps what this contact says of the device, and returns the sequence numbers that should have arrived."""
    is_noted = message.envelopes or is_news(device, message, now)
    names = {"community_id": device.community_id, "device_id": device.id, "through": device.received_through}
    arrived = session.scalars(ARRIVED, names).all()
    through, missing = advance(device.received_through, arrived, max(message.high_water, device.high_water))
    if is_noted:
        device.is_cloned = device.is_cloned or is_cloned(session, device, message, arrived)
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


async def read_signed(request: Request, *, limit: int = PACKED_BYTES_MAX, place: str = "") -> Signed:
    """The request as its device should have signed it. `place` is what else was signed, behind the path."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await read_body(request, limit=limit)
    except TimeoutError as error:
        raise busy() from error
    return Signed(
        device_id=request.headers.get("linli-device", ""),
        signature=request.headers.get("linli-signature", ""),
        method=request.method,
        path=request.url.path + place,
        body=body,
    )


def parse_json(request: Request, body: bytes) -> Any:
    """JSON without NaN or floods of digits. Of a name that stands twice the last one counts; nobody else reads it."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise MalformedMessage("bad_message", "the content type must be application/json")
    match request.headers.get("content-encoding", "identity"):
        case "identity":
            pass
        case "gzip":
            body = inflate(body, limit=INFLATED_BYTES_MAX)
        case _:
            raise MalformedMessage("bad_message", "the only content encoding is gzip")
    with suppress(ValueError, RecursionError):
        return msgspec.json.decode(body)
    try:  # slower, and it lets half a surrogate pair through: one bad change must not stop its neighbours
        return json.loads(body, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise MalformedMessage("bad_message", "the body is not JSON") from error


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
    body = msgspec.json.encode(answer)
    headers = {"Cache-Control": "no-store", "Content-Type": "application/json", "Vary": "Accept-Encoding"}
    if len(body) >= GZIP_FROM_BYTES and "gzip" in request.headers.get("accept-encoding", ""):
        body = gzip.compress(body, compresslevel=6 if len(body) >= GZIP_HARDER_FROM_BYTES else 1)
        headers["Content-Encoding"] = "gzip"
    return Response(body, headers=headers)


routes = [
    Route("/sync", exchange, methods=["POST"]),
    Route("/sync/hello", hello, methods=["GET"]),
]
