"""What of one side's formats the other one is told, seen from outside: offers and answers through a session."""

from __future__ import annotations

import pytest

from sbc.media import Dtmf, MediaError, MediaProfile, MediaSession, treat_dtmf
from tests.support.media_calls import A_SIDE, B_SIDE, lines, media_with_ports, open_call, sdp

FULL = "|".join(
    (
        "audio 6000 RTP/AVP 18 0 8 96 101",
        "a=rtpmap:96 opus/48000/2",
        "a=fmtp:96 useinbandfec=1",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        "a=fmtp:18 annexb=no",
        "a=ptime:20",
        "a=maxptime:60",
    )
)
VIDEO = (
    "video 6002 RTP/AVPF 97 98|b=AS:512|a=rtpmap:97 H264/90000|a=fmtp:97 profile-level-id=42e01f"
    "|a=rtpmap:98 rtx/90000|a=fmtp:98 apt=97|a=rtcp-fb:97 nack pli|a=rtcp-fb:* ccm fir"
)


ANY = MediaProfile()


def with_profiles(a: MediaProfile = ANY, b: MediaProfile = ANY) -> MediaSession:
    return open_call(media_with_ports(), A_SIDE._replace(profile=a), B_SIDE._replace(profile=b))


def offered(session: MediaSession, *streams: str) -> list[str]:
    return lines(session.offer("a", sdp(*streams), 1.0).sdp)


def answered(session: MediaSession, *streams: str) -> list[str]:
    return lines(session.answer("b", sdp(*streams, host="10.0.0.5"), 1.0).sdp)


def sections(text: list[str]) -> list[str]:
    return text[next(i for i, line in enumerate(text) if line[0] == "m") :]


def test_formats_that_a_profile_denies_are_gone_with_all_their_lines():
    text = sections(offered(with_profiles(b=MediaProfile(deny=("G729", "opus"))), FULL))
    assert text == [
        "m=audio 30000 RTP/AVP 0 8 101",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        "a=ptime:20",
        "a=maxptime:60",
    ]


@pytest.mark.parametrize("side", ["a", "b"])
def test_the_profile_of_either_side_counts(side):
    session = with_profiles(**{side: MediaProfile(allow=("PCMA", "telephone-event"))})
    assert sections(offered(session, FULL))[0] == "m=audio 30000 RTP/AVP 8 101"


def test_the_reader_s_order_comes_first_in_offers_and_answers():
    session = with_profiles(a=MediaProfile(order=("PCMU",)), b=MediaProfile(order=("opus", "PCMA")))
    assert sections(offered(session, FULL))[0] == "m=audio 30000 RTP/AVP 96 8 18 0 101"
    assert sections(answered(session, "audio 7000 RTP/AVP 8 0"))[0] == "m=audio 20000 RTP/AVP 0 8"


def test_a_stream_of_which_nothing_is_left_is_refused_and_the_others_go_on():
    session = with_profiles(b=MediaProfile(allow=("PCMU",)))
    text = sections(offered(session, FULL, VIDEO))
    assert [line for line in text if line[0] == "m"] == ["m=audio 30000 RTP/AVP 0", "m=video 0 RTP/AVPF 97 98"]
    assert not [line for line in text if "H264" in line]
    text = answered(session, "audio 7000 RTP/AVP 0", "video 0 RTP/AVPF 97")
    assert [line for line in text if line[0] == "m"] == ["m=audio 20000 RTP/AVP 0", "m=video 0 RTP/AVPF 97"]
    assert session.home.ports_in_use == 2


def test_an_offer_of_which_nothing_is_left_gets_488_and_takes_no_port():
    session = with_profiles(b=MediaProfile(allow=("PCMA",)))
    with pytest.raises(MediaError) as caught:
        session.offer("a", sdp("audio 6000 RTP/AVP 0 101|a=rtpmap:101 telephone-event/8000"), 1.0)
    assert caught.value.status == 488
    assert session.home.ports_in_use == 0


def test_an_answer_with_a_format_that_must_not_pass_is_told_without_it():
    session = with_profiles(a=MediaProfile(deny=("PCMU",)))
    assert sections(offered(session, FULL))[0] == "m=audio 30000 RTP/AVP 18 8 96 101"
    assert sections(answered(session, "audio 7000 RTP/AVP 0 8"))[0] == "m=audio 20000 RTP/AVP 8"
    assert sections(answered(session, "audio 7000 RTP/AVP 0"))[0] == "m=audio 0 RTP/AVP 0"


