"""Finishes an upload again and again, and dies of SIGKILL one step later each time: `python -m tests.server.blob_kills FOLDER`.

A step is a call of the system that Python tells an audit hook of (opening, locking, making, linking or removing something
among the blobs) or a commit of the database. Before the first there is one upload with all of its bytes but the last. What
each death left behind lies in `FOLDER/<step>`; printed is how many there were. Children are forked before anything has
threads.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import Engine
from sqlalchemy.event import listen
from starlette.applications import Starlette
from starlette.testclient import TestClient

from server import blob_api, migrations
from server.admission import Admission
from server.blobs.opening import open_blobs
from server.database import open_database
from server.messages import load_catalogue
from server.settings import Settings
from tests.people import ALICE, NOW, build_world, log_visits, visit_change
from tests.server.test_blobs import LENGTH, PHOTO
from tests.signing_phone import SigningPhone

STEPS = ("open", "os.link", "os.remove", "os.mkdir", "fcntl.flock")
STEPS_MAX = 100


def main(folder: Path) -> None:
    phone = SigningPhone(ALICE)
    key = phone.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key.pem").write_bytes(key)
    in_child(lambda: begin(folder / "before", phone))
    for step in range(1, STEPS_MAX):
        place = folder / str(step)
        shutil.copytree(folder / "before", place)
        if in_child(lambda step=step, place=place: finish(place, phone, step)):
            shutil.rmtree(place)
            print(json.dumps({"steps": step - 1}))
            return
    raise AssertionError("it never came to an end")


def in_child(work: Any) -> bool:
    """Whether it came to its end; if not it must have been killed."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL, status
    return status == 0


def begin(place: Path, phone: SigningPhone) -> None:
    place.mkdir()
    settings = Settings(data_dir=place)
    migrations.upgrade(settings.database_url)
    with small_app(settings) as client:
        database = client.app.state.database  # type: ignore[attr-defined]
        build_world(database)
        database.write(phone.enrol)
        log_visits(database, ALICE, visit_change("hers", attachments=[PHOTO.attachment]))
        assert send(client, settings, phone, 0, LENGTH - 1) == 204


def finish(place: Path, phone: SigningPhone, step: int) -> None:
    settings = Settings(data_dir=place)
    with small_app(settings) as client:
        die_at(step, place / "blobs")
        assert send(client, settings, phone, LENGTH - 1, LENGTH) == 204


@contextmanager
def small_app(settings: Settings) -> Iterator[TestClient]:
    """Only what takes photos: the pages would take a second to compile at each death."""
    app = Starlette(routes=blob_api.routes)
    app.state.settings = settings
    app.state.database = open_database(settings)
    app.state.blobs = open_blobs(settings)
    app.state.catalogue = load_catalogue()
    app.state.admission = Admission(in_house_max=1)
    app.state.blob_admission = blob_api.upload_line(8)
    app.state.photo_admission = blob_api.photo_line()
    app.state.clock = lambda: NOW
    with TestClient(app, base_url=settings.public_url) as client:
        yield client
    app.state.database.close()


def send(client: TestClient, settings: Settings, phone: SigningPhone, start: int, end: int) -> int:
    body = PHOTO.content[start:end]
    signed = phone.headers(body, origin=settings.public_url, method="PATCH", path=f"{PHOTO.path} {start}/{LENGTH}")
    headers = {**signed, "Upload-Offset": str(start), "Upload-Length": str(LENGTH)}
    return client.patch(PHOTO.path, content=body, headers=headers).status_code


def die_at(step: int, blobs: Path) -> None:
    """From now on the process ends just before the step of this number."""
    taken = 0

    def take_step() -> None:
        nonlocal taken
        taken += 1
        if taken == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def see(event: str, arguments: tuple[Any, ...]) -> None:
        if event in STEPS and (event == "fcntl.flock" or str(arguments[0]).startswith(str(blobs))):
            take_step()

    sys.addaudithook(see)
    listen(Engine, "commit", lambda _: take_step())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
