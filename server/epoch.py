"""The epoch: the name of one unbroken life of the central database. Restoring a backup, or promoting a replica that may
lack its tail, starts a new one; every phone that hears of it offers again what it sent in the last 30 days."""

import secrets

from sqlmodel import Session, col, select, update

from server.models import Community, Feed

# Places given out after the backup are gone, but phones still name them as the base of an edit. A new life begins so far
# above that none of them is given out twice: such a base then counts as older than everything since, and merges.
PLACES_SKIPPED = 2**32


def epochs(session: Session) -> dict[int, str]:
    """By community."""
    return {community.id: community.epoch for community in session.exec(select(Community).order_by(col(Community.id)))}


def start_new_epoch(session: Session) -> dict[int, str]:
    """For every community of this database. The caller commits."""
    for community in session.exec(select(Community)):
        community.epoch = secrets.token_hex(8)
        session.add(community)
    session.exec(update(Feed).values(head=col(Feed.head) + PLACES_SKIPPED))
    session.flush()
    return epochs(session)
