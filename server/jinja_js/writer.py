"""The text of one JavaScript function while it grows."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from server.jinja_js.literals import template_text
from server.jinja_js.scope import Names

OUT = "o"


@dataclass
class Output:
    """What a function adds to its text: pieces of a template literal, and JavaScript for strings between them."""

    buffer: str
    pieces: list[tuple[str, str]] = field(default_factory=list)

    def written(self) -> str:
        """One expression."""
        if [kind for kind, _ in self.pieces] == ["code"]:
            return self.pieces[0][1]
        inside = "".join(text if kind == "text" else f"${{{text}}}" for kind, text in self.pieces)
        return f"`{inside}`" if inside else '""'


Items = list["Output | str"]


class FunctionWriter:
    """Collects the statements of a function, and the variables it must declare.

    Every variable is declared once, at the top of the function that assigns it. That is Python's
    rule, which Jinja2's scoping relies on; a `let` in an inner block would behave differently
    inside closures.
    """

    def __init__(self, names: Names, parameters: tuple[str, ...] = ()) -> None:
        self.names = names
        self.macros = 0
        self._parameters = parameters
        self._declared: dict[str, str | None] = {}
        self._assigned: set[str] = set()
        self._items: Items = []
        self._needs_buffer = False

    def line(self, text: str) -> None:
        """Add one statement."""
        self._items.append(text)

    def text(self, buffer: str, text: str) -> None:
        """Add constant text to a buffer."""
        if text:
            self._output(buffer).pieces.append(("text", template_text(text)))

    def code(self, buffer: str, expression: str) -> None:
        """Add the string that an expression gives to a buffer."""
        self._output(buffer).pieces.append(("code", expression))

    def assign(self, name: str, value: str) -> None:
        """Set a variable of this function, or of the context."""
        if not name.startswith("v."):
            self.declare(name)
        self._assigned.add(name)
        self.line(f"{name}={value};")

    def declare(self, name: str, first_value: str | None = None) -> str:
        """Make sure that the variable exists, and return its name."""
        if name not in self._parameters:
            self._declared.setdefault(name, first_value)
        return name

    def is_empty(self) -> bool:
        """Whether nothing was written yet."""
        return not self._items

    def is_still_unset(self, name: str) -> bool:
        """Whether nothing written so far has set this variable of this function."""
        return name in self._declared and name not in self._assigned

    def unique(self) -> str:
        """A name nobody else uses."""
        return self.names.fresh()

    @contextmanager
    def captured(self) -> Iterator[Items]:
        """What is written inside goes into a list of its own."""
        outer, self._items = self._items, []
        try:
            yield self._items
        finally:
            self._items = outer

    def braces(self, opening: str, items: Items) -> None:
        """A block: `opening{` ... `}`."""
        self.line(f"{opening}{{{self.statements(items)}}}")

    def statements(self, items: Items) -> str:
        """All of them in order."""
        return "".join(item if isinstance(item, str) else self._addition(item) for item in items)

    def body(self, result: str | None = None) -> str:
        """What stands behind `=>`: all that was written, and what the function returns if not its text."""
        items = list(self._items)
        if result is not None:
            is_plain = not items and not self._declared
            return result if is_plain else f"{{{self._declarations({})}{self.statements(items)}return {result}}}"
        last = items[-1] if items else None
        if not isinstance(last, Output) or last.buffer != OUT:
            last = None
        if last:
            items.pop()
        result = last.written() if last else '""'
        if not items and not self._declared:
            return result
        inner = self._without_unread(self.statements(items), result)
        if self._needs_buffer:
            result = f"{OUT}+({result})" if last else OUT
        buffer = {OUT: '""'} if self._needs_buffer else {}
        return f"{{{self._declarations(buffer)}{inner}return {result}}}"

    def _without_unread(self, statements: str, result: str) -> str:
        """The same without variables that are set once and never read: what a template imports or sets for its blocks."""
        for name in list(self._declared):
            found = [match.start() for match in re.finditer(rf"{re.escape(name)}(?![\w$])", statements + result)]
            if len(found) == 1 and name in self._assigned and statements.startswith(f"{name}=", found[0]):
                value = found[0] + len(name) + 1
                copied = re.compile(r"v\.\w+;").match(statements, value)
                statements = statements[: found[0]] + statements[copied.end() if copied else value :]
                del self._declared[name]
        return statements

    def _declarations(self, more: dict[str, str]) -> str:
        declared = {**self._declared, **more}
        names = ",".join(name if value is None else f"{name}={value}" for name, value in declared.items())
        return f"let {names};" if names else ""

    def _addition(self, output: Output) -> str:
        if output.buffer == OUT:
            self._needs_buffer = True
        return f"{output.buffer}+={output.written()};"

    def _output(self, buffer: str) -> Output:
        last = self._items[-1] if self._items else None
        if isinstance(last, Output) and last.buffer == buffer:
            return last
        output = Output(buffer)
        self._items.append(output)
        return output


def only_output(items: Items, buffer: str) -> str | None:
    """The one expression that these items come to, if all they do is add to the buffer."""
    if not items:
        return '""'
    first = items[0]
    return first.written() if len(items) == 1 and isinstance(first, Output) and first.buffer == buffer else None
