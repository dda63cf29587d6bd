// A phone for test_drain.py whose outbox and replica stand still: what is looked at is when it asks the server, and when
// it leaves it alone. Clock and chance are the test's, and so is the server.

globalThis.self = globalThis;
globalThis.navigator = {};
globalThis.TextEncoder = class {
  encode = (text) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));
};
globalThis.Headers = Map;
globalThis.AbortController = class {
  signal = { aborted: false };
  abort = () => void (this.signal.aborted = true);
};
globalThis.crypto = { subtle: { digest: async () => new ArrayBuffer(32) } };

const world = { now: 1_000_000, chance: 0, asked: [], reply: null, replies: {}, device: {}, waiting: 0, is_online: true, reoffered: [], entries: [], blobs: [], storage: "", settings: {}, stranded: [], let_go: [], piece_takes: null };
Date.now = () => world.now;
Math.random = () => world.chance;
globalThis.setTimeout = globalThis.clearTimeout = () => {}; // nothing is slow here

async function answer(path) {
  world.asked.push(path);
  if (path.startsWith("PATCH")) await world.piece_takes;
  const answers = world.replies[path]; // one for all, or one after the other
  const { error, headers = {}, ...reply } = (Array.isArray(answers) ? answers.shift() : answers) ?? world.reply;
  if (error) throw Object.assign(new Error(error), { name: error });
  return { ...reply, headers: new Map(Object.entries(headers)) };
}

/** The same, as a browser has it. */
async function fetched(path) {
  const { status, text, retry_after_ms } = await answer(path);
  const headers = new Map(retry_after_ms ? [["Retry-After", String(retry_after_ms / 1000)]] : []);
  return { status, headers, text: async () => text };
}

const outbox = {
  device: async () => world.device,
  setDevice: async (values) => void Object.assign(world.device, values),
  settings: async () => ({ language: "en" }),
  stranded: async () => world.stranded,
  letGoOfStranded: async ({ change_id }) => void world.let_go.push(change_id),
  setSettings: async (values) => void Object.assign(world.settings, values),
  entries: async () => world.entries,
  settle: async () => {},
  reoffer: async () => {},
  refresh: () => {},
  reofferWhere: async (isDue) => world.reoffered.push(...world.entries.filter(isDue).map(({ change_id }) => change_id)),
  conceal: async () => {},
  forget: async () => {},
};

const replica = {
  all: async () => [],
  checkpoint: async () => ({ epoch: "", cursor: "", ready: true }),
  apply: async () => {
    if (world.storage) throw Object.assign(new Error(world.storage), { name: world.storage });
    return true;
  },
  record: async () => null,
};

const blobs = {
  all: async () => world.blobs,
  bytes: async () => new ArrayBuffer(10),
  reoffer: async () => {},
  forget: async () => {},
};

const transport = {
  ask: (_method, path) => answer(path),
  postSync: () => answer("/sync"),
  postSigned: createTransport({ fetch: fetched, device: null }).postSigned,
  send: ({ method, path }) => answer(`${method} ${path}`),
};
const vault = { isLocked: async () => false };
const phone = { app: { schema: 1 }, givingUp: new Set(), prepare: async () => {}, leave: async () => {}, outbox, replica, vault, outboxState: async () => ({ waiting: world.waiting }) };
const uploader = new Uploader(blobs, transport);
const drain = new Drain(phone, transport, uploader, async () => {});

/** Puts the world as given, has the drain do something, and tells what it asked. */
async function asked(call, given) {
  Object.assign(world, given, { asked: [] });
  navigator.onLine = world.is_online;
  await call();
  told = { is_offline: phone.isOffline, unreachable_at: phone.unreachableAt, is_full: phone.isFull, let_go: world.let_go, asked: world.asked, reoffered: world.reoffered, device: world.device, retry_in: drain.retryInMs };
}

let told = null;
