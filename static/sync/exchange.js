// One exchange: push the outbox, then pull the feed to its end. The order of the steps and nothing else: it is handed
// its store, its way to the server and its clock, and touches no globals.
//
//     while there is something to push or to pull:
//         offer a batch ──> POST /sync ──> its own result for each change, and a page of the feed
//                                            │ 1 acknowledge what was answered, in the answer's own epoch
//                                            │ 2 offer again what another epoch answered, or the server misses
//                                            │ 3 apply the page with its cursor, in one transaction
//                                            └ 4 let go of display copies that the page covers
//
// Stopped between any two steps it starts again from the store: the server answers a known change `again`, and a page
// applied twice is the same page. 1 comes before 3 because an entry that is answered for is safe whatever follows; 4
// comes last so that nothing on screen flickers. What is not our JSON with an epoch acknowledges nothing.

import { CHANGES_AT_FIRST, CHANGES_MAX, PACKED_BYTES_MAX, PAGE_RECORDS, PROTOCOL_VERSION } from "./protocol.js";
import { encodeBase64, isTaken, readAnswer, readFailure } from "./protocol.js";

/**
 * @typedef {import("./entries.js").Entry} Entry
 * @typedef {import("./entries.js").Settled} Settled
 * @typedef {import("./protocol.js").Answer} Answer
 *
 * @typedef {object} Store the outbox and the replica, as the exchange sees them
 * @property {() => Promise<boolean>} [isShut] is the replica out of reach? Then changes go up and results are taken in; the pull waits
 * @property {() => void} refresh another worker may have written since: what was read before is read again
 * @property {() => Promise<Entry[]>} entries in order of sequence
 * @property {(answers: Settled[], when: { epoch: string, now: number }) => Promise<void>} settle
 * @property {(changeId: string, code: string) => Promise<void>} note
 * @property {(epoch: string) => Promise<void>} reoffer
 * @property {(isDue: (entry: Entry) => boolean) => Promise<void>} reofferWhere
 * @property {(answer: Answer, when: { now: number, asked: Asked }) => Promise<boolean>} apply false when the checkpoint has moved
 * @property {(isCovered: (entry: Entry) => boolean) => Promise<void>} conceal
 * @property {(when: { epoch: string, now: number, phoneNow: number }) => Promise<void>} forget
 * @property {(id: string) => Promise<Record<string, any> | null>} record
 * @property {() => Promise<{ epoch: string, cursor: string, ready: boolean }>} checkpoint
 * @property {() => Promise<number>} highWater the last sequence number given out
 * @property {() => Promise<Record<string, string>>} settings
 *
 * @typedef {{ epoch: string, cursor: string }} Asked the checkpoint that a page continues
 *
 * @typedef {object} Reply
 * @property {number} status
 * @property {string} text
 * @property {number | null} retry_after_ms
 *
 * @typedef {object} Ended
 * @property {boolean} isDone
 * @property {"" | "unreachable" | "timeout" | "refused" | "foreign"} reason why not; `refused` is our server's answer
 * @property {string} code of the refusal
 * @property {number | null} retry_after_ms what the server asks for
 * @property {number} oldest_schema that the server still answers to
 * @property {string} standing of this device, "" when the answer does not say
 * @property {{ epoch: string, now: number } | null} server as its last answer has it, when the exchange is done
 */

const QUICK_MS = 2000;
const PAGE_RECORDS_MIN = 25;
const EXCHANGE_PAGES_MAX = 1000; // a server that never says "no more" must not keep a phone awake
const PAUSE_MAX_MS = 60_000;
const NOT_TAKEN = ["too_big", "later"]; // a person is told why it waits
const DONE = /** @type {const} */ ({ isDone: true, reason: "", code: "", retry_after_ms: null });

/** How many changes a batch may hold: more after quick answers, fewer when the network does not carry them. */
export class Batch {
  least = 1;
  most = CHANGES_MAX;
  size = CHANGES_AT_FIRST;

  grow() {
    this.size = Math.min(this.most, this.size * 2);
  }

