"""`./linli bench stops`: a worker that is stopped, and a browser that is killed, at random instants while visits are saved
and uploaded (RELIABILITY.md P1, P14).

A page saves one visit after another by the form of one tap, and each is tried again with the same ids until the worker has
said "saved", as somebody taps again. Meanwhile the worker is stopped (DevTools) after a random while, or every process of
the browser is killed. In the end all of it must have come: each visit once as a record and once as a line of history.
"""

import argparse
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from playwright.sync_api import CDPSession, Error, sync_playwright

from server.commands.browsers import find_chromium
from server.identifiers import packed, uuid7
from tests.bench.report import print_table
from tests.browser.conftest import enrol
from tests.browser.coordinator import Coordinator
from tests.browser.phone import Phone
from tests.browser.server_process import ServerProcess, demo_server, wait_until

AT_ONCE = 50  # visits until all that wait must be up
SECONDS_MAX = 0.25
SAVE = """async ([path, record_id, change_id]) => {
    const fields = { record_id, change_id, base: "0", opened_at: String(Date.now()), quick: "1", outcome: "no_answer" };
    navigator.serviceWorker.controller?.postMessage({ type: "drain", cause: "asked" });
    return (await fetch(path, { method: "POST", body: new URLSearchParams(fields) })).url;
}"""


SAVE_MEANWHILE = f"(given) => {{ void ({SAVE})(given).catch(() => {{}}); }}"


@dataclass(slots=True)
class Tally:
    stops: int = 0
    kills: int = 0
    saved: int = 0
    tried_again: int = 0
    lost: int = 0
    doubled: int = 0


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./linli bench stops", description=__doc__)
    parser.add_argument("--stops", type=int, default=2000, help="of the worker")
    parser.add_argument("--kills", type=int, default=0, help="of the whole browser")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(argv)
    random, tally = Random(asked.seed), Tally()
    saved: list[str] = []
    with working_phone() as (phone, server):
        path = f"{door_of(phone)}/visit"
        while tally.stops < asked.stops or tally.kills < asked.kills:
            is_kill = tally.kills < asked.kills and random.random() < (asked.kills - tally.kills) / (
                asked.kills - tally.kills + asked.stops - tally.stops
            )
            saved.append(save_one(phone, path, random, tally, is_kill=is_kill))
            if len(saved) % AT_ONCE == 0:
                wait_until_uploaded(phone)
                print(f"\r{len(saved):,} saved", end="", flush=True)
        wait_until_uploaded(phone)
        compare(server, saved, tally)
    rows = [[name, f"{getattr(tally, name):,}"] for name in Tally.__slots__]
    print_table(
        f"./linli bench stops --stops {asked.stops} --kills {asked.kills} --seed {asked.seed}", ["what", "count"], rows
    )
    return 1 if tally.lost or tally.doubled else 0


@contextmanager
def working_phone() -> Iterator[tuple[Phone, ServerProcess]]:
    chromium = find_chromium()
    assert chromium, "no Chromium: ./linli test installs one"
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = demo_server(Path(folder) / "data")
        server.start()
        browser = playwright.chromium.launch(executable_path=chromium)
        coordinator = Coordinator(browser, server.url)
        phone = Phone(playwright, chromium, Path(folder) / "profile", server.url)
        try:
            coordinator.sign_in()
            phone.start()
            enrol(phone, coordinator)
            yield phone, server
        finally:
            phone.close()
            coordinator.close()
            browser.close()
            server.close()


def door_of(phone: Phone) -> str:
    phone.open("/today")
    return str(phone.page.locator(".door__link").first.get_attribute("href"))


def save_one(phone: Phone, path: str, random: Random, tally: Tally, *, is_kill: bool) -> str:
    """The id of a visit that the phone has said is saved, after something was broken on the way."""
    record_id, change_id = uuid7(), uuid7()
    phone.page.evaluate(SAVE_MEANWHILE, [path, record_id, change_id])
    time.sleep(random.uniform(0, SECONDS_MAX))  # the random instant itself, not a wait for something
    if is_kill:
        phone.kill()
        phone.start()
        phone.open("/today")
        tally.kills += 1
    else:
        stop_worker(phone)
        tally.stops += 1
    while f"saved={record_id}" not in said(phone, path, record_id, change_id):
        tally.tried_again += 1
    tally.saved += 1
    return record_id


def said(phone: Phone, path: str, record_id: str, change_id: str) -> str:
    with suppress(Error):
        return str(phone.page.evaluate(SAVE, [path, record_id, change_id]))
    return ""


def stop_worker(phone: Phone) -> None:
    tools: CDPSession = phone.context.new_cdp_session(phone.page)
    tools.send("ServiceWorker.enable")
    tools.send("ServiceWorker.stopAllWorkers")
    tools.detach()


def wait_until_uploaded(phone: Phone) -> None:
    phone.open("/today")
    wait_until(lambda: "全部已上传" in phone.header, seconds=120, failure=lambda: f"not uploaded: {phone.header}")


def compare(server: ServerProcess, saved: list[str], tally: Tally) -> None:
    with closing(sqlite3.connect(server.data_dir / "linli.db")) as database:
        records = Counter(row[0] for row in database.execute("SELECT record_id FROM record WHERE kind = 'visit'"))
        lines = Counter(row[0] for row in database.execute("SELECT record_id FROM change WHERE kind = 'visit'"))
    for record_id in saved:
        found = records[packed(record_id)], lines[packed(record_id)]
        tally.lost += 0 in found
        tally.doubled += max(found) > 1
