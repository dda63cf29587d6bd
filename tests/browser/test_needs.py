"""Needs from the first tick to the end, on phones without a network (EXPERIENCE.md 10, 11)."""

from dataclasses import asdict
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest
from playwright.sync_api import Page, expect

from server.rules import derive
from sync.changes import Action, Change, Record
from tests.browser.coordinator import Coordinator
from tests.browser.modules import run_with
from tests.browser.phone import Phone

pytestmark = pytest.mark.browser

VISIT = str(uuid5(NAMESPACE_URL, "a visit"))
HOUSEHOLD = str(uuid5(NAMESPACE_URL, "a household"))
# A visit's life: each state of its needs, or None while it is withdrawn; an edit of something else leaves them out.
LIVES: list[list[dict[str, Any] | None]] = [
    [{"needs": ["meal_delivery", "legal_aid"], "urgency": "h24"}, {"note": "more"}, {"needs": ["legal_aid"]}],
    [{"needs": ["none"]}, {"needs": ["other"], "urgency": "info"}, {"needs": []}, {"needs": ["other"]}],
    [{"needs": ["meal_delivery"], "urgency": "days"}, None, {"note": "not withdrawn after all"}, None],
    [{"outcome": "no_answer"}, None],
    [{"needs": ["meal_delivery"], "urgency": "days"}, {"urgency": "h24"}, {"urgency": "info"}, {"urgency": "h24"}],
    [{"needs": ["other"], "urgency": "h24"}, None, {"needs": ["other", "legal_aid"], "urgency": None}, {"urgency": ""}],
]


def lived(life: list[dict[str, Any] | None]) -> list[Change]:
    ids = [str(uuid5(NAMESPACE_URL, f"change {place}")) for place in range(len(life))]
    return [
        Change(
            change_id=change_id,
            device_sequence=place + 1,
            kind="visit",
            record_id=VISIT,
            action=Action.VOID if fields is None else Action.PUT,
            base=ids[place - 1] if place else 0,
            set=({} if place else {"household_id": HOUSEHOLD}) | (fields or {}),
            made_at=1000 + place,
            schema=1,
        )
        for place, (change_id, fields) in enumerate(zip(ids, life, strict=True))
    ]


def on_server(changes: list[Change]) -> list[Record | None]:
    """The visit before each change, and after the last."""
    states: list[Record | None] = [None]
    for place, change in enumerate(changes, 1):
        before = states[-1]
        fields = {**(before.fields if before else {}), **change.set}
        is_void = change.action is Action.VOID
        states.append(Record("visit", VISIT, place, HOUSEHOLD, "me", "", 1000, 0, is_void, fields))
    return states


def entry(change: Change) -> dict[str, Any]:
    shown = {"kind": "visit", "action": change.action.value, "set": change.set, "made_at": change.made_at}
    about = {"change_id": change.change_id, "record_id": VISIT, "display": shown}
    return about | {"sequence": change.device_sequence, "state": "waiting", "revision": None}


@pytest.mark.parametrize("life", LIVES)
def test_a_phone_foretells_what_the_server_will_make_of_its_visits(
    page: Page, life: list[dict[str, Any] | None]
) -> None:
    changes = lived(life)
    states = on_server(changes)
    script = """
        const { impliedNeeds } = await import("/static/worker/needs.js");
        const found = await impliedNeeds(given.entries, async () => given.pulled);
        return found.map(({ change_id, record_id, display }) => ({ change_id, record_id, ...display }));
    """

    for pulled in range(len(changes)):
        before = states[pulled]
        record = None if before is None else {**before.fields, "is_void": before.is_void, "revision": before.revision}
        entries = [
            entry(change) | {"revision": place if place <= pulled else None} for place, change in enumerate(changes, 1)
        ]
        expected = [
            {name: each[name] for name in ("change_id", "record_id", "kind", "action", "set", "made_at")}
            for change, state in list(zip(changes, states, strict=False))[pulled:]
            for each in map(asdict, derive(change, state))
        ]

        found = run_with(page, script, {"entries": entries, "pulled": record})

        assert sorted(found, key=str) == sorted(expected, key=str)


def tick(phone: Phone, door: str, *services: str, urgency: str = "h24") -> str:
    phone.open(f"{door}/visit?outcome=met")
    phone.answer({"outcome": ["met"], "needs": services, "urgency": [urgency]})
    return phone.save()


