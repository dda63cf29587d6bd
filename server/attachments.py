"""Attachments: which record names which bytes, which phone brought them, and who may see them.

    record (accepted) ──names──> sha256 <──brought── device of the record's author

Bytes are seen through a record that its reader may see, and only if the record's own author brought them. Naming a hash
that one has heard of therefore opens nothing, and what a revoked phone still brings is seen by nobody before a coordinator
has taken its record in.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func
from sqlmodel import Session, col, delete, select

from server.callers import Caller
from server.kinds import KINDS
from server.models import BlobReference, BlobUpload, Record
from server.scope import Principal, scoped
from server.store import SqlStore
from sync.kinds import Rule

UNNAMED_BYTES_MAX = 100 * 1024 * 1024  # of one device, named by no accepted record


@dataclass(frozen=True, slots=True)
class Blob:
    length: int
    media_type: str


def note_references(session: Session, community_id: int, record_ids: Collection[str]) -> None:
    """What these records name now, and no longer what they named before. Where anybody may write the field, a name would
    open what its writer only heard of."""
    session.exec(
        delete(BlobReference).where(
            col(BlobReference.community_id) == community_id, col(BlobReference.record_id).in_(record_ids)
        )
    )
    for record_id, record in SqlStore(session).records(community_id, record_ids).items():
        if KINDS[record.kind].rule("attachments") is not Rule.OWN:
            continue
        for digest in digests_named(record.fields.get("attachments", [])):
            session.add(BlobReference(community_id=community_id, sha256=digest, record_id=record_id))
    session.flush()


def digests_named(attachments: Any) -> set[bytes]:
    return {bytes.fromhex(each["sha256"]) for each in attachments}


def note_upload(session: Session, device: Caller, digest: str, blob: Blob, *, now: int) -> None:
    """The device has brought these bytes, whole and verified. Said twice it is once."""
    if upload_of(session, device, digest) is not None:
        return
    upload = BlobUpload(
        community_id=device.community_id,
        sha256=bytes.fromhex(digest),
        device_id=device.id,
        person_id=device.volunteer_id,
        length=blob.length,
        media_type=blob.media_type,
        received_at=now,
    )
    session.add(upload)
    session.flush()


def upload_of(session: Session, device: Caller, digest: str) -> Blob | None:
    """What this very device has brought; what others have is not its business."""
    found = session.get(BlobUpload, (device.community_id, bytes.fromhex(digest), device.id))
    return Blob(found.length, found.media_type) if found else None


def has_too_many_unnamed(session: Session, device: Caller, length: int) -> bool:
    """So that a phone in the wrong hands cannot fill the disk with photos that belong to no visit."""
    named = select(BlobReference.sha256).where(
        BlobReference.community_id == device.community_id, BlobReference.sha256 == BlobUpload.sha256
    )
    statement = select(func.coalesce(func.sum(BlobUpload.length), 0)).where(
        BlobUpload.community_id == device.community_id, BlobUpload.device_id == device.id, ~named.exists()
    )
    return session.exec(statement).one() + length > UNNAMED_BYTES_MAX


def digests_arrived(session: Session, principal: Principal, record_id: str) -> set[str]:
    """Of what this record names: what its author has brought, whole."""
    statement = (
        select(BlobReference.sha256)
        .join(
            Record,
            (col(Record.community_id) == BlobReference.community_id)
            & (col(Record.record_id) == BlobReference.record_id),
        )
        .join(
            BlobUpload,
            (col(BlobUpload.community_id) == BlobReference.community_id)
            & (col(BlobUpload.sha256) == BlobReference.sha256)
            & (col(BlobUpload.person_id) == Record.author_id),
        )
        .where(BlobReference.record_id == record_id, BlobReference.community_id == principal.community_id)
    )
    return {digest.hex() for digest in session.exec(scoped(principal, statement))}


def blob_seen_by(session: Session, principal: Principal, digest: str) -> Blob | None:
    """None for what there is not, what has not arrived, and what is not theirs to see: nobody can tell which."""
    statement = (
        select(Record.record_id, BlobUpload.length, BlobUpload.media_type)
        .join(
            BlobReference,
            (col(BlobReference.community_id) == Record.community_id)
            & (col(BlobReference.record_id) == Record.record_id),
        )
        .join(
            BlobUpload,
            (col(BlobUpload.community_id) == BlobReference.community_id)
            & (col(BlobUpload.sha256) == BlobReference.sha256)
            & (col(BlobUpload.person_id) == Record.author_id),
        )
        .where(BlobReference.sha256 == bytes.fromhex(digest))
        .limit(1)
    )
    row = session.exec(scoped(principal, statement)).first()
    return Blob(row[1], row[2]) if row else None
