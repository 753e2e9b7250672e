"""Descriptions that were tampered with: read, written back, rewritten; nothing escapes but documented errors."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from sbc.media import MediaError
from sbc.sdp import SdpError, SdpLimits, parse_sdp
from tests.support.media_calls import A_SIDE, B_SIDE, media_with_ports, open_call

SEEDS = [path.read_bytes() for path in sorted((Path(__file__).parents[1] / "conformance/sdp").rglob("*.sdp"))]
PIECES = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"=",
    b":",
    b" ",
    b"/",
    b"\xff",
    b"m=",
    b"c=IN IP6 ::",
    b"o=",
    b"a=rtcp-mux",
    b"-1",
]
PIECES += [
    b"a=ssrc:1 cname:",
    b"a=candidate:",
    b"raddr",
    b"99999999999",
    b"RTP/AVP",
    b"a=rtcp:",
    b"a=rtpmap:0 ",
    b"v=0",
]


@st.composite
def tampered(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 40)))
        data[start:end] = draw(st.sampled_from(PIECES) | st.binary(max_size=12) | st.just(bytes(data[start:end]) * 2))
    return bytes(data)


@settings(max_examples=400, deadline=None)
@given(tampered() | st.binary(max_size=200))
def test_what_is_read_is_written_back_and_else_refused(data):
    limits = SdpLimits()
    fault = description = None
    try:
        description = parse_sdp(data, limits)
    except SdpError as error:
        fault = error
    if description is None:
        assert fault.reason
        assert 0 <= fault.line <= data.count(b"\n") + data.count(b"\r") + 1
    else:
        assert description.to_bytes() == data
        assert len(description.media) <= limits.max_media
        for media in description.media:
            assert all(line[1] == "=" for line in media.lines)
            assert isinstance(media.formats, list)


@settings(max_examples=400, deadline=None)
@given(tampered(), tampered(), st.booleans())
def test_a_session_refuses_or_relays_and_what_it_sends_is_well_formed(offer, answer, hidden):
    media = media_with_ports()
    session = open_call(media, A_SIDE._replace(hidden=hidden), B_SIDE)
    status = 0
    try:
        rewritten = session.offer("a", offer, 1.0).sdp
        assert len(parse_sdp(rewritten).media) == len(parse_sdp(offer).media)
        rewritten = session.answer("b", answer, 1.0).sdp
        assert len(parse_sdp(rewritten).media) == len(parse_sdp(answer).media)
        assert len(session.describe()) == len(parse_sdp(answer).media)
    except MediaError as error:
        status = error.status
    assert status in (0, 400, 488, 503)
    session.close(2.0)
    assert media.ports_in_use == 0
