// How long to leave the server alone after a failure.

const BACKOFF_FIRST_MS = 1000;
const RETRY_AFTER_MAX_MS = 60 * 60_000;

export const BACKOFF_MAX_MS = 5 * 60_000;

/**
 * What the server orders, within reason; else full jitter: a random time up to a bound that doubles, so that phones do not
 * come back all at once.
 * @param {number} failures in a row
 * @param {{ longest?: number, retryAfterMs: number | null }} options
 */
export function waitAfter(failures, { longest = BACKOFF_MAX_MS, retryAfterMs }) {
  if (retryAfterMs !== null) return Math.min(retryAfterMs, RETRY_AFTER_MAX_MS);
  return Math.random() * Math.min(longest, BACKOFF_FIRST_MS * 2 ** failures);
}
