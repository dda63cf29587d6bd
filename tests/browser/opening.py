"""Opening what a phone without a PIN has sealed, as SECURITY.md describes it and without a line of static/store: for
tests that look at what lies on the phone."""

OPENING = """
const rowOf = (name, store, key) => new Promise((resolve) => {
    indexedDB.open(name, 1).onsuccess = ({ target }) => {
        const table = target.result.transaction(store).objectStore(store);
        const found = key === undefined ? table.getAll() : table.get(key);
        found.onsuccess = () => { target.result.close(); resolve(found.result); };
    };
});
const encoded = (text) => new TextEncoder().encode(text);
const vaultKey = async ({ device, wrapped, nonce }) => {
    const mixed = await crypto.subtle.sign("HMAC", device, encoded("linli vault v1"));
    const wrapping = await crypto.subtle.importKey("raw", mixed, "AES-GCM", false, ["unwrapKey"]);
    return crypto.subtle.unwrapKey("raw", wrapped, wrapping, { name: "AES-GCM", iv: nonce }, "AES-GCM", false, ["decrypt"]);
};
const opened = async (sealed, bound, isPhoto = false) => {
    const keys = await rowOf("linli-vault", "keys", "vault");
    const key = isPhoto ? keys.photos : await vaultKey(keys);
    const [version] = new Uint8Array(sealed, 0, 1);
    if (version !== 1) throw new Error(`version ${version}`);
    const algorithm = { name: "AES-GCM", iv: new Uint8Array(sealed, 1, 12), additionalData: encoded(`linli vault 1\\n${bound}`) };
    return crypto.subtle.decrypt(algorithm, key, new Uint8Array(sealed, 13));
};
const openedJson = async (sealed, bound) => JSON.parse(new TextDecoder().decode(await opened(sealed, bound)));
"""
