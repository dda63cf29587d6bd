// Small wrong variations of the phone's parts, each after a real incident (mutants.py says which). A mutant takes a
// worker as it starts and replaces what it hands to the exchange; the product's own modules stay as they are.

const rowsOf = (worker) => worker.phone.disk.files.get("linli-outbox").stores.get("entries").rows;

/** Removes entries behind the outbox's back, which starts afresh from what is left. */
async function drop(worker, isDropped) {
  await step(worker);
  const { disk } = worker.phone;
  const rows = rowsOf(worker);
  for (const [sequence, entry] of rows) {
    if (!isDropped(entry)) continue;
    rows.delete(sequence);
    disk.mirror = disk.flushedMirror = new Map(disk.mirror);
    disk.mirror.delete(`/mirror/${entry.change_id}`);
  }
  sim.worker = worker;
  worker.outbox = new Outbox(/** @type {any} */ (cachesOf(worker)), plainVault);
}

const isIn = (message) => {
  const ids = new Set(message.changes.map(({ change_id }) => change_id));
  return (entry) => ids.has(entry.change_id);
};

/** An answer that takes everything in the message, as a careless client imagines it. */
async function imagined(worker, message) {
  const { epoch, cursor } = await worker.replica.checkpoint();
  const results = message.changes.map(({ change_id }) => ({ change_id, outcome: "accepted", revision: 0 }));
  return { epoch: epoch || "unknown", now: 0, results, reset: false, records: {}, purge: [], cursor, more: false };
}

const isOurs = (reply) => readAnswer(reply.text) !== null;

/** Wraps the way out so that replies that `isTaken` count as an answer that took everything. */
function believes(worker, isTaken) {
  worker.post = async (message) => {
    const reply = await send(worker, message);
    if (isOurs(reply) || !isTaken(reply)) return reply;
    return { ...reply, status: 200, text: JSON.stringify(await imagined(worker, message)) };
  };
}

/** Wraps one function of the store. */
function wraps(worker, name, wrapper) {
  const original = worker.store[name];
  worker.store = { ...worker.store, [name]: (...given) => wrapper((...changed) => original(...changed), ...given) };
}

/** Wraps what the phone makes of an answer. */
function rewrites(worker, change) {
  worker.post = async (message) => {
    const reply = await send(worker, message);
    if (!isOurs(reply)) return reply;
    return { ...reply, text: JSON.stringify(await change(JSON.parse(reply.text), message)) };
  };
}

