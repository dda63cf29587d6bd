"""Every construct we support, rendered by Jinja2 and by the compiled JavaScript."""

import gzip

import pytest

from tests.javascript import STATIC, JavaScript
from tests.server.jinja_js.rendering import render_in_javascript, render_in_python, start_javascript
from tests.server.jinja_js.snippets import CONTEXT, FAMILIES, SNIPPETS


@pytest.fixture(scope="module")
def javascript() -> JavaScript:
    return start_javascript()


@pytest.mark.parametrize("name", SNIPPETS)
def test_snippet(javascript: JavaScript, name: str) -> None:
    templates = {"main": SNIPPETS[name]}

    assert render_in_javascript(javascript, templates, CONTEXT) == render_in_python(templates, CONTEXT)


@pytest.mark.parametrize("name", FAMILIES)
def test_family(javascript: JavaScript, name: str) -> None:
    templates = FAMILIES[name]

    assert render_in_javascript(javascript, templates, CONTEXT) == render_in_python(templates, CONTEXT)


def test_runtime_stays_small() -> None:
    source = (STATIC / "worker/jinja_runtime.js").read_bytes()

    assert len(gzip.compress(source, 9)) <= 6_656


def test_runtime_stays_small_in_brotli() -> None:
    brotli = pytest.importorskip("brotli")
    source = (STATIC / "worker/jinja_runtime.js").read_bytes()

    assert len(brotli.compress(source)) <= 6_000
