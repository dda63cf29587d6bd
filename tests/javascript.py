"""Runs our browser modules inside pytest, in V8, without a browser."""

import json
import re
from pathlib import Path
from typing import Any

from py_mini_racer import MiniRacer

STATIC = Path(__file__).parent.parent / "static"

_IMPORT = re.compile(r"^import\b[^;]*;\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const|class)\b)", re.MULTILINE)


def as_script(source: str) -> str:
    """An ES module as part of one classic script, the way the service worker is assembled."""
    return _EXPORT.sub("", _IMPORT.sub("", source))


class JavaScript:
    """A fresh V8 with some of our modules in it, and perhaps more source."""

    def __init__(self, *modules: str, source: str = "") -> None:
        self._engine = MiniRacer()
        texts = [(STATIC / module).read_text(encoding="utf-8") for module in modules]
        self._engine.eval("\n".join([*map(as_script, texts), as_script(source)]) + "\n;undefined")

    def call(self, function: str, *arguments: Any) -> Any:
        """Call a function, named or written out, with JSON in and JSON out.

        Raises py_mini_racer.JSEvalException when it throws.
        """
        written = ", ".join(json.dumps(argument) for argument in arguments)
        result = self._engine.eval(f"JSON.stringify(({function})({written})) ?? 'null'")
        return json.loads(str(result))
