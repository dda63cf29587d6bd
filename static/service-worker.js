// The worker: a local server on the phone (DESIGN.md 1). Listeners, and the table of what it answers; everything else
// goes to the network as if it were not there.
//
// Served from the site root as one classic script: APP and TEMPLATES are written before these files, and this one is
// last. It keeps nothing in memory that cannot be read or made again, because it may be stopped at any moment.

import { createTransport } from "./sync/transport.js";
import { createSealer } from "./sync/seal.js";
import { decodeBase64 } from "./sync/protocol.js";
import { answerAsset, forgetOldAssets, installAssets } from "./worker/assets.js";
import { answerKept, fetchSigned } from "./worker/attachments.js";
import { answerChosen, postDraft } from "./worker/drafts.js";
import { Drain } from "./worker/drain.js";
import {
  answerLeft,
  answerLocked,
  answerNotDone,
  answerPin,
  answerSignOut,
  askPages,
  endSession,
  ONLY_HERE,
  postPin,
  postSignOut,
  postUnlock,
} from "./worker/lock.js";
import { postEnrolment } from "./worker/enrolment.js";
import { answerFilling, answerOffline, answerPage, answerStatus } from "./worker/pages.js";
import { Phone } from "./worker/phone.js";
import { openFromReminder, remind } from "./worker/reminder.js";
import { answerResidentPage } from "./worker/residents.js";
import { seeOther } from "./worker/responses.js";
import { matchPage } from "./worker/router.js";
import { postSettings } from "./worker/settings.js";
import { Uploader } from "./worker/uploader.js";
import { answerExport, answerQueue } from "./worker/queue.js";
import { answerWrite } from "./worker/writes.js";

const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));

// @ts-expect-error written by the server at the head of the script
const phone = new Phone(APP, TEMPLATES, () => askPages(worker.clients));
const { app, outbox } = phone;
const transport = createTransport({ fetch: (path, options) => fetch(path, options), device });
const uploader = new Uploader(phone.blobs, transport, () => phone.photosGivenUp());
const drain = new Drain(phone, transport, uploader, report, shutPages);

// Answers, in order

/** @type {{ match: (asked: any) => any, handle: (event: FetchEvent, url: URL) => Promise<Response> }[]} */
const rules = [
  { match: ({ method, path }) => method === "GET" && path.startsWith("/static/"), handle: asset },
  { match: ({ method, path }) => method === "POST" && path === "/enrol", handle: enrol },
  { match: ({ method, path }) => method === "GET" && path === "/enrol/waiting", handle: awaitConfirmation },
  { match: ({ method, path }) => method === "GET" && path === "/fragments/status", handle: ready(status, status, status) },
  { match: ({ method, path }) => method === "POST" && path === "/settings", handle: ready(settings, settings, settings) },
  { match: ({ method, path }) => method === "POST" && path === "/unlock", handle: ready(unlock, network, unlock) },
  { match: ({ path }) => path === "/settings/pin", handle: ready(pin) },
  { match: ({ path }) => path === "/settings/sign-out", handle: ready(signOut, signOut, signOut) },
  { match: ({ path }) => path === "/drafts", handle: draft },
  { match: ({ path }) => path === "/queue", handle: ready(queue) },
  { match: ({ method, path }) => method === "GET" && path === "/queue/export", handle: ready(carryOff, carryOff, carryOff) },
  { match: ({ method, path }) => method === "GET" && matchPage(app.pages, path), handle: ready(page, filling) },
  { match: ({ method, path }) => method === "POST" && matchPage(app.pages, path)?.page.write, handle: ready(write, writeShut) },
  { match: ({ method, path }) => method === "POST" && matchPage(app.pages, path)?.page.asks, handle: ready(ask) },
  { match: ({ method, path }) => method === "GET" && KEPT.test(path), handle: ready(keptBytes) },
  { match: ({ method, path }) => method === "GET" && isResidents(path), handle: residentPage },
  { match: ({ method, path, isPage }) => method === "GET" && isPage && isAnybodys(path), handle: network },
  { match: ({ method, isPage }) => method === "GET" && isPage, handle: ready(network) },
];
const ruleFor = (asked) => rules.find(({ match }) => match(asked));

