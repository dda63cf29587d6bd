"""Compiles templates: one JavaScript object for each, one function for each of its blocks."""

from collections.abc import Sequence

from jinja2 import Environment, Undefined, nodes
from jinja2.compiler import find_undeclared

from server.jinja_js.literals import array, plain_object, string_literal
from server.jinja_js.scope import Scope
from server.jinja_js.statements import StatementWriter
from server.jinja_js.template import Template
from server.jinja_js.writer import FunctionWriter


def compile_templates(environment: Environment, names: Sequence[str]) -> str:
    """JavaScript source: one statement, `const TEMPLATES = {...};`, for `createRenderer`.

    What these templates extend, include or import is compiled too. Whatever would not render byte
    for byte as Jinja2 renders it is refused.

    The environment's own filters, tests and globals are called by name from the tables handed to
    `createRenderer`, with the same positional arguments. Keyword arguments arrive as one plain
    object right after those that were given, so a twin cannot have a default before it. A function marked with `jinja2.pass_context` gets an object first from which
    any variable of the context can be read: `context.language`. Text that is already HTML arrives
    as a `SafeText`, and such a twin returns HTML by returning one.

    Raises UnsupportedTemplate, and what Jinja2 itself raises for a template it cannot load.
    """
    _check_environment(environment)
    compiled: dict[str, str] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop(0)
        if name not in compiled:
            template = _parse(environment, name)
            compiled[name] = _compile(template)
            waiting.extend(sorted(template.used))
    entries = [f"{string_literal(name)}: {text}," for name, text in compiled.items()]
    return "\n".join(["const TEMPLATES = {", *entries, "};", ""])


def _check_environment(environment: Environment) -> None:
    if environment.autoescape is not True:
        raise ValueError("templates that run on the phone need an environment with autoescape=True")
    if environment.undefined is not Undefined or environment.finalize is not None:
        raise ValueError("the phone knows only the default `undefined`, and no `finalize`")
    if environment.is_async or environment.sandboxed:
        raise ValueError("the phone knows only synchronous templates, outside of a sandbox")


def _parse(environment: Environment, name: str) -> Template:
    # Jinja2 compiles it too, so that its own errors come first.
    environment.get_template(name)
    assert environment.loader is not None
    source, filename, _ = environment.loader.get_source(environment, name)
    root = environment.parse(source, name, filename)
    return Template(environment, name=name, root=root)


def _compile(template: Template) -> str:
    functions = [_root_function(template), *_blocks(template)]
    return "\n".join(["{", *_twins(template), *functions, "}"])


def _root_function(template: Template) -> str:
    scope = Scope()
    if "self" in find_undeclared(template.root.body, ("self",)):
        scope.symbols.declare_parameter("self")
    scope.symbols.analyze_node(template.root)
    scope.is_top_level = scope.is_root_level = True
    scope.discards_output = True
    body = _function_body(template, template.root.body, scope)
    if template.parent is not None:
        body[-1] = f"return out + j.root(context, {string_literal(template.parent)});"
    return "\n".join(["root(j, context) {", *body, "},"])


def _blocks(template: Template) -> list[str]:
    blocks = list(template.root.find_all(nodes.Block))
    return ["blocks: {", *(_block_function(template, block) for block in blocks), "},"]


def _block_function(template: Template, block: nodes.Block) -> str:
    template.check_name(block, block.name)
    scope = Scope()
    scope.is_block = True
    for name in sorted(find_undeclared(block.body, ("self", "super"))):
        scope.symbols.declare_parameter(name)
    scope.symbols.analyze_node(block)
    scope.block = block.name
    body = _function_body(template, block.body, scope)
    return "\n".join([f"{block.name}(j, context, depth) {{", *body, "},"])


def _function_body(template: Template, body: list[nodes.Node], scope: Scope) -> list[str]:
    function = FunctionWriter()
    function.declare("out", '""')
    if scope.is_block and template.calls_with_context:
        function.declare("blockSets", "{}")
    writer = StatementWriter(template, function)
    writer.enter(scope)
    writer.write(body, scope)
    function.line("return out;")
    return function.body()


def _twins(template: Template) -> list[str]:
    """What `createRenderer` must be handed, so that a twin that is missing shows at the start."""
    tables = {"filters": template.filters, "tests": template.tests, "globals": template.globals}
    needs = {kind: array(map(string_literal, sorted(names))) for kind, names in tables.items() if names}
    return [f"needs: {plain_object(needs)},"]
