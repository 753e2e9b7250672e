"""Deleting what is old or too much, a little at a time."""

from __future__ import annotations

import sqlite3

from sbc.store.schema import SEGMENTS

_CALLS_AT_ONCE = 500
_PAGES_AT_ONCE = 500
_PERIOD = 5.0
"""Seconds between two looks when nothing was to be deleted."""


class Retention:
    """Ended calls go after `keep` seconds, and the oldest ones when the database holds more than `max_size` bytes (0:
    no bound, either of them). Calls in progress stay.
    """

    def __init__(self, keep: float, max_size: int) -> None:
        self._keep = keep
        self._max_size = max_size
        self._next = 0.0

    def prune(self, connection: sqlite3.Connection, now: float) -> int:
        """Delete up to 500 calls in a transaction of its own; how many went. Cheap when it is not yet time to look.

        Raises sqlite3.Error.
        """
        if now < self._next <= now + _PERIOD:
            return 0
        deleted = 0
        if self._keep > 0:
            deleted = self._delete(connection, now - self._keep)
        pages, free, page_size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        if self._max_size and not deleted and (pages - free) * page_size > self._max_size:
            deleted = self._delete(connection, now)
        if free > max(_PAGES_AT_ONCE, pages // 8):
            connection.executescript(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})")  # execute() would do one page
        elif not deleted:
            self._next = now + _PERIOD
        return deleted

    def _delete(self, connection: sqlite3.Connection, ended_before: float) -> int:
        """Delete the oldest calls that ended before that time."""
        rows = connection.execute(
            "SELECT key FROM (SELECT key, ended FROM calls WHERE ended IS NOT NULL ORDER BY key LIMIT ?) "
            "WHERE ended < ?",
            (_CALLS_AT_ONCE, ended_before),
        ).fetchall()
        if not rows:
            return 0
        connection.execute("BEGIN IMMEDIATE")
        try:
            for (key,) in rows:
                connection.execute(
                    "DELETE FROM segments WHERE key >= ? AND key < ?", (key * SEGMENTS, (key + 1) * SEGMENTS)
                )
            connection.executemany("DELETE FROM calls WHERE key = ?", rows)
        except BaseException:
            connection.rollback()
            raise
        connection.execute("COMMIT")
        return len(rows)