// Where a browser can, it hands assets out by itself: a page that opens on a slow phone need not wait for this worker's turn.
// Pages come from here alone: without a rule Chromium asks the network for each as well while the worker starts, and throws
// the answer away (ServiceWorkerAutoPreload; ARCHITECTURE.md 6).
const ROUTES = [
  { condition: { urlPattern: "/static/*" }, source: "cache" },
  { condition: { requestMode: "navigate" }, source: "fetch-event" },
];
const SIGN_OUT_PATIENCE_MS = 10_000;
const TAKES_PIN = ["/unlock", "/settings/pin"];
const NOT_FOR_OTHER_SITES = [...ONLY_HERE, "/enrol", "/drafts"];
const KEPT = /^\/visits\/[^/]+\/kept\/[^/]+$/;
// What is hers stands under no such address, and under others than the table's: the server reads /%74oday as /today, and has
// her cookie. So whatever else is asked for waits for the PIN.
const isAnybodys = (path) => /^\/(enrol|sign-in|sign-out|coordinator(\/.*)?|events\.ics|calendar\/[^/]+\.ics)$/.test(path);
const isResidents = (path) => /^\/((calendar|events)(\/[^.]*)?)?$/.test(path);

// Listeners

worker.addEventListener("install", (event) => {
  const routed = /** @type {any} */ (event).addRoutes?.(ROUTES);
  event.waitUntil(Promise.all([installAssets(app), routed?.catch((error) => console.error("routes", error))]));
});

worker.addEventListener("activate", (event) => {
  event.waitUntil(forgetOldAssets(app).then(() => worker.clients.claim()));
});

worker.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (url.origin !== worker.location.origin) return;
  if (isFromElsewhere(request, url)) return;
  const isPage = request.mode === "navigate" || request.headers.get("HX-Request-Type") === "full";
  const rule = ruleFor({ method: request.method, path: url.pathname, isPage });
  if (rule) event.respondWith(rule.handle(event, url));
});

/**
 * Any site can send a form here, and the worker is asked before the server, which refuses it by headers that a worker is not
 * shown. So these are left to the server unless a page of ours sent them: all of ours say so. A PIN that goes up in this way
 * is the other site's own; or its owner has had her Firefox name no page at all, and cannot set one. A visit's form is always
 * answered: nobody else knows the ids in its path, and no such setting may cost a visit.
 */
function isFromElsewhere({ method, mode, referrer }, { pathname }) {
  if (method !== "POST" || mode !== "navigate" || !NOT_FOR_OTHER_SITES.includes(pathname)) return false;
  return !referrer.startsWith(`${worker.location.origin}/`);
}

worker.addEventListener("message", (event) => {
  const { type, cause, drafts } = event.data ?? {};
  if (type === "SKIP_WAITING") event.waitUntil(worker.skipWaiting());
  if (type === "drain") event.waitUntil(drainFor(event.source, cause));
  if (type === "lock") event.waitUntil(lock());
  if (type === "drafts") event.waitUntil((leaving = leaving.then(() => keepLeft(drafts))));
});

// Background Sync, where it exists: a rejection makes the browser try again later, a few times.
worker.addEventListener("sync", (/** @type {any} */ event) => {
  if (event.tag === "linli-drain") event.waitUntil(drainCompletely(event.lastChance));
});

worker.addEventListener("notificationclick", (event) => event.waitUntil(openFromReminder(event, worker.clients)));

// Handlers

function asset({ request }) {
  return answerAsset(request);
}

function enrol({ request }) {
  return postEnrolment(phone, request, Date.now());
}

/** The page polls itself. Once a coordinator has confirmed, its answer leads on: to a worker that knows it as well. */
async function awaitConfirmation(event) {
  const response = await network(event);
  const leadsOn = response.type === "opaqueredirect" || response.headers.has("HX-Redirect");
  if (!leadsOn) return response;
  await drain.meet().catch((error) => console.error("hello", error));
  event.waitUntil(drain.run("load"));
  return response;
}

function status() {
  return answerStatus(phone, Date.now());
}

/** Also told to the server, whose own pages (the calendar) read a cookie: whoever stands on one waits for that, for a while. */
async function settings(event) {
  const told = fetch(event.request.clone()).catch(() => {});
  event.waitUntil(told);
  const answer = await postSettings(outbox, event.request);
  const { pathname } = new URL(answer.headers.get("Location") ?? "/", worker.location.origin);
  if (!matchPage(app.pages, pathname)) await Promise.race([told, new Promise((resolve) => setTimeout(resolve, 3000))]);
  return answer;
}

/** What pages that are gone left behind is kept first: the next page asks for it, or has something newer. */
let leaving = Promise.resolve();

async function draft({ request }, url) {
  await leaving;
  if (request.method === "POST") return keepDraft(await request.formData());
  const of = url.searchParams.get("chosen");
  return of && !(await isShut()) ? answerChosen(phone, of) : seeOther("/today");
}

async function keepDraft(form) {
  return (await isShut()) ? new Response(null, { status: 423 }) : postDraft(phone, form, Date.now());
}

/**
 * Of a page that is gone and hears no answer, the newest last. The next page may have been drawn without it: a message and a
 * request do not keep their order.
 */
