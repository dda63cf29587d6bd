"""Compiles templates: one JavaScript object for each, one function for each of its blocks."""

import re
from collections.abc import Sequence

from jinja2 import Environment, TemplateNotFound, Undefined, nodes
from jinja2.compiler import find_undeclared
from jinja2.meta import find_undeclared_variables

from server.jinja_js.literals import array, plain_object, string_literal
from server.jinja_js.reach import Reach, references
from server.jinja_js.scope import Names, Scope
from server.jinja_js.statements import StatementWriter
from server.jinja_js.template import Template
from server.jinja_js.vocabulary import HELPERS
from server.jinja_js.writer import OUT, FunctionWriter

GZIP_WINDOW = 32 * 1024
PHRASE, SIZE_COUNTS = 5, 0.7  # words, and how much of a template's size: the smallest of fifteen pairs that were tried


def compile_templates(environment: Environment, names: Sequence[str]) -> str:
    """JavaScript source: one statement, `const TEMPLATES=...;`, for `createRenderer`.

    What these templates extend, include or import is compiled too. Whatever would not render byte
    for byte as Jinja2 renders it is refused.

    The environment's own filters, tests and globals are called by name from the tables handed to
    `createRenderer`, with the same positional arguments. Keyword arguments arrive as one plain
    object right after those that were given, so a twin cannot have a default before it. A function
    marked with `jinja2.pass_context` gets an object first from which
    any variable of the context can be read: `context.language`. One that names all it reads in an
    attribute `context_names` spares the phone the rest. Text that is already HTML arrives
    as a `SafeText`, and such a twin returns HTML by returning one.

    Raises UnsupportedTemplate, and what Jinja2 itself raises for a template it cannot load.
    """
    _check_environment(environment)
    templates: dict[str, Template] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop(0)
        if name not in templates and (name in names or _exists(environment, name)):
            templates[name] = _parse(environment, name)
            waiting.extend(references(templates[name].root))
    reach = Reach(templates)
    compiled, called = [], set[tuple[str, str]]()
    for template in templates.values():
        template.reach = reach
        compiled.append(f"{string_literal(template.name)}:{_compile(template, called)}")
    text = ",\n".join(_alike_together(compiled))
    helpers = ",".join(
        f"{name}:{short}" for name, short in HELPERS.items() if re.search(rf"(?<![\w$.]){short}[(.,;)]", text)
    )
    return f"const TEMPLATES=({{{helpers}}})=>({{\n{text}}});\n"


def _alike_together(texts: list[str]) -> list[str]:
    """Each right after those it shares most with for its size, from the shortest on: gzip finds again only what stood within
    the last 32 KB."""
    words = {text: re.findall(r"\w+", text) for text in texts}
    phrases = {text: set(zip(*(found[at:] for at in range(PHRASE)), strict=False)) for text, found in words.items()}
    ordered = [min(texts, key=len)]
    left = [text for text in texts if text != ordered[0]]
    while left:
        seen, size = set[tuple[str, ...]](), 0
        for text in reversed(ordered):
            size += len(text)
            if size > GZIP_WINDOW:
                break
            seen |= phrases[text]
        ordered.append(
            max(left, key=lambda text: len(phrases[text] & seen) / max(1, len(phrases[text])) ** SIZE_COUNTS)
        )
        left.remove(ordered[-1])
    return ordered


def _exists(environment: Environment, name: str) -> bool:
    try:
        environment.get_template(name)
    except TemplateNotFound:
        return False  # refused where it is named
    return True


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
    # On a tree of its own, since this folds constants in place.
    undeclared = find_undeclared_variables(environment.parse(source, name, filename))
    return Template(environment, name=name, root=root, undeclared=undeclared)


def _compile(template: Template, called: set[tuple[str, str]]) -> str:
    """`[root, blocks, needs]`; what comes last may be left out."""
    parts = [_root_function(template), _blocks(template), _twins(template, called)]
    while parts[-1] in ("[]", "{}"):
        parts.pop()
    return array(parts)


def _root_function(template: Template) -> str:
    scope = Scope(template, Names(is_top=True))
    if "self" in find_undeclared(template.root.body, ("self",)):
        scope.symbols.declare_parameter("self")
    scope.symbols.analyze_node(template.root)
    scope.is_top_level = scope.is_root_level = True
    scope.discards_output = True
    scope.keeps_sets = template.keeps_sets(template.root)
    function = FunctionWriter(scope.names)
    writer = StatementWriter(template, function)
    writer.enter(scope, is_first=True)
    writer.write(template.root.body, scope)
    if template.parent is not None:
        function.code(OUT, "pa(v,ex)")
    return f"(v,ex)=>{function.body()}"


def _blocks(template: Template) -> str:
    blocks = list(template.root.find_all(nodes.Block))
    return plain_object({block.name: _block_function(template, block) for block in blocks})


def _block_function(template: Template, block: nodes.Block) -> str:
    template.check_name(block, block.name)
    scope = Scope(template, Names())
    scope.is_block = True
    special = find_undeclared(block.body, ("self", "super"))
    for name in sorted(special):
        scope.symbols.declare_parameter(name)
    scope.symbols.analyze_node(block)
    scope.block = block.name
    scope.keeps_sets = template.keeps_sets(block)
    function = FunctionWriter(scope.names)
    if scope.keeps_sets:
        function.declare("bs", "{}")
    writer = StatementWriter(template, function)
    writer.enter(scope, is_first=True)
    writer.write(block.body, scope)
    head = "(v,dp)" if any(name.name == "super" for name in block.find_all(nodes.Name)) else "v"
    return f"{head}=>{function.body()}"


def _twins(template: Template, called: set[tuple[str, str]]) -> str:
    """What `createRenderer` must be handed, so that a twin that is missing shows at the start; each once."""
    tables = {"filters": template.filters, "tests": template.tests, "globals": template.globals}
    new = sorted({(kind, name) for kind, names in tables.items() for name in names} - called)
    called.update(new)
    return array(array(map(string_literal, twin)) for twin in new)
