from __future__ import annotations

import pytest

from sbc.media import Exchange, Latching, MediaError, MediaSession
from sbc.sip import Address
from tests.support.media_calls import (
    A_SIDE,
    AUDIO,
    B_SIDE,
    PRIVATE_V6,
    PUBLIC_V6,
    lines,
    media_with_ports,
    open_call,
    sdp,
)

VIDEO = "video 6002 RTP/AVP 34"
FAX = "image 6004 udptl t38|a=T38FaxVersion:0"


def audio_at(host: str, *more: str) -> bytes:
    return sdp("|".join((AUDIO, *more)), host=host)


A, B = audio_at("192.0.2.7"), audio_at("10.0.0.5")


def origin(data: bytes) -> tuple[str, int]:
    _, session_id, version, *_ = lines(data)[1].split(" ")
    return session_id, int(version)


def established(session: MediaSession, offer: bytes = A, answer: bytes = B) -> Exchange:
    session.offer("a", offer, 1.0)
    return session.answer("b", answer, 1.0)


def test_a_call_is_relayed_between_ports_of_ours():
    media = media_with_ports(silence=30.0)
    session = open_call(media)
    offer = session.offer("a", A, 1.0)
    assert offer.flows == ()
    answer = session.answer("b", B, 1.0)
    (flow,) = answer.flows
    assert (flow.id, flow.kind, flow.clock_rate, flow.silence) == ("call/0", "rtp", 8000, 30.0)
    assert flow.a.local == Address("203.0.113.10", 20000)
    assert (flow.a.remote, flow.a.remote_rtcp) == (Address("192.0.2.7", 6000), Address("192.0.2.7", 6001))
    assert flow.b.local == Address("10.0.0.1", 30000)
    assert flow.b.remote == Address("10.0.0.5", 6000)
    assert (flow.a.latching, flow.a.signalling) == (Latching.SIGNALLING, "192.0.2.7")
    assert (flow.b.latching, flow.b.signalling) == (Latching.STRICT, "10.0.0.5")
    assert (flow.a.generation, flow.b.generation) == (1, 1)
    assert flow.a.cname, "b is hidden from a"
    assert flow.b.cname == "", "a is not hidden from b"
    assert {"c=IN IP4 198.51.100.10", "m=audio 20000 RTP/AVP 0 101"} <= set(lines(answer.sdp)), "the advertised address"
    assert session.flows() == (flow,)
    assert session.close(2.0) == ("call/0",)
    assert session.close(2.0) == ()
    assert (media.session_count, media.ports_in_use) == (0, 0)


def test_a_delayed_offer_works_the_other_way_round():
    session = open_call(media_with_ports())
    assert "c=IN IP4 198.51.100.10" in lines(session.offer("b", B, 1.0).sdp)
    exchange = session.answer("a", A, 1.0)
    assert "c=IN IP4 10.0.0.1" in lines(exchange.sdp)
    assert exchange.flows[0].a.remote == Address("192.0.2.7", 6000)


def test_the_version_grows_when_and_only_when_the_body_changes():
    session = open_call(media_with_ports())
    first = origin(session.offer("a", A, 1.0).sdp)
    to_a = origin(session.answer("b", B, 1.0).sdp)
    assert first[1] == to_a[1] == 1
    assert first[0] != to_a[0]
    assert origin(session.offer("a", A.replace(b"11 22", b"11 23"), 2.0).sdp) == first, "only their o= changed"
    assert origin(session.answer("b", B, 2.0).sdp) == to_a
    assert origin(session.offer("a", audio_at("192.0.2.7", "a=sendonly"), 3.0).sdp) == (first[0], 2)
    session.reject(3.0)
    assert origin(session.offer("a", A, 4.0).sdp) == (first[0], 3), "it differs from what was sent last"


def test_a_reinvite_keeps_ports_and_generations():
    media = media_with_ports()
    session = open_call(media)
    (before,) = established(session).flows
    session.offer("b", B, 2.0)
    assert session.answer("a", A, 2.0).flows == ()
    session.offer("b", B, 3.0)
    (after,) = session.answer("a", audio_at("192.0.2.8"), 3.0).flows
    assert (after.a.local, after.b) == (before.a.local, before.b)
    assert (after.a.remote, after.a.generation) == (Address("192.0.2.8", 6000), 2)
    assert media.ports_in_use == 2


