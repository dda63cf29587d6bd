"""Both stores under one contract, and what only one of them can suffer."""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from server.blobs.folder import FolderStore
from server.blobs.media import media_type_of
from server.blobs.opening import open_store
from server.blobs.s3 import S3Store
from server.blobs.signature import Credentials, signed_headers
from server.blobs.store import BlobStore, StoreTrouble
from server.blobs.unfinished import RESERVE_BYTES
from server.commands.doctor import FREE_BYTES_MIN
from server.settings import SettingError, Settings
from tests.s3_server import S3Server
from tests.server.blob_store_contract import BlobStoreContract, whole, written
from tests.server.test_commands import linli


def environment(server: S3Server) -> dict[str, str]:
    return {
        "LINLI_S3_ENDPOINT": server.url,
        "LINLI_S3_BUCKET": server.bucket,
        "LINLI_S3_KEY_ID": server.key_id,
        "LINLI_S3_SECRET": server.secret,
    }


class TestFolderStore(BlobStoreContract):
    @pytest.mark.parametrize("moment", range(8))
    def test_what_one_device_finished_another_never_takes_away(
        self, store: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
    ) -> None:
        """Two bring the same bytes. While the second is at work the first one finishes; then the second is killed."""
        first, content, digest = written(tmp_path, 2000)
        second, _, _ = written(tmp_path, 2000, name="second")
        deeds = iter(range(20))
        has_finished = False

        class Killed(BaseException):
            pass

        def interrupted(real: Callable[..., Any]) -> Callable[..., Any]:
            def deed(*given: Any, **options: Any) -> Any:
                nonlocal has_finished
                if has_finished:
                    raise Killed
                if next(deeds) == moment:
                    monkeypatch.undo()
                    store.put(digest, first)
                    hook()
                    has_finished = True
                return real(*given, **options)

            return deed

        def hook() -> None:
            for name in ("stat", "link", "unlink", "replace", "rename", "fsync"):
                monkeypatch.setattr(os, name, interrupted(getattr(os, name)))

        hook()
        with suppress(Killed):
            store.put(digest, second)
        monkeypatch.undo()

        if not has_finished:
            store.put(digest, first)
        assert whole(store, digest) == content

    @pytest.fixture
    def store(self, tmp_path: Path) -> BlobStore:
        return open_store(Settings(data_dir=tmp_path / "data"))

    @pytest.fixture
    def holds(self, tmp_path: Path) -> Callable[[], list[str]]:
        folder = tmp_path / "data" / "blobs" / "whole"
        return lambda: sorted(file.name for file in folder.rglob("*") if file.is_file())

    def test_only_the_servers_own_user_may_look(self, store: BlobStore, tmp_path: Path) -> None:
        file, _, digest = written(tmp_path, 10)
        file.chmod(0o600)

        store.put(digest, file)

        kept = tmp_path / "data" / "blobs" / "whole" / digest[:2] / digest
        assert [stat.S_IMODE(path.stat().st_mode) for path in (kept, kept.parent)] == [0o600, 0o700]

    def test_a_copy_that_was_cut_short_is_put_anew(self, store: BlobStore, tmp_path: Path) -> None:
        file, content, digest = written(tmp_path, 1000)
        kept = tmp_path / "data" / "blobs" / "whole" / digest[:2] / digest
        kept.parent.mkdir(parents=True)
        kept.write_bytes(content[:400])

        store.put(digest, file)

        assert whole(store, digest) == content

    def test_a_folder_that_cannot_be_used_is_trouble(self, tmp_path: Path) -> None:
        file, _, digest = written(tmp_path, 10)
        (tmp_path / "in the way").write_text("a file")
        store = FolderStore(tmp_path / "in the way")

        for act in (lambda: store.put(digest, file), lambda: store.length(digest), lambda: store.read(digest)):
            with pytest.raises(StoreTrouble):
                act()


class TestS3Store(BlobStoreContract):
    @pytest.fixture
    def server(self, tmp_path: Path) -> Iterator[S3Server]:
        with S3Server(tmp_path / "bucket") as server:
            yield server

    @pytest.fixture
    def store(self, server: S3Server) -> BlobStore:
        return open_store(Settings.from_environment(environment(server)))

    @pytest.fixture
    def holds(self, server: S3Server) -> Callable[[], list[str]]:
        return server.objects

    def test_what_is_there_is_not_sent_again(self, store: BlobStore, server: S3Server, tmp_path: Path) -> None:
        file, _, digest = written(tmp_path, 1000)

        store.put(digest, file)
        store.put(digest, file)

        assert server.puts == 1
        assert server.refusals == []

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"LINLI_S3_SECRET": "another"}, "SignatureDoesNotMatch"),
            ({"LINLI_S3_KEY_ID": "ANOTHER"}, "InvalidAccessKeyId"),
            ({"LINLI_S3_REGION": "another"}, "InvalidAccessKeyId"),
            ({"LINLI_S3_BUCKET": "another"}, "NoSuchBucket"),
        ],
    )
    def test_what_does_not_fit_is_trouble(
        self, server: S3Server, tmp_path: Path, given: dict[str, str], said: str
    ) -> None:
        store = open_store(Settings.from_environment({**environment(server), **given}))
        file, _, digest = written(tmp_path, 10)

        for act in (lambda: store.put(digest, file), lambda: store.length(digest), lambda: store.read(digest)):
            with pytest.raises(StoreTrouble):
                act()

        assert set(server.refusals) == {said}
        assert server.objects() == []

    def test_bytes_that_are_not_what_the_digest_says_are_refused(
        self, store: BlobStore, server: S3Server, tmp_path: Path
    ) -> None:
        file, _, _ = written(tmp_path, 10)

        with pytest.raises(StoreTrouble):
            store.put("0" * 64, file)

        assert server.refusals == ["XAmzContentSHA256Mismatch"]

    def test_a_clock_that_is_wrong_is_trouble(self, server: S3Server) -> None:
        credentials = Credentials(server.key_id, server.secret, server.region)
        store = S3Store(server.url, server.bucket, credentials, clock=lambda: datetime.now(UTC) + timedelta(hours=1))

        with pytest.raises(StoreTrouble):
            store.length("0" * 64)

        assert server.refusals == ["RequestTimeTooSkewed"]

    def test_a_server_that_is_unwell_gone_or_breaks_off_is_trouble(
        self, store: BlobStore, server: S3Server, tmp_path: Path
    ) -> None:
        file, content, digest = written(tmp_path, 200_000)
        store.put(digest, file)

        server.cuts_after = 100_000
        with pytest.raises(StoreTrouble):
            whole(store, digest)
        server.cuts_after, server.is_unwell = None, True
        with pytest.raises(StoreTrouble):
            store.read(digest)
        server.is_unwell = False
        assert whole(store, digest) == content

    def test_a_server_that_is_not_there_is_trouble(self, tmp_path: Path) -> None:
        with S3Server(tmp_path / "bucket") as server:
            store = open_store(Settings.from_environment(environment(server)))
        file, _, digest = written(tmp_path, 10)

        with pytest.raises(StoreTrouble):
            store.put(digest, file)


