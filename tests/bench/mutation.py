"""`./linli bench mutation`: how many small faults in sync/ the tests in tests/sync notice.

mutmut changes one thing at a time in a copy of the project (a `<` becomes `<=`, an argument None) and runs the tests that
reach it. What survives is listed: each is a line that could be wrong without a test noticing, or a change that makes no
difference. Only the store in memory is run, for it is run some 1,700 times; the imports' own test is left out, because a
mutant imports mutmut. A test that no longer ends counts as having noticed.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from server.settings import ROOT
from tests.bench.report import git, print_table
from tests.peers.peer import installed, run

MUTMUT = "3.8.1"
SCORE_WANTED = 0.85
NOTICED = ("killed", "timeout", "segfault")
CONFIGURATION = """
[tool.mutmut]
source_paths = ["sync/"]
pytest_add_cli_args_test_selection = ["tests/sync/"]
pytest_add_cli_args = ["-k", "not postgres and not sqlite and not standard_library", "-p", "no:cacheprovider"]
also_copy = ["server", "static", "templates", "tests", "sync", "linli"]
"""


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./linli bench mutation", description=__doc__)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        project = copied(Path(name))
        mutmut(project, "run", "--max-children", str(asked.processes))
        found = verdicts(mutmut(project, "results", "--all", "true").stdout)
    counts = Counter(found.values())
    score = sum(counts[each] for each in NOTICED) / sum(counts.values())
    print_table(
        "./linli bench mutation",
        ["mutants", *sorted(counts), "score", "wanted"],
        [[str(sum(counts.values())), *(str(counts[each]) for each in sorted(counts)), f"{score:.1%}", "≥ 85 %"]],
    )
    print("\nNot noticed:", *(f"- {mutant}" for mutant, verdict in found.items() if verdict not in NOTICED), sep="\n")
    return 0 if score >= SCORE_WANTED else 1


def copied(folder: Path) -> Path:
    """What the repository holds, without its history."""
    for each in git("ls-files").splitlines():
        target = folder / each
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / each, target)
    settings = folder / "pyproject.toml"
    settings.write_text(settings.read_text(encoding="utf-8") + CONFIGURATION, encoding="utf-8")
    return folder


def mutmut(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    library = installed(f"mutmut-{MUTMUT}", install)
    return subprocess.run(
        [sys.executable, "-m", "mutmut", *words],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(library)},
        capture_output=True,
        text=True,
        check=True,
    )


def install(folder: Path) -> None:
    run(sys.executable, "-m", "pip", "install", "--quiet", "--target", folder, f"mutmut=={MUTMUT}")


def verdicts(results: str) -> dict[str, str]:
    """By mutant."""
    lines = (line.strip().rsplit(": ", 1) for line in results.splitlines() if "__mutmut_" in line)
    return dict(lines)