async function keepLeft(drafts) {
  for (const draft of drafts) {
    const form = new FormData();
    for (const [name, value] of draft) form.append(name, value);
    await keepDraft(form).catch((error) => console.error("draft", error)); // the others are not lost for it
  }
  const records = drafts.map((draft) => Object.fromEntries(draft).record_id);
  await tellPages({ type: "left_behind", records }).catch((error) => console.error("draft", error)); // nor are those that come later
}

async function isShut() {
  return (await outbox.device()).left || phone.vault.isLocked();
}

/** What was sent from a page is answered as it would have been. */
async function unlock(event) {
  const resend = async (request) => {
    const url = new URL(request.url);
    const rule = ruleFor({ method: "POST", path: url.pathname, isPage: true });
    const carried = /** @type {any} */ ({ request, waitUntil: (work) => event.waitUntil(work) });
    return rule ? rule.handle(carried, url) : seeOther("/today");
  };
  const response = await postUnlock(phone, event.request, Date.now(), resend);
  if (!(await isShut())) event.waitUntil(drain.run("unlocked")); // the page that comes next joins this one
  event.waitUntil(afterLeaving());
  return response;
}

async function pin(event) {
  const { request } = event;
  if (request.method !== "POST") return answerPin(phone, Date.now());
  const response = await postPin(phone, request, Date.now());
  event.waitUntil(afterLeaving());
  return response;
}

async function signOut(event) {
  const { request } = event;
  if (request.method !== "POST") return answerSignOut(phone, Date.now());
  const response = await postSignOut(phone, request, Date.now(), uploadAll);
  // The session first: the page that signed out is on its way to another, and is not to be renewed under that.
  event.waitUntil(endSession(outbox).catch(() => {}).then(afterLeaving));
  return response;
}

/** As far as it goes in the time that somebody waits. */
async function uploadAll() {
  const all = drain.run("asked").then(() => uploader.run());
  await Promise.race([all, new Promise((resolve) => setTimeout(resolve, SIGN_OUT_PATIENCE_MS))]);
}

/** By what was just answered, perhaps: somebody signed out, or ten PINs were wrong. */
async function afterLeaving() {
  if (!(await outbox.device()).left) return;
  await shutPages();
  await endSession(outbox).catch(() => {}); // tried again before each exchange
}

/** Trying again is a drain that somebody asked for. */
async function queue(event) {
  if (event.request.method !== "POST") return seeOther("/my-visits");
  const response = await answerQueue(phone, await sealer(), event.request, Date.now());
  event.waitUntil(drain.run("asked").then(sendPhotos));
  return response;
}

function carryOff(_event, url) {
  return answerExport(phone, url.searchParams.get("record"), Date.now());
}

function page(_event, url) {
  return answerPage(phone, matched(url), url, Date.now());
}

/** How far the first sync has come; while the server refuses it, the server's own page. */
function filling(event, url) {
  return drain.isRefused ? network(event) : answerFilling(phone, url.pathname, Date.now());
}

/** A photo or a voice note of a visit: this phone's own, or else the server's. */
async function keptBytes({ request }) {
  return (await answerKept(phone, request)) ?? (await fetchSigned(phone, request).catch(() => null)) ?? fetch(request);
}

/** What was typed comes in the body, so that it stands in no address. */
async function ask({ request }, url) {
  const asked = new URL(url);
  asked.search = await request.text();
  return answerPage(phone, matched(url), asked, Date.now());
}

async function write(event, url) {
  const match = matched(url);
  const response = await answerWrite(phone, await sealer(), match, event.request, Date.now());
  if (response.status === 303) event.waitUntil(sendSoon());
  return response;
}

/** A form that was open when the phone had been out of touch for too long, or its clock jumped, is saved all the same. */
async function writeShut(event, url) {
  return (await phone.isFilled()) ? write(event, url) : network(event);
}

/** Its rule has matched already. */
const matched = (url) => /** @type {any} */ (matchPage(app.pages, url.pathname));

async function residentPage(event, url) {
  return (await answerResidentPage(event, event.request)) ?? answerOffline(phone, url.pathname, Date.now());
}

/** The server's answer, or a page that says that there is no network. A PIN is this phone's own, and goes nowhere. */
async function network({ request }) {
  const { pathname } = new URL(request.url);
  if (request.method === "POST" && TAKES_PIN.includes(pathname)) return seeOther("/today");
  try {
    return await fetch(request);
  } catch {
    return answerOffline(phone, pathname, Date.now());
  }
}

/**
 * Answers from this phone when it is enrolled and whole, `meanwhile` until its first sync is complete, `shut` while it is
 * locked, or from the server. A phone that was left has one page.
 * @param {(event: FetchEvent, url: URL) => Response | Promise<Response>} handle
 * @param {(event: FetchEvent, url: URL) => Response | Promise<Response>} meanwhile
 * @param {(event: FetchEvent, url: URL) => Response | Promise<Response>} shut
 */
