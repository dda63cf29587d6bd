// The replica: the phone's copy of what is in its scope, in blocks of about 100 records that the vault has sealed. A cache:
// it may be dropped and filled again at any time, and the outbox never depends on it. A page of records and the checkpoint
// that covers it are one transaction.
//
// Of visits it keeps the last three of each household, and those that were sent back to be answered: who carries a phone
// about carries no more of anybody than the next visit needs.
//
// Starting afresh (a first sync, another epoch) fills blocks of a new generation beside the old ones, which go with the
// last page, so a phone that loses its network half-way still has whole pages to show.

import { groupBy } from "../sync/grouping.js";
import { olderVisits } from "../sync/holdings.js";
import { Database, requested } from "./database.js";

/**
 * @typedef {import("../sync/rebase.js").FlatRecord} FlatRecord
 *
 * @typedef {object} Checkpoint
 * @property {string} epoch
 * @property {string} cursor
 * @property {boolean} ready has one pull ever come to its end?
 * @property {number} generation
 * @property {boolean} filling is a new generation being filled?
 * @property {number | null} total records that a first sync will bring
 * @property {number} received
 * @property {number | null} uploaded_at when an exchange last came to its end
 * @property {number} version counts the writes, so that what was sealed for one state is never stored over another
 *
 * @typedef {{ id: number, generation: number, records: FlatRecord[] }} Block
 */

const BLOCK_RECORDS_MAX = 100;

/** @type {Checkpoint} */
const NOTHING = {
  epoch: "",
  cursor: "",
  ready: false,
  generation: 0,
  filling: false,
  total: null,
  received: 0,
  uploaded_at: null,
  version: 0,
};

function layOutReplica(database) {
  for (const name of database.objectStoreNames) database.deleteObjectStore(name);
  database.createObjectStore("blocks", { keyPath: "id" });
  database.createObjectStore("state");
}

export class Replica {
  #database = new Database({ name: "linli-sealed-replica", version: 1, upgrade: layOutReplica, durability: "relaxed" });
  #kinds;
  #vault;
  /** @type {Promise<Held> | null} a cache of what the database holds, opened */
  #held = null;

  /**
   * @param {Record<string, { indexes: string[] }>} kinds
   * @param {Pick<import("./vault.js").Vault, "seal" | "open">} vault
   */
  constructor(kinds, vault) {
    this.#kinds = kinds;
    this.#vault = vault;
  }

  // Reading

