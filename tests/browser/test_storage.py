"""The phone's storage in a real browser: what static/store promises of IndexedDB and Cache Storage, one promise a test,
and that the server opens what static/sync/seal.js sealed.

The modules run as they are served, in a page of their own; nothing else of the app is there.
"""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from playwright.sync_api import Page

from server.devices import device_id_of, is_signed_by, signed_text
from server.importing import IMPORT_PATH
from server.sealing import Unsealable, decode_base64url, encode_base64url, make_sealing_key, unseal
from sync.protocol import decode_message
from tests.browser.modules import run_with

pytestmark = pytest.mark.browser

KIT = """
const { Outbox } = await import("/static/store/outbox.js");
const { Replica } = await import("/static/store/replica.js");
const { Database, requested } = await import("/static/store/database.js");
const { Vault } = await import("/static/store/vault.js");
const vault = new Vault();
const sealOf = async (sequence) => new TextEncoder().encode(`sealed ${sequence}`).buffer;
const visit = (name) => ({
  change_id: `change-${name}`,
  record_id: `record-${name}`,
  display: { kind: "visit", action: "put", set: { note: name }, made_at: 1 },
});
const save = (outbox, ...names) => outbox.save(names.map(visit), 1, sealOf);
const numbers = async (outbox) => (await outbox.entries()).map(({ sequence, change_id }) => [sequence, change_id]);
const answer = (records, more = {}) => ({
  epoch: "one", now: 1, results: [], reset: false, records: { visit: records }, purge: [], cursor: "1.", more: false,
  oldest_schema: 1, pause_ms: 0, ...more,
});
const start = { epoch: "", cursor: "" };
const from = async (replica, now = 1) => ({ now, asked: await replica.checkpoint() });
const record = (id, more = {}) => ({ id, kind: "visit", revision: 1, scope_id: "home", household_id: "home", ...more });
const kinds = { visit: { scope_field: "household_id", indexes: ["household_id"] } };
const remove = (name) => new Promise((resolve) => (indexedDB.deleteDatabase(name).onsuccess = resolve));
const raw = (name) => new Promise((resolve) => (indexedDB.open(name).onsuccess = (event) => resolve(event.target.result)));
"""


def run(page: Page, script: str, given: Any = None) -> Any:
    return run_with(page, KIT + script, given)


# The outbox


def test_saved_entry_is_there_for_a_new_worker(page: Page) -> None:
    run(page, 'await save(new Outbox(caches, vault), "a");')

    entry = run(page, "return (await new Outbox(caches, vault).entries())[0];")

    assert entry | {"sealed": None} == {
        "sequence": 1,
        "change_id": "change-a",
        "record_id": "record-a",
        "created_at": 1,
        "state": "waiting",
        "sealed": None,
        "display": {"kind": "visit", "action": "put", "set": {"note": "a"}, "made_at": 1},
        "version": 1,
        "acknowledged_at": None,
        "revision": None,
        "epoch": None,
        "code": "",
    }


def test_p01_every_write_of_the_outbox_is_strict(page: Page) -> None:
    durabilities = run(
        page,
        """
        const seen = [];
        const { transaction } = IDBDatabase.prototype;
        IDBDatabase.prototype.transaction = function (...given) {
          const made = transaction.apply(this, given);
          if (made.mode === "readwrite") seen.push(made.durability);
          return made;
        };
        const outbox = new Outbox(caches, vault);
        await save(outbox, "a");
        await outbox.setDevice({ standing: "active" });
        await outbox.setSettings({ language: "en" });
        await outbox.settle([{ change_id: "change-a", state: "acknowledged", revision: 1, code: "" }], { epoch: "one", now: 1 });
        await outbox.conceal(() => true);
        await outbox.reoffer("two");
        return seen;
        """,
    )

    assert (
        durabilities == ["strict"] * 8
    )  # the first one is the vault's, which makes its keys; the last two, that of another epoch


def test_p11_the_layout_of_the_outbox_is_the_frozen_one(page: Page) -> None:
    layout = run(
        page,
        """
        await save(new Outbox(caches, vault), "a");
        const database = await raw("linli-outbox");
        const stores = [...database.objectStoreNames];
        const transaction = database.transaction(stores);
        return [database.version, stores.map((name) => {
          const store = transaction.objectStore(name);
          return [name, store.keyPath, store.autoIncrement, [...store.indexNames]];
        })];
        """,
    )

    assert layout == [
        1,
        [
            ["device", None, False, []],
            ["drafts", None, False, []],
            ["entries", "sequence", False, []],
            ["settings", None, False, []],
        ],
    ]


