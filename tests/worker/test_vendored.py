"""What is vendored is what it says it is: other people's code, byte for byte."""

import hashlib
import json
from pathlib import Path

FOLDER = Path("static/vendor")
NOTES = {"VENDORED.md", "vendored.json"}


def test_every_vendored_file_is_listed_with_its_hash() -> None:
    listed = {entry["file"]: entry for entry in json.loads((FOLDER / "vendored.json").read_text(encoding="utf-8"))}
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in FOLDER.iterdir()}

    assert found.keys() - NOTES == listed.keys()
    assert {name: entry["sha256"] for name, entry in listed.items()} == {name: found[name] for name in listed}


def test_people_read_the_same_as_machines() -> None:
    text = (FOLDER / "VENDORED.md").read_text(encoding="utf-8")

    for entry in json.loads((FOLDER / "vendored.json").read_text(encoding="utf-8")):
        assert all(entry[part] in text for part in ("name", "version", "licence", "file", "sha256"))
