"""Calls: macros, blocks, methods, and the application's own functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jinja2 import nodes

from server.jinja_js import vocabulary
from server.jinja_js.literals import plain_object, string_literal
from server.jinja_js.scope import Scope
from server.jinja_js.template import Template
from server.jinja_js.vocabulary import helped

if TYPE_CHECKING:  # expressions.py needs this module, and this one only the type
    from server.jinja_js.expressions import ExpressionWriter


class CallWriter:
    """Writes calls, each kind in its own way."""

    def __init__(self, expressions: ExpressionWriter, template: Template) -> None:
        self._expressions = expressions
        self._template = template

    def call(self, node: nodes.Call, scope: Scope) -> str:
        """Any call that is an expression."""
        callee = node.node
        if isinstance(callee, nodes.Name) and callee.name == "super":
            return self._super(node, scope)
        if isinstance(callee, nodes.Name) and callee.name == "loop":
            self._template.refuse(node, "a recursive loop", "use a macro that calls itself")
        if isinstance(callee, nodes.Getattr):
            return self._method(node, callee, scope)
        if isinstance(callee, nodes.Name) and self._is_contextual(callee, scope):
            return self._contextual(node, callee, scope)
        return self._called([self._expressions.value(callee, scope)], node, scope)

    def call_block(self, node: nodes.Call, scope: Scope, caller: str) -> str:
        """The macro called by a `call` block, with the block's body as `caller`."""
        callee = self._expressions.value(node.node, scope)
        return helped("callBlock", callee, caller, self._named(node, scope) or "{}", *self._positional(node, scope))

    def _super(self, node: nodes.Call, scope: Scope) -> str:
        if node.args or node.kwargs or scope.block is None:
            self._template.refuse(node, "this `super()`", "call it without arguments, inside a block")
        return helped("safe", helped("block", "v", string_literal(scope.block), "dp+1"))

    def _method(self, node: nodes.Call, callee: nodes.Getattr, scope: Scope) -> str:
        owner, name = callee.node, self._template.check_name(callee, callee.attr)
        owner_name = owner.name if isinstance(owner, nodes.Name) else None
        if owner_name == "self":
            if node.args or node.kwargs:
                self._template.refuse(node, f"`self.{name}()` with arguments", "call it without")
            return helped("safe", helped("block", "v", string_literal(name)))
        if owner_name == "loop":
            if name not in vocabulary.LOOP_METHODS or node.kwargs:
                self._template.refuse(node, f"`loop.{name}()`", "use the other methods of `loop`")
            return f"{self._expressions.value(owner, scope)}.{name}({','.join(self._positional(node, scope))})"
        if owner_name in self._template.modules:
            function = helped("attribute", self._expressions.value(owner, scope), string_literal(name))
            return self._called([function], node, scope)
        if name in vocabulary.METHODS:
            return self._known_method(node, callee, scope)
        if name in vocabulary.OTHER_MEMBERS:
            self._template.refuse(node, f"the method `.{name}()`", "use a filter, or compute the value beforehand")
        return self._called([self._expressions.value(callee, scope)], node, scope)

    def _known_method(self, node: nodes.Call, callee: nodes.Getattr, scope: Scope) -> str:
        if node.kwargs or len(node.args) not in vocabulary.METHODS[callee.attr]:
            self._template.refuse(node, f"`.{callee.attr}()` with these arguments", "use fewer, by position")
        owner = self._expressions.value(callee.node, scope)
        return helped("method", owner, string_literal(callee.attr), *self._positional(node, scope))

    def _is_contextual(self, callee: nodes.Name, scope: Scope) -> bool:
        return scope.resolves_from_context(callee.name) and self._template.global_takes_context(callee.name)

    def _contextual(self, node: nodes.Call, callee: nodes.Name, scope: Scope) -> str:
        function = self._expressions.name(callee, scope)
        return self._called([scope.context_view(), function], node, scope)

    def _called(self, callee: list[str], node: nodes.Call, scope: Scope) -> str:
        """The call of a value, or with a context before it the call of a value that may want to see that."""
        name = "call" if len(callee) == 1 else "callIn"
        positional, named = self._positional(node, scope), self._named(node, scope)
        if named is None:
            return helped(name, *callee, *positional)
        return helped(f"{name}Named", *callee, named, *positional)

    def _named(self, node: nodes.Call, scope: Scope) -> str | None:
        if not node.kwargs:
            return None
        named = {}
        for keyword in node.kwargs:
            if keyword.key == "caller":
                self._template.refuse(node, "an argument named `caller`", "use a `call` block")
            named[self._template.check_name(node, keyword.key)] = self._expressions.value(keyword.value, scope)
        return plain_object(named)

    def _positional(self, node: nodes.Call, scope: Scope) -> list[str]:
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            self._template.refuse(node, "a call with `*` or `**`", "write the arguments out")
        return [self._expressions.value(argument, scope) for argument in node.args]
