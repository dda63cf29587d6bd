"""The environment becomes `Settings`, once, strictly.

A variable that is misspelt or has a bad value stops the start: a server that guesses what was meant
guesses wrong on the day it matters. Every field carries its own reader, so this file is the one list of
settings; `./linli doctor` prints it.
"""

import dataclasses
import difflib
import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
PREFIX = "LINLI_"
S3_TOGETHER = ("s3_endpoint", "s3_bucket", "s3_key_id", "s3_secret")

# Variables with our prefix that are no settings: `./linli test` reads or sets them.
OTHER_VARIABLES = {
    "LINLI_BROWSER": "the Chromium or Chrome that `./linli test` should drive",
    "LINLI_TEST_BROWSER": "set by `./linli test`: the Chromium or Chrome it found",
    "LINLI_TEST_SHELL": "set by `./linli test`: Chromium's headless shell, or empty",
    "LINLI_TEST_FIREFOX": "set by `./linli test`: the Firefox ESR it found, or empty",
    "LINLI_TEST_WEBKIT": "set by `./linli test`: the WebKitWebDriver it found, or empty",
    "LINLI_UPDATE_GALLERY": "1: `./linli test` renews the pictures that the README shows",
}


class SettingError(ValueError):
    """A variable that cannot be used as it stands. Says which, why, and what would do."""


# Readers: text -> value, or ValueError with the problem in plain words.


def read_folder(text: str) -> Path:
    return Path(text).expanduser().absolute()


def read_database_url(text: str) -> str:
    # SQLAlchemy must be told which driver; people write the address as PostgreSQL prints it.
    text = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", text)
    if text.startswith("postgresql+psycopg://"):
        return text
    if text.startswith("sqlite:///") and text != "sqlite:///" and ":memory:" not in text:
        return text
    raise ValueError("must name an SQLite file or a PostgreSQL database")


def read_host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.:-]+", text):
        raise ValueError("must be a host name or an address")
    return text


def read_port(text: str) -> int:
    if not (re.fullmatch(r"[0-9]{1,5}", text) and 1 <= int(text) <= 65535):
        raise ValueError("must be a number from 1 to 65535")
    return int(text)


def read_count(text: str) -> int:
    if not (re.fullmatch(r"[0-9]{1,5}", text) and int(text) >= 1):
        raise ValueError("must be a number from 1 to 99999")
    return int(text)


def read_public_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must begin with https:// or http:// and name a host")
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username:
        raise ValueError("must hold scheme, host and port only")
    return f"{parts.scheme}://{parts.netloc}"


def read_proxies(text: str) -> str:
    for address in filter(None, text.split(",")):
        try:
            ipaddress.ip_network(address.strip())
        except ValueError:
            raise ValueError("must be addresses or networks, separated by commas") from None
    return text


class Secret(str):
    """A setting that is never shown, not even in a traceback."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'" if self else "''"


def read_secret(text: str) -> Secret:
    if not text or not text.isascii() or not text.isprintable():
        raise ValueError("must be printable ASCII")
    return Secret(text)


def read_word(text: str) -> str:
    """A bucket, a region, a key's id: it becomes part of an address."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,128}", text):
        raise ValueError("must be letters, digits, dots, hyphens and underscores")
    return text


