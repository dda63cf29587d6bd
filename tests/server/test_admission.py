"""Admission to /sync: who works, who waits, who is asked to come back, and how the server stops."""

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session
from starlette.testclient import TestClient

from server import admission as admission_module
from server import migrations
from server.admission import RETRY_AFTER_SECONDS, Admission
from server.app import create_app
from server.database import Database
from server.sealing import ensure_sealing_key
from server.settings import Settings
from sync.errors import TryLater
from tests.browser.server_process import ServerProcess, with_database
from tests.browser.warm_server import WarmServer
from tests.loops import in_own_loop
from tests.people import ALICE, NOW, build_world, visit_change
from tests.signing_phone import ServerKey, SigningPhone, message, server_key

LOW, HIGH = RETRY_AFTER_SECONDS


# The line, alone


def test_uploads_go_before_downloads_and_each_in_its_order() -> None:
    async def story() -> list[str]:
        admission = Admission(in_house_max=10, working_max=1)
        done: list[str] = []

        async def exchange(name: str, *, is_upload: bool) -> None:
            async with admission.turn(is_upload=is_upload):
                await asyncio.sleep(0)
                done.append(name)

        names = ["first", "pull 1", "push 1", "pull 2", "push 2"]
        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(exchange(name, is_upload=name.startswith("push")))
        return done

    assert in_own_loop(story()) == ["first", "push 1", "push 2", "pull 1", "pull 2"]


def test_half_read_bodies_count_and_are_forgotten_when_their_sender_leaves() -> None:
    admission = Admission(in_house_max=10)
    half = admission_module.BYTES_MAX // 2

    with admission.enter() as bring:
        bring(half)
        with admission.enter() as bring_too:
            bring_too(half)
            with pytest.raises(TryLater):
                bring_too(1)
        with admission.enter() as bring_after:
            bring_after(half)


def test_who_waited_as_long_as_a_phone_would_is_asked_to_come_back_and_takes_no_turn() -> None:
    async def story() -> tuple[str, bool]:
        admission = Admission(in_house_max=10, working_max=1, turn_seconds=0.01)
        async with admission.turn(is_upload=True):
            try:
                async with admission.turn(is_upload=True):
                    return "worked", False
            except TryLater as error:
                code = error.code
        async with admission.turn(is_upload=True):
            return code, LOW <= error_seconds() <= HIGH

    def error_seconds() -> int:
        return admission_module.busy().retry_after_seconds

    assert in_own_loop(story()) == ("busy", True)


def test_one_who_leaves_the_line_gives_the_turn_on() -> None:
    async def story() -> str:
        admission = Admission(in_house_max=10, working_max=1)
        release = asyncio.Event()

        async def work() -> None:
            async with admission.turn(is_upload=True):
                await release.wait()

        first, second = asyncio.create_task(work()), asyncio.create_task(work())
        await asyncio.sleep(0)
        release.set()
        await first
        second.cancel()  # as its turn comes
        await asyncio.gather(second, return_exceptions=True)
        async with asyncio.timeout(1), admission.turn(is_upload=True):
            return "worked"

    assert in_own_loop(story()) == "worked"


def test_those_sent_away_together_do_not_come_back_together() -> None:
    seconds = {admission_module.busy().retry_after_seconds for _ in range(500)}

    assert min(seconds) >= LOW
    assert max(seconds) <= HIGH
    assert len(seconds) > 40


# In the app


@dataclass
class App:
    client: TestClient
    admission: Admission
    phone: SigningPhone
    key: ServerKey

    def push(self, number: int, **changed: Any) -> Any:
        change = replace(visit_change(f"visit {number}"), device_sequence=number)
        body = message([self.phone.sealed(self.key, change)], **changed)
        return self.client.post("/sync", content=body, headers=self.phone.headers(body, origin="http://127.0.0.1:8000"))


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    settings = Settings(data_dir=tmp_path, exchanges_max=1)
    migrations.upgrade(settings.database_url)
    made = create_app(settings, clock=lambda: NOW)
    with TestClient(made, base_url=settings.public_url) as client:
        database: Database = made.state.database
        build_world(database)
        phone = SigningPhone(ALICE)
        database.write(lambda session: phone.enrol(session))
        yield App(client, made.state.admission, phone, database.read(server_key))


