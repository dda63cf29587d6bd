// Answering a volunteer's page from what the phone holds: the records that the page table names, laid into the same
// template that the server would use.

import { layDraft, listDrafts, readDrafts } from "./drafts.js";
import { addDays } from "./filters.js";
import { isHeld, isShown, LISTS } from "./forms.js";
import { htmlResponse } from "./responses.js";
import { finds } from "./search.js";

const SHOWS_STORAGE = ["today", "my_visits", "storage"];
const INSTEAD = {
  offline: { heading: "errors.offline_title", words: "errors.offline_words" },
  no_room: { heading: "errors.no_room_title", words: "errors.no_room_words" },
};

/**
 * @typedef {import("./phone.js").Phone} Phone
 * @typedef {import("./router.js").Page} Page
 * @typedef {import("./router.js").Load} Load
 * @typedef {import("../sync/rebase.js").FlatRecord} FlatRecord
 * @typedef {Record<string, any>} Loaded records, lists and groups by the names that the page gives them
 * @typedef {{ page: Page, params: Record<string, string> }} Match
 */

/**
 * @param {Phone} phone
 * @param {Match} match
 * @param {URL} url
 * @param {number} now
 */
export async function answerPage(phone, { page, params }, url, now) {
  const query = Object.fromEntries(url.searchParams);
  const isBegun = outlivesItsDoor(page.write) && (await readDrafts(phone)).some(({ path }) => path === url.pathname);
  const loaded = await loadPage(phone, page, params, { query, isBegun });
  if (!loaded) return answerNotFound(phone, url.pathname, now);
  /** @type {Record<string, any>} */
  const context = await phone.context(now);
  if (SHOWS_STORAGE.includes(page.name)) context.storage = await phone.storage(now);
  const isMine = page.name === "my_visits";
  Object.assign(context, { queued: isMine ? await phone.queued() : [], unfinished: isMine ? await listDrafts(phone) : [] });
  const form = await formOf(phone, page, { loaded, query, context, path: url.pathname });
  return renderPage(phone, { page, params, loaded, form, url, context });
}

/**
 * @param {Phone} phone
 * @param {{ page: Page, params: object, loaded: Loaded, form: object | null, url: URL, context: object, status?: number }} given
 */
export function renderPage(phone, { page, params, loaded, form, url, context, status = 200 }) {
  const about = { name: page.name, path: url.pathname, template: page.template };
  const query = Object.fromEntries(url.searchParams);
  const { visit, steps } = phone.app.forms;
  const fields = [...visit.fields, ...steps.fields];
  const variables = { ...context, ...loaded, page: about, params, query, form, fields };
  return htmlResponse(phone.renderer.render(page.template, variables), { csp: phone.app.csp, status });
}

/** @param {Phone} phone */
export async function answerNotFound(phone, path, now) {
  return renderAlone(phone, { template: "errors/not_found.html", path, status: 404 }, now);
}

/** For a page that only the network has. */
export function answerOffline(phone, path, now) {
  return answerInstead(phone, "offline", { path, status: 503 }, now);
}

/**
 * A page that says why it is none.
 * @param {Phone} phone
 * @param {"offline" | "no_room"} why
 * @param {{ path: string, status: number }} given
 */
export function answerInstead(phone, why, given, now) {
  return renderAlone(phone, { template: "errors/offline.html", ...given, more: INSTEAD[why] }, now);
}

/** While the first sync runs there is nothing else to show. */
export async function answerFilling(phone, path, now) {
  return renderAlone(phone, { template: "enrol/filling.html", path, status: 200 }, now);
}

/** The header's status region alone: how many wait, how many are held, when all was uploaded. */
export async function answerStatus(phone, now) {
  return renderAlone(phone, { template: "fragments/_status.html", path: "", status: 200 }, now);
}

/**
 * `path` is where the language switch leads back to.
 * @param {Phone} phone
 * @param {{ template: string, path: string, status: number, more?: object }} given
 */
export async function renderAlone(phone, { template, path, status, more = {} }, now) {
  const page = { name: "", path, template };
  const text = phone.renderer.render(template, { ...(await phone.context(now)), ...more, page, params: {}, query: {}, form: null });
  return htmlResponse(text, { csp: phone.app.csp, status });
}

/** A visit's own forms are drawn and saved without the records they are about. @param {import("./router.js").Write} [write] */
export const outlivesItsDoor = (write) => write?.kind === "visit" && write.action === "put" && Boolean(write.form) && !write.each;

// Records

/**
 * @param {Phone} phone
 * @param {Page} page
 * @param {Record<string, string>} params
 * @param {{ query?: Record<string, string>, isBegun?: boolean }} [given] a form that was begun can do without any record
 * @returns {Promise<Loaded | null>} null when a record that the page is about is not there
 */
export async function loadPage(phone, page, params, { query = {}, isBegun = false } = {}) {
  const loaded = {};
  const me = await phone.me();
  for (const load of page.loads) {
    const valueOf = (key) => resolveKey(key, { params, loaded: { ...loaded, query }, me });
    const id = load.id && valueOf(load.id);
    const one = async () => (id ? phone.record(load.kind, id) : null);
    const value = load.id ? await one() : await loadMany(phone, load, valueOf);
    if (value === null && !load.may_be_gone && !isBegun) return null;
    loaded[load.name] = value;
  }
  return loaded;
}

