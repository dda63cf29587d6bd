"""What `./linli bench peers` makes of its peers, without installing one."""

from pathlib import Path

import pytest

from tests.bench.peers import Rates, installable, is_met
from tests.peers.kinto import Kinto
from tests.peers.peer import CannotInstall, installed, run
from tests.peers.pouchdb_server import BarePouchDB, PouchDBServer


class OutOfReach(Kinto):
    def install(self) -> None:
        raise CannotInstall("no registry answers")


class AtHand(PouchDBServer):
    def install(self) -> None:
        pass


def test_a_peer_that_cannot_be_installed_is_named_and_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    at_hand = AtHand()

    assert installable([OutOfReach(), at_hand]) == [at_hand]
    assert capsys.readouterr().out == (
        f"Kinto {Kinto.version} is left out: it cannot be installed here (no registry answers)\n"
    )


def test_a_step_that_fails_gives_its_first_complaint_as_the_reason() -> None:
    with pytest.raises(CannotInstall, match=r"^npm error code E404$"):
        run(
            "sh", "-c", "(echo 'npm warn old'; echo 'npm error code E404'; echo 'npm error a log is there'; exit 1) >&2"
        )
    with pytest.raises(CannotInstall, match="no-such-program"):
        run("no-such-program")


def test_an_installation_that_broke_off_begins_afresh_and_a_finished_one_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    begun: list[list[str]] = []

    def break_off(folder: Path) -> None:
        (folder / "half").touch()
        raise CannotInstall("the network went away")

    def finish(folder: Path) -> None:
        begun.append([file.name for file in folder.iterdir()])

    with pytest.raises(CannotInstall):
        installed("peer-1", break_off)
    folders = {installed("peer-1", finish) for _ in range(2)}

    assert folders == {tmp_path / "linli" / "peers" / "peer-1"}
    assert begun == [[]]


def test_a_ratio_is_met_only_where_each_wish_is() -> None:
    wanted = Rates(push=5, pull=5)

    assert is_met(Rates(push=5, pull=7), wanted)
    assert not is_met(Rates(push=9, pull=4.9), wanted)
    assert is_met(Rates(push=5, pull=0.1), Rates(push=5))


def test_answers_of_peers_are_counted_record_by_record() -> None:
    kinto, pouchdb = Kinto(), BarePouchDB()

    assert kinto.pushed({"responses": [{"status": 201}, {"status": 503}]}) == 1
    assert kinto.pulled({"data": [{"last_modified": 7}, {"last_modified": 9}]}) == (2, "9")
    assert pouchdb.pushed([{"ok": True, "id": "a"}, {"error": "conflict", "id": "b"}]) == 1
    assert pouchdb.pulled({"results": [{"doc": {}}, {"doc": {}}], "last_seq": 2}) == (2, "2")


def test_answers_of_a_phone_s_own_sync_are_counted_too() -> None:
    pouchdb = PouchDBServer()
    found = {"results": [{"id": "a", "docs": [{"ok": {}}]}, {"id": "b", "docs": [{"error": {}}]}]}

    assert pouchdb.pushed({"a": {"missing": ["1-x"]}, "b": {"missing": ["1-y"]}}) == 2
    assert pouchdb.pushed([{"error": "forbidden", "id": "a"}]) == -1
    assert pouchdb.pushed({"ok": True, "id": "_local/x", "rev": "0-1"}) == 0
    assert pouchdb.pulled({"results": [{"id": "a"}], "last_seq": 2}) == (0, "2")
    assert pouchdb.pulled(found) == (1, "")
