"""Sequence numbers of a relayed stream that packets are taken out of, and put into."""

from __future__ import annotations

from collections import deque

_REMEMBERED = 128
"""Changes that are kept for packets that come late; later ones than these would be too late anyway."""


class SequenceShift:
    """What comes in with one sequence number goes on with another, so that the receiver sees no gap where a packet was
    taken out, and no number twice where one was put in. One source (SSRC) at a time: a new one begins without shift."""

    __slots__ = ("_changes", "_next", "_offset", "ssrc")

    def __init__(self) -> None:
        self.ssrc = -1
        """Of the stream; -1 before the first packet."""
        self._next = 0  # expected, as it comes in
        self._offset = 0
        self._changes: deque[tuple[int, int]] = deque(maxlen=_REMEMBERED)  # (incoming number as of which, by how much)

    @property
    def is_shifted(self) -> bool:
        return bool(self._offset or self._changes)

    def begin(self, ssrc: int, sequence: int) -> None:
        """The stream is that of `ssrc`, and `sequence` is expected next."""
        self.ssrc = ssrc
        self._next = sequence
        self._offset = 0
        self._changes.clear()

    def passing(self, ssrc: int, sequence: int) -> int:
        """The number with which a packet goes on."""
        if ssrc != self.ssrc:
            self.begin(ssrc, sequence)
        if (sequence - self._next) & 0xFFFF < 0x8000:
            self._next = (sequence + 1) & 0xFFFF
            return (sequence + self._offset) & 0xFFFF
        return (sequence + self._offset_at(sequence)) & 0xFFFF

    def taken_out(self, ssrc: int, sequence: int) -> None:
        """A packet does not go on. One that comes late leaves a gap: those after it have their numbers already."""
        if ssrc != self.ssrc:
            self.begin(ssrc, sequence)
        if (sequence - self._next) & 0xFFFF < 0x8000:
            self._next = (sequence + 1) & 0xFFFF
            self._shift(-1)

    def put_in(self) -> int:
        """The number of a packet of ours that goes out now."""
        number = (self._next + self._offset) & 0xFFFF
        self._shift(1)
        return number

    def _shift(self, change: int) -> None:
        self._offset += change
        self._changes.append((self._next, change))

    def _offset_at(self, sequence: int) -> int:
        """The offset that was in force when `sequence` should have come."""
        offset = self._offset
        for since, change in reversed(self._changes):
            if (sequence - since) & 0xFFFF < 0x8000:
                break
            offset -= change
        return offset
