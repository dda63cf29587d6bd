"""The suite that every BlobStore must pass: inherit it and give a `store` and how many objects it `holds`."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

from server.blobs.store import BlobStore, NoSuchBlob
from sync.protocol import BLOB_BYTES_MAX

AT_ONCE = 8


def whole(store: BlobStore, digest: str) -> bytes:
    with store.read(digest) as file:
        return file.read()


def written(folder: Path, length: int, *, name: str = "part") -> tuple[Path, bytes, str]:
    """A file of made-up bytes: itself, what is in it, and its SHA-256."""
    content = Random(length).randbytes(length)
    file = folder / f"{name}-{length}"
    file.write_bytes(content)
    return file, content, hashlib.sha256(content).hexdigest()


class BlobStoreContract:
    @pytest.fixture
    def store(self) -> BlobStore:
        raise NotImplementedError

    @pytest.fixture
    def holds(self) -> Callable[[], list[str]]:
        raise NotImplementedError

    @pytest.mark.parametrize("length", [1, 65_535, 65_536, 65_537, BLOB_BYTES_MAX])
    def test_what_was_put_is_read_back(self, store: BlobStore, tmp_path: Path, length: int) -> None:
        file, content, digest = written(tmp_path, length)

        store.put(digest, file)

        assert store.length(digest) == length
        assert whole(store, digest) == content
        assert file.read_bytes() == content

    def test_what_was_never_put_is_not_there(self, store: BlobStore) -> None:
        digest = "0" * 64

        assert store.length(digest) is None
        with pytest.raises(NoSuchBlob):
            store.read(digest)

    def test_the_same_bytes_are_kept_once(
        self, store: BlobStore, holds: Callable[[], list[str]], tmp_path: Path
    ) -> None:
        file, content, digest = written(tmp_path, 1000)
        again, _, _ = written(tmp_path, 1000, name="again")

        store.put(digest, file)
        store.put(digest, file)
        store.put(digest, again)

        assert holds() == [digest]
        assert whole(store, digest) == content

    def test_many_put_the_same_at_once(self, store: BlobStore, holds: Callable[[], list[str]], tmp_path: Path) -> None:
        files = [written(tmp_path, 200_000, name=f"phone {n}") for n in range(AT_ONCE)]

        with ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(lambda made: store.put(made[2], made[0]), files))

        (digest,) = holds()
        assert whole(store, digest) == files[0][1]

    def test_others_are_left_alone(self, store: BlobStore, holds: Callable[[], list[str]], tmp_path: Path) -> None:
        made = [written(tmp_path, length) for length in (10, 11, 12)]

        for file, _, digest in made:
            store.put(digest, file)

        assert holds() == sorted(digest for _, _, digest in made)
        assert [whole(store, digest) for _, _, digest in made] == [content for _, content, _ in made]
