// A form sent from a volunteer's page: checked, made into one change, sealed, and saved in the outbox. "303" means saved:
// the strict transaction has completed before the browser is sent on. The twin of server/writing.py.

import { sealBinding } from "../sync/seal.js";
import { keepAttachments } from "./attachments.js";
import { readFilled, readSubmitted } from "./filled.js";
import { isHeld, LISTS, typedValues } from "./forms.js";
import { giveUp, waitingOf } from "./queue.js";
import { noteFull } from "./storage.js";
import { dropDrafts, letGoOfChosen } from "./drafts.js";
import { putOff } from "./later.js";
import { answerNotFound, describeForm, isEmptyAnswer, loadPage, outlivesItsDoor, renderPage } from "./pages.js";
import { forgetPageCopies } from "./residents.js";
import { ownPath, passOn, seeOther } from "./responses.js";
import { fillPath } from "./router.js";
import { newUuid } from "./uuid.js";

/**
 * @typedef {import("./phone.js").Phone} Phone
 * @typedef {import("./router.js").Write} Write
 * @typedef {import("../sync/rebase.js").FlatRecord} FlatRecord
 * @typedef {import("../sync/protocol.js").Change} Change
 * @typedef {(text: string, bound: string) => Promise<ArrayBuffer>} Seal
 * @typedef {import("./filled.js").Hidden} Hidden
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
  const posted = await request.formData();
  const submitted = readSubmitted(posted);
  const sentAt = Math.min(now, Number(submitted.sent_at?.[0]) || now); // this worker may have had to start first
  const formPath = new URL(request.url).pathname;
  // Nothing typed is dropped because its door left the phone while the form was open: the server holds it.
  const isBegun = outlivesItsDoor(write) && Boolean(submitted.record_id);
  const loaded = await loadPage(phone, page, params, { isBegun });
  if (!loaded) return answerNotFound(phone, formPath, now);
  const isGone = page.loads.some(({ name, may_be_gone }) => loaded[name] === null && !may_be_gone);
  const back = ownPath((submitted.back?.[0] ?? "").split("?")[0], "");
  if (write.action === "later") {
    await putOff(phone, params);
    return seeOther(back || fillPath(write.next, params));
  }
  const filled = readFilled(phone.app, write, { submitted, params, loaded, me: await phone.me(), now });
  const showAgain = async ({ submitted, hidden }, problems, status) => {
    const values = typedValues(phone.app.forms[write.form], submitted);
    const opened = describeForm(phone.app, write, { values, problems, ...hidden });
    const [url, context] = [new URL(request.url), await phone.context(now)];
    return renderPage(phone, { page, params, loaded, form: opened, url, context, status });
  };
  const wrong = filled.find(({ problems }) => Object.keys(problems).length > 0);
  if (wrong) return showAgain(wrong, wrong.problems, 422);
  const record_id = filled[0]?.hidden.record_id;
  // A form that is sent again is about a record that stands.
  const standing = write.each ? null : await phone.record(write.kind, record_id);
  // What it names is not known any more, either: a photo that is added would take the place of those.
  const isForgotten = !standing && (await phone.outbox.entries()).some((entry) => entry.change_id === filled[0]?.hidden.change_id && !entry.display);
  const photos = await keepAttachments(phone.blobs, write.each ? new FormData() : posted, standing?.attachments ?? [], isForgotten);
  const { kept, fresh } = photos;
  let { leftOut } = photos;
  const asked = [];
  const changesWith = (attachments) =>
    Promise.all(asked.map(({ one, stuck }) => changeFrom(phone, write, { ...one, attachments, stuck, now })));
  let changes = [];
  try {
    for (const one of filled) asked.push({ one, stuck: await stuckOf(phone, one.hidden) });
    changes = await changesWith(kept);
    try {
      await saveChanges(phone, seal, changes, sentAt);
    } catch (error) {
      if (fresh.length === 0 || !isQuota(error)) throw error;
      // Text before photos: they make room for it.
      await forgetUnnamed(phone, write.kind, record_id, fresh);
      leftOut += fresh.length;
      changes = await changesWith(kept.filter((each) => !fresh.includes(each)));
      await saveChanges(phone, seal, changes, sentAt);
      await noteFull(phone.outbox, now);
    }
  } catch (error) {
    console.error("not saved", error);
    await forgetUnnamed(phone, write.kind, record_id, fresh); // the form has its own copies
    // The server may take it instead; the form's ids keep it from being saved twice.
    const answer = await handOver(copy).catch(() => null);
    if (!answer) return showAgain(filled[0], notSaved(phone.app.forms[write.form]), 507);
    if (answer.status !== 422) await phone.outbox.dropDrafts(({ change_id }) => change_id === filled[0].hidden.change_id).catch(() => {});
    return answer;
  }
  // Saved is saved, whatever else fails: handed to the server now, it would be there a second time.
  for (const [at, { one, stuck }] of asked.entries()) {
    const isOfForm = ({ path, change_id }) => path === formPath || change_id === one.hidden.change_id;
    const isOver = (draft) =>
      draft.record_id === one.hidden.record_id && (write.action === "void" || (isOfForm(draft) && !isTypedSince(draft, sentAt)));
    // Where nothing was altered nothing is unsaved; of what is withdrawn no form is left at all.
    const cleared = changes[at] && stuck.length > 0 ? giveUp(phone, seal, stuck, now, false) : dropDrafts(phone, isOver);
    await cleared.catch((error) => console.error("not cleared", error));
  }
  const isNewer = (draft) => draft.record_id === record_id && isTypedSince(draft, sentAt);
  const isChosenAnew = async () => (await phone.outbox.drafts()).some(isNewer);
  if ((posted.has("photo") || posted.has("voice")) && !(await isChosenAnew().catch(() => false))) await letGoOfChosen(phone, record_id);
  const urgent = write.urgent && isHeld(write.urgent, filled[0]?.values ?? {}) ? write.urgent.next : "";
  const next = fillPath(urgent || write.next, { ...params, visit_id: record_id });
  const path = urgent ? next : isGone ? "/my-visits" : back || next;
  // What was there before is not undone by withdrawing it.
  const told = (write.record ? "&edited=1" : "") + (leftOut ? `&left_out=${leftOut}` : "");
  return seeOther(record_id ? `${path}?saved=${record_id}${told}` : path);
}

/** While its form was being saved, that is; not by a clock that was ahead and has been set right. */
const isTypedSince = ({ typed_at = 0 }, moment) => typed_at > moment && typed_at <= Date.now();

