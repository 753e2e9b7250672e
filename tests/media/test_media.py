from __future__ import annotations

import pytest

from sbc.media import PlaneLost, PortsReady
from tests.support.media_calls import A_SIDE, AUDIO, B_SIDE, media_with_ports, open_call, sdp


def test_sessions_are_counted_until_they_close():
    media = media_with_ports()
    session = open_call(media)
    assert media.session_count == 1
    with pytest.raises(ValueError, match="open already"):
        open_call(media)
    session.close(1.0)
    assert media.session_count == 0
    open_call(media).close(2.0)


def test_a_lost_plane_is_given_all_flows_again():
    media = media_with_ports()
    session = open_call(media)
    idle = media.open("idle", A_SIDE, B_SIDE)
    session.offer("a", sdp(AUDIO), 1.0)
    flows = session.answer("b", sdp(AUDIO, host="10.0.0.5"), 1.0).flows
    assert media.handle(PortsReady("10.0.0.1", (40000,)), 2.0) == ()
    assert media.handle(PlaneLost("gone"), 3.0) == flows
    assert {host for host, _ in media.wanted_binds()} >= {"203.0.113.10", "10.0.0.1"}
    idle.close(4.0)
    session.close(4.0)
    assert media.handle(PlaneLost("again"), 5.0) == ()


def test_ports_are_wanted_for_the_hosts_of_open_calls():
    media = media_with_ports(count=0, low_water=1, high_water=4)
    media.wanted_binds()
    media.open("call", A_SIDE._replace(v4=A_SIDE.v4._replace(bind="192.0.2.200")), B_SIDE)
    assert media.wanted_binds() == [("192.0.2.200", 4)]
