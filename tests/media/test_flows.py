"""What the plane is told of maps and events; the rest of a flow is shown in test_session.py."""

from __future__ import annotations

from sbc.media import Dtmf, FlowEvents, MediaSession, moved, treat_dtmf
from tests.support.media_calls import media_with_ports, open_call, sdp

PHONE = "audio 6000 RTP/AVP 0 101|a=rtpmap:101 telephone-event/8000"
OTHER = "audio 7000 RTP/AVP 0 97|a=rtpmap:97 telephone-event/8000"
WIDE = (
    "audio 6000 RTP/AVP 111 101 110|a=rtpmap:111 opus/48000/2|a=rtpmap:101 telephone-event/8000"
    "|a=rtpmap:110 telephone-event/48000"
)


def established(offer: str, answer: str) -> MediaSession:
    session = open_call(media_with_ports())
    session.offer("a", sdp(offer), 1.0)
    session.answer("b", sdp(answer, host="10.0.0.5"), 1.0)
    return session


def test_a_plain_flow_has_no_treatment():
    (flow,) = established(PHONE, PHONE).flows()
    assert (flow.treatments, flow.map_a, flow.events_a) == (frozenset(), (), FlowEvents())


def test_events_are_heard_under_every_number_that_a_side_may_use_and_sent_under_its_own():
    session = established(PHONE, OTHER)
    exchange = treat_dtmf(session, "b", Dtmf.REPORT)
    (flow,) = exchange.flows
    assert flow.treatments == {"dtmf", "payload-map"}
    assert flow.events_a == FlowEvents(((101, 8000),), (101, 8000), report=False, swallow=False)
    assert flow.events_b == FlowEvents(((101, 8000), (97, 8000)), (97, 8000), report=True, swallow=False)


def test_of_several_kinds_of_events_those_with_the_clock_of_the_media_are_sent():
    session = established(WIDE, WIDE)
    (flow,) = treat_dtmf(session, "a", Dtmf.END).flows
    assert flow.events_a == FlowEvents(((101, 8000), (110, 48000)), (110, 48000), report=True, swallow=True)


def test_events_of_nobody_s_interest_leave_no_treatment_behind():
    session = established(PHONE, PHONE)
    treat_dtmf(session, "a", Dtmf.END)
    (flow,) = treat_dtmf(session, "a", Dtmf.PASS).flows
    assert (flow.treatments, flow.events_a) == (frozenset(), FlowEvents())


def test_signalling_that_moves_is_told_of_all_streams_of_its_side_and_changes_nothing_else():
    session = established(PHONE, PHONE)
    (before,) = session.flows()
    (flow,) = moved(session, "b", "10.0.0.77")
    assert flow == before._replace(b=before.b._replace(signalling="10.0.0.77", moves=1))
    assert session.flows() == (flow,)
    (again,) = moved(session, "b", "10.0.0.77")
    assert again.b.moves == 2, "the same host, another port: its media may have moved all the same"
