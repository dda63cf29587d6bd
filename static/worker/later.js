// Doors put off (稍后): remembered by this phone alone, so that they stand last in their round.

/** @param {Record<string, any>} settings @returns {Record<string, string[]>} household ids by round */
export const readLater = ({ later }) => later ?? {};

/**
 * @param {import("./phone.js").Phone} phone
 * @param {Record<string, string>} params of the door's path
 */
export async function putOff({ outbox, replica }, { round_id, household_id }) {
  const later = readLater(await outbox.settings());
  const rounds = (await replica.records("round")).map(({ id }) => id);
  const kept = Object.entries(later).filter(([id]) => rounds.includes(id));
  const others = (later[round_id] ?? []).filter((id) => id !== household_id);
  await outbox.setSettings({ later: { ...Object.fromEntries(kept), [round_id]: [...others, household_id] } });
}
