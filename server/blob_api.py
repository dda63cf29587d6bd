"""/sync/blobs/{sha256}: photos and voice notes, in pieces, after the text (PROTOCOL.md, Attachments).

    HEAD   how far this device has come        PATCH  the next piece        GET   the bytes, to who sees their record

    last piece ──> length and hash, read back ──> what the bytes are ──> the store ──> a row: this device brought them

A blob is whole when the row is committed. Whatever is killed before that is found by HEAD as it was left, and an empty
PATCH at its end goes on from there. Photos have a line of their own in front of them: they take no place from the text.
"""

import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from sqlmodel import Session
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from server.admission import Admission, Bring, busy
from server.attachments import Blob, blob_seen_by, has_too_many_unnamed, note_upload, upload_of
from server.blobs.opening import Blobs
from server.blobs.store import PIECE_BYTES, NoSuchBlob, StoreTrouble
from server.blobs.unfinished import Part, Progress, TooManyUnfinished, WrongOffset
from server.callers import Caller, authenticated, confirmed
from server.database import Database
from server.device_requests import Signed, error_response, read_signed
from server.models import Community
from server.principals import current_principal, database_of
from server.rules import DIGEST
from server.scope import Principal
from sync.errors import MalformedMessage, SyncError, TryLater, UnknownDevice
from sync.kinds import Role
from sync.protocol import BLOB_BYTES_MAX, BLOB_CHUNK_BYTES_MAX

SEEN_MAX = 64
WORKING_MAX = 2
QUOTA_SECONDS = 3600
DIGITS_MAX = 15
ENDINGS = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "audio/webm": "webm",
    "audio/mp4": "m4a",
    "audio/ogg": "ogg",
}
RANGE = re.compile(rf"bytes=(\d{{0,{DIGITS_MAX}}})-(\d{{0,{DIGITS_MAX}}})", re.ASCII).fullmatch
# Nothing in it may run, wherever it is opened.
POLICY = "default-src 'none'; sandbox"


def upload_line(in_house_max: int) -> Admission:
    """In front of photos that come, apart from the text's. As long as that one: nobody has signed for a place yet, and
    whoever sends slowly must not keep the others out."""
    return Admission(in_house_max=in_house_max, working_max=WORKING_MAX)


def photo_line() -> Admission:
    """In front of photos that are looked at: no browser asks for one again."""
    return Admission(in_house_max=SEEN_MAX, working_max=WORKING_MAX)


class BlobRefusal(SyncError):
    """An answer that is no success, of this endpoint alone. `progress` is where the upload stands."""

    def __init__(
        self, code: str, status: int, message: str, *, progress: Progress | None = None, retry_after_seconds: int = 0
    ) -> None:
        super().__init__(code, message)
        self.status = status
        self.progress = progress
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class Piece:
    """One PATCH: these bytes, at this offset of so many."""

    digest: str
    offset: int
    length: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Standing:
    """How far one device has come. `length` is 0 while nothing was begun."""

    offset: int
    length: int
    is_whole: bool
    epoch: str

    def headers(self) -> dict[str, str]:
        length = {"Upload-Length": str(self.length)} if self.length else {}
        return {
            "Cache-Control": "no-store",
            "Linli-Epoch": self.epoch,
            "Upload-Complete": "?1" if self.is_whole else "?0",
            "Upload-Offset": str(self.offset),
            **length,
        }


@dataclass(frozen=True, slots=True)
class Uploader:
    """A device that may upload, and what the database knows of its upload."""

    device: Caller
    epoch: str
    brought: Blob | None


async def head(request: Request) -> ASGIApp:
    async def look(_: Bring) -> Response:
        digest, signed = digest_of(request), await read_signed(request, limit=0)
        async with line_of(request).turn(is_upload=False):
            standing = await run_in_threadpool(look_up, request, signed, digest)
        return Response(status_code=200, headers=standing.headers())

    return await answered(line_of(request), look)


async def patch(request: Request) -> ASGIApp:
    async def take(bring: Bring) -> Response:
        if request.app.state.admission.is_pressed:
            raise busy()  # text first
        digest = digest_of(request)
        offset, length = whole_number(request, "upload-offset"), whole_number(request, "upload-length")
        # Both are signed, as a part of the place: a piece is good at its own place only.
        signed = await read_signed(request, limit=BLOB_CHUNK_BYTES_MAX, place=f" {offset}/{length}", bring=bring)
        piece = Piece(digest, offset, length, signed.body)
        async with line_of(request).turn(is_upload=True):
            standing = await run_in_threadpool(take_piece, request, signed, piece)
        return Response(status_code=204, headers=standing.headers())

    return await answered(line_of(request), take)


