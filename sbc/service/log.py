"""Log observers: JSON lines in service, readable lines on a terminal. A call's lines carry its id as `call`.

What is logged is text that this program wrote, with values from the network inside: control characters are escaped, so
that nobody on the network can write lines of their own into the log. Nothing here ever sees a message, or a secret but
those that somebody writes into a URI, which are masked.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TextIO

from twisted.logger import (
    ILogObserver,
    LogEvent,
    LogLevel,
    eventAsText,
    formatEvent,
)
from zope.interface import implementer

from sbc.store import masked_uri

FORMATS = ("auto", "json", "text")
LEVELS = ("debug", "info", "warn", "error", "critical")
WRITTEN = "{text}"
"""A log format by which the event's `text` is the whole message, written out already: what calls log, a few times as
cheap as having Twisted format it."""
_quoted = json.encoder.encode_basestring_ascii  # a few times as cheap as an encoder for the whole line
UNPRINTABLE = {code: f"\\x{code:02x}" for code in (*range(32), 127, *range(128, 160))}


def log_observer(kind: str, level: str, out: TextIO) -> ILogObserver:
    """An observer for the application: `kind` is one of FORMATS, `level` one of LEVELS."""
    if kind == "auto":
        kind = "text" if out.isatty() else "json"
    return Lines(out, as_json if kind == "json" else as_text, level)


@implementer(ILogObserver)
class Lines:
    """Writes each event of `level` or above as `render` makes it. A stream that is gone or full costs the line, never
    the caller."""

    def __init__(self, out: TextIO, render: Callable[[LogEvent], str], level: str) -> None:
        self._out = out
        self._render = render
        self._wanted = _from(level)
        self._legacy = self._wanted if level == "debug" else self._wanted & _from("warn")
        """Of what Twisted's older parts say: their ports opening and closing are for debugging only."""

    def __call__(self, event: LogEvent) -> None:
        wanted = self._wanted if event.get("log_namespace") != "log_legacy" else self._legacy
        if event.get("log_level") not in wanted:
            return
        try:
            self._out.write(self._render(event))
            self._out.flush()
        except (OSError, ValueError):
            return


def _from(level: str) -> frozenset[Any]:
    least = LogLevel.levelWithName(level)
    return frozenset(each for each in LogLevel.iterconstants() if each >= least)


def as_json(event: LogEvent) -> str:
    """One line: time (RFC 3339, UTC), level, message, then call, namespace and trace where there are any."""
    at = event["log_time"]
    line = (
        f'{{"time": "{_second(int(at))}.{int(at * 1000) % 1000:03d}Z", "level": "{level_of(event)}", '
        f'"message": {_quoted(text_of(event))}'
    )
    if event.get("call"):
        line += f', "call": {_quoted(str(event["call"]))}'
    if event.get("log_namespace"):
        line += f', "from": {_quoted(event["log_namespace"])}'
    if "log_failure" in event:
        line += f', "trace": {_quoted(trace_of(event))}'
    return line + "}\n"


@lru_cache(maxsize=1)
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()[:-6]


def as_text(event: LogEvent) -> str:
    at = time.localtime(event["log_time"])
    level = level_of(event)
    parts = [time.strftime("%H:%M:%S", at)]
    if level != "info":
        parts.append(level)
    if event.get("call"):
        parts.append(f"call={printable(str(event['call']))}")
    parts.append(printable(text_of(event)))
    line = " ".join(parts) + "\n"
    return line + trace_of(event) + "\n" if "log_failure" in event else line


def text_of(event: LogEvent) -> str:
    return masked_uri(str(event["text"]) if event.get("log_format") is WRITTEN else formatEvent(event))


def level_of(event: LogEvent) -> str:
    level = event.get("log_level")
    return str(level.name) if level is not None else "info"


def trace_of(event: LogEvent) -> str:
    return eventAsText(event, includeTraceback=True, includeTimestamp=False, includeSystem=False)


def printable(text: str) -> str:
    """Control characters escaped."""
    return text if text.isprintable() else text.translate(UNPRINTABLE)


def complain(lines: list[str]) -> None:
    """Say what is wrong on the terminal that we were started from, whatever the log is set to."""
    stderr = sys.__stderr__
    if stderr is not None:
        for line in lines:
            print(line, file=stderr)
        stderr.flush()
