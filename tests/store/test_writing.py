from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sbc.b2bua import CallRecord
from sbc.store.framing import DECISION, RECEIVED, SENT
from sbc.store.writing import RECORD, CallWriter, Limits
from tests.support.records import PRIVATE, PUBLIC, decided, ended, leg, reading, record, rows

INVITE = b"INVITE sip:bob@example.com SIP/2.0\r\nCall-ID: x\r\n\r\n"


PLENTY = Limits(100, 10_000)


class Written:
    """A writer with its database and what it said."""

    def __init__(self, path: Path, limits: Limits = PLENTY) -> None:
        self.path = path / "calls.sqlite"
        self.said: list[str] = []
        self.writer = CallWriter(self.path, limits, self.said.append)

    def write(self, *entries: tuple[Any, ...]) -> bool:
        return self.writer.write(entries)

    def call(self, name: str = "c1") -> dict[str, Any]:
        with reading(self.path) as reader:
            return reader.call(name)


def said(call: str = "c1", at: float = 100.0, data: bytes = INVITE, kind: bytes = RECEIVED) -> tuple[Any, ...]:
    return kind, call, at, PUBLIC, data, 0


def known(facts: CallRecord, offset: float = 0.0) -> tuple[Any, ...]:
    return RECORD, facts.call, offset, facts, b"", 0


def thought(call: str = "c1", at: float = 100.0, **changes: str) -> tuple[Any, ...]:
    return DECISION, call, at, decided(call, at, **changes), b"", 0


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Written]:
    made = Written(tmp_path)
    yield made
    made.writer.close()


def test_a_short_call_is_one_row_and_one_segment(written: Written) -> None:
    assert written.write(known(record()), said(), thought(), (SENT, "c1", 100.1, PRIVATE, INVITE, 0), known(ended()))
    assert rows(written.path, "SELECT count(*) FROM calls") == [(1,)]
    assert rows(written.path, "SELECT count(*) FROM segments") == [(1,)]
    call = written.call()
    assert call["cause"] == "BYE"
    assert [message["zone"] for message in call["messages"]] == ["public", "private"]
    assert [fact["order"] for fact in (*call["messages"], *call["decisions"])] == [0, 2, 1]


def test_times_of_the_core_become_wall_clock_times(written: Written) -> None:
    written.write(known(ended(started=10.0), offset=1_000_000.0))
    call = written.call()
    assert (call["started"], call["ringing"], call["answered"], call["ended"]) == (
        1_000_010.0,
        1_000_010.5,
        1_000_011.0,
        1_000_014.0,
    )


def test_a_call_in_progress_is_there_after_its_first_batch(written: Written) -> None:
    written.write(known(record()), said())
    assert written.call()["ended"] is None
    written.write(said(at=101.0))
    written.write(known(ended()))
    call = written.call()
    assert (call["ended"], len(call["messages"])) == (104.0, 2)


def test_what_comes_after_the_end_of_a_call_is_still_added(written: Written) -> None:
    written.write(known(record()), said())
    written.write(known(ended()))
    written.write(said(at=105.0, data=b"late"))
    assert [message["text"] for message in written.call()["messages"]] == [INVITE.decode(), "late"]


def test_entries_of_a_call_that_nobody_knows_are_counted(written: Written) -> None:
    written.write(said("stranger"), said("stranger"))
    assert written.writer.lost_entries == 2
    assert rows(written.path, "SELECT count(*) FROM segments") == [(0,)]


def test_an_end_whose_beginning_was_never_written_makes_the_call(written: Written) -> None:
    written.write(known(ended()))
    assert written.call()["status"] == 200


@pytest.mark.parametrize(
    "secret",
    [
        b'Authorization: Digest response="d34db33f"\r\n\r\n',
        b"Contact: <sip:alice:d34db33f@example.com>\r\n\r\n",
        b"\r\nv=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d34db33f\r\n",
        b"\r\nv=0\r\na=ice-pwd:d34db33f\r\n\r\n",
    ],
)
def test_secrets_do_not_reach_the_disk(written: Written, secret: bytes) -> None:
    message = INVITE[:-2] + secret
    caller = leg("public", from_uri="sip:alice:s3cret@example.com")
    written.write(known(record(a=caller)), said(), thought(), said(data=message), said())
    everything = b"".join(file.read_bytes() for file in written.path.parent.iterdir())
    assert b"d34db33f" not in everything
    assert b"s3cret" not in everything
    assert b"sip:alice:***@example.com" in everything
    call = written.call()
    assert [each["text"] for each in call["messages"]][::2] == [INVITE.decode()] * 2
    assert "***" in call["messages"][1]["text"]
    assert call["decisions"][0]["reason"] == "open zone"


