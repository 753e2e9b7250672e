"""What a datagram on a media port is, by its first two bytes (RFC 7983 section 7, RFC 5761 section 4)."""

from __future__ import annotations

from enum import Enum

Datagram = bytes | bytearray | memoryview


class Content(Enum):
    """The protocols that share a media port."""

    RTP = "rtp"
    RTCP = "rtcp"
    STUN = "stun"
    DTLS = "dtls"
    ZRTP = "zrtp"
    TURN = "turn"
    UNKNOWN = "unknown"


def _first_byte_table() -> tuple[Content, ...]:
    table = [Content.UNKNOWN] * 256
    for first, last, content in (
        (0, 3, Content.STUN),
        (16, 19, Content.ZRTP),
        (20, 63, Content.DTLS),
        (64, 79, Content.TURN),
        (128, 191, Content.RTP),
    ):
        table[first : last + 1] = [content] * (last + 1 - first)
    return tuple(table)


_BY_FIRST_BYTE = _first_byte_table()

RTCP_FIRST, RTCP_LAST = 192, 223
"""Second bytes that are RTCP packet types and never RTP: payload types 64 to 95 with the marker are not given out on a
port that carries both (RFC 5761 section 4)."""


def content_of(datagram: Datagram, size: int) -> Content:
    """What the first `size` bytes of `datagram` are. RTP shorter than its fixed header is `UNKNOWN`, as is RTCP of
    less than the four bytes that hold its length."""
    if not size:
        return Content.UNKNOWN
    content = _BY_FIRST_BYTE[datagram[0]]
    if content is not Content.RTP:
        return content
    if size >= 4 and RTCP_FIRST <= datagram[1] <= RTCP_LAST:
        return Content.RTCP
    return Content.RTP if size >= 12 else Content.UNKNOWN
