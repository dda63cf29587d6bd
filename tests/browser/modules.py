"""Our modules as they are served, in a page of their own; nothing else of the app is there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, Route

from server.assets import STATIC

ORIGIN = "http://127.0.0.1:9"  # nobody listens there: every file comes from the folder
# What a power cut or a worn chip leaves of a large value, which Chromium keeps in a file of its own.
LOST_FILES: dict[str, Callable[[Path], object]] = {
    "gone": Path.unlink,
    "cut short": lambda file: file.write_bytes(file.read_bytes()[:1000]),
}


def open_empty(page: Page) -> None:
    page.route("**/*", from_folder)
    page.goto(ORIGIN)


def from_folder(route: Route) -> None:
    path = route.request.url.removeprefix(ORIGIN)
    if path.startswith("/static/"):
        route.fulfill(path=STATIC / path.removeprefix("/static/"), content_type="text/javascript")
    else:
        route.fulfill(body="<!doctype html><title>modules</title>", content_type="text/html")


def run_with(page: Page, script: str, given: Any = None) -> Any:
    """What the script returns; it may import and await, and finds `given`."""
    return page.evaluate(f"async (given) => {{ {script} }}", given)
