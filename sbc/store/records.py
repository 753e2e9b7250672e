"""Records that outlive the process, each kind in a database of its own: one row a record, written in batches by a
thread.

What is kept twice before it is written is written once, so that what waits is bounded by what there is. Times in the
database are seconds since the epoch.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar, get_type_hints

from sbc.sip import Address, Hop
from sbc.store.schema import StoreError

VERSION = 1
INTERVAL = 0.2
"""Seconds between batches: what is not written when the process is killed."""
_PRUNE_EVERY = 300.0
_KEY = 32
_WRITTEN_AS: dict[object, tuple[type, ...]] = {str: (str,), int: (int,), float: (float, int), bool: (bool,)}
"""What stands in the database for a field of this type; for every other one a list, or a table."""
_OF_A_RECORD = (sqlite3.DataError, sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError)
"""Errors of SQLite that one record is to blame for; the others are the database's."""

Record = TypeVar("Record")
Key = TypeVar("Key", bound=tuple[str | int, ...])


@dataclass(frozen=True)
class Shelf(Generic[Record, Key]):
    """How records of one kind are written down."""

    what: str
    """In words, and the name of the thread."""
    table: str
    columns: tuple[tuple[str, str], ...]
    """Name and type of what makes the key."""
    key: Callable[[Record], Key]
    facts: Callable[[Record, float], tuple[float, dict[str, Any]]]
    """When a record ends, and what it says, in times of the epoch: the second argument makes them so."""
    record: Callable[[dict[str, Any], float], Record]
    """The same back. Raises some exception, if it is given what `facts` does not write."""

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.columns)

    def schema(self) -> str:
        columns = ", ".join(f"{name} {kind} NOT NULL" for name, kind in self.columns)
        return (
            f"CREATE TABLE {self.table} ({columns}, ends REAL NOT NULL, facts TEXT NOT NULL,"
            f" PRIMARY KEY ({', '.join(self._names)})) WITHOUT ROWID;"
            f"CREATE TABLE secret (key BLOB NOT NULL);PRAGMA user_version = {VERSION};"
        )

    def writing(self) -> str:
        return f"INSERT OR REPLACE INTO {self.table} VALUES ({', '.join('?' * (len(self.columns) + 2))})"

    def deleting(self) -> str:
        return f"DELETE FROM {self.table} WHERE {' AND '.join(f'{name} = ?' for name in self._names)}"

    def pruning(self) -> str:
        return f"DELETE FROM {self.table} WHERE ends < ?"

    def reading(self) -> str:
        return f"SELECT facts FROM {self.table} WHERE ends > ?"

    def row(self, record: Record, offset: float) -> tuple[Any, ...]:
        ends, facts = self.facts(record, offset)
        facts["written_at"] = time.time()
        return (*self.key(record), ends, json.dumps(facts, ensure_ascii=True))


