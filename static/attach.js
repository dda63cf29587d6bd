// Photos and voice notes of the form on screen, before it is saved. The worker keeps them (worker/attachments.js): where
// there is none, none are asked for. What was chosen lies in the form's own inputs, so that it is sent like any answer; a
// form without any is sent as it always was.

const VOICE_MS_MAX = 60_000;
const VOICE_BITS_A_SECOND = 16_000; // 60 s are 120 KB
const VOICE_BYTES_MAX = 150 * 1024; // not every phone keeps to that
const ATTACHMENTS_MAX = 10;
const KINDS = ["audio/webm;codecs=opus", "audio/ogg;codecs=opus", "audio/mp4"];

/** @type {{ recorder: MediaRecorder, box: any, pieces: Blob[], startedAt: number, timer: number } | null} */
let recording = null;

// What was chosen

/** @returns {HTMLInputElement} */
const carrier = (box, name) => box.querySelector(`input[name=${name}]`);

/** @param {File[]} files */
function carry(box, name, files) {
  const input = carrier(box, name);
  const chosen = new DataTransfer();
  for (const file of files.slice(0, ATTACHMENTS_MAX)) chosen.items.add(file);
  input.files = chosen.files;
  input.disabled = files.length === 0;
  const isAny = ["photo", "voice"].some((each) => !carrier(box, each).disabled);
  const form = /** @type {HTMLFormElement} */ (input.form);
  form.enctype = isAny ? "multipart/form-data" : "application/x-www-form-urlencoded";
  showChosen(box);
}

/** The worker keeps what is chosen until it is saved, as it keeps what is written (app.js), so that it outlives this page. */
function keepChosen(box) {
  used.add(box);
  const form = box.closest("form");
  /** @type {any} */
  const detail = { form, draft: null, isKept: false };
  const keep = async () => {
    if (returning.has(box)) await returning.get(box); // else at once: the page may be going
    detail.draft = readChosen(box);
    const body = new FormData();
    for (const [name, value] of detail.draft) body.append(name, value);
    detail.isKept = (await fetch("/drafts", { method: "POST", body })).ok;
    return detail.isKept;
  };
  detail.keeping = keep().catch(() => false);
  form.dispatchEvent(new CustomEvent("chosen", { bubbles: true, detail }));
}

/** @returns {[string, string | File][]} */
function readChosen(box) {
  const chosen = ["photo", "voice"].flatMap((name) => [...(carrier(box, name).files ?? [])].map((file) => [name, file]));
  return [["record_id", box.closest("form").dataset.record], ["chosen", "1"], .../** @type {[string, File][]} */ (chosen)];
}

/** Boxes in which something was chosen, or taken away, on this page. */
const used = new WeakSet();

/**
 * Forms whose files are still coming back, by their box: what is chosen meanwhile is kept with these, not in their place.
 * @type {WeakMap<Element, Promise<void>>}
 */
const returning = new WeakMap();

/**
 * What was chosen on the page that is being replaced, by record. A form that comes back with a problem has it from here: a
 * full phone could not keep it anywhere else.
 * @type {Map<string, FormData>}
 */
const leaving = new Map();

function noteLeaving() {
  void finish();
  leaving.clear();
  for (const box of document.querySelectorAll("[data-attach]")) {
    const chosen = new FormData();
    for (const name of ["photo", "voice"]) for (const file of carrier(box, name).files ?? []) chosen.append(name, file);
    const form = /** @type {HTMLFormElement} */ (box.closest("form"));
    if ([...chosen].length > 0) leaving.set(form.dataset.record ?? "", chosen);
  }
}

/** A form that is taken up again, or comes back with a problem, has what was chosen for it. */
async function takeUp(box) {
  const { record } = box.closest("form").dataset;
  const isBack = document.getElementById("problems") !== null;
  if (!isBack && !document.getElementById("draft")) return;
  if (carrier(box, "photo").files?.length || carrier(box, "voice").files?.length) return;
  const kept = (isBack && leaving.get(record)) || (await keptBefore(record));
  for (const name of ["photo", "voice"]) {
    const files = /** @type {File[]} */ (kept?.getAll(name) ?? []);
    if (files.length > 0) carry(box, name, [...files, ...(carrier(box, name).files ?? [])]);
  }
}

/** The page before was still telling what was chosen on it when this one was drawn. */
async function takeUpLate(box) {
  await returning.get(box);
  const kept = await keptBefore(box.closest("form").dataset.record);
  if (used.has(box)) return keepChosen(box); // what the worker has is older
  if (kept) for (const name of ["photo", "voice"]) carry(box, name, /** @type {File[]} */ (kept.getAll(name)));
}

/** @returns {Promise<FormData | null>} */
async function keptBefore(record) {
  const answer = await fetch(`/drafts?chosen=${encodeURIComponent(record)}`).catch(() => null);
  return answer?.ok && !answer.redirected ? answer.formData().catch(() => null) : null;
}

function add(box, name, files) {
  carry(box, name, [...(carrier(box, name).files ?? []), ...files]);
  keepChosen(box);
}

function showChosen(box) {
  const list = box.querySelector("[data-chosen]");
  for (const shown of list.querySelectorAll("[src]")) URL.revokeObjectURL(shown.src);
  const lines = ["photo", "voice"].flatMap((name) =>
    [...(carrier(box, name).files ?? [])].map((file, place) => line(box, name, file, place)),
  );
  list.replaceChildren(...lines);
}

