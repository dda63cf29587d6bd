"""A phone with another engine than Chromium: it can open a page and run a line of script in it, and that is enough."""

import json
import time
from collections.abc import Callable
from typing import Any, Protocol

SECONDS = 20
PAUSE_SECONDS = 0.05


class Engine(Protocol):
    def open(self, url: str) -> None: ...

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited. May fail while a page is being left."""

    def close(self) -> None: ...


class OtherPhone:
    def __init__(self, engine: Engine, url: str) -> None:
        self.engine = engine
        self.url = url

    # Actions

    def open(self, path: str) -> None:
        self.engine.open(self.url + path)

    def enrol(self, link: str) -> str:
        self.engine.open(link)
        self.wait_for("document.querySelector('#code').value && !submit('enrol-form').disabled")
        self.run("document.querySelector('#device_name').value = '示例手机'")
        self.run("submit('enrol-form').click()")
        self.wait_for("location.pathname === '/enrol/waiting' && document.querySelector('.number')")
        return str(self.run("document.querySelector('.number').textContent.trim()"))

    def wait_until_enrolled(self) -> None:
        self.wait_for("location.pathname === '/today'")
        self.wait_for(
            """new Promise((resolve) => {
                const { serviceWorker } = navigator;
                setTimeout(() => resolve(false), 1000);
                serviceWorker.addEventListener("message", ({ data }) => {
                    if (data?.type === "drained") resolve(data.is_enrolled);
                });
                serviceWorker.controller.postMessage({ type: "drain", cause: "load" });
            })"""
        )

    def log_visit(self, outcome: str, *, note: str = "") -> str:
        self.open("/today")
        self.run("document.querySelector('.door:has([data-state=open]) .door__link').click()")
        self.wait_for("document.querySelector(\"a[href$='/visit']\")")
        self.run("document.querySelector(\"a[href$='/visit']\").click()")
        self.wait_for("document.querySelector('#visit-form')")
        self.run(f"document.querySelector('input[name=outcome][value={outcome}]').click()")
        self.run(f"document.querySelector('textarea[name=note]').value = {json.dumps(note)}")
        self.run("submit('visit-form').click()")
        self.wait_for("new URLSearchParams(location.search).get('saved')")
        return str(self.run("new URLSearchParams(location.search).get('saved')"))

    # Looking

    def states(self) -> dict[str, str]:
        """The state of each line of 我的走访, in words."""
        self.open("/my-visits")
        found = self.run(
            """JSON.stringify([...document.querySelectorAll(".visits > .visit")].map((line) =>
                [line.id.replace("visit-", ""), line.querySelector(".visit__state").innerText.trim()]))"""
        )
        return dict(json.loads(found))

    def wait_for_header(self, text: str, *, seconds: float = SECONDS) -> None:
        self.wait_for(f"document.querySelector('#sync-status').innerText.includes({json.dumps(text)})", seconds=seconds)

    def run(self, expression: str) -> Any:
        submit = "const submit = (form) => document.querySelector(`#${form} button:not([type=button]), button[form=${form}]:not([type=button])`);"
        return self.engine.evaluate(f"(() => {{ {submit} return ({expression}); }})()")

    def wait_for(self, expression: str, *, seconds: float = SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not self._is(expression):
            assert time.monotonic() < deadline, f"never came true: {expression}\n{self._page()}"
            time.sleep(PAUSE_SECONDS)

    # Private

    def _is(self, expression: str) -> bool:
        return attempt(lambda: self.run(f"({expression})")) not in (None, False, "", 0)

    def _page(self) -> Any:
        return attempt(lambda: self.run("location.href + '\\n' + document.body.innerText"))


def attempt(work: Callable[[], Any]) -> Any:
    """None while a page is on its way out: neither protocol says so in one way."""
    try:
        return work()
    except Exception:
        return None
