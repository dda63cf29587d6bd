// Photos and voice notes: their bytes by their hash, in a database of their own, until the server has them and for thirty
// days more. What names them is a change in the outbox; neither store waits for the other.
//
//     kept ──> waiting ──> whole ──> forgotten after 30 days, by both clocks
//                 ▲ └─> refused       │
//                 └── another epoch ──┘
//
// Refused because this phone had damaged them, they wait again once the same are chosen again.
//
// Bytes lie apart from what is known of them, so that looking through the list reads no megabytes. They are ArrayBuffers:
// WebKit at times refuses Blobs (P16). The vault seals them with a key that needs no PIN, because they go up while it is
// locked.

import { sha256Of } from "../sync/hash.js";
import { BLOB_BYTES_MAX } from "../sync/protocol.js";
import { Database, requested } from "./database.js";

/**
 * @typedef {{ sha256: string, length: number, kind: "photo" | "voice" }} Attachment as a record names it
 *
 * @typedef {Attachment & {
 *   state: "waiting" | "whole" | "refused",
 *   epoch: string,
 *   whole_at: number,
 *   noted_at?: number,
 *   code: string,
 *   words: string,
 * }} KeptBlob `words` are the server's, for the volunteer, when it is refused; `whole_at` is by its clock, `noted_at` by the phone's
 */

const BLOB_KEPT_MS = 30 * 24 * 60 * 60 * 1000;

const DRAFT = "draft "; // no hash begins like this
const photoBinding = (sha256) => `photo\n${sha256}`;
const chosenBinding = (recordId) => `chosen\n${recordId}`;

function layOutBlobs(database) {
  database.createObjectStore("blobs", { keyPath: "sha256" });
  database.createObjectStore("bytes");
}

export class Blobs {
  #database = new Database({ name: "linli-blobs", version: 1, upgrade: layOutBlobs });
  /** @type {Promise<KeptBlob[]> | null} a cache of what the database holds */
  #all = null;
  #vault;

  /** @param {Pick<import("./vault.js").Vault, "sealPhoto" | "openPhoto">} vault */
  constructor(vault) {
    this.#vault = vault;
  }

  // Reading

  /** @returns {Promise<KeptBlob[]>} */
  all() {
    this.#all ??= this.#database
      .read(["blobs"], (transaction) => requested(transaction.objectStore("blobs").getAll()))
      .catch((error) => {
        this.#all = null;
        throw error;
      });
    return this.#all;
  }

  /** @returns {Promise<ArrayBuffer | undefined>} */
  async bytes(sha256) {
    const kept = await this.#stored(sha256);
    return kept?.sealed ? this.#vault.openPhoto(kept.sealed, photoBinding(sha256)) : kept;
  }

