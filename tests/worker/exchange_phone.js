// A phone in memory for test_exchange.py: outbox and replica with the promises of static/store, in plain objects, and a
// wire that stops until the test has carried the message to the server and an answer back.

globalThis.btoa ??= (text) => Uint8Array.from(text, (character) => character.charCodeAt(0)).toBase64();

class MemoryPhone {
  entries = [];
  records = new Map();
  checkpoint = { epoch: "", cursor: "", ready: false };
  sequence = 0;
  generation = 0;
  isFilling = false;
  isShut = false;
  isFull = false;
  now = 0;
  pauses = [];
  offers = [];
  batch = new Batch();
  pages = new Pages();
  outgoing = null;
  outcome = null;

  save(change, { sealedBytes = 0 } = {}) {
    this.sequence += 1;
    const { change_id, record_id, kind, action, set, made_at } = change;
    const text = JSON.stringify({ ...change, device_sequence: this.sequence }).padEnd(sealedBytes);
    const sealed = Uint8Array.from(unescape(encodeURIComponent(text)), (character) => character.charCodeAt(0)).buffer;
    const display = { kind, action, set, made_at };
    this.entries.push(newEntry({ sequence: this.sequence, change_id, record_id, created_at: made_at, sealed, display }));
  }

  makeRoom() {
    if (this.isFull) throw Object.assign(new Error("no room"), { name: "QuotaExceededError" });
  }

  update(change) {
    this.entries = this.entries.map((entry) => change(entry) ?? entry);
  }

  apply(answer, { now, asked }) {
    const { epoch, cursor } = this.checkpoint;
    if (epoch !== asked.epoch || cursor !== asked.cursor) return false;
    if (answer.reset) this.generation += 1;
    this.isFilling ||= answer.reset;
    for (const [id, row] of this.records) if (answer.purge.includes(row.record.scope_id)) this.records.delete(id);
    for (const record of Object.values(answer.records).flat()) {
      this.records.set(record.id, { generation: this.generation, record });
    }
    if (this.isFilling && !answer.more) {
      for (const [id, row] of this.records) if (row.generation !== this.generation) this.records.delete(id);
      this.isFilling = false;
    }
    this.checkpoint = { epoch: answer.epoch, cursor: answer.cursor, ready: this.checkpoint.ready || !answer.more };
    this.uploaded_at = answer.more ? this.uploaded_at : now;
    return true;
  }

  get store() {
    return {
      isShut: async () => this.isShut,
      entries: async () => this.entries,
      settle: async (answers, when) => {
        this.makeRoom();
        const byId = new Map(answers.map((answer) => [answer.change_id, answer]));
        this.update((entry) => settleEntry(entry, byId, when));
      },
      note: async (changeId, code) => {
        this.makeRoom();
        this.update((entry) => (entry.change_id === changeId ? { ...entry, code } : null));
      },
      reoffer: async (epoch) => this.update((entry) => reofferEntry(entry, () => entry.epoch !== epoch)),
      refresh: () => {},
      reofferWhere: async (isDue) => this.update((entry) => reofferEntry(entry, isDue)),
      apply: async (answer, when) => this.apply(answer, when),
      conceal: async (isCovered) => this.update((entry) => concealEntry(entry, isCovered)),
      forget: async (when) => {
        this.entries = this.entries.filter((entry) => !isForgettable(entry, when));
      },
      record: async (id) => this.records.get(id)?.record ?? null,
      checkpoint: async () => this.checkpoint,
      highWater: async () => this.sequence,
      settings: async () => ({ language: "en" }),
    };
  }

  /** Starts an exchange; it runs until it has something to send. */
  start() {
    this.outcome = null;
    void runExchange({
      store: this.store,
      post: (message) => new Promise((resolve, reject) => (this.outgoing = { message, resolve, reject })),
      clock: { now: () => this.now, pause: async (milliseconds) => void this.pauses.push(milliseconds) },
      batch: this.batch,
      pages: this.pages,
      schema: 1,
      onOffer: (changeIds) => this.offers.push([changeIds.length, ...this.entries.map(({ state }) => state)]),
    }).then(
      (outcome) => (this.outcome = outcome),
      (error) => (this.outcome = { crashed: String(error.stack) }),
    );
  }

  reply(status, text, retryAfter = null) {
    const { resolve } = this.take();
    resolve({ status, text, retry_after_ms: retryAfter });
  }

  fail(name) {
    this.take().reject(Object.assign(new Error(name), { name }));
  }

  take() {
    const outgoing = this.outgoing;
    this.outgoing = null;
    return outgoing;
  }

  state() {
    return {
      entries: this.entries.map(({ sealed, ...entry }) => entry),
      records: [...this.records.values()].map(({ record }) => record),
      checkpoint: this.checkpoint,
      batch: this.batch.size,
      pauses: this.pauses,
      offers: this.offers,
    };
  }
}

const phone = new MemoryPhone();
