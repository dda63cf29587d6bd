// The outbox: this device's changes, sealed, in order. Everything in it is somebody's visit, so:
//
// - "saved" means that one strict transaction completed: entry, sequence number and draft together;
// - entries are never rewritten by an edit; a later save is a new entry with the next number;
// - no code path removes an entry that the server has not answered for; one that its owner gives up makes room for a
//   `discard` with its number, and what it said is kept beside the queue in the same transaction;
// - an answered one stays, sealed, for 30 days, to be offered again when the server's epoch changes (RELIABILITY.md 0.5);
// - a copy of every sealed entry lies in Cache Storage, another engine, in case this database breaks (mirror.js);
// - what the phone shows of an entry lies in the vault, and so do drafts and what was given up. Whatever becomes of the
//   vault, the entry travels.
//
// The layout of the database is frozen for ever: version 1, no indexes. What changes is inside the sealed bytes.

import { concealEntry, isForgettable, newEntry, reofferEntry, settleEntry } from "../sync/entries.js";
import { Database, requested } from "./database.js";
import { Mirror, sealedIn } from "./mirror.js";
import { isSealed } from "./vault.js";

/**
 * @typedef {import("../sync/entries.js").Entry} Entry
 * @typedef {Pick<Entry, "change_id" | "created_at" | "state" | "epoch" | "acknowledged_at">} AnsweredCopy of an entry that another key signed
 * @typedef {import("../sync/entries.js").Display} Display
 * @typedef {import("../sync/entries.js").Settled} Settled
 * @typedef {{ change_id: string, record_id: string, display: Display }} Saved a change, as far as it is not sealed
 *
 * @typedef {object} Draft a form as far as it is filled
 * @property {string} record_id
 * @property {string} change_id
 * @property {string} path of the page that the form stands on
 * @property {Record<string, string[]>} submitted the texts of each name, hidden ones too
 * @property {number} at
 * @property {number} [typed_at] by the clock that says when a change was made
 *
 * @typedef {{ record_id: string, change_id: string, at: number, typed_at?: number, sealed: ArrayBuffer, carried?: boolean }} StoredDraft `carried`: under the key that photos have
 * @typedef {object} Discarded what its owner gave up, with the ids under which it is taken back
 * @property {string} record_id
 * @property {number} at
 * @property {{ change_id: string, record_id?: string, display: Display }[]} changes of this record, unless one names another
 * @property {string[]} [photos] the hashes of those that nothing else names
 *
 * @typedef {{ record_id: string, at: number, photos: string[], sealed: ArrayBuffer, carried?: boolean }} StoredDiscarded `photos`: their hashes
 */

const DRAFT_KEPT_MS = 30 * 24 * 60 * 60_000;
const outboxText = new TextEncoder();
const SAVE_ATTEMPTS_MAX = 50; // each lost race is another save that went through

/** Lays out the database. It will never have a second version. */
function layOutOutbox(database) {
  database.createObjectStore("entries", { keyPath: "sequence" });
  for (const name of ["device", "drafts", "settings"]) database.createObjectStore(name);
}

export class Outbox {
  #database = new Database({ name: "linli-outbox", version: 1, upgrade: layOutOutbox });
  #mirror;
  #vault;
  /** @type {Promise<Entry[]> | null} in order of sequence; a cache of what the database holds */
  #entries = null;
  /** @type {Promise<Record<string, any>> | null} */
  #device = null;
  #isCompared = false;

  /**
   * @param {CacheStorage} caches
   * @param {Pick<import("./vault.js").Vault, "isLocked" | "seal" | "open" | "sealPhoto" | "openPhoto">} vault
   */
  constructor(caches, vault) {
    this.#mirror = new Mirror(caches);
    this.#vault = vault;
  }

  // Reading

  /** Looks at the disk again: another worker may have written since, or the vault been opened or shut. */
  refresh() {
    this.#entries = null;
    this.#device = null;
  }

