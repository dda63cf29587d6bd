"""Check everything: style, types and tests.

Installs what tests need into .venv on first use, finds a Chromium or Chrome (LINLI_BROWSER names one) and
installs one where there is none, and its headless shell on Debian. Firefox ESR and WebKitGTK are used where they are installed, and Node.js
to check the types of the JavaScript; what is skipped is named.

  ./linli test                      everything
  ./linli test tests/sync           only these tests, without the linters
  ./linli test tests/sync -- -x     what stands after -- goes to pytest
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from server.commands import DONE, IN_THE_WAY, NOT_WELL, Stop, browsers
from server.settings import ROOT

NODE = ROOT / "tests" / "node"
PYTHON = sys.executable

LINTERS = {
    "ruff check": [PYTHON, "-m", "ruff", "check"],
    "ruff format": [PYTHON, "-m", "ruff", "format", "--check"],
    "mypy": [PYTHON, "-m", "mypy"],
}
# Two at a time, a file at a time: the tests of a file share the server that they start.
PYTEST = [PYTHON, "-m", "pytest", "-n", "2", "--dist", "loadfile"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tests", nargs="*", help="test files or folders; everything unless given")


def run(arguments: argparse.Namespace) -> int:
    install_packages()
    chromium = chromium_for_tests()
    failed = []
    if not arguments.tests:
        failed += [name for name, command in LINTERS.items() if not step(name, command)]
        failed += [] if javascript_is_typed() else ["tsc"]
    # pytest comes last, so that its closing line is the last of any runner's.
    tests = subprocess.run([*PYTEST, *arguments.tests], cwd=ROOT, env=environment(chromium))
    failed += ["pytest"] if tests.returncode else []
    return conclusion(failed, tests.returncode, chromium)


def conclusion(failed: list[str], pytest_exit_code: int, chromium: str | None) -> int:
    if failed:
        browsers.show(f"NOT WELL: {', '.join(failed)}")
        return pytest_exit_code or NOT_WELL
    if chromium is None:
        browsers.show("NOT DONE: no browser. Install Chromium or Chrome, or set LINLI_BROWSER.")
        return IN_THE_WAY
    browsers.show("all is well")
    return DONE


def install_packages() -> None:
    command = [PYTHON, "-I", str(ROOT / "server" / "install.py"), str(ROOT / "requirements-test.txt")]
    if subprocess.run(command).returncode != 0:
        raise Stop("what tests need could not be installed")


def chromium_for_tests() -> str | None:
    chromium = browsers.find_chromium() or browsers.install_chromium()
    shell = browsers.find_shell() or browsers.install_shell()
    browsers.install_chinese_font()
    browsers.show(f"Chromium: {chromium or 'none, and none could be installed'}")
    browsers.show(f"Headless shell: {shell or 'none, so tests take longer'}")
    browsers.show(f"Firefox: {browsers.find_firefox() or 'skipped: firefox-esr not found'}")
    browsers.show(f"WebKitGTK: {browsers.find_webkit() or 'skipped: WebKitWebDriver with Xvfb not found'}")
    return chromium


def environment(chromium: str | None) -> dict[str, str]:
    """Tests see the browsers and none of the settings that this shell happens to have."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("LINLI_")}
    return {
        **own,
        "LINLI_TEST_BROWSER": chromium or "",
        "LINLI_TEST_SHELL": browsers.find_shell() or "",
        "LINLI_TEST_FIREFOX": browsers.find_firefox() or "",
        "LINLI_TEST_WEBKIT": browsers.find_webkit() or "",
        "LINLI_UPDATE_GALLERY": os.environ.get("LINLI_UPDATE_GALLERY", ""),
    }


def step(name: str, command: list[str], *, cwd: Path = ROOT) -> bool:
    print(f"linli: {name}", flush=True)
    return subprocess.run(command, cwd=cwd).returncode == 0


def javascript_is_typed() -> bool:
    """JSDoc types, checked by TypeScript. Only people who change JavaScript need Node.js."""
    npm = shutil.which("npm")
    if npm is None:
        browsers.show("tsc: skipped: npm not found")
        return True
    lock, installed = NODE / "package-lock.json", NODE / "node_modules" / "installed-package-lock.json"
    if not installed.exists() or installed.read_bytes() != lock.read_bytes():
        if not step("npm ci", [npm, "ci", "--loglevel=error"], cwd=NODE):
            return False
        shutil.copyfile(lock, installed)
    return step("tsc", [str(NODE / "node_modules" / ".bin" / "tsc"), "--project", str(NODE)])
