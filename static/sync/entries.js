// The life of an outbox entry, as plain functions on plain values. The outbox keeps what they return in one transaction;
// each gives null when there is nothing to do.
//
//                    ┌── another epoch, missing, or held and asked again ───────────┐
//                    ▼                                                              │
//     saved ──> waiting ──> acknowledged (shown) ──> acknowledged (sealed only) ──> forgotten after 30 days
//       │            └────> held (shown) ───────────────────────────────────────────┘
//       └── given up: a discard takes its number over, and what it said can be taken back for seven days

/**
 * @typedef {object} Display what the phone itself shows of a change until a pulled record covers it
 * @property {string} kind
 * @property {string} action
 * @property {Record<string, any>} set
 * @property {number} made_at
 *
 * @typedef {object} Entry
 * @property {number} sequence
 * @property {string} change_id
 * @property {string} record_id
 * @property {number} created_at
 * @property {"waiting" | "held" | "acknowledged"} state
 * @property {ArrayBuffer} sealed
 * @property {Display | null} display
 * @property {1} version
 * @property {number | null} acknowledged_at when the server answered, by its own clock
 * @property {number | null} revision
 * @property {string | null} epoch of the answer
 * @property {string} code why it is held, or could not be sent
 *
 * @typedef {{ change_id: string, state: "acknowledged" | "held", revision: number | null, code: string }} Settled
 */

export const KEPT_MS = 30 * 24 * 60 * 60 * 1000;
const GIVEN_UP_KEPT_MS = 7 * 24 * 60 * 60 * 1000;

/**
 * @param {Pick<Entry, "sequence" | "change_id" | "record_id" | "created_at" | "sealed" | "display">} given
 * @returns {Entry}
 */
export function newEntry({ sequence, change_id, record_id, created_at, sealed, display }) {
  return {
    sequence,
    change_id,
    record_id,
    created_at,
    state: "waiting",
    sealed,
    display,
    version: 1,
    acknowledged_at: null,
    revision: null,
    epoch: null,
    code: "",
  };
}

/**
 * After the server's answer. A held entry is answered for as well: the server has its whole text.
 * @param {Entry} entry
 * @param {Map<string, Settled>} answers by change id
 * @param {{ epoch: string, now: number }} when
 * @returns {Entry | null}
 */
export function settleEntry(entry, answers, { epoch, now }) {
  const answer = answers.get(entry.change_id);
  if (!answer) return null;
  const { state, revision, code } = answer;
  return { ...entry, state, revision, code, epoch, acknowledged_at: now };
}

/**
 * An answered entry is offered again: the server lacks it after all, or may have taken a held one in.
 * @param {Entry} entry
 * @param {(entry: Entry) => boolean} isDue
 * @returns {Entry | null}
 */
export function reofferEntry(entry, isDue) {
  if (entry.state === "waiting" || !isDue(entry)) return null;
  return { ...entry, state: "waiting", revision: null, epoch: null, acknowledged_at: null, code: "" };
}

/**
 * Without its display copy, when pulled records cover it. The sealed bytes stay.
 * @param {Entry} entry
 * @param {(entry: Entry) => boolean} isCovered
 * @returns {Entry | null}
 */
export function concealEntry(entry, isCovered) {
  const isShown = entry.state === "acknowledged" && entry.display !== null;
  return isShown && isCovered(entry) ? { ...entry, display: null } : null;
}

/**
 * Was it answered in this very epoch, and kept long enough by both clocks? Either may have been wrong, and put right since.
 * @param {Pick<Entry, "state" | "epoch" | "acknowledged_at" | "created_at">} entry
 * @param {{ epoch: string, now: number, phoneNow: number }} when
 */
export function isForgettable({ state, epoch: answeredIn, acknowledged_at, created_at }, { epoch, now, phoneNow }) {
  const isOld = now - (acknowledged_at ?? now) > KEPT_MS && Math.abs(phoneNow - created_at) > KEPT_MS;
  return state !== "waiting" && answeredIn === epoch && isOld;
}

/** A discard, which is nothing that people see. @param {Entry} entry */
export const isGivenUp = ({ display }) => display?.action === "discard";

/** Of what was given up, by one clock. @param {number} now @returns {(given: { at: number }) => boolean} */
export const isRecallable = (now) => ({ at }) => now - at < GIVEN_UP_KEPT_MS;
