"""Staff: coordinators, who sign in with a password."""

from sqlmodel import Session, col, select

from server.models import Staff


def staff_by_login(session: Session, login: str) -> Staff | None:
    return session.exec(select(Staff).where(Staff.login == login, col(Staff.is_active).is_(True))).first()