def test_streams_that_are_not_rtp_are_nobody_s_business():
    session = with_profiles(b=MediaProfile(allow=("PCMU",)))
    text = sections(offered(session, "image 6004 udptl t38|a=T38FaxVersion:0"))
    assert text == ["m=image 30000 udptl t38", "a=T38FaxVersion:0"]


def test_video_keeps_its_feedback_and_its_bandwidth():
    text = sections(offered(with_profiles(), FULL, VIDEO))
    assert text[text.index("m=video 30002 RTP/AVPF 97 98") + 1 :] == VIDEO.split("|")[1:]


def test_an_answer_comes_back_under_the_numbers_of_the_offer_and_packets_are_mapped():
    session = with_profiles()
    offered(session, FULL)
    own = "audio 7000 RTP/AVP 0 97|a=rtpmap:97 telephone-event/8000|a=fmtp:97 0-16"
    exchange = session.answer("b", sdp(own, host="10.0.0.5"), 1.0)
    assert sections(lines(exchange.sdp)) == [
        "m=audio 20000 RTP/AVP 0 101",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-16",
    ]
    (flow,) = exchange.flows
    assert flow.treatments == {"payload-map"}
    assert (flow.map_a, flow.map_b) == (((101, 97),), ((97, 101),))


def test_a_reinvite_keeps_the_numbers_that_a_side_knows_although_the_offerer_changed_its_own():
    session = with_profiles()
    offered(session, FULL)
    answered(session, "audio 7000 RTP/AVP 0 101|a=rtpmap:101 telephone-event/8000")
    changed = "audio 6000 RTP/AVP 0 96|a=rtpmap:96 telephone-event/8000"
    assert sections(offered(session, changed))[0] == "m=audio 30000 RTP/AVP 0 101"
    exchange = session.answer(
        "b", sdp("audio 7000 RTP/AVP 0 101|a=rtpmap:101 telephone-event/8000", host="10.0.0.5"), 2.0
    )
    assert sections(lines(exchange.sdp))[0] == "m=audio 20000 RTP/AVP 0 96"
    (flow,) = exchange.flows
    assert (flow.map_a, flow.map_b) == (((96, 101),), ((101, 96),))


# -- telephone-events that end here ------------------------------------------------------------------------------------

PHONE = "audio 6000 RTP/AVP 0 96|a=rtpmap:96 telephone-event/8000|a=fmtp:96 0-15"
NO_EVENTS = "audio 7000 RTP/AVP 0"


def test_an_offerer_whose_events_end_here_is_answered_that_we_take_them():
    session = with_profiles()
    offered(session, PHONE)
    treat_dtmf(session, "a", Dtmf.END)
    assert sections(answered(session, NO_EVENTS)) == [
        "m=audio 20000 RTP/AVP 0 96",
        "a=rtpmap:96 telephone-event/8000",
        "a=fmtp:96 0-15",
    ]


def test_one_who_did_not_offer_events_is_not_answered_any():
    session = with_profiles()
    treat_dtmf(session, "a", Dtmf.END)
    offered(session, "audio 6000 RTP/AVP 0")
    assert sections(answered(session, PHONE))[0] == "m=audio 20000 RTP/AVP 0"


def test_an_answerer_whose_events_end_here_is_offered_them_and_the_offerer_hears_nothing_of_it():
    session = with_profiles()
    treat_dtmf(session, "b", Dtmf.END)
    assert sections(offered(session, "audio 6000 RTP/AVP 0 101|a=rtpmap:101 opus/48000/2")) == [
        "m=audio 30000 RTP/AVP 0 101 96",
        "a=rtpmap:101 opus/48000/2",
        "a=rtpmap:96 telephone-event/8000",
        "a=fmtp:96 0-15",
    ]
    assert sections(answered(session, PHONE))[0] == "m=audio 20000 RTP/AVP 0"


def test_a_side_that_is_to_get_info_has_no_events_in_what_it_is_told():
    session = with_profiles(b=MediaProfile(deny=("telephone-event",)))
    treat_dtmf(session, "a", Dtmf.END)
    assert sections(offered(session, PHONE))[0] == "m=audio 30000 RTP/AVP 0"
    assert sections(answered(session, NO_EVENTS))[0] == "m=audio 20000 RTP/AVP 0 96"