  /** @param {number} tried it may have been cut by its bytes, or all there was */
  shrink(tried) {
    this.size = Math.max(this.least, Math.floor(tried / 2));
  }
}

/** How many records a page may bring: one that does not arrive in time begins again from nothing, and its push with it. */
export class Pages extends Batch {
  least = PAGE_RECORDS_MIN;
  most = PAGE_RECORDS;
  size = PAGE_RECORDS;
}

/**
 * @param {object} given
 * @param {Store} given.store
 * @param {(message: object) => Promise<Reply>} given.post rejects with a TimeoutError, or another error when unreachable
 * @param {{ now: () => number, pause: (milliseconds: number) => Promise<void> }} given.clock
 * @param {Batch} given.batch kept by the caller from one exchange to the next
 * @param {Pages} given.pages likewise
 * @param {number} given.schema
 * @param {(changeIds: string[]) => void} [given.onOffer] what is on its way, and [] when nothing is
 * @param {(standing: string) => Promise<void>} [given.onStanding] of this device, before anything of the answer is stored: there may be no room
 * @returns {Promise<Ended>} rejects with what the store could not do, after everything that waits was offered: a phone that is full
 *   may be lost tomorrow
 */
export async function runExchange({ store, post, clock, batch, pages, schema, onOffer = () => {}, onStanding = async () => {} }) {
  const refused = new Set(); // tried in this exchange and not taken; must not stand in the way of the others
  const answered = new Set();
  /** @type {unknown[]} */
  const broken = []; // what the store could not do
  const isAllOffered = async () => chooseBatch(await store.entries(), refused, 1).length === 0;
  store.refresh();
  for (let page = 0; page < EXCHANGE_PAGES_MAX; page += 1) {
    const offered = chooseBatch(await store.entries(), refused, batch.size);
    const startedAt = clock.now();
    onOffer(offered.map((entry) => entry.change_id));
    const isShut = (await store.isShut?.()) ?? false;
    const message = await writeMessage({ store, offered, schema, now: startedAt, limit: isShut || broken.length > 0 ? 1 : pages.size });
    const reply = await tryPost(post, message);

    if (reply.status === 413 && offered.length > 0) {
      if (offered.length === 1) {
        refused.add(offered[0].change_id);
        await store.note(offered[0].change_id, "too_big").catch((error) => broken.push(error));
      }
      batch.shrink(offered.length);
      continue;
    }
    const answer = reply.status === 200 ? readAnswer(reply.text) : null;
    if (!answer) {
      if (reply.reason === "timeout" && offered.length > 1) batch.shrink(offered.length);
      if (reply.reason === "timeout" && !isShut) pages.shrink(message.limit);
      onOffer([]);
      return failed(reply);
    }
    await onStanding(answer.standing ?? "");
    await take({ store, answer, asked: message, offered, refused, answered, isShut, now: clock.now() }).catch((error) => {
      broken.push(error);
      for (const { change_id } of offered) refused.add(change_id);
    });
    onOffer([]); // not before the store says what became of it
    if (broken.length > 0 && (await isAllOffered())) throw broken[0];
    const isQuick = clock.now() - startedAt < QUICK_MS;
    if (isQuick && offered.length >= batch.size) batch.grow();
    if (isQuick && answer.more && !isShut) pages.grow();
    if ((isShut || !answer.more) && (await isAllOffered())) {
      const { epoch, now, oldest_schema = 0, standing = "" } = answer;
      return { ...DONE, oldest_schema, standing, server: { epoch, now } };
    }
    if (answer.pause_ms > 0) await clock.pause(Math.min(answer.pause_ms, PAUSE_MAX_MS));
  }
  return failed({ reason: "foreign", text: "", retry_after_ms: null });
}

/** The oldest waiting entries, as many as the batch and its bytes allow, and always one. */
function chooseBatch(entries, refused, size) {
  const chosen = [];
  let bytes = 0;
  for (const entry of entries) {
    if (entry.state !== "waiting" || refused.has(entry.change_id)) continue;
    bytes += Math.ceil(entry.sealed.byteLength / 3) * 4 + 200; // in base64, with its envelope
    if (chosen.length > 0 && (chosen.length === size || bytes > PACKED_BYTES_MAX * 0.9)) break;
    chosen.push(entry);
  }
  return chosen;
}

