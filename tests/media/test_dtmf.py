from __future__ import annotations

from sbc.media import Dtmf, Exchange, dtmf_flow, treat_dtmf
from tests.support.media_calls import media_with_ports, open_call, sdp

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
