"""A small S3-compatible server over real sockets: PUT, HEAD and GET of objects in one bucket, kept on disk.

It checks AWS Signature Version 4 by its own reading of the specification and shares no code with `server/blobs/`: what is
signed, what the body hashes to, and that the date is within a quarter of an hour. The packages that would do this for us
bring boto and a hundred megabytes, and check no signatures unless told to.
"""

import hashlib
import hmac
import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<id>[^/]+)/(?P<day>\d{8})/(?P<region>[^/]+)/s3/aws4_request, "
    r"SignedHeaders=(?P<names>[a-z0-9;-]+), Signature=(?P<signature>[0-9a-f]{64})"
)
SKEW = timedelta(minutes=15)


@dataclass
class S3Server:
    """`with S3Server(folder) as server: ...`. It can be told to be unwell."""

    folder: Path
    bucket: str = "linli-blobs"
    key_id: str = "LINLI"
    secret: str = "a secret/with+signs="
    region: str = "us-east-1"
    is_unwell: bool = False  # answers 503 to everything
    cuts_after: int | None = None  # closes the connection after so many bytes of an object
    refusals: list[str] = field(default_factory=list)
    puts: int = 0

    def __enter__(self) -> "S3Server":
        self.folder.mkdir(parents=True, exist_ok=True)
        self._listener = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(self))
        self._thread = Thread(target=self._listener.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown()
        self._thread.join()
        self._listener.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.server_port}"

    def objects(self) -> list[str]:
        return sorted(file.name for file in self.folder.iterdir() if not file.name.startswith("."))

    def problem(self, method: str, path: str, headers: Any, body: bytes) -> str:
        """Why the signature does not hold; empty when it does."""
        found = AUTHORIZATION.fullmatch(headers.get("Authorization", ""))
        if found is None or found["id"] != self.key_id or found["region"] != self.region:
            return "InvalidAccessKeyId"
        moment = headers.get("X-Amz-Date", "")
        at = datetime.strptime(moment, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if abs(datetime.now(UTC) - at) > SKEW or not moment.startswith(found["day"]):
            return "RequestTimeTooSkewed"
        if headers.get("X-Amz-Content-Sha256") != hashlib.sha256(body).hexdigest():
            return "XAmzContentSHA256Mismatch"
        names = found["names"].split(";")
        if names != sorted(names) or not {"host", "x-amz-content-sha256", "x-amz-date"} <= set(names):
            return "AccessDenied"
        request = [method, path, "", *(f"{name}:{' '.join(headers[name].split())}" for name in names), ""]
        request += [found["names"], headers["X-Amz-Content-Sha256"]]
        hashed = hashlib.sha256("\n".join(request).encode()).hexdigest()
        scope = f"{found['day']}/{self.region}/s3/aws4_request"
        key = ("AWS4" + self.secret).encode()
        for word in scope.split("/"):
            key = hmac.new(key, word.encode(), hashlib.sha256).digest()
        text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashed}"
        expected = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        return "" if hmac.compare_digest(expected, found["signature"]) else "SignatureDoesNotMatch"


def handler_of(server: S3Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle(self) -> None:
            with suppress(BrokenPipeError, ConnectionResetError):  # who asked has heard enough
                super().handle()

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            if (file := self.file(body)) is not None:
                draft = file.with_name(f".{file.name}.{self.client_address[1]}")
                draft.write_bytes(body)
                draft.replace(file)
                server.puts += 1
                self.answer(200)

        def do_HEAD(self) -> None:
            self.look()

        def do_GET(self) -> None:
            self.look()

        def look(self) -> None:
            file = self.file(b"")
            if file is None:
                return
            if not file.exists():
                self.answer(404)
                return
            self.answer(200, file.read_bytes())

        def file(self, body: bytes) -> Path | None:
            """Where the object lies; None when the request was refused."""
            problem = "SlowDown" if server.is_unwell else server.problem(self.command, self.path, self.headers, body)
            bucket, _, name = self.path.removeprefix("/").partition("/")
            if not problem and (bucket != server.bucket or not re.fullmatch(r"[0-9a-f]{64}", name)):
                problem = "NoSuchBucket"
            if problem:
                server.refusals.append(problem)
                self.answer(503 if server.is_unwell else 403, problem.encode())
                return None
            return server.folder / name

        def answer(self, status: int, body: bytes = b"") -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "HEAD":
                return
            if server.cuts_after is not None:
                body, self.close_connection = body[: server.cuts_after], True
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
