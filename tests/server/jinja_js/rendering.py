"""Renders a template twice, with Jinja2 and with the compiled JavaScript."""

from collections.abc import Mapping
from typing import Any

from jinja2 import DictLoader, Environment, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from server.filters import reads
from server.jinja_js import compile_templates
from tests.javascript import JavaScript

# The application's own functions, written twice as ours will be.
TWINS = """
const filters = {
  shout(value, ...given) {
    const named = typeof given.at(-1) === "object" ? given.pop() : {};
    const mark = given[0] ?? "!";
    return `${jinjaString(value)}${mark}${named.twice ? mark : ""}`;
  },
  bold: (value) => new SafeText(`<b>${jinja.text(value)}</b>`),
  translated: (context, value) => `${context.language}:${value}`,
};
const tests = { long: (value, length) => [...value].length > length };
const globals = {
  release: "r<1>",
  address: (page, named = {}) => `/${page}?${Object.entries(named).map(([key, value]) => `${key}=${value}`)}`,
  _: (context, text) => `${context.language ?? "?"}:${text}`,
  translate: (context, text) => `${context.language ?? "?"}:${text}`,
  said: (context, text) => `${context.language ?? "?"}:${text}`,
};
"""


def shout(value: str, mark: str = "!", *, twice: bool = False) -> str:
    return f"{value}{mark}{mark if twice else ''}"


def bold(value: object) -> Markup:
    return Markup(f"<b>{escape(value)}</b>")


@pass_context
def translated(context: Context, value: str) -> str:
    return f"{context['language']}:{value}"


def is_long(value: str, length: int) -> bool:
    return len(value) > length


def address(page: str, **named: object) -> str:
    return f"/{page}?{','.join(f'{key}={value}' for key, value in named.items())}"


@pass_context
def translate(context: Context, text: str) -> str:
    return f"{context.get('language', '?')}:{text}"


@reads("language")
def said(context: Context, text: str) -> str:
    return f"{context.get('language', '?')}:{text}"


def environment_of(templates: Mapping[str, str]) -> Environment:
    """An environment such as the application's, with these templates."""
    environment = Environment(loader=DictLoader(dict(templates)), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(shout=shout, bold=bold, translated=translated)
    environment.tests.update(long=is_long)
    environment.globals.update(release="r<1>", address=address, _=translate, translate=translate, said=said)
    return environment


def start_javascript() -> JavaScript:
    """V8 with the runtime and the twins."""
    return JavaScript("worker/jinja_runtime.js", source=TWINS)


def renderer_source(environment: Environment, *names: str) -> str:
    """A JavaScript expression for a renderer of these templates, or of "main"."""
    source = compile_templates(environment, names or ["main"])
    return f"(() => {{ {source} return createRenderer({{ templates: TEMPLATES, filters, tests, globals }}); }})()"


def render_in_javascript(javascript: JavaScript, templates: Mapping[str, str], context: Mapping[str, Any]) -> str:
    """The template "main", rendered by its compiled form."""
    renderer = renderer_source(environment_of(templates))
    rendered = javascript.call(f"(context) => {renderer}.render('main', context)", context)
    assert isinstance(rendered, str)
    return rendered


def render_in_python(templates: Mapping[str, str], context: Mapping[str, Any]) -> str:
    """The template "main", rendered by Jinja2."""
    return environment_of(templates).get_template("main").render(context)