/** Photos of a record that was not saved with them would go up for nobody. */
async function forgetUnnamed(phone, kind, record_id, photos) {
  if (photos.length === 0) return;
  const forget = async () => {
    const named = (await phone.record(kind, record_id))?.attachments?.map(({ sha256 }) => sha256) ?? [];
    await phone.blobs.remove(photos.map(({ sha256 }) => sha256).filter((sha256) => !named.includes(sha256)));
  };
  await forget().catch((error) => console.error("photos", error));
}

/**
 * The server's word for a form: that it is saved, or held, or what is wrong with it. Anything else is null, above all the way to the
 * door for a session that has ended; where a navigation is led cannot be seen, so the way is gone here.
 * @param {Request} request
 */
async function handOver(request) {
  const answer = await fetch(new Request(request, { redirect: "follow" }));
  const { searchParams } = new URL(answer.url);
  const isTaken = answer.redirected && (searchParams.has("saved") || searchParams.has("held"));
  return isTaken || answer.status === 422 ? passOn(request, answer) : null;
}

/** What waits of a record that could not be sent as it is: the edit says all of it anew, and takes its place. */
async function stuckOf(phone, { record_id, change_id }) {
  const waiting = await waitingOf(phone, record_id);
  const isStuck = waiting.some(({ code }) => code) && !waiting.some((entry) => entry.change_id === change_id);
  return isStuck ? waiting : [];
}

/** Said at the first question, because that is where the reader is led. */
function notSaved(form) {
  const [first] = form?.fields ?? [];
  return first ? { [first.name]: { code: "not_saved", label: `${form.name}.${first.name}`, limit: 0 } } : {};
}

/**
 * The change that the form asks for, or null when it asks for nothing new.
 * @param {Phone} phone
 * @param {Write} write
 * @param {{ values: object, fixed: object, hidden: Hidden, attachments: import("../store/blobs.js").Attachment[], stuck: import("../sync/entries.js").Entry[], now: number }} given
 * @returns {Promise<Omit<Change, "device_sequence"> | null>}
 */
