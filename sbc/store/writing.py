"""What the writer thread does with a batch: group by call, mask, frame, one transaction. No thread in here."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sbc.b2bua import CallRecord, Decided, LegRecord
from sbc.sip import Hop
from sbc.store.framing import DECISION, about_text, entries, pack_head
from sbc.store.masking import body_may_hold_secrets, masked, masked_uri, may_hold_secrets
from sbc.store.schema import COLUMNS, SEGMENTS, claim, mark_lost, open_for_writing

RECORD = b"R"
ENTRY_COST = 200
"""Bytes that an entry is taken to need in memory beside its data."""

_INSERT = f"INSERT OR IGNORE INTO calls (key, id, {', '.join(COLUMNS)}) VALUES (?, ?{', ?' * len(COLUMNS)})"
_UPDATE = f"UPDATE calls SET {', '.join(f'{name} = ?' for name in COLUMNS)} WHERE key = ?"
_SEGMENT = "INSERT OR REPLACE INTO segments (key, entries) VALUES (?, ?)"
_NO_LEG = ("",) * 8 + (0,)
_HOPS = 4096
_to_json = json.JSONEncoder(default=str).encode  # json.dumps with a default would make an encoder each time


class Limits(NamedTuple):
    """What one call may leave."""

    entries: int
    size: int


@dataclass(slots=True)
class _OpenCall:
    """What the writer knows of a call that has not ended."""

    key: int
    segment: int = 0
    entries: int = 0
    size: int = 0


class _Rows(NamedTuple):
    """One prepared transaction."""

    inserts: list[tuple[Any, ...]]
    updates: list[tuple[Any, ...]]
    segments: list[tuple[int, bytes]]


class CallWriter:
    """Writes batches of spooled entries. Raises nothing but what the constructor does: troubles are counted and
    reported.
    """

    def __init__(self, path: Path, limits: Limits, report: Callable[[str], None]) -> None:
        self._path = path
        self._limits = limits
        self._report = report
        self._open: dict[str, _OpenCall] = {}
        self._hop_texts: dict[Hop, bytes] = {}
        self._held: _Rows | None = None
        self._trouble = ""
        self.failures = 0
        """Transactions that failed, each attempt counted."""
        self.lost_entries = 0
        """Entries of calls that the database does not know."""
        self._claim = claim(path)
        try:
            self._connect()
        except BaseException:
            os.close(self._claim)
            raise

    def _connect(self) -> None:
        self.connection = open_for_writing(self._path, self._report)
        self._process = os.getpid()
        lost = mark_lost(self.connection)
        if lost:
            self._report(f"{lost} calls were in progress when the service ended last time; marked as lost")
        self._next_key = (self.connection.execute("SELECT max(key) FROM calls").fetchone()[0] or 0) + 1

    def adopt(self) -> None:
        """Call this in the thread that will write: SQLite's connections and their locks do not survive a fork (twistd
        as a daemon). Raises `StoreError`.
        """
        if os.getpid() != self._process:
            self.connection.close()
            self._connect()

    @property
    def blocked(self) -> bool:
        """A transaction waits to be tried again; `retry` before the next `write`."""
        return self._held is not None

    def write(self, batch: Iterable[Sequence[Any]]) -> bool:
        """Write `batch` in one transaction; False if that failed: then it is kept for `retry`."""
        self._held = self._prepared(batch)
        return self.retry()

    def retry(self) -> bool:
        if self._held is None:
            return True
        try:
            self._commit(self._held)
        except UnicodeEncodeError:
            self.connection.rollback()
            self._held = _Rows(*([_clean(row) for row in rows] for rows in self._held))
            return self.retry()
        except sqlite3.OperationalError as error:  # locked, full, I/O error: may pass
            self._failed(f"{self._path}: {error}; records wait in memory")
            return False
        except sqlite3.DatabaseError as error:
            self._failed(f"{self._path}: {error}")
            self._replace()
            return False
        self._held = None
        if self._trouble:
            self._trouble = ""
            self._report(f"{self._path}: records are written again")
        return True

    def close(self) -> None:
        self.connection.close()
        os.close(self._claim)

    def _failed(self, text: str) -> None:
        self.failures += 1
        with contextlib.suppress(sqlite3.Error):
            self.connection.rollback()
        self._tell(text)

    def _tell(self, text: str) -> None:
        """Report a trouble once, not with each attempt."""
        if text != self._trouble:
            self._trouble = text
            self._report(text)

    def _replace(self) -> None:
        """The database is damaged: drop what was to be written, open it anew (which moves a damaged one aside)."""
        self._held = None
        self._open.clear()
        self.connection.close()
        try:
            self._connect()
        except (OSError, sqlite3.Error) as error:
            self._tell(str(error))

    def _commit(self, rows: _Rows) -> None:
        connection = self.connection
        connection.execute("BEGIN IMMEDIATE")
        if rows.inserts:
            connection.executemany(_INSERT, rows.inserts)
        if rows.updates:
            connection.executemany(_UPDATE, rows.updates)
        if rows.segments:
            connection.executemany(_SEGMENT, rows.segments)
        connection.execute("COMMIT")

    # -- from entries to rows ------------------------------------------------------------------------------------------

    def _prepared(self, batch: Iterable[Sequence[Any]]) -> _Rows:
        records: dict[str, tuple[CallRecord, float]] = {}
        trails: dict[str, list[bytes]] = {}
        hop_texts = self._hop_texts
        for kind, call, at, about, data, _ in batch:
            if kind == RECORD:
                records[call] = (about, at)
                if call not in self._open:
                    self._find(call, about)
                continue
            trail = trails.get(call)
            if trail is None:
                trail = trails[call] = []
            if kind == DECISION:
                text = _decision_text(about)
            else:
                text = hop_texts.get(about) or self._hop_text(about)
                if body_may_hold_secrets(data):
                    data = masked(data)
            trail += (pack_head(kind, at, len(text), len(data)), text, data)
        return self._rows(records, trails)

    def _rows(self, records: dict[str, tuple[CallRecord, float]], trails: dict[str, list[bytes]]) -> _Rows:
        rows = _Rows([], [], [])
        for call, trail in trails.items():
            known = self._open.get(call) or self._find(call, None)
            if known is None:
                self.lost_entries += len(trail) // 3
            elif known.segment < SEGMENTS:
                self._add_segment(rows, known, trail)
        for call, (record, offset) in records.items():
            known = self._open[call]
            columns = _columns(record, offset)
            if known.key < 0:
                known.key = -known.key
                rows.inserts.append((known.key, call, *columns))
            else:
                rows.updates.append((*columns, known.key))
            if record.ended is not None:
                del self._open[call]
        return rows

    def _add_segment(self, rows: _Rows, known: _OpenCall, trail: list[bytes]) -> None:
        """Put `trail` down as one segment, as far as the call may still leave something."""
        if known.entries > self._limits.entries or known.size > self._limits.size:
            return
        blob = b"".join(trail)
        if may_hold_secrets(blob):
            blob = _masked_segment(blob)
        known.entries += len(trail) // 3
        known.size += len(blob)
        if known.entries > self._limits.entries or known.size > self._limits.size:
            blob = self._cut(known, blob)
        rows.segments.append((abs(known.key) * SEGMENTS + known.segment, blob))
        known.segment += 1

    def _cut(self, known: _OpenCall, blob: bytes) -> bytes:
        """The beginning of `blob` that the limits leave room for, and a note that says so."""
        most, largest = self._limits
        found = list(entries(blob))
        count, size, kept = known.entries - len(found), known.size - len(blob), 0
        for entry in found:
            count += 1
            size += entry.size
            if count > most or size > largest:
                break
            kept += entry.size
        reason = f"this call left more than {most} entries or {largest} bytes; the rest is not kept"
        text = _note("cut", reason)
        return blob[:kept] + pack_head(DECISION, found[-1].at, len(text), 0) + text

    def _find(self, call: str, record: CallRecord | None) -> _OpenCall | None:
        """The state of a call that is not among the open ones: a new one, one that has ended, or None for an unknown
        one without a record.
        """
        stored = self._stored(call) if record is None or record.ended is not None else None
        if record is None:
            return stored
        if stored is None:
            stored = _OpenCall(-self._next_key)
            self._next_key += 1
        self._open[call] = stored
        return stored

    def _stored(self, call: str) -> _OpenCall | None:
        try:
            row = self.connection.execute("SELECT key FROM calls WHERE id = ?", (call,)).fetchone()
            if row is None:
                return None
            first = row[0] * SEGMENTS
            bounds = (first, first + SEGMENTS)
            last = self.connection.execute(
                "SELECT max(key) FROM segments WHERE key >= ? AND key < ?", bounds
            ).fetchone()[0]
        except (sqlite3.Error, UnicodeEncodeError):
            return None
        return _OpenCall(row[0], 0 if last is None else last + 1 - first)

    def _hop_text(self, hop: Hop) -> bytes:
        if len(self._hop_texts) >= _HOPS:
            self._hop_texts.clear()
        text = about_text((hop.zone, hop.transport, _address_text(hop.local), _address_text(hop.remote)))
        self._hop_texts[hop] = text
        return text


def _masked_segment(blob: bytes) -> bytes:
    """All messages of a segment without their secrets."""
    parts = []
    for entry in entries(blob):
        text, data = about_text(entry.about), masked(entry.data) if entry.data else b""
        parts += [pack_head(entry.kind, entry.at, len(text), len(data)), text, data]
    return b"".join(parts)


def _address_text(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _decision_text(decided: Decided) -> bytes:
    return about_text((decided.hook, decided.policy, decided.verdict, decided.reason))


def _note(verdict: str, reason: str) -> bytes:
    return about_text(("record", "store", verdict, reason))


def _columns(record: CallRecord, offset: float) -> tuple[Any, ...]:
    ringing, answered, ended = record.ringing, record.answered, record.ended
    streams = [{"kind": stream.kind, "codec": stream.codec, "a": stream.a, "b": stream.b} for stream in record.streams]
    return (
        record.started + offset,
        None if ringing is None else ringing + offset,
        None if answered is None else answered + offset,
        None if ended is None else ended + offset,
        record.status,
        record.ended_by,
        record.cause,
        record.attempts,
        _to_json(streams) if streams else "",
        *_leg(record.a),
        *_leg(record.b),
    )


def _leg(leg: LegRecord | None) -> tuple[Any, ...]:
    if leg is None:
        return _NO_LEG
    return (
        leg.zone,
        leg.peer,
        leg.remote,
        leg.call_id,
        masked_uri(leg.from_uri),
        masked_uri(leg.to_uri),
        masked_uri(leg.request_uri),
        leg.user_agent,
        leg.status,
    )


def _clean(row: Sequence[Any]) -> tuple[Any, ...]:
    """`row` without lone surrogates, which SQLite refuses."""
    return tuple(
        value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value for value in row
    )
