// Scripts, styles and icons. Their URLs carry a hash of what is in them, so a cached copy is never out of date.

const ASSETS_PREFIX = "linli-assets-";

const assetsCacheName = (app) => `${ASSETS_PREFIX}${app.release}`;

/** Takes every asset in before the worker may take over; one that fails leaves the old worker in charge. */
export async function installAssets(app) {
  const cache = await caches.open(assetsCacheName(app));
  await cache.addAll(Object.values(app.assets));
}

/**
 * Removes the assets of older releases but the last, which pages that are still open may ask for. Caches that are not
 * of this kind, the outbox's mirror above all, are none of its business.
 */
export async function forgetOldAssets(app) {
  const names = (await caches.keys()).filter((name) => name.startsWith(ASSETS_PREFIX));
  const old = names.filter((name) => name !== assetsCacheName(app)).slice(0, -1);
  await Promise.all(old.map((name) => caches.delete(name)));
}

/** @param {Request} request */
export async function answerAsset(request) {
  for (const name of (await caches.keys()).reverse()) {
    const found = name.startsWith(ASSETS_PREFIX) && (await (await caches.open(name)).match(request));
    if (found) return found;
  }
  return fetch(request);
}
