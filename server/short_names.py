"""Short names for what the worker's script declares at its top: a phone on a slow line loads half a kilobyte less.

Only names that cannot be anything else are shortened: with a capital or an underscore in them, never a property, never
in quotes. `refuse_shared_names` (server/worker_script.py) sees to it that each is declared once.
"""

import re
from collections import Counter

DECLARED = re.compile(r"^(?:async )?(?:function\*?|class|const|let) ([A-Za-z]\w{4,})\b", re.MULTILINE)
TEXT = re.compile(r'"[^"\n]*"|`[^`]*`')
WORD = re.compile(r"[A-Za-z_$][\w$]*")
START = "class SafeText"  # the first line of our own code, after the tables and the templates


def shortened(script: str) -> str:
    head, start, code = script.partition(START)
    code = start + code
    used = Counter(WORD.findall(code))
    names = [name for name in dict.fromkeys(DECLARED.findall(code)) if is_only_a_name(name, head, code)]
    names.sort(key=lambda name: -used[name])
    short = {name: f"${place:x}" for place, name in enumerate(names)}
    return head + WORD.sub(lambda found: short.get(found[0], found[0]), code)


def is_only_a_name(name: str, head: str, code: str) -> bool:
    if not re.search(r"[a-z][A-Z]|^[A-Z]|_", name) or re.search(rf"\b{name}\b", head):
        return False
    if re.search(rf"[.]{name}\b|\b{name} ?:|[{{,]\s*{name}\s*[,}}=]", code):
        return False
    return not any(re.search(rf"\b{name}\b", re.sub(r"\$\{[^}]*\}", "", text[0])) for text in TEXT.finditer(code))
