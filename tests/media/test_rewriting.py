"""What crosses, seen from outside: side a offers, side b reads."""

from __future__ import annotations

import pytest

from sbc.media import MediaSession
from tests.support.media_calls import A_SIDE, AUDIO, B_SIDE, lines, media_with_ports, open_call, sdp


def crossing(data: bytes, hidden: bool = True) -> list[str]:
    return lines(session(hidden).offer("a", data, 1.0).sdp)


def session(hidden: bool = True) -> MediaSession:
    return open_call(media_with_ports(), A_SIDE._replace(hidden=hidden), B_SIDE)


def test_a_plain_audio_offer_differs_in_o_c_and_port_only():
    before = lines(sdp(AUDIO))
    after = crossing(sdp(AUDIO), hidden=False)
    assert [new for old, new in zip(before, after, strict=True) if old != new][1:] == [
        "c=IN IP4 10.0.0.1",
        "m=audio 30000 RTP/AVP 0 101",
    ]
    assert after[1].startswith("o=- ")
    assert after[1].endswith(" 1 IN IP4 10.0.0.1")


SPOKEN_OF_US = ("i=Room 5", "u=http://pbx.corp.example/", "e=a@corp.example", "p=+1 617 555-6011", "a=tool:phone 3.1")


def test_what_names_the_sender_crosses_only_if_it_is_not_hidden():
    data = sdp(AUDIO, session=SPOKEN_OF_US).replace(b"s=-", b"s=phone")
    assert not {*SPOKEN_OF_US, "s=phone"} & set(crossing(data))
    assert {*SPOKEN_OF_US, "s=phone"} <= set(crossing(data, hidden=False))


@pytest.mark.parametrize("hidden", [True, False])
@pytest.mark.parametrize(
    "attribute",
    [
        "a=candidate:1 1 UDP 2130706431 192.0.2.7 6000 typ host",
        "a=ice-ufrag:8hhY",
        "a=ice-pwd:asd88fgpdd777uzjYhagZg",
        "a=ice-options:trickle",
        "a=end-of-candidates",
        "a=remote-candidates:1 192.0.2.3 45664",
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj",
        "a=fingerprint:SHA-256 AA:BB",
        "a=setup:actpass",
        "a=connection:new",
        "a=rtcp:6001 IN IP4 192.0.2.7",
        "a=source-filter: incl IN IP4 * 192.0.2.7",
        "a=altc:1 IP4 192.0.2.7 6000",
        "a=pcfg:1 t=1",
        "a=X-media-at:192.0.2.99:4000",
        "a=X-media-at:x2001:db8::99",
        "k=clear:secret",
    ],
)
def test_what_this_leg_does_not_speak_and_what_leads_past_us_never_crosses(attribute, hidden):
    assert attribute not in crossing(sdp(f"{AUDIO}|{attribute}"), hidden)
    assert attribute not in crossing(sdp(AUDIO, session=(attribute,)), hidden)


def test_who_opens_a_stream_of_plain_datagrams_crosses():
    roles = ["a=setup:actpass", "a=connection:new"]
    assert crossing(sdp("application 6000 UDP/BFCP *|a=floorctrl:c-s|" + "|".join(roles)))[-3:] == [
        "a=floorctrl:c-s",
        *roles,
    ]
    assert crossing(sdp("application 6000 UDP/BFCP *|a=setup:192.0.2.7|a=fingerprint:SHA-256 AA:BB"))[-1].startswith(
        "m="
    )


def test_streams_are_not_bundled_but_other_groups_stay():
    after = crossing(sdp(f"{AUDIO}|a=mid:1", session=("a=group:BUNDLE 1", "a=group:LS 1")))
    assert "a=group:BUNDLE 1" not in after
    assert "a=group:LS 1" in after
    assert "a=mid:1" in after


def test_unknown_attributes_cross_unless_they_name_a_host_of_a_hidden_sender():
    data = sdp(f"{AUDIO}|a=X-mood:good|a=X-home:PBX.corp.example|a=fmtp:0 at=pbx.corp.example", host="pbx.corp.example")
    hidden, open_ = crossing(data), crossing(data, hidden=False)
    assert "a=X-mood:good" in hidden
    assert not [line for line in hidden if "pbx" in line.lower()]
    assert {"a=X-home:PBX.corp.example", "a=fmtp:0 at=pbx.corp.example"} <= set(open_)


def test_a_short_host_name_does_not_take_other_words_with_it():
    after = crossing(sdp("audio 6000 RTP/AVP 0|a=fmtp:0 mode=fast|a=X-y:z fa", host="fa"))
    assert "a=fmtp:0 mode=fast" in after
    assert "a=X-y:z fa" not in after


def test_the_cname_of_a_hidden_sender_is_the_one_that_its_rtcp_gets():
    call = session()
    after = lines(call.offer("a", sdp(f"{AUDIO}|a=ssrc:5 cname:me@pbx|a=ssrc:5 msid:x y"), 1.0).sdp)
    (flow,) = call.answer("b", sdp(AUDIO, host="10.0.0.5"), 1.0).flows
    assert flow.b.cname
    assert f"a=ssrc:5 cname:{flow.b.cname}" in after
    assert "a=ssrc:5 msid:x y" in after
    assert "a=ssrc:5 cname:me@pbx" in crossing(sdp(f"{AUDIO}|a=ssrc:5 cname:me@pbx"), hidden=False)


def test_a_stream_that_cannot_be_relayed_keeps_its_place_and_nothing_else():
    secure = "audio 7000 RTP/SAVP 0|c=IN IP4 192.0.2.8|a=crypto:1 x inline:y|a=X-unknown:1|a=mid:s"
    after = crossing(sdp(secure, AUDIO, "message 9 TCP/TLS/MSRP *|a=path:msrps://192.0.2.7:9/x;tcp"))
    assert after[after.index("t=0 0") + 1 :] == [
        "m=audio 0 RTP/SAVP 0",
        "a=mid:s",
        "m=audio 30000 RTP/AVP 0 101",
        *AUDIO.split("|")[1:],
        "m=message 0 TCP/TLS/MSRP *",
    ]


def test_a_connection_stands_where_it_stood_and_where_it_is_needed():
    media_level = sdp(f"{AUDIO}|i=first|c=IN IP4 192.0.2.9", "audio 0 RTP/AVP 0").replace(
        b"c=IN IP4 192.0.2.7\r\n", b""
    )
    after = crossing(media_level, hidden=False)
    assert [line for line in after if line[0] in "cmi"] == [
        "m=audio 30000 RTP/AVP 0 101",
        "i=first",
        "c=IN IP4 10.0.0.1",
        "m=audio 0 RTP/AVP 0",
        "c=IN IP4 10.0.0.1",
    ]


def test_missing_lines_are_written():
    after = crossing(b"v=0\no=- 1 1 IN IP4 192.0.2.7\nc=IN IP4 192.0.2.7\na=X-z:1\nm=audio 6000 RTP/AVP 0\n")
    assert after[2:] == ["s=-", "c=IN IP4 10.0.0.1", "t=0 0", "a=X-z:1", "m=audio 30000 RTP/AVP 0"]


def test_bytes_that_are_not_utf8_cross_unharmed():
    data = sdp(f"{AUDIO}|a=X-b:@@").replace(b"@@", b"\xff\xfe")
    assert b"a=X-b:\xff\xfe\r\n" in session().offer("a", data, 1.0).sdp
