// The answers that the worker makes. A document obeys the policy that came with it, so every page carries the server's.

// The same as server/security.py gives.
const PAGE_HEADERS = {
  "Content-Type": "text/html; charset=utf-8",
  "Cache-Control": "no-store",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Permissions-Policy": "geolocation=(), camera=(), microphone=(self)",
  "Referrer-Policy": "same-origin",
  "X-Content-Type-Options": "nosniff",
};

/**
 * @param {string} text
 * @param {{ csp: string, status?: number }} options
 */
export function htmlResponse(text, { csp, status = 200 }) {
  return new Response(text, { status, headers: { ...PAGE_HEADERS, "Content-Security-Policy": csp } });
}

/**
 * After a POST: the browser asks for the next page with GET.
 * @param {string} location path on this server
 */
export function seeOther(location) {
  return new Response(null, { status: 303, headers: { Location: location, "Cache-Control": "no-store" } });
}

/**
 * An answer whose redirects were followed, to see where they lead. A navigation takes none of these: it is led there itself.
 * @param {Request} request
 * @param {Response} answer
 */
export function passOn(request, answer) {
  if (request.mode !== "navigate" || !answer.redirected) return answer; // one of the worker's own has no address
  const { pathname, search } = new URL(answer.url);
  return seeOther(pathname + search);
}

/**
 * Did our server say it? What may stand before it (a captive portal, a gateway, a notice that it is being mended) redirects as well.
 * @param {Response} answer whose redirects were followed
 * @param {string} path where our server leads
 */
export function isLedTo({ redirected, url }, path) {
  return redirected && url === self.location.origin + path;
}

/**
 * A path on this server, or the fallback for anything that might lead elsewhere.
 * @param {string} path
 * @param {string} fallback
 */
export function ownPath(path, fallback) {
  const isOwn = /^\/(?![/\\])/.test(path) && !/[\x00-\x20\x7f\\]/.test(path);
  return isOwn ? path : fallback;
}
