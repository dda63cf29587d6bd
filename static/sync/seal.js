// Sealing changes to the server's public key, and signing requests with the device's own (sync/PROTOCOL.md).
//
// What waits in the outbox can be read by the server alone: not by whoever finds the phone, and not by the phone
// itself. That is why every entry carries a display copy beside it until the server has answered.
//
//     shared = ECDH(one-time key, server's key)     key = HKDF-SHA-256(shared, salt: one-time public key, info)
//     sealed = 1 | key id (8) | one-time public key (65) | nonce (12) | AES-256-GCM(change)

import { sha256Of } from "./hash.js";
import { encodeBase64 } from "./protocol.js";

/**
 * @typedef {object} ServerKey
 * @property {string} id 16 hex digits
 * @property {string} public base64url of the raw point
 */

const SEAL_VERSION = 1;
const CURVE = { namedCurve: "P-256" };
const NONCE_BYTES = 12;
const sealText = new TextEncoder();

/**
 * Seals bytes for one server key, with one one-time key for as long as it lives: a worker's start.
 * @param {ServerKey} serverKey
 * @param {Uint8Array<ArrayBuffer>} serverPoint its raw public point
 * @returns {Promise<(text: string, bound: string) => Promise<ArrayBuffer>>} `bound` is authenticated with the text
 */
export async function createSealer(serverKey, serverPoint) {
  const server = await crypto.subtle.importKey("raw", serverPoint, { name: "ECDH", ...CURVE }, false, []);
  const oneTime = await crypto.subtle.generateKey({ name: "ECDH", ...CURVE }, false, ["deriveBits"]);
  const point = new Uint8Array(await crypto.subtle.exportKey("raw", oneTime.publicKey));
  const shared = await crypto.subtle.deriveBits({ name: "ECDH", public: server }, oneTime.privateKey, 256);
  const keyId = decodeHex(serverKey.id);
  const material = await crypto.subtle.importKey("raw", shared, "HKDF", false, ["deriveKey"]);
  const key = await crypto.subtle.deriveKey(
    { name: "HKDF", hash: "SHA-256", salt: point, info: joinBytes(sealText.encode("linli seal v1"), keyId) },
    material,
    { name: "AES-GCM", length: 256 },
    false,
    ["encrypt"],
  );
  return async (text, bound) => {
    const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
    const additionalData = sealText.encode(bound);
    const cipher = await crypto.subtle.encrypt(
      { name: "AES-GCM", iv: nonce, additionalData },
      key,
      sealText.encode(text),
    );
    return joinBytes(Uint8Array.of(SEAL_VERSION), keyId, point, nonce, new Uint8Array(cipher)).buffer;
  };
}

/** What a sealed change is bound to, so that nobody can file it under another device, change or number. */
export const sealBinding = (deviceId, changeId, sequence) => `${deviceId}\n${changeId}\n${sequence}`;

/**
 * The device's own key pair. The private half cannot leave the phone.
 * @returns {Promise<CryptoKeyPair>}
 */
export function makeDeviceKeys() {
  return crypto.subtle.generateKey({ name: "ECDSA", ...CURVE }, false, ["sign", "verify"]);
}

/**
 * @param {CryptoKey} publicKey
 * @returns {Promise<{ device_id: string, public_key: string }>}
 */
export async function describeDeviceKey(publicKey) {
  const point = await crypto.subtle.exportKey("raw", publicKey);
  const digest = await sha256Of(point);
  const parts = [digest.slice(0, 8), digest.slice(8, 12), digest.slice(12, 16), digest.slice(16, 20), digest.slice(20, 32)];
  return { device_id: parts.join("-"), public_key: encodeBase64(point) };
}

/**
 * The headers by which the server knows this device.
 * @param {object} request
 * @param {string} request.method
 * @param {string} request.path
 * @param {Uint8Array<ArrayBuffer>} request.body as it is sent
 * @param {{ device_id: string, keyPair: CryptoKeyPair }} device
 * @returns {Promise<Record<string, string>>}
 */
export async function signRequest({ method, path, body }, { device_id, keyPair }) {
  const digest = await sha256Of(body);
  const text = `LINLI1\n${method}\n${path}\n${device_id}\n${digest}`;
  const algorithm = { name: "ECDSA", hash: "SHA-256" };
  const signature = await crypto.subtle.sign(algorithm, keyPair.privateKey, sealText.encode(text));
  return { "Linli-Device": device_id, "Linli-Signature": encodeBase64(signature) };
}

/** @param {...Uint8Array} parts */
export function joinBytes(...parts) {
  const joined = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}

const decodeHex = (text) => Uint8Array.from(text.match(/../g) ?? [], (digits) => Number.parseInt(digits, 16));
