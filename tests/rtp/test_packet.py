"""RFC 3550 sections 5 and 6, RFC 5506."""

from __future__ import annotations

import struct

import pytest

from sbc.rtp import MalformedRtcpError, RtcpPacket, RtpView, rtcp_packets, scrub_rtcp

REPORT_BLOCK = bytes(range(24))
SR = struct.pack("!BBHI", 0x81, 200, 12, 7) + bytes(20) + REPORT_BLOCK
RR = struct.pack("!BBHI", 0x80, 201, 1, 7)
NACK = struct.pack("!BBHIIHH", 0x81, 205, 3, 7, 8, 1000, 3)
PLI = struct.pack("!BBHII", 0x81, 206, 2, 7, 8)
XR = struct.pack("!BBHIBBH", 0x80, 207, 2, 7, 4, 0, 0)
APP = struct.pack("!BBHI4s", 0x80, 204, 2, 7, b"priv")


def sdes(*chunks: tuple[int, list[tuple[int, bytes]]]) -> bytes:
    body = b""
    for ssrc, items in chunks:
        chunk = struct.pack("!I", ssrc) + b"".join(bytes([kind, len(text)]) + text for kind, text in items)
        body += chunk + b"\x00" * (4 - len(chunk) % 4)
    return struct.pack("!BBH", 0x80 | len(chunks), 202, len(body) // 4) + body


def bye(*ssrcs: int, reason: bytes = b"") -> bytes:
    body = b"".join(struct.pack("!I", ssrc) for ssrc in ssrcs)
    if reason:
        body += bytes([len(reason)]) + reason
        body += b"\x00" * (-len(body) % 4)
    return struct.pack("!BBH", 0x80 | len(ssrcs), 203, len(body) // 4) + body


def test_a_view_of_rtp() -> None:
    assert RtpView.of(struct.pack("!BBHII", 0x80, 0x80 | 8, 65535, 160, 99) + b"audio") == (True, 8, 65535, 160, 99)


@pytest.mark.parametrize("packet", [b"", b"\x80" + bytes(10), b"\x40" + bytes(11)])
def test_what_is_not_rtp_has_no_view(packet: bytes) -> None:
    with pytest.raises(ValueError, match="not an RTP packet"):
        RtpView.of(packet)


def test_a_compound_is_its_packets_and_they_write_back_the_same() -> None:
    packets = list(rtcp_packets(SR + sdes((7, [(1, b"a@b")])) + bye(7)))
    assert [packet.packet_type for packet in packets] == [200, 202, 203]
    assert b"".join(packet.to_bytes() for packet in packets) == SR + sdes((7, [(1, b"a@b")])) + bye(7)


def test_padding_of_the_last_packet_is_taken_off() -> None:
    padded = struct.pack("!BBHI", 0xA0, 201, 2, 7) + b"\x00\x00\x00\x04"
    assert list(rtcp_packets(SR + padded)) == [*rtcp_packets(SR), RtcpPacket(201, 0, struct.pack("!I", 7))]


@pytest.mark.parametrize(
    "datagram",
    [
        pytest.param(b"", id="empty"),
        pytest.param(RR + b"\x80", id="header cut off"),
        pytest.param(SR[:-4], id="body cut off"),
        pytest.param(b"\x40" + RR[1:], id="version 1"),
        pytest.param(struct.pack("!BBHI", 0xA0, 201, 2, 7) + b"\x00\x00\x00\x04" + RR, id="padding not in the last"),
        pytest.param(struct.pack("!BBHI", 0xA0, 201, 2, 7) + b"\x00\x00\x00\x00", id="no padding where some is said"),
        pytest.param(struct.pack("!BBHI", 0xA0, 201, 2, 7) + b"\x00\x00\x00\x0c", id="more padding than packet"),
        pytest.param(struct.pack("!BBH", 0xA0, 201, 0), id="padding without a body"),
    ],
)
def test_malformed_rtcp_is_an_error_and_is_never_passed_on(datagram: bytes) -> None:
    with pytest.raises(MalformedRtcpError):
        list(rtcp_packets(datagram))
    assert scrub_rtcp(datagram, "token") == b""


@pytest.mark.parametrize("datagram", [SR, RR, NACK, PLI, XR, SR + NACK + PLI + XR, bye(7, 8)])
def test_what_holds_only_numbers_passes_as_it_is(datagram: bytes) -> None:
    assert scrub_rtcp(datagram, "token") == datagram


def test_a_source_description_says_the_token_and_nothing_else() -> None:
    told = sdes(
        (7, [(1, b"alice@10.0.0.5"), (2, b"Alice"), (3, b"a@x"), (6, b"Phone 1")]), (8, [(8, b"\x01pq")]), (9, [])
    )
    assert scrub_rtcp(RR + told, "token") == RR + sdes(*((ssrc, [(1, b"token")]) for ssrc in (7, 8, 9)))


@pytest.mark.parametrize("cname", ["a", "ab", "abc", "abcd", "abcde", "x" * 300])
def test_a_token_of_any_length_makes_a_chunk_that_can_be_read(cname: str) -> None:
    scrubbed = scrub_rtcp(RR + sdes((7, [(1, b"alice")])), cname)
    assert scrubbed == RR + sdes((7, [(1, cname.encode()[:255])]))


def test_a_goodbye_loses_its_reason() -> None:
    assert scrub_rtcp(RR + bye(7, 8, reason=b"host 10.0.0.5 ends"), "token") == RR + bye(7, 8)


def test_what_nobody_can_know_the_meaning_of_is_left_out() -> None:
    unknown = struct.pack("!BBHI", 0x80, 210, 1, 7)
    assert scrub_rtcp(RR + APP + unknown + bye(7), "token") == RR + bye(7)
    assert scrub_rtcp(APP, "token") == b""


def test_a_profile_s_own_part_of_a_report_is_cut_off() -> None:
    longer = struct.pack("!BBHI", 0x80, 201, 3, 7) + b"10.0.0.5"
    assert scrub_rtcp(longer, "token") == RR


@pytest.mark.parametrize(
    "datagram",
    [
        pytest.param(struct.pack("!BBHI", 0x81, 200, 1, 7), id="sender report without sender"),
        pytest.param(struct.pack("!BBHI", 0x81, 201, 1, 7), id="report block missing"),
        pytest.param(struct.pack("!BBHI", 0x82, 203, 1, 7), id="goodbye with a source missing"),
        pytest.param(struct.pack("!BBHI", 0x81, 205, 1, 7), id="feedback without media source"),
        pytest.param(struct.pack("!BBH", 0x81, 202, 0), id="chunk missing"),
        pytest.param(struct.pack("!BBHI", 0x81, 202, 1, 7), id="items missing"),
        pytest.param(struct.pack("!BBHIBB2s", 0x81, 202, 2, 7, 1, 9, b"ab"), id="item cut off"),
        pytest.param(struct.pack("!BBHIBB2s", 0x81, 202, 2, 7, 1, 2, b"ab"), id="list without an end"),
        pytest.param(struct.pack("!BBHI4s", 0x81, 202, 2, 7, b"\x01\x01a\x01"), id="item's length cut off"),
    ],
)
def test_a_packet_that_says_more_than_it_holds_makes_all_of_it_dropped(datagram: bytes) -> None:
    assert scrub_rtcp(RR + datagram, "token") == b""
