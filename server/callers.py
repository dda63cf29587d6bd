"""A device that calls: whether it is the one it says it is, and how it stands here.

Every exchange asks this, so it is one row, read in the driver's own words.
"""

from dataclasses import dataclass, fields

from sqlmodel import Session

from server.database import Database
from server.device_requests import Signed
from server.devices import is_signed_by, unknown
from server.identifiers import packed, spelled
from server.statements import statements_of
from sync.changes import Author, require_uuid
from sync.errors import MalformedMessage, UnknownDevice
from sync.kinds import Role


@dataclass(slots=True)
class Caller:
    """A device (server/models.py), with the name of its volunteer and the highest number that history has of it."""

    community_id: int
    id: str
    volunteer_id: str
    volunteer_name: str
    is_active: bool  # the volunteer
    standing: str
    public_key: bytes
    received_through: int
    high_water: int
    last_contact_at: int
    clock_skew_ms: int
    is_cloned: bool
    language: str
    size: str
    keeping: str
    newest_number: int

    @property
    def author(self) -> Author:
        return Author(
            self.community_id, self.volunteer_id, self.volunteer_name, self.id, Role.VOLUNTEER, not self.may_read
        )

    @property
    def may_read(self) -> bool:
        return self.told == "active"

    @property
    def told(self) -> str:
        """How it stands, as the phone hears it: that of a volunteer who left lets go of its list as one that was revoked."""
        return "revoked" if self.standing == "active" and not self.is_active else self.standing


NEWEST = "SELECT max(device_sequence) FROM change c WHERE c.community_id = d.community_id AND c.device_id = d.id"
OF_OTHERS = {"volunteer_name": "v.name", "is_active": "v.is_active", "newest_number": f"coalesce(({NEWEST}), 0)"}
COLUMNS = ", ".join(OF_OTHERS.get(each.name, f"d.{each.name}") for each in fields(Caller))
CALLER = f"""
    SELECT {COLUMNS} FROM device d
      JOIN volunteer v ON v.community_id = d.community_id AND v.id = d.volunteer_id
     WHERE d.id = ?
"""  # noqa: S608 -- our own names


def caller_of(session: Session, device_id: str) -> Caller:
    """Raises UnknownDevice."""
    rows = statements_of(session).rows(CALLER, (packed(device_id),))
    if not rows:
        raise unknown()
    community_id, found_id, volunteer_id, *others = rows[0]
    return Caller(community_id, spelled(bytes(found_id)), spelled(bytes(volunteer_id)), *others)


def authenticated(session: Session, signed: Signed) -> Caller:
    """The device that signed this request. Raises UnknownDevice; says no more, so nobody learns which ids exist."""
    try:
        require_uuid("Linli-Device", signed.device_id)
    except MalformedMessage as error:
        raise unknown() from error
    caller = caller_of(session, signed.device_id)
    require_signature(signed, caller.public_key)
    return caller


def confirmed(caller: Caller) -> Caller:
    """Itself. Raises UnknownDevice for one that still waits for a coordinator's word."""
    if caller.standing == "waiting":
        raise UnknownDevice("not_confirmed", "a coordinator has not confirmed this device yet")
    return caller


def require_signature(signed: Signed, public_key: bytes) -> None:
    if not is_signed_by(public_key, signed.signature, signed.method, signed.path, signed.device_id, signed.body):
        raise unknown()


class KeyRing:
    """The public keys of devices that have called before: a key never changes, as the device's id is made of it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._keys: dict[str, bytes] = {}

    def check(self, signed: Signed) -> None:
        """Raises UnknownDevice."""
        public_key = self._keys.get(signed.device_id)
        if public_key is not None:
            return require_signature(signed, public_key)
        caller = self._database.read(lambda session: authenticated(session, signed))
        self._keys[caller.id] = caller.public_key
        return None
