"""The text of one JavaScript function while it grows."""

from collections.abc import Iterator
from contextlib import contextmanager


class FunctionWriter:
    """Collects the lines of a function, and the variables it must declare.

    Every variable is declared once, at the top of the function that assigns it. That is Python's
    rule, which Jinja2's scoping relies on; a `let` in an inner block would behave differently
    inside closures.
    """

    def __init__(self, parameters: tuple[str, ...] = ()) -> None:
        self._parameters = parameters
        self._declared: dict[str, str | None] = {}
        self._lines: list[str] = []
        self._last_number = 0

    def line(self, text: str) -> None:
        """Add one statement."""
        self._lines.append(text)

    def assign(self, name: str, value: str) -> None:
        """Set a variable of this function."""
        self.declare(name)
        self.line(f"{name} = {value};")

    def declare(self, name: str, first_value: str | None = None) -> str:
        """Make sure that the variable exists, and return its name."""
        if name not in self._parameters:
            self._declared.setdefault(name, first_value)
        return name

    def unique(self, stem: str) -> str:
        """A name nobody else uses; those of templates end in `_` and a number, so none collides."""
        self._last_number += 1
        return f"{stem}{self._last_number}"

    @contextmanager
    def braces(self, opening: str) -> Iterator[None]:
        """Lines inside belong to a block: `opening {` ... `}`."""
        self.line(f"{opening} {{")
        yield
        self.line("}")

    def embed(self, inner: "FunctionWriter", *, before: str, after: str) -> None:
        """Put an inner function between two pieces of text."""
        self.line(f"{before} {{")
        self._lines.extend(inner.body())
        self.line(f"}}{after}")

    def body(self) -> list[str]:
        """All lines, declarations first."""
        names = [name if value is None else f"{name} = {value}" for name, value in self._declared.items()]
        return [f"let {', '.join(names)};", *self._lines] if names else list(self._lines)
