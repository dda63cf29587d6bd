"""Blobs in a bucket of an S3-compatible server: `<endpoint>/<bucket>/<digest>`, by the standard library alone.

The digest is also the hash of the payload that the request is signed over, so the other server checks the bytes, too.
"""

import hashlib
import http.client
import os
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO
from urllib.parse import urlsplit

from server.blobs.signature import Credentials, signed_headers
from server.blobs.store import PIECE_BYTES, NoSuchBlob, StoreTrouble
from server.logs import get_logger

SECONDS = 20  # to connect, and between two pieces
WHOLE_SECONDS = 60  # for all of one
EMPTY = hashlib.sha256(b"").hexdigest()
MISSING, DONE = 404, 200


def now_utc() -> datetime:
    return datetime.now(UTC)


class S3Store:
    def __init__(
        self, endpoint: str, bucket: str, credentials: Credentials, *, clock: Callable[[], datetime] = now_utc
    ) -> None:
        self._address = urlsplit(endpoint)
        self._bucket = bucket
        self._credentials = credentials
        self._clock = clock

    def put(self, digest: str, file: Path) -> None:
        try:
            with file.open("rb") as body, closing(self._connect()) as connection:
                size = os.fstat(body.fileno()).st_size
                if self.length(digest) == size:
                    return
                headers = {"content-length": str(size), "content-type": "application/octet-stream"}
                answer = self._ask(connection, "PUT", digest, headers=headers, payload_sha256=digest, body=body)
                self._expect_done(answer)
        except OSError as error:
            raise StoreTrouble("the file cannot be read") from error

    def length(self, digest: str) -> int | None:
        with closing(self._connect()) as connection:
            answer = self._ask(connection, "HEAD", digest)
            if answer.status == MISSING:
                return None
            self._expect_done(answer)
            return declared_length(answer)

    def read(self, digest: str) -> BinaryIO:
        with closing(self._connect()) as connection:
            answer = self._ask(connection, "GET", digest)
            if answer.status == MISSING:
                raise NoSuchBlob(digest)
            self._expect_done(answer)
            return fetched(answer)

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._address.hostname or "", self._address.port
        if self._address.scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=SECONDS)
        return http.client.HTTPConnection(host, port, timeout=SECONDS)

    def _ask(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        digest: str,
        *,
        headers: dict[str, str] | None = None,
        payload_sha256: str = EMPTY,
        body: object = None,
    ) -> http.client.HTTPResponse:
        path = f"/{self._bucket}/{digest}"
        signed = signed_headers(
            self._credentials,
            method,
            path,
            {"host": self._address.netloc, **(headers or {})},
            payload_sha256=payload_sha256,
            at=self._clock(),
        )
        try:
            connection.request(method, path, body, signed)  # type: ignore[arg-type]  # a file, which it sends in pieces
            return connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            get_logger("blobs").warning("the S3 store does not answer", exc_info=error)
            raise StoreTrouble("the S3 store does not answer") from error

    def _expect_done(self, answer: http.client.HTTPResponse) -> None:
        if answer.status != DONE:
            raise trouble(answer.status)


def fetched(answer: http.client.HTTPResponse) -> BinaryIO:
    """All of it, in a file without a name: a bucket that stops in the middle is known before anybody is answered."""
    give_up_at = time.monotonic() + WHOLE_SECONDS
    with ExitStack() as until_whole:
        file = until_whole.enter_context(TemporaryFile())
        try:
            while piece := answer.read1(PIECE_BYTES):
                file.write(piece)
                if time.monotonic() > give_up_at:
                    raise TimeoutError
        except (OSError, http.client.HTTPException) as error:
            raise StoreTrouble("the S3 store stopped in the middle") from error
        if file.tell() != declared_length(answer):  # http.client takes an early end for the end when it reads in pieces
            raise StoreTrouble("the S3 store stopped in the middle")
        file.seek(0)
        until_whole.pop_all()
        return file


def declared_length(answer: http.client.HTTPResponse) -> int:
    return int(answer.headers.get("content-length") or 0)


def trouble(status: int) -> StoreTrouble:
    """Whatever it refuses (a wrong secret, a full bucket) the phone can only wait, and the operator look at the log."""
    get_logger("blobs").warning("the S3 store refuses", status=status)
    return StoreTrouble(f"the S3 store answered {status}")
