"""The epoch: the name of one unbroken life of the central database. Restoring a backup, or promoting a replica that may
lack its tail, starts a new one; every phone that hears of it offers again what it sent in the last 30 days."""

import secrets

from sqlmodel import Session, col, select

from server.models import Community, Feed

# Places given out after the backup are gone, but phones still name them as the base of an edit. A new life begins so far
# above that none of them is given out twice: such a base then counts as older than everything since, and merges. It
# begins at its second, so that lives of the same backup begin apart, and none gives out four million places a second.
# Where the clock does not lead on, it was set back or this second has begun a life already, there is a distance instead.
PLACES_SKIPPED = 2**32
PLACES_A_SECOND = 2**22
BEGINNING_SECONDS = 1_577_836_800  # 2020; the places of 68 years fit into what JavaScript counts


def epochs(session: Session) -> dict[int, str]:
    """By community."""
    return {community.id: community.epoch for community in session.exec(select(Community).order_by(col(Community.id)))}


def start_new_epoch(session: Session, now: int) -> dict[int, str]:
    """At this moment of the server's, for every community of this database. The caller commits."""
    for community in session.exec(select(Community)):
        community.epoch = secrets.token_hex(8)
        session.add(community)
    of_this_second = (now // 1000 - BEGINNING_SECONDS) * PLACES_A_SECOND
    for feed in session.exec(select(Feed)):
        feed.head = of_this_second if of_this_second > feed.head else feed.head + PLACES_SKIPPED
        session.add(feed)
    session.flush()
    return epochs(session)