@pytest.mark.parametrize(
    "hold",
    [
        audio_at("192.0.2.7", "a=sendonly"),
        audio_at("192.0.2.7", "a=recvonly"),
        audio_at("192.0.2.7", "a=inactive"),
        audio_at("192.0.2.7", "b=AS:0"),
        audio_at("0.0.0.0"),
    ],
)
def test_hold_is_not_silence(hold):
    session = open_call(media_with_ports(silence=30.0))
    established(session)
    session.offer("a", hold, 2.0)
    (flow,) = session.answer("b", B, 2.0).flows
    assert flow.silence == 0.0
    session.offer("a", A, 3.0)
    (flow,) = session.answer("b", B, 3.0).flows
    assert flow.silence == 30.0


def test_hold_by_zero_address_passes_as_such():
    session = open_call(media_with_ports())
    established(session)
    after = lines(session.offer("a", audio_at("0.0.0.0"), 2.0).sdp)
    assert "c=IN IP4 0.0.0.0" in after
    assert "m=audio 30000 RTP/AVP 0 101" in after
    (flow,) = session.answer("b", B, 2.0).flows
    assert (flow.a.remote, flow.a.remote_rtcp) == (None, None)
    assert flow.a.local.port == 20000


def test_hold_by_zero_address_passes_into_the_other_family():
    session = open_call(media_with_ports(), A_SIDE, B_SIDE._replace(v4=None, v6=PRIVATE_V6))
    assert "c=IN IP6 ::" in lines(session.offer("a", audio_at("0.0.0.0"), 1.0).sdp)


def test_families_cross():
    a = A_SIDE._replace(v6=PUBLIC_V6)
    session = open_call(media_with_ports(), a, B_SIDE)
    offer = session.offer("a", audio_at("2001:db8::7"), 1.0)
    assert "c=IN IP4 10.0.0.1" in lines(offer.sdp)
    exchange = session.answer("b", B, 1.0)
    assert "c=IN IP6 2001:db8::10" in lines(exchange.sdp)
    assert lines(exchange.sdp)[1].endswith("IN IP6 2001:db8::10")
    (flow,) = exchange.flows
    assert flow.a.local.host == "2001:db8::10"
    assert flow.b.local.host == "10.0.0.1"


def test_an_offer_names_the_family_that_the_other_side_prefers_or_used():
    b = B_SIDE._replace(v6=PRIVATE_V6, prefer_v6=True)
    session = open_call(media_with_ports(), A_SIDE, b)
    assert "c=IN IP6 fd00::1" in lines(session.offer("a", A, 1.0).sdp)
    session.close(1.0)
    session = open_call(media_with_ports(), A_SIDE._replace(v6=PUBLIC_V6), b._replace(prefer_v6=False))
    session.offer("b", audio_at("fd00::5"), 1.0)
    session.answer("a", audio_at("2001:db8::7"), 1.0)
    assert "c=IN IP6 fd00::1" in lines(session.offer("a", sdp(AUDIO, VIDEO), 2.0).sdp)


def test_a_side_that_changes_its_family_gets_a_port_there():
    media = media_with_ports()
    session = open_call(media, A_SIDE._replace(v6=PUBLIC_V6), B_SIDE)
    established(session)
    session.offer("a", audio_at("2001:db8::7"), 2.0)
    assert media.ports_in_use == 3
    (flow,) = session.answer("b", B, 2.0).flows
    assert flow.a.local.host == "2001:db8::10"
    assert flow.a.generation == 2
    assert media.ports_in_use == 2


def test_an_address_of_the_wrong_family_is_not_sent_to():
    session = open_call(media_with_ports())
    (flow,) = established(session, A, audio_at("fd00::5")).flows
    assert flow.b.remote is None


@pytest.mark.parametrize(("a_says", "b_says", "a_mux", "b_mux"), [
    (True, True, True, True), (True, False, True, False), (False, False, False, False), (False, True, False, False),
])  # fmt: skip
def test_each_side_multiplexes_rtcp_for_itself(a_says, b_says, a_mux, b_mux):
    session = open_call(media_with_ports())
    mux = ("a=rtcp-mux",)
    offer = session.offer("a", audio_at("192.0.2.7", *mux[: int(a_says)]), 1.0)
    exchange = session.answer("b", audio_at("10.0.0.5", *mux[: int(b_says)]), 1.0)
    assert lines(offer.sdp).count("a=rtcp-mux") == a_says
    assert lines(exchange.sdp).count("a=rtcp-mux") == a_mux
    (flow,) = exchange.flows
    assert (flow.a.rtcp_mux, flow.b.rtcp_mux) == (a_mux, b_mux)
    assert flow.a.remote_rtcp == Address("192.0.2.7", 6000 + (not a_mux))
    assert flow.b.remote_rtcp == Address("10.0.0.5", 6000 + (not b_mux))


