"""Every closed list of codes, with its words in both languages (DOMAIN.md 2). Codes are stored; words are shown."""

from collections.abc import Mapping
from dataclasses import dataclass

Words = tuple[str, str]  # 简体中文, English


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """`codes` in the order they are offered. A word's catalogue key is `<name>.<code>`."""

    name: str
    words: Mapping[str, Words]

    @property
    def codes(self) -> tuple[str, ...]:
        return tuple(self.words)


def vocabulary(name: str, **words: Words) -> Vocabulary:
    return Vocabulary(name, words)


CONTACT_MODE = vocabulary(
    "contact_mode",
    in_person=("上门", "At the door"),
    phone=("电话", "By phone"),
    video=("视频", "By video"),
    neighbour_report=("邻里告知", "Told by a neighbour"),
)

OUTCOME = vocabulary(
    "outcome",
    met=("见到本人", "Met in person"),
    met_other=("见到家人/照料人", "Met family or carer"),
    no_answer=("敲门无人应", "No answer"),
    away_known=("外出，去向已知", "Away, whereabouts known"),
    refused=("婉拒", "Declined"),
    hospitalised=("住院", "In hospital"),
    in_care_home=("入住机构", "In a care home"),
    moved=("搬离", "Moved away"),
    deceased=("去世", "Passed away"),
    wrong_address=("地址有误", "Wrong address"),
    inaccessible=("进不去（门禁/不安全）", "Could not get in"),
)

PERSON_MET = vocabulary(
    "person_met",
    self=("本人", "The person"),
    spouse=("配偶", "Spouse"),
    child=("子女", "Child"),
    carer=("照料人", "Carer"),
    neighbour=("邻居", "Neighbour"),
    other=("其他", "Someone else"),
)

YES_NO = vocabulary("yes_no", yes=("是", "Yes"), no=("否", "No"), unknown=("不清楚", "Not known"))

CONSENT = vocabulary(
    "consent",
    full=("同意记录健康等", "Agrees to health notes"),
    basic=("只记走访", "Visit only"),
    withdrawn=("不同意/撤回", "Declines or withdraws"),
)

WELLBEING = vocabulary(
    "wellbeing",
    good=("良", "Good"),
    fair=("中", "Fair"),
    poor=("差", "Poor"),
    not_observed=("未观察", "Not observed"),
)

FAMILY_CONTACT = vocabulary(
    "family_contact",
    week=("一周内", "Within a week"),
    month=("一月内", "Within a month"),
    longer=("更久", "Longer ago"),
    none=("无", "None"),
    unknown=("不清楚", "Not known"),
)

SERVICE = vocabulary(
    "service",
    meal_delivery=("送餐", "Meals"),
    medical_delivery=("送医（送药/陪诊）", "Medicine or clinic"),
    goods_delivery=("送货", "Shopping"),
    urgent_help=("送急", "Urgent help"),
    convenience=("送便捷（代办）", "Errands"),
    gov_service=("政务服务", "Government service"),
    health_care=("医疗保健", "Health care"),
    employment=("就业指导", "Finding work"),
    volunteer_help=("志愿者服务", "A volunteer"),
    legal_aid=("法律援助", "Legal aid"),
    housekeeping=("家政服务", "Housekeeping"),
)

NEED = Vocabulary("need", {**SERVICE.words, "other": ("其他", "Something else"), "none": ("无", "None")})

URGENCY = vocabulary(
    "urgency",
    emergency=("紧急", "Emergency"),
    h24=("24小时内", "Within 24 hours"),
    days=("3–5天", "3–5 days"),
    info=("当场答复", "Answered on the spot"),
)

NEED_STATE = vocabulary("need_state", open=("还没办好", "Not done"), done=("办好了", "Done"))

DANGER = vocabulary(
    "danger",
    medical=("急病", "Sudden illness"),
    fall=("跌倒/无反应", "Fall or no response"),
    gas_fire_water=("燃气火水", "Gas, fire or water"),
    harm_by_other=("疑似受伤害", "Harm by someone"),
    self_harm=("轻生", "Self-harm"),
    child_risk=("儿童危险", "Child at risk"),
    scam=("疑似受骗", "Possible scam"),
    none=("无", "None"),
)

DONE_ON_SPOT = vocabulary(
    "done_on_spot",
    chat=("陪聊", "Company"),
    safety_tip=("安全提醒", "Safety reminder"),
    policy=("讲政策", "Explained a policy"),
    small_help=("举手之劳", "A small favour"),
    gift=("慰问", "A gift"),
    card_left=("留联系卡", "Left a contact card"),
    called_family=("联系家人", "Called the family"),
)

CATEGORY = vocabulary(
    "category",
    living_alone=("独居", "Lives alone"),
    empty_nest=("空巢", "Elder couple, no children near"),
    left_behind=("留守", "Family away"),
    care_dependent=("失能", "Needs daily care"),
    severely_disabled=("重残", "Severe disability"),
    fp_special=("特别关心", "Special concern"),  # neutral at the door (DOMAIN.md 2.1)
    women_backbone=("巾帼骨干", "Leading women"),
)

STRENGTH = vocabulary(
    "strength",
    willing=("热心", "Glad to help"),
    haircut=("会理发", "Cuts hair"),
    electrics=("懂电器", "Mends appliances"),
    cooking=("会做饭", "Cooks"),
    handicraft=("会手工", "Handicraft"),
    stage=("会唱跳", "Sings and dances"),
    brush=("会书画", "Brush and paint"),
    nursing=("懂护理", "Knows nursing"),
    phones=("会用手机", "Good with phones"),
    mediating=("会调解", "Settles quarrels"),
)

RISK = vocabulary("risk", red=("红", "Red"), yellow=("黄", "Yellow"), green=("绿", "Green"))

REVIEW = vocabulary(
    "review",
    approved=("已审核", "Reviewed"),
    sent_back=("已退回", "Sent back"),
)

OCCASION = vocabulary(
    "occasion",
    monthly=("每月走访", "Monthly visits"),
    festival=("节日慰问", "Festival visits"),
    weather=("天气关怀", "Weather check"),
)

ALL = {
    each.name: each
    for each in (
        CONTACT_MODE,
        OUTCOME,
        PERSON_MET,
        YES_NO,
        CONSENT,
        WELLBEING,
        FAMILY_CONTACT,
        NEED,
        URGENCY,
        NEED_STATE,
        DANGER,
        DONE_ON_SPOT,
        CATEGORY,
        STRENGTH,
        RISK,
        REVIEW,
        OCCASION,
    )
}
