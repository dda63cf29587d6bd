"""Photos and voice notes: resumed where they stopped, verified, seen by whom their visit is seen, never before the text."""

import asyncio
import hashlib
import json
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid5

import pytest
import uvicorn
from httpx2 import Response
from sqlmodel import Session
from starlette.testclient import TestClient

from server import attachments, held, migrations
from server.admission import BYTES_MAX, PRESSED_FROM, WORKING_MAX, Admission
from server.app import create_app
from server.blobs.folder import FolderStore
from server.blobs.opening import Blobs, blob_folder, open_store
from server.blobs.unfinished import DEVICE_BYTES_MAX, KEPT_MS, Unfinished
from server.callers import Caller, caller_of
from server.commands import serve
from server.commands.serve import configuration, listen
from server.database import Database
from server.models import Device
from server.scope import Principal
from server.sessions import cookie_name
from server.settings import Settings, sqlite_url
from server.store import SqlStore
from sync.changes import Action, Change, Outcome
from sync.errors import TryLater
from sync.protocol import BLOB_BYTES_MAX, BLOB_CHUNK_BYTES_MAX
from tests.browser.server_process import wait_until
from tests.people import (
    ALICE,
    BOB,
    CHARLIE,
    CHARLIES_DOOR,
    CHARLIES_ROUND_ID,
    COMMUNITY_ID,
    COORDINATOR,
    NOW,
    Person,
    build_world,
    log_visits,
    made_up_id,
    sign_in,
    visit_change,
)
from tests.postgres import new_database
from tests.s3_server import S3Server
from tests.server.test_blob_stores import environment
from tests.signing_phone import ServerKey, SigningPhone, message, server_key, wire_change

JPEG = b"\xff\xd8\xff\xe0"
LENGTH = 3000
WHOLE = "?1"


@dataclass(frozen=True)
class Photo:
    content: bytes

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def path(self) -> str:
        return f"/sync/blobs/{self.digest}"

    @property
    def attachment(self) -> dict[str, Any]:
        return {"sha256": self.digest, "length": len(self.content), "kind": "photo"}


def photo(length: int = LENGTH, *, seed: int = 0, head: bytes = JPEG) -> Photo:
    return Photo(head + Random(seed).randbytes(length - len(head)))


PHOTO = photo()


@dataclass
class World:
    client: TestClient
    settings: Settings
    alices: SigningPhone
    bobs: SigningPhone
    charlies: SigningPhone
    revoked: SigningPhone
    waiting: SigningPhone
    key: ServerKey

    @property
    def database(self) -> Database:
        database: Database = self.client.app.state.database  # type: ignore[attr-defined]
        return database

    @property
    def state(self) -> Any:
        return self.client.app.state  # type: ignore[attr-defined]

    def ask(self, phone: SigningPhone, method: str, path: str, **headers: str) -> Response:
        signed = phone.headers(b"", origin=self.settings.public_url, method=method, path=path)
        return self.client.request(method, path, headers={**signed, **headers})

    def head(self, phone: SigningPhone, of: Photo = PHOTO) -> Response:
        return self.ask(phone, "HEAD", of.path)

    def get(self, phone: SigningPhone, of: Photo = PHOTO, **headers: str) -> Response:
        return self.ask(phone, "GET", of.path, **headers)

    def get_as(self, who: Principal | Person | None, of: Photo = PHOTO) -> Response:
        """From a browser, with a session instead of a signature."""
        self.client.cookies.clear()
        if who is not None:
            self.client.cookies.set(cookie_name(self.settings), sign_in(self.database, who))
        answer = self.client.get(of.path)
        self.client.cookies.clear()
        return answer

    def patch(
        self, phone: SigningPhone, body: bytes, offset: int, *, of: Photo = PHOTO, length: int | None = None
    ) -> Response:
        total = len(of.content) if length is None else length
        place = f"{of.path} {offset}/{total}"
        headers = {
            **phone.headers(body, origin=self.settings.public_url, method="PATCH", path=place),
            "Upload-Offset": str(offset),
            "Upload-Length": str(total),
        }
        return self.client.patch(of.path, content=body, headers=headers)

    def upload(self, phone: SigningPhone, of: Photo = PHOTO, *, cuts: Sequence[int] = ()) -> Response:
        """The whole of it, in pieces that end at the cuts."""
        answer: Response | None = None
        bounds = [0, *cuts, len(of.content)]
        for start, end in pairwise(bounds):
            answer = self.patch(phone, of.content[start:end], start, of=of)
            assert answer.status_code == 204, answer.text
        assert answer is not None
        return answer

    def upload_one_piece(self) -> Response:
        return self.patch(self.alices, PHOTO.content[:10], 0)

    def push(self, phone: SigningPhone, change: Change) -> Response:
        body = message([phone.sealed(self.key, wire(change))])
        return self.client.post("/sync", content=body, headers=phone.headers(body, origin=self.settings.public_url))

    def push_one(self) -> Response:
        return self.push(self.alices, visit_change("text"))

    def log(self, who: Person, name: str, *photos: Photo, **fields: Any) -> Change:
        """A visit that names the photos, as this volunteer's phone would have pushed it."""
        change = visit_change(name, attachments=[each.attachment for each in photos], **fields)
        (result,) = log_visits(self.database, who, change)
        assert result.outcome is Outcome.ACCEPTED, result
        return change

    def unfinished(self) -> list[str]:
        return sorted(file.name for file in (self.settings.data_dir / "blobs" / "unfinished").glob("*"))

    def kept(self) -> list[str]:
        return sorted(file.name for file in blob_folder(self.settings).rglob("*") if file.is_file())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


