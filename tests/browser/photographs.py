"""Photos as a phone's camera makes them, and what became of them: on the phone, and of their bytes."""

import base64
import struct
from typing import Any

from tests.browser.opening import OPENING
from tests.browser.phone import Phone

DRAW = """async ([width, height]) => {
    const canvas = new OffscreenCanvas(width, height);
    const drawing = canvas.getContext("2d");
    const tile = new ImageData(200, 150);
    let seed = width;
    for (let place = 0; place < tile.data.length; place += 1) {
        seed = (seed * 1103515245 + 12345) & 0x7fffffff;
        tile.data[place] = place % 4 === 3 ? 255 : seed >> 16;
    }
    const noise = new OffscreenCanvas(200, 150);
    noise.getContext("2d").putImageData(tile, 0, 0);
    drawing.imageSmoothingEnabled = false;
    for (let x = 0; x < width; x += 200) for (let y = 0; y < height; y += 150) drawing.drawImage(noise, x, y);
    const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.8 });
    const bytes = new Uint8Array(await blob.arrayBuffer());
    let text = "";
    for (let at = 0; at < bytes.length; at += 30000) text += String.fromCharCode(...bytes.subarray(at, at + 30000));
    return btoa(text);
}"""
KEPT = """() => new Promise((resolve) => {
    const request = indexedDB.open("linli-blobs", 1);
    request.onsuccess = () => {
        const rows = request.result.transaction("blobs").objectStore("blobs").getAll();
        rows.onsuccess = () => { request.result.close(); resolve(rows.result); };
    };
})"""
BYTES = f"""async (sha256) => {{ {OPENING}
    const {{ sealed }} = await rowOf("linli-blobs", "bytes", sha256);
    const bytes = new Uint8Array(await opened(sealed, `photo\\n${{sha256}}`, true));
    let text = "";
    for (let at = 0; at < bytes.length; at += 30000) text += String.fromCharCode(...bytes.subarray(at, at + 30000));
    return btoa(text);
}}"""
WHERE = b"GPS 31.2304N 121.4737E"


def photograph(phone: Phone, width: int, height: int) -> bytes:
    """A JPEG that says in its EXIF where it was taken."""
    drawn = base64.b64decode(phone.page.evaluate(DRAW, [width, height]))
    return drawn[:2] + exif() + drawn[2:]


def exif() -> bytes:
    """An APP1 segment with one GPS directory (EXIF 2.3, 4.6): a latitude and, readable to the eye, where it was."""
    start = b"II*\0" + struct.pack("<I", 8)
    first = struct.pack("<HHHIII", 1, 0x8825, 4, 1, 26, 0)  # one entry: the GPS directory is at 26
    north = struct.pack("<HHI4s", 1, 2, 2, b"N\0\0\0")
    method = struct.pack("<HHII", 27, 7, len(WHERE), 26 + 2 + 24 + 4)
    body = b"Exif\0\0" + start + first + struct.pack("<H", 2) + north + method + bytes(4) + WHERE
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


def size_of(jpeg: bytes) -> tuple[int, int]:
    """Width and height from its frame header (T.81, B.2.2)."""
    at = 2
    while True:
        marker, length = jpeg[at + 1], struct.unpack(">H", jpeg[at + 2 : at + 4])[0]
        if marker in (0xC0, 0xC1, 0xC2):
            height, width = struct.unpack(">HH", jpeg[at + 5 : at + 9])
            return width, height
        at += 2 + length


def kept(phone: Phone) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = phone.page.evaluate(KEPT)
    return found


def bytes_kept(phone: Phone, digest: str) -> bytes:
    return base64.b64decode(phone.page.evaluate(BYTES, digest))
