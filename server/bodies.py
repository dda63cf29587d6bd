"""Reading request bodies within limits: nothing is held in memory beyond the cap, and nothing unpacks beyond it."""

import zlib
from collections.abc import Callable

from starlette.requests import ClientDisconnect, Request

from sync.errors import MalformedMessage

FORM_BYTES_MAX = 64 * 1024
RATIO_MAX = 50
NO_CHARACTER = "\ufffd"  # in the place of what no text can hold: a person reads it and mends it


class BodyTooLarge(MalformedMessage):
    def __init__(self, limit: int) -> None:
        super().__init__("too_large", f"the body is over {limit} bytes")


def unheard(size: int) -> None:
    """Where nobody counts."""


async def read_body(request: Request, *, limit: int, bring: Callable[[int], None] = unheard) -> bytes:
    """The body as sent; `bring` hears of each piece's bytes as it comes. Raises BodyTooLarge as soon as it passes the
    limit, whatever its length header says, and MalformedMessage when the line broke: nobody hears that, but the log does
    not call it our failure."""
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared) > limit:
        raise BodyTooLarge(limit)
    pieces: list[bytes] = []
    size = 0
    try:
        async for piece in request.stream():
            size += len(piece)
            if size > limit:
                raise BodyTooLarge(limit)
            bring(len(piece))
            pieces.append(piece)
    except ClientDisconnect as error:
        raise MalformedMessage("bad_message", "the body was cut short") from error
    return b"".join(pieces)


def inflate(body: bytes, *, limit: int) -> bytes:
    """gzip, bounded: a small body must not grow beyond the limit, nor beyond fifty times its size."""
    bound = min(limit, max(len(body) * RATIO_MAX, 64 * 1024))
    inflater = zlib.decompressobj(wbits=31)
    try:
        inflated = inflater.decompress(body, bound + 1)
    except zlib.error as error:
        raise MalformedMessage("bad_gzip", "the body is not gzip") from error
    if len(inflated) > bound:
        raise BodyTooLarge(bound)
    if not inflater.eof or inflater.unused_data:
        raise MalformedMessage("bad_gzip", "the gzip body is cut short or has something behind it")
    return inflated
