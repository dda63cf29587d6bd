// What an older worker left on this phone in clear text. It is taken over at each start, not once: a release may be
// withdrawn and come again.

import { Database, removeDatabase, requested } from "./database.js";

const OLD_REPLICA = "linli-replica";

/**
 * @param {object} stores
 * @param {import("./outbox.js").Outbox} stores.outbox
 * @param {import("./replica.js").Replica} stores.replica
 * @param {import("./blobs.js").Blobs} stores.blobs
 */
export async function takeOverOlder({ outbox, replica, blobs }) {
  await takeOverReplica(replica);
  await outbox.sealOld();
  await blobs.sealOld();
}

async function takeOverReplica(replica) {
  const names = await indexedDB.databases?.();
  if (names && !names.some(({ name }) => name === OLD_REPLICA)) return;
  const database = new Database({ name: OLD_REPLICA, version: 1, upgrade: layOutOldReplica });
  const [rows, checkpoint] = await database.read(["records", "state"], (transaction) =>
    Promise.all([
      requested(transaction.objectStore("records").getAll()),
      requested(transaction.objectStore("state").get("checkpoint")),
    ]),
  );
  if (checkpoint?.ready) {
    // One that was being filled anew is begun again.
    const start = checkpoint.filling ? { ...checkpoint, epoch: "", cursor: "", filling: false } : checkpoint;
    await replica.takeOver(rows.map(({ record }) => record), start);
  }
  database.close();
  await removeDatabase(OLD_REPLICA);
}

function layOutOldReplica(database) {
  database.createObjectStore("records", { keyPath: "id" });
  database.createObjectStore("state");
}
