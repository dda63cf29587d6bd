"""ARCHITECTURE.md is true: the walk names places that exist, and the three changes it shows do what it says."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
STEP = re.compile(r"^\d+\. `(?P<file>[^`]+)`(?: `(?P<name>[^`]+)`)? — ", re.MULTILINE)


def steps() -> list[tuple[str, str]]:
    walk = TEXT.partition("<!-- walk -->")[2].partition("<!-- /walk -->")[0]
    found = [(step["file"], step["name"] or "") for step in STEP.finditer(walk)]
    assert len(found) == len(walk.strip().splitlines())
    return found


@pytest.mark.parametrize(("file", "name"), steps())
def test_the_walk_names_what_exists(file: str, name: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")

    assert not name or re.search(rf"(?:def|function|async|const|^ *)\s*{name}\b\s*[(=]", text, re.MULTILINE)


def test_a_file_is_entered_twice_only_where_the_text_says_why() -> None:
    seen: set[str] = set()
    walk = TEXT.partition("<!-- walk -->")[2].partition("<!-- /walk -->")[0].strip().splitlines()
    for line in walk:
        file = line.split("`")[1]
        assert file not in seen or "second time" in line, line
        seen.add(file)


def diffs() -> dict[str, str]:
    return dict(re.findall(r"^\*(Add [^*]+)\.\*.*?```diff\n(.*?)```", TEXT, re.MULTILINE | re.DOTALL))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for folder in ("server", "sync", "templates", "static"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def added(diff: str, file: str) -> str:
    """The lines a diff adds to a file."""
    part = re.search(rf"^\+\+\+ b/{re.escape(file)}\n(.*?)(?=^--- |\Z)", diff, re.MULTILINE | re.DOTALL)
    assert part is not None, f"the text shows no change of {file}"
    return "\n".join(line[1:] for line in part[1].splitlines() if line.startswith("+"))


def insert_before(file: Path, anchor: str, lines: str) -> None:
    text = file.read_text(encoding="utf-8")
    at = text.rindex(anchor)
    file.write_text(text[:at] + lines + "\n" + text[at:], encoding="utf-8")


def ask(copy: Path, program: str) -> str:
    """Runs a program against the changed copy, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(copy)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


BUILD = """
from pathlib import Path
from server.app import create_app
from server.settings import Settings
app = create_app(Settings(data_dir=Path("data")))
script = app.state.worker_script
"""


def test_adding_a_field_is_one_declaration(copy: Path) -> None:
    diff = diffs()["Add a field"]
    assert diff.count("\n+++ ") == 1
    insert_before(
        copy / "server/visit_form.py", '        Field(\n            "note"', added(diff, "server/visit_form.py")
    )

    said = ask(
        copy,
        BUILD + "from server.forms import check_submitted\nfrom server.visit_form import VISIT_FORM\n"
        "print(check_submitted(VISIT_FORM, {'outcome': ['met'], 'heating': ['yes']}).values['heating'], '\"heating\"' in script)",
    )

    assert said.split() == ["yes", "True"]


def test_adding_an_offline_page_is_one_entry_and_one_template(copy: Path) -> None:
    diff = diffs()["Add an offline page"]
    insert_before(copy / "server/page_table.py", '    Page("settings"', added(diff, "server/page_table.py"))
    template = copy / "templates/needs/page.html"
    template.parent.mkdir()
    template.write_text(added(diff, "templates/needs/page.html"), encoding="utf-8")

    said = ask(
        copy,
        BUILD + "paths = {getattr(route, 'path', '') for route in app.routes}\n"
        "print('/needs/{need_id}' in paths, '\"needs/page.html\"' in script)",
    )

    assert said.split() == ["True", "True"]


def test_adding_a_kind_is_one_entry(copy: Path) -> None:
    diff = diffs()["Add a record kind"]
    insert_before(copy / "server/kinds.py", "\n)\n", added(diff, "server/kinds.py").rstrip())

    said = ask(
        copy,
        BUILD
        + """
from sync.changes import Action, Author, Change
from sync.engine import accept
from sync.kinds import Role
from sync.store import MemoryStore, Position
from server.rules import RULES
home, me, record, change = (f"0192a000-0000-7000-8000-{n:012x}" for n in range(4))
store = MemoryStore()
store.grant(me, home)
author = Author(1, me, "", me, Role.VOLUNTEER)
given = Change(change, 1, "greeting", record, Action.PUT, 0, {"household_id": home, "text": "hello"}, 1, 1)
print(accept(store, RULES, [given], author=author, received_at=1)[0].outcome)
print(store.slice(1, me, Position(0), 9).records[0].fields["text"], '"greeting"' in script)
""",
    )

    assert said.split() == ["accepted", "hello", "True"]
