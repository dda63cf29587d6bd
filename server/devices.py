"""Devices: an installation on a phone, known by its key. Its signature is its word at /sync."""

import hashlib
import secrets
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from server.identifiers import uuid7
from server.models import Device, Volunteer
from server.sealing import POINT_BYTES, decode_base64url
from sync.errors import UnknownDevice

SIGNATURE_BYTES = 64


def device_id_of(public_key: bytes) -> str:
    """A device is its key: the id is the first half of the key's SHA-256, written as a UUID."""
    digest = hashlib.sha256(public_key).hexdigest()[:32]
    return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:]}"


def new_device(volunteer: Volunteer, *, name: str, public_key: str, now: int) -> Device:
    """A device that waits for a coordinator's word. Raises ValueError for a key that is not a P-256 point."""
    point = decode_base64url(public_key) if public_key else b""
    if point:
        if len(point) != POINT_BYTES:
            raise ValueError("not an uncompressed P-256 point")
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    return Device(
        community_id=volunteer.community_id,
        id=device_id_of(point) if point else uuid7(now),
        volunteer_id=volunteer.id,
        name=name,
        check_number=f"{secrets.randbelow(10_000):04}",
        public_key=point,
        created_at=now,
    )


def is_signed_by(public_key: bytes, signature: str, method: str, path: str, device_id: str, body: bytes) -> bool:
    """Whether the holder of this key signed this request as this device."""
    try:
        raw = decode_base64url(signature)
    except ValueError:
        return False
    if not public_key or len(raw) != SIGNATURE_BYTES:
        return False
    half = SIGNATURE_BYTES // 2
    der = encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))
    try:
        loaded_key(public_key).verify(der, signed_text(method, path, device_id, body), ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


@lru_cache(maxsize=2048)
def loaded_key(public_key: bytes) -> ec.EllipticCurvePublicKey:
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public_key)


def signed_text(method: str, path: str, device_id: str, body: bytes) -> bytes:
    return f"LINLI1\n{method}\n{path}\n{device_id}\n{hashlib.sha256(body).hexdigest()}".encode()


def unknown() -> UnknownDevice:
    return UnknownDevice("unknown_device", "this device is not enrolled here")
