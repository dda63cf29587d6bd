"""What must stop the application from starting, or a template from rendering, rather than differ."""

from typing import Any

import pytest
from jinja2 import DictLoader, Environment, StrictUndefined, pass_environment
from jinja2.environment import Environment as AnyEnvironment
from py_mini_racer import JSEvalException

from server.jinja_js import UnsupportedTemplate, compile_templates
from tests.javascript import JavaScript
from tests.server.jinja_js.rendering import environment_of, render_in_javascript, start_javascript

# What the message must mention, by template.
REFUSED = {
    "{{ a / 2 }}": "division",
    "{{ a ** 2 }}": "**",
    "{{ 1.5 }}": "1.5",
    "{{ 9007199254740993 }}": "9007199254740993",
    "{{ +a }}": "Pos",
    "{{ '%s' % a }}": "formatting",
    "{{ 1 < a < 3 }}": "chain of comparisons",
    "{{ [1, 2] }}": "printing a list",
    "{{ (1, 2) }}": "printing a list",
    "{{ {'a': 1} }}": "printing a list",
    "{{ xs|list }}": "printing a list",
    "{{ xs|sort }}": "printing a list",
    "{{ xs|map('upper') }}": "printing a list",
    "{{ d.items() }}": "printing a list",
    "{{ a ~ [1] }}": "printing a list",
    "{% if xs|select %}x{% endif %}": "lazily",
    "{% set ys = xs|map(attribute='a') %}": "lazily",
    "{% set ys = d.items() %}": "lazily",
    "{{ xs|select|length }}": "lazily",
    "{{ xs|reject|last }}": "lazily",
    "{{ xs|reverse|shout }}": "lazily",
    "{{ d.items()[0] }}": "lazily",
    "{{ (xs|unique)[0] }}": "lazily",
    "{% for x in (xs|select if a else []) %}{% endfor %}": "lazily",
    "{{ {'1': 2}.a }}": "dictionary key",
    "{{ {a: 2}.a }}": "dictionary key",
    "{{ {1: 2}.a }}": "dictionary key",
    "{{ {'__proto__': 2}.a }}": "dictionary key",
    "{{ xs[::2]|join }}": "step",
    "{{ xs[a:]|join }}": "computed bounds",
    "{{ d.items }}": ".items",
    "{{ d.values }}": ".values",
    "{{ d['keys'] }}": "'keys'",
    "{{ xs|map(attribute='copy')|join }}": "'copy'",
    "{{ d.__class__ }}": "__class__",
    "{{ __name }}": "__name",
    "{{ 名 }}": "名",
    "{{ a.title() }}": ".title()",
    "{{ a.format(1) }}": ".format()",
    "{{ ','.join(xs) }}": ".join()",
    "{{ d.pop('a') }}": ".pop",
    "{{ xs.append(1) }}": ".append()",
    "{{ a.replace('a', 'b', 1) }}": ".replace()",
    "{{ a.split(',', 1) }}": ".split()",
    "{{ f(*xs) }}": "`*`",
    "{{ f(**d) }}": "`**`",
    "{{ xs|join(*xs) }}": "`*`",
    "{{ f(caller=1) }}": "caller",
    "{{ lipsum() }}": "lipsum",
    "{{ cycler('a').next() }}": "cycler",
    "{{ joiner()() }}": "joiner",
    "{{ a|round }}": "round",
    "{{ a|float }}": "float",
    "{{ a|format }}": "format",
    "{{ a|title }}": "title",
    "{{ a|capitalize }}": "capitalize",
    "{{ a|wordwrap }}": "wordwrap",
    "{{ a|striptags }}": "striptags",
    "{{ d|dictsort }}": "dictsort",
    "{{ d|xmlattr }}": "xmlattr",
    "{{ a|attr('b') }}": "attr",
    "{{ a|pprint }}": "pprint",
    "{{ xs|random }}": "random",
    "{{ a|int(0, 16) }}": "`|int`",
    "{{ a|trim('x') }}": "`|trim`",
    "{{ a|tojson(2) }}": "`|tojson`",
    "{{ a|replace('a') }}": "`new`",
    "{{ a|default('a', default_value='b') }}": "`|default`",
    "{{ xs|map(name)|join }}": "`|map`",
    "{{ xs|map('map', 'upper')|join }}": "`|map`",
    "{{ xs|map|join }}": "`|map`",
    "{{ xs|map(attribute=a)|join }}": "not constant",
    "{{ xs|select(a)|join }}": "computed test",
    "{{ xs|sort(attribute=a)|join }}": "not constant",
    "{{ a is sameas b }}": "sameas",
    "{{ a is callable }}": "callable",
    "{{ a is float }}": "float",
    "{{ a is lower }}": "lower",
    "{{ a is sequence }}": "sequence",
    "{{ a is filter }}": "filter",
    "{{ xs|select('upper')|join }}": "upper",
    "{% for n in xs recursive %}{% endfor %}": "recursive",
    "{% for n in xs %}{{ loop.depth }}{% endfor %}": "loop.depth",
    "{% for n in xs %}{{ loop() }}{% endfor %}": "recursive",
    "{% set ns = namespace(a=0) %}{% for n in xs if n > ns.a %}{% set ns.a = n %}{% endfor %}": "namespace",
    "{% filter upper %}x{% endfilter %}": "FilterBlock",
    "{% set x | upper %}x{% endset %}": "filter",
    "{% autoescape false %}x{% endautoescape %}": "autoescape",
    "{% include a %}": "constant string",
    "{% include ['part', 'main'] %}": "constant string",
    "{% include 'part' ignore missing %}": "ignore missing",
    "{% include 'elsewhere' %}": "elsewhere",
    "{% import a as b %}": "constant string",
    "{% extends a %}": "constant string",
    "{% if a %}{% extends 'part' %}{% endif %}": "extends",
    "{% extends 'part' %}{% extends 'part' %}": "extends",
    "{% block a required %}{% endblock %}": "required",
    "{% block a %}{{ super }}{% endblock %}": "super",
    "{% macro m() %}{{ super() }}{% endmacro %}": "super",
    "{% block a %}{{ self.a }}{% endblock %}": "self",
    "{% set self = 1 %}": "self",
    "{% macro m() %}{{ varargs }}{% endmacro %}": "varargs",
    "{% macro m() %}{{ kwargs }}{% endmacro %}": "varargs",
    "{% macro m(caller=none) %}{{ caller() }}{% endmacro %}": "parameter",
    "{% for n in xs %}{% macro m() %}{% endmacro %}{% endfor %}": "macro inside",
    "{% set f = _ %}": "without a call",
    "{{ a|wants_environment }}": "environment",
}


