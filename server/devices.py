"""Devices: an installation on a phone, known by its key. Its signature is its word at /sync."""

import hashlib
import secrets
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from sqlalchemy import bindparam
from sqlmodel import Session, select

from server.identifiers import uuid7
from server.models import Device, Volunteer
from server.sealing import POINT_BYTES, decode_base64url
from sync.changes import require_uuid
from sync.errors import MalformedMessage, UnknownDevice

SIGNATURE_BYTES = 64
# Every push asks these; to build them each time would cost as much as storing ten visits.
DEVICE = select(Device).where(Device.id == bindparam("id"))
VOLUNTEER = select(Volunteer).where(
    Volunteer.community_id == bindparam("community_id"), Volunteer.id == bindparam("id")
)


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


def signed_device(session: Session, *, device_id: str, signature: str, method: str, path: str, body: bytes) -> Device:
    """The device that signed this request. Raises UnknownDevice; says no more, so nobody learns which ids exist."""
    try:
        require_uuid("Linli-Device", device_id)
        raw = decode_base64url(signature)
    except (MalformedMessage, ValueError) as error:
        raise unknown() from error
    device = session.scalars(DEVICE, {"id": device_id}).first()
    if device is None or not device.public_key or len(raw) != SIGNATURE_BYTES:
        raise unknown()
    half = SIGNATURE_BYTES // 2
    der = encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))
    try:
        loaded_key(device.public_key).verify(der, signed_text(method, path, device_id, body), ec.ECDSA(SHA256()))
    except InvalidSignature as error:
        raise unknown() from error
    return device


@lru_cache(maxsize=2048)
def loaded_key(public_key: bytes) -> ec.EllipticCurvePublicKey:
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public_key)


def signed_text(method: str, path: str, device_id: str, body: bytes) -> bytes:
    return f"LINLI1\n{method}\n{path}\n{device_id}\n{hashlib.sha256(body).hexdigest()}".encode()


def unknown() -> UnknownDevice:
    return UnknownDevice("unknown_device", "this device is not enrolled here")


def volunteer_of(session: Session, device: Device) -> Volunteer:
    return session.scalars(VOLUNTEER, {"community_id": device.community_id, "id": device.volunteer_id}).one()
