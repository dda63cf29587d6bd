// What a page does for itself. Everything works without it, more plainly; each part looks for its own mark in the page
// and does nothing where there is none. The records of a page are none of its business: it asks the worker, by ordinary
// requests, and the worker answers with HTML.

const WORKER_URL = "/service-worker.js";
const RHYTHM_MS = 30_000;
const UPDATE_CHECK_MS = 60 * 60_000;
const UPDATE_PUT_OFF_MS = 2 * 60 * 60_000;
const PUT_OFF = "linli-update-put-off";
const DRAFT_PAUSE_MS = 300;
const GOING_MS = 10_000;
const LOCK_IDLE_MS = 5 * 60_000;
const LOCK_AWAY_MS = 2 * 60_000;
const CANARY_MS = 3000;
const WORKER_AGAIN_MS = 5000;

// Trusted Types: htmx parses the HTML of this server's answers, and nothing else may make HTML or scripts from text.

const { trustedTypes } = /** @type {any} */ (window);
trustedTypes?.createPolicy("default", {
  createHTML: (text, _type, sink) => (/parse/i.test(sink) ? text : null),
  createScriptURL: (url) => (url === WORKER_URL ? url : null),
});

// The worker

/** @type {ServiceWorkerRegistration | null} */
let registration = null;
let timer = 0;
let isUpdating = false;
let checkedAt = Date.now();

async function startWorker() {
  const { serviceWorker } = navigator;
  if (!serviceWorker) return;
  serviceWorker.addEventListener("message", ({ data, ports }) => {
    if (data?.type === "status") {
      isOutdated = true;
      void refreshStatus();
    }
    if (data?.type === "drained") onDrained(data);
    if (data?.type === "key") holdKey(data.key);
    if (data?.type === "key?") void giveKeyBack(ports[0]);
    if (data?.type === "locked") void showLocked(data);
  });
  serviceWorker.addEventListener("controllerchange", () => {
    if (isUpdating) void renew();
    else askToDrain("load");
    prepareEnrolment();
  });
  serviceWorker.startMessages();
  askToDrain("load"); // before `register`, which may wait for a look that the browser has begun itself
  registration = await serviceWorker.register(WORKER_URL, { updateViaCache: "none" });
  registration.addEventListener("updatefound", () => {
    registration?.installing?.addEventListener("statechange", showUpdatePrompt);
  });
  showUpdatePrompt();
  askToDrain("load");
}

/** The worker decides whether it is time; it answers with when to ask again. */
function askToDrain(cause) {
  navigator.serviceWorker?.controller?.postMessage({ type: "drain", cause });
  schedule(RHYTHM_MS);
  if (Date.now() - checkedAt < UPDATE_CHECK_MS) return;
  checkedAt = Date.now(); // boosted pages are no page loads, at which browsers look for a new worker themselves
  void registration?.update().catch(() => {});
}

function schedule(milliseconds) {
  clearTimeout(timer);
  timer = setTimeout(() => {
    if (document.visibilityState === "visible") askToDrain("timer");
  }, milliseconds);
}

function onDrained({ retry_in, is_enrolled }) {
  schedule(Math.min(retry_in ?? RHYTHM_MS, RHYTHM_MS) + 50);
  // Asked on enrolled phones only: elsewhere there is nothing worth keeping, and Firefox asks the person.
  if (is_enrolled) void navigator.storage?.persist?.();
  if (is_enrolled && document.querySelector("main [data-filling]")) reloadAtRest(); // the first sync is complete
}

let asking = 0; // by somebody's tap, and not answered yet
let isGoing = false; // by somebody's tap as well, which a reload would throw away
addEventListener("beforeunload", () => {
  isGoing = true;
  setTimeout(() => (isGoing = false), GOING_MS); // a call, or a file, leaves the page where it is
});

/** What is on its way already answers as well as this page would, drawn anew. */
function reloadAtRest() {
  if (asking === 0 && !isGoing) location.reload();
}

