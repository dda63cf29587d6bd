"""Finds the browsers that tests drive, and gets a Chromium where there is none.

Chromium or Chrome is needed and installed if it may be, with its headless shell on Debian; Firefox ESR and
WebKitGTK are only looked for.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from server.commands import ASKED_WRONGLY, Stop

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/opt/google/chrome/chrome",
    "/usr/lib/chromium/chromium",
)
SHELL = "chromium-headless-shell"
WEBKIT_DRIVER = "WebKitWebDriver"
APT_INSTALL = ["apt-get", "install", "-y", "--no-install-recommends"]


def find_chromium() -> str | None:
    """The one that LINLI_BROWSER names and no other, else the first that works."""
    named = os.environ.get("LINLI_BROWSER")
    if named and not works(named):
        raise Stop(f"LINLI_BROWSER: {named} does not work as a browser.", ASKED_WRONGLY)
    return named or next((candidate for candidate in candidates() if works(candidate)), None)


def candidates() -> Iterator[str]:
    yield from filter(None, map(shutil.which, NAMES))
    yield from PLACES
    yield from filter(None, [playwright_chromium()])


def works(path: str) -> bool:
    if not os.access(path, os.X_OK) or is_snap(path):
        return False
    return subprocess.run([path, "--version"], capture_output=True, timeout=60).returncode == 0


def is_snap(path: str) -> bool:
    """Ubuntu's Chromium is a snap; confined, it cannot read the profile that a test gives it."""
    real = Path(path).resolve()
    with real.open("rb") as program:
        return real.name == "snap" or b"/snap/bin/" in program.read(4096)


def find_shell() -> str | None:
    """Chromium without the browser around its engine. None beside a browser that LINLI_BROWSER names."""
    found = None if os.environ.get("LINLI_BROWSER") else shutil.which(SHELL)
    return found if found and works(found) else None


def find_firefox() -> str | None:
    return shutil.which("firefox-esr")


def find_webkit() -> str | None:
    return shutil.which(WEBKIT_DRIVER) if shutil.which("Xvfb") else None


def install_chromium() -> str | None:
    """With the system's package manager when it may, else with Playwright; `None` when neither could."""
    return install_with_apt() or install_with_playwright()


def install_with_apt() -> str | None:
    prefix = apt_prefix()
    if prefix is None or is_ubuntu():
        return None
    show("installing Chromium with apt-get")
    apt(prefix, "chromium", "fonts-noto-cjk")
    return find_chromium()


def install_with_playwright() -> str | None:
    show("installing Chromium with Playwright")
    # As root, Playwright may ask apt-get for the libraries that its Chromium needs.
    with_libraries = ["--with-deps"] if apt_prefix() == [] else []
    run([sys.executable, "-m", "playwright", "install", *with_libraries, "chromium"])
    return find_chromium()


def install_shell() -> str | None:
    """Beside a Chromium of Debian's. It takes half the work, so tests do with Chromium itself where there is none."""
    prefix = apt_prefix()
    if prefix is None or is_ubuntu() or os.environ.get("LINLI_BROWSER") or not shutil.which("chromium"):
        return None
    show("installing Chromium's headless shell with apt-get")
    apt(prefix, SHELL)
    return find_shell()


def install_chinese_font() -> None:
    """Pages are Chinese: without a font the screenshots would show boxes."""
    if not shutil.which("fc-list") or has_chinese_font():
        return
    if (prefix := apt_prefix()) is not None:
        show("installing a Chinese font with apt-get")
        apt(prefix, "fonts-noto-cjk")
    if not has_chinese_font():
        show("no Chinese font: screenshots will show boxes. Debian, Ubuntu: apt install fonts-noto-cjk")


def has_chinese_font() -> bool:
    fonts = subprocess.run(["fc-list", ":lang=zh"], capture_output=True)
    return bool(fonts.stdout.strip())


def apt_prefix() -> list[str] | None:
    """What to put before apt-get so that it may install, or `None`."""
    if not shutil.which("apt-get"):
        return None
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and run(["sudo", "-n", "true"], quiet=True):
        return ["sudo", "-n"]
    return None


def apt(prefix: list[str], *packages: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    if run([*prefix, "apt-get", "update"], quiet=True, environment=environment):
        run([*prefix, *APT_INSTALL, *packages], quiet=True, environment=environment)


def is_ubuntu() -> bool:
    """There `apt-get install chromium` brings the snap."""
    release = Path("/etc/os-release")
    return release.exists() and "ID=ubuntu" in release.read_text(encoding="utf-8").splitlines()


def playwright_chromium() -> str | None:
    """Where Playwright keeps its own, whether or not it is there. Asked in a process of its own: it may
    not be installed yet when this module is imported."""
    ask = "from playwright.sync_api import sync_playwright as p\nwith p() as a: print(a.chromium.executable_path)"
    answer = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True)
    return answer.stdout.strip() or None


def run(command: list[str], *, quiet: bool = False, environment: dict[str, str] | None = None) -> bool:
    """Quiet: what it printed is shown only when it failed."""
    done = subprocess.run(
        command, env=environment, text=True, stderr=subprocess.STDOUT, stdout=subprocess.PIPE if quiet else None
    )
    if done.returncode != 0 and done.stdout and command[:2] != ["sudo", "-n"]:
        print(done.stdout, file=sys.stderr)
    return done.returncode == 0


def show(message: str) -> None:
    print(f"linli: {message}", flush=True)
