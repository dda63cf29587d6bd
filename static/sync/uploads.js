// Photos and voice notes on their way up (PROTOCOL.md, 8): one after the other, in pieces, after all text.
//
//     HEAD ──> where the server stands ──> PATCH the bytes from there ──> where it stands now ──> … ──> whole
//
// The phone keeps no account of how far an upload has come: the server says it before the first piece and after each. So
// there is nothing to repair when either is stopped. Whole is what carries `Upload-Complete: ?1` and an epoch.

import { sha256Of } from "./hash.js";
import { BLOB_CHUNK_BYTES_MAX, readRefusal } from "./protocol.js";

/**
 * @typedef {import("../store/blobs.js").Blobs} Blobs
 * @typedef {import("../store/blobs.js").KeptBlob} KeptBlob
 * @typedef {import("./transport.js").Request} Request
 * @typedef {import("./transport.js").FullReply} FullReply
 *
 * @typedef {object} Ended
 * @property {"" | "stopped" | "stuck" | "unreachable" | "timeout" | "refused" | "foreign"} reason why not all of them are up;
 *   `stuck` is one that does not fit through, however small its pieces
 * @property {number | null} retry_after_ms what the server asks for
 *
 * @typedef {object} Step what a reply leads to: the next byte that is wanted, or an end
 * @property {number} offset
 * @property {string} [whole] the epoch that has it
 * @property {{ code: string, words: string }} [refusal]
 * @property {Ended} [end]
 */

const PIECE_BYTES_MIN = 8 * 1024;
const PIECE_BYTES_FIRST = 64 * 1024;
const QUICK_PIECE_MS = 4000;
const REFUSED_FOR_EVER = ["unsupported_type", "blob_too_large"]; // the server's own words: a proxy has a 415 of its own
const USELESS_MAX = 8; // replies that bring no byte further, before one gets beyond all so far: somebody is mistaken, and it must end

/** How large a piece is: what arrives within seconds, so that a bad line loses little of it. */
export class Pieces {
  size = PIECE_BYTES_FIRST;

  grow() {
    this.size = Math.min(BLOB_CHUNK_BYTES_MAX, this.size * 2);
  }

  /** @returns {boolean} false when it cannot get smaller */
  shrink() {
    const isShrunk = this.size > PIECE_BYTES_MIN;
    this.size = Math.max(PIECE_BYTES_MIN, this.size / 2);
    return isShrunk;
  }
}

/**
 * @param {object} given
 * @param {Blobs} given.blobs
 * @param {(request: Request) => Promise<FullReply>} given.send signed; rejects with a TimeoutError, or another error
 * @param {Pieces} given.pieces kept by the caller from one run to the next
 * @param {() => number} given.now by this phone's clock
 * @param {number} given.at by the server's clock
 * @param {() => boolean} given.isStopped asked before each piece: there may be text to send
 * @param {(sha256: string) => boolean} [given.isWithheld] its visit was given up, and may be taken back
 * @returns {Promise<Ended>}
 * @throws what the phone's own storage said of one of them, when the others are up
 */
export async function runUploads({ isStopped, isWithheld = () => false, ...given }) {
  let failure = null;
  /** @type {Ended | null} */
  let stuck = null;
  for (const blob of (await given.blobs.all()).filter(({ state, sha256 }) => state === "waiting" && !isWithheld(sha256))) {
    const end = await upload(blob, { ...given, isStopped }).catch((error) => void (failure ??= error));
    if (isStopped()) return { reason: "stopped", retry_after_ms: null };
    if (end?.reason === "stuck") stuck = end;
    else if (end) return end;
  }
  if (failure) throw failure;
  return stuck ?? { reason: "", retry_after_ms: null };
}

/** @returns {Promise<Ended | null>} null when this one is settled */
async function upload({ sha256, length }, { blobs, send, pieces, now, at, isStopped }) {
  const bytes = await wholeBytes(blobs, sha256);
  const upload = { path: `/sync/blobs/${sha256}`, bytes, length, pieces };
  let step = stepFrom(await trySend(send, { method: "HEAD", path: upload.path }), 0, upload);
  if (!bytes && !step.whole && !step.end) step.refusal = { code: "damaged", words: "" };
  let furthest = step.offset;
  for (let useless = 0; useless < USELESS_MAX && !isStopped(); ) {
    if (step.whole) await blobs.settle(sha256, { epoch: step.whole, now: at, phoneNow: now() });
    if (step.refusal) await blobs.refuse(sha256, step.refusal);
    if (step.whole || step.refusal || step.end) return step.end ?? null;
    const startedAt = now();
    const next = stepFrom(await trySend(send, pieceOf(upload, step.offset)), step.offset, upload);
    const isFurther = next.offset > step.offset;
    if (isFurther && now() - startedAt < QUICK_PIECE_MS) pieces.grow();
    if (next.offset > furthest) useless = 0;
    else if (!isFurther) useless += 1;
    furthest = Math.max(furthest, next.offset);
    step = next;
  }
  return { reason: "foreign", retry_after_ms: null };
}

/** @returns {Promise<ArrayBuffer | null>} null for what this phone has lost some of (P16): no server would take it */
async function wholeBytes(blobs, sha256) {
  const bytes = await blobs.bytes(sha256).catch((error) => {
    if (!["OperationError", "NotReadableError"].includes(error.name)) throw error; // it may be there the next time
  });
  return bytes && (await sha256Of(bytes)) === sha256 ? bytes : null;
}

/** @returns {Request} the bytes from there on; none at the end of an upload that was stopped before it was finished */
function pieceOf({ path, bytes, length, pieces }, offset) {
  return {
    method: "PATCH",
    path,
    place: ` ${offset}/${length}`,
    headers: { "Upload-Offset": String(offset), "Upload-Length": String(length) },
    body: new Uint8Array(bytes, offset, Math.min(pieces.size, length - offset)),
  };
}

/** @returns {Step} what PROTOCOL.md says of this reply to what was sent from `offset` on */
function stepFrom(reply, offset, { length, pieces }) {
  const standing = [200, 204, 409].includes(reply.status) ? readStanding(reply, length) : null;
  if (standing) return standing;
  const refusal = readRefusal(reply.text);
  const { code } = refusal;
  if (REFUSED_FOR_EVER.includes(code)) return { offset, refusal };
  if (reply.status === 413 && pieces.shrink()) return { offset }; // ours, or that of a proxy which refuses large bodies
  if (reply.status === 422) return { offset: 0 }; // damaged on its way
  if (reply.reason === "timeout") pieces.shrink();
  const reason = reply.reason ?? (reply.status === 413 ? "stuck" : code ? "refused" : "foreign");
  return { offset, end: { reason, retry_after_ms: reply.retry_after_ms } };
}

/** @returns {Step | null} null for what is not ours */
function readStanding({ status, headers }, length) {
  const offset = Number(headers.get("Upload-Offset") ?? NaN);
  const epoch = headers.get("Linli-Epoch") ?? "";
  if (!Number.isInteger(offset) || offset < 0 || offset > length) return null;
  if (status === 409) return { offset };
  if (epoch === "") return null;
  return headers.get("Upload-Complete") === "?1" ? { offset, whole: epoch } : { offset };
}

async function trySend(send, request) {
  try {
    return await send(request);
  } catch (error) {
    const reason = /** @type {Error} */ (error).name === "TimeoutError" ? "timeout" : "unreachable";
    return { status: 0, text: "", retry_after_ms: null, headers: new Headers(), reason };
  }
}
