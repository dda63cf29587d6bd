// What a browser gives to static/sync/seal.js, for test_wire_vectors.py: V8 alone has no WebCrypto. Nothing is computed
// here: each step finds its result in the vector by exactly what it was asked, so a byte out of place finds nothing.

const vectors = { device: null, signatures: [], seal: null };
const hexOf = (bytes) => Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
const bytesOf = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (digits) => Number.parseInt(digits, 16));
const utf8 = (text) => Uint8Array.from(unescape(encodeURIComponent(text)), (letter) => letter.charCodeAt(0));

globalThis.TextEncoder = class {
  encode = utf8;
};
globalThis.btoa = (text) => Uint8Array.from(text, (letter) => letter.charCodeAt(0)).toBase64();
globalThis.atob = (text) => String.fromCharCode(...Uint8Array.fromBase64(text));

function expect(found, wanted) {
  if (found !== wanted) throw new Error(`${found} is not ${wanted}`);
}

globalThis.crypto = {
  getRandomValues: (bytes) => (bytes.set(bytesOf(vectors.seal.nonce)), bytes),
  subtle: {
    async digest(name, bytes) {
      expect(name, "SHA-256");
      const { public_key, public_key_sha256 } = vectors.device;
      if (hexOf(bytes) === hexOf(decodeBase64(public_key))) return bytesOf(public_key_sha256);
      const signed = vectors.signatures.find(({ body }) => hexOf(bytes) === hexOf(utf8(body)));
      return bytesOf(signed.body_sha256);
    },
    async sign({ name, hash }, key, bytes) {
      expect(`${name} ${hash} ${key}`, "ECDSA SHA-256 device private");
      const signed = vectors.signatures.find(({ text }) => hexOf(bytes) === hexOf(utf8(text)));
      return decodeBase64(signed.headers["Linli-Signature"]);
    },
    async importKey(format, bytes, algorithm) {
      if (algorithm === "HKDF") expect(hexOf(bytes), vectors.seal.shared_secret);
      else expect(encodeBase64(bytes), vectors.seal.server_key.public);
      return algorithm === "HKDF" ? "shared secret" : "server public";
    },
    async generateKey({ name, namedCurve }) {
      expect(`${name} ${namedCurve}`, "ECDH P-256");
      return { publicKey: "one-time public", privateKey: "one-time private" };
    },
    async exportKey(format, key) {
      const { device, seal } = vectors;
      return decodeBase64({ "one-time public": seal?.ephemeral_key.public, "device public": device.public_key }[key]);
    },
    async deriveBits({ name, public: other }, key, bits) {
      expect(`${name} ${other} ${key} ${bits}`, "ECDH server public one-time private 256");
      return bytesOf(vectors.seal.shared_secret);
    },
    async deriveKey({ name, hash, salt, info }, material, { name: cipher, length }) {
      expect(`${name} ${hash} ${material} ${cipher} ${length}`, "HKDF SHA-256 shared secret AES-GCM 256");
      expect(encodeBase64(salt), vectors.seal.ephemeral_key.public);
      expect(hexOf(info), vectors.seal.hkdf_info);
      return "key";
    },
    async encrypt({ name, iv, additionalData }, key, bytes) {
      expect(`${name} ${hexOf(iv)} ${key}`, `AES-GCM ${vectors.seal.nonce} key`);
      expect(hexOf(additionalData), hexOf(utf8(vectors.seal.aad)));
      expect(hexOf(bytes), hexOf(utf8(vectors.seal.text)));
      return bytesOf(vectors.seal.ciphertext_and_tag);
    },
  },
};

let told = null;

/** What came of a promise; it is there once the engine has run its microtasks. */
function tell(promise) {
  told = null;
  promise.then((value) => (told = { value })).catch((error) => (told = { error: String(error.stack ?? error) }));
}

const whatWasTold = () => told;

async function sealGiven({ device, seal }) {
  Object.assign(vectors, { device, seal });
  const sealer = await createSealer(seal.server_key, decodeBase64(seal.server_key.public));
  return encodeBase64(await sealer(seal.text, sealBinding(device.id, seal.change_id, seal.device_sequence)));
}

async function signGiven({ device, signatures }, { method, path, body }) {
  Object.assign(vectors, { device, signatures });
  const keyPair = { publicKey: "device public", privateKey: "device private" };
  return signRequest({ method, path, body: utf8(body) }, { device_id: device.id, keyPair });
}

async function describeGiven({ device }) {
  Object.assign(vectors, { device });
  return describeDeviceKey("device public");
}
