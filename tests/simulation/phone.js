// The phone of the simulator: the real exchange, outbox, replica and rebase over a disk in memory. Only what a browser
// gives is made here: IndexedDB (as the `Database` of static/store/database.js), Cache Storage, a way out, a clock.
//
//     Disk        survives a killed worker; what is strict, or was flushed, survives a power cut as well
//     Worker      one start of the script: an Outbox and a Replica with their own memory; dies at a counted step
//     pump        resolves one waiting step at a time, picked by the seed, so that concurrent drains interleave
//
// Python gives commands and reads what came of them: messages to send, and what was told to the volunteer.

const NEVER = new Promise(() => {});
const REPLICA_FILE = "linli-sealed-replica";
const QUIET = 40; // microtasks without a new step after which everybody waits for the wire
const sim = { phones: new Map(), posts: [], events: [], ready: [], waiting: new Map(), worker: null, seed: 1, mutant: "" };

// Steps

/** Every place where a worker may be stopped. */
function step(worker) {
  if (worker.isDead) return NEVER;
  worker.steps += 1;
  if (worker.steps === worker.diesAt) {
    kill(worker);
    return NEVER;
  }
  return new Promise((resolve) => sim.ready.push({ worker, resolve }));
}

async function pump() {
  for (;;) {
    for (let quiet = 0; quiet < QUIET && sim.ready.length === 0; quiet += 1) await null;
    if (sim.ready.length === 0) return;
    const [next] = sim.ready.splice(sim.ready.length === 1 ? 0 : pick(sim.ready.length), 1);
    if (!next.worker.isDead) next.resolve();
    for (let beat = 0; beat < 4; beat += 1) await null;
  }
}

function pick(count) {
  sim.seed = (Math.imul(sim.seed, 1664525) + 1013904223) >>> 0;
  return Math.floor((sim.seed / 2 ** 32) * count);
}

function kill(worker) {
  worker.isDead = true;
  worker.phone.workers.delete(worker);
  for (const release of worker.locks) release();
}

// IndexedDB

class File {
  /** @param {string} name */
  constructor(name) {
    this.name = name;
    this.stores = new Map();
    this.tail = Promise.resolve();
    this.flush();
  }

  flush() {
    this.flushed = this.stores;
  }

  cutPower() {
    this.stores = this.flushed;
  }

  copy() {
    const twin = Object.assign(new File(this.name), { stores: this.stores });
    twin.flush();
    return twin;
  }
}

class ObjectStore {
  constructor(keyPath, rows) {
    this.keyPath = keyPath;
    this.rows = rows;
  }
  #keys = () => [...this.rows.keys()].sort((a, b) => (a < b ? -1 : 1));
  get = (key) => this.rows.get(key);
  getAll = () => this.#keys().map((key) => this.rows.get(key));
  getAllKeys = () => this.#keys();
  put = (value, key) => this.rows.set(this.keyPath ? value[this.keyPath] : key, Object.freeze(value));
  add(value, key) {
    const place = this.keyPath ? value[this.keyPath] : key;
    if (this.rows.has(place)) throw new Error("ConstraintError");
    this.put(value, key);
  }
  delete = (key) => this.rows.delete(key);
}

const requested = async (value) => value;

// The vault: no cryptography, but what it bound stays bound

class Sealed {
  constructor(value, bound) {
    Object.assign(this, { text: JSON.stringify(value), bound });
  }
}

const openPlain = ({ text, bound: expected }, bound) => {
  if (expected !== bound) throw Object.assign(new Error(`sealed as ${expected}`), { name: "OperationError" });
  return JSON.parse(text);
};

const plainVault = {
  isLocked: async () => false,
  seal: async (value, bound) => new Sealed(value, bound),
  open: async (sealed, bound) => openPlain(sealed, bound),
};

const isSealed = (value) => value instanceof Sealed;
const displayOf = ({ change_id, display }) => (isSealed(display) ? openPlain(display, `display\n${change_id}`) : display);

/** @returns {Record<string, any>[]} what a replica on the disk holds, by id */
function recordsOn(file) {
  const blocks = file ? file.stores.get("blocks").getAll() : [];
  const records = blocks.flatMap(({ id, generation, sealed }) => openPlain(sealed, `replica\n${id}\n${generation}`));
  return [...new Map(records.map((record) => [record.id, record])).values()];
}

