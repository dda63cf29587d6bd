// What this phone holds, for the server to compare (sync/holdings.py has the words).

import { groupBy } from "./grouping.js";
import { sha256Of } from "./hash.js";

const VISITS_KEPT = 3;

/**
 * The lines that are hashed.
 * @param {import("./rebase.js").FlatRecord[]} records of the replica
 */
export function holdingsText(records) {
  const older = olderVisits(records);
  return records
    .filter((record) => !older.has(record))
    .map(({ id, revision }) => `${id} ${revision}`)
    .sort()
    .join("\n");
}

/**
 * The visits of each household that are older than its last three.
 * @template {import("./rebase.js").FlatRecord} T
 * @param {Iterable<T>} records
 * @returns {Set<T>}
 */
export function olderVisits(records) {
  const visits = [...records].filter(({ kind }) => kind === "visit");
  return new Set([...groupBy(visits, "scope_id").values()].flatMap((own) => own.sort(byNewest).slice(VISITS_KEPT)));
}

const byNewest = (a, b) => b.made_at - a.made_at || (a.id < b.id ? 1 : -1);

export const digestOf = (text) => sha256Of(new TextEncoder().encode(text));
