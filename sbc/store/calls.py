"""The record of calls, as the driver feeds it: cheap appends on the reactor thread, one writer thread, SQLite.

Nothing here waits for the disk. What cannot be written yet waits in a spool of bounded size; when that fills,
messages are dropped first, then decisions, the CDRs last. Each drop is counted and noted in the trail of its call.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sbc.b2bua import CallRecord, Decided
from sbc.sip import Hop
from sbc.store.framing import DECISION, RECEIVED, SENT
from sbc.store.retention import Retention
from sbc.store.writing import ENTRY_COST, RECORD, CallWriter, Limits

_MESSAGE_SHARE = 0.8
_DECISION_SHARE = 0.9
_NOTED_CALLS = 10000


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """What is kept of calls. Times in seconds, sizes in bytes."""

    messages: bool = True
    """Keep the messages too, not only CDR and decisions."""
    keep: float = 7 * 86400.0
    """How long an ended call is kept; 0: for ever."""
    max_size: int = 4 << 30
    """The oldest calls are deleted when the database holds more than this; 0: no bound."""
    spool: int = 32 << 20
    """What may wait in memory to be written."""
    interval: float = 1.0
    """A batch is written this often, or when a quarter of the spool is used."""
    call_entries: int = 1000
    """Messages and decisions kept of one call ..."""
    call_size: int = 1 << 20
    """... and their bytes."""


class CallStore:
    """The recorder. All methods but `close` return at once and raise nothing.

    Opens the database when made: raises `StoreError` if that cannot be. The thread starts with the first call, so
    that a process may still fork after making this. `report` is told troubles, once each, from either thread.
    """

    def __init__(
        self, path: str | Path, settings: StoreSettings | None = None, report: Callable[[str], None] | None = None
    ) -> None:
        self._settings = settings = settings or StoreSettings()
        self._report = report or _log
        limits = Limits(settings.call_entries, settings.call_size)
        self._writer = CallWriter(Path(path), limits, self._report)
        self._retention = Retention(settings.keep, settings.max_size)
        self._entries: list[tuple[Any, ...]] = []
        """(kind, call, time, what it is about, message, `_put` with it)"""
        self._put = 0
        self._taken = 0
        self._message_bound = int(settings.spool * _MESSAGE_SHARE)
        self._decision_bound = int(settings.spool * _DECISION_SHARE)
        self._wake_at = settings.spool // 4
        self._dropped: dict[str, int] = {}
        self.dropped = 0
        """Entries dropped since the start because the spool was full."""
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    # -- reactor thread ------------------------------------------------------------------------------------------------

    def message(self, call: str, at: float, sent: bool, hop: Hop, data: bytes) -> None:
        """One message of `call` as it stood on the wire, at wall-clock time `at`."""
        if not self._settings.messages:
            return
        put = self._put + len(data) + ENTRY_COST
        if put - self._taken > self._message_bound:
            self._drop(call)
            return
        self._put = put
        self._entries.append((SENT if sent else RECEIVED, call, at, hop, data, put))

    def decided(self, decided: Decided, at: float) -> None:
        """One line of the trail, at wall-clock time `at`."""
        put = self._put + ENTRY_COST
        if put - self._taken > self._decision_bound:
            self._drop(decided.call)
            return
        self._put = put
        self._entries.append((DECISION, decided.call, at, decided, b"", put))

    def opened(self, record: CallRecord, offset: float = 0.0) -> None:
        """`offset` is added to the record's times to make them wall-clock times."""
        if self._thread is None:
            self._start()
        self._record(record, offset)

    def changed(self, record: CallRecord, offset: float = 0.0) -> None:
        self._record(record, offset)

    def ended(self, record: CallRecord, offset: float = 0.0) -> None:
        if self._dropped:
            self._note_drops(record, offset)
        self._record(record, offset)

    def close(self, timeout: float = 5.0) -> None:
        """Write what waits and end the thread; waits for at most `timeout` seconds. A second time: nothing."""
        if self._closing:
            return
        self._closing = True
        thread, self._thread = self._thread, None
        if thread is not None:
            self._wake.set()
            thread.join(timeout)
            if thread.is_alive():
                self._report(f"records of calls: not all written within {timeout:g} s")
                return
        elif self._entries:
            self._write_some()
        self._writer.close()

    @property
    def waiting(self) -> int:
        """Bytes in the spool."""
        return self._put - self._taken

    @property
    def failures(self) -> int:
        """Transactions that failed."""
        return self._writer.failures

    def _record(self, record: CallRecord, offset: float) -> None:
        put = self._put + 4 * ENTRY_COST
        if put - self._taken > self._settings.spool:
            self._drop(record.call)
            return
        self._put = put
        self._entries.append((RECORD, record.call, offset, record, b"", put))
        if put - self._taken > self._wake_at:
            self._wake.set()

    def _drop(self, call: str) -> None:
        self.dropped += 1
        if call in self._dropped or len(self._dropped) < _NOTED_CALLS:
            self._dropped[call] = self._dropped.get(call, 0) + 1

    def _note_drops(self, record: CallRecord, offset: float) -> None:
        count = self._dropped.pop(record.call, 0)
        if count and self.waiting + ENTRY_COST <= self._settings.spool:
            reason = f"{count} entries of this call were dropped: the disk was too slow"
            note = Decided(record.call, record.ended or record.started, "record", "store", "dropped", reason)
            self._put += ENTRY_COST
            self._entries.append((DECISION, record.call, note.at + offset, note, b"", self._put))

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="records of calls", daemon=True)
        self._thread.start()

    # -- writer thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        closing = adopted = False
        while not closing:
            self._wake.wait(self._settings.interval)
            self._wake.clear()
            closing = self._closing
            try:
                if not adopted:
                    self._writer.adopt()
                    adopted = True
                self._write_some()
                if not closing and not self._writer.blocked:
                    self._retention.prune(self._writer.connection, time.time())
            except Exception as error:  # the record of calls never takes the service down
                self._report(f"records of calls: {type(error).__name__}: {error}")

    def _write_some(self) -> None:
        """Take what is there now. `del` and the slice are atomic against the appends of the reactor thread."""
        if not self._writer.retry():
            return
        count = len(self._entries)
        if not count:
            return
        batch = self._entries[:count]
        del self._entries[:count]
        try:
            self._writer.write(batch)
        finally:
            self._taken = batch[-1][5]


def _log(text: str) -> None:
    from twisted.logger import Logger

    Logger(namespace="sbc.store").error("{text}", text=text)
