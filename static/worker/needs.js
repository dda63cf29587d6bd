// What the visits in the outbox do to their households' needs, which the server will do when it has them: a service that is
// ticked opens a need, one that is unticked takes it back. The twin of `derive` in server/rules.py.

import { isGivenUp } from "../sync/entries.js";
import { uuidFrom } from "./uuid.js";

/**
 * Entries of needs as the visits' own entries imply them, with the ids that the server will give.
 * @param {import("../sync/entries.js").Entry[]} entries in order of sequence
 * @param {(id: string) => Promise<import("../sync/rebase.js").FlatRecord | null>} pulled a record of the replica
 * @returns {Promise<import("../sync/entries.js").Entry[]>}
 */
export async function impliedNeeds(entries, pulled) {
  const visits = new Map();
  const implied = [];
  for (const entry of entries) {
    const { record_id, display } = entry;
    if (display?.kind !== "visit" || isGivenUp(entry)) continue;
    const before = visits.get(record_id) ?? (await pulled(record_id)) ?? { is_void: true };
    if (entry.revision && entry.revision <= before.revision) continue; // what was pulled has it in
    const visit = { ...before, ...display.set, is_void: display.action === "void" };
    visits.set(record_id, visit);
    const [was, wanted] = [ticked(before), ticked(visit)];
    const isRestated = urgencyOf(visit) !== urgencyOf(before);
    const isMoved = needStateOf(visit) !== needStateOf(before);
    for (const service of was.filter((each) => !wanted.includes(each))) implied.push(await followUp(entry, service, "void", {}));
    for (const service of wanted) {
      const isNew = !was.includes(service);
      if (!isNew && !isRestated) continue;
      const said = { household_id: visit.household_id, visit_id: record_id, service, urgency: urgencyOf(visit) };
      const isAsked = isMoved || !ticked({ ...before, is_void: false }).includes(service); // what was seen to comes back as that
      implied.push(await followUp(entry, service, "put", isAsked ? { ...said, need_state: needStateOf(visit) } : said));
    }
  }
  return implied;
}

async function followUp(entry, service, action, set) {
  const [change_id, record_id] = [await uuidFrom(entry.change_id, service), await uuidFrom(entry.record_id, service)];
  return { ...entry, change_id, record_id, display: { kind: "need", action, set, made_at: entry.display.made_at } };
}

export const ticked = ({ needs, is_void }) => (is_void || !Array.isArray(needs) ? [] : needs.filter((need) => need !== "none"));

const urgencyOf = ({ urgency }) => urgency || "";

/** What was answered at the door is no promise (DOMAIN.md 2.1). */
const needStateOf = (visit) => (urgencyOf(visit) === "info" ? "done" : "open");
