// The vault: what keeps the phone's copies shut (SECURITY.md, What lies on a phone). No other file here knows a key.
//
//     PIN ──PBKDF2──┐
//     device key ───┴─HMAC──> wrapping key ──unwraps──> the vault's key ──opens──> replica, drafts, display copies
//     photo key ──────────────────────────────────────────────────────opens──> photos and voice notes
//
// The device key and the photo key cannot be exported. Without a PIN the worker opens the vault by itself. With one, its
// key lives in memory only, of the worker and of the open pages: a worker that was stopped asks a page for it again.
// Photos have a key of their own, because they must go up while the vault is shut. Queued visits need none of these keys:
// they are sealed to the server (sync/seal.js), so whatever is lost here costs copies and never a visit.

import { joinBytes } from "../sync/seal.js";
import { Database, requested } from "./database.js";

/**
 * @typedef {object} Keys
 * @property {CryptoKey} device
 * @property {CryptoKey} photos
 * @property {ArrayBuffer} wrapped the vault's key
 * @property {Uint8Array<ArrayBuffer>} nonce of `wrapped`
 * @property {Uint8Array<ArrayBuffer> | null} salt of the PIN; null when there is none
 * @property {number} rounds
 * @property {ArrayBuffer} check opens with the vault's key and no other
 * @property {number} wrong PINs in a row
 *
 * @typedef {{ isOpen: boolean, left: number }} Tried `left` tries before the copies must be destroyed
 */

export const PIN_TRIES = 10;
const PIN_ROUNDS = 600_000;
const VAULT_VERSION = 1;
const VAULT_NONCE_BYTES = 12;
const CHECKED = "linli";
const vaultText = new TextEncoder();

/** Thrown for what only an open vault can do. */
export class LockedError extends Error {
  name = "LockedError";
}

/** Was it sealed by a vault? An older worker stored the thing itself. */
export const isSealed = (value) => value instanceof ArrayBuffer;

export class Vault {
  #database = new Database({ name: "linli-vault", version: 1, upgrade: layOutVault });
  #askPages;
  /** @type {Promise<CryptoKey | null> | null} null while it is locked */
  #key = null;

  /** @param {() => Promise<CryptoKey | null>} [askPages] for the key that a page may still hold */
  constructor(askPages = async () => null) {
    this.#askPages = askPages;
  }

  // Reading

