"""Form bodies: `application/x-www-form-urlencoded`, within limits, as lists of texts by name."""

from urllib.parse import parse_qs

from starlette.requests import Request

from server.bodies import read_body
from sync.errors import MalformedMessage

FIELDS_MAX = 200


async def read_form(request: Request, *, limit: int) -> dict[str, list[str]]:
    """Raises MalformedMessage for another content type, a body over the limit, or too many fields. Bytes that are no
    UTF-8 become the replacement character: a person reads it and mends it."""
    body = await read_body(request, limit=limit)
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise MalformedMessage("bad_form", "the form must be urlencoded")
    try:
        return parse_qs(
            body.decode("ascii", errors="replace"),
            keep_blank_values=True,
            errors="replace",
            max_num_fields=FIELDS_MAX,
        )
    except ValueError as error:
        raise MalformedMessage("bad_form", "too many fields") from error
