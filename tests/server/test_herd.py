"""A small herd at every test run; `./linli bench herd` drives a thousand phones."""

from tests.bench.herd import measure


def test_a_hundred_phones_at_once_are_all_stored_once() -> None:
    found = measure(100, 5, idle_seconds=0.5)

    assert found.herd.failures == []
    assert (found.stored, found.changes) == (found.visits, found.visits)
    assert sum(found.herd.outcomes.values()) == found.visits
    assert found.herd.drained_seconds < 20
    assert found.peak_megabytes < 300