@pytest.fixture
def world(settings: Settings) -> Iterator[World]:
    settings.data_dir.mkdir(parents=True)
    migrations.upgrade(settings.database_url)
    phones = [SigningPhone(owner) for owner in (ALICE, BOB, CHARLIE, ALICE, ALICE)]
    with TestClient(create_app(settings, clock=lambda: NOW), base_url=settings.public_url) as client:
        database = client.app.state.database  # type: ignore[attr-defined]
        build_world(database)

        def enrol(session: Session) -> None:
            for phone, standing in zip(phones, ("active", "active", "active", "revoked", "waiting"), strict=True):
                phone.enrol(session, standing=standing)

        database.write(enrol)
        alices, bobs, charlies, revoked, waiting = phones
        yield World(client, settings, alices, bobs, charlies, revoked, waiting, database.read(server_key))


def standing(answer: Response) -> tuple[str | None, str | None, str | None]:
    return tuple(answer.headers.get(name) for name in ("upload-offset", "upload-length", "upload-complete"))  # type: ignore[return-value]


# From the first byte to the last


CUTS: list[tuple[int, ...]] = [
    (),
    (0,),
    (1,),
    (LENGTH // 2,),
    (LENGTH - 1,),
    (LENGTH,),
    (0, 0, 1, 1, LENGTH - 1, LENGTH, LENGTH),
    tuple(range(0, LENGTH, 500)),
]


def test_an_upload_goes_on_from_wherever_it_stopped(world: World) -> None:
    for seed, cuts in enumerate(CUTS):
        made = photo(seed=seed)
        world.log(ALICE, f"visit {seed}", made)
        for start, end in pairwise([0, *cuts, LENGTH]):
            assert world.head(world.alices, made).headers["upload-offset"] == str(start)
            world.patch(world.alices, made.content[start:end], start, of=made)

        assert standing(world.head(world.alices, made)) == (str(LENGTH), str(LENGTH), WHOLE), cuts
        assert world.get(world.bobs, made).content == made.content

    assert (len(world.kept()), world.unfinished()) == (len(CUTS), [])


def test_an_upload_goes_on_in_another_life_of_the_server(world: World) -> None:
    world.patch(world.alices, PHOTO.content[:1000], 0)

    with TestClient(create_app(world.settings, clock=lambda: NOW), base_url=world.settings.public_url) as client:
        reborn = World(client, world.settings, world.alices, world.bobs, world.charlies, world.revoked, world.waiting, world.key)  # fmt: skip
        found = reborn.head(world.alices)
        done = reborn.patch(world.alices, PHOTO.content[1000:], 1000)

    assert standing(found) == ("1000", str(LENGTH), "?0")
    assert standing(done) == (str(LENGTH), str(LENGTH), WHOLE)


def test_what_nobody_began_stands_at_nothing(world: World) -> None:
    answer = world.head(world.alices)

    assert (answer.status_code, standing(answer)) == (200, ("0", None, "?0"))
    assert answer.headers["linli-epoch"] == "epoch-1"


def test_a_whole_upload_said_again_is_still_whole(world: World) -> None:
    world.upload(world.alices)

    again = [world.patch(world.alices, PHOTO.content[start:], start) for start in (0, 1000, LENGTH)]

    assert {(answer.status_code, standing(answer)) for answer in again} == {(204, (str(LENGTH), str(LENGTH), WHOLE))}
    assert (world.kept(), world.unfinished()) == ([PHOTO.digest], [])


def test_the_largest_that_is_taken_arrives(world: World) -> None:
    large = photo(BLOB_BYTES_MAX)
    world.log(ALICE, "hers", large)

    world.upload(world.alices, large, cuts=range(BLOB_CHUNK_BYTES_MAX, BLOB_BYTES_MAX, BLOB_CHUNK_BYTES_MAX))

    assert world.get(world.bobs, large).content == large.content


# What does not fit


def test_another_offset_is_answered_with_the_true_one(world: World) -> None:
    world.patch(world.alices, PHOTO.content[:1000], 0)

    for offset in (0, 500, 999, 1001, LENGTH):
        answer = world.patch(world.alices, PHOTO.content[offset : offset + 10], offset)

        assert (answer.status_code, answer.json()["code"]) == (409, "wrong_offset")
        assert (answer.headers["upload-offset"], answer.headers["upload-length"]) == ("1000", str(LENGTH))
    assert world.patch(world.alices, PHOTO.content[1000:], 1000).headers["upload-complete"] == WHOLE


def test_the_middle_of_what_was_never_begun_is_refused(world: World) -> None:
    answer = world.patch(world.alices, PHOTO.content[1000:], 1000)

    assert (answer.status_code, answer.headers["upload-offset"]) == (409, "0")
    assert world.unfinished() == []


@pytest.mark.parametrize(
    ("language", "words"), [("zh-CN", "照片或录音没传完整"), ("en", "The photo or recording arrived incomplete")]
)
def test_damaged_bytes_are_thrown_away_and_the_phone_starts_over(world: World, language: str, words: str) -> None:
    def speak(session: Session) -> None:
        session.get_one(Device, (COMMUNITY_ID, world.alices.device_id)).language = language

    world.database.write(speak)
    damaged = PHOTO.content[:-1] + bytes([PHOTO.content[-1] ^ 1])
    world.patch(world.alices, damaged[:1000], 0)

    answer = world.patch(world.alices, damaged[1000:], 1000)

    assert (answer.status_code, answer.json()["code"], answer.json()["retry"]) == (422, "wrong_hash", True)
    assert answer.json()["message"].startswith(words)
    assert standing(world.head(world.alices)) == ("0", None, "?0")
    assert (world.kept(), world.unfinished()) == ([], [])
    assert standing(world.upload(world.alices))[2] == WHOLE


def test_more_than_was_declared_is_refused_and_what_is_here_stays(world: World) -> None:
    world.patch(world.alices, PHOTO.content[:1000], 0)

    answer = world.patch(world.alices, PHOTO.content[1000:] + b"more", 1000)

    assert (answer.status_code, answer.json()["code"]) == (400, "bad_message")
    assert world.head(world.alices).headers["upload-offset"] == "1000"


def test_another_length_is_another_upload(world: World) -> None:
    world.patch(world.alices, PHOTO.content[:1000], 0, length=LENGTH + 5)

    in_the_middle = world.patch(world.alices, PHOTO.content[1000:], 1000)
    afresh = world.upload(world.alices, cuts=(1000,))

    assert (in_the_middle.status_code, in_the_middle.headers["upload-offset"]) == (409, "0")
    assert standing(afresh)[2] == WHOLE
    assert world.unfinished() == []


def test_a_length_beyond_the_limits_is_refused_before_a_byte_is_kept(world: World) -> None:
    nothing = world.patch(world.alices, b"", 0, length=0)
    too_long = [world.patch(world.alices, JPEG, 0, length=length) for length in (BLOB_BYTES_MAX + 1, 10**15 - 1)]

    assert (nothing.status_code, nothing.json()["code"]) == (400, "bad_message")
    assert {(answer.status_code, answer.json()["code"]) for answer in too_long} == {(413, "blob_too_large")}
    assert all(answer.json()["message"].startswith("这张照片或这段录音太大") for answer in too_long)
    assert world.unfinished() == []


def test_a_piece_beyond_the_limit_is_refused(world: World) -> None:
    large = photo(BLOB_CHUNK_BYTES_MAX + 1)

    answer = world.patch(world.alices, large.content, 0, of=large)

    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert str(BLOB_CHUNK_BYTES_MAX) in answer.json()["message"]


def test_only_photos_and_sound_are_taken_whatever_the_phone_calls_them(world: World) -> None:
    for content in (b"<svg onload='alert(1)'/>", b"<!doctype html><script>", b"GIF89a", b"%PDF-1.7"):
        answer = world.patch(world.alices, content, 0, of=Photo(content))

        assert (answer.status_code, answer.json()["code"], answer.json()["retry"]) == (415, "unsupported_type", False)

    assert (world.kept(), world.unfinished()) == ([], [])


# Who is asking


def test_without_a_good_signature_nothing_is_done(world: World) -> None:
    world.log(ALICE, "hers", PHOTO)
    world.upload(world.alices)
    stranger = SigningPhone(ALICE)
    place = f"{PHOTO.path} 0/{LENGTH}"
    signed = world.alices.headers(PHOTO.content, origin=world.settings.public_url, method="PATCH", path=place)
    origin = {"Origin": world.settings.public_url}

    answers = [
        world.client.get(PHOTO.path),
        world.client.head(PHOTO.path),
        world.client.patch(PHOTO.path, headers={**origin, "Upload-Offset": "0", "Upload-Length": "9"}, content=b"x"),
        world.get(stranger),
        world.head(stranger),
        world.patch(stranger, PHOTO.content, 0),
        world.head(world.waiting),
        world.get(world.waiting),
        world.patch(world.waiting, PHOTO.content, 0),
        # What was signed for one place is good at no other.
        world.client.patch(PHOTO.path, headers={**signed, "Upload-Offset": "1", "Upload-Length": str(LENGTH)}, content=PHOTO.content),
        world.client.patch(PHOTO.path, headers={**signed, "Upload-Offset": "0", "Upload-Length": "9000"}, content=PHOTO.content),
        world.client.patch(PHOTO.path, headers={**signed, "Upload-Offset": "0", "Upload-Length": str(LENGTH)}, content=b"x"),
    ]  # fmt: skip

    assert [answer.status_code for answer in answers] == [401] * len(answers)


def test_a_photo_is_seen_by_whom_its_visit_is_seen(world: World) -> None:
    world.log(ALICE, "hers", PHOTO)
    world.upload(world.alices)

    assert [world.get(phone).status_code for phone in (world.alices, world.bobs)] == [200, 200]
    assert [world.get_as(who).status_code for who in (ALICE, BOB, COORDINATOR)] == [200, 200, 200]
    assert world.get(world.charlies).status_code == world.get_as(CHARLIE).status_code == 404
    assert world.get_as(None).status_code == 401
    neighbour = Principal(COORDINATOR.role, COORDINATOR.person_id, COMMUNITY_ID + 1, "Dana of next door")
    assert not world.database.read(lambda session: attachments.blob_seen_by(session, neighbour, PHOTO.digest))


def test_what_is_not_yours_answers_like_what_there_is_not(world: World) -> None:
    world.log(ALICE, "hers", PHOTO)
    world.upload(world.alices)
    unknown = photo(seed=9)

    theirs, nothing = world.get(world.charlies), world.get(world.charlies, unknown)
    assert (theirs.status_code, theirs.content) == (nothing.status_code, nothing.content)
    theirs, nothing = world.head(world.charlies), world.head(world.charlies, unknown)
    assert (
        (theirs.status_code, standing(theirs)) == (nothing.status_code, standing(nothing)) == (200, ("0", None, "?0"))
    )


def test_an_upload_under_way_is_its_own_devices_business(world: World) -> None:
    world.patch(world.alices, PHOTO.content[:1000], 0)

    assert standing(world.head(world.bobs)) == ("0", None, "?0")
    assert world.patch(world.bobs, PHOTO.content[1000:], 1000).headers["upload-offset"] == "0"
    assert world.head(world.alices).headers["upload-offset"] == "1000"


def test_naming_a_hash_opens_nothing(world: World) -> None:
    """Charlie heard of it, and writes it into a visit of his own; he would have to have the bytes already."""
    world.log(ALICE, "hers", PHOTO)
    world.upload(world.alices)

    world.log(CHARLIE, "his", PHOTO, door=CHARLIES_DOOR, round_id=CHARLIES_ROUND_ID)
    before = world.get(world.charlies)
    world.upload(world.charlies)

    assert before.status_code == 404
    assert world.get(world.charlies).content == PHOTO.content
    assert world.kept() == [PHOTO.digest]


def test_naming_a_hash_in_what_somebody_else_opened_opens_nothing(world: World) -> None:
    """A need is that of whoever made its visit, and others write it."""
    hers = visit_change("hers", attachments=[PHOTO.attachment], needs=["meal_delivery"], urgency="h24")
    log_visits(world.database, ALICE, hers)
    world.upload(world.alices)
    log_visits(world.database, ALICE, visit_change("hers", base=hers.change_id, attachments=[]))
    need = str(uuid5(UUID(hers.record_id), "meal_delivery"))
    named = Change(made_up_id("named"), 0, "need", need, Action.PUT, 0, {"attachments": [PHOTO.attachment]}, NOW, 1)

    (result,) = log_visits(world.database, BOB, named)

    assert result.outcome is not Outcome.HELD
    assert world.get(world.bobs).status_code == 404


def test_what_a_visit_no_longer_names_is_no_longer_seen(world: World) -> None:
    world.log(ALICE, "hers", PHOTO)
    world.upload(world.alices)

    amended = visit_change("hers", base=visit_change("hers", attachments=[PHOTO.attachment]).change_id, attachments=[])
    log_visits(world.database, ALICE, amended)

    assert world.get(world.bobs).status_code == 404


def test_photos_that_two_phones_of_hers_add_to_one_visit_are_all_seen(world: World) -> None:
    """Neither had a network, and neither has seen what the other one added."""
    (made,) = log_visits(world.database, ALICE, visit_change("hers"))
    second_phone, others = SigningPhone(ALICE), photo(seed=1)
    world.database.write(second_phone.enrol)
    results = []

    for phone, added in ((world.alices, PHOTO), (second_phone, others)):
        change = visit_change("hers", base=made.revision, attachments=[added.attachment])
        results += world.push(phone, change).json()["results"]
        world.upload(phone, added)

    assert [result["outcome"] for result in results] == ["accepted", "merged"]
    assert [world.get_as(COORDINATOR, each).content for each in (PHOTO, others)] == [PHOTO.content, others.content]


def test_what_a_revoked_phone_brings_is_seen_once_a_coordinator_took_its_visit_in(world: World) -> None:
    pushed = world.push(world.revoked, visit_change("hers", attachments=[PHOTO.attachment])).json()["results"][0]
    uploaded = world.upload(world.revoked)

    before = [world.get_as(COORDINATOR), world.get(world.bobs), world.get(world.revoked)]

    def take_in(session: Session) -> None:
        found = held.find_held(session, COORDINATOR, pushed["change_id"])
        assert found is not None
        held.take_in(session, COORDINATOR, found, decision_id=made_up_id("decision"), now=NOW)

    world.database.write(take_in)

    assert (pushed["outcome"], pushed["code"], standing(uploaded)[2]) == ("held", "device_revoked", WHOLE)
    assert [answer.status_code for answer in before] == [404, 404, 404]
    assert world.get_as(COORDINATOR).content == PHOTO.content
    assert world.get(world.revoked).status_code == 404


def wire(change: Change) -> dict[str, Any]:
    return wire_change(change, device_sequence=1)


# As it is served


def test_bytes_are_served_so_that_nothing_in_them_runs(world: World) -> None:
    for head, media_type, ending in (
        (JPEG, "image/jpeg", "jpg"),
        (b"\x89PNG\r\n\x1a\n", "image/png", "png"),
        (b"OggS\x00\x02", "audio/ogg", "ogg"),
    ):
        made = photo(100, head=head)
        world.log(ALICE, f"visit with {ending}", made)
        world.upload(world.alices, made)

        answer = world.get(world.bobs, made)

        assert answer.headers["content-type"] == media_type
        assert answer.headers["content-length"] == "100"
        assert answer.headers["content-disposition"] == f'attachment; filename="{made.digest[:12]}.{ending}"'
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
        assert answer.headers["cache-control"] == "no-store"


# Text first


RANGES = [
    ("bytes=0-1", 0, 2),  # as Apple's players begin
    ("bytes=0-", 0, LENGTH),
    ("bytes=5-5", 5, 6),
    (f"bytes=7-{LENGTH * 9}", 7, LENGTH),
    ("bytes=-3", LENGTH - 3, LENGTH),
    (f"bytes=-{LENGTH * 9}", 0, LENGTH),
]
NO_RANGES = [
    "bytes=-",
    "bytes=2-1",
    "bytes=-0",
    f"bytes={LENGTH}-",
    "bytes=0-1,4-5",
    "pages=0-1",
    f"bytes={'9' * 5000}-",
]


@pytest.mark.parametrize(("asked", "start", "end"), RANGES)
def test_a_player_is_given_the_part_that_it_asks_for(world: World, asked: str, start: int, end: int) -> None:
    world.log(ALICE, "hers", PHOTO)
    world.upload(world.alices)

    answer = world.get(world.bobs, range=asked)

    assert (answer.status_code, answer.content) == (206, PHOTO.content[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{LENGTH}"
    assert answer.headers["content-length"] == str(end - start)
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"


@pytest.mark.parametrize("asked", NO_RANGES)
def test_what_asks_for_no_single_part_is_given_all(world: World, asked: str) -> None:
    world.log(ALICE, "hers", PHOTO)
    world.upload(world.alices)

    answer = world.get(world.bobs, range=asked)

    assert (answer.status_code, answer.content) == (200, PHOTO.content)
    assert "content-range" not in answer.headers


def test_a_visit_is_taken_before_its_photo_has_come(world: World) -> None:
    world.log(ALICE, "hers", PHOTO)

    assert world.get(world.bobs).status_code == 404
    world.upload(world.alices)
    assert world.get(world.bobs).status_code == 200


def test_a_photo_may_also_come_before_its_visit(world: World) -> None:
    world.upload(world.alices)

    assert world.get(world.alices).status_code == 404
    world.log(ALICE, "hers", PHOTO)
    assert world.get(world.alices).status_code == 200


NOT_ATTACHMENTS: list[Any] = [
    "all of them",
    [PHOTO.attachment] * 11,
    [{}],
    ["x"],
    [{**PHOTO.attachment, "sha256": PHOTO.digest.upper()}],
    [{**PHOTO.attachment, "sha256": "../../etc/passwd"}],
    [{**PHOTO.attachment, "length": 0}],
    [{**PHOTO.attachment, "length": BLOB_BYTES_MAX + 1}],
    [{**PHOTO.attachment, "length": True}],
    [{**PHOTO.attachment, "length": "9"}],
    [{**PHOTO.attachment, "kind": "track"}],
]


def test_what_names_no_attachment_is_held_with_its_text(world: World) -> None:
    for number, named in enumerate(NOT_ATTACHMENTS):
        change = visit_change(f"visit {number}", note="all of it", attachments=named)
        (result,) = log_visits(world.database, ALICE, change)

        assert (result.outcome, result.code, result.detail) == (Outcome.HELD, "bad_field", "attachments")

    found = world.database.read(lambda session: held.held_changes(session, COORDINATOR, page=1))
    assert [json.loads(each.change.fields)["note"] for each in found] == ["all of it"] * len(NOT_ATTACHMENTS)


def test_a_crowd_of_photos_takes_no_place_from_text(world: World) -> None:
    """Every place in the photos' line is taken; a visit goes through all the same."""
    full = Admission(in_house_max=1)
    world.state.blob_admission = full

    with full.enter():
        photo_answer = world.upload_one_piece()
        text_answer = world.push_one()

    assert (photo_answer.status_code, photo_answer.json()["code"]) == (503, "busy")
    assert int(photo_answer.headers["retry-after"]) >= 5
    assert (text_answer.status_code, text_answer.json()["results"][0]["outcome"]) == (200, "accepted")


def test_photos_that_come_slowly_keep_nobody_from_looking_at_one(world: World) -> None:
    world.log(ALICE, "visit", PHOTO)
    world.upload(world.alices)
    full = Admission(in_house_max=1)
    world.state.blob_admission = full

    with full.enter():
        answer = world.get(world.alices)

    assert (answer.status_code, answer.content) == (200, PHOTO.content)


def test_bodies_of_photos_share_the_memory_of_their_line(world: World) -> None:
    with world.state.blob_admission.enter() as bring:
        bring(BYTES_MAX - 1000)
        answer = world.patch(world.alices, PHOTO.content[:2000], 0)

    assert (answer.status_code, answer.json()["code"]) == (503, "busy")


def test_a_reader_who_has_gone_leaves_no_file_open(world: World) -> None:
    """As a page is left with ten photos that wait for their turn. uvicorn speaks ASGI 2.3."""
    world.log(ALICE, "visit", PHOTO)
    world.upload(world.alices)
    signed = world.alices.headers(b"", origin=world.settings.public_url, method="GET", path=PHOTO.path)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": PHOTO.path,
        "raw_path": PHOTO.path.encode(),
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in signed.items()],
    }
    sent: list[str] = []

    async def leave() -> None:
        begun = False

        async def receive() -> dict[str, Any]:
            nonlocal begun
            begun, was_begun = True, begun
            return {"type": "http.disconnect"} if was_begun else {"type": "http.request", "body": b""}

        async def send(message: Any) -> None:
            sent.append(message["type"])

        await world.client.app(scope, receive, send)

    portal = world.client.portal
    assert portal is not None
    portal.call(leave)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        portal.call(leave)

    assert sent
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@contextmanager
def unread(world: World, of: Photo) -> Iterator[socket.socket]:
    """Somebody who asked a server of our own for the photo, and has read no more than that it comes."""
    app = world.client.app
    listener = listen("127.0.0.1", 0)
    config = configuration(app, world.settings)
    config.lifespan = "off"  # the client's
    server = uvicorn.Server(config)
    serving = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    serving.start()
    signed = world.alices.headers(b"", origin=world.settings.public_url, method="GET", path=of.path)
    lines = [f"GET {of.path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in signed.items())]
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.settimeout(30)
    try:
        reader.connect(listener.getsockname())
        reader.sendall("\r\n".join([*lines, "", ""]).encode())
        assert reader.recv(12) == b"HTTP/1.1 200"
        yield reader
    finally:
        reader.close()
        server.should_exit = True
        serving.join()


def wait_until_seen(world: World, of: Photo) -> None:
    wait_until(lambda: world.get(world.alices, of).status_code == 200, seconds=20, failure=lambda: "no place came back")


def read_to_the_end(reader: socket.socket) -> int:
    size = 0
    with suppress(ConnectionResetError):
        while piece := reader.recv(65536):
            size += len(piece)
    return size


def test_a_photo_that_nobody_reads_keeps_its_place_until_its_reader_has_gone(world: World) -> None:
    large = photo(BLOB_BYTES_MAX)
    world.log(ALICE, "hers", large)
    world.upload(world.alices, large, cuts=range(BLOB_CHUNK_BYTES_MAX, BLOB_BYTES_MAX, BLOB_CHUNK_BYTES_MAX))
    world.state.photo_admission = Admission(in_house_max=1)

    with unread(world, large) as reader:
        meanwhile = world.get(world.alices, large)
        reader.close()
        wait_until_seen(world, large)

    assert (meanwhile.status_code, meanwhile.json()["code"]) == (503, "busy")


def test_a_reader_who_takes_nothing_for_a_while_is_cut_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    large = photo(BLOB_BYTES_MAX)
    world.log(ALICE, "hers", large)
    world.upload(world.alices, large, cuts=range(BLOB_CHUNK_BYTES_MAX, BLOB_BYTES_MAX, BLOB_CHUNK_BYTES_MAX))
    world.state.photo_admission = Admission(in_house_max=1)
    monkeypatch.setattr(serve, "UNREAD_SECONDS", 0.2)

    with unread(world, large) as reader:
        wait_until_seen(world, large)
        size = read_to_the_end(reader)

    assert size < BLOB_BYTES_MAX


def test_photos_wait_while_text_is_pressed(world: World) -> None:
    admission: Admission = world.state.admission
    portal = world.client.portal
    assert portal is not None

    async def crowd() -> tuple[asyncio.Event, list[asyncio.Task[None]]]:
        gone = asyncio.Event()

        async def one() -> None:
            with admission.enter():
                async with admission.turn(is_upload=True):
                    await gone.wait()

        tasks = [asyncio.create_task(one()) for _ in range(WORKING_MAX + PRESSED_FROM)]
        while not admission.is_pressed:
            await asyncio.sleep(0)
        return gone, tasks

    async def leave(gone: asyncio.Event, tasks: list[asyncio.Task[None]]) -> None:
        gone.set()
        await asyncio.gather(*tasks)

    gone, tasks = portal.call(crowd)
    pressed = world.upload_one_piece()
    portal.call(leave, gone, tasks)

    assert (pressed.status_code, pressed.json()["code"]) == (503, "busy")
    assert world.upload_one_piece().status_code == 204


# Many at once


def test_two_devices_may_race_for_the_same_bytes(world: World) -> None:
    world.log(ALICE, "hers", PHOTO)
    cuts = range(100, LENGTH, 100)

    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda phone: world.upload(phone, cuts=cuts), (world.alices, world.bobs)))

    assert [standing(answer)[2] for answer in answers] == [WHOLE, WHOLE]
    assert (world.kept(), world.unfinished()) == ([PHOTO.digest], [])
    assert world.get(world.bobs).content == PHOTO.content


