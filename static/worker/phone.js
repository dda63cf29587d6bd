// What this phone holds, put together once for each start of the worker: the outbox, the replica and the renderer.
// Nothing here is the only copy of anything; a worker that is stopped loses none of it.

import { Blobs } from "../store/blobs.js";
import { takeOverOlder } from "../store/older.js";
import { Outbox } from "../store/outbox.js";
import { Replica } from "../store/replica.js";
import { Vault } from "../store/vault.js";
import { isGivenUp, isRecallable } from "../sync/entries.js";
import { groupBy } from "../sync/grouping.js";
import { consentOver, layOver, saysConsent } from "../sync/rebase.js";
import { DAY_MS, dateFilters, localDate } from "./filters.js";
import { createRenderer } from "./jinja_runtime.js";
import { draftTimes, readDrafts } from "./drafts.js";
import { readLater } from "./later.js";
import { listDiscarded, pathOf } from "./queue.js";
import { createTranslate } from "./messages.js";
import { impliedNeeds } from "./needs.js";
import { forgetPageCopies } from "./residents.js";
import { readSettings } from "./settings.js";
import { readStorage, sizeText } from "./storage.js";
import { newUuid } from "./uuid.js";

/**
 * @typedef {object} App what the server writes at the head of the script
 * @property {string} release
 * @property {number} schema
 * @property {import("./router.js").Page[]} pages
 * @property {Record<string, import("./forms.js").Form>} forms
 * @property {Record<string, { scope_field: string, indexes: string[], caution: Record<string, string[]> }>} kinds
 * @property {{ languages: string[], texts: Record<string, string[]> }} messages
 * @property {Record<string, string>} assets
 * @property {string} csp
 * @property {number} utc_offset_minutes
 *
 * @typedef {import("../sync/rebase.js").FlatRecord} FlatRecord
 * @typedef {import("../sync/rebase.js").Person} Person
 */

const OUT_OF_TOUCH_MS = 14 * DAY_MS;
const SEEN_EVERY_MS = 60 * 60_000;
const UNSEEN_MS = 2 * DAY_MS;
const SLOW_BYTES_A_SECOND = 50_000;
const SIZE_SHOWN_MIN = 0.1 * 1024 * 1024;

export class Phone {
  /** Change ids on their way to the server at this moment. @type {Set<string>} */
  uploading = new Set();
  /** Change ids that are being given up at this moment, and are not to be offered. @type {Set<string>} */
  givingUp = new Set();
  /** Was there no network at the last attempt to reach the server? */
  isOffline = false;
  /** When the last attempt failed although there was a network. @type {number | null} */
  unreachableAt = null;
  /** Had the phone no room for what the last exchange brought? */
  isFull = false;
  /** Has an exchange been under way for longer than anybody should wait? */
  isSlow = false;
  /** How many waited when the network, or the server, was there again: they go up now, or just did. */
  back = 0;
  /** @type {Promise<void> | null} */
  #prepared = null;
  /** How far the first sync had come when this worker woke. @type {number | null} */
  #resumedAt = null;

  /**
   * @param {App} app
   * @param {Record<string, any>} templates
   * @param {() => Promise<CryptoKey | null>} [askPages] for the vault's key
   */
  constructor(app, templates, askPages) {
    this.app = app;
    this.vault = new Vault(askPages);
    this.outbox = new Outbox(caches, this.vault);
    this.blobs = new Blobs(this.vault);
    this.replica = new Replica(app.kinds, this.vault);
    this.say = createTranslate(app.messages);
    const globals = { _: this.say };
    this.renderer = createRenderer({ templates, filters: dateFilters, globals });
  }

  /** Once for each start of the worker, before the stores are used. */
  prepare() {
    this.#prepared ??= this.#takeOver().catch((error) => console.error("older stores", error));
    return this.#prepared;
  }

