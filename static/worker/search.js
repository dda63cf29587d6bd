// Who is meant by what was typed: the twin of server/search.py, pinned to it by sync/vectors/search.json. How names are
// spelled was written into the household by the server, so that no table of readings travels to the phone.

/**
 * @param {Record<string, any>} household
 * @param {string} text
 */
export function finds({ door = "", phone_ends = [], members = [], search = [] }, text) {
  const wanted = normalised(text);
  if (!wanted) return false;
  return (
    isAt(door, wanted) ||
    phone_ends.includes(wanted) ||
    members.some((name) => normalised(name).includes(wanted)) ||
    search.some((spelled) => spells(spelled.split(" "), wanted))
  );
}

/** Full-width letters as plain ones, no spaces; an address in words as 3-2-501. */
function normalised(text) {
  const plain = text.normalize("NFKC").toLowerCase().replaceAll(" ", "");
  return /^[1-9]/.test(plain) ? plain.replace(/号楼|单元|[号楼栋幢室]/g, "-").replace(/^-+|-+$/g, "") : plain;
}

/** 3-2-501 by its beginning, with or without its dashes, or by 501 alone. */
const isAt = (door, wanted) =>
  door.startsWith(wanted) || door.replaceAll("-", "").startsWith(wanted) || door.endsWith(`-${wanted}`);

/**
 * Is `wanted` made of beginnings of the syllables, from the first on? zw, zhangw and zhwei are zhang wei.
 * @param {string[]} syllables
 * @returns {boolean}
 */
function spells(syllables, wanted) {
  if (!wanted || syllables.length === 0) return !wanted;
  const [first, ...rest] = syllables;
  for (let count = Math.min(first.length, wanted.length); count > 0; count -= 1) {
    if (first.startsWith(wanted.slice(0, count)) && spells(rest, wanted.slice(count))) return true;
  }
  return false;
}