def compile_one(source: str, **options: Any) -> str:
    environment = environment_of({"main": source, "part": "part"})
    environment.filters["wants_environment"] = wants_environment
    return compile_templates(environment, ["main"])


@pass_environment
def wants_environment(environment: AnyEnvironment, value: str) -> str:
    return value


@pytest.mark.parametrize("source", REFUSED)
def test_refused(source: str) -> None:
    with pytest.raises(UnsupportedTemplate) as refusal:
        compile_one(f"first line\n{source}")

    assert str(refusal.value).startswith("main, line 2: ")
    assert REFUSED[source] in str(refusal.value)
    assert refusal.value.remedy


@pytest.mark.parametrize("tag", ["do", "break", "continue", "trans"])
def test_extension_refused(tag: str) -> None:
    source = {"do": "{% do a %}", "trans": "{% trans %}x{% endtrans %}"}.get(
        tag, f"{{% for n in xs %}}{{% {tag} %}}{{% endfor %}}"
    )
    extensions = ["jinja2.ext.do", "jinja2.ext.loopcontrols", "jinja2.ext.i18n"]
    environment = Environment(loader=DictLoader({"main": source}), autoescape=True, extensions=extensions)

    with pytest.raises(UnsupportedTemplate):
        compile_templates(environment, ["main"])


@pytest.mark.parametrize(
    "options",
    [{"autoescape": False}, {"undefined": StrictUndefined}, {"finalize": str}, {"enable_async": True}],
)
def test_environment_refused(options: dict[str, Any]) -> None:
    environment = Environment(loader=DictLoader({"main": ""}), **{"autoescape": True, **options})

    with pytest.raises(ValueError, match="the phone"):
        compile_templates(environment, ["main"])


