from __future__ import annotations

import pytest

from sbc.media import Media, MediaError, MediaSession
from sbc.sip import Address
from tests.support.media_calls import A_SIDE, AUDIO, B_SIDE, lines, media_with_ports, sdp

ALAW = "audio 7000 RTP/AVP 8 96|a=rtpmap:96 telephone-event/8000"
BOTH = "audio 7000 RTP/AVP 8 0 96|a=rtpmap:96 telephone-event/8000"
WIDE = "audio 7000 RTP/AVP 111|a=rtpmap:111 opus/48000/2"
VIDEO = "video 6002 RTP/AVP 34"


def two_calls(first: str = AUDIO, second: str = AUDIO, media: Media | None = None) -> tuple[MediaSession, MediaSession]:
    """Alice (public) with Bob (private), and Carol (public) with Dave (private)."""
    media = media or media_with_ports()
    made = []
    for name, stream, host in (("one", first, 7), ("two", second, 8)):
        session = media.open(name, A_SIDE, B_SIDE._replace(signalling=f"10.0.0.{host}"))
        session.offer("a", sdp(stream, host=f"192.0.2.{host}"), 1.0)
        session.answer("b", sdp(stream, host=f"10.0.0.{host}"), 1.0)
        made.append(session)
    return made[0], made[1]


def told(session: MediaSession, side: str) -> list[str]:
    return lines(session.offer_of(side, 3.0))


def test_two_legs_meet_and_the_ports_of_the_other_two_are_free():
    one, two = two_calls()
    (first,), (second,) = one.flows(), two.flows()
    exchange = one.bridge("b", two, "b", 2.0)
    (flow,) = exchange.flows
    assert flow.id == "one/0"
    assert flow.a == first.a
    assert (flow.b.local, flow.b.remote, flow.b.signalling) == (second.b.local, second.b.remote, "10.0.0.8")
    assert flow.b.generation > first.b.generation
    assert exchange.removed == ("two/0",)
    assert one.home.ports_in_use == 2
    assert one.home.session_count == 1
    assert two.close(3.0) == ()
    assert one.close(3.0) == ("one/0",)
    assert one.home.ports_in_use == 0


@pytest.mark.parametrize("side", ["a", "b"])
@pytest.mark.parametrize("its", ["a", "b"])
def test_any_two_legs_can_meet(side, its):
    one, two = two_calls()
    kept = one.flows()[0].b if side == "a" else one.flows()[0].a
    coming = two.flows()[0].a if its == "a" else two.flows()[0].b
    (flow,) = one.bridge(side, two, its, 2.0).flows
    stays, comes = (flow.b, flow.a) if side == "a" else (flow.a, flow.b)
    assert stays.local == kept.local
    assert (comes.local, comes.remote) == (coming.local, coming.remote)


def test_those_who_speak_the_same_need_not_be_told_anything():
    one, two = two_calls()
    one.bridge("b", two, "b", 2.0)
    assert one.offer_of("a", 3.0) == b""
    assert one.offer_of("b", 3.0) == b""


def test_those_who_speak_the_same_under_other_numbers_are_mapped_at_once():
    one, two = two_calls(AUDIO, "audio 7000 RTP/AVP 0 96|a=rtpmap:96 telephone-event/8000")
    (flow,) = one.bridge("b", two, "b", 2.0).flows
    assert (flow.map_a, flow.map_b) == (((101, 96),), ((96, 101),))
    assert one.offer_of("a", 3.0) == b""


def test_those_who_speak_something_else_hear_nothing_until_each_knows_the_other():
    one, two = two_calls(AUDIO, ALAW)
    exchange = one.bridge("b", two, "b", 2.0)
    assert exchange.flows == ()
    assert exchange.removed == ("two/0", "one/0")
    assert one.home.ports_in_use == 2
    offer = told(one, "b")  # what Dave said, for Alice
    assert offer[1].split(" ")[2] == "2", "her session goes on"
    assert [line for line in offer if line[0] == "m"] == ["m=audio 20000 RTP/AVP 8 101"], "her number for events"
    answer = sdp("audio 6000 RTP/AVP 8 101|a=rtpmap:101 telephone-event/8000")
    exchange = one.answer("a", answer, 3.0)
    assert exchange.sdp == b""
    (flow,) = exchange.flows
    assert (flow.map_a, flow.map_b) == (((101, 96),), ((96, 101),))
    assert one.offer_of("a", 3.0) == b"", "Dave knows what Alice speaks"


def test_a_leg_that_is_refused_leaves_the_session_as_it_was():
    one, two = two_calls(AUDIO, ALAW)
    one.bridge("b", two, "b", 2.0)
    one.offer_of("b", 3.0)
    assert one.reject(3.0).flows == ()
    assert one.home.ports_in_use == 2
    assert one.offer_of("b", 3.0) != b""


def test_who_was_held_by_the_transferor_is_offered_to_talk():
    one, two = two_calls()
    one.offer("b", sdp(AUDIO + "|a=sendonly", host="10.0.0.7"), 2.0)
    one.answer("a", sdp(AUDIO + "|a=recvonly"), 2.0)
    one.bridge("b", two, "b", 2.0)
    assert one.offer_of("a", 3.0) == b"", "Dave knows of no hold"
    offer = told(one, "b")
    assert "a=sendrecv" in offer
    one.answer("a", sdp(AUDIO), 3.0)
    assert one.offer_of("a", 3.0) == b""
    assert one.flows()[0].silence > 0


