// What this phone holds, for the server to compare (sync/holdings.py has the words).

import { groupBy } from "../store/replica.js";
import { sha256Of } from "./hash.js";

const VISITS_KEPT = 3;

/**
 * The lines that are hashed.
 * @param {import("./rebase.js").FlatRecord[]} records of the replica
 */
export function holdingsText(records) {
  const visits = records.filter(({ kind }) => kind === "visit");
  const kept = [...groupBy(visits, "scope_id").values()].flatMap((own) => own.sort(byNewest).slice(0, VISITS_KEPT));
  const others = records.filter(({ kind }) => kind !== "visit");
  return [...others, ...kept].map(({ id, revision }) => `${id} ${revision}`).sort().join("\n");
}

const byNewest = (a, b) => b.made_at - a.made_at || (a.id < b.id ? 1 : -1);

export const digestOf = (text) => sha256Of(new TextEncoder().encode(text));