def test_streams_come_and_go_with_their_ports():
    media = media_with_ports(drain=5.0)
    session = open_call(media)
    established(session)
    session.offer("a", sdp(AUDIO, VIDEO), 2.0)
    exchange = session.answer("b", sdp(AUDIO, VIDEO, host="10.0.0.5"), 2.0)
    assert [flow.id for flow in exchange.flows] == ["call/1"]
    assert media.ports_in_use == 4
    session.offer("a", sdp(AUDIO, "video 0 RTP/AVP 34"), 3.0)
    exchange = session.answer("b", sdp(AUDIO, "video 0 RTP/AVP 34", host="10.0.0.5"), 3.0)
    assert exchange.removed == ("call/1",)
    assert [m for m in lines(exchange.sdp) if m[0] == "m"] == ["m=audio 20000 RTP/AVP 0 101", "m=video 0 RTP/AVP 34"]
    assert media.ports_in_use == 2


def test_a_stream_that_the_answer_refuses_gives_its_ports_back():
    media = media_with_ports()
    session = open_call(media)
    exchange = established(session, sdp(AUDIO, VIDEO), sdp(AUDIO, "video 0 RTP/AVP 34", host="10.0.0.5"))
    assert [flow.id for flow in exchange.flows] == ["call/0"]
    assert media.ports_in_use == 2


def test_fax_takes_over_from_audio():
    session = open_call(media_with_ports())
    established(session)
    session.offer("b", sdp("audio 0 RTP/AVP 0", FAX, host="10.0.0.5"), 2.0)
    exchange = session.answer("a", sdp("audio 0 RTP/AVP 0", FAX), 2.0)
    (flow,) = exchange.flows
    assert (flow.id, flow.kind, flow.a.remote_rtcp) == ("call/1", "udp", None)
    assert exchange.removed == ("call/0",)
    assert [facts.codecs for facts in session.describe()] == [(), ("t38",)]


def test_of_several_early_answers_the_last_one_counts():
    media = media_with_ports()
    session = open_call(media)
    session.offer("a", sdp(AUDIO, VIDEO), 1.0)
    session.answer("b", sdp(AUDIO, "video 0 RTP/AVP 34", host="10.0.0.5"), 1.0, final=False)
    exchange = session.answer("b", sdp(AUDIO, VIDEO, host="10.0.0.6"), 2.0)
    assert [flow.b.remote for flow in exchange.flows] == [Address("10.0.0.6", 6000), Address("10.0.0.6", 6002)]
    assert exchange.flows[0].b.generation == 2
    again = session.answer("b", sdp(AUDIO, VIDEO, host="10.0.0.6"), 3.0)
    assert (again.sdp, again.flows) == (exchange.sdp, ())
    assert media.ports_in_use == 4


def test_a_refused_offer_leaves_all_as_it_was():
    media = media_with_ports()
    session = open_call(media)
    (before,) = established(session).flows
    session.offer("b", sdp(AUDIO, VIDEO, host="10.0.0.9"), 2.0)
    assert session.reject(2.0) == Exchange(b"")
    assert session.flows() == (before,)
    assert media.ports_in_use == 2


def test_a_refused_preview_is_taken_back():
    media = media_with_ports()
    session = open_call(media)
    (before,) = established(session).flows
    session.offer("b", sdp(AUDIO, VIDEO, host="10.0.0.9"), 2.0)
    session.answer("a", sdp(AUDIO, VIDEO), 2.0, final=False)
    exchange = session.reject(2.0)
    assert exchange.removed == ("call/1",)
    (flow,) = exchange.flows
    assert flow.b.remote == before.b.remote
    assert flow.b.generation == before.b.generation + 2, "the plane has seen another one since"
    assert media.ports_in_use == 2


