"""The phone's half of PROTOCOL.md, 8: what it keeps of a photo, and what it does at each answer of the server.

The modules run as they are served, over the browser's own IndexedDB; the server is a list of answers.
"""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Playwright

from tests.browser.modules import LOST_FILES, open_empty, run_with

pytestmark = pytest.mark.browser

Reply = dict[str, Any]

LENGTH = 300_000
KIB = 1024
DAY_MS = 24 * 60 * 60 * 1000
KIT = """
const { Blobs } = await import("/static/store/blobs.js");
const { Vault } = await import("/static/store/vault.js");
const vault = new Vault();
const { Pieces, runUploads } = await import("/static/sync/uploads.js");
const made = (length, first = 1) => Uint8Array.from({ length }, (_, place) => (first + place * 7) % 256).buffer;
const blobs = new Blobs(vault);
const row = async () => (await new Blobs(vault).all())[0];
"""
UPLOAD = """
const { sha256 } = await blobs.keep(made(given.length), "photo");
const asked = [];
const replies = [...given.replies];
const pieces = new Pieces();
const send = async ({ method, path, place = "", headers = {}, body }) => {
  const offset = Number(headers["Upload-Offset"] ?? 0);
  const isRight = !body || new Uint8Array(made(given.length), offset, body.length).every((byte, at) => byte === body[at]);
  asked.push([method, path === `/sync/blobs/${sha256}`, place, body?.length ?? null, isRight]);
  const reply = replies.shift();
  if (!reply) throw Object.assign(new Error(), { name: "TypeError" });
  if (reply.error) throw Object.assign(new Error(), { name: reply.error });
  return { status: reply.status, text: reply.text ?? "", retry_after_ms: reply.retry ?? null, headers: new Headers(reply.headers) };
};
const end = await runUploads({ blobs, send, pieces, now: () => 1, at: given.at ?? 5, isStopped: () => asked.length >= (given.stop ?? 100) });
const { state, epoch, whole_at, code, words } = await row();
return { end, asked: asked.map(([method, isPath, ...rest]) => [isPath && method, ...rest]), size: pieces.size, kept: { state, epoch, whole_at, code, words } };
"""


def run(page: Page, script: str, given: Any = None) -> Any:
    return run_with(page, KIT + script, given)


def upload(page: Page, *replies: Reply, length: int = LENGTH, **given: Any) -> Any:
    return run(page, UPLOAD, {"length": length, "replies": replies, **given})


def stands(offset: int, *, status: int = 204, complete: bool = False, epoch: str = "one") -> Reply:
    headers = {"Upload-Offset": str(offset), "Upload-Complete": "?1" if complete else "?0", "Linli-Epoch": epoch}
    return {"status": status, "headers": headers}


def refused(status: int, code: str, *, retry: int | None = None) -> Reply:
    text = f'{{"code": "{code}", "message": "words", "retry": false}}'
    return {"status": status, "text": text, "retry": retry, "headers": {}}


def pieces(found: Any) -> list[tuple[int, int]]:
    """Offset and bytes of each piece; every one named the right place and carried the right bytes."""
    sent = []
    for method, place, size, is_right in found["asked"]:
        if method == "PATCH":
            offset, _, length = place.strip().partition("/")
            assert (is_right, int(length)) == (True, LENGTH)
            sent.append((int(offset), size))
    return sent


HEAD = stands(0, status=200)
WHOLE = stands(LENGTH, complete=True)
WAITING = {"state": "waiting", "epoch": "", "whole_at": 0, "code": "", "words": ""}


# Going up


def test_pieces_grow_up_to_the_limit_and_the_last_one_makes_it_whole(page: Page) -> None:
    found = upload(page, HEAD, stands(65_536), stands(196_608), WHOLE)

    assert found["asked"][0] == ["HEAD", "", None, True]
    assert pieces(found) == [(0, 65_536), (65_536, 131_072), (196_608, LENGTH - 196_608)]
    assert found["size"] == 256 * KIB
    assert found["end"] == {"reason": "", "retry_after_ms": None}
    assert found["kept"] == WAITING | {"state": "whole", "epoch": "one", "whole_at": 5}


