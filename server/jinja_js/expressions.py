"""Expressions of Jinja2 as expressions of JavaScript."""

from collections.abc import Sequence

from jinja2 import nodes
from jinja2.visitor import NodeVisitor

from server.jinja_js import lint, vocabulary
from server.jinja_js.calls import CallWriter
from server.jinja_js.filters import FilterWriter
from server.jinja_js.literals import array, literal, plain_object, string_literal
from server.jinja_js.scope import Scope
from server.jinja_js.template import Template
from server.jinja_js.vocabulary import helped
from server.jinja_js.writer import FunctionWriter

INTEGER_MAX = 2**53 - 1


class ExpressionWriter(NodeVisitor):
    """Writes expressions inside one JavaScript function.

    Callers say what they do with the result, since that decides what is portable: print it, test
    it, walk over it, or anything else.
    """

    def __init__(self, template: Template, function: FunctionWriter) -> None:
        self.template = template
        self.function = function
        self._calls = CallWriter(self, template)
        self._filters = FilterWriter(self, template)

    # What a caller can ask for

    def value(self, node: nodes.Node, scope: Scope) -> str:
        """An expression whose result may be kept, passed on or looked into."""
        if lint.is_lazy(node) or lint.is_view(node):
            self.template.refuse(
                node,
                "keeping a result that Python computes lazily",
                "add `|list`, or walk over it at once",
            )
        return self._written(node, scope)

    def printed(self, node: nodes.Node, scope: Scope) -> str:
        """An expression whose result becomes text."""
        if lint.is_container(node):
            self.template.refuse(node, "printing a list or dictionary", "use `|join`, or a `for` loop")
        return self._written(node, scope)

    def sequence(self, node: nodes.Node, scope: Scope) -> str:
        """An expression whose result is walked over, once and at once."""
        return self._written(node, scope)

    def view(self, node: nodes.Node, scope: Scope) -> str:
        """An expression whose length or end is asked for."""
        return self._written(node, scope) if lint.is_view(node) else self.value(node, scope)

    def test(self, node: nodes.Node, scope: Scope) -> str:
        """An expression that is true or false, as a JavaScript condition; what binds weaker than `&&` and `||` may follow."""
        if isinstance(node, nodes.And):
            return f"{self._within(node.left, scope, nodes.Or)}&&{self._within(node.right, scope, nodes.Or)}"
        if isinstance(node, nodes.Or):
            return f"{self.test(node.left, scope)}||{self.test(node.right, scope)}"
        if isinstance(node, nodes.Not):
            return f"!{self._within(node.node, scope, nodes.Or, nodes.And)}"
        if isinstance(node, nodes.Compare) or (
            isinstance(node, nodes.Test) and not self.template.is_custom_test(node.name)
        ):
            return self.value(node, scope)
        return helped("truthy", self.view(node, scope))

    def _within(self, node: nodes.Node, scope: Scope, *weaker: type[nodes.Node]) -> str:
        """A condition inside of another one, which binds stronger than these."""
        test = self.test(node, scope)
        return f"({test})" if isinstance(node, weaker) else test

    def _written(self, node: nodes.Node, scope: Scope) -> str:
        written: str = self.visit(node, scope)
        return written

    def generic_visit(self, node: nodes.Node, *_args: object, **_keywords: object) -> str:
        self.template.refuse(node, f"`{type(node).__name__}`", "write it with the constructs it knows")

    # Names and constants

    def visit_Name(self, node: nodes.Name, scope: Scope) -> str:
        if node.name in ("self", "super"):
            self.template.refuse(node, f"`{node.name}` on its own", "call it: `super()`, `self.block()`")
        from_context = scope.resolves_from_context(node.name)
        if from_context and node.name in vocabulary.REFUSED_GLOBALS:
            self.template.refuse(node, f"the global {node.name!r}", "use `loop.cycle`, `|join` or plain text")
        if from_context and self.template.global_takes_context(node.name):
            self.template.refuse(node, f"{node.name!r} without a call", "call it where it is needed")
        return self.name(node, scope)

    def name(self, node: nodes.Name, scope: Scope) -> str:
        """The variable, whoever asks for it."""
        self.template.check_name(node, node.name)
        if scope.resolves_from_context(node.name) and self.template.is_custom_global(node.name):
            self.template.globals.add(node.name)
        reference = scope.reference(node.name)
        return helped("known", reference) if scope.may_be_missing(node.name) else reference

    def visit_Const(self, node: nodes.Const, scope: Scope) -> str:
        value = node.value
        if not isinstance(value, str | bool | int | None):
            self.template.refuse(node, f"the constant {value!r}", "use integers and strings")
        if isinstance(value, int) and abs(value) > INTEGER_MAX:
            self.template.refuse(node, f"the number {value}", "stay below 2**53")
        return literal(value)

    def visit_TemplateData(self, node: nodes.TemplateData, scope: Scope) -> str:
        return string_literal(node.data)

    def visit_List(self, node: nodes.List, scope: Scope) -> str:
        return array(self.value(item, scope) for item in node.items)

    def visit_Tuple(self, node: nodes.Tuple, scope: Scope) -> str:
        return array(self.value(item, scope) for item in node.items)

    def visit_Dict(self, node: nodes.Dict, scope: Scope) -> str:
        entries = {}
        for pair in node.items:
            key = pair.key.value if isinstance(pair.key, nodes.Const) else None
            if not isinstance(key, str) or key.isdigit() or key.startswith("__"):
                self.template.refuse(
                    pair,
                    "a dictionary key that is no plain constant string",
                    "name the key with a word",
                )
            entries[key] = self.value(pair.value, scope)
        return plain_object(entries)

    # Operators

    def visit_Add(self, node: nodes.Add, scope: Scope) -> str:
        return self._arithmetic("add", node, scope)

    def visit_Sub(self, node: nodes.Sub, scope: Scope) -> str:
        return self._arithmetic("subtract", node, scope)

    def visit_Mul(self, node: nodes.Mul, scope: Scope) -> str:
        return self._arithmetic("multiply", node, scope)

    def visit_FloorDiv(self, node: nodes.FloorDiv, scope: Scope) -> str:
        return self._arithmetic("divide", node, scope)

    def visit_Mod(self, node: nodes.Mod, scope: Scope) -> str:
        if isinstance(node.left, nodes.Const) and isinstance(node.left.value, str):
            self.template.refuse(node, "formatting with `%`", "join the parts with `~`")
        return self._arithmetic("modulo", node, scope)

    def visit_Div(self, node: nodes.Div, scope: Scope) -> str:
        self.template.refuse(node, "division with `/`", "use `//`, or compute the value beforehand")

    def visit_Pow(self, node: nodes.Pow, scope: Scope) -> str:
        self.template.refuse(node, "the operator `**`", "compute the value beforehand")

    def visit_Neg(self, node: nodes.Neg, scope: Scope) -> str:
        return helped("subtract", "0", self.value(node.node, scope))

    def visit_Not(self, node: nodes.Not, scope: Scope) -> str:
        return self.test(node, scope)

    def visit_And(self, node: nodes.And, scope: Scope) -> str:
        kept = self.function.declare("_")
        left, right = self.value(node.left, scope), self.value(node.right, scope)
        return f"({helped('truthy', f'{kept}={left}')}?{right}:{kept})"

    def visit_Or(self, node: nodes.Or, scope: Scope) -> str:
        kept = self.function.declare("_")
        left, right = self.value(node.left, scope), self.value(node.right, scope)
        return f"({helped('truthy', f'{kept}={left}')}?{kept}:{right})"

    def visit_Concat(self, node: nodes.Concat, scope: Scope) -> str:
        return helped("concat", array(self.printed(part, scope) for part in node.nodes))

    def visit_Compare(self, node: nodes.Compare, scope: Scope) -> str:
        if len(node.ops) > 1:
            self.template.refuse(node, "a chain of comparisons", "compare two at a time, with `and`")
        operand = node.ops[0]
        other = self.sequence if operand.op in ("in", "notin") else self.value
        return vocabulary.COMPARISONS[operand.op].format(self.value(node.expr, scope), other(operand.expr, scope))

    def visit_CondExpr(self, node: nodes.CondExpr, scope: Scope) -> str:
        otherwise = self.value(node.expr2, scope) if node.expr2 is not None else "undefined"
        return f"({self.test(node.test, scope)}?{self.value(node.expr1, scope)}:{otherwise})"

    # Looking into values

    def visit_Getattr(self, node: nodes.Getattr, scope: Scope) -> str:
        owner, name = node.node, self.template.check_name(node, node.attr)
        if isinstance(owner, nodes.Name) and owner.name == "loop":
            if name not in vocabulary.LOOP_ATTRIBUTES:
                self.template.refuse(node, f"`loop.{name}`", "use the other attributes of `loop`")
            if not scope.resolves_from_context(owner.name):
                return f"{scope.reference(owner.name)}.{name}"
        elif name in vocabulary.DICTIONARY_MEMBERS:
            self.template.refuse(
                node,
                f"the attribute `.{name}`",
                "give the value another name: Python has a method there",
            )
        if name in vocabulary.OTHER_MEMBERS:
            return helped("entry", self.value(owner, scope), string_literal(name))
        found = self.value(owner, scope)
        # One call for a chain of them.
        if isinstance(owner, nodes.Getattr) and found.startswith(helped("attribute")[:-1]):
            return f"{found[:-1]},{string_literal(name)})"
        return helped("attribute", found, string_literal(name))

    def visit_Getitem(self, node: nodes.Getitem, scope: Scope) -> str:
        owner = self.value(node.node, scope)
        if isinstance(node.arg, nodes.Slice):
            return helped("slice", owner, *self._slice_bounds(node.arg))
        if isinstance(node.arg, nodes.Const) and node.arg.value in vocabulary.DICTIONARY_MEMBERS:
            self.template.refuse(
                node,
                f"the key {node.arg.value!r}",
                "give the value another name: Python has a method there",
            )
        return helped("item", owner, self.value(node.arg, scope))

    def visit_Call(self, node: nodes.Call, scope: Scope) -> str:
        return self._calls.call(node, scope)

    def call_block(self, node: nodes.Call, scope: Scope, caller: str) -> str:
        """The call of a `call` block, which hands its body to a macro."""
        return self._calls.call_block(node, scope, caller)

    def visit_Filter(self, node: nodes.Filter, scope: Scope) -> str:
        return self._filters.filter(node, scope)

    def visit_Test(self, node: nodes.Test, scope: Scope) -> str:
        return self._filters.test(node, scope)

    # Private

    def _arithmetic(self, function: str, node: nodes.BinExpr, scope: Scope) -> str:
        return helped(function, self.value(node.left, scope), self.value(node.right, scope))

    def _slice_bounds(self, node: nodes.Slice) -> Sequence[str]:
        if node.step is not None:
            self.template.refuse(node, "a slice with a step", "use `|reverse` or `|batch`")
        return ["undefined" if bound is None else str(self._integer(bound)) for bound in (node.start, node.stop)]

    def _integer(self, node: nodes.Expr) -> int:
        sign = -1 if isinstance(node, nodes.Neg) else 1
        constant = node.node if isinstance(node, nodes.Neg) else node
        if not isinstance(constant, nodes.Const) or type(constant.value) is not int:
            self.template.refuse(node, "a slice with computed bounds", "use constant integers")
        return sign * constant.value
