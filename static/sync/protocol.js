// What travels in an exchange (sync/PROTOCOL.md): the phone's half; sync/protocol.py is the server's.

import { fromColumns } from "./columns.js";

/**
 * @typedef {object} Change one edit of one record
 * @property {string} change_id
 * @property {number} device_sequence
 * @property {string} kind
 * @property {string} record_id
 * @property {"put" | "void" | "discard"} action
 * @property {number | string} base a revision, or the id of this device's own preceding change
 * @property {Record<string, any>} set
 * @property {number} made_at
 * @property {number} schema
 *
 * @typedef {object} Result what became of one change
 * @property {string} change_id
 * @property {string} outcome
 * @property {number} revision
 * @property {string} [code]
 *
 * @typedef {object} Answer of POST /sync
 * @property {string} epoch
 * @property {number} now
 * @property {Result[]} results
 * @property {[number, number][]} missing ranges of sequence numbers that have not arrived, both ends included
 * @property {boolean} reset
 * @property {Record<string, Record<string, any>[]>} records on the wire of a first sync: columns
 * @property {string[]} purge
 * @property {string} cursor
 * @property {boolean} more
 * @property {number} [total]
 * @property {number} oldest_schema
 * @property {number} pause_ms
 * @property {string} [standing] of this device
 */

export const PROTOCOL_VERSION = 1;
export const CHANGES_MAX = 200;
export const CHANGES_AT_FIRST = 50;
export const PACKED_BYTES_MAX = 512 * 1024;
export const PAGE_RECORDS = 1000;
export const BLOB_BYTES_MAX = 5 * 1024 * 1024;
export const BLOB_CHUNK_BYTES_MAX = 256 * 1024;

const TAKEN = new Set(["accepted", "again", "merged", "conflict"]);

/** Is the change settled at the server: in the feed, or a discard that filled its number? Only then is the entry acknowledged. */
export const isTaken = (result) => TAKEN.has(result.outcome);

/**
 * The answer in a response's text, or null for whatever is not ours: a captive portal's page, a cut-off body, a
 * proxy's own JSON. Only what carries the epoch acknowledges anything.
 * @param {string} text
 * @returns {Answer | null}
 */
export function readAnswer(text) {
  const answer = parseObject(text);
  const isOurs =
    typeof answer?.epoch === "string" &&
    answer.epoch !== "" &&
    Array.isArray(answer.results) &&
    Array.isArray(answer.purge) &&
    typeof answer.cursor === "string" &&
    isObject(answer.columns ?? answer.records);
  if (!isOurs) return null;
  return answer.columns ? { ...answer, records: fromColumns(answer.columns) } : answer;
}

/**
 * The `code` of a failure's JSON, or "".
 * @param {string} text
 */
export const readFailure = (text) => readRefusal(text).code;

/**
 * The `code` of a failure's JSON and its sentence for the volunteer; "" for what is not there.
 * @param {string} text
 */
export function readRefusal(text) {
  const failure = parseObject(text);
  const textOf = (value) => (typeof value === "string" ? value : "");
  return { code: textOf(failure?.code), words: textOf(failure?.message) };
}

const isObject = (value) => value !== null && typeof value === "object";

function parseObject(text) {
  try {
    const value = JSON.parse(text);
    return isObject(value) && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

const ARGUMENTS_MAX = 8192; // of one call; more may not fit on an engine's stack

/**
 * @param {ArrayBuffer | Uint8Array} bytes
 * @returns {string} URL-safe and without padding
 */
export function encodeBase64(bytes) {
  const all = new Uint8Array(bytes);
  let text = "";
  for (let at = 0; at < all.length; at += ARGUMENTS_MAX) {
    text += String.fromCharCode(...all.subarray(at, at + ARGUMENTS_MAX));
  }
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** @returns {Uint8Array<ArrayBuffer>} */
export function decodeBase64(text) {
  const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(plain, (character) => character.charCodeAt(0));
}
