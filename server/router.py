"""Finding a page by its path: the twin of static/worker/router.js, pinned to it by sync/vectors/router.json.

The server's own routes come from the same table (server/pages/volunteer.py); this one answers what the phone would
answer for a path as it stands in a URL.
"""

import re
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from server.page_table import PAGES, Page

ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")


def match(path: str, pages: Iterable[Page] = PAGES) -> tuple[Page, dict[str, str]] | None:
    """The first page whose path fits, segment by segment. A `{name}` takes one segment that is not empty,
    percent-decoded."""
    for page in pages:
        params = match_path(page.path, path)
        if params is not None:
            return page, params
    return None


def match_path(pattern: str, path: str) -> dict[str, str] | None:
    names, segments = pattern.split("/"), path.split("/")
    if len(names) != len(segments):
        return None
    params: dict[str, str] = {}
    for name, segment in zip(names, segments, strict=True):
        if not name.startswith("{"):
            if name != segment:
                return None
            continue
        text = decode_segment(segment)
        if text == "" or "/" in text:
            return None
        params[name[1:-1]] = text
    return params


def decode_segment(segment: str) -> str:
    """ "" for what is no UTF-8."""
    if ESCAPE.search(segment):
        return ""
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        return ""
