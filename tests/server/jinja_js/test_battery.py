"""Every construct we support, rendered by Jinja2 and by the compiled JavaScript."""

import pytest

from tests.javascript import JavaScript
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
