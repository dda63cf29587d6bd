"""A client whose author has read sync/PROTOCOL.md: it is no browser, and sends the headers named there and no others."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from httpx2 import Response
from sqlmodel import col, update
from starlette.routing import Route
from starlette.testclient import TestClient

from server import migrations
from server.app import create_app
from server.database import Database
from server.enrolment import confirm_device, create_invite, volunteer_by_number
from server.models import Device, Volunteer
from server.sealing import decode_base64url, encode_base64url
from server.settings import Settings
from tests.people import ALICE, COMMUNITY_ID, COORDINATOR, NOW, build_world, made_up_id, sign_in, visit_change
from tests.signing_phone import ServerKey, SigningPhone, message

PROTOCOL = Path("sync/PROTOCOL.md").read_text(encoding="utf-8")
FORM = "application/x-www-form-urlencoded"


@dataclass
class Stranger:
    http: TestClient
    phone: SigningPhone = field(default_factory=lambda: SigningPhone(ALICE))
    named: set[str] = field(default_factory=set)

    @property
    def database(self) -> Database:
        database: Database = self.http.app.state.database  # type: ignore[attr-defined]
        return database

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> Response:
        written = {name.replace("_", "-"): value for name, value in headers.items()}
        self.named |= written.keys()
        return self.http.request(method, path, content=body, headers=written, follow_redirects=False)

    def signed(self, method: str, path: str, body: bytes = b"", **headers: str) -> Response:
        names = ("Linli-Device", "Linli-Signature")
        signature = self.phone.headers(body, origin="", method=method, path=path)
        return self.send(method, path, body, **{name: signature[name] for name in names}, **headers)

    def hello(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.signed("GET", "/sync/hello").json()
        return answer


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[Stranger]:
    settings = Settings(data_dir=tmp_path)
    migrations.upgrade(settings.database_url)
    app = create_app(settings, clock=lambda: NOW)
    with TestClient(app, base_url=settings.public_url) as http:
        build_world(app.state.database)
        yield Stranger(http)


def test_a_client_enrols_and_pushes_a_change_with_the_headers_that_the_protocol_names(stranger: Stranger) -> None:
    database, device_id = stranger.database, stranger.phone.device_id
    invite = database.write(lambda session: create_invite(session, volunteer_by_number(session, ALICE.number), now=NOW))
    form = {
        "code": invite.token,
        "device_name": "a client of mine",
        "public_key": encode_base64url(stranger.phone.public_key),
    }
    push = message([])
    is_json = {"Content_Type": "application/json"}

    claimed, lost = (
        stranger.signed(
            "POST", "/enrol", urlencode(form).encode(), Content_Type=FORM, Origin=str(stranger.http.base_url)
        )
        for _ in range(2)
    )
    waiting = stranger.hello()
    page = stranger.send("GET", claimed.headers["location"])
    too_early = stranger.signed("POST", "/sync", push, **is_json)
    confirmed = database.write(
        lambda session: confirm_device(session, community_id=COMMUNITY_ID, device_id=device_id, now=NOW)
    )
    stranger.http.cookies.clear()
    hello = stranger.hello()
    key = ServerKey(hello["server_key"]["id"], decode_base64url(hello["server_key"]["public"]))
    push = message([stranger.phone.sealed(key, visit_change("theirs", device_sequence=1))])
    pushed = stranger.signed("POST", "/sync", push, **is_json)

    assert [(answer.status_code, answer.headers["location"]) for answer in (claimed, lost)] == [
        (303, "/enrol/waiting"),
        (303, "/enrol/waiting"),
    ]
    assert isinstance(confirmed, Device)
    assert confirmed.check_number in page.text
    assert waiting["standing"] == "waiting"
    assert (too_early.status_code, too_early.json()["code"]) == (401, "not_confirmed")
    assert hello["standing"] == "active"
    assert [result["outcome"] for result in pushed.json()["results"]] == ["accepted"]
    assert {name for name in stranger.named if f"{name}:" not in PROTOCOL} == set()


def test_json_that_does_not_say_so_is_no_message(stranger: Stranger) -> None:
    stranger.database.write(stranger.phone.enrol)

    answer = stranger.signed("POST", "/sync", message([]))

    assert (answer.status_code, answer.json()["code"]) == (400, "bad_message")


def test_the_phone_of_a_volunteer_who_left_is_told_until_she_is_back(stranger: Stranger) -> None:
    """Her phone itself nobody revoked. It lets go of its list by this word alone."""
    stranger.database.write(stranger.phone.enrol)

    def told() -> list[str]:
        answer = stranger.signed("POST", "/sync", message([]), Content_Type="application/json").json()
        return [answer["standing"], stranger.hello()["standing"]]

    def become(*, is_active: bool) -> None:
        values = update(Volunteer).where(col(Volunteer.id) == ALICE.id).values(is_active=is_active)
        stranger.database.write(lambda session: session.exec(values))

    before = told()
    become(is_active=False)
    after = told()
    become(is_active=True)

    assert before == ["active", "active"]
    assert after == ["revoked", "revoked"]
    assert told() == ["active", "active"]


# Where no header of a browser is asked for


def signed_routes(stranger: Stranger) -> list[tuple[str, str]]:
    routes = stranger.http.app.routes  # type: ignore[attr-defined]
    return sorted(
        (method, route.path.format(sha256="0" * 64))
        for route in routes
        if isinstance(route, Route) and f"{route.path}/".startswith("/sync/")
        for method in (route.methods or set()) - {"GET", "HEAD"}
    )


def test_no_cookie_counts_where_a_signature_stands_for_the_browser_s_word(stranger: Stranger) -> None:
    stranger.database.write(stranger.phone.enrol)
    routes = signed_routes(stranger)
    piece = {"Upload_Offset": "0", "Upload_Length": "2"}
    body = json.dumps({"epoch": "", "cursor": "", "digest": "", "protocol": 1}).encode()

    for who in (COORDINATOR, ALICE):
        stranger.http.cookies.set("linli-s", sign_in(stranger.database, who))
        for method, path in routes:
            for device in (stranger.phone.device_id, made_up_id("nobody's")):
                forged = {"Linli_Device": device, "Linli_Signature": "A" * 86, "Content_Type": "application/json"}

                answer = stranger.send(method, path, body, **forged, **piece)

                assert (answer.status_code, answer.json()["code"]) == (401, "unknown_device"), path

    assert routes == [
        ("PATCH", "/sync/blobs/" + "0" * 64),
        ("POST", "/sync"),
        ("POST", "/sync/audit"),
        ("POST", "/sync/import"),
    ]


@pytest.mark.parametrize("said", [{"Sec_Fetch_Site": "cross-site"}, {"Origin": "https://elsewhere.example"}])
def test_what_a_browser_says_of_a_signed_request_counts(stranger: Stranger, said: dict[str, str]) -> None:
    stranger.database.write(stranger.phone.enrol)

    for method, path in signed_routes(stranger):
        answer = stranger.signed(method, path, b"{}", Content_Type="application/json", **said)

        assert answer.status_code == 403, path
        assert answer.headers["content-type"].startswith("text/plain")


def test_no_other_site_is_given_leave_to_send_a_signature(stranger: Stranger) -> None:
    answer = stranger.send(
        "OPTIONS",
        "/sync",
        Origin="https://elsewhere.example",
        Access_Control_Request_Method="POST",
        Access_Control_Request_Headers="linli-signature",
    )

    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_signature_is_no_word_for_a_form(stranger: Stranger) -> None:
    stranger.database.write(stranger.phone.enrol)
    stranger.http.cookies.set("linli-s", sign_in(stranger.database, ALICE))

    for path in ("/sign-out", "/enrol", "/synchronise", "/sync-"):
        assert stranger.signed("POST", path, b"", Content_Type=FORM).status_code == 403, path
