"""What a phone should hold, compared at the end as Anki does (PROTOCOL.md, 5: POST /sync/audit).

    holdings = every record in scope but for visits, and the last three visits of each household
    digest   = SHA-256 of the lines "<id> <revision>", sorted

Both sides make the digest of the same set, so a replica that has come apart, however it did, is found out within a day.
The remedy is to start from nothing; the outbox has no part in it.
"""

from collections.abc import Iterable
from enum import StrEnum
from hashlib import sha256

from sync.changes import Author
from sync.store import Position, Store


class Verdict(StrEnum):
    SAME = "same"
    DIFFERS = "differs"
    BEHIND = "behind"  # something moved since the phone's cursor: it pulls first, and asks again


def digest_of(holdings: Iterable[tuple[str, int]]) -> str:
    """`holdings`: ids and revisions, in any order. 64 hexadecimal digits."""
    lines = sorted(f"{record_id} {revision}" for record_id, revision in holdings)
    return sha256("\n".join(lines).encode()).hexdigest()


def compare(store: Store, *, author: Author, epoch: str, after: Position | None, digest: str) -> Verdict:
    """Whether a phone that has read the feed up to `after` holds what it should; `digest` is its `digest_of`. BEHIND also without
    a cursor, in another epoch, and for whoever may not read. Reads only."""
    if after is None or author.is_revoked or epoch != store.epoch(author.community_id):
        return Verdict.BEHIND
    news = store.slice(author.community_id, author.person_id, after, 1)
    if news.records or news.purge or not news.is_complete:
        return Verdict.BEHIND
    held = store.holdings(author.community_id, author.person_id)
    return Verdict.SAME if digest_of(held) == digest else Verdict.DIFFERS
