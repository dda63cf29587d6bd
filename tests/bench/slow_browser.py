"""A slow processor for a whole browser: its pages, its workers and their helpers alike.

DevTools slow a page and no worker. A control group's quota is shared by all processes of it, so that two that work at once
slow each other, as they do not on a phone. So every process of the browser is stopped three quarters of the time, by
signals, in periods short enough that nobody sees them: `python -m tests.bench.slow_browser PROFILE TIMES`, in a process of
its own, because the bench's own threads would disturb its rhythm. It ends with its parent, or when it is told to, and lets
everything run again.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from playwright.sync_api import Page, Worker

from server.settings import ROOT
from tests.browser.phone import Phone, browser_processes

PERIOD_SECONDS = 0.016
LOOK_EVERY = 30  # periods, for processes that began
# A plain loop, of a second on a quick machine.
LOOP = """() => {
    let sum = 0;
    for (let count = 0; count < 200_000_000; count += 1) sum = (sum + count) % 1000003;
    return sum;
}"""


@contextmanager
def slow_browser(profile: Path, times: int) -> Iterator[None]:
    """A browser on this profile is so many times slower, from now on and whenever it is started again."""
    command = [sys.executable, "-P", "-m", "tests.bench.slow_browser", str(profile), str(times)]
    slowing = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE)
    try:
        assert slowing.stdout is not None
        slowing.stdout.readline()  # it has begun
        yield
    finally:
        slowing.terminate()
        slowing.communicate()


def slowness(phone: Phone, profile: Path) -> dict[str, float]:
    """How many times longer a plain loop takes than the processor works at it, in a page and in its worker. What else the
    machine does adds to it: on a quiet one that is not slowed it is 1."""
    places: dict[str, Page | Worker] = {"page": phone.page, "worker": phone.context.service_workers[-1]}
    return {name: waited / worked for name, place in places.items() for waited, worked in [loop_of(place, profile)]}


def loop_of(place: Page | Worker, profile: Path) -> tuple[float, float]:
    before, begun = processor_seconds(profile), time.perf_counter()
    place.evaluate(LOOP)
    waited, after = time.perf_counter() - begun, processor_seconds(profile)
    return waited, max(after[each] - before[each] for each in after.keys() & before.keys())


def processor_seconds(profile: Path) -> dict[int, float]:
    """By process (proc(5): utime and stime)."""
    found = {}
    for process_id in browser_processes(profile):
        with suppress(OSError):
            fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
            found[process_id] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return found


def main(profile: Path, times: int) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    parent, processes, period = os.getppid(), set[int](), 0
    with suppress(PermissionError):
        os.nice(-19)  # whoever stops others must be on time
    print(flush=True)
    try:
        while os.getppid() == parent:
            if period % LOOK_EVERY == 0:
                processes = browser_processes(profile)
            period += 1
            begun = time.monotonic()
            send(signal.SIGCONT, processes)
            sleep_until(begun + PERIOD_SECONDS / times)
            send(signal.SIGSTOP, processes)
            sleep_until(begun + PERIOD_SECONDS)
    finally:
        send(signal.SIGCONT, processes)


def send(sent: signal.Signals, processes: set[int]) -> None:
    for process_id in processes:
        with suppress(ProcessLookupError):
            os.kill(process_id, sent)


def sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
