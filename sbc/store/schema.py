"""The database of calls: its tables, and how it is opened for writing.

`calls` is the CDR, one row a call, in order of opening. `segments` holds the messages and decisions: one row for
whatever of one call was pending when a batch was written, so that a short call costs two rows. A segment's key is
`call key * SEGMENTS + n`: all of a call lies together, and no index is needed.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from sbc.store.framing import entries

VERSION = 1
SEGMENTS = 4096
"""Segments that one call may have at most."""

LEG_COLUMNS = ("zone", "peer", "remote", "call_id", "from_uri", "to_uri", "request_uri", "user_agent", "status")
CALL_COLUMNS = ("started", "ringing", "answered", "ended", "status", "ended_by", "cause", "attempts", "streams")
COLUMNS = CALL_COLUMNS + tuple(f"{leg}_{name}" for leg in "ab" for name in LEG_COLUMNS)

_REAL = frozenset({"started", "ringing", "answered", "ended"})
_INTEGER = frozenset({"status", "attempts", "a_status", "b_status"})


def _column(name: str) -> str:
    return f"{name} {'REAL' if name in _REAL else 'INTEGER' if name in _INTEGER else 'TEXT'}"


SCHEMA = f"""
CREATE TABLE calls (key INTEGER PRIMARY KEY, id TEXT NOT NULL, {", ".join(_column(name) for name in COLUMNS)});
CREATE UNIQUE INDEX calls_id ON calls(id);
CREATE INDEX calls_open ON calls(key) WHERE ended IS NULL;
CREATE TABLE segments (key INTEGER PRIMARY KEY, entries BLOB NOT NULL);
PRAGMA user_version = {VERSION};
"""


class StoreError(OSError):
    """The database cannot be used; the text says why and what to do."""


def open_for_writing(path: Path, report: Callable[[str], None]) -> sqlite3.Connection:
    """The database at `path`, made if need be, with mode 0600. A damaged one is moved aside and told to `report`.

    Raises `StoreError` if it cannot be had at all, or was written by a newer version.
    """
    try:
        return _opened(path)
    except sqlite3.OperationalError as error:
        raise StoreError(f"{path}: {error}") from error
    except sqlite3.DatabaseError as error:
        aside = path.with_name(f"{path.name}.damaged-{int(time.time())}")
        report(f"{path} is damaged ({error}); moved to {aside}, starting with an empty one")
        try:
            _move(path, aside)
            return _opened(path)
        except (OSError, sqlite3.Error) as again:
            raise StoreError(f"{path}: {again}") from again


def _move(path: Path, aside: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))


def _opened(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    connection = sqlite3.connect(path, timeout=2.0, isolation_level=None, check_same_thread=False)
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise StoreError(
                f"{path} was written by a newer sbc (schema {version}, this one knows {VERSION}): "
                "use that one, or another records path"
            )
        if version == 0:
            for pragma in ("page_size = 8192", "auto_vacuum = INCREMENTAL"):
                connection.execute(f"PRAGMA {pragma}")
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "journal_size_limit = 67108864"):
            connection.execute(f"PRAGMA {pragma}")
        if version == 0:
            connection.executescript(f"BEGIN IMMEDIATE;{SCHEMA}COMMIT;")
        connection.execute("SELECT max(key) FROM calls").fetchone()
        connection.execute("SELECT max(key) FROM segments").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def claim(path: Path) -> int:
    """Make this process the only writer of `path`; the descriptor that holds the claim. Raises `StoreError` if
    another has it.
    """
    lock = path.with_name(path.name + ".lock")
    try:
        lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{lock}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StoreError(f"{path} is being written by another running sbc service") from error
    return descriptor


def mark_lost(connection: sqlite3.Connection) -> int:
    """Calls that a killed process left in progress get an end: the time of their last entry. How many there were."""
    open_calls = connection.execute("SELECT key, started, answered FROM calls WHERE ended IS NULL").fetchall()
    for key, started, answered in open_calls:
        row = connection.execute(
            "SELECT entries FROM segments WHERE key >= ? AND key < ? ORDER BY key DESC LIMIT 1",
            (key * SEGMENTS, (key + 1) * SEGMENTS),
        ).fetchone()
        last = max((entry.at for entry in entries(row[0])), default=0.0) if row else 0.0
        connection.execute(
            "UPDATE calls SET ended = ?, ended_by = 'sbc', cause = 'lost: service ended' WHERE key = ?",
            (max(last, answered or 0.0, started or 0.0), key),
        )
    return len(open_calls)
