"""The one way in: every write to a synced record, from a phone, a form or an import, goes through here."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from sqlmodel import Session

from server.attachments import note_references
from server.consent import keep_consent
from server.households import households_without_keys, search_changes
from server.identifiers import uuid7
from server.models import Staff
from server.rounds import active_holders, assign_round, people_changes, rounds_without_people
from server.rules import RULES, SERVER_ID
from server.scope import Principal
from server.store import SqlStore
from sync.changes import TAKEN_NOW, Author, Change, Conflict, Outcome, Result
from sync.engine import accept
from sync.kinds import Role

SAVED = frozenset({Outcome.ACCEPTED, Outcome.AGAIN, Outcome.MERGED})  # what was asked for stands


def accept_changes(session: Session, author: Author, changes: Sequence[Change], now: int) -> list[Result]:
    """sync.engine.accept over this session's transaction. The caller commits, and answers only after that."""
    results = accept(SqlStore(session), RULES, changes, author=author, received_at=now)
    moved = [change for change, result in zip(changes, results, strict=True) if result.outcome in TAKEN_NOW]
    named = {change.record_id for change in moved if "attachments" in change.set}
    if named:
        note_references(session, author.community_id, named)
    renamed = {change.record_id for change in moved if change.kind == "household" and "members" in change.set}
    if renamed:
        keep_search_keys(session, author.community_id, renamed, now)
    manned = {change.record_id for change in moved if change.kind == "round" and "volunteer_ids" in change.set}
    if manned:
        keep_people(session, author.community_id, manned, now)
    keep_consent(session, author, moved, now)
    return results


def accept_form(session: Session, principal: Principal, change: Change, now: int) -> Result:
    """What a coordinator's form asks for, once however often it is sent. Only a result among SAVED may be called saved.

    A form whose change is in already was saved the first time. What was altered in between (Back, amend, save) is a
    change of its own on top of that one: what others wrote since is not overwritten unseen. Each form counts as a device:
    what the same login saved on another screen was not seen from this one either.
    """
    form_id = change.change_id
    author, store = replace(principal_author(principal), device_id=form_id), SqlStore(session)
    store.hold(author.community_id)  # two taps may arrive at once: the second must find what became of the first
    known = store.known(author.community_id, [change.change_id]).get(change.change_id)
    if known is not None and known.is_about(change):  # else its id was used before, and the engine holds it
        was_saved = known.result.outcome in SAVED
        standing = store.records(author.community_id, [change.record_id]).get(change.record_id)
        fields = standing.fields if standing else {}
        # A field that is missing and one that is empty are the same.
        unlike = {name for name, value in change.set.items() if (fields.get(name) or type(value)()) != value}
        history = store.histories(author.community_id, [change.record_id])[change.record_id]
        saved = [entry for entry in history if form_id in (entry.change_id, entry.device_id)]
        if was_saved and (not unlike or saved[-1].set == change.set):
            return known.result
        is_asked = all(known.asked.get(name) == change.set[name] for name in unlike)
        if known.result.outcome is Outcome.CONFLICT and is_asked:  # tapped twice, and still not settled
            asked = [Conflict(change.record_id, name, fields.get(name), change.set[name]) for name in sorted(unlike)]
            return replace(known.result, conflicts=tuple(asked))
        change = replace(change, change_id=uuid7(now), base=saved[-1].change_id if was_saved else change.base)
    return accept_changes(session, author, [change], now)[0]


def keep_search_keys(session: Session, community_id: int, household_ids: Collection[str], now: int) -> None:
    # Before the look: of two processes that start at once the second finds nothing to do.
    SqlStore(session).hold(community_id)
    spelled = search_changes(session, community_id, household_ids, now)
    if spelled:
        accept(SqlStore(session), RULES, spelled, author=server_author(community_id), received_at=now)


def complete_search_keys(session: Session, community_id: int, *, now: int) -> None:
    """For households from before there were keys; once, when the server starts."""
    household_ids = households_without_keys(session, community_id)
    if household_ids:
        keep_search_keys(session, community_id, household_ids, now)


def keep_people(session: Session, community_id: int, round_ids: Collection[str], now: int) -> None:
    SqlStore(session).hold(community_id)
    named = people_changes(session, community_id, round_ids, now)
    if named:
        accept(SqlStore(session), RULES, named, author=server_author(community_id), received_at=now)


def complete_rounds(session: Session, community_id: int, *, now: int) -> None:
    """For rounds from before anybody could say who went along; once, when the server starts."""
    round_ids = rounds_without_people(session, community_id)
    if round_ids:
        keep_people(session, community_id, round_ids, now)
    for round_id in round_ids:
        people = active_holders(session, community_id=community_id, scope_id=round_id)
        assign_round(session, community_id=community_id, round_id=round_id, household_ids=(), volunteer_ids=people)


def staff_author(staff: Staff) -> Author:
    """A coordinator at her desk: her own id stands for the device, unless a form does (`accept_form`)."""
    return Author(staff.community_id, staff.id, staff.name, staff.id, Role.COORDINATOR)


def principal_author(principal: Principal) -> Author:
    device_id = principal.device_id or principal.person_id
    return Author(principal.community_id, principal.person_id, principal.name, device_id, principal.role)


def server_author(community_id: int) -> Author:
    return Author(community_id, SERVER_ID, "", SERVER_ID, Role.SERVER)