/**
 * The message that offers these entries.
 * @param {{ store: Store, offered: Entry[], schema: number, now: number, limit?: number }} given
 */
export async function writeMessage({ store, offered, schema, now, limit = PAGE_RECORDS }) {
  const { epoch, cursor, ready } = await store.checkpoint();
  return {
    protocol: PROTOCOL_VERSION,
    schema,
    now,
    epoch,
    high_water: await store.highWater(),
    cursor,
    limit,
    ...(ready ? {} : { form: "columns" }),
    changes: offered.map(({ change_id, sequence, sealed }) => ({
      change_id,
      device_sequence: sequence,
      sealed: encodeBase64(sealed),
    })),
    settings: await store.settings(),
  };
}

async function tryPost(post, message) {
  try {
    return await post(message);
  } catch (error) {
    const reason = /** @type {Error} */ (error).name === "TimeoutError" ? "timeout" : "unreachable";
    return { status: 0, text: "", retry_after_ms: null, reason };
  }
}

/** @returns {Ended} */
function failed({ reason, text, retry_after_ms }) {
  const code = readFailure(text);
  reason ??= code ? "refused" : "foreign";
  return { isDone: false, reason, code, retry_after_ms, oldest_schema: 0, standing: "", server: null };
}

/**
 * Takes an answer in, in the order drawn above. How long an answered entry has been kept is counted by the server's clock
 * and the phone's: either may jump by years, and would let go of what a restored server still needs.
 */
async function take({ store, answer, asked, offered, refused, answered, isShut, now }) {
  const { epoch, now: serverNow } = answer;
  const ours = new Set(offered.map((entry) => entry.change_id));
  const results = answer.results.filter((result) => ours.has(result.change_id));
  await store.settle(results.filter(isAnswered).map(settled), { epoch, now: serverNow });
  for (const result of results.filter(isAnswered)) answered.add(result.change_id);
  for (const changeId of ours) if (!answered.has(changeId)) refused.add(changeId);
  for (const { change_id, outcome } of results) if (NOT_TAKEN.includes(outcome)) await store.note(change_id, outcome);
  await store.reoffer(epoch);
  // A server that misses what it answered a moment ago is mistaken: offered twice in one exchange, it would never end.
  const isMissing = ({ sequence }) => (answer.missing ?? []).some(([from, to]) => from <= sequence && sequence <= to);
  await store.reofferWhere((entry) => isMissing(entry) && !answered.has(entry.change_id));

  if (isShut || answer.oldest_schema > asked.schema) return; // it sends no page to a client as old as this one
  if (!(await store.apply(answer, { now, asked }))) return;
  // A record that moved may have taken a held change in: offered again, it is answered for at its place.
  const moved = new Set(Object.values(answer.records).flatMap((records) => records.map(({ id }) => id)));
  const isToAsk = ({ state, record_id, change_id }) => state === "held" && moved.has(record_id) && !answered.has(change_id);
  await store.reofferWhere(isToAsk);
  const reached = new Map();
  for (const { record_id } of await store.entries()) {
    reached.set(record_id, (await store.record(record_id))?.revision ?? 0);
  }
  // Not pulled although the pull is at its end: out of this phone's scope by now. What this very answer acknowledged
  // waits for the next one, in case its page was read before its changes were written.
  const isLeftOut = (entry) => !answer.more && entry.acknowledged_at < serverNow;
  await store.conceal((entry) => reached.get(entry.record_id) >= entry.revision || isLeftOut(entry));
  await store.forget({ epoch, now: serverNow, phoneNow: now });
}

export const isAnswered = (result) => isTaken(result) || result.outcome === "held";

/** @returns {Settled} */
const settled = (result) => ({
  change_id: result.change_id,
  state: isTaken(result) ? "acknowledged" : "held",
  revision: isTaken(result) ? result.revision : null,
  code: isTaken(result) ? "" : (result.code ?? ""),
});
