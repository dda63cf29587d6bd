"""`./linli bench phone`: what a volunteer waits for on a slow phone and a slow line.

The whole browser is slowed four times, pages, workers and helpers alike (slow_browser.py), and so is the line, to
400 kbit/s and 400 ms there and back (slow_line.py). Times are told as ratios to an empty page of the same run: /healthz,
through the same line on the same phone. In milliseconds, of this very machine, are told what has a bound in them: what a
tap takes (INP: from the touch to the next picture, the browser's own measure), and how long today's round takes to be on
screen, for an app that was killed and for a list of 2,000 people. Whether it was really four times slower stands below:
what else the machine does adds to it, so a busy one makes all of these longer.
"""

import argparse
import json
import os
import platform
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Request, expect, sync_playwright
from sqlmodel import Session, select

from server.accepting import accept_changes, server_author
from server.commands.browsers import find_chromium
from server.demo.names import COMMUNITY_ID
from server.models import Record, Volunteer
from server.rounds import assign_round
from server.rules import SCHEMA
from server.scope import SCOPED
from sync.changes import Action, Change
from tests.bench.report import print_table
from tests.bench.slow_browser import slow_browser, slowness
from tests.bench.slow_line import SlowLine
from tests.browser.conftest import VOLUNTEER
from tests.browser.coordinator import Coordinator
from tests.browser.phone import Phone
from tests.browser.server_process import ServerProcess, demo_server, with_database
from tests.browser.test_people_map import add_people
from tests.people import NOW, made_up_id, visit_change

TIMES = 5
SLOWER = 4
BITS_PER_SECOND, ROUND_TRIP_SECONDS = 400_000, 0.4
HOUSEHOLDS = 500
DOORS_EACH = 40
VISITS_EACH = 3
OPEN_DOOR = ".door:has([data-state=open]) .door__link"
# Every touch, as the browser counts it: from the finger to the next picture; and what was touched.
WATCH_TAPS = """
window.taps = [];
const touched = [];
addEventListener("pointerdown", ({ target, timeStamp }) => {
    const what = target.closest("a, button, label") ?? target;
    touched.push([timeStamp, `${what.textContent.trim().replace(/\\s+/g, " ").slice(0, 20)} (${location.pathname.split("/")[1]})`]);
}, true);
new PerformanceObserver((list) => {
    for (const { interactionId, duration, startTime } of list.getEntries()) {
        const [, what] = touched.findLast(([at]) => at <= startTime + 1) ?? [0, "?"];
        if (interactionId) window.taps.push([duration, what]);
    }
}).observe({ type: "event", durationThreshold: 16, buffered: true });
"""
# When the first door was on screen: the frame after the one that painted it. Playwright looks every few hundred ms.
WATCH_DOORS = """
const look = () => requestAnimationFrame(() => {
    if (!document.querySelector(".door")) return look();
    requestAnimationFrame(() => { window.doorAt = performance.now(); });
});
look();
"""


@dataclass(slots=True)
class Step:
    """One thing a volunteer does, several times over."""

    name: str
    taps: int
    seconds: list[float] = field(default_factory=list)
    bytes: list[int] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)
    is_in_ms: bool = False  # told in milliseconds, too


@dataclass(slots=True)
class Bench:
    phone: Phone
    profile: Path
    line: SlowLine
    sent: list[str]
    steps: dict[str, Step] = field(default_factory=dict)
    taps: list[tuple[float, str]] = field(default_factory=list)  # ms, and what was touched

    def do(self, name: str, taps: int, act: Callable[[], object]) -> None:
        step = self.steps.setdefault(name, Step(name, taps))
        bytes_before, sent_before, begun = self.line.bytes, len(self.sent), time.perf_counter()
        act()
        step.seconds.append(time.perf_counter() - begun)
        step.bytes.append(self.line.bytes - bytes_before)
        step.requests.append(len(self.sent) - sent_before)

    def note(self, name: str, seconds: float) -> None:
        """A part of the step before."""
        step = self.steps.setdefault(name, Step(name, 0, is_in_ms=True))
        step.seconds.append(seconds)
        step.bytes.append(0)
        step.requests.append(0)

    def tap(self, selector: str, then: str) -> None:
        """Until what the tap leads to is on screen."""
        self.phone.page.locator(selector).first.tap()
        expect(self.phone.page.locator(then).first).to_be_visible(timeout=30_000)

    def note_taps(self) -> None:
        self.phone.page.evaluate("() => new Promise((resolve) => setTimeout(resolve, 300))")  # entries come late
        self.taps += [(ms, what) for ms, what in self.phone.page.evaluate("() => (window.taps ?? []).splice(0)")]

    def rows(self, empty: float) -> list[list[str]]:
        return [
            [
                step.name,
                str(step.taps),
                f"{statistics.median(step.requests):.0f}",
                f"{statistics.median(step.bytes) / 1024:.1f} KB",
                f"{statistics.median(step.seconds) / empty:.2f}",
                f"{statistics.median(step.seconds) * 1000:.0f}" if step.is_in_ms else "",
            ]
            for step in self.steps.values()
        ]


