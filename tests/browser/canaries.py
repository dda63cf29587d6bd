"""Looking for words in the bytes of a browser's profile, as a thief of the phone would.

LevelDB keeps what was deleted until it compacts, and IndexedDB writes Chinese as two bytes a character, JSON as three: so
every file is looked through for either. What was packed is looked through as it lies there.
"""

from collections.abc import Iterable
from pathlib import Path

ENCODINGS = ("utf-8", "utf-16-le")


def canaries_in(profile: Path, words: Iterable[str]) -> list[str]:
    """`file: word` for each that is found."""
    wanted = [(word, word.encode(encoding)) for word in words for encoding in ENCODINGS]
    found = set[str]()
    for file in profile.rglob("*"):
        if not file.is_file() or file.is_symlink():
            continue
        content = file.read_bytes()
        found |= {f"{file.relative_to(profile)}: {word}" for word, written in wanted if written in content}
    return sorted(found)
