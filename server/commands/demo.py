"""Serve a fictitious community to play with.

Makes it on first use (640 households, 40 volunteers, 60 events), then serves it and prints one way in for
each role. The next time it goes on with the same data; --reset begins afresh.
"""

import argparse
import dataclasses
import shutil
from pathlib import Path

from server import migrations
from server.clock import system_clock
from server.commands import DONE, Stop, settings_with
from server.commands.invite import for_phones, invite_lines, qr_lines
from server.commands.serve import listening_socket, serve
from server.database import open_database
from server.demo import COORDINATOR_NAME, Demo, create_demo
from server.enrolment import INVITE_LIFE_MS, NewInvite
from server.lock import owned_data
from server.logs import configure_logging
from server.settings import ROOT, Settings

# A file in a folder that this command made, which may therefore be emptied.
MARK = "this-is-a-demo"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", help="where to listen on this machine (8000)")
    parser.add_argument("--data", default=ROOT / "data" / "demo", help="where to keep it (data/demo)")
    parser.add_argument("--public-url", help="the https address at which a proxy shows it to phones")
    parser.add_argument("--reset", action="store_true", help="throw the demo's data away first")


def run(arguments: argparse.Namespace) -> int:
    settings = demo_settings(arguments)
    configure_logging("warning")
    refuse_foreign_data(settings.data_dir)
    with owned_data(settings, url=settings.local_url) as token, listening_socket(settings) as listener:
        if arguments.reset:
            empty(settings.data_dir)
        (settings.data_dir / MARK).touch()
        text = welcome(settings, make_community(settings))
        serve(settings, token, listener, announce=lambda: print(text, flush=True))
    return DONE


def demo_settings(arguments: argparse.Namespace) -> Settings:
    """The demo's data are its own: a database named in the environment is somebody's real one."""
    settings = settings_with(port=arguments.port, public_url=arguments.public_url, data_dir=arguments.data, demo="on")
    return dataclasses.replace(settings, database_url="")


def refuse_foreign_data(folder: Path) -> None:
    found = {entry.name for entry in folder.iterdir()} if folder.exists() else set()
    if found - {"linli.lock"} and MARK not in found:
        raise Stop(f"{folder} holds something that is not a demo. Name another folder: --data")


def empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name not in (MARK, "linli.lock"):
            entry.unlink()


def make_community(settings: Settings) -> Demo:
    """All of it in one transaction, or nothing; where it is already, only a new invite."""
    migrations.upgrade(settings.database_url)
    database = open_database(settings)
    try:
        return create_demo(database, now=system_clock())
    finally:
        database.close()


def welcome(settings: Settings, demo: Demo) -> str:
    url = settings.public_url
    invite = NewInvite(demo.invite_token, demo.short_code, demo.volunteer_name, system_clock() + INVITE_LIFE_MS)
    lines = [
        "",
        f"The demo community is at {url}",
        "",
        "Resident",
        f"  link        {url}/calendar",
        *qr_lines(f"{url}/calendar"),
        "",
        f"Coordinator {COORDINATOR_NAME}",
        f"  link        {url}/sign-in",
        f"  name        {demo.coordinator_login}",
        f"  password    {demo.coordinator_password}",
        *qr_lines(f"{url}/sign-in"),
        "",
        *invite_lines(invite, invite.link(url)),
        *phone_lines(settings),
        "",
        f"Its data lie in {settings.data_dir}; --reset begins afresh. Ctrl+C stops it.",
    ]
    return "\n".join(lines)


def phone_lines(settings: Settings) -> list[str]:
    """Why there is no QR, and how to get there."""
    if for_phones(settings.public_url):
        return []
    return [
        "",
        "No QR: phones need https (browsers keep pages for use without a network only then), so this address",
        "works on this machine only. With a name for this machine and Caddy, a Caddyfile of two lines",
        "    linli.example.org",
        f"    reverse_proxy 127.0.0.1:{settings.port}",
        "and then: LINLI_TRUSTED_PROXY=127.0.0.1 ./linli demo --public-url https://linli.example.org",
    ]
