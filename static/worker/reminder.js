// A reminder, where the browser stops trying by itself (P13): for whoever asked for it, and with no word of anybody in it.

import { readSettings } from "./settings.js";

/**
 * @param {import("./phone.js").Phone} phone
 * @param {ServiceWorkerRegistration} registration
 */
export async function remind({ app, outbox, say }, registration) {
  const { language } = readSettings(await outbox.settings());
  const title = say({ language }, "reminder.title");
  const icon = app.assets["icon-192.png"];
  // Refused where nobody agreed to it.
  await registration.showNotification(title, { tag: "linli-waiting", lang: language, icon }).catch(() => {});
}

/** @param {NotificationEvent} event @param {Clients} clients */
export async function openFromReminder({ notification }, clients) {
  notification.close();
  const [page] = await clients.matchAll({ type: "window" });
  await (page ? page.focus() : clients.openWindow("/today"));
}
