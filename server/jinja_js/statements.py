"""Statements of Jinja2 as statements of JavaScript."""

from collections.abc import Iterable

from jinja2 import nodes
from jinja2.compiler import find_undeclared
from jinja2.visitor import NodeVisitor
from markupsafe import escape

from server.jinja_js.expressions import ExpressionWriter
from server.jinja_js.literals import plain_object, property_access, string_literal
from server.jinja_js.scope import MISSING, Names, Scope
from server.jinja_js.template import Template
from server.jinja_js.vocabulary import helped
from server.jinja_js.writer import OUT, FunctionWriter, only_output


class StatementWriter(NodeVisitor):
    """Writes the body of one JavaScript function: of a template, a block or a macro."""

    def __init__(self, template: Template, function: FunctionWriter) -> None:
        self.template = template
        self.function = function
        self.expressions = ExpressionWriter(template, function)
        self._assigned: list[set[str]] = []

    def enter(self, scope: Scope, *, is_first: bool = False) -> None:
        """Give the scope's variables their first values, which each round of a loop must do again."""
        unset: dict[str, list[str]] = {}
        for name, value in scope.first_values():
            if value not in (None, MISSING):
                self.function.assign(name, str(value))
            elif is_first:
                self.function.declare(name, value)
            else:
                unset.setdefault(value or "undefined", []).append(self.function.declare(name))
        for value, names in unset.items():
            self.function.line(f"{'='.join([*names, value])};")

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
        for part in node.nodes:
            if isinstance(part, nodes.TemplateData):
                self.function.text(scope.buffer, part.data)
            elif isinstance(part, nodes.Const) and isinstance(part.value, str):
                self.function.text(scope.buffer, str(escape(part.value)))
            else:
                self.function.code(scope.buffer, helped("text", self.expressions.printed(part, scope)))

    # Inheritance

    def visit_Extends(self, node: nodes.Extends, scope: Scope) -> None:
        if not scope.is_root_level or self.template.parent is not None:
            self.template.refuse(node, "this `extends`", "extend one template, outside of any other tag")
        self.template.parent = self.template.constant_name(node, node.template)
        parent = helped("extend", "v", string_literal(self.template.parent))
        if self.function.is_empty():
            self.function.declare("pa", parent)
        else:
            self.function.assign("pa", parent)

    def visit_Block(self, node: nodes.Block, scope: Scope) -> None:
        if node.required:
            self.template.refuse(node, "a required block", "leave the word out")
        if scope.is_top_level and self.template.parent is not None:
            return
        context = helped("derive", "v", self._passed(scope)) if node.scoped else "v"
        self.function.code(scope.buffer, helped("block", context, string_literal(node.name)))

    # Other templates

    def visit_Include(self, node: nodes.Include, scope: Scope) -> None:
        if node.ignore_missing:
            self.template.refuse(node, "`ignore missing`", "include a template that exists")
        self.function.code(scope.buffer, self._other("include", node, scope))

    def visit_Import(self, node: nodes.Import, scope: Scope) -> None:
        self.template.check_name(node, node.target)
        self._import(node.target, self._other("module", node, scope), scope)

    def visit_FromImport(self, node: nodes.FromImport, scope: Scope) -> None:
        module = self._other("module", node, scope)
        names = [name for name in node.names if isinstance(name, str)]
        if scope.is_top_level and names == node.names:
            self._import_all(node, names, module, scope)
            return
        if len(node.names) > 1:
            self.function.assign("mo", module)
            module = "mo"
        for imported in node.names:
            name, alias = imported if isinstance(imported, tuple) else (imported, imported)
            self.template.check_name(node, alias)
            self._import(alias, helped("attribute", module, string_literal(name)), scope)

    def _import_all(self, node: nodes.FromImport, names: list[str], module: str, scope: Scope) -> None:
        """At the top, where all that keep their names can go to the context at once."""
        for name in names:
            self.template.check_name(node, name)
        self.function.line(f"{helped('imports', 'v', module, string_literal(','.join(names)))};")
        for name in names:
            if not self.template.lives_in_context(name):
                self.function.assign(scope.variable(name), property_access("v", name))
            self._keep_home(name)

    def _import(self, name: str, value: str, scope: Scope) -> None:
        """What a template imports it can use everywhere."""
        if scope.is_top_level and self._is_noticed(name):
            value = f"{property_access('v', name)}={value}"
        self.function.assign(scope.variable(name), value)
        if scope.is_top_level:
            self._keep_home(name)

    def _keep_home(self, name: str) -> None:
        """What a template imports it does not export in turn."""
        if self.template.others.is_exported(self.template.name, name):
            self.function.line(f"delete {property_access('ex', name)};")

    def _other(self, use: str, node: nodes.Include | nodes.Import | nodes.FromImport, scope: Scope) -> str:
        name = self.template.constant_name(node, node.template)
        if not node.with_context:
            return helped(use, string_literal(name))
        passed = self._passed(scope, name)
        return helped(use, string_literal(name), "v", *([passed] if passed != "{}" else []))

    def _passed(self, scope: Scope, target: str | None = None) -> str:
        """The variables that another template, or our own family, could notice."""
        own, others = self.template.name, self.template.others
        passed = {
            name: variable
            for name, variable in scope.stored_variables().items()
            if not (self.function.is_still_unset(variable) and scope.was_never_set(name))
            and (others.is_passed(own, name, target) if target else others.is_noticed(own, name))
        }
        return plain_object(passed)

    # Branches and loops

    def visit_If(self, node: nodes.If, scope: Scope) -> None:
        branch = scope.branch()
        branches = []
        for choice in (node, *node.elif_):
            test = self.expressions.test(choice.test, branch)
            with self.function.captured() as items:
                self.write(choice.body, branch)
            branches.append((test, items))
        with self.function.captured() as otherwise:
            self.write(node.else_, branch)

        outputs = [only_output(items, scope.buffer) for items in (*(items for _, items in branches), otherwise)]
        if any(items for _, items in branches) and None not in outputs:
            choices = "".join(f"{test}?{output}:" for (test, _), output in zip(branches, outputs, strict=False))
            self.function.code(scope.buffer, f"{choices}{outputs[-1]}")
            return
        for place, (test, items) in enumerate(branches):
            self.function.braces(f"{'else ' if place else ''}if({test})", items)
        if otherwise:
            self.function.braces("else", otherwise)

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

        items = self.expressions.sequence(node.iter, scope)
        if node.test is not None:
            items = self._filtered(node, node.test, items, scope)
        self._write_loop(node, items, loop_scope, loop, scope)
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
        item = self._item(node.target, test_scope)
        function = FunctionWriter(scope.names, (item,))
        condition = StatementWriter(self.template, function)
        condition.enter(test_scope)
        if not isinstance(node.target, nodes.Name):
            condition.assign_target(node.target, item, test_scope)
        body = function.body(condition.expressions.test(test, test_scope))
        return f"{helped('iterate', items)}.filter({item}=>{body})"

    def _write_loop(self, node: nodes.For, items: str, loop_scope: Scope, loop: str | None, scope: Scope) -> None:
        macros = self.function.macros
        item = self._item(node.target, loop_scope)
        with self.function.captured() as body:
            if not isinstance(node.target, nodes.Name):
                self.assign_target(node.target, item, loop_scope)
            self.enter(loop_scope)
            # Jinja2 keeps one such variable for all loops of a function; so do we.
            if scope.keeps_sets:
                self.function.assign("ls", "{}")
            self.write(node.body, loop_scope)
        with self.function.captured() as otherwise:
            if node.else_:
                else_scope = scope.inner()
                else_scope.symbols.analyze_node(node, for_branch="else")
                self.enter(else_scope)
                self.write(node.else_, else_scope)

        output, other = only_output(body, scope.buffer), only_output(otherwise, scope.buffer)
        # A `call` block remembers the variables themselves, so each round must set the same ones.
        if body and output and other and macros == self.function.macros:
            arguments = f"({item},{loop})" if loop else item
            rest = [f"()=>{other}"] if otherwise else []
            subject = helped("loop", items) if loop else items
            self.function.code(scope.buffer, helped("each", subject, f"{arguments}=>{output}", *rest))
            return
        items = helped("iterate", items)
        if loop:
            self.function.assign(loop, helped("loop", items))
            items = loop
        is_empty = self.function.declare(self.function.unique()) if otherwise else None
        if is_empty:
            self.function.assign(is_empty, "true")
            body.append(f"{is_empty}=false;")
        self.function.braces(f"for({self.function.declare(item)} of {items})", body)
        if is_empty:
            self.function.braces(f"if({is_empty})", otherwise)

    def _item(self, target: nodes.Node, scope: Scope) -> str:
        """The variable that takes each item of a loop; a tuple is unpacked from a new one."""
        if not isinstance(target, nodes.Name):
            return self.function.unique()
        self._check_target(target)
        return scope.variable(target.name)

    # Variables

    def assign_target(self, target: nodes.Node, value: str, scope: Scope) -> None:
        """Set a name, a namespace's attribute, or a tuple of these."""
        if isinstance(target, nodes.Name):
            self._check_target(target)
            if self._assigned and (scope.is_top_level or scope.is_loop or scope.is_block):
                self._assigned[-1].add(target.name)
            self.function.assign(scope.variable(target.name), value)
        elif isinstance(target, nodes.NSRef):
            self.template.check_name(target, target.attr)
            reference = scope.reference(target.name)
            self.function.line(f"{helped('setAttribute', reference, string_literal(target.attr), value)};")
        elif isinstance(target, nodes.Tuple):
            parts = self.function.unique()
            self.function.assign(parts, helped("unpack", value, str(len(target.items))))
            for place, item in enumerate(target.items):
                self.assign_target(item, f"{parts}[{place}]", scope)
        else:
            self.template.refuse(target, f"setting a `{type(target).__name__}`", "set a plain name")

    def _check_target(self, target: nodes.Name) -> None:
        self.template.check_name(target, target.name)
        if target.name in ("self", "super", "loop", "caller"):
            self.template.refuse(target, f"setting `{target.name}`", "choose another name")

    def visit_Assign(self, node: nodes.Assign, scope: Scope) -> None:
        value = self.expressions.value(node.node, scope)
        if isinstance(node.target, nodes.Name) and scope.is_top_level:
            self.assign_target(node.target, f"{self._places(node.target.name)}{value}", scope)
            return
        self._assigned.append(set())
        self.assign_target(node.target, value, scope)
        self._remember(self._assigned.pop(), scope)

    def visit_AssignBlock(self, node: nodes.AssignBlock, scope: Scope) -> None:
        if node.filter is not None:
            self.template.refuse(node, "a `set` block with a filter", "apply the filter where it is printed")
        self._assigned.append(set())
        inner = scope.inner()
        inner.discards_output = False
        inner.symbols.analyze_node(node)
        inner.buffer = self.function.unique()
        self.enter(inner)
        with self.function.captured() as items:
            self.write(node.body, inner)
        text = only_output(items, inner.buffer)
        if text is None:
            self.function.assign(inner.buffer, '""')
            self.function.line(self.function.statements(items))
            text = inner.buffer
        self.assign_target(node.target, helped("safe", text), scope)
        self._remember(self._assigned.pop(), scope)

    def _remember(self, names: set[str], scope: Scope) -> None:
        """Let the rest of the world know of what was set: blocks, importers, functions."""
        for name in sorted(names):
            variable = scope.variable(name)
            if scope.is_loop or scope.is_block:
                if scope.keeps_sets:
                    self.function.line(f"{property_access('ls' if scope.is_loop else 'bs', name)}={variable};")
            elif scope.is_top_level and (places := self._places(name)):
                self.function.line(f"{places}{variable};")

    def _places(self, name: str) -> str:
        """`ex.name=v.name=`, as far as anyone looks there: importers, and whoever shares our context."""
        is_exported = not name.startswith("_") and self.template.others.is_exported(self.template.name, name)
        places = [property_access("ex", name)] if is_exported else []
        if self._is_noticed(name):
            places.append(property_access("v", name))
        return "".join(f"{place}=" for place in places)

    def _is_noticed(self, name: str) -> bool:
        """Whether the context needs a variable set at the top as well as the function."""
        template = self.template
        return not template.lives_in_context(name) and template.others.is_noticed(template.name, name)

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
        places = self._places(node.name) if scope.is_top_level else ""
        # From inside itself the macro can be seen already, so its name comes first.
        variable = scope.variable(node.name)
        self.function.assign(variable, f"{places}{self._macro(node, scope)}")

    def visit_CallBlock(self, node: nodes.CallBlock, scope: Scope) -> None:
        caller = self._macro(node, scope)
        self.function.macros += 1
        self.function.code(scope.buffer, self.expressions.call_block(node.call, scope, caller))

    def _macro(self, node: nodes.Macro | nodes.CallBlock, scope: Scope) -> str:
        inner = scope.inner()
        if isinstance(node, nodes.Macro) and scope.block is None:
            inner.names = Names(scope.names)
        inner.keeps_sets = self.template.keeps_sets(node)
        inner.discards_output = False
        inner.buffer = OUT
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

        parameters = [inner.variable(name) for name in names]
        if "caller" in special:
            parameters.append(inner.variable("caller"))
        function = FunctionWriter(inner.names, tuple(parameters))
        body = StatementWriter(self.template, function)
        body.enter(inner, is_first=True)
        body.write_defaults(node, inner)
        body.write(node.body, inner)
        head = parameters[0] if len(parameters) == 1 else f"({','.join(parameters)})"
        numbers = [int("caller" in special), len(node.defaults)]
        while numbers and not numbers[-1]:
            numbers.pop()
        return helped("macro", string_literal(",".join(names)), f"{head}=>{function.body()}", *map(str, numbers))

    def write_defaults(self, node: nodes.Macro | nodes.CallBlock, scope: Scope) -> None:
        """Fill in the parameters that were not given, from left to right."""
        first_default = len(node.args) - len(node.defaults)
        for argument, given in zip(node.args[first_default:], node.defaults, strict=True):
            variable, default = scope.variable(argument.name), self.expressions.value(given, scope)
            self.function.line(f"if({variable}==={MISSING}){variable}={default};")