addEventListener("online", () => askToDrain("online"));
addEventListener("hashchange", prepareEnrolment); // another invite, opened where the page of the first one stands
document.addEventListener("visibilitychange", () => {
  const isSeen = document.visibilityState === "visible";
  if (isSeen) isChoosing = false;
  noteUse();
  if (isSeen) askToDrain("visible");
  else void keepDraft();
});

// The lock: where there is a PIN, this page holds the vault's key for a worker that was stopped, and nowhere but in memory.

/** @type {CryptoKey | null} */
let heldKey = null;
let lockTimer = 0;
let lockAt = Infinity;
let isChoosing = false; // the camera, or the gallery, covers this page: it is in use, and a photo has only this one to come back to

function holdKey(key) {
  heldKey = key;
  if (lockAt === Infinity) noteUse();
}

/**
 * Locks when nobody touches it for a while, or has it out of sight and no other tab in hand. Timers sleep with the phone: the
 * clock is asked, too.
 */
function noteUse(isElsewhere = false) {
  if (Date.now() > lockAt) return void lock();
  const isInHand = isElsewhere || isChoosing || document.visibilityState === "visible";
  const wait = isInHand ? LOCK_IDLE_MS : LOCK_AWAY_MS;
  lockAt = heldKey ? Date.now() + wait : Infinity;
  clearTimeout(lockTimer);
  if (heldKey) lockTimer = setTimeout(lock, wait);
}

/**
 * To a worker that was stopped: perhaps for a tab that somebody opens hours later, when this one, out of sight, has slept past
 * its time. A form that nobody else has still holds the lock open.
 */
async function giveKeyBack(port) {
  const isOver = Date.now() > lockAt;
  port.postMessage({ key: isOver && (await isFormKept()) ? null : heldKey });
  if (isOver) void lock();
}

async function lock() {
  await endRecording();
  await keepDraft();
  if (!(await isFormKept())) return;
  giveUpKey();
  navigator.serviceWorker?.controller?.postMessage({ type: "lock" });
}

/** Its time goes with it: one that is lent later, when another tab was unlocked, begins anew. */
function giveUpKey() {
  heldKey = null;
  lockAt = Infinity;
  clearTimeout(lockTimer);
}

/** What attach.js is recording joins the form before the vault is shut. */
function endRecording() {
  const detail = { waits: [] };
  document.dispatchEvent(new CustomEvent("closing", { detail }));
  return Promise.all(detail.waits);
}

/**
 * What was last chosen, as attach.js tells it: `draft` is what went to the worker, `keeping` whether it kept it.
 * @type {{ form: HTMLFormElement | null, draft: [string, string | File][] | null, isKept: boolean, keeping: Promise<boolean> }}
 */
let lastChosen = { form: null, draft: null, isKept: true, keeping: Promise.resolve(true) };

/** Words and photos for which a full phone has no room are nowhere but in this form, so they hold the lock open. */
async function isFormKept() {
  return !changedForm && areFilesKept();
}

async function areFilesKept() {
  const inputs = [...document.querySelectorAll("form[data-form] input[type=file]")];
  return (await lastChosen.keeping) || !inputs.some((input) => /** @type {any} */ (input).files.length > 0);
}

/**
 * The worker answers this very page with the question for the PIN, unless it shows it already. What stood in a form is its draft.
 * Words that are none yet stay on screen: a locked worker keeps nothing, and carries them along when they are sent. Nothing stays
 * of a phone that was left.
 */
async function showLocked({ is_left }) {
  if (document.querySelector("[data-shut]")) return giveUpKey(); // which it was lent when another tab was unlocked
  await endRecording();
  if (!(await areFilesKept())) return;
  giveUpKey(); // before another tab may have it asked for
  if (!is_left) await keepDraft();
  if (is_left || !changedForm?.isConnected) location.reload();
}

const otherTabs = "BroadcastChannel" in self ? new BroadcastChannel("linli-use") : null;
otherTabs?.addEventListener("message", () => noteUse(true));
for (const used of ["pointerdown", "keydown", "input"]) {
  addEventListener(used, () => (noteUse(), heldKey && otherTabs?.postMessage(used)), { passive: true });
}

let asked = 0;
let isOutdated = false; // something was told since the page that is on its way was asked for