async def download(request: Request) -> ASGIApp:
    line: Admission = request.app.state.photo_admission

    async def send(_: Bring) -> Response:
        digest, reader = digest_of(request), await reader_of(request)
        async with line.turn(is_upload=False):
            return await run_in_threadpool(blob_response, request, reader, digest)

    return await answered(line, send)


async def answered(line: Admission, work: Callable[[Bring], Awaitable[Response]]) -> ASGIApp:
    """What the work answers, or its refusal as an answer."""
    try:
        return await line.answer(work)
    except BlobRefusal as refusal:
        return refusal_response(refusal)
    except SyncError as error:
        return error_response(error)
    except StoreTrouble:
        return error_response(TryLater("storage", "the bytes cannot be kept or read now", retry_after_seconds=60))


# HEAD


def look_up(request: Request, signed: Signed, digest: str) -> Standing:
    uploader = uploader_of(request, signed, digest)
    blobs = blobs_of(request)
    if uploader.brought and is_there(blobs, digest, uploader.brought):
        return whole(uploader, uploader.brought.length)
    progress = blobs.unfinished.progress(uploader.device.id, digest) or Progress(0, 0)
    return Standing(progress.offset, progress.length, False, uploader.epoch)


# PATCH


def take_piece(request: Request, signed: Signed, piece: Piece) -> Standing:
    """Adds the piece, and finishes the upload with the last one. Raises SyncError and StoreTrouble."""
    uploader = uploader_of(request, signed, piece.digest)
    device = uploader.device
    if uploader.brought and is_there(blobs_of(request), piece.digest, uploader.brought):
        return whole(uploader, uploader.brought.length)
    if piece.length > BLOB_BYTES_MAX:
        raise refusal(request, device, "blob_too_large", 413)
    if not piece.length or piece.offset + len(piece.body) > piece.length:
        raise MalformedMessage("bad_message", "the piece reaches beyond the length, or the length is 0")
    try:
        return add_piece(request, uploader, piece)
    except WrongOffset as error:
        raise BlobRefusal("wrong_offset", 409, str(error), progress=error.progress) from error
    except TooManyUnfinished as error:
        raise refusal(request, device, "too_many_unfinished", 429, retry_after_seconds=QUOTA_SECONDS) from error


def add_piece(request: Request, uploader: Uploader, piece: Piece) -> Standing:
    device, now = uploader.device, request.app.state.clock()
    if database_of(request).read(lambda session: has_too_many_unnamed(session, device, piece.length)):
        raise TooManyUnfinished
    part_of = blobs_of(request).unfinished.part
    with part_of(device.id, piece.digest, offset=piece.offset, length=piece.length, now=now) as part:
        part.append(piece.body)
        if not part.is_full:
            return Standing(part.offset, part.length, False, uploader.epoch)
        finish(request, device, part, piece.digest)
        return whole(uploader, part.length)


def finish(request: Request, device: Caller, part: Part, digest: str) -> None:
    """Every step may be the last before a power cut, and every step may be done again: the part goes when all is done."""
    if part.digest() != digest:
        part.discard()
        raise refusal(request, device, "wrong_hash", 422, progress=Progress(0, part.length))
    media_type = part.media_type()
    if media_type is None:
        part.discard()
        raise refusal(request, device, "unsupported_type", 415)
    blob = Blob(part.length, media_type)
    blobs_of(request).store.put(digest, part.path)
    now = request.app.state.clock()
    database_of(request).write(lambda session: note_upload(session, device, digest, blob, now=now))
    part.discard()


def uploader_of(request: Request, signed: Signed, digest: str) -> Uploader:
    """A revoked device may still upload: its bytes are seen by nobody unless an accepted record names them."""

    def look(session: Session) -> Uploader:
        device = confirmed(authenticated(session, signed))
        epoch = session.get_one(Community, device.community_id).epoch
        return Uploader(device, epoch, upload_of(session, device, digest))

    return database_of(request).read(look)


def is_there(blobs: Blobs, digest: str, brought: Blob) -> bool:
    """Asked of the store itself: a database may have been put back without the bytes."""
    return blobs.store.length(digest) == brought.length


def whole(uploader: Uploader, length: int) -> Standing:
    return Standing(length, length, True, uploader.epoch)


# GET