def test_own_json_refused() -> None:
    environment = environment_of({"main": "{{ a|tojson }}"})
    environment.policies["json.dumps_kwargs"] = {}

    with pytest.raises(UnsupportedTemplate, match="tojson"):
        compile_templates(environment, ["main"])


@pytest.fixture(scope="module")
def javascript() -> JavaScript:
    return start_javascript()


VALUES = {
    "list": [1],
    "dictionary": {"a": 1},
    "numbered": {"2": "b", "1": "a"},
    "half": 2.5,
    "huge": 2**53,
    "big": 2**53 - 1,
    "text": "abc",
    "none": None,
    "pair": [1, 2, 3],
    "mixed": [1, "a"],
}


@pytest.mark.parametrize(
    "source",
    [
        "{{ list }}",
        "{{ dictionary }}",
        "{{ half }}",
        "{{ huge }}",
        "{{ half + 1 }}",
        "{{ big + 1 }}",
        "{{ big * 2 }}",
        "{{ 1 // 0 }}",
        "{{ 1 % 0 }}",
        "{{ text * 2 }}",
        "{{ text + 1 }}",
        "{{ list ~ text }}",
        "{{ [list, text]|join }}",
        "{{ text.title }}",
        "{{ text['title'] }}",
        "{{ list.count }}",
        "{{ list['count'] }}",
        "{{ dictionary[text_that_is] }}{% set key = 'items' %}{{ dictionary[key] }}",
        "{{ missing.attribute }}",
        "{{ missing['item'] }}",
        "{{ missing() }}",
        "{{ text() }}",
        "{{ missing.get('a') }}",
        "{{ text.get('a') }}",
        "{{ missing < 1 }}",
        "{{ none < 1 }}",
        "{{ list == pair }}",
        "{{ list in [pair] }}",
        "{{ 1 in text }}",
        "{{ 1 in none }}",
        "{{ mixed|sort|join }}",
        "{% for x in none %}{% endfor %}",
        "{% for x in numbered %}{% endfor %}",
        "{{ numbered.values()|join }}",
        "{% for a, b in [pair] %}{% endfor %}",
        "{% set a, b = pair %}",
        "{% set dictionary.a = 1 %}",
        "{{ '4.2'|int }}",
        "{{ '٤'|int }}",
        "{{ '9007199254740993'|int }}",
        "{{ list|upper }}",
        "{{ half|tojson }}",
        "{{ none|length }}",
        "{{ none|truncate(3) }}",
        "{{ 'abc'.replace('', 'x') }}",
        "{{ 'abc'.split('') }}",
        "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}",
        "{% macro m(a) %}{% endmacro %}{{ m(1, a=2) }}",
        "{% macro m(a) %}{% endmacro %}{{ m(b=2) }}",
        "{% macro m() %}{% endmacro %}{% call m() %}{% endcall %}",
        "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}",
        "{% macro m() %}{% endmacro %}{{ m.name }}",
        "{% macro m() %}{% endmacro %}{{ m }}",
        "{% for n in pair %}{{ loop }}{% endfor %}",
        "{% for n in pair %}{{ loop.cycle() }}{% endfor %}",
        "{% call address('x') %}{% endcall %}",
        "{% block a %}{{ super() }}{% endblock %}",
        "{{ self.nope() }}",
        "{{ address }}",
    ],
)
def test_thrown(javascript: JavaScript, source: str) -> None:
    with pytest.raises(JSEvalException):
        render_in_javascript(javascript, {"main": source}, VALUES)


def test_absent_twin_stops_the_start(javascript: JavaScript) -> None:
    environment = environment_of({"main": "{{ a|shout }}"})
    source = compile_templates(environment, ["main"])

    with pytest.raises(JSEvalException, match="main needs shout in filters"):
        javascript.call(f"() => {{ {source} createRenderer({{ templates: TEMPLATES }}); }}")


def test_unknown_template_throws(javascript: JavaScript) -> None:
    with pytest.raises(JSEvalException, match="toString"):
        javascript.call("() => createRenderer({ templates: () => ({}) }).render('toString', {})")
