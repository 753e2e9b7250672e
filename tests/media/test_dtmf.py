from __future__ import annotations

from sbc.media import Dtmf, Exchange, MediaProfile, dtmf_flow, signal_dtmf, takes_events, treat_dtmf
from tests.support.media_calls import A_SIDE, B_SIDE, lines, media_with_ports, open_call, sdp

PHONE = "audio 6000 RTP/AVP 0 101|a=rtpmap:101 telephone-event/8000"
VIDEO = "video 6002 RTP/AVP 34"


def test_digits_go_to_a_side_that_takes_events_while_some_side_has_a_treatment():
    session = open_call(media_with_ports())
    session.offer("a", sdp(VIDEO, PHONE), 1.0)
    session.answer("b", sdp(VIDEO, "audio 7000 RTP/AVP 0", host="10.0.0.5"), 1.0)
    assert dtmf_flow(session, "a") is None
    (flow,) = treat_dtmf(session, "a", Dtmf.END).flows
    assert dtmf_flow(session, "a") == flow.id == "call/1"
    assert dtmf_flow(session, "b") is None, "it knows no events"


def test_what_is_decided_before_there_are_flows_holds_for_them():
    session = open_call(media_with_ports())
    assert treat_dtmf(session, "b", Dtmf.END) == Exchange(b"")
    session.offer("a", sdp(PHONE), 1.0)
    (flow,) = session.answer("b", sdp(PHONE, host="10.0.0.5"), 1.0).flows
    assert flow.events_b.swallow
    assert treat_dtmf(session, "b", Dtmf.END) == Exchange(b"")


def test_where_a_side_can_be_told_digits_otherwise_the_other_ones_end_here():
    session = open_call(media_with_ports())
    session.offer("a", sdp(PHONE), 1.0)
    signal_dtmf(session, "b", True)
    exchange = session.answer("b", sdp("audio 7000 RTP/AVP 0", host="10.0.0.5"), 1.0)
    assert "m=audio 20000 RTP/AVP 0 101" in lines(exchange.sdp)
    (flow,) = exchange.flows
    assert (flow.treatments, flow.events_a.swallow, flow.events_b.report) == ({"dtmf"}, True, False)
    assert dtmf_flow(session, "a") == flow.id
    assert (takes_events(session, "a"), takes_events(session, "b")) == (True, False)
    session.offer("b", sdp(PHONE, host="10.0.0.5"), 2.0)
    (flow,) = session.answer("a", sdp(PHONE), 2.0).flows
    assert flow.treatments == frozenset(), "both have them now"


def test_who_can_be_told_digits_otherwise_has_telephone_events_offered_for_it():
    session = open_call(media_with_ports())
    signal_dtmf(session, "a", True)
    assert "m=audio 30000 RTP/AVP 0 101" in lines(session.offer("a", sdp("audio 6000 RTP/AVP 0"), 1.0).sdp)
    exchange = session.answer("b", sdp(PHONE, host="10.0.0.5"), 1.0)
    assert "m=audio 20000 RTP/AVP 0" in lines(exchange.sdp)
    assert exchange.flows[0].events_b.swallow
    assert takes_events(session, "b")


def test_what_a_profile_denies_is_not_offered_for_the_sake_of_digits():
    session = open_call(media_with_ports(), A_SIDE, B_SIDE._replace(profile=MediaProfile(deny=("telephone-event",))))
    signal_dtmf(session, "a", True)
    assert "m=audio 30000 RTP/AVP 0" in lines(session.offer("a", sdp("audio 6000 RTP/AVP 0"), 1.0).sdp)


def test_an_answer_that_offers_what_nobody_asked_for_is_told_without_it():
    session = open_call(media_with_ports())
    session.offer("a", sdp("audio 6000 RTP/AVP 0"), 1.0)
    assert "m=audio 20000 RTP/AVP 0" in lines(session.answer("b", sdp(PHONE, host="10.0.0.5"), 1.0).sdp)


def test_where_both_speak_telephone_events_signalling_changes_nothing():
    session = open_call(media_with_ports())
    for side in ("a", "b"):
        signal_dtmf(session, side, True)
    session.offer("a", sdp(PHONE), 1.0)
    other = "audio 7000 RTP/AVP 0 96|a=rtpmap:96 telephone-event/8000"
    (flow,) = session.answer("b", sdp(other, host="10.0.0.5"), 1.0).flows
    assert flow.treatments == {"payload-map"}