async def reader_of(request: Request) -> Principal | None:
    """Who is asking: the device that signed, else the person who is signed in. None for a device that reads nothing."""
    database: Database = database_of(request)
    if "linli-device" in request.headers:
        signed = await read_signed(request, limit=0)
        return await run_in_threadpool(database.read, lambda session: volunteer_behind(session, signed))
    principal = await current_principal(request)
    if principal is None:
        raise UnknownDevice("unknown_device", "sign the request, or sign in")
    return principal


def volunteer_behind(session: Session, signed: Signed) -> Principal | None:
    caller = confirmed(authenticated(session, signed))
    if not caller.may_read:
        return None
    return Principal(Role.VOLUNTEER, caller.volunteer_id, caller.community_id, caller.volunteer_name, caller.id)


def blob_response(request: Request, reader: Principal | None, digest: str) -> Response:
    blob = database_of(request).read(lambda session: blob_seen_by(session, reader, digest)) if reader else None
    if blob is None:
        raise no_such_blob()
    try:
        file = blobs_of(request).store.read(digest)
    except NoSuchBlob as error:
        raise no_such_blob() from error
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Disposition": f'attachment; filename="{digest[:12]}.{ENDINGS[blob.media_type]}"',
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
    }
    start, end = part_asked(request.headers.get("range", ""), blob.length)
    if start < end:
        headers |= {"Content-Length": str(end - start), "Content-Range": f"bytes {start}-{end - 1}/{blob.length}"}
        return OfFile(file, start, end, status_code=206, media_type=blob.media_type, headers=headers)
    headers["Content-Length"] = str(blob.length)
    return OfFile(file, 0, blob.length, media_type=blob.media_type, headers=headers)


class OfFile(StreamingResponse):
    """A part of a file, in pieces. It is closed in the end, also when its reader has gone before the first one."""

    def __init__(self, file: BinaryIO, start: int, end: int, **said: Any) -> None:
        super().__init__(pieces(file, start, end), **said)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._file:
            await super().__call__(scope, receive, send)


def pieces(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    at = file.seek(start)
    while piece := file.read(min(PIECE_BYTES, end - at)):
        at += len(piece)
        yield piece


def part_asked(asked: str, length: int) -> tuple[int, int]:
    """From where to where; nothing where no single part of it is asked for, and all of it is the answer. Apple's players take
    no sound without (the twin of partAsked in static/worker/attachments.js)."""
    first, last = found.groups() if (found := RANGE(asked)) else ("", "")
    if first:
        return int(first), min(int(last or length) + 1, length)
    return (max(0, length - int(last)), length) if last else (0, 0)


# HTTP


def digest_of(request: Request) -> str:
    digest: str = request.path_params["sha256"]
    if DIGEST(digest) is None:
        raise no_such_blob()
    return digest


def whole_number(request: Request, name: str) -> int:
    text = request.headers.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX):
        raise MalformedMessage("bad_message", f"{name} must be a whole number")
    return int(text)


def no_such_blob() -> BlobRefusal:
    return BlobRefusal("no_such_blob", 404, "there is nothing here")


def refusal(
    request: Request,
    device: Caller,
    code: str,
    status: int,
    *,
    progress: Progress | None = None,
    retry_after_seconds: int = 0,
) -> BlobRefusal:
    """With a sentence for the volunteer, in the language of her phone."""
    words: str = request.app.state.catalogue.text(device.language, f"attachment.{code}")
    return BlobRefusal(code, status, words, progress=progress, retry_after_seconds=retry_after_seconds)


def refusal_response(refused: BlobRefusal) -> Response:
    headers = {"Cache-Control": "no-store"}
    if refused.retry_after_seconds:
        headers["Retry-After"] = str(refused.retry_after_seconds)
    if refused.progress:
        headers |= {"Upload-Offset": str(refused.progress.offset), "Upload-Length": str(refused.progress.length)}
    is_worth_retrying = refused.status not in (404, 413, 415)
    body = {"code": refused.code, "message": refused.message, "retry": is_worth_retrying}
    return JSONResponse(body, status_code=refused.status, headers=headers)


def line_of(request: Request) -> Admission:
    line: Admission = request.app.state.blob_admission
    return line


def blobs_of(request: Request) -> Blobs:
    blobs: Blobs = request.app.state.blobs
    return blobs


PATH = "/sync/blobs/{sha256}"
routes = [
    Route(PATH, head, methods=["HEAD"]),  # before GET, which would answer HEAD, too
    Route(PATH, download, methods=["GET"]),
    Route("/visits/{visit_id}/kept/{sha256}", download, methods=["GET"]),  # the worker's own address of it
    Route(PATH, patch, methods=["PATCH"]),
]
