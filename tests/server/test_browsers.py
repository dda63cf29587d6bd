"""Finding a browser, on machines that are made of folders on the PATH."""

from pathlib import Path

import pytest

from server.commands import Stop, browsers


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Has a shell, and no browser anywhere."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("LINLI_BROWSER", raising=False)
    monkeypatch.setattr(browsers, "PLACES", ())
    return tmp_path


def install(machine: Path, name: str, script: str) -> str:
    program = machine / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


def test_a_browser_on_the_path_is_found(machine: Path) -> None:
    chrome = install(machine, "google-chrome", "exit 0")

    assert browsers.find_chromium() == chrome


def test_a_browser_that_does_not_start_is_passed_over(machine: Path) -> None:
    install(machine, "chromium", "exit 1")
    chrome = install(machine, "google-chrome", "exit 0")

    assert browsers.find_chromium() == chrome


def test_a_snap_is_passed_over(machine: Path) -> None:
    install(machine, "chromium-browser", 'exec /snap/bin/chromium "$@"')
    (machine / "chromium").symlink_to(install(machine, "snap", "exit 0"))

    assert browsers.find_chromium() is None


def test_the_named_browser_comes_first(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(machine, "chromium", "exit 0")
    mine = install(machine, "my-browser", "exit 0")
    monkeypatch.setenv("LINLI_BROWSER", mine)

    assert browsers.find_chromium() == mine


def test_a_named_browser_that_does_not_work_is_not_replaced(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(machine, "chromium", "exit 0")
    monkeypatch.setenv("LINLI_BROWSER", "/nowhere/chromium")

    with pytest.raises(Stop, match="LINLI_BROWSER: /nowhere/chromium does not work"):
        browsers.find_chromium()


def test_apt_get_brings_chromium_and_a_font(machine: Path, capfd: pytest.CaptureFixture[str]) -> None:
    install(machine, "sudo", 'while [ "$1" = -n ]; do shift; done; exec "$@"')
    install(machine, "true", "exit 0")
    chromium = f"{machine}/chromium"
    install(
        machine,
        "apt-get",
        f'echo "$@" >> {machine}/asked\n'
        f'[ "$1" = update ] || {{ echo "#!/bin/sh" > {chromium}; /bin/chmod 755 {chromium}; }}',
    )

    assert browsers.install_with_apt() == chromium
    assert (machine / "asked").read_text().splitlines() == [
        "update",
        "install -y --no-install-recommends chromium fonts-noto-cjk",
    ]
    assert capfd.readouterr().out == "linli: installing Chromium with apt-get\n"


def test_without_apt_get_nothing_is_tried(machine: Path) -> None:
    install(machine, "chromium", "exit 0")

    assert browsers.apt_prefix() is None
    assert browsers.install_with_apt() is None
    assert browsers.install_shell() is None


def test_apt_get_brings_the_headless_shell_beside_its_chromium(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    install(machine, "sudo", 'while [ "$1" = -n ]; do shift; done; exec "$@"')
    install(machine, "true", "exit 0")
    shell = f"{machine}/chromium-headless-shell"
    install(
        machine,
        "apt-get",
        f'echo "$@" >> {machine}/asked\n[ "$1" = update ] || {{ echo "#!/bin/sh" > {shell}; /bin/chmod 755 {shell}; }}',
    )

    assert (browsers.find_shell(), browsers.install_shell()) == (None, None)

    chromium = install(machine, "chromium", "exit 0")

    assert browsers.install_shell() == shell
    assert browsers.find_shell() == shell
    assert (machine / "asked").read_text().splitlines() == [
        "update",
        "install -y --no-install-recommends chromium-headless-shell",
    ]
    assert capfd.readouterr().out == "linli: installing Chromium's headless shell with apt-get\n"

    monkeypatch.setenv("LINLI_BROWSER", chromium)

    assert (browsers.find_shell(), browsers.install_shell()) == (None, None)


def test_a_headless_shell_that_does_not_start_is_passed_over(machine: Path) -> None:
    install(machine, "chromium-headless-shell", "exit 1")

    assert browsers.find_shell() is None


def test_firefox_and_webkit_are_found_only_where_they_are(machine: Path) -> None:
    assert (browsers.find_firefox(), browsers.find_webkit()) == (None, None)

    firefox = install(machine, "firefox-esr", "exit 0")
    driver = install(machine, "WebKitWebDriver", "exit 0")

    assert (browsers.find_firefox(), browsers.find_webkit()) == (firefox, None)

    install(machine, "Xvfb", "exit 0")

    assert browsers.find_webkit() == driver
