"""大字版, high contrast, and less movement, on the volunteer's screens (EXPERIENCE.md 36, DOMAIN.md 6)."""

import re
from typing import Any, Literal

import pytest
from playwright.sync_api import expect

from server.assets import STATIC
from server.render import SCHEME_COOKIE
from tests.browser.axe import bring_axe, findings
from tests.browser.phone import SECONDS, Phone
from tests.browser.server_process import wait_until
from tests.browser.test_gallery import take

pytestmark = pytest.mark.browser

OPEN_DOOR = ".door:has([data-state=open]) .door__link"
# Of each text that shows: its size, where it is under 22 px. A font size of 0 is text for the ear (the people map).
SMALL_TEXT = """() => [...document.querySelectorAll("body *")]
    .filter((element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
    .filter((element) => element.checkVisibility({ visibilityProperty: true }) && !element.closest("option"))
    .map((element) => [parseFloat(getComputedStyle(element).fontSize), element.outerHTML.slice(0, 100)])
    .filter(([size]) => size > 0 && size < 22)"""
# What is tapped, links in running text apart.
SMALL_TARGETS = """() => [...document.querySelectorAll("a[href], button, input, select, summary, textarea")]
    .map((element) => element.closest("label") ?? element)
    .filter((element) => element.checkVisibility() && !element.matches("p a:not(.button, .line), .skip"))
    .map((element) => [element.getBoundingClientRect(), element.outerHTML.slice(0, 100)])
    .filter(([{ width, height }]) => width > 0 && (width < 60 || height < 60))
    .map(([{ width, height }, html]) => [width, height, html])"""
COLOUR = "(element) => getComputedStyle(element).color"
INK_ON_PAPER = """() => [document.body, document.querySelector(".dock")].map((element) => getComputedStyle(element))
    .map(({ color, backgroundColor }) => [color, backgroundColor])"""
# Of each text that shows: its contrast with the nearest colour behind it.
CONTRASTS = """() => {
    const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const light = (colour) => numbers(colour).slice(0, 3).map((part) => part / 255)
        .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
    const behind = (element) => {
        const { backgroundColor } = getComputedStyle(element);
        return numbers(backgroundColor)[3] === 0 ? behind(element.parentElement) : backgroundColor;
    };
    return [...document.querySelectorAll("main *, .dock *")]
        .filter((element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
        .filter((element) => element.checkVisibility({ visibilityProperty: true }))
        .map((element) => {
            const [high, low] = [light(getComputedStyle(element).color), light(behind(element))].sort((a, b) => b - a);
            return [(high + 0.05) / (low + 0.05), element.outerHTML.slice(0, 100)];
        });
}"""
Scheme = Literal["light", "dark"]
MOVING = """() => [...document.querySelectorAll("*")]
    .map((element) => [getComputedStyle(element), element.outerHTML.slice(0, 100)])
    .filter(([style]) => style.transitionDuration.split(", ").some((each) => each !== "0s")
        || style.animationName !== "none" || style.scrollBehavior === "smooth")
    .map(([, html]) => html)"""


def screens(phone: Phone) -> list[str]:
    phone.open("/today")
    door = phone.page.locator(OPEN_DOOR).first.get_attribute("href") or ""
    return ["/today", door, f"{door}/visit?outcome=met", "/map", "/find", "/my-visits", "/settings"]


def measured(phone: Phone, function: str) -> dict[str, Any]:
    found = {}
    for path in screens(phone):
        phone.open(path)
        found[path] = phone.page.evaluate(function)
    return {path: each for path, each in found.items() if each}


@pytest.mark.parametrize("function", [SMALL_TEXT, SMALL_TARGETS], ids=["text", "targets"])
def test_large_is_large_everywhere(phone: Phone, function: str) -> None:
    phone.open("/settings")
    phone.page.locator("button.switch[name=size]").tap()
    expect(phone.page.locator("html")).to_have_attribute("data-size", "large")

    assert measured(phone, function) == {}


def test_nothing_moves_for_who_asked_for_less_movement(phone: Phone) -> None:
    phone.open("/today")
    assert phone.page.evaluate(MOVING) != []  # there is something to be still

    phone.page.emulate_media(reduced_motion="reduce")

    assert measured(phone, MOVING) == {}


