"""Python constants as JavaScript source."""

import json
import re
from collections.abc import Iterable, Mapping

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
# A carriage return would become a line feed; the others no editor shows.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f\u2028\u2029\ufeff]")


def string_literal(text: str) -> str:
    """A JavaScript string literal, safe on one line of any script."""
    quoted = json.dumps(text, ensure_ascii=False)
    # Legal inside strings only since ES2019, and invisible in an editor ever since.
    return quoted.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def template_text(text: str) -> str:
    """Text as it stands between the backticks of a template literal."""
    # What follows a last dollar sign is not known here.
    escaped = re.sub(r"[\\`]|\$(?=\{|\Z)", r"\\\g<0>", text)
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", escaped)


def literal(value: str | bool | int | None) -> str:
    """A scalar constant; strings, booleans, integers and None are all there is."""
    return string_literal(value) if isinstance(value, str) else json.dumps(value)


def is_identifier(name: str) -> bool:
    """Whether the name is spelled the same, and means the same, in both languages."""
    return _IDENTIFIER.fullmatch(name) is not None


def property_access(owner: str, name: str) -> str:
    """`owner.name`, or `owner["na.me"]` where the dot form is not legal."""
    return f"{owner}.{name}" if is_identifier(name) else f"{owner}[{string_literal(name)}]"


def array(items: Iterable[str]) -> str:
    """An array of expressions that are already JavaScript."""
    return f"[{','.join(items)}]"


def plain_object(entries: Mapping[str, str]) -> str:
    """An object whose values are already JavaScript."""
    return "{" + ",".join(f"{_key(name)}:{value}" for name, value in entries.items()) + "}"


def _key(name: str) -> str:
    return name if is_identifier(name) else string_literal(name)
