"""Treatment "dtmf": telephone-events (RFC 4733) read from a stream of RTP packets, and made for one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from struct import Struct
from typing import NamedTuple

from sbc.rtp.demux import Datagram

DIGITS = "0123456789*#ABCD!"
"""By event code (RFC 4733 section 3.2); "!" stands for a flash."""
SHORTEST, LONGEST = 40, 6000
"""Milliseconds of an event that we send; shorter ones are not recognised everywhere, longer ones are a mistake."""
INTERVAL = 0.02
"""Seconds between two packets of an event, as between packets of audio."""
PAUSE = 0.05
"""Seconds between two events, so that the same digit twice is heard as two."""
ENDS = 3
"""How often the end of an event is sent (section 2.5.1.4)."""
WAIT = 0.2
"""Seconds without a packet after which an event whose end did not come is over (section 2.5.2.2: at least three
intervals of the sender)."""
MOST_WAITING = 64
"""Digits that wait to be sent to one side at most."""

_BLOCK = Struct("!BBH")
_PACKET = Struct("!BBHIIBBH")
_VOLUME = 10
"""dBm0 below zero, of what we send."""


class Heard(NamedTuple):
    """An event that is over."""

    digit: str
    duration: int
    """Milliseconds."""


def payload_at(datagram: Datagram, size: int) -> int:
    """Where the payload of an RTP packet begins (RFC 3550 sections 5.1, 5.3.1); `size` if there is none."""
    at = 12 + 4 * (datagram[0] & 0x0F)
    if datagram[0] & 0x10:
        if at + 4 > size:
            return size
        at += 4 + 4 * int.from_bytes(datagram[at + 2 : at + 4], "big")
    return min(at, size)


class EventDetector:
    """Follows the events of one side. An event is one for all packets of a source with its timestamp; it is over with
    the first packet that has the end bit, with a packet of a later event, or when no packet comes any more."""

    __slots__ = ("_code", "_duration", "_ended", "_heard_at", "_passed", "_rate", "_source", "_start", "rates")

    def __init__(self, rates: Mapping[int, int]) -> None:
        self.rates = rates
        """Payload number of events -> clock rate in Hz."""
        self._source = -1
        self._start = 0  # RTP timestamp of the event, of its last segment where it is a long one
        self._code = -1
        self._duration = 0  # of that segment, in timestamp units
        self._passed = 0  # of earlier segments
        self._rate = 8000
        self._ended = True
        self._heard_at = 0.0

    @property
    def deadline(self) -> float | None:
        """When to call `expire`, while an event is under way."""
        return None if self._ended else self._heard_at + WAIT

    def packet(self, number: int, ssrc: int, timestamp: int, payload: Datagram, now: float) -> list[Heard]:
        """A packet of events came, with payload number `number`: those that are over by it, mostly none."""
        over: list[Heard] = []
        start = timestamp
        for at in range(0, len(payload) - 3, 4):  # events one after the other (section 2.5.1.5): each has four bytes
            code, flags, duration = _BLOCK.unpack_from(payload, at)
            self._event(ssrc, start, code, bool(flags & 0x80), duration, self.rates.get(number, 8000), over)
            start = (start + duration) & 0xFFFFFFFF
        self._heard_at = now
        return over

    def expire(self, now: float) -> list[Heard]:
        """An event whose packets have ceased."""
        over: list[Heard] = []
        if not self._ended and now >= self._heard_at + WAIT:
            self._finish(over)
        return over

    def _event(self, ssrc: int, start: int, code: int, ends: bool, duration: int, rate: int, over: list[Heard]) -> None:
        if ssrc != self._source or self._code < 0:
            self._finish(over)
            self._begin(ssrc, start, code, rate)
        elif start != self._start:
            later = (start - self._start) & 0xFFFFFFFF
            if later >= 0x80000000:
                return  # a packet of an event that is over
            if not self._ended and code == self._code and later >= 0xFFFF and later <= self._duration + rate // 10:
                self._passed += later  # section 2.5.1.3: a long event goes on in another segment
                self._start = start
                self._duration = 0
            else:
                self._finish(over)
                self._begin(ssrc, start, code, rate)
        self._duration = max(self._duration, duration)
        if ends:
            self._finish(over)

    def _begin(self, ssrc: int, start: int, code: int, rate: int) -> None:
        self._source = ssrc
        self._start = start
        self._code = code
        self._duration = self._passed = 0
        self._rate = rate
        self._ended = False

    def _finish(self, over: list[Heard]) -> None:
        if self._ended:
            return
        self._ended = True
        if 0 <= self._code < len(DIGITS):
            over.append(Heard(DIGITS[self._code], (self._passed + self._duration) * 1000 // self._rate))


class EventPacket(NamedTuple):
    """What makes one packet of an event, but for its sequence number."""

    marker: bool
    code: int
    ends: bool
    duration: int
    """Timestamp units."""

    def to_bytes(self, number: int, sequence: int, timestamp: int, ssrc: int) -> bytes:
        """`number`: payload number."""
        second = number | (0x80 if self.marker else 0)
        flags = (0x80 if self.ends else 0) | _VOLUME
        return _PACKET.pack(0x80, second, sequence, timestamp, ssrc, self.code, flags, self.duration)


def event_packets(digit: str, duration: int, rate: int) -> Iterator[EventPacket]:
    """The packets of one event, to be sent `INTERVAL` apart, all with the timestamp of its start (section 2.5.1).

    `duration` in milliseconds is held within bounds, and within what 16 bits can say at `rate` Hz. Raises ValueError
    for what is no digit.
    """
    code = DIGITS.find(digit.upper())
    if code < 0 or len(digit) != 1:
        raise ValueError(f"no digit: {digit!r}")
    whole = min(max(SHORTEST, min(duration, LONGEST)) * rate // 1000, 0xFFFF)
    return _packets(code, whole, int(rate * INTERVAL))


def _packets(code: int, whole: int, step: int) -> Iterator[EventPacket]:
    yield EventPacket(True, code, False, min(step, whole))
    for now in range(2 * step, whole, step):
        yield EventPacket(False, code, False, now)
    for _ in range(ENDS):
        yield EventPacket(False, code, True, whole)
