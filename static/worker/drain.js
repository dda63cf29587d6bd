// When exchanges happen. Anything may ask for one, at any time, from any tab; one runs at a time, and between failures
// it waits. The lock is only an optimisation: the server takes a change once however often it comes.

import { Backoff, BACKOFF_MAX_MS } from "../sync/backoff.js";
import { IMPORT_PATH } from "../store/mirror.js";
import { KEPT_MS } from "../sync/entries.js";
import { Batch, isAnswered, Pages, runExchange } from "../sync/exchange.js";
import { digestOf, holdingsText } from "../sync/holdings.js";
import { readFailure } from "../sync/protocol.js";
import { askStanding } from "./enrolment.js";
import { keeping, noteFull } from "./storage.js";

/**
 * @typedef {"load" | "timer" | "online" | "visible" | "saved" | "unlocked" | "sync" | "asked"} Cause the last one is a person
 */

const LOCK = "linli-drain";
// Nobody answered, so nobody is overloaded: a phone in somebody's hand looks again soon, above all with something to send.
const BACKOFF_UNREACHABLE_MAX_MS = 30_000;
const BACKOFF_WAITING_MAX_MS = 8000;
// Something answers in the server's place, or nothing does in time: an outage, of whose end nobody tells the phone. Only
// visible pages ask in between.
const BACKOFF_OUTAGE_MAX_MS = 60_000;
// How long the server's word about this device (its standing, its person, the server's key) is taken as known.
const STANDING_KEPT_MS = 6 * 60 * 60_000;
// How often what this phone holds is compared with what it should hold.
const COMPARED_EVERY_MS = 24 * 60 * 60_000;
// Refusals that are the server's own trouble, and pass.
const BUSY = ["busy", "storage"];
const SHOWN_TO_MS = 60_000;
// An exchange that takes longer is spoken of, so that nobody stands and waits for it.
const SLOW_MS = 8000;
const STANDING_BY_CODE = { unknown_device: "unknown", not_confirmed: "waiting" };

export class Drain {
  #phone;
  #transport;
  #uploader;
  #onChange;
  #onLeft;
  #batch = new Batch();
  #pages = new Pages();
  #backoff = new Backoff();
  #isRecalled = false;
  #hasAnswered = false;
  /** @type {Promise<void> | null} */
  #running = null;
  #isAskedAgain = false;
  #waitedBefore = 0;
  #refusedCopies = new Set(); // until this worker starts anew

  /**
   * @param {import("./phone.js").Phone} phone
   * @param {ReturnType<typeof import("../sync/transport.js").createTransport>} transport
   * @param {import("./uploader.js").Uploader} uploader
   * @param {() => Promise<void>} onChange something that pages show has changed
   * @param {() => Promise<void>} [onLeft] the phone was just taken away: nobody may look at any page any longer
   */
  constructor(phone, transport, uploader, onChange, onLeft = async () => {}) {
    this.#phone = phone;
    this.#transport = transport;
    this.#uploader = uploader;
    this.#onChange = onChange;
    this.#onLeft = onLeft;
  }

  /** How long a page should wait before it asks again, in ms; null for its own rhythm. */
  get retryInMs() {
    return this.#backoff.failures === 0 ? null : this.#backoff.leftMs;
  }

  /** Does the server answer, and refuse? */
  get isRefused() {
    return this.#backoff.failures > 0 && this.#hasAnswered;
  }