def one_of(*choices: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of: {', '.join(choices)}")
        return text

    return read


def read_switch(text: str) -> bool:
    return one_of("on", "off")(text) == "on"


def setting(default: object, *, read: Callable[[str], object], example: str, about: str, secret: bool = False) -> Any:
    metadata = {"read": read, "example": example, "about": about, "secret": secret}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Settings:
    """What the server was told. An empty `database_url` or `public_url` is filled in from the others."""

    data_dir: Path = setting(
        ROOT / "data", read=read_folder, example="/var/lib/linli", about="the folder that holds everything Linli keeps"
    )
    database_url: str = setting(
        "",
        read=read_database_url,
        example="sqlite:////var/lib/linli/linli.db",
        about="the database; linli.db in the data folder unless set",
        secret=True,
    )
    host: str = setting("127.0.0.1", read=read_host, example="127.0.0.1", about="the address to listen on")
    port: int = setting(8000, read=read_port, example="8000", about="the port to listen on")
    public_url: str = setting(
        "", read=read_public_url, example="https://linli.example.org", about="the address people use; phones need https"
    )
    worker: Literal["on", "off"] = setting(
        "on",
        read=one_of("on", "off"),
        example="off",
        about="kill switch: off makes every phone's service worker stand aside and keep its outbox",
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "info", read=one_of("debug", "info", "warning", "error"), example="info", about="how much the log says"
    )
    exchanges_max: int = setting(
        1024,
        read=read_count,
        example="1024",
        about="phones that may exchange at once, those in line included; more are asked to come back",
    )
    trusted_proxy: str = setting(
        "",
        read=read_proxies,
        example="127.0.0.1",
        about="proxies whose X-Forwarded-For and -Proto headers are believed",
    )
    s3_endpoint: str = setting(
        "",
        read=read_public_url,
        example="https://s3.example.org",
        about="an S3-compatible store for photos and voice notes; without one they lie in the data folder",
    )
    s3_region: str = setting("us-east-1", read=read_word, example="us-east-1", about="its region")
    s3_bucket: str = setting("", read=read_word, example="linli-blobs", about="its bucket, of Linli's own")
    s3_key_id: str = setting("", read=read_word, example="LINLI", about="the id of the key to it")
    s3_secret: str = setting(Secret(), read=read_secret, example="...", about="the key's secret", secret=True)
    demo: bool = setting(False, read=read_switch, example="on", about="shows how to sign in to the demo community")

    def __post_init__(self) -> None:
        if not self.database_url:
            object.__setattr__(self, "database_url", sqlite_url(self.data_dir / "linli.db"))
        if not self.public_url:
            object.__setattr__(self, "public_url", self.local_url)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        refuse_unknown_variables(environ)
        values: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            text = text_for(field, environ)
            if text is not None:
                values[field.name] = read_value(field, text)
        settings = cls(**values)
        settings.refuse_half_a_store()
        return settings

    def refuse_half_a_store(self) -> None:
        """Photos that go to no bucket, or to a folder when a bucket was meant, are found missing too late."""
        given = {f"{PREFIX}{name.upper()}": getattr(self, name) for name in S3_TOGETHER}
        missing = [name for name, value in given.items() if not value]
        if missing and len(missing) < len(given):
            raise SettingError(f"{missing[0]} is not set. These are set together or not at all: {', '.join(given)}.")

    @property
    def is_sqlite(self) -> bool:
        return self.database_url.startswith("sqlite:")

    @property
    def local_url(self) -> str:
        """Where this machine reaches the server: a wildcard is something to listen on, not to call."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def masked(self) -> dict[str, str]:
        """Every setting by its variable, fit to be shown: passwords are stars."""
        return {variable(field): mask(getattr(self, field.name)) for field in dataclasses.fields(self)}


def sqlite_url(path: Path) -> str:
    """In an address % and ? mean something, in a folder's name they do not."""
    return "sqlite:///" + str(path).replace("%", "%25").replace("?", "%3F")


def variable(field: dataclasses.Field[Any]) -> str:
    return PREFIX + field.name.upper()


def refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    known = {name.removeprefix(PREFIX) for name in OTHER_VARIABLES}
    for field in dataclasses.fields(Settings):
        known.add(field.name.upper())
        if field.metadata["secret"]:
            known.add(field.name.upper() + "_FILE")
    for name in sorted(environ):
        if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in known:
            raise SettingError(f"{name} is not a setting. {nearest(name.removeprefix(PREFIX), known)}")


def nearest(name: str, known: set[str]) -> str:
    matches = difflib.get_close_matches(name, sorted(known), n=1)
    return f"Did you mean {PREFIX}{matches[0]}?" if matches else "`./linli doctor --help` lists them all."


def text_for(field: dataclasses.Field[Any], environ: Mapping[str, str]) -> str | None:
    """The variable's text; a secret may lie in a file that NAME_FILE names instead."""
    name = variable(field)
    path = environ.get(name + "_FILE") if field.metadata["secret"] else None
    if path is None:
        return environ.get(name)
    if name in environ:
        raise SettingError(f"{name} and {name}_FILE are both set. Keep one of them.")
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{name}_FILE: {path} cannot be read ({type(error).__name__}).") from error


def read_value(field: dataclasses.Field[Any], text: str) -> object:
    try:
        return field.metadata["read"](text)
    except ValueError as problem:
        shown = "its value" if field.metadata["secret"] else repr(text)
        example = f"{variable(field)}={field.metadata['example']}"
        raise SettingError(f"{variable(field)}: {shown} {problem}. For example: {example}") from problem


def mask(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, Secret):
        return "***" if value else ""
    # The password of an address, between the user's name and the host; also one given as a parameter.
    text = re.sub(r"(//[^:/@]*):.*@", r"\1:***@", str(value))
    return re.sub(r"(password=)[^&]*", r"\1***", text)
