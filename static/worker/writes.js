// A form sent from a volunteer's page: checked, made into one change, sealed, and saved in the outbox. "303" means saved:
// the strict transaction has completed before the browser is sent on. The twin of server/writing.py.

import { keepAttachments } from "./attachments.js";
import { sealBinding } from "../sync/seal.js";
import { checkSubmitted, typedValues } from "./forms.js";
import { answerNotFound, describeForm, isEmptyAnswer, loadPage, renderPage, resolveKey } from "./pages.js";
import { forgetPageCopies } from "./residents.js";
import { seeOther } from "./responses.js";
import { fillPath } from "./router.js";
import { isUuid, newUuid } from "./uuid.js";

/**
 * @typedef {import("./phone.js").Phone} Phone
 * @typedef {import("./router.js").Write} Write
 * @typedef {import("./forms.js").Submitted} Submitted
 * @typedef {import("../sync/rebase.js").FlatRecord} FlatRecord
 * @typedef {import("../sync/protocol.js").Change} Change
 * @typedef {(text: string, bound: string) => Promise<ArrayBuffer>} Seal
 * @typedef {{ record_id: string, change_id: string, base: string, opened_at: number }} Hidden
 */

/**
 * @param {Phone} phone
 * @param {Seal} seal
 * @param {import("./pages.js").Match & { page: { write: Write } }} match
 * @param {Request} request
 * @param {number} now
 */
export async function answerWrite(phone, seal, { page, params }, request, now) {
  const copy = request.clone();
  const { write } = page;
  const loaded = await loadPage(phone, page, params);
  if (!loaded) return answerNotFound(phone, new URL(request.url).pathname, now);
  const posted = await request.formData();
  const submitted = readSubmitted(posted);
  const form = phone.app.forms[write.form];
  const { values, problems } = form ? checkSubmitted(form, submitted) : { values: {}, problems: {} };
  const hidden = readHidden(submitted, write.record ? loaded[write.record] : null, now);
  const showAgain = async (problems, status) => {
    const opened = describeForm(phone.app, write, { values: typedValues(form, submitted), problems, ...hidden });
    const [url, context] = [new URL(request.url), await phone.context(now)];
    return renderPage(phone, { page, params, loaded, form: opened, url, context, status });
  };
  if (Object.keys(problems).length > 0) return showAgain(problems, 422);
  const fixed = fixedFields(write, { params, loaded, me: await phone.me() });
  const attachments = await keepAttachments(phone.blobs, posted);
  const change = await changeFrom(phone, write, { values, fixed, hidden, attachments, now });
  try {
    if (change) await saveChange(phone, seal, change);
  } catch (error) {
    console.error("not saved", error);
    // The server may take it instead; the form's ids keep it from being saved twice.
    return await fetch(copy).catch(() => showAgain(notSaved(form), 507));
  }
  return seeOther(`${fillPath(write.next, params)}?saved=${hidden.record_id}`);
}

/** Said at the first question, because that is where the reader is led. */
function notSaved(form) {
  const [first] = form?.fields ?? [];
  return first ? { [first.name]: { code: "not_saved", label: `${form.name}.${first.name}`, limit: 0 } } : {};
}

/** @returns {Submitted} the texts of each name, in order */
function readSubmitted(posted) {
  /** @type {Submitted} */
  const submitted = {};
  for (const [name, text] of posted) {
    if (typeof text === "string") (submitted[name] ??= []).push(text);
  }
  return submitted;
}

/**
 * What the form was opened with. The ids make a double tap harmless; unreadable ones are made anew.
 * @returns {Hidden}
 */
function readHidden(submitted, record, now) {
  const posted = (name) => submitted[name]?.[0] ?? "";
  const own = (name) => (isUuid(posted(name)) ? posted(name) : newUuid(now));
  const isBase = isUuid(posted("base")) || /^\d{1,15}$/.test(posted("base"));
  return {
    record_id: record?.id ?? own("record_id"),
    change_id: own("change_id"),
    base: isBase ? posted("base") : (record?.base ?? "0"),
    opened_at: /^\d{1,15}$/.test(posted("opened_at")) ? Number(posted("opened_at")) : now,
  };
}

/**
 * The change that the form asks for, or null when it asks for nothing new.
 * @param {Phone} phone
 * @param {Write} write
 * @param {{ values: object, fixed: object, hidden: Hidden, attachments: import("../store/blobs.js").Attachment[], now: number }} given
 * @returns {Promise<Omit<Change, "device_sequence"> | null>}
 */
async function changeFrom(phone, write, { values, fixed, hidden, attachments, now }) {
  const { kind, action } = write;
  const { record_id, opened_at } = hidden;
  const isKnown = (await phone.outbox.entries()).some(({ change_id }) => change_id === hidden.change_id);
  const standing = await phone.record(kind, record_id);
  const about = { kind, record_id, action, made_at: now, schema: phone.app.schema };
  if (action === "void") return isKnown ? null : { ...about, ...idAndBase(hidden), set: {} };
  if (!standing) {
    // When the form was opened is the phone's word for when the visit began; it never ends before it began.
    const times = { started_at: Math.min(opened_at, now), ended_at: now };
    return { ...about, ...idAndBase(hidden), set: { ...values, ...fixed, ...times, ...named([], attachments) } };
  }
  const set = { ...changedFields(phone.app.forms[write.form], standing, values), ...named(standing.attachments, attachments) };
  if (Object.keys(set).length === 0) return null;
  // A form that is sent twice was saved the first time. What was altered in between (Back, amend, save) is an edit of
  // what was saved, with an id of its own.
  const isEdit = write.record !== "" && !isKnown;
  return { ...about, ...idAndBase(isEdit ? hidden : { change_id: newUuid(now), base: standing.base }), set };
}

const idAndBase = ({ change_id, base }) => ({ change_id, base: /^\d+$/.test(base) ? Number(base) : base });

const fixedFields = (write, given) =>
  Object.fromEntries(Object.entries(write.set).map(([name, key]) => [name, resolveKey(key, given)]));

/** The field that names a record's photos and voice notes, with those that were added; nothing when none were. */
function named(before = [], added) {
  const known = new Set(before.map(({ sha256 }) => sha256));
  const fresh = added.filter(({ sha256 }) => !known.has(sha256));
  return fresh.length > 0 ? { attachments: [...before, ...fresh] } : {};
}

/** Only what differs from the record. A cleared answer is an edit too, and so is one that is no longer asked for. */
function changedFields(form, record, values) {
  const changed = {};
  for (const { name, control } of form.fields) {
    const value = values[name] ?? (control === "choices" ? [] : "");
    const isSame = isEmptyAnswer(value)
      ? isEmptyAnswer(record[name])
      : JSON.stringify(value) === JSON.stringify(record[name]);
    if (!isSame) changed[name] = value;
  }
  return changed;
}

async function saveChange(phone, seal, change) {
  const { device_id } = await phone.outbox.device();
  const { change_id, record_id, kind, action, set, made_at } = change;
  const display = { kind, action, set, made_at };
  const save = () =>
    phone.outbox.save({ change_id, record_id, display }, made_at, (device_sequence) =>
      seal(JSON.stringify({ ...change, device_sequence }), sealBinding(device_id, change_id, device_sequence)),
    );
  try {
    await save();
  } catch (error) {
    if (/** @type {Error} */ (error).name !== "QuotaExceededError") throw error;
    await forgetPageCopies();
    await save();
  }
}