  /** @returns {Promise<Checkpoint>} whether the vault is open or not */
  async checkpoint() {
    const held = await this.#held?.catch(() => null);
    if (held) return held.checkpoint;
    const read = (transaction) => requested(transaction.objectStore("state").get("checkpoint"));
    return { ...NOTHING, ...(await this.#database.read(["state"], read)) };
  }

  /** @returns {Promise<FlatRecord | null>} */
  async record(id) {
    return (await this.#load()).records.get(id) ?? null;
  }

  /** @returns {Promise<FlatRecord[]>} those of a kind; with `field`, those whose declared index field has the value */
  async records(kind, field = "", value = undefined) {
    const held = await this.#load();
    if (!field) return held.byKind.get(kind) ?? [];
    if (!this.#kinds[kind].indexes.includes(field)) throw new Error(`${kind}.${field} is not a declared index`);
    return held.indexed(kind, field).get(value) ?? [];
  }

  /** @returns {Promise<FlatRecord[]>} of every kind */
  async all() {
    return [...(await this.#load()).records.values()];
  }

  // Writing

  /** Forgets how far the feed was read: the next exchange fills a new generation. Pages are shown meanwhile. */
  async startAfresh() {
    await this.#database.write(["state"], async (transaction) => {
      const state = transaction.objectStore("state");
      const before = { ...NOTHING, ...(await requested(state.get("checkpoint"))) };
      state.put({ ...before, epoch: "", cursor: "", version: before.version + 1 }, "checkpoint");
    });
    this.#held = null;
  }

  /**
   * Applies one page of a pull and moves the checkpoint over it, if it still stands where the page was asked from:
   * another exchange may have moved it meanwhile, and a page continues its own checkpoint and no other.
   * @param {import("../sync/protocol.js").Answer} answer
   * @param {{ now: number, asked: { epoch: string, cursor: string } }} when
   * @returns {Promise<boolean>} whether it was applied
   */
  async apply(answer, { now, asked }) {
    const records = Object.values(answer.records).flat();
    for (;;) {
      const { blocks, checkpoint: before } = await this.#load();
      const checkpoint = nextCheckpoint(before, answer, records.length, now);
      const isSweeping = (before.filling || answer.reset) && !answer.more;
      const old = checkpoint.filling || isSweeping ? new Set() : outlived(blocks, records);
      const next = nextBlocks(blocks, { records, purged: answer.purge, old, generation: checkpoint.generation, isSweeping });
      const isStored = await this.#write(next, checkpoint, asked);
      // What was just sealed need not be opened again.
      this.#held = isStored ? Promise.resolve(new Held(next.blocks, checkpoint)) : null;
      if (isStored) return true;
      const { epoch, cursor } = await this.checkpoint();
      if (epoch !== asked.epoch || cursor !== asked.cursor) return false;
    }
  }

  /** Takes over what an older worker stored in clear text, unless there is something newer. */
  async takeOver(records, checkpoint) {
    const { version } = await this.checkpoint();
    const { generation } = checkpoint;
    const next = nextBlocks([], { records, purged: [], old: new Set(), generation, isSweeping: false });
    if (version === 0) await this.#write(next, { ...NOTHING, ...checkpoint, version: 1 }, NOTHING);
    this.#held = null;
  }

  /** Lets go of everything. */
  async clear() {
    await this.#database.write(["blocks", "state"], (transaction) => {
      for (const name of ["blocks", "state"]) transaction.objectStore(name).clear();
    });
    this.#held = null;
  }

  /** Lets go of what it has opened. */
  refresh() {
    this.#held = null;
  }

  // Private

  /** @returns {Promise<boolean>} false when another write came first */
  async #write({ blocks, changed, removed }, checkpoint, { epoch, cursor }) {
    const isChanged = (block) => changed.has(block.id);
    const rows = await Promise.all(blocks.filter(isChanged).map((block) => this.#sealed(block)));
    return this.#database.write(["blocks", "state"], async (transaction) => {
      const [store, state] = [transaction.objectStore("blocks"), transaction.objectStore("state")];
      const before = { ...NOTHING, ...(await requested(state.get("checkpoint"))) };
      const isAsWas = before.epoch === epoch && before.cursor === cursor && before.version === checkpoint.version - 1;
      if (!isAsWas) return false;
      for (const id of removed) store.delete(id);
      for (const row of rows) store.put(row);
      state.put(checkpoint, "checkpoint");
      return true;
    });
  }

  async #sealed({ id, generation, records }) {
    return { id, generation, sealed: await this.#vault.seal(records, blockBinding(id, generation)) };
  }

  #load() {
    this.#held ??= this.#read().catch((error) => {
      this.#held = null;
      throw error;
    });
    return this.#held;
  }

  async #read() {
    const open = async ({ id, generation, sealed }) => {
      return { id, generation, records: await this.#vault.open(sealed, blockBinding(id, generation)) };
    };
    try {
      const { checkpoint, rows } = await this.#stored();
      return new Held(await Promise.all(rows.map(open)), { ...NOTHING, ...checkpoint });
    } catch (error) {
      if (!["OperationError", "DataError"].includes(/** @type {Error} */ (error).name)) throw error;
      console.error("the replica is damaged, or was sealed with a key that is gone", error);
      await this.clear();
      return new Held([], NOTHING);
    }
  }

  /**
   * @returns {Promise<{ checkpoint: Checkpoint | undefined, rows: { id: number, generation: number, sealed: ArrayBuffer }[] }>}
   * @throws {DOMException} a DataError for a block that is lost though its database answers: Chromium keeps what is large in
   *   files of its own (P19). It would keep every page and every pull waiting for ever.
   */
  #stored() {
    let isAnswering = false;
    const read = async (transaction) => {
      isAnswering = false;
      const checkpoint = await requested(transaction.objectStore("state").get("checkpoint"));
      isAnswering = true;
      return { checkpoint, rows: await requested(transaction.objectStore("blocks").getAll()) };
    };
    return this.#database.read(["blocks", "state"], read).catch((error) => {
      // A transaction that was ended from outside says nothing of what it would have read.
      throw isAnswering && error.name !== "AbortError" ? new DOMException(error.message, "DataError") : error;
    });
  }
}

