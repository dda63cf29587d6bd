"""What a phone sends is packed on the way, and signed as it is sent."""

import gzip
import json
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import MakePhone, enrol
from tests.browser.coordinator import Coordinator
from tests.browser.lossy_proxy import LossyProxy
from tests.browser.modules import run_with
from tests.browser.server_process import ServerProcess

pytestmark = pytest.mark.browser

VISITS = 5
# The transport as it is served, with a wire that keeps what is put on it.
SENT = """
const { createTransport } = await import("/static/sync/transport.js");
const { describeDeviceKey, makeDeviceKeys } = await import("/static/sync/seal.js");
if (!given.can_pack) delete globalThis.CompressionStream;
const keyPair = await makeDeviceKeys();
const { device_id } = await describeDeviceKey(keyPair.publicKey);
const sent = [];
const fetch = async (path, { headers, body }) => {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", body));
  const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const text = `LINLI1\nPOST\n${path}\n${device_id}\n${hex}`;
  const raw = atob(headers["Linli-Signature"].replaceAll("-", "+").replaceAll("_", "/"));
  const signature = Uint8Array.from(raw, (letter) => letter.charCodeAt(0));
  const algorithm = { name: "ECDSA", hash: "SHA-256" };
  const is_signed = await crypto.subtle.verify(algorithm, keyPair.publicKey, signature, new TextEncoder().encode(text));
  sent.push({ encoding: headers["Content-Encoding"] ?? "", body: [...body], is_signed });
  return new Response("{}");
};
const { postSync } = createTransport({ fetch, device: async () => ({ device_id, keyPair }) });
await postSync({ note: given.note });
return sent[0];
"""


def sent(page: Page, note: str, *, can_pack: bool = True) -> dict[str, Any]:
    found: dict[str, Any] = run_with(page, SENT, {"note": note, "can_pack": can_pack})
    return found


def test_a_long_message_is_packed_and_signed_as_it_is_sent(page: Page) -> None:
    note = "示例😀" * 200

    found = sent(page, note)

    assert (found["encoding"], found["is_signed"]) == ("gzip", True)
    assert json.loads(gzip.decompress(bytes(found["body"]))) == {"note": note}


@pytest.mark.parametrize(("note", "can_pack"), [("short", True), ("示例😀" * 200, False)])
def test_a_short_message_or_an_old_browser_s_goes_as_it_is(page: Page, note: str, can_pack: bool) -> None:
    found = sent(page, note, can_pack=can_pack)

    assert (found["encoding"], found["is_signed"]) == ("", True)
    assert json.loads(bytes(found["body"])) == {"note": note}


def test_a_push_of_several_visits_arrives_packed(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    with LossyProxy(server.port) as line:
        phone = make_phone(line.url)
        enrol(phone, coordinator)
        line.closed_paths.add("/sync")
        visits = [phone.log_visit("met", note=f"示例第{number}次，一切都好。") for number in range(VISITS)]
        line.closed_paths.clear()
        phone.open("/today")
        phone.wait_for_header("全部已上传")

        push = line.pushes[0]
        print(f"{VISITS} visits: {len(push.text)} bytes, {push.bytes_sent} sent")
        assert (push.encoding, len(push.change_ids)) == ("gzip", VISITS)
        assert push.bytes_sent < 0.8 * len(push.text)
        assert set(visits) <= set(coordinator.visit_ids())
