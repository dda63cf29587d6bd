"""Form bodies that carry files. The texts are read, within limits; a file is counted and let go, piece by piece, so that
it costs no memory and never takes the text down with it: photos are kept by a phone's own worker (PROTOCOL.md, 8)."""

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect, Request

from server.bodies import NO_CHARACTER, BodyTooLarge
from sync.errors import MalformedMessage

WITH_FILES_BYTES_MAX = 128 * 1024 * 1024
LEFT_OUT = "left_out"


async def read_multipart(request: Request, *, limit: int, fields_max: int, file: str = "") -> dict[str, list[str]]:
    """The texts of each name, and under `LEFT_OUT` how many files there were; the one named `file` is read as a text.
    Raises MalformedMessage."""
    _, options = parse_options_header(request.headers.get("content-type", ""))
    parts = Parts(limit, fields_max, file)
    size = 0
    try:
        parser = MultipartParser(options.get(b"boundary", b""), parts.callbacks())  # type: ignore[arg-type]
        async for piece in request.stream():
            size += len(piece)
            if size > WITH_FILES_BYTES_MAX:
                raise BodyTooLarge(WITH_FILES_BYTES_MAX)
            parser.write(piece)
        parser.finalize()
    except ClientDisconnect as error:
        raise MalformedMessage("bad_message", "the body was cut short") from error
    except FormParserError as error:
        raise MalformedMessage("bad_form", "the form cannot be read") from error
    return parts.texts | ({LEFT_OUT: [str(parts.files)]} if parts.files else {})


class Parts:
    """What the parser has met so far."""

    def __init__(self, limit: int, fields_max: int, file: str) -> None:
        self.texts: dict[str, list[str]] = {}
        self.files = 0
        self._limit = limit
        self._left = fields_max
        self._wanted = file
        self._begin()

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._field.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_part_data": self._take,
            "on_part_end": self._end,
        }

    def _begin(self) -> None:
        self._field, self._value, self._text = bytearray(), bytearray(), bytearray()
        self._name, self._is_file, self._has_bytes = "", False, False

    def _end_header(self) -> None:
        if self._field.lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self._value))
            self._name = options.get(b"name", b"").decode("utf-8", errors="replace")
            self._is_file = b"filename" in options and (not self._wanted or self._name != self._wanted)
        self._field.clear()
        self._value.clear()

    def _take(self, data: bytes, start: int, end: int) -> None:
        self._has_bytes = self._has_bytes or end > start
        if self._is_file:
            return
        self._limit -= end - start
        if self._limit < 0:
            raise BodyTooLarge(0)
        self._text += data[start:end]

    def _end(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise MalformedMessage("bad_form", "too many fields")
        if self._is_file:
            self.files += self._has_bytes
        elif self._name:
            self.texts.setdefault(self._name, []).append(
                self._text.decode("utf-8", errors="replace").replace("\0", NO_CHARACTER)
            )
