"""Where a visit stands in review. Stored beside each record, so that a coordinator's list is a look at an index however
many visits there are."""

from enum import StrEnum

from sync.changes import Fields


class Review(StrEnum):
    PENDING = "pending"
    SENT_BACK = "sent_back"
    APPROVED = "approved"
    WITHDRAWN = "withdrawn"


NOT_REVIEWED = ""  # of every kind but visits


def review_of(kind: str, fields: Fields, *, is_void: bool) -> str:
    """A visit that was amended after its review waits for another."""
    if kind != "visit":
        return NOT_REVIEWED
    if is_void:
        return Review.WITHDRAWN
    state = fields.get("review_state")
    is_reviewed = state in (Review.APPROVED, Review.SENT_BACK) and not fields.get("review_outdated")
    return str(state) if is_reviewed else Review.PENDING
