// Laying the outbox over the replica. The phone never merges: it shows what it pulled with its own changes on top.
//
//     record in the replica ──── entry 41 ──── entry 42 ────>  what the volunteer sees
//          (revision 7)          set A         set B           fields of 7, A over them, B over that
//
// *Records at the checkpoint + outbox = what the volunteer sees.* An entry whose revision the replica has reached is
// inside the record already and is left out, so that nothing flickers while the outbox is being tidied.

import { isGivenUp } from "./entries.js";

/**
 * @typedef {import("./entries.js").Entry} Entry
 * @typedef {{ id: string, name: string, community: string }} Person
 * @typedef {Record<string, any>} FlatRecord a record as templates see it
 */

/**
 * One record with its entries over it, or null when there is neither.
 * @param {object} given
 * @param {FlatRecord | null} given.record
 * @param {Entry[]} given.entries those of this record, in order of sequence
 * @param {Person} given.me
 * @param {(changeId: string) => boolean} [given.isUploading]
 * @returns {FlatRecord | null}
 */
export function layOver({ record, entries: all, me, isUploading = () => false }) {
  const entries = all.filter((entry) => !isGivenUp(entry));
  const reached = record?.revision ?? 0;
  const over = entries.filter((entry) => entry.display && !(entry.revision && entry.revision <= reached));
  if (!record && over.length === 0) return null;
  /** @type {FlatRecord} */
  const result = { ...(record ?? newRecord(over[0], me)) };
  for (const { display } of over) Object.assign(result, display?.set, { is_void: display?.action === "void" });
  result.base = over.at(-1)?.change_id ?? String(reached);
  result.state = stateOf(result, entries, isUploading);
  return result;
}

/** A record that only this phone knows yet. */
function newRecord({ record_id, display }, me) {
  return {
    kind: display.kind,
    id: record_id,
    revision: 0,
    author_id: me.id,
    author_name: me.name,
    made_at: display.made_at,
    received_at: 0,
    is_void: false,
  };
}

/** The least settled of the record's entries names its state. */
function stateOf(record, entries, isUploading) {
  const waiting = entries.findLast((entry) => entry.state === "waiting");
  if (waiting) {
    const name = isUploading(waiting.change_id) ? "uploading" : "waiting";
    return { name, code: waiting.code, at: waiting.created_at };
  }
  const held = entries.findLast((entry) => entry.state === "held");
  if (held) return { name: "held", code: held.code, at: held.acknowledged_at };
  const taken = entries.findLast((entry) => entry.display && entry.revision > record.revision);
  return { name: "uploaded", code: "", at: taken?.acknowledged_at ?? record.received_at };
}

/**
 * A household's consent as this phone knows it: what it pulled, and what its own visits have said since. The server has
 * the last word (server/consent.py). As there, the more cautious word stands at once, and what stood before does not come
 * back by itself; nor does a visit that the server has not taken loosen anything.
 * @param {string} pulled
 * @param {FlatRecord[]} visits that are on their way, in order of time
 * @param {string[]} caution the states, from the most cautious down
 */
export function consentOver(pulled, visits, caution) {
  const told = [pulled];
  for (const { consent_state: said, state } of visits) {
    const [now, then] = [told[told.length - 1], caution.indexOf(said)];
    const isLooser = then < 0 || (caution.includes(now) && then > caution.indexOf(now));
    if (!isLooser || !(state.code || told.includes(said))) told.push(said);
  }
  return told[told.length - 1];
}

/** Does an entry that the pulled visit does not hold yet say something of consent? */
export const saysConsent = ({ display, revision }, pulled) =>
  display?.kind === "visit" && "consent_state" in display.set && !(revision && revision <= (pulled?.revision ?? 0));
