"""What everything in the demo is called, plainly made up (DOMAIN.md 7), and the ids that follow from the names."""

from uuid import NAMESPACE_URL, uuid5

COMMUNITY_ID = 1
COMMUNITY_NAME = "示例社区"
ESTATE = "示例小区"

COORDINATOR_LOGIN = "demo"
COORDINATOR_PASSWORD = "linli demo 0000"  # noqa: S105 - printed for whoever runs the demo
COORDINATOR_NAME = "示例协调员乙"
VOLUNTEER_NUMBER = "0001"

# Heavenly stems, earthly branches, then the Thousand Character Classic: forty signs, no two alike.
SIGNS = "甲乙丙丁戊己庚辛壬癸子丑寅卯辰巳午未申酉戌亥天地玄黄宇宙洪荒日月盈昃宿列寒来暑往"


def demo_id(seed: int, name: str) -> str:
    """The same id for the same name and seed, on every machine."""
    return str(uuid5(NAMESPACE_URL, f"linli demo {seed}: {name}"))


def phone(number: int) -> str:
    return f"000-0000-{number:04}"


def volunteer_name(index: int) -> str:
    return f"示例志愿者{SIGNS[index]}"