def test_p11_a_full_outbox_is_byte_for_byte_the_same_after_a_newer_worker_opened_it(page: Page) -> None:
    run(
        page,
        """
        const outbox = new Outbox(caches, vault);
        for (let number = 0; number < 100; number += 1) await save(outbox, String(number));
        """,
    )
    everything = """
        const database = await raw("linli-outbox");
        const all = database.transaction("entries").objectStore("entries").getAll();
        const entries = await new Promise((resolve) => (all.onsuccess = () => resolve(all.result)));
        database.close();
        return JSON.stringify(entries.map((entry) => ({ ...entry, sealed: [...new Uint8Array(entry.sealed)] })));
    """
    before = run(page, everything)

    run(page, "const outbox = new Outbox(caches, vault); await outbox.entries(); await outbox.device();")

    assert run(page, everything) == before
    assert before.count("change-") == 100


def test_the_same_change_twice_is_one_entry(page: Page) -> None:
    found = run(
        page,
        """
        const outbox = new Outbox(caches, vault);
        await Promise.all([save(outbox, "a"), save(outbox, "a"), save(new Outbox(caches, vault), "a")]);
        return numbers(outbox);
        """,
    )

    assert found == [[1, "change-a"]]


def test_saves_at_once_from_two_workers_leave_no_gap(page: Page) -> None:
    found = run(
        page,
        """
        const [one, other] = [new Outbox(caches, vault), new Outbox(caches, vault)];
        await Promise.all(["a", "b", "c", "d"].flatMap((name) => [save(one, name), save(other, name + name)]));
        return [await numbers(new Outbox(caches, vault)), (await one.device()).sequence];
        """,
    )

    entries, sequence = found
    assert [number for number, _ in entries] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert len({change_id for _, change_id in entries}) == 8
    assert sequence == 8


def test_sealed_number_is_the_stored_one(page: Page) -> None:
    sealed = run(
        page,
        """
        const [one, other] = [new Outbox(caches, vault), new Outbox(caches, vault)];
        await Promise.all([save(one, "a"), save(other, "b"), save(one, "c")]);
        return (await one.entries()).map(({ sequence, sealed }) => [sequence, new TextDecoder().decode(sealed)]);
        """,
    )

    assert sealed == [[1, "sealed 1"], [2, "sealed 2"], [3, "sealed 3"]]


def test_p02_transaction_that_is_aborted_after_its_last_request_is_not_saved(page: Page) -> None:
    found = run(
        page,
        """
        const outbox = new Outbox(caches, vault);
        await save(outbox, "a");
        const { add } = IDBObjectStore.prototype;
        IDBObjectStore.prototype.add = function (...given) {
          const request = add.apply(this, given);
          request.addEventListener("success", () => this.transaction.abort());
          return request;
        };
        const said = await save(outbox, "b").then(() => "saved", (error) => error.name);
        IDBObjectStore.prototype.add = add;
        return [said, await numbers(outbox)];
        """,
    )

    assert found == ["UnknownError", [[1, "change-a"]]]


@pytest.mark.parametrize("failures", [1, 3])
def test_lost_connection_is_opened_again_and_the_change_saved_once(page: Page, failures: int) -> None:
    """In real time, 7 s for three failures: a clock that jumps would run into the time limit of opening."""
    found = run(
        page,
        """
        const outbox = new Outbox(caches, vault);
        await save(outbox, "a");
        let left = given;
        const { transaction } = IDBDatabase.prototype;
        IDBDatabase.prototype.transaction = function (...asked) {
          if (asked[1] === "readwrite" && left-- > 0) {
            this.close();
            throw new DOMException("Connection to Indexed Database server lost", "UnknownError");
          }
          return transaction.apply(this, asked);
        };
        await save(outbox, "b");
        return numbers(outbox);
        """,
        failures,
    )

    assert found == [[1, "change-a"], [2, "change-b"]]


