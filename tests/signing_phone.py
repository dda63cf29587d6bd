"""A phone without a screen: it has a device key, seals what it sends and signs every request, as the worker does."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from sqlmodel import Session

from server.devices import device_id_of
from server.models import Device
from server.sealing import current_sealing_key, encode_base64url, point, seal
from sync.changes import Change
from tests.people import COMMUNITY_ID, NOW, Person

Wire = dict[str, Any]


@dataclass(frozen=True)
class SigningPhone:
    owner: Person
    private_key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def public_key(self) -> bytes:
        return point(self.private_key.public_key())

    @property
    def device_id(self) -> str:
        return device_id_of(self.public_key)

    def enrol(self, session: Session, *, standing: str = "active") -> None:
        """As if a coordinator had decided about it."""
        session.add(
            Device(
                community_id=COMMUNITY_ID,
                id=self.device_id,
                volunteer_id=self.owner.id,
                name=f"{self.owner.name}'s signing phone",
                check_number="0001",
                standing=standing,
                public_key=self.public_key,
                created_at=NOW,
            )
        )

    def headers(self, body: bytes, *, origin: str, method: str = "POST", path: str = "/sync") -> dict[str, str]:
        """`origin` as a browser says it."""
        text = f"LINLI1\n{method}\n{path}\n{self.device_id}\n{hashlib.sha256(body).hexdigest()}"
        r, s = decode_dss_signature(self.private_key.sign(text.encode(), ec.ECDSA(SHA256())))
        return {
            "Content-Type": "application/json",
            "Linli-Device": self.device_id,
            "Linli-Signature": encode_base64url(r.to_bytes(32, "big") + s.to_bytes(32, "big")),
            "Origin": origin,
        }

    def sealed(self, key: "ServerKey", change: Change | Wire, **changed: Any) -> Wire:
        """One entry of a push. `changed` are parts of the envelope that should not be what the box says."""
        wire = change if isinstance(change, dict) else wire_change(change)
        change_id, sequence = wire["change_id"], wire["device_sequence"]
        box = seal(
            wire,
            key_id=key.id,
            public_key=key.public_key,
            device_id=self.device_id,
            change_id=change_id,
            sequence=sequence,
        )
        return {"change_id": change_id, "device_sequence": sequence, "sealed": box, **changed}


@dataclass(frozen=True, slots=True)
class ServerKey:
    id: str
    public_key: bytes


def server_key(session: Session) -> ServerKey:
    key = current_sealing_key(session)
    return ServerKey(key.id, key.public_key)


def wire_change(change: Change, **changed: Any) -> Wire:
    return {
        "change_id": change.change_id,
        "device_sequence": change.device_sequence,
        "kind": change.kind,
        "record_id": change.record_id,
        "action": change.action.value,
        "base": change.base,
        "set": dict(change.set),
        "made_at": change.made_at,
        "schema": change.schema,
        **changed,
    }


def message(entries: Sequence[Mapping[str, Any]], **changed: Any) -> bytes:
    """The body of a POST /sync, spelled as JSON.stringify does: only half a character is escaped."""
    wire: Wire = {
        "protocol": 1,
        "schema": 1,
        "now": NOW,
        "epoch": "",
        "high_water": max((entry.get("device_sequence", 0) for entry in entries), default=0),
        "cursor": "",
        "limit": 500,
        "changes": list(entries),
        "settings": {},
    }
    return json.dumps(wire | changed, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
