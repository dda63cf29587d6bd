"""The community that this server is about."""

from sqlmodel import Session, col, select

from server.models import Community


def the_community(session: Session) -> Community | None:
    """The one whose calendar and phone number everybody may read; None before there is any."""
    return session.exec(select(Community).order_by(col(Community.id))).first()
