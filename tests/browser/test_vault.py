"""What lies on the phone lies sealed: static/store/vault.js and the stores that use it, one promise a test."""

import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, Playwright

from tests.browser.modules import LOST_FILES, open_empty, run_with
from tests.browser.test_storage import KIT

pytestmark = pytest.mark.browser

VAULT_KIT = (
    KIT
    + """
const { Blobs } = await import("/static/store/blobs.js");
const { takeOverOlder } = await import("/static/store/older.js");
const canary = "示例：梧桐";
const rows = async (name, store) => {
  const database = await raw(name);
  const request = database.transaction(store).objectStore(store).getAll();
  return new Promise((resolve) => (request.onsuccess = () => (database.close(), resolve(request.result))));
};
const put = async (name, store, value, ...key) => {
  const database = await raw(name);
  const transaction = database.transaction(store, "readwrite");
  transaction.objectStore(store).put(value, ...key);
  return new Promise((resolve) => (transaction.oncomplete = () => (database.close(), resolve())));
};
/** Everything in it as text, bytes as letters. */
const textOf = (value) => {
  if (value instanceof ArrayBuffer) return new TextDecoder().decode(value);
  if (ArrayBuffer.isView(value)) return textOf(value.slice().buffer);
  return value && typeof value === "object" ? Object.values(value).map(textOf).join("|") : String(value);
};
const oldReplica = (records, checkpoint) => new Promise((resolve) => {
  const request = indexedDB.open("linli-replica", 1);
  request.onupgradeneeded = () => {
    request.result.createObjectStore("records", { keyPath: "id" });
    request.result.createObjectStore("state");
  };
  request.onsuccess = () => {
    const transaction = request.result.transaction(["records", "state"], "readwrite");
    for (const record of records) transaction.objectStore("records").put({ id: record.id, generation: 0, record });
    transaction.objectStore("state").put(checkpoint, "checkpoint");
    transaction.oncomplete = () => (request.result.close(), resolve());
  };
});
"""
)


def run(page: Page, script: str, given: Any = None) -> Any:
    return run_with(page, VAULT_KIT + script, given)


# Keys


def test_no_key_of_the_phone_can_be_exported(page: Page) -> None:
    found = run(
        page,
        """
        await vault.setPin("", "2580");
        const [keys] = await rows("linli-vault", "keys");
        const held = await vault.keyToHold();
        return [keys.device, keys.photos, held].map(({ extractable }) => extractable).concat(keys.rounds);
        """,
    )

    assert found == [False, False, False, 600_000]


def test_what_was_sealed_opens_for_a_new_worker_and_as_nothing_else(page: Page) -> None:
    found = run(
        page,
        """
        const sealed = await vault.seal({ note: canary }, "draft\\n1");
        const other = await new Vault().open(sealed, "draft\\n2").catch(({ name }) => name);
        return [await new Vault().open(sealed, "draft\\n1"), other, textOf(sealed).includes(canary)];
        """,
    )

    assert found == [{"note": "示例：梧桐"}, "OperationError", False]


def test_with_a_pin_a_new_worker_is_locked_until_it_is_typed(page: Page) -> None:
    found = run(
        page,
        """
        const sealed = await vault.seal(1, "x");
        const set = await vault.setPin("", "2580");
        const next = new Vault();
        const before = [await vault.isLocked(), await next.isLocked(), await next.open(sealed, "x").catch(({ name }) => name)];
        const wrong = await next.unlock("2581");
        const right = await next.unlock("2580");
        return [set.isOpen, before, wrong, right, await next.open(sealed, "x")];
        """,
    )

    assert found == [
        True,
        [False, True, "LockedError"],
        {"isOpen": False, "left": 9},
        {"isOpen": True, "left": 10},
        1,
    ]


def test_a_page_gives_the_key_back_and_a_wrong_one_is_not_taken(page: Page) -> None:
    found = run(
        page,
        """
        const sealed = await vault.seal(1, "x");
        await vault.setPin("", "2580");
        const key = await vault.keyToHold();
        const other = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
        return [await new Vault(async () => key).open(sealed, "x"), await new Vault(async () => other).isLocked()];
        """,
    )

    assert found == [1, True]


def test_changing_and_removing_the_pin_asks_for_the_old_one_and_keeps_what_is_sealed(page: Page) -> None:
    found = run(
        page,
        """
        const sealed = await vault.seal(1, "x");
        await vault.setPin("", "2580");
        const refused = (await vault.setPin("1111", "9999")).isOpen;
        await vault.setPin("2580", "9999");
        const changed = [(await new Vault().unlock("2580")).isOpen, (await new Vault().unlock("9999")).isOpen];
        await vault.setPin("9999", "");
        return [refused, changed, await vault.hasPin(), await new Vault().open(sealed, "x")];
        """,
    )

    assert found == [False, [False, True], False, 1]


