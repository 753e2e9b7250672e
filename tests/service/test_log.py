from __future__ import annotations

import io
import json
from typing import Any

import pytest
from twisted.logger import Logger, LogPublisher

from sbc.service.log import WRITTEN, log_observer


def logger(kind: str, level: str = "info") -> tuple[Logger, io.StringIO]:
    out = io.StringIO()
    publisher = LogPublisher(log_observer(kind, level, out))
    return Logger(namespace="test", observer=publisher), out


def test_a_json_line_carries_time_level_message_and_call() -> None:
    log, out = logger("json")
    log.warn("lost {what}", what="it", call="call-1")
    line = json.loads(out.getvalue())
    assert line.pop("time").endswith("Z")
    assert line == {"level": "warn", "message": "lost it", "call": "call-1", "from": "test"}


def test_a_text_line_is_short_and_names_the_call() -> None:
    log, out = logger("text")
    log.info("hello", call="call-1")
    log.error("trouble")
    first, second = (line.split(" ", 1)[1] for line in out.getvalue().splitlines())
    assert first == "call=call-1 hello"
    assert second == "error trouble"


@pytest.mark.parametrize("kind", ["json", "text"])
def test_a_failure_is_told_with_its_trace(kind: str) -> None:
    log, out = logger(kind)
    try:
        raise KeyError("here")
    except KeyError:
        log.failure("bug while {doing}", doing="testing")
    assert "bug while testing" in out.getvalue()
    assert "Traceback" in out.getvalue()
    assert "KeyError: 'here'" in out.getvalue()


@pytest.mark.parametrize("kind", ["json", "text"])
@pytest.mark.parametrize("text", ["x\n12:00:00 forged line", "x\r\x1b[2Jforged", "x\x9b2J"])
def test_nobody_on_the_network_can_write_a_line_of_their_own(kind: str, text: str) -> None:
    log, out = logger(kind)
    log.info("from {who}", who=text)
    log.info(WRITTEN, text=text)
    assert len(out.getvalue().split("\n")) == 3
    assert not any(character in out.getvalue() for character in "\r\x1b\x9b")


def test_braces_in_what_the_network_says_are_no_format() -> None:
    log, out = logger("json")
    log.info(WRITTEN, text="{call} {0}")
    assert json.loads(out.getvalue())["message"] == "{call} {0}"


def test_lines_below_the_level_are_left_out() -> None:
    log, out = logger("json", "warn")
    log.info("no")
    log.warn("yes")
    assert [json.loads(line)["message"] for line in out.getvalue().splitlines()] == ["yes"]


def test_auto_is_text_on_a_terminal_and_json_elsewhere() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for out, is_json in ((Terminal(), False), (io.StringIO(), True)):
        Logger(observer=log_observer("auto", "info", out)).info("x")
        assert out.getvalue().startswith("{") == is_json


def test_a_log_that_cannot_be_written_costs_the_line_and_nothing_else() -> None:
    class Gone(io.StringIO):
        def write(self, text: Any) -> int:
            raise BrokenPipeError

    Logger(observer=log_observer("json", "info", Gone())).info("x")


@pytest.mark.parametrize("kind", ["json", "text"])
def test_a_password_in_a_uri_is_not_shown(kind: str) -> None:
    log, out = logger(kind)
    log.info("call from {who} to {whom}", who="sip:alice@example.com", whom="sip:bob:secret@example.com")
    log.info(WRITTEN, text="REGISTER of sip:bob:secret@example.com refused")
    assert "secret" not in out.getvalue()
    assert out.getvalue().count("sip:bob:***@example.com") == 2
