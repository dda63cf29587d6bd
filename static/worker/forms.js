// Reading what a form sent: the twin of server/forms.py, pinned to it by sync/vectors/forms.json.

import { readDay } from "./filters.js";

/**
 * @typedef {object} Field one question of a form (server/forms.py, field_wire)
 * @property {string} name
 * @property {"choice" | "choices" | "date" | "text" | "names" | "moment" | "clock"} control
 * @property {string[]} codes
 * @property {boolean} is_required
 * @property {{ field: string, values: string[] }[]} shown_when
 * @property {number} limit
 * @property {{ value?: string, record?: string, days?: string, all_good?: string, sooner?: any }} default
 *
 * @typedef {{ name: string, kind: string, fields: Field[] }} Form
 * @typedef {{ code: string, label: string, limit: number }} Problem
 * @typedef {Record<string, string[]>} Submitted the texts of each name
 */

export const LISTS = ["choices", "names"];
const NAMES_MAX = 20;

/**
 * @param {Form} form
 * @param {Submitted} submitted
 * @returns {{ values: Record<string, string | number | string[]>, problems: Record<string, Problem> }}
 */
export function checkSubmitted(form, submitted) {
  const values = {};
  const problems = {};
  for (const field of form.fields) {
    const filled = (submitted[field.name] ?? []).map(normaliseText).filter((text) => text !== "");
    let { problem, value } = readField(field, filled);
    if (isShown(field, values)) {
      if (!problem && filled.length === 0 && field.is_required) problem = "required";
    } else if (filled.length > 0) {
      problem = "not_shown";
    }
    if (problem) problems[field.name] = { code: problem, label: `${form.name}.${field.name}`, limit: field.limit };
    else if (filled.length > 0) values[field.name] = value;
  }
  return { values, problems };
}

/**
 * What was typed, for showing the form again: nothing is dropped.
 * @param {Form} form
 * @param {Submitted} submitted
 */
export function typedValues(form, submitted) {
  const values = {};
  for (const { name, control } of form.fields) {
    const texts = (submitted[name] ?? []).filter((text) => text !== "");
    if (texts.length > 0) values[name] = LISTS.includes(control) ? texts : texts[0];
  }
  return values;
}

/** @returns {{ problem: string, value?: string | number | string[] }} */
function readField(field, filled) {
  if (filled.length === 0) return { problem: "" };
  if (field.control === "choices") return readChoices(field, filled);
  if (field.control === "names") return readNames(field, filled);
  if (filled.length > 1) return { problem: "unknown_choice" };
  const [value] = filled;
  switch (field.control) {
    case "choice":
      return field.codes.includes(value) ? { problem: "", value } : { problem: "unknown_choice" };
    case "date":
      return isDate(value) ? { problem: "", value } : { problem: "bad_date" };
    case "clock":
      return /^([01]\d|2[0-3]):[0-5]\d$/.test(value) ? { problem: "", value } : { problem: "bad_time" };
    case "moment":
      return /^[1-9]\d{0,14}$/.test(value) ? { problem: "", value: Number(value) } : { problem: "unknown_choice" };
    default:
      return readText(field, value);
  }
}

function readChoices({ codes }, filled) {
  const isKnown = filled.every((text) => codes.includes(text)) && new Set(filled).size === filled.length;
  if (!isKnown) return { problem: "unknown_choice" };
  if (filled.includes("none") && filled.length > 1) return { problem: "none_with_others" };
  return { problem: "", value: filled };
}

function readNames(field, filled) {
  const isList = new Set(filled).size === filled.length && filled.length <= NAMES_MAX;
  const isGood = isList && filled.every((text) => !readText(field, text).problem);
  return isGood ? { problem: "", value: filled } : { problem: "unknown_choice" };
}

function readText({ limit }, value) {
  if (/[\x00-\x08\x0b-\x1f]/.test(value)) return { problem: "control_character" };
  return [...value].length <= limit ? { problem: "", value } : { problem: "too_long" };
}

export const isShown = ({ shown_when }, values) => shown_when.every((condition) => isHeld(condition, values));

/** Does the answer hold one of the wanted values? */
export function isHeld({ field, values: wanted }, values) {
  const value = values[field];
  return Array.isArray(value) ? value.some((item) => wanted.includes(item)) : wanted.includes(value);
}

/** YYYY-MM-DD of a real day between 2000 and 2099. */
const isDate = (text) => text.startsWith("20") && readDay(text) !== null;

/** Line ends as LF, and no outer white space: Python's strip of these three characters, not JavaScript's trim. */
function normaliseText(text) {
  return text.replaceAll("\r\n", "\n").replaceAll("\r", "\n").replace(/^[ \n\t]+/, "").replace(/[ \n\t]+$/, "");
}