/** How many visits wait, and when all were uploaded: the worker's words, fetched as any fragment. The last answer counts. */
async function refreshStatus() {
  const isAwaited = document.querySelector("main [data-until-sent]"); // by whoever signed out, and would hand this phone on
  if (!document.getElementById("sync-status") && !isAwaited) return;
  const number = ++asked;
  const response = await fetch("/fragments/status").catch(() => null);
  if (!response?.ok) return;
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html").body;
  if (isAwaited && fresh.querySelector('[data-waiting="0"]')) return reloadAtRest();
  const region = document.getElementById("sync-status"); // of the page that is there now
  if (number !== asked || !region) return;
  // A live region is read aloud when it changes, so it changes only when its words do.
  if (fresh.innerHTML.trim() !== region.innerHTML.trim()) region.replaceChildren(...fresh.childNodes);
  if (region.matches("main [data-filling]") && region.querySelector("[data-waiting]")) reloadAtRest(); // another tab brought the list
  refreshRecords();
}

/** A page that shows records on their way, or counts them, is fetched again, unless somebody is writing. */
function refreshRecords() {
  const isListing = document.querySelector('main [data-state="waiting"], main [data-state="uploading"], main [data-state="failed"], main [data-counts], main #stale');
  if (!isListing || document.querySelector("main form[data-form], [data-shut]")) return;
  const path = location.pathname + location.search;
  void /** @type {any} */ (window).htmx.ajax("GET", path, { target: "main", select: "main", swap: "outerMorph" });
}

/** A new release waits until no page needs the old one, or until somebody taps. */
function showUpdatePrompt() {
  const prompt = document.getElementById("update-prompt");
  const isPutOff = Date.now() - Number(localStorage.getItem(PUT_OFF) ?? 0) < UPDATE_PUT_OFF_MS;
  if (prompt) prompt.hidden = isPutOff || !(registration?.waiting && navigator.serviceWorker.controller);
}

async function update() {
  await endRecording();
  await keepDraft();
  if (!(await isFormKept())) return;
  if (!registration?.waiting) return location.reload(); // it took over while the form could not be kept
  isUpdating = true;
  registration.waiting.postMessage({ type: "SKIP_WAITING" });
}

/** Some browsers put the new worker in charge minutes later, when there is another form on screen: it is asked again. */
async function renew() {
  await endRecording();
  await keepDraft();
  if (await isFormKept()) return location.reload();
  isUpdating = false; // this page works on, with the new worker
  askToDrain("load");
}

function putOffUpdate() {
  localStorage.setItem(PUT_OFF, String(Date.now()));
  showUpdatePrompt();
}

// The home screen. The browser's own offer is kept until somebody taps; put off, it stays in the settings.

/** @type {any} */
let installOffer = null;
const NOT_NOW = "linli-install-put-off";

function showInstall() {
  const panel = /** @type {HTMLElement | null} */ (document.querySelector("[data-install]"));
  if (panel) panel.hidden = !installOffer || (panel.dataset.install !== "settings" && localStorage.getItem(NOT_NOW) !== null);
}

async function install({ dataset }) {
  const offer = installOffer;
  if (dataset.add === "later") localStorage.setItem(NOT_NOW, "1");
  else installOffer = null; // it may be used once
  showInstall();
  if (dataset.add === "now") await offer.prompt();
}

addEventListener("beforeinstallprompt", (event) => {
  event.preventDefault();
  installOffer = event;
  showInstall();
});

// Drafts: the worker keeps what stands in a form, so that it outlives this page. Without a worker there is nobody to ask.

/** @type {HTMLFormElement | null} changed since its draft was last sent */
let changedForm = null;
/** @type {WeakMap<HTMLFormElement, number>} when each was last changed, by which the worker tells what came after a save */
const changedAt = new WeakMap();
let draftTimer = 0;
/** @type {Set<[string, string][]>} drafts that the worker has not answered for */
const onTheirWay = new Set();
/** @type {Promise<unknown>} */
let keeping = Promise.resolve();

