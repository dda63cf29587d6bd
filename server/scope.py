"""The one way to ask for what people wrote: every query of records or history passes `scoped`.

A SELECT of a protected table that did not is an error, raised before it runs, so that a forgotten check is a failing
test and not a leak. What is not yours does not exist: callers answer 404.
"""

from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import event
from sqlalchemy.orm import ORMExecuteState, Session
from sqlalchemy.sql import Select
from sqlalchemy.sql.util import find_tables, surface_selectables_only
from sqlmodel import col

from server import models
from server.store import active_scopes
from sync.kinds import Role


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking, as the server knows it from a session or a device."""

    role: Role
    person_id: str
    community_id: int
    name: str
    device_id: str | None = None


class UnscopedQuery(Exception):
    pass


S = TypeVar("S", bound=Select[*tuple[Any, ...]])

PROTECTED: tuple[type[Any], ...] = (models.Record, models.Change)
SCOPED = {"is_scoped": True}


def scoped(principal: Principal, statement: S) -> S:
    """The statement with the rows this principal may see, and no others. Raises UnscopedQuery for a role without one."""
    for model in PROTECTED:
        if not selects_from(statement, model):
            continue
        statement = statement.where(model.__table__.c.community_id == principal.community_id)
        match principal.role:
            case Role.COORDINATOR:
                pass
            case Role.VOLUNTEER if model is models.Record:
                mine = active_scopes(principal.community_id, principal.person_id)
                statement = statement.where(col(models.Record.scope_id).in_(mine))
            case _:
                raise UnscopedQuery(f"{principal.role} may not read {model.__name__}")
    return statement.execution_options(**SCOPED)


def selects_from(statement: Any, model: Any) -> bool:
    """SQLAlchemy writes the whole statement out to say what it selects from, which cost a page more than its queries did: it
    is asked only where a look does not settle it."""
    if any(description.get("entity") is model for description in statement.column_descriptions):
        return True
    if model.__table__ not in find_tables(statement, check_columns=True):
        return False
    return any(model.__table__ in surface_selectables_only(each) for each in statement.get_final_froms())


@event.listens_for(Session, "do_orm_execute")
def refuse_unscoped(state: ORMExecuteState) -> None:
    if not state.is_select or state.execution_options.get("is_scoped"):
        return
    if any(mapper.class_ in PROTECTED for mapper in state.all_mappers):
        raise UnscopedQuery("a query of records or history must pass scoped()")
