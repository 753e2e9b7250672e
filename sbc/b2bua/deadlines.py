"""Named deadlines: set, cleared and due, in O(log n), with no more memory than twice what is set."""

from __future__ import annotations

import heapq

_FEW = 64
"""Below this many entries the heap is not worth compacting."""


class Deadlines:
    """A set of (owner, kind) pairs, each with at most one time. Setting one again moves it."""

    __slots__ = ("_heap", "_owners", "_size")

    def __init__(self) -> None:
        self._heap: list[tuple[float, str, str]] = []
        self._owners: dict[str, dict[str, float]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def set(self, owner: str, kind: str, when: float) -> None:
        kinds = self._owners.get(owner)
        if kinds is None:
            kinds = self._owners[owner] = {}
        if kind not in kinds:
            self._size += 1
        kinds[kind] = when
        heapq.heappush(self._heap, (when, owner, kind))
        if len(self._heap) > 2 * self._size and len(self._heap) > _FEW:
            self._heap = [(when, o, k) for o, kinds in self._owners.items() for k, when in kinds.items()]
            heapq.heapify(self._heap)

    def clear(self, owner: str, kind: str) -> None:
        kinds = self._owners.get(owner)
        if kinds is not None and kinds.pop(kind, None) is not None:
            self._size -= 1
            if not kinds:
                del self._owners[owner]

    def take(self, owner: str, kind: str) -> float | None:
        """Clear one, and give the time that it was set for; None if it was not set."""
        when = self._owners.get(owner, {}).get(kind)
        self.clear(owner, kind)
        return when

    def clear_all(self, owner: str) -> None:
        self._size -= len(self._owners.pop(owner, ()))

    def of(self, owner: str) -> frozenset[str]:
        """The kinds that are set for `owner`."""
        return frozenset(self._owners.get(owner, ()))

    def next(self) -> float | None:
        """The earliest time that is set, or None."""
        self._drop_stale()
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> tuple[str, str] | None:
        """Take out one (owner, kind) whose time has come, earliest first; None when there is none."""
        self._drop_stale()
        if not self._heap or self._heap[0][0] > now:
            return None
        _, owner, kind = heapq.heappop(self._heap)
        self.clear(owner, kind)
        return owner, kind

    def _drop_stale(self) -> None:
        heap = self._heap
        while heap:
            when, owner, kind = heap[0]
            kinds = self._owners.get(owner)
            if kinds is not None and kinds.get(kind) == when:
                return
            heapq.heappop(heap)
