// How long to leave the server alone after a failure.

/** @typedef {{ from: number, until: number }} Wait by the phone's clock, in ms UTC */

const BACKOFF_FIRST_MS = 1000;
const RETRY_AFTER_MAX_MS = 60 * 60_000;

export const BACKOFF_MAX_MS = 5 * 60_000;

/** One who asks the server, and is told to leave it alone for a while. */
export class Backoff {
  #failures = 0;
  /** @type {Wait} */
  #wait = { from: 0, until: 0 };
  #isOrdered = false;

  /** How many tries in a row have failed. */
  get failures() {
    return this.#failures;
  }

  /** Is it the server's own word that is waited for? */
  get isOrdered() {
    return this.#isOrdered;
  }

  get wait() {
    return this.#wait;
  }

  /** How much longer, in ms. A clock that was put right, to before the wait began, ends it: it was counted by the wrong one. */
  get leftMs() {
    const now = Date.now();
    return now < this.#wait.from ? 0 : Math.max(0, this.#wait.until - now);
  }

  /** @param {{ longest?: number, retryAfterMs: number | null }} given */
  fail(given) {
    this.#failures += 1;
    this.leaveAlone(given);
  }

  /** Nothing has failed by it. @param {{ longest?: number, retryAfterMs: number | null }} given */
  leaveAlone(given) {
    this.#isOrdered = given.retryAfterMs !== null;
    this.pause(waitAfter(this.#failures, given));
  }

  /** @param {number} milliseconds */
  pause(milliseconds) {
    this.#wait = { from: Date.now(), until: Date.now() + milliseconds };
  }

  /** An order that was given before this worker began. @param {Wait} wait */
  recall(wait) {
    this.#failures = 1;
    this.#isOrdered = true;
    this.#wait = wait;
    if (this.leftMs === 0) this.reset();
  }

  reset() {
    this.#failures = 0;
    this.#isOrdered = false;
    this.#wait = { from: 0, until: 0 };
  }
}

/**
 * What the server orders, within reason; else full jitter: a random time up to a bound that doubles, so that phones do not
 * come back all at once.
 * @param {number} failures in a row
 * @param {{ longest?: number, retryAfterMs: number | null }} options
 */
export function waitAfter(failures, { longest = BACKOFF_MAX_MS, retryAfterMs }) {
  if (retryAfterMs !== null) return Math.min(retryAfterMs, RETRY_AFTER_MAX_MS);
  return Math.random() * Math.min(longest, BACKOFF_FIRST_MS * 2 ** failures);
}
