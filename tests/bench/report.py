"""Tables that can stand in ARCHITECTURE.md as they are: with the command, the commit and the date that made them."""

import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime

from server.settings import ROOT


def print_table(command: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print(f"\n`{command}`, {datetime.now(UTC):%Y-%m-%d}, commit {commit()}\n")
    print("| " + " | ".join(heads) + " |")
    print("|" + "---|" * len(heads))
    for row in rows:
        print("| " + " | ".join(row) + " |")


def commit() -> str:
    """The commit that was measured; a star says that the tree differed from it."""
    head = git("rev-parse", "--short", "HEAD") or "unknown"
    return head + ("*" if git("status", "--porcelain", "--untracked-files=no") else "")


def git(*words: str) -> str:
    return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False).stdout.strip()
