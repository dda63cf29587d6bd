"""`./linli` on machines that lack something. The machines are made of folders on the PATH."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("sh", "dirname", "cmp", "env")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine with a fresh clone and the commands every system has, but no Python."""
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool) or tool)
    clone = tmp_path / "clone"
    (clone / "server").mkdir(parents=True)
    shutil.copy(ROOT / "linli", clone / "linli")
    shutil.copy(ROOT / "server" / "install.py", clone / "server" / "install.py")
    (clone / "server" / "__main__.py").write_text("import os, sys; print(sys.prefix, os.getcwd(), *sys.argv[1:])")
    (clone / "requirements.txt").write_text("")
    return tmp_path


def install(machine: Path, name: str, script: str) -> None:
    program = machine / "bin" / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def install_python(machine: Path, name: str) -> None:
    install(machine, name, f'exec {sys.executable} "$@"')


def linli(machine: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [machine / "clone" / "linli", *arguments],
        capture_output=True,
        text=True,
        cwd=machine,
        env={"PATH": str(machine / "bin"), "HOME": str(machine), "PIP_NO_INDEX": "1"},
        timeout=120,
    )


def test_without_python_it_says_what_to_install(machine: Path) -> None:
    done = linli(machine, "version")

    assert done.returncode == 3
    assert "needs Python 3.11 or newer; this machine has no python3" in done.stderr
    assert "apt install python3 python3-venv" in done.stderr
    assert "brew install python" in done.stderr


def test_an_old_python_is_named(machine: Path) -> None:
    install(machine, "python3", '[ "$1" = --version ] && echo "Python 3.9.2" && exit; exit 1')

    done = linli(machine, "version")

    assert done.returncode == 3
    assert "this machine has Python 3.9.2" in done.stderr


def test_a_newer_python_beside_the_old_one_is_found(machine: Path) -> None:
    install(machine, "python3", "exit 1")
    install_python(machine, "python3.12")

    done = linli(machine, "version")

    assert done.returncode == 0, done.stderr
    assert f"making .venv with {machine}/bin/python3.12" in done.stderr


def test_a_python_without_venv_names_the_package(machine: Path) -> None:
    install(machine, "python3", f'case "$2" in *venv*) exit 1;; esac; exec {sys.executable} "$@"')

    done = linli(machine, "version")

    assert done.returncode == 3
    assert "lacks the venv module" in done.stderr
    assert "apt install python3-venv" in done.stderr


def test_the_second_time_it_only_hands_over(machine: Path) -> None:
    install_python(machine, "python3")
    linli(machine, "version")

    done = linli(machine, "serve", "--port", "a b")

    assert done.stderr == ""
    assert done.stdout == f"{machine}/clone/.venv {machine} serve --port a b\n"


def test_a_broken_environment_is_made_anew(machine: Path) -> None:
    install_python(machine, "python3")
    linli(machine, "version")
    (machine / "clone" / ".venv" / "bin" / "python").unlink()

    done = linli(machine, "version")

    assert done.returncode == 0, done.stderr
    assert "making .venv" in done.stderr


def test_a_server_folder_where_one_stands_is_not_run(machine: Path) -> None:
    install_python(machine, "python3")
    (machine / "server").mkdir()
    (machine / "server" / "__main__.py").write_text("print('the wrong one')")

    assert "the wrong one" not in linli(machine, "version").stdout


def test_packages_that_cannot_be_fetched_say_so_and_are_tried_again(machine: Path) -> None:
    install_python(machine, "python3")
    lock = machine / "clone" / "requirements.txt"
    lock.write_text(f"not-a-package-of-ours==1.0 --hash=sha256:{'0' * 64}\n")

    first, second = linli(machine, "version"), linli(machine, "version")

    for done in (first, second):
        assert done.returncode == 3
        assert "could not be fetched. Is there a network?" in done.stderr
        assert "run the same command again" in done.stderr
        assert done.stdout == ""


def test_a_changed_lock_is_installed(machine: Path) -> None:
    install_python(machine, "python3")
    linli(machine, "version")
    (machine / "clone" / "requirements.txt").write_text("# nothing more\n")

    done = linli(machine, "version")

    assert "installing 0 packages" in done.stderr
    assert "installing" not in linli(machine, "version").stderr


def test_it_runs_from_a_folder_with_a_space_and_through_a_link(machine: Path) -> None:
    install_python(machine, "python3")
    (machine / "clone").rename(machine / "my clone")
    (machine / "clone").symlink_to("my clone")

    assert linli(machine, "version").returncode == 0