def test_one_device_on_many_connections_spoils_nothing(world: World) -> None:
    """Each asks where it stands and sends the next piece from there, whatever the others do."""
    world.log(ALICE, "hers", PHOTO)

    def push_to_the_end(_: int) -> set[int]:
        seen: set[int] = set()
        while True:
            now_at = world.head(world.alices)
            if now_at.headers["upload-complete"] == WHOLE:
                return seen
            offset = int(now_at.headers["upload-offset"])
            answer = world.patch(world.alices, PHOTO.content[offset : offset + 150], offset)
            seen.add(answer.status_code)

    with ThreadPoolExecutor(4) as threads:
        seen = set().union(*threads.map(push_to_the_end, range(4)))

    assert 204 in seen
    assert seen <= {204, 409, 503}
    assert world.get(world.bobs).content == PHOTO.content


def test_an_upload_is_written_to_by_one_request_at_a_time(tmp_path: Path) -> None:
    unfinished = Unfinished(tmp_path / "unfinished")
    mine = (ALICE.device_id, PHOTO.digest)

    with unfinished.part(*mine, offset=0, length=LENGTH, now=NOW) as part:
        part.append(JPEG)
        with (
            pytest.raises(TryLater, match="this upload is being written to"),
            unfinished.part(*mine, offset=len(JPEG), length=LENGTH, now=NOW),
        ):
            pass

    with unfinished.part(*mine, offset=len(JPEG), length=LENGTH, now=NOW) as part:
        assert part.offset == len(JPEG)