def test_a_first_offer_that_is_refused_leaves_no_ports():
    media = media_with_ports()
    session = open_call(media)
    session.offer("a", A, 1.0)
    session.reject(1.0)
    assert media.ports_in_use == 0


def test_another_target_gets_its_own_ports_and_origin_while_side_a_keeps_its_port():
    media = media_with_ports()
    session = open_call(media)
    first = origin(session.offer("a", A, 1.0).sdp)
    early = session.answer("b", B, 1.0, final=False)
    assert session.retarget(B_SIDE._replace(signalling="10.0.0.6"), 2.0) == ("call/0",)
    second = session.offer("a", A, 2.0).sdp
    assert origin(second)[0] != first[0]
    assert origin(second)[1] == 1
    exchange = session.answer("b", audio_at("10.0.0.6"), 2.0)
    (flow,) = exchange.flows
    assert flow.a.local == early.flows[0].a.local
    assert flow.b.local != early.flows[0].b.local
    assert flow.b.signalling == "10.0.0.6"
    assert media.ports_in_use == 2


def refused(status: int, session: MediaSession, side: str, data: bytes) -> None:
    before = (session.streams, session.proposed, session.home.ports_in_use)
    with pytest.raises(MediaError) as caught:
        session.offer(side, data, 5.0)
    assert caught.value.status == status
    assert (session.streams, session.proposed, session.home.ports_in_use) == before


def test_offers_out_of_turn_are_refused():
    session = open_call(media_with_ports())
    session.offer("a", A, 1.0)
    refused(500, session, "a", A)
    refused(491, session, "b", B)
    session.answer("b", B, 1.0)
    session.close(2.0)
    refused(500, session, "a", A)


def test_offers_that_cannot_be_served_are_refused():
    session = open_call(media_with_ports())
    refused(400, session, "a", b"nonsense")
    refused(400, session, "a", A.replace(b"192.0.2.7", b"192.0.2.777!"))
    refused(488, session, "a", sdp("audio 6000 RTP/SAVP 0"))
    established(session, sdp(AUDIO, VIDEO), sdp(AUDIO, VIDEO, host="10.0.0.5"))
    refused(488, session, "b", B)


def test_without_ports_an_offer_is_refused_with_503_and_takes_none():
    media = media_with_ports(count=1)
    session = open_call(media)
    refused(503, session, "a", sdp(AUDIO, VIDEO))
    media = media_with_ports(count=0)
    refused(503, open_call(media), "a", A)


def test_an_offer_of_no_streams_and_one_of_disabled_streams_pass():
    session = open_call(media_with_ports())
    assert lines(established(session, sdp(), sdp(host="10.0.0.5")).sdp)[2:] == [
        "s=-",
        "c=IN IP4 198.51.100.10",
        "t=0 0",
    ]
    session.offer("a", sdp("audio 0 RTP/AVP 0"), 2.0)
    assert session.answer("b", sdp("audio 0 RTP/AVP 0", host="10.0.0.5"), 2.0).flows == ()


@pytest.mark.parametrize("answer", [sdp(host="10.0.0.5"), sdp(AUDIO, VIDEO, host="10.0.0.5")])
def test_an_answer_has_the_streams_of_the_offer(answer):
    session = open_call(media_with_ports())
    session.offer("a", A, 1.0)
    with pytest.raises(MediaError) as caught:
        session.answer("b", answer, 1.0)
    assert caught.value.status == 488
    assert session.answer("b", B, 1.0).flows


def test_an_answer_that_goes_over_to_srtp_or_enables_a_refused_stream_gets_port_0():
    session = open_call(media_with_ports())
    session.offer("a", sdp(AUDIO, "audio 7000 RTP/SAVP 0"), 1.0)
    exchange = session.answer("b", sdp("audio 6000 RTP/SAVP 0", "audio 7000 RTP/AVP 0", host="10.0.0.5"), 1.0)
    assert [m for m in lines(exchange.sdp) if m[0] == "m"] == ["m=audio 0 RTP/SAVP 0", "m=audio 0 RTP/AVP 0"]
    assert exchange.flows == ()


def test_text_is_not_watched_for_silence():
    session = open_call(media_with_ports(silence=9.0))
    text = "text 6000 RTP/AVP 98|a=rtpmap:98 t140/1000"
    (flow,) = established(session, sdp(text), sdp(text, host="10.0.0.5")).flows
    assert (flow.silence, flow.clock_rate) == (0.0, 1000)


