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
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from playwright.sync_api import Page, Worker

from server.settings import ROOT
from tests.browser.phone import Phone, browser_processes

PERIOD_SECONDS = 0.016
LOOK_SECONDS = 0.5
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
    """Whoever stops others must be on time, so it goes before them where it may; where it was late all the same, the next
    stop makes up for it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    parent, owed, found = os.getppid(), 0.0, [browser_processes(profile)]
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    threading.Thread(target=look, args=(profile, found), daemon=True).start()
    print(flush=True)
    try:
        while os.getppid() == parent:
            begun = time.monotonic()
            time.sleep(PERIOD_SECONDS / times)
            processes = found[0]
            send(signal.SIGSTOP, processes)
            stopped = time.monotonic()
            owed += (stopped - begun) * (times - 1)
            time.sleep(max(0.0, owed))
            send(signal.SIGCONT, processes)
            owed -= time.monotonic() - stopped
    finally:
        send(signal.SIGCONT, found[0])


def look(profile: Path, found: list[set[int]]) -> None:
    """For processes that began."""
    while True:
        found[0] = browser_processes(profile)
        time.sleep(LOOK_SECONDS)


def send(sent: signal.Signals, processes: set[int]) -> None:
    for process_id in processes:
        with suppress(ProcessLookupError):
            os.kill(process_id, sent)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
