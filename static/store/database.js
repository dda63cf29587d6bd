// IndexedDB as promises, and nothing more. Two rules keep what it says true: "done" is the transaction's `complete`
// event, never a request's success (RELIABILITY.md P2), and inside a transaction only the database is awaited (P3).

const REOPEN_PAUSES_MS = [1000, 2000, 4000];
const OPEN_TIMEOUT_MS = 3000;

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
export function requested(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** One database. Its connection may be lost at any time, as iOS does in the background (P17), and is opened again. */
export class Database {
  #name;
  #version;
  #upgrade;
  #durability;
  #pause;
  /** @type {Promise<IDBDatabase> | null} */
  #connection = null;

  /**
   * @param {object} options
   * @param {string} options.name
   * @param {number} options.version
   * @param {(database: IDBDatabase, oldVersion: number) => void} options.upgrade
   * @param {IDBTransactionDurability} [options.durability] of writes; "relaxed" for caches only
   * @param {(milliseconds: number) => Promise<void>} [options.pause]
   */
  constructor({ name, version, upgrade, durability = "strict", pause = wait }) {
    this.#name = name;
    this.#version = version;
    this.#upgrade = upgrade;
    this.#durability = durability;
    this.#pause = pause;
  }

  // Actions

  /**
   * @template T
   * @param {string[]} stores
   * @param {(transaction: IDBTransaction) => T | Promise<T>} work awaits requests of this transaction only
   * @returns {Promise<T>}
   */
  read(stores, work) {
    return this.#run(stores, "readonly", work);
  }

  /**
   * Resolves when the transaction is complete. `work` may be run again after a lost connection whose fate is unknown,
   * so it must be safe to repeat.
   * @template T
   * @param {string[]} stores
   * @param {(transaction: IDBTransaction) => T | Promise<T>} work awaits requests of this transaction only
   * @returns {Promise<T>}
   */
  write(stores, work) {
    return this.#run(stores, "readwrite", work);
  }

  // Lifecycle

  close() {
    const connection = this.#connection;
    this.#connection = null;
    connection?.then((database) => database.close()).catch(() => {});
  }

  // Private

  async #run(stores, mode, work) {
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await transact(await this.#open(), stores, mode, this.#durability, work);
      } catch (error) {
        if (!isConnectionLost(error)) throw error;
        this.close();
        if (attempt === REOPEN_PAUSES_MS.length) throw error;
        await this.#pause(REOPEN_PAUSES_MS[attempt]);
      }
    }
  }

  #open() {
    this.#connection ??= open(this.#name, this.#version, this.#upgrade).then(
      (database) => {
        // Another tab wants to upgrade or delete: let go at once, or it waits for ever (P12).
        database.onversionchange = () => this.close();
        database.onclose = () => this.close();
        return database;
      },
      (error) => {
        this.#connection = null; // asked again the next time: a full disk (P4) may have room by then
        throw error;
      },
    );
    return this.#connection;
  }
}

/** @returns {Promise<void>} when it is gone, or will be as soon as nobody has it open */
export function removeDatabase(name) {
  return new Promise((resolve, reject) => {
    const request = indexedDB.deleteDatabase(name);
    request.onsuccess = request.onblocked = () => resolve();
    request.onerror = () => reject(request.error);
  });
}

/** @returns {Promise<IDBDatabase>} */
function open(name, version, upgrade) {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(name, version);
    let isLate = false;
    // Safari's open() may never answer (P18). A late answer is closed, so that it blocks nobody.
    const timer = setTimeout(() => {
      isLate = true;
      reject(new DOMException(`${name} did not open`, "TimeoutError"));
    }, OPEN_TIMEOUT_MS);
    request.onupgradeneeded = (event) => upgrade(request.result, event.oldVersion);
    request.onsuccess = () => {
      clearTimeout(timer);
      if (isLate) request.result.close();
      else resolve(request.result);
    };
    request.onerror = () => {
      clearTimeout(timer);
      reject(request.error);
    };
  });
}

async function transact(database, stores, mode, durability, work) {
  const transaction = database.transaction(stores, mode, { durability });
  const done = new Promise((resolve, reject) => {
    transaction.oncomplete = resolve;
    // Without an error of its own the abort came from outside: the connection went away.
    transaction.onabort = () => reject(transaction.error ?? new DOMException("cut off", "UnknownError"));
  });
  done.catch(() => {});
  let result;
  try {
    result = await work(transaction);
  } catch (error) {
    try {
      transaction.abort();
    } catch {
      await done; // already over: its own reason says more than ours
    }
    throw error;
  }
  await done;
  return result;
}

const isConnectionLost = (error) => ["InvalidStateError", "UnknownError", "TimeoutError"].includes(error?.name);

const wait = (milliseconds) => new Promise((resolve) => setTimeout(() => resolve(undefined), milliseconds));