const MUTANTS = {
  delete_before_ack(worker) {
    worker.post = async (message) => {
      await drop(worker, isIn(message));
      return send(worker, message);
    };
  },

  delete_after_failed_send(worker) {
    worker.post = async (message) => {
      try {
        return await send(worker, message);
      } catch (error) {
        await drop(worker, isIn(message));
        throw error;
      }
    };
  },

  html_counts_as_answer: (worker) => believes(worker, (reply) => reply.status === 200 && reply.text.startsWith("<")),
  http_500_counts_as_sent: (worker) => believes(worker, (reply) => reply.status >= 500),
  cut_body_counts_as_answer: (worker) => believes(worker, (reply) => reply.status === 200 && reply.text.startsWith("{")),

  timeout_counts_as_sent(worker) {
    worker.post = async (message) => {
      try {
        return await send(worker, message);
      } catch (error) {
        if (error.name !== "TimeoutError") throw error;
        return { status: 200, retry_after_ms: null, text: JSON.stringify(await imagined(worker, message)) };
      }
    };
  },

  batch_acknowledged_whole(worker) {
    rewrites(worker, (answer, message) => ({
      ...answer,
      results: message.changes.map(({ change_id }) => ({ change_id, outcome: "accepted", revision: 0 })),
    }));
  },

  purge_unsynced(worker) {
    wraps(worker, "apply", async (apply, answer, when) => {
      const gone = new Set(answer.purge);
      if (gone.size > 0) {
        await drop(worker, (entry) => entry.state === "waiting" && gone.has(displayOf(entry)?.set.household_id));
      }
      return apply(answer, when);
    });
  },

  reset_clears_outbox(worker) {
    wraps(worker, "apply", async (apply, answer, when) => {
      if (answer.reset) await drop(worker, (entry) => entry.state === "waiting");
      return apply(answer, when);
    });
  },

  no_local_purge: (worker) => wraps(worker, "apply", (apply, answer, when) => apply({ ...answer, purge: [] }, when)),

  checkpoint_ahead(worker) {
    wraps(worker, "apply", async (apply, answer, when) => {
      await apply({ ...answer, records: {}, purge: [] }, when);
      await step(worker);
      return apply({ ...answer, reset: false }, when);
    });
  },

  old_generation_stays(worker) {
    wraps(worker, "apply", (apply, answer, when) => apply({ ...answer, reset: false }, when));
  },

  first_page_is_all: (worker) => rewrites(worker, (answer) => ({ ...answer, more: false, cursor: "999999999." })),

  restore_without_resend: (worker) => {
    worker.store = { ...worker.store, reoffer: async () => {} };
  },

  epoch_not_in_ack(worker) {
    const { phone } = worker; // it remembers the newest epoch it heard of, and files every answer under that
    wraps(worker, "settle", (settle, answers, when) => settle(answers, { ...when, epoch: phone.newest ?? when.epoch }));
    wraps(worker, "reoffer", async (reoffer, epoch) => {
      const isNews = phone.newest !== epoch;
      phone.newest = epoch;
      if (isNews) await reoffer(epoch);
    });
  },

  acknowledged_not_kept(worker) {
    wraps(worker, "settle", async (settle, answers, when) => {
      await settle(answers, when);
      await drop(worker, (entry) => entry.state === "acknowledged");
    });
  },

  held_is_deleted(worker) {
    wraps(worker, "settle", async (settle, answers, when) => {
      await settle(answers, when);
      await drop(worker, (entry) => entry.state === "held");
    });
  },

  too_big_is_dropped(worker) {
    wraps(worker, "note", (note, changeId) => drop(worker, (entry) => entry.change_id === changeId));
  },

  batch_413_never_shrinks(worker) {
    worker.batch = /** @type {any} */ ({ get size() { return 50; }, set size(_) {}, grow() {}, shrink: () => true });
    const post = worker.post;
    worker.post = async (message) => {
      const reply = await post(message);
      return reply.status === 413 ? { ...reply, status: 503 } : reply;
    };
  },

  seven_day_expiry(worker) {
    wraps(worker, "entries", async (entries) => {
      const isOld = (entry) => entry.state === "waiting" && worker.phone.now - entry.created_at > 7 * 24 * 3600 * 1000;
      if ((await entries()).some(isOld)) await drop(worker, isOld);
      return worker.outbox.entries();
    });
  },

  success_before_commit(worker) {
    worker.save = async (change, now, seal) => {
      void saveOne(worker)(change, now, seal);
    };
  },

  sequence_apart_from_entry(worker) {
    worker.save = async (change, now, seal) => {
      const { sequence = 0 } = await worker.outbox.device();
      await worker.outbox.setDevice({ sequence: sequence + 1 });
      await step(worker); // stopped here, the number is given out and nothing carries it
      await worker.outbox.setDevice({ sequence });
      return saveOne(worker)(change, now, seal);
    };
  },

  edit_in_flight_rewrites(worker) {
    worker.save = async (change, now, seal, about) => {
      await worker.outbox.entries();
      await step(worker);
      const rows = rowsOf(worker);
      const waiting = [...rows.values()].find(
        (entry) => entry.record_id === change.record_id && entry.state === "waiting" && entry.display.action === "put",
      );
      if (!waiting || about.action !== "put") return saveOne(worker)(change, now, seal);
      const set = { ...waiting.display.set, ...about.set };
      const old = JSON.parse(String.fromCharCode(...new Uint8Array(waiting.sealed)));
      const sealed = withoutCryptography(JSON.stringify({ ...old, set }));
      rows.set(waiting.sequence, { ...waiting, sealed, display: { ...waiting.display, set } });
      await drop(worker, () => false);
    };
  },

  id_made_at_sending(worker) {
    worker.post = async (message) => {
      const renamed = new Map();
      const changes = message.changes.map((envelope) => {
        const change = JSON.parse(atob(envelope.sealed.replaceAll("-", "+").replaceAll("_", "/")));
        const fresh = `${change.change_id.slice(0, 24)}${String(sim.nextId++).padStart(12, "0")}`;
        renamed.set(fresh, change.change_id);
        const text = JSON.stringify({ ...change, change_id: fresh });
        return { ...envelope, change_id: fresh, sealed: encodeBase64(withoutCryptography(text)) };
      });
      const reply = await send(worker, { ...message, changes });
      if (!isOurs(reply)) return reply;
      const answer = JSON.parse(reply.text);
      for (const result of answer.results) result.change_id = renamed.get(result.change_id);
      return { ...reply, text: JSON.stringify(answer) };
    };
  },

  order_swapped(worker) {
    wraps(worker, "entries", async (entries) => [...(await entries())].reverse());
  },
};