def test_a_call_is_described_for_its_record():
    session = open_call(media_with_ports())
    established(session, audio_at("192.0.2.7", "a=sendonly"), audio_at("10.0.0.5", "a=recvonly"))
    (facts,) = session.describe()
    assert (facts.media, facts.kind, facts.codecs) == ("audio", "rtp", ("PCMU/8000", "telephone-event/8000"))
    assert (facts.a_direction, facts.b_direction) == ("sendonly", "recvonly")
    assert (facts.a_remote, facts.b_local) == ("192.0.2.7:6000", "10.0.0.1:30000")


def test_a_stream_that_a_repeated_answer_gives_up_is_freed_at_the_next_offer_at_the_latest():
    media = media_with_ports()
    session = open_call(media)
    established(session, sdp(AUDIO, VIDEO), sdp(AUDIO, VIDEO, host="10.0.0.5"))
    session.answer("b", sdp(AUDIO, "video 0 RTP/AVP 34", host="10.0.0.5"), 2.0, final=False)
    session.reject(2.0)
    session.offer("a", sdp(AUDIO, "video 0 RTP/AVP 34"), 3.0)
    assert media.ports_in_use == 2


# -- the same again ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offerer", ["a", "b"])
@pytest.mark.parametrize("asked", ["a", "b"])
def test_either_side_is_offered_again_what_it_has_whoever_offered_last(offerer, asked):
    session = open_call(media_with_ports())
    told = {"b": session.offer("a", A, 1.0).sdp, "a": session.answer("b", B, 1.0).sdp}
    if offerer == "b":
        told["a"] = session.offer("b", B, 2.0).sdp
        told["b"] = session.answer("a", A, 2.0).sdp
    assert session.standing(asked) == told[asked]
    assert session.answer(asked, A if asked == "a" else B, 3.0) == Exchange(b"")
    assert session.offer("a", A, 4.0).sdp, "a new offer may follow"
    assert session.answer("b", B, 4.0).sdp


def test_a_new_address_in_the_answer_to_the_same_again_is_followed():
    session = open_call(media_with_ports())
    established(session)
    session.standing("a")
    exchange = session.answer("a", audio_at("192.0.2.99"), 2.0)
    assert exchange.sdp == b""
    (flow,) = exchange.flows
    assert flow.a.remote == Address("192.0.2.99", 6000)


def test_the_same_again_may_be_refused():
    session = open_call(media_with_ports())
    flows = established(session).flows
    session.standing("b")
    assert session.reject(2.0) == Exchange(b"")
    assert session.flows() == flows


def test_who_was_asked_before_b_was_replaced_answers_nothing_any_more():
    session = open_call(media_with_ports())
    established(session)
    session.standing("a")
    session.retarget(B_SIDE._replace(signalling="10.0.0.6"), 2.0)
    with pytest.raises(MediaError) as caught:
        session.answer("a", A, 2.0)
    assert caught.value.status == 400


def test_what_a_side_says_again_is_unchanged_whatever_its_version():
    session = open_call(media_with_ports())
    assert session.standing("a") == b""
    assert not session.unchanged("a", A)
    established(session)
    assert session.unchanged("a", A)
    assert session.unchanged("b", B)
    assert session.unchanged("a", A.replace(b"11 22", b"11 23"))
    assert not session.unchanged("a", B)
    assert not session.unchanged("a", audio_at("192.0.2.7", "a=sendonly")), "not every phone counts its versions"


def test_after_a_refused_offer_the_same_again_is_a_new_version():
    session = open_call(media_with_ports())
    session.offer("a", A, 1.0)
    told = session.answer("b", B, 1.0).sdp
    session.offer("b", audio_at("10.0.0.5", "a=sendonly"), 2.0)
    session.reject(2.0)
    again = session.standing("a")
    assert origin(again) == (origin(told)[0], 3)
    assert lines(again)[2:] == lines(told)[2:]
    assert session.unchanged("b", B)


# -- forks -------------------------------------------------------------------------------------------------------------


