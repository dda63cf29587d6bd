"""sync/vectors/columns.json: what the server packs, both hosts read back."""

import json
from pathlib import Path
from typing import Any

import pytest

from sync.columns import from_columns, is_sparse, to_columns
from tests.javascript import JavaScript

CASES = json.loads(Path("sync/vectors/columns.json").read_text(encoding="utf-8"))["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_both_hosts_read_what_is_packed(case: Any) -> None:
    assert to_columns(case["records"]) == case["columns"]
    assert from_columns(case["columns"]) == case["records"]
    assert JavaScript("sync/columns.js").call("fromColumns", case["columns"]) == case["records"]


def test_null_is_what_a_record_does_not_have() -> None:
    record = {"note": None, "kind": "visit", "id": "0192a000-0000-7000-8000-000000001001"}

    read = from_columns(to_columns({"visit": [record]}))

    assert read == {"visit": [{"kind": "visit", "id": record["id"]}]}


def test_records_with_names_of_their_own_are_no_columns() -> None:
    """A thousand records of sixty fields that no other has would be sixty million places."""
    odd = [
        {"kind": "outing", "id": f"{number}", **{f"f{number}_{nth}": 1 for nth in range(50)}} for number in range(30)
    ]
    usual = [{"kind": "visit", "id": f"{number}", "note": "x"} for number in range(100)]

    assert is_sparse({"outing": odd, "visit": usual})
    assert not is_sparse({"visit": usual})
    assert not is_sparse({})


def test_a_column_that_is_cut_short_is_no_null() -> None:
    packed = to_columns(CASES[0]["records"])
    values = next(iter(packed["kinds"].values()))["values"]
    next(iter(values.values())).pop()

    with pytest.raises(ValueError, match="shorter"):
        from_columns(packed)
