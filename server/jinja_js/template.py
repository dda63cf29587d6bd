"""What the compiler knows about the template at hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from jinja2 import Environment, TemplateNotFound, nodes
from jinja2.defaults import DEFAULT_NAMESPACE
from jinja2.filters import FILTERS as DEFAULT_FILTERS
from jinja2.tests import TESTS as DEFAULT_TESTS

from server.jinja_js.errors import UnsupportedTemplate
from server.jinja_js.literals import is_identifier

if TYPE_CHECKING:  # reach.py needs this module, and this one only the type
    from server.jinja_js.reach import Reach


class Template:
    """One parsed template, and what it turned out to need: other templates, and twins."""

    def __init__(self, environment: Environment, *, name: str, root: nodes.Template, undeclared: set[str]) -> None:
        self.environment = environment
        self.name = name
        self.root = root
        self.undeclared = undeclared
        self.parent: str | None = None
        self.filters: set[str] = set()
        self.tests: set[str] = set()
        self.globals: set[str] = set()
        self.modules = {node.target for node in root.find_all(nodes.Import)}
        self.namespaces = {node.name for node in root.find_all(nodes.NSRef)}
        called = {call.node.name for call in root.find_all(nodes.Call) if isinstance(call.node, nodes.Name)}
        self._readers = [*map(environment.globals.get, called), *self._own_filters()]
        # Called later than they are written, perhaps when the context has changed.
        self.has_inner_functions = any(root.find_all(nodes.CallBlock)) or any(
            any(block.find_all(nodes.Macro)) for block in root.find_all(nodes.Block)
        )
        self.reach: Reach | None = None
        self._missing: dict[str, bool] = {}
        self._fixed: dict[str, bool] = {}
        self._living: set[str] | None = None

    def marks_missing(self, name: str) -> bool:
        """Whether a variable that was never set must be told from an undefined one."""
        if name not in self._missing:
            self._missing[name] = self.others.is_ever_passed(self.name, name)
        return self._missing[name]

    def is_fixed(self, name: str) -> bool:
        """Whether no template of the family sets the variable in the context."""
        if name not in self._fixed:
            self._fixed[name] = self.others.is_fixed(self.name, name)
        return self._fixed[name]

    def lives_in_context(self, name: str) -> bool:
        """Whether the variable needs no place of its own beside the one in the context."""
        if self._living is None:
            self._living = self.others.living(self.name)
        return name in self._living

    def is_read(self, name: str) -> bool:
        """Whether a context function or filter used here could look at the variable."""
        return any(_reads(function, name) for function in self._readers)

    def keeps_sets(self, function: nodes.Node) -> bool:
        """Whether a context function is called here that could notice what was set here, in a loop or block."""
        own = list(_own_nodes(function))
        targets = [node.target for node in own if isinstance(node, nodes.Assign | nodes.AssignBlock)]
        names = {
            part.name
            for target in targets
            for part in (target, *target.find_all(nodes.Name))
            if isinstance(part, nodes.Name)
        }
        calls = (node.node for node in own if isinstance(node, nodes.Call))
        called = [self.environment.globals.get(callee.name) for callee in calls if isinstance(callee, nodes.Name)]
        return any(_reads(callee, name) for callee in called for name in names)

    @property
    def others(self) -> Reach:
        """What is known of all templates together."""
        assert self.reach is not None
        return self.reach

    def refuse(self, node: nodes.Node, construct: str, remedy: str) -> NoReturn:
        """Stop: this template may not be compiled."""
        # Some nodes that Jinja2 makes up have no line of their own.
        lines = [part.lineno for part in (node, *node.find_all(nodes.Node)) if part.lineno]
        raise UnsupportedTemplate(template=self.name, line=lines[0] if lines else 1, construct=construct, remedy=remedy)

    def check_name(self, node: nodes.Node, name: str) -> str:
        """A name that is spelled the same in JavaScript, or a refusal."""
        if not is_identifier(name) or name.startswith("__"):
            self.refuse(node, f"the name {name!r}", "use ASCII letters, digits and single underscores")
        return name

    def constant_name(self, node: nodes.Node, name: nodes.Expr) -> str:
        """The compiled template that `extends`, `include` or `import` names, or a refusal."""
        if not isinstance(name, nodes.Const) or not isinstance(name.value, str):
            self.refuse(node, "a template name that is not one constant string", "write the name in quotes")
        try:
            self.environment.get_template(name.value)
        except TemplateNotFound:
            self.refuse(node, f"the template {name.value!r}, which does not exist", "correct its name")
        return name.value

    def is_custom_filter(self, name: str) -> bool:
        """Whether the application, not Jinja2, defines this filter."""
        return self._is_custom(self.environment.filters, DEFAULT_FILTERS, name)

    def is_custom_test(self, name: str) -> bool:
        """Whether the application, not Jinja2, defines this test."""
        return self._is_custom(self.environment.tests, DEFAULT_TESTS, name)

    def is_custom_global(self, name: str) -> bool:
        """Whether the application, not Jinja2, defines this global."""
        return self._is_custom(self.environment.globals, DEFAULT_NAMESPACE, name)

    def global_takes_context(self, name: str) -> bool:
        """Whether this global is a function marked with `jinja2.pass_context`."""
        return _passed_to(self.environment.globals.get(name)) == "context"

    def takes_context(self, node: nodes.Node, name: str, function: object) -> bool:
        """Whether a function gets the context; what else Jinja2 could pass has no twin: refused."""
        passed = _passed_to(function)
        if passed not in (None, "context"):
            self.refuse(node, f"{name!r}, which wants the {passed}", "mark it with jinja2.pass_context")
        return passed == "context"

    def _own_filters(self) -> Iterator[object]:
        used = {node.name for node in self.root.find_all((nodes.Filter, nodes.Test))}
        # `map` and `select` name theirs in quotes.
        used |= {node.value for node in self.root.find_all(nodes.Const) if isinstance(node.value, str)}
        yield from (self.environment.filters[name] for name in used if self.is_custom_filter(name))
        yield from (self.environment.tests[name] for name in used if self.is_custom_test(name))

    @staticmethod
    def _is_custom(ours: Mapping[str, Any], defaults: Mapping[str, Any], name: str) -> bool:
        return name in ours and ours[name] is not defaults.get(name)


def _own_nodes(function: nodes.Node) -> Iterator[nodes.Node]:
    """All inside a function, but what is a function of its own."""
    for child in function.iter_child_nodes():
        if isinstance(child, nodes.CallBlock):
            yield child.call
            yield from _own_nodes(child.call)
        elif not isinstance(child, nodes.Macro | nodes.Block):
            yield child
            yield from _own_nodes(child)


def _reads(function: object, name: str) -> bool:
    """Whether a function that is given the context looks at the variable; one that does not say so may look at all."""
    names = getattr(function, "context_names", None)
    return _passed_to(function) == "context" and (names is None or name in names)


def _passed_to(function: object) -> str | None:
    """What `jinja2.pass_context` and its siblings say that the function wants first."""
    marker = getattr(function, "jinja_pass_arg", None)
    return None if marker is None else str(marker.name)
