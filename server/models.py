"""The tables. No behaviour.

`community_id` leads every key and index of what belongs to a community, so that a district of communities can be
spread over several machines without touching the code (DESIGN.md 6). Times are ms UTC.

Synced records of every kind share one table: a record's fields are its kind's declaration, so adding a field needs no
migration, and fields of a newer phone are kept and returned untouched. `change` is the append-only history.
"""

from typing import Any

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Text, literal_column
from sqlmodel import Field, SQLModel

from server.identifiers import RecordId

# Word for word what the index and its query say, or SQLite does not see that they fit; it preselects, the JSON decides.
IS_CLOSED = """kind = 'household' AND fields LIKE '%"is_closed":true%'"""
NEEDS_ATTENTION: Any = literal_column("outcome IN ('held', 'conflict')")


def big(**options: Any) -> Any:
    return Field(sa_column=Column(BigInteger, nullable=False), **options)


def key(is_primary: bool = False, is_nullable: bool = False, **options: Any) -> Any:
    return Field(sa_column=Column(RecordId, primary_key=is_primary, nullable=is_nullable), **options)


def digest() -> Any:
    return Field(sa_column=Column(LargeBinary(32), primary_key=True))


def text(**options: Any) -> Any:
    return Field(sa_column=Column(Text, nullable=False), **options)


class Community(SQLModel, table=True):
    id: int = Field(primary_key=True)
    name: str
    utc_offset_minutes: int = 480
    epoch: str  # names one unbroken life of the central database; a restore starts a new one
    duty_phone: str = ""


class Feed(SQLModel, table=True):
    """The counter row of a community: raised inside the writing transaction, so places follow commit order. It also
    holds the end of the audit chain over `change` (server/audit.py)."""

    community_id: int = Field(primary_key=True)
    head: int = big(default=0)
    entries: int = big(default=0)  # lines of history so far
    chain: bytes = Field(sa_column=Column(LargeBinary, nullable=False), default=b"")


class Record(SQLModel, table=True):
    __table_args__ = (
        Index("record_feed", "community_id", "revision"),
        Index("record_scope", "community_id", "scope_id", "revision", "record_id"),  # all that choosing a page asks
        Index("record_review", "community_id", "review", "revision"),
        # Every push asks which of its households are closed: hardly ever one is, so the answer is a look at next to nothing.
        Index(
            "record_closed",
            "community_id",
            "record_id",
            sqlite_where=literal_column(IS_CLOSED),
            postgresql_where=literal_column(IS_CLOSED),
        ),
    )

    community_id: int = Field(primary_key=True)
    record_id: str = key(is_primary=True)
    kind: str
    scope_id: str = key()
    revision: int = big()
    author_id: str = key()
    author_name: str
    made_at: int = big()
    received_at: int = big()
    is_void: bool = False
    review: str = Field(default="", index=False)  # server/review.py
    fields: str = text()  # JSON


class Change(SQLModel, table=True):
    __table_args__ = (
        Index("change_record", "community_id", "record_id", "revision"),
        Index("change_device", "community_id", "device_id", "device_sequence"),
        # What a person must look at, and nothing else: a query finds it by naming the very same condition.
        Index(
            "change_attention",
            "community_id",
            "outcome",
            "received_at",
            sqlite_where=NEEDS_ATTENTION,
            postgresql_where=NEEDS_ATTENTION,
        ),
    )

    community_id: int = Field(primary_key=True)
    change_id: str = key(is_primary=True)
    device_id: str = key()
    device_sequence: int = big()
    person_id: str = key()
    person_name: str
    kind: str
    record_id: str = key()
    action: str
    base: str
    fields: str = text()  # JSON of `set`, as asked
    made_at: int = big()
    schema_version: int = 1
    received_at: int = big()
    outcome: str = Field(index=False)
    code: str = ""
    detail: str = ""
    revision: int = big(default=0)  # 0: held, in no feed
    conflicts: str = text(default="")  # JSON, when the outcome is conflict
    position: int = big(default=0)  # its line in the history
    digest: bytes = Field(sa_column=Column(LargeBinary, nullable=False), default=b"")  # SHA-256 of `fields`
    chain: bytes = Field(sa_column=Column(LargeBinary, nullable=False), default=b"")


class Grant(SQLModel, table=True):
    """Who may see one scope: from a place in the feed until `ended_revision` (0 = still)."""

    __tablename__ = "scope_grant"
    __table_args__ = (Index("grant_person", "community_id", "person_id", "ended_revision", "revision"),)

    community_id: int = Field(primary_key=True)
    person_id: str = key(is_primary=True)
    scope_id: str = key(is_primary=True)
    revision: int = Field(sa_column=Column(BigInteger, primary_key=True))
    ended_revision: int = big(default=0)
    ended_at: int = big(default=0)


