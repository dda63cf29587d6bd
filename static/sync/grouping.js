// Records by what they have in common.

/**
 * @template {Record<string, any>} T
 * @param {T[]} records
 * @param {string} field
 * @returns {Map<any, T[]>}
 */
export function groupBy(records, field) {
  const groups = new Map();
  for (const record of records) {
    const group = groups.get(record[field]);
    if (group) group.push(record);
    else groups.set(record[field], [record]);
  }
  return groups;
}
