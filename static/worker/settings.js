// Language, display size, colours and contrast: kept on the phone, so that they work with no network, and told to the server by the
// exchange.

import { ownPath, seeOther } from "./responses.js";

const CHOICES = { language: ["zh-CN", "en"], size: ["normal", "large"], scheme: ["auto", "light", "dark"], contrast: ["auto", "more"] };

/**
 * What was chosen, with the first choice where nothing valid was.
 * @param {Record<string, any>} stored
 * @returns {{ language: string, size: string, scheme: string, contrast: string }}
 */
export function readSettings(stored) {
  const pick = (name) => (CHOICES[name].includes(stored[name]) ? stored[name] : CHOICES[name][0]);
  return { language: pick("language"), size: pick("size"), scheme: pick("scheme"), contrast: pick("contrast") };
}

/**
 * @param {import("../store/outbox.js").Outbox} outbox
 * @param {Request} request POST /settings
 */
export async function postSettings(outbox, request) {
  const form = await request.formData();
  const chosen = Object.keys(CHOICES).filter((name) => CHOICES[name].includes(form.get(name)));
  await outbox.setSettings(Object.fromEntries(chosen.map((name) => [name, form.get(name)])));
  return seeOther(ownPath(String(form.get("back") ?? ""), "/settings"));
}
