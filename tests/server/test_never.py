"""What Linli never has, because the people it is for asked for its absence (DESIGN.md 7, DOMAIN.md 0): nobody is ranked,
scored, clocked in, followed or made to take a photo; nobody's identity number is asked; no page calls anybody else."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import SQLModel
from starlette.routing import Route

from server import models
from server.app import create_app
from server.kinds import KINDS
from server.messages import load_catalogue
from server.page_table import PAGES
from server.settings import ROOT, Settings
from server.visit_form import FORMS

# In names of fields, columns and routes, as whole words between _, - and /.
FORBIDDEN_NAMES = re.compile(
    r"(^|[_/{-])("
    r"rank(s|ed|ing|ings)?|leaderboards?|points?|scores?|badges?|streaks?"
    r"|check_?-?ins?|online_?-?time|online_minutes|mileage"
    r"|gps|lat|latitude|lng|lon|longitude|geo|geolocation|coordinates|tracks?|trail"
    r"|photo_?-?required|require_?-?photo|face"
    r"|id_?-?numbers?|id_?-?cards?|identity_number|national_id|diagnos[ei]s"
    r")($|[_/}-])"
)
# On screen, in either language.
FORBIDDEN_WORDS = re.compile(
    r"排名|排行|积分|得分|打卡|签到|在线时长|轨迹|定位|leaderboard|ranking|\bpoints\b|\bscore\b", re.IGNORECASE
)
# Said to keep them out, not to ask for them.
SAID_TO_KEEP_OUT = {"visit.note.help"}
# The people named in the article are real: they are nobody's test data.
ARTICLE_NAMES = ("赵大姐", "民和社区", "平城邻里")

PEOPLE_SEE = ("templates", "static")
TEXT = {".html", ".js", ".css", ".svg", ".json", ".webmanifest", ".toml"}
# Names that only look like addresses: XML namespaces, and what a vendored file says about itself.
NO_ADDRESS = re.compile(r"https?://(www\.w3\.org/|htmx\.org)")


def test_s09_no_field_of_a_kind_or_form_is_of_that_sort() -> None:
    names = [name for kind in KINDS.values() for name in (kind.name, *kind.fields)]
    names += [field.name for form in FORMS.values() for field in form.fields]

    assert [name for name in names if FORBIDDEN_NAMES.search(name)] == []


def test_no_column_is_of_that_sort() -> None:
    assert models.Record.__tablename__ in SQLModel.metadata.tables
    columns = [f"{table.name}/{column.name}" for table in SQLModel.metadata.tables.values() for column in table.columns]

    assert [column for column in columns if FORBIDDEN_NAMES.search(column)] == []


def test_s09_no_route_is_of_that_sort(tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path))
    paths = [route.path for route in app.routes if isinstance(route, Route)] + [page.path for page in PAGES]

    assert len(paths) > 20
    assert [path for path in paths if FORBIDDEN_NAMES.search(path)] == []


def test_no_sentence_speaks_of_it() -> None:
    texts = load_catalogue().texts
    said = [
        (key, text)
        for key, by_language in texts.items()
        if key not in SAID_TO_KEEP_OUT
        for text in by_language.values()
    ]

    assert len(said) > 200
    assert [key for key, text in said if FORBIDDEN_WORDS.search(text)] == []


def test_the_forbidden_are_recognised() -> None:
    """So that the tests above could fail."""
    for name in (
        "ranking",
        "visit_points",
        "score",
        "check_in",
        "check-in",
        "gps",
        "latitude",
        "photo_required",
        "id_number",
    ):
        assert FORBIDDEN_NAMES.search(name), name
    for name in ("/coordinator/ranking", "/volunteers/{id}/score", "record/lat"):
        assert FORBIDDEN_NAMES.search(name), name
    for name in ("check_number", "appointments", "started_at", "tracked", "template", "underscore", "relation"):
        assert not FORBIDDEN_NAMES.search(name), name


def test_no_page_script_or_sheet_names_another_host() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {address}"
        for path in files(*PEOPLE_SEE)
        for address in re.findall(r"(?:https?:)?//[a-z0-9-]+(?:\.[a-z0-9-]+)+[^\s\"')]*", read(path), re.IGNORECASE)
        if "://" in address and not NO_ADDRESS.match(address) and path.parent.name != "vendor"
    ]

    assert found == []


@pytest.mark.parametrize("tag", ["script", "link", "img", "iframe", "form"])
def test_no_template_loads_from_elsewhere(tag: str) -> None:
    for path in files("templates"):
        for found in re.findall(rf"<{tag}\b[^>]*>", read(path)):
            assert not re.search(r"(?:src|href|action)=\"(?:[a-z]+:)?//", found), f"{path}: {found}"


def test_nothing_asks_the_browser_where_it_is_or_to_look() -> None:
    """To listen it does ask, when somebody taps to record a voice note."""
    for path in files("static"):
        if path.suffix == ".js":
            assert not re.search(
                r"navigator\.geolocation|getCurrentPosition|watchPosition|getUserMedia(?!\(\{ audio)|video:", read(path)
            ), path


def test_no_real_person_of_the_article_is_seeded() -> None:
    for path in files("server", "templates", "static", "sync"):
        text = read(path)
        assert [name for name in ARTICLE_NAMES if name in text] == [], path


def test_no_template_styles_or_scripts_inline() -> None:
    for path in files("templates"):
        text = read(path)
        assert not re.search(r"\sstyle=|<style|\son[a-z]+=|javascript:|hx-on|hx-vals=.js:", text), path
        assert not re.search(r"<script(?![^>]*\ssrc=)", text), path


def files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and (path.suffix in TEXT or path.suffix == ".py"):
                yield path


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")