def test_one_call_cannot_fill_the_database(tmp_path: Path) -> None:
    written = Written(tmp_path, Limits(entries=5, size=10_000))
    written.write(known(record()), *[said(at=float(at)) for at in range(3)])
    written.write(*[said(at=float(at)) for at in range(3, 13)])
    written.write(said(at=99.0))
    written.write(known(ended()))
    written.writer.close()
    call = written.call()
    assert [message["at"] for message in call["messages"]] == [0.0, 1.0, 2.0, 3.0, 4.0]
    (note,) = call["decisions"]
    assert (note["verdict"], note["at"]) == ("cut", 12.0)
    assert "more than 5 entries" in note["reason"]


def test_the_bytes_of_one_call_are_bounded_too(tmp_path: Path) -> None:
    written = Written(tmp_path, Limits(entries=100, size=3000))
    written.write(known(record()), *[said(data=b"x" * 900) for _ in range(10)])
    written.writer.close()
    call = written.call()
    assert len(call["messages"]) == 3
    assert [fact["verdict"] for fact in call["decisions"]] == ["cut"]


def test_text_that_is_no_unicode_is_written_all_the_same(written: Written) -> None:
    written.write(known(record(a=leg("public", user_agent="caf\udce9"))), thought(reason="\udce9"))
    call = written.call()
    assert call["a"]["user_agent"] == "caf\\udce9"
    assert call["decisions"][0]["reason"] == "?"


def test_a_batch_that_cannot_be_written_waits_and_is_written_later(written: Written) -> None:
    written.writer.connection.execute("PRAGMA busy_timeout = 1")
    with closing(sqlite3.connect(written.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert not written.write(known(record()), said())
        assert not written.writer.retry()
        assert written.writer.blocked
        other.execute("ROLLBACK")
    assert written.writer.retry()
    assert not written.writer.blocked
    assert len(written.call()["messages"]) == 1
    assert written.writer.failures == 2
    assert [text.partition(": ")[2] for text in written.said] == [
        "database is locked; records wait in memory",
        "records are written again",
    ]


def test_a_full_disk_is_said_and_survived(written: Written) -> None:
    pages = written.writer.connection.execute("PRAGMA page_count").fetchone()[0]
    written.writer.connection.execute(f"PRAGMA max_page_count = {pages}")
    assert not written.write(known(record()), *[said(data=b"x" * 900) for _ in range(10)])
    assert "full" in written.said[0]
    written.writer.connection.execute("PRAGMA max_page_count = 100000")
    assert written.writer.retry()
    assert len(written.call()["messages"]) == 10


def test_a_database_that_breaks_in_service_is_replaced(tmp_path: Path) -> None:
    written = Written(tmp_path)
    written.write(known(record()))
    written.writer.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    written.writer.connection.close()
    for part in ("-wal", "-shm"):
        written.path.with_name(written.path.name + part).unlink(missing_ok=True)
    written.path.write_bytes(b"garbage" * 3000)
    assert not written.write(said())
    assert any("is damaged" in text for text in written.said)
    assert written.write(known(record("c2")), said("c2"))
    assert len(written.call("c2")["messages"]) == 1
    assert written.write(known(ended()))
    assert written.call("c1")["cause"] == "BYE"
    written.writer.close()


def test_keys_go_on_after_a_restart(tmp_path: Path) -> None:
    first = Written(tmp_path)
    first.write(known(ended("c1")), said("c1"))
    first.writer.close()
    second = Written(tmp_path)
    second.write(known(ended("c2")), said("c2"))
    second.writer.close()
    assert rows(second.path, "SELECT key, id FROM calls") == [(1, "c1"), (2, "c2")]
    assert rows(second.path, "SELECT count(*) FROM segments") == [(2,)]
