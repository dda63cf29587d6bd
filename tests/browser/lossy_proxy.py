"""A proxy between phone and server that loses answers to pushes after the server has committed them.

The worst loss there is: the visit is in the central database and the phone does not know. Every request has a
connection of its own, so that the browser never repeats one by itself and the phone's own code has to.
"""

import gzip
import http.client
import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})
TIMEOUT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Asked:
    """A message that was answered: as it travelled, and as it was meant."""

    encoding: str
    bytes_sent: int
    text: bytes

    @property
    def message(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.text)
        return message

    @property
    def change_ids(self) -> list[str]:
        return [change["change_id"] for change in self.message["changes"]]


class LossyProxy(ThreadingHTTPServer):
    """Serves at `url` while it is open (`with LossyProxy(...)`). A server that is down shows as a lost connection."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, server_port: int, *, lost: float = 0, seed: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.server_upstream = server_port
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.asked: list[Asked] = []
        self.dropped: list[list[str]] = []  # change ids in each push whose answer was lost
        self.is_cut = False  # hangs up on everybody before the server hears of it
        self.closed_paths: set[str] = set()  # hangs up on these only
        self.hung_up: list[str] = []  # the paths on which it did
        self.refused_paths: dict[str, tuple[int, bytes]] = {}  # answers these by itself
        self.led_elsewhere: dict[str, str] = {}  # leads these away, as a gateway in front of the server: "POST /enrol"
        self.were_led: list[str] = []  # those that it did lead away
        self.pieces_left: int | None = None  # how many pieces of photos it still lets through; the last answer is lost
        self.may_pass = threading.Event()  # a piece waits for it
        self.may_pass.set()
        self.may_exchange = threading.Event()  # a message waits for it
        self.may_exchange.set()
        self.is_holding = threading.Event()
        self.pieces: list[tuple[int, int]] = []  # offset and bytes of those it let through
        self.exchanges_left: int | None = None  # how many messages it still lets through; None for all
        self.lost = lost  # how likely it is that an answer is lost
        self._random = Random(seed)
        self._lock = threading.Lock()

    def __enter__(self) -> "LossyProxy":
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up is nothing to print."""

    @property
    def pushes(self) -> list[Asked]:
        return [each for each in self.asked if each.change_ids]

    def is_closed(self, path: str) -> bool:
        with self._lock:
            if path == "/sync" and self.exchanges_left is not None:
                self.exchanges_left -= 1
                return self.exchanges_left < 0
            is_closed = self.is_cut or path in self.closed_paths
            if is_closed:
                self.hung_up.append(path)
            return is_closed

    def is_piece_lost(self, offset: int, length: int) -> bool:
        with self._lock:
            self.pieces.append((offset, length))
            if self.pieces_left is not None:
                self.pieces_left -= 1
            return self.pieces_left == 0

    def is_lost(self, asked: Asked) -> bool:
        with self._lock:
            self.asked.append(asked)
            is_lost = bool(asked.change_ids) and self._random.random() < self.lost
            if is_lost:
                self.dropped.append(asked.change_ids)
            return is_lost


class Handler(BaseHTTPRequestHandler):
    server: LossyProxy

    def pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.is_closed(self.path) or (self.command == "PATCH" and self.server.pieces_left == 0):
            self.close_connection = True
            return
        if self.path in self.server.refused_paths:
            status, content = self.server.refused_paths[self.path]
            self.answer(status, [("Content-Type", "application/json")], content, sent=len(content))
            return
        asked = f"{self.command} {self.path}"
        if asked in self.server.led_elsewhere:
            self.answer(303, [("Location", self.server.led_elsewhere[asked])], b"", sent=0)
            self.server.were_led.append(asked)
            return
        if self.path == "/sync" and not self.server.may_exchange.is_set():
            self.server.is_holding.set()
            self.server.may_exchange.wait(TIMEOUT_SECONDS)
        if self.command == "PATCH" and not self.server.may_pass.is_set():
            self.server.is_holding.set()
            self.server.may_pass.wait(TIMEOUT_SECONDS)
        status, headers, content = self.ask_server(body)
        if self.command == "PATCH" and self.server.is_piece_lost(int(self.headers["Upload-Offset"]), len(body)):
            self.close_connection = True
            return
        if self.path == "/sync" and status == 200 and self.server.is_lost(self.asked_by(body)):
            if len(self.server.dropped) % 2 == 0:  # sometimes a part of it still arrives
                self.answer(status, headers, content, sent=len(content) // 2)
            self.close_connection = True
            return
        self.answer(status, headers, content, sent=len(content))

    do_GET = do_HEAD = do_POST = do_PATCH = pass_on

    def ask_server(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_upstream, timeout=TIMEOUT_SECONDS)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP]
            return answer.status, kept, answer.read()
        finally:
            connection.close()

    def answer(self, status: int, headers: list[tuple[str, str]], content: bytes, *, sent: int) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[:sent])

    def asked_by(self, body: bytes) -> Asked:
        encoding = self.headers.get("Content-Encoding", "")
        return Asked(encoding, len(body), gzip.decompress(body) if encoding == "gzip" else body)
