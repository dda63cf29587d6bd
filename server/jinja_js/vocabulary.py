"""The words of Jinja2 that `static/worker/jinja_runtime.js` also knows.

Whatever is not listed here, and is not the application's own, is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

REQUIRED = object()

# What compiled templates call the runtime's functions: one letter for each.
HELPERS: Mapping[str, str] = MappingProxyType(
    {
        "add": "aa",
        "attribute": "a",
        "block": "b",
        "builtin": "bi",
        "call": "f",
        "callBlock": "h",
        "callIn": "c",
        "callInNamed": "cn",
        "callNamed": "fn",
        "concat": "s",
        "contains": "n",
        "derive": "dd",
        "divide": "di",
        "each": "e",
        "entry": "en",
        "equal": "q",
        "extend": "x",
        "filters": "fi",
        "follow": "w",
        "imports": "im",
        "include": "u",
        "isIterable": "it",
        "isMapping": "ma",
        "isNumber": "nu",
        "isString": "is",
        "item": "g",
        "iterate": "r",
        "known": "k",
        "less": "l",
        "loop": "lo",
        "macro": "m",
        "method": "d",
        "missing": "z",
        "module": "y",
        "modulo": "md",
        "multiply": "mu",
        "overlay": "ov",
        "safe": "sa",
        "select": "se",
        "setAttribute": "j",
        "slice": "sl",
        "subtract": "su",
        "tests": "te",
        "text": "t",
        "truthy": "p",
        "unpack": "un",
    }
)


def helper(name: str) -> str:
    """The short name of one of the runtime's functions."""
    return HELPERS[name]


def helped(name: str, *arguments: str) -> str:
    """A call of one of the runtime's functions."""
    return f"{HELPERS[name]}({','.join(arguments)})"


@dataclass(frozen=True)
class Builtin:
    """A filter: its name in the runtime, and its parameters with Jinja2's defaults."""

    name: str
    parameters: Mapping[str, object] = field(default_factory=dict)


# Attributes are compiled into paths, so they are no ordinary parameters: see filters.py.
_FILTERS = (
    Builtin("abs"),
    Builtin("batch", {"linecount": REQUIRED, "fill_with": None}),
    Builtin("default", {"default_value": "", "boolean": False}),
    Builtin("escape"),
    Builtin("first"),
    Builtin("groupby", {"attribute": REQUIRED, "default": None, "case_sensitive": False}),
    Builtin("int", {"default": 0}),
    Builtin("items"),
    Builtin("join", {"d": "", "attribute": None}),
    Builtin("last"),
    Builtin("length"),
    Builtin("list"),
    Builtin("lower"),
    Builtin("max", {"case_sensitive": False, "attribute": None}),
    Builtin("min", {"case_sensitive": False, "attribute": None}),
    Builtin("replace", {"old": REQUIRED, "new": REQUIRED, "count": None}),
    Builtin("reverse"),
    Builtin("safe"),
    Builtin("sort", {"reverse": False, "case_sensitive": False, "attribute": None}),
    Builtin("string"),
    Builtin("sum", {"attribute": None, "start": 0}),
    Builtin("tojson"),
    Builtin("trim"),
    Builtin("truncate", {"length": 255, "killwords": False, "end": "...", "leeway": None}),
    Builtin("unique", {"case_sensitive": False, "attribute": None}),
    Builtin("upper"),
    Builtin("urlencode"),
)
FILTERS: Mapping[str, Builtin] = MappingProxyType(
    {known.name: known for known in _FILTERS}
    | {
        "count": Builtin("length"),
        "d": Builtin("default", {"default_value": "", "boolean": False}),
        "e": Builtin("escape"),
    }
)

# These apply another filter or a test to each item.
SELECTING_FILTERS = frozenset({"select", "reject", "selectattr", "rejectattr"})

# In Python their result can be walked once, is always true and has no length.
LAZY_FILTERS = SELECTING_FILTERS | {"map", "batch", "items", "reverse", "unique"}

# These walk what they are given once, so they may follow a lazy filter.
WALKING_FILTERS = LAZY_FILTERS | {"first", "groupby", "join", "list", "max", "min", "sort", "sum"}

# These also take a view of a dictionary, which has a length and an end.
VIEWING_FILTERS = WALKING_FILTERS | {"last", "length", "count"}

CONTAINER_FILTERS = (LAZY_FILTERS - {"reverse"}) | {"groupby", "list", "sort"}

# A test as JavaScript: `{0}` is what is tested, `{1}` what it is compared with.
_EQUAL, _LESS, _MORE = helped("equal", "{0}", "{1}"), helped("less", "{0}", "{1}"), helped("less", "{1}", "{0}")
TESTS: Mapping[str, str] = MappingProxyType(
    {
        "boolean": '(typeof {0}=="boolean")',
        "defined": "({0}!==undefined)",
        "divisibleby": f"({helped('modulo', '{0}', '{1}')}===0)",
        "even": f"({helped('modulo', '{0}', '2')}===0)",
        "false": "({0}===false)",
        "in": helped("contains", "{1}", "{0}"),
        "integer": "Number.isInteger({0})",
        "iterable": helped("isIterable", "{0}"),
        "mapping": helped("isMapping", "{0}"),
        "none": "({0}===null)",
        "number": helped("isNumber", "{0}"),
        "odd": f"({helped('modulo', '{0}', '2')}===1)",
        "string": helped("isString", "{0}"),
        "true": "({0}===true)",
        "undefined": "({0}===undefined)",
    }
    | dict.fromkeys(("eq", "equalto", "=="), _EQUAL)
    | dict.fromkeys(("ne", "!="), f"!{_EQUAL}")
    | dict.fromkeys(("lt", "lessthan", "<"), _LESS)
    | dict.fromkeys(("le", "<="), f"!{_MORE}")
    | dict.fromkeys(("gt", "greaterthan", ">"), _MORE)
    | dict.fromkeys(("ge", ">="), f"!{_LESS}")
)

# The operators of Jinja2's syntax tree, as tests.
COMPARISONS: Mapping[str, str] = MappingProxyType(
    {name: TESTS[name] for name in ("eq", "ne", "lt", "gt", "in")}
    | {"lteq": TESTS["le"], "gteq": TESTS["ge"], "notin": f"!{TESTS['in']}"}
)

REFUSED_GLOBALS = frozenset({"cycler", "joiner", "lipsum"})

# Methods, and how many arguments each may have.
METHODS: Mapping[str, range] = MappingProxyType(
    {
        "endswith": range(1, 2),
        "get": range(1, 3),
        "items": range(1),
        "keys": range(1),
        "lower": range(1),
        "lstrip": range(1),
        "replace": range(2, 3),
        "rstrip": range(1),
        "split": range(2),
        "startswith": range(1, 2),
        "strip": range(1),
        "upper": range(1),
        "values": range(1),
    }
)
VIEW_METHODS = frozenset({"items", "keys", "values"})

LOOP_ATTRIBUTES = frozenset(
    {"index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem"}
)
LOOP_METHODS = frozenset({"cycle", "changed"})

# In Python `value.items` is the method, whatever the dictionary holds under that key.
DICTIONARY_MEMBERS = frozenset(name for name in dir(dict) if not name.startswith("__"))

# Likewise for the other values a template meets; a dictionary may have these keys.
OTHER_MEMBERS = (
    frozenset(name for kind in (str, list, tuple, int, range) for name in dir(kind) if name[0] != "_")
    - DICTIONARY_MEMBERS
)
