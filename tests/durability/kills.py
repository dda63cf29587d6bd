"""kill -9, over and over, and what is left: by the hundred on small writers, by the ten on the whole server."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from server.database import Database
from server.sealing import ensure_sealing_key
from server.settings import ROOT, sqlite_url
from tests.browser.server_process import ServerProcess, with_database
from tests.durability.faulty_disk import on_shared_memory
from tests.durability.workload import DATABASE, PHONES, Findings, Ledger, change_of, examine, fill
from tests.people import ALICE, BOB, NOW, build_world
from tests.signing_phone import ServerKey, SigningPhone, message, server_key

LIVES = 25  # kills before a fresh database is taken
ANSWERS = 30  # a writer is killed after up to so many answers,
SECONDS = 0.01  # and up to so long after that
BATCH = 4


@dataclass(slots=True)
class Tally:
    kills: int = 0
    acknowledged: int = 0
    seconds: float = 0
    wrong: list[str] = field(default_factory=list)

    def add(self, where: str, found: Findings) -> None:
        for what in ("lost", "doubled", "corrupt"):
            self.wrong.extend(f"{where}: {what}: {each}" for each in getattr(found, what))


# Small writers


class Zygote:
    """The process that forks the writers (writers.py)."""

    def __init__(self) -> None:
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.durability.writers"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def kill_one(self, url: str, ledger: Ledger, random: Random, *, mistake: str = "") -> None:
        """One writer's life. The ledger then knows all that it acknowledged."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"url": url, "acknowledged": ledger.acknowledged, "seed": random.randrange(2**32), "mistake": mistake}
        answers, seconds = random.randrange(ANSWERS), random.uniform(0, SECONDS)
        self._process.stdin.write(json.dumps(order) + "\n")
        word, _, pid = self._process.stdout.readline().partition(" ")
        assert word == "started", word
        is_killed = False
        while True:
            if answers == 0 and not is_killed:
                time.sleep(seconds)  # the random instant itself, not a wait for something
                os.kill(int(pid), signal.SIGKILL)
                is_killed = True
            line = self._process.stdout.readline()
            if line.strip() == "ended":
                break
            index, through = line.split()
            ledger.acknowledged[PHONES[int(index)]] = int(through)
            answers -= 1
        assert is_killed, "the writer ended by itself"

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()


def kill_writers(kills: int, *, seed: int, mistake: str = "", walks_chain_every: int = 10) -> Tally:
    """The page cache outlives a killed process, so the files lie in memory: a disk would only slow it down."""
    random, tally, started = Random(seed), Tally(), time.monotonic()
    with tempfile.TemporaryDirectory(dir=on_shared_memory(Path(tempfile.gettempdir()))) as name:
        folder, zygote = Path(name), Zygote()
        template = folder / "template"
        template.mkdir()
        fill(template)
        ledger = Ledger()
        while tally.kills < kills and not tally.wrong:
            if tally.kills % LIVES == 0:
                ledger, current = Ledger(), folder / f"life-{tally.kills}"
                shutil.copytree(template, current)
            before = ledger.total
            zygote.kill_one(sqlite_url(current / DATABASE), ledger, random, mistake=mistake)
            tally.kills += 1
            tally.acknowledged += ledger.total - before
            is_last = tally.kills % LIVES == 0 or tally.kills == kills
            copy = folder / "copy"  # the next writer finds, and recovers, what the kill left
            shutil.copytree(current, copy)
            walks_chain = is_last or tally.kills % walks_chain_every == 0
            tally.add(
                f"seed {seed}, kill {tally.kills}",
                examine(copy / DATABASE, ledger.acknowledged, walks_chain=walks_chain),
            )
            shutil.rmtree(copy)
            if is_last:
                shutil.rmtree(current)
        zygote.close()
    tally.seconds = time.monotonic() - started
    return tally


# The whole server


