"""Whatever comes on a media port, nothing escapes and no name of the other side is passed on."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from sbc.rtp import Content, MalformedRtcpError, Reception, RtpView, content_of, rtcp_packets, scrub_rtcp

SECRET = b"10.99.88.77"


@st.composite
def rtcp_like(draw: st.DrawFn) -> bytes:
    """Packets whose headers mostly fit, holding the secret here and there."""
    datagram = b""
    for _ in range(draw(st.integers(1, 4))):
        body = draw(st.binary(max_size=24)) + draw(st.sampled_from([b"", SECRET]))
        body += b"\x00" * (-len(body) % 4)
        count = draw(st.integers(0, 3))
        kind = draw(st.integers(192, 210))
        words = len(body) // 4 + draw(st.sampled_from([0, 0, 0, 0, 1, -1]))
        datagram += bytes([0x80 | count, kind]) + (words % 65536).to_bytes(2, "big") + body
    return datagram


@given(st.binary(max_size=200))
def test_any_datagram_is_something(datagram: bytes) -> None:
    content = content_of(datagram, len(datagram))
    if content is Content.RTP:
        RtpView.of(datagram)


@given(st.one_of(st.binary(max_size=200), rtcp_like()))
@example(b"\x81\xca\x00\x01\x00\x00\x00\x07")
def test_scrubbed_rtcp_is_well_formed_and_scrubbing_it_again_changes_nothing(datagram: bytes) -> None:
    scrubbed = scrub_rtcp(datagram, "token")
    assert len(scrubbed) % 4 == 0
    if scrubbed:
        list(rtcp_packets(scrubbed))
        assert scrub_rtcp(scrubbed, "token") == scrubbed


@given(st.binary(max_size=40), st.integers(0, 3), st.sampled_from([202, 203, 204, 192, 193, 208]))
def test_no_text_survives(before: bytes, count: int, kind: int) -> None:
    body = before[: 4 * (len(before) // 4)] + b"\x01\x0b" + SECRET
    body += b"\x00" * (4 - len(body) % 4)
    packet = bytes([0x80 | count, kind]) + (len(body) // 4).to_bytes(2, "big") + body
    scrubbed = scrub_rtcp(packet, "token")
    if kind in (204, 192, 193, 208):
        assert scrubbed == b""
    elif kind == 202:
        # Only SSRCs are left of it, four bytes at a time, between tokens: the secret is longer.
        assert SECRET not in scrubbed


@given(st.binary(max_size=200))
def test_rtcp_is_read_or_refused(datagram: bytes) -> None:
    try:
        packets = list(rtcp_packets(datagram))
    except MalformedRtcpError:
        return
    if not any(first & 0x20 for first in datagram[:1]) and len(packets) == 1:
        assert packets[0].to_bytes() == datagram


@given(
    st.lists(
        st.tuples(st.integers(0, 65535), st.integers(0, 2**32 - 1), st.integers(0, 20), st.floats(0, 1e6)), max_size=200
    )
)
def test_figures_stay_sane_whatever_the_packets_say(packets: list[tuple[int, int, int, float]]) -> None:
    reception = Reception(8000)
    for sequence, timestamp, ssrc, now in packets:
        reception.count(100, sequence, timestamp, ssrc, now)
    figures = reception.figures()
    assert figures.packets == len(packets)
    assert figures.octets == 100 * len(packets)
    assert figures.lost >= 0
    assert 0 <= figures.reordered <= len(packets)
    assert figures.jitter >= 0