def test_a_full_house_answers_busy_in_the_one_shape_and_pages_do_not_notice(app: App) -> None:
    with app.admission.enter():
        answer = app.push(1)
        hello = app.client.get(
            "/sync/hello", headers=app.phone.headers(b"", origin="", method="GET", path="/sync/hello")
        )
        page = app.client.get("/calendar")

    assert (answer.status_code, hello.status_code, page.status_code) == (503, 503, 200)
    assert answer.json() == {"code": "busy", "message": answer.json()["message"], "retry": True}
    assert LOW <= int(answer.headers["retry-after"]) <= HIGH
    assert app.push(1).json()["results"][0]["outcome"] == "accepted"


def test_under_pressure_a_push_is_taken_and_its_pull_comes_later(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    first = app.push(1).json()
    after = {"epoch": first["epoch"], "cursor": first["cursor"]}
    monkeypatch.setattr(Admission, "is_pressed", property(lambda _: True))

    pressed = app.push(2, **after).json()
    pull = message([], **after, high_water=2)
    headers = app.phone.headers(pull, origin="http://127.0.0.1:8000")
    pulled = app.client.post("/sync", content=pull, headers=headers).json()
    fresh = app.push(3).json()

    assert [result["outcome"] for result in pressed["results"]] == ["accepted"]
    assert (pressed["records"], pressed["more"], pressed["cursor"], pressed["reset"]) == (
        {},
        True,
        first["cursor"],
        False,
    )
    assert 5_000 <= pressed["pause_ms"] <= 30_000
    assert (len(pulled["records"]["visit"]), pulled["more"], pulled["pause_ms"]) == (1, False, 0)
    assert (fresh["reset"], fresh["pause_ms"]) == (True, 0)  # a first sync starts at its beginning


@dataclass
class Reader:
    """Somebody who asks, as a server hands it to the app, and takes nothing of the answer's body before `reads` is set."""

    app: App
    body: bytes
    reads: asyncio.Event = field(default_factory=asyncio.Event)
    sent: list[tuple[str, bool]] = field(default_factory=list)
    fails: Exception | None = None

    async def ask(self) -> None:
        headers = self.app.phone.headers(self.body, origin="http://127.0.0.1:8000")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/sync",
            "raw_path": b"/sync",
            "query_string": b"",
            "headers": [(b"host", b"127.0.0.1:8000"), *((name.lower().encode(), value.encode()) for name, value in headers.items())],
        }  # fmt: skip
        await self.app.client.app(scope, self.receive, self.send)

    async def receive(self) -> dict[str, Any]:
        return {"type": "http.request", "body": self.body, "more_body": False}

    async def send(self, message: Any) -> None:
        """As uvicorn: what follows on a body waits until that was read."""
        if self.sent and self.sent[-1][0] == "http.response.body":
            await self.reads.wait()
            if self.fails:
                raise self.fails
        self.sent.append((message["type"], message.get("more_body", False)))

    async def left_unread(self) -> "asyncio.Task[None]":
        asked = asyncio.create_task(self.ask())
        while len(self.sent) < 2:
            assert not asked.done(), self.sent
            await asyncio.sleep(0)
        return asked


@pytest.mark.parametrize("end", ["it is read", "the line breaks", "it is called off"])
def test_an_answer_keeps_its_place_until_it_is_read_or_nobody_will(app: App, end: str) -> None:
    """What nobody reads stays in the server's memory; else a phone in the wrong hands could ask for any number of pages."""
    portal = app.client.portal
    assert portal is not None
    reader = Reader(app, message([]), fails=OSError("broken") if end == "the line breaks" else None)

    async def finish(asked: "asyncio.Task[None]") -> None:
        reader.reads.set()
        if end == "it is called off":
            asked.cancel()
        await asyncio.wait([asked])
        assert asked.cancelled() or (asked.exception() is None) == (reader.fails is None)

    asked = portal.call(reader.left_unread)
    unread = app.push(1)
    portal.call(finish, asked)
    afterwards = app.push(1)

    assert (unread.status_code, unread.json()["code"]) == (503, "busy")
    assert afterwards.status_code == 200
    expected = [("http.response.start", False), ("http.response.body", True), ("http.response.body", False)]
    assert reader.sent == (expected if end == "it is read" else expected[:2])


