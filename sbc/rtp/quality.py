"""Figures of received RTP: loss, order, jitter (RFC 3550 section 6.4.1, appendices A.1, A.3 and A.8)."""

from __future__ import annotations

from typing import NamedTuple

MAX_DROPOUT = 3000
"""A sequence number further ahead than this is not loss but a source that began anew (appendix A.1)."""
MAX_MISORDER = 100
"""One further back than this as well; nearer it is a late or repeated packet."""
MAX_SOURCES = 8
"""Sources (SSRCs) of one stream that are told apart at a time; the oldest makes room. A peer cannot make more of
them."""
MAX_JUMP = 1 << 31
"""A change of transit time beyond this many timestamp units is the timestamp wrapping, not jitter."""


class Figures(NamedTuple):
    """What was received of one stream."""

    packets: int
    octets: int
    lost: int
    """Expected minus received, summed over sources, none of them below 0."""
    reordered: int
    jitter: float
    """Milliseconds, of the source that spoke last."""


class _Source(NamedTuple):
    """State of a source that is not speaking now."""

    first: int
    next: int
    cycles: int
    received: int
    transit: float | None
    jitter: float


class Reception:
    """Counts what comes from one side of a flow.

    Appendix A.1's probation is left out: it protects against stray packets taken for a new source, and here the
    latch has done that already. A jump is believed, as there, when two packets in sequence follow it.
    """

    __slots__ = (
        "_bad",
        "_cycles",
        "_first",
        "_jitter",
        "_lost",
        "_next",
        "_packets",
        "_received",
        "_silent_sources",
        "_ssrc",
        "_transit",
        "clock_rate",
        "octets",
        "reordered",
    )

    def __init__(self, clock_rate: int) -> None:
        """`clock_rate` in Hz, of the RTP timestamp; it may be set later, when an answer has chosen another codec."""
        self.clock_rate = clock_rate if clock_rate > 0 else 8000
        self.octets = 0
        self.reordered = 0
        self._packets = 0  # of sources that made room, and before a source began anew
        self._lost = 0  # likewise
        self._silent_sources: dict[int, _Source] = {}
        self._ssrc = -1
        self._first = -1  # of the source that speaks; -1: it has not spoken
        self._next = -1
        self._bad = -1
        self._cycles = 0
        self._received = 0
        self._transit: float | None = None
        self._jitter = 0.0

    @property
    def packets(self) -> int:
        return self._packets + self._received + sum(source.received for source in self._silent_sources.values())

    def count(self, size: int, sequence: int, timestamp: int, ssrc: int, now: float) -> None:
        """One RTP packet of `size` bytes came at `now`. The hot path: a packet in order costs a few additions."""
        self.octets += size
        if ssrc != self._ssrc:
            self._switch(ssrc)
        if sequence == self._next:
            if sequence == 0xFFFF:
                self._next = 0
                self._cycles += 0x10000
            else:
                self._next = sequence + 1
        else:
            self._out_of_order(sequence)
        self._received += 1
        transit = now * self.clock_rate - timestamp
        if self._transit is not None:
            change = transit - self._transit
            if change < 0:
                change = -change
            if change < MAX_JUMP:
                self._jitter += (change - self._jitter) * 0.0625  # A.8: J += (|D| - J) / 16
        self._transit = transit

    def count_opaque(self, size: int) -> None:
        """One datagram of which nothing but its size is known."""
        self.octets += size
        self._received += 1

    def figures(self) -> Figures:
        lost = self._lost + _lost(self._first, self._next, self._cycles, self._received)
        for source in self._silent_sources.values():
            lost += _lost(source.first, source.next, source.cycles, source.received)
        return Figures(self.packets, self.octets, lost, self.reordered, self._jitter * 1000 / self.clock_rate)

    def position(self, now: float) -> tuple[int, int, int] | None:
        """(SSRC, next sequence number, RTP timestamp) that the source that spoke last would send with at `now`; None
        before its first packet."""
        if self._next < 0 or self._transit is None:
            return None
        return self._ssrc, self._next, int(now * self.clock_rate - self._transit) & 0xFFFFFFFF

    def _out_of_order(self, sequence: int) -> None:
        if self._first < 0:  # the first packet of a source
            self._begin(sequence)
            return
        ahead = (sequence - self._next) & 0xFFFF
        if ahead < MAX_DROPOUT:  # packets between are lost, or late
            if sequence < self._next:
                self._cycles += 0x10000
            self._advance(sequence)
            self._bad = -1
        elif ahead >= 0x10000 - MAX_MISORDER - 1:
            self.reordered += 1
        elif sequence == self._bad:  # two in sequence after a jump: the other side began anew
            self._fold()
            self._begin(sequence)
        else:
            self._bad = (sequence + 1) & 0xFFFF

    def _advance(self, sequence: int) -> None:
        self._next = (sequence + 1) & 0xFFFF
        if not self._next:
            self._cycles += 0x10000

    def _begin(self, sequence: int) -> None:
        self._first = sequence
        self._next = -1
        self._cycles = 0
        self._received = 0
        self._bad = -1
        self._transit = None
        self._jitter = 0.0
        if sequence >= 0:
            self._advance(sequence)

    def _fold(self) -> None:
        """Keep what the speaking source's state says, before it is overwritten."""
        self._packets += self._received
        self._lost += _lost(self._first, self._next, self._cycles, self._received)

    def _switch(self, ssrc: int) -> None:
        """Another source speaks: put this one's state aside and take up the other's."""
        sources = self._silent_sources
        if self._first >= 0:
            sources[self._ssrc] = _Source(
                self._first, self._next, self._cycles, self._received, self._transit, self._jitter
            )
        else:
            self._packets += self._received
        self._ssrc = ssrc
        known = sources.pop(ssrc, None)
        if known is not None:
            self._first, self._next, self._cycles, self._received, self._transit, self._jitter = known
            self._bad = -1
            return
        if len(sources) >= MAX_SOURCES:
            oldest = sources.pop(next(iter(sources)))
            self._packets += oldest.received
            self._lost += _lost(oldest.first, oldest.next, oldest.cycles, oldest.received)
        self._begin(-1)


def _lost(first: int, following: int, cycles: int, received: int) -> int:
    """A.3: the extended highest sequence number gives how many were expected."""
    return max(0, cycles + following - first - received) if first >= 0 else 0
