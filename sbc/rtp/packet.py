"""RTP and RTCP as bytes: views, and RTCP without what would carry one side's names to the other (RFC 3550, RFC
5506)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from struct import Struct
from typing import NamedTuple

from sbc.rtp.demux import Datagram

SENDER_REPORT, RECEIVER_REPORT, SOURCE_DESCRIPTION, GOODBYE, APPLICATION = 200, 201, 202, 203, 204
TRANSPORT_FEEDBACK, PAYLOAD_FEEDBACK, EXTENDED_REPORT = 205, 206, 207  # RFC 4585, RFC 3611

_FIXED = Struct("!BBHII")
_RTCP_HEADER = Struct("!BBH")


class RtpView(NamedTuple):
    """The fixed header of an RTP packet (RFC 3550 section 5.1)."""

    marker: bool
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int

    @classmethod
    def of(cls, packet: Datagram) -> RtpView:
        """Raises ValueError if `packet` is not RTP version 2 with a whole fixed header."""
        if len(packet) < 12 or packet[0] >> 6 != 2:
            raise ValueError("not an RTP packet")
        _, second, sequence, timestamp, ssrc = _FIXED.unpack_from(packet)
        return cls(second >= 128, second & 127, sequence, timestamp, ssrc)


class MalformedRtcpError(ValueError):
    """A datagram is not one or more whole RTCP packets (RFC 3550 appendix A.2, as relaxed by RFC 5506)."""


class RtcpPacket(NamedTuple):
    """One packet of a compound: its type, the five bits of its header (report count, source count or format), and what
    follows the four header bytes, without padding."""

    packet_type: int
    item_count: int
    body: bytes

    def to_bytes(self) -> bytes:
        return _RTCP_HEADER.pack(0x80 | self.item_count, self.packet_type, len(self.body) // 4) + self.body


def rtcp_packets(datagram: bytes) -> Iterator[RtcpPacket]:
    """The packets of a compound, or the only one of a reduced-size one (RFC 5506).

    Raises MalformedRtcpError where the datagram is not RTCP from end to end, packets before that place given out
    already.
    """
    at, end = 0, len(datagram)
    if not end:
        raise MalformedRtcpError("empty")
    while at < end:
        if end - at < 4:
            raise MalformedRtcpError("a header is cut off")
        first, packet_type, words = _RTCP_HEADER.unpack_from(datagram, at)
        stop = at + 4 + 4 * words
        if first >> 6 != 2:
            raise MalformedRtcpError("version is not 2")
        if stop > end:
            raise MalformedRtcpError("longer than the datagram")
        body_end = stop
        if first & 0x20:  # padding: allowed on the last packet only (RFC 3550 section 6.4.1)
            padding = datagram[stop - 1]
            if stop != end or not 0 < padding <= 4 * words or padding % 4:
                raise MalformedRtcpError("bad padding")
            body_end -= padding
        yield RtcpPacket(packet_type, first & 0x1F, datagram[at + 4 : body_end])
        at = stop


def scrub_rtcp(datagram: bytes, cname: str) -> bytes:
    """`datagram` with nothing in it that names the side it came from; b"" if nothing is left or it is malformed.

    Reports and feedback pass, without profile-specific extensions; source descriptions keep their SSRCs and say
    `cname` and nothing else; a goodbye loses its reason; application-defined and unknown packets are left out, for
    nobody can know what they say. The order stays, so that a compound that began with a report still does.
    """
    kept = []
    try:
        for packet in rtcp_packets(datagram):
            scrub = _SCRUBBERS.get(packet.packet_type)
            if scrub is not None:
                kept.append(scrub(packet, cname))
    except MalformedRtcpError:
        return b""
    return b"".join(kept)


def _reports(packet: RtcpPacket, cname: str) -> bytes:
    """SR and RR: cut to the reports that the header counts (the rest is a profile's own, section 6.4.3)."""
    size = (24 if packet.packet_type == SENDER_REPORT else 4) + 24 * packet.item_count
    if len(packet.body) < size:
        raise MalformedRtcpError("a report is cut off")
    return packet._replace(body=packet.body[:size]).to_bytes()


def _as_it_is(packet: RtcpPacket, cname: str) -> bytes:
    """Feedback and extended reports: numbers and SSRCs."""
    if len(packet.body) < (4 if packet.packet_type == EXTENDED_REPORT else 8):
        raise MalformedRtcpError("an SSRC is cut off")
    return packet.to_bytes()


def _goodbye(packet: RtcpPacket, cname: str) -> bytes:
    if len(packet.body) < 4 * packet.item_count:
        raise MalformedRtcpError("a source list is cut off")
    return packet._replace(body=packet.body[: 4 * packet.item_count]).to_bytes()


def _descriptions(packet: RtcpPacket, cname: str) -> bytes:
    items = _cname_items(cname)
    return packet._replace(body=b"".join(ssrc + items for ssrc in _described_sources(packet))).to_bytes()


def _described_sources(packet: RtcpPacket) -> list[bytes]:
    """The SSRC of each chunk of a source description (section 6.5), as its four bytes."""
    body, at, sources = packet.body, 0, []
    for _ in range(packet.item_count):
        if len(body) - at < 8:  # an SSRC and at least the null octets that end the list
            raise MalformedRtcpError("a chunk is cut off")
        sources.append(body[at : at + 4])
        at += 4
        while body[at]:
            at += 2 + (body[at + 1] if at + 1 < len(body) else 0)
            if at >= len(body):
                raise MalformedRtcpError("an item is cut off")
        at += 4 - at % 4  # the null octets run to the next 32-bit boundary, at least one of them
    if at > len(body):
        raise MalformedRtcpError("a chunk is not padded")
    return sources


@lru_cache(maxsize=64)
def _cname_items(cname: str) -> bytes:
    """A chunk's items: one CNAME, and the null octets that end the list on a 32-bit boundary."""
    text = cname.encode("utf-8", "replace")[:255]
    items = b"\x01" + bytes([len(text)]) + text
    return items + bytes(4 - len(items) % 4)


_SCRUBBERS = {
    SENDER_REPORT: _reports,
    RECEIVER_REPORT: _reports,
    SOURCE_DESCRIPTION: _descriptions,
    GOODBYE: _goodbye,
    TRANSPORT_FEEDBACK: _as_it_is,
    PAYLOAD_FEEDBACK: _as_it_is,
    EXTENDED_REPORT: _as_it_is,
}
