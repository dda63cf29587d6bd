"""Statements of Jinja2 as statements of JavaScript."""

from collections.abc import Iterable

from jinja2 import nodes
from jinja2.compiler import find_undeclared
from jinja2.visitor import NodeVisitor
from markupsafe import escape

from server.jinja_js.expressions import ExpressionWriter
from server.jinja_js.literals import array, plain_object, string_literal
from server.jinja_js.scope import MISSING, Scope
from server.jinja_js.template import Template
from server.jinja_js.writer import FunctionWriter


class StatementWriter(NodeVisitor):
    """Writes the body of one JavaScript function: of a template, a block or a macro."""

    def __init__(self, template: Template, function: FunctionWriter) -> None:
        self.template = template
        self.function = function
        self.expressions = ExpressionWriter(template, function)
        self._assigned: list[set[str]] = []

    def enter(self, scope: Scope) -> None:
        """Give the scope's variables their first values."""
        for name, value in scope.first_values():
            self.function.assign(name, value)

    def write(self, body: Iterable[nodes.Node], scope: Scope) -> None:
        """Write statements in order."""
        for node in body:
            self.visit(node, scope)

    def generic_visit(self, node: nodes.Node, *_args: object, **_keywords: object) -> None:
        self.template.refuse(node, f"`{type(node).__name__}`", "write it with the constructs it knows")

    def visit_Scope(self, node: nodes.Scope, scope: Scope) -> None:
        self.template.refuse(node, "`autoescape`", "mark single values with `|safe` or `|escape`")

    # Output

    def visit_Output(self, node: nodes.Output, scope: Scope) -> None:
        if scope.discards_output and self.template.parent is not None:
            return
        parts = [self._text(part, scope) for part in node.nodes]
        self._emit(" + ".join(part for part in parts if part != '""'), scope)

    def _text(self, node: nodes.Expr, scope: Scope) -> str:
        if isinstance(node, nodes.TemplateData):
            return string_literal(node.data)
        if isinstance(node, nodes.Const) and isinstance(node.value, str):
            return string_literal(str(escape(node.value)))
        return f"j.text({self.expressions.printed(node, scope)})"

    def _emit(self, text: str, scope: Scope) -> None:
        if text:
            self.function.line(f"{scope.buffer} += {text};")

    # Inheritance

    def visit_Extends(self, node: nodes.Extends, scope: Scope) -> None:
        if not scope.is_root_level or self.template.parent is not None:
            self.template.refuse(node, "this `extends`", "extend one template, outside of any other tag")
        self.template.parent = self.template.constant_name(node, node.template)
        self.function.line(f"j.extend(context, {string_literal(self.template.parent)});")

    def visit_Block(self, node: nodes.Block, scope: Scope) -> None:
        if node.required:
            self.template.refuse(node, "a required block", "leave the word out")
        if scope.is_top_level and self.template.parent is not None:
            return
        context = self._derived_context(scope) if node.scoped else "context"
        self._emit(f"j.block({context}, {string_literal(node.name)})", scope)

    def _derived_context(self, scope: Scope) -> str:
        return f"j.derive(context, {plain_object(scope.stored_variables())})"

    # Other templates

    def visit_Include(self, node: nodes.Include, scope: Scope) -> None:
        if node.ignore_missing:
            self.template.refuse(node, "`ignore missing`", "include a template that exists")
        name = string_literal(self.template.constant_name(node, node.template))
        if node.with_context:
            self._emit(f"j.include({name}, context, {plain_object(scope.stored_variables())})", scope)
        else:
            self._emit(f"j.include({name})", scope)

    def visit_Import(self, node: nodes.Import, scope: Scope) -> None:
        self.template.check_name(node, node.target)
        reference = scope.reference(node.target)
        self.function.assign(reference, self._module(node, scope))
        if scope.is_top_level:
            self._hide(node.target, reference)

    def visit_FromImport(self, node: nodes.FromImport, scope: Scope) -> None:
        module = self.function.declare("module")
        self.function.assign(module, self._module(node, scope))
        for imported in node.names:
            name, alias = imported if isinstance(imported, tuple) else (imported, imported)
            self.template.check_name(node, alias)
            reference = scope.reference(alias)
            self.function.assign(reference, f"j.attribute({module}, {string_literal(name)})")
            if scope.is_top_level:
                self._hide(alias, reference)

    def _module(self, node: nodes.Import | nodes.FromImport, scope: Scope) -> str:
        name = string_literal(self.template.constant_name(node, node.template))
        if node.with_context:
            return f"j.module({name}, context, {plain_object(scope.stored_variables())})"
        return f"j.module({name})"

    def _hide(self, name: str, reference: str) -> None:
        """What a template imports it can use everywhere, but does not export in turn."""
        self.function.line(f"context.vars.{name} = {reference};")
        self.function.line(f"context.exported.delete({string_literal(name)});")

    # Branches and loops

    def visit_If(self, node: nodes.If, scope: Scope) -> None:
        branch = scope.branch()
        with self.function.braces(f"if ({self.expressions.test(node.test, branch)})"):
            self.write(node.body, branch)
        for other in node.elif_:
            with self.function.braces(f"else if ({self.expressions.test(other.test, branch)})"):
                self.write(other.body, branch)
        if node.else_:
            with self.function.braces("else"):
                self.write(node.else_, branch)

    def visit_For(self, node: nodes.For, scope: Scope) -> None:
        if node.recursive:
            self.template.refuse(node, "a recursive loop", "use a macro that calls itself")
        for name in node.find_all(nodes.Name):
            if name.name == "loop" and name.ctx == "store":
                self.template.refuse(name, "setting `loop`", "choose another name")
        loop_scope = scope.inner()
        loop_scope.is_loop = True
        loop = self._loop_variable(node, loop_scope)
        loop_scope.symbols.analyze_node(node, for_branch="body")

        items = f"j.iterate({self.expressions.sequence(node.iter, scope)})"
        if node.test is not None:
            items = self._filtered(node, node.test, items, scope)
        if loop is not None:
            self.function.assign(loop, f"j.loop({items})")
            items = loop
        is_empty = self.function.declare(self.function.unique("empty")) if node.else_ else None
        if is_empty is not None:
            self.function.assign(is_empty, "true")
        self._write_loop(node, items, loop_scope, is_empty)
        if is_empty is not None:
            self._write_else(node, is_empty, scope)
        if self._assigned:
            self._assigned[-1].difference_update(loop_scope.symbols.stores)

    def _loop_variable(self, node: nodes.For, loop_scope: Scope) -> str | None:
        """The variable for `loop`, if the body looks at it, by Jinja2's own rule."""
        is_used = "loop" in find_undeclared(node.iter_child_nodes(only=("body",)), ("loop",))
        if not is_used and not any(block.scoped for block in node.find_all(nodes.Block)):
            return None
        loop_scope.symbols.declare_parameter("loop")
        return loop_scope.reference("loop")

    def _filtered(self, node: nodes.For, test: nodes.Node, items: str, scope: Scope) -> str:
        used = {name.name for name in test.find_all(nodes.Name)}
        if isinstance(test, nodes.Name):
            used.add(test.name)
        if used & self.template.namespaces:
            self.template.refuse(test, "a loop condition that reads a namespace", "put an `if` inside of the loop")
        test_scope = scope.inner()
        test_scope.symbols.analyze_node(node, for_branch="test")
        function = FunctionWriter(("item",))
        condition = StatementWriter(self.template, function)
        condition.enter(test_scope)
        condition.assign_target(node.target, "item", test_scope)
        function.line(f"return {condition.expressions.test(test, test_scope)};")
        chosen = self.function.declare(self.function.unique("chosen"))
        self.function.embed(function, before=f"{chosen} = {items}.filter((item) =>", after=");")
        return chosen

    def _write_loop(self, node: nodes.For, items: str, loop_scope: Scope, is_empty: str | None) -> None:
        # Jinja2 keeps one such variable for all loops of a function; so do we.
        tracks_sets = self.template.calls_with_context
        with self.function.braces(f"for (const {(item := self.function.unique('item'))} of {items})"):
            self.assign_target(node.target, item, loop_scope)
            self.enter(loop_scope)
            if tracks_sets:
                self.function.assign("loopSets", "{}")
            self.write(node.body, loop_scope)
            if is_empty is not None:
                self.function.line(f"{is_empty} = false;")

    def _write_else(self, node: nodes.For, is_empty: str, scope: Scope) -> None:
        else_scope = scope.inner()
        else_scope.symbols.analyze_node(node, for_branch="else")
        with self.function.braces(f"if ({is_empty})"):
            self.enter(else_scope)
            self.write(node.else_, else_scope)

    # Variables

    def assign_target(self, target: nodes.Node, value: str, scope: Scope) -> None:
        """Set a name, a namespace's attribute, or a tuple of these."""
        if isinstance(target, nodes.Name):
            self.template.check_name(target, target.name)
            if target.name in ("self", "super", "loop", "caller"):
                self.template.refuse(target, f"setting `{target.name}`", "choose another name")
            if self._assigned and (scope.is_top_level or scope.is_loop or scope.is_block):
                self._assigned[-1].add(target.name)
            self.function.assign(scope.reference(target.name), value)
        elif isinstance(target, nodes.NSRef):
            self.template.check_name(target, target.attr)
            reference = scope.reference(target.name)
            self.function.line(f"j.setAttribute({reference}, {string_literal(target.attr)}, {value});")
        elif isinstance(target, nodes.Tuple):
            parts = self.function.declare(self.function.unique("parts"))
            self.function.assign(parts, f"j.unpack({value}, {len(target.items)})")
            for place, item in enumerate(target.items):
                self.assign_target(item, f"{parts}[{place}]", scope)
        else:
            self.template.refuse(target, f"setting a `{type(target).__name__}`", "set a plain name")

    def visit_Assign(self, node: nodes.Assign, scope: Scope) -> None:
        self._assigned.append(set())
        self.assign_target(node.target, self.expressions.value(node.node, scope), scope)
        self._remember(self._assigned.pop(), scope)

    def visit_AssignBlock(self, node: nodes.AssignBlock, scope: Scope) -> None:
        if node.filter is not None:
            self.template.refuse(node, "a `set` block with a filter", "apply the filter where it is printed")
        self._assigned.append(set())
        inner = scope.inner()
        inner.discards_output = False
        inner.symbols.analyze_node(node)
        inner.buffer = self.function.declare(self.function.unique("out"))
        self.enter(inner)
        self.function.assign(inner.buffer, '""')
        self.write(node.body, inner)
        self.assign_target(node.target, f"j.safe({inner.buffer})", scope)
        self._remember(self._assigned.pop(), scope)

    def _remember(self, names: set[str], scope: Scope) -> None:
        """Let the rest of the world know of what was set: blocks, importers, functions."""
        for name in sorted(names):
            reference = scope.reference(name)
            if scope.is_loop or scope.is_block:
                if self.template.calls_with_context:
                    self.function.line(f"{'loopSets' if scope.is_loop else 'blockSets'}.{name} = {reference};")
            elif scope.is_top_level:
                self._export(name, reference)

    def _export(self, name: str, reference: str) -> None:
        self.function.line(f"context.vars.{name} = {reference};")
        if not name.startswith("_"):
            self.function.line(f"context.exported.add({string_literal(name)});")

    def visit_With(self, node: nodes.With, scope: Scope) -> None:
        inner = scope.inner()
        inner.symbols.analyze_node(node)
        self.enter(inner)
        for target, value in zip(node.targets, node.values, strict=True):
            self.assign_target(target, self.expressions.value(value, scope), inner)
        self.write(node.body, inner)

    # Macros

    def visit_Macro(self, node: nodes.Macro, scope: Scope) -> None:
        self.template.check_name(node, node.name)
        if not scope.is_top_level and not scope.is_block:
            self.template.refuse(node, "a macro inside another tag", "move it to the top of the template")
        reference = scope.reference(node.name)
        self._write_macro(node, self.function.declare(reference), scope)
        if scope.is_top_level:
            self._export(node.name, reference)

    def visit_CallBlock(self, node: nodes.CallBlock, scope: Scope) -> None:
        caller = self.function.declare(self.function.unique("caller"))
        self._write_macro(node, caller, scope)
        self._emit(self.expressions.call_block(node.call, scope, caller), scope)

    def _write_macro(self, node: nodes.Macro | nodes.CallBlock, variable: str, scope: Scope) -> None:
        inner = scope.inner()
        inner.discards_output = False
        inner.buffer = "out"
        inner.symbols.analyze_node(node)
        names = [self.template.check_name(argument, argument.name) for argument in node.args]
        if {"caller", "kwargs", "varargs"}.intersection(names):
            self.template.refuse(node, "this parameter of a macro", "choose another name")
        special = find_undeclared(node.body, ("caller", "kwargs", "varargs"))
        if special & {"kwargs", "varargs"}:
            self.template.refuse(node, "`kwargs` or `varargs` in a macro", "name every parameter")
        if "caller" in special:
            inner.symbols.declare_parameter("caller")
        inner.symbols.analyze_node(node)

        parameters = [inner.reference(name) for name in names]
        if "caller" in special:
            parameters.append(inner.reference("caller"))
        function = FunctionWriter(tuple(parameters))
        body = StatementWriter(self.template, function)
        function.declare("out", '""')
        body.enter(inner)
        body.write_defaults(node, inner)
        body.write(node.body, inner)
        function.line("return out;")
        takes_caller = "true" if "caller" in special else "false"
        head = f"{array(string_literal(name) for name in names)}, {takes_caller}, ({', '.join(parameters)}) =>"
        self.function.embed(function, before=f"{variable} = j.macro({head}", after=");")

    def write_defaults(self, node: nodes.Macro | nodes.CallBlock, scope: Scope) -> None:
        """Fill in the parameters that were not given, from left to right."""
        first_default = len(node.args) - len(node.defaults)
        for place, argument in enumerate(node.args):
            reference = scope.reference(argument.name)
            default = "undefined"
            if place >= first_default:
                default = self.expressions.value(node.defaults[place - first_default], scope)
            self.function.line(f"if ({reference} === {MISSING}) {reference} = {default};")
