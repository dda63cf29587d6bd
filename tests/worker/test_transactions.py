"""Inside a transaction only the database is awaited: anything else ends it too early (RELIABILITY.md P3)."""

import re

import pytest

from tests.javascript import STATIC

STORES = sorted(path.name for path in (STATIC / "store").glob("*.js"))
OPENING = re.compile(r"async \(transaction\) => \{")
AWAITED = re.compile(r"\bawait\b\s*([^;]*)")
OF_THE_DATABASE = re.compile(r"\(?(requested\(|Promise\.all\(\[\s*requested\()")


def bodies(source: str) -> list[str]:
    found = []
    for opening in OPENING.finditer(source):
        depth, end = 1, opening.end()
        while depth:
            depth += {"{": 1, "}": -1}.get(source[end], 0)
            end += 1
        found.append(source[opening.end() : end])
    return found


@pytest.mark.parametrize("name", STORES)
def test_p03_a_transaction_awaits_nothing_but_its_own_requests(name: str) -> None:
    awaited = [what for body in bodies((STATIC / "store" / name).read_text()) for what in AWAITED.findall(body)]

    assert [what for what in awaited if not OF_THE_DATABASE.match(what)] == []


def test_p03_the_check_sees_the_transactions_there_are_and_a_foreign_await() -> None:
    assert sum(len(bodies((STATIC / "store" / name).read_text())) for name in STORES) >= 8
    (body,) = bodies("write(async (transaction) => { const sealed = await seal(text); store.put(sealed); })")
    assert not OF_THE_DATABASE.match(AWAITED.findall(body)[0])
