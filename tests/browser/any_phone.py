"""A phone with any engine: it can open a page and run a line of script in it, and that is enough."""

import json
import time
from collections.abc import Callable
from typing import Any, Protocol

SECONDS = 20
PAUSE_SECONDS = 0.05


class Engine(Protocol):
    taps_to_save: int  # how many at most, where the page asks for another

    def open(self, url: str) -> None: ...

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited. May fail while a page is being left."""

    def kill(self) -> None:
        """SIGKILL to every process of it."""

    def start(self) -> None:
        """Again, on the same profile."""

    def close(self) -> None: ...


class AnyPhone:
    def __init__(self, engine: Engine, url: str) -> None:
        self.engine = engine
        self.url = url

    # Actions

    def open(self, path: str) -> None:
        self.engine.open(self.url + path)

    def restart(self, path: str) -> None:
        self.engine.kill()
        self.engine.start()
        self.open(path)

    def tap(self, selector: str) -> None:
        self.wait_for(f"seen({json.dumps(selector)})")
        self.run(f"seen({json.dumps(selector)}).click()")

    def fill(self, selector: str, text: str) -> None:
        """As typed: the page hears of it."""
        self.wait_for(f"seen({json.dumps(selector)})")
        self.run(f"fill({json.dumps(selector)}, {json.dumps(text)})")

    def submit(self, form: str) -> None:
        self.wait_for(f"submit({json.dumps(form)})")
        self.run(f"submit({json.dumps(form)}).click()")

    def enrol(self, link: str) -> str:
        self.engine.open(link)
        self.wait_for("document.querySelector('#code').value && !submit('enrol-form').disabled")
        self.fill("#device_name", "示例手机")
        self.submit("enrol-form")
        self.wait_for("location.pathname === '/enrol/waiting' && document.querySelector('.number')")
        return str(self.run("document.querySelector('.number').textContent.trim()"))

    def wait_until_enrolled(self) -> None:
        self.wait_for("location.pathname === '/today'")
        self.wait_for(f"({WORKER_ANSWERS})()", seconds=3 * SECONDS)
        self.wait_for("seen('nav.nav')")  # the screen of the first sync has none, and goes by itself

    def open_form(self, outcome: str) -> None:
        """Of the first door that was not visited yet."""
        self.open("/today")
        self.tap(".door:has([data-state=open]) .door__link")
        self.tap("a[href$='/visit']")
        self.tap(f"label:has(input[name=outcome][value={outcome}])")

    def save(self) -> str:
        saved, failed = "new URLSearchParams(location.search).get('saved')", "seen('#no-answer')"
        for _ in range(self.engine.taps_to_save - 1):
            self.submit("visit-form")
            self.wait_for(f"{saved} || {failed}")
            if self.run(saved):
                break
        else:
            self.submit("visit-form")
            self.wait_for(saved)
        return str(self.run("new URLSearchParams(location.search).get('saved')"))

    def log_visit(self, outcome: str, *, note: str = "") -> str:
        self.open_form(outcome)
        self.fill("textarea[name=note]", note)
        return self.save()

    # Looking

    def states(self) -> dict[str, str]:
        """The state of each line of 我的走访, in words."""
        self.open("/my-visits")
        return dict(
            self.json(
                """[...document.querySelectorAll(".visits > .visit")].map((line) =>
                    [line.id.replace("visit-", ""), line.querySelector(".visit__state").innerText.trim()])"""
            )
        )

    def wait_for_header(self, text: str, *, seconds: float = 2 * SECONDS) -> None:
        self.wait_for(f"document.querySelector('#sync-status').innerText.includes({json.dumps(text)})", seconds=seconds)

    def wait_for_heading(self, text: str) -> None:
        self.wait_for(f"document.querySelector('h1').innerText === {json.dumps(text)}")

    def json(self, expression: str) -> Any:
        """A value of any shape: the protocols agree on text alone."""
        return json.loads(self.run(f"Promise.resolve({expression}).then(JSON.stringify)"))

    def run(self, expression: str) -> Any:
        return self.engine.evaluate(f"(() => {{ {HANDS} return ({expression}); }})()")

    def wait_for(self, expression: str, *, seconds: float = SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not self._is(expression):
            assert time.monotonic() < deadline, f"never came true: {expression}\n{self.testify()}"
            time.sleep(PAUSE_SECONDS)

    def testify(self) -> str:
        return str(attempt(lambda: self.run("location.href + '\\n' + document.body.innerText")))

    # Private

    def _is(self, expression: str) -> bool:
        return attempt(lambda: self.run(f"({expression})")) not in (None, False, "", 0)


# Whether the phone is enrolled. A worker that starts anew hears nothing, and WebKit now and then loses one that has a page: that
# is loaded again, as by anybody who looks at it.
WORKER_ANSWERS = """async () => {
    const { serviceWorker } = navigator;
    const answer = await new Promise((resolve) => {
        setTimeout(() => resolve(null), 5000);
        serviceWorker.addEventListener("message", ({ data }) => {
            if (data?.type === "drained") resolve(data);
        });
        serviceWorker.controller?.postMessage({ type: "drain", cause: "load" });
    });
    if (!answer) location.reload();
    return answer?.is_enrolled;
}"""
HANDS = """
const seen = (selector) => [...document.querySelectorAll(selector)].find((each) => each.checkVisibility());
const submit = (form) => document.querySelector(`#${form} button:not([type=button]), button[form=${form}]:not([type=button])`);
const fill = (selector, text) => {
    const field = seen(selector);
    field.value = text;
    field.dispatchEvent(new Event("input", { bubbles: true }));
};
"""


def attempt(work: Callable[[], Any]) -> Any:
    """None while a page is on its way out: no two protocols say so in one way."""
    try:
        return work()
    except Exception:
        return None
