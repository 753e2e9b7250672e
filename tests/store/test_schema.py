from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sbc.store import StoreError
from sbc.store.schema import VERSION, claim, mark_lost, open_for_writing


def test_a_new_database_is_private_and_knows_its_version(tmp_path: Path) -> None:
    path = tmp_path / "new" / "calls.sqlite"
    with closing(open_for_writing(path, lambda text: None)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] == VERSION
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert connection.execute("PRAGMA auto_vacuum").fetchone()[0] == 2
        connection.execute("INSERT INTO calls (key, id) VALUES (1, 'x')")
        for file in path.parent.iterdir():
            assert file.stat().st_mode & 0o077 == 0, file


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="written by a newer sbc"):
        open_for_writing(path, lambda text: None)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"this is no database at all" * 400, b"SQLite format 3\0" + os.urandom(9000)])
def test_a_damaged_database_is_moved_aside_and_said(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "calls.sqlite"
    path.write_bytes(content)
    said: list[str] = []
    with closing(open_for_writing(path, said.append)) as connection:
        assert connection.execute("SELECT count(*) FROM calls").fetchone() == (0,)
    assert "is damaged" in said[0]
    (aside,) = tmp_path.glob("*.damaged-*")
    assert aside.read_bytes() == content


def test_a_place_that_cannot_be_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file/calls"):
        open_for_writing(tmp_path / "file" / "calls.sqlite", lambda text: None)
    with pytest.raises(StoreError, match="file"):
        claim(tmp_path / "file" / "calls.sqlite")


def test_only_one_service_writes_a_database(tmp_path: Path) -> None:
    first = claim(tmp_path / "calls.sqlite")
    with pytest.raises(StoreError, match="another running"):
        claim(tmp_path / "calls.sqlite")
    os.close(first)
    os.close(claim(tmp_path / "calls.sqlite"))


def test_calls_of_a_killed_process_are_marked_lost(tmp_path: Path) -> None:
    with closing(open_for_writing(tmp_path / "calls.sqlite", lambda text: None)) as connection:
        connection.execute("INSERT INTO calls (key, id, started, answered, ended) VALUES (1, 'over', 1.0, 2.0, 3.0)")
        connection.execute("INSERT INTO calls (key, id, started, answered) VALUES (2, 'open', 1.0, 5.0)")
        assert mark_lost(connection) == 1
        assert mark_lost(connection) == 0
        rows = connection.execute("SELECT id, ended, ended_by, cause FROM calls ORDER BY key").fetchall()
    assert rows == [("over", 3.0, None, None), ("open", 5.0, "sbc", "lost: service ended")]
