"""The record kinds of the community. A new kind is one entry here; both hosts and the engine read it."""

from server.visit_form import OUTING_FORM, STEPS_FORM, VISIT_FORM
from sync.kinds import Kind, Role, Rule, kinds_by_name

COORDINATOR = frozenset({Role.COORDINATOR})

KINDS = kinds_by_name(
    Kind(
        "household",
        scope_field="id",
        writers=COORDINATOR,
        fields={
            "door": Rule.REGISTER,  # 3-2-501: building, stairwell, door
            "address": Rule.REGISTER,
            "members": Rule.SET,  # call names, never full names
            "phone_ends": Rule.SET,  # the last four digits of their phones, to be found by; never a whole number
            "categories": Rule.SET,
            "strengths": Rule.SET,  # what they are good at and glad to do for others
            "risk": Rule.GUARD,
            "interval_days": Rule.REGISTER,
            "consent_state": Rule.GUARD,
            "is_closed": Rule.REGISTER,
            "phone": Rule.REGISTER,
            "contact_name": Rule.REGISTER,
            "contact_phone": Rule.REGISTER,
            "search": Rule.SERVER,  # how the members are spelled (server/households.py)
        },
        indexes=("door",),
        caution={"risk": ("red", "yellow", "green"), "consent_state": ("withdrawn", "basic", "full")},
    ),
    # A building's chart. Its id follows from its number (server/buildings.py); who may see one of its doors may see it.
    Kind(
        "building",
        scope_field="id",
        writers=COORDINATOR,
        fields={"number": Rule.REGISTER, "stairwells": Rule.REGISTER},
    ),
    Kind(
        "round",
        scope_field="id",
        writers=COORDINATOR,
        fields={
            "title": Rule.REGISTER,
            "occasion": Rule.REGISTER,
            "starts_on": Rule.REGISTER,
            "ends_on": Rule.REGISTER,
            "household_ids": Rule.SET,
            "volunteer_ids": Rule.SET,
            "duty_phone": Rule.REGISTER,  # whom to tell during this round
            "people": Rule.SERVER,  # who may go along: names of the team's (server/rounds.py)
        },
    ),
    # A volunteer's own: when she was out, and that she hands a round back. Filed under herself, so that her colleagues'
    # phones never hold them. A coordinator writes none, but may answer for one that was held (server/held.py).
    Kind(
        "outing",
        scope_field="volunteer_id",
        is_personal=True,
        writers=frozenset({Role.VOLUNTEER, Role.COORDINATOR}),
        fields=dict.fromkeys(("volunteer_id", "round_id", *OUTING_FORM.field_names()), Rule.OWN),
    ),
    Kind(
        "decline",
        scope_field="volunteer_id",
        is_personal=True,
        writers=frozenset({Role.VOLUNTEER, Role.COORDINATOR}),
        fields={"volunteer_id": Rule.OWN, "round_id": Rule.OWN},
    ),
    Kind(
        "visit",
        writers=frozenset({Role.VOLUNTEER, Role.COORDINATOR}),
        fields={
            "household_id": Rule.OWN,
            "round_id": Rule.OWN,
            "started_at": Rule.OWN,
            "ended_at": Rule.OWN,
            **dict.fromkeys((*VISIT_FORM.field_names(), *STEPS_FORM.field_names()), Rule.OWN),
            "attachments": Rule.OWN,  # [{sha256, length, kind}]; the bytes travel apart (PROTOCOL.md, Attachments)
            "review_state": Rule.REVIEW,
            "review_note": Rule.REVIEW,
            "review_outdated": Rule.SERVER,
        },
        own_sets=("attachments",),
        indexes=("household_id", "round_id", "author_id"),
    ),
    # What a coordinator decided about a held change, which is its scope: nobody is granted it, so no phone sees it.
    Kind(
        "decision",
        scope_field="change_id",
        writers=COORDINATOR,
        fields={"change_id": Rule.REGISTER, "decision": Rule.REVIEW, "reason": Rule.REVIEW},
    ),
    # Opened by a visit (server/rules.py); whoever may see the household says that it is done.
    Kind(
        "need",
        writers=frozenset({Role.VOLUNTEER, Role.COORDINATOR}),
        fields={
            **dict.fromkeys(("household_id", "visit_id", "service", "urgency"), Rule.SERVER),
            "need_state": Rule.REGISTER,
        },
        indexes=("household_id",),
    ),
)