/**
 * `household_id` is a part of the path, `me` the volunteer, `visit.household_id` a field of a record loaded before; the
 * `moment` is that at which a form is sent: `today`, `clock`.
 */
export function resolveKey(key, { params, loaded, me, moment = {} }) {
  if (key === "me") return me.id;
  if (key in moment) return moment[key];
  const [name, field] = key.split(".");
  return field ? loaded[name]?.[field] : params[name];
}

/** @param {Load} load */
async function loadMany(phone, load, valueOf) {
  let records = load.by
    ? await phone.records(load.kind, load.by, valueOf(load.key))
    : await phone.records(load.kind);
  if (load.match) {
    const text = valueOf(load.match) ?? "";
    records = records.filter((record) => finds(record, text));
  }
  if (load.standing) records = records.filter(({ is_void }) => !is_void);
  records.sort(load.order ? inOrderOf(load.order) : newestFirst);
  if (load.by_id) return Object.fromEntries(records.map((record) => [record.id, record]));
  if (load.group) return grouped(records, load);
  return load.limit ? records.slice(0, load.limit) : records;
}

/**
 * A record whose field is a list stands in several groups.
 * @param {FlatRecord[]} records
 * @param {Load} load
 */
function grouped(records, { group = "", limit = 0 }) {
  const groups = {};
  for (const record of records) {
    for (const name of [record[group] ?? ""].flat()) {
      const list = (groups[name] ??= []);
      if (!limit || list.length < limit) list.push(record);
    }
  }
  return groups;
}

const compare = (left, right) => (left < right ? -1 : left > right ? 1 : 0);

/** By the phone's own clock at the door, then by id, so that both hosts agree. */
const newestFirst = (left, right) => compare(right.made_at, left.made_at) || compare(right.id, left.id);

const inOrderOf = (field) => (left, right) =>
  compare(left[field] ?? "", right[field] ?? "") || compare(left.id, right.id);

// Forms

/**
 * The form of a page: fresh, or as far as it was filled when it was left.
 * @param {Phone} phone
 * @param {Page} page
 * @param {{ loaded: Loaded, query: Record<string, string>, context: Record<string, any>, path: string }} given
 */
async function formOf(phone, { write }, { loaded, query, context, path }) {
  if (!write || write.each) return null;
  const { app } = phone;
  const opened = openForm(app, write, { loaded, query, context });
  const declared = app.forms[write.form];
  if (!declared) return opened;
  return layDraft(declared, opened, { drafts: await readDrafts(phone), path, record: loaded[write.record] ?? null });
}

/** The form as it is first shown: with what the record holds, or with what the link says and the defaults. */
function openForm(app, write, { loaded, query, context }) {
  const record = write.record ? loaded[write.record] : null;
  const answers = firstAnswers(app, write, { loaded, query, today: context.today });
  return describeForm(app, write, {
    ...answers,
    was: record ? JSON.stringify(answers.values) : "",
    problems: {},
    base: record?.base ?? "0",
    record_id: record?.id ?? context.new_id,
    change_id: context.new_change_id,
    opened_at: context.now,
  });
}

/**
 * What a fresh form holds: its answers, and those suggested for questions that are not asked yet.
 * @param {import("./phone.js").App} app
 * @param {import("./router.js").Write} write
 * @param {{ loaded: Loaded, query: Record<string, string>, today: string }} given
 */
export function firstAnswers(app, write, { loaded, query, today }) {
  const record = write.record ? loaded[write.record] : null;
  const values = {};
  const suggested = {};
  for (const field of app.forms[write.form]?.fields ?? []) {
    const asked = () => query[field.name] || (query.all_good && field.default.all_good);
    const fresh = () => asked() || defaultValue(field.default, { loaded, values, today });
    const value = record ? record[field.name] : fresh();
    if (isEmptyAnswer(value)) continue;
    // A default in a question that is not asked would be an answer nobody gave.
    const place = record || isShown(field, values) ? values : suggested;
    place[field.name] = LISTS.includes(field.control) && !Array.isArray(value) ? [value] : value;
  }
  return { values, suggested };
}

/** What a template needs to draw a form. A page that withdraws a record has one without questions. */
export function describeForm(app, write, state) {
  return { name: write.form, fields: app.forms[write.form]?.fields ?? [], suggested: {}, draft_at: 0, ...state };
}

/** Not answered, or cleared. */
export const isEmptyAnswer = (value) =>
  value === undefined || value === null || value === "" || (Array.isArray(value) && value.length === 0);

/** A fixed value, a field of a loaded record, or today and as many days as such a field says. */
/** @param {import("./forms.js").Field["default"]} given */
export function defaultValue({ value, record, days, sooner }, { loaded, values, today }) {
  if (record) return fieldOf(record, loaded);
  if (!days) return value;
  const isSooner = sooner && isHeld(sooner, values);
  const count = (isSooner && sooner.days[fieldOf(sooner.by, loaded)]) || fieldOf(days, loaded);
  return Number.isSafeInteger(count) ? addDays(today, count) : "";
}

function fieldOf(path, loaded) {
  const [name, field] = path.split(".");
  return loaded[name]?.[field];
}
