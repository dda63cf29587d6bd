"""What a phone lets go of when a page makes it too much."""

from typing import Any

import pytest

from tests.javascript import JavaScript

OUTLIVED = "(held, page) => [...outlived([{ records: held }], page)]"


def visit(number: int, **fields: Any) -> dict[str, Any]:
    return {"id": f"visit {number}", "kind": "visit", "scope_id": "door", "made_at": number, "is_void": False, **fields}


@pytest.mark.parametrize(
    ("fields", "is_kept"),
    [
        ({}, False),
        ({"review_state": "approved"}, False),
        ({"review_state": "sent_back"}, True),
        ({"review_state": "sent_back", "review_outdated": True}, False),
        ({"review_state": "sent_back", "is_void": True}, False),
    ],
)
def test_of_older_visits_only_one_that_waits_for_its_author_stays(fields: dict[str, Any], is_kept: bool) -> None:
    """As the server sends them: one that was answered or withdrawn stayed with its health notes until the list was filled anew."""
    phone = JavaScript("sync/grouping.js", "sync/holdings.js", "store/replica.js")
    held = [visit(0, **fields), visit(1), visit(2)]

    assert phone.call(OUTLIVED, held, [visit(3)]) == ([] if is_kept else ["visit 0"])
