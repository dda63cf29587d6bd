import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from server.lock import DataInUse, DataLock, Holder, holder_of, owned_data
from server.settings import Settings

HOLD = """
import sys, pathlib
from server.lock import DataLock
with DataLock(pathlib.Path(sys.argv[1]), url="http://127.0.0.1:8123"):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold_elsewhere(data_dir: Path) -> subprocess.Popen[str]:
    """Another process owns the data until its stdin closes or it is killed."""
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(data_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    return other


def test_the_second_process_is_told_who_is_first(tmp_path: Path) -> None:
    with hold_elsewhere(tmp_path) as other, pytest.raises(DataInUse) as caught:
        DataLock(tmp_path).acquire()

    assert (caught.value.pid, caught.value.url) == (other.pid, "http://127.0.0.1:8123")
    assert str(caught.value) == f"{tmp_path} is in use by the server at http://127.0.0.1:8123 (process {other.pid})."


def test_a_killed_owner_leaves_the_data_free(tmp_path: Path) -> None:
    with hold_elsewhere(tmp_path) as other:
        other.kill()

    with DataLock(tmp_path):
        assert holder_of(tmp_path) is not None


def test_the_lock_is_free_again_after_the_block(tmp_path: Path) -> None:
    with DataLock(tmp_path):
        pass

    assert holder_of(tmp_path) is None
    with DataLock(tmp_path):
        pass


def test_only_the_owner_can_read_the_token(tmp_path: Path) -> None:
    with DataLock(tmp_path, url="http://127.0.0.1:1") as lock:
        content = json.loads(lock.path.read_text())
        mode = stat.S_IMODE(lock.path.stat().st_mode)

    assert content == {"pid": os.getpid(), "url": "http://127.0.0.1:1", "token": lock.token}
    assert mode == 0o600
    assert lock.token not in repr(Holder(**content))
    assert lock.path.read_text() == ""


def test_a_holder_that_has_not_written_its_name_is_still_a_holder(tmp_path: Path) -> None:
    with DataLock(tmp_path) as lock:
        lock.path.write_text("")

        with pytest.raises(DataInUse, match=r"is in use by another command\.$"):
            DataLock(tmp_path).acquire()


def test_looking_makes_nothing(tmp_path: Path) -> None:
    assert holder_of(tmp_path / "nowhere") is None
    assert list(tmp_path.iterdir()) == []


def test_postgresql_needs_no_owner(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", database_url="postgresql+psycopg://db/linli")

    with owned_data(settings), owned_data(settings) as token:
        assert token
