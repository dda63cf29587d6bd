"""One history: faults, then healing, then the question whether everything arrived.

    faults     volunteers save, phones drain, coordinators edit and reassign; the wire, the phones and the centre fail
    heal       no new faults; what is still under way may arrive late
    liveness   every phone drains until nothing moves; too long is a failure of its own
    check      checker.py compares what volunteers saved with what the centre and every phone hold

Everything is drawn from the seed: ids, clocks, fates, the order of steps inside the phones.
"""

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

import msgspec

from server.rules import SERVER_ID
from sync.changes import Action, Author, Change
from sync.columns import from_columns
from sync.kinds import Role
from tests.simulation.central import COMMUNITY, Central, CentralFactory, Enrolled, Reply, Round
from tests.simulation.ledger import Ledger, Saved, Truth
from tests.simulation.options import Options
from tests.simulation.phone import Json, Phones
from tests.simulation.wire import Message, Wire, request_of

START = 1_795_395_600_000  # 2026-11-23 09:00 in Shanghai
MINUTE, DAY, YEAR = 60_000, 86_400_000, 365 * 86_400_000
CLOCK_JUMPS = (10 * YEAR, -10 * YEAR, YEAR, -YEAR, DAY, -DAY, 11 * MINUTE, -START)
DAYS_PASS_MAX = 2  # what was acknowledged is kept for 30 days: no history is longer
HEAL_TICKS_MAX = 700
CALM = 3  # drains in a row with nothing new at the centre: at least one began after the last thing happened
NEEDS = ("meal_delivery", "goods_delivery", "urgent_help")


@dataclass(slots=True)
class Phone:
    """A phone as the world sees it; the phone itself is JavaScript."""

    name: str
    device_id: str
    person_id: str
    schema: int = 1
    clock_offset: int = 0
    is_cloned: bool = False
    running: set[int] = field(default_factory=set)  # tabs with a drain under way
    calm: int = 0  # drains in a row that ended with nothing new at the centre
    seen_head: int = -1
    heard_at: int = -1


