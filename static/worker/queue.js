// What a volunteer does with a record that is on her phone still: try again, give up, take back, carry off.
//
// What is given up leaves no gap: a `discard` fills its number (PROTOCOL.md, 4). Did the server have it after all, because
// its answer was lost, then it comes back with the next pull, and taking it back is an edit of the same record.

import { IMPORT_PATH } from "../store/mirror.js";
import { isGivenUp } from "../sync/entries.js";
import { writeMessage } from "../sync/exchange.js";
import { layOver } from "../sync/rebase.js";
import { sealBinding, signRequest } from "../sync/seal.js";
import { CHANGES_MAX } from "../sync/protocol.js";
import { exchangeStore } from "./drain.js";
import { readSubmitted } from "./filled.js";
import { ticked } from "./needs.js";
import { ownPath, seeOther } from "./responses.js";
import { newUuid, uuidFrom } from "./uuid.js";
import { besides, saveChanges } from "./writes.js";

/** @typedef {import("./phone.js").Phone} Phone */

const PATIENT_MS = 8000;
const ASKED_EVERY_MS = 100;
const EXPORT_WORDS = "邻里：还没上传的走访，已加密，只有社区打得开。请把这个文件交给协调员。";

/** What pages show of what was given up, newest first. @param {import("../store/outbox.js").Discarded[]} discarded */
export const listDiscarded = (discarded) =>
  discarded
    .map(({ record_id: id, at, changes }) => {
      const kind = changes[0]?.display.kind;
      return Object.assign({}, ...changes.map(({ display }) => display.set), { kind, id, at, path: pathOf({ kind, id }) });
    })
    .reverse();

const PATHS = { outing: (id) => `/outings/${id}`, decline: (id) => `/declines/${id}/undo` };

/** The page of a volunteer's own record. @param {Record<string, any>} record */
export const pathOf = ({ kind, id }) => PATHS[kind]?.(id) ?? `/visits/${id}`;

/**
 * @param {Phone} phone
 * @param {import("./writes.js").Seal} seal
 * @param {Request} request POST /queue
 * @param {number} now
 */
export async function answerQueue(phone, seal, request, now) {
  const { record_id: [id] = [""], wish: [wish] = [""], back: [back] = [""] } = readSubmitted(await request.formData());
  if (wish === "discard") {
    // Once more, because an exchange may begin to offer it between the two looks.
    for (let looks = 0; looks < 2 && !(await isDiscarded(phone, id)); looks += 1) {
      await untilAnswered(phone, id);
      const waiting = await waitingOf(phone, id);
      await giveUp(phone, seal, [...waiting, ...(await waitingOfItsNeeds(phone, id, waiting))], now, true);
    }
    if (!(await isDiscarded(phone, id))) return seeOther("/my-visits"); // where it says that it is up
    if (!(await phone.replica.record(id))) await phone.outbox.dropDrafts(({ record_id }) => record_id === id);
  }
  if (wish === "restore") await takeBack(phone, seal, id, now);
  return seeOther(ownPath(back, "/my-visits"));
}

/** Is what was last saved of a record in the bin, by this tap or the one before? Something older of it may be there as well. */
async function isDiscarded({ outbox }, id) {
  const { discarded = [] } = await outbox.device();
  const last = (await outbox.entries()).findLast(({ record_id }) => record_id === id);
  return discarded.some(({ record_id, at }) => record_id === id && at === last?.created_at);
}

/** What is on its way may be up in a moment; no longer than a person waits. */
async function untilAnswered(phone, recordId) {
  const isOnItsWay = (entry) => entry.record_id === recordId && entry.state === "waiting" && phone.uploading.has(entry.change_id);
  for (let waited = 0; waited < PATIENT_MS && (await phone.outbox.entries()).some(isOnItsWay); waited += ASKED_EVERY_MS) {
    await new Promise((resolve) => setTimeout(resolve, ASKED_EVERY_MS));
  }
}

/** The entries of a record that the server has not answered for, and that are not on their way. */
export async function waitingOf({ outbox, uploading }, recordId) {
  const entries = (await outbox.entries()).filter(
    (entry) => entry.record_id === recordId && entry.state === "waiting" && !isGivenUp(entry),
  );
  return entries.every(({ change_id, display }) => display && !uploading.has(change_id)) ? entries : [];
}

/** What was done about needs that these entries of a visit alone open: on its own it would be about a need that nobody knows. */
async function waitingOfItsNeeds(phone, visitId, waiting) {
  const services = new Set(waiting.flatMap(({ display }) => ticked(display?.set ?? {})));
  const ids = await Promise.all([...services].map((service) => uuidFrom(visitId, service)));
  const ofNeed = async (id) => ((await phone.replica.record(id)) ? [] : waitingOf(phone, id));
  return (await Promise.all(ids.map(ofNeed))).flat();
}