  /**
   * Exchanges until the outbox is empty and the feed read, unless it is too early. Never rejects.
   * @param {Cause} cause
   */
  run(cause) {
    const isAsked = cause === "asked";
    // A page that was being left when the network came back has told nobody.
    const isBack = cause === "online" || (this.#phone.isOffline && self.navigator?.onLine === true);
    if (isAsked || (isBack && !this.#backoff.isOrdered)) this.#backoff.reset();
    this.#isRecalled ||= isAsked; // a person is not kept waiting by the server's word
    if (isAsked || isBack) this.#uploader.hurry(isAsked);
    // An exchange that is under way may just have missed what was saved, or taken back; begun while locked, it brings no list.
    if (this.#running) this.#isAskedAgain ||= cause === "saved" || cause === "unlocked" || isAsked;
    if (cause === "saved") this.#uploader.yield();
    this.#running ??= this.#runAlone().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  /** Asks how this device stands: now, unless the server ordered a wait. Somebody has been waiting for a coordinator. */
  async meet() {
    await this.#recall();
    if (!this.#backoff.isOrdered) this.#backoff.reset();
    if (this.#backoff.leftMs === 0) await this.#mayExchange();
  }

  // Private

  async #runAlone() {
    do {
      this.#isAskedAgain = false;
      await this.#recall();
      if (this.#backoff.leftMs > 0) return;
      await withLock(() => this.#attempt()).catch((error) => this.#putOff(error));
    } while (this.#isAskedAgain);
  }

  /** What the server ordered outlives the worker that it was said to. */
  async #recall() {
    if (this.#isRecalled) return;
    this.#isRecalled = true;
    const { put_off } = await this.#phone.outbox.device().catch(() => ({ put_off: null }));
    if (put_off) this.#backoff.recall(put_off);
  }

  /** The phone's own storage takes nothing in: nothing is lost. Locked meanwhile, it has not failed, and waits for nothing. */
  async #putOff(error) {
    if (error.name === "LockedError") return;
    console.error("exchange", error);
    const phone = this.#phone;
    this.#backoff.pause(BACKOFF_UNREACHABLE_MAX_MS);
    if (error.name !== "QuotaExceededError") return;
    phone.isFull = true;
    phone.unreachableAt = null; // it has answered
    await noteFull(phone.outbox, Date.now());
    await this.#tellPages();
  }

  async #attempt() {
    await this.#phone.prepare();
    try {
      await this.#bringUpToDate();
    } finally {
      // Last, so that a copy that nobody answers holds up no text; a phone without a key or without room has copies, too.
      if (this.#backoff.leftMs === 0) await this.#rescue().catch((error) => console.error("rescue", error));
    }
  }

  async #bringUpToDate() {
    const { keyPair } = await this.#phone.outbox.device();
    if (!keyPair) return;
    const before = JSON.stringify(await this.#phone.outboxState());
    await this.#noteReturn();
    if (await this.#mayExchange()) await this.#exchange();
    if (before !== JSON.stringify(await this.#phone.outboxState())) await this.#onChange();
  }

  /** The network is there again: what waits is on its way. That a server is there again, only its answer tells. */
  async #noteReturn() {
    const phone = this.#phone;
    const isBack = phone.isOffline && self.navigator?.onLine === true;
    this.#waitedBefore = (await phone.outboxState()).waiting;
    phone.back = isBack ? this.#waitedBefore : 0;
    if (!isBack) return;
    phone.isOffline = false;
    await this.#tellPages();
  }

  /** Asks the server how this device stands, unless that is known. What a revoked one still holds goes up as well. */
  async #mayExchange() {
    const { outbox } = this.#phone;
    const known = await outbox.device();
    const isFresh = known.standing === "active" && Math.abs(Date.now() - (known.asked_at ?? 0)) < STANDING_KEPT_MS;
    if (isFresh) return true;
    let reply;
    try {
      reply = await askStanding(this.#phone, this.#transport.ask, Date.now());
    } catch (error) {
      const isTimeout = /** @type {Error} */ (error).name === "TimeoutError";
      await this.#fail({ reason: isTimeout ? "timeout" : "unreachable", code: "", retry_after_ms: null });
      return false;
    }
    const { standing, server_key } = await outbox.device();
    const mayExchange = !isPutOff(reply) && Boolean(server_key) && (standing === "active" || standing === "revoked");
    if (!mayExchange && reply.status === 200) this.#backoff.reset(); // it waits for a coordinator, and looks in its own rhythm
    else if (!mayExchange) await this.#fail(describePause(reply));
    return mayExchange;
  }

  /** The only copies of visits whose database was lost, with the key that signed them. */
  async #rescue() {
    const { outbox } = this.#phone;
    for (const copy of await outbox.stranded()) {
      if (this.#refusedCopies.has(copy.change_id)) continue;
      const reply = await this.#transport.postSigned({ path: IMPORT_PATH, ...copy });
      if (isPutOff(reply)) {
        this.#uploader.allow(null);
        return this.#backoff.leaveAlone({ retryAfterMs: reply.retry_after_ms });
      }
      if (reply.status === 200 && isAnswerTo(copy, reply.text)) await outbox.letGoOfStranded(copy);
      else this.#refusedCopies.add(copy.change_id);
    }
  }

  async #exchange() {
    const { outbox, app } = this.#phone;
    const { device_id } = await outbox.device();
    const slow = setTimeout(() => void this.#saySlow(true), SLOW_MS);
    const store = exchangeStore(this.#phone);
    const isOffered = ({ change_id }) => !this.#phone.givingUp.has(change_id);
    const outcome = await runExchange({
      store: { ...store, entries: async () => (await store.entries()).filter(isOffered) },
      post: this.#transport.postSync,
      clock: { now: Date.now, pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)) },
      batch: this.#batch,
      pages: this.#pages,
      schema: app.schema,
      onOffer: (changeIds) => {
        this.#phone.uploading = new Set(changeIds);
        this.#tellProgress().catch(() => {}); // a page that was not told asks by itself
      },
      onStanding: (standing) => this.#heed(standing, device_id).catch((error) => console.error("standing", error)), // once more below
    }).finally(() => {
      clearTimeout(slow);
      this.#phone.uploading = new Set();
      if (this.#phone.isSlow) return this.#saySlow(false);
    });
    if (!outcome.isDone) await this.#fail(outcome);
    else await this.#succeed();
    const isPutOffSince = this.#backoff.failures > 0; // by its comparison
    this.#uploader.allow(isPutOffSince || this.#phone.givingUp.size > 0 ? null : outcome.server); // a photo may be given up as well
    await this.#heed(STANDING_BY_CODE[outcome.code] ?? outcome.standing, device_id);
    // This worker is too old to be answered; a newer one has been waiting to be fetched.
    if (outcome.oldest_schema > app.schema) void registration()?.update().catch(() => {});
  }

  /** How this device stands by the server's word. A phone that is taken away lets go first: it may be too full to note it. */
  async #heed(standing, deviceId) {
    const { outbox } = this.#phone;
    const known = await outbox.device();
    if (known.device_id !== deviceId) return; // it was said of whoever had this phone before
    const isGone = known.left && known.is_wiped; // one that was cut short is not
    if (standing === "revoked" && !isGone) await this.#phone.leave("revoked").then(this.#onLeft);
    if (standing && standing !== known.standing) await outbox.setDevice({ standing });
  }

  async #saySlow(isSlow) {
    this.#phone.isSlow = isSlow;
    await this.#tellPages();
  }

  /** On the way to the server, which no page may hold up: one that was not told asks by itself. */
  #tellPages() {
    return this.#onChange().catch(() => {});
  }

  /** Of the first sync, before each page. */
  async #tellProgress() {
    const { ready, received } = await this.#phone.replica.checkpoint();
    if (!ready && received > 0) await this.#onChange();
  }

  async #succeed() {
    this.#backoff.reset();
    if (this.#phone.unreachableAt !== null) this.#phone.back = this.#waitedBefore;
    if ((await this.#phone.outboxState()).waiting > 0) this.#phone.back = 0; // what no upload helps says so on its own line
    this.#phone.isOffline = false;
    this.#phone.isFull = false;
    this.#phone.unreachableAt = null;
    const { compared_at, is_expired, put_off } = await this.#phone.outbox.device();
    if (is_expired && (await this.#phone.replica.checkpoint()).ready) await this.#phone.outbox.setDevice({ is_expired: false });
    if (put_off) await this.#phone.outbox.setDevice({ put_off: null });
    if (compared_at === undefined) await this.#phone.outbox.setDevice({ compared_at: Date.now() });
    else if (Math.abs(Date.now() - compared_at) >= COMPARED_EVERY_MS) await this.#compare().catch(() => {}); // tomorrow
  }

  /** A replica that has come apart from the server's is filled anew; the outbox has no part in it. */
  async #compare() {
    const { outbox, replica } = this.#phone;
    const { epoch, cursor } = await replica.checkpoint();
    const digest = await digestOf(holdingsText(await replica.all()));
    const reply = await this.#transport.ask("POST", "/sync/audit", { epoch, cursor, digest });
    if (isPutOff(reply)) return this.#fail(describePause(reply));
    const verdict = reply.status === 200 ? JSON.parse(reply.text).verdict : "behind";
    if (verdict === "behind") return; // something moved meanwhile: the next exchange asks again
    await outbox.setDevice({ compared_at: Date.now() });
    // What was held may have been taken in where this phone does not see it; asked for as long as it is kept.
    const isHeld = ({ state, created_at }) => state === "held" && Date.now() - created_at < KEPT_MS;
    if ((await outbox.entries()).some(isHeld)) {
      await outbox.reofferWhere(isHeld);
      this.#isAskedAgain = true;
    }
    if (verdict !== "differs") return;
    await replica.startAfresh();
    this.#isAskedAgain = true;
  }

  /** @param {{ reason: string, code: string, retry_after_ms: number | null }} outcome */
  async #fail({ reason, code, retry_after_ms: retryAfterMs }) {
    const phone = this.#phone;
    phone.back = 0;
    this.#hasAnswered = reason !== "unreachable" && reason !== "timeout";
    phone.isFull = false; // whether there is room now, the next answer tells
    phone.isOffline = !this.#hasAnswered && self.navigator?.onLine === false;
    const isServerDown = !phone.isOffline && (reason !== "refused" || BUSY.includes(code));
    // To the minute, as pages show it: they are told of what has changed, and fetch it.
    phone.unreachableAt = isServerDown ? Date.now() - (Date.now() % SHOWN_TO_MS) : null;
    this.#uploader.allow(null);
    this.#backoff.fail({ longest: await this.#backoffMax(reason), retryAfterMs });
    if (retryAfterMs !== null) await phone.outbox.setDevice({ put_off: this.#backoff.wait }).catch(() => {}); // no room
  }

  async #backoffMax(reason) {
    if (reason === "refused") return BACKOFF_MAX_MS;
    if (reason !== "unreachable") return BACKOFF_OUTAGE_MAX_MS;
    const { waiting } = await this.#phone.outboxState();
    return waiting > 0 ? BACKOFF_WAITING_MAX_MS : BACKOFF_UNREACHABLE_MAX_MS;
  }
}

/** Did the server ask for a pause? A refused push says so through its exchange. */
const isPutOff = ({ status }) => status === 429 || status === 503;

/** Our server's own refusal has a code; a proxy's has none. */
function describePause({ text, retry_after_ms }) {
  const code = readFailure(text);
  return { reason: code ? "refused" : "foreign", code, retry_after_ms };
}

/** Runs alone among all tabs and workers of this phone, or not at all. */
async function withLock(work) {
  if (!navigator.locks) return work();
  return navigator.locks.request(LOCK, { ifAvailable: true }, (lock) => (lock ? work() : undefined));
}

/** Does the server have it? Whatever a captive portal says instead is no answer. */
function isAnswerTo({ change_id }, text) {
  try {
    const { epoch, results } = JSON.parse(text);
    return Boolean(epoch) && results.some((result) => result.change_id === change_id && isAnswered(result));
  } catch {
    return false;
  }
}

const registration = () => /** @type {{ registration?: ServiceWorkerRegistration }} */ (/** @type {unknown} */ (self)).registration;

/**
 * The outbox and the replica as one store.
 * @param {import("./phone.js").Phone} phone
 * @returns {import("../sync/exchange.js").Store}
 */
export function exchangeStore({ outbox, replica, vault }) {
  const begun = outbox.device();
  /** Was the phone left, or is it another's, since this exchange began? A page that was asked for is somebody's who is gone. */
  const isOver = async () => {
    const { device_id, left } = await outbox.device();
    return Boolean(left) || device_id !== (await begun).device_id;
  };
  return {
    isShut: async () => Boolean((await outbox.device()).left) || vault.isLocked(),
    refresh: () => outbox.refresh(),
    entries: () => outbox.entries(),
    settle: (answers, when) => outbox.settle(answers, when),
    note: (changeId, code) => outbox.note(changeId, code),
    reoffer: (epoch) => outbox.reoffer(epoch),
    reofferWhere: (isDue) => outbox.reofferWhere(isDue),
    apply: async (answer, when) => {
      if (await isOver()) return false;
      const isApplied = await replica.apply(answer, when);
      if (!(await isOver())) return isApplied;
      await replica.clear();
      return false;
    },
    conceal: (isCovered) => outbox.conceal(isCovered),
    forget: (when) => outbox.forget(when),
    record: (id) => replica.record(id),
    checkpoint: () => replica.checkpoint(),
    highWater: async () => (await outbox.device()).sequence ?? 0,
    settings: async () => {
      const { language, size } = await outbox.settings();
      const told = { language, size, keeping: await keeping() };
      return Object.fromEntries(Object.entries(told).filter(([, value]) => value));
    },
  };
}
