// A copy of every sealed entry in Cache Storage, another engine than the database it may outlive (P20).
//
// Each copy is signed when it is made, as a message of its own: the device's key lies in the database that may break, and
// goes with it (P19). A copy that another key signed than the device has now is stranded: it is sent as it is. It is signed
// for a path by which nobody can read anything (PROTOCOL.md, 11).

import { decodeBase64, encodeBase64, PROTOCOL_VERSION } from "../sync/protocol.js";
import { signRequest } from "../sync/seal.js";

/**
 * @typedef {import("../sync/entries.js").Entry} Entry
 * @typedef {object} Copy
 * @property {number} sequence
 * @property {string} change_id
 * @property {string} record_id
 * @property {number} created_at
 * @property {string} device_id "" of a phone that had no key yet
 * @property {string} signature
 * @property {string} body the message, as it was signed
 */

const MIRROR = "linli-outbox-mirror";
export const IMPORT_PATH = "/sync/import";

const mirrorPath = (changeId) => `/mirror/${changeId}`;

export class Mirror {
  #caches;

  /** @param {CacheStorage} caches */
  constructor(caches) {
    this.#caches = caches;
  }

  /** @returns {Promise<Set<string>>} of which changes there is a copy */
  async changeIds() {
    const requests = await (await this.#open()).keys();
    return new Set(requests.map(({ url }) => new URL(url).pathname.slice(mirrorPath("").length)));
  }

  /** @param {Iterable<string>} changeIds @returns {Promise<Copy[]>} those that can be read: no other waits for one that cannot */
  async copies(changeIds) {
    const mirror = await this.#open();
    const read = async (id) => (await mirror.match(mirrorPath(id)))?.json();
    const found = await Promise.all([...changeIds].map((id) => read(id).catch(() => null)));
    return found.filter((copy) => copy && isWhole(copy));
  }

  /**
   * @param {Pick<Entry, "sequence" | "change_id" | "record_id" | "created_at" | "sealed">} entry
   * @param {Record<string, any>} device
   */
  async add({ sequence, change_id, record_id, created_at, sealed }, { device_id = "", keyPair = null }) {
    const change = { change_id, device_sequence: sequence, sealed: encodeBase64(sealed) };
    const alone = { protocol: PROTOCOL_VERSION, schema: 1, now: 0, epoch: "", high_water: sequence, cursor: "", limit: 1 };
    const body = JSON.stringify({ ...alone, changes: [change], settings: {} });
    const request = { method: "POST", path: IMPORT_PATH, body: new TextEncoder().encode(body) };
    const signature = keyPair ? (await signRequest(request, { device_id, keyPair }))["Linli-Signature"] : "";
    const copy = { sequence, change_id, record_id, created_at, device_id, signature, body };
    await (await this.#open()).put(mirrorPath(change_id), new Response(JSON.stringify(copy)));
  }

  /** @param {Iterable<string>} changeIds */
  async remove(changeIds) {
    const mirror = await this.#open();
    for (const id of changeIds) await mirror.delete(mirrorPath(id));
  }

  #open() {
    return this.#caches.open(MIRROR);
  }
}

/** @param {Copy} copy */
function isWhole(copy) {
  try {
    return Number.isSafeInteger(copy.sequence) && sealedIn(copy).byteLength > 0;
  } catch {
    return false;
  }
}

/** @param {Copy} copy @returns {ArrayBuffer} */
export const sealedIn = ({ body }) => decodeBase64(JSON.parse(body).changes[0].sealed).buffer;