def test_more_contrast_leaves_no_soft_ink(phone: Phone) -> None:
    phone.open("/settings")
    soft = phone.page.locator(".nav__place:not([aria-current])").first
    ink = phone.page.locator("h1").evaluate(COLOUR)
    assert soft.evaluate(COLOUR) != ink

    phone.page.emulate_media(contrast="more")

    assert soft.evaluate(COLOUR) == ink


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_more_contrast_is_a_choice_that_does_what_the_phone_s_own_does(phone: Phone, scheme: Scheme) -> None:
    phone.page.emulate_media(color_scheme=scheme, contrast="more", reduced_motion="reduce")
    phone.open("/settings")
    soft = phone.page.locator(".nav__place:not([aria-current])").first
    asked = soft.evaluate(COLOUR)
    phone.page.emulate_media(color_scheme=scheme, contrast="no-preference", reduced_motion="reduce")
    assert soft.evaluate(COLOUR) != asked
    phone.context.set_offline(True)

    phone.page.locator("button.chip[name=contrast][value=more]").tap()

    expect(phone.page.locator("html")).to_have_attribute("data-contrast", "more")
    assert soft.evaluate(COLOUR) == asked
    take(phone.page, f"contrast-{scheme}")
    bring_axe(phone.page)
    for screen in screens(phone):
        phone.open(screen)
        assert phone.page.locator("html").get_attribute("data-contrast") == "more"
        assert findings(phone.page) == [], screen
    phone.open("/settings")
    phone.page.locator("button.chip[name=contrast][value=auto]").tap()
    expect(phone.page.locator("html[data-contrast]")).to_have_count(0)


def test_where_colours_are_the_reader_s_own_a_frame_says_what_is_chosen(phone: Phone) -> None:
    phone.page.emulate_media(forced_colors="active")
    phone.open("/settings")

    frames = phone.page.locator(".chip > span").evaluate_all(
        "(found) => found.map((each) => getComputedStyle(each).borderTopWidth)"
    )

    assert frames == ["4px", "2px", "4px", "2px", "4px", "2px", "2px", "4px", "2px"]


def test_the_dark_that_is_chosen_is_the_dark_of_the_phone() -> None:
    """Nothing stands between them that could drift: axe judges one (test_axe.py), and so both."""
    style = (STATIC / "css" / "app.css").read_text(encoding="utf-8")
    asked, chosen = re.findall(
        r'(?:not\(\[data-scheme="light"\]\)|^  \[data-scheme="dark"\]) \{(.*?)\}', style, re.S | re.M
    )

    assert tokens(asked) == tokens(chosen)
    assert len(tokens(asked)) == 18


def tokens(block: str) -> list[str]:
    return re.findall(r"--[a-z-]+: #[0-9a-f]{6};", block)


@pytest.mark.parametrize(("chosen", "phone_is"), [("dark", "light"), ("light", "dark")])
def test_colours_are_a_choice_of_one_tap_kept_without_a_network(phone: Phone, chosen: Scheme, phone_is: Scheme) -> None:
    """Text on the door screen has 7:1 in both (EXPERIENCE.md 6.1)."""
    path = screens(phone)[1]
    phone.page.emulate_media(color_scheme=chosen)
    phone.open(path)
    wanted = phone.page.evaluate(INK_ON_PAPER)
    phone.page.emulate_media(color_scheme=phone_is)
    phone.context.set_offline(True)
    phone.open("/settings")

    phone.page.locator(f"button.chip[name=scheme][value={chosen}]").tap()

    expect(phone.page.locator("html")).to_have_attribute("data-scheme", chosen)
    phone.kill()
    phone.start()
    phone.context.set_offline(True)
    phone.page.emulate_media(color_scheme=phone_is, reduced_motion="reduce")
    phone.open(path)
    assert phone.page.evaluate(INK_ON_PAPER) == wanted
    assert [low for low in phone.page.evaluate(CONTRASTS) if low[0] < 7] == []
    assert phone.page.evaluate("() => getComputedStyle(document.documentElement).colorScheme") == chosen
    bring_axe(phone.page)
    for screen in ("/today", path, f"{path}/visit?outcome=met", "/settings", "/map"):
        phone.open(screen)
        assert findings(phone.page) == [], screen


def test_a_page_of_the_server_s_own_has_the_colours_that_were_chosen(phone: Phone) -> None:
    phone.open("/settings")
    phone.page.locator("button.chip[name=scheme][value=dark]").tap()
    expect(phone.page.locator("html")).to_have_attribute("data-scheme", "dark")
    wait_until(  # the worker has the server set it, after the page has its colours
        lambda: any(cookie.get("name") == SCHEME_COOKIE for cookie in phone.context.cookies()),
        seconds=SECONDS,
        failure=lambda: "no cookie came",
    )

    phone.open("/sign-in")

    expect(phone.page.locator("html")).to_have_attribute("data-scheme", "dark")
    phone.page.locator("button.switch[name=scheme]").tap()
    expect(phone.page.locator("html")).to_have_attribute("data-scheme", "light")
