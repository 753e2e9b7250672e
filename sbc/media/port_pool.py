"""Port pairs that a data plane has bound already, and who may have them.

A port is known only after the plane announced it (`PortsReady`), so that no SDP ever names a port that is not open. It
is free, in use, or resting after use. Plain data; each operation takes constant time.
"""

from __future__ import annotations

from collections import deque

from sbc.media.facts import MediaSettings
from sbc.media.flow import PortsReady
from sbc.sip import Address


class PortPool:
    """Even ports (each one stands for itself and its odd neighbour) by host."""

    def __init__(self, settings: MediaSettings) -> None:
        self._settings = settings
        self._free: dict[str, deque[Address]] = {host: deque() for host in settings.hosts}
        self._resting: deque[tuple[float, Address]] = deque()
        """In the order in which they become free: each rests for the same time."""
        self._in_use: set[Address] = set()
        self._known: set[Address] = set()
        """Free, resting or in use."""
        self._short = set(settings.hosts)
        """Hosts that may have less than `low_water` ports, and that nobody was asked for."""
        self._asked: dict[str, int] = {}
        self._ask_again: dict[str, float] = {}
        """Hosts where the plane's range was used up, and when to ask again."""
        self._now = 0.0

    @property
    def in_use(self) -> int:
        """How many ports are taken."""
        return len(self._in_use)

    @property
    def free(self) -> int:
        """How many ports could be taken now or after their rest."""
        return len(self._known) - len(self._in_use)

    def use_host(self, host: str) -> None:
        """From now on ports of `host` are wanted."""
        if host not in self._free:
            self._free[host] = deque()
            self._short.add(host)

    def take(self, host: str, now: float) -> Address | None:
        """A port that nobody has; None if there is none. The one that was idle for longest comes first."""
        self._end_rest(now)
        free = self._free.get(host)
        if not free:
            self.use_host(host)
            return None
        port = free.popleft()
        self._in_use.add(port)
        if len(free) < self._settings.low_water and host not in self._asked:
            self._short.add(host)
        return port

    def give_back(self, port: Address, now: float) -> None:
        """`port` is no longer used; it rests before anybody gets it again. A port that is not in use is ignored."""
        self._now = now
        if port in self._in_use:
            self._in_use.discard(port)
            self._resting.append((now + self._settings.drain, port))

    def ready(self, event: PortsReady, now: float) -> None:
        """The plane has bound more ports."""
        self._now = now
        self.use_host(event.host)
        asked = self._asked.pop(event.host, 0)
        if len(event.ports) < asked:
            self._ask_again[event.host] = now + self._settings.retry
        for number in event.ports:
            port = Address(event.host, number)
            if port not in self._known:
                self._known.add(port)
                self._free[event.host].append(port)
        self._short.add(event.host)

    def plane_lost(self, now: float) -> None:
        """Nothing is bound any more. Ports in use are bound again when their flows are applied again."""
        self._now = now
        for free in self._free.values():
            free.clear()
        self._resting.clear()
        self._known = set(self._in_use)
        self._asked.clear()
        self._ask_again.clear()
        self._short.update(self._free)

    def wanted(self) -> list[tuple[str, int]]:
        """(host, number of ports) that a plane should bind. What is returned counts as asked for until `ready`
        answers."""
        wanted: list[tuple[str, int]] = []
        if not self._short:
            return wanted
        for host in list(self._short):
            there = len(self._free[host])
            if there < self._settings.low_water:
                if self._ask_again.get(host, 0.0) > self._now:
                    continue
                self._ask_again.pop(host, None)
                count = self._settings.high_water - there
                self._asked[host] = count
                wanted.append((host, count))
            self._short.discard(host)
        return wanted

    def _end_rest(self, now: float) -> None:
        self._now = now
        resting = self._resting
        while resting and resting[0][0] <= now:
            port = resting.popleft()[1]
            self._free[port.host].append(port)