class Phones:
    """Signing phones that push over HTTP, each from a thread of its own, whatever becomes of the server."""

    def __init__(self, server: ServerProcess, seed: int) -> None:
        self._server = server
        self._is_over = threading.Event()
        self._is_given_up = threading.Event()
        self._seed = seed
        self.ledger = Ledger()
        self.sent = dict.fromkeys(PHONES, 0)
        self.refused: list[str] = []
        self.phones = {name: SigningPhone(BOB if name.startswith("Bob") else ALICE) for name in PHONES}
        self.key: ServerKey | None = None
        self._threads = [threading.Thread(target=self._push_until_over, args=(name,)) for name in PHONES]

    def enrol(self, database: Database) -> None:
        build_world(database)
        for phone in self.phones.values():
            database.write(phone.enrol)
        database.write(lambda session: ensure_sealing_key(session, now=NOW))
        self.key = database.read(server_key)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Each sends on until what it sent last is acknowledged."""
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def give_up(self) -> None:
        """Where the server will not come back."""
        self._is_given_up.set()
        self.finish()

    def _push_until_over(self, name: str) -> None:
        random = Random(f"{self._seed} {name}")
        while not self._is_over.is_set():
            first = self.ledger.acknowledged[name] + 1
            count = random.randrange(1, BATCH + 1)
            self.sent[name] = first + count - 1
            self._push_until_acknowledged(name, first, count)

    def _push_until_acknowledged(self, name: str, first: int, count: int) -> None:
        assert self.key is not None
        phone, key = self.phones[name], self.key
        body = message([phone.sealed(key, change_of(name, number)) for number in range(first, first + count)], limit=1)
        while not self._is_given_up.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=20)
            try:
                connection.request("POST", "/sync", body, phone.headers(body, origin=self._server.url))
                response = connection.getresponse()
                answer = json.loads(response.read())
            except (OSError, http.client.HTTPException, ValueError):
                time.sleep(0.02)  # the server is gone: a phone would wait as well
                continue
            finally:
                connection.close()
            outcomes = {result["outcome"] for result in answer.get("results", [])}
            if response.status == 200 and outcomes <= {"accepted", "again", "merged"}:
                self.ledger.acknowledged[name] = first + count - 1
                return
            self.refused.append(f"{response.status} {answer}")
            if response.status != 503:
                return


def kill_servers(
    kills: int, *, seed: int, folder: Path, make: Callable[[Path], ServerProcess] = ServerProcess
) -> Tally:
    """`./linli serve`, killed under load; after each kill a copy of what it left is examined."""
    random, tally, started = Random(seed), Tally(), time.monotonic()
    server = make(folder)
    phones = Phones(server, seed)
    with_database(server, phones.enrol)
    server.start()
    phones.start()
    try:
        for kill in range(1, kills + 1):
            wait_for_answers(phones, random.randrange(5, 40))
            time.sleep(random.uniform(0, 0.05))
            server.kill()
            # Whatever the phones were told before the server died they will have noted by the time it is back.
            copy = copy_of(folder, f"kill-{kill}")
            known = dict(phones.ledger.acknowledged)
            tally.add(f"seed {seed}, server kill {kill}", examine_sent(copy, known, phones))
            shutil.rmtree(copy)
            tally.kills += 1
            server.start()
        phones.finish()
    finally:
        phones.give_up()
        server.close()
    assert phones.ledger.acknowledged == phones.sent
    tally.wrong.extend(phones.refused)
    tally.add(f"seed {seed}, at the end", examine_sent(folder, phones.ledger.acknowledged, phones))
    tally.acknowledged = phones.ledger.total
    tally.seconds = time.monotonic() - started
    return tally


def wait_for_answers(phones: Phones, more: int) -> None:
    goal = phones.ledger.total + more
    deadline = time.monotonic() + 120
    while phones.ledger.total < goal:
        assert time.monotonic() < deadline, f"no answers: {phones.refused[:3]}"
        time.sleep(0.002)


def copy_of(folder: Path, name: str) -> Path:
    copy = folder / name
    copy.mkdir()
    for path in folder.glob(f"{DATABASE}*"):
        shutil.copy(path, copy)
    return copy


def examine_sent(folder: Path, acknowledged: dict[str, int], phones: Phones) -> Findings:
    return examine(folder / DATABASE, acknowledged, device_of=lambda name: phones.phones[name].device_id)
