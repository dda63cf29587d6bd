"""The checker: compares what volunteers saved with what lies at the centre and on every phone, after everything healed.

Code of its own: it knows the ledger, reads the history, the records and the phones' disks, and folds fields by itself.
Each finding begins with its kind: lost, doubled, invented, altered, overheld, leak, differs, stuck, forgotten, gap, passed.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from server.kinds import KINDS
from sync.changes import Record
from tests.simulation.central import Central, Line
from tests.simulation.central_sql import SqlCentral
from tests.simulation.ledger import Ledger, Saved
from tests.simulation.world import History, Phone

TAKEN = ("accepted", "merged", "conflict")
VISITS_KEPT = 3


def check(history: History, disks: list[dict[str, Any]]) -> list[str]:
    ledger, central = history.ledger, history.central
    lines = central.history()
    phones = {phone.name: phone for phone in history.phones}
    problems = list(ledger.problems)
    problems += check_history(ledger, lines, {phone.device_id for phone in history.phones})
    problems += check_records(central.records(), lines)
    problems += check_sequences(central, disks, phones)
    for disk in disks:
        phone = phones[disk["phone"]]
        problems += check_outbox(phone, disk, ledger, lines, central.epoch())
        if phone.device_id not in ledger.truth.revoked:
            problems += check_replica(phone, disk, ledger, central)
    if isinstance(central, SqlCentral) and (broken := central.first_broken_line()) is not None:
        problems.append(f"altered: the audit chain breaks at line {broken}")
    return problems


# The centre


def check_history(ledger: Ledger, lines: list[Line], devices: set[str]) -> Iterable[str]:
    """Each saved change exactly once, whole, and nothing that nobody saved."""
    by_id: dict[str, list[Line]] = defaultdict(list)
    copies: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        (copies[line.record_id] if line.code == "same_id_other_content" else by_id[line.change_id]).append(line)
    claimed: Counter[int] = Counter()
    for saved in ledger.saved:
        found = [line for line in by_id[saved.change_id] + copies[saved.record_id] if is_line_of(saved, line)]
        claimed.update(id(line) for line in found)
        if saved.is_told and not found:
            standing = by_id[saved.change_id]
            kind = "altered" if standing and not copies[saved.record_id] else "lost"
            yield f"{kind}: {saved.change_id}, saved on {saved.phone}, is not in the history"
        if len(found) > 1:
            yield f"doubled: {saved.change_id} stands {len(found)} times in the history"
        for line in found:
            if line.outcome not in (*TAKEN, "held"):
                yield f"altered: {saved.change_id} ended as {line.outcome}"
            if line.outcome == "held" and must_be_taken(saved, ledger):
                yield f"overheld: {saved.change_id} was held as {line.code}"
            if line.outcome != "held" and saved.person_id and line.revision == 0 and saved.action == "put":
                yield f"altered: {saved.change_id} was taken without a place"
    for line in lines:
        if line.device_id in devices and line.device_sequence > 0 and claimed[id(line)] == 0:
            yield f"invented: {line.change_id} of {line.device_id} was never saved like this"


def is_line_of(saved: Saved, line: Line) -> bool:
    if line.kind == "unreadable":
        return line.change_id == saved.change_id and line.code == "unsealable"
    asked = (saved.kind, saved.record_id, saved.action, saved.set, saved.made_at, saved.schema)
    return asked == (line.kind, line.record_id, line.action, line.set, line.made_at, line.schema)


def must_be_taken(saved: Saved, ledger: Ledger) -> bool:
    """Nothing odd about the change, the phone or the person's scope, before or since."""
    household = saved.set.get("household_id", "")
    return (
        saved.is_plain
        and saved.device_id not in ledger.ever_revoked
        and household not in ledger.ever_closed
        and household in ledger.first_grants[saved.person_id]
        and (saved.person_id, household) not in ledger.ever_withdrawn
    )


def check_records(records: Mapping[str, Record], lines: list[Line]) -> Iterable[str]:
    """Every record is what the taken lines of its history make of it, in the order of the feed."""
    by_record: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        if line.outcome in TAKEN and line.action != "discard":
            by_record[line.record_id].append(line)
    for record_id in records.keys() - by_record.keys():
        yield f"invented: record {record_id} has no history"
    for record_id, own in by_record.items():
        record = records.get(record_id)
        if record is None:
            yield f"lost: record {record_id} is in the history only"
            continue
        own.sort(key=lambda line: line.revision)
        yield from check_fold(record, own)
        if record.revision != own[-1].revision:
            yield f"altered: {record.kind} {record_id} stands at {record.revision}, its history at {own[-1].revision}"
    yield from check_needs(records, lines)


def check_fold(record: Record, own: list[Line]) -> Iterable[str]:
    last: dict[str, Any] = {}
    ever: dict[str, list[Any]] = defaultdict(list)
    members: set[str] = set()
    for line in own:
        last |= line.set
        for name, value in line.set.items():
            ever[name].append(value)
        members.update(line.set.get("members", ()))
    for name, value in last.items():
        rule = KINDS[record.kind].rule(name).value
        standing = record.fields.get(name)
        if rule == "own" and standing != value:
            yield f"altered: {record.kind} {record.record_id} {name} is {standing!r}, last set to {value!r}"
        if rule in ("register", "guard") and standing not in ever[name]:
            yield f"altered: {record.kind} {record.record_id} {name} is {standing!r}, which nobody wrote"
    if record.kind == "household" and members - set(record.fields.get("members", ())):
        yield f"lost: members of household {record.record_id}: {sorted(members - set(record.fields['members']))}"
    if record.is_void != (own[-1].action == "void"):
        yield f"altered: {record.kind} {record.record_id} is_void is {record.is_void}"


