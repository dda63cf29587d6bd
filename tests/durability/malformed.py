"""Requests that no browser and no phone of ours would send, to every route: what comes back must be an answer.

In process they are handed to the app as ASGI messages, so that even what no HTTP server would let through arrives; on
the wire they are bytes on a socket, and whatever the HTTP server refuses by itself is an answer, too.
"""

import asyncio
import gzip
import json
import resource
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import quote, unquote, urlencode

from starlette.applications import Starlette
from starlette.routing import Route

from server.database import Database
from server.sessions import cookie_name
from sync.protocol import PACKED_BYTES_MAX
from tests.loops import in_own_loop
from tests.people import (
    ALICE,
    COORDINATOR,
    RED_DOOR,
    ROUND_ID,
    build_world,
    log_visits,
    made_up_id,
    sign_in,
    visit_change,
)
from tests.signing_phone import ServerKey, SigningPhone, message, server_key, wire_change

METHODS = ("GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "SYNC", "")
TRACES = (
    b"Traceback",
    b'File "',
    b"sqlalchemy",
    b"sqlite3",
    b"psycopg",
    b"starlette",
    b"jinja2",
    b"Error:",
    b"/server/",
)
SECONDS = 60
AT_ONCE = 4

STRANGE_TEXTS = (
    "", " ", "0", "-1", "00000000-0000-0000-0000-000000000000", "{00000000-0000-0000-0000-000000000000}", "\x00", "\r\n",
    "a\r\nSet-Cookie: x=1", "../../etc/passwd", "..%2f..%2f", "%00", "%ff%fe", "%", "'", "' OR 1=1 --", "<script>alert(1)</script>",
    "{{7*7}}", "${7*7}", "\u202e", "\U0001f468\u200d\U0001f469", "长" * 300, "x" * 5000, "NaN", "null", "1e400", "9" * 400, "٣",
    "2026-02-30", "-2026-01-01", "99999-01-01", "//evil.example", "/\\evil.example", "javascript:alert(1)", "\ud800",
)  # fmt: skip
STRANGE_VALUES: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2**53, 2**53 + 1, -(2**63), 2**63, 2**64, 10**400, 1.5, -0.0, 1e308, [], {}, [None], [[]], {"": {}},
    {"a": {"a": {"a": {}}}}, ["met", "met"], [1] * 500, *STRANGE_TEXTS,
)  # fmt: skip
STRANGE_HEADERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("content-type", ("", "text/plain", "application/json; charset=utf-16", "multipart/form-data", "a/b;" * 500, "\xff\xfe",
                      "multipart/form-data; boundary=x", "application/x-www-form-urlencoded;charset=x", "application/JSON")),
    ("content-encoding", ("gzip", "br", "deflate", "gzip, gzip", "identity", "", "\xe9", "GZIP")),
    ("content-length", ("", "-1", "0", "99999999999999999999", "1e9", "abc", "٣", "\xb2", "\xb9\xb2\xb3")),
    ("accept-encoding", ("", "gzip;q=x", "*", "gzip" * 1000)),
    ("accept-language", ("", "zh-CN,,,;;;q=x", "\xff", "en-" * 1000)),
    ("origin", ("null", "", "http://", "https://evil.example", "http://[::1", "\xff", "http://127.0.0.1:8000:8000")),
    ("sec-fetch-site", ("cross-site", "same-origin", "none", "\xff", "")),
    ("host", ("", "evil.example", "[", "[::1", "a b", "127.0.0.1:99999", "\xff", "x" * 3000)),
    ("cookie", ("", "=", ";;;", "linli-s", "linli-s=", "linli-s=\xff", "language=fr; size=huge", "a=" + "b" * 8000, 'linli-s="\\')),
    ("authorization", ("Bearer", "Bearer \xff", "Basic !!!", "Bearer " + "x" * 4000)),
    ("linli-device", ("", "nobody", "00000000-0000-0000-0000-000000000000", "\xff", "x" * 4000, "A" * 36)),
    ("linli-signature", ("", "=", "\xff", "AAAA", "A" * 86, "x" * 5000)),
    ("if-none-match", ("", "*", '"', "W/", "\xff")),
    ("if-modified-since", ("", "yesterday", "Mon, 99 Foo 9999 99:99:99 GMT", "\xff")),
    ("range", ("bytes=0-", "bytes=-1", "bytes=9-1", "bytes=0-99999999999999999999", "bytes=" + "0-1," * 200, "x", "bytes=a-b")),
    ("hx-request", ("true", "\xff", "")),
    ("hx-current-url", ("", "\xff", "http://[")),
    ("x-forwarded-for", ("", "::::", "127.0.0.1, \xff")),
    ("expect", ("100-continue", "nonsense")),
    ("transfer-encoding", ("chunked", "identity, chunked", "x")),
    ("upgrade", ("websocket", "h2c")),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request. `path` is as it stands in the request line, without the query."""

    method: str
    path: bytes
    query: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: tuple[bytes, ...]


@dataclass(slots=True)
class Outcome:
    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    routes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    grown_mb: float = 0.0

    def note(self, number: int, attempt: Attempt, status: int, body: bytes) -> None:
        self.requests += 1
        self.statuses[status] += 1
        if status >= 500 and status != 503:
            self.wrong.append(f"{status} to request {number}: {shortened(attempt)}")
        found = [trace for trace in TRACES if trace in body and trace not in attempt.query + b"".join(attempt.body)]
        if found and status != 200:
            self.wrong.append(f"{found} in the answer to request {number}: {shortened(attempt)}")


def shortened(attempt: Attempt) -> str:
    headers = [(name, value[:60]) for name, value in attempt.headers]
    return f"{attempt.method} {attempt.path[:120]!r}?{attempt.query[:120]!r} {headers} {b''.join(attempt.body)[:300]!r}"


class Attacker:
    """Makes attempts, each from its number and the seed alone (but for signatures and seals, which are never the same)."""

    def __init__(self, app: Starlette, database: Database, *, seed: int, now: int) -> None:
        self._seed = seed
        self._settings = app.state.settings
        self._routes = [route for route in app.routes if isinstance(route, Route)]
        self.phone = SigningPhone(ALICE)
        database.write(self.phone.enrol)
        self._key: ServerKey = database.read(server_key)
        self._tokens = ("", sign_in(database, ALICE, now=now), sign_in(database, COORDINATOR, now=now))
        self._origin: str = self._settings.public_url
        self._operator_token: str = app.state.operator_token

    def attempt(self, number: int) -> tuple[Attempt, str]:
        """And the pattern of the route that it is meant for."""
        random = Random(f"{self._seed} {number}")
        if number % 2:
            return self._push(random, number), "/sync"
        route = self._routes[number // 2 % len(self._routes)]
        methods = sorted(route.methods or METHODS)
        method = random.choice(methods) if random.random() < 0.8 else random.choice(METHODS)
        path = self._path(random, route.path)
        fields = [(random.choice(FIELDS), random.choice(STRANGE_TEXTS)) for _ in range(random.randrange(6))]
        query = encoded(random, fields) if random.random() < 0.5 else b""
        form = [(random.choice(FIELDS), random.choice(STRANGE_TEXTS)) for _ in range(random.randrange(8))]
        if random.random() < 0.05:
            form *= 100
        body = encoded(random, form) if random.random() < 0.7 else json.dumps(dict(form)).encode("utf-8", "replace")
        headers = {
            "host": self._origin.partition("//")[2],
            "origin": self._origin,
            "content-type": "application/x-www-form-urlencoded",
            "cookie": f"{cookie_name(self._settings)}={random.choice(self._tokens)}",
        }
        if route.path.startswith("/sync"):
            headers |= lowered(self.phone.headers(body, origin=self._origin, method=method, path=route.path))
        if route.path.startswith("/operator") and random.random() < 0.5:
            headers["authorization"] = f"Bearer {self._operator_token}"
        if method in ("GET", "HEAD") and random.random() < 0.8:
            body = b""
        return finished(random, method, path, query, headers, body), route.path

    def _path(self, random: Random, pattern: str) -> bytes:
        segments = []
        for segment in pattern.split("/"):
            if not segment.startswith("{"):
                segments.append(segment)
                continue
            known = (ROUND_ID, RED_DOOR, ALICE.id, made_up_id("Alice's visit"))
            text = random.choice(known) if random.random() < 0.4 else random.choice(STRANGE_TEXTS)
            segments.append(quote(text, safe="/%", errors="replace"))
        path = "/".join(segments)
        if random.random() < 0.05:
            path += random.choice(("/", "//", "/..", "%00", "?", ";a=b", "%2e%2e/", "\xff"))
        return path.encode("latin-1", "replace")

    def _push(self, random: Random, number: int) -> Attempt:
        body = self._push_body(random, number)
        headers: dict[str, str] = {"host": self._origin.partition("//")[2]}
        lot = random.random()
        if lot < 0.08:
            packed = gzip.compress(body, 1)
            cut = random.randrange(len(packed))
            body = random.choice(
                (packed, packed[:cut], packed + b"x", packed[:cut] + b"\x00" + packed[cut + 1 :], BOMB)
            )
            headers["content-encoding"] = "gzip"
        elif lot < 0.082:
            body = random.randbytes(64) * (PACKED_BYTES_MAX // 64 + 1)
        elif lot < 0.12:
            body = random.randbytes(random.randrange(2000))
        headers |= lowered(self.phone.headers(body, origin=self._origin))
        if random.random() < 0.1:
            signature = bytearray(headers["linli-signature"], "ascii")
            signature[random.randrange(len(signature))] = random.choice(b"AZaz09-_")
            headers["linli-signature"] = signature.decode()
        return finished(random, "POST", b"/sync", b"", headers, body)

    def _push_body(self, random: Random, number: int) -> bytes:
        change = wire_change(visit_change(f"visit {random.randrange(5000)}"), device_sequence=number)
        if random.random() < 0.6:
            change = damaged(random, change)
        entry: Any
        try:
            entry = (
                self.phone.sealed(self._key, change)
                if random.random() < 0.6
                else {**as_object(change), "change": change}
            )
        except (AttributeError, KeyError, TypeError, ValueError):  # nothing that could be sealed
            entry = {"change_id": made_up_id(f"broken {number}"), "device_sequence": number, "change": change}
        wire: Any = json.loads(message([])) | {"limit": 3, "changes": [entry]}
        for _ in range(random.randrange(3)):
            wire = damaged(random, wire)
        text = json.dumps(wire)
        lot = random.random()
        if lot < 0.05:
            text = text.replace('"', "'", random.randrange(1, 4))
        elif lot < 0.1:
            text = text[:-1] + random.choice(
                (', "epoch": "", "epoch": ""}', ', "x": NaN}', ', "x": -Infinity}', ', "x": 1e999}')
            )
        elif lot < 0.13:
            deep = random.randrange(2, 3000)
            text = text[:-1] + f', "x": {"[" * deep}{"]" * deep}}}'
        elif lot < 0.16:
            text = text.replace(": ", ": \ufeff", 1)
        body = text.encode()
        lot = random.random()
        if lot < 0.08:
            body = body[: random.randrange(len(body))]
        elif lot < 0.16:
            place = random.randrange(len(body))
            body = body[:place] + random.randbytes(random.randrange(1, 6)) + body[place + random.randrange(4) :]
        elif lot < 0.18:
            body = text.encode(random.choice(("utf-16", "utf-32", "utf-7")))
        return body


BOMB = gzip.compress(bytes(30_000_000), 9)
FIELDS = (
    "outcome", "note", "needs", "urgency", "danger", "new_id", "new_change_id", "id", "change_id", "base", "revision", "login", "password",
    "next", "back", "language", "size", "code", "token", "device", "device_id", "name", "public_key", "decision", "page", "from", "to", "q",
    "volunteer", "after", "before", "state", "month", "date", "category", "place", "lang", "volunteer_number", "", "\x00", "\ud800",
)  # fmt: skip


def encoded(random: Random, fields: Iterable[tuple[str, str]]) -> bytes:
    body = urlencode(list(fields), errors="replace").encode()
    if body and random.random() < 0.2:
        place = random.randrange(len(body))
        body = body[:place] + random.choice((b"%", b"%f", b"\xff", b"&&=&", b"\x00", b"+")) + body[place + 1 :]
    return body


def lowered(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def finished(random: Random, method: str, path: bytes, query: bytes, headers: dict[str, str], body: bytes) -> Attempt:
    while random.random() < 0.35:
        name, values = random.choice(STRANGE_HEADERS)
        headers[name] = random.choice(values)
    if random.random() < 0.05:
        headers.pop(random.choice(sorted(headers)))
    pairs = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
    if random.random() < 0.05:
        pairs += random.choices(pairs, k=3)
    cuts = sorted(random.randrange(len(body) + 1) for _ in range(random.randrange(3)))
    pieces = tuple(body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True))
    return Attempt(method, path, query, tuple(pairs), pieces)


def damaged(random: Random, value: Any) -> Any:
    """The value with one thing in it, somewhere, replaced, removed or renamed."""
    if not isinstance(value, dict | list) or not value or random.random() < 0.15:
        return random.choice(STRANGE_VALUES)
    if isinstance(value, list):
        place = random.randrange(len(value))
        return [*value[:place], damaged(random, value[place]), *value[place + 1 :]]
    name = random.choice(sorted(value))
    rest = {other: inside for other, inside in value.items() if other != name}
    lot = random.random()
    if lot < 0.1:
        return rest
    if lot < 0.2:
        return {**rest, random.choice(("", "\ud800", "id", "set", "code", "x" * 50)): value[name]}
    return {**rest, name: damaged(random, value[name])}


def as_object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


# In process


def attack_in_process(app: Starlette, requests: int, *, seed: int, now: int) -> Outcome:
    """The app's own lifespan, then request after request, four at once. Growth is counted from a tenth of the way on, when every
    cache is warm."""
    return in_own_loop(run_attack(app, requests, seed=seed, now=now))


async def run_attack(app: Starlette, requests: int, *, seed: int, now: int) -> Outcome:
    outcome = Outcome()
    async with app.router.lifespan_context(app):
        database: Database = app.state.database
        build_world(database)
        log_visits(database, ALICE, visit_change("Alice's visit"))
        attacker = Attacker(app, database, seed=seed, now=now)
        numbers = iter(range(requests))
        warm = max(1, min(requests // 10, 20_000))
        peak_when_warm = 0

        async def send_on() -> None:
            nonlocal peak_when_warm
            for number in numbers:
                if number == warm:
                    peak_when_warm = peak_kilobytes()
                attempt, route = attacker.attempt(number)
                status, body = await asyncio.wait_for(call(app, attempt, outcome, number), SECONDS)
                outcome.note(number, attempt, status, body)
                outcome.routes[route] += 1

        await asyncio.gather(*(send_on() for _ in range(AT_ONCE)))
    outcome.grown_mb = (peak_kilobytes() - peak_when_warm) / 1024
    return outcome


def peak_kilobytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def call(app: Starlette, attempt: Attempt, outcome: Outcome, number: int) -> tuple[int, bytes]:
    """What an HTTP server would do. An exception that leaves the app is an error 500, noted with its name."""
    pieces = list(attempt.body) or [b""]
    statuses: list[int] = []
    body: list[bytes] = []
    is_finished = False

    async def receive() -> dict[str, Any]:
        if not pieces:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(event: Any) -> None:
        nonlocal is_finished
        if event["type"] == "http.response.start":
            statuses.append(event["status"])
            for name, value in event["headers"]:
                if b"\n" in name + value or b"\r" in name + value or b"\x00" in name + value:
                    outcome.wrong.append(f"a header of the answer to {number} has a line end: {value!r}")
        elif event["type"] == "http.response.body":
            assert not is_finished
            body.append(event.get("body", b""))
            is_finished = not event.get("more_body", False)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": attempt.method,
        "scheme": "http",
        "path": decoded_path(attempt.path),
        "raw_path": attempt.path,
        "query_string": attempt.query,
        "root_path": "",
        "headers": list(attempt.headers),
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }
    try:
        await app(scope, receive, send)
    except Exception as error:
        outcome.wrong.append(f"{error!r:.200} left the app: {shortened(attempt)}")
        return 500, b""
    if len(statuses) != 1 or not is_finished:
        outcome.wrong.append(f"{statuses} and finished: {is_finished}: {shortened(attempt)}")
    return (statuses or [500])[0], b"".join(body)


def decoded_path(raw: bytes) -> str:
    """As uvicorn does it."""
    return unquote(raw.decode("ascii", "replace"))


# On the wire

FRAMING = {b"content-length", b"transfer-encoding", b"expect", b"upgrade"}
PATIENCE_SECONDS = 1.0


async def attack_on_the_wire(port: int, attempts: Iterable[tuple[int, Attempt]], outcome: Outcome) -> None:
    for number, attempt in attempts:
        try:
            status, body = await asyncio.wait_for(send_bytes(port, attempt), SECONDS)
        except (ConnectionError, asyncio.IncompleteReadError):
            status, body = 0, b""  # closed without an answer: the HTTP server's way to refuse
        outcome.note(number, attempt, status, body)


async def send_bytes(port: int, attempt: Attempt) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        body = b"".join(attempt.body)
        target = attempt.path + (b"?" + attempt.query if attempt.query else b"")
        names = {name for name, _ in attempt.headers}
        lines = [b"%s %s HTTP/1.1" % (attempt.method.encode() or b"GET", target)]
        lines += [name + b": " + value for name, value in attempt.headers]
        lines += [] if names & {b"content-length", b"transfer-encoding"} else [b"content-length: %d" % len(body)]
        lines += [b"connection: close", b"", b""]
        writer.write(b"\r\n".join(lines) + body)
        await writer.drain()
        if names & FRAMING:
            answer = await answer_or_end(reader, writer)
        else:
            answer = await reader.read()
    finally:
        writer.close()
    while answer.startswith(b"HTTP/1.1 100"):
        answer = answer.partition(b"\r\n\r\n")[2]
    status = answer[9:12]
    return int(status) if status.isdigit() else 0, answer


async def answer_or_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """The server may rightly wait for more of the body than there is: after a while it hears that there is no more."""
    try:
        return await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)
    except TimeoutError:
        writer.write_eof()
        return await reader.read()
