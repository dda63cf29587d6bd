"""What we commit names no package registry and no machine of ours."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# In pieces, so that this file passes its own test.
REGISTRIES = [
    "py" + "pi.org",
    "python" + "hosted.org",
    "registry." + "npmjs.org",
    "registry." + "yarnpkg.com",
    "registry." + "npmmirror.com",
    "deb." + "debian.org",
    "proxy." + "golang.org",
]
MACHINE_PATHS = ["/" + "root/", "/" + "work/main", "/" + "work/shared", ".py" + "env/"]


def committed_files() -> list[Path]:
    """Tracked, or about to be: whatever git does not ignore."""
    if not (shutil.which("git") and (ROOT / ".git").exists()):
        pytest.skip("not a git clone: nothing is committed here")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def texts() -> dict[Path, str]:
    return {path: path.read_text(encoding="utf-8", errors="replace") for path in committed_files()}


@pytest.mark.parametrize("forbidden", [*REGISTRIES, *MACHINE_PATHS])
def test_no_committed_file_names_it(texts: dict[Path, str], forbidden: str) -> None:
    assert texts
    assert [str(path.relative_to(ROOT)) for path, text in texts.items() if forbidden in text] == []


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-test.txt"])
def test_each_package_is_pinned_with_hashes_and_no_address(name: str) -> None:
    text = (ROOT / name).read_text()
    entries = text.replace("\\\n", " ").splitlines()

    assert entries
    assert all(re.match(r"[a-z0-9-]+==[^ ]+ ", entry) and "--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"://|--index|--find-links|--trusted-host", text)


def test_tests_run_on_the_packages_that_are_served_with() -> None:
    assert pins("requirements.txt") <= pins("requirements-test.txt")


def test_each_dependency_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())

    assert named(project["project"]["dependencies"]) <= locked("requirements.txt")
    assert named(project["dependency-groups"]["test"]) <= locked("requirements-test.txt")


def pins(name: str) -> set[str]:
    return {line for line in (ROOT / name).read_text().splitlines() if "==" in line}


def locked(name: str) -> set[str]:
    return {line.split("==")[0] for line in pins(name)}


def named(requirements: list[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9-]", requirement)[0].lower() for requirement in requirements}
