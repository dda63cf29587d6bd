// The photos and voice notes that are sent with a form, in fields named after their kind.

import { BLOB_BYTES_MAX } from "../sync/protocol.js";

const ATTACHMENTS_MAX = 10;

/**
 * Keeps them before the change that names them is made. A photo never holds up text: one that is
 * too large, or for which there is no room, is left out.
 * @param {import("../store/blobs.js").Blobs} blobs
 * @param {FormData} form
 * @returns {Promise<import("../store/blobs.js").Attachment[]>}
 */
export async function keepAttachments(blobs, form) {
  const kept = [];
  for (const kind of /** @type {const} */ (["photo", "voice"])) {
    for (const file of form.getAll(kind)) {
      const isOne = typeof file !== "string" && file.size > 0 && file.size <= BLOB_BYTES_MAX;
      if (!isOne || kept.length === ATTACHMENTS_MAX) continue;
      try {
        kept.push(await blobs.keep(await file.arrayBuffer(), kind));
      } catch (error) {
        console.error("not kept", error);
      }
    }
  }
  return kept;
}