/** The same two calls as static/store/database.js, one transaction at a time. */
class Database {
  #worker = sim.worker;
  #file;
  #isStrict;

  constructor({ name, upgrade, durability = "strict" }) {
    this.#file = this.#worker.phone.disk.open(name, upgrade);
    this.#isStrict = durability === "strict" && sim.mutant !== "relaxed_durability";
  }

  read(stores, work) {
    return this.#alone(async () => {
      await step(this.#worker);
      return work(transactionOver(this.#file.stores));
    });
  }

  write(stores, work) {
    return this.#alone(async () => {
      const file = this.#file;
      const draft = new Map(file.stores);
      for (const name of stores) {
        const { keyPath, rows } = draft.get(name);
        draft.set(name, new ObjectStore(keyPath, new Map(rows)));
      }
      const result = await work(transactionOver(draft));
      await step(this.#worker); // stopped here, nothing of it is stored
      file.stores = draft;
      if (this.#isStrict) file.flush();
      await step(this.#worker); // stopped here, it is stored and nobody was told
      return result;
    });
  }

  async #alone(work) {
    const before = this.#file.tail;
    let release = () => {};
    this.#file.tail = new Promise((resolve) => {
      release = () => resolve(undefined);
    });
    await before;
    if (this.#worker.isDead) {
      release();
      return NEVER;
    }
    this.#worker.locks.add(release); // whoever dies holding it lets it go
    try {
      return await work();
    } finally {
      release();
      this.#worker.locks.delete(release);
    }
  }
}

const transactionOver = (stores) => ({ objectStore: (name) => stores.get(name) });

class Disk {
  files = new Map();
  mirror = new Map();
  flushedMirror = this.mirror;

  open(name, upgrade) {
    if (!this.files.has(name)) {
      const file = new File(name);
      upgrade({
        objectStoreNames: [],
        createObjectStore: (store, options) => file.stores.set(store, new ObjectStore(options?.keyPath, new Map())),
      });
      file.flush();
      this.files.set(name, file);
    }
    return this.files.get(name);
  }

  flush() {
    for (const file of this.files.values()) file.flush();
    this.flushedMirror = this.mirror;
  }

  cutPower() {
    for (const file of this.files.values()) file.cutPower();
    this.mirror = this.flushedMirror;
  }

  copy() {
    const twin = new Disk();
    for (const [name, file] of this.files) twin.files.set(name, file.copy());
    twin.mirror = twin.flushedMirror = this.mirror;
    return twin;
  }
}

// Cache Storage, as far as the outbox's mirror needs it

const cachesOf = (worker) => ({
  open: async () => ({
    keys: async () => (await step(worker), [...worker.phone.disk.mirror.keys()].map((path) => ({ url: path }))),
    match: async (path) => (await step(worker), worker.phone.disk.mirror.get(path)),
    put: async (path, response) => {
      await step(worker);
      worker.phone.disk.mirror = new Map(worker.phone.disk.mirror).set(path, response);
    },
    delete: async (path) => {
      await step(worker);
      const left = new Map(worker.phone.disk.mirror);
      left.delete(path);
      worker.phone.disk.mirror = left;
    },
  }),
});

// What the browser says of its storage: nothing

const keeping = async () => "";

// The mirror's signatures: nothing here is lost together with its key

const signRequest = async () => ({ "Linli-Signature": "" });

class TextEncoder {
  encode(text) {
    return text;
  }
}

class Response {
  constructor(text) {
    this.text = text;
  }
  json = async () => JSON.parse(this.text);
}

class URL {
  constructor(path) {
    this.pathname = path;
  }
}

const BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

function btoa(text) {
  let result = "";
  for (let at = 0; at < text.length; at += 3) {
    const left = text.length - at;
    const bits = (text.charCodeAt(at) << 16) | ((text.charCodeAt(at + 1) || 0) << 8) | (text.charCodeAt(at + 2) || 0);
    result += BASE64[bits >> 18] + BASE64[(bits >> 12) & 63];
    result += (left > 1 ? BASE64[(bits >> 6) & 63] : "=") + (left > 2 ? BASE64[bits & 63] : "=");
  }
  return result;
}

