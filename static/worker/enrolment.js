// Becoming a volunteer's phone: the worker makes the device's key when the invite is accepted, and takes up its work
// when the server says that a coordinator has confirmed it.

import { decodeBase64, readFailure } from "../sync/protocol.js";
import { describeDeviceKey, makeDeviceKeys } from "../sync/seal.js";

/**
 * Passes the enrolment form on to the server, with this device's public key. The private half stays here.
 * @param {import("../store/outbox.js").Outbox} outbox
 * @param {Request} request POST /enrol
 */
export async function postEnrolment(outbox, request) {
  const form = await request.formData();
  const body = new URLSearchParams();
  for (const [name, text] of form) if (typeof text === "string") body.append(name, text);
  body.set("public_key", await ownPublicKey(outbox));
  const response = await fetch(request.url, {
    method: "POST",
    body,
    headers: new Headers([...request.headers].filter(([name]) => /^(accept|accept-language|hx-.*)$/i.test(name))),
    credentials: "same-origin",
    redirect: request.redirect,
    referrer: request.referrer,
  });
  const isTaken = response.type === "opaqueredirect" || response.redirected;
  if (isTaken) await outbox.setDevice({ standing: "waiting" });
  return response;
}

async function ownPublicKey(outbox) {
  const { keyPair } = await outbox.device();
  if (keyPair) return (await describeDeviceKey(keyPair.publicKey)).public_key;
  const made = await makeDeviceKeys();
  const { device_id, public_key } = await describeDeviceKey(made.publicKey);
  await outbox.setDevice({ keyPair: made, device_id, standing: "unknown" });
  return public_key;
}

/**
 * Asks the server how this device stands, and keeps what it says.
 * @param {import("../store/outbox.js").Outbox} outbox
 * @param {(method: string, path: string) => Promise<import("../sync/exchange.js").Reply>} ask signed
 * @param {number} now
 * @returns {Promise<import("../sync/exchange.js").Reply>} what it said; rejects when nobody answers
 */
export async function askStanding(outbox, ask, now) {
  const reply = await ask("GET", "/sync/hello");
  const hello = readHello(reply.text);
  if (reply.status !== 200 || !hello) {
    if (readFailure(reply.text) === "unknown_device") await outbox.setDevice({ standing: "unknown" });
    return reply;
  }
  const { standing, me, server_key, epoch, language } = hello;
  const asked_at = now;
  await outbox.setDevice(standing === "active" ? { standing, me, server_key, epoch, asked_at } : { standing, asked_at });
  const settings = await outbox.settings();
  if (!settings.language && language) await outbox.setSettings({ language });
  return reply;
}

/** The hello in a response's text, or null for whatever is not ours. */
function readHello(text) {
  try {
    const hello = JSON.parse(text);
    const isOurs = typeof hello.epoch === "string" && typeof hello.standing === "string";
    const isUsable = hello.standing !== "active" || (hello.me?.id && decodeBase64(hello.server_key.public).length === 65);
    return isOurs && isUsable ? hello : null;
  } catch {
    return null;
  }
}