def test_p18_database_that_never_opens_is_an_error_and_no_endless_wait(page: Page) -> None:
    page.clock.install()
    page.evaluate(
        f"""async () => {{ {KIT}
          IDBFactory.prototype.open = () => ({{}});
          globalThis.said = "nothing";
          new Outbox(caches, vault).entries().catch((error) => (globalThis.said = error.name));
        }}"""
    )

    for _ in range(25):
        page.clock.run_for(1000)

    assert page.evaluate("said") == "TimeoutError"


def test_p04_a_full_disk_that_refused_to_open_the_database_is_asked_again(page: Page) -> None:
    """Chromium says so at opening, too; whoever makes room and tries again in the same worker is not refused unheard."""
    found = run(
        page,
        """
        const { open } = IDBFactory.prototype;
        let left = 1;
        IDBFactory.prototype.open = function (...asked) {
          if (left-- <= 0) return open.apply(this, asked);
          const request = { error: new DOMException("Encountered full disk while opening backing store", "QuotaExceededError") };
          queueMicrotask(() => request.onerror());
          return request;
        };
        const outbox = new Outbox(caches, vault);
        const said = [];
        for (const name of ["a", "a"]) said.push(await save(outbox, name).then(() => "saved", (error) => error.name));
        return [said, await numbers(outbox)];
        """,
    )

    assert found == [["QuotaExceededError", "saved"], [[1, "change-a"]]]


def test_p12_another_tab_that_deletes_the_database_is_not_blocked(page: Page) -> None:
    found = run(
        page,
        """
        const replica = new Replica(kinds, vault);
        await replica.apply(answer([record("a")]), await from(replica, 1));
        await remove("linli-sealed-replica");
        return (await new Replica(kinds, vault).records("visit")).length;
        """,
    )

    assert found == 0


def test_p12_a_newer_release_upgrades_what_another_tab_has_open(page: Page) -> None:
    found = run(
        page,
        """
        const replica = new Replica(kinds, vault);
        await replica.apply(answer([record("a")]), await from(replica, 1));
        const newer = new Database({ name: "linli-sealed-replica", version: 9, upgrade: (made) => made.createObjectStore("more") });
        return newer.read(["more"], ({ mode }) => mode);
        """,
    )

    assert found == "readonly"


def test_p12_a_tab_that_blocks_an_upgrade_keeps_nobody_from_logging_and_is_waited_for_no_longer_than_it_takes(
    page: Page,
) -> None:
    """An older release, or another program, that does not let go when it is asked to."""
    page.clock.install()
    page.evaluate(
        f"""async () => {{ {KIT}
          globalThis.said = [];
          const blocking = await raw("blocked");
          const upgrade = (made) => made.createObjectStore("more");
          const newer = new Database({{ name: "blocked", version: 2, upgrade, pause: async () => {{}} }});
          const read = () => newer.read(["more"], ({{ mode }}) => mode).then((mode) => said.push(mode), ({{ name }}) => said.push(name));
          globalThis.letGo = () => {{ blocking.close(); return read(); }};
          void read();
          const outbox = new Outbox(caches, vault);
          await save(outbox, "a");
          said.push((await outbox.entries()).length);
        }}"""
    )

    for _ in range(15):
        page.clock.run_for(1000)

    assert page.evaluate("said") == [1, "TimeoutError"]
    page.evaluate("letGo()")
    assert page.evaluate("said") == [1, "TimeoutError", "readonly"]


# The mirror


def test_p20_outbox_that_was_lost_comes_back_from_its_mirror(page: Page) -> None:
    run(page, 'const outbox = new Outbox(caches, vault); await save(outbox, "a"); await save(outbox, "b");')
    run(page, 'await remove("linli-outbox");')

    found = run(
        page,
        """
        const outbox = new Outbox(caches, vault);
        const entries = await outbox.entries();
        await save(outbox, "c");
        const sealed = entries.map((entry) => new TextDecoder().decode(entry.sealed));
        return [sealed, entries.map((entry) => entry.state), await numbers(outbox)];
        """,
    )

    assert found == [
        ["sealed 1", "sealed 2"],
        ["waiting", "waiting"],
        [[1, "change-a"], [2, "change-b"], [3, "change-c"]],
    ]


def test_p20_a_copy_that_cannot_be_read_keeps_no_other_from_coming_back(page: Page) -> None:
    run(page, 'const outbox = new Outbox(caches, vault); await save(outbox, "a"); await save(outbox, "b");')
    run(
        page,
        """
        const mirror = await caches.open("linli-outbox-mirror");
        await mirror.put("/mirror/change-a", new Response("half a sen"));
        await mirror.put("/mirror/change-c", new Response(JSON.stringify({ change_id: "change-c", sequence: 3 })));
        await remove("linli-outbox");
        """,
    )

    assert run(page, "return numbers(new Outbox(caches, vault));") == [[2, "change-b"]]