def test_wrong_pins_are_counted_over_workers_and_a_right_one_ends_the_count(page: Page) -> None:
    found = run(
        page,
        """
        await vault.setPin("", "2580");
        const left = [];
        for (const pin of ["1", "2", "3"]) left.push((await new Vault().unlock(pin)).left);
        await new Vault().unlock("2580");
        left.push((await new Vault().unlock("4")).left);
        return left;
        """,
    )

    assert found == [9, 8, 7, 9]


def test_tries_at_once_are_counted_one_by_one(page: Page) -> None:
    found = run(
        page,
        """
        await vault.setPin("", "2580");
        const all = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "0", "11", "12"].map((pin) => new Vault().unlock(pin));
        const left = (await Promise.all(all)).map(({ left }) => left);
        return left.sort((a, b) => a - b);
        """,
    )

    assert found == [0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_a_stopped_worker_buys_no_try(page: Page) -> None:
    """The try is counted in a transaction that is complete before the PIN is looked at."""
    found = run(
        page,
        """
        await vault.setPin("", "2580");
        const { deriveBits } = SubtleCrypto.prototype;
        SubtleCrypto.prototype.deriveBits = () => new Promise(() => {});
        void new Vault().unlock("1");
        const wrong = async () => (await rows("linli-vault", "keys"))[0].wrong;
        while ((await wrong()) === 0) await new Promise((resolve) => setTimeout(resolve, 10));
        SubtleCrypto.prototype.deriveBits = deriveBits;
        return (await new Vault().unlock("1")).left;
        """,
    )

    assert found == 8


def test_ten_wrong_pins_destroy_the_copies_and_never_the_sealed_queue(page: Page) -> None:
    found = run(
        page,
        """
        const outbox = new Outbox(caches, vault);
        for (const name of ["a", "b", "c", "d", "e"]) await save(outbox, name);
        await new Replica(kinds, vault).apply(answer([record("a")]), { now: 1, asked: start });
        await vault.setPin("", "2580");
        let tried;
        for (let turn = 0; turn < 10; turn += 1) tried = await new Vault().unlock("0000");
        const late = await new Vault().unlock("2580");
        await new Vault().destroy();
        const entries = await new Outbox(caches, new Vault()).entries();
        const replica = new Replica(kinds, new Vault());
        return [
          tried,
          late.isOpen,
          entries.map(({ state, display, sealed }) => [state, display, new TextDecoder().decode(sealed)]),
          await replica.records("visit"),
          (await replica.checkpoint()).ready,
        ];
        """,
    )

    tried, is_open_late, entries, records, is_ready = found
    assert tried == {"isOpen": False, "left": 0}
    assert is_open_late is False
    assert entries == [["waiting", None, f"sealed {number}"] for number in range(1, 6)]
    assert (records, is_ready) == ([], False)


# Stores


def test_no_store_holds_clear_text(page: Page) -> None:
    found = run(
        page,
        """
        const outbox = new Outbox(caches, vault);
        await outbox.save([{ ...visit("a"), display: { kind: "visit", action: "put", set: { note: canary }, made_at: 1 } }], 1, sealOf);
        await outbox.saveDraft({ record_id: "r", change_id: "c", path: "/p", submitted: { note: [canary] }, at: 1 });
        const replica = new Replica(kinds, vault);
        await replica.apply(answer([record("a", { note: canary })]), await from(replica));
        const blobs = new Blobs(vault);
        await blobs.keep(new TextEncoder().encode(canary).buffer, "photo");
        const stores = {
          "linli-outbox": ["entries", "drafts", "device", "settings"],
          "linli-sealed-replica": ["blocks", "state"],
          "linli-blobs": ["blobs", "bytes"],
        };
        const found = [];
        for (const [name, its] of Object.entries(stores)) for (const store of its) {
          if (textOf(await rows(name, store)).includes(canary)) found.push(store);
        }
        const again = new Vault();
        return [found, [
          (await new Outbox(caches, again).entries())[0].display.set.note,
          (await new Outbox(caches, again).drafts())[0].submitted.note[0],
          (await new Replica(kinds, again).record("a")).note,
          textOf(await new Blobs(again).bytes((await blobs.all())[0].sha256)),
        ]];
        """,
    )

    assert found == [[], ["示例：梧桐"] * 4]


def test_replica_lies_in_blocks_of_a_hundred(page: Page) -> None:
    found = run(
        page,
        """
        const replica = new Replica(kinds, vault);
        const many = Array.from({ length: 250 }, (_, place) => record(`r${place}`, { scope_id: `home ${place}` }));
        await replica.apply(answer(many), await from(replica));
        const sealed = async () => (await rows("linli-sealed-replica", "blocks")).map(({ sealed }) => textOf(sealed));
        const before = await sealed();
        const changed = [record("r120", { scope_id: "home 120", note: "new" }), record("fresh")];
        await replica.apply(answer(changed, { cursor: "2." }), await from(replica));
        const after = await sealed();
        const opened = await new Replica(kinds, new Vault()).records("visit");
        return [before.length, after.map((block, place) => block === before[place]), opened.length,
          opened.filter(({ note }) => note === "new").map(({ id }) => id)];
        """,
    )

    assert found == [3, [True, False, False], 251, ["r120"]]


def test_page_that_was_sealed_for_a_state_that_is_gone_is_sealed_again(page: Page) -> None:
    found = run(
        page,
        """
        const [one, other] = [new Replica(kinds, vault), new Replica(kinds, vault)];
        await one.apply(answer([record("a")]), await from(one));
        await other.all();
        const asked = await one.checkpoint();
        // The same checkpoint, and another version of it.
        await one.apply(answer([record("b")]), { now: 1, asked });
        const applied = await other.apply(answer([record("c")]), { now: 2, asked });
        return [applied, (await new Replica(kinds, vault).all()).map(({ id }) => id).sort()];
        """,
    )

    assert found == [True, ["a", "b", "c"]]


def test_replica_whose_key_is_gone_is_begun_anew(page: Page) -> None:
    found = run(
        page,
        """
        const replica = new Replica(kinds, vault);
        await replica.apply(answer([record("a")]), await from(replica));
        await remove("linli-vault");
        const [now, key] = [2, new Vault()];
        const next = new Replica(kinds, key);
        const before = [(await next.all()).length, (await next.checkpoint()).ready];
        const applied = await next.apply(answer([record("b")]), { now, asked: await next.checkpoint() });
        return [before, applied, (await new Replica(kinds, key).all()).length];
        """,
    )

    assert found == [[0, False], True, 1]


@pytest.mark.parametrize("damage", LOST_FILES)
def test_p19_a_replica_of_which_a_block_is_damaged_is_begun_anew(
    playwright: Playwright, shell: str, tmp_path: Path, damage: str
) -> None:
    def open_browser() -> BrowserContext:
        return playwright.chromium.launch_persistent_context(str(tmp_path / "profile"), executable_path=shell)

    filling = """
    const replica = new Replica(kinds, vault);
    const page = Array.from({ length: given.count }, (_, n) => record(`r${n}`, { note: "x".repeat(1000) }));
    const isApplied = await replica.apply(answer(page, { reset: true }), await from(replica));
    return [isApplied, (await new Replica(kinds, vault).all()).length];
    """
    looking = "const { ready, cursor } = await new Replica(kinds, vault).checkpoint(); return [ready, cursor];"
    with open_browser() as before:
        open_empty(before.pages[0])
        assert run(before.pages[0], filling, {"count": 100}) == [True, 100]
    (block,) = [file for file in tmp_path.glob("profile/**/*.blob/**/*") if file.is_file()]
    LOST_FILES[damage](block)

    with open_browser() as after:
        open_empty(after.pages[0])
        assert run(after.pages[0], "return new Replica(kinds, vault).all();") == []
        assert run(after.pages[0], looking) == [False, ""]
        assert run(after.pages[0], filling, {"count": 2}) == [True, 2]


def test_visit_is_saved_and_answered_for_while_the_vault_is_locked(page: Page) -> None:
    found = run(
        page,
        """
        const before = new Outbox(caches, vault);
        await save(before, "a");
        await vault.setPin("", "2580");
        const locked = new Vault();
        const outbox = new Outbox(caches, locked);
        await save(outbox, "b");
        await outbox.settle([{ change_id: "change-a", state: "acknowledged", revision: 7, code: "" }], { epoch: "one", now: 1 });
        const shown = async () => (await outbox.entries()).map(({ state, display }) => [state, display?.set.note ?? null]);
        const shut = await shown();
        await locked.unlock("2580");
        outbox.refresh();
        return [shut, await shown()];
        """,
    )

    assert found == [
        [["acknowledged", None], ["waiting", None]],
        [["acknowledged", "a"], ["waiting", None]],
    ]


def test_photos_are_read_while_the_vault_is_locked_and_after_it_was_destroyed(page: Page) -> None:
    found = run(
        page,
        """
        const { sha256 } = await new Blobs(vault).keep(new TextEncoder().encode(canary).buffer, "photo");
        await vault.setPin("", "2580");
        const shut = new Vault();
        const read = async () => textOf(await new Blobs(shut).bytes(sha256));
        const locked = [await shut.isLocked(), await read()];
        await shut.destroy();
        await new Blobs(shut).forgetCopies();
        return [...locked, await read()];
        """,
    )

    assert found == [True, "示例：梧桐", "示例：梧桐"]


# What an older worker left


def test_clear_text_of_an_older_worker_is_taken_over_and_nothing_is_lost(page: Page) -> None:
    found = run(
        page,
        """
        const outbox = new Outbox(caches, vault);
        await save(outbox, "a");
        const [entry] = await rows("linli-outbox", "entries");
        await put("linli-outbox", "entries", { ...entry, display: { kind: "visit", action: "put", set: { note: canary }, made_at: 1 } });
        await put("linli-outbox", "drafts", { record_id: "r", change_id: "c", path: "/p", submitted: { note: [canary] }, at: 1 }, "r");
        await oldReplica([record("a", { note: canary })], { epoch: "one", cursor: "1.", ready: true, generation: 0, filling: false });
        const blobs = new Blobs(vault);
        const { sha256 } = await blobs.keep(new TextEncoder().encode(canary).buffer, "photo");
        await put("linli-blobs", "bytes", new TextEncoder().encode(canary).buffer, sha256);
        const stores = () => ({ outbox: new Outbox(caches, vault), replica: new Replica(kinds, vault), blobs: new Blobs(vault) });
        const before = await stores().outbox.entries();

        await takeOverOlder(stores());
        await takeOverOlder(stores());

        const { outbox: after, replica } = stores();
        const stored = textOf([await rows("linli-outbox", "entries"), await rows("linli-outbox", "drafts"), await rows("linli-blobs", "bytes")]);
        const names = (await indexedDB.databases()).map(({ name }) => name);
        return [
          before[0].display.set.note === canary,
          stored.includes(canary),
          names.includes("linli-replica"),
          [(await after.entries())[0].display.set.note, (await after.entries())[0].state, (await after.drafts())[0].submitted.note[0]],
          [(await replica.record("a")).note, (await replica.checkpoint()).cursor, (await replica.checkpoint()).ready],
          textOf(await new Blobs(vault).bytes(sha256)),
        ];
        """,
    )

    assert found == [
        True,
        False,
        False,
        ["示例：梧桐", "waiting", "示例：梧桐"],
        ["示例：梧桐", "1.", True],
        "示例：梧桐",
    ]


def test_older_replica_does_not_come_over_a_newer_one(page: Page) -> None:
    found = run(
        page,
        """
        const replica = new Replica(kinds, vault);
        await replica.apply(answer([record("new")]), await from(replica));
        await oldReplica([record("old")], { epoch: "one", cursor: "0.", ready: true, generation: 0, filling: false });
        await takeOverOlder({ outbox: new Outbox(caches, vault), replica, blobs: new Blobs(vault) });
        return (await new Replica(kinds, vault).all()).map(({ id }) => id);
        """,
    )

    assert found == ["new"]


def test_replica_of_two_thousand_people_opens(page: Page) -> None:
    """How long it takes is told, not bounded: `pytest -s`. The page's thread is slowed four times."""
    run(
        page,
        """
        const replica = new Replica(kinds, vault);
        const text = "示例：老人说药快吃完了，下周三前要送到。".repeat(2);
        const many = Array.from({ length: 2000 }, (_, door) => [
          record(`h${door}`, { kind: "household", door: `1-1-${door}`, members: ["示例居民", "示例居民二"], tags: ["living_alone"] }),
          ...[1, 2, 3].map((nth) => record(`v${door}.${nth}`, { scope_id: `h${door}`, household_id: `h${door}`, note: text, outcome: "met", made_at: nth })),
        ]).flat();
        for (let at = 0; at < many.length; at += 500) {
          await replica.apply(answer(many.slice(at, at + 500), { cursor: `${at}.` }), await from(replica));
        }
        """,
    )
    tools = page.context.new_cdp_session(page)
    tools.send("Emulation.setCPUThrottlingRate", {"rate": 4})
    began = time.monotonic()

    found = run(
        page,
        """
        const began = performance.now();
        const replica = new Replica(kinds, new Vault());
        const count = (await replica.records("visit")).length;
        return [count, performance.now() - began];
        """,
    )

    print(f"8,000 records opened in {found[1]:.0f} ms, {(time.monotonic() - began) * 1000:.0f} with the modules")
    assert found[0] == 6000
