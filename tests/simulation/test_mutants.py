"""The seeded-bug score: forty wrong systems, each named after a real incident, each caught; and the right one passes.

The seed that is known to catch a mutant comes first; when the simulator has changed since, the next ones are tried.
`./linli bench simulation --mutants 2000` counts on how many of 2,000 seeds each is caught.
"""

import pytest

from tests.simulation.histories import run_history, run_seed
from tests.simulation.mutants import BY_NAME, MUTANTS
from tests.simulation.options import expand

KNOWN_SEEDS = {
    "check_then_insert": 3,
    "cursor_over_sequence_gap": 9,
    "ack_before_commit": 4,
    "checkpoint_ahead": 12,
    "batch_413_never_shrinks": 2,
    "no_local_purge": 3,
    "cut_body_counts_as_answer": 1,
    "old_generation_stays": 63,
    "too_big_is_dropped": 7,
    "lost_update": 1,
    "revoked_device_refused": 3,
    "withdrawal_not_in_feed": 3,
}
OTHER_SEEDS = range(200)


def catches(name: str, seed: int) -> bool:
    mutant = BY_NAME[name]
    return bool(run_history(expand(seed, mutant=mutant.phone), mutant.central).problems)


def assert_caught(name: str) -> None:
    seeds = (KNOWN_SEEDS.get(name, 0), *OTHER_SEEDS)
    caught_by = next((seed for seed in seeds if catches(name, seed)), None)

    assert caught_by is not None
    assert run_seed(caught_by).problems == []


def test_mutants_are_named_once() -> None:
    assert len(BY_NAME) == len(MUTANTS) > FORTY


FORTY = 40


def test_mutant_01_delete_before_ack() -> None:
    """workbox#2599: removes the entry before the fetch"""
    assert_caught("delete_before_ack")


def test_mutant_02_no_dedupe() -> None:
    """formhub#678: one form became ten"""
    assert_caught("no_dedupe")


def test_mutant_03_check_then_insert() -> None:
    """kobocat#470, kpi#5047: check-then-insert race"""
    assert_caught("check_then_insert")


def test_mutant_04_relaxed_durability() -> None:
    """localForage#154, every browser's default: success before the disk has it"""
    assert_caught("relaxed_durability")


def test_mutant_05_poison_blocks_queue() -> None:
    """powersync-swift#179, cht-core#6143: one bad row stops all"""
    assert_caught("poison_blocks_queue")


def test_mutant_06_cursor_over_sequence_gap() -> None:
    """Kinto, BIGSERIAL cursors: a later commit with an earlier place"""
    assert_caught("cursor_over_sequence_gap")


def test_mutant_07_cursor_by_clock() -> None:
    """rxdb#3393: a cursor by updatedAt skips documents"""
    assert_caught("cursor_by_clock")


def test_mutant_08_purge_unsynced() -> None:
    """ndb-core#4198: the permission purge destroys unsynced data"""
    assert_caught("purge_unsynced")


def test_mutant_09_ack_before_commit() -> None:
    """cht-core#8764: created, acknowledged, missing"""
    assert_caught("ack_before_commit")


def test_mutant_10_drop_forbidden() -> None:
    """cht-core#8186: refused documents are stored nowhere"""
    assert_caught("drop_forbidden")


def test_mutant_11_restore_without_resend() -> None:
    """cht-core#8093: restored from a backup, never sent again"""
    assert_caught("restore_without_resend")


def test_mutant_12_checkpoint_ahead() -> None:
    """pouchdb#1240: the checkpoint is written before the documents"""
    assert_caught("checkpoint_ahead")


def test_mutant_13_batch_413_never_shrinks() -> None:
    """cht-core#6143, pouchdb#4210: the user can never recover"""
    assert_caught("batch_413_never_shrinks")


def test_mutant_14_unscoped_pull() -> None:
    """cht-core#2733: any user reads any other's"""
    assert_caught("unscoped_pull")


def test_mutant_15_no_local_purge() -> None:
    """collect#1129: sensitive data stayed on phones"""
    assert_caught("no_local_purge")


def test_mutant_16_epoch_not_in_ack() -> None:
    """RELIABILITY 0.5: an acknowledgement from before the restore arrives after it"""
    assert_caught("epoch_not_in_ack")