function noteChange(form) {
  if (!form?.matches("[data-form]")) return;
  changedForm = form;
  changedAt.set(form, Date.now());
  clearTimeout(draftTimer);
  draftTimer = setTimeout(keepDraft, DRAFT_PAUSE_MS);
}

/** Ends when the worker has every draft that was sent, not only the last one: then the page may go. */
function keepDraft() {
  clearTimeout(draftTimer);
  const form = changedForm;
  changedForm = null;
  if (form && navigator.serviceWorker?.controller) keeping = Promise.all([keeping, sendDraft(form)]);
  return keeping;
}

async function sendDraft(form) {
  const draft = readDraft(form);
  onTheirWay.add(draft);
  const response = await fetch("/drafts", { method: "POST", body: new URLSearchParams(draft) }).catch(() => null);
  onTheirWay.delete(draft);
  if (!response?.ok) changedForm ??= form; // it goes with the next one
}

/** What is typed from now on is no part of what was sent, however long the worker takes to start. */
function noteSending(form) {
  if (!form?.matches("[data-form]")) return;
  const moment = form.elements.sent_at ?? form.appendChild(Object.assign(document.createElement("input"), { type: "hidden", name: "sent_at" }));
  moment.value = String(Date.now());
}
document.addEventListener("submit", ({ target }) => noteSending(target), { capture: true }); // htmx reads the form first

/** @returns {[string, string][]} */
function readDraft(form) {
  const isAnswer = ([name, text]) => typeof text === "string" && name !== "sent_at";
  const answers = /** @type {[string, string][]} */ ([...new FormData(form)].filter(isAnswer));
  return [...answers, ["draft_path", new URL(form.action).pathname], ["typed_at", String(changedAt.get(form) ?? 0)]];
}

/** A page that goes takes its requests along, in Firefox nearly always; a message arrives, and nobody waits for its answer. */
addEventListener("pagehide", () => {
  /** @type {[string, string | File][][]} */
  const drafts = [...onTheirWay];
  if (changedForm) drafts.push(readDraft(changedForm));
  if (lastChosen.draft && !lastChosen.isKept && lastChosen.form?.isConnected) drafts.push(lastChosen.draft);
  changedForm = null;
  if (drafts.length > 0) navigator.serviceWorker?.controller?.postMessage({ type: "drafts", drafts });
});
document.addEventListener("htmx:before:request", () => void keepDraft());

/** A phone shares the file, with WeChat among the ways it offers; whatever cannot downloads it, as the link says. */
async function shareExport(link, event) {
  if (!navigator.canShare?.({ files: [new File([], "linli.txt", { type: "text/plain" })] })) return;
  event.preventDefault();
  const answer = await fetch(link.href).catch(() => null);
  const [, name] = /filename="(.+)"/.exec(answer?.headers.get("Content-Disposition") ?? "") ?? [];
  if (!answer || !name) return answer?.ok ? location.assign(answer.url) : showNoAnswer(true); // a page, which nobody could bring in
  const file = new File([await answer.blob()], name, { type: "text/plain" });
  await navigator.share({ files: [file] }).catch(({ name: why }) => {
    if (why !== "AbortError") location.assign(link.href);
  });
}

/** Asked by a tap: some browsers say yes only then. */
async function keepForGood(button) {
  if (await navigator.storage?.persist?.().catch(() => false)) location.reload();
  else button.nextElementSibling.hidden = false;
}

// Forms

/** Shows the questions that the answers so far call for. One that is hidden is disabled, so that it is not sent. */
function showQuestions(form) {
  const outcome = form.querySelector('[name="outcome"]:checked')?.value ?? "met";
  for (const button of form.elements) if (button.dataset.allGood !== undefined) button.hidden = outcome !== "met";
  for (const question of form.querySelectorAll("[data-shown-when]")) {
    const isShown = JSON.parse(question.dataset.shownWhen).every(({ field, values }) =>
      answersTo(form, field).some((value) => values.includes(value)),
    );
    question.hidden = question.disabled = !isShown;
    if (isShown && question.dataset.suggested && !question.querySelector(":checked")) {
      const choice = question.querySelector(`[value="${CSS.escape(question.dataset.suggested)}"]`);
      if (choice) choice.checked = true;
    }
  }
}

