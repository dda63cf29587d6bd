"""Filters and tests: those of Jinja2 that the runtime knows, and the application's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from jinja2 import nodes
from jinja2.defaults import DEFAULT_POLICIES

from server.jinja_js import vocabulary
from server.jinja_js.literals import array, literal, plain_object, property_access
from server.jinja_js.scope import Scope
from server.jinja_js.template import Template
from server.jinja_js.vocabulary import helped, helper

if TYPE_CHECKING:  # expressions.py needs this module, and this one only the type
    from server.jinja_js.expressions import ExpressionWriter


class FilterWriter:
    """Writes filters and tests."""

    def __init__(self, expressions: ExpressionWriter, template: Template) -> None:
        self._expressions = expressions
        self._template = template

    def filter(self, node: nodes.Filter, scope: Scope) -> str:
        """The filter and what it is applied to."""
        if node.node is None:
            self._template.refuse(node, "a filter around a block", "apply the filter to a value")
        if self._template.is_custom_filter(node.name):
            return self._apply(node, self._expressions.value(node.node, scope), scope)
        if node.name in vocabulary.SELECTING_FILTERS:
            return self._select(node, scope)
        if node.name == "map":
            return self._map(node, scope)
        return self._apply(node, self._input(node, scope), scope)

    def test(self, node: nodes.Test, scope: Scope) -> str:
        """The test as a JavaScript boolean."""
        return self._check(node, node.name, self._expressions.value(node.node, scope), node.args, scope)

    # Filters

    def _input(self, node: nodes.Filter, scope: Scope) -> str:
        assert node.node is not None
        if node.name in vocabulary.WALKING_FILTERS:
            return self._expressions.sequence(node.node, scope)
        if node.name in vocabulary.VIEWING_FILTERS:
            return self._expressions.view(node.node, scope)
        return self._expressions.value(node.node, scope)

    def _apply(self, node: nodes.Filter, subject: str, scope: Scope) -> str:
        self._refuse_starred(node)
        positional = [self._expressions.value(argument, scope) for argument in node.args]
        if self._template.is_custom_filter(node.name):
            self._template.filters.add(node.name)
            function = self._template.environment.filters[node.name]
            return self._twin(node, "filters", function, subject, positional, scope)
        builtin = vocabulary.FILTERS.get(node.name)
        if builtin is None or (node.name == "tojson" and self._has_own_json()):
            self._template.refuse(node, f"the filter `{node.name}`", "compute the value beforehand")
        return f"{helper('builtin')}.{builtin.name}({','.join([subject, *self._bound(node, builtin, scope)])})"

    def _bound(self, node: nodes.Filter, builtin: vocabulary.Builtin, scope: Scope) -> list[str]:
        """One argument for each parameter, as Python would bind them."""
        given: dict[str, nodes.Expr] = dict(zip(builtin.parameters, node.args, strict=False))
        given |= {str(keyword.key): keyword.value for keyword in node.kwargs}
        if len(given) != len(node.args) + len(node.kwargs) or given.keys() - builtin.parameters.keys():
            self._template.refuse(node, f"`|{node.name}` with these arguments", "leave out what it does not know")
        return [
            self._argument(node, name, given.get(name), default, scope) for name, default in builtin.parameters.items()
        ]

    def _argument(self, node: nodes.Filter, name: str, given: nodes.Expr | None, default: object, scope: Scope) -> str:
        if name == "attribute":
            return self._paths(node, given) if node.name == "sort" else self._path(node, given)
        if given is not None:
            write = self._expressions.test if default is False else self._expressions.value
            return write(given, scope)
        if name == "leeway":
            default = self._template.environment.policies["truncate.leeway"]
        if not isinstance(default, str | bool | int | None):
            self._template.refuse(node, f"`|{node.name}` without `{name}`", "give the argument")
        return literal(default)

    def _has_own_json(self) -> bool:
        policies = self._template.environment.policies
        names = ("json.dumps_function", "json.dumps_kwargs")
        return any(policies[name] != DEFAULT_POLICIES[name] for name in names)

    def _map(self, node: nodes.Filter, scope: Scope) -> str:
        assert node.node is not None
        items = self._expressions.sequence(node.node, scope)
        keywords = {str(keyword.key): keyword.value for keyword in node.kwargs}
        if node.args:
            inner = self._inner_filter(node, node.args[0])
            return f"{helped('select', items)}.map(i=>{self._apply(inner, 'i', scope)})"
        if "attribute" not in keywords or keywords.keys() - {"attribute", "default"}:
            self._template.refuse(node, "this `|map`", "give a filter's name, or `attribute` and `default`")
        path = self._path(node, keywords["attribute"])
        default = self._expressions.value(keywords["default"], scope) if "default" in keywords else "null"
        return f"{helped('select', items)}.map(i=>{helped('follow', 'i', path, default)})"

    def _inner_filter(self, node: nodes.Filter, name: nodes.Expr) -> nodes.Filter:
        if not isinstance(name, nodes.Const) or name.value == "map" or name.value in vocabulary.SELECTING_FILTERS:
            self._template.refuse(node, "this `|map`", "give the name of one simple filter in quotes")
        return nodes.Filter(
            None,
            name.value,
            node.args[1:],
            node.kwargs,
            node.dyn_args,
            node.dyn_kwargs,
            lineno=node.lineno,
        )

    def _select(self, node: nodes.Filter, scope: Scope) -> str:
        assert node.node is not None
        self._refuse_starred(node)
        items = self._expressions.sequence(node.node, scope)
        subject, arguments = "i", list(node.args)
        if node.name.endswith("attr"):
            subject = helped("follow", "i", self._path(node, arguments.pop(0) if arguments else None))
        condition = helped("truthy", subject)
        if arguments:
            condition = self._check(node, self._test_name(node, arguments[0]), subject, arguments[1:], scope)
        if node.name.startswith("reject"):
            condition = f"!{condition}"
        return f"{helped('select', items)}.filter(i=>{condition})"

    # Tests

    def _check(
        self,
        node: nodes.Filter | nodes.Test,
        name: str,
        subject: str,
        arguments: Sequence[nodes.Expr],
        scope: Scope,
    ) -> str:
        self._refuse_starred(node)
        write: Callable[[nodes.Node, Scope], str] = self._expressions.value
        if self._template.is_custom_test(name):
            self._template.tests.add(name)
            function = self._template.environment.tests[name]
            positional = [write(argument, scope) for argument in arguments]
            return helped("truthy", self._twin(node, "tests", function, subject, positional, scope, name=name))
        if name not in vocabulary.TESTS:
            self._template.refuse(node, f"the test `{name}`", "compute the value beforehand")
        pattern = vocabulary.TESTS[name]
        if node.kwargs or len(arguments) != ("{1}" in pattern):
            self._template.refuse(node, f"the test `{name}` with these arguments", "give what it compares with")
        if name == "in":
            write = self._expressions.sequence
        return pattern.format(subject, *(write(argument, scope) for argument in arguments))

    def _test_name(self, node: nodes.Filter, name: nodes.Expr) -> str:
        if not isinstance(name, nodes.Const) or not isinstance(name.value, str):
            self._template.refuse(node, f"`|{node.name}` with a computed test", "give the test's name in quotes")
        return name.value

    # Both

    def _twin(
        self,
        node: nodes.Filter | nodes.Test,
        table: str,
        function: object,
        subject: str,
        positional: Sequence[str],
        scope: Scope,
        *,
        name: str | None = None,
    ) -> str:
        """A call of the application's own function, keywords last, in one plain object."""
        name = name or node.name
        arguments = [subject, *positional]
        if self._template.takes_context(node, name, function):
            arguments.insert(0, "v")
        if node.kwargs:
            named = {str(keyword.key): self._expressions.value(keyword.value, scope) for keyword in node.kwargs}
            arguments.append(plain_object(named))
        return f"{property_access(helper(table), name)}({','.join(arguments)})"

    def _path(self, node: nodes.Filter, attribute: nodes.Expr | None) -> str:
        """`"address.city"` as `["address", "city"]`; Jinja2 reads digits as an index."""
        if attribute is None:
            return "null"
        if not isinstance(attribute, nodes.Const) or not isinstance(attribute.value, str | int):
            self._template.refuse(node, "an attribute that is not constant", "write its name in quotes")
        return self._path_of(node, attribute.value)

    def _paths(self, node: nodes.Filter, attribute: nodes.Expr | None) -> str:
        if isinstance(attribute, nodes.Const) and isinstance(attribute.value, str):
            return array(self._path_of(node, part) for part in attribute.value.split(","))
        return array([self._path(node, attribute)])

    def _path_of(self, node: nodes.Filter, attribute: str | int) -> str:
        parts = [int(part) if part.isdigit() else part for part in str(attribute).split(".")]
        if vocabulary.DICTIONARY_MEMBERS.intersection(map(str, parts)):
            self._template.refuse(
                node,
                f"the attribute {attribute!r}",
                "give the value another name: Python has a method there",
            )
        return array(literal(part) for part in parts)

    def _refuse_starred(self, node: nodes.Filter | nodes.Test) -> None:
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            self._template.refuse(node, "arguments with `*` or `**`", "write the arguments out")