  /** @returns {Promise<Entry[]>} while the vault is locked, without their display copies */
  entries() {
    this.#entries ??= this.#load().catch((error) => {
      this.#entries = null;
      throw error;
    });
    return this.#entries;
  }

  /** @returns {Promise<Record<string, any>>} what is known of this device, by name */
  device() {
    this.#device ??= this.#readDevice().catch((error) => {
      this.#device = null;
      throw error;
    });
    return this.#device;
  }

  /** @returns {Promise<Record<string, any>>} */
  settings() {
    return this.#database.read(["settings"], (transaction) => readNamed(transaction.objectStore("settings")));
  }

  /** @returns {Promise<Draft[]>} those that the vault opens */
  async drafts() {
    const stored = await this.#readAll("drafts");
    const drafts = await Promise.all(stored.map((draft) => (draft.sealed ? this.#open(draft, draftBinding(draft)) : draft)));
    return drafts.filter(Boolean);
  }

  /** @returns {Promise<string[]>} the records of all drafts, also of those that a locked vault does not open */
  async draftRecordIds() {
    return (await this.#readAll("drafts")).map(({ record_id }) => record_id);
  }

  /** @returns {Promise<Discarded[]>} what was given up, as far as the vault opens it */
  async discarded() {
    const { discarded = [] } = await this.device();
    const found = await Promise.all(discarded.map((each) => this.#open(each, discardedBinding(each))));
    return found.filter(Boolean);
  }

  /**
   * What another key signed than this device has: its database was lost, or does not open, or the device has become another.
   * Only the copies are left. One that was answered is offered again in another epoch.
   * @returns {Promise<import("./mirror.js").Copy[]>}
   */
  async stranded() {
    const device = await this.device().catch(() => ({ device_id: null, epoch: "", answered: [] }));
    const entries = await this.entries().catch(() => []);
    const { epoch, answered = [] } = device;
    const settled = answered.filter((copy) => !epoch || copy.epoch === epoch);
    const ids = await this.#mirror.changeIds();
    for (const { change_id } of [...entries, ...settled]) ids.delete(change_id);
    return (await this.#mirror.copies(ids)).filter((copy) => copy.signature && !isOwn(copy, device));
  }

  /** The server has answered for it: it is kept as an answered entry is, or not at all where that cannot be noted. */
  async letGoOfStranded({ change_id, created_at }) {
    const note = async () => {
      const { epoch = "" } = await this.device(); // one that is out of date has it offered once more
      const copy = { change_id, created_at, state: /** @type {const} */ ("acknowledged"), epoch, acknowledged_at: null };
      await this.#noteAnswered((answered) => [...answered.filter((each) => each.change_id !== change_id), copy]);
    };
    await note().catch(() => this.#mirror.remove([change_id]));
  }

  // Writing

  /**
   * Keeps a form as far as it is filled. One that was saved since is a draft no more, however late this comes. What was typed
   * after that is nowhere else: her page may not have heard that it was saved.
   * @param {Draft} draft
   * @param {number} typed_at by the clock that says when a change was made
   */
  async saveDraft(draft, typed_at) {
    const sealed = await this.#sealDraft({ ...draft, typed_at });
    return this.#database.write(["entries", "drafts"], async (transaction) => {
      const store = transaction.objectStore("drafts");
      const entries = transaction.objectStore("entries");
      const saved = await requested(entries.getAll());
      const isSaved = saved.some(({ change_id }) => change_id === draft.change_id);
      // Sent again, the form is an edit of its record, with an id of its own.
      const isSavedSince = saved.some(({ record_id, created_at }) => record_id === draft.record_id && created_at >= typed_at);
      if (!isSaved || !isSavedSince) putDraft(store, sealed);
    });
  }

  /** @param {(draft: Draft) => boolean} isOver */
  async dropDrafts(isOver) {
    const over = (await this.drafts()).filter(isOver);
    if (over.length === 0) return;
    await this.#database.write(["drafts"], (transaction) => {
      for (const draft of over) deleteDraft(transaction.objectStore("drafts"), draft);
    });
  }

  /** @param {Record<string, any>} values by name */
  async setDevice(values) {
    await this.#database.write(["device"], (transaction) => putNamed(transaction.objectStore("device"), values));
    this.#device = null;
  }

  /** @param {Record<string, any>} values by name */
  setSettings(values) {
    return this.#database.write(["settings"], (transaction) => putNamed(transaction.objectStore("settings"), values));
  }

  /**
   * Saves the changes of one form, all or none. Safe to repeat: a change that is there already is left as it is.
   * @param {Saved[]} changes
   * @param {number} created_at
   * @param {(sequence: number, change: any) => Promise<ArrayBuffer>} seal awaited before the transaction, which it would end
   * @returns {Promise<void>}
   */
  async save(changes, created_at, seal) {
    const displays = new Map();
    for (const change of changes) displays.set(change, await this.#sealDisplay(change));
    const numbered = async (change, sequence) => {
      const { change_id, record_id } = change;
      const display = displays.get(change);
      return newEntry({ sequence, change_id, record_id, created_at, display, sealed: await seal(sequence, change) });
    };
    for (let attempt = 0; attempt < SAVE_ATTEMPTS_MAX; attempt += 1) {
      const { last, saved } = await this.#standing();
      const fresh = changes.filter(({ change_id }) => !saved.has(change_id));
      const entries = await Promise.all(fresh.map((change, at) => numbered(change, last + 1 + at)));
      if (await this.#write(entries, { last, changes, created_at })) return;
    }
    throw new Error("the sequence number kept moving");
  }

  /**
   * Marks what the server answered for.
   * @param {Settled[]} answers
   * @param {{ epoch: string, now: number }} when
   */
  settle(answers, when) {
    const byId = new Map(answers.map((answer) => [answer.change_id, answer]));
    return this.#update((entry) => settleEntry(entry, byId, when));
  }

  /**
   * Puts discards in the place of waiting entries that their owner gives up, and keeps what these said.
   * @param {Entry[]} given
   * @param {Parameters<typeof newEntry>[0][]} instead with the same numbers
   * @param {Discarded[]} kept
   * @param {(changeId: string) => boolean} [isOnItsWay] asked in the transaction
   */
  async discard(given, instead, kept, isOnItsWay = () => false) {
    const sealed = await Promise.all(kept.map((each) => this.#sealDiscarded(each)));
    const isDone = await this.#database.write(["entries", "device"], async (transaction) => {
      const store = transaction.objectStore("entries");
      const device = transaction.objectStore("device");
      const [saved, before = []] = await Promise.all([requested(store.getAll()), requested(device.get("discarded"))]);
      const waiting = saved.filter(({ state }) => state === "waiting").map(({ change_id }) => change_id);
      const isThere = ({ change_id }) => waiting.includes(change_id) && !isOnItsWay(change_id);
      if (!given.every(isThere)) return false; // answered meanwhile, or about to be
      for (const entry of instead) store.put(newEntry(entry));
      device.put([...before, ...sealed], "discarded");
      return true;
    });
    this.refresh();
    if (!isDone) return;
    // Until the copies are changed as well, a broken database brings back what was given up: nothing is lost by it.
    const known = await this.device();
    for (const entry of instead) await this.#mirror.add(entry, known).catch(() => {});
    await this.#mirror.remove(given.map(({ change_id }) => change_id));
  }

  /** Lets go of forms that nobody has touched for a month. @param {number[]} clocks all of which must say so */
  async forgetOldDrafts(clocks) {
    const isOld = ({ at }) => clocks.every((now) => now - at > DRAFT_KEPT_MS);
    const old = (await this.#readAll("drafts")).filter(isOld);
    if (old.length === 0) return;
    await this.#database.write(["drafts"], (transaction) => {
      for (const draft of old) deleteDraft(transaction.objectStore("drafts"), draft);
    });
  }

  /** Lets go of what was given up, but for what `isKept`. @param {(each: StoredDiscarded) => boolean} isKept */
  async keepDiscarded(isKept) {
    const { discarded = [] } = await this.device();
    if (discarded.every(isKept)) return;
    await this.#database.write(["device"], async (transaction) => {
      const device = transaction.objectStore("device");
      device.put((await requested(device.get("discarded"))).filter(isKept), "discarded");
    });
    this.#device = null;
  }

  /** Notes why an entry could not be sent; it keeps waiting. */
  note(changeId, code) {
    return this.#update((entry) => (entry.change_id === changeId && entry.code !== code ? { ...entry, code } : null));
  }

  /** Offers again what was answered in another epoch: that database may have been restored from an older backup. */
  async reoffer(epoch) {
    if ((await this.device()).epoch !== epoch) await this.setDevice({ epoch }).catch((error) => console.error("epoch", error));
    return this.reofferWhere((entry) => entry.epoch !== epoch);
  }

  /** Offers again what was answered and `isDue`. */
  reofferWhere(isDue) {
    return this.#update((entry) => reofferEntry(entry, isDue));
  }

  /** Lets go of the display copies of entries that `isCovered` by pulled records. */
  conceal(isCovered) {
    return this.#update((entry) => concealEntry(entry, isCovered));
  }

  /** Removes what has been kept long enough, with its mirror. */
  async forget(when) {
    await this.#forgetAnswered(when);
    const old = (await this.entries()).filter((entry) => isForgettable(entry, when));
    if (old.length === 0) return;
    await this.#database.write(["entries"], (transaction) => {
      for (const { sequence } of old) transaction.objectStore("entries").delete(sequence);
    });
    this.#entries = null;
    await this.#mirror.remove(old.map(({ change_id }) => change_id));
  }

  /** Lets go of what pages show: not of the sealed entries, of what it takes to send them, and of what was typed. */
  async forgetCopies() {
    await this.#database.write(["entries", "device", "settings"], async (transaction) => {
      const entries = transaction.objectStore("entries");
      for (const entry of await requested(entries.getAll())) if (entry.display) entries.put({ ...entry, display: null });
      transaction.objectStore("device").delete("me");
      transaction.objectStore("settings").delete("later");
    });
    this.refresh();
  }

  /** Lets go of half-filled forms and of what was given up. */
  async forgetTyped() {
    await this.#database.write(["drafts", "device"], (transaction) => {
      transaction.objectStore("drafts").clear();
      transaction.objectStore("device").delete("discarded");
    });
    this.refresh();
  }

  /**
   * Takes what was typed and is nowhere else out of the vault, before its key is destroyed: it waits under the key that
   * photos have. Drafts go back with the next start (`sealOld`); what was given up stays there until it is forgotten.
   */
  async carryOver() {
    const lift = async (stored, bound) => {
      const value = stored.carried ? null : await this.#open(stored, bound);
      const sealed = value && (await this.#vault.sealPhoto(outboxText.encode(JSON.stringify(value)).buffer, bound));
      return sealed ? { ...stored, carried: true, sealed } : stored;
    };
    const drafts = await this.#readAll("drafts");
    const { discarded = [] } = await this.device();
    const liftedDrafts = await Promise.all(drafts.map((draft) => lift(draft, draftBinding(draft))));
    const lifted = await Promise.all(discarded.map((each) => lift(each, discardedBinding(each))));
    await this.#database.write(["drafts", "device"], (transaction) => {
      for (const draft of liftedDrafts) putDraft(transaction.objectStore("drafts"), draft);
      transaction.objectStore("device").put(lifted, "discarded");
    });
    this.refresh();
  }

  /**
   * Becomes another device's, with no entry of the one before, whose work must be up. Their copies stay, sealed and signed by
   * the key before: those that were answered for their thirty days, and what began to wait while the server was asked goes up
   * as what is stranded.
   */
  async beginAnew(device) {
    await this.#database.write(["entries", "device"], async (transaction) => {
      const entries = transaction.objectStore("entries");
      const store = transaction.objectStore("device");
      const [before, answered = []] = await Promise.all([requested(entries.getAll()), requested(store.get("answered"))]);
      answered.push(...before.filter(({ state }) => state !== "waiting").map(answeredCopy));
      entries.clear();
      store.clear();
      putNamed(store, { ...device, answered });
    });
    this.refresh();
  }

  /** Puts into the vault what an older worker left in clear text, and the drafts that `carryOver` took out. */
  async sealOld() {
    const [entries, drafts] = await Promise.all([this.#readAll("entries"), this.#readAll("drafts")]);
    const clear = entries.filter(({ display }) => display && !isSealed(display));
    const carried = await Promise.all(drafts.map((draft) => (draft.carried ? this.#open(draft, draftBinding(draft)) : null)));
    const clearDrafts = [...drafts.filter((draft) => !draft.sealed), ...carried.filter(Boolean)];
    if (clear.length + clearDrafts.length === 0) return;
    const displays = new Map();
    for (const { change_id, display } of clear) displays.set(change_id, await this.#sealDisplay({ change_id, display }));
    const sealedDrafts = await Promise.all(clearDrafts.map((draft) => this.#sealDraft(draft)));
    await this.#database.write(["entries", "drafts"], async (transaction) => {
      const store = transaction.objectStore("entries");
      for (const entry of await requested(store.getAll())) {
        const display = displays.get(entry.change_id);
        if (display && entry.display) store.put({ ...entry, display });
      }
      const draftStore = transaction.objectStore("drafts");
      const standing = new Map((await requested(draftStore.getAll())).map(({ change_id, at }) => [change_id, at]));
      for (const draft of sealedDrafts) if (standing.get(draft.change_id) === draft.at) putDraft(draftStore, draft);
    });
    this.#entries = null;
  }

  // Private

  async #sealDisplay({ change_id, display }) {
    return (await this.#vault.isLocked()) ? null : this.#vault.seal(display, displayBinding(change_id));
  }

  /** @returns {Promise<StoredDraft>} */
  async #sealDraft(draft) {
    const { record_id, change_id, at, typed_at = 0 } = draft;
    return { record_id, change_id, at, typed_at, sealed: await this.#vault.seal(draft, draftBinding(draft)) };
  }

  /** @returns {Promise<StoredDiscarded>} */
  async #sealDiscarded(discarded) {
    const { record_id, at, photos = [] } = discarded;
    return { record_id, at, photos, sealed: await this.#vault.seal(discarded, discardedBinding(discarded)) };
  }

  /** What the vault makes of it; null while it is locked, and for what it cannot open any more: it was a copy. */
  async #open({ sealed, carried = false }, bound) {
    if (await this.#vault.isLocked()) return null;
    const open = async () => JSON.parse(new TextDecoder().decode(await this.#vault.openPhoto(sealed, bound)));
    return (carried ? open() : this.#vault.open(sealed, bound)).catch(() => null);
  }

  /** @param {(answered: AnsweredCopy[]) => AnsweredCopy[]} change */
  async #noteAnswered(change) {
    await this.#database.write(["device"], async (transaction) => {
      const device = transaction.objectStore("device");
      device.put(change((await requested(device.get("answered"))) ?? []), "answered");
    });
    this.#device = null;
  }

  /** Of one that was posted alone the time counts from the next answer on. */
  async #forgetAnswered(when) {
    const { answered = [] } = await this.device();
    const isOld = (copy) => isForgettable(copy, when);
    const old = answered.filter(isOld);
    if (old.length === 0 && answered.every(({ acknowledged_at }) => acknowledged_at !== null)) return;
    await this.#mirror.remove(old.map(({ change_id }) => change_id));
    const stamp = (copy) => ({ ...copy, acknowledged_at: copy.acknowledged_at ?? when.now });
    await this.#noteAnswered((noted) => noted.filter((copy) => !isOld(copy)).map(stamp));
  }

  #readDevice() {
    return this.#database.read(["device"], (transaction) => readNamed(transaction.objectStore("device")));
  }

  #readAll(name) {
    return this.#database.read([name], (transaction) => requested(transaction.objectStore(name).getAll()));
  }

  /** The last number given out, and what has one. */
  #standing() {
    return this.#database.read(["device", "entries"], async (transaction) => {
      const [entries, device] = [transaction.objectStore("entries"), transaction.objectStore("device")];
      const [saved, last] = await Promise.all([requested(entries.getAll()), requested(device.get("sequence"))]);
      return standingOf(saved, last);
    });
  }

  /** @returns {Promise<boolean>} false when another save took the numbers first */
  async #write(entries, { last, changes, created_at }) {
    const isWritten = await this.#database.write(["entries", "device", "drafts"], async (transaction) => {
      const [store, device] = [transaction.objectStore("entries"), transaction.objectStore("device")];
      const now = standingOf(...(await Promise.all([requested(store.getAll()), requested(device.get("sequence"))])));
      if (now.last !== last || entries.some(({ change_id }) => now.saved.has(change_id))) return false;
      const drafts = transaction.objectStore("drafts");
      const typed = new Map((await requested(drafts.getAll())).map(({ change_id, typed_at = 0 }) => [change_id, typed_at]));
      // What was typed while the form was being saved is no part of it.
      for (const change of changes) if ((typed.get(change.change_id) ?? 0) <= created_at) deleteDraft(drafts, change);
      if (entries.length === 0) return true;
      // A photo that is named once more is given up no longer: it would be kept from going up as soon as its record has left.
      const named = new Set(changes.flatMap(({ display }) => display.set?.attachments ?? []).map(({ sha256 }) => sha256));
      const discarded = named.size > 0 ? await requested(device.get("discarded")) : undefined;
      const isGivenUp = (sha256) => !named.has(sha256);
      if (discarded) device.put(discarded.map((each) => ({ ...each, photos: each.photos.filter(isGivenUp) })), "discarded");
      for (const entry of entries) store.add(entry);
      device.put(last + entries.length, "sequence");
      return true;
    });
    this.#entries = null;
    this.#device = null;
    if (!isWritten) return false;
    // The entries are safe; a copy that fails is made at the next start.
    const device = await this.#readDevice().catch(() => null);
    for (const entry of device ? entries : []) await this.#mirror.add(entry, device).catch(() => {});
    return true;
  }

  /** @param {(entry: Entry) => Entry | null} change gives the entry to store instead, or null to leave it */
  async #update(change) {
    const isNeeded = (await this.entries()).some((entry) => change(entry) !== null);
    if (!isNeeded) return;
    await this.#database.write(["entries"], async (transaction) => {
      const store = transaction.objectStore("entries");
      for (const entry of await requested(store.getAll())) {
        const changed = change(entry);
        if (changed) store.put(changed);
      }
    });
    this.#entries = null;
  }

  /** @returns {Promise<Entry[]>} after the two copies have been compared, once for each start of the worker */
  async #load() {
    const stored = await this.#readAll("entries");
    if (this.#isCompared) return this.#shown(stored);
    const recovered = await this.#compare(stored).catch(() => []);
    this.#isCompared = true;
    return recovered.length === 0 ? this.#shown(stored) : this.#load();
  }

  /** @returns {Promise<Entry[]>} */
  #shown(stored) {
    const show = async (entry) =>
      isSealed(entry.display) ? { ...entry, display: await this.#open({ sealed: entry.display }, displayBinding(entry.change_id)) } : entry;
    return Promise.all(stored.map(show));
  }

  async #compare(stored) {
    const device = await this.device();
    const kept = await this.#mirror.changeIds();
    const known = new Set([...stored, ...(device.answered ?? [])].map(({ change_id }) => change_id));
    // A full phone makes no copy now, and takes back all the same what it has one of.
    for (const entry of stored) if (!kept.has(entry.change_id)) await this.#mirror.add(entry, device).catch(() => {});
    const copies = await this.#mirror.copies([...kept].filter((id) => !known.has(id)));
    const own = copies.filter((copy) => isOwn(copy, device));
    // A number that is taken: its owner gave this one up. When the discard is forgotten, nothing would tell any more.
    const taken = new Set(stored.map(({ sequence }) => sequence));
    await this.#mirror.remove(own.filter(({ sequence }) => taken.has(sequence)).map(({ change_id }) => change_id));
    const lost = own.filter(({ sequence }) => !taken.has(sequence));
    const entries = lost.map((copy) => newEntry({ ...pick(copy), display: null, sealed: sealedIn(copy) }));
    if (entries.length > 0) await this.#recover(entries);
    return entries;
  }

  #recover(entries) {
    return this.#database.write(["entries", "device"], async (transaction) => {
      const store = transaction.objectStore("entries");
      const device = transaction.objectStore("device");
      const last = (await requested(device.get("sequence"))) ?? 0;
      const taken = new Set(await requested(store.getAllKeys()));
      for (const entry of entries) if (!taken.has(entry.sequence)) store.put(entry);
      device.put(Math.max(last, ...entries.map(({ sequence }) => sequence)), "sequence");
    });
  }
}

