"""Registrations as they outlive the process: one row for each flow of a device, written in batches by a thread.

What is kept twice before it is written is written once, so that what waits is bounded by what is registered. Times in
the database are seconds since the epoch.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import quote

from sbc.b2bua import BindingKey, BindingRecord
from sbc.sip import Address, Hop
from sbc.store.schema import StoreError

VERSION = 1
INTERVAL = 0.2
"""Seconds between batches: what is registered and not written when the process is killed."""
_PRUNE_EVERY = 300.0
_KEY = 32
_TIMES = ("until", "inside_until", "checked")
_WRITTEN_AS: dict[object, tuple[type, ...]] = {str: (str,), int: (int,), float: (float, int)}
"""What stands in the database for a field of this type; for every other one a list."""
_TYPES = {name: _WRITTEN_AS.get(kind, (list,)) for name, kind in get_type_hints(BindingRecord).items()}
_DEFAULTS: dict[str, Any] = BindingRecord._field_defaults
_OF_A_RECORD = (sqlite3.DataError, sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError)
"""Errors of SQLite that one record is to blame for; the others are the database's."""
_SCHEMA = f"""
CREATE TABLE bindings (
  aor TEXT NOT NULL, device TEXT NOT NULL, reg_id INTEGER NOT NULL, ends REAL NOT NULL, facts TEXT NOT NULL,
  PRIMARY KEY (aor, device, reg_id)
) WITHOUT ROWID;
CREATE TABLE secret (key BLOB NOT NULL);
PRAGMA user_version = {VERSION};
"""
_WRITE = "INSERT OR REPLACE INTO bindings VALUES (?, ?, ?, ?, ?)"
_DELETE = "DELETE FROM bindings WHERE aor = ? AND device = ? AND reg_id = ?"
_PRUNE = "DELETE FROM bindings WHERE ends < ?"


