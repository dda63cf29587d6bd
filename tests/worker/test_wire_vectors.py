"""The phone's half of sync/vectors/wire.json: the bytes that static/sync/seal.js hands to WebCrypto, and what it makes
of the results. V8 alone has no WebCrypto: wire_vectors.js stands in for the browser's, never for ours.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from py_mini_racer import MiniRacer

from tests.javascript import STATIC, as_script

Json = dict[str, Any]

VECTORS: Json = json.loads(Path("sync/vectors/wire.json").read_text(encoding="utf-8"))
BROWSER = (Path(__file__).parent / "wire_vectors.js").read_text(encoding="utf-8")


class Phone:
    def __init__(self) -> None:
        modules = [
            as_script((STATIC / name).read_text(encoding="utf-8"))
            for name in ("sync/hash.js", "sync/columns.js", "sync/protocol.js", "sync/seal.js")
        ]
        self._engine = MiniRacer()
        # seal.js takes a TextEncoder when it is loaded: the browser comes first.
        self._engine.eval("\n".join([BROWSER, *modules]) + "\n;undefined")

    def call(self, function: str, *arguments: Any) -> Any:
        written = ", ".join(json.dumps(argument) for argument in arguments)
        return json.loads(str(self._engine.eval(f"JSON.stringify({function}({written})) ?? 'null'")))

    def told(self, function: str, *arguments: Any) -> Any:
        """What a promise came to."""
        written = ", ".join(json.dumps(argument) for argument in arguments)
        self._engine.eval(f"tell({function}({written})); undefined")
        told = self.call("whatWasTold")
        assert told is not None, "still waiting"
        assert "value" in told, told["error"]
        return told["value"]

    def close(self) -> None:
        self._engine.close()


@pytest.fixture(scope="module")
def phone() -> Iterator[Phone]:
    phone = Phone()
    yield phone
    phone.close()


def test_device_describes_its_key(phone: Phone) -> None:
    device = VECTORS["device"]

    assert phone.told("describeGiven", VECTORS) == {"device_id": device["id"], "public_key": device["public_key"]}


@pytest.mark.parametrize("request_", VECTORS["signatures"], ids=["push", "hello"])
def test_request_is_signed(phone: Phone, request_: Json) -> None:
    assert phone.told("signGiven", VECTORS, request_) == request_["headers"]


def test_change_is_sealed(phone: Phone) -> None:
    assert phone.told("sealGiven", VECTORS) == VECTORS["seal"]["sealed"]


@pytest.mark.parametrize("text", VECTORS["foreign"], ids=[text[:30] or "nothing" for text in VECTORS["foreign"]])
def test_what_is_not_ours_is_no_answer(phone: Phone, text: str) -> None:
    assert phone.call("readAnswer", text) is None
