"""Which variable a name means, decided by Jinja2's own analysis.

Jinja2 settles scoping while compiling: `jinja2.idtracking` gives every name of every frame an
identifier and says how it gets its first value. We use that analysis as it is and only translate
its answers, so that loops, branches, macros and includes see what they see in Python. A Scope is
the counterpart of `jinja2.compiler.Frame`, and its flags mean the same.
"""

import copy
from collections.abc import Iterator

from jinja2.idtracking import (
    VAR_LOAD_ALIAS,
    VAR_LOAD_PARAMETER,
    VAR_LOAD_RESOLVE,
    VAR_LOAD_UNDEFINED,
    Symbols,
)

MISSING = "j.missing"


class Scope:
    """One frame of variables, and where output goes while inside it."""

    def __init__(self, parent: "Scope | None" = None) -> None:
        self.symbols: Symbols = Symbols(parent.symbols if parent else None)
        self.buffer: str = parent.buffer if parent else "out"
        self.discards_output: bool = parent.discards_output if parent else False
        self.block: str | None = parent.block if parent else None
        self.is_top_level = False
        self.is_root_level = False
        self.is_loop = False
        self.is_block = False

    def inner(self) -> "Scope":
        """A scope of its own inside this one: loop, macro, with, set-block."""
        return Scope(self)

    def branch(self) -> "Scope":
        """The same variables inside an `if`, where `extends` may no longer stand."""
        branch = copy.copy(self)
        branch.symbols = self.symbols.copy()
        branch.is_root_level = False
        return branch

    def reference(self, name: str) -> str:
        """The JavaScript variable that holds this name."""
        return variable(self.symbols.ref(name))

    def resolves_from_context(self, name: str) -> bool:
        """Whether the name's value was looked up in the context, not made by the template."""
        load = self.symbols.find_load(self.symbols.ref(name))
        return load is not None and load[0] == VAR_LOAD_RESOLVE

    def may_be_missing(self, name: str) -> bool:
        """Whether the variable may still hold the mark for "never set"."""
        load = self.symbols.find_load(self.symbols.ref(name))
        return load is not None and load[0] in (VAR_LOAD_UNDEFINED, VAR_LOAD_ALIAS)

    def context_view(self) -> str:
        """What a function called here sees of the context: sets in a loop or block, too."""
        if self.is_loop:
            return "j.overlay(context, loopSets)"
        return "j.overlay(context, blockSets)" if self.is_block else "context.vars"

    def first_values(self) -> Iterator[tuple[str, str]]:
        """Variable and first value, for each variable this scope begins with."""
        for target, (action, source) in self.symbols.loads.items():
            if action == VAR_LOAD_PARAMETER:
                continue
            if action == VAR_LOAD_RESOLVE:
                yield variable(target), f"context.vars.{source}"
            elif action == VAR_LOAD_ALIAS:
                yield variable(target), variable(source)
            else:
                yield variable(target), MISSING

    def stored_variables(self) -> dict[str, str]:
        """Variable by name, of all that was set here and around: what an included template sees."""
        stored = self.symbols.dump_stores()
        return {name: variable(stored[name]) for name in stored if name not in ("self", "super")}


def variable(identifier: str) -> str:
    """Jinja2's `l_1_person` as `person_1`: shorter, and never a reserved word of JavaScript."""
    _, level, name = identifier.split("_", 2)
    return f"{name}_{level}"
