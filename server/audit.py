"""The audit chain: every line of history is hashed together with the hash of the line before.

    chain(n) = SHA-256( chain(n-1) | ids | position, revision, received_at | action, outcome, code | digest )
    digest   = SHA-256 of the fields as stored

Whoever rewrites a line must rewrite all that follow, and every copy of the head that left the house. The chain hashes
the digest, not the text, so that text may be erased by law while the chain stays sound.
"""

import struct
from hashlib import sha256

from sqlmodel import Session, col, select

from server.identifiers import packed
from server.models import Change, Feed

NUMBERS = struct.Struct(">qqq").pack


def link(
    chain: bytes, *, ids: tuple[bytes, ...], numbers: tuple[int, int, int], words: tuple[str, ...], digest: bytes
) -> bytes:
    return sha256(b"".join((chain, *ids, NUMBERS(*numbers), "\n".join(words).encode(), digest))).digest()


def first_broken_line(session: Session, community_id: int) -> int | None:
    """Walks the whole history. The position of the first line that was changed, removed or added, or None. Text that
    was erased (an empty `fields`) is no break."""
    chain, expected = b"", 1
    lines = session.exec(
        select(Change)
        .where(Change.community_id == community_id)
        .order_by(col(Change.position))
        .execution_options(is_scoped=True, yield_per=1000)  # the whole chain is nobody's scope: operators verify it
    )
    for line in lines:
        is_erased = line.fields == ""
        if line.position != expected or not (is_erased or sha256(line.fields.encode()).digest() == line.digest):
            return expected
        chain = link(
            chain,
            ids=tuple(packed(each) for each in (line.change_id, line.device_id, line.person_id, line.record_id)),
            numbers=(line.position, line.revision, line.received_at),
            words=(line.action, line.outcome, line.code),
            digest=line.digest,
        )
        if chain != line.chain:
            return expected
        expected += 1
    feed = session.get_one(Feed, community_id)
    return None if (feed.entries, feed.chain) == (expected - 1, chain) else expected
