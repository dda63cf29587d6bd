"""Installs a hash-locked list of packages into the .venv that runs this, and leaves a copy of the list there.

Run by `./linli` before anything is installed, so it uses the standard library only, and runs alone.
The copy is written last: when it equals the list, all of the list is installed.
"""

import subprocess
import sys
from pathlib import Path

NO_NETWORK = ("NewConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "Network is unreachable")
# pip has no word for "none of your sources could be reached" but this one, after its retries.
NOT_FOUND = "Could not find a version that satisfies"


def main(requirements: Path) -> int:
    installed = Path(sys.prefix) / requirements.name
    if installed.exists() and installed.read_bytes() == requirements.read_bytes():
        return 0
    count = sum("==" in line for line in requirements.read_text().splitlines())
    say(f"installing {count} packages from {requirements.name} into .venv (once, about a minute)")
    exit_code, output = run_pip(requirements, count)
    if exit_code != 0:
        print("\n".join(output.splitlines()[-10:]), file=sys.stderr)
        say(remedy(output))
        return 3
    installed.write_bytes(requirements.read_bytes())
    return 0


def run_pip(requirements: Path, count: int) -> tuple[int, str]:
    """Shows one line that counts, and keeps what pip says for when it goes wrong."""
    command = [sys.executable, "-m", "pip", "install", "--require-hashes", "--no-deps", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar", "off", "-r", str(requirements)]
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        assert pip.stdout is not None
        done = 0
        for line in pip.stdout:
            lines.append(line)
            if line.startswith(("Collecting ", "Requirement already satisfied: ")):
                done += 1
                package = line.replace("Requirement already satisfied: ", "").replace("Collecting ", "")
                show(f"  {done} of {count}  {package.split('==')[0]}")
            elif line.startswith("Installing "):
                show("  unpacking")
    show("")
    return pip.returncode, "".join(lines)


def remedy(output: str) -> str:
    if any(sign in output for sign in NO_NETWORK) or NOT_FOUND in output:
        return (
            "the packages could not be fetched. Is there a network? Behind a mirror, set PIP_INDEX_URL. "
            "Then run the same command again."
        )
    if "DO NOT MATCH THE HASHES" in output:
        return "a package is not the one that was locked. Do not use it; tell the maintainers (SECURITY.md)."
    if "No space left" in output:
        return "the disk is full. Linli needs about 500 MB; then run the same command again."
    return "pip failed, see above. Then run the same command again."


def say(message: str) -> None:
    print(f"linli: {message}", file=sys.stderr, flush=True)


def show(progress: str) -> None:
    """Rewrites one line of a terminal; a log file gets nothing."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{progress}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
