"""A coordinator at her desk, in a browser of her own: invites, confirms, reads what came in."""

import re
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, expect

from server.demo import COORDINATOR_LOGIN, COORDINATOR_PASSWORD
from tests.browser.screen import submit_of
from tests.browser.screenshots import read_qr

SECONDS = 20


@dataclass(frozen=True, slots=True)
class Invite:
    link: str
    short_code: str


@dataclass(frozen=True, slots=True)
class ReceivedVisit:
    """A visit on the coordinator's screen, opened."""

    id: str
    answers: dict[str, str]  # label -> answer, in words
    history: tuple[str, ...]  # what became of each change


class Coordinator:
    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.url = url
        given = {"locale": "zh-CN", "timezone_id": "Asia/Shanghai", "service_workers": "block"} | options
        self.context = browser.new_context(**given)
        self.context.set_default_timeout(SECONDS * 1000)
        self.page = self.context.new_page()

    def close(self) -> None:
        self.context.close()

    def sign_in(self) -> None:
        self.page.goto(f"{self.url}/sign-in")
        self.page.locator("#login").fill(COORDINATOR_LOGIN)
        self.page.locator("#password").fill(COORDINATOR_PASSWORD)
        self.page.locator(submit_of("sign-in")).click()
        self.page.wait_for_url("**/coordinator")

    def invite(self, number: str) -> Invite:
        """Stays on the page where the phone will ask for her word."""
        self.page.goto(f"{self.url}/coordinator/volunteers")
        self.page.locator(f"#volunteer-{number} a").click()
        self.page.locator("form[action$='/invite'] button").click()
        code = self.page.locator("#short-code").inner_text().strip()
        return Invite(read_qr(self.page.locator(".qr").screenshot()), code)

    def confirm(self, check_number: str) -> None:
        """The phone that shows this number, once it has appeared here by itself."""
        self._decide(check_number, "confirm")

    def refuse(self, check_number: str) -> None:
        self._decide(check_number, "revoke")

    def _decide(self, check_number: str, decision: str) -> None:
        device = self.page.locator(".device--waiting", has_text=check_number)
        device.locator(f"button[value={decision}]").click()
        expect(device).to_have_count(0)

    def visit_ids(self) -> list[str]:
        """Every visit of the list, whatever its state, in the order shown."""
        found: list[str] = []
        self.page.goto(f"{self.url}/coordinator?tab=all")
        while True:
            lines = self.page.locator(".queue > .visit")
            found += [(line.get_attribute("id") or "").removeprefix("visit-") for line in lines.all()]
            older = self.page.locator("a[rel=next]")
            if older.count() == 0:
                return found
            self.page.goto(self.url + (older.get_attribute("href") or ""))

    def open_visit(self, visit_id: str) -> ReceivedVisit:
        self.page.goto(f"{self.url}/coordinator/visits/{visit_id}")
        pairs = self.page.locator(".answers").first.locator(".answers__pair").all()
        entries = self.page.locator(".history__entry").all()
        return ReceivedVisit(
            id=visit_id,
            answers={words(pair.locator("dt").inner_text()): words(pair.locator("dd").inner_text()) for pair in pairs},
            history=tuple(entry.get_attribute("data-outcome") or "" for entry in entries),
        )


def words(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