def main(argv: list[str]) -> int:
    argparse.ArgumentParser(prog="./linli bench phone", description=__doc__).parse_args(argv)
    rows: list[list[str]] = []
    with slow_phone(give_doors) as (bench, sync_seconds, sync_bytes, sync_requests):
        slower = slowness(bench.phone, bench.profile)
        empty = empty_page(bench)
        first = [f"first sync of {HOUSEHOLDS} households", "0", str(sync_requests), f"{sync_bytes / 1024:.1f} KB"]
        rows.append([*first, f"{sync_seconds / empty:.2f}", ""])
        for _ in range(TIMES):
            work_at_a_door(bench)
        for _ in range(TIMES):
            open_after_a_kill(bench)
        rows += bench.rows(empty)
        touches = sorted(bench.taps)
    with slow_phone(add_people_and_visits) as (bench, *_):
        empty = empty_page(bench)
        for _ in range(TIMES):
            open_large_replica(bench)
        rows += bench.rows(empty)
    print_table("./linli bench phone", ["what", "taps", "requests", "on the wire", "time ÷ an empty page", "ms"], rows)
    inp = [ms for ms, _ in touches]
    print(
        f"\n{len(inp)} touches: INP median {statistics.median(inp):.0f} ms, the slowest of a hundred "
        f"{inp[min(len(inp) - 1, int(len(inp) * 0.99))]:.0f} ms, the slowest {inp[-1]:.0f} ms "
        "(touches under 16 ms are not counted by the browser)."
    )
    print("Slowest: " + ", ".join(f"{what} {ms:.0f}" for ms, what in reversed(touches[-5:])))
    print(
        f"Slowed {SLOWER}× by signals: a plain loop took {slower['page']:.1f} times its own processor time in the page, "
        f"{slower['worker']:.1f} times in the worker. An empty page took {empty * 1000:.0f} ms."
    )
    load = os.getloadavg()[0]
    print(f"Machine: {platform.machine()}, {os.cpu_count()} cores, load {load:.1f} at the end.")
    return 0


# Steps


def work_at_a_door(bench: Bench) -> None:
    phone = bench.phone
    bench.do("open the round", 1, lambda: opened(phone, "/today", ".door"))
    bench.do("log a visit (未遇)", 2, lambda: not_home(bench))
    bench.note_taps()
    bench.do("go on to the next door", 1, lambda: bench.tap(".actions .button--primary", ".actions--door"))
    bench.do("log a visit in full", 3, lambda: in_full(bench))
    bench.note_taps()
    bench.do("open the map", 1, lambda: bench.tap(".nav a[href='/map']", ".stack"))
    bench.note_taps()
    bench.do("search by letters", 1, lambda: search(bench, "sl"))
    bench.note_taps()


def not_home(bench: Bench) -> None:
    bench.tap(OPEN_DOOR, ".actions--door")
    bench.tap("button[value=no_answer]", "#saved")


def in_full(bench: Bench) -> None:
    bench.tap(".actions--door a[href$='/visit']", "#visit-form")
    bench.tap("[data-all-good]", "#visit-form input[value=met]:checked + span")
    bench.tap("button[form=visit-form]:not([type=button])", "#saved")


