"""The community's rules, as the engine takes them: which fields are well formed, and what follows from a visit."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec

from server.buildings import are_stairwells, is_number
from server.forms import EMPTY, Fits, declared
from server.kinds import KINDS
from server.visit_form import FORMS
from server.vocabularies import STRENGTH
from sync.changes import RESERVED, Action, Change, Fields, Held, Record, is_id
from sync.engine import Refusal, Rules
from sync.protocol import ATTACHMENTS_MAX, BLOB_BYTES_MAX, CHANGE_BYTES_MAX

SCHEMA = 1
SCHEMA_OLDEST = 1
FIELDS_MAX = 60
RECORD_FIELDS_MAX = 200
RECORD_BYTES_MAX = 2 * CHANGE_BYTES_MAX
DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII).fullmatch
ATTACHMENT_KINDS = ("photo", "voice")
IDENTIFIERS = frozenset({"household_id", "round_id", "visit_id", "volunteer_id"})
FOUR_DIGITS = re.compile(r"[0-9]{4}", re.ASCII).fullmatch
KNOWN_NAMES = frozenset(name for kind in KINDS.values() for name in kind.fields)
# Every list words them, so no amendment may empty them, either.
REQUIRED = {
    "visit": ("outcome",),
    "outing": ("went_on", "from_time"),
    "decline": ("round_id",),
    "need": ("need_state",),
}


def check(change: Change, record: Record | None) -> Refusal | None:
    """Refuses what no page of ours sends. The detail names the field, never its value. What no form declares is let
    through: a newer phone loses nothing on an older server."""
    fields = change.set
    if len(fields) > FIELDS_MAX or (record and len(record.fields.keys() | fields.keys()) > RECORD_FIELDS_MAX):
        return Refusal(Held.BAD_FIELD, "too many fields")
    # A record larger than that would push its page past what a phone can take in.
    if record and len(msgspec.json.encode({**record.fields, **fields})) > RECORD_BYTES_MAX:
        return Refusal(Held.BAD_CHANGE, "too big")
    choices, others = CHECKS[change.kind]
    for name, value in fields.items():
        allowed = choices.get(name)
        if allowed is not None:
            is_sound = value in allowed if value.__class__ is str else value in EMPTY
        elif (fits := others.get(name)) is not None:
            is_sound = fits(value)
        else:
            is_sound = name in KNOWN_NAMES or is_field_name(name)
        if not is_sound:
            return Refusal(Held.BAD_FIELD, name[:40])
    if record is None and change.action is Action.VOID:
        return Refusal(Held.BAD_CHANGE, "record")
    for name in REQUIRED.get(change.kind, ()):
        if not fields.get(name) and (record is None or name in fields):
            return Refusal(Held.BAD_FIELD, name)
    return None


def is_field_name(name: str) -> bool:
    return name not in RESERVED and name.isidentifier() and len(name) <= 40


def derive(change: Change, before: Record | None) -> Sequence[Change]:
    """A need ticked in a visit opens a need of the household, once: its id is made from the visit's and the service. One
    that is unticked goes, and so do those of a visit that is withdrawn; a visit that says another urgency says it of its
    needs. The twin of static/worker/needs.js."""
    if change.kind != "visit":
        return ()
    earlier = before.fields if before else {}
    standing = {} if before and before.is_void else earlier
    visit = {**before.fields, **change.set} if before else change.set
    was, wanted = ticked(standing), ticked(visit) if change.action is Action.PUT else set()
    if not (was or wanted):  # nearly every visit
        return ()
    is_restated = urgency_of(visit) != urgency_of(standing)
    is_moved = need_state_of(visit) != need_state_of(earlier)
    needs: list[Change] = []
    for service in sorted(was | wanted):
        is_new = service not in was
        if service not in wanted:
            needs.append(need_change(change, service, Action.VOID, {}))
        elif is_new or is_restated:
            # All of it, so that a need which is not there after all has its household. Whether somebody saw to it stays, also
            # where the visit was withdrawn and comes back.
            fields = {
                "household_id": visit.get("household_id", ""),
                "visit_id": change.record_id,
                "service": service,
                "urgency": urgency_of(visit),
            }
            state = {"need_state": need_state_of(visit)} if service not in ticked(earlier) or is_moved else {}
            needs.append(need_change(change, service, Action.PUT, fields | state))
    return needs


def need_change(change: Change, service: str, action: Action, fields: Fields) -> Change:
    return Change(
        change_id=str(uuid5(UUID(change.change_id), service)),
        device_sequence=0,
        kind="need",
        record_id=str(uuid5(UUID(change.record_id), service)),
        action=action,
        base=0,
        set=fields,
        made_at=change.made_at,
        schema=SCHEMA,
    )


def urgency_of(visit: Fields) -> str:
    return visit.get("urgency") or ""


def need_state_of(visit: Fields) -> str:
    """What was answered at the door is no promise (DOMAIN.md 2.1)."""
    return "done" if urgency_of(visit) == "info" else "open"


def ticked(fields: Fields) -> set[str]:
    needs = fields.get("needs")
    return {need for need in needs if need != "none"} if isinstance(needs, list) else set()


def is_list_of(fits: Callable[[str], Any], value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) and fits(each) for each in value)


def are_attachments(value: Any) -> bool:
    """What a record says of its photos and voice notes: which bytes, and how many. They may come later, or never."""
    return isinstance(value, list) and len(value) <= ATTACHMENTS_MAX and all(map(is_attachment, value))


def is_attachment(value: Any) -> bool:
    if not isinstance(value, dict) or value.get("kind") not in ATTACHMENT_KINDS:
        return False
    digest, length = value.get("sha256"), value.get("length")
    return (
        isinstance(digest, str)
        and DIGEST(digest) is not None
        and isinstance(length, int)
        and not isinstance(length, bool)
        and 1 <= length <= BLOB_BYTES_MAX
    )


SHAPES: Mapping[str, Mapping[str, Fits]] = {
    "household": {
        "members": partial(is_list_of, bool),
        "phone_ends": partial(is_list_of, FOUR_DIGITS),
        "strengths": partial(is_list_of, STRENGTH.words.__contains__),
    },
    "building": {"number": is_number, "stairwells": are_stairwells},
}


def checks_of(kind: str) -> tuple[Mapping[str, frozenset[str]], Mapping[str, Fits]]:
    choices, others = declared(*(form for form in FORMS.values() if form.kind == kind))
    everywhere = dict.fromkeys(IDENTIFIERS, is_id) | {"attachments": are_attachments}
    return choices, {**others, **SHAPES.get(kind, {}), **everywhere}


CHECKS = {kind: checks_of(kind) for kind in KINDS}

# Old schemas may always push (PROTOCOL.md, Versions): SCHEMA_OLDEST is about what a phone can read.
RULES = Rules(kinds=KINDS, schema_min=1, schema_max=SCHEMA, check=check, derive=derive)

SERVER_ID = str(uuid5(NAMESPACE_URL, "linli:server"))
