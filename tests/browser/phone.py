"""A volunteer's phone: Chromium on a profile of its own, driven through what is on screen.

Everything is found by what the templates promise: stable ids, form names, `data-state`. Nothing here waits for a time,
only for something to be true.
"""

import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, ConsoleMessage, Error, Page, Playwright, expect

from tests.browser.screen import submit_of
from tests.browser.server_process import wait_until

SECONDS = 20
DEVICE: dict[str, Any] = {
    "viewport": {"width": 360, "height": 640},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
    "locale": "zh-CN",
    "timezone_id": "Asia/Shanghai",
}
CONTROLLED = "() => navigator.serviceWorker?.controller != null"
# What app.js asks, too. The worker says whether it answers volunteers' pages by itself.
IS_READY = """() => new Promise((resolve) => {
    const { serviceWorker } = navigator;
    setTimeout(() => resolve(false), 1000);
    serviceWorker.addEventListener("message", ({ data }) => {
        if (data?.type === "drained") resolve(data.is_enrolled);
    });
    serviceWorker.controller.postMessage({ type: "drain", cause: "load" });
})"""

HEAR_DRAINED = """() => navigator.serviceWorker.addEventListener("message", ({ data }) => {
    window.isDrained ||= data?.type === "drained";
})"""


@dataclass(frozen=True, slots=True)
class ShownVisit:
    """A line of 我的走访."""

    id: str
    outcome: str
    states: tuple[str, ...]  # as data-state says
    words: str  # the state in words