def search(bench: Bench, text: str) -> None:
    bench.tap("a[href='/find']", "#q")
    bench.phone.page.locator("#q").fill(text)
    expect(bench.phone.page.locator("#found")).to_have_attribute("data-for", text, timeout=30_000)


def open_after_a_kill(bench: Bench) -> None:
    """The icon is tapped where there is no network (EXPERIENCE.md 4). How long the browser takes to begin is its own affair."""
    phone = bench.phone
    phone.kill()
    start(phone)
    phone.context.set_offline(True)
    bench.do("open the round, the app was killed", 1, lambda: opened(phone, "/today", ".door"))
    bench.note("open the round, the app was killed: until it is on screen", on_screen_after(phone))
    phone.context.set_offline(False)


def open_large_replica(bench: Bench) -> None:
    phone = bench.phone
    phone.stop_workers()
    many = f"2,000 people, {VISITS_EACH} visits a household"
    bench.do(f"{many}: open the round, worker cold", 1, lambda: opened(phone, "/today", ".door"))
    bench.note(f"{many}: until it is on screen", on_screen_after(phone))
    bench.note(f"{many}: until the cold worker has opened it and answers", answered_after(phone))
    bench.do(f"{many}: open a door", 1, lambda: opened(phone, door_of(phone), "#last-visits"))
    bench.do(f"{many}: open the map", 1, lambda: opened(phone, "/map", ".chips"))
    bench.do(f"{many}: search by letters", 1, lambda: search(bench, "zhangw"))
    bench.note(f"{many}: until a search is answered, from the pause in typing", search_seconds(phone))


def on_screen_after(phone: Phone) -> float:
    """Seconds from the tap until the first door was painted."""
    return float(phone.page.wait_for_function("window.doorAt").json_value()) / 1000


def answered_after(phone: Phone) -> float:
    """Seconds from the tap to the first byte of the worker's page, its start and all that it unseals included."""
    spent: float = phone.page.evaluate("() => performance.getEntriesByType('navigation')[0].responseStart")
    return spent / 1000


def search_seconds(phone: Phone) -> float:
    spent: float = phone.page.evaluate(
        "() => performance.getEntriesByType('resource').findLast(({ name }) => name.endsWith('/find')).duration"
    )
    return spent / 1000


def door_of(phone: Phone) -> str:
    return str(phone.page.locator(".door__link").first.get_attribute("href"))


def opened(phone: Phone, path: str, then: str) -> None:
    """Until it is on screen; scripts may still load."""
    phone.page.goto(phone.url + path, wait_until="commit")
    expect(phone.page.locator(then).first).to_be_visible(timeout=30_000)


def empty_page(bench: Bench) -> float:
    found = []
    for _ in range(TIMES):
        begun = time.perf_counter()
        bench.phone.page.goto(bench.phone.url + "/healthz")
        found.append(time.perf_counter() - begun)
    return statistics.median(found)


# Set-up


@contextmanager
def slow_phone(prepare: Callable[[Session], None]) -> Iterator[tuple[Bench, float, int, int]]:
    """Enrolled on a good line; its first sync is made on the slow one, and measured."""
    found = find_chromium()
    assert found is not None, "no Chromium or Chrome: ./linli test installs one"
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = demo_server(Path(folder) / "data")
        with_database(server, lambda database: database.write(prepare))
        server.start()
        browser = playwright.chromium.launch(executable_path=str(found))
        profile = Path(folder) / "profile"
        with slow_line(server) as line:
            phone = Phone(playwright, str(found), profile, line.url)
            start(phone)
            sent = watch(phone)
            coordinator = Coordinator(browser, server.url)
            coordinator.sign_in()
            number = phone.enrol(coordinator.invite(VOLUNTEER).link.replace(coordinator.url, phone.url))
            with slow_browser(profile, SLOWER):
                line.is_slow = True
                coordinator.confirm(number)
                yield Bench(phone, profile, line, sent), *first_sync(phone, line, sent)
            phone.close()
        close(browser, server)


def start(phone: Phone) -> None:
    phone.start()
    widen(phone)
    phone.context.add_init_script(WATCH_TAPS)
    phone.context.add_init_script(WATCH_DOORS)