/**
 * Discards take the place of these entries. No exchange begins to offer them meanwhile, and one that just did has the first say.
 * @param {Phone} phone
 * @param {import("./writes.js").Seal} seal
 * @param {import("../sync/entries.js").Entry[]} entries of one record, and of what hangs on it
 * @param {number} now
 * @param {boolean} isKept to be taken back
 */
export async function giveUp(phone, seal, entries, now, isKept) {
  const ids = entries.map(({ change_id }) => change_id);
  for (const id of ids) phone.givingUp.add(id);
  try {
    await replaceByDiscards(phone, seal, entries, now, isKept);
  } finally {
    for (const id of ids) phone.givingUp.delete(id);
  }
}

async function replaceByDiscards(phone, seal, entries, now, isKept) {
  if (entries.length === 0) return;
  const { app, outbox } = phone;
  const { device_id } = await outbox.device();
  const instead = await Promise.all(
    entries.map(async ({ sequence, record_id, display: given }) => {
      const about = { change_id: newUuid(now), device_sequence: sequence, kind: given?.kind, record_id };
      const change = { ...about, action: "discard", base: 0, set: {}, made_at: now, schema: app.schema };
      const sealed = await seal(JSON.stringify(change), sealBinding(device_id, about.change_id, sequence));
      const display = { kind: "", action: "discard", set: {}, made_at: now };
      return { sequence, change_id: about.change_id, record_id, created_at: now, sealed, display };
    }),
  );
  const changes = /** @type {any[]} */ (
    entries.map(({ record_id, display }) => ({ change_id: newUuid(now), record_id, display }))
  );
  const { record_id } = entries[0];
  const kept = isKept ? [{ record_id, at: now, changes, photos: await photosOf(phone, record_id, entries) }] : [];
  await outbox.discard(entries, instead, kept, (changeId) => phone.uploading.has(changeId));
}

/** The photos that only these entries of a record name: what it had before goes up, wherever the record itself has gone. */
async function photosOf(phone, recordId, entries) {
  const isAnother = (entry) => entry.record_id === recordId && entries.every(({ sequence }) => sequence !== entry.sequence);
  const others = (await phone.outbox.entries()).filter(isAnother);
  const record = await phone.replica.record(recordId);
  const before = layOver({ record, entries: others, me: await phone.me() });
  // The server has it, and this phone no more: which of them it had is not known, and one too many goes up rather than none.
  if (!before && others.some(({ revision }) => revision)) return [];
  const hashes = (attachments = []) => attachments.map(({ sha256 }) => sha256);
  return entries.flatMap(({ display }) => hashes(display?.set.attachments)).filter((sha256) => !hashes(before?.attachments).includes(sha256));
}

async function takeBack(phone, seal, recordId, now) {
  const found = (await phone.outbox.discarded()).filter(({ record_id }) => record_id === recordId);
  for (const { changes } of found) {
    for (const { change_id, record_id: id = recordId, display } of changes) {
      const { base = "0", attachments } = (await phone.record(display.kind, id)) ?? {};
      const set = besides(attachments, display.set);
      const about = { ...display, set, change_id, record_id: id, schema: phone.app.schema };
      await saveChanges(phone, seal, [{ ...about, base: /^\d+$/.test(base) ? Number(base) : base }], display.made_at);
    }
  }
  // Last: cut off before, the same ids are known when it is taken back again. What the vault did not open just now stays.
  const taken = found.map(({ at }) => at);
  await phone.outbox.keepDiscarded(({ record_id, at }) => record_id !== recordId || !taken.includes(at));
}

/**
 * What waits, of one record or of all, as a file that a coordinator brings in: sealed as it is, and signed for a path by
 * which nobody can read anything, so that a file that goes astray opens nothing.
 * @param {Phone} phone
 * @param {string | null} recordId
 * @param {number} now
 */
export async function answerExport(phone, recordId, now) {
  const device = await phone.outbox.device();
  const { device_id } = device;
  const waiting = (await phone.outbox.entries()).filter(
    ({ state, record_id }) => state === "waiting" && (!recordId || record_id === recordId),
  );
  const messages = [];
  for (let first = 0; first < waiting.length; first += CHANGES_MAX) {
    const offered = waiting.slice(first, first + CHANGES_MAX);
    const store = exchangeStore(phone);
    const body = JSON.stringify(await writeMessage({ store, offered, schema: phone.app.schema, now }));
    const request = { method: "POST", path: IMPORT_PATH, body: new TextEncoder().encode(body) };
    messages.push({ signature: (await signRequest(request, /** @type {any} */ (device)))["Linli-Signature"], body });
  }
  const text = `${EXPORT_WORDS}\n${JSON.stringify({ format: "linli-export", version: 1, device_id, messages })}\n`;
  const name = `linli-${new Date(now).toISOString().slice(0, 10)}-${waiting.length}.txt`;
  return new Response(text, {
    headers: {
      "Content-Type": "text/plain; charset=utf-8",
      "Content-Disposition": `attachment; filename="${name}"`,
      "Cache-Control": "no-store",
      "X-Content-Type-Options": "nosniff",
    },
  });
}
