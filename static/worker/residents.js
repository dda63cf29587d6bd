// Residents' pages: the network first, and without one the last copy, which says when it was made.

const PAGES_CACHE = "linli-pages";
const PAGES_KEPT = 20;
const NETWORK_TIMEOUT_MS = 3000;
const COPY_MADE_AT = "Linli-Made-At";

/**
 * @param {ExtendableEvent} event
 * @param {Request} request
 * @returns {Promise<Response | null>} null when there is neither a network nor a copy
 */
export async function answerResidentPage(event, request) {
  const network = fetch(request).then((response) => {
    if (response.ok && !response.redirected) event.waitUntil(keepCopy(request, response.clone()));
    return response;
  });
  network.catch(() => {});
  const first = await Promise.race([network, timeout()]).catch(() => null);
  return first ?? (await lastCopy(request)) ?? (await network.catch(() => null));
}

/** Without the cookies' and other people's headers: only what the page needs to be shown. */
async function keepCopy(request, response) {
  const cache = await caches.open(PAGES_CACHE);
  const headers = new Headers(response.headers);
  headers.set(COPY_MADE_AT, new Date().toUTCString());
  await cache.put(request.url, new Response(await response.blob(), { status: 200, headers }));
  const keys = await cache.keys();
  await Promise.all(keys.slice(0, -PAGES_KEPT).map((key) => cache.delete(key)));
}

/** Makes room: these copies can be had again, and a visit cannot. */
export const forgetPageCopies = () => caches.delete(PAGES_CACHE);

async function lastCopy(request) {
  const copy = await (await caches.open(PAGES_CACHE)).match(request.url, { ignoreVary: true });
  if (!copy) return null;
  const headers = new Headers(copy.headers);
  headers.set("Linli-Copy-From", headers.get(COPY_MADE_AT) ?? "");
  return new Response(copy.body, { status: 200, headers });
}

/** @returns {Promise<null>} */
const timeout = () => new Promise((resolve) => setTimeout(() => resolve(null), NETWORK_TIMEOUT_MS));