function atob(text) {
  let result = "";
  let bits = 0;
  let held = 0;
  for (const letter of text.replaceAll("=", "")) {
    held = ((held << 6) | BASE64.indexOf(letter)) & 0xffffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      result += String.fromCharCode((held >> bits) & 255);
    }
  }
  return result;
}

// Phone and worker

class SimulatedPhone {
  workers = new Set();
  now = 0;

  constructor({ name, schema, me }, disk = new Disk()) {
    this.name = name;
    this.schema = schema;
    this.me = me;
    this.disk = disk;
  }

  /** The worker of a tab; 0 is the one that the app itself uses. */
  worker(tab) {
    return [...this.workers].find((worker) => worker.tab === tab) ?? new Worker(this, tab);
  }
}

class Worker {
  isDead = false;
  steps = 0;
  diesAt = 0;
  locks = new Set();

  constructor(phone, tab) {
    this.phone = phone;
    this.tab = tab;
    sim.worker = this;
    this.outbox = new Outbox(/** @type {any} */ (cachesOf(this)), plainVault);
    this.replica = new Replica({}, plainVault);
    const outbox = new Proxy({}, { get: (_, name) => (...given) => this.outbox[name](...given) });
    this.store = exchangeStore(/** @type {any} */ ({ outbox, replica: this.replica, vault: plainVault }));
    this.batch = new Batch();
    this.pages = new Pages();
    this.post = (message) => send(this, message);
    MUTANTS[sim.mutant]?.(this);
    phone.workers.add(this);
  }
}

async function send(worker, message) {
  await step(worker);
  const id = sim.nextId++;
  sim.posts.push({ id, phone: worker.phone.name, tab: worker.tab, text: JSON.stringify(message) });
  const reply = await new Promise((resolve) => sim.waiting.set(id, resolve));
  await step(worker);
  if (reply.error) throw Object.assign(new Error(reply.error), { name: reply.error });
  return reply;
}
sim.nextId = 1;

const clockOf = (worker) => ({ now: () => worker.phone.now, pause: () => step(worker) });

const saveOne = (worker) => (change, ...given) => worker.outbox.save([change], ...given);

async function look(worker, id) {
  const entries = (await worker.outbox.entries()).filter((entry) => entry.record_id === id);
  return layOver({ record: await worker.replica.record(id), entries, me: worker.phone.me });
}