/** As FormData has it, which would lay out the whole page anew for each question that was just shown or hidden. */
function answersTo(form, name) {
  const given = [...form.querySelectorAll(`[name="${name}"]:enabled`)];
  return given.filter(({ type, checked }) => checked || !["radio", "checkbox"].includes(type)).map(({ value }) => value);
}

/** 一切都好: every question of the group gets its best answer, to be corrected one by one. Whom it is about was met. */
function setAllGood(button) {
  const { form } = button;
  const met = form.querySelector('[name="outcome"][value="met"]');
  if (!form.querySelector('[name="outcome"]:checked')) met.checked = true;
  showQuestions(form);
  for (const radio of form.querySelectorAll('[data-group] input[value="good"]:enabled')) radio.checked = true;
  noteChange(form);
}

/** Nobody was seen: the next visit that is proposed comes sooner, as long as nobody chose another day. */
function proposeNextVisit(form) {
  const input = form.querySelector("[data-sooner]");
  if (!input) return;
  const { field, values } = JSON.parse(input.dataset.soonerWhen);
  const isSooner = values.includes(new FormData(form).get(field)) && input.dataset.sooner !== "";
  input.dataset.usual ??= input.value;
  input.dataset.proposed ??= input.value;
  if (input.value !== input.dataset.proposed) return;
  input.value = input.dataset.proposed = isSooner ? daysFrom(form, input.dataset.sooner) : input.dataset.usual;
}

function daysFrom(form, days) {
  const day = new Date(`${form.dataset.today}T00:00:00Z`);
  day.setUTCDate(day.getUTCDate() + Number(days));
  return day.toISOString().slice(0, 10);
}

/** Tomorrow, in three days, … counted from the page's own today. */
function setDays(button) {
  button.closest(".dates").querySelector("input").value = daysFrom(button.form, button.dataset.days);
  noteChange(button.form);
}

/** Only a browser that tries by itself while the app is closed has something to remind of. */
function showReminder() {
  const panel = /** @type {HTMLElement | null} */ (document.querySelector("[data-reminder]"));
  if (!panel || !("SyncManager" in window) || !("Notification" in window)) return;
  panel.hidden = false;
  for (const part of panel.querySelectorAll("[data-permission]")) {
    const shown = /** @type {HTMLElement} */ (part);
    shown.hidden = shown.dataset.permission !== Notification.permission;
  }
}

async function allowReminder() {
  await Notification.requestPermission();
  showReminder();
}

/** A tab of an iPhone: cleared after seven days without use, and another store than the app on the home screen (P6, P7). */
function isTabOfIphone() {
  const isTouchMac = navigator.platform === "MacIntel" && navigator.maxTouchPoints > 1;
  if (!isTouchMac && !/iPhone|iPad|iPod/.test(navigator.userAgent)) return false;
  return !(/** @type {any} */ (navigator).standalone || matchMedia("(display-mode: standalone)").matches);
}

/** A private window, as far as a browser lets it be seen (P8): Firefox and Safari give no folder, older Chromium little room. */
async function isPrivate() {
  const { storage, webkitTemporaryStorage: temporary } = /** @type {any} */ (navigator);
  try {
    await storage?.getDirectory?.();
    // Safari's open() may never answer (P18), which is nothing private.
    await Promise.race([openCanary(), new Promise((done) => setTimeout(done, CANARY_MS))]);
  } catch {
    return true;
  }
  const room = await new Promise((found) => (temporary ? temporary.queryUsageAndQuota((_, quota) => found(quota), found) : found(Infinity)));
  return room < 2 * /** @type {any} */ (performance).memory?.jsHeapSizeLimit;
}

async function openCanary() {
  await new Promise((onsuccess, onerror) => Object.assign(indexedDB.open("linli-canary"), { onsuccess, onerror })).then(
    ({ target }) => target.result.close(),
  );
  indexedDB.deleteDatabase("linli-canary");
}

/** Asked once for each page: neither changes while it is open. @type {Promise<string> | null} */
let whyRefused = null;

