"""Sealing, at the edge of the phone: the simulated phone keeps its changes in the open, and what leaves it is sealed here.

The boxes are the real ones (server.sealing opens them), but nothing in them is random: same change, same bytes.
"""

import hashlib
from functools import lru_cache
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from server.models import SealingKey
from server.sealing import (
    INFO,
    NONCE_BYTES,
    VERSION,
    associated_data,
    decode_base64url,
    encode_base64url,
    point,
)

KEY_ID = "5ea1ed0000000001"
LOST_KEY_ID = "5ea1ed00000000ff"
SERVER_KEY = ec.derive_private_key(0x5EA1ED, ec.SECP256R1())
PHONE_KEY = ec.derive_private_key(0x0DE, ec.SECP256R1())


def sealing_key() -> SealingKey:
    private = SERVER_KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return SealingKey(id=KEY_ID, private_key=private, public_key=point(SERVER_KEY.public_key()), created_at=0)


@lru_cache(maxsize=1)
def key_ring() -> dict[str, bytes]:
    return {KEY_ID: sealing_key().private_key}


@lru_cache(maxsize=2)
def cipher(key_id: str) -> AESGCM:
    shared = PHONE_KEY.exchange(ec.ECDH(), SERVER_KEY.public_key())
    salt = point(PHONE_KEY.public_key())
    return AESGCM(HKDF(SHA256(), 32, salt=salt, info=INFO + bytes.fromhex(key_id)).derive(shared))


def seal_envelope(envelope: dict[str, Any], *, device_id: str, is_key_lost: bool) -> dict[str, Any]:
    """The same envelope with its change, which came in the open, in a box."""
    key_id = LOST_KEY_ID if is_key_lost else KEY_ID
    bound = associated_data(device_id, envelope["change_id"], envelope["device_sequence"])
    text = decode_base64url(envelope["sealed"])
    nonce = hashlib.sha256(bound + text).digest()[:NONCE_BYTES]
    box = cipher(key_id).encrypt(nonce, text, bound)
    head = bytes([VERSION]) + bytes.fromhex(key_id) + point(PHONE_KEY.public_key()) + nonce
    return {**envelope, "sealed": encode_base64url(head + box)}


def opened(envelope: dict[str, Any]) -> dict[str, Any]:
    """The change as the phone wrote it."""
    change: dict[str, Any] = msgspec.json.decode(decode_base64url(envelope["sealed"]))
    return change
