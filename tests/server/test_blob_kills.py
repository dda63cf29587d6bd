"""An upload whose server was killed at any step of its end is whole, or goes on; never half, never twice."""

import json
import os
import subprocess
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from server.blobs.opening import blob_folder
from server.settings import ROOT, Settings
from tests.people import ALICE
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
