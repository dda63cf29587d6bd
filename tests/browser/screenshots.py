"""What a screenshot holds: the pixels of a PNG (PNG specification, 9), and the text of a QR code in it."""

import struct
import zlib
from dataclasses import dataclass

import zxingcpp

SIGNATURE = b"\x89PNG\r\n\x1a\n"
BYTES_A_PIXEL = {2: 3, 6: 4}  # by colour type: RGB, RGBA


@dataclass(frozen=True, slots=True)
class Picture:
    width: int
    height: int
    header: bytes  # of the PNG
    step: int  # bytes a pixel
    rows: tuple[bytes, ...]


def read_qr(png: bytes) -> str:
    """Looks at the green of each pixel: grey enough for black and white."""
    picture = read_png(png)
    green = b"".join(row[1 :: picture.step] for row in picture.rows)
    view = zxingcpp.ImageView(green, picture.width, picture.height, zxingcpp.ImageFormat.Lum)
    found = zxingcpp.read_barcode(view, formats=zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode))
    assert found is not None, "there is no QR code in the picture"
    return str(found.text)


def packed_tighter(png: bytes) -> bytes:
    """The same pixels in fewer bytes: flat screens pack best without PNG's filters, which browsers use."""
    picture = read_png(png)
    data = zlib.compress(b"".join(b"\0" + row for row in picture.rows), 9)
    return SIGNATURE + chunk(b"IHDR", picture.header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def read_png(png: bytes) -> Picture:
    """Reads what browsers write: eight bits a channel, not interlaced."""
    chunks = chunks_of(png)
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert (depth, interlaced) == (8, 0)
    step = BYTES_A_PIXEL[colour]
    raw, stride = zlib.decompress(chunks[b"IDAT"]), width * step
    rows = [bytearray(stride)]
    for start in range(0, len(raw), stride + 1):
        filtered = bytearray(raw[start + 1 : start + 1 + stride])
        rows.append(unfiltered(raw[start], filtered, rows[-1], step))
    return Picture(width, height, chunks[b"IHDR"], step, tuple(bytes(row) for row in rows[1:]))


def chunks_of(png: bytes) -> dict[bytes, bytes]:
    """By kind, those of one kind joined."""
    found: dict[bytes, bytes] = {}
    place = len(SIGNATURE)
    while place < len(png):
        length, kind = struct.unpack(">I4s", png[place : place + 8])
        found[kind] = found.get(kind, b"") + png[place + 8 : place + 8 + length]
        place += length + 12
    return found


def chunk(kind: bytes, inside: bytes) -> bytes:
    return struct.pack(">I", len(inside)) + kind + inside + struct.pack(">I", zlib.crc32(kind + inside))


def unfiltered(kind: int, row: bytearray, above: bytearray, step: int) -> bytearray:
    for place in range(len(row)) if kind else ():
        left = row[place - step] if place >= step else 0
        corner = above[place - step] if place >= step else 0
        row[place] = (row[place] + predicted(kind, left, above[place], corner)) & 255
    return row


def predicted(kind: int, left: int, up: int, corner: int) -> int:
    match kind:
        case 1:
            return left
        case 2:
            return up
        case 3:
            return (left + up) // 2
    guess = left + up - corner
    return min((left, up, corner), key=lambda near: abs(guess - near))
