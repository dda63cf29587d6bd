"""The catalogue: both languages whole, nothing missing, nothing left over, and words that volunteers can use."""

import re
import tomllib
from pathlib import Path

import pytest

from server.messages import CatalogueError, load_catalogue
from server.templating import TEMPLATES
from sync.changes import Held

ROOT = TEMPLATES.parent
CATALOGUE = load_catalogue()
SHARED = sorted(CATALOGUE.shared_keys)
LITERAL = re.compile(r"""_\(\s*"([a-z0-9_.]+)"\s*[,)]""")  # _("today.title") but not _("risk." ~ code)
QUOTED = re.compile(r"""["']([a-z0-9_]+\.[a-z0-9_.]*)""")
DANGER = tomllib.loads((Path(__file__).parent / "danger_strings.toml").read_text(encoding="utf-8"))
# Their keys are made in Python from a declaration's own name (server/messages.py, declared).
DECLARED_BY = ("server/vocabularies.py", "server/visit_form.py")


def sources(*patterns: str) -> dict[str, str]:
    files = (file for pattern in patterns for file in ROOT.glob(pattern))
    return {str(file.relative_to(ROOT)): file.read_text(encoding="utf-8") for file in sorted(files)}


def chinese(key: str) -> str:
    return CATALOGUE.texts[key]["zh-CN"]


# Loading


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text, encoding="utf-8")


def test_placeholders_are_filled() -> None:
    assert CATALOGUE.text("zh-CN", "status.waiting", n=3) == "待上传 3 条"
    assert CATALOGUE.text("en", "status.waiting", n=3) == "3 waiting"


def test_a_value_is_never_read_as_a_placeholder() -> None:
    assert CATALOGUE.text("zh-CN", "today.next_door", door="{n}") == "下一户：{n}"


@pytest.mark.parametrize(("language", "key"), [("zh-CN", "no.such"), ("fr", "today.title"), ("en", "status.waiting")])
def test_what_is_missing_is_an_error(language: str, key: str) -> None:
    with pytest.raises(KeyError):
        CATALOGUE.text(language, key)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[a]\nb = { zh = "好" }', "shared.toml: a.b must have exactly en and zh"),
        ('[a]\nb = { zh = "好", en = " " }', "shared.toml: a.b must be text"),
        ('[a]\nb = { zh = "好", en = "good", fr = "bon" }', "shared.toml: a.b must have exactly"),
        ('[a]\nb = "好"', "shared.toml: a.b must have exactly"),
        ('[a]\nb = { zh = "{n} 条", en = "{m}" }', "shared.toml: a.b names different placeholders"),
        ('[outcome]\nmet = { zh = "好", en = "good" }', "shared.toml: outcome.met is already taken"),
    ],
)
def test_a_bad_catalogue_stops_the_start(tmp_path: Path, text: str, complaint: str) -> None:
    write(tmp_path, "shared.toml", text)

    with pytest.raises(CatalogueError, match=re.escape(complaint)):
        load_catalogue(tmp_path)


def test_only_shared_files_and_declarations_go_to_the_phone(tmp_path: Path) -> None:
    write(tmp_path, "shared.toml", '[a]\nb = { zh = "好", en = "good" }')
    write(tmp_path, "coordinator.toml", '[c]\nd = { zh = "行", en = "fine" }')

    shared = load_catalogue(tmp_path).shared()

    assert shared["languages"] == ["zh-CN", "en"]
    assert shared["texts"]["a.b"] == ["好", "good"]
    assert shared["texts"]["outcome.met"][0] == "见到本人"
    assert shared["texts"]["visit.note.help"][1].startswith("No ID numbers")
    assert "c.d" not in shared["texts"]


# Keys and their use


def test_every_key_that_a_template_names_exists() -> None:
    named = {(name, key) for name, text in sources("templates/**/*.html").items() for key in LITERAL.findall(text)}

    assert [(name, key) for name, key in sorted(named) if key not in CATALOGUE.texts] == []


def test_no_key_is_left_over() -> None:
    texts = sources("templates/**/*.html", "server/**/*.py", "static/**/*.js")
    named = {key for name, text in texts.items() if name not in DECLARED_BY for key in QUOTED.findall(text)}
    prefixes = tuple(key for key in named if key.endswith((".", "_")))
    declared = {
        key for key in CATALOGUE.shared_keys if key.split(".")[0] in ("visit", "setting_out", *vocabulary_names())
    }

    unused = [key for key in CATALOGUE.texts if key not in named | declared and not key.startswith(prefixes)]

    assert unused == []


def vocabulary_names() -> set[str]:
    from server.vocabularies import ALL

    return set(ALL)


def test_every_reason_to_hold_a_change_has_its_sentence() -> None:
    known = TEMPLATES.joinpath("fragments/_state.html").read_text(encoding="utf-8")
    listed = re.search(r"held_codes = \[(.*?)\]", known)

    assert listed is not None
    assert set(re.findall(r'"(\w+)"', listed[1])) == {reason.value for reason in Held}
    assert {f"held.{reason.value}" for reason in Held} <= CATALOGUE.shared_keys


# Words (EXPERIENCE.md 1.3, 1.4)


def test_the_word_for_an_exchange_stands_on_one_button_only() -> None:
    assert [key for key in SHARED if "同步" in chinese(key)] == ["settings.exchange_now"]


@pytest.mark.parametrize("word", ["设备", "客户端", "服务器", "错误", "失败", "非法", "无效", "异常", "您没有", "必须"])
def test_volunteers_are_spared_the_words_of_machines_and_of_blame(word: str) -> None:
    # Where nothing else is at fault the strip names it, and neither code nor blame (EXPERIENCE.md 1.3, 14).
    named = ["filling.unreachable", "status.unreachable"] if word == "服务器" else []
    assert sorted(key for key in SHARED if word in chinese(key)) == named


def test_lines_are_short_enough_for_a_narrow_phone() -> None:
    """A line of one sentence has at most 22 characters; longer texts break where their punctuation is."""
    texts = {key: re.sub(r"\{[a-z]+\}", "301", chinese(key)) for key in SHARED}
    clauses = {key: re.split("[。，；？：·]", text) for key, text in texts.items()}

    assert {key: parts for key, parts in clauses.items() if max(map(len, parts)) > 22} == {}


def test_chinese_is_punctuated_as_chinese() -> None:
    assert [key for key in CATALOGUE.texts if re.search(r"[㐀-鿿][,;:!?()]|[,;:!?()][㐀-鿿]", chinese(key))] == []


def test_english_is_english() -> None:
    assert [key for key, text in CATALOGUE.texts.items() if re.search("[㐀-鿿，。：；]", text["en"])] == []


def test_dangerous_words_are_those_that_somebody_has_read() -> None:
    current = {key: {"zh": chinese(key), "en": CATALOGUE.texts[key]["en"]} for key in DANGER}

    assert current == {key: {"zh": entry["zh"], "en": entry["en"]} for key, entry in DANGER.items()}
    assert all(entry["read_by"] for entry in DANGER.values())


def test_no_dangerous_word_is_unread() -> None:
    words = re.compile("撤回|撤销|删除|丢弃|清空|退出|覆盖|停用|更新也可以")
    not_before_an_act = ("state.", "problem.", "held.")  # they report; nothing is pressed there

    unread = [
        key
        for key in SHARED
        if words.search(chinese(key)) and key not in DANGER and not key.startswith((*not_before_an_act, "consent."))
    ]

    assert unread == []