def test_p20_a_full_phone_that_can_make_no_copy_gets_back_what_it_has_one_of(page: Page) -> None:
    run(page, 'const outbox = new Outbox(caches, vault); await save(outbox, "a"); await save(outbox, "b");')

    found = run(
        page,
        """
        const mirror = await caches.open("linli-outbox-mirror");
        await mirror.delete("/mirror/change-a");
        const full = { keys: () => mirror.keys(), match: (path) => mirror.match(path), put: async () => { throw new Error("full"); } };
        const database = await raw("linli-outbox");
        await new Promise((resolve) => {
          const transaction = database.transaction("entries", "readwrite");
          transaction.objectStore("entries").delete(2);
          transaction.oncomplete = resolve;
        });
        return numbers(new Outbox({ open: async () => full }, vault));
        """,
    )

    assert found == [[1, "change-a"], [2, "change-b"]]


def test_what_was_given_up_does_not_come_back_from_its_copy_a_month_later(page: Page) -> None:
    """The worker ended between giving the entry up and removing its copy."""
    found = run(
        page,
        """
        const outbox = new Outbox(caches, vault);
        await save(outbox, "a");
        const [entry] = await outbox.entries();
        const mirror = await caches.open("linli-outbox-mirror");
        const copy = await (await mirror.match("/mirror/change-a")).text();
        const { sequence, record_id, created_at, sealed } = entry;
        await outbox.discard([entry], [{ sequence, change_id: "change-discard", record_id, created_at, display: null, sealed }], []);
        await mirror.put("/mirror/change-a", new Response(copy));
        const next = new Outbox(caches, vault);
        await next.settle([{ change_id: "change-discard", state: "acknowledged", revision: 0, code: "" }], { epoch: "one", now: 1 });
        await next.conceal(() => true);
        const later = 31 * 24 * 60 * 60 * 1000;
        await next.forget({ epoch: "one", now: later, phoneNow: later });
        return [await numbers(next), await numbers(new Outbox(caches, vault))];
        """,
    )

    assert found == [[], []]


def test_p19_what_was_lost_with_its_key_is_in_the_mirror_signed_until_it_is_let_go_of(page: Page) -> None:
    public_key, device_id = run(
        page,
        """
        const { describeDeviceKey, makeDeviceKeys } = await import("/static/sync/seal.js");
        const outbox = new Outbox(caches, vault);
        const keyPair = await makeDeviceKeys();
        const { public_key, device_id } = await describeDeviceKey(keyPair.publicKey);
        await outbox.setDevice({ keyPair, device_id });
        await save(outbox, "a");
        await save(outbox, "b");
        return [public_key, device_id];
        """,
    )
    run(page, 'await remove("linli-outbox");')

    entries, stranded, left = run(
        page,
        """
        const outbox = new Outbox(caches, vault);
        const stranded = await outbox.stranded();
        await outbox.letGoOfStranded(stranded[0]);
        return [await numbers(outbox), stranded, (await new Outbox(caches, vault).stranded()).map(({ change_id }) => change_id)];
        """,
    )

    assert entries == []
    assert left == ["change-b"]
    point = decode_base64url(public_key)
    for copy, letter in zip(stranded, "ab", strict=True):
        body = copy["body"].encode()
        assert is_signed_by(point, copy["signature"], "POST", IMPORT_PATH, device_id, body)
        (change,) = decode_message(json.loads(body)).envelopes
        assert (change.change_id, copy["device_id"]) == (f"change-{letter}", device_id)
        assert decode_base64url(str(change.sealed)) == f"sealed {copy['sequence']}".encode()


def test_a_key_of_its_own_makes_nothing_of_another_device_s_copies(page: Page) -> None:
    found = run(
        page,
        """
        const { describeDeviceKey, makeDeviceKeys } = await import("/static/sync/seal.js");
        const enrol = async (outbox) => {
          const keyPair = await makeDeviceKeys();
          await outbox.setDevice({ keyPair, ...(await describeDeviceKey(keyPair.publicKey)) });
          return outbox;
        };
        await save(await enrol(new Outbox(caches, vault)), "a");
        await remove("linli-outbox");
        const outbox = await enrol(new Outbox(caches, vault));
        await save(outbox, "b");
        const next = new Outbox(caches, vault);
        return [await numbers(next), (await next.stranded()).map(({ change_id }) => change_id)];
        """,
    )

    assert found == [[[1, "change-b"]], ["change-a"]]


