// When exchanges happen. Anything may ask for one, at any time, from any tab; one runs at a time, and between failures
// it waits. The lock is only an optimisation: the server takes a change once however often it comes.

import { Batch, runExchange } from "../sync/exchange.js";
import { askStanding } from "./enrolment.js";

/**
 * @typedef {"load" | "timer" | "online" | "visible" | "saved" | "sync" | "asked"} Cause
 */

const LOCK = "linli-drain";
const BACKOFF_FIRST_MS = 1000;
const BACKOFF_MAX_MS = 5 * 60_000;
// Nobody answered, so nobody is overloaded: a phone in somebody's hand looks again soon after the server is back.
const BACKOFF_UNREACHABLE_MAX_MS = 8000;
// How long the server's word about this device (its standing, its person, the server's key) is taken as known.
const STANDING_KEPT_MS = 6 * 60 * 60_000;
const RETRY_AFTER_MAX_MS = 60 * 60_000;

export class Drain {
  #phone;
  #transport;
  #onChange;
  #batch = new Batch();
  #failures = 0;
  #nextAt = 0;
  #isOrdered = false;
  /** @type {Promise<void> | null} */
  #running = null;
  #isAskedAgain = false;

  /**
   * @param {import("./phone.js").Phone} phone
   * @param {ReturnType<typeof import("../sync/transport.js").createTransport>} transport
   * @param {() => Promise<void>} onChange something that pages show has changed
   */
  constructor(phone, transport, onChange) {
    this.#phone = phone;
    this.#transport = transport;
    this.#onChange = onChange;
  }

  /** How long a page should wait before it asks again, in ms; null for its own rhythm. */
  get retryInMs() {
    return this.#failures === 0 ? null : Math.max(0, this.#nextAt - Date.now());
  }

  /**
   * Exchanges until the outbox is empty and the feed read, unless it is too early. Never rejects.
   * @param {Cause} cause
   */
  run(cause) {
    if (cause === "online" && !this.#isOrdered) this.#reset();
    if (cause === "asked") this.#reset();
    // What was saved while an exchange is under way may just have missed its last batch.
    if (this.#running) this.#isAskedAgain ||= cause === "saved";
    this.#running ??= this.#runAlone().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  // Private

  async #runAlone() {
    do {
      this.#isAskedAgain = false;
      if (Date.now() < this.#nextAt) return;
      await withLock(() => this.#attempt()).catch((error) => this.#fail("foreign", null, error));
    } while (this.#isAskedAgain);
  }

  async #attempt() {
    const device = await this.#phone.outbox.device();
    if (!device.keyPair) return;
    if (Date.now() - (device.asked_at ?? 0) > STANDING_KEPT_MS || device.standing !== "active") {
      if (!(await this.#askStanding())) return;
    }
    const before = JSON.stringify(await this.#phone.outboxState());
    const outcome = await runExchange({
      store: exchangeStore(this.#phone),
      post: this.#transport.postSync,
      clock: { now: Date.now, pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)) },
      batch: this.#batch,
      schema: this.#phone.app.schema,
      onOffer: (changeIds) => this.#offer(changeIds),
    });
    if (outcome.isDone) this.#succeed(outcome);
    else this.#fail(outcome.reason, outcome.retry_after_ms);
    if (outcome.code === "unknown_device") await this.#phone.outbox.setDevice({ standing: "unknown" });
    if (before !== JSON.stringify(await this.#phone.outboxState())) await this.#onChange();
  }

  /**
   * Asks how this device stands. What a revoked one still holds goes up as well: into quarantine, not into the bin.
   * @returns {Promise<boolean>} may an exchange follow?
   */
  async #askStanding() {
    try {
      await askStanding(this.#phone.outbox, this.#transport.ask, Date.now());
    } catch (error) {
      const isTimeout = /** @type {Error} */ (error).name === "TimeoutError";
      this.#fail(isTimeout ? "timeout" : "unreachable", null);
      return false;
    }
    const { standing, server_key } = await this.#phone.outbox.device();
    return Boolean(server_key) && (standing === "active" || standing === "revoked");
  }

  #offer(changeIds) {
    this.#phone.uploading = new Set(changeIds);
    if (changeIds.length > 0) void this.#onChange();
  }

  #reset() {
    this.#failures = 0;
    this.#nextAt = 0;
    this.#isOrdered = false;
  }

  #succeed({ oldest_schema }) {
    this.#reset();
    this.#phone.isOffline = false;
    if (oldest_schema > this.#phone.app.schema) void registration()?.update().catch(() => {});
  }

  /** Full jitter: a random time up to a bound that doubles, so that phones do not come back all at once. */
  #fail(reason, retryAfterMs, error) {
    if (error) console.error("exchange", error);
    this.#phone.uploading = new Set();
    this.#phone.isOffline = reason === "unreachable" || reason === "timeout";
    this.#failures += 1;
    this.#isOrdered = retryAfterMs !== null;
    const most = reason === "unreachable" ? BACKOFF_UNREACHABLE_MAX_MS : BACKOFF_MAX_MS;
    const bound = Math.min(most, BACKOFF_FIRST_MS * 2 ** this.#failures);
    this.#nextAt = Date.now() + (retryAfterMs === null ? Math.random() * bound : Math.min(retryAfterMs, RETRY_AFTER_MAX_MS));
  }
}

/** Runs alone among all tabs and workers of this phone, or not at all. */
async function withLock(work) {
  if (!navigator.locks) return work();
  return navigator.locks.request(LOCK, { ifAvailable: true }, (lock) => (lock ? work() : undefined));
}

const registration = () => /** @type {{ registration?: ServiceWorkerRegistration }} */ (/** @type {unknown} */ (self)).registration;

/**
 * The outbox and the replica as one store.
 * @param {import("./phone.js").Phone} phone
 * @returns {import("../sync/exchange.js").Store}
 */
function exchangeStore({ outbox, replica }) {
  return {
    entries: () => outbox.entries(),
    settle: (answers, when) => outbox.settle(answers, when),
    note: (changeId, code) => outbox.note(changeId, code),
    reoffer: (epoch) => outbox.reoffer(epoch),
    apply: (answer, when) => replica.apply(answer, when),
    conceal: (isCovered) => outbox.conceal(isCovered),
    forget: (when) => outbox.forget(when),
    record: (id) => replica.record(id),
    checkpoint: () => replica.checkpoint(),
    highWater: async () => (await outbox.device()).sequence ?? 0,
    settings: async () => {
      const { language, size } = await outbox.settings();
      return Object.fromEntries(Object.entries({ language, size }).filter(([, value]) => value));
    },
  };
}
