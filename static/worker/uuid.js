// UUID version 7: ids that sort by time and can be made anywhere (RFC 9562, 5.7).

/**
 * @param {number} now ms UTC
 * @param {Uint8Array} random at least 10 bytes
 * @returns {string} lower case, hyphenated
 */
function uuidAt(now, random) {
  const time = Math.max(0, Math.trunc(now)).toString(16).padStart(12, "0").slice(-12);
  const digits = Array.from(random.subarray(0, 10), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const variant = (8 + (Number.parseInt(digits[3], 16) & 3)).toString(16);
  return `${time.slice(0, 8)}-${time.slice(8)}-7${digits.slice(0, 3)}-${variant}${digits.slice(4, 7)}-${digits.slice(7, 19)}`;
}

/** @param {number} now ms UTC */
export const newUuid = (now) => uuidAt(now, crypto.getRandomValues(new Uint8Array(10)));

/** Is it an id in the one spelling that both hosts accept? */
export const isUuid = (text) =>
  typeof text === "string" && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text);

/**
 * One of a row of ids that follow from the first, for a form that makes several records: the twin of nth_id in
 * server/identifiers.py.
 * @param {string} id
 * @param {number} place
 */
export const nthUuid = (id, place) =>
  id.slice(0, 24) + ((parseInt(id.slice(24), 16) + place) % 2 ** 48).toString(16).padStart(12, "0");

/**
 * An id that follows from another and a name: the twin of Python's uuid5.
 * @param {string} id
 * @param {string} name
 */
export async function uuidFrom(id, name) {
  const bytes = id.replaceAll("-", "").match(/../g)?.map((pair) => parseInt(pair, 16)) ?? [];
  const hashed = await crypto.subtle.digest("SHA-1", Uint8Array.from([...bytes, ...new TextEncoder().encode(name)]));
  const digits = Array.from(new Uint8Array(hashed, 0, 16), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const variant = (8 + (parseInt(digits[16], 16) & 3)).toString(16);
  return `${digits.slice(0, 8)}-${digits.slice(8, 12)}-5${digits.slice(13, 16)}-${variant}${digits.slice(17, 20)}-${digits.slice(20)}`;
}
