"""Structured logs: one JSON object a line, on stderr, without anything about anybody.

The log answers who (by id), what, when and how long. Names, phones, addresses and notes cannot get in,
because only the keys below pass; a key that is not listed is named under `refused`, its value is not kept.
The `event` is a fixed phrase out of our code, never a sentence with values in it.
"""

import contextlib
import json
import logging
import sys
import traceback
from pathlib import Path
from types import TracebackType

import msgspec
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from server.settings import ROOT

ALLOWED_KEYS = frozenset({
    # every line
    "event", "level", "at", "logger", "error", "trace", "refused",
    # a request
    "request_id", "method", "route", "status", "duration_ms", "bytes_in", "bytes_out",
    # who, by id only
    "role", "account_id", "device_id", "community_id",
    # an exchange, a change, a job
    "kind", "record_id", "change_id", "outcome", "code", "count", "sequence", "epoch",
    # the process
    "address", "release", "revision", "pid",
})  # fmt: skip


def configure_logging(level: str) -> None:
    """Ours and every library's lines leave in one shape; ours without the way through `logging`, which took a fifth of
    what a request costs the event loop."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        describe_exception,
        refuse_unlisted_keys,
    ]
    structlog.configure(
        processors=[*shared, as_json],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=NamedLines,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[keep_the_template, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, as_json],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # At info these two talk about their own start; our own lines say what matters.
    for quiet in ("uvicorn.error", "alembic"):
        logging.getLogger(quiet).setLevel(max(root.level, logging.WARNING))


def get_logger(name: str = "linli") -> FilteringBoundLogger:
    logger: FilteringBoundLogger = structlog.get_logger(name)
    return logger


class NamedLines(structlog.WriteLogger):
    """A line that cannot be written, on a full disk for one, is let go of: it stops neither the start nor a request."""

    def __init__(self, name: str) -> None:
        super().__init__(sys.stderr)
        self.name = name

    def msg(self, message: str) -> None:
        with contextlib.suppress(OSError):
            super().msg(message)

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


def as_json(_: WrappedLogger, __: str, event: EventDict) -> str:
    try:
        return msgspec.json.encode(event, enc_hook=repr).decode()
    except ValueError:  # half a surrogate pair
        return json.dumps(event, default=repr)


def keep_the_template(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A library's message keeps its %s: what it would fill in may be somebody's name."""
    record: logging.LogRecord = event["_record"]
    event["event"] = str(record.msg)
    return event


def describe_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Where it broke, but not its message: a database error quotes the row it choked on."""
    given = event.pop("exc_info", None)
    if given is True:
        given = sys.exc_info()
    if isinstance(given, BaseException):
        given = (type(given), given, given.__traceback__)
    if given and given[0]:
        event["error"] = given[0].__name__
        event["trace"] = places(given[2])
    return event


def places(trace: TracebackType | None) -> list[str]:
    frames = traceback.extract_tb(trace)
    return [f"{shortened(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames]


def shortened(filename: str) -> str:
    path = Path(filename)
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else "/".join(path.parts[-2:])


def refuse_unlisted_keys(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    # Keys with an underscore in front are structlog's own notes, removed before printing.
    refused = sorted(key for key in event if key not in ALLOWED_KEYS and not key.startswith("_"))
    for key in refused:
        del event[key]
    if refused:
        event["refused"] = refused
    return event