class RegistrationStore:
    """Keeps registrations for the next process. All methods but `restored` and `close` return at once; none raises
    anything once this is made, which raises `StoreError`. The thread starts with the first thing to write, so that the
    process may fork after making this. `report` is told troubles, once each."""

    def __init__(self, path: str | Path, report: Callable[[str], None] | None = None) -> None:
        self._path = Path(path)
        self._report = report or _log
        self._trouble = ""
        self._faults: set[str] = set()
        """Kinds of errors in single records that have been told."""
        self._waiting: dict[BindingKey, tuple[BindingRecord, float] | None] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._pruned = 0.0
        try:
            connection = _opened(self._path)
            try:
                self.key = _secret(connection)
                """Of this site: see `sbc.b2bua.Access.key`."""
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error

    def keep(self, record: BindingRecord, offset: float) -> None:
        """`offset` is added to the record's times to make them wall-clock times."""
        self._put((record.aor, record.device, record.reg_id), (record, offset))

    def forget(self, key: BindingKey) -> None:
        self._put(key, None)

    def restored(self, offset: float) -> list[BindingRecord]:
        """What was kept and has not ended, in times less `offset`. What cannot be read is left out, and reported."""
        try:
            connection = _opened(self._path)
            try:
                connection.text_factory = bytes  # so that what is no UTF-8 is a fault of its row
                rows = connection.execute("SELECT facts FROM bindings WHERE ends > ?", (time.time(),)).fetchall()
            finally:
                connection.close()
        except (sqlite3.Error, StoreError) as error:
            self._tell(f"{self._path}: registrations are not restored: {error}")
            return []
        records: list[BindingRecord] = []
        fault: Exception | None = None
        for (text,) in rows:
            try:
                records.append(_record(json.loads(text), offset))
            except Exception as error:  # whatever it is that stands there, it is one registration's
                fault = error
        if fault is not None:
            lost, why = len(rows) - len(records), f"{type(fault).__name__}: {fault}"
            self._report(f"{self._path}: {lost} of {len(rows)} registrations cannot be read, and are lost ({why})")
        return records

    def close(self, timeout: float = 5.0) -> None:
        """Write what waits, and end the thread."""
        self._closing = True
        if self._thread is not None:
            self._wake.set()
            self._thread.join(timeout)

    def _put(self, key: BindingKey, what: tuple[BindingRecord, float] | None) -> None:
        with self._lock:
            self._waiting[key] = what
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="registrations", daemon=True)
            self._thread.start()
        elif len(self._waiting) == 1:
            self._wake.set()

    # -- writer thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        while True:
            closing = self._closing
            try:
                if connection is None:
                    connection = _opened(self._path)
                self._write(connection)
                if self._trouble:
                    self._trouble = ""
                    self._report(f"{self._path}: registrations are written again")
            except Exception as error:  # what is registered goes on being so, written down or not
                self._tell(f"{self._path}: {error}; registrations wait in memory")
            if closing:
                break
            if not self._waiting:
                self._wake.wait()
            self._wake.clear()
            if not self._closing:
                time.sleep(INTERVAL)
        if connection is not None:
            connection.close()

    def _write(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            batch, self._waiting = self._waiting, {}
        if not batch:
            return
        faults: list[Exception] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            for key, kept in batch.items():
                try:
                    if kept is None:
                        connection.execute(_DELETE, key)
                    else:
                        connection.execute(_WRITE, _row(*kept))
                except sqlite3.Error as error:
                    if not isinstance(error, _OF_A_RECORD):
                        raise
                    faults.append(error)
                except Exception as error:  # the others are none the worse for it
                    faults.append(error)
            if time.time() - self._pruned > _PRUNE_EVERY:
                self._pruned = time.time()
                connection.execute(_PRUNE, (self._pruned,))
            connection.execute("COMMIT")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            with self._lock:
                self._waiting = {**batch, **self._waiting}
            raise
        self._tell_faults(faults)

    def _tell_faults(self, faults: list[Exception]) -> None:
        """Once for each kind: phones have a say in what is written, and could fill the log."""
        kinds = {type(fault).__name__ for fault in faults} - self._faults
        if kinds:
            self._faults |= kinds
            text = f"{len(faults)} registrations cannot be written, and end with this process"
            self._report(f"{self._path}: {text} ({', '.join(sorted(kinds))})")

    def _tell(self, text: str) -> None:
        if text != self._trouble:
            self._trouble = text
            self._report(text)


def _row(record: BindingRecord, offset: float) -> tuple[str, str, int, float, str]:
    facts: dict[str, Any] = record._asdict()
    for name in _TIMES:
        facts[name] += offset
    facts["written_at"] = time.time()
    text = json.dumps(facts, ensure_ascii=True)
    return record.aor, record.device, record.reg_id, facts["inside_until"], text


def _record(facts: dict[str, Any], offset: float) -> BindingRecord:
    """Raises some exception, if `facts` are not what `_row` writes."""
    values = {name: facts[name] for name in BindingRecord._fields if name in facts or name not in _DEFAULTS}
    values = _DEFAULTS | values  # written by an earlier version
    for name, types in _TYPES.items():
        if not isinstance(values[name], types):
            raise TypeError(f"{name} is no {types[0].__name__}")
    for name in _TIMES:
        if not isfinite(values[name]):
            raise ValueError(f"{name} is no time")
        values[name] -= offset
    for name in ("path", "service_route", "associated"):
        values[name] = tuple(map(_text, values[name]))
    zone, transport, local, remote, connection = values["hop"]
    values["hop"] = Hop(_text(zone), _text(transport), _address(*local), _address(*remote), connection)
    return BindingRecord(**values)


def _address(host: object, port: object) -> Address:
    if not isinstance(port, int):
        raise TypeError("a port that is no number")
    return Address(_text(host), port)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a value that is no text")
    return value


def _opened(path: Path) -> sqlite3.Connection:
    """The database for writing, made if need be, with mode 0600. Raises `StoreError`, or sqlite3.Error."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    connection = sqlite3.connect(path, timeout=2.0, isolation_level=None)
    try:
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "journal_size_limit = 67108864"):
            connection.execute(f"PRAGMA {pragma}")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            connection.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}COMMIT;")
        elif version != VERSION:
            raise StoreError(f"{path} has schema {version}, this sbc knows {VERSION}")
    except BaseException:
        connection.close()
        raise
    return connection


def _secret(connection: sqlite3.Connection) -> bytes:
    row = connection.execute("SELECT key FROM secret").fetchone()
    if row is None:
        connection.execute("INSERT INTO secret VALUES (?)", (os.urandom(_KEY),))
        row = connection.execute("SELECT key FROM secret").fetchone()
    return bytes(row[0])


class RegistrationReader:
    """Read-only, for the command line. Raises `StoreError` when made, if there is nothing to be read."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        if not self._path.exists():
            raise StoreError(f"no registrations at {path}: does the service have an [access] table, and has it run?")
        try:
            self._connection = sqlite3.connect(f"file:{quote(str(self._path.resolve()))}?mode=ro", uri=True)
            self._connection.text_factory = bytes
        except sqlite3.Error as error:
            raise StoreError(f"{path}: {error}") from error

    def close(self) -> None:
        self._connection.close()

    def registrations(self, user: str = "") -> list[dict[str, Any]]:
        """What is registered now, by address of record; `user`: only those whose address of record holds that."""
        query = "SELECT facts FROM bindings WHERE ends > ? AND instr(aor, ?) ORDER BY aor, device, reg_id"
        try:
            rows = self._connection.execute(query, (time.time(), user)).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error
        return [facts for (text,) in rows if (facts := _facts(text)) is not None]


def _facts(text: bytes) -> dict[str, Any] | None:
    """What stands in a row; None if that cannot be read."""
    try:
        facts: dict[str, Any] = json.loads(text)
        _record(facts, 0.0)
    except Exception:  # the service leaves it out as well, and says so
        return None
    return facts


def _log(text: str) -> None:
    from twisted.logger import Logger

    Logger(namespace="sbc.store").error("{text}", text=text)
