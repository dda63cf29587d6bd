"""An upload whose server was killed at any step of its end is whole, or goes on; never half, never twice."""

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from server.blobs.opening import blob_folder
from server.database import Database
from server.settings import ROOT, Settings
from tests.browser.server_process import ServerProcess, with_database
from tests.browser.warm_server import WarmServer
from tests.people import ALICE, build_world, log_visits, visit_change
from tests.server.blob_kills import small_app
from tests.server.test_blobs import LENGTH, PHOTO
from tests.signing_phone import SigningPhone


def test_whichever_step_is_the_last_the_upload_ends_well(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-P", "-m", "tests.server.blob_kills", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    steps = json.loads(done.stdout.splitlines()[-1])["steps"]
    key = load_pem_private_key((tmp_path / "key.pem").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    phone = SigningPhone(ALICE, key)

    found = [state_after(tmp_path / str(step), phone) for step in range(1, steps + 1)]

    # Before its last byte, after it, with the name in the store, and after the commit.
    assert steps >= 8
    assert found == sorted(found)
    assert {state[:2] for state in found} == {(LENGTH - 1, "?0"), (LENGTH, "?0"), (LENGTH, "?1")}
    assert (LENGTH, "?0", 1) in found


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    server = WarmServer(tmp_path)
    yield server
    server.close()


def test_a_line_that_breaks_and_a_server_that_is_killed_cost_one_piece(server: ServerProcess) -> None:
    phone = SigningPhone(ALICE)

    def fill(database: Database) -> None:
        build_world(database)
        database.write(phone.enrol)
        log_visits(database, ALICE, visit_change("hers", attachments=[PHOTO.attachment]))

    def ask(method: str, start: int = 0, end: int = 0, *, cut: int = 0) -> dict[str, str]:
        """With `cut` the line breaks so many bytes before the end of the body, and there is no answer."""
        body, is_piece = PHOTO.content[start:end], method == "PATCH"
        path = f"{PHOTO.path} {start}/{LENGTH}" if is_piece else PHOTO.path
        numbers = {"Upload-Offset": str(start), "Upload-Length": str(LENGTH)} if is_piece else {}
        signed = phone.headers(body, origin=server.url, method=method, path=path)
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        with closing(connection):
            connection.request(
                method, PHOTO.path, body[: len(body) - cut], {**signed, **numbers, "Content-Length": str(len(body))}
            )
            if cut:
                return {}
            answer = connection.getresponse()
            assert answer.status < 300, answer.read()
            return {name.lower(): value for name, value in answer.getheaders()} | {
                "body": answer.read().decode("latin-1")
            }

    with_database(server, fill)
    server.start()
    first = ask("PATCH", 0, 1000)
    ask("PATCH", 1000, 2000, cut=1)
    after_the_cut = ask("HEAD")
    server.kill()
    server.start()
    after_the_kill = ask("HEAD")
    done = ask("PATCH", 1000, LENGTH)
    seen = ask("GET")

    offsets = [answer["upload-offset"] for answer in (first, after_the_cut, after_the_kill, done)]
    assert offsets == ["1000", "1000", "1000", str(LENGTH)]
    assert done["upload-complete"] == "?1"
    assert (seen["body"].encode("latin-1"), seen["content-type"]) == (PHOTO.content, "image/jpeg")
    assert "Traceback" not in server.output
    assert '"status": 500' not in server.output


def state_after(place: Path, phone: SigningPhone) -> tuple[int, str, int]:
    """How the next life found it: offset, whether it was whole, files in the store. Checks that it then ends well."""
    settings = Settings(data_dir=place)
    with small_app(settings) as client:

        def ask(method: str, path: str, body: bytes = b"", **headers: str) -> dict[str, str]:
            signed = phone.headers(body, origin=settings.public_url, method=method, path=path)
            answer = client.request(method, PHOTO.path, content=body, headers={**signed, **headers})
            assert answer.status_code < 300, answer.text
            return {**answer.headers, "body": answer.content.decode("latin-1")}

        before = ask("HEAD", PHOTO.path)
        kept = files_in(blob_folder(settings))
        assert all(file.read_bytes() == PHOTO.content for file in kept)
        offset = int(before["upload-offset"])
        if before["upload-complete"] == "?0":
            numbers = {"upload-offset": str(offset), "upload-length": str(LENGTH)}
            after = ask("PATCH", f"{PHOTO.path} {offset}/{LENGTH}", PHOTO.content[offset:], **numbers)
            assert after["upload-complete"] == "?1"
            assert files_in(place / "blobs" / "unfinished") == []
        assert ask("GET", PHOTO.path)["body"].encode("latin-1") == PHOTO.content
        assert [file.name for file in files_in(blob_folder(settings))] == [PHOTO.digest]
    return offset, before["upload-complete"], len(kept)


def files_in(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]