# Room


def test_a_disk_that_is_nearly_full_says_later(world: World) -> None:
    folder = world.settings.data_dir / "blobs" / "unfinished"
    world.state.blobs = Blobs(open_store(world.settings), Unfinished(folder, reserve_bytes=2**62))

    answer = world.upload_one_piece()

    assert (answer.status_code, answer.json()["code"], answer.json()["retry"]) == (503, "storage", True)
    assert int(answer.headers["retry-after"]) > 0
    assert world.unfinished() == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_disk_that_fills_up_in_the_middle_says_later(world: World) -> None:
    world.upload_one_piece()  # makes the folder
    other = photo(seed=1)
    place = world.settings.data_dir / "blobs" / "unfinished" / f"{world.alices.device_id}.{other.digest}.{LENGTH}"
    place.symlink_to("/dev/full")

    answer = world.patch(world.alices, other.content, 0, of=other)
    place.unlink()

    assert (answer.status_code, answer.json()["code"]) == (503, "storage")
    assert standing(world.upload(world.alices, other))[2] == WHOLE


def test_who_begins_too_much_finishes_something_first(world: World) -> None:
    many = [photo(seed=seed) for seed in range(DEVICE_BYTES_MAX // BLOB_BYTES_MAX + 1)]

    answers = [world.patch(world.alices, JPEG, 0, of=each, length=BLOB_BYTES_MAX) for each in many]

    assert [answer.status_code for answer in answers] == [204] * (len(many) - 1) + [429]
    assert (answers[-1].json()["code"], answers[-1].headers["retry-after"]) == ("too_many_unfinished", "3600")
    assert world.patch(world.bobs, JPEG, 0).status_code == 204


def test_a_phone_in_the_wrong_hands_cannot_fill_the_disk(world: World) -> None:
    """Photos that no accepted visit names are counted; those that one names are not."""
    limit = 100 * 1024 * 1024

    def bring(session: Session) -> None:
        device = caller_of(session, world.revoked.device_id)
        attachments.note_upload(session, device, "ab" * 32, attachments.Blob(limit - 10, "image/jpeg"), now=NOW)

    world.database.write(bring)
    refused = world.patch(world.revoked, PHOTO.content, 0)
    named = {"sha256": "ab" * 32, "length": 10, "kind": "photo"}
    log_visits(world.database, ALICE, visit_change("hers", attachments=[named]))

    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_unfinished")
    assert world.patch(world.revoked, PHOTO.content, 0).status_code == 204


def test_what_was_left_lying_goes_with_the_next_upload(world: World) -> None:
    old, recent, new = (photo(seed=seed) for seed in range(3))
    folder = world.settings.data_dir / "blobs" / "unfinished"
    for each, age in ((old, KEPT_MS + 1000), (recent, KEPT_MS - 60_000)):
        world.patch(world.bobs, JPEG, 0, of=each)
        then = (NOW - age) / 1000
        os.utime(folder / f"{world.bobs.device_id}.{each.digest}.{LENGTH}", (then, then))

    world.patch(world.alices, JPEG, 0, of=new)

    assert sorted(name.split(".")[1] for name in world.unfinished()) == sorted([recent.digest, new.digest])


# Bytes that went missing, and stores that are away


def test_a_database_put_back_without_its_photos_asks_for_them_again(world: World) -> None:
    world.log(ALICE, "hers", PHOTO)
    world.upload(world.alices)
    (blob_folder(world.settings) / PHOTO.digest[:2] / PHOTO.digest).unlink()

    gone, asked = world.get(world.bobs), world.head(world.alices)
    world.upload(world.alices)

    assert (gone.status_code, standing(asked)) == (404, ("0", None, "?0"))
    assert world.get(world.bobs).content == PHOTO.content


def test_a_bucket_that_is_away_loses_nothing(world: World, tmp_path: Path) -> None:
    with S3Server(tmp_path / "bucket") as server:
        store = open_store(Settings.from_environment(environment(server)))
        world.state.blobs = Blobs(store, world.state.blobs.unfinished)
        world.log(ALICE, "hers", PHOTO)
        world.patch(world.alices, PHOTO.content[:1000], 0)
        server.is_unwell = True

        later = world.patch(world.alices, PHOTO.content[1000:], 1000)
        full = world.head(world.alices)
        server.is_unwell = False
        done = world.patch(world.alices, b"", LENGTH)
        seen = world.get(world.bobs)

        assert (later.status_code, later.json()["code"]) == (503, "storage")
        assert standing(full) == (str(LENGTH), str(LENGTH), "?0")
        assert standing(done)[2] == WHOLE
        assert seen.content == PHOTO.content
        assert (server.objects(), world.kept(), world.unfinished()) == ([PHOTO.digest], [], [])


def test_a_folder_that_cannot_be_used_says_later(world: World, tmp_path: Path) -> None:
    (tmp_path / "in the way").write_text("a file")
    world.state.blobs = Blobs(FolderStore(tmp_path / "in the way"), world.state.blobs.unfinished)

    answer = world.patch(world.alices, PHOTO.content, 0)

    assert (answer.status_code, answer.json()["code"]) == (503, "storage")
    assert len(world.unfinished()) == 1


# Whatever comes in

HOSTILE: list[bytes] = [
    b"", b" ", b"0 ", b"-1", b"+1", b"1.5", b"1e3", b"0x10", b"1_0", b"\xb2", b"\xd9\xa3", b"9" * 15, b"9" * 400,
    b"NaN", b"null", b"1,2", b"1;2", b"%31", b"\xff\xfe", b"..", b"../../etc/passwd", b"?1", b"a" * 4000, b"'", b'"',
]  # fmt: skip


@pytest.mark.parametrize("method", ["HEAD", "GET", "PATCH"])
def test_no_header_breaks_anything(world: World, method: str) -> None:
    names = ("Upload-Offset", "Upload-Length", "Linli-Device", "Linli-Signature", "Content-Type", "Content-Length")
    signed = world.alices.headers(b"", origin=world.settings.public_url, method=method, path=PHOTO.path)
    for name in names:
        for value in HOSTILE:
            if name == "Content-Length" and not value.isdigit():
                continue  # the HTTP server refuses these before we see them
            sound = {**signed, "Upload-Offset": "0", "Upload-Length": "10"}
            headers = [(key.encode(), text.encode()) for key, text in sound.items() if key != name]
            answer = world.client.request(method, PHOTO.path, headers=[*headers, (name.encode(), value)])

            assert 200 <= answer.status_code < 500, (name, value, answer.status_code)

    assert world.unfinished() == []


def test_a_number_that_is_none_is_refused_though_it_is_signed(world: World) -> None:
    for number in HOSTILE:
        text = number.decode("latin-1")
        for offset, length in ((text, str(LENGTH)), ("0", text)):
            path = f"{PHOTO.path} {offset}/{length}"
            signed = world.alices.headers(JPEG, origin=world.settings.public_url, method="PATCH", path=path)
            headers = [(key.encode(), value.encode()) for key, value in signed.items()]
            headers += [(b"Upload-Offset", offset.encode("latin-1")), (b"Upload-Length", length.encode("latin-1"))]
            answer = world.client.patch(PHOTO.path, content=JPEG, headers=headers)

            assert answer.status_code in (400, 409, 413), (offset, length, answer.text)

    assert world.unfinished() == []


def test_what_is_no_digest_is_not_there(world: World) -> None:
    headers = {"Origin": world.settings.public_url, "Linli-Device": "x"}
    for name in ("0" * 63, "0" * 65, "G" * 64, PHOTO.digest.upper(), "%2e%2e%2fetc", "零" * 64):
        for method in ("HEAD", "GET", "PATCH"):
            answer = world.client.request(method, f"/sync/blobs/{name}", headers=headers)

            assert answer.status_code == 404, (method, name)


# On both databases


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_who_sees_what_is_the_same_on_both_databases(tmp_path: Path, engine: str) -> None:
    url = sqlite_url(tmp_path / "linli.db") if engine == "sqlite" else new_database()
    migrations.upgrade(url)
    database = Database(url)
    phone = SigningPhone(ALICE)
    build_world(database)
    database.write(phone.enrol)
    log_visits(database, ALICE, visit_change("hers", attachments=[PHOTO.attachment]))
    blob = attachments.Blob(LENGTH, "image/jpeg")

    def device_of(session: Session) -> Caller:
        return caller_of(session, phone.device_id)

    for _ in range(2):
        database.write(
            lambda session: attachments.note_upload(session, device_of(session), PHOTO.digest, blob, now=NOW)
        )

    def seen(session: Session) -> list[Any]:
        readers = (ALICE.principal(), BOB.principal(), COORDINATOR, CHARLIE.principal())
        return [attachments.blob_seen_by(session, reader, PHOTO.digest) for reader in readers]

    found = database.read(seen)
    crowded = database.read(lambda session: attachments.has_too_many_unnamed(session, device_of(session), 2**40))
    record = database.read(lambda session: SqlStore(session).records(COMMUNITY_ID, [made_up_id("hers")]))
    database.close()

    assert found == [blob, blob, blob, None]
    assert crowded
    assert record[made_up_id("hers")].fields["attachments"] == [PHOTO.attachment]