def test_what_began_to_wait_while_the_phone_became_another_s_is_left_as_its_copy(page: Page) -> None:
    """A server that was restored asks for it again, or a photo was being drawn when its volunteer left."""
    found = run(
        page,
        """
        const { makeDeviceKeys } = await import("/static/sync/seal.js");
        const outbox = new Outbox(caches, vault);
        await outbox.setDevice({ device_id: "first", keyPair: await makeDeviceKeys() });
        await save(outbox, "a");
        await save(outbox, "b");
        await outbox.settle([{ change_id: "change-b", state: "acknowledged", revision: 1, code: "" }], { epoch: "one", now: 1 });

        await outbox.beginAnew({ device_id: "second", keyPair: await makeDeviceKeys() });

        const worker = new Outbox(caches, vault);
        return [await numbers(worker), (await worker.stranded()).map(({ change_id, device_id }) => [change_id, device_id])];
        """,
    )

    assert found == [[], [["change-a", "first"]]]


def test_what_was_answered_outlives_another_identity_by_thirty_days_and_is_offered_again_in_another_epoch(
    page: Page,
) -> None:
    """A phone that was revoked by mistake is the last to have what a restored backup lacks."""
    found = run(
        page,
        """
        const { makeDeviceKeys } = await import("/static/sync/seal.js");
        const outbox = new Outbox(caches, vault);
        const stranded = async () => (await new Outbox(caches, vault).stranded()).map(({ change_id }) => change_id);
        const copies = async () => (await (await caches.open("linli-outbox-mirror")).keys()).map(({ url }) => new URL(url).pathname);
        await outbox.setDevice({ device_id: "first", keyPair: await makeDeviceKeys() });
        await save(outbox, "a");
        await outbox.settle([{ change_id: "change-a", state: "acknowledged", revision: 1, code: "" }], { epoch: "one", now: 1 });
        await outbox.beginAnew({ device_id: "second", keyPair: await makeDeviceKeys() });
        await outbox.beginAnew({ device_id: "third", keyPair: await makeDeviceKeys() });
        const found = [await numbers(outbox), await stranded()];
        await outbox.reoffer("one");
        found.push(await stranded());
        await outbox.reoffer("two");
        found.push(await stranded());
        for (const copy of await outbox.stranded()) await outbox.letGoOfStranded(copy);
        found.push(await stranded());
        const month = 30 * 24 * 60 * 60 * 1000;
        await outbox.forget({ epoch: "two", now: 2 + month, phoneNow: 2 * month }); // the first time that the server says is counted from
        await outbox.forget({ epoch: "two", now: 2 + 2 * month, phoneNow: 2 * month });
        found.push(await copies());
        await outbox.forget({ epoch: "two", now: 3 + 2 * month, phoneNow: 2 * month });
        return [...found, await copies(), (await outbox.device()).answered];
        """,
    )

    assert found == [[], [], [], ["change-a"], [], ["/mirror/change-a"], [], []]


def test_mirror_that_was_lost_is_made_again(page: Page) -> None:
    run(page, 'await save(new Outbox(caches, vault), "a"); await caches.delete("linli-outbox-mirror");')

    run(page, "await new Outbox(caches, vault).entries();")
    found = run(
        page,
        """
        await remove("linli-outbox");
        return numbers(new Outbox(caches, vault));
    """,
    )

    assert found == [[1, "change-a"]]


def test_mirror_holds_no_open_text(page: Page) -> None:
    text = run(
        page,
        """
        await save(new Outbox(caches, vault), "canary");
        const mirror = await caches.open("linli-outbox-mirror");
        const [request] = await mirror.keys();
        return JSON.stringify(Object.keys(await (await mirror.match(request)).json()));
        """,
    )

    assert text == '["sequence","change_id","record_id","created_at","device_id","signature","body"]'


