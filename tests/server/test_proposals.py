"""A form that was filled with JavaScript off sends what it proposed for questions that are not asked after all: nobody
answered them, so nothing is kept of it and nobody is asked to clear it. What somebody typed is never dropped."""

from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from server import migrations
from server.app import create_app
from server.forms import form_wire
from server.page_table import PAGES
from server.render import local_day
from server.sessions import cookie_name
from server.settings import Settings
from server.store import SqlStore
from server.visit_form import NO_NEXT_VISIT, VISIT_FORM
from server.writing import read_filled
from tests.javascript import JavaScript
from tests.people import ALICE, COMMUNITY_ID, FULL_DOOR, NOW, ROUND_ID, build_world, made_up_id, sign_in

DAY = 86_400_000
PATH = f"/rounds/{ROUND_ID}/doors/{FULL_DOOR}/visit"
USUAL, SOONER = "2026-12-23", "2026-11-24"


class AsDrawn(HTMLParser):
    """What a browser without scripts sends of a form that nobody touched."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        is_off = given.get("type") in ("radio", "checkbox", "file") and "checked" not in given
        if tag == "input" and given.get("name") and not is_off:
            self.sent[str(given["name"])] = given.get("value") or ""


@pytest.fixture
def clock() -> list[int]:
    return [NOW]


@pytest.fixture
def alice(tmp_path: Path, clock: list[int]) -> Iterator[TestClient]:
    settings = Settings(data_dir=tmp_path)
    migrations.upgrade(settings.database_url)
    app = create_app(settings, clock=lambda: clock[0])
    same_origin = {"Sec-Fetch-Site": "same-origin"}
    with TestClient(app, base_url=settings.public_url, headers=same_origin, follow_redirects=False) as client:
        build_world(app.state.database)
        client.cookies.set(cookie_name(settings), sign_in(app.state.database, ALICE))
        yield client


def drawn(client: TestClient, query: str = "") -> dict[str, str]:
    reader = AsDrawn()
    reader.feed(client.get(PATH + query).text)
    return reader.sent


def kept(client: TestClient, visit_id: str) -> dict[str, Any]:
    database: Any = client.app.state.database  # type: ignore[attr-defined]
    found = database.read(lambda session: SqlStore(session).records(COMMUNITY_ID, [visit_id])[visit_id])
    return dict(found.fields)


@pytest.mark.parametrize("outcome", sorted(NO_NEXT_VISIT))
@pytest.mark.parametrize("query", ["", "?outcome=met", "?outcome=no_answer"])
def test_a_day_that_was_only_proposed_is_not_kept(
    alice: TestClient, clock: list[int], query: str, outcome: str
) -> None:
    form = drawn(alice, query)
    assert form["next_visit_on"] == (SOONER if "no_answer" in query else USUAL)
    clock[0] += DAY  # a form that lay open over night

    answer = alice.post(PATH, data=form | {"outcome": outcome})

    assert answer.status_code == 303, answer.text
    visit = kept(alice, form["record_id"])
    assert (visit["outcome"], "next_visit_on" in visit, "consent_state" in visit) == (outcome, False, False)


def test_a_day_that_somebody_chose_is_asked_about_and_stays_in_the_form(alice: TestClient) -> None:
    form = drawn(alice) | {"outcome": "moved", "next_visit_on": "2026-12-24"}

    answer = alice.post(PATH, data=form)

    assert answer.status_code == 422
    assert "下次走访" in answer.text
    assert 'value="2026-12-24"' in answer.text


def test_a_proposal_that_is_asked_for_is_kept(alice: TestClient) -> None:
    form = drawn(alice)

    alice.post(PATH, data=form | {"outcome": "met"})

    assert kept(alice, form["record_id"])["next_visit_on"] == USUAL


@pytest.mark.parametrize("day", ["", USUAL, SOONER, "2026-12-24"])
@pytest.mark.parametrize("outcome", ["met", "moved", "no_answer"])
@pytest.mark.parametrize("consent", ["", "full", "basic"])
def test_a_phone_reads_such_a_form_as_the_server_does(outcome: str, day: str, consent: str) -> None:
    (write,) = [each.write for each in PAGES if each.name == "visit_new"]
    assert write is not None
    household = {"interval_days": 30, "risk": "yellow", "consent_state": "full"}
    ids = {"record_id": [made_up_id("record")], "change_id": [made_up_id("change")], "opened_at": [str(NOW)]}
    submitted = {**ids, "outcome": [outcome], "next_visit_on": [day], "consent_state": [consent]}
    known = {"household": household, "household_id": FULL_DOOR, "round_id": ROUND_ID}

    day_of = partial(local_day, utc_offset_minutes=480)
    (here,) = read_filled(write, submitted, known=known, now=NOW + DAY, day_of=day_of)

    phone = JavaScript(*(f"worker/{name}.js" for name in ("filters", "uuid", "forms", "pages", "filled")))
    app = {"forms": {"visit": form_wire(VISIT_FORM)}, "utc_offset_minutes": 480}
    given = {"submitted": submitted, "params": {}, "loaded": known, "me": {"id": ALICE.id}, "now": NOW + DAY}
    (there,) = phone.call("readFilled", app, {"form": "visit"}, given)
    assert (there["values"], set(there["problems"])) == (here.checked.values, set(here.checked.problems))
