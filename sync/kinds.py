"""What may be synced: each record kind, the merge rule of each of its fields, and who may write it.

Read by the engine (merge, authorisation), by the server's look-ups and by the phone's replica.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import NAMESPACE_URL, uuid5


class Rule(StrEnum):
    """How a field settles when two people changed it (PROTOCOL.md, Merge)."""

    OWN = "own"  # its author's alone, amended in order
    REVIEW = "review"  # a coordinator's word about somebody else's record
    REGISTER = "register"  # one side changed: it wins; both differently: current stays, a conflict is kept
    GUARD = "guard"  # as register, but the more cautious value is shown until someone decides
    SET = "set"  # by element
    NOTES = "notes"  # both texts kept
    SERVER = "server"  # only the server writes it


class Role(StrEnum):
    VOLUNTEER = "volunteer"
    COORDINATOR = "coordinator"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of record.

    `fields` gives the rule by field name; a name not listed is stored and returned untouched, so that a newer
    phone loses nothing on an older server: under OWN where the kind has own fields, else under REGISTER. `writers` are the roles that may
    write it: others get `not_allowed`. `scope_field` names the field that holds the scope the record is filed under; "id" means that
    the record is a scope itself; where it `is_personal` the field holds
    its author, and nobody else. `once_per` names the fields of which there is one record each, as an attendance is one of
    its person and event: its id is made of them, so that two phones write the same record, and whoever has seen it as it
    stands may withdraw it. `own_sets` are those of its author's own fields that are lists, to which two phones of hers may
    each add. `indexes` are the fields that look-ups may use on either host.
    """

    name: str
    fields: Mapping[str, Rule]
    writers: frozenset[Role]
    scope_field: str = "household_id"
    is_personal: bool = False
    once_per: tuple[str, ...] = ()
    own_sets: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    caution: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # GUARD: values from most cautious down
    forbidden: Mapping[Role, frozenset[str]] = field(init=False)  # the fields that each of the writers may not write

    def __post_init__(self) -> None:
        server = frozenset(name for name, rule in self.fields.items() if rule is Rule.SERVER)
        review = frozenset(name for name, rule in self.fields.items() if rule is Rule.REVIEW)
        forbidden = {Role.VOLUNTEER: server | review, Role.COORDINATOR: server, Role.SERVER: frozenset[str]()}
        object.__setattr__(self, "forbidden", {role: forbidden[role] for role in self.writers})

    def record_id_of(self, fields: Mapping[str, Any]) -> str:
        """The id of the one record that these fields name, of a kind that is once per them (PROTOCOL.md, 6)."""
        named = [self.name, *(fields.get(name) for name in self.once_per)]
        return str(uuid5(NAMESPACE_URL, json.dumps(named, separators=(",", ":"))))

    def rule(self, name: str) -> Rule:
        return self.fields.get(name) or (Rule.OWN if Rule.OWN in self.fields.values() else Rule.REGISTER)

    def is_set(self, name: str) -> bool:
        return self.rule(name) is Rule.SET or name in self.own_sets


def kinds_by_name(*kinds: Kind) -> Mapping[str, Kind]:
    """Raises ValueError for a name that stands twice."""
    names = [kind.name for kind in kinds]
    if len(set(names)) != len(names):
        raise ValueError(f"a kind is declared twice: {names}")
    return {kind.name: kind for kind in kinds}