async function changeFrom(phone, write, { values, fixed, hidden, attachments, stuck, now }) {
  const { kind, action } = write;
  const { record_id, opened_at } = hidden;
  const entries = (await phone.outbox.entries()).filter((entry) => entry.record_id === record_id);
  const sent = entries.find(({ change_id }) => change_id === hidden.change_id);
  const isKnown = sent !== undefined;
  const standing = await phone.record(kind, record_id);
  const about = { kind, record_id, action: /** @type {"put" | "void"} */ (action), made_at: now, schema: phone.app.schema };
  const pulled = stuck.length > 0 ? await phone.replica.record(record_id) : null;
  if (stuck.length > 0) hidden.base = String(pulled?.revision ?? 0);
  const since = sent ? entries.filter(({ sequence }) => sequence >= sent.sequence) : [];
  const said = Object.assign({}, ...since.map(({ display }) => display?.set));
  const form = phone.app.forms[write.form];
  if (action === "void") return isKnown ? null : { ...about, ...idAndBase(hidden), set: {} };
  if (!standing && sent) {
    // Gone from here since: what is said now is an edit, which the server takes or holds.
    const answers = sent.display ? changedFields(form, said, { opened: null }, values) : allFields(form, values);
    const set = { ...answers, ...named(said.attachments, attachments) };
    return Object.keys(set).length > 0 ? { ...about, change_id: newUuid(now), base: sent.change_id, set } : null;
  }
  if (!standing) {
    // When the form was opened is the phone's word for when the visit began; it never ends before it began.
    const times = kind === "visit" && !write.record ? { started_at: Math.min(opened_at, now), ended_at: now } : {};
    return { ...about, ...idAndBase(hidden), set: { ...values, ...fixed, ...times, ...named([], attachments) } };
  }
  const opened = write.record && since.every(({ display }) => display) ? openedWith(hidden) : null;
  const edit = { ...changedFields(form, standing, { opened, said }, values), ...(write.record ? fixed : {}) };
  const set = { ...edit, ...named(standing.attachments, attachments) };
  if (Object.keys(set).length === 0) return null;
  Object.assign(set, { ...Object.assign({}, ...stuck.map(({ display }) => display?.set)), ...set });
  // A form that is sent twice was saved the first time. What was altered in between (Back, amend, save) is an edit of
  // what was saved, with an id of its own.
  const isEdit = write.record && !isKnown;
  const ids = idAndBase(isEdit ? hidden : { change_id: newUuid(now), base: standing.base });
  return { ...about, ...ids, set: pulled ? besides(pulled.attachments, set) : set };
}

const idAndBase = ({ change_id, base }) => ({ change_id, base: /^\d+$/.test(base) ? Number(base) : base });

/** The field that names a record's photos and voice notes, with those that were added; nothing when none were. */
function named(before = [], added) {
  const fresh = freshOf(before, added);
  return fresh.length > 0 ? { attachments: [...before, ...fresh] } : {};
}

function freshOf(before, added) {
  const known = new Set(before.map(({ sha256 }) => sha256));
  return added.filter(({ sha256 }) => !known.has(sha256));
}

/** What is said anew upon what came since it was first said: nobody meant to take those photos away. */
export const besides = (before = [], set) =>
  set.attachments ? { ...set, attachments: [...before, ...freshOf(before, set.attachments)] } : set;

/** What the form says that it was opened with; null when it says nothing of the kind. @param {Hidden} hidden */
function openedWith({ was }) {
  try {
    const values = JSON.parse(was);
    return Array.isArray(values) || typeof values !== "object" ? null : values;
  } catch {
    return null;
  }
}

/** With those that were emptied. */
const allFields = (form, values) =>
  Object.fromEntries((form?.fields ?? []).map(({ name, control }) => [name, values[name] ?? (LISTS.includes(control) ? [] : "")]));

/**
 * Only what differs from the record, and is her doing: what was written elsewhere while her form was open stands in it as it
 * was before. Hers as well is what she `said` since she first sent it, and an answer that was emptied elsewhere and is asked for by
 * what she altered. A cleared answer is an edit too, and so is one that is no longer asked for.
 */
function changedFields(form, record, { opened, said = {} }, values) {
  const changed = {};
  for (const { name, control, shown_when } of form?.fields ?? []) {
    const value = values[name] ?? (LISTS.includes(control) ? [] : "");
    const isAsked = isEmptyAnswer(record[name]) && shown_when.some(({ field }) => field in changed);
    const isHers = !opened || isAsked || Object.hasOwn(said, name) || !isSameAnswer(value, opened[name]);
    if (isHers && !isSameAnswer(value, record[name])) changed[name] = value;
  }
  return changed;
}

const isSameAnswer = (value, other) =>
  isEmptyAnswer(value) ? isEmptyAnswer(other) : JSON.stringify(value) === JSON.stringify(other);

/**
 * All of them or none; null is a form that asks for nothing new.
 * @param {Phone} phone
 * @param {Seal} seal
 * @param {(Omit<Change, "device_sequence"> | null)[]} asked
 * @param {number} now
 */
export async function saveChanges(phone, seal, asked, now) {
  const { device_id } = await phone.outbox.device();
  const changes = asked.flatMap((change) => change ?? []);
  if (changes.length === 0) return;
  const saved = changes.map((change) => {
    const { change_id, record_id, kind, action, set, made_at } = change;
    return { change_id, record_id, display: { kind, action, set, made_at }, change };
  });
  const save = () =>
    phone.outbox.save(saved, now, (device_sequence, { change }) =>
      seal(JSON.stringify({ ...change, device_sequence }), sealBinding(device_id, change.change_id, device_sequence)),
    );
  try {
    await save();
  } catch (error) {
    if (!isQuota(error)) throw error;
    await forgetPageCopies();
    await save();
    await noteFull(phone.outbox, now);
  }
}

/** @param {any} error */
const isQuota = (error) => error.name === "QuotaExceededError";