def widen(phone: Phone) -> None:
    """The browser's window has bars of its own, which no phone has: what stands where they leave no room is painted, and
    never counted as presented."""
    tools = phone.context.new_cdp_session(phone.page)
    window = tools.send("Browser.getWindowForTarget")
    tools.send("Browser.setWindowBounds", {"windowId": window["windowId"], "bounds": {"width": 800, "height": 1000}})
    tools.detach()


def slow_line(server: ServerProcess) -> SlowLine:
    return SlowLine(server.port, bits_per_second=BITS_PER_SECOND, round_trip_seconds=ROUND_TRIP_SECONDS)


def close(browser: Browser, server: ServerProcess) -> None:
    browser.close()
    server.close()


def watch(phone: Phone) -> list[str]:
    """What goes to the network: the worker's own requests, and what no worker answers."""
    sent: list[str] = []

    def note(request: Request) -> None:
        if request.service_worker is not None:
            sent.append(request.url)

    phone.context.on("request", note)
    return sent


def first_sync(phone: Phone, line: SlowLine, sent: list[str]) -> tuple[float, int, int]:
    """Seconds, bytes and requests: from the coordinator's word to the list on screen."""
    begun, bytes_before, sent_before = time.perf_counter(), line.bytes, len(sent)
    phone.page.wait_for_url("**/today", timeout=120_000)
    expect(phone.page.locator("nav.nav")).to_be_visible(timeout=120_000)
    return time.perf_counter() - begun, line.bytes - bytes_before, len(sent) - sent_before


def give_doors(session: Session) -> None:
    """Five hundred of the demo's households to its first volunteer."""
    me = session.exec(select(Volunteer).where(Volunteer.number == VOLUNTEER)).one()
    records = session.exec(select(Record.kind, Record.record_id, Record.fields).execution_options(**SCOPED)).all()
    (round_id,) = [record_id for kind, record_id, fields in records if kind == "round" and re.search("2号楼", fields)]
    doors = [record_id for kind, record_id, _ in records if kind == "household"][:HOUSEHOLDS]
    assign_round(session, community_id=me.community_id, round_id=round_id, household_ids=doors, volunteer_ids=[me.id])


def add_people_and_visits(session: Session) -> None:
    add_people(session)
    share_among_rounds(session)
    rows: Any = session.exec(select(Record.record_id, Record.fields).execution_options(**SCOPED)).all()
    doors = [record_id for record_id, fields in rows if '"door":"1' in fields.replace('": "', '":"')]
    assert len(doors) >= 800
    changes = [
        visit_change(f"{place} at {door}", door=door, round_id=made_up_id("many"), note="示例：一切都好，药够吃。")
        for door in doors[:800]
        for place in range(VISITS_EACH)
    ]
    for at in range(0, len(changes), 200):
        accept_changes(session, server_author(COMMUNITY_ID), changes[at : at + 200], NOW)


def share_among_rounds(session: Session) -> None:
    """No round has eight hundred doors: one is walked now, the others have ended. Who may see them stays as it is."""
    (fields,) = session.exec(
        select(Record.fields).where(Record.record_id == made_up_id("many")).execution_options(**SCOPED)
    )
    whole = json.loads(fields)
    doors = whole["household_ids"]
    changes = [
        Change(
            made_up_id(f"round {number}"), 0, "round", made_up_id(f"many {number}"), Action.PUT, 0,
            whole
            | {"title": f"第{number + 1}份", "household_ids": doors[number * DOORS_EACH :][:DOORS_EACH]}
            | ({"ends_on": "2026-02-01"} if number else {}), NOW, SCHEMA,
        )
        for number in range(len(doors) // DOORS_EACH)
    ]  # fmt: skip
    changes.append(Change(made_up_id("no round"), 0, "round", made_up_id("many"), Action.VOID, 0, {}, NOW, SCHEMA))
    accept_changes(session, server_author(COMMUNITY_ID), changes, NOW)
    (me,) = whole["volunteer_ids"]
    for change in changes[:-1]:
        assign_round(
            session,
            community_id=COMMUNITY_ID,
            round_id=change.record_id,
            household_ids=change.set["household_ids"],
            volunteer_ids=[me],
        )
