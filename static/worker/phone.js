// What this phone holds, put together once for each start of the worker: the outbox, the replica and the renderer.
// Nothing here is the only copy of anything; a worker that is stopped loses none of it.

import { Blobs } from "../store/blobs.js";
import { Outbox } from "../store/outbox.js";
import { groupBy, Replica } from "../store/replica.js";
import { isGivenUp, isRecallable } from "../sync/entries.js";
import { layOver } from "../sync/rebase.js";
import { DAY_MS, dateFilters, localDate } from "./filters.js";
import { createRenderer } from "./jinja_runtime.js";
import { draftTimes } from "./drafts.js";
import { readLater } from "./later.js";
import { listDiscarded } from "./queue.js";
import { createTranslate } from "./messages.js";
import { readSettings } from "./settings.js";
import { readStorage } from "./storage.js";
import { newUuid } from "./uuid.js";

/**
 * @typedef {object} App what the server writes at the head of the script
 * @property {string} release
 * @property {number} schema
 * @property {import("./router.js").Page[]} pages
 * @property {Record<string, import("./forms.js").Form>} forms
 * @property {Record<string, { scope_field: string, indexes: string[] }>} kinds
 * @property {{ languages: string[], texts: Record<string, string[]> }} messages
 * @property {Record<string, string>} assets
 * @property {string} csp
 * @property {number} utc_offset_minutes
 *
 * @typedef {import("../sync/rebase.js").FlatRecord} FlatRecord
 * @typedef {import("../sync/rebase.js").Person} Person
 */

export class Phone {
  /** Change ids on their way to the server at this moment. @type {Set<string>} */
  uploading = new Set();
  /** Did the last attempt to reach the server get no answer? */
  isOffline = false;

  /**
   * @param {App} app
   * @param {Record<string, any>} templates
   */
  constructor(app, templates) {
    this.app = app;
    this.outbox = new Outbox(caches);
    this.blobs = new Blobs();
    this.replica = new Replica(app.kinds);
    const globals = { _: createTranslate(app.messages) };
    this.renderer = createRenderer({ templates, filters: dateFilters, globals });
  }

  // Who and what

  /** Is this an enrolled device? */
  async isEnrolled() {
    return (await this.outbox.device()).standing === "active";
  }

  /** Is it enrolled, with a whole replica? Only then does the worker answer volunteers' pages. */
  async isReady() {
    return (await this.isEnrolled()) && (await this.replica.checkpoint()).ready;
  }

  /** @returns {Promise<Person>} */
  async me() {
    return (await this.outbox.device()).me ?? { id: "", name: "", community: "" };
  }

  // Records as the volunteer sees them

  /** @returns {Promise<FlatRecord | null>} */
  async record(kind, id) {
    const pulled = await this.replica.record(id);
    const entries = (await this.outbox.entries()).filter((entry) => entry.record_id === id);
    const record = await this.#layOver(pulled, entries);
    return record?.kind === kind ? record : null;
  }

  /** @returns {Promise<FlatRecord[]>} those of a kind; with `field`, those whose field has the value */
  async records(kind, field = "", value = undefined) {
    const byRecord = groupBy(await this.outbox.entries(), "record_id");
    const pulled = await this.replica.records(kind, field, value);
    // An edit may have moved a record under this value, or it may be known to this phone alone.
    const ids = new Set([...pulled.map((record) => record.id), ...shownIds(byRecord, kind)]);
    const found = [];
    for (const id of ids) {
      const record = await this.#layOver(await this.replica.record(id), byRecord.get(id) ?? []);
      if (record && record.kind === kind && (!field || record[field] === value)) found.push(record);
    }
    return found;
  }

  /** Photos that only what was given up names: they wait with it. @returns {Promise<string[]>} their hashes */
  async photosGivenUp() {
    const { discarded = [] } = await this.outbox.device();
    if (discarded.length === 0) return [];
    const named = new Set(hashesIn(await this.records("visit")));
    const given = discarded.flatMap(({ changes }) => hashesIn(changes.map(({ display }) => display.set)));
    return given.filter((sha256) => !named.has(sha256));
  }

  /** Lets go of what can no longer be taken back, with its photos. */
  async forgetGivenUp(now) {
    const before = await this.photosGivenUp();
    await this.outbox.keepDiscarded(isRecallable(now));
    const kept = await this.photosGivenUp();
    await this.blobs.remove(before.filter((sha256) => !kept.includes(sha256)));
  }

  async #layOver(record, entries) {
    return layOver({ record, entries, me: await this.me(), isUploading: (changeId) => this.uploading.has(changeId) });
  }

  // Pages

  /** What every shared template is given. */
  async context(now) {
    const { app } = this;
    const settings = await this.outbox.settings();
    return {
      ...readSettings(settings),
      later: readLater(settings),
      kept: Object.fromEntries((await this.blobs.all().catch(() => [])).map((blob) => [blob.sha256, blob])),
      drafts: draftTimes(await this.outbox.drafts()),
      storage: null,
      discarded: listDiscarded(await this.outbox.device(), now),
      now,
      today: localDate(now, app.utc_offset_minutes),
      utc_offset_minutes: app.utc_offset_minutes,
      me: await this.me(),
      outbox: await this.outboxState(now),
      assets: app.assets,
      release: app.release,
      new_id: newUuid(now),
      new_change_id: newUuid(now),
    };
  }

  /** What the storage page shows, and what warns before it is too late. */
  storage(now) {
    return readStorage(this, now);
  }

  /** The outbox in a few numbers, which the header shows; and until the first sync is complete, how far it has come. */
  async outboxState(now = Date.now()) {
    const entries = (await this.outbox.entries()).filter((entry) => !isGivenUp(entry));
    const count = (state) => entries.filter((entry) => entry.state === state).length;
    const { ready, received, total, uploaded_at } = await this.replica.checkpoint();
    const filling = ready ? null : { received: Math.min(received, total ?? received), total };
    const failed = entries.filter((entry) => entry.state === "waiting" && entry.code).length;
    const days = (at) => Math.floor((now - at) / DAY_MS);
    const since = entries.filter(({ state }) => state === "waiting").map(({ created_at }) => created_at);
    const stale_days = uploaded_at ? days(uploaded_at) : 0;
    const oldest_days = since.length > 0 ? days(Math.min(...since)) : 0;
    const times = { uploaded_at, stale_days, oldest_days };
    return { waiting: count("waiting"), failed, held: count("held"), ...times, is_offline: this.isOffline, filling };
  }
}

/** @param {Record<string, any>[]} records @returns {string[]} */
const hashesIn = (records) => records.flatMap(({ attachments = [] }) => attachments.map(({ sha256 }) => sha256));

const shownIds = (byRecord, kind) =>
  [...byRecord].filter(([, entries]) => entries.some(({ display }) => display?.kind === kind)).map(([id]) => id);
