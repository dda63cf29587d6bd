"""Consent that was given, narrowed or withdrawn at a door: the household's own field follows what its visits say.

A phone fills in what its copy of the household says, so a visit that repeats a state which the household was in may be
no answer at all: its phone may just not have heard of a newer one. Such a visit is laid upon the state it repeats, and
the guard rule of `household.consent_state` does the rest (sync/merge.py): the more cautious word stands at once, the
other is kept as a conflict, and a coordinator decides whether consent was given again.

Which of two answers is older, only the phones' clocks can say. They may be wrong, so they never make an answer last (a
time ahead of the server's counts as now), and keep none from being taken over but one that loosens what was said; one
that narrows it stands at once, and a coordinator is asked.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import and_, or_
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from server.identifiers import packed
from server.json_field import field_text
from server.kinds import KINDS
from server.models import Change, Record
from server.rules import RULES, SCHEMA
from server.scope import Principal, scoped
from server.statements import statements_of
from server.store import SqlStore, text_id
from sync import changes
from sync.changes import Action, Author, Outcome
from sync.engine import accept
from sync.kinds import Role

NAME = "consent_state"
CAUTION = KINDS["household"].caution[NAME]  # from the most cautious down
VISIT = aliased(Record)


class Answer(NamedTuple):
    """What one visit says as it stands now; "" when it is withdrawn, or says nothing any more. Given when the visit
    was made: an amendment of an old visit is no newer answer."""

    visit_id: str
    household_id: str
    given_at: int
    value: str


@dataclass(frozen=True, slots=True)
class Told:
    """One entry of a household's history that set its consent. `by` is the visit, or a coordinator's device."""

    revision: int
    by: str
    made_at: int
    value: str
    is_birth: bool  # how the household was entered: nobody's answer yet
    is_conflict: bool
    is_taken_back: bool  # by a visit that is void now, or says something else


def keep_consent(session: Session, author: Author, moved: Sequence[changes.Change], now: int) -> None:
    """Brings along the households of accepted visits, in the visits' own transaction."""
    answers = answers_in(session, author.community_id, moved, now)
    if not answers:
        return
    differing = households_that_differ(session, author.community_id, answers)
    for answer in sorted(answers, key=lambda each: each.given_at):
        if answer.household_id in differing:
            take_over(session, author, answer, now)


def households_that_differ(session: Session, community_id: int, answers: Sequence[Answer]) -> set[str]:
    """Those whose standing word is another than their visit's. Asked of the JSON's text, as it is stored: to read fifty
    households and take them apart costs a tenth of a push, and hardly ever does one differ."""
    by_value: dict[str, set[str]] = {}
    for answer in answers:
        by_value.setdefault(answer.value, set()).add(answer.household_id)
    statements = statements_of(session)
    unlike: set[str] = set()
    for value, household_ids in by_value.items():
        alike = f'%"{NAME}":"{value}"%' if value in CAUTION else ""
        among, keys = statements.among([packed(household_id) for household_id in household_ids])
        rows = statements.rows(
            f"SELECT record_id FROM record WHERE community_id = ? AND record_id {among} AND fields NOT LIKE ?",  # noqa: S608 -- our own words
            (community_id, *keys, alike),
        )
        unlike.update(text_id(row[0]) for row in rows)
    stored = SqlStore(session).records(community_id, unlike) if unlike else {}
    return {
        answer.household_id
        for answer in answers
        if answer.household_id in stored and answer.value != text_of(stored[answer.household_id].fields)
    }


def answers_in(session: Session, community_id: int, moved: Sequence[changes.Change], now: int) -> list[Answer]:
    """Of those changes that say something of consent, take a visit back or bring it back. A new visit has all of it in its
    change, so that the many visits of a push are not read again."""
    said = {
        change.record_id: change
        for change in moved
        if change.kind == "visit" and (change.action is Action.VOID or NAME in change.set)
    }
    silent = {change.record_id for change in moved if change.kind == "visit" and change.base != 0} - said.keys()
    older = [visit_id for visit_id, change in said.items() if "household_id" not in change.set]
    older += brought_back(session, community_id, silent, [change.change_id for change in moved]) if silent else ()
    amended = SqlStore(session).records(community_id, older) if older else {}
    return [
        Answer(visit.record_id, visit.scope_id, min(visit.made_at, now), "" if visit.is_void else text_of(visit.fields))
        for visit in amended.values()
    ] + [
        Answer(visit_id, change.set["household_id"], min(change.made_at, now), text_of(change.set))
        for visit_id, change in said.items()
        if visit_id not in amended
    ]


def brought_back(
    session: Session, community_id: int, visit_ids: Collection[str], change_ids: Collection[str]
) -> list[str]:
    """Those that stood withdrawn until these changes, and with them what they say."""
    statements = statements_of(session)
    among, keys = statements.among([packed(visit_id) for visit_id in visit_ids])
    these, own = statements.among([packed(change_id) for change_id in change_ids])
    rows = statements.rows(
        f"""
        SELECT DISTINCT gone.record_id FROM change gone
         WHERE gone.community_id = ? AND gone.record_id {among} AND gone.action = 'void' AND gone.revision > 0
           AND NOT EXISTS (
               SELECT 1 FROM change since
                WHERE since.community_id = gone.community_id AND since.record_id = gone.record_id
                  AND since.revision > gone.revision AND NOT (since.change_id {these})
           )
        """,  # noqa: S608 -- our own words
        (community_id, *keys, *own),
    )
    return [text_id(row[0]) for row in rows]


