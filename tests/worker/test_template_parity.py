"""Every shared page, in both languages: what Jinja2 renders and what the phone renders are the same bytes."""

import json
import re

import pytest
from jinja2 import Environment

from server.jinja_js import compile_templates
from server.messages import LANGUAGES, load_catalogue
from server.page_table import PAGES
from server.templating import template_environment
from tests.fixtures.pages import CONTEXTS, ENDED_ROUNDS, Context
from tests.javascript import JavaScript

CATALOGUE = load_catalogue()
MODULES = ("worker/jinja_runtime.js", "worker/filters.js", "worker/messages.js")
PAGE_CASES = [
    pytest.param(name, context | {"language": language}, id=f"{name}-{number}-{language}")
    for name, contexts in CONTEXTS.items()
    for number, context in enumerate(contexts)
    for language in LANGUAGES
]


@pytest.fixture(scope="module")
def environment() -> Environment:
    return template_environment(CATALOGUE)


@pytest.fixture(scope="module")
def phone(environment: Environment) -> JavaScript:
    compiled = compile_templates(environment, list(CONTEXTS))
    messages = json.dumps(CATALOGUE.shared())
    source = f"""
        {compiled}
        const translate = createTranslate({messages});
        const {{ render }} = createRenderer({{
          templates: TEMPLATES, filters: dateFilters, globals: {{ _: translate }},
        }});
    """
    return JavaScript(*MODULES, source=source)


@pytest.mark.parametrize(("name", "context"), PAGE_CASES)
def test_the_phone_renders_a_page_as_the_server_does(
    environment: Environment, phone: JavaScript, name: str, context: Context
) -> None:
    on_the_server = environment.get_template(name).render(context)

    on_the_phone = phone.call("render", name, context)

    assert on_the_phone == on_the_server


def test_every_page_of_the_table_has_fixtures() -> None:
    assert {page.template for page in PAGES} <= CONTEXTS.keys()


def test_of_rounds_that_ended_today_shows_the_last_three(environment: Environment) -> None:
    """Somebody who has gone round for a year has fifty, with all their doors: a megabyte on a cheap phone."""
    page = environment.get_template("today/page.html").render(ENDED_ROUNDS | {"language": "zh-CN"})

    assert re.findall("第[1-6]轮", page) == ["第4轮", "第5轮", "第6轮"]