/** Under the change that its form would make: a record may have several forms. The first drafts stood under their records. */
function putDraft(store, draft) {
  deleteDraft(store, draft);
  store.put(draft, draft.change_id);
}

/** @param {Entry[]} entries @param {number | undefined} last */
const standingOf = (entries, last = 0) => ({ last, saved: new Set(entries.map(({ change_id }) => change_id)) });

function deleteDraft(store, { record_id, change_id }) {
  store.delete(record_id);
  store.delete(change_id);
}

const displayBinding = (changeId) => `display\n${changeId}`;
const draftBinding = ({ record_id }) => `draft\n${record_id}`;
const discardedBinding = ({ record_id, at }) => `discarded\n${record_id}\n${at}`;

/** Of this device: of no other, and not from before the database was lost with its key. */
const isOwn = ({ device_id }, device) => device_id === (device.device_id ?? "");
/** @returns {AnsweredCopy} */
const answeredCopy = ({ change_id, created_at, state, epoch, acknowledged_at }) => ({ change_id, created_at, state, epoch, acknowledged_at });
const pick = ({ sequence, change_id, record_id, created_at }) => ({ sequence, change_id, record_id, created_at });

/** @param {IDBObjectStore} store */
async function readNamed(store) {
  const [names, values] = await Promise.all([requested(store.getAllKeys()), requested(store.getAll())]);
  return Object.fromEntries(names.map((name, place) => [name, values[place]]));
}

/** @param {IDBObjectStore} store */
function putNamed(store, values) {
  for (const [name, value] of Object.entries(values)) store.put(value, name);
}
