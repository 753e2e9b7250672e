from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from sbc.store import CallReader, CallStore, NoSuchCall, StoreError
from tests.support.records import PUBLIC, ended, leg, reading, record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Four calls: answered, refused, to another number, still going on."""
    store = CallStore(tmp_path / "calls.sqlite", report=print)
    store.opened(ended("aa11", 100.0))
    store.opened(ended("aa22", 200.0, answered=None, status=486, ended_by="callee", cause="486 Busy Here"))
    store.opened(ended("bb33", 300.0, a=leg("public", request_uri="sip:4711@example.com")))
    store.message("bb33", 300.0, False, PUBLIC, b"INVITE")
    store.opened(record("cc44", 400.0))
    store.close()
    return tmp_path / "calls.sqlite"


def test_calls_come_newest_first_and_limited(path: Path) -> None:
    with reading(path) as reader:
        assert [call["id"] for call in reader.calls()] == ["cc44", "bb33", "aa22", "aa11"]
        assert [call["id"] for call in reader.calls(2)] == ["cc44", "bb33"]
        assert len(reader.calls(0)) == 4


def test_calls_can_be_picked(path: Path) -> None:
    with reading(path) as reader:
        assert [call["id"] for call in reader.calls(since=250.0)] == ["cc44", "bb33"]
        assert [call["id"] for call in reader.calls(failed=True)] == ["aa22"]
        assert [call["id"] for call in reader.calls(number="4711")] == ["bb33"]
        assert reader.calls(number="%") == []


def test_a_call_is_found_by_id_by_its_beginning_and_as_the_last(path: Path) -> None:
    with reading(path) as reader:
        assert reader.call("bb33")["messages"][0]["text"] == "INVITE"
        assert reader.call("b")["id"] == "bb33"
        assert reader.call("last")["id"] == "cc44"


@pytest.mark.parametrize(
    ("name", "text"), [("aa", "several calls: aa11, aa22"), ("zz", "no call 'zz'"), ("", "no call")]
)
def test_a_name_that_fits_none_or_several_is_refused(path: Path, name: str, text: str) -> None:
    with reading(path) as reader, pytest.raises(NoSuchCall, match=text):
        reader.call(name)


def test_facts_are_ready_for_json(path: Path) -> None:
    with reading(path) as reader:
        call = reader.call("bb33")
    assert json.loads(json.dumps(call)) == call
    assert call["b"]["peer"] == "pbx"
    assert call["streams"] == [
        {"kind": "audio", "codec": "PCMU", "a": {"packets": 150, "lost": 0}, "b": {"packets": 147, "lost": 3}}
    ]


def test_a_leg_that_never_was_is_none(path: Path) -> None:
    with reading(path) as reader:
        assert reader.call("cc44")["b"] is None


def test_no_database_is_an_error_that_helps(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="has the service run"):
        CallReader(tmp_path / "none.sqlite")


@pytest.mark.parametrize("content", [b"", b"nonsense" * 1000])
def test_something_else_than_the_database_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "calls.sqlite").write_bytes(content)
    with pytest.raises(StoreError, match="calls"):
        CallReader(tmp_path / "calls.sqlite")


def test_a_newer_database_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="schema 99"):
        CallReader(path)


def test_reading_changes_nothing(path: Path) -> None:
    before = path.read_bytes()
    with reading(path) as reader:
        reader.call("last")
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader._connection.execute("DELETE FROM calls")
    assert path.read_bytes() == before


def test_importing_the_reader_does_not_load_the_service() -> None:
    code = "import sys, sbc.store; sys.exit(any(name in sys.modules for name in ('twisted', 'pydantic', 'sbc.b2bua')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
