"""The communities of this server, and the one that it is about where only one can be meant."""

from collections.abc import Sequence

from sqlmodel import Session, col, select

from server.models import Community


def the_community(session: Session) -> Community | None:
    """The one whose calendar and phone number everybody may read; None before there is any."""
    return session.exec(select(Community).order_by(col(Community.id))).first()


def community_ids(session: Session) -> Sequence[int]:
    """Of all that this server holds."""
    return session.exec(select(Community.id).order_by(col(Community.id))).all()
