// The way to the server: signed requests that give up in time. Whatever comes back is text; what it means is decided by
// whoever asked.

import { signRequest } from "./seal.js";

const REQUEST_TIMEOUT_MS = 20_000;
const PACKED_FROM_BYTES = 1024; // below that packing saves no round trip and hardly a byte

/**
 * @typedef {object} Request
 * @property {string} method
 * @property {string} path
 * @property {string} [place] what else is signed, behind the path
 * @property {Record<string, string>} [headers]
 * @property {Uint8Array<ArrayBuffer>} [body]
 * @property {AbortSignal} [signal]
 *
 * @typedef {import("./exchange.js").Reply & { headers: Headers }} FullReply
 */

/**
 * @param {object} given
 * @param {(path: string, options: RequestInit) => Promise<Response>} given.fetch
 * @param {() => Promise<{ device_id: string, keyPair: CryptoKeyPair }>} given.device
 */
export function createTransport({ fetch, device }) {
  /**
   * The answer, or a TimeoutError.
   * @param {string} path
   * @param {RequestInit} options
   * @param {AbortSignal} [signal]
   * @returns {Promise<FullReply>}
   */
  async function fetchInTime(path, options, signal) {
    const giveUp = new AbortController();
    signal?.addEventListener("abort", () => giveUp.abort(signal.reason));
    const timer = setTimeout(() => giveUp.abort(new DOMException("no answer", "TimeoutError")), REQUEST_TIMEOUT_MS);
    try {
      // A captive portal sends us elsewhere; our server never does.
      const response = await fetch(path, { ...options, signal: giveUp.signal, cache: "no-store", redirect: "error" });
      const { status, headers } = response;
      const retry_after_ms = readRetryAfter(headers.get("Retry-After"), Date.now());
      return { status, text: await response.text(), retry_after_ms, headers };
    } catch (error) {
      throw giveUp.signal.aborted ? giveUp.signal.reason : error;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * @param {Request} request
   * @returns {Promise<FullReply>}
   */
  async function send({ method, path, place = "", headers = {}, body, signal }) {
    const signed = { method, path: path + place, body: body ?? new Uint8Array() };
    const signature = await signRequest(signed, await device());
    const options = /** @type {RequestInit} */ ({ method, headers: { ...headers, ...signature }, body, credentials: "same-origin" });
    return fetchInTime(path, options, signal);
  }

  /** What was signed long ago, as it is. @param {{ path: string, device_id: string, signature: string, body: string }} signed */
  async function postSigned({ path, device_id, signature, body }) {
    const headers = { "Content-Type": "application/json", "Linli-Device": device_id, "Linli-Signature": signature };
    return fetchInTime(path, { method: "POST", headers, body });
  }

  const ask = async (method, path, message) => send({ method, path, ...(await writeBody(message)) });

  return { send, ask, postSigned, postSync: (message) => ask("POST", "/sync", message) };
}

/**
 * The message as it is sent, packed where that is worth it and the browser can. Sealed changes are noise in base64, of
 * which a quarter goes.
 * @returns {Promise<{ body?: Uint8Array<ArrayBuffer>, headers: Record<string, string> }>}
 */
async function writeBody(message) {
  if (message === undefined) return { headers: {} };
  const headers = { "Content-Type": "application/json" };
  const body = new TextEncoder().encode(JSON.stringify(message));
  if (body.length < PACKED_FROM_BYTES || !("CompressionStream" in self)) return { body, headers };
  const packing = new Blob([body]).stream().pipeThrough(new CompressionStream("gzip"));
  const packed = new Uint8Array(await new Response(packing).arrayBuffer());
  return { body: packed, headers: { ...headers, "Content-Encoding": "gzip" } };
}

/**
 * Seconds or a date, in ms from now. Null for none, for nonsense, and for what has passed (a phone's clock may be ahead):
 * to come back at once would never end.
 * @param {string | null} text
 * @param {number} now
 */
export function readRetryAfter(text, now) {
  if (!text) return null;
  const wait = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now;
  return wait > 0 ? wait : null;
}