def test_it_goes_on_where_the_server_stands(page: Page) -> None:
    assert pieces(upload(page, stands(250_000, status=200), WHOLE)) == [(250_000, 50_000)]


def test_what_the_server_has_already_is_not_sent(page: Page) -> None:
    found = upload(page, stands(LENGTH, status=200, complete=True))

    assert (pieces(found), found["kept"]["state"]) == ([], "whole")


def test_an_upload_that_was_stopped_at_its_very_end_is_finished_with_nothing(page: Page) -> None:
    found = upload(page, stands(LENGTH, status=200), WHOLE)

    assert (pieces(found), found["kept"]["state"]) == ([(LENGTH, 0)], "whole")


def test_a_wrong_offset_is_put_right(page: Page) -> None:
    wrong = refused(409, "wrong_offset") | {"headers": {"Upload-Offset": "100000", "Upload-Length": str(LENGTH)}}

    assert [offset for offset, _ in pieces(upload(page, HEAD, wrong, WHOLE))] == [0, 100_000]


def test_too_large_a_piece_gets_smaller(page: Page) -> None:
    found = upload(page, HEAD, refused(413, "too_large"), refused(413, "too_large"), stands(16_384))

    assert pieces(found)[:3] == [(0, 65_536), (0, 32_768), (0, 16_384)]


def test_a_piece_that_is_too_large_for_a_proxy_gets_smaller(page: Page) -> None:
    found = upload(page, HEAD, {"status": 413, "text": "<h1>Request Entity Too Large</h1>"}, stands(32_768))

    assert pieces(found)[:2] == [(0, 65_536), (0, 32_768)]


def test_a_piece_that_never_fits_ends_the_run(page: Page) -> None:
    found = upload(page, HEAD, *[refused(413, "too_large")] * 10)

    assert pieces(found)[-1] == (0, 8 * KIB)
    assert (found["end"]["reason"], found["kept"]) == ("stuck", WAITING)


def test_a_photo_that_cannot_move_keeps_no_other_from_being_tried(page: Page) -> None:
    script = """
    for (const first of [1, 2, 3, 4]) await blobs.keep(made(2000, first), "photo");
    await blobs.keep(made(20_000), "photo");
    const send = async ({ method, headers: { "Upload-Length": length } = {}, body }) => {
      if (length > 2000) return { status: 413, text: "<h1>Request Entity Too Large</h1>", headers: new Headers() };
      const isWhole = method === "PATCH";
      const headers = { "Upload-Offset": isWhole ? length : "0", "Upload-Complete": isWhole ? "?1" : "?0", "Linli-Epoch": "one" };
      return { status: isWhole ? 204 : 200, text: "", retry_after_ms: null, headers: new Headers(headers) };
    };
    const { reason } = await runUploads({ blobs, send, pieces: new Pieces(), now: () => 1, at: 5, isStopped: () => false });
    return [reason, (await blobs.all()).map(({ state, length }) => [length, state]).sort()];
    """

    assert run(page, script) == ["stuck", [[2000, "whole"]] * 4 + [[20_000, "waiting"]]]


@pytest.mark.parametrize("reply", [refused(503, "busy"), {"status": 502, "headers": {}}, {"error": "TimeoutError"}])
def test_what_is_said_of_the_way_or_the_server_ends_the_run(page: Page, reply: Reply) -> None:
    script = "await blobs.keep(made(2000, 2), 'photo');" + UPLOAD

    found = run(page, script, {"length": LENGTH, "replies": [HEAD, reply]})

    assert len(found["asked"]) == 2


def test_bytes_damaged_on_the_way_start_over(page: Page) -> None:
    found = upload(page, stands(250_000, status=200), refused(422, "wrong_hash"), stands(65_536))

    assert pieces(found)[:2] == [(250_000, 50_000), (0, 65_536)]


# What became of the sealed bytes of a photo on this phone.
DAMAGE = {
    "altered": "new Uint8Array(kept.sealed)[100] ^= 1; bytes.put(kept, sha256);",
    "cut short": "bytes.put({ sealed: kept.sealed.slice(0, 1000) }, sha256);",
    "another's": "bytes.put({ sealed: other }, sha256);",
    "gone": "bytes.delete(sha256);",
}