def check_needs(records: Mapping[str, Record], lines: list[Line]) -> Iterable[str]:
    """A need ticked in a visit that was taken is opened once."""
    ticked = {
        (line.record_id, service)
        for line in lines
        if line.kind == "visit" and line.outcome in TAKEN
        for service in line.set.get("needs", ())
    }
    opened = Counter(
        (record.fields["visit_id"], record.fields["service"]) for record in records.values() if record.kind == "need"
    )
    for pair in ticked - opened.keys():
        yield f"lost: need {pair}"
    for pair, count in opened.items():
        if count > 1 or pair not in ticked:
            yield f"doubled: need {pair} stands {count} times"


def check_sequences(central: Central, disks: list[dict[str, Any]], phones: Mapping[str, Phone]) -> Iterable[str]:
    """No number that a phone gave out is missing."""
    arrived: dict[str, set[int]] = defaultdict(set)
    for line in central.history():
        arrived[line.device_id].add(line.device_sequence)
    for disk in disks:
        device_id = phones[disk["phone"]].device_id
        missing = set(range(1, disk["high_water"] + 1)) - arrived[device_id]
        if missing:
            yield f"gap: numbers {sorted(missing)} of {disk['phone']} never came"


# The phones


def check_outbox(phone: Phone, disk: Mapping[str, Any], ledger: Ledger, lines: list[Line], epoch: str) -> Iterable[str]:
    """Everything saved here is still here, answered for in the centre's present life, with the centre's outcome."""
    outcomes = {line.change_id: line for line in lines}
    by_id = {entry["change_id"]: entry for entry in disk["entries"]}
    for saved in ledger.saved:
        if saved.phone == phone.name and saved.is_told and saved.change_id not in by_id:
            yield f"forgotten: {saved.change_id} is no longer on {phone.name}"
    for change_id, entry in by_id.items():
        if entry["state"] == "waiting":
            yield f"stuck: {change_id} still waits on {phone.name} ({entry['code']})"
            continue
        if entry["epoch"] != epoch:
            yield f"lost: {change_id} on {phone.name} was answered in {entry['epoch']}, now is {epoch}"
        line = outcomes.get(change_id)
        if line is None or phone.is_cloned:
            continue
        state = "held" if line.outcome == "held" else "acknowledged"
        if entry["state"] != state:
            yield f"differs: {change_id} is {entry['state']} on {phone.name} and {line.outcome} at the centre"
        if state == "acknowledged" and entry["revision"] != line.revision:
            yield f"differs: {change_id} stands at {entry['revision']} on {phone.name}, at {line.revision} at the centre"


def check_replica(phone: Phone, disk: Mapping[str, Any], ledger: Ledger, central: Central) -> Iterable[str]:
    """The replica is the centre's state in the phone's scope: nothing else, nothing old, nothing passed over."""
    allowed = ledger.truth.scopes(phone.person_id)
    standing = central.records()
    held = {record["id"]: record for record in disk["records"]}
    for record_id, record in held.items():
        if record["scope_id"] not in allowed:
            yield f"leak: {record['kind']} {record_id} is on {phone.name}, outside its scope"
        elif record_id not in standing:
            yield f"differs: {record['kind']} {record_id} on {phone.name} is not at the centre"
        elif not equals(record, standing[record_id]):
            yield f"differs: {record['kind']} {record_id} on {phone.name} is not as at the centre"
    for record_id in should_hold(standing, central.scopes(phone.person_id)) - held.keys():
        yield f"passed: {standing[record_id].kind} {record_id} never came to {phone.name}"
    yield from check_views(phone, disk)


def check_views(phone: Phone, disk: Mapping[str, Any]) -> Iterable[str]:
    """Replica + outbox = what the volunteer sees: with everything answered, the centre's fields."""
    odd = {entry["record_id"] for entry in disk["entries"] if entry["state"] != "acknowledged"}
    records = {record["id"]: record for record in disk["records"]}
    for view in disk["views"]:
        record = records[view["id"]]
        if view["id"] in odd:
            continue
        if any(view.get(name) != value for name, value in record.items()):
            yield f"differs: {phone.name} shows {record['kind']} {record['id']} other than it stands"


def should_hold(records: Mapping[str, Record], scopes: Collection[str]) -> set[str]:
    """Every record in scope, but of visits only the last three of each household."""
    visits: dict[str, list[Record]] = defaultdict(list)
    wanted: set[str] = set()
    for record in records.values():
        if record.scope_id not in scopes:
            continue
        if record.kind == "visit":
            visits[record.scope_id].append(record)
        else:
            wanted.add(record.record_id)
    for own in visits.values():
        own.sort(key=lambda visit: (visit.made_at, visit.record_id), reverse=True)
        wanted.update(visit.record_id for visit in own[:VISITS_KEPT])
    return wanted


def equals(flat: Mapping[str, Any], record: Record) -> bool:
    return bool(json.loads(json.dumps(record.body())) == flat)