class BlobUpload(SQLModel, table=True):
    """These bytes came from this device, whole and verified. The bytes themselves lie in the blob store, once."""

    __tablename__ = "blob_upload"
    __table_args__ = (Index("blob_upload_device", "community_id", "device_id"),)

    community_id: int = Field(primary_key=True)
    sha256: bytes = digest()
    device_id: str = key(is_primary=True)
    person_id: str = key()
    length: int = big()  # bytes
    media_type: str  # as the bytes themselves say
    received_at: int = big()


class BlobReference(SQLModel, table=True):
    """An accepted record names these bytes among its attachments, whether or not they have arrived."""

    __tablename__ = "blob_reference"
    __table_args__ = (Index("blob_reference_record", "community_id", "record_id"),)

    community_id: int = Field(primary_key=True)
    sha256: bytes = digest()
    record_id: str = key(is_primary=True)


class Volunteer(SQLModel, table=True):
    __table_args__ = (Index("volunteer_number", "community_id", "number", unique=True),)

    community_id: int = Field(primary_key=True)
    id: str = key(is_primary=True)
    number: str  # 0001: what a coordinator types
    name: str
    team: str = ""
    is_active: bool = True


class Staff(SQLModel, table=True):
    """Coordinators and administrators: they sign in with a password."""

    __table_args__ = (Index("staff_login", "login", unique=True),)

    community_id: int = Field(primary_key=True)
    id: str = key(is_primary=True)
    login: str
    name: str
    password_hash: str
    is_active: bool = True


class Device(SQLModel, table=True):
    """An installation. `public_key` is empty for a browser without a worker, which has a session only."""

    __table_args__ = (Index("device_volunteer", "community_id", "volunteer_id"),)

    community_id: int = Field(primary_key=True)
    id: str = key(is_primary=True)
    volunteer_id: str = key()
    name: str
    check_number: str  # four digits that both screens show while the coordinator confirms
    standing: str = "waiting"  # waiting | active | revoked
    public_key: bytes = Field(sa_column=Column(LargeBinary, nullable=False), default=b"")
    created_at: int = big()
    confirmed_at: int = big(default=0)
    revoked_at: int = big(default=0)
    last_contact_at: int = big(default=0)
    received_through: int = big(default=0)  # every device sequence up to it has arrived
    high_water: int = big(default=0)  # the last number the device said it gave out
    clock_skew_ms: int = big(default=0)
    is_cloned: bool = False  # two phones seem to use one identity (server/clones.py)
    language: str = "zh-CN"
    size: str = "normal"
    keeping: str = ""  # kept | may_be_cleared, by the browser itself; "" where it does not say


class Invite(SQLModel, table=True):
    """A single-use way in. Only hashes are kept; opening the link does not spend it."""

    __table_args__ = (Index("invite_code", "short_code_hash"),)

    community_id: int = Field(primary_key=True)
    token_hash: str = Field(primary_key=True)
    short_code_hash: str
    volunteer_id: str = key()
    created_at: int = big()
    expires_at: int = big()
    spent_at: int = big(default=0)
    spent_by: str = ""  # the device's id


class SignIn(SQLModel, table=True):
    """A signed-in period. The cookie holds the token, the table only its hash."""

    __tablename__ = "session"

    token_hash: str = Field(primary_key=True)
    community_id: int
    role: str  # coordinator | volunteer
    person_id: str = key()
    device_id: str | None = key(is_nullable=True, default=None)
    created_at: int = big()
    expires_at: int = big()


class SealingKey(SQLModel, table=True):
    """The server's key pairs that queued visits are sealed to. Old ones stay: a phone may be away for months."""

    id: str = Field(primary_key=True)  # 16 hex characters
    private_key: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    public_key: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    created_at: int = big()


class Event(SQLModel, table=True):
    """An occurrence (场次) in the residents' calendar."""

    __table_args__ = (Index("event_time", "community_id", "starts_at"),)

    community_id: int = Field(primary_key=True)
    id: str = key(is_primary=True)
    title_zh: str
    title_en: str
    category: str  # course | activity | service
    place_zh: str
    place_en: str
    host_zh: str = ""
    host_en: str = ""
    about_zh: str = text(default="")
    about_en: str = text(default="")
    starts_at: int = big()
    ends_at: int = big()
    previous_starts_at: int = big(default=0)  # set when it was moved
    status: str = "confirmed"  # confirmed | moved | cancelled
    revision: int = 0  # iCalendar SEQUENCE
    phone: str = ""
