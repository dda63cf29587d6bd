// Forms as they were sent: what each was opened with, what was answered, and what is filed with it. The twin of the
// reading half of server/writing.py.

import { checkSubmitted } from "./forms.js";
import { defaultValue, firstAnswers, resolveKey } from "./pages.js";
import { dateFilters, localDate } from "./filters.js";
import { isUuid, newUuid, nthUuid } from "./uuid.js";

/**
 * @typedef {import("./forms.js").Submitted} Submitted
 * @typedef {import("./router.js").Write} Write
 * @typedef {{ record_id: string, change_id: string, base: string, opened_at: number, was: string }} Hidden `was`: what an edit
 *   began with, as JSON
 *
 * @typedef {object} Filled
 * @property {Submitted} submitted
 * @property {Hidden} hidden
 * @property {Record<string, any>} values
 * @property {Record<string, import("./forms.js").Problem>} problems
 * @property {Record<string, any>} fixed
 */

/**
 * @param {FormData} form
 * @returns {Submitted} the texts of each name, in order
 */
export function readSubmitted(form) {
  /** @type {Submitted} */
  const submitted = {};
  for (const [name, text] of form) {
    if (typeof text === "string") (submitted[name] ??= []).push(text);
  }
  return submitted;
}

/**
 * What the form was opened with. The ids make a double tap harmless; unreadable ones are made anew.
 * @returns {Hidden}
 */
export function readHidden(submitted, record, now) {
  const posted = (name) => submitted[name]?.[0] ?? "";
  const own = (name) => (isUuid(posted(name)) ? posted(name) : newUuid(now));
  const isBase = isUuid(posted("base")) || /^\d{1,15}$/.test(posted("base"));
  return {
    record_id: record?.id ?? own("record_id"),
    change_id: own("change_id"),
    base: isBase ? posted("base") : (record?.base ?? "0"),
    opened_at: /^\d{1,15}$/.test(posted("opened_at")) ? Number(posted("opened_at")) : now,
    was: posted("was"),
  };
}

/**
 * The form that was sent; one for each door or visit that was ticked, where it is about several.
 * @param {import("./phone.js").App} app
 * @param {Write} write
 * @param {{ submitted: Submitted, params: Record<string, string>, loaded: Record<string, any>, me: { id: string }, now: number }} given
 * @returns {Filled[]}
 */
export function readFilled(app, write, { submitted, params, loaded, me, now }) {
  const hidden = readHidden(submitted, write.record ? loaded[write.record] : null, now);
  const today = localDate(now, app.utc_offset_minutes);
  const given = { params, loaded, me, today, moment: { today, clock: dateFilters.clock({ ...app, language: "" }, now) } };
  if (!write.each) return [fill(app, write, submitted, hidden, given)];
  const isTicked = ({ id }) => submitted[write.each]?.includes(id);
  const nth = (place) => ({ change_id: nthUuid(hidden.change_id, place), opened_at: hidden.opened_at });
  if (write.each === "visit" || write.each === "need") {
    const meant = write.each === "need" ? needsMeant(loaded.needs, isTicked) : ownVisits(loaded.round_visits, me, isTicked);
    return meant.map(({ id, base }) => {
      const ids = { ...nth(parseInt(id.slice(24), 16)), record_id: id, base };
      return fill(app, write, submitted, ids, given);
    });
  }
  const found = [];
  for (const [place, door] of (loaded.round.household_ids ?? []).entries()) {
    const household = loaded.households[door];
    if (!household || !isTicked({ id: door })) continue;
    const ids = { ...nth(place), record_id: nthUuid(hidden.record_id, place), base: hidden.base };
    const there = { ...given, params: { ...params, household_id: door }, loaded: { ...loaded, household } };
    found.push(fill(app, write, submitted, ids, there));
  }
  return found;
}

const ownVisits = (visits, me, isTicked) => visits.filter((each) => each.author_id === me.id && !each.is_void && isTicked(each));

/** Those ticked, and what else is open of the same service: two visits may have promised the same thing, which is said once. */
function needsMeant(needs, isTicked) {
  const standing = needs.filter(({ is_void }) => !is_void);
  const services = standing.filter(isTicked).map(({ service }) => service);
  return standing.filter((need) => isTicked(need) || (need.need_state === "open" && services.includes(need.service)));
}

function fill(app, write, submitted, hidden, given) {
  const form = app.forms[write.form];
  let told = form && submitted.quick?.[0] ? oneTap(app, write, submitted, given) : submitted;
  let { values, problems } = form ? checkSubmitted(form, told) : { values: {}, problems: {} };
  const opened = { ...given, today: localDate(hidden.opened_at, app.utc_offset_minutes) };
  const dropped = form && !write.record ? form.fields.filter((field) => isOnlyProposed(field, told, problems, opened)) : [];
  if (dropped.length > 0) {
    told = { ...told, ...Object.fromEntries(dropped.map(({ name }) => [name, []])) };
    ({ values, problems } = checkSubmitted(form, told));
  }
  const fixed = Object.entries(write.set ?? {}).map(([name, key]) => [name, resolveKey(key, given)]);
  return { submitted: told, hidden, values, problems, fixed: Object.fromEntries(fixed) };
}

/** Not asked after all, and what it says is what the form proposed: where no script runs in the page, nobody takes it back. */
function isOnlyProposed({ name, default: given }, submitted, problems, { loaded, today }) {
  if (problems[name]?.code !== "not_shown") return false;
  const { sooner } = given;
  const answers = [{}, sooner ? { [sooner.field]: sooner.values[0] } : {}];
  const proposals = answers.map((values) => defaultValue(given, { loaded, values, today }));
  const texts = submitted[name].filter((text) => text !== "");
  return texts.length === 1 && proposals.includes(texts[0]);
}

/** A form sent by one tap: what it does not say is as a fresh form would have it. */
function oneTap(app, write, submitted, { loaded, today }) {
  const query = Object.fromEntries(Object.entries(submitted).map(([name, [text]]) => [name, text]));
  const { values } = firstAnswers(app, write, { loaded, query, today });
  const texts = Object.entries(values).map(([name, value]) => [name, Array.isArray(value) ? value : [value]]);
  return { ...Object.fromEntries(texts), ...submitted };
}