def take_over(session: Session, author: Author, answer: Answer, now: int) -> None:
    store = SqlStore(session)
    household = store.records(author.community_id, [answer.household_id])[answer.household_id]
    change = household_change(session, Principal(Role.COORDINATOR, "", author.community_id, ""), household, answer)
    if change is not None:
        # The visit stands for the device: it may amend its own word, and is merged with anybody else's.
        visit = Author(author.community_id, author.person_id, author.name, answer.visit_id, Role.SERVER)
        accept(store, RULES, [change], author=visit, received_at=now)


def household_change(
    session: Session, principal: Principal, household: changes.Record, answer: Answer
) -> changes.Change | None:
    """None when the answer is what stands already, or something speaks against it."""
    standing = household.fields.get(NAME) or ""
    told = told_of(session, principal, household.record_id)
    value, base = answer.value, household.revision
    if not value:
        value = former(session, principal, told, answer, standing)
    elif is_outdated(session, principal, told, answer):
        if is_looser(value, standing):
            return None
        base = 0  # the clocks may be wrong: the more cautious word stands until a coordinator has decided
    else:
        # What a phone had heard of: not what has been put before a coordinator since.
        base = max((each.revision for each in told if each.value == value and not each.is_conflict), default=base)
    if value == standing:
        return None
    return changes.Change(
        change_id=SqlStore(session).new_id(principal.community_id, answer.visit_id),
        device_sequence=0,
        kind="household",
        record_id=household.record_id,
        action=Action.PUT,
        base=base,
        set={NAME: value},
        made_at=answer.given_at,
        schema=SCHEMA,
    )


def former(session: Session, principal: Principal, told: Sequence[Told], answer: Answer, standing: str) -> str:
    """What was said before and still is, while what stands has been taken back and nobody has been asked to decide. What
    stands stays if another visit has been more cautious since: one that only repeats it has no line of its own."""
    still_said = [each for each in told if not each.is_taken_back]
    is_gone = bool(told) and told[-1].is_taken_back and told[-1].value == standing
    if not still_said or not is_gone or any(each.is_conflict for each in told):
        return standing
    last = still_said[-1]
    since = 0 if last.is_birth else last.made_at
    if is_looser(last.value, standing) and is_narrowed(session, principal, answer, last.value, since):
        return standing
    return last.value


def is_looser(value: str, standing: str) -> bool:
    return value not in CAUTION or (standing in CAUTION and CAUTION.index(value) > CAUTION.index(standing))


def is_outdated(session: Session, principal: Principal, told: Sequence[Told], answer: Answer) -> bool:
    """Whether somebody has said otherwise since. What only repeats a state speaks against a looser answer, never against
    a more cautious one: the phone may have filled it in without having heard of that."""
    others = [each for each in told if not each.is_taken_back and each.by != answer.visit_id]
    if any(each.made_at > answer.given_at for each in others if not each.is_birth and not each.is_conflict):
        return True
    return is_narrowed(session, principal, answer, answer.value, answer.given_at)


def is_narrowed(session: Session, principal: Principal, answer: Answer, value: str, since: int) -> bool:
    """Whether another visit that stands has been more cautious since."""
    statement = select(
        Record.record_id
    ).where(
        col(Record.kind) == "visit",
        col(Record.scope_id) == answer.household_id,
        col(Record.record_id) != answer.visit_id,
        col(Record.is_void).is_(False),
        col(Record.made_at) > since,
        col(Record.received_at) > since,  # a clock that is ahead
        field_text(col(Record.fields), NAME).in_(CAUTION[: CAUTION.index(value)] if value in CAUTION else CAUTION),
    )
    return session.exec(scoped(principal, statement.limit(1))).first() is not None


def told_of(session: Session, principal: Principal, household_id: str) -> list[Told]:
    """Also what was taken back since: a phone may have heard of it."""
    value = field_text(col(Change.fields), NAME)
    of_its_visit = and_(
        col(VISIT.community_id) == col(Change.community_id),
        col(VISIT.record_id) == col(Change.device_id),
        col(VISIT.kind) == "visit",
    )
    says_so_no_more = or_(col(VISIT.is_void), field_text(col(VISIT.fields), NAME).is_distinct_from(value))
    statement = (
        select(Change, value, and_(col(VISIT.record_id).is_not(None), says_so_no_more))
        .outerjoin(VISIT, of_its_visit)
        .where(col(Change.record_id) == household_id, col(Change.revision) > 0, value.is_not(None))
        .order_by(col(Change.revision))
    )
    return [
        Told(change.revision, change.device_id, change.made_at, said, change.base == "0", is_conflict(change), is_back)
        for change, said, is_back in session.exec(scoped(principal, statement))
    ]


def is_conflict(change: Change) -> bool:
    return change.outcome == Outcome.CONFLICT.value


def text_of(fields: changes.Fields) -> str:
    return str(fields.get(NAME) or "")