  /** Also ends a leaving that was cut short. */
  async #takeOver() {
    const { left, is_wiped, standing } = await this.outbox.device();
    if (left && !is_wiped) await this.#wipe();
    await takeOverOlder(this);
    if (standing) await this.#watchTheClock(Date.now()); // where nobody is enrolled, nothing is stored
  }

  /**
   * After fourteen days out of touch nothing is shown any more. Nothing is destroyed, either, when the app had not run for
   * days: was the phone switched off, or has its clock jumped? That is known a day later, or when the server was heard.
   */
  async #watchTheClock(now) {
    const { seen_at = now, shut_at = 0 } = await this.outbox.device();
    if (!(await this.#isOutOfTouch(now))) {
      if (shut_at || Math.abs(now - seen_at) >= SEEN_EVERY_MS || seen_at === now) await this.outbox.setDevice({ seen_at: now, shut_at: 0 });
    } else if (shut_at ? Math.abs(now - shut_at) >= DAY_MS : now - seen_at < UNSEEN_MS) await this.#expire();
    else if (!shut_at) await this.outbox.setDevice({ shut_at: now });
  }

  async #isOutOfTouch(now) {
    const { uploaded_at } = await this.replica.checkpoint();
    return Boolean(uploaded_at) && now - /** @type {number} */ (uploaded_at) > OUT_OF_TOUCH_MS;
  }

  /**
   * Nobody can reach a phone that is lost: what it shows ends by itself. Whoever still has it is sent all of it anew, and
   * finds what she had typed. Where there is a PIN it stays, or waiting would be a way around it.
   */
  async #expire() {
    if (!(await this.vault.hasPin())) {
      await this.outbox.carryOver();
      await this.vault.destroy();
    }
    await this.outbox.setDevice({ is_expired: true, asked_at: 0, shut_at: 0 });
    await this.#forgetCopies();
  }

  // Who and what

  /** Is this an enrolled device? */
  async isEnrolled() {
    await this.prepare();
    const { standing, left } = await this.outbox.device();
    return standing === "active" && !left;
  }

  /** Is it enrolled, with a whole replica? Only then does the worker answer volunteers' pages. */
  async isReady() {
    return (await this.isFilled()) && !(await this.#isOutOfTouch(Date.now()));
  }

  /** Has it a whole replica, be it too old to be shown? */
  async isFilled() {
    return (await this.isEnrolled()) && (await this.replica.checkpoint()).ready;
  }

  /** @returns {Promise<Person>} */
  async me() {
    return (await this.outbox.device()).me ?? { id: "", name: "", community: "" };
  }

  // Locked, or left

  /** Is the vault locked, and no open page holds its key? */
  async isLocked() {
    if (!(await this.vault.isLocked())) return false;
    await this.vault.lookAgain();
    if (await this.vault.isLocked()) return true;
    this.forgetOpened();
    return false;
  }

  lock() {
    this.vault.lock();
    this.forgetOpened();
  }

  /** What the stores remember is from before the vault was opened, or shut. */
  forgetOpened() {
    this.outbox.refresh();
    this.replica.refresh();
  }

  /**
   * Destroys what this phone shows: the key first. The sealed queue stays, and so do photos that wait.
   * @param {"signed_out" | "wrong_pin" | "revoked"} left why
   */
  async leave(left) {
    await this.#makingRoom(async () => {
      await this.outbox.setDevice({ left, has_session: true, is_wiped: false });
      await this.#wipe();
    });
  }

  /**
   * Destroys the same for whoever is about to be enrolled: the phone may never have been left, where its outbox was lost alone,
   * or leaving have failed. Copies that are stranded stay as well.
   */
  async makeBlank() {
    await this.prepare(); // which may just be ending a leaving, or taking over what is older
    await this.#makingRoom(() => this.#wipe());
  }

  async #makingRoom(go) {
    await go().catch(async (error) => {
      console.error("leaving", error);
      await forgetPageCopies(); // a full phone: what goes anyway makes room
      await this.replica.clear();
      await go();
    });
  }

  async #wipe() {
    const givenUp = (await this.vault.isLocked()) ? [] : await this.photosGivenUp();
    await this.vault.destroy();
    await this.outbox.forgetTyped();
    await this.blobs.keepDraft("", [], []);
    await this.blobs.remove(givenUp);
    await this.#forgetCopies();
    if ((await this.outbox.device()).left) await this.outbox.setDevice({ is_wiped: true }); // of no device that begins now
  }

  /** The replica last: while it is there, whoever was cut short begins again. */
  async #forgetCopies() {
    await this.outbox.forgetCopies();
    await this.blobs.forgetCopies();
    await forgetPageCopies();
    await this.replica.clear();
  }

  /** How many photos and voice notes wait; those of visits that were given up are not to go up. */
  async photosToSend() {
    const waiting = (await this.blobs.all().catch(() => [])).filter(({ state }) => state === "waiting");
    if (waiting.length === 0) return 0;
    const withheld = await this.photosGivenUp();
    return waiting.filter(({ sha256 }) => !withheld.includes(sha256)).length;
  }

  // Records as the volunteer sees them

  /** @returns {Promise<FlatRecord | null>} */
  async record(kind, id) {
    const pulled = await this.replica.record(id);
    const entries = (await this.#entries(kind)).filter((entry) => entry.record_id === id);
    const record = await this.#layOver(pulled, entries);
    return record?.kind === kind ? (await this.#layConsent(kind, [record]))[0] : null;
  }

  /** @returns {Promise<FlatRecord[]>} those of a kind; with `field`, those whose field has the value */
  async records(kind, field = "", value = undefined) {
    const byRecord = groupBy(await this.#entries(kind), "record_id");
    const pulled = await this.replica.records(kind, field, value);
    // An edit may have moved a record under this value, or it may be known to this phone alone.
    const ids = new Set([...pulled.map((record) => record.id), ...shownIds(byRecord, kind)]);
    const found = [];
    for (const id of ids) {
      const record = await this.#layOver(await this.replica.record(id), byRecord.get(id) ?? []);
      if (record && record.kind === kind && (!field || record[field] === value)) found.push(record);
    }
    return this.#layConsent(kind, found);
  }

  /** A household's consent follows its visits: on the server when they arrive, here as soon as they are saved. */
  async #layConsent(kind, records) {
    if (kind !== "household") return records;
    const visits = [];
    for (const [id, entries] of groupBy(await this.outbox.entries(), "record_id")) {
      const pulled = entries.some((entry) => saysConsent(entry, null)) ? await this.replica.record(id) : null;
      if (entries.some((entry) => saysConsent(entry, pulled))) visits.push(await this.#layOver(pulled, entries));
    }
    const said = visits.filter((visit) => visit?.consent_state && !visit.is_void);
    if (said.length === 0) return records;
    said.sort((left, right) => left.made_at - right.made_at);
    const byHousehold = groupBy(said, "household_id");
    const { caution } = this.app.kinds.household;
    const lay = (record) => ({ ...record, consent_state: consentOver(record.consent_state ?? "", byHousehold.get(record.id) ?? [], caution.consent_state) });
    return records.map((record) => (byHousehold.has(record.id) ? lay(record) : record));
  }

  /**
   * What the header counts and no list of visits shows: hours, rounds handed back, promises kept, and what only its sealed copy
   * is left of.
   * @returns {Promise<FlatRecord[]>}
   */
  async queued() {
    const open = (await this.outbox.entries()).filter((entry) => entry.state !== "acknowledged" && !isGivenUp(entry));
    const found = [];
    for (const [id, entries] of groupBy(open, "record_id")) {
      const record = await this.#layOver(await this.replica.record(id), entries);
      const { state, code, created_at } = entries[0];
      if (!record) found.push({ kind: "", id, path: "", state: { name: state, code, at: created_at } });
      else if (record.kind !== "visit") {
        /** @type {FlatRecord} */
        const shown = { ...record, ...(await this.record(record.kind, id)) };
        const round = await this.record("round", shown.round_id);
        const path = shown.kind === "need" ? await this.#pathOfNeed(shown) : pathOf(shown);
        found.push({ service: "other", ...shown, round_title: round?.title, path });
      }
    }
    return found;
  }

  /** The visit that opened it or the door where it stands, whichever is on this phone still. @param {Record<string, any>} need */
  async #pathOfNeed({ visit_id, household_id }) {
    if (await this.record("visit", visit_id)) return `/visits/${visit_id}`;
    const round = (await this.records("round")).find(({ household_ids = [] }) => household_ids.includes(household_id));
    return round ? `/rounds/${round.id}/doors/${household_id}` : "";
  }

  /** What the outbox says of a kind. Needs follow from visits, so they come first. */
  async #entries(kind) {
    const entries = await this.outbox.entries();
    if (kind !== "need") return entries;
    const implied = await impliedNeeds(entries, (id) => this.replica.record(id));
    return [...implied, ...entries].sort((left, right) => left.sequence - right.sequence);
  }

  /** Photos that only what was given up names: they wait with it. @returns {Promise<string[]>} their hashes */
  async photosGivenUp() {
    const { discarded = [] } = await this.outbox.device();
    if (discarded.length === 0) return [];
    const visits = (await this.vault.isLocked()) ? [] : await this.records("visit");
    const named = new Set(visits.flatMap(({ attachments = [] }) => attachments.map(({ sha256 }) => sha256)));
    return discarded.flatMap(({ photos }) => photos).filter((sha256) => !named.has(sha256));
  }

  /**
   * Lets go of what can no longer be taken back, with its photos, and of drafts from long ago: when the phone's clock says
   * so and the server's, because either may be wrong.
   * @param {number[]} clocks
   */
  async forgetGivenUp(clocks) {
    if (await this.vault.isLocked()) return; // what else names a photo is not known
    await this.outbox.forgetOldDrafts(clocks);
    const before = await this.photosGivenUp();
    await this.outbox.keepDiscarded((each) => clocks.some((now) => isRecallable(now)(each)));
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
      drafts: draftTimes(await readDrafts(this)),
      storage: null,
      discarded: listDiscarded(await this.outbox.discarded()),
      now,
      today: localDate(now, app.utc_offset_minutes),
      utc_offset_minutes: app.utc_offset_minutes,
      me: await this.me(),
      outbox: await this.outboxState(now),
      photos: await this.photosToSend(),
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

  /** What waits in a few numbers, which the header shows; and until the first sync is complete, how far it has come. */
  async outboxState(now = Date.now()) {
    const entries = (await this.outbox.entries()).filter((entry) => !isGivenUp(entry));
    const count = (state) => entries.filter((entry) => entry.state === state).length;
    const { ready: is_filled, received, total, uploaded_at } = await this.replica.checkpoint();
    const is_shut = is_filled && (await this.#isOutOfTouch(now));
    const ready = is_filled && !is_shut;
    const { left, first_sync, is_expired } = await this.outbox.device();
    const expected = first_sync && describeFirstSync(first_sync);
    if (!ready) this.#resumedAt ??= received;
    const filling = ready || left ? null : { received: Math.min(received, total ?? received), total, resumed: this.#resumedAt, expected, is_expired, is_shut };
    const failed = entries.filter((entry) => entry.state === "waiting" && entry.code).length;
    const days = (at) => Math.floor((now - at) / DAY_MS);
    const since = entries.filter(({ state }) => state === "waiting").map(({ created_at }) => created_at);
    const stale_days = uploaded_at ? days(uploaded_at) : 0;
    const oldest_days = since.length > 0 ? days(Math.min(...since)) : 0;
    const times = { uploaded_at, stale_days, oldest_days };
    const waiting = count("waiting");
    return { waiting, photos: await this.photosToSend(), failed, held: count("held"), ...times, line: is_shut && this.isOffline ? null : this.#line(waiting), filling };
  }

  /** How it stands with the line to the server, where that is worth a word. */
  #line(waiting) {
    const said = (name, icon, { n = 0, at = 0 } = {}) => ({ name, icon, n, at });
    if (this.isFull) return said("full", "alert");
    if (this.isOffline) return said("offline", "offline");
    if (this.unreachableAt !== null) return said("unreachable", "offline", { at: this.unreachableAt });
    if (this.isSlow) return said("slow", "up");
    if (this.back === 0) return null;
    return waiting > 0 ? said("back", "up", { n: waiting }) : said("all_up", "check", { n: this.back });
  }
}

/** For people: in tenths of a megabyte, and a slow line carries 400 kbit/s. */
const describeFirstSync = ({ households, bytes }) => {
  return { households, size: sizeText(Math.max(bytes, SIZE_SHOWN_MIN)), seconds: Math.max(1, Math.ceil(bytes / SLOW_BYTES_A_SECOND)) };
};

const shownIds = (byRecord, kind) =>
  [...byRecord].filter(([, entries]) => entries.some(({ display }) => display?.kind === kind)).map(([id]) => id);
