"""The visit form: sixteen questions, under a minute (DOMAIN.md 2.2), and the two that two outcomes add (2.3). After it, the
smaller forms: whom the visitor called, when she was out, and that a promise is kept.

Adding a question is one `Field` here: no migration, no template, no JavaScript.
"""

from server import vocabularies as words
from server.forms import NAME_MAX, Control, Default, Field, Form, Sooner, When

MET = When("outcome", ("met",))
MET_ANYONE = When("outcome", ("met", "met_other"))
FULL_CONSENT = When("consent_state", ("full",))
# Whoever died, moved, lives in an institution or never lived here is not visited again (DOMAIN.md 2.3). From hospital people
# come home, and are to be seen within a day of it.
NO_NEXT_VISIT = frozenset({"in_care_home", "moved", "deceased", "wrong_address"})
COMES_AGAIN = When("outcome", tuple(code for code in words.OUTCOME.codes if code not in NO_NEXT_VISIT))
GOOD = Default(all_good="good")
# Nobody was seen: sooner than usual, by risk (DOMAIN.md 2.5). Places differ; one table, to be changed by who knows better.
NOT_SEEN = Sooner(
    When("outcome", ("no_answer", "inaccessible")), by="household.risk", days={"red": 1, "yellow": 1, "green": 7}
)

VISIT_FORM = Form(
    name="visit",
    kind="visit",
    fields=(
        Field(
            "contact_mode",
            Control.CHOICE,
            ("方式", "How"),
            vocabulary=words.CONTACT_MODE,
            default=Default(value="in_person"),
        ),
        Field("outcome", Control.CHOICE, ("结果", "Outcome"), vocabulary=words.OUTCOME, is_required=True),
        Field(
            "until_on",
            Control.DATE,
            ("大约哪天回来", "Back around"),
            shown_when=(When("outcome", ("away_known", "hospitalised")),),
        ),
        Field(
            "person_met",
            Control.CHOICE,
            ("见到谁", "Who was met"),
            vocabulary=words.PERSON_MET,
            shown_when=(MET_ANYONE,),
        ),
        Field(
            "members_met",
            Control.NAMES,
            ("见到家里哪几位", "Members met"),
            limit=NAME_MAX,
            shown_when=(MET_ANYONE,),
        ),
        Field(
            "person_well",
            Control.CHOICE,
            ("本人安好？", "Is the person well?"),
            vocabulary=words.YES_NO,
            shown_when=(When("outcome", ("met_other",)),),
        ),
        Field(
            "consent_state",
            Control.CHOICE,
            ("信息同意", "Consent"),
            vocabulary=words.CONSENT,
            shown_when=(MET,),
            default=Default(record="household.consent_state"),
        ),
        Field(
            "wb_health",
            Control.CHOICE,
            ("健康", "Health"),
            vocabulary=words.WELLBEING,
            shown_when=(MET, FULL_CONSENT),
            group="wellbeing",
            default=GOOD,
        ),
        Field(
            "wb_mood",
            Control.CHOICE,
            ("情绪", "Mood"),
            vocabulary=words.WELLBEING,
            shown_when=(MET, FULL_CONSENT),
            group="wellbeing",
            default=GOOD,
        ),
        Field(
            "wb_safety",
            Control.CHOICE,
            ("水电气暖安全", "Home safety"),
            vocabulary=words.WELLBEING,
            shown_when=(MET,),
            group="wellbeing",
            default=GOOD,
        ),
        Field(
            "wb_hygiene",
            Control.CHOICE,
            ("卫生", "Hygiene"),
            vocabulary=words.WELLBEING,
            shown_when=(MET,),
            group="wellbeing",
            default=GOOD,
        ),
        Field(
            "wb_environment",
            Control.CHOICE,
            ("居住环境", "Living environment"),
            vocabulary=words.WELLBEING,
            shown_when=(MET,),
            group="wellbeing",
            default=GOOD,
        ),
        Field(
            "family_contact",
            Control.CHOICE,
            ("家人最近联系", "Family last in touch"),
            vocabulary=words.FAMILY_CONTACT,
            shown_when=(MET,),
        ),
        Field("needs", Control.CHOICES, ("需要什么", "Needs"), vocabulary=words.NEED, shown_when=(MET,)),
        Field(
            "urgency",
            Control.CHOICE,
            ("紧急程度", "How urgent"),
            vocabulary=words.URGENCY,
            is_required=True,
            shown_when=(When("needs", (*words.SERVICE.codes, "other")),),
        ),
        Field("danger", Control.CHOICES, ("危险情形", "Danger signs"), vocabulary=words.DANGER),
        Field("done_on_spot", Control.CHOICES, ("当场做了", "Done on the spot"), vocabulary=words.DONE_ON_SPOT),
        Field(
            "next_visit_on",
            Control.DATE,
            ("下次走访", "Next visit"),
            shown_when=(COMES_AGAIN,),
            default=Default(days="household.interval_days", sooner=NOT_SEEN),
        ),
        Field(
            "note",
            Control.TEXT,
            ("备注", "Note"),
            limit=200,
            help=("不要写身份证号、病名、家庭隐私", "No ID numbers, diagnoses or private family matters"),
        ),
    ),
)

IN_DANGER = When("danger", tuple(code for code in words.DANGER.codes if code != "none"))

# Whom the visitor called, and when: after danger, and when nobody opened (DOMAIN.md 2.5). A form of its own over the same
# visit, so that the visit is saved first.
STEPS_FORM = Form(
    name="steps",
    kind="visit",
    fields=tuple(
        Field(name, Control.MOMENT, label)
        for name, label in {
            "called_120": ("120 急救", "120 ambulance"),
            "called_110": ("110 报警", "110 police"),
            "called_119": ("119 火警", "119 fire brigade"),
            "called_person": ("打本人电话", "Phone the person"),
            "called_contact": ("打家人电话", "Phone the family"),
            "asked_neighbour": ("问邻居、物业", "Ask neighbours"),
            "told_duty": ("告诉社区值班", "Tell the duty desk"),
        }.items()
    ),
)

# When somebody was out on a round, and with whom: once a round, not per visit. Hours are what she says they are, so they
# are times of her day and no measurement of anything.
COMPANIONS = Field("companions", Control.NAMES, ("同行人", "Who went along"), limit=NAME_MAX)
OUTING_FORM = Form(
    name="outing",
    kind="outing",
    fields=(
        Field("went_on", Control.DATE, ("哪天", "Day"), is_required=True),
        Field("from_time", Control.CLOCK, ("开始", "From"), is_required=True),
        Field("to_time", Control.CLOCK, ("结束", "To")),
        COMPANIONS,
    ),
)
# Going out is one tap: the day and the time are now (server/page_table.py).
SETTING_OUT_FORM = Form(name="setting_out", kind="outing", fields=(COMPANIONS,))

# How far what somebody promised has come.
NEED_FORM = Form(
    name="promise",
    kind="need",
    fields=(
        Field("need_state", Control.CHOICE, ("办理情况", "Progress"), vocabulary=words.NEED_STATE, is_required=True),
    ),
)

FORMS = {form.name: form for form in (VISIT_FORM, STEPS_FORM, OUTING_FORM, SETTING_OUT_FORM, NEED_FORM)}
