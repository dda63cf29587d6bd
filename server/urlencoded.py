"""Form bodies within limits, as lists of texts by name: urlencoded, or with files in them (server/multipart.py)."""

from urllib.parse import parse_qs

from starlette.requests import Request

from server.bodies import NO_CHARACTER, read_body
from server.multipart import read_multipart
from sync.errors import MalformedMessage

FIELDS_MAX = 200


async def read_form(request: Request, *, limit: int, with_files: bool = False) -> dict[str, list[str]]:
    """Raises MalformedMessage for another content type, a body over the limit, or too many fields. Bytes that are no
    UTF-8, and the character 0, which PostgreSQL keeps in no text, become the replacement character."""
    if with_files and media_type_of(request) == "multipart/form-data":
        return await read_multipart(request, limit=limit, fields_max=FIELDS_MAX)
    return parse_form(request, await read_body(request, limit=limit))


def parse_form(request: Request, body: bytes) -> dict[str, list[str]]:
    """The same of an urlencoded body that was read already."""
    if media_type_of(request) != "application/x-www-form-urlencoded":
        raise MalformedMessage("bad_form", "the form must be urlencoded")
    try:
        return parse_qs(
            body.decode("ascii", errors="replace").replace("\0", NO_CHARACTER).replace("%00", NO_CHARACTER),
            keep_blank_values=True,
            errors="replace",
            max_num_fields=FIELDS_MAX,
        )
    except ValueError as error:
        raise MalformedMessage("bad_form", "too many fields") from error


def media_type_of(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip()