/** Seen or heard again, and taken away again. */
function line(box, name, file, place) {
  const item = document.createElement("li");
  item.className = "attached__one";
  const shown = name === "voice" ? new Audio() : new Image();
  shown.src = URL.createObjectURL(file);
  const words = `${box.dataset[name]} ${place + 1}`;
  if (shown instanceof HTMLImageElement) shown.alt = words;
  else {
    shown.controls = true;
    shown.setAttribute("aria-label", words);
  }
  const remove = document.createElement("button");
  remove.className = "button button--small";
  remove.type = "button";
  remove.textContent = box.dataset.remove;
  remove.setAttribute("aria-label", `${box.dataset.remove}: ${words}`);
  remove.addEventListener("click", () => {
    carry(box, name, [...(carrier(box, name).files ?? [])].filter((each) => each !== file));
    keepChosen(box);
    box.querySelector("[data-microphone]").focus();
  });
  item.append(shown, remove);
  return item;
}

// Recording

async function record(button) {
  if (recording) return void finish();
  const box = button.closest("[data-attach]");
  const refused = box.querySelector("[data-refused]");
  refused.hidden = true;
  button.disabled = true; // until the phone has asked whether it may
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
    const mimeType = KINDS.find((each) => MediaRecorder.isTypeSupported(each));
    const recorder = new MediaRecorder(stream, { mimeType, audioBitsPerSecond: VOICE_BITS_A_SECOND });
    const pieces = [];
    let size = 0;
    recorder.addEventListener("dataavailable", ({ data }) => {
      size += data.size;
      if (size <= VOICE_BYTES_MAX) pieces.push(data);
      else finish({ isFull: true });
    });
    recorder.addEventListener("stop", () => void finish());
    recorder.start(500);
    recording = { recorder, box, pieces, startedAt: Date.now(), timer: 0 };
    button.dataset.words = button.lastElementChild.textContent;
    tell(button);
    recording.timer = setInterval(() => tell(button), 500);
  } catch (error) {
    console.error("no recording", error);
    say(box, false);
  }
  button.disabled = false;
}

function tell(button) {
  const left = VOICE_MS_MAX - (Date.now() - (recording?.startedAt ?? 0));
  const { stop, seconds } = recording?.box.dataset;
  button.lastElementChild.textContent = `${stop} ${Math.max(0, Math.ceil(left / 1000))} ${seconds}`;
  if (left <= 0) finish({ isFull: true });
}

/** Below the button: that the microphone was refused, there is none, or a voice note is full. */
function say(box, isFull) {
  const words = box.querySelector("[data-refused]");
  words.dataset.words ??= words.textContent;
  words.textContent = isFull ? words.dataset.full : words.dataset.words;
  words.hidden = false;
}

/**
 * What was recorded so far joins the form at once, so that saving while it runs loses nothing but the last half second.
 * Ends when that is in it, too.
 */
function finish({ isFull = false, isSent = false } = {}) {
  if (!recording) return Promise.resolve();
  const { recorder, box, pieces, timer } = recording;
  recording = null;
  clearInterval(timer);
  const button = box.querySelector("[data-microphone]");
  button.lastElementChild.textContent = button.dataset.words;
  if (isFull) say(box, true);
  const type = recorder.mimeType;
  const keep = () => {
    if (pieces.length === 0) return;
    carry(box, "voice", [...before, new File(pieces, "voice", { type })]);
    keepChosen(box);
  };
  const before = [...(carrier(box, "voice").files ?? [])];
  keep();
  const isOver = recorder.state === "inactive";
  const stopped = isOver ? Promise.resolve() : new Promise((resolve) => recorder.addEventListener("stop", resolve));
  const end = isOver || isSent ? stopped : stopped.then(keep); // a form that is on its way is no draft any more
  if (!isOver) recorder.stop();
  for (const track of recorder.stream.getTracks()) track.stop();
  return end;
}

// Listeners

function prepare() {
  const isKept = navigator.serviceWorker?.controller != null;
  for (const box of document.querySelectorAll("[data-attach]")) {
    /** @type {HTMLElement} */ (box).hidden = !isKept;
    const canRecord = typeof MediaRecorder === "function" && navigator.mediaDevices;
    /** @type {HTMLElement} */ (box.querySelector("[data-microphone]")).hidden = !canRecord;
    if (!canRecord) say(box, false);
  }
}

function start() {
  prepare();
  takeUpAll();
}

function takeUpAll() {
  if (!navigator.serviceWorker?.controller) return;
  for (const box of document.querySelectorAll("[data-attach]")) {
    if (!returning.has(box)) returning.set(box, takeUp(box).finally(() => returning.delete(box)));
  }
}

document.addEventListener("change", ({ target }) => {
  if (!(target instanceof HTMLInputElement) || target.dataset.take === undefined) return;
  add(target.closest("[data-attach]"), "photo", [...(target.files ?? [])]);
  target.value = ""; // the same photo may be chosen again; a camera gives one at a time
});
document.addEventListener("click", ({ target }) => {
  const button = target instanceof Element ? target.closest("[data-microphone]") : null;
  if (button) void record(button);
});
document.addEventListener("submit", () => void finish({ isSent: true }), { capture: true });
addEventListener("pagehide", () => void finish(), { capture: true }); // before app.js tells the worker what is on its way
document.addEventListener("closing", (/** @type {any} */ { detail }) => detail.waits.push(finish()));
document.addEventListener("htmx:before:swap", noteLeaving);
document.addEventListener("htmx:before:settle", prepare);
document.addEventListener("htmx:after:settle", takeUpAll); // htmx gives a form its attributes back, and so its enctype
navigator.serviceWorker?.addEventListener("controllerchange", start);
navigator.serviceWorker?.addEventListener("message", ({ data }) => {
  if (data?.type !== "left_behind") return;
  for (const box of document.querySelectorAll("[data-attach]")) {
    if (data.records.includes(box.closest("form")?.dataset.record)) void takeUpLate(box);
  }
});
start();

export {};
