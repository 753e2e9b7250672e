from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from typing import Any

import pytest

from sbc.admin import add_calls_command, add_demo_command, add_explain_command
from tests.admin.test_explain import call


class FakeRecord:
    """A record of calls with one call in it; notes what it was asked."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}
        self.closed = False

    def calls(self, limit: int = 20, **filters: Any) -> list[dict[str, Any]]:
        self.asked = {"limit": limit, **filters}
        return [call()]

    def call(self, name: str) -> dict[str, Any]:
        if name != "last":
            raise LookupError(f"no call {name!r} is recorded")
        return call()

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def record() -> FakeRecord:
    return FakeRecord()


def run(record: FakeRecord, *arguments: str) -> int:
    parser = argparse.ArgumentParser()
    parser.set_defaults(database="calls.sqlite", open_record=lambda path: record)
    subparsers = parser.add_subparsers()
    for add in (add_calls_command, add_explain_command, add_demo_command):
        add(subparsers)
    args = parser.parse_args(arguments)
    return int(args.run(args))


def test_calls_prints_a_table(record: FakeRecord, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(record, "calls") == 0
    assert capsys.readouterr().out.count("\n") == 2
    assert record.asked == {"limit": 20, "since": None, "failed": False, "number": ""}
    assert record.closed


def test_calls_passes_its_filters_on(record: FakeRecord) -> None:
    assert run(record, "calls", "--limit", "5", "--failed", "--number", "4711", "--since", "2h") == 0
    since = record.asked.pop("since")
    assert record.asked == {"limit": 5, "failed": True, "number": "4711"}
    assert abs(time.time() - 7200 - since) < 5


def test_since_takes_a_date(record: FakeRecord) -> None:
    run(record, "calls", "--since", "2026-01-01T00:00:00+00:00")
    assert record.asked["since"] == 1767225600.0


def test_since_refuses_what_is_neither(record: FakeRecord, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(record, "calls", "--since", "yesterday")
    assert "ISO date" in capsys.readouterr().err


def test_json_is_json(record: FakeRecord, capsys: pytest.CaptureFixture[str]) -> None:
    run(record, "calls", "--json")
    assert json.loads(capsys.readouterr().out)["id"] == "c0ffee"
    run(record, "explain", "last", "--json")
    assert json.loads(capsys.readouterr().out)["messages"][0]["zone"] == "public"


def test_explain_shows_the_ladder_without_colours_where_no_terminal_is(
    record: FakeRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(record, "explain", "last", "--ascii") == 0
    out = capsys.readouterr().out
    assert "|-- INVITE (SDP)" in out
    assert "\x1b" not in out
    assert "Call-ID" not in out


def test_explain_shows_messages_when_asked(record: FakeRecord, capsys: pytest.CaptureFixture[str]) -> None:
    run(record, "explain", "last", "--messages")
    assert "CSeq: 2 BYE" in capsys.readouterr().out


def test_an_unknown_call_is_said_plainly(record: FakeRecord, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(record, "explain", "nope") == 1
    assert capsys.readouterr().err == "sbc: no call 'nope' is recorded\n"
    assert record.closed


def test_the_commands_load_nothing_heavy() -> None:
    code = "import sys, sbc.admin; sys.exit(any(name in sys.modules for name in ('twisted', 'pydantic', 'sbc.sip')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
