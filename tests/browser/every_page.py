"""Every page of a volunteer's, with something on it, and what one comes to each for."""

from playwright.sync_api import expect

from tests.browser.phone import Phone
from tests.browser.screen import submit_of

OPEN_DOOR = ".door:has([data-state=open]) .door__link"
# By the name of a page: its primary actions. What is only read still leads on. The one list of them; test_reach.py holds
# the pages to it.
PRIMARY_ACTIONS = {
    "today": ".actions a[href*='/doors/'], .actions form button",
    "door": ".actions .button",
    "door_later": ".actions .button",
    "needs": ".actions .button",
    "visit_new": ".actions button[form=visit-form]",
    "nobody_home": ".actions button[form=nobody-form], .actions .button--primary",
    "nobody_home_undo": ".actions .button--primary",
    "outing_start": ".actions button[form=start-form]",
    "outing": ".actions button[form=outing-form]",
    "outing_end": ".actions button[form=outing-form]",
    "outing_withdraw": ".actions button[form=withdraw-form]",
    "outings": ".actions .button--primary",
    "round_decline": ".actions button[form=decline-form]",
    "decline_undo": ".actions button[form=decline-form]",
    "visit": ".actions .button--primary",
    "visit_edit": ".actions button[form=visit-form]",
    "visit_steps": ".actions button[form=steps-form]",
    "visit_withdraw": ".actions button[form=withdraw-form]",
    "my_visits": ".actions .button--primary",
    "map": ".actions .button--primary",
    "find": ".dock #q, .dock #find-form button",
    "settings": ".actions [data-exchange]",
    "storage": ".actions .button--primary",
    "discarded": ".actions .button--primary",
    "not in the table": ".actions .button--primary",
}


def addresses(phone: Phone) -> dict[str, list[str]]:
    """By the name of a page: where it is seen with something on it. A visit in danger, one at a closed door, one waiting."""
    door = phone.page.locator(OPEN_DOOR).first.get_attribute("href") or ""
    round_path = door.partition("/doors/")[0]
    phone.open(f"{door}/visit?outcome=met")
    phone.answer({"outcome": ["met"], "danger": ["fall"]})
    phone.page.locator(submit_of("visit-form")).tap()
    phone.page.wait_for_url("**/steps?saved=*")
    danger = phone.page.url.split("/visits/")[1][:36]
    phone.wait_for_header("全部已上传")
    phone.context.set_offline(True)
    closed = phone.log_visit("no_answer", note="敲门没有人应。")
    closed_door = phone.page.url.removeprefix(phone.url)
    phone.open("/today")
    phone.page.locator("form[action$='/decline'] button").tap()
    phone.page.wait_for_url("**/today?saved=*")
    declined = saved_id(phone)
    phone.page.locator("form[id^=declined-] button").tap()
    phone.page.wait_for_url(f"**/today?saved={declined}&edited=1")
    expect(phone.page.locator("form[id^=declined-]")).to_have_count(0)
    phone.page.locator("form[action$='/start'] button").tap()
    expect(phone.page.locator("form[action$='/end']")).to_be_visible()
    outing = saved_id(phone)
    phone.open(f"{round_path}/nobody-home?stairwell=" + stairwell(phone))
    return {
        "today": ["/today"],
        "door": [door, closed_door],
        "door_later": [f"{door}/later"],
        "needs": [f"{door}/needs"],
        "visit_new": [f"{door}/visit?outcome=met", f"{door}/visit?outcome=no_answer"],
        "nobody_home": [phone.page.url.removeprefix(phone.url)],
        "nobody_home_undo": [f"{round_path}/nobody-home/undo"],
        "outing_start": [f"{round_path}/start"],
        "outing": [f"/outings/{outing}"],
        "outing_end": [f"/outings/{outing}/end"],
        "outing_withdraw": [f"/outings/{outing}/withdraw"],
        "outings": ["/outings"],
        "round_decline": [f"{round_path}/decline"],
        "decline_undo": [f"/declines/{declined}/undo"],
        "visit": [f"/visits/{danger}", f"/visits/{closed}"],
        "visit_edit": [f"/visits/{danger}/edit"],
        "visit_steps": [f"/visits/{danger}/steps", f"/visits/{closed}/steps"],
        "visit_withdraw": [f"/visits/{closed}/withdraw"],
        "my_visits": ["/my-visits"],
        "map": ["/map"],
        "find": ["/find"],
        "settings": ["/settings"],
        "storage": ["/settings/storage"],
        "discarded": ["/discarded"],
        "not in the table": ["/visits/00000000-0000-7000-8000-000000000000", "/enrol"],  # not found; no network
    }


def saved_id(phone: Phone) -> str:
    return phone.page.url.partition("saved=")[2][:36]


def stairwell(phone: Phone) -> str:
    phone.open(phone.page.locator(OPEN_DOOR).first.get_attribute("href") or "")
    link = phone.page.locator("a[href*='/nobody-home']").get_attribute("href") or ""
    return link.partition("stairwell=")[2]