DAMAGED = """
const { sha256 } = await blobs.keep(made(2000), "photo");
const other = await vault.sealPhoto(made(1999), `photo\\n${sha256}`);
const damage = async () => {
  const database = await new Promise((resolve) => {
    indexedDB.open("linli-blobs", 1).onsuccess = ({ target }) => resolve(target.result);
  });
  const transaction = database.transaction("bytes", "readwrite");
  const bytes = transaction.objectStore("bytes");
  bytes.get(sha256).onsuccess = ({ target: { result: kept } }) => { DAMAGE };
  await new Promise((resolve) => (transaction.oncomplete = resolve));
  database.close();
};
const asked = [];
const send = async ({ method, path, body }) => {
  const isWhole = method === "PATCH";
  if (isWhole) asked.push([path.slice("/sync/blobs/".length), body.join() === new Uint8Array(made(2000)).join()]);
  const headers = { "Upload-Offset": isWhole ? "2000" : "0", "Upload-Complete": isWhole ? "?1" : "?0", "Linli-Epoch": "one" };
  return { status: isWhole ? 204 : 200, text: "", retry_after_ms: null, headers: new Headers(headers) };
};
const sendAll = () =>
  runUploads({ blobs: new Blobs(vault), send, pieces: new Pieces(), now: () => 1, at: 5, isStopped: () => false });
const said = async () => {
  const all = await new Blobs(vault).all();
  return Object.fromEntries(all.map(({ sha256, state, epoch, whole_at, code }) => [sha256, [state, epoch, whole_at, code]]));
};
"""


@pytest.mark.parametrize("damage", DAMAGE)
def test_p16_a_photo_that_is_damaged_on_the_phone_is_said_and_holds_up_no_other(page: Page, damage: str) -> None:
    script = """
    const whole = await blobs.keep(made(2000, 2), "photo");
    await damage();
    const { reason } = await sendAll();
    const kept = await said();
    return [reason, asked.map(([sent]) => sent === whole.sha256), kept[sha256], kept[whole.sha256]];
    """

    found = run(page, DAMAGED.replace("DAMAGE", DAMAGE[damage]) + script)

    assert found == ["", [True], ["refused", "", 0, "damaged"], ["whole", "one", 5, ""]]


@pytest.mark.parametrize(("damage", "state"), [("gone", "refused"), ("cut short", "waiting")])
def test_p19_a_photo_whose_file_the_phone_lost_holds_up_no_other(
    playwright: Playwright, shell: str, tmp_path: Path, damage: str, state: str
) -> None:
    """Of a file that is cut short the browser says only that it could not be read: it may be the next time."""
    keeping = "return (await blobs.keep(made(given), 'photo')).sha256;"
    sending = """
    const send = async ({ method, headers: { "Upload-Length": length = 0 } = {} }) => {
      const isWhole = method === "PATCH";
      const headers = { "Upload-Offset": isWhole ? length : "0", "Upload-Complete": isWhole ? "?1" : "?0", "Linli-Epoch": "one" };
      return { status: isWhole ? 204 : 200, text: "", retry_after_ms: null, headers: new Headers(headers) };
    };
    await runUploads({ blobs, send, pieces: new Pieces(), now: () => 1, at: 5, isStopped: () => false }).catch(() => {});
    await blobs.sealOld();
    return Object.fromEntries((await new Blobs(vault).all()).map(({ sha256, state }) => [sha256, state]));
    """
    profile = tmp_path / "profile"
    with playwright.chromium.launch_persistent_context(profile, executable_path=shell) as before:
        open_empty(before.pages[0])
        lengths = {run(before.pages[0], keeping, length): length for length in (150_000, 200_000)}
    first, second = sorted(lengths)  # as they go up
    files = [file for file in profile.glob("**/*.blob/**/*") if file.is_file()]
    LOST_FILES[damage](min(files, key=lambda file: abs(file.stat().st_size - lengths[first])))

    with playwright.chromium.launch_persistent_context(profile, executable_path=shell) as after:
        open_empty(after.pages[0])
        assert run(after.pages[0], sending) == {first: state, second: "whole"}


