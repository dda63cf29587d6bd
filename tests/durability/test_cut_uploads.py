"""Statement 17 (EXPERIENCE.md): an upload that breaks off at any byte, its own or its answer's, and then comes three times,
is one record."""

import gzip
import json
import re
import socket
import sqlite3
import struct
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as any_of

from server.database import Database
from server.identifiers import packed, uuid7
from server.sealing import ensure_sealing_key
from sync.changes import Action, Change
from tests.browser.server_process import ServerProcess, with_database
from tests.browser.warm_server import WarmServer
from tests.people import ALICE, GREEN_DOOR, NOW, ROUND_ID, build_world
from tests.signing_phone import ServerKey, SigningPhone, message, server_key

TIMES = 3
SECONDS = 20
NOTE = "示例：一切都好。"
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing throws away what is on its way


class Upload:
    """One visit, as the bytes of its request."""

    def __init__(self, server: ServerProcess, phone: SigningPhone, key: ServerKey, *, is_packed: bool) -> None:
        fields = {"household_id": GREEN_DOOR, "round_id": ROUND_ID, "started_at": NOW, "ended_at": NOW, "note": NOTE}
        visit = {**fields, "outcome": "met", "contact_mode": "in_person", "consent_state": "basic"}
        change = Change(uuid7(), 1, "visit", uuid7(), Action.PUT, 0, visit, NOW, 1)
        body = message([phone.sealed(key, change)], limit=1)
        if is_packed:
            body = gzip.compress(body)
        headers = phone.headers(body, origin=server.url) | {"Host": f"127.0.0.1:{server.port}", "Connection": "close"}
        headers |= {"Content-Length": str(len(body))} | ({"Content-Encoding": "gzip"} if is_packed else {})
        head = "".join(f"{name}: {text}\r\n" for name, text in headers.items())
        self.request = f"POST /sync HTTP/1.1\r\n{head}\r\n".encode() + body
        self.ids = change.record_id, change.change_id
        self._server = server

    def send(
        self, *, request_bytes: int | None = None, answer_bytes: int | None = None, is_reset: bool = False
    ) -> bytes:
        """As much of the answer as was read before somebody hung up."""
        with socket.create_connection(("127.0.0.1", self._server.port), timeout=SECONDS) as line:
            line.sendall(self.request[:request_bytes])
            answer = b""
            while request_bytes is None and (answer_bytes is None or len(answer) < answer_bytes):
                piece = line.recv(65536 if answer_bytes is None else answer_bytes - len(answer))
                answer += piece
                if not piece:
                    break
            if is_reset:
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        return answer

    def outcome(self) -> str:
        head, _, body = self.send().partition(b"\r\n\r\n")
        assert re.match(rb"HTTP/1.1 200 ", head), head
        (result,) = json.loads(body)["results"]
        return str(result["outcome"])

    def stored(self) -> tuple[int, int]:
        """Records, and lines of history, of this visit."""
        record_id, change_id = map(packed, self.ids)
        with closing(sqlite3.connect(self._server.data_dir / "linli.db")) as database:
            (records,) = database.execute("SELECT count(*) FROM record WHERE record_id = ?", (record_id,)).fetchone()
            (lines,) = database.execute("SELECT count(*) FROM change WHERE change_id = ?", (change_id,)).fetchone()
        return records, lines


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[ServerProcess, SigningPhone, ServerKey]]:
    phone = SigningPhone(ALICE)
    keys: list[ServerKey] = []

    def settle(database: Database) -> None:
        build_world(database)
        database.write(phone.enrol)
        database.write(lambda session: ensure_sealing_key(session, now=NOW))
        keys.append(database.read(server_key))

    with tempfile.TemporaryDirectory() as folder:
        server = WarmServer(Path(folder))
        with_database(server, settle)
        server.start()
        try:
            yield server, phone, keys[0]
        finally:
            server.close()


@given(cut=any_of.floats(0, 1), is_packed=any_of.booleans(), is_reset=any_of.booleans())
@example(cut=0.0, is_packed=False, is_reset=True)
@example(cut=1.0, is_packed=False, is_reset=True)  # all of the request, nothing of the answer
@settings(max_examples=120, deadline=None, derandomize=True, database=None)
def test_s17_an_upload_that_is_cut_at_any_byte_is_one_record(
    world: tuple[ServerProcess, SigningPhone, ServerKey], cut: float, is_packed: bool, is_reset: bool
) -> None:
    upload = Upload(*world, is_packed=is_packed)
    at = round(cut * len(upload.request))
    upload.send(request_bytes=at, is_reset=is_reset)
    # A whole request may be stored already, or in a moment; half a one never is.
    assert upload.stored() == (0, 0) or at == len(upload.request)

    outcomes = [upload.outcome() for _ in range(TIMES)]

    assert outcomes[0] == "accepted" or at == len(upload.request)
    assert outcomes[1:] == ["again"] * (TIMES - 1)
    assert upload.stored() == (1, 1)


@given(answer_bytes=any_of.integers(0, 700), is_packed=any_of.booleans(), is_reset=any_of.booleans())
@settings(max_examples=80, deadline=None, derandomize=True, database=None)
def test_s17_an_answer_that_is_cut_at_any_byte_is_one_record(
    world: tuple[ServerProcess, SigningPhone, ServerKey], answer_bytes: int, is_packed: bool, is_reset: bool
) -> None:
    upload = Upload(*world, is_packed=is_packed)
    answer = upload.send(answer_bytes=answer_bytes, is_reset=is_reset)
    assert upload.stored() == (1, 1) or not answer  # nobody hears of it before it is stored

    outcomes = [upload.outcome() for _ in range(TIMES)]

    assert outcomes == ["again"] * TIMES or not answer
    assert upload.stored() == (1, 1)
