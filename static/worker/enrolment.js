// Becoming a volunteer's phone: the worker makes the device's key when the invite is accepted, and takes up its work
// when the server says that a coordinator has confirmed it.

import { decodeBase64, readFailure } from "../sync/protocol.js";
import { describeDeviceKey, makeDeviceKeys, signRequest } from "../sync/seal.js";
import { answerInstead } from "./pages.js";
import { isLedTo, passOn } from "./responses.js";

/**
 * Passes the enrolment form on to the server, with this device's public key. The private half stays here. A phone that cannot
 * let go of what is another's asks nobody: the code is not spent, and may be sent again.
 * @param {import("./phone.js").Phone} phone
 * @param {Request} request POST /enrol
 * @param {number} now
 */
export async function postEnrolment(phone, request, now) {
  const { outbox } = phone;
  const form = await request.formData();
  const { keyPair, left, is_wiped, server_key, me, volunteer_id = me?.id ?? "" } = await outbox.device();
  const own = keyPair ? { ...(await deviceOf(keyPair)), volunteer_id } : await newDevice();
  // Without a key it may be anybody's: the outbox can be lost alone, and the list and the photos be there.
  if ((!keyPair || (left && !is_wiped)) && !(await isBlank(phone))) return answerNotBlank(phone, now);
  if (!keyPair) await outbox.setDevice({ ...own, standing: "unknown" }).then(isKept);
  let response = await claim(request, form, own);
  // A phone that was never confirmed has no key of the server's, so nothing was sealed on it.
  if (isKeyRefused(response) && (left || !server_key)) response = await enrolAnother(phone, request, form, response, now);
  else if (isClaimed(response)) await outbox.setDevice({ standing: "waiting", left: "", has_session: false });
  return passOn(request, response);
}

/**
 * A phone that was left may become somebody else's device, as soon as nothing of the first one waits; no photo, either: what
 * another device brings up is seen through no record of hers. Copies that are stranded have a key of their own, and go up as
 * before. One that a coordinator refused, or that waits under another volunteer, becomes a new device.
 */
async function enrolAnother(phone, request, form, refused, now) {
  const { outbox } = phone;
  const isTextWaiting = (await outbox.entries()).some(({ state }) => state === "waiting");
  if (isTextWaiting || (await phone.photosToSend()) > 0) return refused;
  const other = await newDevice();
  // Photos that are up go too: in another epoch they would be offered again, as the other one's.
  if (!(await isBlank(phone))) return answerNotBlank(phone, now);
  const response = await claim(request, form, other);
  if (isClaimed(response)) await outbox.beginAnew({ ...other, standing: "waiting" }).then(isKept);
  return response;
}

/** Has the phone let go of all that it would show of whoever had it before? */
async function isBlank(phone) {
  return phone.makeBlank().then(
    () => true,
    (error) => {
      console.error("enrolment", error);
      return false;
    },
  );
}

/** Where not even that can be drawn, the form stays as it is. */
const answerNotBlank = (phone, now) =>
  answerInstead(phone, "no_room", { path: "/enrol", status: 507 }, now).catch(() => new Response(null, { status: 204 }));

/** @type {Promise<{ keyPair: CryptoKeyPair, device_id: string }> | null} */
let fresh = null;

/** Until it is kept, the same one: of two taps at once the code would be spent for the one that is not kept. */
function newDevice() {
  fresh ??= makeDeviceKeys().then(deviceOf);
  return fresh;
}

const isKept = () => (fresh = null);

/**
 * Signed with the key that it brings, which is no secret by itself. It says whose the key was: a server that was restored from
 * a backup may not know, and would take it for anybody's.
 */
async function claim(request, form, { keyPair, device_id, volunteer_id = "" }) {
  const body = new URLSearchParams();
  for (const [name, text] of form) if (typeof text === "string") body.append(name, text);
  body.set("public_key", (await describeDeviceKey(keyPair.publicKey)).public_key);
  body.set("volunteer_id", volunteer_id);
  const headers = new Headers([...request.headers].filter(([name]) => /^(accept|accept-language|hx-.*)$/i.test(name)));
  headers.set("HX-Request", "true"); // or a phone that is confirmed already would be led on from there
  headers.set("Content-Type", "application/x-www-form-urlencoded");
  const sent = new TextEncoder().encode(String(body));
  const signed = await signRequest({ method: "POST", path: new URL(request.url).pathname, body: sent }, { keyPair, device_id });
  for (const [name, value] of Object.entries(signed)) headers.set(name, value);
  return fetch(request.url, {
    method: "POST",
    body: sent,
    headers,
    credentials: "same-origin",
    redirect: "follow",
    referrer: request.referrer,
  });
}

const isKeyRefused = ({ headers }) => headers.get("Linli-Problem") === "bad_key";
const isClaimed = (response) => isLedTo(response, "/enrol/waiting");

async function deviceOf(keyPair) {
  return { keyPair, device_id: (await describeDeviceKey(keyPair.publicKey)).device_id };
}

/**
 * Asks the server how this device stands, and keeps what it says; where there is no room for that, what was known still holds.
 * A server that was restored from before there was its volunteer may have given the phone to another: she is shown nothing of it.
 * @param {import("./phone.js").Phone} phone
 * @param {(method: string, path: string) => Promise<import("../sync/exchange.js").Reply>} ask signed
 * @param {number} now
 * @returns {Promise<import("../sync/exchange.js").Reply>} what it said; rejects when nobody answers
 */
export async function askStanding(phone, ask, now) {
  const { outbox } = phone;
  const keep = (values) => outbox.setDevice(values).catch((error) => console.error("standing", error));
  const { device_id } = await outbox.device();
  const reply = await ask("GET", "/sync/hello");
  const hello = readHello(reply.text);
  const known = await outbox.device();
  if (known.device_id !== device_id) return reply; // it was said of whoever had this phone before
  if (reply.status !== 200 || !hello) {
    if (readFailure(reply.text) === "unknown_device") await keep({ standing: "unknown" });
    return reply;
  }
  const { standing, server_key, epoch, language, first_sync = null } = hello;
  const me = known.left ? undefined : hello.me; // nobody's, once it was left
  if (me && known.volunteer_id && me.id !== known.volunteer_id) await phone.makeBlank();
  const asked_at = now;
  const { id: volunteer_id = known.volunteer_id } = me ?? {};
  const whole = { standing, me, volunteer_id, server_key, epoch, asked_at, first_sync };
  await keep(standing === "active" ? whole : { standing, epoch, asked_at });
  const settings = await outbox.settings();
  if (!settings.language && language) await outbox.setSettings({ language }).catch(() => {});
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
