"""The community's rules, as the engine takes them: which fields are well formed, and what follows from a visit."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from server.forms import check_fields
from server.kinds import KINDS
from server.visit_form import FORMS
from sync.changes import RESERVED, Action, Change, Held, Record
from sync.engine import Refusal, Rules

SCHEMA = 1
SCHEMA_OLDEST = 1
FIELDS_MAX = 60
IDENTIFIERS = ("household_id", "round_id", "visit_id")


def check(change: Change, record: Record | None) -> Refusal | None:
    """Refuses what no page of ours sends. The detail names the field, never its value."""
    if len(change.set) > FIELDS_MAX:
        return Refusal(Held.BAD_FIELD, "too many fields")
    for name in change.set:
        if name in RESERVED or not name.isidentifier() or len(name) > 40:
            return Refusal(Held.BAD_FIELD, name[:40])
    for name in IDENTIFIERS:
        if name in change.set and not is_identifier(change.set[name]):
            return Refusal(Held.BAD_FIELD, name)
    for form in FORMS.values():
        if form.kind == change.kind and (name := check_fields(form, change.set)):
            return Refusal(Held.BAD_FIELD, name)
    if change.kind == "visit" and change.action is Action.PUT and record is None:
        return None if change.set.get("outcome") else Refusal(Held.BAD_FIELD, "outcome")
    if change.action is Action.VOID and record is None:
        return Refusal(Held.BAD_CHANGE, "record")
    return None


def derive(record: Record, before: Record | None) -> Sequence[Change]:
    """A need ticked in a visit opens a need of the household, once: its id is made from the visit's and the service."""
    if record.kind != "visit" or record.is_void:
        return ()
    return [opened_need(record, service) for service in ticked(record.fields) - ticked(before.fields if before else {})]


def opened_need(visit: Record, service: str) -> Change:
    need_id = str(uuid5(UUID(visit.record_id), service))
    return Change(
        change_id=str(uuid5(UUID(need_id), "opened")),
        device_sequence=0,
        kind="need",
        record_id=need_id,
        action=Action.PUT,
        base=0,
        set={
            "household_id": visit.scope_id,
            "visit_id": visit.record_id,
            "service": service,
            "urgency": visit.fields.get("urgency") or "",
            "need_state": "open",
        },
        made_at=visit.made_at,
        schema=SCHEMA,
    )


def ticked(fields: Mapping[str, Any]) -> set[str]:
    needs = fields.get("needs")
    return {need for need in needs if need != "none"} if isinstance(needs, list) else set()


def is_identifier(value: Any) -> bool:
    try:
        return isinstance(value, str) and str(UUID(value)) == value
    except ValueError:
        return False


RULES = Rules(kinds=KINDS, schema_min=SCHEMA_OLDEST, schema_max=SCHEMA, check=check, derive=derive)

SERVER_ID = str(uuid5(NAMESPACE_URL, "linli:server"))