const blockBinding = (id, generation) => `replica\n${id}\n${generation}`;

/**
 * The blocks after a page: what it brings takes the place of what was there, or joins the last block that has room.
 * @param {Block[]} before in order of their ids; in later ones stands what is newer
 * @param {{ records: FlatRecord[], purged: string[], old: Set<string>, generation: number, isSweeping: boolean }} page `old`:
 *   ids that it makes too many
 * @returns {{ blocks: Block[], changed: Set<number>, removed: number[] }}
 */
function nextBlocks(before, { records, purged, old, generation, isSweeping }) {
  const fresh = new Map(records.filter(({ id }) => !old.has(id)).map((record) => [record.id, record]));
  const gone = new Set(purged);
  /** @type {Block[]} */
  const blocks = [];
  /** @type {number[]} */
  const removed = [];
  const changed = new Set();
  for (const block of before) {
    const isOld = block.generation !== generation;
    const take = (record) => {
      const newer = isOld ? undefined : fresh.get(record.id);
      if (newer) fresh.delete(record.id);
      return newer ?? (gone.has(record.scope_id) || old.has(record.id) ? [] : record);
    };
    const left = isSweeping && isOld ? [] : block.records.flatMap(take);
    const isSame = left.length === block.records.length && left.every((record, place) => record === block.records[place]);
    if (!isSame) changed.add(block.id);
    if (left.length === 0) removed.push(block.id);
    else blocks.push(isSame ? block : { ...block, records: left });
  }
  let last = blocks.at(-1);
  for (const record of fresh.values()) {
    if (!last || last.generation !== generation || last.records.length >= BLOCK_RECORDS_MAX) {
      const id = (blocks.at(-1)?.id ?? before.at(-1)?.id ?? 0) + 1;
      blocks.push((last = { id, generation, records: [] }));
    } else if (!changed.has(last.id)) blocks[blocks.length - 1] = last = { ...last, records: [...last.records] };
    changed.add(last.id);
    last.records.push(record);
  }
  return { blocks, changed, removed };
}

/** The visits that a page makes too many. @returns {Set<string>} their ids */
function outlived(blocks, page) {
  if (!page.some(({ kind }) => kind === "visit")) return new Set();
  const records = new Map([...blocks.flatMap((block) => block.records), ...page].map((record) => [record.id, record]));
  // The server's rule (is_sent_back in sync/store.py): what waits for its author stays, and nothing else.
  const isDue = ({ review_state, review_outdated, is_void }) => review_state === "sent_back" && !review_outdated && !is_void;
  const older = [...olderVisits(records.values())].filter((visit) => !isDue(visit));
  return new Set(older.map(({ id }) => id));
}

/**
 * @param {Checkpoint} before
 * @returns {Checkpoint}
 */
function nextCheckpoint(before, answer, received, now) {
  return {
    epoch: answer.epoch,
    cursor: answer.cursor,
    ready: before.ready || !answer.more,
    generation: before.generation + (answer.reset ? 1 : 0),
    filling: (before.filling || answer.reset) && answer.more,
    total: answer.total ?? before.total,
    received: (answer.reset ? 0 : before.received) + received,
    uploaded_at: answer.more ? before.uploaded_at : now,
    version: before.version + 1,
  };
}

/** What the replica holds, in memory, found by id, kind and declared index. */
class Held {
  #indexes = new Map();

  /**
   * @param {Block[]} blocks
   * @param {Checkpoint} checkpoint
   */
  constructor(blocks, checkpoint) {
    this.blocks = blocks;
    this.checkpoint = checkpoint;
    this.records = new Map(blocks.flatMap(({ records }) => records).map((record) => [record.id, record]));
    this.byKind = groupBy([...this.records.values()], "kind");
  }

  indexed(kind, field) {
    const name = `${kind}.${field}`;
    if (!this.#indexes.has(name)) this.#indexes.set(name, groupBy(this.byKind.get(kind) ?? [], field));
    return this.#indexes.get(name);
  }
}
