"""What a tap on 丢弃 does just when an exchange begins (static/worker/queue.js). The rest of it is in tests/browser/test_trust.py."""

from tests.javascript import JavaScript

MODULES = (
    "sync/entries.js",
    "sync/rebase.js",
    "worker/uuid.js",
    "worker/responses.js",
    "worker/filled.js",
    "worker/needs.js",
    "worker/queue.js",
)
# An outbox with one visit. `looks` are how often it was looked into; at one of them an exchange takes the visit up, and
# loses it again while the phone waits for that.
SOURCE = """
const sealBinding = () => "";
globalThis.crypto = { getRandomValues: (bytes) => bytes };
globalThis.Response = class { constructor(_body, { headers }) { this.location = headers.Location; } };
const uploading = new Set();
globalThis.setTimeout = (resolve) => { uploading.clear(); resolve(); };
let entries = [{ record_id: "visit", change_id: "one", state: "waiting", sequence: 1, display: { kind: "visit", set: {} } }];
let discarded = [], looks = 0, takenUpAt = 0, led = null;
const outbox = {
  device: async () => ({ device_id: "phone", discarded }),
  entries: async () => {
    looks += 1;
    if (looks === takenUpAt) uploading.add("one");
    return entries;
  },
  discard: async (given, instead, kept, isOnItsWay) => {
    if (given.some(({ change_id }) => isOnItsWay(change_id))) return;
    entries = instead.map((entry) => ({ ...entry, state: "waiting" }));
    discarded = kept;
  },
  dropDrafts: async () => {},
};
const phone = { app: { schema: 1 }, outbox, uploading, givingUp: new Set(), me: async () => null, replica: { record: async () => null } };
const asked = { formData: async () => Object.entries({ record_id: "visit", wish: "discard", back: "/discarded" }) };
"""
DISCARD = """(at) => {
    takenUpAt = at;
    void answerQueue(phone, async () => "sealed", asked, 1000).then(({ location }) => { led = location; }, (error) => { led = String(error); });
}"""


def test_a_visit_that_an_exchange_takes_up_between_two_looks_is_discarded_all_the_same() -> None:
    for look in range(1, 9):
        worker = JavaScript(*MODULES, source=SOURCE)
        worker.call(DISCARD, look)

        assert worker.call("() => [led, discarded.length]") == ["/discarded", 1], f"at look {look}"
