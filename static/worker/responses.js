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
 * A path on this server, or the fallback for anything that might lead elsewhere.
 * @param {string} path
 * @param {string} fallback
 */
export function ownPath(path, fallback) {
  const isOwn = /^\/(?![/\\])/.test(path) && !/[\x00-\x20\x7f\\]/.test(path);
  return isOwn ? path : fallback;
}
