"""What the template compiler refuses, and how it says so."""


class UnsupportedTemplate(Exception):
    """A template uses something that would not, or might not, render identically on a phone.

    Raised while compiling, so the application does not start. The message names the template,
    the line, the construct and what to write instead; the parts are kept as attributes.
    """

    def __init__(self, *, template: str, line: int, construct: str, remedy: str) -> None:
        super().__init__(f"{template}, line {line}: {construct} cannot run on the phone; {remedy}")
        self.template = template
        self.line = line
        self.construct = construct
        self.remedy = remedy
