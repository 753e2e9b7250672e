"""Calls for tests of the record of calls and of what shows it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sbc.b2bua import CallRecord, Decided, LegRecord, StreamRecord
from sbc.sip import Address, Hop
from sbc.store import CallReader

PUBLIC = Hop("public", "UDP", Address("192.0.2.1", 5060), Address("192.0.2.7", 5060))
PRIVATE = Hop("private", "UDP", Address("10.0.0.1", 5060), Address("10.0.0.5", 5060))


def leg(zone: str, **changes: Any) -> LegRecord:
    facts: dict[str, Any] = {
        "zone": zone,
        "remote": "192.0.2.7:5060/UDP" if zone == "public" else "10.0.0.5:5060/UDP",
        "call_id": f"{zone}-call-id",
        "from_uri": "sip:alice@example.com",
        "to_uri": "sip:bob@example.com",
        "request_uri": "sip:bob@example.com",
    }
    return LegRecord(**(facts | changes))


def record(call: str = "c1", started: float = 100.0, **changes: Any) -> CallRecord:
    """A call as it is when it has just come in; `changes` are fields of the record."""
    return CallRecord(call, started, **({"a": leg("public")} | changes))


def ended(call: str = "c1", started: float = 100.0, **changes: Any) -> CallRecord:
    """A call of three seconds, ended by the caller."""
    facts: dict[str, Any] = {
        "ringing": started + 0.5,
        "answered": started + 1.0,
        "ended": started + 4.0,
        "b": leg("private", peer="pbx"),
        "attempts": 1,
        "status": 200,
        "ended_by": "caller",
        "cause": "BYE",
        "streams": [StreamRecord("audio", "PCMU", {"packets": 150, "lost": 0}, {"packets": 147, "lost": 3})],
    }
    return record(call, started, **(facts | changes))


def decided(call: str = "c1", at: float = 100.0, verdict: str = "pass", reason: str = "open zone") -> Decided:
    return Decided(call, at, "admit", "access", verdict, reason)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[CallReader]:
    reader = CallReader(path)
    try:
        yield reader
    finally:
        reader.close()


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()
