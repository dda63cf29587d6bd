"""Logs say what happened and nothing about anybody."""

import contextlib
import json
import logging
from typing import Any

import pytest

from server.logs import configure_logging, get_logger

pytestmark = pytest.mark.usefixtures("logging_as_before")


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_is_json_with_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")

    get_logger().info("request", method="GET", route="/visits", status=200)

    (line,) = lines(capsys)
    assert line.pop("at").endswith("Z")
    assert line == {
        "event": "request",
        "level": "info",
        "logger": "linli",
        "method": "GET",
        "route": "/visits",
        "status": 200,
    }


def test_a_key_that_is_not_listed_leaves_only_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")

    get_logger().info("visit", call_name="王阿姨", phone="13800000000", outcome="met")

    (line,) = lines(capsys)
    assert line["refused"] == ["call_name", "phone"]
    assert line["outcome"] == "met"
    assert "王" not in json.dumps(line, ensure_ascii=False)


def test_an_error_is_a_kind_and_places_without_its_message(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")

    try:
        raise ValueError("王阿姨 is not a number")
    except ValueError:
        get_logger().exception("unexpected")

    (line,) = lines(capsys)
    assert line["error"] == "ValueError"
    assert line["trace"][0].startswith("tests/server/test_logs.py:")
    assert "王" not in json.dumps(line, ensure_ascii=False)


def test_a_library_line_keeps_its_template_and_not_its_values(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")

    logging.getLogger("some.library").warning("cannot store %s", "王阿姨", extra={"phone": "13800000000"})

    (line,) = lines(capsys)
    assert (line["logger"], line["event"]) == ("some.library", "cannot store %s")
    assert "王" not in json.dumps(line, ensure_ascii=False)
    assert "phone" not in line


def test_the_level_is_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("warning")

    get_logger().info("request")
    logging.getLogger("some.library").info("hello")

    assert lines(capsys) == []


def test_a_line_that_cannot_be_written_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123 -- no path of ours
        monkeypatch.setattr("sys.stderr", full)
        configure_logging("info")

        get_logger().info("serving")
        with contextlib.suppress(OSError):
            full.close()


def test_a_value_that_is_no_json_is_written_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")

    get_logger().info("odd", code=ValueError("x"), kind="\ud800")

    (line,) = lines(capsys)
    assert (line["code"], line["kind"]) == ("ValueError('x')", "\ud800")