class History:
    """Builds a world from options and lives through it."""

    def __init__(self, options: Options, make_central: CentralFactory, phones: Phones, *, keep_trace: bool) -> None:
        self.options = options
        self.rng = Random(f"history {options.seed}")
        self.faults: Counter[str] = Counter()
        self.trace: list[str] = []
        self._keeps_trace = keep_trace
        self.now = START
        self.tick = 0
        self._javascript = phones
        self._commands: list[Json] = []
        self._days_passed = 0
        self._backups: list[tuple[Any, Truth, int]] = []
        self._epochs = 1
        self._lost_keys: set[str] = set()
        self._chances = dict(options.chances)
        self._build_people()
        self.central: Central = make_central(self.enrolled, list(self.ledger.truth.rounds.values()), "epoch-1")
        self.wire = Wire(
            Random(f"wire {options.seed}"),
            options.chances,
            self.faults,
            options.page_limit,
            is_key_lost=self._lost_keys.__contains__,
        )
        self._build_records()
        self._javascript.start(
            [
                {"name": phone.name, "schema": phone.schema, "me": {"id": phone.person_id, "name": phone.person_id}}
                for phone in self.phones
            ],
            seed=options.seed,
            mutant=options.mutant,
        )

    # Building

    def _uuid(self) -> str:
        return str(UUID(int=self.rng.getrandbits(128), version=4))

    def _build_people(self) -> None:
        options = self.options
        people = [self._uuid() for _ in range(options.people)]
        doors = [self._uuid() for _ in range(options.rounds * options.doors)]
        rounds: dict[str, Round] = {}
        for number in range(options.rounds):
            own = doors[number * options.doors : (number + 1) * options.doors]
            shared = [self.rng.choice(doors)] if self.rng.random() < 0.3 else []
            round_id = self._uuid()
            rounds[round_id] = Round(round_id, tuple(dict.fromkeys([*own, *shared])))
        self.people, self.doors = people, doors
        self.phones = [
            Phone(f"phone {number}", self._uuid(), people[number % len(people)]) for number in range(options.phones)
        ]
        for phone in self.phones:
            if self.rng.random() < 0.3:
                phone.clock_offset = self.rng.choice(CLOCK_JUMPS)
                self.faults["clock_wrong"] += 1
        self.enrolled = [Enrolled(each.device_id, each.person_id, f"name of {each.person_id}") for each in self.phones]
        self.coordinators = [
            Author(COMMUNITY, (who := self._uuid()), f"coordinator {number}", who, Role.COORDINATOR)
            for number in range(2)
        ]
        self.ledger = Ledger(Truth(rounds))

    def _build_records(self) -> None:
        server = Author(COMMUNITY, SERVER_ID, "", SERVER_ID, Role.SERVER)
        changes = []
        for number, door in enumerate(self.doors):
            fields = {"door": f"1-1-{number}", "address": "示例小区", "risk": "green", "members": ["示例居民"]}
            changes.append(self._central_change("household", door, 0, fields))
        for round_id, each in self.ledger.truth.rounds.items():
            fields = {"title": "每月走访", "household_ids": list(each.household_ids), "volunteer_ids": []}
            changes.append(self._central_change("round", round_id, 0, fields))
        self.central.write(server, changes, self.now)
        round_ids = list(self.ledger.truth.rounds)
        for person in self.people:
            for round_id in self.rng.sample(round_ids, self.rng.randint(1, max(1, len(round_ids) - 1))):
                self._assign(person, round_id)
            self.ledger.first_grants[person] = self.ledger.truth.scopes(person)

    def _central_change(self, kind: str, record_id: str, base: int, fields: dict[str, Any]) -> Change:
        return Change(self._uuid(), 0, kind, record_id, Action.PUT, base, fields, self.now, 1)

    def _assign(self, person: str, round_id: str) -> None:
        self.central.assign(person, self.ledger.truth.rounds[round_id])
        self.ledger.truth.held.setdefault(person, set()).add(round_id)

    # Living

    def run(self) -> None:
        for _ in range(self.options.ticks):
            self._live_one_tick()
        self._heal()

    def _draw(self, fault: str) -> bool:
        chance = self._chances.get(fault, 0.0)
        is_drawn = chance > 0 and self.rng.random() < chance
        if is_drawn:
            self.faults[fault] += 1
        return is_drawn

    def note(self, text: str) -> None:
        if self._keeps_trace:
            self.trace.append(f"{self.tick:4} {text}")

    def _live_one_tick(self) -> None:
        self.now += self.rng.randint(1, 30) * MINUTE
        self._administer()
        for phone in list(self.phones):
            self._befall(phone)
            if self.rng.random() < self.options.save_chance:
                self._save(phone)
            if self.rng.random() < self.options.drain_chance and not phone.running:
                self._drain(phone, 0)
        self._step()

    def _command(self, phone: Phone, command: str, **given: Any) -> None:
        self._commands.append({"phone": phone.name, "command": command, **given})
        if command != "flush":
            self.note(f"{phone.name} {command} {given}")

    def _step(self) -> None:
        """One tick of all phones, then of the wire and the centre."""
        posts, events = self._javascript.run(
            seed=self.rng.getrandbits(31),
            clocks={phone.name: self.now + phone.clock_offset for phone in self.phones},
            commands=self._commands,
            replies=self.wire.take_replies(self.tick),
        )
        self._commands = []
        for event in events:
            self._hear(event)
        for post in posts:
            drawn = self.wire.send(post, self._phone(post["phone"]).device_id, self.tick)
            self.note(f"{post['phone']} sends message {post['id']} ({drawn or 'no fault'})")
        self._work_off(self.wire.arrivals(self.tick))
        self.tick += 1

    def _hear(self, event: Json) -> None:
        phone = self._phone(event["phone"])
        match event["event"]:
            case "saved":
                self.ledger.told(phone.name, event["change_id"])
                self.note(f"{phone.name} saved {event['change_id']}")
            case "drained":
                phone.running.discard(event["tab"])
                head = self.central.head()
                is_news = phone.heard_at != self.tick  # of two drains that end together only one counts
                phone.heard_at = self.tick
                phone.calm = phone.calm + is_news if event["isDone"] and head == phone.seen_head else 0
                phone.seen_head = head if event["isDone"] else -1
                self.note(f"{phone.name} drained: {event['isDone']} {event['reason']}{event['code']}")
            case "unseen":
                self._hear_unseen(phone, event)
            case "threw":
                self.ledger.problem("threw", f"{phone.name} {event['command']}: {event['error']}")
            case "broken":
                phone.running.clear()

    def _hear_unseen(self, phone: Phone, event: Json) -> None:
        """The volunteer does not see what she just saved: a problem, unless a clone or her other phone says otherwise."""
        others = [other for other in self.phones if other.person_id == phone.person_id and other is not phone]
        if not others and not phone.is_cloned:
            self.ledger.problem("unseen", f"{phone.name} does not show {event['change_id']}, saved just now")

    def _phone(self, name: str) -> Phone:
        return next(phone for phone in self.phones if phone.name == name)

    # Volunteers

    def _drain(self, phone: Phone, tab: int) -> None:
        phone.running.add(tab)
        self._command(phone, "drain", tab=tab)

    def _save(self, phone: Phone) -> None:
        mine = [each for each in self.ledger.saved if each.phone == phone.name and each.is_new]
        if mine and self.rng.random() < 0.3:
            first = self.rng.choice(mine)
            self._save_change(phone, first, is_void=self.rng.random() < 0.15)
        else:
            self._save_change(phone, None, is_void=False)

    def _save_change(self, phone: Phone, first: Saved | None, *, is_void: bool) -> None:
        odd = {
            name for name in ("newer_schema", "unknown_field", "refused_field", "lost_key", "large") if self._draw(name)
        }
        note = f"{len(self.ledger.saved)} {'访' * 40 if 'large' in odd else ''}"
        fields: dict[str, Any] = {} if is_void else {"note": note}
        is_foreign = False
        if first is None:
            own = sorted(door for door in self.doors if door in self.ledger.truth.scopes(phone.person_id))
            is_foreign = not own or self._draw("foreign_door")
            fields |= {
                "household_id": self.rng.choice(self.doors if is_foreign else own),
                "round_id": self.rng.choice(list(self.ledger.truth.rounds)),
                "outcome": self.rng.choice(("met", "no_answer")),
            }
        if not is_void:
            if self.rng.random() < 0.2:
                fields |= {"needs": self.rng.sample(NEEDS, self.rng.randint(1, 2)), "urgency": "days"}
            if "unknown_field" in odd:
                fields["of_a_newer_phone"] = {"nested": [1, "二", None]}
            if "large" in odd:
                fields["long_field"] = "长" * self.rng.randint(50, 300)
            if "refused_field" in odd:
                fields["outcome"] = "teleported"
        saved = Saved(
            phone=phone.name,
            device_id=phone.device_id,
            person_id=phone.person_id,
            change_id=self._uuid(),
            record_id=first.record_id if first else self._uuid(),
            kind="visit",
            action="void" if is_void else "put",
            set=fields,
            made_at=self.now + phone.clock_offset,
            schema=2 if "newer_schema" in odd else 1,
            is_new=first is None,
            is_plain=first is None and not is_foreign and not odd & {"newer_schema", "refused_field", "lost_key"},
        )
        if "lost_key" in odd:
            self._lost_keys.add(saved.change_id)
        self._keep(phone, saved)

    def _keep(self, phone: Phone, saved: Saved, *, tab: int = 0) -> None:
        self.ledger.saved.append(saved)
        change = {
            name: getattr(saved, name)
            for name in ("change_id", "record_id", "kind", "action", "set", "made_at", "schema")
        }
        self._command(phone, "save", tab=tab, change=change)

    # Phones

    def _befall(self, phone: Phone) -> None:
        if self._draw("worker_killed"):
            self._command(phone, "killAt", tab=0, steps=self.rng.randint(1, 25))
            phone.running.discard(0)  # it may be dead; asking it to drain again is harmless
        if self._draw("power_cut"):
            self._command(phone, "cutPower")
            phone.running.clear()
        if self.rng.random() < 0.3:
            self._command(phone, "flush")
        if self._draw("clock_jump"):
            phone.clock_offset = self.rng.choice((0, *CLOCK_JUMPS))
        if self._draw("second_drain"):
            self._drain(phone, 0)
        if self._draw("second_tab"):
            self._drain(phone, 1)
            if self.rng.random() < 0.3:
                self._command(phone, "killAt", tab=1, steps=self.rng.randint(1, 25))
        if self._draw("outbox_broken"):
            self._command(phone, "breakOutbox")
        if not phone.is_cloned and self._draw("cloned"):
            self._clone(phone)

    def _clone(self, phone: Phone) -> None:
        """A backup of the phone comes to life beside it, with a form that both had open: one change id, two contents."""
        twin = Phone(f"{phone.name} clone", phone.device_id, phone.person_id, phone.schema, phone.clock_offset, True)
        phone.is_cloned = True
        self.phones.append(twin)
        self._command(phone, "clone", name=twin.name)
        change_id, record_id = self._uuid(), self._uuid()
        door = self.rng.choice(self.doors)
        for number, each in enumerate((phone, twin)):
            fields = {
                "household_id": door,
                "round_id": next(iter(self.ledger.truth.rounds)),
                "outcome": "met",
                "note": f"{len(self.ledger.saved)} of {number}",
            }
            made_at = self.now + each.clock_offset
            self._keep(
                each,
                Saved(
                    each.name, each.device_id, each.person_id, change_id, record_id, "visit", "put", fields, made_at, 1,
                    is_new=False, is_plain=False,
                ),
            )  # fmt: skip

    # The centre

    def _administer(self) -> None:
        truth = self.ledger.truth
        if self.rng.random() < 0.10:
            self._backups.append((self.central.backup(), truth.copy(), self.tick))
        if self._draw("grant"):
            self._grant(self.rng.choice(self.people), self.rng.choice(list(truth.rounds)))
        if self._draw("withdrawal"):
            self._withdraw(self.rng.choice(self.people))
        if self._draw("revocation"):
            device_id = self.rng.choice(self.phones).device_id
            self.note(f"revoke {device_id}")
            self.central.revoke(device_id)
            truth.revoked.add(device_id)
            self.ledger.ever_revoked.add(device_id)
        if self._backups and self._draw("restore"):
            self._restore()
        if self._days_passed < DAYS_PASS_MAX and self._draw("days_pass"):
            self._days_passed += 1
            self.now += 8 * DAY
        if self.rng.random() < 0.3:
            self._coordinate()

    def _grant(self, person: str, round_id: str) -> None:
        """Unless it comes back to somebody, which only test_histories.py lets happen."""
        scopes = {round_id, *self.ledger.truth.rounds[round_id].household_ids}
        is_back = any((person, scope) in self.ledger.ever_withdrawn for scope in scopes)
        if not is_back or self._chances.get("granted_again"):
            self._assign(person, round_id)

    def _withdraw(self, person: str) -> None:
        truth = self.ledger.truth
        held = sorted(truth.held.get(person, ()))
        if not held:
            return
        round_id = self.rng.choice(held)
        before = truth.scopes(person)
        self.note(f"withdraw {round_id} from {person}")
        self.central.withdraw(person, truth.rounds[round_id], self.now)
        truth.held[person].remove(round_id)
        self.ledger.ever_withdrawn.update((person, scope) for scope in before - truth.scopes(person))

    def _restore(self) -> None:
        backup, truth, at = self.rng.choice(self._backups)
        self._epochs += 1
        self.note(f"restore the backup of tick {at}")
        self.central.restore(backup, f"epoch-{self._epochs}")
        for person in self.people:
            lost = self.ledger.truth.scopes(person) - truth.scopes(person)
            self.ledger.ever_withdrawn.update((person, scope) for scope in lost)
        self.ledger.truth = truth.copy()

    def _coordinate(self) -> None:
        """A coordinator edits a household or reviews a visit, sometimes from a page opened a while ago."""
        author = self.rng.choice(self.coordinators)
        records = self.central.records()
        if self.rng.random() < 0.5:
            record = records[self.rng.choice(self.doors)]
            member = f"示例居民{self.rng.randrange(10**6):06}"
            fields: dict[str, Any] = {"members": [*record.fields["members"], member]}
            if self.rng.random() < 0.5:
                fields = {"address": f"示例小区{self.rng.randrange(100)}号", "risk": self.rng.choice(("green", "red"))}
            if self.rng.random() < 0.2:
                fields["is_closed"] = self.rng.random() < 0.3
                self.ledger.ever_closed.update([record.record_id] if fields["is_closed"] else [])
            base = max(0, record.revision - self.rng.choice((0, 0, 3, 10)))
        else:
            visits = sorted(
                (each for each in records.values() if each.kind == "visit"), key=lambda each: each.record_id
            )
            if not visits:
                return
            record = self.rng.choice(visits)
            fields = {"review_state": "approved", "review_note": f"{self.rng.randrange(1000)}"}
            base = record.revision
        self.central.write(author, [self._central_change(record.kind, record.record_id, base, fields)], self.now)

    def _work_off(self, arrived: list[Message]) -> None:
        """The centre works on what arrived, one after the other or two at the same instant."""
        while arrived:
            message = arrived.pop(0)
            company = next((other for other in arrived if message.wants_company), None)
            if company is not None and not message.fate and not company.fate:
                arrived.remove(company)
                replies = self.central.together(request_of(message, self.now), request_of(company, self.now))
                self._take(message, replies[0])
                self._take(company, replies[1])
            else:
                self._take(message, self.central.exchange(request_of(message, self.now)))

    def _take(self, message: Message, reply: Reply | None) -> None:
        self._inspect_answer(message, reply)
        self.wire.answer(message, reply, self.tick)
        self.note(f"message {message.reply_to} of {message.phone} answered {reply.status if reply else 'nothing'}")

    def _inspect_answer(self, message: Message, reply: Reply | None) -> None:
        """What leaves the server: stable results, and nothing that the person may not see."""
        if reply is None or reply.status != 200:
            return
        answer = msgspec.json.decode(reply.text)
        phone = self._phone(message.phone)
        sent = {change["change_id"]: change for change in msgspec.json.decode(message.text)["changes"]}
        for result in answer["results"]:
            if result["change_id"] in sent:
                self.ledger.note_answer(answer["epoch"], sent[result["change_id"]], result)
        is_revoked = phone.device_id in self.ledger.truth.revoked
        allowed = set() if is_revoked else self.ledger.truth.scopes(phone.person_id)
        pulled = from_columns(answer["columns"]) if "columns" in answer else answer["records"]
        for kind, records in pulled.items():
            for record in records:
                if record["scope_id"] not in allowed:
                    self.ledger.problem("leak", f"{kind} {record['id']} was sent to {phone.name}")

    # Healing

    def _heal(self) -> None:
        self.note("--- everything heals ---")
        self._chances = {}
        self.wire.heal()
        self.wire.body_limit = self.options.body_limit_after_heal
        for phone in self.phones:
            phone.running.clear()
            phone.calm = 0
            if self.rng.random() < 0.5:
                self._command(phone, "kill", tab=0)
            self._command(phone, "kill", tab=1)
        idle = 0
        for _ in range(HEAL_TICKS_MAX):
            self.now += MINUTE
            for phone in self.phones:
                if not phone.running and phone.calm < CALM:
                    self._drain(phone, 0)
            self._step()
            self._reawaken()
            idle = idle + 1 if self.wire.is_quiet() else 0
            if idle > 1 and all(phone.calm >= CALM and phone.seen_head == self.central.head() for phone in self.phones):
                return
        self.ledger.problem("stuck", f"after {HEAL_TICKS_MAX} ticks without faults phones still drain")

    def _reawaken(self) -> None:
        """Whoever is calm while the centre has moved on drains again; a drain that died is started again."""
        head = self.central.head()
        for phone in self.phones:
            if phone.calm >= CALM and phone.seen_head != head:
                phone.calm = 0
            if phone.running and self.wire.is_quiet():
                phone.running.clear()