def test_of_several_targets_of_one_offer_the_one_that_speaks_may_send_to_the_same_ports():
    media = media_with_ports()
    session = open_call(media)
    session.offer("a", A, 1.0)
    assert session.now_facing(B_SIDE._replace(signalling="10.0.0.6")) == ()
    (flow,) = session.answer("b", audio_at("10.0.0.6"), 1.0, final=False).flows
    assert flow.b.signalling == "10.0.0.6"
    (again,) = session.now_facing(B_SIDE._replace(latching=Latching.ANY))
    assert (again.b.latching, again.b.local) == (Latching.ANY, flow.b.local)
    assert again.b.generation > flow.b.generation, "the latch is to be set anew"
    assert session.now_facing(B_SIDE._replace(latching=Latching.ANY)) == ()
    (last,) = session.answer("b", B, 2.0).flows
    assert last.b.remote == Address("10.0.0.5", 6000)
    assert last.b.generation > again.b.generation
    assert media.ports_in_use == 2


# -- fax and others ----------------------------------------------------------------------------------------------------

FAX_HERE = "image 6000 udptl t38|a=T38FaxVersion:0|a=T38FaxMaxBuffer:1024"


def test_audio_becomes_fax_and_fax_audio_again_on_the_same_ports():
    media = media_with_ports()
    session = open_call(media)
    (audio,) = established(session).flows
    session.offer("b", sdp(FAX_HERE, host="10.0.0.5"), 2.0)
    exchange = session.answer("a", sdp(FAX_HERE), 2.0)
    (fax,) = exchange.flows
    assert exchange.removed == ()
    assert (fax.id, fax.kind, fax.a.remote_rtcp, fax.a.local, fax.b.local) == (
        "call/0", "udp", None, audio.a.local, audio.b.local,
    )  # fmt: skip
    assert "a=T38FaxMaxBuffer:1024" in lines(exchange.sdp)
    session.offer("a", A, 3.0)
    (again,) = session.answer("b", B, 3.0).flows
    assert (again.kind, again.a.local, again.a.remote_rtcp) == ("rtp", audio.a.local, audio.a.remote_rtcp)
    assert media.ports_in_use == 2


def test_a_refused_fax_leaves_the_audio():
    session = open_call(media_with_ports())
    (audio,) = established(session).flows
    session.offer("b", sdp(FAX_HERE, host="10.0.0.5"), 2.0)
    assert session.reject(2.0) == Exchange(b"")
    assert session.flows() == (audio,)
    assert lines(session.offer("b", B, 3.0).sdp)
    assert session.answer("a", A, 3.0).flows == ()


def test_a_fax_stream_refused_with_port_0_ends_the_stream_and_audio_may_come_back():
    media = media_with_ports()
    session = open_call(media)
    established(session)
    session.offer("b", sdp(FAX_HERE, host="10.0.0.5"), 2.0)
    exchange = session.answer("a", sdp("image 0 udptl t38"), 2.0)
    assert exchange.removed == ("call/0",)
    assert media.ports_in_use == 0
    session.offer("b", B, 3.0)
    assert [flow.id for flow in session.answer("a", A, 3.0).flows] == ["call/0"]


def test_a_fax_in_a_second_stream_comes_and_goes_beside_the_audio():
    media = media_with_ports()
    session = open_call(media)
    established(session)
    session.offer("b", sdp(AUDIO, FAX, host="10.0.0.5"), 2.0)
    assert [flow.kind for flow in session.answer("a", sdp(AUDIO, FAX), 2.0).flows] == ["udp"]
    session.offer("b", sdp(AUDIO, "image 0 udptl t38", host="10.0.0.5"), 3.0)
    assert session.answer("a", sdp(AUDIO, "image 0 udptl t38"), 3.0).removed == ("call/1",)
    assert media.ports_in_use == 2


def test_floor_control_over_udp_is_relayed_as_it_is():
    floor = (
        "application 6008 UDP/BFCP *|a=floorctrl:c-s|a=confid:4321|a=userid:1234|a=floorid:1 mstrm:10"
        "|a=bfcpver:1 2|a=label:11"
    )
    session = open_call(media_with_ports())
    offer = session.offer("a", sdp(AUDIO, floor), 1.0)
    assert lines(offer.sdp)[-7:] == ["m=application 30002 UDP/BFCP *", *floor.split("|")[1:]]
    flows = session.answer("b", sdp(AUDIO, floor, host="10.0.0.5"), 1.0).flows
    assert [(flow.kind, flow.silence > 0) for flow in flows] == [("rtp", True), ("udp", False)]
