"""Opening what phones sealed to the server's public key: a queued visit uploads while the phone is locked.

sealed = 0x01 | key id (8) | ephemeral public key (65) | nonce (12) | AES-256-GCM ciphertext and tag
key    = HKDF-SHA-256(ECDH P-256, salt = ephemeral public key, info = "linli seal v1" | key id)
AAD    = device id, change id and device sequence, one a line: a box cannot be passed off as another's

The phone makes one ephemeral key per worker start, so the derived keys are cached.
"""

import base64
import binascii
import json
import os
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)
from sqlmodel import Session, select

from server.models import SealingKey
from server.statements import statements_of

VERSION = 1
KEY_ID_BYTES, POINT_BYTES, NONCE_BYTES = 8, 65, 12
HEADER_BYTES = 1 + KEY_ID_BYTES + POINT_BYTES + NONCE_BYTES
INFO = b"linli seal v1"


class Unsealable(Exception):
    """It cannot be opened now; the ciphertext is kept, because the key may come back with a backup."""


def make_sealing_key(*, now: int) -> SealingKey:
    private_key = ec.generate_private_key(ec.SECP256R1())
    return SealingKey(
        id=os.urandom(KEY_ID_BYTES).hex(),
        private_key=private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        public_key=point(private_key.public_key()),
        created_at=now,
    )


def ensure_sealing_key(session: Session, *, now: int) -> None:
    """Phones seal to the server's key from their first exchange on, so there is one from its first start on."""
    if session.exec(select(SealingKey.id).limit(1)).first() is None:
        session.add(make_sealing_key(now=now))


def current_sealing_key(session: Session) -> SealingKey:
    return session.exec(select(SealingKey).order_by(SealingKey.created_at.desc()).limit(1)).one()  # type: ignore[attr-defined]


def private_keys(session: Session) -> dict[str, bytes]:
    """Every key ever given out, by id: a phone may come back after months."""
    rows = statements_of(session).rows("SELECT id, private_key FROM sealingkey")
    return {key_id: bytes(private_key) for key_id, private_key in rows}


def unseal(sealed: str, *, keys: dict[str, bytes], device_id: str, change_id: str, sequence: int) -> bytes:
    """What lies inside. Raises Unsealable, and nothing else, for anything that is not a sound box of ours."""
    try:
        box = decode_base64url(sealed)
        if len(box) <= HEADER_BYTES or box[0] != VERSION:
            raise Unsealable("not a sealed change of a known version")
        key_id = box[1 : 1 + KEY_ID_BYTES]
        ephemeral = box[1 + KEY_ID_BYTES : 1 + KEY_ID_BYTES + POINT_BYTES]
        nonce = box[HEADER_BYTES - NONCE_BYTES : HEADER_BYTES]
        private_key = keys.get(key_id.hex())
        if private_key is None:
            raise Unsealable("sealed to a key this server does not hold")
        context = associated_data(device_id, change_id, sequence)
        return AESGCM(derived_key(private_key, key_id, ephemeral)).decrypt(nonce, box[HEADER_BYTES:], context)
    except (ValueError, InvalidTag) as error:
        raise Unsealable("the box does not open") from error


def seal(value: Any, *, key_id: str, public_key: bytes, device_id: str, change_id: str, sequence: int) -> str:
    """What a phone does, for tests and for clients in Python."""
    private_key, ephemeral = ephemeral_key()
    identifier = bytes.fromhex(key_id)
    shared = private_key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public_key))
    key = HKDF(SHA256(), 32, salt=ephemeral, info=INFO + identifier).derive(shared)
    nonce = os.urandom(NONCE_BYTES)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
    box = AESGCM(key).encrypt(nonce, text, associated_data(device_id, change_id, sequence))
    return encode_base64url(bytes([VERSION]) + identifier + ephemeral + nonce + box)


@lru_cache(maxsize=1)
def ephemeral_key() -> tuple[ec.EllipticCurvePrivateKey, bytes]:
    private_key = ec.generate_private_key(ec.SECP256R1())
    return private_key, point(private_key.public_key())


@lru_cache(maxsize=4096)
def derived_key(private_key: bytes, key_id: bytes, ephemeral: bytes) -> bytes:
    loaded = load_der_private_key(private_key, None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)
    shared = loaded.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), ephemeral))
    return HKDF(SHA256(), 32, salt=ephemeral, info=INFO + key_id).derive(shared)


def associated_data(device_id: str, change_id: str, sequence: int) -> bytes:
    return f"{device_id}\n{change_id}\n{sequence}".encode()


def point(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def encode_base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def decode_base64url(text: str) -> bytes:
    """Strict: raises ValueError for anything that is not unpadded base64url."""
    try:
        return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError("not base64url") from error