def test_forgotten_entry_leaves_the_mirror_as_well(page: Page) -> None:
    found = run(
        page,
        """
        const outbox = new Outbox(caches, vault);
        await save(outbox, "a");
        await save(outbox, "b");
        await outbox.settle([{ change_id: "change-a", state: "acknowledged", revision: 1, code: "" }], { epoch: "one", now: 1 });
        const later = 1 + 31 * 24 * 60 * 60 * 1000;
        await outbox.forget({ epoch: "two", now: later, phoneNow: later });
        const kept = (await numbers(outbox)).length;
        await outbox.forget({ epoch: "one", now: later, phoneNow: later });
        const mirror = await caches.open("linli-outbox-mirror");
        return [kept, await numbers(outbox), (await mirror.keys()).map(({ url }) => new URL(url).pathname)];
        """,
    )

    assert found == [2, [[2, "change-b"]], ["/mirror/change-b"]]


# The replica


def test_page_and_checkpoint_are_one(page: Page) -> None:
    found = run(
        page,
        """
        const replica = new Replica(kinds, vault);
        await replica.apply(answer([record("a")], { reset: true, more: true, cursor: "1.a", total: 2 }), await from(replica, 5));
        const half = await new Replica(kinds, vault).checkpoint();
        await replica.apply(answer([record("b")], { cursor: "2." }), await from(replica, 6));
        const whole = await new Replica(kinds, vault).checkpoint();
        return [half.ready, half.cursor, half.received, half.total, whole.ready, whole.cursor, whole.received, whole.uploaded_at];
        """,
    )

    assert found == [False, "1.a", 1, 2, True, "2.", 2, 6]


@pytest.mark.parametrize("becomes", ['{ left: "signed_out" }', '{ device_id: "another" }'])
def test_p24_a_page_that_comes_after_its_phone_was_left_is_not_stored(page: Page, becomes: str) -> None:
    """Asked for with nothing in hand, it continues what is there after everything was let go of."""
    found = run(
        page,
        f"""
        const {{ exchangeStore }} = await import("/static/worker/drain.js");
        const [outbox, replica] = [new Outbox(caches, vault), new Replica(kinds, vault)];
        await outbox.setDevice({{ device_id: "one" }});
        const store = exchangeStore({{ outbox, replica, vault }});
        const when = {{ now: 1, asked: await store.checkpoint() }};
        await outbox.setDevice({becomes});
        await replica.clear();
        const isApplied = await store.apply(answer([record("a")], {{ reset: true }}), when);
        return [isApplied, (await new Replica(kinds, vault).all()).length];
        """,
    )

    assert found == [False, 0]


def test_purged_scope_goes_and_the_rest_stays(page: Page) -> None:
    found = run(
        page,
        """
        const replica = new Replica(kinds, vault);
        await replica.apply(answer([record("a"), record("b", { scope_id: "other" })]), await from(replica, 1));
        await replica.apply(answer([], { purge: ["home"] }), await from(replica, 2));
        return (await replica.records("visit")).map(({ id }) => id);
        """,
    )

    assert found == ["b"]


def test_fresh_start_sweeps_old_records_with_its_last_page_only(page: Page) -> None:
    found = run(
        page,
        """
        const replica = new Replica(kinds, vault);
        const ids = async () => (await new Replica(kinds, vault).records("visit")).map(({ id }) => id).sort();
        await replica.apply(answer([record("a"), record("b")], { reset: true }), await from(replica, 1));
        await replica.apply(answer([record("b", { revision: 9 })], { reset: true, more: true, epoch: "two" }), await from(replica, 2));
        const half = [await ids(), (await replica.checkpoint()).ready];
        await replica.apply(answer([record("c")], { epoch: "two" }), await from(replica, 3));
        return [half, await ids()];
        """,
    )

    assert found == [[["a", "b"], True], ["b", "c"]]


def test_records_are_found_by_declared_indexes_alone(page: Page) -> None:
    found = run(
        page,
        """
        const replica = new Replica(kinds, vault);
        await replica.apply(answer([record("a"), record("b", { household_id: "next" })]), await from(replica, 1));
        const [mine] = await replica.records("visit", "household_id", "next");
        const refused = await replica.records("visit", "note", "x").catch((error) => error.message);
        await replica.apply(answer([record("b", { household_id: "home" })]), await from(replica, 2));
        return [mine.id, refused, (await replica.records("visit", "household_id", "home")).length];
        """,
    )

    assert found == ["b", "visit.note is not a declared index", 2]


