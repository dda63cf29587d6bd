"""The contract suite on each store."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlmodel import Session, col, update

from server import migrations, models
from server.database import Database
from server.rounds import assign_round
from server.store import SqlStore
from sync.store import MemoryStore, Position, Store
from tests.postgres import new_database
from tests.statements import bytes_read
from tests.sync.store_contract import ALICE, COMMUNITY, HOUSEHOLD_A, StoreContract, World, visit
from tests.sync.stories import tell

STORIES = 30


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def world(self) -> World:
        return memory_world()


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def world(self, tmp_path: Path) -> Iterator[World]:
        with opened(f"sqlite:///{tmp_path}/linli.db") as database:
            yield sql_world(database)


class TestPostgresqlStore(StoreContract):
    @pytest.fixture
    def world(self) -> Iterator[World]:
        with opened(new_database()) as database:
            yield sql_world(database)


@pytest.mark.parametrize("url", ["sqlite", "postgresql"])
def test_a_story_ends_in_every_store_as_in_memory(url: str, tmp_path: Path) -> None:
    memory = memory_world()
    with opened(f"sqlite:///{tmp_path}/linli.db" if url == "sqlite" else new_database()) as database:
        world = sql_world(database)
        for seed in range(STORIES):
            assert tell(seed, world) == tell(seed, memory), seed


@pytest.mark.parametrize("url", ["sqlite", "postgresql"])
def test_of_large_records_little_more_is_read_than_is_sent(url: str, tmp_path: Path) -> None:
    """Of a thousand KB that a page may have, nine of these are sent, and the small ones between them."""
    kb = 1024
    texts = ["x" * (100 * kb if number % 3 else 1) for number in range(60)]
    with opened(f"sqlite:///{tmp_path}/linli.db" if url == "sqlite" else new_database()) as database:
        world = sql_world(database)
        world.grant(ALICE.person_id, HOUSEHOLD_A)
        for number, text in enumerate(texts):
            world.accept(visit(number, of_a_newer_phone=text))

        with bytes_read(database) as read:
            found = database.read(
                lambda session: SqlStore(session).slice(COMMUNITY, ALICE.person_id, Position(1), limit=1000)
            )

    assert [record.fields["of_a_newer_phone"] for record in found.records] == texts[:14]
    assert not found.is_complete
    assert sum(read) < 1000 * kb


def memory_world() -> World:
    store = MemoryStore()
    return World(
        act=lambda work: work(store),
        grant=store.grant,
        withdraw=lambda person_id, scope_id: store.withdraw(person_id, scope_id, now=500),
    )


@contextmanager
def opened(url: str) -> Iterator[Database]:
    migrations.upgrade(url)
    database = Database(url)
    yield database
    database.close()


def sql_world(database: Database) -> World:
    def prepare(session: Session) -> None:
        session.add(models.Community(id=COMMUNITY, name="示例社区", epoch="epoch-1"))
        session.add(models.Feed(community_id=COMMUNITY, head=0))

    def act(work: Callable[[Store], object]) -> object:
        return database.write(lambda session: work(SqlStore(session)))

    def grant(person_id: str, scope_id: str) -> None:
        database.write(
            lambda session: assign_round(
                session, community_id=COMMUNITY, round_id=scope_id, household_ids=[], volunteer_ids=[person_id]
            )
        )

    def withdraw(person_id: str, scope_id: str) -> None:
        def end(session: Session) -> None:
            place = SqlStore(session).take_place(COMMUNITY)
            session.exec(
                update(models.Grant)
                .where(col(models.Grant.person_id) == person_id, col(models.Grant.scope_id) == scope_id)
                .values(ended_revision=place, ended_at=500)
            )

        database.write(end)

    database.write(prepare)
    return World(act=act, grant=grant, withdraw=withdraw)
