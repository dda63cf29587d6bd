// The way to the server: signed requests that give up in time. Whatever comes back is text; what it means is decided by
// whoever asked.

import { signRequest } from "./seal.js";

const REQUEST_TIMEOUT_MS = 20_000;

/**
 * @param {object} given
 * @param {(path: string, options: RequestInit) => Promise<Response>} given.fetch
 * @param {() => Promise<{ device_id: string, keyPair: CryptoKeyPair }>} given.device
 */
export function createTransport({ fetch, device }) {
  /** @returns {Promise<import("./exchange.js").Reply>} */
  async function ask(method, path, message) {
    const body = new TextEncoder().encode(message === undefined ? "" : JSON.stringify(message));
    const headers = await signRequest({ method, path, body }, await device());
    if (message !== undefined) headers["Content-Type"] = "application/json";
    const giveUp = new AbortController();
    const timer = setTimeout(() => giveUp.abort(new DOMException("no answer", "TimeoutError")), REQUEST_TIMEOUT_MS);
    try {
      const response = await fetch(path, {
        method,
        headers,
        body: message === undefined ? undefined : body,
        signal: giveUp.signal,
        cache: "no-store",
        credentials: "same-origin",
        redirect: "error", // a captive portal sends us elsewhere; our server never does
      });
      const retry_after_ms = readRetryAfter(response.headers.get("Retry-After"), Date.now());
      return { status: response.status, text: await response.text(), retry_after_ms };
    } catch (error) {
      throw giveUp.signal.aborted ? giveUp.signal.reason : error;
    } finally {
      clearTimeout(timer);
    }
  }

  return { ask, postSync: (message) => ask("POST", "/sync", message) };
}

/**
 * Seconds or a date, in ms from now; null for none and for nonsense.
 * @param {string | null} text
 * @param {number} now
 */
export function readRetryAfter(text, now) {
  if (!text) return null;
  const wait = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now;
  return Number.isFinite(wait) ? Math.max(0, wait) : null;
}
