"""大字版, high contrast, and less movement, on the volunteer's screens (EXPERIENCE.md 36, DOMAIN.md 6)."""

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.phone import Phone

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


def test_where_colours_are_the_reader_s_own_a_frame_says_what_is_chosen(phone: Phone) -> None:
    phone.page.emulate_media(forced_colors="active")
    phone.open("/settings")

    frames = phone.page.locator(".chip > span").evaluate_all(
        "(found) => found.map((each) => getComputedStyle(each).borderTopWidth)"
    )

    assert frames == ["4px", "2px", "4px", "2px"]
