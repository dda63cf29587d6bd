"""Kinto over PostgreSQL: one process of the server it comes with, a bucket for all and a collection a phone.

It is spared what ours does as well: passwords are not checked, and nothing is logged but warnings.
"""

import base64
import json
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sync.changes import Change
from tests.bench.sync import PHONES, RECORDS, Request, ask_once
from tests.peers.peer import Peer, installed, run
from tests.postgres import new_durable_database

PAGE_MAX = 500
USER = {"Authorization": "Basic " + base64.b64encode(b"phone:").decode(), "Content-Type": "application/json"}
SETTINGS = """
[server:main]
use = egg:waitress#main
host = 127.0.0.1
port = %(http_port)s
threads = {threads}

[app:main]
use = egg:kinto
kinto.storage_backend = kinto.core.storage.postgresql
kinto.storage_url = {database}
kinto.permission_backend = kinto.core.permission.postgresql
kinto.permission_url = {database}
kinto.cache_backend = kinto.core.cache.memory
kinto.userid_hmac_secret = made up
kinto.bucket_create_principals = system.Authenticated
kinto.batch_max_requests = {batch}
kinto.paginate_by = {page}
multiauth.policies = basicauth

[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = plain
[logger_root]
level = WARN
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = plain
[formatter_plain]
format = %(message)s
"""


class Kinto(Peer):
    name = "Kinto"
    version = "26.5.0"

    # Lifecycle

    def install(self) -> None:
        self._folder = installed(f"kinto-{self.version}", self._install)

    def prepare(self, folder: Path) -> list[str]:
        database = new_durable_database().replace("+psycopg:", "+psycopg2:")
        settings = folder / "kinto.ini"
        settings.write_text(SETTINGS.format(threads=PHONES, database=database, batch=RECORDS, page=PAGE_MAX))
        command = str(self._folder / "bin" / "kinto")
        run(command, "migrate", "--ini", settings)
        return [command, "start", "--ini", str(settings), "--port", str(self.port)]

    def make_stores(self, phones: int) -> None:
        ask_once(self._request("PUT", "/v1/buckets/linli"))
        for phone in range(phones):
            ask_once(self._request("PUT", collection(phone)))

    # Work

    def push(self, phone: int, batches: Sequence[Sequence[Change]]) -> Sequence[Request]:
        return [self._batch(phone, batch) for batch in batches]

    def pushed(self, answer: Any) -> int:
        return sum(response["status"] == 201 for response in answer["responses"])

    def pull(self, phone: int, after: str, limit: int) -> Sequence[Request]:
        since = f"&_since={after}" if after else ""
        return [self._request("GET", f"{collection(phone)}/records?_sort=last_modified&_limit={limit}{since}")]

    def pulled(self, answer: Any) -> tuple[int, str]:
        records = answer["data"]
        return len(records), str(records[-1]["last_modified"]) if records else ""

    def stored(self, phone: int) -> int:
        address = f"http://127.0.0.1:{self.port}{collection(phone)}/records"
        with urllib.request.urlopen(urllib.request.Request(address, method="HEAD", headers=USER)) as answer:
            return int(answer.headers["Total-Objects"])

    # Private

    def _install(self, folder: Path) -> None:
        run(sys.executable, "-m", "venv", folder)
        run(folder / "bin" / "pip", "install", "--quiet", f"kinto[postgresql]=={self.version}")

    def _batch(self, phone: int, batch: Sequence[Change]) -> Request:
        requests = [
            {"path": f"{collection(phone)}/records/{change.record_id}", "body": {"data": dict(change.set)}}
            for change in batch
        ]
        return self._request("POST", "/v1/batch", {"defaults": {"method": "PUT"}, "requests": requests})

    def _request(self, method: str, path: str, body: Any = None) -> Request:
        return Request(self.port, USER, json.dumps(body).encode() if body is not None else b"", method, path)


def collection(phone: int) -> str:
    return f"/v1/buckets/linli/collections/phone-{phone}"
