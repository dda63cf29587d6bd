"""What stands in the protocol's vectors stays as it is: frozen_vectors.json has a digest of each case."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

FROZEN: dict[str, dict[str, str]] = json.loads(
    Path(__file__).with_name("frozen_vectors.json").read_text(encoding="utf-8")
)
LEAVE_IT = "is not what it was. Who was away for a month still speaks so: leave it, and add a new case, or a new version of the file (PROTOCOL.md, 10)."


def digests(file: str) -> dict[str, str]:
    """By the name of a case, or by its place in a list where it has none."""
    vectors = json.loads(Path("sync/vectors", file).read_text(encoding="utf-8"))
    found: dict[str, Any] = {}
    for part, value in vectors.items() if isinstance(vectors, dict) else [("cases", vectors)]:
        if isinstance(value, list):
            found |= {named(part, place, each): each for place, each in enumerate(value)}
        else:
            found[part] = value
    return {name: digest(value) for name, value in found.items()}


def named(part: str, place: int, value: Any) -> str:
    return str(value["name"]) if part == "cases" else f"{part} {place}"


def digest(value: Any) -> str:
    """Of its content, in its order; a file may be laid out anew."""
    written = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(written.encode()).hexdigest()[:16]


@pytest.mark.parametrize("file", FROZEN)
def test_a_case_that_stands_is_never_changed(file: str) -> None:
    found = digests(file)

    changed = [name for name, before in FROZEN[file].items() if found.get(name) != before]

    assert not changed, f"sync/vectors/{file}: {changed} {LEAVE_IT}"


@pytest.mark.parametrize("file", FROZEN)
def test_a_new_case_is_frozen_as_soon_as_it_stands(file: str) -> None:
    new = {name: digest for name, digest in digests(file).items() if name not in FROZEN[file]}

    assert not new, f"say so in tests/sync/frozen_vectors.json: {json.dumps(new, ensure_ascii=False)}"


def test_a_changed_case_is_noticed() -> None:
    case = {"name": "a case", "answer": {"epoch": "epoch-1", "results": []}}
    other = {"name": "a case", "answer": {"epoch": "epoch-1", "results": [[]]}}

    assert digest(case) != digest(other)
    assert digest(json.loads(json.dumps(case, indent=1))) == digest(case)
