"""Every sentence people read, in both languages, from server/messages/*.toml.

Words of vocabularies (`outcome.met`) and labels of form fields (`visit.note`, `visit.note.help`) come from
their declarations. A key that lacks a language, or whose languages name different placeholders, stops the
start. Files named `shared…` go to the phone; the others stay on the server.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server import vocabularies
from server.visit_form import FORMS

FOLDER = Path(__file__).parent / "messages"
LANGUAGES = {"zh-CN": "zh", "en": "en"}  # as pages name them: as the files do
PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")

Texts = Mapping[str, str]  # text by language


class CatalogueError(ValueError):
    """A catalogue file that cannot be used. Names the file and the key."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """`shared_keys` are those the phone has, too."""

    texts: Mapping[str, Texts]
    shared_keys: frozenset[str]

    def text(self, language: str, key: str, **values: object) -> str:
        """The message with its placeholders filled. A missing key or value is a KeyError."""
        return PLACEHOLDER.sub(lambda found: str(values[found[1]]), self.texts[key][language])

    def shared(self) -> dict[str, Any]:
        """What the worker's script carries: each key once, its texts in the order of the languages."""
        texts = {key: [self.texts[key][language] for language in LANGUAGES] for key in sorted(self.shared_keys)}
        return {"languages": list(LANGUAGES), "texts": texts}


def load_catalogue(folder: Path = FOLDER) -> Catalogue:
    texts: dict[str, Texts] = {}
    shared_keys: set[str] = set()
    for source, key, text in (*declared(), *written(folder)):
        if key in texts:
            raise CatalogueError(f"{source}: {key} is already taken")
        texts[key] = text
        if source.startswith("shared"):
            shared_keys.add(key)
    return Catalogue(texts, frozenset(shared_keys))


Entry = tuple[str, str, Texts]  # where it stands, key, texts


def declared() -> Iterator[Entry]:
    """What vocabularies and forms already say."""
    for vocabulary in vocabularies.ALL.values():
        for code, words in vocabulary.words.items():
            yield "shared vocabularies", f"{vocabulary.name}.{code}", by_language(words)
    for form in FORMS.values():
        for field in form.fields:
            yield "shared forms", f"{form.name}.{field.name}", by_language(field.label)
            if field.help:
                yield "shared forms", f"{form.name}.{field.name}.help", by_language(field.help)


def by_language(words: vocabularies.Words) -> Texts:
    return dict(zip(LANGUAGES, words, strict=True))


def written(folder: Path) -> Iterator[Entry]:
    for file in sorted(folder.glob("*.toml")):
        for key, entry in leaves(tomllib.loads(file.read_text(encoding="utf-8"))):
            yield file.name, key, checked(entry, f"{file.name}: {key}")


def leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Tables are the parts of a key; a table that names a language is an entry."""
    for name, value in table.items():
        if isinstance(value, dict) and not value.keys() & set(LANGUAGES.values()):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def checked(entry: Any, where: str) -> Texts:
    names = set(LANGUAGES.values())
    if not isinstance(entry, dict) or entry.keys() != names:
        raise CatalogueError(f"{where} must have exactly {' and '.join(sorted(names))}")
    if not all(isinstance(text, str) and text.strip() for text in entry.values()):
        raise CatalogueError(f"{where} must be text in both languages")
    placeholders = [set(PLACEHOLDER.findall(text)) for text in entry.values()]
    if placeholders[0] != placeholders[1]:
        raise CatalogueError(f"{where} names different placeholders in its languages")
    return {language: entry[name] for language, name in LANGUAGES.items()}
