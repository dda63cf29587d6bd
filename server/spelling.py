"""How a name is spelled in letters: 张伟 is "zhang wei". Only the server knows; phones are sent the result.

A surname may be read otherwise than the same sign elsewhere (单 is shàn, not dān), and people type either, so both are
given.
"""

import os
from collections.abc import Iterator

# Its table of phrases takes 45 MB and says nothing about names; it reads this when it is imported.
os.environ.setdefault("PYPINYIN_NO_PHRASES", "true")

from pypinyin import lazy_pinyin

# Signs whose reading as a surname is not the everyday one. The everyday one comes from the library.
SURNAMES = {
    "单": "shan", "解": "xie", "仇": "qiu", "查": "zha", "曾": "zeng", "区": "ou", "盖": "ge", "朴": "piao",
    "乐": "yue", "员": "yun", "祭": "zhai", "翟": "zhai", "缪": "miao", "覃": "qin", "秘": "bi", "折": "she",
    "繁": "po", "牟": "mu", "召": "shao", "都": "du", "郇": "xun", "种": "chong", "薄": "bo", "洗": "xian",
    "黑": "he", "重": "chong", "佴": "nai", "长": "chang", "隗": "wei", "谌": "shen",
}  # fmt: skip
DOUBLE_SURNAMES = {
    "尉迟": "yu chi",
    "万俟": "mo qi",
    "长孙": "zhang sun",
    "单于": "chan yu",
    "澹台": "tan tai",
    "令狐": "ling hu",
    "皇甫": "huang fu",
    "宇文": "yu wen",
}


def spellings(name: str) -> list[str]:
    """Each way to read the name, syllables parted by spaces: 单雄信 gives "dan xiong xin" and "shan xiong xin".
    Letters and digits stand for themselves; what has no reading is left out."""
    found = (" ".join(filter(None, reading)) for reading in readings(name.strip()))
    return [spelled for spelled in dict.fromkeys(found) if spelled]


def readings(name: str) -> Iterator[tuple[str, ...]]:
    syllables = [plain(word) for part in lazy_pinyin(name) for word in part.split()]
    yield tuple(syllables)
    if (double := DOUBLE_SURNAMES.get(name[:2])) is not None:
        yield (*double.split(), *syllables[2:])
    elif name[:1] in SURNAMES:
        yield (SURNAMES[name[0]], *syllables[1:])


def plain(syllable: str) -> str:
    """ü is typed v."""
    return "".join(letter for letter in syllable.lower().replace("ü", "v") if letter.isascii() and letter.isalnum())
