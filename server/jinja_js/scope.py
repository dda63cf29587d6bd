"""Which variable a name means, decided by Jinja2's own analysis.

Jinja2 settles scoping while compiling: `jinja2.idtracking` gives every name of every frame an
identifier and says how it gets its first value. We use that analysis as it is and only translate
its answers, so that loops, branches, macros and includes see what they see in Python. A Scope is
the counterpart of `jinja2.compiler.Frame`, and its flags mean the same.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from string import ascii_lowercase, ascii_uppercase
from typing import TYPE_CHECKING

from jinja2.idtracking import (
    VAR_LOAD_ALIAS,
    VAR_LOAD_PARAMETER,
    VAR_LOAD_RESOLVE,
    VAR_LOAD_UNDEFINED,
    Symbols,
)

from server.jinja_js.literals import property_access
from server.jinja_js.vocabulary import helper

if TYPE_CHECKING:  # what a template is made of needs none of this
    from server.jinja_js.template import Template

MISSING = helper("missing")


class Names:
    """Short names for the variables of one function and of those inside it.

    Capital letters, or `$` and a letter at the top of a template, whose macros share its variables:
    the compiler's own names are lower case.
    """

    def __init__(self, top: Names | None = None, *, is_top: bool = False) -> None:
        self._top = top
        self._prefix, self._letters = ("$", ascii_lowercase) if is_top else ("", ascii_uppercase)
        self._known: dict[str, str] = {}
        self._count = 0

    def of(self, identifier: str) -> str:
        """The name for Jinja2's `l_1_person`."""
        if self._top is not None and identifier.startswith("l_0_"):
            return self._top.of(identifier)
        if identifier not in self._known:
            self._known[identifier] = self.fresh()
        return self._known[identifier]

    def fresh(self) -> str:
        """A name that nothing else has."""
        number, place = divmod(self._count, len(self._letters))
        self._count += 1
        return f"{self._prefix}{self._letters[place]}{number or ''}"


class Scope:
    """One frame of variables, and where output goes while inside it."""

    def __init__(self, template: Template, names: Names, parent: Scope | None = None) -> None:
        self.template = template
        self.names = names
        self.symbols: Symbols = Symbols(parent.symbols if parent else None)
        self.buffer: str = parent.buffer if parent else "o"
        self.discards_output: bool = parent.discards_output if parent else False
        self.block: str | None = parent.block if parent else None
        self.keeps_sets: bool = parent.keeps_sets if parent else False
        self.is_top_level = False
        self.is_root_level = False
        self.is_loop = False
        self.is_block = False

    def inner(self) -> Scope:
        """A scope of its own inside this one: loop, with, set-block."""
        return Scope(self.template, self.names, self)

    def branch(self) -> Scope:
        """The same variables inside an `if`, where `extends` may no longer stand."""
        branch = copy.copy(self)
        branch.symbols = self.symbols.copy()
        branch.is_root_level = False
        return branch

    def reference(self, name: str) -> str:
        """The JavaScript variable that holds this name, or where the context does."""
        if self.template.lives_in_context(name):
            return property_access("v", name)
        owner = self._owner(name)
        if self._reads_context(owner, name):
            return property_access("v", name)
        return self.names.of(owner.refs[name])

    def variable(self, name: str) -> str:
        """The JavaScript variable to set for this name."""
        if self.template.lives_in_context(name):
            return property_access("v", name)
        return self.names.of(self.symbols.ref(name))

    def resolves_from_context(self, name: str) -> bool:
        """Whether the name's value was looked up in the context, not made by the template."""
        load = self.symbols.find_load(self.symbols.ref(name))
        return load is not None and load[0] == VAR_LOAD_RESOLVE

    def may_be_missing(self, name: str) -> bool:
        """Whether the variable may still hold the mark for "never set"."""
        load = self.symbols.find_load(self.symbols.ref(name))
        is_unset = load is not None and load[0] in (VAR_LOAD_UNDEFINED, VAR_LOAD_ALIAS)
        return is_unset and not self.template.lives_in_context(name) and self.template.marks_missing(name)

    def context_view(self) -> str:
        """What a function called here sees of the context: sets in a loop or block, too."""
        if not self.keeps_sets or not (self.is_loop or self.is_block):
            return "v"
        return f"{helper('overlay')}(v,{'ls' if self.is_loop else 'bs'})"

    def first_values(self) -> Iterator[tuple[str, str | None]]:
        """Variable and first value, for each variable this scope begins with; None for never set."""
        for target, (action, source) in self.symbols.loads.items():
            name = target.split("_", 2)[2]
            if self.template.lives_in_context(name):
                continue
            if action == VAR_LOAD_RESOLVE:
                if not self._reads_context(self.symbols, source):
                    yield self.names.of(target), property_access("v", source)
            elif action == VAR_LOAD_ALIAS:
                yield self.names.of(target), self.names.of(source)
            elif action != VAR_LOAD_PARAMETER:
                yield self.names.of(target), MISSING if self.template.marks_missing(name) else None

    def stored_variables(self) -> dict[str, str]:
        """Variable by name, of all that was set here and around: what an included template sees."""
        stored = self.symbols.dump_stores()
        own = [name for name in stored if name not in ("self", "super") and not self.template.lives_in_context(name)]
        return {name: self.names.of(stored[name]) for name in own}

    def was_never_set(self, name: str) -> bool:
        """Whether the variable has no value but what the template gives it."""
        load = self.symbols.find_load(self.symbols.ref(name))
        return load is not None and load[0] == VAR_LOAD_UNDEFINED

    def _owner(self, name: str) -> Symbols:
        identifier, owner = self.symbols.ref(name), self.symbols
        while identifier not in owner.loads and owner.parent is not None:
            owner = owner.parent
        return owner

    def _reads_context(self, owner: Symbols, name: str) -> bool:
        """Whether the context still holds, when asked late, what it held when the scope was entered."""
        load = owner.loads[owner.refs[name]]
        if load[0] != VAR_LOAD_RESOLVE or name in owner.stores:
            return False
        if self.template.is_fixed(name):
            return True
        return not self.template.has_inner_functions and (owner.level > 0 or self.block is not None)
