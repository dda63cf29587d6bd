"""Record ids as the database keeps them: 16 bytes, so that keys of millions of records stay small and in time order."""

import os
import time
from functools import lru_cache
from typing import Any

from sqlalchemy import Dialect, LargeBinary
from sqlalchemy.types import TypeDecorator


class RecordId(TypeDecorator[str]):
    """A UUID: text in Python, 16 bytes in the database, on both engines."""

    impl = LargeBinary(16)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else packed(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else spelled(bytes(value))


@lru_cache(maxsize=8192)
def packed(record_id: str) -> bytes:
    """The sixteen bytes of an id, for statements written in the driver's own words."""
    value = bytes.fromhex(record_id.replace("-", ""))
    if len(value) != 16:
        raise ValueError(f"not a UUID: {record_id!r}")
    return value


def spelled(value: bytes) -> str:
    """The one spelling of an id (several times faster than uuid.UUID, and a push asks for it hundreds of times)."""
    text = value.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def uuid7(now_ms: int | None = None) -> str:
    """A new id in time order (RFC 9562, version 7)."""
    moment = int(time.time() * 1000) if now_ms is None else now_ms
    random = int.from_bytes(os.urandom(10), "big")
    number = (moment & (2**48 - 1)) << 80 | 7 << 76 | (random >> 68 & 0xFFF) << 64 | 2 << 62 | random & (2**62 - 1)
    return spelled(number.to_bytes(16))


def nth_id(record_id: str, place: int) -> str:
    """One of a row of ids that follow from the first, for a form that makes several records: sent twice, it names the
    same ones. The twin of nthUuid in static/worker/uuid.js."""
    return f"{record_id[:24]}{(int(record_id[24:], 16) + place) % 2**48:012x}"