/** Not here: what to do instead takes the place of the form, before anything was typed. The address keeps the code. */
function refuseToEnrol(form, why) {
  form.hidden = true;
  for (const part of document.querySelectorAll("#enrol-words")) part.remove();
  for (const part of document.querySelectorAll("[data-refused]")) {
    /** @type {HTMLElement} */ (part).hidden = ![why, "calendar"].includes(/** @type {any} */ (part).dataset.refused);
  }
  const shown = document.querySelector("[data-code]");
  const output = shown?.querySelector("output");
  const code = codeInAddress();
  if (!output || !code) return;
  output.value = code;
  /** @type {HTMLElement} */ (shown).hidden = false;
}

function allowSending(form, isAllowed) {
  for (const control of form.elements) if (control instanceof HTMLButtonElement) control.disabled = !isAllowed;
}

async function copyCode(button) {
  await navigator.clipboard?.writeText(button.parentElement.querySelector("output").value).catch(() => {});
}

/** The link of an invite carries its code after the #, where no server log sees it; a link within the page has its place there. */
function codeInAddress() {
  const after = location.hash.slice(1);
  return document.getElementById(after) ? "" : after;
}

async function prepareEnrolment() {
  const form = /** @type {HTMLFormElement | null} */ (document.querySelector("form[data-enrol]"));
  if (!form) return;
  allowSending(form, false);
  whyRefused ??= isTabOfIphone() ? Promise.resolve("tab") : isPrivate().then((yes) => (yes ? "private" : ""));
  const why = await whyRefused;
  if (why) return refuseToEnrol(form, why);
  const code = codeInAddress();
  if (code) {
    form.code.value = code;
    history.replaceState(history.state, "", location.pathname);
  }
  // The worker makes the device's key, so the form waits for it; a browser without workers is enrolled without one.
  const isWaiting = "serviceWorker" in navigator && !navigator.serviceWorker.controller;
  allowSending(form, !isWaiting);
  if (isWaiting) askForWorkerLater();
}

let workerTimer = 0;

function askForWorkerLater() {
  clearTimeout(workerTimer);
  workerTimer = setTimeout(askForWorker, WORKER_AGAIN_MS);
}

/** The line may have dropped while it was fetched, or one of its assets. One that is on its way is not fetched twice. */
function askForWorker() {
  const { serviceWorker } = navigator;
  if (!serviceWorker || serviceWorker.controller || !document.querySelector("form[data-enrol]")) return;
  serviceWorker.register(WORKER_URL, { updateViaCache: "none" }).catch(() => {}); // asked for again
  askForWorkerLater();
}

addEventListener("online", askForWorker);

function preparePage() {
  for (const form of document.querySelectorAll("form")) showQuestions(form);
  prepareEnrolment();
  showUpdatePrompt();
  showInstall();
  showReminder();
}

// Listeners

document.addEventListener("change", ({ target }) => {
  const { form } = /** @type {HTMLInputElement} */ (target);
  if (!form) return;
  if (target instanceof HTMLInputElement && "moment" in target.dataset) target.value = String(Date.now());
  showQuestions(form);
  proposeNextVisit(form);
  noteChange(form);
});

for (const type of ["click", "change", "cancel"]) {
  document.addEventListener(type, ({ target }) => {
    if (target instanceof HTMLInputElement && target.type === "file") isChoosing = type === "click";
  });
}

// A photo or a voice note (attach.js) is no answer, but its form is a draft from now on.
document.addEventListener("chosen", (/** @type {any} */ { target, detail }) => {
  lastChosen = detail;
  noteChange(target);
  void keepDraft();
});
document.addEventListener("input", ({ target }) => noteChange(/** @type {HTMLInputElement} */ (target).form));

/** @type {Record<string, (button: any, event: Event) => unknown>} */
const clicks = {
  "[data-all-good]": setAllGood,
  "[data-days]": setDays,
  "[data-exchange]": () => askToDrain("asked"),
  "[data-export]": shareExport,
  "[data-persist]": keepForGood,
  "[data-remind]": allowReminder,
  "[data-add]": install,
  "[data-copy]": copyCode,
  '[data-update="now"]': update,
  '[data-update="later"]': putOffUpdate,
};

