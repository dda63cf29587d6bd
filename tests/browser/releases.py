"""Another release of Linli: a copy of it with one word changed."""

import shutil
from pathlib import Path

from server.settings import ROOT

CODE = ("server", "sync", "static", "templates")


def next_release(tmp_path: Path) -> Path:
    copy = tmp_path / "next"
    for folder in CODE:
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    catalogue = copy / "server" / "messages" / "shared.toml"
    text = catalogue.read_text(encoding="utf-8")
    changed = text.replace('settings = { zh = "设置"', 'settings = { zh = "设置二"')
    assert changed != text
    catalogue.write_text(changed, encoding="utf-8")
    return copy
