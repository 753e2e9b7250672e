"""Descriptions that were tampered with: read, written back, rewritten; nothing escapes but documented errors."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from sbc.media import Dtmf, MediaError, MediaProfile, treat_dtmf
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


PROFILES = st.sampled_from(
    [
        MediaProfile(),
        MediaProfile(allow=("PCM*", "H26?", "telephone-event")),
        MediaProfile((), ("PCMU", "rtx"), ("G729",)),
    ]
)


@settings(max_examples=400, deadline=None)
@given(tampered(), tampered(), st.booleans(), PROFILES, st.sampled_from(Dtmf))
def test_whatever_two_sides_said_it_can_be_offered_on_our_own_account(offer, answer, hidden, profile, dtmf):
    media = media_with_ports()
    session = open_call(media, A_SIDE._replace(hidden=hidden), B_SIDE._replace(profile=profile))
    other = media.open("other", A_SIDE, B_SIDE)
    treat_dtmf(session, "a", dtmf)
    treat_dtmf(other, "b", dtmf)
    for each, sides in ((session, "ab"), (other, "ba")):
        for act, side, data in ((each.offer, sides[0], offer), (each.answer, sides[1], answer)):
            with suppress(MediaError):
                told = act(side, data, 1.0)
                parse_sdp(told.sdp)
    with suppress(MediaError):
        session.bridge("b", other, "b", 2.0)
    for side in "abab":
        with suppress(MediaError):
            body = session.offer_of(side, 3.0)
            if body:
                parse_sdp(body)
                reader = "b" if side == "a" else "a"
                session.answer(reader, answer, 3.0)
    for side in "ab":
        with suppress(MediaError):
            assert session.unchanged(side, answer) in (True, False)
            assert session.standing(side) == session.standing(side)
    for flow in session.flows():
        assert all(0 <= number < 128 for pair in (*flow.map_a, *flow.map_b) for number in pair)
    session.close(4.0)
    other.close(4.0)
    assert media.ports_in_use == 0


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
