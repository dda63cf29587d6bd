"""The server's half of sync/vectors/wire.json: device ids, signatures, sealed boxes, cursors, and messages it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlmodel import Session

from server import models
from server.callers import authenticated
from server.device_requests import Signed
from server.devices import device_id_of, signed_text
from server.sealing import Unsealable, decode_base64url, derived_key, point, unseal
from sync.errors import MalformedMessage, UnknownDevice
from sync.protocol import decode_cursor, decode_message, encode_cursor
from sync.store import Position
from tests.sync.test_stores import opened

Json = dict[str, Any]

VECTORS: Json = json.loads(Path("sync/vectors/wire.json").read_text(encoding="utf-8"))
DEVICE: Json = VECTORS["device"]
SEAL: Json = VECTORS["seal"]


def private_key(scalar: str) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int(scalar, 16), ec.SECP256R1())


# Identity


def test_device_id_is_made_from_the_key() -> None:
    public_key = point(private_key(DEVICE["private_scalar"]).public_key())

    assert public_key == decode_base64url(DEVICE["public_key"])
    assert device_id_of(public_key) == DEVICE["id"]


@pytest.fixture
def device() -> models.Device:
    return models.Device(
        community_id=1,
        id=DEVICE["id"],
        volunteer_id=DEVICE["id"],
        name="phone",
        check_number="0001",
        public_key=decode_base64url(DEVICE["public_key"]),
        created_at=0,
    )


@pytest.mark.parametrize("request_", VECTORS["signatures"], ids=["push", "hello"])
def test_signed_request_names_its_device(request_: Json, device: models.Device, tmp_path: Path) -> None:
    method, path, body = request_["method"], request_["path"], request_["body"].encode()
    headers = request_["headers"]

    def ask(session: Session, body: bytes) -> str:
        signed = Signed(headers["Linli-Device"], headers["Linli-Signature"], method, path, body)
        return authenticated(session, signed).id

    def enrol(session: Session) -> None:
        session.add(models.Community(id=1, name="示例社区", epoch="epoch-1"))
        session.add(models.Volunteer(community_id=1, id=DEVICE["id"], number="0001", name="Alice"))
        session.flush()
        session.add(device)

    assert signed_text(method, path, headers["Linli-Device"], body) == request_["text"].encode()
    with opened(f"sqlite:///{tmp_path}/linli.db") as database:
        database.write(enrol)
        assert database.read(lambda session: ask(session, body)) == DEVICE["id"]
        with pytest.raises(UnknownDevice):
            database.read(lambda session: ask(session, body + b" "))


# Sealing


@pytest.fixture
def server_key() -> bytes:
    """The server's private key, as it is kept."""
    key = private_key(SEAL["server_key"]["private_scalar"])
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def test_sealed_box_opens(server_key: bytes) -> None:
    assert open_box(server_key, sequence=SEAL["device_sequence"]) == json.loads(SEAL["text"])


def test_sealed_box_opens_under_its_own_number_only(server_key: bytes) -> None:
    with pytest.raises(Unsealable):
        open_box(server_key, sequence=SEAL["device_sequence"] + 1)


def test_key_is_derived_as_written_down(server_key: bytes) -> None:
    key_id, ephemeral = bytes.fromhex(SEAL["server_key"]["id"]), decode_base64url(SEAL["ephemeral_key"]["public"])

    assert derived_key(server_key, key_id, ephemeral).hex() == SEAL["key"]


def open_box(server_key: bytes, *, sequence: int) -> Any:
    keys = {SEAL["server_key"]["id"]: server_key}
    box = unseal(SEAL["sealed"], keys=keys, device_id=DEVICE["id"], change_id=SEAL["change_id"], sequence=sequence)
    return json.loads(box)


# Messages


@pytest.mark.parametrize("case", VECTORS["cursors"], ids=[case["cursor"] for case in VECTORS["cursors"]])
def test_cursor_is_read_and_written(case: Json) -> None:
    position = Position(case["revision"], case["record_id"])

    assert decode_cursor(case["cursor"]) == position
    assert encode_cursor(position) == case["cursor"]


@pytest.mark.parametrize("text", VECTORS["no_cursors"])
def test_what_is_no_cursor_starts_from_nothing(text: str) -> None:
    assert decode_cursor(text) is None


@pytest.mark.parametrize("case", VECTORS["refused"], ids=[case["body"][:40] for case in VECTORS["refused"]])
def test_message_is_refused(case: Json) -> None:
    with pytest.raises(MalformedMessage) as refused:
        decode_message(json.loads(case["body"]))

    assert refused.value.code == case["code"]
