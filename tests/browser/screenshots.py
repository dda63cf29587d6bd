"""What a screenshot holds: the pixels of a PNG, and the text of a QR code in it."""

import struct
import zlib
from dataclasses import dataclass

import zxingcpp

CHANNELS = {2: 3, 6: 4}  # colour type -> bytes a pixel


@dataclass(frozen=True, slots=True)
class Grey:
    """One byte a pixel, row after row."""

    width: int
    height: int
    pixels: bytes


def read_qr(png: bytes) -> str:
    image = read_png(png)
    view = zxingcpp.ImageView(image.pixels, image.width, image.height, zxingcpp.ImageFormat.Lum)
    found = zxingcpp.read_barcode(view, formats=zxingcpp.BarcodeFormat.QRCode)
    assert found is not None, "there is no QR code in the picture"
    return str(found.text)


def read_png(png: bytes) -> Grey:
    """The green of every pixel: grey enough for black and white. Reads what browsers write (PNG specification, 9)."""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", png[16:29])
    assert (depth, interlaced) == (8, 0)
    step = CHANNELS[colour]
    packed, place = b"", 8
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        if png[place + 4 : place + 8] == b"IDAT":
            packed += png[place + 8 : place + 8 + length]
        place += length + 12
    raw, stride = zlib.decompress(packed), width * step
    above = bytearray(stride)
    green = bytearray()
    for start in range(0, len(raw), stride + 1):
        above = unfiltered(raw[start], bytearray(raw[start + 1 : start + 1 + stride]), above, step)
        green += above[1::step]
    return Grey(width, height, bytes(green))


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
