"""What is done to the RTP packets of one side on their way to the other: treatments "payload-map" and "dtmf".

Only flows that need it have passages; the packets of all others do not come here.
"""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, Any

from sbc.rtp import (
    DTMF_INTERVAL,
    DTMF_PAUSE,
    MOST_WAITING_DIGITS,
    EventDetector,
    EventPacket,
    Heard,
    SequenceShift,
    event_packets,
    payload_at,
    payload_table,
)

if TYPE_CHECKING:
    from sbc.dataplane.side import Side

_MOST_FORMATS = 64
_TOLD_A_SECOND, _TOLD_AT_ONCE = 25.0, 16.0
"""Events of a side that are told: nobody presses faster, but somebody may pretend to."""


class Passage:
    """From `side` to its other side."""

    __slots__ = (
        "_base",
        "_buffer",
        "_detector",
        "_digits",
        "_last",
        "_may_tell",
        "_may_tell_at",
        "_packets",
        "_say_at",
        "_shift",
        "_start",
        "_swallow",
        "onward",
        "side",
        "table",
    )

    def __init__(self, side: Side, buffer: bytearray) -> None:
        """`buffer` is where packets lie when `admit` sees them."""
        self.side = side
        self._buffer = buffer
        self.table: bytes | None = None
        self.onward: tuple[int, int] | None = None
        """Payload number and clock rate of events that are sent to the other side; None: it takes none."""
        self._detector: EventDetector | None = None
        self._may_tell = _TOLD_AT_ONCE
        self._may_tell_at = 0.0
        self._swallow: frozenset[int] = frozenset()
        self._shift = SequenceShift()
        self._digits: deque[tuple[str, int]] = deque(maxlen=MOST_WAITING_DIGITS)
        self._packets: deque[EventPacket] = deque()  # of the digit that is being sent
        self._say_at = 0.0
        self._start = 0  # its RTP timestamp
        self._last = (0, 0)  # source and number of the last packet of ours
        self._base = int.from_bytes(os.urandom(4), "big")  # timestamp of our own, where no stream gives one

    def set(self, words: list[Any] | None, onward: Any) -> None:
        """Make it what a command says (`sbc.dataplane.wire`); None: nothing more than what began already. Raises
        ValueError or TypeError for what makes no sense."""
        table, rates, swallow = None, {}, False
        report = False
        if words is not None:
            pairs, heard, _, report, swallow = words
            table = payload_table(pairs) if pairs else None
            rates = {int(number): int(rate) for number, rate in heard[:_MOST_FORMATS]}
        if onward is not None:
            number, rate = onward
            if not (0 <= number < 128 and 8000 <= rate <= 192_000):
                raise ValueError("no payload number or clock rate of events")
            onward = (number, rate)
        if not all(0 < rate <= 192_000 for rate in rates.values()):
            raise ValueError("no clock rate")
        self.table = table
        self.onward = onward
        self._swallow = frozenset(rates if swallow else ())
        if not report:
            self._detector = None
        elif self._detector is None:
            self._detector = EventDetector(rates)
        else:
            self._detector.rates = rates

    @property
    def only_maps(self) -> bool:
        """Nothing but payload numbers change: `table` is all."""
        return not (self._detector or self._swallow or self._packets or self.is_shifted or self.onward)

    @property
    def is_shifted(self) -> bool:
        return self._shift.is_shifted

    def admit(self, size: int, second: int, sequence: int, timestamp: int, ssrc: int, now: float) -> bool:
        """The first `size` bytes of the buffer are an RTP packet of the side: change it into what the other side gets;
        False if that is nothing."""
        number = second & 127
        detector = self._detector
        if detector is not None and number in detector.rates:
            buffer = self._buffer
            payload = memoryview(buffer)[payload_at(buffer, size) : size]
            self._tell(detector.packet(number, ssrc, timestamp, payload, now), now)
            if detector.deadline is not None:
                self.side.relay.keep_time(self)
        if number in self._swallow or self._packets:
            self._shift.taken_out(ssrc, sequence)
            return False
        if self.table is not None:
            self._buffer[1] = self.table[second]
        if self._shift.ssrc >= 0:
            self._buffer[2:4] = self._shift.passing(ssrc, sequence).to_bytes(2, "big")
        return True

    # -- digits of our own --------------------------------------------------------------------------------------------

    def say(self, digit: str, duration: int, now: float) -> None:
        """Send an event to the other side, after those that wait already."""
        if self.onward is None or len(self._digits) >= MOST_WAITING_DIGITS:
            return
        if not self._digits and not self._packets:
            self._say_at = max(now, self._say_at)
        self._digits.append((digit, duration))
        self.side.relay.keep_time(self)

    def tick(self, now: float) -> float | None:
        """Do what is due; gives the time of the next thing, None if there is none."""
        times = []
        if self._detector is not None:
            self._tell(self._detector.expire(now), now)
            if self._detector.deadline is not None:
                times.append(self._detector.deadline)
        while (self._packets or self._digits) and now >= self._say_at:
            self._say_next(now)
        if self._packets or self._digits:
            times.append(self._say_at)
        return min(times, default=None)

    def _say_next(self, now: float) -> None:
        if self.onward is None:
            self._packets.clear()
            self._digits.clear()
            return
        number, rate = self.onward
        if not self._packets:
            try:
                self._packets.extend(event_packets(*self._digits.popleft(), rate))
            except ValueError:
                return
            self._start = self._timestamp(now)
        packet = self._packets.popleft()
        ssrc = self._shift.ssrc if packet.marker else self._last[0]
        sequence = self._shift.put_in() if ssrc == self._shift.ssrc else (self._last[1] + 1) & 0xFFFF
        self._last = (ssrc, sequence)
        self.side.other.send(packet.to_bytes(number, sequence, self._start, ssrc))
        pause = DTMF_INTERVAL if self._packets else DTMF_PAUSE
        self._say_at = max(self._say_at, now - DTMF_INTERVAL) + pause

    def _timestamp(self, now: float) -> int:
        """What the relayed stream would say now. Without one there is a stream of our own."""
        position = self.side.reception.position(now)
        if position is None:
            if self._shift.ssrc < 0:
                self._shift.begin(int.from_bytes(os.urandom(4), "big"), int.from_bytes(os.urandom(2), "big"))
            assert self.onward is not None
            return (self._base + int(now * self.onward[1])) & 0xFFFFFFFF
        ssrc, sequence, timestamp = position
        if ssrc != self._shift.ssrc:
            self._shift.begin(ssrc, sequence)
        return timestamp

    def _tell(self, over: list[Heard], now: float) -> None:
        if not over:
            return
        side = self.side
        self._may_tell = min(_TOLD_AT_ONCE, self._may_tell + (now - self._may_tell_at) * _TOLD_A_SECOND)
        self._may_tell_at = now
        for digit, duration in over:
            if self._may_tell < 1:
                return
            self._may_tell -= 1
            side.relay.events.append(["k", side.flow.id, side.name, digit, duration])
