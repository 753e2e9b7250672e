"""One target after the other, until one answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from sbc.b2bua import Peer, Settings
from sbc.media import MediaProfile
from sbc.policy import RouteRule
from sbc.sip import Address
from tests.support.ladder import ANSWERED, HUNG_UP, OTHER_ANSWERS, Ladder
from tests.support.world import CALLER, CALLER6, INSIDE, OUTSIDE6, PBX, PBX2, written

BOTH = (RouteRule("both", to=("pbx", "pbx2")),)
SILENT = MediaProfile(deny=("*",))
PEERS = (Peer("pbx", "private", PBX.host), Peer("pbx2", "private", PBX2.host))


@pytest.fixture
def two(new_ladder: Callable[..., Ladder]) -> Ladder:
    """Two targets, one after the other."""
    return new_ladder(peers=PEERS, routes=BOTH, settings=Settings(target_timeout=4.0, no_answer=60.0))


ANSWERED_BY_OTHER = "other <- INVITE sip:1001@10.0.0.6 sdp" + OTHER_ANSWERS


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_a_target_that_cannot_serve_hands_over_to_the_next(two: Ladder, status: int) -> None:
    two.play(
        f"""
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp | Call-ID: $first
        callee -> {status}
        callee <- ACK
    """,
        ANSWERED_BY_OTHER,
    )
    assert two.record.attempts == 2
    assert two.record.b is not None
    assert two.record.b.peer == "pbx2"
    assert two.record.b.call_id != two["first"]
    assert f"10.0.0.5: answered {status}" in "\n".join(two.trail)


def test_a_target_that_says_nothing_hands_over_to_the_next(two: Ladder) -> None:
    two.play(
        """
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        0.5 s
        callee <- INVITE sdp
        1 s
        callee <- INVITE sdp
        2 s
        callee <- INVITE sdp
        0.5 s
    """,
        ANSWERED_BY_OTHER,
    )
    assert "10.0.0.5: is silent" in "\n".join(two.trail)


def test_a_target_that_has_said_something_may_take_its_time(two: Ladder) -> None:
    two.play("""
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 100
        30 s
        callee -> 486
        callee <- ACK
        caller <- 486
        caller -> ACK
    """)


def test_a_target_that_cannot_be_reached_hands_over_at_once(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(peers=PEERS, routes=BOTH, fails=lambda hop: hop.remote == PBX)
    ladder.play(
        """
        caller -> INVITE sdp
        caller <- 100
    """,
        ANSWERED_BY_OTHER,
    )
    assert "10.0.0.5: cannot be reached" in "\n".join(ladder.trail)


def test_a_silent_target_that_wakes_up_is_cancelled_and_its_answer_ended(two: Ladder) -> None:
    two.play("""
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        0.5 s
        callee <- INVITE sdp
        1 s
        callee <- INVITE sdp
        2 s
        callee <- INVITE sdp
        0.5 s
        other <- INVITE sdp
        callee -> 180
        callee <- CANCEL
        callee -> 200 sdp
        callee <- ACK
        callee <- BYE
        callee -> 200 BYE
        callee -> 200 CANCEL
        other -> 486
        other <- ACK
        caller <- 486
        caller -> ACK
    """)
    assert any("late answer ended" in line for line in two.trail)


@pytest.mark.parametrize("status", [404, 486, 488, 600, 603])
def test_what_the_user_says_is_final(two: Ladder, status: int) -> None:
    two.play(f"""
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> {status}
        callee <- ACK
        caller <- {status}
        caller -> ACK
        0.1 s
    """)
    assert (two.record.attempts, two.record.ended_by) == (1, "callee")


@pytest.mark.parametrize(
    ("first", "second", "best"), [(503, 500, 500), (500, 503, 500), (503, 486, 486), (500, 404, 404)]
)
def test_the_caller_gets_the_best_refusal(two: Ladder, first: int, second: int, best: int) -> None:
    """RFC 3261 section 16.7 step 6."""
    two.play(f"""
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> {first}
        callee <- ACK
        other <- INVITE sdp
        other -> {second}
        other <- ACK
        caller <- {best}
        caller -> ACK
    """)


def test_when_the_last_target_is_lost_the_refusal_of_another_is_given_back(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(peers=PEERS, routes=BOTH, fails=lambda hop: hop.remote == PBX2)
    ladder.play("""
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 500 | Warning: 399 10.0.0.5 "out of memory"
        callee <- ACK
        caller <- 500 | Warning: 399 192.0.2.1 "out of memory"
        caller -> ACK
    """)


def test_a_refusal_crosses_as_of_the_zone_that_it_came_from(new_ladder: Callable[..., Ladder]) -> None:
    """The best refusal is of a hidden zone, the last target tried is not."""
    peers = (*PEERS, Peer("carrier", "public", "203.0.113.9"))
    rule = RouteRule("fallback", to=("pbx", "carrier"))
    ladder = new_ladder(peers=peers, routes=(rule,), fails=lambda hop: hop.remote.host == "203.0.113.9")
    ladder.play("""
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 500 | Warning: 399 10.0.0.77 "ask 10.0.0.77"
        callee <- ACK
        caller <- 500 | Warning: 399 192.0.2.1 "" | -Server
        caller -> ACK
    """)


def test_without_any_answer_the_caller_gets_503(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(fails=lambda hop: hop.remote == PBX)
    ladder.play("""
        caller -> INVITE sdp
        caller <- 100
        caller <- 503 | -Retry-After
        caller -> ACK
        0.1 s
    """)
    assert (ladder.record.ended_by, ladder.record.cause) == ("sbc", "no target could be reached")


def test_early_media_of_one_target_are_replaced_by_those_of_the_next(two: Ladder) -> None:
    two.play(
        """
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 183 sdp
        caller <- 183 sdp
        callee -> 503
        callee <- ACK
    """,
        ANSWERED_BY_OTHER,
    )


# -- names -------------------------------------------------------------------------------------------------------------

NAMED = (Peer("pbx", "private", "pbx.secret.example"),)


def test_a_target_that_is_named_is_looked_up_first(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(peers=NAMED, names={"pbx.secret.example": (PBX.host,)}, answer_after=lambda: 3.0)
    ladder.play("""
        caller -> INVITE sdp
        caller <- 100
        2.9 s
    """)
    ladder.play(
        """
        0.2 s
        callee <- INVITE sip:1001@pbx.secret.example sdp
        callee -> 200 sdp | Subject: from pbx.secret.example
        callee <- ACK
        caller <- 200 sdp | -Subject
        caller -> ACK
    """,
        HUNG_UP,
    )


def test_the_next_address_of_a_name_is_tried_when_the_first_fails(new_ladder: Callable[..., Ladder]) -> None:
    names = {"pbx.secret.example": (PBX.host, PBX2.host)}
    ladder = new_ladder(peers=NAMED, names=names, fails=lambda hop: hop.remote == PBX)
    ladder.play("""
        caller -> INVITE sdp
        caller <- 100
        0.1 s
        other <- INVITE sip:1001@pbx.secret.example sdp
        other -> 486
        other <- ACK
        caller <- 486
        caller -> ACK
    """)


def test_a_name_that_does_not_exist_is_a_target_lost(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(peers=NAMED)
    ladder.play("""
        caller -> INVITE sdp
        caller <- 100
        0.1 s
        caller <- 503
        caller -> ACK
    """)
    assert "pbx.secret.example: no such name" in "\n".join(ladder.trail)


def test_a_name_that_is_never_answered_does_not_keep_the_caller_for_ever(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(peers=NAMED, answer_after=lambda: None, settings=Settings(no_answer=20.0))
    ladder.play("""
        caller -> INVITE sdp
        caller <- 100
        20 s
        caller <- 408
        caller -> ACK
    """)


def test_an_answer_about_a_name_that_comes_too_late_is_for_nobody(new_ladder: Callable[..., Ladder]) -> None:
    names = {"pbx.secret.example": (PBX.host,)}
    ladder = new_ladder(peers=NAMED, names=names, answer_after=lambda: 5.0)
    ladder.play("""
        caller -> INVITE sdp
        caller <- 100
        caller -> CANCEL
        caller <- 200 CANCEL
        caller <- 487
        caller -> ACK
        10 s
    """)


def test_a_target_without_a_listener_of_its_family_cannot_be_reached(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(peers=(Peer("pbx", "private", "fd00::5"),))
    ladder.play("""
        caller -> INVITE sdp
        caller <- 100
        caller <- 503
        caller -> ACK
    """)
    assert "no listener of its family in zone private" in "\n".join(ladder.trail)


# -- forks -------------------------------------------------------------------------------------------------------------


def test_of_two_forks_that_answer_the_first_has_the_call_and_the_other_is_ended(ladder: Ladder) -> None:
    ladder.play("""
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 180 tag=one
        caller <- 180
        callee -> 180 tag=two
        caller <- 180
        callee -> 200 sdp tag=one
        callee <- ACK | To: *;tag=one
        caller <- 200 sdp
        callee -> 200 sdp tag=two
        callee <- ACK | To: *;tag=two
        callee <- BYE | To: *;tag=two
        callee -> 200 BYE
        callee -> 200 sdp tag=two
        callee <- ACK | To: *;tag=two
        callee -> 200 sdp tag=one
        callee <- ACK | To: *;tag=one
        caller -> ACK
    """)


def test_a_fork_that_answers_after_the_call_has_ended_is_ended_too(ladder: Ladder) -> None:
    ladder.play("""
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 180 tag=one
        caller <- 180
        callee -> 180 tag=two
        caller <- 180
        callee -> 200 sdp tag=one
        callee <- ACK
        caller <- 200 sdp
        caller -> ACK
        caller -> BYE
        caller <- 200 BYE
        callee <- BYE | To: *;tag=one
        callee -> 200 BYE
        1 s
    """)
    ladder.parties["callee"].identity = None
    ladder.play("""
        callee -> 200 sdp tag=two
        callee <- ACK | To: *;tag=two
        callee <- BYE | To: *;tag=two
        callee -> 200 BYE
    """)


def test_the_ack_of_a_fork_goes_where_its_contact_says(ladder: Ladder) -> None:
    ladder.play("""
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 200 sdp tag=one
        callee <- ACK
        caller <- 200 sdp
        caller -> ACK
        callee -> 200 sdp tag=two | Contact: <sip:other@10.0.0.6:5060>
        other <- ACK | To: *;tag=two
        other <- BYE | To: *;tag=two
        other -> 200 BYE
    """)


# -- transports --------------------------------------------------------------------------------------------------------

OVER_BOTH = (Peer("pbx", "private", PBX.host, None, ("UDP", "TCP")),)


def test_a_long_invite_goes_over_tcp_where_the_peer_has_it(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(peers=OVER_BOTH)
    ladder.party("stream", PBX, "", "TCP")
    ladder.play(f"""
        caller -> INVITE sdp | Subject: {"x" * 1300}
        caller <- 100
        stream <- INVITE sdp | Via: SIP/2.0/TCP *
        stream -> 486
        stream <- ACK
        caller <- 486
        caller -> ACK
    """)


def test_a_long_invite_goes_over_udp_where_tcp_is_refused(new_ladder: Callable[..., Ladder]) -> None:
    """RFC 3261 section 18.1.1."""
    ladder = new_ladder(peers=OVER_BOTH)
    ladder.play(f"""
        caller -> INVITE sdp | Subject: {"x" * 1300}
        caller <- 100
        callee <- INVITE sdp | Via: SIP/2.0/UDP *
        callee -> 486
        callee <- ACK
        caller <- 486
        caller -> ACK
    """)


def test_a_long_re_invite_goes_over_tcp_too(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(peers=OVER_BOTH)
    ladder.play(ANSWERED)
    ladder.party("stream", PBX, "", "TCP")
    ladder.play(f"""
        caller -> INVITE sdp | Subject: {"x" * 1300}
        caller <- 100
        stream <- INVITE sdp | Via: SIP/2.0/TCP *
        stream -> 488
        stream <- ACK
        caller <- 488
        caller -> ACK
    """)


def test_a_peer_over_tcp_is_called_over_tcp(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(peers=(Peer("pbx", "private", PBX.host, None, ("TCP",)),))
    ladder.party("callee", PBX, "", "TCP")
    ladder.play(
        """
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp | Contact: <sip:10.0.0.1:5060;transport=tcp>
        callee -> 200 sdp
        callee <- ACK | Via: SIP/2.0/TCP *
        caller <- 200 sdp
        caller -> ACK
    """,
        HUNG_UP,
    )
    assert ladder.record.b is not None
    assert ladder.record.b.remote == "10.0.0.5:5060/TCP"


def test_ipv6_outside_and_ipv4_inside(ladder: Ladder) -> None:
    ladder.party("caller", CALLER6, f"sip:1001@[{OUTSIDE6.host}]")
    ladder.play(
        """
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sip:1001@10.0.0.5 sdp | From: "Caller" <sip:caller@[2001:db8:7::7]>;tag=*
        callee -> 200 sdp
        callee <- ACK
        caller <- 200 sdp | Contact: <sip:[2001:db8::1]:5060>
        caller -> ACK
    """,
        HUNG_UP,
    )


def test_a_call_out_is_placed_as_from_us(ladder: Ladder) -> None:
    ladder.party("callee", PBX, f"sip:2002@{ladder.parties['caller'].address.host}:5070")
    ladder.play("""
        callee -> INVITE sdp | P-Asserted-Identity: <sip:7042@10.0.0.5> | Privacy: none
        callee <- 100
        caller <- INVITE sip:2002@198.51.100.7:5070 sdp | From: "Callee" <sip:callee@192.0.2.1>;tag=*
            | P-Asserted-Identity: <sip:7042@192.0.2.1> | -User-Agent
        caller -> 486
        caller <- ACK
        callee <- 486 | Server: Phone/2.0
        callee -> ACK
    """)


def test_an_identity_does_not_go_to_strangers_against_the_users_wish(ladder: Ladder) -> None:
    ladder.party("callee", PBX, f"sip:2002@{ladder.parties['caller'].address.host}:5070")
    ladder.play("""
        callee -> INVITE sdp | P-Asserted-Identity: <sip:7042@10.0.0.5> | Privacy: id
        callee <- 100
        caller <- INVITE sdp | -P-Asserted-Identity | Privacy: id
        caller -> 486
        caller <- ACK
        callee <- 486
        callee -> ACK
    """)


def test_a_stranger_asserts_no_identity(ladder: Ladder) -> None:
    ladder.play("""
        caller -> INVITE sdp | P-Asserted-Identity: <sip:110@example.com>
        caller <- 100
        callee <- INVITE sdp | -P-Asserted-Identity
    """)


def test_a_target_elsewhere_is_found_by_its_port(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(peers=(Peer("pbx", "private", PBX.host, 5080),))
    ladder.party("callee", Address(PBX.host, 5080), "")
    ladder.play("""
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sip:1001@10.0.0.5:5080 sdp
    """)


def test_a_callee_that_hangs_up_before_its_answer_is_seen_is_not_called_back(ladder: Ladder) -> None:
    """The 2xx was lost, or the BYE overtook it."""
    ladder.play("""
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 180
        caller <- 180
        callee -> BYE
        callee <- 200 BYE
        callee -> 200 sdp
        callee <- ACK
        caller <- 480
        caller -> ACK
        0.1 s
    """)
    assert (ladder.record.ended_by, ladder.record.cause) == ("callee", "BYE")


def test_credentials_that_name_who_they_are_for_cross(ladder: Ladder) -> None:
    ladder.play(
        f"""
        callee -> INVITE sip:2002@{written(CALLER)} sdp | Proxy-Authorization: Digest uri="sip:2002@{written(CALLER)}"
        callee <- 100
        caller <- INVITE sdp | Proxy-Authorization: Digest uri="sip:2002@{written(CALLER)}"
        caller -> 486
        caller <- ACK
        callee <- 486
        callee -> ACK
    """
    )


def test_credentials_that_name_a_hidden_host_stay_behind_and_that_is_said(ladder: Ladder) -> None:
    ladder.play(
        f"""
        callee -> INVITE sip:2002@{written(CALLER)} sdp | Proxy-Authorization: Digest uri="sip:2002@{INSIDE.host}"
        callee <- 100
        caller <- INVITE sdp | -Proxy-Authorization
        caller -> 407 | Proxy-Authenticate: Digest realm="a", nonce="b"
        caller <- ACK
        callee <- 407 | Proxy-Authenticate: Digest realm="a", nonce="b"
        callee -> ACK
    """
    )
    assert any("Proxy-Authorization stays behind" in line for line in ladder.trail)


def test_a_target_that_the_call_does_not_fit_hands_over_to_the_next(new_ladder: Callable[..., Ladder]) -> None:
    """No format is left for the first one."""
    ladder = new_ladder(peers=(replace(PEERS[0], media=SILENT), PEERS[1]), routes=BOTH)
    ladder.play("caller -> INVITE sdp", "caller <- 100", ANSWERED_BY_OTHER)
    assert ladder.record.attempts == 2
    assert any("target lost (10.0.0.5: no " in line for line in ladder.trail)


def test_a_call_that_fits_no_target_is_refused_as_the_best_of_them_would(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(peers=(replace(PEERS[0], media=SILENT), PEERS[1]), routes=BOTH)
    ladder.play("""
        caller -> INVITE sdp
        caller <- 100
        other <- INVITE sdp
        other -> 503
        other <- ACK
        caller <- 488
        caller -> ACK
        0.1 s
    """)
    assert (ladder.record.ended_by, ladder.record.status) == ("sbc", 488)
