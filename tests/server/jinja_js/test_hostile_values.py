"""Ten thousand renders of values nobody should type, byte for byte alike on both sides."""

import random
from typing import Any

from tests.server.jinja_js.rendering import environment_of, renderer_source, start_javascript

SEED = 20_260_401
ROUNDS = 10_000
BATCH = 500

FRAGMENTS = [
    "<script>alert(1)</script>", "</style>", "<!--", "]]>", "&amp;", "&#39;", "&", "<", ">", "'", '"', "`",
    "{{ x }}", "{% x %}", "${x}", "$&", "\\", "\\u0041", "\x00", "\x01", "\x0b", "\x1b[0m", "\x1c", "\x1f",
    "\x7f", "\x80", "\x85", "\u00a0", "\u00ad", "\u200b", "\u200f", "\u2028", "\u2029", "\u202e", "\u2066",
    "\u3000", "\ufeff", "\ufffd", "\uffff", "\ue000", "😀", "👩‍👩‍👧", "🇨🇳", "𠮷", "\U0010ffff", "e\u0301", "ﬁ",
    "你好，世界", "שלום", "مرحبا", " ", "\n", "\t", "\r", "a", "Zz", "0", "007", "-1", "constructor",
    "__proto__", "length", "undefined", "null", "None", "True", "%s", "%(a)s", "%2F", "/", "+", "long " * 2000,
]  # fmt: skip

INTEGERS = [0, 1, -1, 7, -7, 255, 2**31 - 1, 2**31, 2**31 + 1, -(2**31) - 1, 2**53 - 1, -(2**53) + 1]

TEMPLATES = {
    "base": "<title>{% block title %}{{ a }}{% endblock %}</title>{% block body %}{% endblock %}",
    "part": "<i title=\"{{ value }}\">{{ value }}</i>",
    "macros": "{% macro show(value, mark='-') %}<b>{{ mark }}{{ value }}{{ caller and caller() }}</b>{% endmacro %}",
    "printing": "{{ a }}|{{ b }}|{{ text }}|{{ number }}|{{ nope }}|{{ record.text }}|{{ record.nope }}",
    "attributes": "<p id='{{ text }}' class=\"{{ a }}\">{{ record['text'] }}{{ record.scalar }}{{ record.get('nope', b) }}</p>",
    "truth": "{{ 1 if a else 0 }}{{ a or b }}{{ a and b }}{{ not text }}{% for v in nested %}{{ 1 if v else 0 }}{% endfor %}",
    "loops": "{% for s in texts %}{{ loop.index }}/{{ loop.length }}:{{ s }}{{ loop.previtem }}{% if not loop.last %},{% endif %}{% else %}-{% endfor %}",
    "records": "{% for r in records if r.scalar %}{{ r.text }}={{ r.scalar }};{% else %}none{% endfor %}{{ records|map(attribute='text')|join(a) }}",
    "letters": "{% for c in text[:20] %}[{{ c }}]{% endfor %}{{ text|length }}{{ text|first }}{{ text|last }}{{ text[1:3] }}{{ text[-2:] }}{{ text|reverse }}",
    "case": "{{ text|upper }}{{ text|lower }}{{ text|trim }}|{{ text.strip() }}|{{ text.lstrip() }}|{{ text.split()|join('+') }}",
    "html": "{{ a|e }}{{ a|safe }}{{ text|safe ~ b }}{{ [a, text|safe]|join(b|string) }}{{ text|safe|upper }}{{ text|safe|replace('a', b|string) }}",
    "replacing": "{{ text|replace('a', other) }}{{ text|replace('<', '&lt;', 1) }}{{ text|replace(' ', '') }}{{ text.replace('e', other) }}",
    "truncating": "{{ text|truncate(5) }}|{{ text|truncate(9, true, '…', 0) }}|{{ text|safe|truncate(4, end='<') }}",
    "sorting": "{{ texts|sort|join(',') }}|{{ texts|sort(reverse=true, case_sensitive=true)|join(',') }}|{{ texts|unique|join(',') }}|{{ texts|min }}{{ texts|max }}",
    "grouping": "{% for key, group in records|groupby('text') %}{{ key }}:{{ group|map(attribute='scalar')|join('/') }};{% endfor %}{% for row in texts|batch(2, a) %}{{ row|join }}|{% endfor %}",
    "comparing": "{{ a == b }}{{ text < other }}{{ text == other }}{{ other in text }}{{ a in scalars }}{{ text in record }}{{ text ~ other == text + other }}",
    "numbers": "{{ number }}{{ number // 7 }}{{ number % 7 }}{{ number % -7 }}{{ number is odd }}{{ number|string|length }}{{ number > 5 }}{{ number|abs }}",
    "choosing": "{{ scalars|select('string')|join('|') }}{{ scalars|reject('none')|join('|') }}{{ scalars|select|join }}{{ records|selectattr('scalar', 'number')|map(attribute='text')|join }}",
    "inheriting": "{% extends 'base' %}{% block title %}{{ super() }}{{ b }}{% endblock %}{% block body %}{% for value in scalars %}{% include 'part' %}{% endfor %}{{ self.title() }}{% endblock %}",
    "macro": "{% from 'macros' import show %}{{ show(a) }}{{ show(value=b, mark=text) }}{% call show(text) %}{{ other }}{% endcall %}{% set kept %}{{ a }}<{% endset %}{{ kept }}{{ kept|length }}",
    "encoding": "{{ text|urlencode }}{{ a|urlencode }}{{ nested|tojson }}{{ record|tojson }}{{ text|shout }}{{ text|bold }}",
    "kinds": "{% for v in nested %}{{ v is string }}{{ v is number }}{{ v is mapping }}{{ v is iterable }}{{ v is none }}{{ v is true }};{% endfor %}{{ a|default(b, true) }}{{ nope|default(text) }}",
}  # fmt: skip