class RecordStore(Generic[Record, Key]):
    """Keeps records for the next process. All methods but `restored` and `close` return at once; none raises
    anything once this is made, which raises `StoreError`. The thread starts with the first thing to write, so that the
    process may fork after making this. `report` is told troubles, once each."""

    def __init__(
        self, path: str | Path, shelf: Shelf[Record, Key], report: Callable[[str], None] | None = None
    ) -> None:
        self._path, self._shelf = Path(path), shelf
        self._report = report or _log
        self._trouble = ""
        self._faults: set[str] = set()
        """Kinds of errors in single records that have been told."""
        self._waiting: dict[Key, tuple[Record, float] | None] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._pruned = 0.0
        try:
            connection = _opened(self._path, self._shelf.schema())
            try:
                self.key = _secret(connection)
                """A secret of this site, made once."""
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error

    def keep(self, record: Record, offset: float) -> None:
        """`offset` is added to the record's times to make them wall-clock times."""
        self._put(self._shelf.key(record), (record, offset))

    def forget(self, key: Key) -> None:
        self._put(key, None)

    def restored(self, offset: float) -> Iterator[Record]:
        """What was kept and has not ended, in times less `offset`. What cannot be read is left out, and reported. It is
        read as it is asked for: all at once takes more memory than what comes of it."""
        read = lost = 0
        why = ""
        try:
            for text in self._rows():
                read += 1
                try:
                    record = self._shelf.record(json.loads(text), offset)
                except Exception as error:  # whatever it is that stands there, it is one record's
                    lost += 1
                    why = f"{type(error).__name__}: {error}"
                    continue
                yield record
        except (sqlite3.Error, StoreError) as error:
            self._tell(f"{self._path}: {self._shelf.what} are not restored: {error}")
        if lost:
            self._report(f"{self._path}: {lost} of {read} {self._shelf.what} cannot be read, and are lost ({why})")

    def _rows(self) -> Iterator[bytes]:
        connection = _opened(self._path, self._shelf.schema())
        try:
            connection.text_factory = bytes  # so that what is no UTF-8 is a fault of its row
            for (text,) in connection.execute(self._shelf.reading(), (time.time(),)):
                yield text
        finally:
            connection.close()

    def close(self, timeout: float = 5.0) -> None:
        """Write what waits, and end the thread."""
        self._closing = True
        if self._thread is not None:
            self._wake.set()
            self._thread.join(timeout)

    def _put(self, key: Key, what: tuple[Record, float] | None) -> None:
        with self._lock:
            self._waiting[key] = what
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._shelf.what, daemon=True)
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
                    connection = _opened(self._path, self._shelf.schema())
                self._write(connection)
                if self._trouble:
                    self._trouble = ""
                    self._report(f"{self._path}: {self._shelf.what} are written again")
            except Exception as error:  # what there is goes on being so, written down or not
                self._tell(f"{self._path}: {error}; {self._shelf.what} wait in memory")
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
        shelf, faults = self._shelf, list[Exception]()
        writing, deleting = shelf.writing(), shelf.deleting()
        try:
            connection.execute("BEGIN IMMEDIATE")
            for key, kept in batch.items():
                try:
                    if kept is None:
                        connection.execute(deleting, key)
                    else:
                        connection.execute(writing, shelf.row(*kept))
                except sqlite3.Error as error:
                    if not isinstance(error, _OF_A_RECORD):
                        raise
                    faults.append(error)
                except Exception as error:  # the others are none the worse for it
                    faults.append(error)
            if time.time() - self._pruned > _PRUNE_EVERY:
                self._pruned = time.time()
                connection.execute(shelf.pruning(), (self._pruned,))
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
            text = f"{len(faults)} {self._shelf.what} cannot be written, and end with this process"
            self._report(f"{self._path}: {text} ({', '.join(sorted(kinds))})")

    def _tell(self, text: str) -> None:
        if text != self._trouble:
            self._trouble = text
            self._report(text)


def _opened(path: Path, schema: str) -> sqlite3.Connection:
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
            connection.executescript(f"BEGIN IMMEDIATE;{schema}COMMIT;")
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


# -- what records say --------------------------------------------------------------------------------------------------


@cache
def _types(kind: type[NamedTuple]) -> dict[str, tuple[type, ...]]:
    return {name: _WRITTEN_AS.get(hint, (list, dict, tuple)) for name, hint in get_type_hints(kind).items()}


def checked(kind: type[NamedTuple], facts: dict[str, Any]) -> dict[str, Any]:
    """The fields of a record of `kind` as they were written; those that are missing as if by an earlier version.
    Raises some exception if they are not of their types."""
    defaults: dict[str, Any] = kind._field_defaults
    values = defaults | {name: facts[name] for name in kind._fields if name in facts or name not in defaults}
    for name, types in _types(kind).items():
        if not isinstance(values[name], types):
            raise TypeError(f"{name} is no {types[0].__name__}")
    return values


def read_hop(written: Any) -> Hop:
    zone, transport, local, remote, connection = written
    return Hop(text(zone), text(transport), _address(*local), _address(*remote), connection)


def time_of(value: Any, offset: float) -> float:
    if not isfinite(value):
        raise ValueError("no time")
    return float(value) - offset


def texts(values: Any) -> tuple[str, ...]:
    return tuple(map(text, values))


def _address(host: object, port: object) -> Address:
    if not isinstance(port, int):
        raise TypeError("a port that is no number")
    return Address(text(host), port)


def text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a value that is no text")
    return value


def _log(text: str) -> None:
    from twisted.logger import Logger

    Logger(namespace="sbc.store").error("{text}", text=text)
