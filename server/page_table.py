"""The table of pages that volunteers use: read by the Python server and by the worker on the phone.

Each entry names its path, its template, the records it needs and, for a form, what it writes. The worker answers an
entry only when the phone is enrolled; otherwise, and where there is no worker, the server answers the same URL through
the same scope. Coordinators' and residents' pages are ordinary server pages and not in this table (server/pages/).

Keys of a Load or a Write name where a value comes from: `household_id` is a part of the path, `me` the volunteer,
`visit.household_id` a field of a record loaded before, `today` and `clock` when the form was sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from server.forms import When
from server.visit_form import IN_DANGER


@dataclass(frozen=True, slots=True)
class Load:
    """Records of a kind, given to the template under a name.

    `id` loads one record, and the page is not found without it unless it `may_be_gone`. `by` + `key` loads those whose indexed field equals
    the key. `group` gives lists by the value of a field; `by_id` gives records by id. Lists are newest first, or in
    order of `order`; `limit` cuts each. `standing` leaves withdrawn records out. A record whose `group` field is a list stands in several groups. `match` keeps
    the households that what was typed under this key finds (server/search.py).
    """

    name: str
    kind: str
    id: str = ""
    may_be_gone: bool = False
    by: str = ""
    key: str = ""
    group: str = ""
    by_id: bool = False
    order: str = ""
    limit: int = 0
    standing: bool = False
    match: str = ""


@dataclass(frozen=True, slots=True)
class Write:
    """What a POST to the page's own URL writes: a put of `form`'s fields, or a void. `record` names the loaded record
    that is edited ("" = a new one); `set` adds fields by key; `next` is the path shown afterwards, unless the form
    says `back`. A phone keeps what was typed although its door was taken away meanwhile. With `each`, the form ticks several ids under that name (of doors, visits or needs), and each becomes a
    change of its own.
    "later" writes nothing that is synced: this phone remembers to show the door last. An answer that is `urgent` leads to
    `urgent_next` before anything else."""

    kind: str
    action: str
    form: str = ""
    record: str = ""
    each: str = ""
    set: Mapping[str, str] = field(default_factory=dict)
    next: str = "/today"
    urgent: When | None = None
    urgent_next: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    name: str
    path: str
    template: str
    loads: tuple[Load, ...] = ()
    write: Write | None = None
    asks: bool = False  # a POST asks and writes nothing: what was typed stays out of addresses, histories and logs


HOUSEHOLD = Load("household", "household", id="household_id")
LAST_VISITS = Load("visits", "visit", by="household_id", key="household_id", limit=3, standing=True)
VISIT = Load("visit", "visit", id="visit_id")
VISIT_HOUSEHOLD = Load("household", "household", id="visit.household_id", may_be_gone=True)
ROUND = Load("round", "round", id="round_id")
# What a walk from door to door needs: who lives where, and where somebody has been.
WALK = (
    Load("households", "household", by_id=True),
    Load("round_visits", "visit", by="round_id", key="round_id"),
)
ROUNDS_BY_HOUSEHOLD = Load("rounds", "round", group="household_ids", order="ends_on")
DOOR = "/rounds/{round_id}/doors/{household_id}"
DOOR_LOADS = (
    HOUSEHOLD,
    ROUND,
    LAST_VISITS,
    Load("needs", "need", by="household_id", key="household_id", standing=True),
    *WALK,
)
AT_A_DOOR = {"household_id": "household_id", "round_id": "round_id"}
STEPS = "/visits/{visit_id}/steps"
NOBODY_HOME = "/rounds/{round_id}/nobody-home"
MINE = Load("mine", "visit", by="author_id", key="me", standing=True)
OUTINGS = Load("outings", "outing", standing=True)
OUTING = "/outings/{outing_id}"
OUTING_LOADS = (Load("outing", "outing", id="outing_id"), Load("rounds", "round", by_id=True), MINE, OUTINGS)
OF_ME = {"round_id": "round_id", "volunteer_id": "me"}

PAGES = (
    Page(
        "today",
        "/today",
        "today/page.html",
        loads=(
            Load("rounds", "round", order="starts_on", standing=True),
            Load("households", "household", by_id=True),
            Load("visits", "visit", group="round_id", standing=True),
            Load("visits_at", "visit", group="household_id", standing=True),
            Load("needs", "need", group="household_id", standing=True),
            MINE,
            OUTINGS,
            Load("declines", "decline", standing=True),
        ),
    ),
    Page("door", DOOR, "doors/page.html", loads=DOOR_LOADS),
    Page("door_later", DOOR + "/later", "doors/page.html", loads=DOOR_LOADS, write=Write("", "later", next=DOOR)),
    Page(
        "needs",
        DOOR + "/needs",
        "doors/page.html",
        loads=DOOR_LOADS,
        write=Write("need", "put", form="promise", each="need", next=DOOR),
    ),
    Page(
        "visit_new",
        DOOR + "/visit",
        "visits/form.html",
        loads=(HOUSEHOLD, ROUND),
        write=Write("visit", "put", form="visit", set=AT_A_DOOR, next=DOOR, urgent=IN_DANGER, urgent_next=STEPS),
    ),
    Page(
        "nobody_home",
        NOBODY_HOME,
        "rounds/nobody_home.html",
        loads=(ROUND, *WALK),
        write=Write("visit", "put", form="visit", each="door", set=AT_A_DOOR, next=NOBODY_HOME),
    ),
    Page(
        "nobody_home_undo",
        NOBODY_HOME + "/undo",
        "rounds/nobody_home.html",
        loads=(ROUND, *WALK),
        write=Write("visit", "void", each="visit", next=NOBODY_HOME),
    ),
    Page(
        "outing_start",
        "/rounds/{round_id}/start",
        "outings/start.html",
        loads=(ROUND, OUTINGS),
        write=Write("outing", "put", form="setting_out", set={**OF_ME, "went_on": "today", "from_time": "clock"}),
    ),
    Page(
        "outing",
        OUTING,
        "outings/page.html",
        loads=OUTING_LOADS,
        write=Write("outing", "put", form="outing", record="outing"),
    ),
    Page(
        "outing_end",
        OUTING + "/end",
        "outings/page.html",
        loads=OUTING_LOADS,
        write=Write("outing", "put", record="outing", set={"to_time": "clock"}, next=OUTING),
    ),
    Page(
        "outing_withdraw",
        OUTING + "/withdraw",
        "outings/withdraw.html",
        loads=OUTING_LOADS,
        write=Write("outing", "void", record="outing", next="/outings"),
    ),
    Page(
        "outings",
        "/outings",
        "outings/mine.html",
        loads=(OUTINGS, Load("rounds", "round", by_id=True)),
    ),
    Page(
        "round_decline",
        "/rounds/{round_id}/decline",
        "rounds/decline.html",
        loads=(ROUND,),
        write=Write("decline", "put", set=OF_ME),
    ),
    Page(
        "decline_undo",
        "/declines/{decline_id}/undo",
        "rounds/decline.html",
        loads=(Load("decline", "decline", id="decline_id"), Load("rounds", "round", by_id=True)),
        write=Write("decline", "void", record="decline"),
    ),
    Page("visit", "/visits/{visit_id}", "visits/page.html", loads=(VISIT, VISIT_HOUSEHOLD)),
    Page(
        "visit_edit",
        "/visits/{visit_id}/edit",
        "visits/form.html",
        loads=(VISIT, VISIT_HOUSEHOLD),
        write=Write(
            "visit",
            "put",
            form="visit",
            record="visit",
            next="/visits/{visit_id}",
            urgent=IN_DANGER,
            urgent_next=STEPS,
        ),
    ),
    Page(
        "visit_steps",
        STEPS,
        "visits/steps.html",
        loads=(VISIT, VISIT_HOUSEHOLD, Load("rounds", "round", by_id=True)),
        write=Write("visit", "put", form="steps", record="visit", next="/visits/{visit_id}"),
    ),
    Page(
        "visit_withdraw",
        "/visits/{visit_id}/withdraw",
        "visits/withdraw.html",
        loads=(VISIT, VISIT_HOUSEHOLD),
        write=Write("visit", "void", record="visit", next="/my-visits"),
    ),
    Page(
        "my_visits",
        "/my-visits",
        "visits/mine.html",
        loads=(
            Load("visits", "visit", by="author_id", key="me"),
            Load("households", "household", by_id=True),
        ),
    ),
    Page("discarded", "/discarded", "visits/discarded.html", loads=(Load("households", "household", by_id=True),)),
    Page(
        "map",
        "/map",
        "map/page.html",
        loads=(
            Load("buildings", "building"),
            Load("households", "household", group="door"),
            Load("visits", "visit", group="household_id", limit=3, standing=True),
            ROUNDS_BY_HOUSEHOLD,
        ),
    ),
    Page(
        "find",
        "/find",
        "find/page.html",
        loads=(Load("found", "household", match="query.q"), ROUNDS_BY_HOUSEHOLD),
        asks=True,
    ),
    Page("settings", "/settings", "settings/page.html"),
    Page(
        "storage",
        "/settings/storage",
        "settings/storage.html",
        loads=(Load("households", "household", by_id=True), Load("visits", "visit")),
    ),
)


def page_wire(page: Page) -> dict[str, Any]:
    """The entry as the phone reads it, inside the worker's script: only what says something."""
    wire: dict[str, Any] = {
        "name": page.name,
        "path": page.path,
        "template": page.template,
        "loads": [{slot: value for slot in Load.__slots__ if (value := getattr(load, slot))} for load in page.loads],
    }
    if page.asks:
        wire["asks"] = True
    if page.write:
        urgent = page.write.urgent
        slots = (slot for slot in Write.__slots__ if not slot.startswith("urgent"))
        wire["write"] = {slot: value for slot in slots if (value := getattr(page.write, slot))}
        if urgent is not None:
            condition = {"field": urgent.field, "values": list(urgent.values)}
            wire["write"]["urgent"] = {**condition, "next": page.write.urgent_next}
    return wire
