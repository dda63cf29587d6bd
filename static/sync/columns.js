// Records out of columns: the twin of the reading half of sync/columns.py, which says why.

/**
 * @typedef {object} Columns
 * @property {string[]} ids
 * @property {Record<string, { values: Record<string, any[]>, ids: Record<string, (number | null)[]> }>} kinds
 */

/**
 * @param {Columns} columns
 * @returns {Record<string, Record<string, any>[]>} by kind
 */
export function fromColumns({ ids, kinds }) {
  const records = {};
  for (const [kind, of] of Object.entries(kinds)) {
    const rows = of.ids.id.map(() => ({ kind }));
    lay(rows, of.values, (value) => value);
    lay(rows, of.ids, (place) => ids[place]);
    records[kind] = rows;
  }
  return records;
}

function lay(rows, columns, read) {
  for (const [name, column] of Object.entries(columns)) {
    for (const [row, value] of column.entries()) if (value !== null) rows[row][name] = read(value);
  }
}
