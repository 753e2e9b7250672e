"""How often sockets for datagrams are looked at.

While few datagrams come, the reactor wakes up for each of them, at once. When they come fast, waking up is a tenth of
what a call costs; then the sockets are taken out of the reactor and looked at now and then, and what came meanwhile is
taken together. Network drivers do the same with their interrupts.
"""

from __future__ import annotations

from typing import Any, Protocol

PAUSE, LONGEST = 0.004, 0.010
"""Seconds between two looks, at least and at most, and the longest that a datagram waits then: nothing to a
telephone."""
WORTH = 4
"""Datagrams that make a look worth while: one costs as much as to answer a refresh of a registration."""
FAST, SLOW = 400.0, 200.0
"""Datagrams a second from which on we look ourselves, and below which the reactor wakes us again."""
WINDOW = 0.1
"""Seconds over which they are counted."""
MOST = 32
"""Datagrams that a socket takes at once, before timers and other sockets get their turn."""


class Datagrams(Protocol):
    """A socket that `Pace` looks after; an `IReadDescriptor` besides."""

    def take(self, most: int) -> int:
        """Read and serve up to `most` datagrams that wait; how many there were."""


class Pace:
    """Looks after the sockets of one process."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._sockets: list[Datagrams] = []
        self._timer: Any = None
        self._count = 0
        self._since: float = reactor.seconds()
        self._pause = PAUSE

    @property
    def is_fast(self) -> bool:
        """Whether the sockets are looked at instead of waking us."""
        return self._timer is not None

    def add(self, sock: Datagrams) -> None:
        """Let `sock` take its datagrams from now on."""
        self._sockets.append(sock)
        if self._timer is None:
            self._reactor.addReader(sock)

    def remove(self, sock: Datagrams) -> None:
        """Before `sock` is closed. One that was not added is ignored."""
        if sock not in self._sockets:
            return
        self._sockets.remove(sock)
        if self._timer is None:
            self._reactor.removeReader(sock)
        elif not self._sockets:
            self._stop_looking()

    def again(self, sock: Datagrams) -> None:
        """The reactor has dropped `sock`, which has not ended."""
        if self._timer is None:
            self._reactor.addReader(sock)

    def woken(self, sock: Datagrams) -> None:
        """The reactor says that something waits in `sock`."""
        self._count += sock.take(MOST)
        if self._rate() >= FAST and self._timer is None and self._sockets:
            for each in self._sockets:
                self._reactor.removeReader(each)
            self._timer = self._reactor.callLater(self._pause, self._look)

    def _look(self) -> None:
        self._timer = self._reactor.callLater(self._pause, self._look)  # first, so that no exception ends it
        for sock in tuple(self._sockets):
            taken = sock.take(MOST)
            self._count += taken
            if taken == MOST and self._timer is not None:
                self._timer.reset(0.0)
        if self._rate() < SLOW and self._timer is not None:
            self._stop_looking()
            for sock in self._sockets:
                self._reactor.addReader(sock)

    def _stop_looking(self) -> None:
        self._timer.cancel()
        self._timer = None

    def _rate(self) -> float:
        """Datagrams a second over the last window; between the two bounds until a window is over."""
        now: float = self._reactor.seconds()
        elapsed = now - self._since
        if elapsed < WINDOW:
            return (FAST + SLOW) / 2
        rate = self._count / elapsed
        self._since, self._count = now, 0
        self._pause = min(max(PAUSE, WORTH / max(rate, 1.0)), LONGEST)
        return rate
