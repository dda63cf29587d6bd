"""House rules for templates (STYLE.md 9, PLATFORM.md 11), read from their text, coordinators' pages included."""

import gzip
import re
from typing import Any

import pytest

from server.messages import LANGUAGES, load_catalogue
from server.templating import TEMPLATES, template_environment
from tests.fixtures.pages import (
    ALL_UP,
    CONTEXTS,
    HALF_FILLED,
    NOW,
    OFFLINE,
    RETURNED,
    SLOW,
    UNREACHABLE,
    WAITING,
    Context,
)
from tests.markup import Markup, read_markup

SOURCES = {
    str(file.relative_to(TEMPLATES)): file.read_text(encoding="utf-8") for file in sorted(TEMPLATES.glob("**/*.html"))
}
ENVIRONMENT = template_environment(load_catalogue())
PAGES = [
    pytest.param(name, context | {"language": language}, id=f"{name}-{number}-{language}")
    for name, contexts in CONTEXTS.items()
    if not name.startswith("fragments/")
    for number, context in enumerate(contexts)
    for language in LANGUAGES
]
KB = 1024


def plain(source: str) -> str:
    """The template as HTML alone: what Jinja2 prints becomes a letter, what it does becomes nothing."""
    source = re.sub(r"\{#.*?#\}", "", source, flags=re.DOTALL)
    source = re.sub(r"\{%.*?%\}", "", source, flags=re.DOTALL)
    return re.sub(r"\{\{.*?\}\}", "x", source, flags=re.DOTALL)


def opening_tags(source: str) -> list[str]:
    return re.findall(r"<[a-z][^>]*>", plain(source))


def offenders(pattern: str) -> list[tuple[str, str]]:
    return [
        (name, tag)
        for name, source in SOURCES.items()
        for tag in opening_tags(source)
        if re.search(pattern, tag, re.IGNORECASE)
    ]


def test_no_code_in_attributes() -> None:
    assert offenders(r"\shx-on|\son[a-z]+=|js:|javascript:|hx-trigger=\"[^\"]*\[") == []


def test_no_inline_script_and_no_inline_style() -> None:
    assert offenders(r"^<style|\sstyle=|^<script(?![^>]*\ssrc=)") == []


def test_nothing_escapes_the_escaping() -> None:
    assert [name for name, source in SOURCES.items() if re.search(r"\|\s*safe\b|autoescape|Markup", source)] == []


def test_attributes_are_quoted() -> None:
    unquoted = {
        (name, tag)
        for name, source in SOURCES.items()
        for tag in opening_tags(source)
        if "=" in re.sub(r"=(\"[^\"]*\"|'[^']*')", "", tag)
    }

    assert unquoted == set()


def test_every_request_of_htmx_has_its_plain_twin() -> None:
    """In the same tag; something that only asks again by itself may have a link beside it for those without a script."""
    tags = offenders(r"\shx-(get|post|put|patch|delete)=")
    alone = [(name, tag) for name, tag in tags if not re.search(r"\s(href|action)=", tag)]

    assert [(name, tag) for name, tag in alone if "every " not in tag or "script-never" not in SOURCES[name]] == []


def test_people_may_zoom() -> None:
    assert offenders(r"user-scalable|maximum-scale") == []


def test_no_address_of_another_site() -> None:
    assert offenders(r"(href|src|action)=\"(https?:)?//") == []


# What comes out


@pytest.mark.parametrize(("name", "context"), PAGES)
def test_a_page_is_sound_markup(name: str, context: Context) -> None:
    """Balanced tags, ids that are there once, references that lead somewhere, and no script but the three."""
    markup: Markup = read_markup(ENVIRONMENT.get_template(name).render(context))

    assert markup.problems == []
    assert markup.repeated_ids() == set()
    assert markup.references <= markup.ids
    assert markup.count("script") == 3
    assert markup.count("h1") == 1
    assert markup.unnamed_fields() == set()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("uploaded_at", [None, NOW])