class Phone:
    """Starts, is killed, and starts again on the same profile."""

    def __init__(self, playwright: Playwright, executable: str, profile: Path, url: str, **options: Any) -> None:
        self.url = url
        self.console: list[str] = []
        self._playwright = playwright
        self._executable = executable
        self._profile = profile
        self._options = DEVICE | options
        self._context: BrowserContext | None = None

    # Lifecycle

    def start(self) -> None:
        assert self._context is None, "the phone is on already"
        self._context = self._playwright.chromium.launch_persistent_context(
            str(self._profile), executable_path=self._executable, **self._options
        )
        self._context.set_default_timeout(SECONDS * 1000)
        self._context.on("page", self._listen)
        for page in self._context.pages:
            self._listen(page)

    def kill(self) -> None:
        """SIGKILL to every process of the browser: no goodbye, nothing flushed."""
        found = browser_processes(self._profile)
        assert found, "the browser is not running"
        for process_id in found:
            send_kill(process_id)
        wait_until(
            lambda: not browser_processes(self._profile), seconds=SECONDS, failure=lambda: "the browser is still there"
        )
        self.close()

    def close(self) -> None:
        context, self._context = self._context, None
        if context is not None:
            with suppress(Error):  # it may have been killed
                context.close()

    @property
    def context(self) -> BrowserContext:
        assert self._context is not None, "the phone is off"
        return self._context

    @property
    def page(self) -> Page:
        return self.context.pages[0]

    # Actions

    def open(self, path: str) -> None:
        self.page.goto(self.url + path)

    def enrol(self, link: str, *, name: str = "示例手机") -> str:
        """Opens the invite and sends it. Returns the check number that this screen now shows."""
        self.page.goto(link)
        expect(self.page.locator("#code")).not_to_have_value("")
        self.page.locator("#device_name").fill(name)
        self.page.locator(submit_of("enrol-form")).click()
        self.page.wait_for_url("**/enrol/waiting")
        return self.page.locator(".number").inner_text().strip()

    def wait_until_enrolled(self) -> None:
        """The waiting page goes on by itself; then the first exchange makes the phone independent of the network."""
        self.page.wait_for_url("**/today")
        self.wait_until_ready()
        expect(
            self.page.locator("nav.nav")
        ).to_be_visible()  # the screen of the first sync has none, and goes by itself

    def wait_until_ready(self) -> None:
        self.wait_until_true(CONTROLLED)
        self.wait_until_true(IS_READY)

    def wait_until_true(self, function: str) -> None:
        """Playwright's own wait takes the promise of an async function for a yes."""
        wait_until(lambda: self._is_true(function), seconds=SECONDS, failure=lambda: f"never true: {function}")

    def log_visit(
        self,
        outcome: str,
        *,
        needs: Sequence[str] = (),
        urgency: str = "",
        note: str = "",
    ) -> str:
        """From 今天 to the first door not visited yet, and back after saving. Returns the visit's id."""
        self.open("/today")
        self.page.locator(".door:has([data-state=open]) .door__link").first.tap()
        self.page.locator(f"a[href$='/visit?outcome={outcome}'], a[href$='/visit']").last.tap()
        self.answer({"outcome": [outcome], "needs": needs, "urgency": [urgency] if urgency else []})
        if note:
            self.page.locator("textarea[name=note]").fill(note)
        return self.save()

    def answer(self, chosen: Mapping[str, Sequence[str]]) -> None:
        """Taps chips that are not chosen yet."""
        for name, codes in chosen.items():
            for code in codes:
                box = self.page.locator(f"input[name={name}][value={code}]")
                if not box.is_checked():
                    self.page.locator(f"label.chip:has(input[name={name}][value={code}])").tap()
                expect(box).to_be_checked()

    def save(self) -> str:
        self.page.locator(submit_of("visit-form")).tap()
        self.page.wait_for_url(re.compile(r"[?&]saved="))
        return re.search(r"[?&]saved=([0-9a-f-]{36})", self.page.url)[1]  # type: ignore[index]

    def switch_language(self) -> None:
        page = self.page.locator("html")
        before = page.get_attribute("lang") or ""
        self.page.locator("button.switch[name=language]").tap()
        expect(page).not_to_have_attribute("lang", before)

    def exchange(self) -> None:
        """Asks for one, and waits until it is over."""
        self.open("/settings")
        self.page.evaluate(HEAR_DRAINED)
        self.page.locator(".actions [data-exchange]").tap()
        self.page.wait_for_function("() => window.isDrained")

    def stop_workers(self) -> None:
        """As the browser does it after half a minute: what they remember goes with them."""
        tools = self.context.new_cdp_session(self.page)
        tools.send("ServiceWorker.enable")
        tools.send("ServiceWorker.stopAllWorkers")
        tools.detach()

    # Looking

    @property
    def heading(self) -> str:
        return self.page.locator("h1").inner_text()

    @property
    def header(self) -> str:
        """The header's words on what is uploaded."""
        return self.page.locator("#sync-status").inner_text()

    def wait_for_header(self, text: str, *, seconds: float = SECONDS) -> None:
        expect(self.page.locator("#sync-status")).to_contain_text(text, timeout=seconds * 1000)

    def my_visits(self) -> list[ShownVisit]:
        """The list as it is on screen, newest first; once more if it was drawn while an attempt was under way."""
        found: list[ShownVisit] = []

        def is_settled() -> bool:
            found[:] = self._visits_drawn()
            return not any("uploading" in each.states for each in found)

        wait_until(is_settled, seconds=SECONDS, failure=lambda: f"uploading all the time: {found}")
        return found

    def _visits_drawn(self) -> list[ShownVisit]:
        self.open("/my-visits")
        found = []
        for line in self.page.locator(".visits > .visit").all():
            states = line.locator(".visit__state .state")
            found.append(
                ShownVisit(
                    id=(line.get_attribute("id") or "").removeprefix("visit-"),
                    outcome=line.locator(".visit__outcome").inner_text().strip(),
                    states=tuple(each.get_attribute("data-state") or "" for each in states.all()),
                    words=line.locator(".visit__state").inner_text().strip(),
                )
            )
        return found

    @property
    def policy_violations(self) -> list[str]:
        """What the browser refused for the sake of the content-security policy."""
        return [line for line in self.console if re.search("Content Security Policy|Trusted(HTML|Script)", line)]

    def testify(self) -> str:
        """What is on the screen, and what the console said."""
        try:
            screen = "\n".join(
                f"{page.url}\n{page.locator('body').inner_text(timeout=1000)}" for page in self.context.pages
            )
        except (Error, AssertionError) as error:
            screen = f"nothing: {error}"
        return "\n".join([screen, "console:", *self.console])

    # Private

    def _is_true(self, function: str) -> bool:
        try:
            return bool(self.page.evaluate(function))
        except Error as error:
            if "navigation" not in str(error):
                raise
            return False  # the page was just being left

    def _listen(self, page: Page) -> None:
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.console.append(f"error: {error}"))

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.console.append(f"{message.type}: {message.text}")


def browser_processes(profile: Path) -> set[int]:
    """The browser on this profile and everything it started, by parent; zombies are dead already."""
    listing = subprocess.run(["ps", "-ww", "-eo", "pid=,ppid=,stat=,args="], capture_output=True, text=True, check=True)
    children: dict[int, list[int]] = {}
    waiting, found = [], set[int]()
    for line in listing.stdout.splitlines():
        process_id, parent, state, command = line.split(None, 3)
        if state.startswith("Z"):
            continue
        children.setdefault(int(parent), []).append(int(process_id))
        if f"--user-data-dir={profile}" in command:
            waiting.append(int(process_id))
    while waiting:
        process_id_found = waiting.pop()
        if process_id_found not in found:
            found.add(process_id_found)
            waiting.extend(children.get(process_id_found, []))
    return found


def send_kill(process_id: int) -> None:
    with suppress(ProcessLookupError):  # it may have gone with its parent
        os.kill(process_id, signal.SIGKILL)
