// The photos and voice notes that are sent with a form, in fields named after their kind, and the way back to them.

import { sha256Of } from "../sync/hash.js";
import { BLOB_BYTES_MAX } from "../sync/protocol.js";
import { signRequest } from "../sync/seal.js";

const ATTACHMENTS_MAX = 10;
const SIDE_MAX = 1600;
const VOICE_BYTES_MAX = 150 * 1024;
const PATIENCE_MS = 15_000; // a decoder that never answers must not hold up text

/**
 * Keeps them before the change that names them is made. A photo never holds up text: one that cannot be read, is too
 * large, or for which there is no room, is left out, and counted.
 * @param {import("../store/blobs.js").Blobs} blobs
 * @param {FormData} form
 * @param {import("../store/blobs.js").Attachment[]} before what the record names already
 * @param {boolean} [isLeftOut] all of them
 */
export async function keepAttachments(blobs, form, before, isLeftOut = false) {
  /** @type {import("../store/blobs.js").Attachment[][]} `fresh`: those of them that were not on this phone before */
  const [kept, fresh] = [[], []];
  let leftOut = 0;
  for (const kind of /** @type {const} */ (["photo", "voice"])) {
    for (const file of form.getAll(kind)) {
      if (typeof file === "string" || file.size === 0) continue;
      try {
        if (isLeftOut) throw new RangeError("nowhere to put it");
        const bytes = await (kind === "photo" ? inTime(redrawn(file)) : file.arrayBuffer());
        if (bytes.byteLength > (kind === "voice" ? VOICE_BYTES_MAX : BLOB_BYTES_MAX)) throw new RangeError("too large");
        const digest = await sha256Of(bytes);
        const isSame = ({ sha256 }) => sha256 === digest;
        const [named, known] = [[...before, ...kept], await blobs.all()];
        if (named.length >= ATTACHMENTS_MAX && !named.some(isSame)) throw new RangeError("too many");
        const one = await blobs.keep(bytes, kind);
        if (named.some(isSame)) continue;
        kept.push(one);
        if (!known.some(isSame)) fresh.push(one);
      } catch (error) {
        console.error("not kept", error);
        leftOut += 1;
      }
    }
  }
  return { kept, fresh, leftOut };
}

/** Upright, no larger than a screen needs, and without what the camera wrote beside it: where it was taken. */
async function redrawn(file) {
  const picture = await createImageBitmap(file);
  const scale = Math.min(1, SIDE_MAX / Math.max(picture.width, picture.height));
  const canvas = new OffscreenCanvas(Math.ceil(picture.width * scale), Math.ceil(picture.height * scale));
  const drawing = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
  drawing.fillStyle = "white";
  drawing.fillRect(0, 0, canvas.width, canvas.height);
  drawing.drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.close();
  return (await canvas.convertToBlob({ type: "image/jpeg", quality: 0.75 })).arrayBuffer();
}

const inTime = (promise) =>
  Promise.race([promise, new Promise((_, reject) => setTimeout(() => reject(new Error("too slow")), PATIENCE_MS))]);

/**
 * The bytes of /visits/{id}/kept/{sha256}, from this phone, before and after they went up.
 * @param {import("./phone.js").Phone} phone
 * @param {Request} request
 * @returns {Promise<Response | null>} null for what that visit does not name or this phone does not have
 */
export async function answerKept(phone, { url, headers: asked }) {
  const [, , id, , sha256] = new URL(url).pathname.split("/");
  const visit = await phone.record("visit", id);
  const isNamed = visit?.attachments?.some((each) => each.sha256 === sha256);
  const bytes = isNamed && (await phone.blobs.bytes(sha256));
  if (!bytes) return null;
  const type = { 0xff: "image/jpeg", 0x1a: "audio/webm", 0x4f: "audio/ogg" }[new Uint8Array(bytes)[0]] ?? "audio/mp4";
  const headers = { "Accept-Ranges": "bytes", "Content-Type": type, "X-Content-Type-Options": "nosniff" };
  const [start, end] = partAsked(asked.get("Range") ?? "", bytes.byteLength);
  if (start >= end) return new Response(bytes, { headers });
  const range = { "Content-Range": `bytes ${start}-${end - 1}/${bytes.byteLength}` };
  return new Response(bytes.slice(start, end), { status: 206, headers: { ...headers, ...range } });
}

/** From where to where; nothing where no single part is asked for. The twin of part_asked in server/blob_api.py. */
function partAsked(range, length) {
  const [, first = "", last = ""] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(range) ?? [];
  if (first) return [Number(first), Math.min(Number(last || length) + 1, length)];
  return last ? [Math.max(0, length - Number(last)), length] : [0, 0];
}

/**
 * The same from the server, and from there to the page alone. Signed: where this worker answers nearly every page, a session runs out.
 * @param {import("./phone.js").Phone} phone
 * @param {Request} request
 * @returns {Promise<Response | null>} null for what the signature does not open: a coordinator on this phone has her session
 */
export async function fetchSigned(phone, { url, headers: asked, signal }) {
  const path = `/sync/blobs/${new URL(url).pathname.split("/").at(-1)}`;
  const signature = await signRequest({ method: "GET", path, body: new Uint8Array() }, /** @type {any} */ (await phone.outbox.device()));
  const range = asked.get("Range");
  const answer = await fetch(path, { headers: { ...signature, ...(range && { Range: range }) }, signal, redirect: "error" });
  return answer.ok ? answer : null;
}