@pytest.mark.parametrize("is_said", [True, False])
@pytest.mark.parametrize("damage", DAMAGE)
def test_p16_a_damaged_photo_that_is_chosen_again_goes_up(page: Page, damage: str, is_said: bool) -> None:
    """Before or after the phone has seen that it is damaged."""
    script = """
    await damage();
    if (given) await sendAll();
    const again = await blobs.keep(made(2000), "photo");
    const kept = await said();
    await sendAll();
    return [again.sha256 === sha256, kept[sha256], asked.map(([sent, isSound]) => sent === sha256 && isSound), (await said())[sha256]];
    """

    found = run(page, DAMAGED.replace("DAMAGE", DAMAGE[damage]) + script, is_said)

    assert found == [True, ["waiting", "", 0, ""], [True], ["whole", "one", 5, ""]]


@pytest.mark.parametrize("damage", DAMAGE)
def test_p16_a_photo_that_went_up_and_was_damaged_since_is_there_again_when_chosen_again(
    page: Page, damage: str
) -> None:
    script = """
    await sendAll();
    await damage();
    await blobs.keep(made(2000), "photo");
    const bytes = new Uint8Array(await blobs.bytes(sha256));
    return [bytes.join() === new Uint8Array(made(2000)).join(), asked.length, (await said())[sha256]];
    """

    found = run(page, DAMAGED.replace("DAMAGE", DAMAGE[damage]) + script)

    assert found == [True, 1, ["whole", "one", 5, ""]]


def test_a_time_out_makes_the_next_piece_smaller_and_ends_the_run(page: Page) -> None:
    found = upload(page, HEAD, {"error": "TimeoutError"})

    assert (found["size"], found["end"]["reason"], found["kept"]) == (32_768, "timeout", WAITING)


@pytest.mark.parametrize(("status", "code"), [(415, "unsupported_type"), (413, "blob_too_large")])
def test_what_the_server_will_not_have_is_not_offered_again(page: Page, status: int, code: str) -> None:
    found = upload(page, HEAD, refused(status, code))

    assert found["end"]["reason"] == ""
    assert found["kept"] == WAITING | {"state": "refused", "code": code, "words": "words"}


@pytest.mark.parametrize("code", ["unsupported_type", "blob_too_large"])
def test_what_the_server_will_not_have_is_not_offered_when_chosen_again(page: Page, code: str) -> None:
    script = """
    const { sha256 } = await blobs.keep(made(1000), "photo");
    await blobs.refuse(sha256, { code: given, words: "words" });
    await blobs.keep(made(1000), "photo");
    const { state, epoch, whole_at, code, words } = await row();
    return { state, epoch, whole_at, code, words };
    """

    assert run(page, script, code) == WAITING | {"state": "refused", "code": code, "words": "words"}


@pytest.mark.parametrize(("status", "code"), [(429, "too_many_unfinished"), (503, "busy"), (401, "unknown_device")])
def test_what_the_server_puts_off_keeps_waiting(page: Page, status: int, code: str) -> None:
    found = upload(page, HEAD, refused(status, code, retry=7000))

    assert found["end"] == {"reason": "refused", "retry_after_ms": 7000}
    assert found["kept"] == WAITING


@pytest.mark.parametrize(
    "reply",
    [
        {"status": 200, "text": "<h1>Hotel</h1>", "headers": {}},
        {"status": 415, "text": "<h1>Unsupported Media Type</h1>"},
        {"status": 204, "headers": {"Upload-Offset": str(LENGTH), "Upload-Complete": "?1"}},
        stands(LENGTH, complete=True, epoch=""),
        stands(LENGTH + 1, complete=True),
        stands(-1),
    ],
)
def test_what_is_no_answer_of_ours_makes_nothing_whole(page: Page, reply: Reply) -> None:
    for replies in ([reply], [HEAD, reply]):
        found = upload(page, *replies)

        assert (found["end"]["reason"], found["kept"]) == ("foreign", WAITING)