function ready(handle, meanwhile = network, shut = locked) {
  return async (event, url) => {
    const copy = event.request.clone();
    let isOurs = false;
    try {
      if ((await outbox.device()).left) return await (isPlain(shut) ? shut(event, url) : answerLeft(phone, Date.now()));
      isOurs = await phone.isEnrolled();
      if (isOurs && (await phone.isLocked())) return await shut(event, url);
      if (await phone.isReady()) return await handle(event, url);
      event.waitUntil(drain.run("load"));
      if (isOurs) return await meanwhile(event, url);
    } catch (error) {
      // Locked while it was being answered; never a case for the server, which asks for no PIN.
      if (/** @type {Error} */ (error).name === "LockedError") return locked({ request: copy });
      // The phone's storage has failed: the server may still help, and the form's ids keep it from doubling.
      console.error(event.request.method, url.pathname, error);
      if (isOurs && copy.method === "POST" && ONLY_HERE.includes(url.pathname)) {
        // Nothing can be read either: the page stays as it is, with all that was typed.
        return answerNotDone(phone, copy, Date.now()).catch(() => new Response(null, { status: 204 }));
      }
    }
    return network({ request: copy });
  };
}

/** These show nothing of anybody and change nobody's records: what is carried off stays sealed. */
const isPlain = (handle) => [status, settings, carryOff].includes(handle);

function locked({ request }) {
  return answerLocked(phone, request, Date.now());
}

/** Nobody used it for a while. */
async function lock() {
  if (!(await phone.vault.hasPin())) return;
  phone.lock();
  await tellPages({ type: "locked" });
}

// Sending

async function sendSoon() {
  await report();
  await registerSync();
  await drain.run("saved");
  // Pages that did not ask learn from this when to try again; their own rhythm is half a minute.
  await answerClients();
  await sendPhotos();
}

async function drainFor(client, cause) {
  await lendKey(client);
  await endSession(outbox).catch(() => {});
  await drain.run(cause);
  await answerClient(client);
  await sendPhotos();
}

/** Photos, after all text; the pages that show them learn of it. */
async function sendPhotos() {
  const { heardAt } = uploader;
  if (heardAt) await phone.forgetGivenUp([Date.now(), heardAt]).catch((error) => console.error("given up", error));
  await uploader.run();
  await report();
  if (uploader.retryInMs !== null) await answerClients();
}

async function registerSync() {
  const { sync } = /** @type {any} */ (worker.registration);
  await sync?.register("linli-drain").catch(() => {}); // a hint, often refused
}

async function drainCompletely(isLastChance) {
  await drain.run("sync");
  const isWaiting = (await phone.outboxState()).waiting > 0;
  if (isWaiting && isLastChance) await remind(phone, worker.registration);
  if (isWaiting) throw new Error("visits are still waiting");
  await sendPhotos();
}

async function device() {
  const { device_id, keyPair } = await outbox.device();
  return { device_id, keyPair };
}

/** @type {{ id: string, seal: ReturnType<typeof createSealer> } | null} */
let sealing = null;

/** One one-time key for each start of the worker and each key of the server. */
async function sealer() {
  const { server_key } = await outbox.device();
  if (sealing && sealing.id === server_key.id) return sealing.seal;
  const seal = createSealer(server_key, decodeBase64(server_key.public));
  sealing = { id: server_key.id, seal };
  return seal;
}

// Telling the pages

/** Something that every page shows in its header has changed. */
function report() {
  return tellPages({ type: "status" });
}

/** What a page shows is there for nobody any longer. A page of an older release knows the lock alone. */
function shutPages() {
  return tellPages({ type: "locked", is_left: true });
}

async function tellPages(message) {
  for (const client of await worker.clients.matchAll({ type: "window" })) client.postMessage(message);
}

/** So that this page can give it back when the worker was stopped. */
async function lendKey(client) {
  if (!(await phone.isEnrolled().catch(() => false)) || (await phone.isLocked())) return;
  const key = await phone.vault.keyToHold();
  if (key) client?.postMessage({ type: "key", key });
}

/** Tells the page that asked when to ask again. */
async function answerClient(client) {
  const waits = [drain.retryInMs, uploader.retryInMs].filter((wait) => wait !== null);
  const retry_in = waits.length ? Math.min(...waits) : null;
  client?.postMessage({ type: "drained", retry_in, is_enrolled: await phone.isReady().catch(() => false) });
}

async function answerClients() {
  for (const client of await worker.clients.matchAll({ type: "window" })) await answerClient(client);
}