# As the operator sees them


def test_doctor_tries_the_bucket_and_shows_no_secret(tmp_path: Path) -> None:
    with S3Server(tmp_path / "bucket") as server:
        well = linli("doctor", LINLI_DATA_DIR=str(tmp_path), **environment(server))
        wrong = linli("doctor", LINLI_DATA_DIR=str(tmp_path), **{**environment(server), "LINLI_S3_SECRET": "another"})

    assert f"ok     photos and voice notes lie in the bucket linli-blobs at {server.url}" in well.stdout
    assert "LINLI_S3_SECRET        ***" in well.stdout
    assert server.secret not in well.stdout + well.stderr
    assert "WRONG  the bucket linli-blobs" in wrong.stdout
    assert (wrong.returncode, wrong.stderr) == (1, "")


# The signature: the examples that Amazon publishes for it

EXAMPLE = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1")
EXAMPLE_AT = datetime(2013, 5, 24, tzinfo=UTC)


def signature_of(method: str, path: str, headers: dict[str, str], body: bytes) -> str:
    host = {"host": "examplebucket.s3.amazonaws.com"}
    digest = hashlib.sha256(body).hexdigest()
    sent = signed_headers(EXAMPLE, method, path, {**host, **headers}, payload_sha256=digest, at=EXAMPLE_AT)
    return sent["authorization"].rpartition("Signature=")[2]


def test_the_signature_is_that_of_the_published_examples() -> None:
    get = signature_of("GET", "/test.txt", {"range": "bytes=0-9"}, b"")
    put_headers = {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"}
    put = signature_of("PUT", "/test%24file.text", put_headers, b"Welcome to Amazon S3.")

    assert get == "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    assert put == "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"


# Settings


def test_half_a_store_stops_the_start() -> None:
    with pytest.raises(SettingError, match=r"^LINLI_S3_BUCKET is not set\. These are set together or not at all: "):
        Settings.from_environment({"LINLI_S3_ENDPOINT": "https://s3.example.org"})


def test_the_secret_is_shown_nowhere() -> None:
    settings = Settings.from_environment(
        {
            "LINLI_S3_ENDPOINT": "https://s3.example.org",
            "LINLI_S3_BUCKET": "b",
            "LINLI_S3_KEY_ID": "k",
            "LINLI_S3_SECRET": "hush://hush@hush",
        }
    )

    assert settings.masked()["LINLI_S3_SECRET"] == "***"
    assert "hush" not in f"{settings!r} {settings.masked()} {EXAMPLE!r}"
    assert "wJalr" not in repr(EXAMPLE)


def test_the_secret_may_lie_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from a file\n")

    settings = Settings.from_environment(
        {
            "LINLI_S3_ENDPOINT": "https://s3.example.org",
            "LINLI_S3_BUCKET": "b",
            "LINLI_S3_KEY_ID": "k",
            "LINLI_S3_SECRET_FILE": str(tmp_path / "secret"),
        }
    )

    assert settings.s3_secret == "from a file"
    assert settings.masked()["LINLI_S3_SECRET"] == "***"


# What bytes are


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "image/png"),
        (b"RIFF\x24\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01B\xf2\x81\x04B\xf3\x81\x08B\x82\x84webm", "audio/webm"),
        (b"\x00\x00\x00\x20ftypM4A \x00\x00\x00\x00", "audio/mp4"),
        (b"OggS\x00\x02\x00\x00", "audio/ogg"),
        (b"", None),
        (b"\xff\xd8", None),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", None),
        (b"\x1a\x45\xdf\xa3 matroska", None),
        (b"\x00\x00\x00\x20ftypheic", None),
        (b"GIF89a", None),
        (b"%PDF-1.7", None),
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'>", None),
        (b"<!doctype html><script>alert(1)</script>", None),
        (b"MZ\x90\x00", None),
        (b" \xff\xd8\xff", None),
    ],
)
def test_bytes_say_themselves_what_they_are(head: bytes, media_type: str | None) -> None:
    assert media_type_of(head) == media_type


def test_the_reserve_is_where_the_doctor_warns() -> None:
    assert RESERVE_BYTES == FREE_BYTES_MIN
