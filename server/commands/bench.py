"""Measure something; without a name, list what can be measured.

A measurement is a file in tests/bench/ with a `main(argv)`; what stands after its name is handed to it.
"""

import argparse
import runpy
import sys

from server.commands import ASKED_WRONGLY, DONE, Stop
from server.settings import ROOT

FOLDER = ROOT / "tests" / "bench"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="a measurement, for example `weight`")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help="handed to the measurement")


def run(arguments: argparse.Namespace) -> int:
    if arguments.name is None:
        print("\n".join(names()) or "There are no measurements yet.")
        return DONE
    if arguments.name not in names():
        raise Stop(f"no measurement {arguments.name!r}. There are: {', '.join(names())}", ASKED_WRONGLY)
    # Measurements import the tests' own small world, which is not on the path otherwise.
    sys.path.insert(0, str(ROOT))
    return int(runpy.run_path(str(FOLDER / f"{arguments.name}.py"))["main"](arguments.rest) or DONE)


def names() -> list[str]:
    return sorted(file.stem for file in FOLDER.glob("*.py") if "\ndef main(" in file.read_text(encoding="utf-8"))