  /** @returns {Promise<{ kind: string, name: string, type: string, bytes: ArrayBuffer }[]>} of a form not saved yet */
  async draft(recordId) {
    const files = (await this.#stored(DRAFT + recordId)) ?? [];
    const open = async ({ sealed, ...about }) => ({ ...about, bytes: await this.#vault.openPhoto(sealed, chosenBinding(recordId)) });
    return Promise.all(files.map(open));
  }

  // Writing

  /**
   * Keeps bytes; when it resolves they are as safe as a visit. Safe to repeat: what is known of them already is left as it
   * is, but the bytes are written anew, because a browser may have lost some (P16). What was refused as damaged waits again;
   * what the server would not have stays refused, because it would not have the same bytes now.
   * @param {ArrayBuffer} bytes
   * @param {"photo" | "voice"} kind
   * @returns {Promise<Attachment>} what a record says of them
   * @throws {RangeError} for what no server takes
   */
  async keep(bytes, kind) {
    const length = bytes.byteLength;
    if (length === 0 || length > BLOB_BYTES_MAX) throw new RangeError(`${length} bytes are no attachment`);
    const sha256 = await sha256Of(bytes);
    const sealed = await this.#vault.sealPhoto(bytes, photoBinding(sha256));
    await this.#database.write(["blobs", "bytes"], async (transaction) => {
      const blobs = transaction.objectStore("blobs");
      const known = await requested(blobs.get(sha256));
      transaction.objectStore("bytes").put({ sealed }, sha256);
      if (known && known.code !== "damaged") return;
      blobs.put({ sha256, length, kind, state: "waiting", epoch: "", whole_at: 0, code: "", words: "" });
    });
    this.#all = null;
    return { sha256, length, kind };
  }

  /**
   * What was chosen for a form that is not saved yet, as it was chosen; no files let go of it. Other forms' that are
   * drafts no more are let go of as well.
   * @param {string} recordId
   * @param {{ kind: string, name: string, type: string, bytes: ArrayBuffer }[]} files
   * @param {string[]} drafts the records of all drafts
   */
  async keepDraft(recordId, files, drafts) {
    const seal = async ({ bytes, ...about }) => ({ ...about, sealed: await this.#vault.sealPhoto(bytes, chosenBinding(recordId)) });
    const sealed = await Promise.all(files.map(seal));
    await this.#database.write(["bytes"], async (transaction) => {
      const store = transaction.objectStore("bytes");
      const isOver = (key) => key.startsWith(DRAFT) && !drafts.includes(key.slice(DRAFT.length));
      for (const key of await requested(store.getAllKeys())) if (isOver(key)) store.delete(key);
      if (sealed.length > 0) store.put(sealed, DRAFT + recordId);
      else store.delete(DRAFT + recordId);
    });
  }

  /** Notes that the server has all of it. */
  settle(sha256, { epoch, now, phoneNow }) {
    const whole = /** @type {const} */ ({ state: "whole", epoch, whole_at: now, noted_at: phoneNow });
    return this.#update((blob) => (blob.sha256 === sha256 ? { ...blob, ...whole } : null));
  }

  /** Notes that the server will not have it, and why. */
  refuse(sha256, { code, words }) {
    const refused = /** @type {const} */ ({ state: "refused", code, words });
    return this.#update((blob) => (blob.sha256 === sha256 ? { ...blob, ...refused } : null));
  }

  /** What was whole in another epoch is asked after again: that server may have lost it. */
  reoffer(epoch) {
    return this.#update((blob) => (blob.state === "whole" && blob.epoch !== epoch ? { ...blob, state: "waiting" } : null));
  }

  /** Removes what has been whole in this epoch for long enough by both clocks, of which either may have been put right since. */
  async forget({ epoch, now, phoneNow }) {
    const isOld = ({ whole_at, noted_at = 0 }) => now - whole_at > BLOB_KEPT_MS && Math.abs(phoneNow - noted_at) > BLOB_KEPT_MS;
    const old = (await this.all()).filter((blob) => blob.state === "whole" && blob.epoch === epoch && isOld(blob));
    await this.remove(old.map(({ sha256 }) => sha256));
  }

  /** Lets go of those that the server has or will not have. */
  async forgetCopies() {
    await this.remove((await this.all()).filter(({ state }) => state !== "waiting").map(({ sha256 }) => sha256));
  }

  /** Seals what an older worker kept in clear. */
  async sealOld() {
    for (const { sha256 } of await this.all()) {
      const kept = await this.#stored(sha256).catch(() => null); // of one that was lost its upload tells
      if (!kept || kept.sealed) continue;
      const sealed = await this.#vault.sealPhoto(kept, photoBinding(sha256));
      await this.#database.write(["bytes"], (transaction) => {
        transaction.objectStore("bytes").put({ sealed }, sha256);
      });
    }
  }

  // Private

  #stored(sha256) {
    return this.#database.read(["bytes"], (transaction) => requested(transaction.objectStore("bytes").get(sha256)));
  }

  /** @param {string[]} hashes */
  async remove(hashes) {
    if (hashes.length === 0) return;
    await this.#database.write(["blobs", "bytes"], (transaction) => {
      for (const sha256 of hashes) {
        for (const name of ["blobs", "bytes"]) transaction.objectStore(name).delete(sha256);
      }
    });
    this.#all = null;
  }

  /** @param {(blob: KeptBlob) => KeptBlob | null} change gives what to store instead, or null to leave it */
  async #update(change) {
    if (!(await this.all()).some((blob) => change(blob))) return;
    await this.#database.write(["blobs"], async (transaction) => {
      const store = transaction.objectStore("blobs");
      for (const blob of await requested(store.getAll())) {
        const changed = change(blob);
        if (changed) store.put(changed);
      }
    });
    this.#all = null;
  }
}
