"""Reads a page the way a strict parser would: what is open, what it is called, what it refers to."""

from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "input", "br", "img", "hr"}
REFERENCES = ("for", "form", "aria-labelledby", "aria-describedby", "aria-controls")


@dataclass
class Markup:
    tags: Counter[str] = field(default_factory=Counter)
    all_ids: Counter[str] = field(default_factory=Counter)
    references: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    fields: list[tuple[str, bool]] = field(default_factory=list)  # what a person fills in; has it a name to read out?

    @property
    def ids(self) -> set[str]:
        return set(self.all_ids)

    def repeated_ids(self) -> set[str]:
        return {name for name, times in self.all_ids.items() if times > 1}

    def count(self, tag: str) -> int:
        return self.tags[tag]

    def unnamed_fields(self) -> set[str]:
        return {name for name, has_label in self.fields if not has_label}


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.markup = Markup()
        self.open: list[str] = []
        self.labelled: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if len(given) != len(attrs):
            self.markup.problems.append(f"<{tag}> repeats an attribute")
        self.markup.tags[tag] += 1
        if "id" in given:
            self.markup.all_ids[given["id"]] += 1
        for name in REFERENCES:
            self.markup.references |= set(given.get(name, "").split())
        if given.get("href", "").startswith("#"):
            self.markup.references.add(given["href"][1:])
        if tag == "label" and "for" in given:
            self.labelled.add(given["for"])
        if tag in ("input", "textarea", "select") and given.get("type") != "hidden":
            has_label = "label" in self.open or "aria-label" in given
            self.markup.fields.append((given.get("name", ""), has_label or given.get("id", "") in self.labelled))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.markup.tags[tag] += 1

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.markup.problems.append(f"</{tag}> closes nothing at {self.getpos()}")


def read_markup(html: str) -> Markup:
    reader = Reader()
    reader.feed(html)
    reader.close()
    reader.markup.problems += [f"<{tag}> is never closed" for tag in reader.open]
    return reader.markup
