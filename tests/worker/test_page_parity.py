"""Whole pages, server against worker, byte for byte, given equal inputs (DESIGN.md 2).

The demo community, a volunteer with visits of her own in every state a server knows, both languages, both sizes, every
entry of the page table. The records reach the worker's half by a real POST /sync; what runs is the very script that
phones are served, without its listeners. What the server made up for a page, the ids of a form that is being opened, is
read out of its HTML and given to the worker, which would have made up others.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl

import pytest
from py_mini_racer import MiniRacer
from sqlmodel import Session, select
from starlette.testclient import TestClient

from server.accepting import accept_changes, staff_author
from server.app import create_app
from server.assets import STATIC
from server.database import Database
from server.demo import VOLUNTEER_NUMBER, create_demo
from server.models import Device, Staff, Volunteer
from server.page_table import PAGES
from server.release import load_release
from server.sessions import start_session
from server.settings import Settings
from server.worker_script import plain_script
from sync.changes import TIME_MAX, Action, Change
from sync.kinds import Role
from tests.browser.server_process import ServerProcess, with_database
from tests.people import NOW, Person, made_up_id
from tests.signing_phone import ServerKey, SigningPhone, message, server_key

ORIGIN = "http://127.0.0.1:8000"
MINUTE_MS = 60_000
UPLOADED_AT = NOW - 7 * MINUTE_MS
HOSTILE = "</textarea><script>alert('1')</script>\"&amp; {{ 7*7 }} \u2028\n李'; 👵🏽 `${1}`"
QUERIES = {
    "door": ["", "?saved={visit_id}"],
    "nobody_home": [
        "",
        "?stairwell=2-1",
        "?stairwell=nonsense",
        "?stairwell=2-2&saved={visit_id}",
        "?saved={withdrawn_id}",
    ],
    "visit_new": [
        "",
        "?outcome=met",
        "?outcome=no_answer",
        "?outcome=deceased",
        "?outcome=met&all_good=1",
        "?outcome=nonsense&note=%3Cb%3E",
    ],
    "visit": ["", "?saved={visit_id}"],
    "map": [
        "",
        "?building=2&show=due",
        "?show=overdue&tag=living_alone",
        "?show=mine&tag=haircut",
        "?building=%3Cb%3E&show=%22&tag=%27",
    ],
    "find": ["", "?q=sljm", "?q=2-1-1", "?q=0052", "?q=%E7%A4%BA", "?q=%3Cb%3E&x=1"],
    "my_visits": [
        *("", "?saved={visit_id}", "?state=nonsense"),
        *(f"?state={name}" for name in ("waiting", "failed", "held", "sent_back", "draft", "uploaded", "approved")),
    ],
}

# A browser's part, as far as answering a page needs it.
BROWSER = """
globalThis.self = globalThis;
globalThis.caches = {};
globalThis.TextEncoder = class {};
globalThis.Response = class { constructor(text, { status, headers }) { Object.assign(this, { text, status, headers }); } };
"""
PHONE = """
globalThis.answer = async ({ device, records, settings, checkpoint, path, query, now, ids }) => {
    const phone = new Phone(APP, TEMPLATES);
    const held = new Held([{ id: 1, generation: 0, records }], checkpoint);
    const none = async () => [];
    phone.outbox = { entries: none, drafts: none, discarded: none, device: async () => device, settings: async () => settings };
    phone.replica = {
        checkpoint: async () => checkpoint,
        record: async (id) => held.records.get(id) ?? null,
        records: async (kind, field = "", value = undefined) =>
            (field ? held.indexed(kind, field).get(value) : held.byKind.get(kind)) ?? [],
    };
    const context = phone.context.bind(phone);
    phone.context = async (now) => ({ ...(await context(now)), ...ids });
    phone.storage = async () => null; // a phone's own, which the server knows nothing of
    const url = { pathname: path, searchParams: query };
    const { text, status } = await answerPage(phone, matchPage(APP.pages, path), url, now);
    return JSON.stringify({ text, status });
};
globalThis.crypto = { getRandomValues: (bytes) => bytes };
"""


@dataclass(frozen=True, slots=True)
class World:
    client: TestClient
    engine: MiniRacer
    me: dict[str, str]
    records: list[dict[str, Any]]
    paths: dict[str, list[str]]
    device_id: str

    def from_server(self, path: str, language: str, size: str) -> tuple[int, str]:
        def choose(session: Session) -> None:
            device = session.exec(select(Device).where(Device.id == self.device_id)).one()
            device.language, device.size, device.last_contact_at = language, size, UPLOADED_AT
            session.add(device)

        self.client.app.state.database.write(choose)  # type: ignore[attr-defined]
        answer = self.client.get(path)
        return answer.status_code, answer.text

    def from_worker(self, path: str, language: str, size: str, ids: dict[str, str]) -> tuple[int, str]:
        path, _, query = path.partition("?")
        given = {
            "device": {"standing": "active", "me": self.me},
            "records": self.records,
            "settings": {"language": language, "size": size},
            "checkpoint": {"ready": True, "uploaded_at": UPLOADED_AT},
            "path": path,
            "query": [list(pair) for pair in parse_qsl(query, keep_blank_values=True)],
            "now": NOW,
            "ids": ids,
        }
        # Looked at afterwards, because Playwright's loop may be running in this thread, and a promise is waited for in one.
        self.engine.eval(
            f"globalThis.told = null; void answer({json.dumps(given)}).then((text) => (globalThis.told = text))"
        )
        found = json.loads(str(self.engine.eval("told")))
        return found["status"], found["text"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), public_url=ORIGIN)
    with_database(ServerProcess(settings.data_dir), lambda database: create_demo(database, now=NOW))
    with TestClient(create_app(settings, clock=lambda: NOW), base_url=ORIGIN) as client:
        database: Database = client.app.state.database  # type: ignore[attr-defined]
        me = database.read(lambda session: volunteer_of_demo(session))
        phone = SigningPhone(Person(me.id, me.number, me.name, ""))
        database.write(phone.enrol)
        token = database.write(lambda session: signed_in(session, me, phone.device_id))
        client.cookies.set("linli-s", token)
        replica = Replica(client, database.read(server_key), phone)
        replica.exchange()
        visits = log_own_visits(replica, database)
        records = list(replica.records.values())
        yield World(
            client,
            engine_with(load_release().worker_script),
            me={"id": me.id, "name": me.name, "community": "示例社区"},
            records=records,
            paths=concrete_paths(records, visits),
            device_id=phone.device_id,
        )


@dataclass
class Replica:
    """What a phone has pulled so far: a first pull brings the last visits of each door, later ones what is new."""

    client: TestClient
    key: ServerKey
    phone: SigningPhone
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    checkpoint: dict[str, str] = field(default_factory=dict)

    def exchange(self, *changes: Change) -> None:
        body = message([self.phone.sealed(self.key, change) for change in changes], **self.checkpoint)
        answer = self.client.post("/sync", content=body, headers=self.phone.headers(body, origin=ORIGIN)).json()
        assert not answer["more"]
        assert all(result["outcome"] == "accepted" for result in answer["results"]), answer["results"]
        self.records |= {record["id"]: record for records in answer["records"].values() for record in records}
        self.checkpoint = {name: answer[name] for name in ("epoch", "cursor")}


def volunteer_of_demo(session: Session) -> Volunteer:
    return session.exec(select(Volunteer).where(Volunteer.number == VOLUNTEER_NUMBER)).one()


def signed_in(session: Session, me: Volunteer, device_id: str) -> str:
    return start_session(
        session,
        role=Role.VOLUNTEER,
        person_id=me.id,
        community_id=me.community_id,
        device_id=device_id,
        now=NOW,
    )


def log_own_visits(replica: Replica, database: Database) -> list[str]:
    """One with everything in it and hostile text, a plain one, a withdrawn one, one sent back, one approved."""
    (round_record,) = [record for record in replica.records.values() if record["kind"] == "round"]
    full = {
        "contact_mode": "in_person",
        "outcome": "met",
        "person_met": "spouse",
        "consent_state": "full",
        "wb_health": "good",
        "wb_safety": "poor",
        "family_contact": "month",
        "needs": ["medical_delivery"],
        "urgency": "h24",
        "danger": ["fall", "scam"],
        "done_on_spot": ["chat", "card_left"],
        "next_visit_on": "2026-12-24",
        "members_met": ["示例居民0001", HOSTILE[:8]],
        "called_120": NOW - 19 * MINUTE_MS,
        "note": HOSTILE,
        "started_at": NOW - 20 * MINUTE_MS,
        "ended_at": NOW - 18 * MINUTE_MS,
    }
    sets: list[dict[str, Any]] = [
        full,
        {"outcome": "no_answer"},
        {"outcome": "refused", "note": "撤回"},
        {"outcome": "met_other", "person_well": "unknown"},
        {"outcome": "away_known", "until_on": "2027-01-31"},
    ]
    changes: list[Change] = []
    for number, fields in enumerate(sets, start=1):
        scope = {"household_id": round_record["household_ids"][number // 2], "round_id": round_record["id"]}
        changes.append(change(number, f"own visit {number}", Action.PUT, 0, fields | scope))
    replica.exchange(*changes)
    replica.exchange(change(6, "own visit 3", Action.VOID, changes[2].change_id, {}))
    database.write(
        lambda session: review(session, "own visit 4", {"review_state": "sent_back", "review_note": HOSTILE})
    )
    database.write(lambda session: review(session, "own visit 5", {"review_state": "approved"}))
    log_own_outings(replica, round_record["id"])
    odd = visits_of_odd_clocks(round_record)
    replica.exchange(*odd)
    replica.exchange()
    return [made.record_id for made in (*changes, *odd)]


def visits_of_odd_clocks(round_record: dict[str, Any]) -> list[Change]:
    """Made, begun and ended when no calendar has; each the last of its door."""
    odd: list[tuple[int, Any]] = [(TIME_MAX, 2**62), (-TIME_MAX, 0), (NOW, 1e300), (NOW, [NOW]), (NOW, NOW + 0.5)]
    changes = []
    for number, (made_at, value) in enumerate(odd, start=10):
        scope = {"household_id": round_record["household_ids"][number - 7], "round_id": round_record["id"]}
        fields = {"outcome": "met", "started_at": value, "ended_at": value, **scope}
        changes.append(replace(change(number, f"odd visit {number}", Action.PUT, 0, fields), made_at=made_at))
    return changes


def log_own_outings(replica: Replica, round_id: str) -> None:
    """One of yesterday without an end, one of today with everything, and a round handed back."""
    mine = {"round_id": round_id, "volunteer_id": replica.phone.owner.id}
    forgotten = mine | {"went_on": "2026-11-22", "from_time": "08:00"}
    whole = mine | {"went_on": "2026-11-23", "from_time": "08:40", "to_time": "11:20", "companions": [HOSTILE[:8]]}
    declined = mine | {"round_id": made_up_id("a round that is gone")}
    replica.exchange(
        change(7, "forgotten outing", Action.PUT, 0, forgotten, kind="outing"),
        change(8, "whole outing", Action.PUT, 0, whole, kind="outing"),
        change(9, "own decline", Action.PUT, 0, declined, kind="decline"),
    )


def change(
    number: int, name: str, action: Action, base: int | str, fields: dict[str, Any], *, kind: str = "visit"
) -> Change:
    made_at = NOW - (20 - number) * MINUTE_MS
    return Change(made_up_id(f"{number} {name}"), number, kind, made_up_id(name), action, base, fields, made_at, 1)


def review(session: Session, name: str, fields: dict[str, Any]) -> None:
    staff = session.exec(select(Staff)).one()
    made = Change(made_up_id(f"review of {name}"), 0, "visit", made_up_id(name), Action.PUT, 2**40, fields, NOW, 1)
    (result,) = accept_changes(session, staff_author(staff), [made], NOW)
    assert result.outcome.value == "accepted", result


def engine_with(script: str) -> MiniRacer:
    """The script as phones are served it, but with its own names; its entry, which only listens, taken out."""
    listeners = plain_script((STATIC / "service-worker.js").read_text(encoding="utf-8"))
    head, found, tail = script.partition(listeners)
    assert found, "the entry is no part of the script any more"
    engine = MiniRacer()
    engine.eval(BROWSER + head + PHONE + tail + "\n;undefined")
    return engine


def concrete_paths(records: list[dict[str, Any]], visits: list[str]) -> dict[str, list[str]]:
    """Each page with everything it could be about: doors of each colour, own visits in each state, others' visits."""
    rounds = [record["id"] for record in records if record["kind"] == "round"]
    households = [record["id"] for record in records if record["kind"] == "household"]
    others = [record["id"] for record in records if record["kind"] == "visit" and record["id"] not in visits]
    found: dict[str, list[str]] = {}
    for page in PAGES:
        if "{household_id}" in page.path:
            doors = households if page.write is None else households[:3]
            paths = [page.path.format(round_id=rounds[0], household_id=door) for door in doors]
        elif "{outing_id}" in page.path:
            paths = [page.path.format(outing_id=made_up_id(name)) for name in ("forgotten outing", "whole outing")]
        elif "{decline_id}" in page.path:
            paths = [page.path.format(decline_id=made_up_id("own decline"))]
        elif "{visit_id}" in page.path:
            about = [*visits, *others[:5]] if page.write is None else visits
            paths = [page.path.format(visit_id=visit) for visit in about]
        else:
            paths = [page.path.format(round_id=rounds[0])]
        queries = [query.format(visit_id=visits[1], withdrawn_id=visits[2]) for query in QUERIES.get(page.name, [""])]
        found[page.name] = [path + query for path in paths for query in queries]
    return found


