"""Requests that a device signs, and their answers: what every endpoint under /sync reads and writes alike."""

import asyncio
import gzip
import json
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from server.admission import BODY_SECONDS, busy
from server.bodies import inflate, read_body, unheard
from sync.errors import MalformedMessage, SyncError, TryLater, UnknownDevice
from sync.protocol import INFLATED_BYTES_MAX, PACKED_BYTES_MAX

GZIP_FROM_BYTES = 1024
GZIP_HARDER_FROM_BYTES = 64 * 1024  # a page of a first sync: a sixth less for somebody on a slow line


@dataclass(frozen=True, slots=True)
class Signed:
    """The signature headers of one request, and the body they were made over."""

    device_id: str
    signature: str
    method: str
    path: str
    body: bytes


async def read_signed(
    request: Request, *, limit: int = PACKED_BYTES_MAX, place: str = "", bring: Callable[[int], None] = unheard
) -> Signed:
    """The request as its device should have signed it. `place` is what else was signed, behind the path; `bring` hears
    of each piece's bytes as it comes (Admission.enter)."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await read_body(request, limit=limit, bring=bring)
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
    """The JSON of a request, packed or not."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise MalformedMessage("bad_message", "the content type must be application/json")
    match request.headers.get("content-encoding", "identity"):
        case "identity":
            pass
        case "gzip":
            body = inflate(body, limit=INFLATED_BYTES_MAX)
        case _:
            raise MalformedMessage("bad_message", "the only content encoding is gzip")
    return read_json(body)


def read_json(body: bytes) -> Any:
    """JSON without NaN or floods of digits. Of a name that stands twice the last one counts; nobody else reads it."""
    with suppress(ValueError, RecursionError):
        return msgspec.json.decode(body)
    try:  # slower, and it lets half a character and any number through: one bad change must not stop its neighbours
        return json.loads(body, parse_constant=refuse_constant, parse_float=finite_or_text)
    except (ValueError, RecursionError) as error:
        raise MalformedMessage("bad_message", "the body is not JSON") from error


def refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def finite_or_text(digits: str) -> float | str:
    """1e999 is JSON, and no number that could be written down again: it stays what was sent."""
    number = float(digits)
    return number if math.isfinite(number) else digits


def json_response(request: Request, answer: dict[str, Any]) -> Response:
    return packed(request, msgspec.json.encode(answer))


async def json_response_soon(request: Request, answer: dict[str, Any]) -> Response:
    """The same for the event loop, which is not kept by packing a large page."""
    body = msgspec.json.encode(answer)
    if len(body) < GZIP_HARDER_FROM_BYTES or not takes_gzip(request):
        return packed(request, body)
    return await run_in_threadpool(packed, request, body)


def packed(request: Request, body: bytes) -> Response:
    headers = {"Cache-Control": "no-store", "Content-Type": "application/json", "Vary": "Accept-Encoding"}
    if len(body) >= GZIP_FROM_BYTES and takes_gzip(request):
        body = gzip.compress(body, compresslevel=6 if len(body) >= GZIP_HARDER_FROM_BYTES else 1)
        headers["Content-Encoding"] = "gzip"
    return Response(body, headers=headers)


def takes_gzip(request: Request) -> bool:
    return "gzip" in request.headers.get("accept-encoding", "")


STATUS: dict[type[SyncError], int] = {UnknownDevice: 401, TryLater: 503}


def error_response(error: SyncError) -> Response:
    status = 413 if error.code == "too_large" else STATUS.get(type(error), 400)
    headers = {"Cache-Control": "no-store"}
    if isinstance(error, TryLater):
        headers["Retry-After"] = str(error.retry_after_seconds)
    body = {"code": error.code, "message": error.message, "retry": error.retry}
    return JSONResponse(body, status_code=status, headers=headers)
