// The replica: the phone's copy of what is in its scope. A cache: it may be dropped and filled again at any time, and
// the outbox never depends on it. A page of records and the checkpoint that covers it are one transaction.
//
// Starting afresh (a first sync, another epoch) fills a new generation beside the old one and sweeps the old one out
// with the last page, so a phone that loses its network half-way still has whole pages to show.

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
 */

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
};

function layOutReplica(database) {
  for (const name of database.objectStoreNames) database.deleteObjectStore(name);
  database.createObjectStore("records", { keyPath: "id" });
  database.createObjectStore("state");
}

export class Replica {
  #database = new Database({ name: "linli-replica", version: 1, upgrade: layOutReplica, durability: "relaxed" });
  #kinds;
  /** @type {Promise<Held> | null} a cache of what the database holds */
  #held = null;

  /** @param {Record<string, { indexes: string[] }>} kinds */
  constructor(kinds) {
    this.#kinds = kinds;
  }

  // Reading

  /** @returns {Promise<Checkpoint>} */
  async checkpoint() {
    return (await this.#load()).checkpoint;
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
      state.put({ ...NOTHING, ...(await requested(state.get("checkpoint"))), epoch: "", cursor: "" }, "checkpoint");
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
    const purged = new Set(answer.purge);
    const applied = await this.#database.write(["records", "state"], async (transaction) => {
      const [store, state] = [transaction.objectStore("records"), transaction.objectStore("state")];
      const before = { ...NOTHING, ...(await requested(state.get("checkpoint"))) };
      if (before.epoch !== asked.epoch || before.cursor !== asked.cursor) return null;
      const checkpoint = nextCheckpoint(before, answer, records.length, now);
      const isSweeping = (before.filling || answer.reset) && !answer.more;
      if (isSweeping || purged.size > 0) {
        for (const row of await requested(store.getAll())) {
          const isOld = isSweeping && row.generation !== checkpoint.generation;
          if (isOld || purged.has(row.record.scope_id)) store.delete(row.id);
        }
      }
      for (const record of records) store.put({ id: record.id, generation: checkpoint.generation, record });
      state.put(checkpoint, "checkpoint");
      return { checkpoint, isSweeping };
    });
    const hasChanged = !applied || applied.isSweeping || purged.size > 0 || records.length > 0;
    if (hasChanged) this.#held = null;
    else (await this.#load()).checkpoint = applied.checkpoint;
    return applied !== null;
  }

  // Private

  #load() {
    this.#held ??= this.#read().catch((error) => {
      this.#held = null;
      throw error;
    });
    return this.#held;
  }

  async #read() {
    const [rows, checkpoint] = await this.#database.read(["records", "state"], (transaction) =>
      Promise.all([
        requested(transaction.objectStore("records").getAll()),
        requested(transaction.objectStore("state").get("checkpoint")),
      ]),
    );
    return new Held(
      rows.map((row) => row.record),
      { ...NOTHING, ...checkpoint },
    );
  }
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
  };
}

/** What the replica holds, in memory, found by id, kind and declared index. */
class Held {
  #indexes = new Map();

  constructor(records, checkpoint) {
    this.checkpoint = checkpoint;
    this.records = new Map(records.map((record) => [record.id, record]));
    this.byKind = groupBy(records, "kind");
  }

  indexed(kind, field) {
    const name = `${kind}.${field}`;
    if (!this.#indexes.has(name)) this.#indexes.set(name, groupBy(this.byKind.get(kind) ?? [], field));
    return this.#indexes.get(name);
  }
}

/**
 * @template {Record<string, any>} T
 * @param {T[]} records
 * @param {string} field
 * @returns {Map<any, T[]>}
 */
export function groupBy(records, field) {
  const groups = new Map();
  for (const record of records) {
    const group = groups.get(record[field]);
    if (group) group.push(record);
    else groups.set(record[field], [record]);
  }
  return groups;
}