  async hasPin() {
    return (await this.#keys()).salt !== null;
  }

  async isLocked() {
    return (await this.#find()) === null;
  }

  /** The key for a page to hold in its memory, where there is a PIN and the vault is open. */
  async keyToHold() {
    return (await this.hasPin()) ? this.#find() : null;
  }

  // Sealing

  /**
   * @param {any} value that JSON can say
   * @param {string} bound what it is, by ids and version: it opens as nothing else
   * @returns {Promise<ArrayBuffer>}
   * @throws {LockedError}
   */
  async seal(value, bound) {
    return sealWith(await this.#open(), vaultText.encode(JSON.stringify(value)), bound);
  }

  /** @throws {LockedError} and an OperationError for what another key sealed */
  async open(sealed, bound) {
    return JSON.parse(new TextDecoder().decode(await openWith(await this.#open(), sealed, bound)));
  }

  /** @param {ArrayBuffer} bytes */
  async sealPhoto(bytes, bound) {
    return sealWith((await this.#keys()).photos, bytes, bound);
  }

  async openPhoto(sealed, bound) {
    return openWith((await this.#keys()).photos, sealed, bound);
  }

  // The PIN

  /** Locked a moment ago, it may be opened by a page now. */
  async lookAgain() {
    if ((await this.#key) === null) this.#key = null;
  }

  /** @returns {Promise<Tried>} */
  async unlock(pin) {
    const { key, ...tried } = await this.#try(pin, false);
    if (key) this.#key = Promise.resolve(key);
    return tried;
  }

  /** Sets, changes or, with "", removes the PIN; `old` is the one it has. @returns {Promise<Tried>} */
  async setPin(old, pin) {
    const { key, ...tried } = await this.#try(old, true);
    if (!key) return tried;
    const wrapped = await wrap(key, (await this.#keys()).device, pin);
    await this.#amend(() => wrapped);
    // It stays open while the new PIN is tried: whatever was read just then would be remembered as shut.
    if (pin) await this.unlock(pin);
    else this.#key = null;
    return tried;
  }

  /** Forgets the key until somebody looks again. */
  lock() {
    this.#key = Promise.resolve(null);
  }

  /** What was sealed cannot be opened again. A new key is in its place; photos on their way keep theirs. */
  async destroy() {
    const { photos } = await this.#keys();
    const made = await makeKeys();
    await this.#amend(() => ({ ...made, photos }));
    this.#key = null;
  }

  // Private

  async #open() {
    const key = await this.#find();
    if (!key) throw new LockedError("the vault is locked");
    return key;
  }

  #find() {
    this.#key ??= this.#seek().catch((error) => {
      this.#key = null;
      throw error;
    });
    return this.#key;
  }

  async #seek() {
    const keys = await this.#keys();
    if (!keys.salt) return unwrap(keys, "", false);
    const held = await this.#askPages();
    const fits = held && (await openWith(held, keys.check, CHECKED).then(Boolean, () => false));
    return fits ? held : null;
  }

  /**
   * A try is counted before it is made, so that stopping the worker buys none. After the last one no PIN is looked at any
   * more; whoever asked destroys what is left (Phone.leave).
   */
  async #try(pin, extractable) {
    await this.#keys();
    const keys = await this.#amend(({ wrong, salt }) => ({ wrong: salt ? wrong + 1 : 0 }));
    const { wrong } = keys;
    const key = wrong > PIN_TRIES ? null : await unwrap(keys, pin, extractable).catch(otherThanWrong);
    if (key) await this.#amend(() => ({ wrong: 0 }));
    return { key, isOpen: key !== null, left: key ? PIN_TRIES : Math.max(0, PIN_TRIES - wrong) };
  }

  /** @returns {Promise<Keys>} made when they are asked for first */
  async #keys() {
    const found = await this.#database.read(["keys"], (transaction) => requested(transaction.objectStore("keys").get("vault")));
    if (found) return found;
    const made = await makeKeys();
    return this.#database.write(["keys"], async (transaction) => {
      const first = await requested(transaction.objectStore("keys").get("vault"));
      if (!first) transaction.objectStore("keys").put(made, "vault");
      return first ?? made;
    });
  }

  /** @param {(keys: Keys) => Partial<Keys>} change @returns {Promise<Keys>} as they are then */
  #amend(change) {
    return this.#database.write(["keys"], async (transaction) => {
      const store = transaction.objectStore("keys");
      const keys = await requested(store.get("vault"));
      const amended = { ...keys, ...change(keys) };
      store.put(amended, "vault");
      return amended;
    });
  }
}

/** Holds one row. @param {IDBDatabase} database */
function layOutVault(database) {
  database.createObjectStore("keys");
}

/** @returns {Promise<Keys>} */
async function makeKeys() {
  const { subtle } = crypto;
  const device = await subtle.generateKey({ name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const photos = await subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
  const key = await subtle.generateKey({ name: "AES-GCM", length: 256 }, true, ["encrypt", "decrypt"]);
  const check = await sealWith(key, vaultText.encode(CHECKED), CHECKED);
  return { device, photos, check, wrong: 0, ...(await wrap(key, device, "")) };
}

/** @param {CryptoKey} key extractable, for this */
async function wrap(key, device, pin) {
  const salt = pin ? crypto.getRandomValues(new Uint8Array(16)) : null;
  const nonce = crypto.getRandomValues(new Uint8Array(VAULT_NONCE_BYTES));
  const wrapping = await wrappingKey({ device, salt, rounds: PIN_ROUNDS }, pin);
  const wrapped = await crypto.subtle.wrapKey("raw", key, wrapping, { name: "AES-GCM", iv: nonce });
  return { wrapped, nonce, salt, rounds: PIN_ROUNDS };
}

/** @param {Keys} keys */
async function unwrap(keys, pin, extractable) {
  const { wrapped, nonce } = keys;
  const algorithm = { name: "AES-GCM", iv: nonce };
  const wrapping = await wrappingKey(keys, pin);
  return crypto.subtle.unwrapKey("raw", wrapped, wrapping, algorithm, "AES-GCM", extractable, ["encrypt", "decrypt"]);
}

/** Of the PIN and the device key together: neither opens anything alone. */
async function wrappingKey({ device, salt, rounds }, pin) {
  const { subtle } = crypto;
  const typed = await subtle.importKey("raw", vaultText.encode(pin), "PBKDF2", false, ["deriveBits"]);
  const stretched = salt
    ? await subtle.deriveBits({ name: "PBKDF2", hash: "SHA-256", salt, iterations: rounds }, typed, 256)
    : new ArrayBuffer(0);
  const mixed = await subtle.sign("HMAC", device, joinBytes(vaultText.encode("linli vault v1"), new Uint8Array(stretched)));
  return subtle.importKey("raw", mixed, "AES-GCM", false, ["wrapKey", "unwrapKey"]);
}

/** 1 | nonce (12) | AES-256-GCM(bytes) */
async function sealWith(key, bytes, bound) {
  const iv = crypto.getRandomValues(new Uint8Array(VAULT_NONCE_BYTES));
  const cipher = await crypto.subtle.encrypt({ name: "AES-GCM", iv, additionalData: additional(bound) }, key, bytes);
  return joinBytes(Uint8Array.of(VAULT_VERSION), iv, new Uint8Array(cipher)).buffer;
}

/** @returns {Promise<ArrayBuffer>} */
function openWith(key, sealed, bound) {
  const iv = new Uint8Array(sealed, 1, VAULT_NONCE_BYTES);
  const cipher = new Uint8Array(sealed, 1 + VAULT_NONCE_BYTES);
  return crypto.subtle.decrypt({ name: "AES-GCM", iv, additionalData: additional(bound) }, key, cipher);
}

const additional = (bound) => vaultText.encode(`linli vault ${VAULT_VERSION}\n${bound}`);

/** A wrong PIN unwraps nothing; whatever else goes wrong is no wrong PIN. */
function otherThanWrong(error) {
  if (error.name !== "OperationError") throw error;
  return null;
}
