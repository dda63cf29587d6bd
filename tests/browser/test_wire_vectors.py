"""sync/vectors/wire.json in a browser's own WebCrypto, by the modules as they are served. Only what is random in it, the
one-time key and the nonce, is the vector's; tests/worker/test_wire_vectors.py checks the rest without a browser."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.modules import run_with

pytestmark = pytest.mark.browser

VECTORS = json.loads(Path("sync/vectors/wire.json").read_text(encoding="utf-8"))

WIRE = """
const { describeDeviceKey, signRequest, createSealer, sealBinding } = await import("/static/sync/seal.js");
const { decodeBase64, encodeBase64, readAnswer } = await import("/static/sync/protocol.js");
const { device, signatures, seal, foreign } = given;
const bytesOf = (hex) => Uint8Array.from(hex.match(/../g), (digits) => Number.parseInt(digits, 16));

/** The vector's private key, as a browser takes one in. */
const keyPairOf = async (name, scalar, point, uses) => {
  const [x, y] = [point.slice(1, 33), point.slice(33)].map(encodeBase64);
  const jwk = { kty: "EC", crv: "P-256", x, y };
  const take = (key, may) => crypto.subtle.importKey("jwk", key, { name, namedCurve: "P-256" }, true, may);
  return { publicKey: await take(jwk, uses.public), privateKey: await take({ ...jwk, d: encodeBase64(bytesOf(scalar)) }, uses.private) };
};

const keyPair = await keyPairOf("ECDSA", device.private_scalar, decodeBase64(device.public_key), { public: ["verify"], private: ["sign"] });
const isGood = async (text, signature) =>
  crypto.subtle.verify({ name: "ECDSA", hash: "SHA-256" }, keyPair.publicKey, decodeBase64(signature), new TextEncoder().encode(text));
const signed = [];
for (const { method, path, body, text, headers } of signatures) {
  const made = await signRequest({ method, path, body: new TextEncoder().encode(body) }, { device_id: device.id, keyPair });
  const both = [headers, made].map((each) => isGood(text, each["Linli-Signature"]));
  signed.push([made["Linli-Device"], ...(await Promise.all(both)), await isGood(text + " ", made["Linli-Signature"])]);
}

const { private_scalar, public: point } = seal.ephemeral_key;
const oneTime = await keyPairOf("ECDH", private_scalar, decodeBase64(point), { public: [], private: ["deriveBits"] });
crypto.subtle.generateKey = async () => oneTime;
crypto.getRandomValues = (bytes) => (bytes.set(bytesOf(seal.nonce)), bytes);
const sealer = await createSealer(seal.server_key, decodeBase64(seal.server_key.public));
const sealed = encodeBase64(await sealer(seal.text, sealBinding(device.id, seal.change_id, seal.device_sequence)));

return { described: await describeDeviceKey(keyPair.publicKey), signed, sealed, answers: foreign.map(readAnswer) };
"""


def test_a_browser_s_own_cryptography_gives_what_the_vectors_say(page: Page) -> None:
    device = VECTORS["device"]

    found = run_with(page, WIRE, VECTORS)

    assert found["described"] == {"device_id": device["id"], "public_key": device["public_key"]}
    assert found["signed"] == [[device["id"], True, True, False]] * len(VECTORS["signatures"])
    assert found["sealed"] == VECTORS["seal"]["sealed"]
    assert found["answers"] == [None] * len(VECTORS["foreign"])
