"""Offers of our own: out of nothing, and of what the other side said."""

from __future__ import annotations

import pytest

from sbc.media import Exchange, MediaError, MediaProfile
from sbc.sip import Address
from tests.support.media_calls import A_SIDE, AUDIO, B_SIDE, lines, media_with_ports, open_call, sdp

A, B = sdp(AUDIO), sdp(AUDIO, host="10.0.0.5")


def version(data: bytes) -> int:
    return int(lines(data)[1].split(" ")[2])


EARLY = [
    "m=audio 30000 RTP/AVP 0 8 101",
    "a=rtpmap:101 telephone-event/8000",
    "a=fmtp:101 0-15",
    "a=sendrecv",
]


def test_an_offer_out_of_nothing_is_answered_and_passed_on():
    media = media_with_ports()
    session = open_call(media)
    offer = lines(session.early_offer("b", 1.0))
    assert offer[2:] == ["s=-", "c=IN IP4 10.0.0.1", "t=0 0", *EARLY]
    assert media.ports_in_use == 1
    assert session.answer("b", B, 1.0) == Exchange(b"")
    to_a = session.offer_of("b", 2.0)
    assert "m=audio 20000 RTP/AVP 0 101" in lines(to_a)
    assert media.ports_in_use == 2
    exchange = session.answer("a", A, 3.0)
    assert exchange.sdp == b""
    (flow,) = exchange.flows
    assert (flow.a.remote, flow.b.remote) == (Address("192.0.2.7", 6000), Address("10.0.0.5", 6000))
    assert flow.treatments == frozenset()
    assert session.offer_of("a", 4.0) == b"", "b need not be told what it knows"
    assert session.close(5.0) == ("call/0",)
    assert media.ports_in_use == 0


def test_who_answers_the_passed_on_offer_with_less_makes_a_new_offer_for_the_first_one():
    session = open_call(media_with_ports())
    session.early_offer("b", 1.0)
    session.answer("b", sdp("audio 6000 RTP/AVP 0 8", host="10.0.0.5"), 1.0)
    session.offer_of("b", 2.0)
    session.answer("a", sdp("audio 6000 RTP/AVP 8"), 3.0)
    again = session.offer_of("a", 4.0)
    assert version(again) == 2
    assert [line for line in lines(again) if line[0] == "m"] == ["m=audio 30000 RTP/AVP 8"]
    session.answer("b", sdp("audio 6000 RTP/AVP 8", host="10.0.0.5"), 5.0)
    assert session.offer_of("b", 6.0) == session.offer_of("a", 6.0) == b""


def test_who_answers_under_other_numbers_is_mapped():
    session = open_call(media_with_ports())
    session.early_offer("b", 1.0)
    session.answer("b", B, 1.0)
    session.offer_of("b", 2.0)
    own = "audio 6000 RTP/AVP 0 96|a=rtpmap:96 telephone-event/8000"
    (flow,) = session.answer("a", sdp(own), 3.0).flows
    assert (flow.map_a, flow.map_b) == (((96, 101),), ((101, 96),))
    assert session.offer_of("a", 4.0) == b""


def test_an_early_offer_is_made_of_the_profile_s_formats():
    wide = MediaProfile(offer=("opus", "G722", "PCMU"), deny=("G722",))
    session = open_call(media_with_ports(), A_SIDE, B_SIDE._replace(profile=wide))
    assert lines(session.early_offer("b", 1.0))[5:] == [
        "m=audio 30000 RTP/AVP 111 0",
        "a=rtpmap:111 opus/48000/2",
        "a=sendrecv",
    ]
    nothing = open_call(media_with_ports(), A_SIDE, B_SIDE._replace(profile=MediaProfile(allow=("G729",))))
    with pytest.raises(MediaError) as caught:
        nothing.early_offer("b", 1.0)
    assert caught.value.status == 488
    assert nothing.home.ports_in_use == 0


def test_an_early_offer_that_is_refused_leaves_no_port_and_one_to_the_next_target_has_its_own():
    media = media_with_ports()
    session = open_call(media)
    session.early_offer("b", 1.0)
    session.reject(1.0)
    assert media.ports_in_use == 0
    session.early_offer("b", 2.0)
    session.retarget(B_SIDE._replace(signalling="10.0.0.6"), 3.0)
    assert media.ports_in_use == 0
    offer = session.early_offer("b", 3.0)
    assert version(offer) == 1
    assert media.ports_in_use == 1


def test_after_an_offer_of_ours_nobody_answers_an_older_one_again():
    session = open_call(media_with_ports())
    session.offer("a", A, 1.0)
    session.answer("b", B, 1.0)
    session.early_offer("a", 2.0)
    session.answer("a", A, 2.0)
    with pytest.raises(MediaError) as caught:
        session.answer("b", B, 3.0)
    assert caught.value.status == 400


def test_nothing_is_offered_while_an_offer_is_open_and_none_without_ports():
    session = open_call(media_with_ports())
    session.offer("a", A, 1.0)
    with pytest.raises(MediaError) as caught:
        session.early_offer("b", 1.0)
    assert caught.value.status == 500
    session.answer("b", B, 1.0)
    session.offer("a", sdp(AUDIO + "|a=sendonly"), 2.0)
    assert session.offer_of("a", 2.0) == b"", "nothing that holds differs from what was told"
    scarce = open_call(media_with_ports(count=1))
    scarce.early_offer("b", 1.0)
    scarce.answer("b", B, 1.0)
    assert scarce.home.pool.take("203.0.113.10", 1.0)
    with pytest.raises(MediaError) as caught:
        scarce.offer_of("b", 2.0)
    assert caught.value.status == 503
    assert scarce.home.ports_in_use == 2