def test_mutant_17_html_counts_as_answer() -> None:
    """captive portals: 200 with a page of their own"""
    assert_caught("html_counts_as_answer")


def test_mutant_18_http_500_counts_as_sent() -> None:
    """workbox v7.2.0: any HTTP answer is success"""
    assert_caught("http_500_counts_as_sent")


def test_mutant_19_seven_day_expiry() -> None:
    """workbox v7.2.0: entries older than seven days are dropped"""
    assert_caught("seven_day_expiry")


def test_mutant_20_same_id_other_content_dropped() -> None:
    """collect#2175: edited while uploading"""
    assert_caught("same_id_other_content_dropped")


def test_mutant_21_delete_after_failed_send() -> None:
    """getodk#1017: forms deleted after a send that had failed"""
    assert_caught("delete_after_failed_send")


def test_mutant_22_cut_body_counts_as_answer() -> None:
    """commcare-hq#19662: a truncated answer is taken for one"""
    assert_caught("cut_body_counts_as_answer")


def test_mutant_23_timeout_counts_as_sent() -> None:
    """ndb-core#4178: a push dropped with no error"""
    assert_caught("timeout_counts_as_sent")


def test_mutant_24_reset_clears_outbox() -> None:
    """cht-core#7419, collect#6475: a fresh start throws away what waits"""
    assert_caught("reset_clears_outbox")


def test_mutant_25_old_generation_stays() -> None:
    """couchdb#3788: sequences that rewind leave ghosts"""
    assert_caught("old_generation_stays")


def test_mutant_26_acknowledged_not_kept() -> None:
    """commcare-android#1110: nothing left to send again"""
    assert_caught("acknowledged_not_kept")


def test_mutant_27_held_is_deleted() -> None:
    """commcare-android#2289: quarantine became deletion"""
    assert_caught("held_is_deleted")


def test_mutant_28_too_big_is_dropped() -> None:
    """couchdb#1734: the over-size document is skipped in silence"""
    assert_caught("too_big_is_dropped")


def test_mutant_29_success_before_commit() -> None:
    """localForage PR#313: success before commit"""
    assert_caught("success_before_commit")


def test_mutant_30_sequence_apart_from_entry() -> None:
    """collect#6522: a crash between two writes"""
    assert_caught("sequence_apart_from_entry")


def test_mutant_31_edit_in_flight_rewrites() -> None:
    """kinto.js#788, WatermelonDB#1374: an edit rewrites what is on its way"""
    assert_caught("edit_in_flight_rewrites")


def test_mutant_32_id_made_at_sending() -> None:
    """collect#3517, aggregate#331: no id until it is sent"""
    assert_caught("id_made_at_sending")


def test_mutant_33_grant_not_in_feed() -> None:
    """WatermelonDB#1264: older than the cursor, never pulled"""
    assert_caught("grant_not_in_feed")


def test_mutant_34_page_end_is_head() -> None:
    """pouchdb#1240: the cursor passes what the page left out"""
    assert_caught("page_end_is_head")


def test_mutant_35_lost_update() -> None:
    """SORMAS#300: two users on one case"""
    assert_caught("lost_update")


def test_mutant_36_revoked_device_refused() -> None:
    """cht-core#11306: 403 for ever"""
    assert_caught("revoked_device_refused")


def test_mutant_37_revoked_device_reads() -> None:
    """cht-core#1689: yesterday's user still sees"""
    assert_caught("revoked_device_reads")


def test_mutant_38_clock_guard() -> None:
    """evolu#709: a clock guard locks a phone out for ever"""
    assert_caught("clock_guard")


def test_mutant_39_epoch_stays_after_restore() -> None:
    """cht-core#8093: nobody can tell that the server went back"""
    assert_caught("epoch_stays_after_restore")


def test_mutant_40_needs_opened_again() -> None:
    """collect#3391: 1,006 forms became 1,514 rows"""
    assert_caught("needs_opened_again")


@pytest.mark.parametrize("name", [mutant.name for mutant in MUTANTS[FORTY:]])
def test_further_mutant(name: str) -> None:
    assert_caught(name)
