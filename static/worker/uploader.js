// When photos and voice notes go up: once all text is up, until there is more. They wait by themselves, so that text never
// waits for them.

import { Backoff } from "../sync/backoff.js";
import { Pieces, runUploads } from "../sync/uploads.js";

export class Uploader {
  #blobs;
  #transport;
  #pieces = new Pieces();
  #backoff = new Backoff();
  #running = Promise.resolve();
  /** @type {AbortController | null} lets go of the piece that is on its way */
  #interrupt = null;
  /** @type {{ epoch: string, now: number } | null} the server as it last answered, while all text is up */
  #server = null;

  #withheld;

  /**
   * @param {import("../store/blobs.js").Blobs} blobs
   * @param {Pick<ReturnType<typeof import("../sync/transport.js").createTransport>, "send">} transport
   * @param {() => Promise<string[]>} [withheld] the hashes of what is not to go up
   */
  constructor(blobs, transport, withheld = async () => []) {
    this.#withheld = withheld;
    this.#blobs = blobs;
    this.#transport = transport;
  }

  /** The server's own time as the last exchange had it; 0 before, when that one failed, and while new text waits. */
  get heardAt() {
    return this.#server?.now ?? 0;
  }

  /** How long until it is worth another try, in ms; null when nothing has failed. */
  get retryInMs() {
    return this.#backoff.leftMs || null;
  }

  // Actions

  /** All text is up, or the last exchange did not get that far, or the server asks for a pause: then null. */
  allow(server) {
    this.#server = server;
  }

  /** There is new text. */
  yield() {
    this.#server = null;
    this.#interrupt?.abort();
  }

  /** The network is back, or a person asks, who is not kept waiting by the server's word either. */
  hurry(isAsked) {
    if (isAsked || !this.#backoff.isOrdered) this.#backoff.reset();
  }

  /** Uploads what waits, after any upload under way. Never rejects. */
  run() {
    this.#running = this.#running.then(() => this.#upload()).catch((error) => console.error("photos", error));
    return this.#running;
  }

  // Private

  async #upload() {
    if (!this.#server || this.#backoff.leftMs > 0) return;
    const { epoch, now: at } = this.#server;
    const { signal } = (this.#interrupt = new AbortController());
    const blobs = this.#blobs;
    await blobs.reoffer(epoch);
    await blobs.forget({ epoch, now: at, phoneNow: Date.now() });
    const send = (request) => this.#transport.send({ ...request, signal });
    const isStopped = () => signal.aborted || !this.#server;
    const withheld = await this.#withheld();
    const isWithheld = (sha256) => withheld.includes(sha256);
    const given = { blobs, send, pieces: this.#pieces, now: Date.now, at, isStopped, isWithheld };
    const { reason, retry_after_ms } = await runUploads(given);
    if (reason === "" || reason === "stopped") this.#backoff.reset();
    else this.#backoff.fail({ retryAfterMs: retry_after_ms });
  }
}
