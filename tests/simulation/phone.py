"""The phones: the real JavaScript of static/sync and static/store in V8, with disk, wire and clock handed in.

All phones of a history live in one engine and are stepped together, one call a tick: in go commands, clocks and
replies, out come the messages that the phones want to send and what their volunteers were told. There is no twin in
Python: the product's own files run in every history.
"""

import asyncio
import atexit
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
from py_mini_racer import mini_racer

from tests.javascript import STATIC, as_script

HERE = Path(__file__).parent
# What the simulated phone runs, with everything these import. exchangeStore of drain.js makes one store of two.
MODULES = ("sync/rebase.js", "store/outbox.js", "store/replica.js", "worker/drain.js")
# What the harness stands in for, and what the exchange never calls.
REPLACED = frozenset(
    {"store/database.js", "store/vault.js", "sync/seal.js", "worker/enrolment.js", "worker/storage.js"}
)
IMPORTED = re.compile(r'^import\b[^;]*?from "([^"]+)";', re.MULTILINE)
# What the harness takes out of them; everything else stays inside, so that no two names meet.
PARTS = "runExchange, Batch, Pages, Outbox, Replica, layOver, exchangeStore, readAnswer, encodeBase64, decodeBase64"

Json = dict[str, Any]


class Phones:
    """One V8 with all phones of the history that was started last."""

    def __init__(self) -> None:
        harness = [(HERE / name).read_text(encoding="utf-8") for name in ("phone.js", "mutants.js")]
        modules = [as_script(source_of(name)) for name in with_imports(MODULES)]
        # An event loop of our own, run by whoever calls: V8's usual one is a thread beside, which each call waits for.
        self._loop = asyncio.new_event_loop()
        self._racing = mini_racer(self._loop)
        self._engine = self._on_loop(self._racing.__enter__)
        product = f"const {{ {PARTS} }} = (() => {{\n" + "\n".join(modules) + f"\nreturn {{ {PARTS} }};\n}})();"
        self._on_loop(self._engine.eval, "\n".join([*harness, product]) + "\n;undefined")

    def start(self, phones: Sequence[Json], *, seed: int, mutant: str) -> None:
        self._on_loop(self._call, "start", {"phones": list(phones), "seed": seed, "mutant": mutant})

    def run(
        self, *, seed: int, clocks: Mapping[str, int], commands: Sequence[Json], replies: Sequence[Json]
    ) -> tuple[list[Json], list[Json]]:
        """One tick, all of it interleaved as the seed says. Returns the messages to send and the events."""
        given = {"seed": seed, "clocks": dict(clocks), "commands": list(commands), "replies": list(replies)}
        taken = self._on_loop(self._run_and_take, given)
        return taken["posts"], taken["events"]

    def inspect(self) -> list[Json]:
        found: list[Json] = self._on_loop(self._call, "inspect")
        return found

    def close(self) -> None:
        """V8 at times holds up the end of the process when it is left running."""
        self._on_loop(self._racing.__exit__, None, None, None)
        self._loop.close()

    def _run_and_take(self, given: Json) -> Any:
        """Between the two calls V8 runs what the first left waiting."""
        self._call("run", given)
        return self._call("take")

    def _on_loop(self, work: Callable[..., Any], *given: Any) -> Any:
        async def works() -> Any:
            return work(*given)

        if asyncio._get_running_loop() is None:
            return self._loop.run_until_complete(works())
        with ThreadPoolExecutor(1) as thread:  # Playwright's own loop runs in this one
            return thread.submit(self._loop.run_until_complete, works()).result()

    def _call(self, function: str, *arguments: Any) -> Any:
        written = ",".join(msgspec.json.encode(argument).decode() for argument in arguments)
        return msgspec.json.decode(str(self._engine.eval(f"JSON.stringify({function}({written}))??'null'")))


def with_imports(names: Sequence[str]) -> list[str]:
    """The modules and what they import, in an order in which each finds what it needs."""
    found: dict[str, None] = {}

    def visit(name: str) -> None:
        if name in found or name in REPLACED:
            return
        for imported in IMPORTED.findall(source_of(name)):
            visit((STATIC / name).parent.joinpath(imported).resolve().relative_to(STATIC).as_posix())
        found[name] = None

    for name in names:
        visit(name)
    return list(found)


def source_of(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def shared_phones() -> Phones:
    """Starting V8 costs more than a history; every history begins with `start`."""
    phones = Phones()
    atexit.register(phones.close)
    return phones
