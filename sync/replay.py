"""What stood, told from the history: it keeps what each change asked for, and the merge may have left something else.

    asked    [a]      [a, b] on 1      [a, c] on 1      by two devices
    stood    [a]      [a, b]           [a, b, c]

So the merges are done once more, in feed order, each with what the engine had before it then. Only sets are ever asked
about: no other rule looks at the base.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from sync.changes import Fields, HistoryEntry, Outcome
from sync.kinds import Kind
from sync.merge import fields_at, merge


def touched_since(history: Sequence[HistoryEntry], base: int | str, device_id: str) -> set[str]:
    """The fields that others changed and whoever named this base had not seen."""
    seen = seen_through(base, history)
    since = [entry for entry in history if entry.revision > seen and entry.device_id != device_id]
    return {name for entry in since for name in entry.set}


def base_fields(kind: Kind, history: Sequence[HistoryEntry], base: int | str, names: AbstractSet[str]) -> Fields:
    """These fields as the editor saw them when it named this base."""
    return fields_seen(history, base, left_standing(kind, history, names))


def left_standing(kind: Kind, history: Sequence[HistoryEntry], names: AbstractSet[str]) -> list[tuple[int, Fields]]:
    """What each change that set one of these fields left standing of them, in feed order."""
    left: list[tuple[int, Fields]] = []
    for at, entry in enumerate(history):
        fields: Fields = {name: value for name, value in entry.set.items() if name in names}
        if not fields:
            continue
        # Accepted is what was set as it was asked: nobody else had touched it, or the engine brought it along.
        if entry.outcome is not Outcome.ACCEPTED:
            earlier = history[:at]
            fields = merge(
                kind,
                record_id="",  # named by conflicts, which nobody asks for here
                base=fields_seen(earlier, entry.base, left),
                current=fields_at(left, entry.revision),
                proposed=fields,
                touched=touched_since(earlier, entry.base, entry.device_id),
            ).fields
        left.append((entry.revision, fields))
    return left


def fields_seen(history: Sequence[HistoryEntry], base: int | str, left: Sequence[tuple[int, Fields]]) -> Fields:
    """The fields at the base. Where the base is the device's own change, its words count as it asked for them: it has not
    seen what they were merged with (PROTOCOL.md, 6)."""
    asked: Fields = {}
    link = base
    for entry in reversed(history):
        if entry.change_id == link:
            asked, link = {**entry.set, **asked}, entry.base
    return {**fields_at(left, place_of(base, history)), **asked}


def seen_through(base: int | str, history: Sequence[HistoryEntry]) -> int:
    """The last revision of others that was seen: a change of one's own was made upon what was seen before it."""
    for entry in reversed(history):
        if entry.change_id == base:
            base = entry.base
    return base if isinstance(base, int) else 0


def place_of(base: int | str, history: Sequence[HistoryEntry]) -> int:
    """The revision of a base; 0 for a change that is not in the history, so that everything counts as newer."""
    if isinstance(base, int):
        return base
    return next((entry.revision for entry in history if entry.change_id == base), 0)
