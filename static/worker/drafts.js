// Drafts: what stands in a form that was not saved yet, so that it outlives its tab, the camera, the battery and an
// update. A draft carries the ids that its form was opened with, so taking it up again is the same visit.

import { joinBytes } from "../sync/seal.js";
import { readHidden, readSubmitted } from "./filled.js";
import { typedValues } from "./forms.js";
import { ownPath, seeOther } from "./responses.js";
import { fillPath, matchPage } from "./router.js";

/**
 * @typedef {import("../store/outbox.js").Draft} Draft
 * @typedef {import("../store/outbox.js").Outbox} Outbox
 */

/**
 * What a page sends of its form by itself, what was chosen for it, or the wish to begin afresh.
 * @param {import("./phone.js").Phone} phone
 * @param {FormData} form
 * @param {number} now
 */
export async function postDraft(phone, form, now) {
  const { outbox, blobs, replica } = phone;
  const submitted = readSubmitted(form);
  const { record_id, change_id } = readHidden(submitted, null, now);
  if (submitted.chosen) {
    await blobs.keepDraft(record_id, await readChosen(form), [...(await outbox.draftRecordIds()), record_id]);
    return new Response(null, { status: 204 });
  }
  if (submitted.discard) {
    const path = ownPath(submitted.back?.[0] ?? "", "/today");
    const isShown = (draft) => !submitted.record_id || draft.record_id === record_id; // not what another tab has
    await dropDrafts(phone, (draft) => draft.path === path && isShown(draft));
    await letGoOfChosen({ outbox, blobs }, record_id);
    return seeOther(path);
  }
  const { draft_path: [path] = [""], typed_at: [typed] = [""], ...texts } = submitted;
  // Not before the last contact, whatever the clock says: one that begins anew in a year long past would have the draft pass
  // for an old one as soon as it is set right.
  const { uploaded_at } = await replica.checkpoint().catch(() => ({ uploaded_at: 0 }));
  const typed_at = /^\d{1,15}$/.test(typed) ? Number(typed) : 0; // a page of an older release does not say
  await outbox.saveDraft({ record_id, change_id, path, submitted: texts, at: Math.max(now, uploaded_at ?? 0) }, typed_at);
  return new Response(null, { status: 204 });
}

/**
 * Each with the path at which it is gone on with. What was typed while its form was being saved belongs to the record that the
 * form has made: laid into the form of the next visit, it would overwrite that one.
 * @param {import("./phone.js").Phone} phone
 */
export async function readDrafts({ app, outbox }) {
  const drafts = await outbox.drafts();
  const saved = drafts.length > 0 ? new Set((await outbox.entries()).map(({ change_id }) => change_id)) : new Set();
  return drafts.map((draft) => (saved.has(draft.change_id) ? { ...draft, path: pathOfEdit(app.pages, draft) } : draft));
}

/** The first page of the table that edits such a record. @param {import("./router.js").Page[]} pages @param {Draft} draft */
function pathOfEdit(pages, { path, record_id }) {
  const write = matchPage(pages, path)?.page.write;
  const edit = pages.find((page) => page.write?.form && page.write.record === write?.kind);
  return edit && write && !write.record ? fillPath(edit.path, { [`${write.kind}_id`]: record_id }) : path;
}

/** @param {import("./phone.js").Phone} phone @param {(draft: Draft) => boolean} isOver */
export async function dropDrafts(phone, isOver) {
  const over = (await readDrafts(phone)).filter(isOver).map(({ change_id }) => change_id);
  await phone.outbox.dropDrafts(({ change_id }) => over.includes(change_id));
}

/** Of what was chosen for a form that is saved or given up; not of what other forms still have. Where it fails, the next one tidies up. */
export async function letGoOfChosen({ outbox, blobs }, recordId) {
  const letGo = async () => blobs.keepDraft(recordId, [], await outbox.draftRecordIds());
  await letGo().catch((error) => console.error("not cleared", error));
}

/** As bytes: WebKit at times refuses to keep files (P16). @param {FormData} form */
function readChosen(form) {
  const files = ["photo", "voice"].flatMap((kind) => form.getAll(kind).map((file) => ({ kind, file })));
  return Promise.all(
    files.flatMap(({ kind, file }) =>
      typeof file === "string" ? [] : [file.arrayBuffer().then((bytes) => ({ kind, name: file.name, type: file.type, bytes }))],
    ),
  );
}

/**
 * What was chosen for a form, on its way back to a page that lost it: as a form with files is written (RFC 7578), by hand,
 * because WebKit never sends one that a worker answers with.
 */
export async function answerChosen({ blobs }, recordId) {
  const boundary = `linli-${crypto.randomUUID()}`;
  const encoder = new TextEncoder();
  const parts = (await blobs.draft(recordId)).flatMap(({ kind, name, type, bytes }) => {
    const about = `Content-Disposition: form-data; name="${kind}"; filename="${encodeURIComponent(name)}"`;
    const head = `--${boundary}\r\n${about}\r\nContent-Type: ${type || "application/octet-stream"}\r\n\r\n`;
    return [encoder.encode(head), new Uint8Array(bytes), encoder.encode("\r\n")];
  });
  const body = joinBytes(...parts, encoder.encode(`--${boundary}--\r\n`));
  return new Response(body, { headers: { "Content-Type": `multipart/form-data; boundary=${boundary}` } });
}

/** @param {Draft[]} drafts @returns {Record<string, number>} when each was last written, by the path of its form */
export const draftTimes = (drafts) => Object.fromEntries(drafts.map(({ path, at }) => [path, at]));

/** What stands in forms that were begun, and where. @param {import("./phone.js").Phone} phone */
export async function listDrafts(phone) {
  const found = Object.entries(draftTimes(await readDrafts(phone)));
  return Promise.all(
    found.map(async ([path, at]) => {
      const [, door, visit] = /\/doors\/([^/]+)\/|^\/visits\/([^/]+)\//.exec(path) ?? [];
      const household_id = door ?? (visit && (await phone.record("visit", visit))?.household_id);
      return { path, at, door: (await phone.record("household", household_id))?.door ?? "" };
    }),
  );
}

/**
 * The form with the draft of its page laid in, if there is one: the newest, if there are several.
 * @param {import("./forms.js").Form} form the declaration
 * @param {Record<string, any>} opened as a template draws it
 * @param {{ drafts: Draft[], path: string, record: Record<string, any> | null }} given
 */
export function layDraft(form, opened, { drafts, path, record }) {
  const [draft] = drafts.filter((each) => each.path === path).sort((left, right) => right.at - left.at);
  if (!draft) return opened;
  const { submitted, at } = draft;
  return { ...opened, ...readHidden(submitted, record, at), values: typedValues(form, submitted), draft_at: at };
}
