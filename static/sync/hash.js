// SHA-256, and how bytes are written in hexadecimal.

/** @param {ArrayBuffer | Uint8Array} bytes */
export const encodeHex = (bytes) =>
  Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");

/**
 * @param {BufferSource} bytes
 * @returns {Promise<string>} in hexadecimal
 */
export async function sha256Of(bytes) {
  return encodeHex(await crypto.subtle.digest("SHA-256", bytes));
}
