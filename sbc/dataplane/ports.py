"""Port pairs: an even port for RTP and the odd one after it for RTCP (RFC 3550 section 11), bound together and kept."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterable, Iterator
from errno import EACCES, EADDRINUSE, EMFILE, ENFILE
from functools import lru_cache
from ipaddress import ip_address
from math import gcd
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sbc.dataplane.side import Side

Place = tuple[str, int]
"""Host (an address in text form) and port."""

MISSES = 1000
"""Ports tried in one `bind` that turn out to be taken before it gives up; what is left is asked for again later."""


class Pair:
    """Two bound, unconnected sockets, and the side of a flow that uses them, if any."""

    __slots__ = ("dropped", "drops", "family", "host", "port", "rtcp", "rtp", "side", "watched")

    def __init__(self, host: str, port: int) -> None:
        """Raises OSError if either port cannot be bound. Neither is shared with anyone: both belong to us alone."""
        self.host = host
        self.port = port
        self.family = family_of(host)
        socket.inet_pton(self.family, host)  # as in `Ports.bind`
        self.side: Side | None = None
        self.dropped = 0
        """Datagrams that came while idle, since the pair was last used."""
        self.drops: tuple[Callable[[float], None], ...] = ()
        """What reads and drops from the two sockets while the pair is idle."""
        self.watched = False
        self.rtp = bound_socket(self.family, host, port)
        try:
            self.rtcp = bound_socket(self.family, host, port + 1)
        except OSError:
            self.rtp.close()
            raise

    def close(self) -> None:
        self.rtp.close()
        self.rtcp.close()


def family_of(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def bound_socket(family: socket.AddressFamily, host: str, port: int, *, beside: bool = False) -> socket.socket:
    """A non-blocking UDP socket; `beside` another of ours on the same port, which must allow it at this moment."""
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if beside:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def reachable(place: object, family: socket.AddressFamily) -> Place | None:
    """`place` if it is an address and port of `family` that one packet can be sent to; else None. Never a name: the
    kernel would have to wait for DNS. Never multicast or broadcast: an SDP must not make us flood a network."""
    if not isinstance(place, list) or len(place) != 2:
        return None
    host, port = place
    if not isinstance(host, str) or not isinstance(port, int) or not 0 < port < 65536:
        return None
    text = _unicast(host, family)
    return None if text is None else (text, port)


@lru_cache(maxsize=4096)
def _unicast(host: str, family: socket.AddressFamily) -> str | None:
    """`host` as the kernel writes it, if it is one address of `family`; peers are few and come again."""
    try:
        text = socket.inet_ntop(family, socket.inet_pton(family, host))
    except (OSError, ValueError):
        return None
    address = ip_address(text)
    if address.is_multicast or address.is_unspecified or text.startswith("0.") or text == "255.255.255.255":
        return None
    return text


class _Candidates:
    """The even ports of one host that may be taken, in an order that an attacker cannot tell beforehand."""

    def __init__(self, low: int, high: int) -> None:
        """`low` to `high`, both included, hold both ports of each pair. Raises ValueError if that makes no pair."""
        self._first = low + low % 2
        self._size = (high + 1 - self._first) // 2
        if not 0 < low < high < 65536 or self._size < 1:
            raise ValueError(f"no port pair in {low}-{high}")
        chance = random.SystemRandom()
        self._at = chance.randrange(self._size)
        self._step = next(n for n in iter(lambda: chance.randrange(1, self._size + 1), 0) if gcd(n, self._size) == 1)

    def __iter__(self) -> Iterator[int]:
        """Each port of the range once, beginning after the last one given out."""
        for _ in range(self._size):
            yield self._first + 2 * self._at
            self._at = (self._at + self._step) % self._size


class Ports:
    """All pairs that are bound, by host and even port."""

    def __init__(self, ranges: Iterable[tuple[str, int, int]]) -> None:
        """`ranges`: host, or "*" for every host, and the lowest and highest port, both included. Raises ValueError
        if one of them holds no pair."""
        self._ranges = list(ranges)
        for _, low, high in self._ranges:
            _Candidates(low, high)
        self._candidates: dict[str, list[_Candidates]] = {}
        self.bound: dict[Place, Pair] = {}

    def bind(self, host: str, count: int) -> list[Pair]:
        """Up to `count` more pairs on `host`. Ports held by others are passed over; without descriptors, fewer come.
        Raises OSError if `host` is not an address of ours, ValueError if no range was given for it."""
        socket.inet_pton(family_of(host), host)  # a name would be looked up, and we would wait for it
        made: list[Pair] = []
        misses = 0
        candidates = self._candidates.get(host)
        if candidates is None:
            candidates = [_Candidates(low, high) for name, low, high in self._ranges if name in (host, "*")]
            if not candidates:
                raise ValueError(f"no port range for {host}")
            self._candidates[host] = candidates
        for one in candidates:
            for port in one:
                if len(made) >= count or misses >= MISSES:
                    return made
                if (host, port) in self.bound:
                    continue
                try:
                    made.append(self._add(host, port))
                except OSError as error:
                    if error.errno in (EADDRINUSE, EACCES):
                        misses += 1
                    elif made or error.errno in (EMFILE, ENFILE):
                        return made
                    else:
                        raise
        return made

    def pair(self, host: str, port: int) -> tuple[Pair, bool]:
        """The pair at `port`, and whether it had to be bound now. Raises OSError if it cannot be."""
        known = self.bound.get((host, port))
        return (known, False) if known is not None else (self._add(host, port), True)

    def _add(self, host: str, port: int) -> Pair:
        pair = self.bound[host, port] = Pair(host, port)
        return pair

    def close(self) -> None:
        for pair in self.bound.values():
            pair.close()
        self.bound.clear()