document.addEventListener("click", (event) => {
  const { target } = event;
  for (const [mark, act] of Object.entries(clicks)) {
    const button = target instanceof Element ? target.closest(mark) : null;
    if (button) act(button, event);
  }
});

/** Arrow keys walk a chart as the eye does, past doors that lead nowhere. Where no floor has a door in line, to the nearest on the left. */
const STEPS = { ArrowUp: -1, ArrowDown: 1, ArrowLeft: -1, ArrowRight: 1 };
document.addEventListener("keydown", (event) => {
  const cell = event.target instanceof Element ? event.target.closest("td") : null;
  const step = event.altKey || event.ctrlKey || event.metaKey ? undefined : STEPS[event.key];
  const table = /** @type {HTMLTableElement | null} */ (cell?.closest(".stack") ?? null);
  if (!step || !cell || !table) return;
  event.preventDefault();
  const ahead = (all, here) => (step > 0 ? all.slice(all.indexOf(here) + 1) : all.slice(0, all.indexOf(here)).reverse());
  const row = /** @type {HTMLTableRowElement} */ (cell.parentElement);
  if (/Left|Right/.test(event.key)) return ahead([...row.cells], cell).flatMap(doorsIn)[0]?.focus();
  const column = columnOf(cell);
  const floors = ahead([...table.rows], row).map((floor) => [...floor.cells].filter((each) => columnOf(each) <= column).reverse());
  const inLine = floors.flatMap(([nearest]) => (nearest && column < columnOf(nearest) + nearest.colSpan ? doorsIn(nearest) : []));
  [...inLine, ...floors.flat().flatMap(doorsIn)][0]?.focus();
});

const doorsIn = (cell) => [...cell.querySelectorAll("a")].slice(0, 1);

/** Flats that were made one are as wide as they were. */
function columnOf(cell) {
  const before = [...cell.parentElement.cells].slice(0, cell.cellIndex);
  return before.reduce((sum, { colSpan }) => sum + colSpan, 0);
}

// Nobody answered, and no worker either: said in words, because htmx leaves the page as it is.
const showNoAnswer = (isShown) => {
  const words = document.getElementById("no-answer");
  if (words) words.hidden = !isShown;
};
document.addEventListener("htmx:error", (/** @type {any} */ { detail }) => {
  if (detail.ctx && !isOwn({ detail })) showNoAnswer(true);
});
/** What a page asks by itself (refreshRecords): nobody waits for it, and it brings no header. @returns {boolean} */
const isOwn = ({ detail }) => detail?.ctx?.select === "main";
document.addEventListener("htmx:before:request", (event) => {
  showNoAnswer(false);
  if (isOwn(event)) return;
  isOutdated = false;
  asking += 1;
});
document.addEventListener("htmx:finally:request", (event) => {
  if (!isOwn(event)) asking -= 1;
});

// Locked or left meanwhile: what stands around the records is not to stand around the question for the PIN. The answer to
// a tap is that question as well, and carries what was sent.
document.addEventListener("htmx:after:request", (/** @type {any} */ event) => {
  if (!isOwn(event) || !new DOMParser().parseFromString(event.detail.ctx.text, "text/html").querySelector("[data-shut]")) return;
  event.preventDefault();
  if (!document.querySelector("[data-shut]")) reloadAtRest();
});

// A boosted page arrives without a page load: the reader starts at its heading, or at what is wrong with the form. A
// page that renewed itself leaves the reader where he is.
let lastUrl = location.href;
document.addEventListener("htmx:before:settle", preparePage);
document.addEventListener("htmx:after:swap", (event) => {
  if (isOutdated && !isOwn(event)) {
    void refreshStatus();
    isOutdated = false;
  }
  const problems = document.getElementById("problems");
  if (!problems && location.href === lastUrl) return;
  lastUrl = location.href;
  (problems ?? document.querySelector("h1"))?.focus();
});

preparePage();
void startWorker();

// A list that draws itself again leaves open what somebody opened. Without htmx, which may be lost on the way, none does.
/** @type {any} */ (window).htmx?.config.morphIgnore.push("open");
