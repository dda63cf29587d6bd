"""`./linli bench weight`: what a phone must fetch, and how a page answered by the worker compares with the server's.

Sizes are bytes on the wire (gzip), headers included where the browser counts them. Times are only ever given as a ratio
of two medians measured in this very run.
"""

import argparse
import gzip
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from server.commands.browsers import find_chromium
from server.demo.households import make_households
from server.households import search_keys
from server.rules import SERVER_ID
from sync.changes import Record, canonical
from sync.protocol import encode_records
from tests.bench.report import print_table
from tests.browser.conftest import VOLUNTEER
from tests.browser.coordinator import Coordinator
from tests.browser.phone import Phone
from tests.browser.server_process import ServerProcess, demo_server

KILOBYTE = 1024
NAVIGATIONS = 20
HOUSEHOLDS = 500
NOW = 1_800_000_000_000


@dataclass(frozen=True, slots=True)
class Load:
    """What the browser fetched for one page."""

    requests: int
    bytes: int


def main(argv: list[str]) -> int:
    argparse.ArgumentParser(prog="./linli bench weight", description=__doc__).parse_args(argv)
    with enrolled_phone() as (phone, browser, server):
        first = first_load(browser, phone, server)
        by_worker, by_server = navigation_ms(phone, browser, server)
        script = worker_script_bytes(phone)
    replica = replica_bytes()
    print_table(
        "./linli bench weight",
        ["what", "measured", "budget"],
        [
            ["first load of the door screen, before the worker", f"{first.bytes / KILOBYTE:.1f} KB gz", "≤ 100 KB"],
            ["— its requests", str(first.requests), "≤ 8"],
            ["worker script", f"{script / KILOBYTE:.1f} KB gz", "≤ 40 KB"],
            [f"replica of {HOUSEHOLDS} households", f"{replica / KILOBYTE:.1f} KB gz", "≤ 50 KB"],
            [
                "a page answered by the worker ÷ the same page from the server on localhost",
                f"{by_worker / by_server:.2f} (medians of {NAVIGATIONS} full navigations)",
                "told, not bounded",
            ],
        ],
    )
    return 0


@contextmanager
def enrolled_phone() -> Iterator[tuple[Phone, Browser, ServerProcess]]:
    found = find_chromium()
    assert found is not None, "no Chromium or Chrome: ./linli test installs one"
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = demo_server(Path(folder) / "data")
        server.start()
        browser = playwright.chromium.launch(executable_path=str(found))
        coordinator = Coordinator(browser, server.url)
        coordinator.sign_in()
        phone = Phone(playwright, str(found), Path(folder) / "profile", server.url)
        phone.start()
        coordinator.confirm(phone.enrol(coordinator.invite(VOLUNTEER).link))
        phone.wait_until_enrolled()
        yield phone, browser, server
        phone.close()
        browser.close()
        server.close()


def door_path(phone: Phone) -> str:
    phone.open("/today")
    return str(phone.page.locator(".door__link").first.get_attribute("href"))


def without_worker(browser: Browser, phone: Phone) -> BrowserContext:
    """The volunteer's session in a browser that keeps nothing: what the very first load looks like."""
    return browser.new_context(storage_state=phone.context.storage_state(), service_workers="block")


def first_load(browser: Browser, phone: Phone, server: ServerProcess) -> Load:
    path = door_path(phone)
    context = without_worker(browser, phone)
    page = context.new_page()
    sizes: list[float] = []
    cdp = context.new_cdp_session(page)
    cdp.send("Network.enable")
    cdp.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page.goto(server.url + path, wait_until="networkidle")
    context.close()
    return Load(len(sizes), round(sum(sizes)))


def navigation_ms(phone: Phone, browser: Browser, server: ServerProcess) -> tuple[float, float]:
    """Medians of full navigations to 今天, alternating between the two hosts."""
    context = without_worker(browser, phone)
    page = context.new_page()
    by_worker: list[float] = []
    by_server: list[float] = []
    for _ in range(NAVIGATIONS):
        by_worker.append(one_navigation_ms(phone.page, server.url + "/today"))
        by_server.append(one_navigation_ms(page, server.url + "/today"))
    context.close()
    return statistics.median(by_worker), statistics.median(by_server)


def one_navigation_ms(page: Page, url: str) -> float:
    page.goto(url, wait_until="load")
    return float(page.evaluate("performance.getEntriesByType('navigation')[0].responseEnd"))


def worker_script_bytes(phone: Phone) -> int:
    response = phone.context.request.get(phone.url + "/service-worker.js", headers={"Accept-Encoding": "gzip"})
    return int(response.headers.get("content-length", "0"))


def with_keys(fields: dict[str, Any]) -> dict[str, Any]:
    return fields | {"search": search_keys(fields)}


def replica_bytes() -> int:
    """The household records of a first sync, as the server packs them."""
    records = [
        Record("household", each.id, place, each.id, SERVER_ID, "", NOW, NOW, False, with_keys(each.fields))
        for place, each in enumerate(make_households(1, Random(1))[:HOUSEHOLDS], 1)
    ]
    assert len(records) == HOUSEHOLDS
    return len(gzip.compress(canonical(encode_records(records)).encode(), compresslevel=1))