def ids_made_up_by(html: str) -> dict[str, str]:
    """The ids that the server gave a form it opened. The record's own id stands in a form that edits one."""
    named = {"new_id": "record_id", "new_change_id": "change_id"}
    found = {name: re.search(rf'name="{field}" value="([0-9a-f-]{{36}})"', html) for name, field in named.items()}
    return {name: match[1] for name, match in found.items() if match}


@pytest.mark.parametrize("size", ["normal", "large"])
@pytest.mark.parametrize("language", ["zh-CN", "en"])
@pytest.mark.parametrize("name", [page.name for page in PAGES])
def test_a_page_of_the_worker_is_the_page_of_the_server(world: World, name: str, language: str, size: str) -> None:
    paths = world.paths[name]
    assert paths

    for path in paths:
        status, html = world.from_server(path, language, size)

        assert status == 200, path
        assert world.from_worker(path, language, size, ids_made_up_by(html)) == (status, html), path


@pytest.mark.parametrize("language", ["zh-CN", "en"])
def test_a_page_that_is_not_there_is_the_same_page(world: World, language: str) -> None:
    nowhere = made_up_id("nothing")

    for path in (f"/visits/{nowhere}", f"/visits/{nowhere}/edit", f"/rounds/{nowhere}/doors/{nowhere}", "/visits/7"):
        status, html = world.from_server(path, language, "normal")

        assert status == 404, path
        assert world.from_worker(path, language, "normal", {}) == (status, html), path