def test_a_server_that_never_gets_further_is_left(page: Page) -> None:
    found = upload(page, HEAD, *[stands(0)] * 50)

    assert len(pieces(found)) <= 8
    assert found["kept"] == WAITING


def test_text_that_waits_stops_it_between_two_pieces(page: Page) -> None:
    found = upload(page, HEAD, stands(65_536), WHOLE, stop=2)

    assert (len(pieces(found)), found["end"]["reason"]) == (1, "stopped")


# Keeping


def test_what_is_kept_is_there_for_a_new_worker_once(page: Page) -> None:
    found = run(
        page,
        """
        const twice = [await blobs.keep(made(1000), "photo"), await blobs.keep(made(1000), "photo")];
        const other = new Blobs(vault);
        const bytes = new Uint8Array(await other.bytes(twice[0].sha256));
        return [twice, (await other.all()).length, bytes.join() === new Uint8Array(made(1000)).join()];
        """,
    )

    (first, second), count, is_equal = found
    assert first == second
    assert (first["length"], first["kind"], len(first["sha256"]), count, is_equal) == (1000, "photo", 64, 1, True)


@pytest.mark.parametrize("length", [0, 5 * KIB * KIB + 1])
def test_what_no_server_takes_is_not_kept(page: Page, length: int) -> None:
    script = "return blobs.keep(new ArrayBuffer(given), 'photo').then(() => 'kept', (error) => error.name);"

    assert run(page, script, length) == "RangeError"
    assert run(page, "return blobs.all();") == []


def test_every_write_is_strict(page: Page) -> None:
    found = run(
        page,
        """
        const made_with = [];
        const transaction = IDBDatabase.prototype.transaction;
        IDBDatabase.prototype.transaction = function (stores, mode, options) {
          if (mode === "readwrite") made_with.push(options.durability);
          return transaction.call(this, stores, mode, options);
        };
        const { sha256 } = await blobs.keep(made(10), "voice");
        await blobs.settle(sha256, { epoch: "one", now: 1 });
        return made_with;
        """,
    )

    assert found == ["strict"] * 3  # the first one is the vault's, which makes its keys


KEPT_WHOLE = """
const { sha256 } = await blobs.keep(made(10), "photo");
await blobs.settle(sha256, { epoch: "one", now: 1000, phoneNow: 1000 });
"""


def test_another_epoch_asks_after_it_again(page: Page) -> None:
    script = """
    await blobs.reoffer("one");
    const before = (await row()).state;
    await blobs.reoffer("two");
    return [before, (await row()).state];
    """

    found = run(page, KEPT_WHOLE + script)

    assert found == ["whole", "waiting"]


def test_bytes_are_kept_thirty_days_of_both_clocks(page: Page) -> None:
    script = """
    const counts = [];
    for (const when of given) {
      await blobs.forget(when);
      counts.push((await new Blobs(vault).all()).length, (await blobs.bytes(sha256)) ? 1 : 0);
    }
    return counts;
    """
    late = 1000 + 30 * DAY_MS
    when = [
        {"epoch": "one", "now": late, "phoneNow": late + 1},
        {"epoch": "two", "now": late + 1, "phoneNow": late + 1},
        {"epoch": "one", "now": late + 1, "phoneNow": late},
        {"epoch": "one", "now": late + 1, "phoneNow": late + 1},
    ]

    assert run(page, KEPT_WHOLE + script, when) == [1, 1, 1, 1, 1, 1, 0, 0]


def test_what_waits_or_was_refused_is_never_forgotten(page: Page) -> None:
    script = """
    const { sha256 } = await blobs.keep(made(10), "photo");
    await blobs.keep(made(11), "photo");
    await blobs.refuse(sha256, { code: "unsupported_type", words: "" });
    await blobs.forget({ epoch: "one", now: Number.MAX_SAFE_INTEGER, phoneNow: Number.MAX_SAFE_INTEGER });
    return (await blobs.all()).map(({ state }) => state).sort();
    """

    assert run(page, script) == ["refused", "waiting"]
