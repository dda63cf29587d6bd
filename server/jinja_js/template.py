"""What the compiler knows about the template at hand."""

from collections.abc import Mapping
from typing import Any, NoReturn

from jinja2 import Environment, TemplateNotFound, nodes
from jinja2.defaults import DEFAULT_NAMESPACE
from jinja2.filters import FILTERS as DEFAULT_FILTERS
from jinja2.tests import TESTS as DEFAULT_TESTS

from server.jinja_js.errors import UnsupportedTemplate
from server.jinja_js.literals import is_identifier


class Template:
    """One parsed template, and what it turned out to need: other templates, and twins."""

    def __init__(self, environment: Environment, *, name: str, root: nodes.Template) -> None:
        self.environment = environment
        self.name = name
        self.root = root
        self.parent: str | None = None
        self.used: set[str] = set()
        self.filters: set[str] = set()
        self.tests: set[str] = set()
        self.globals: set[str] = set()
        self.modules = {node.target for node in root.find_all(nodes.Import)}
        self.namespaces = {node.name for node in root.find_all(nodes.NSRef)}
        self.calls_with_context = any(
            isinstance(call.node, nodes.Name) and self.global_takes_context(call.node.name)
            for call in root.find_all(nodes.Call)
        )

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
        self.used.add(name.value)
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

    @staticmethod
    def _is_custom(ours: Mapping[str, Any], defaults: Mapping[str, Any], name: str) -> bool:
        return name in ours and ours[name] is not defaults.get(name)


def _passed_to(function: object) -> str | None:
    """What `jinja2.pass_context` and its siblings say that the function wants first."""
    marker = getattr(function, "jinja_pass_arg", None)
    return None if marker is None else str(marker.name)
