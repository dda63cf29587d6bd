"""A visit form that carries photos reaches a server with no worker in between: the text is kept, whatever comes with it."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from starlette.testclient import TestClient

from server import migrations
from server.app import create_app
from server.sessions import cookie_name
from server.settings import Settings
from tests.people import ALICE, NOW, RED_DOOR, ROUND_ID, build_world, made_up_id, sign_in

PATH = f"/rounds/{ROUND_ID}/doors/{RED_DOOR}/visit"
TEXTS = {
    "outcome": "met",
    "note": "示例：阳台的灯坏了",
    "record_id": made_up_id("visit"),
    "change_id": made_up_id("form"),
}
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}
PHOTO = ("door.jpg", b"\xff\xd8\xff\xe1" + bytes(3_000_000), "image/jpeg")


@pytest.fixture
def alice(tmp_path: Path) -> Iterator[TestClient]:
    settings = Settings(data_dir=tmp_path)
    migrations.upgrade(settings.database_url)
    app = create_app(settings, clock=lambda: NOW)
    with TestClient(app, base_url=settings.public_url, headers=SAME_ORIGIN, follow_redirects=False) as client:
        build_world(app.state.database)
        client.cookies.set(cookie_name(settings), sign_in(app.state.database, ALICE))
        yield client


def test_text_is_saved_and_photos_are_said_to_be_left_out(alice: TestClient) -> None:
    answer = alice.post(PATH, data=TEXTS, files=[("photo", PHOTO), ("photo", PHOTO)])

    assert answer.status_code == 303
    assert answer.headers["location"].endswith(f"?saved={TEXTS['record_id']}&left_out=2")
    assert TEXTS["note"] in alice.get(f"/visits/{TEXTS['record_id']}").text
    assert "照片、录音有 2 个没能存下" in alice.get(answer.headers["location"]).text


@pytest.mark.parametrize("files", [[], [("photo", PHOTO)]])
def test_the_character_0_is_seen_and_kept_nowhere(
    alice: TestClient, files: list[tuple[str, tuple[str, bytes, str]]]
) -> None:
    """PostgreSQL has no text with it."""
    answer = alice.post(PATH, data=TEXTS | {"note": "示例\0备注"}, files=files)

    assert answer.status_code == 303
    assert "示例\ufffd备注" in alice.get(f"/visits/{TEXTS['record_id']}").text


@pytest.mark.parametrize("path", ["/calendar?category=%00", "/visits/%00", "/coordinator/map/%00"])
def test_no_address_holds_it(alice: TestClient, path: str) -> None:
    assert alice.get(path).status_code == 400


def test_an_empty_file_is_none(alice: TestClient) -> None:
    answer = alice.post(PATH, data=TEXTS, files=[("photo", ("", b"", "application/octet-stream"))])

    assert answer.headers["location"].endswith(f"?saved={TEXTS['record_id']}")


def test_a_problem_shows_the_form_again_with_its_text(alice: TestClient) -> None:
    answer = alice.post(PATH, data=TEXTS | {"outcome": ""}, files=[("photo", PHOTO)])

    assert answer.status_code == 422
    assert TEXTS["note"] in answer.text


def raw(client: TestClient, body: bytes, boundary: str = "b") -> httpx2.Response:
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return client.post(PATH, content=body, headers=headers)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b",
        b"nothing of the kind",
        b"--b\r\nContent-Disposition: form-data; name=note\r\n\r\ncut",
        b"--b\r\nContent-Disposition\r\n\r\nx\r\n--b--\r\n",
        b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\n' + b"x" * 70_000 + b"\r\n--b--\r\n",
        b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\nx\r\n' * 201 + b"--b--\r\n",
    ],
)
def test_what_is_no_form_is_refused_and_nothing_breaks(alice: TestClient, body: bytes) -> None:
    assert raw(alice, body).status_code in (400, 413, 422)


def test_a_boundary_that_is_none_is_refused(alice: TestClient) -> None:
    assert raw(alice, b"x", boundary="").status_code in (400, 422)
    assert raw(alice, b"x", boundary="b" * 1000).status_code in (400, 422)
