// Served in place of the worker when a release must be withdrawn at once (LINLI_WORKER=off): it takes over, answers
// nothing, so that every request goes to the server, and clears the copies of pages and assets. The outbox and its
// mirror are not touched: what waits there is uploaded by the next good release.
"use strict";

const killSwitch = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));

killSwitch.addEventListener("install", () => void killSwitch.skipWaiting());

killSwitch.addEventListener("activate", (event) => event.waitUntil(takeOver()));

async function takeOver() {
  const names = await caches.keys();
  const copies = names.filter((name) => name.startsWith("linli-assets-") || name === "linli-pages");
  await Promise.all(copies.map((name) => caches.delete(name)));
}
