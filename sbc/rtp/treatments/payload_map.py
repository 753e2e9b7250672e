"""Treatment "payload-map": RTP payload numbers that mean the same on the two sides of a flow, and differ."""

from __future__ import annotations

from collections.abc import Iterable


def payload_table(pairs: Iterable[tuple[int, int]]) -> bytes:
    """What becomes of the second byte of an RTP packet (marker and payload number), at the place of each of its values.
    Raises ValueError for a number that is none."""
    table = bytearray(range(256))
    for old, new in pairs:
        if not (0 <= old < 128 and 0 <= new < 128):
            raise ValueError(f"no payload number: {old} or {new}")
        table[old] = new
        table[old | 128] = new | 128
    return bytes(table)
