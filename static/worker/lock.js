// Locking this phone with a PIN, and leaving it: pages that only the worker has, because only it has something to lock.

import { PIN_TRIES } from "../store/vault.js";
import { answerInstead, renderAlone } from "./pages.js";
import { isLedTo, ownPath, seeOther } from "./responses.js";

/** @typedef {import("./phone.js").Phone} Phone */

const ASK_MS = 1000;
const PIN_FORM = /^[0-9]{4,6}$/;
const CARRIED = "carried-";

/**
 * The vault's key, from a page that still holds it. A page that sleeps does not answer.
 * @param {Clients} clients
 * @returns {Promise<CryptoKey | null>}
 */
export async function askPages(clients) {
  const asked = (await clients.matchAll({ type: "window" })).map(
    (page) =>
      new Promise((resolve, reject) => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = ({ data }) => (data?.key ? resolve(data.key) : reject());
        setTimeout(reject, ASK_MS);
        page.postMessage({ type: "key?" }, [port2]);
      }),
  );
  return Promise.any(asked).catch(() => null);
}

// Unlocking

/**
 * In place of the page that was asked for. What was sent from a form is carried along.
 * @param {Phone} phone
 * @param {Request} request
 * @param {number} now
 */
export async function answerLocked(phone, request, now) {
  const { pathname, search } = new URL(request.url);
  const isForm = request.method === "POST";
  const sent = isForm ? [...(await request.formData())] : [];
  const carried = sent.filter(([, text]) => typeof text === "string").map(([name, text]) => ({ name, text }));
  const hasFiles = sent.some(([, file]) => typeof file !== "string" && file.size > 0);
  const has_files = hasFiles && (await chosenFor(phone, carried)).length === 0; // and nowhere else
  return showLocked(phone, { next: pathname + (isForm ? "" : search), carried, has_files, problem: "", left: 0 }, now);
}

/** The photos and voice notes that lie beside the draft of a form: their key needs no PIN. */
const chosenFor = ({ blobs }, carried) => blobs.draft(carried.find(({ name }) => name === "record_id")?.text ?? "").catch(() => []);

const showLocked = (phone, lock, now, status = 423) =>
  renderAlone(phone, { template: "lock/page.html", path: lock.next, status, more: { lock } }, now);

/**
 * POST /unlock. What a form had sent is sent on, as if it came now.
 * @param {Phone} phone
 * @param {Request} request
 * @param {number} now
 * @param {(request: Request) => Promise<Response>} resend
 */
export async function postUnlock(phone, request, now, resend) {
  const form = await request.formData();
  const { next, carried } = readUnlock(form);
  const { isOpen, left } = await phone.vault.unlock(String(form.get("pin") ?? ""));
  if (!isOpen && left === 0) {
    await phone.leave("wrong_pin");
    return answerLeft(phone, now);
  }
  if (!isOpen) return showLocked(phone, { next, carried, has_files: false, problem: "wrong", left }, now, 422);
  phone.forgetOpened();
  if (carried.length === 0) return seeOther(next);
  const chosen = await chosenFor(phone, carried);
  const body = chosen.length > 0 ? new FormData() : new URLSearchParams();
  for (const { name, text } of carried) body.append(name, text);
  if (body instanceof FormData) for (const { kind, name: called, type, bytes } of chosen) body.append(kind, new File([bytes], called, { type }));
  return resend(new Request(new URL(next, request.url), { method: "POST", body }));
}

function readUnlock(form) {
  const carried = [...form].filter(([name]) => name.startsWith(CARRIED)).map(([name, text]) => ({ name: name.slice(CARRIED.length), text: String(text) }));
  return { next: ownPath(String(form.get("next") ?? ""), "/today"), carried };
}

// The PIN

/** @param {Phone} phone @param {number} now */
export async function answerPin(phone, now, { problem = "", left = PIN_TRIES, status = 200 } = {}) {
  const lock = { has_pin: await phone.vault.hasPin(), problem, left };
  return renderAlone(phone, { template: "lock/pin.html", path: "/settings/pin", status, more: { lock } }, now);
}

/** @param {Phone} phone @param {Request} request @param {number} now */
export async function postPin(phone, request, now) {
  const form = await request.formData();
  const [old, pin, again] = ["old", "pin", "again"].map((name) => String(form.get(name) ?? ""));
  const isRemoval = form.has("remove");
  if (!isRemoval && !PIN_FORM.test(pin)) return answerPin(phone, now, { problem: "format", status: 422 });
  if (!isRemoval && pin !== again) return answerPin(phone, now, { problem: "differ", status: 422 });
  const { isOpen, left } = await phone.vault.setPin(old, isRemoval ? "" : pin);
  if (isOpen) return seeOther("/settings/pin");
  if (left > 0) return answerPin(phone, now, { problem: "wrong", left, status: 422 });
  await phone.leave("wrong_pin");
  return answerLeft(phone, now);
}

// Leaving

/** @param {Phone} phone @param {number} now */
export const answerSignOut = (phone, now, tried = false) =>
  renderAlone(phone, { template: "lock/sign_out.html", path: "/settings/sign-out", status: 200, more: { tried } }, now);

/**
 * Uploads first. What could not go up is said, and stays sealed when somebody leaves all the same.
 * @param {Phone} phone
 * @param {Request} request
 * @param {number} now
 * @param {() => Promise<void>} upload
 */
export async function postSignOut(phone, request, now, upload) {
  const form = await request.formData();
  await upload();
  const isUnsent = (await phone.outboxState()).waiting > 0 || (await phone.photosToSend()) > 0;
  if (isUnsent && !form.has("anyway")) return answerSignOut(phone, now, true);
  await phone.leave("signed_out");
  return seeOther("/today");
}

/** In place of every page of a phone that was left. @param {Phone} phone @param {number} now */
export async function answerLeft(phone, now) {
  const { left } = await phone.outbox.device();
  return renderAlone(phone, { template: "lock/left.html", path: "/today", status: 200, more: { left } }, now);
}

/**
 * Where the phone's storage failed. The server would answer as if all were done, and nobody but the phone can do it; what was
 * typed before a PIN was asked for is still carried along.
 * @param {Phone} phone
 * @param {Request} request a POST of ONLY_HERE
 * @param {number} now
 */
export async function answerNotDone(phone, request, now) {
  const { pathname } = new URL(request.url);
  if (pathname === "/settings/pin") return answerPin(phone, now, { problem: "no_room", status: 507 });
  if (pathname !== "/unlock") return answerInstead(phone, "no_room", { path: "/today", status: 507 }, now);
  return showLocked(phone, { ...readUnlock(await request.formData()), has_files: false, problem: "no_room", left: PIN_TRIES }, now, 507);
}

/** What a phone does by itself, with its own keys and its own queue. */
export const ONLY_HERE = ["/unlock", "/settings/pin", "/settings/sign-out", "/queue"];

/** The browser's own session with the server, which a script cannot see; tried again until the server has answered. */
export async function endSession(outbox) {
  if (!(await outbox.device()).has_session) return;
  const response = await fetch("/sign-out", { method: "POST" });
  if (isLedTo(response, "/")) await outbox.setDevice({ has_session: false });
}
