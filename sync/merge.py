"""Merge: what a record becomes when a change arrives that was made while looking at an older state.

        base ──────────── current        what others accepted since the editor looked
          └── proposed                   what the editor set, field by field
                 merge(base, current, proposed) = current with each proposed field settled by its rule

Pure, on the server alone; phones lay their outbox over what they pulled and never merge. A field nobody else touched
since base is simply set. `touched` names the fields that *others* changed since base: a device's own earlier changes
are never "others", so a phone cannot conflict with itself. Sets alone ask what `base` held (sync/replay.py tells it).
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from sync.changes import Conflict, Fields
from sync.kinds import Kind, Rule


@dataclass(frozen=True, slots=True)
class Merged:
    """The settled fields; `is_plain` when no other device had changed any field of the record since base."""

    fields: Fields
    conflicts: tuple[Conflict, ...]
    is_plain: bool


def merge(
    kind: Kind, *, record_id: str, base: Fields, current: Fields, proposed: Fields, touched: AbstractSet[str]
) -> Merged:
    """Settles each proposed field by its rule. Never raises, never drops a value: what loses is a Conflict or in the
    change's history. Safe to repeat: proposing what already stands changes nothing."""
    fields = dict(current)
    conflicts: list[Conflict] = []
    for name, value in proposed.items():
        standing = current.get(name)
        if name not in touched or standing == value:
            fields[name] = value
            continue
        settled, is_conflict = settle(kind, name, base.get(name), standing, value)
        fields[name] = settled
        if is_conflict:
            conflicts.append(Conflict(record_id=record_id, field=name, current=standing, proposed=value))
    mark_review(kind, fields, current, proposed, touched)
    return Merged(fields=fields, conflicts=tuple(conflicts), is_plain=not touched)


def settle(kind: Kind, name: str, base: Any, current: Any, proposed: Any) -> tuple[Any, bool]:
    """One field that both sides changed to different values: the value to show, and whether a person must decide."""
    if kind.is_set(name):
        return merge_sets(base, current, proposed), False
    match kind.rule(name):
        case Rule.OWN | Rule.REVIEW:
            return proposed, False
        case Rule.NOTES:
            return keep_both_notes(current, proposed), False
        case Rule.GUARD:
            return more_cautious(kind.caution.get(name, ()), current, proposed), True
        case _:
            return current, True


def merge_sets(base: Any, current: Any, proposed: Any) -> list[Any]:
    """Added by either stays; removed by one and untouched by the other goes. Order: current's, then what is new."""
    before, now, wanted = as_list(base), as_list(current), as_list(proposed)
    removed = [element for element in before if element not in wanted]
    added = [element for element in wanted if element not in before and element not in now]
    return [element for element in now if element not in removed] + added


def keep_both_notes(current: Any, proposed: Any) -> str:
    if not current:
        return str(proposed or "")
    if not proposed or str(proposed) in str(current):
        return str(current)
    return f"{current}\n{proposed}"


def more_cautious(order: tuple[str, ...], current: Any, proposed: Any) -> Any:
    for value in order:
        if value in (current, proposed):
            return value
    return current


def mark_review(
    kind: Kind, fields: dict[str, Any], current: Fields, proposed: Fields, touched: AbstractSet[str]
) -> None:
    """A review is marked as of an older version when the author amended what it is about, before it came or after."""
    if "review_state" in proposed:
        fields["review_outdated"] = any(kind.rule(name) is Rule.OWN for name in touched)
    elif current.get("review_state") and any(kind.rule(name) is Rule.OWN for name in proposed):
        fields["review_outdated"] = True


def as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def fields_at(history: Sequence[tuple[int, Fields]], revision: int) -> dict[str, Any]:
    """The record's fields as they stood at a revision, folded in feed order from what each change left standing."""
    fields: dict[str, Any] = {}
    for at, change in sorted(history, key=lambda entry: entry[0]):
        if at <= revision:
            fields.update(change)
    return fields
