"""Bodies within their limits: what is too long is not read to its end, and what is packed is not unpacked to its own."""

import gzip
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.requests import Request

from server.bodies import RATIO_MAX, BodyTooLarge, inflate, read_body
from tests.loops import in_own_loop

LIMIT = 1_000_000


def arriving(pieces: Iterator[bytes], headers: list[tuple[bytes, bytes]]) -> Request:
    async def receive() -> dict[str, Any]:
        piece = next(pieces, None)
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"10")], [(b"content-length", b"nonsense")]])
def test_a_body_that_never_ends_is_read_as_far_as_the_limit(headers: list[tuple[bytes, bytes]]) -> None:
    sent: list[bytes] = []

    def pieces() -> Iterator[bytes]:
        while True:
            sent.append(bytes(100_000))
            yield sent[-1]

    with pytest.raises(BodyTooLarge):
        in_own_loop(read_body(arriving(pieces(), headers), limit=LIMIT))
    assert len(sent) == LIMIT // 100_000 + 1


def test_a_body_as_long_as_the_limit_is_taken() -> None:
    pieces = iter([bytes(LIMIT // 2)] * 2)

    assert len(in_own_loop(read_body(arriving(pieces, []), limit=LIMIT))) == LIMIT


def test_what_is_packed_is_unpacked_to_the_limit_and_no_further() -> None:
    bomb = gzip.compress(bytes(300_000_000), 1)
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge):
            inflate(bomb, limit=LIMIT)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert most < 300_000_000 / 50


def test_a_small_body_may_not_grow_beyond_fifty_times_its_size() -> None:
    packed = gzip.compress(bytes(1_000_000), 9)
    assert len(packed) * RATIO_MAX < 1_000_000

    with pytest.raises(BodyTooLarge):
        inflate(packed, limit=8_000_000)
    assert inflate(gzip.compress(bytes(60_000), 9), limit=8_000_000) == bytes(60_000)
