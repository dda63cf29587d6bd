"""Who is meant by what was typed: 张伟 by 张伟, 张, zw, zhangw, 3-2-501 or the last four digits of a phone.

The twin of static/worker/search.js, pinned to it by sync/vectors/search.json. How names are spelled stands in the
household's field `search`, which the server writes (server/households.py), so no phone carries a table of readings.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from unicodedata import normalize

PARTS_OF_AN_ADDRESS = re.compile("号楼|单元|[号楼栋幢室]")


def finds(household: Mapping[str, Any], text: str) -> bool:
    wanted = normalised(text)
    if not wanted:
        return False
    return (
        is_at(str(household.get("door") or ""), wanted)
        or wanted in (household.get("phone_ends") or ())
        or any(wanted in normalised(name) for name in household.get("members") or ())
        or any(spells(spelled.split(" "), wanted) for spelled in household.get("search") or ())
    )


def normalised(text: str) -> str:
    """Full-width letters as plain ones, no spaces; an address in words as 3-2-501."""
    plain = normalize("NFKC", text).lower().replace(" ", "")
    return PARTS_OF_AN_ADDRESS.sub("-", plain).strip("-") if plain[:1] in tuple("123456789") else plain


def is_at(door: str, wanted: str) -> bool:
    """3-2-501 by its beginning, with or without its dashes, or by 501 alone."""
    return door.startswith(wanted) or door.replace("-", "").startswith(wanted) or door.endswith(f"-{wanted}")


def spells(syllables: Sequence[str], wanted: str) -> bool:
    """Is `wanted` made of beginnings of the syllables, from the first on? zw, zhangw and zhwei are zhang wei."""
    if not wanted or not syllables:
        return not wanted
    first = syllables[0]
    return any(
        first.startswith(wanted[:count]) and spells(syllables[1:], wanted[count:])
        for count in range(min(len(first), len(wanted)), 0, -1)
    )
