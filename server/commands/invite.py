"""Invite a volunteer: print a link and a short code that enrol one phone.

Both are good for one phone, once, until the time shown. Opening the link does not spend it; a coordinator
confirms the phone on the screen. Works whether or not the server is running.
"""

import argparse
import io
import json
import urllib.error
import urllib.request
from datetime import UTC, datetime
from typing import Any, cast

import segno

from server.commands import DONE, NOT_WELL, Stop, settings_with
from server.commands.migrate import refuse_old_database
from server.database import open_database
from server.enrolment import NewInvite, NoSuchVolunteer
from server.lock import DataInUse, Holder, owned_data
from server.logs import configure_logging
from server.operator_api import invite_volunteer
from server.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("number", help="the volunteer's number")


def run(arguments: argparse.Namespace) -> int:
    settings = settings_with()
    configure_logging(settings.log_level)
    try:
        with owned_data(settings):
            refuse_old_database(settings)
            invite, link = invite_here(settings, arguments.number)
    except DataInUse as use:
        invite, link = invite_there(use.holder, arguments.number)
    print("\n".join(invite_lines(invite, link)))
    if not for_phones(link):
        print("  no QR       phones need https, and this address is not")
    return DONE


def invite_here(settings: Settings, number: str) -> tuple[NewInvite, str]:
    database = open_database(settings)
    try:
        made = invite_volunteer(database, number)
    except NoSuchVolunteer as error:
        raise unknown(number) from error
    finally:
        database.close()
    return made, made.link(settings.public_url)


def invite_there(holder: Holder, number: str) -> tuple[NewInvite, str]:
    """Asks the server that owns the data."""
    if not holder.url:
        raise Stop("another command is using the data. Try again in a moment.")
    answer = ask(holder, "/operator/invite", {"volunteer_number": number})
    if answer is None:
        raise unknown(number)
    link = answer.pop("link")
    return NewInvite(**answer), link


def ask(holder: Holder, path: str, question: dict[str, str], *, timeout: float = 30) -> dict[str, Any] | None:
    """The server's answer; `None` when it knows nothing of the kind."""
    request = urllib.request.Request(  # noqa: S310 - the address stands in our own lock file
        holder.url + path,
        data=json.dumps(question).encode(),
        headers={"Authorization": f"Bearer {holder.token}", "Content-Type": "application/json", "Origin": holder.url},
    )
    # A proxy named in the environment must not see this: it goes to this machine.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=timeout) as answer:
            return cast(dict[str, Any], json.load(answer))
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 422:
            return None
        raise Stop(f"the server at {holder.url} refused ({error.code}).", NOT_WELL) from error
    except OSError as error:
        raise Stop(f"the server at {holder.url} does not answer.") from error


def unknown(number: str) -> Stop:
    return Stop(f"no active volunteer has the number {number}.", NOT_WELL)


def invite_lines(invite: NewInvite, link: str) -> list[str]:
    until = datetime.fromtimestamp(invite.expires_at / 1000, UTC).astimezone()
    return [
        f"Volunteer {invite.volunteer_name}",
        f"  link        {link}",
        f"  short code  {invite.short_code[:4]} {invite.short_code[4:]}",
        f"  good until  {until:%Y-%m-%d %H:%M}, for one phone, once",
        *qr_lines(link),
    ]


def qr_lines(link: str) -> list[str]:
    if not for_phones(link):
        return []
    drawing = io.StringIO()
    segno.make(link, error="m").terminal(out=drawing, compact=True)  # two rows of it in one line of text
    return ["", drawing.getvalue().rstrip("\n")]


def for_phones(link: str) -> bool:
    """Browsers keep pages for use without a network only if they come over https."""
    return link.startswith("https://")