# A real server


@dataclass(frozen=True)
class Real:
    server: ServerProcess
    phone: SigningPhone
    key: ServerKey

    def request(self, number: int) -> tuple[bytes, dict[str, str]]:
        change = replace(visit_change(f"visit {number}"), device_sequence=number)
        body = message([self.phone.sealed(self.key, change)])
        return body, self.phone.headers(body, origin=self.server.url)

    def push(self, number: int) -> tuple[int, dict[str, Any], str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        try:
            body, headers = self.request(number)
            connection.request("POST", "/sync", body, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read()), answer.headers.get("Retry-After", "")
        finally:
            connection.close()


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Real]:
    server = WarmServer(tmp_path)
    phone = SigningPhone(ALICE)
    keys: list[ServerKey] = []

    def fill(database: Database) -> None:
        def add(session: Session) -> None:
            phone.enrol(session)

        build_world(database)
        database.write(add)
        database.write(lambda session: ensure_sealing_key(session, now=NOW))
        keys.append(database.read(server_key))

    with_database(server, fill)
    yield Real(server, phone, keys[0])
    server.close()


def test_a_small_house_turns_some_away_and_all_are_stored_when_they_come_back(real: Real) -> None:
    real.server.start(LINLI_EXCHANGES_MAX="2")
    waiting, stored, turned_away = set(range(1, 41)), set[int](), 0

    while waiting:
        with ThreadPoolExecutor(20) as threads:
            answers = list(zip(sorted(waiting), threads.map(real.push, sorted(waiting)), strict=True))
        for number, (status, answer, retry_after) in answers:
            if status == 503:
                assert (answer["code"], answer["retry"]) == ("busy", True)
                assert LOW <= int(retry_after) <= HIGH
                turned_away += 1
            else:
                assert (status, answer["results"][0]["outcome"]) == (200, "accepted")
                stored.add(number)
        waiting -= stored

    assert turned_away > 0
    assert len(stored) == 40


def test_a_server_told_to_stop_finishes_what_is_on_its_way_and_lets_nobody_in(real: Real) -> None:
    real.server.start()
    body, headers = real.request(1)
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST /sync HTTP/1.1\r\nHost: 127.0.0.1:{real.server.port}\r\nContent-Length: {len(body)}\r\n{head}\r\n"
    with socket.create_connection(("127.0.0.1", real.server.port), timeout=30) as on_its_way:
        on_its_way.sendall(head.encode() + body[:100])
        time.sleep(0.3)  # let it be read
        stopping = threading.Thread(target=real.server.stop)
        started = time.monotonic()
        stopping.start()
        time.sleep(0.7)
        with pytest.raises(ConnectionError):
            real.push(2)
        on_its_way.sendall(body[100:])
        answer = b""
        while piece := on_its_way.recv(65536):
            answer += piece
        stopping.join()

    assert b" 200 " in answer.split(b"\r\n")[0]
    assert b'"outcome":"accepted"' in answer
    assert time.monotonic() - started < 10
    real.server.start()
    assert real.push(1)[1]["results"][0]["outcome"] == "again"


def test_pushes_under_way_when_the_server_stops_are_acknowledged_only_if_stored(real: Real) -> None:
    real.server.start()
    answered: dict[int, str] = {}
    refused: list[int] = []

    def push(number: int) -> None:
        try:
            status, answer, retry_after = real.push(number)
        except (OSError, http.client.HTTPException):
            refused.append(number)
            return
        if status == 200:
            answered[number] = answer["results"][0]["outcome"]
        else:
            assert (status, answer["code"]) == (503, "busy")
            assert retry_after
            refused.append(number)

    with ThreadPoolExecutor(16) as threads:
        pushing = [threads.submit(push, number) for number in range(1, 201)]
        while len(answered) < 20:
            time.sleep(0.01)
        real.server.stop()
        for each in pushing:
            each.result()

    assert len(answered) + len(refused) == 200
    real.server.start()
    for number in list(answered)[:40]:
        assert real.push(number)[1]["results"][0]["outcome"] == "again"
    for number in refused[:40]:
        assert real.push(number)[1]["results"][0]["outcome"] in ("accepted", "again")
