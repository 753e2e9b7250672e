"""When which transaction is due: one heap for all of them."""

from __future__ import annotations

from heapq import heapify, heappop, heappush, heapreplace
from itertools import count
from math import inf

from sbc.sip.transaction import Transaction

_SMALL = 64
"""Below this many entries dead ones are not worth a compaction."""


class Deadlines:
    """The deadlines of all transactions: the earlier of `resend_at` and `ends_at` of each.

    Most clocks are stopped or set back long before they fire (a timer A of 0.5 s, answered in 1 ms, gives way to 32 s
    of timer M). So an entry that has become too early stays where it is and is put right when it comes up; only a
    deadline that moves forward makes a second entry. The first one is then dead, as is the entry of a transaction that
    has ended. Dead entries are dropped when they come up, and all at once when the heap would grow and they are more
    than half of it.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Transaction]] = []
        self._numbers = count()
        self._dead = 0

    def __len__(self) -> int:
        """Entries held, dead ones included."""
        return len(self._heap)

    def arm(self, transaction: Transaction) -> None:
        """Take note that a clock of `transaction` may have changed."""
        due = transaction.resend_at
        if transaction.ends_at < due:
            due = transaction.ends_at
        if due < transaction.armed:
            if transaction.armed != inf:
                self._dead += 1
            transaction.armed = due
            if self._dead * 2 > len(self._heap) > _SMALL:
                self._compact()
            heappush(self._heap, (due, next(self._numbers), transaction))

    def disarm(self, transaction: Transaction) -> None:
        """Forget a transaction that has ended."""
        if transaction.armed != inf:
            transaction.armed = inf
            self._dead += 1

    def _compact(self) -> None:
        self._heap = [entry for entry in self._heap if entry[2].armed == entry[0]]
        heapify(self._heap)
        self._dead = 0

    def earliest(self) -> float | None:
        """When the next transaction is due; None if none ever is."""
        heap = self._heap
        while heap:
            when, _, transaction = heap[0]
            if transaction.armed == when and (transaction.ends_at <= when or transaction.resend_at <= when):
                return when
            if transaction.armed != when:
                heappop(heap)
                self._dead -= 1
                continue
            due = transaction.resend_at
            if transaction.ends_at < due:
                due = transaction.ends_at
            transaction.armed = due
            if due == inf:
                heappop(heap)
            else:
                heapreplace(heap, (due, next(self._numbers), transaction))
        return None

    def pop(self, now: float) -> Transaction | None:
        """One transaction that is due at `now`, taken out (`arm` it again afterwards, unless it has ended); else
        None."""
        when = self.earliest()
        if when is None or when > now:
            return None
        transaction = heappop(self._heap)[2]
        transaction.armed = inf
        return transaction
