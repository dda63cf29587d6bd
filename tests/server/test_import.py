"""A phone's exported file, brought in by a coordinator: an ordinary push, carried by hand (PROTOCOL.md, 11)."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from server import migrations
from server.app import create_app
from server.importing import EXPORT_BYTES_MAX, IMPORT_PATH
from server.models import Community, Device, Volunteer
from server.settings import Settings
from sync.protocol import HELD_BYTES_MAX
from tests.people import ALICE, COORDINATOR, NOW, build_world, made_up_id, sign_in, visit_change
from tests.signing_phone import ServerKey, SigningPhone, Wire, message, server_key

SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


@dataclass
class World:
    client: TestClient
    phone: SigningPhone
    key: ServerKey
    origin: str

    @property
    def database(self) -> Any:
        return self.client.app.state.database  # type: ignore[attr-defined]

    def bring_in(self, text: str) -> Response:
        file = {"file": ("linli-2026-03-12-1.txt", text.encode(), "text/plain")}
        return self.client.post("/coordinator/devices", files=file, headers=SAME_ORIGIN)

    def push(self, body: bytes, **signed: str) -> Response:
        return self.client.post("/sync", content=body, headers=self.phone.headers(body, origin=self.origin, **signed))

    def body(self, *names: str) -> bytes:
        changes = [visit_change(name, device_sequence=number) for number, name in enumerate(names, start=1)]
        return message([self.phone.sealed(self.key, change) for change in changes])

    def export(self, *bodies: bytes, **changed: Any) -> str:
        messages = [
            {
                "signature": self.phone.headers(body, origin=self.origin, path=IMPORT_PATH)["Linli-Signature"],
                "body": body.decode(),
            }
            for body in bodies
        ]
        file = {"format": "linli-export", "version": 1, "device_id": self.phone.device_id, "messages": messages}
        return f"邻里：还没上传的走访\n{json.dumps(file | changed)}\n"

    def has(self, name: str) -> bool:
        return self.client.get(f"/coordinator/visits/{made_up_id(name)}").status_code == 200


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    settings = Settings(data_dir=tmp_path)
    migrations.upgrade(settings.database_url)
    app = create_app(settings, clock=lambda: NOW)
    with TestClient(app, base_url=settings.public_url) as client:
        build_world(app.state.database)
        phone = SigningPhone(ALICE)
        app.state.database.write(phone.enrol)
        client.cookies.set("linli-s", sign_in(app.state.database, COORDINATOR))
        yield World(client, phone, app.state.database.read(server_key), settings.public_url)


def test_a_file_is_taken_once_however_often_and_the_phone_s_own_upload_is_known_then(world: World) -> None:
    body = world.body("first", "second")

    once, twice = world.bring_in(world.export(body)), world.bring_in(world.export(body))

    assert "新收 2 条，早就有的 0 条" in once.text
    assert "新收 0 条，早就有的 2 条" in twice.text
    assert [world.has(name) for name in ("first", "second")] == [True, True]
    answer = world.push(body).json()
    assert [result["outcome"] for result in answer["results"]] == ["again", "again"]
    assert (answer["missing"], answer["standing"]) == ([], "active")


def test_a_file_says_nothing_of_the_phone_s_counter_or_clock(world: World) -> None:
    def device(session: Any) -> tuple[int, int, int]:
        found = session.get_one(Device, (1, world.phone.device_id))
        return found.high_water, found.last_contact_at, found.clock_skew_ms

    before = world.database.read(device)

    world.bring_in(world.export(world.body("first")))

    assert world.database.read(device) == before


def test_a_file_of_a_phone_that_was_switched_off_is_kept_for_a_coordinator(world: World) -> None:
    def switch_off(session: Any) -> None:
        session.get_one(Device, (1, world.phone.device_id)).standing = "revoked"

    world.database.write(switch_off)

    answer = world.bring_in(world.export(world.body("first")))

    assert "另有 1 条要核对" in answer.text


def test_what_the_server_would_not_keep_is_counted(world: World) -> None:
    far_too_big: Wire = {"change_id": made_up_id("huge"), "device_sequence": 2, "change": {"x": "x" * HELD_BYTES_MAX}}
    own = world.phone.sealed(world.key, visit_change("first", device_sequence=1))

    answer = world.bring_in(world.export(message([own, far_too_big])))

    assert "新收 1 条，早就有的 0 条" in answer.text
    assert "还有 1 条没收下" in answer.text


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: "{}",
        lambda text: '{"format": "linli-export", "version": 1}',
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"version": 1', '"version": 2'),
        lambda text: text.replace("linli-export", "other"),
        lambda text: text.replace('"messages": [', '"messages": [7, '),
        lambda text: "[" * 100_000,
        lambda text: "x" * (EXPORT_BYTES_MAX + 1),
    ],
)
def test_what_is_no_whole_export_is_refused_in_words(world: World, damage: Any) -> None:
    answer = world.bring_in(damage(world.export(world.body("first"))))

    assert answer.status_code == 422
    assert "没有收下：这不是邻里导出的文件" in answer.text
    assert not world.has("first")


def test_a_file_that_was_altered_is_refused(world: World) -> None:
    body = world.body("first")

    answer = world.bring_in(world.export(body).replace("limit", "Limit"))

    assert answer.status_code == 422
    assert "没有收下：认不出" in answer.text
    assert not world.has("first")


def test_a_phone_that_nobody_enrolled_or_confirmed_is_unknown(world: World) -> None:
    stranger = World(world.client, SigningPhone(ALICE), world.key, world.origin)

    assert stranger.bring_in(stranger.export(stranger.body("first"))).status_code == 422
    world.database.write(lambda session: stranger.phone.enrol(session, standing="waiting"))
    assert stranger.bring_in(stranger.export(stranger.body("first"))).status_code == 422
    assert not world.has("first")


def test_a_phone_of_another_community_is_unknown_here(world: World) -> None:
    def move(session: Any) -> None:
        session.add(Community(id=2, name="别处", epoch="e"))
        session.flush()
        device = session.get_one(Device, (1, world.phone.device_id))
        owner = session.get_one(Volunteer, (1, device.volunteer_id))
        session.delete(device)
        session.add(Volunteer(**owner.model_dump() | {"community_id": 2}))
        session.flush()
        session.add(Device(**device.model_dump() | {"community_id": 2}))

    world.database.write(move)

    assert world.bring_in(world.export(world.body("first"))).status_code == 422
    assert not world.has("first")


def test_what_is_signed_for_a_file_pulls_nothing(world: World) -> None:
    """Whoever finds a file must not get the households of its volunteer with it."""
    assert world.push(world.body("first"), path=IMPORT_PATH).status_code == 401


def test_only_a_coordinator_brings_files_in(world: World) -> None:
    export = world.export(world.body("first"))
    signed_in = dict(world.client.cookies)
    for token in ("", sign_in(world.database, ALICE)):
        world.client.cookies.clear()
        world.client.cookies.set("linli-s", token)
        assert "coordinator" not in world.bring_in(export).url.path
    world.client.cookies.update(signed_in)
    assert not world.has("first")


# By the phone itself


def test_a_phone_brings_what_it_signed_ahead_of_time_and_reads_nothing_by_it(world: World) -> None:
    body = world.body("first", "second")
    headers = world.phone.headers(body, origin=world.origin, path=IMPORT_PATH)

    answers = [world.client.post(IMPORT_PATH, content=body, headers=headers) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    outcomes = [[result["outcome"] for result in answer.json()["results"]] for answer in answers]
    assert outcomes == [["accepted", "accepted"], ["again", "again"]]
    assert {name for answer in answers for name in answer.json()} == {"now", "epoch", "results"}
    assert world.has("first")
    assert world.has("second")


def test_what_is_signed_for_one_path_is_worth_nothing_at_the_other(world: World) -> None:
    body = world.body("first")

    assert world.push(body, path=IMPORT_PATH).status_code == 401
    swapped = world.client.post(IMPORT_PATH, content=body, headers=world.phone.headers(body, origin=world.origin))
    assert swapped.status_code == 401
    assert not world.has("first")