def test_of_each_household_the_last_three_visits_stay_and_what_was_sent_back(page: Page) -> None:
    kept = run(
        page,
        """
        const replica = new Replica(kinds, vault);
        const at = (id, made_at, more = {}) => record(id, { made_at, ...more });
        await replica.apply(answer([at("a", 1), at("b", 2, { review_state: "sent_back" }), at("c", 3), at("d", 4)]), await from(replica, 1));
        await replica.apply(answer([at("e", 5), at("late", 0), at("next", 1, { scope_id: "other" })]), await from(replica, 2));
        const first = (await replica.records("visit")).map(({ id }) => id);
        await replica.apply(answer([at("b", 2)]), await from(replica, 3));
        const fresh = new Replica(kinds, vault);
        return [first, (await fresh.records("visit")).map(({ id }) => id)];
        """,
    )

    assert kept == [["b", "c", "d", "e", "next"], ["c", "d", "e", "next"]]


# Sealing and signing


def test_a_copy_that_is_sent_into_a_silent_network_is_given_up_in_time(page: Page) -> None:
    """Every exchange waits for it: a network that swallows requests answers none of them."""
    page.clock.install()
    run(
        page,
        """
        const { createTransport } = await import("/static/sync/transport.js");
        const silent = (path, { signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
        const { postSigned } = createTransport({ fetch: silent, device: async () => ({}) });
        globalThis.given_up = "";
        void postSigned({ path: "/sync/import", device_id: "a", signature: "b", body: "{}" }).catch(({ name }) => { given_up = name; });
        """,
    )

    page.clock.run_for(20_000)

    assert page.evaluate("given_up") == "TimeoutError"


def test_server_opens_what_the_phone_sealed(page: Page) -> None:
    key = make_sealing_key(now=1)
    server_key = {"id": key.id, "public": encode_base64url(key.public_key)}
    text = '{"note": "居民 😀"}'

    sealed = run(
        page,
        """
        const { createSealer, sealBinding } = await import("/static/sync/seal.js");
        const { decodeBase64, encodeBase64 } = await import("/static/sync/protocol.js");
        const seal = await createSealer(given.key, decodeBase64(given.key.public));
        const bound = sealBinding("device", "change", 7);
        return [encodeBase64(await seal(given.text, bound)), encodeBase64(await seal(given.text, bound))];
        """,
        {"key": server_key, "text": text},
    )

    keys = {key.id: key.private_key}
    for each in sealed:
        opened = unseal(each, keys=keys, device_id="device", change_id="change", sequence=7)
        assert json.loads(opened) == {"note": "居民 😀"}
    assert sealed[0] != sealed[1]
    with pytest.raises(Unsealable):
        unseal(sealed[0], keys=keys, device_id="device", change_id="change", sequence=8)


def test_server_knows_the_phone_by_its_signature(page: Page) -> None:
    body = '{"changes": []}'

    found = run(
        page,
        """
        const { describeDeviceKey, makeDeviceKeys, signRequest } = await import("/static/sync/seal.js");
        const keyPair = await makeDeviceKeys();
        const { device_id, public_key } = await describeDeviceKey(keyPair.publicKey);
        const request = { method: "POST", path: "/sync", body: new TextEncoder().encode(given) };
        return [public_key, keyPair.privateKey.extractable, await signRequest(request, { device_id, keyPair })];
        """,
        body,
    )

    public_key, is_extractable, headers = found
    point = decode_base64url(public_key)
    raw = decode_base64url(headers["Linli-Signature"])
    signature = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    assert is_extractable is False
    assert headers["Linli-Device"] == device_id_of(point)
    ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point).verify(
        signature, signed_text("POST", "/sync", headers["Linli-Device"], body.encode()), ec.ECDSA(SHA256())
    )


def test_device_key_survives_in_the_outbox(page: Page) -> None:
    run(
        page,
        """
        const { makeDeviceKeys } = await import("/static/sync/seal.js");
        await new Outbox(caches, vault).setDevice({ keyPair: await makeDeviceKeys() });
        """,
    )

    signature = run(
        page,
        """
        const { keyPair } = await new Outbox(caches, vault).device();
        const algorithm = { name: "ECDSA", hash: "SHA-256" };
        return (await crypto.subtle.sign(algorithm, keyPair.privateKey, new Uint8Array(1))).byteLength;
        """,
    )

    assert signature == 64
