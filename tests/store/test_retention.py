from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sbc.store.retention import Retention
from sbc.store.schema import SEGMENTS, open_for_writing


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_for_writing(tmp_path / "calls.sqlite", lambda text: None)) as connection:
        yield connection


def fill(connection: sqlite3.Connection, ends: list[float | None], size: int = 10) -> None:
    """Calls with these ends, two segments of `size` bytes each."""
    connection.execute("BEGIN")
    for key, end in enumerate(ends, 1):
        connection.execute("INSERT INTO calls (key, id, started, ended) VALUES (?, ?, 0, ?)", (key, f"c{key}", end))
        for segment in range(2):
            connection.execute("INSERT INTO segments VALUES (?, ?)", (key * SEGMENTS + segment, bytes(size)))
    connection.execute("COMMIT")


def keys(connection: sqlite3.Connection) -> list[int]:
    return [key for (key,) in connection.execute("SELECT key FROM calls ORDER BY key")]


def test_old_calls_go_with_their_segments_and_calls_in_progress_stay(database: sqlite3.Connection) -> None:
    fill(database, [10.0, None, 50.0, 90.0])
    assert Retention(keep=30.0, max_size=0).prune(database, now=100.0) == 2
    assert keys(database) == [2, 4]
    assert database.execute("SELECT DISTINCT key / ? FROM segments", (SEGMENTS,)).fetchall() == [(2,), (4,)]


def test_nothing_goes_without_a_bound(database: sqlite3.Connection) -> None:
    fill(database, [10.0] * 5, size=20_000)
    assert Retention(keep=0, max_size=0).prune(database, now=1e9) == 0
    assert len(keys(database)) == 5


def test_many_old_calls_go_in_small_batches(database: sqlite3.Connection) -> None:
    fill(database, [1.0] * 1200)
    retention = Retention(keep=10.0, max_size=0)
    assert [retention.prune(database, now=100.0) for _ in range(4)] == [500, 500, 200, 0]


def test_the_oldest_calls_go_when_the_database_is_too_large(database: sqlite3.Connection) -> None:
    fill(database, [1.0] * 900, size=4000)
    retention = Retention(keep=0, max_size=5_000_000)
    retention.prune(database, now=100.0)
    assert keys(database)[0] == 501
    retention.prune(database, now=100.0)
    assert len(keys(database)) == 400


def test_the_file_shrinks_after_much_was_deleted(database: sqlite3.Connection) -> None:
    fill(database, [1.0] * 500, size=30_000)
    before = database.execute("PRAGMA page_count").fetchone()[0]
    retention = Retention(keep=10.0, max_size=0)
    for _ in range(20):
        retention.prune(database, now=100.0)
    assert database.execute("PRAGMA page_count").fetchone()[0] < before / 2


def test_a_look_that_finds_nothing_is_not_repeated_at_once(database: sqlite3.Connection) -> None:
    fill(database, [95.0])
    retention = Retention(keep=10.0, max_size=0)
    assert retention.prune(database, now=100.0) == 0
    database.execute("UPDATE calls SET ended = 1.0")
    assert retention.prune(database, now=101.0) == 0
    assert retention.prune(database, now=106.0) == 1


def test_a_clock_that_was_set_back_does_not_stop_it(database: sqlite3.Connection) -> None:
    retention = Retention(keep=10.0, max_size=0)
    retention.prune(database, now=1_000_000.0)
    fill(database, [1.0])
    assert retention.prune(database, now=100.0) == 1