def hostile_text(choose: random.Random) -> str:
    text = "".join(choose.choice(FRAGMENTS) for _ in range(choose.randrange(6)))
    return text if choose.random() < 0.98 else text * 50


def hostile_scalar(choose: random.Random) -> object:
    kind = choose.randrange(6)
    if kind < 3:
        return hostile_text(choose)
    return choose.choice(INTEGERS) if kind == 3 else choose.choice([None, True, False])


def hostile_value(choose: random.Random, depth: int = 0) -> object:
    kind = choose.randrange(4)
    if kind == 0 and depth < 3:
        return [hostile_value(choose, depth + 1) for _ in range(choose.randrange(4))]
    if kind == 1 and depth < 3:
        return {word(choose): hostile_value(choose, depth + 1) for _ in range(choose.randrange(4))}
    return hostile_scalar(choose)


def word(choose: random.Random) -> str:
    """A key; not a number, since JavaScript reorders those and the runtime refuses them."""
    return f"k{hostile_text(choose)}"


def hostile_record(choose: random.Random) -> dict[str, object]:
    return {"text": hostile_text(choose), "scalar": hostile_scalar(choose)}


def hostile_context(choose: random.Random) -> dict[str, Any]:
    return {
        "a": hostile_scalar(choose),
        "b": hostile_scalar(choose),
        "text": hostile_text(choose),
        "other": hostile_text(choose),
        "number": choose.choice(INTEGERS),
        "record": {**hostile_record(choose), word(choose): hostile_scalar(choose)},
        "records": [hostile_record(choose) for _ in range(choose.randrange(5))],
        "texts": [hostile_text(choose) for _ in range(choose.randrange(6))],
        "scalars": [hostile_scalar(choose) for _ in range(choose.randrange(6))],
        "nested": [hostile_value(choose) for _ in range(choose.randrange(5))],
    }


def test_hostile_values_render_alike() -> None:
    choose = random.Random(SEED)
    names = sorted(set(TEMPLATES) - {"base", "part", "macros"})
    environment = environment_of(TEMPLATES)
    javascript = start_javascript()
    javascript.call(f"() => {{ globalThis.renderer = {renderer_source(environment, *names)}; }}")

    for start in range(0, ROUNDS, BATCH):
        jobs = [(choose.choice(names), hostile_context(choose)) for _ in range(BATCH)]
        rendered = javascript.call("(jobs) => jobs.map((job) => renderer.render(...job))", jobs)
        for place, ((name, context), ours) in enumerate(zip(jobs, rendered, strict=True)):
            expected = environment.get_template(name).render(context)
            assert ours == expected, f"seed {SEED}, round {start + place}, {name!r} with {context!r}"