@pytest.mark.parametrize("photos", [0, 2])
@pytest.mark.parametrize("waiting", [0, 1, 40])
def test_all_uploaded_is_never_said_while_something_waits(
    language: str, uploaded_at: int | None, photos: int, waiting: int
) -> None:
    outbox = {"waiting": waiting, "photos": photos, "held": 0, "uploaded_at": uploaded_at, "oldest_days": 0}
    outbox |= {"failed": 0, "line": None, "filling": None}
    context = CONTEXTS["today/page.html"][0] | {"language": language, "outbox": outbox}

    html = ENVIRONMENT.get_template("fragments/_status.html").render(context)

    assert ("全部已上传" in html or "All uploaded" in html) == (
        waiting == 0 and photos == 0 and uploaded_at is not None
    )
    assert ("照片、录音还有 2 个没传" in html or "still to go: 2" in html) == (waiting == 0 and photos == 2)
    assert f'data-waiting="{waiting}"' in html


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("filling", [None, HALF_FILLED["filling"]])
@pytest.mark.parametrize("line", [each["line"] for each in (WAITING, UNREACHABLE, RETURNED, ALL_UP, SLOW)])
def test_the_strip_has_words_for_every_line_during_the_first_sync_too(line: Any, filling: Any, language: str) -> None:
    context = CONTEXTS["today/page.html"][0]
    outbox = context["outbox"] | {"line": line, "filling": filling}

    html = ENVIRONMENT.get_template("fragments/_status.html").render(context | {"language": language, "outbox": outbox})

    assert html.count("status__offline") == 1


def test_every_button_says_the_state_of_its_choice_in_more_than_colour() -> None:
    html = ENVIRONMENT.get_template("today/page.html").render(CONTEXTS["today/page.html"][0])

    states = re.findall(r'<span class="state" data-state="\w+">(.*?)</span>', html, re.DOTALL)

    assert len(states) > 14
    assert all(re.search(r"<svg.*</svg>\S", state) for state in states)


# Weights (EXPERIENCE.md 6.3)


def test_the_style_sheet_is_light() -> None:
    style = TEMPLATES.parent.joinpath("static/css/app.css").read_bytes()

    assert len(gzip.compress(style, 9)) <= 12 * KB


def test_what_could_not_be_uploaded_is_counted_apart() -> None:
    context = CONTEXTS["today/page.html"][0]
    outbox = context["outbox"] | {"waiting": 3, "failed": 1}

    html = ENVIRONMENT.get_template("fragments/_status.html").render(context | {"outbox": outbox})

    assert "待上传 3 条" in html
    assert "其中 1 条没传上去" in html


@pytest.mark.parametrize(
    ("line", "is_here", "said"), [(None, False, 0), (OFFLINE, False, 1), (OFFLINE, True, 0), (ALL_UP["line"], False, 0)]
)
def test_a_photo_that_is_not_on_this_phone_needs_the_network(line: Any, is_here: bool, said: int) -> None:
    context = CONTEXTS["visits/page.html"][0]
    visit = context["visit"] | {"attachments": [{"sha256": "ab", "kind": "photo", "length": 10}]}
    kept = {"ab": {"state": "whole", "whole_at": NOW}} if is_here else {}

    html = ENVIRONMENT.get_template("visits/page.html").render(
        context | {"visit": visit, "kept": kept, "outbox": context["outbox"] | {"line": line}}
    )

    assert html.count("/kept/ab") == 1
    assert html.count("需要联网") == said


def test_today_with_fourteen_doors_is_light() -> None:
    context = CONTEXTS["today/page.html"][0] | {
        "outbox": WAITING | {"failed": 0, "uploaded_at": NOW, "stale_days": 0, "oldest_days": 0}
    }

    html = ENVIRONMENT.get_template("today/page.html").render(context)

    assert html.count('id="door-') == 14
    assert len(gzip.compress(html.encode(), 9)) <= 10 * KB
