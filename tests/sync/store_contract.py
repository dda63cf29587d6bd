"""The suite that every Store must pass: inherit it and give a `world`.

Alice holds household A, Bob holds household B, and each must see nothing of the other's.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import pytest

from server.rules import RULES
from sync.changes import SKEW_MS_MAX, Action, Author, Change, Held, Outcome, Record, Result
from sync.engine import Page, Rules, accept, page, put_off, unreadable
from sync.holdings import Verdict, compare, digest_of
from sync.kinds import Kind, Role, Rule
from sync.store import Grant, Position, Store

COMMUNITY = 1


def uuid(number: int) -> str:
    return f"0192a000-0000-7000-8000-{number:012x}"


HOUSEHOLD_A, HOUSEHOLD_B, HOUSEHOLD_C = uuid(0xA), uuid(0xB), uuid(0xD)
ROUND = uuid(0xC)
ALICE = Author(COMMUNITY, uuid(1), "Alice", uuid(11), Role.VOLUNTEER)
BOB = Author(COMMUNITY, uuid(2), "Bob", uuid(12), Role.VOLUNTEER)
COORDINATOR = Author(COMMUNITY, uuid(3), "Coordinator", uuid(3), Role.COORDINATOR)
SECOND = Author(COMMUNITY, uuid(5), "Second", uuid(5), Role.COORDINATOR)
SERVER = Author(COMMUNITY, uuid(4), "", uuid(4), Role.SERVER)
ALICES_OTHER_PHONE = replace(ALICE, device_id=uuid(13))
# Who came to an event: once for each person, whoever ticks it.
ATTENDANCE = Kind(
    "attendance",
    {"event_id": Rule.REGISTER, "person_id": Rule.REGISTER, "state": Rule.REGISTER},
    frozenset({Role.VOLUNTEER}),
    scope_field="event_id",
    once_per=("event_id", "person_id"),
)
OF_EVENTS = Rules({"attendance": ATTENDANCE}, 1, 1, check=lambda *_: None, derive=lambda *_: ())


@dataclass
class World:
    """A store that a test writes to and reads from; each `act` is one committed transaction."""

    act: Callable[[Callable[[Store], object]], object]
    grant: Callable[[str, str], None]
    withdraw: Callable[[str, str], None]

    def accept(
        self, *changes: Change, author: Author = ALICE, received_at: int = 1_000, rules: Rules = RULES
    ) -> list[Result]:
        results: list[Result] = []
        self.act(lambda store: results.extend(accept(store, rules, changes, author=author, received_at=received_at)))
        return results

    def record(self, record_id: str) -> Record:
        found: list[Record] = []
        self.act(lambda store: found.append(store.records(COMMUNITY, [record_id])[record_id]))
        return found[0]

    def place(self, change: Change, *, author: Author) -> int:
        return self.accept(change, author=author)[0].revision

    def photos(self) -> list[int]:
        """Those of `visit(1)`, each by the number that `photo` made it from."""
        return [each["length"] for each in self.record(visit(1).record_id).fields["attachments"]]

    def members(self) -> object:
        """Those of the household that `edit` is about."""
        return self.record(HOUSEHOLD_C).fields["members"]

    def compare(
        self, held: list[tuple[str, int]], *, after: Position | None, author: Author = ALICE, epoch: str = "epoch-1"
    ) -> Verdict:
        found: list[Verdict] = []
        digest = digest_of(held)
        self.act(lambda store: found.append(compare(store, author=author, epoch=epoch, after=after, digest=digest)))
        return found[0]

    def pull(self, author: Author = ALICE, after: Position | None = None, limit: int = 100) -> "Pulled":
        found: list[Pulled] = []

        def work(store: Store) -> None:
            answer = page(store, author=author, epoch=store.epoch(COMMUNITY), after=after, limit=limit)
            found.append(
                Pulled(
                    [record.record_id for record in answer.slice.records],
                    list(answer.slice.purge),
                    answer.slice.end,
                    answer.slice.is_complete,
                )
            )

        self.act(work)
        return found[0]

    def pull_to_end(self, author: Author = ALICE, after: Position | None = None, limit: int = 2) -> list[str]:
        seen: list[str] = []
        position = after
        while True:
            answer = self.pull(author, position, limit)
            seen += answer.record_ids
            position = answer.end
            if answer.is_complete:
                return seen


@dataclass
class Pulled:
    record_ids: list[str]
    purge: list[str]
    end: Position
    is_complete: bool


def photo(number: int) -> dict[str, object]:
    return {"sha256": f"{number:064x}", "length": number, "kind": "photo"}


def photos(*numbers: int) -> list[dict[str, object]]:
    return [photo(number) for number in numbers]


def household(record_id: str, number: int = 100) -> Change:
    fields: dict[str, object] = {
        "door": f"3-2-{number}",
        "address": "示例小区",
        "risk": "green",
        "members": ["示例居民0001"],
    }
    return change(number, record_id, kind="household", set=fields)


def visit(number: int, *, scope: str = HOUSEHOLD_A, base: int | str = 0, **fields: object) -> Change:
    content = {"household_id": scope, "round_id": ROUND, "outcome": "met", **fields} if base == 0 else dict(fields)
    return change(number, uuid(0x1000 + number), kind="visit", base=base, set=content)


def change(number: int, record_id: str, *, kind: str, base: int | str = 0, set: dict[str, object]) -> Change:
    return Change(
        change_id=uuid(0x2000 + number),
        device_sequence=number,
        kind=kind,
        record_id=record_id,
        action=Action.PUT,
        base=base,
        set=set,
        made_at=number,
        schema=1,
    )


def edit(number: int, *, base: int | str = 0, **fields: object) -> Change:
    return change(number, HOUSEHOLD_C, kind="household", base=base, set=fields)


def ticked(number: int, *, person: str = uuid(0x50), base: int | str = 0, **fields: object) -> Change:
    """That somebody came to the event in household A."""
    names: dict[str, object] = {"event_id": HOUSEHOLD_A, "person_id": person}
    return change(number, ATTENDANCE.record_id_of(names), kind="attendance", base=base, set={**names, **fields})


def withdrawn(original: Change, number: int, *, base: int | str) -> Change:
    return replace(amended(original, number, base=base), action=Action.VOID)


def amended(original: Change, number: int, *, base: int | str, **fields: object) -> Change:
    return replace(original, change_id=uuid(0x3000 + number), device_sequence=number, base=base, set=fields)


class StoreContract:
    @pytest.fixture
    def world(self) -> World | Iterator[World]:
        raise NotImplementedError

    @pytest.fixture
    def settled(self, world: World) -> World:
        """Two households, one for Alice and one for Bob."""
        world.accept(household(HOUSEHOLD_A, 100), household(HOUSEHOLD_B, 101), author=SERVER)
        world.grant(ALICE.person_id, HOUSEHOLD_A)
        world.grant(BOB.person_id, HOUSEHOLD_B)
        return world

    # Push

    def test_new_visit_is_accepted_with_a_place(self, settled: World) -> None:
        (result,) = settled.accept(visit(1))

        assert result.outcome is Outcome.ACCEPTED
        assert result.revision > 0
        assert visit(1).record_id in settled.pull_to_end()

    def test_same_change_again_gives_the_same_revision(self, settled: World) -> None:
        first = settled.accept(visit(1))[0]

        again = settled.accept(visit(1))[0]

        assert (again.outcome, again.revision) == (Outcome.AGAIN, first.revision)
        assert settled.pull_to_end().count(visit(1).record_id) == 1

    def test_same_change_twice_in_one_batch_is_one_record(self, settled: World) -> None:
        first, second = settled.accept(visit(1), visit(1))

        assert (first.outcome, second.outcome) == (Outcome.ACCEPTED, Outcome.AGAIN)
        assert first.revision == second.revision

    def test_same_id_with_other_content_keeps_both(self, settled: World) -> None:
        settled.accept(visit(1, note="first"))

        result = settled.accept(visit(1, note="second"))[0]

        assert (result.outcome, result.code) == (Outcome.HELD, "same_id_other_content")
        assert settled.accept(visit(1, note="second"))[0].code == "same_id_other_content"

    def test_foreign_scope_is_held_and_neighbours_pass(self, settled: World) -> None:
        results = settled.accept(visit(1), visit(2, scope=HOUSEHOLD_B), visit(3))

        assert [result.outcome for result in results] == [Outcome.ACCEPTED, Outcome.HELD, Outcome.ACCEPTED]
        assert results[1].code == "not_in_scope"

    @pytest.mark.parametrize("scope", ["z" * 36, "0192A000-0000-7000-8000-00000000000A", "", "示例"])
    def test_scope_that_is_no_id_is_held_and_neighbours_pass(self, settled: World, scope: str) -> None:
        results = settled.accept(visit(1, scope=scope), visit(2))

        assert [result.outcome for result in results] == [Outcome.HELD, Outcome.ACCEPTED]

    def test_held_change_again_gives_the_same_answer(self, settled: World) -> None:
        first = settled.accept(visit(2, scope=HOUSEHOLD_B))[0]

        assert settled.accept(visit(2, scope=HOUSEHOLD_B))[0] == first

    def test_what_could_not_be_read_is_the_same_whatever_is_said_of_it(self, settled: World) -> None:
        """The next release may word it otherwise, or find fault with something else first."""
        first, later = (
            unreadable(change_id=uuid(7), device_sequence=1, code=code, raw="rubbish", detail=detail)
            for code, detail in ((Held.BAD_CHANGE, "action must be put"), (Held.UNSEALABLE, ""))
        )
        other = unreadable(change_id=uuid(7), device_sequence=1, code=Held.BAD_CHANGE, raw="other")
        results = [settled.accept(each)[0] for each in (first, later, other)]

        assert [result.code for result in results] == ["bad_change", "bad_change", "same_id_other_content"]

    def test_change_made_before_the_grant_ended_is_taken(self, settled: World) -> None:
        settled.withdraw(ALICE.person_id, HOUSEHOLD_A)

        result = settled.accept(visit(1))[0]  # made_at 1, the grant ended at 500

        assert result.outcome is Outcome.ACCEPTED

    def test_change_made_after_the_grant_ended_is_held(self, settled: World) -> None:
        settled.withdraw(ALICE.person_id, HOUSEHOLD_A)

        result = settled.accept(visit(600))[0]

        assert (result.outcome, result.code) == (Outcome.HELD, "not_in_scope")

    def test_visit_of_a_closed_household_is_held_until_it_is_opened_again(self, settled: World) -> None:
        base, place = household(HOUSEHOLD_A), settled.record(HOUSEHOLD_A).revision
        settled.accept(amended(base, 2, base=place, is_closed=True), author=COORDINATOR)

        closed = settled.accept(visit(1), visit(2, scope=HOUSEHOLD_B))
        place = settled.record(HOUSEHOLD_A).revision
        opened = settled.accept(amended(base, 3, base=place, is_closed=False), author=COORDINATOR)[0]
        after = settled.accept(visit(3))[0]

        assert [result.code for result in closed] == ["household_closed", "not_in_scope"]
        assert (opened.outcome, after.outcome) == (Outcome.ACCEPTED, Outcome.ACCEPTED)

    def test_grant_says_whether_its_household_is_closed(self, settled: World) -> None:
        found: list[Mapping[str, Grant]] = []

        def look(store: Store) -> None:
            found.append(store.grants(COMMUNITY, ALICE.person_id, [HOUSEHOLD_A, HOUSEHOLD_B, ROUND]))
            found.append(store.grants(COMMUNITY, ALICE.person_id, []))

        settled.grant(ALICE.person_id, HOUSEHOLD_B)
        settled.accept(change(7, HOUSEHOLD_B, kind="household", base=1, set={"is_closed": True}), author=SERVER)
        settled.act(look)

        closed = [{scope_id for scope_id, grant in each.items() if grant.is_closed} for each in found]
        assert closed == [{HOUSEHOLD_B}, set()]
        assert HOUSEHOLD_A in found[0]

    def test_push_that_is_put_off_says_that_more_waits_and_stays_where_it_was(self, settled: World) -> None:
        pages: list[Page | None] = []
        after = Position(1)

        def look(store: Store) -> None:
            epoch = store.epoch(COMMUNITY)
            pages.append(put_off(store, author=ALICE, epoch=epoch, after=after))
            pages.append(put_off(store, author=ALICE, epoch="another", after=after))
            pages.append(put_off(store, author=ALICE, epoch=epoch, after=None))

        settled.act(look)

        assert pages[0] is not None
        assert (pages[0].slice.end, pages[0].slice.is_complete, list(pages[0].slice.records)) == (after, False, [])
        assert pages[1:] == [None, None]

    def test_revoked_device_is_held_and_pulls_nothing(self, settled: World) -> None:
        revoked = replace(ALICE, is_revoked=True)

        result = settled.accept(visit(1), author=revoked)[0]

        assert (result.outcome, result.code) == (Outcome.HELD, "device_revoked")
        assert settled.pull(revoked).record_ids == []

    def test_held_changes_are_counted_by_device_and_from_a_moment_on(self, settled: World) -> None:
        others_phone = replace(ALICE, device_id=uuid(21))
        strange = [change(number, uuid(50 + number), kind="poem", set={}) for number in range(1, 6)]
        settled.accept(strange[0], visit(8), received_at=1_000)
        settled.accept(*strange[1:3], received_at=2_000)
        settled.accept(strange[3], author=others_phone, received_at=2_000)
        counted: list[int] = []

        def count(store: Store) -> None:
            for device_id, since in ((ALICE.device_id, 1_000), (ALICE.device_id, 1_001), (ALICE.device_id, 2_001)):
                counted.append(store.held(COMMUNITY, device_id, since))
            counted.extend(store.held(COMMUNITY, device_id, 0) for device_id in (others_phone.device_id, uuid(22)))

        settled.act(count)

        assert counted == [3, 2, 0, 1, 0]

    def test_unknown_kind_schema_and_field_have_codes_of_their_own(self, settled: World) -> None:
        unknown_kind = change(1, uuid(50), kind="poem", set={"household_id": HOUSEHOLD_A})
        unknown_schema = replace(visit(2), schema=99)
        bad_field = visit(3, outcome="teleported")

        codes = [result.code for result in settled.accept(unknown_kind, unknown_schema, bad_field)]

        assert codes == ["unknown_kind", "unknown_schema", "bad_field"]

    def test_record_is_made_no_later_than_it_came_and_its_history_keeps_what_was_said(self, settled: World) -> None:
        came = 1_000
        said = [came, came + SKEW_MS_MAX, came + SKEW_MS_MAX + 1, -5]
        changes = [replace(visit(number), made_at=made_at) for number, made_at in enumerate(said, 1)]
        ids = [each.record_id for each in changes]
        kept: list[int] = []

        settled.accept(*changes, received_at=came)

        settled.act(lambda store: kept.extend(store.records(COMMUNITY, ids)[each].made_at for each in ids))
        assert kept == [came, came + SKEW_MS_MAX, came, -5]
        assert {each.outcome for each in settled.accept(*changes, received_at=came)} == {Outcome.AGAIN}

    def test_field_of_a_newer_phone_is_kept(self, settled: World) -> None:
        settled.accept(visit(1, future_field="x"))

        assert settled.record(visit(1).record_id).fields["future_field"] == "x"

    # Amending

    def test_amendment_on_own_preceding_change_never_conflicts(self, settled: World) -> None:
        first = visit(1, note="a")
        settled.accept(first)

        result = settled.accept(amended(first, 2, base=first.change_id, note="b"))[0]

        assert result.outcome is Outcome.ACCEPTED

    def test_amendment_by_someone_else_is_held(self, settled: World) -> None:
        settled.grant(BOB.person_id, HOUSEHOLD_A)
        first = visit(1)
        place = settled.accept(first)[0].revision

        result = settled.accept(amended(first, 2, base=place, note="mine now"), author=BOB)[0]

        assert result.code == "not_the_author"

    def test_photos_that_two_phones_of_one_author_add_to_a_visit_all_stand(self, settled: World) -> None:
        """Without a network, each upon the visit as it was: neither has seen the other's."""
        seen = settled.place(visit(1, attachments=photos(1)), author=ALICE)
        first = amended(visit(1), 2, base=seen, attachments=photos(1, 2))
        settled.accept(first)

        result = settled.accept(amended(visit(1), 3, base=seen, attachments=photos(1, 3)), author=ALICES_OTHER_PHONE)[0]
        settled.accept(amended(visit(1), 4, base=first.change_id, attachments=photos(1, 2, 4)))

        assert result.outcome is Outcome.MERGED
        assert settled.photos() == [1, 2, 3, 4]

    def test_photo_that_one_phone_had_seen_and_removes_goes_and_the_other_s_stays(self, settled: World) -> None:
        seen = settled.place(visit(1, attachments=photos(1)), author=ALICE)
        settled.accept(amended(visit(1), 2, base=seen, attachments=photos(1, 2)), author=ALICES_OTHER_PHONE)

        settled.accept(amended(visit(1), 3, base=seen, attachments=[]))

        assert settled.photos() == [2]

    def test_photo_that_a_merge_brought_goes_where_a_phone_that_has_seen_it_removes_it(self, settled: World) -> None:
        birth = settled.place(visit(1, attachments=photos(1)), author=ALICE)
        settled.accept(amended(visit(1), 2, base=birth, attachments=photos(1, 2)))
        seen = settled.place(amended(visit(1), 3, base=birth, attachments=photos(1, 3)), author=ALICES_OTHER_PHONE)
        settled.accept(amended(visit(1), 4, base=seen, attachments=photos(1, 2, 3, 4)))

        settled.accept(amended(visit(1), 5, base=seen, attachments=photos(1, 3)), author=ALICES_OTHER_PHONE)

        assert settled.photos() == [1, 3, 4]

    def test_photos_of_a_visit_that_one_phone_amends_are_those_that_it_says_last(self, settled: World) -> None:
        first = visit(1, attachments=photos(1, 2))
        second = amended(first, 2, base=first.change_id, attachments=photos(1, 2, 3))
        settled.accept(first, second)

        result = settled.accept(amended(first, 3, base=second.change_id, attachments=photos(3)))[0]

        assert (result.outcome, settled.photos()) == (Outcome.ACCEPTED, [3])

    def test_photos_that_are_more_than_a_visit_takes_together_are_held_with_what_came_with_them(
        self, settled: World
    ) -> None:
        seen = settled.place(visit(1, attachments=photos(*range(1, 10))), author=ALICE)
        settled.accept(amended(visit(1), 2, base=seen, attachments=photos(*range(1, 11))))
        one_more = amended(visit(1), 3, base=seen, attachments=photos(*range(1, 10), 11), note="mine")

        results = [settled.accept(one_more, author=ALICES_OTHER_PHONE)[0] for _ in range(2)]

        held = Result(one_more.change_id, Outcome.HELD, code="bad_field", detail="attachments")
        assert results == [held, held]
        assert (settled.photos(), settled.record(visit(1).record_id).fields.get("note")) == (list(range(1, 11)), None)

    def test_photos_are_for_the_author_alone_to_add(self, settled: World) -> None:
        settled.grant(BOB.person_id, HOUSEHOLD_A)
        seen = settled.place(visit(1, attachments=photos(1)), author=ALICE)
        more = amended(visit(1), 2, base=seen, attachments=photos(1, 2))

        results = [settled.accept(replace(more, change_id=uuid(0x4000)), author=BOB)[0]]
        results += [settled.accept(replace(more, change_id=uuid(0x4001)), author=COORDINATOR)[0]]

        assert [result.code for result in results] == ["not_the_author"] * 2

    def test_photo_that_crosses_a_review_says_so(self, settled: World) -> None:
        seen = settled.place(visit(1), author=ALICE)
        settled.accept(amended(visit(1), 2, base=seen, attachments=photos(1)))

        settled.accept(amended(visit(1), 3, base=seen, review_state="approved"), author=COORDINATOR)

        assert settled.record(visit(1).record_id).fields["review_outdated"] is True

    def test_amendment_and_review_that_cross_are_both_kept(self, settled: World) -> None:
        first = visit(1, note="a")
        place = settled.accept(first)[0].revision
        settled.accept(amended(first, 2, base=place, note="b"))

        review = amended(first, 3, base=place, review_state="approved")
        result = settled.accept(review, author=COORDINATOR)[0]

        fields = settled.record(first.record_id).fields
        assert result.outcome is Outcome.MERGED
        assert (fields["note"], fields["review_state"], fields["review_outdated"]) == ("b", "approved", True)

    def test_register_changed_by_two_keeps_current_and_shows_the_conflict(self, settled: World) -> None:
        place = settled.record(HOUSEHOLD_A).revision
        other = replace(COORDINATOR, person_id=uuid(5), device_id=uuid(5))
        base = household(HOUSEHOLD_A)
        settled.accept(amended(base, 2, base=place, address="one"), author=COORDINATOR)

        same_field = settled.accept(amended(base, 3, base=place, address="two"), author=other)[0]
        other_field = settled.accept(amended(base, 4, base=place, interval_days=7), author=other)[0]

        assert same_field.outcome is Outcome.CONFLICT
        assert [(each.current, each.proposed) for each in same_field.conflicts] == [("one", "two")]
        assert other_field.outcome is Outcome.MERGED

    def test_who_has_seen_a_merge_removes_what_stood_after_it(self, world: World) -> None:
        """Second's own words at that place, [a, c], never held b."""
        birth = world.place(edit(1, members=["a"]), author=SERVER)
        world.accept(edit(2, base=birth, members=["a", "b"]), author=COORDINATOR)
        seen = world.place(edit(3, base=birth, members=["a", "c"]), author=SECOND)
        world.accept(edit(4, base=seen, members=["a", "b", "c", "d"]), author=SECOND)

        result = world.accept(edit(5, base=seen, members=["a", "c"]), author=COORDINATOR)[0]

        assert (result.outcome, world.members()) == (Outcome.MERGED, ["a", "c", "d"])

    def test_who_has_seen_a_merge_brings_back_nothing_that_was_removed_after_it(self, world: World) -> None:
        birth = world.place(edit(1, members=["a"]), author=SERVER)
        world.accept(edit(2, base=birth, members=["a", "b"]), author=COORDINATOR)
        seen = world.place(edit(3, base=birth, members=["a", "c"]), author=SECOND)
        world.accept(edit(4, base=seen, members=["a", "c"]), author=SECOND)

        world.accept(edit(5, base=seen, members=["a", "b", "c", "e"]), author=COORDINATOR)

        assert world.members() == ["a", "c", "e"]

    def test_who_has_seen_a_merge_adds_again_what_it_left_out(self, world: World) -> None:
        birth = world.place(edit(1, members=["a", "b"]), author=SERVER)
        world.accept(edit(2, base=birth, members=["a"]), author=COORDINATOR)
        seen = world.place(edit(3, base=birth, members=["a", "b", "c"]), author=SECOND)
        world.accept(edit(4, base=seen, members=["a", "c", "d"]), author=SECOND)

        world.accept(edit(5, base=seen, members=["a", "b", "c"]), author=COORDINATOR)

        assert world.members() == ["a", "c", "d", "b"]

    def test_a_change_upon_the_device_s_own_removes_nothing_that_the_device_has_not_seen(self, world: World) -> None:
        """No page of hers had shown what her first change was merged with."""
        birth = world.place(edit(1, members=["a"]), author=SERVER)
        world.accept(edit(2, base=birth, members=["a", "c"]), author=SECOND)
        first = edit(3, base=birth, members=["a", "b"])
        next_one = edit(4, base=first.change_id, address="two")
        world.accept(first, next_one, author=COORDINATOR)
        world.accept(edit(5, base=2**40, members=["a", "c", "b", "d"]), author=SECOND)

        world.accept(edit(6, base=next_one.change_id, members=["a", "e"]), author=COORDINATOR)

        assert world.members() == ["a", "c", "d", "e"]

    def test_a_change_upon_the_device_s_own_overwrites_nothing_that_the_device_has_not_seen(self, world: World) -> None:
        """Others had written before her first change arrived, and her second one was set as if she had read it."""
        birth = world.place(edit(1, members=["a"], address="one"), author=SERVER)
        world.accept(edit(2, base=birth, members=["a", "c"], address="two"), author=SECOND)
        first = edit(3, base=birth, members=["a", "b"])
        world.accept(first, author=COORDINATOR)

        result = world.accept(
            edit(4, base=first.change_id, members=["a", "b", "d"], address="three"), author=COORDINATOR
        )[0]

        assert (result.outcome, world.members()) == (Outcome.CONFLICT, ["a", "c", "b", "d"])
        assert [(each.field, each.current, each.proposed) for each in result.conflicts] == [("address", "two", "three")]

    def test_void_and_put_again_brings_the_record_back(self, settled: World) -> None:
        first = visit(1)
        place = settled.accept(first)[0].revision
        gone = replace(amended(first, 2, base=place), action=Action.VOID)

        settled.accept(gone)
        settled.accept(amended(first, 3, base=gone.change_id, note="back"))

        assert settled.record(first.record_id).is_void is False

    def test_a_visit_is_withdrawn_by_its_author_whoever_reviewed_it_meanwhile(self, settled: World) -> None:
        first = visit(1)
        place = settled.accept(first)[0].revision
        settled.accept(amended(first, 2, base=place, review_state="approved"), author=COORDINATOR)

        settled.accept(withdrawn(first, 3, base=place))

        assert settled.record(first.record_id).is_void

    def test_two_phones_that_tick_one_person_write_one_attendance_and_the_first_stays(self, settled: World) -> None:
        settled.grant(BOB.person_id, HOUSEHOLD_A)
        (first,) = settled.accept(ticked(1, state="attended"), rules=OF_EVENTS)
        (same,) = settled.accept(ticked(2, state="attended"), author=BOB, rules=OF_EVENTS)
        (other,) = settled.accept(ticked(3, state="absent"), author=BOB, rules=OF_EVENTS)
        (elsewhere,) = settled.accept(ticked(4, person=uuid(0x51)), author=BOB, rules=OF_EVENTS)

        outcomes = [each.outcome for each in (first, same, other, elsewhere)]
        assert outcomes == [Outcome.ACCEPTED, Outcome.MERGED, Outcome.CONFLICT, Outcome.ACCEPTED]
        standing = settled.record(ticked(1).record_id)
        assert (standing.fields["state"], standing.author_name) == ("attended", "Alice")

    @pytest.mark.parametrize(("who", "has_seen"), [(BOB, True), (ALICE, False)])
    def test_an_attendance_is_withdrawn_by_whoever_has_seen_it_as_it_stands(
        self, settled: World, who: Author, has_seen: bool
    ) -> None:
        settled.grant(BOB.person_id, HOUSEHOLD_A)
        (first,) = settled.accept(ticked(1), rules=OF_EVENTS)
        (second,) = settled.accept(ticked(2), author=BOB, rules=OF_EVENTS)

        base = second.revision if has_seen else first.revision
        (result,) = settled.accept(withdrawn(ticked(1), 3, base=base), author=who, rules=OF_EVENTS)

        assert result.outcome is (Outcome.ACCEPTED if has_seen else Outcome.MERGED)
        assert settled.record(ticked(1).record_id).is_void == has_seen

    def test_an_attendance_that_two_withdraw_stays_withdrawn(self, settled: World) -> None:
        settled.grant(BOB.person_id, HOUSEHOLD_A)
        (first,) = settled.accept(ticked(1), rules=OF_EVENTS)
        (second,) = settled.accept(ticked(2), author=BOB, rules=OF_EVENTS)
        settled.accept(withdrawn(ticked(1), 3, base=second.revision), author=BOB, rules=OF_EVENTS)

        settled.accept(withdrawn(ticked(1), 4, base=first.revision), rules=OF_EVENTS)

        assert settled.record(ticked(1).record_id).is_void

    def test_an_attendance_is_that_of_its_person_and_event_and_stays_it(self, settled: World) -> None:
        (first,) = settled.accept(ticked(1), rules=OF_EVENTS)
        elsewhere = replace(ticked(2), record_id=uuid(0x77))
        moved = amended(ticked(1), 3, base=first.revision, person_id=uuid(0x51))

        results = settled.accept(elsewhere, moved, rules=OF_EVENTS)

        assert [(each.outcome, each.code, each.detail) for each in results] == [
            (Outcome.HELD, Held.BAD_CHANGE, "record_id"),
            (Outcome.HELD, Held.BAD_CHANGE, "record_id"),
        ]
        assert settled.record(ticked(1).record_id).fields["person_id"] == uuid(0x50)

    def test_ticked_need_opens_one_need(self, settled: World) -> None:
        first = visit(1, needs=["meal_delivery"], urgency="days")
        place = settled.accept(first)[0].revision
        settled.accept(amended(first, 2, base=place, needs=["meal_delivery", "health_care"]))

        kinds: list[str] = []

        def look(store: Store) -> None:
            pulled = store.slice(COMMUNITY, ALICE.person_id, Position(0), 100)
            kinds.extend(str(record.fields["service"]) for record in pulled.records if record.kind == "need")

        settled.act(look)
        assert sorted(kinds) == ["health_care", "meal_delivery"]

    # Pull

    def test_pull_gives_each_their_own(self, settled: World) -> None:
        settled.accept(visit(1))

        assert settled.pull_to_end(BOB) == [HOUSEHOLD_B]

    def test_pages_of_any_size_give_every_record_once(self, settled: World) -> None:
        settled.accept(*[visit(number) for number in range(1, 8)])

        whole = settled.pull_to_end(limit=100)

        for limit in (1, 2, 3):
            assert settled.pull_to_end(limit=limit) == whole

    def test_page_of_large_records_is_shorter_and_brings_one_always(self, settled: World) -> None:
        """Whoever shares a door may fill her visits: a phone on a slow line must get its answers all the same."""
        end = settled.pull().end
        large = [visit(number, poem="x" * 30_000) for number in range(1, 9)]
        settled.accept(*large)

        page = settled.pull(after=end, limit=100)

        assert not page.is_complete
        assert 0 < len(page.record_ids) < len(large)
        assert len(settled.pull(after=end, limit=1).record_ids) == 1
        assert settled.pull_to_end(after=end, limit=100) == [each.record_id for each in large]

    def test_decision_reaches_no_phone_whatever_scope_it_names(self, settled: World) -> None:
        before = settled.pull_to_end()
        said: dict[str, object] = {"change_id": HOUSEHOLD_A, "decision": "dismissed", "reason": "words for the desk"}
        decided = change(90, uuid(0x90), kind="decision", set=said)

        (result,) = settled.accept(decided, author=COORDINATOR)

        assert result.outcome is Outcome.ACCEPTED
        assert settled.pull_to_end() == before
        assert settled.pull(after=Position(0)).record_ids == before

    def test_cursor_brings_only_what_is_newer(self, settled: World) -> None:
        end = settled.pull().end
        settled.accept(visit(1))

        assert settled.pull(after=end).record_ids == [visit(1).record_id]

    def test_cursor_at_the_end_brings_nothing_again(self, settled: World) -> None:
        settled.accept(visit(1))
        end = settled.pull().end

        assert settled.pull(after=end).record_ids == []

    def test_household_granted_later_comes_whole_with_its_last_visits(self, settled: World) -> None:
        settled.accept(*[visit(number, scope=HOUSEHOLD_B) for number in range(1, 6)], author=BOB)
        end = settled.pull().end

        settled.grant(ALICE.person_id, HOUSEHOLD_B)

        last_three = [visit(number).record_id for number in (3, 4, 5)]
        for limit in (1, 2, 100):
            assert settled.pull_to_end(after=end, limit=limit) == [HOUSEHOLD_B, *last_three]

    def test_a_visit_that_was_sent_back_comes_along_and_counts_in_no_comparison(self, settled: World) -> None:
        """A phone leaves what is older than the last three out of what it adds up."""
        visits = [visit(number, scope=HOUSEHOLD_B) for number in range(1, 6)]
        settled.accept(*visits, author=BOB)
        for number, state in ((1, "sent_back"), (2, "approved")):
            said = amended(
                visits[number - 1], 10 + number, base=2**40, review_state=state, review_note="示例：请再问一次"
            )
            settled.accept(said, author=COORDINATOR)
        end = settled.pull().end
        settled.grant(ALICE.person_id, HOUSEHOLD_B)

        kept = [visits[number - 1].record_id for number in (1, 3, 4, 5)]
        for limit in (1, 2, 100):
            assert sorted(settled.pull_to_end(after=end, limit=limit)) == sorted([HOUSEHOLD_B, *kept])

        def look(store: Store) -> None:
            held = {record_id for record_id, _ in store.holdings(COMMUNITY, ALICE.person_id)}
            assert kept[0] not in held
            assert set(kept[1:]) < held
            assert store.count(COMMUNITY, ALICE.person_id) == len(held) + 1

        settled.act(look)

    def test_a_visit_that_was_sent_back_and_amended_since_is_an_older_one_again(self, settled: World) -> None:
        visits = [visit(number, scope=HOUSEHOLD_B) for number in range(1, 6)]
        settled.accept(*visits, author=BOB)
        sent_back = amended(visits[0], 11, base=2**40, review_state="sent_back", review_note="示例：请再问一次")
        place = settled.place(sent_back, author=COORDINATOR)
        settled.accept(amended(visits[0], 12, base=place, note="示例：问过了"), author=BOB)
        end = settled.pull().end
        settled.grant(ALICE.person_id, HOUSEHOLD_B)

        assert settled.pull_to_end(after=end) == [HOUSEHOLD_B, *(each.record_id for each in visits[2:])]

    def test_last_visits_are_those_of_each_household(self, settled: World) -> None:
        settled.accept(*[visit(number) for number in range(1, 5)])
        settled.accept(*[visit(number, scope=HOUSEHOLD_B) for number in range(5, 9)], author=BOB)
        settled.grant(ALICE.person_id, HOUSEHOLD_B)

        last = [visit(number).record_id for number in (2, 3, 4, 6, 7, 8)]
        assert sorted(settled.pull_to_end()) == sorted([HOUSEHOLD_A, HOUSEHOLD_B, *last])

    def test_a_visit_that_a_page_brought_comes_again_when_it_changed_before_the_next_one(self, settled: World) -> None:
        """By then it is no longer among the last three; the second one, which no page brought, is left out."""
        first, second, third = (visit(number, scope=HOUSEHOLD_B) for number in (1, 2, 3))
        settled.accept(first, second, third, author=BOB)
        end = settled.pull().end
        settled.grant(ALICE.person_id, HOUSEHOLD_B)
        begun = settled.pull(after=end, limit=2)
        settled.accept(
            amended(first, 11, base=first.change_id, note="示例：改了"),
            amended(second, 12, base=second.change_id, note="示例：改了"),
            *[visit(number, scope=HOUSEHOLD_B) for number in (4, 5, 6)],
            author=BOB,
        )

        assert begun.record_ids == [HOUSEHOLD_B, first.record_id]
        assert settled.pull_to_end(after=begun.end) == [visit(number).record_id for number in (1, 4, 5, 6)]

    def test_a_grant_that_is_given_twice_is_given_once(self, settled: World) -> None:
        end = settled.pull().end

        settled.grant(ALICE.person_id, HOUSEHOLD_A)
        answer = settled.pull(after=end)

        assert (answer.record_ids, answer.purge) == ([], [])

    def test_household_withdrawn_is_named_in_purge_once(self, settled: World) -> None:
        end = settled.pull().end

        settled.withdraw(ALICE.person_id, HOUSEHOLD_A)
        answer = settled.pull(after=end)

        assert (answer.record_ids, answer.purge) == ([], [HOUSEHOLD_A])
        assert settled.pull(after=answer.end).purge == []

    def test_household_withdrawn_and_granted_again_is_purged_and_sent_whole(self, settled: World) -> None:
        end = settled.pull().end

        settled.withdraw(ALICE.person_id, HOUSEHOLD_A)
        settled.grant(ALICE.person_id, HOUSEHOLD_A)
        answer = settled.pull(after=end)

        assert (answer.record_ids, answer.purge) == ([HOUSEHOLD_A], [HOUSEHOLD_A])

    def test_count_tells_what_a_first_sync_brings(self, settled: World) -> None:
        settled.accept(*[visit(number) for number in range(1, 6)])

        counts: list[int] = []
        settled.act(lambda store: counts.append(store.count(COMMUNITY, ALICE.person_id)))

        assert counts == [len(settled.pull_to_end())]

    def test_what_a_phone_holds_is_compared_with_what_it_should_hold(self, settled: World) -> None:
        settled.accept(*[visit(number) for number in range(1, 6)])
        end = settled.pull(limit=100).end

        held: list[tuple[str, int]] = []
        settled.act(lambda store: held.extend(store.holdings(COMMUNITY, ALICE.person_id)))

        assert sorted(record_id for record_id, _ in held) == sorted(settled.pull_to_end())
        assert settled.compare(held, after=end) is Verdict.SAME
        assert settled.compare(held[1:], after=end) is Verdict.DIFFERS
        assert settled.compare([(held[0][0], held[0][1] + 1), *held[1:]], after=end) is Verdict.DIFFERS
        assert settled.compare(held, after=end, author=BOB) is Verdict.DIFFERS
        assert settled.compare(held, after=None) is Verdict.BEHIND
        assert settled.compare(held, after=end, epoch="another") is Verdict.BEHIND
        settled.accept(visit(9))
        assert settled.compare(held, after=end) is Verdict.BEHIND
