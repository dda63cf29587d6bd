"""From the settings to the store and the folder of what is unfinished."""

from dataclasses import dataclass
from pathlib import Path

from server.blobs.folder import FolderStore
from server.blobs.s3 import S3Store
from server.blobs.signature import Credentials
from server.blobs.store import BlobStore
from server.blobs.unfinished import Unfinished
from server.settings import Settings


@dataclass(frozen=True, slots=True)
class Blobs:
    store: BlobStore
    unfinished: Unfinished


def open_blobs(settings: Settings) -> Blobs:
    """Touches nothing yet: folders are made with the first upload."""
    return Blobs(open_store(settings), Unfinished(settings.data_dir / "blobs" / "unfinished"))


def open_store(settings: Settings) -> BlobStore:
    if settings.s3_endpoint:
        credentials = Credentials(settings.s3_key_id, settings.s3_secret, settings.s3_region)
        return S3Store(settings.s3_endpoint, settings.s3_bucket, credentials)
    return FolderStore(blob_folder(settings))


def blob_folder(settings: Settings) -> Path:
    return settings.data_dir / "blobs" / "whole"
