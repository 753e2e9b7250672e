"""RFC 7983 section 7, RFC 5761 section 4."""

from __future__ import annotations

import pytest

from sbc.rtp import Content, content_of


@pytest.mark.parametrize(
    ("first", "content"),
    [
        (0, Content.STUN), (3, Content.STUN), (4, Content.UNKNOWN), (15, Content.UNKNOWN), (16, Content.ZRTP),
        (19, Content.ZRTP), (20, Content.DTLS), (63, Content.DTLS), (64, Content.TURN), (79, Content.TURN),
        (80, Content.UNKNOWN), (127, Content.UNKNOWN), (128, Content.RTP), (191, Content.RTP), (192, Content.UNKNOWN),
        (255, Content.UNKNOWN),
    ],
)  # fmt: skip
def test_the_first_byte_tells_the_protocol(first: int, content: Content) -> None:
    assert content_of(bytes([first]) + bytes(40), 41) is content


@pytest.mark.parametrize(
    ("second", "content"),
    [
        (0, Content.RTP),
        (191, Content.RTP),
        (192, Content.RTCP),
        (200, Content.RTCP),
        (223, Content.RTCP),
        (224, Content.RTP),
    ],
)
def test_the_second_byte_tells_rtcp_from_rtp(second: int, content: Content) -> None:
    assert content_of(bytes([0x80, second]) + bytes(10), 12) is content


@pytest.mark.parametrize("datagram", [b"", b"\x80", b"\x80\x00" + bytes(9), b"\x80\xc8\x00"])
def test_what_is_too_short_is_unknown(datagram: bytes) -> None:
    assert content_of(datagram, len(datagram)) is Content.UNKNOWN


def test_only_the_first_bytes_that_count_are_looked_at() -> None:
    assert content_of(b"\x80\x00" + bytes(500), 11) is Content.UNKNOWN