def test_who_holds_goes_on_holding():
    one, two = two_calls()
    two.offer("b", sdp(AUDIO + "|a=sendonly", host="10.0.0.8"), 2.0)
    two.answer("a", sdp(AUDIO + "|a=recvonly"), 2.0)
    one.bridge("b", two, "b", 2.0)
    assert "a=sendonly" in told(one, "b")


def test_a_leg_with_more_streams_keeps_them_and_the_other_one_may_refuse():
    one, two = two_calls(AUDIO, AUDIO)
    two.offer("a", sdp(AUDIO, VIDEO, host="192.0.2.8"), 1.5)
    two.answer("b", sdp(AUDIO, VIDEO, host="10.0.0.8"), 1.5)
    exchange = one.bridge("b", two, "b", 2.0)
    assert [flow.id for flow in exchange.flows] == ["one/0"]
    assert one.home.ports_in_use == 3, "Dave's video waits for Alice's answer"
    offer = told(one, "b")
    assert [line for line in offer if line[0] == "m"] == ["m=audio 20000 RTP/AVP 0 101", "m=video 20006 RTP/AVP 34"]
    assert one.home.ports_in_use == 4
    one.answer("a", sdp(AUDIO, "video 0 RTP/AVP 34"), 3.0)
    offer = told(one, "a")
    assert [line for line in offer if line[0] == "m"][1] == "m=video 0 RTP/AVP 34"
    one.answer("b", sdp(AUDIO, "video 0 RTP/AVP 34", host="10.0.0.8"), 4.0)
    assert one.home.ports_in_use == 2
    assert one.offer_of("a", 5.0) == one.offer_of("b", 5.0) == b""


def test_a_leg_with_fewer_streams_is_not_bothered_with_those_that_ended():
    one, two = two_calls()
    one.offer("a", sdp(AUDIO, VIDEO), 1.5)
    one.answer("b", sdp(AUDIO, "video 0 RTP/AVP 34", host="10.0.0.7"), 1.5)
    one.bridge("b", two, "b", 2.0)
    offer = one.offer("a", sdp(AUDIO + "|a=sendonly", "video 0 RTP/AVP 34"), 3.0).sdp
    assert [line for line in lines(offer) if line[0] == "m"][1:] == ["m=video 0 RTP/AVP 34"]
    answer = one.answer("b", sdp(AUDIO + "|a=recvonly", "video 0 RTP/AVP 34", host="10.0.0.8"), 3.0).sdp
    assert len([line for line in lines(answer) if line[0] == "m"]) == 2


def test_fax_and_audio_do_not_meet():
    fax = "image 7000 udptl t38"
    one, two = two_calls(AUDIO, fax)
    assert one.bridge("b", two, "b", 2.0).flows == ()
    assert [line for line in told(one, "b") if line[0] == "m"] == ["m=image 20000 udptl t38"]
    one.answer("a", sdp("image 6000 udptl t38"), 3.0)
    (flow,) = one.flows()
    assert (flow.kind, flow.a.local.port) == ("udp", 20000)


def test_nothing_happens_while_an_offer_is_open():
    one, two = two_calls()
    one.offer("a", sdp(AUDIO), 2.0)
    before = one.flows(), two.flows(), one.home.ports_in_use
    for session, other, its in ((one, two, "b"), (two, one, "b"), (two, one, "a")):
        with pytest.raises(MediaError) as caught:
            session.bridge("b", other, its, 2.0)
        assert caught.value.status == 491
    assert (one.flows(), two.flows(), one.home.ports_in_use) == before


def test_an_offer_to_a_leg_that_is_left_behind_does_not_matter():
    one, two = two_calls()
    two.standing("a")
    one.standing("b")
    one.bridge("b", two, "b", 2.0)
    with pytest.raises(MediaError) as caught:
        one.answer("b", sdp(AUDIO, host="10.0.0.8"), 3.0)
    assert caught.value.status == 400


def test_a_closed_session_cannot_be_bridged_nor_one_with_itself():
    one, two = two_calls()
    two.close(2.0)
    for session, other in ((one, two), (two, one)):
        with pytest.raises(MediaError) as caught:
            session.bridge("b", other, "b", 2.0)
        assert caught.value.status == 500
    with pytest.raises(ValueError, match="itself"):
        one.bridge("b", one, "a", 2.0)


def test_names_are_hidden_between_those_who_meet_as_their_zones_want_it():
    one, two = two_calls()
    (flow,) = one.bridge("b", two, "a", 2.0).flows  # Alice and Carol, both public
    assert (flow.a.cname, flow.b.cname) == ("", "")
    one, two = two_calls()
    (flow,) = one.bridge("a", two, "b", 2.0).flows  # Bob and Dave, both private
    assert flow.a.cname
    assert flow.b.cname
    assert flow.a.remote == Address("10.0.0.8", 6000)


def test_bridged_sessions_can_be_bridged_again():
    media = media_with_ports()
    one, two = two_calls(media=media)
    one.bridge("b", two, "b", 2.0)
    three = media.open("three", A_SIDE, B_SIDE)
    three.offer("a", sdp(BOTH, host="192.0.2.9"), 1.0)
    three.answer("b", sdp(BOTH, host="10.0.0.9"), 1.0)
    (flow,) = one.bridge("a", three, "b", 3.0).flows
    assert {flow.a.remote, flow.b.remote} == {Address("10.0.0.9", 7000), Address("10.0.0.8", 6000)}
    assert media.ports_in_use == 2
    one.close(4.0)
    assert (media.ports_in_use, media.session_count) == (0, 0)