def promises(phone: Phone, door: str) -> list[str]:
    phone.open(door)
    return [" · ".join(line.inner_text().split()[:2]) for line in phone.page.locator("#promises button").all()]


def door_without_promises(phone: Phone) -> str:
    phone.open("/today")
    doors = [link.get_attribute("href") or "" for link in phone.page.locator(".round .door__link").all()]
    return next(door for door in doors if not promises(phone, door))


def test_a_need_is_promised_and_kept_without_a_network(phone: Phone) -> None:
    door = door_without_promises(phone)
    phone.context.set_offline(True)

    tick(phone, door, "meal_delivery", "legal_aid")
    assert set(promises(phone, door)) == {"送餐 · 24小时内", "法律援助 · 24小时内"}  # of one moment, in no order
    tick(phone, door, "meal_delivery", urgency="days")
    assert promises(phone, door) == ["送餐 · 3–5天", "法律援助 · 24小时内"]
    phone.page.locator("#promises button").first.tap()
    phone.page.wait_for_url("**?saved=*")
    expect(phone.page.locator(".saved")).to_contain_text("送餐：办好了")
    assert promises(phone, door) == ["法律援助 · 24小时内"]
    phone.open("/my-visits")
    waiting = phone.page.locator("#queued > .visit", has_text="送餐：办好了")
    expect(waiting).to_have_count(2)  # both visits had promised it
    expect(phone.page.locator("#queued > .visit")).to_have_count(2)
    waiting.first.locator("a").tap()
    expect(phone.page.locator("dl.answers")).to_contain_text("送餐")
    phone.open(door)
    phone.page.locator("#promises button").tap()
    phone.page.wait_for_url("**?saved=*")
    expect(phone.page.locator("#promises")).to_have_count(0)
    phone.page.locator(".saved button").tap()
    phone.page.wait_for_url("**?saved=*")
    expect(phone.page.locator("#promises button")).to_have_count(1)

    phone.context.set_offline(False)
    phone.wait_for_header("全部已上传", seconds=40)
    assert promises(phone, door) == ["法律援助 · 24小时内"]


def test_a_discarded_visit_takes_along_what_was_done_about_its_needs_and_brings_it_back(
    phone: Phone, coordinator: Coordinator
) -> None:
    """Alone it would be held: the server would know no such need."""
    door = door_without_promises(phone)
    phone.context.set_offline(True)
    visit = tick(phone, door, "meal_delivery", "legal_aid")
    phone.open(door)
    phone.page.locator("#promises button", has_text="送餐").tap()
    phone.page.wait_for_url("**?saved=*")

    phone.open(f"/visits/{visit}")
    phone.page.locator("#unsent [value=discard]").tap()
    phone.page.wait_for_url("**/discarded")
    expect(phone.page.locator(".visits > .visit")).to_have_count(1)
    expect(phone.page.locator("header")).to_contain_text("全部已上传")

    phone.page.locator("[value=restore]").tap()
    phone.page.wait_for_url(f"**/visits/{visit}")
    assert promises(phone, door) == ["法律援助 · 24小时内"]
    phone.context.set_offline(False)
    phone.open("/my-visits")
    phone.wait_for_header("全部已上传", seconds=40)
    assert promises(phone, door) == ["法律援助 · 24小时内"]
    assert coordinator.visit_ids().count(visit) == 1
    phone.open("/my-visits")
    expect(phone.page.locator(".chip[href*=uploaded]")).to_be_visible()
    expect(phone.page.locator(".chip[href*=held]")).to_have_count(0)


def test_what_was_done_about_a_need_that_an_edit_alone_ticked_goes_and_comes_with_the_edit(phone: Phone) -> None:
    door = door_without_promises(phone)
    phone.open(f"{door}/visit?outcome=met")
    visit = phone.save()
    phone.wait_for_header("全部已上传", seconds=40)
    phone.context.set_offline(True)
    phone.open(f"/visits/{visit}/edit")
    phone.answer({"needs": ["meal_delivery"], "urgency": ["h24"]})
    phone.save()
    phone.open(door)
    phone.page.locator("#promises button").tap()
    phone.page.wait_for_url("**?saved=*")

    phone.open(f"/visits/{visit}")
    phone.page.locator("#unsent [value=discard]").tap()
    phone.page.wait_for_url("**/discarded")

    phone.open("/my-visits")
    expect(phone.page.locator("#queued > .visit")).to_have_count(0)
    expect(phone.page.locator("header")).to_contain_text("全部已上传")
