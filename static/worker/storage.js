// What this phone's storage looks like: what is used, what is free, and whether the browser may clear it by itself.

const FREE_LOW_BYTES = 100 * 1024 * 1024;
const FULL_FOR_MS = 24 * 60 * 60_000;
const KEEPING = { true: "kept", false: "may_be_cleared" };

/**
 * @param {import("./phone.js").Phone} phone
 * @param {number} now
 */
export async function readStorage({ blobs, outbox }, now) {
  const storage = /** @type {Partial<StorageManager> | undefined} */ (self.navigator?.storage); // not in every WebKit
  const { usage = 0, quota = 0 } = (await storage?.estimate?.().catch(() => null)) ?? {};
  const photos = await blobs.all().catch(() => []);
  // What browsers call free is a guess, and Chromium's is far too high; that there was no room is certain.
  const { full_at = 0 } = await outbox.settings();
  const free = Math.max(0, quota - usage);
  return {
    used: sizeText(usage),
    free: quota > 0 ? sizeText(free) : "",
    is_low: (quota > 0 && free < FREE_LOW_BYTES) || Math.abs(now - full_at) < FULL_FOR_MS,
    keeping: await keeping(),
    photos: photos.length,
    photos_waiting: photos.filter(({ state }) => state === "waiting").length,
    photos_size: sizeText(photos.reduce((sum, { length }) => sum + length, 0)),
  };
}

/** May the browser clear all of it by itself? "" where it does not say. @returns {Promise<"kept" | "may_be_cleared" | "">} */
export async function keeping() {
  const storage = /** @type {Partial<StorageManager> | undefined} */ (self.navigator?.storage);
  return KEEPING[String(await storage?.persisted?.().catch(() => null))] ?? "";
}

/** Remembers that there was no room, to say so before the next time. */
export const noteFull = (outbox, now) => outbox.setSettings({ full_at: now }).catch(() => {});

/** @param {number} bytes */
export function sizeText(bytes) {
  const megabytes = bytes / 1024 / 1024;
  if (megabytes >= 1024) return `${(megabytes / 1024).toFixed(1)} GB`;
  return megabytes >= 10 ? `${Math.round(megabytes)} MB` : `${megabytes.toFixed(1)} MB`;
}