function withoutCryptography(text) {
  const plain = text.replace(/[^\x00-\x7f]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`);
  const bytes = new Uint8Array(plain.length);
  for (let at = 0; at < plain.length; at += 1) bytes[at] = plain.charCodeAt(at);
  return bytes.buffer;
}

// Commands

const COMMANDS = {
  async drain(phone, { tab }) {
    const worker = phone.worker(tab);
    const outcome = await runExchange({
      store: worker.store,
      post: (message) => worker.post(message),
      clock: clockOf(worker),
      batch: worker.batch,
      pages: worker.pages,
      schema: phone.schema,
    });
    sim.events.push({ event: "drained", phone: phone.name, tab, ...outcome });
  },

  /** The twin of saveChanges in static/worker/writes.js. */
  async save(phone, { tab, change }) {
    const worker = phone.worker(tab);
    const { change_id, record_id, kind, action, set, made_at, schema } = change;
    const base = (await look(worker, record_id))?.base ?? "0";
    const about = { ...change, schema, base: /^\d+$/.test(base) ? Number(base) : base };
    const saved = { change_id, record_id, display: { kind, action, set, made_at } };
    const seal = async (sequence) => withoutCryptography(JSON.stringify({ ...about, device_sequence: sequence }));
    await (worker.save ?? saveOne(worker))(saved, made_at, seal, about);
    if (worker.isDead) return;
    sim.events.push({ event: "saved", phone: phone.name, change_id, base: about.base });
    const shown = await look(worker, record_id);
    const isShown = shown && Object.entries(set).every(([name, value]) => same(shown[name], value));
    if (!isShown) sim.events.push({ event: "unseen", phone: phone.name, change_id });
  },

  /** The outbox's database is gone and the mirror is left, when the mirror was whole. */
  breakOutbox(phone) {
    const outbox = phone.disk.files.get("linli-outbox");
    const rows = outbox?.stores.get("entries").rows ?? new Map();
    if (![...rows.values()].every(({ change_id }) => phone.disk.flushedMirror.has(`/mirror/${change_id}`))) return;
    for (const worker of [...phone.workers]) kill(worker);
    phone.disk.files.delete("linli-outbox");
    sim.events.push({ event: "broken", phone: phone.name });
  },

  kill(phone, { tab }) {
    for (const worker of [...phone.workers]) if (worker.tab === tab) kill(worker);
  },

  /** The worker of a tab stops at its n-th step from now. */
  killAt(phone, { tab, steps }) {
    const worker = phone.worker(tab);
    worker.diesAt = worker.steps + steps;
  },

  cutPower(phone) {
    for (const worker of [...phone.workers]) kill(worker);
    phone.disk.cutPower();
  },

  flush: (phone) => phone.disk.flush(),

  /** Puts on the phone's disk what it would hold by now. */
  lay(phone, { entries, high_water, settings, checkpoint, records }) {
    phone.worker(0);
    const outbox = phone.disk.files.get("linli-outbox").stores;
    for (const { sealed, box, ...entry } of entries) {
      outbox.get("entries").put({ ...entry, sealed: box ? decodeBase64(box).buffer : withoutCryptography(sealed) });
    }
    outbox.get("device").put(high_water, "sequence");
    for (const [name, value] of Object.entries(settings)) outbox.get("settings").put(value, name);
    const replica = phone.disk.files.get(REPLICA_FILE);
    for (let at = 0; at < records.length; at += 100) {
      const sealed = new Sealed(records.slice(at, at + 100), `replica\n${at + 1}\n0`);
      replica.stores.get("blocks").put({ id: at + 1, generation: 0, sealed });
    }
    replica.stores.get("state").put(checkpoint, "checkpoint");
    phone.disk.flush();
  },

  clone(phone, { name }) {
    const twin = new SimulatedPhone({ ...phone, name }, phone.disk.copy());
    twin.now = phone.now;
    sim.phones.set(name, twin);
  },
};

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

function start({ phones, seed, mutant }) {
  Object.assign(sim, { phones: new Map(), posts: [], events: [], ready: [], waiting: new Map(), seed, mutant, nextId: 1 });
  for (const phone of phones) sim.phones.set(phone.name, new SimulatedPhone(phone));
}

/** Runs what happens in this tick, interleaved. `take` gives what came of it. */
function run({ seed, clocks, commands, replies }) {
  sim.seed = seed;
  for (const phone of sim.phones.values()) phone.now = clocks[phone.name];
  for (const { id, reply } of replies) {
    sim.waiting.get(id)?.(reply);
    sim.waiting.delete(id);
  }
  for (const { phone, command, ...given } of commands) {
    const done = COMMANDS[command](sim.phones.get(phone), given);
    done?.catch?.((error) => sim.events.push({ event: "threw", phone, command, error: `${error.stack ?? error}` }));
  }
  pump();
}

function take() {
  const taken = { posts: sim.posts, events: sim.events };
  sim.posts = [];
  sim.events = [];
  return taken;
}

/** What lies on each phone's disk, for the checker. */
function inspect() {
  return [...sim.phones.values()].map((phone) => {
    const outbox = phone.disk.files.get("linli-outbox")?.stores;
    const replica = phone.disk.files.get(REPLICA_FILE);
    const rows = (name, stores) => (stores ? [...stores.get(name).rows.values()] : []);
    const shown = (entry) => ({ ...entry, display: displayOf(entry) });
    const entries = rows("entries", outbox).map(shown).map(({ sealed, ...entry }) => ({ ...entry, bytes: sealed.byteLength }));
    entries.sort((a, b) => a.sequence - b.sequence);
    const records = recordsOn(replica);
    const views = records.map((record) =>
      layOver({ record, entries: entries.filter(({ record_id }) => record_id === record.id), me: phone.me }),
    );
    return {
      phone: phone.name,
      entries,
      views,
      records,
      checkpoint: replica?.stores.get("state").rows.get("checkpoint") ?? null,
      high_water: outbox?.get("device").rows.get("sequence") ?? 0,
    };
  });
}
