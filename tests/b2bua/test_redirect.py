"""Redirection: followed for the caller, or passed on with Contacts that mean something to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sbc.b2bua import Interworking, Peer, Redirection, Settings, Target
from sbc.policy import RouteRule
from sbc.sip import Address
from tests.b2bua.test_targets_together import Chain
from tests.support.ladder import OTHER_ANSWERS, Ladder
from tests.support.world import PBX, PBX2

INVITED = """
    caller -> INVITE sdp
    caller <- 100
    callee <- INVITE sip:1001@10.0.0.5 sdp
"""
REFUSED_THERE = """
    other -> 486
    other <- ACK
    caller <- 486
    caller -> ACK
"""


def pbx(redirect: Redirection = Redirection.FOLLOW, **settings: Any) -> tuple[Peer, ...]:
    return (Peer("pbx", "private", PBX.host, how=Interworking(redirect=redirect), **settings),)


# -- followed ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [300, 301, 302])
def test_a_redirection_is_followed_and_the_caller_hears_nothing_of_it(ladder: Ladder, status: int) -> None:
    ladder.play(
        INVITED,
        f"""
        callee -> {status} | Contact: <sip:7042@10.0.0.6;transport=udp;x=y?Subject=no>
        callee <- ACK
        other <- INVITE sip:7042@10.0.0.6 sdp | To: <sip:7042@10.0.0.6>
    """,
        OTHER_ANSWERS,
    )
    assert ladder.record.attempts == 2
    assert any("followed to sip:7042@10.0.0.6" in line for line in ladder.trail)


@pytest.mark.parametrize("status", [303, 305, 380])
def test_what_names_no_place_to_call_is_not_followed(ladder: Ladder, status: int) -> None:
    ladder.play(
        INVITED,
        f"callee -> {status} | Contact: <sip:7042@10.0.0.6>",
        "callee <- ACK",
        "caller <- 480 | -Contact",
        "caller -> ACK",
    )


@pytest.mark.parametrize(
    "contact",
    [
        "X-None: 1",
        "Contact: <mailto:ann@10.0.0.6>",
        "Contact: <sips:ann@10.0.0.6>",
        "Contact: <sip:@@>",
        "Contact: *",
        "Contact: <sip:1001@10.0.0.5>",
    ],
)
def test_a_redirection_that_leads_nowhere_new_is_a_refusal(ladder: Ladder, contact: str) -> None:
    ladder.play(INVITED, f"callee -> 302 | -Contact | {contact}", "callee <- ACK", "caller <- 480", "caller -> ACK")


def test_several_places_are_tried_best_first(ladder: Ladder) -> None:
    """RFC 3261 section 8.1.3.4: in the order of q."""
    ladder.play(
        INVITED,
        """
        callee -> 300 | Contact: <sip:a@10.0.0.6>;q=0.2, <sip:b@10.0.0.6>;q=0.9 | +Contact: <sip:c@10.0.0.6>;q=0.5
        callee <- ACK
        other <- INVITE sip:b@10.0.0.6 sdp
        other -> 503
        other <- ACK
        other <- INVITE sip:c@10.0.0.6 sdp
        other -> 503
        other <- ACK
        other <- INVITE sip:a@10.0.0.6 sdp
    """,
        REFUSED_THERE,
    )


def test_what_its_user_says_is_final_there_too(ladder: Ladder) -> None:
    ladder.play(
        INVITED,
        """
        callee -> 300 | Contact: <sip:a@10.0.0.6>, <sip:b@10.0.0.6>;q=0.5
        callee <- ACK
        other <- INVITE sip:a@10.0.0.6 sdp
    """,
        REFUSED_THERE,
    )


def test_an_unreadable_q_is_none(ladder: Ladder) -> None:
    ladder.play(
        INVITED,
        "callee -> 302 | Contact: <sip:a@10.0.0.6>;q=0.3, <sip:b@10.0.0.6>;q=much",
        "callee <- ACK",
        "other <- INVITE sip:b@10.0.0.6 sdp",
        REFUSED_THERE,
    )


def test_a_circle_is_not_followed(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(peers=(*pbx(), Peer("pbx2", "private", PBX2.host)), routes=(RouteRule("in", to=("pbx",)),))
    ladder.play(
        INVITED,
        """
        callee -> 302 | Contact: <sip:1001@10.0.0.6>
        callee <- ACK
        other <- INVITE sip:1001@10.0.0.6 sdp
        other -> 302 | Contact: <sip:1001@10.0.0.5>
        other <- ACK
        caller <- 480
        caller -> ACK
    """,
    )


def test_nobody_is_sent_on_for_ever(ladder: Ladder) -> None:
    ladder.play(INVITED)
    for number in range(2, 11):
        ladder.play(
            f"callee -> 302 | Contact: <sip:{number}@10.0.0.5>",
            "callee <- ACK",
            f"callee <- INVITE sip:{number}@10.0.0.5 sdp",
        )
    ladder.play("callee -> 302 | Contact: <sip:11@10.0.0.5>", "callee <- ACK", "caller <- 480", "caller -> ACK")
    assert ladder.record.attempts == 10


def test_many_places_at_once_are_too_many(ladder: Ladder) -> None:
    contacts = ", ".join(f"<sip:{number}@10.0.0.6>" for number in range(50))
    tries = "\n".join(f"other <- INVITE sip:{n}@10.0.0.6 sdp\nother -> 503\nother <- ACK" for n in range(9))
    ladder.play(
        INVITED, f"callee -> 300 | Contact: {contacts}", "callee <- ACK", tries, "caller <- 503", "caller -> ACK"
    )


def test_our_own_address_is_routed_anew(new_ladder: Callable[..., Ladder]) -> None:
    peers = (*pbx(), Peer("mobile", "public", "203.0.113.9"))
    rules = (RouteRule("out", from_="private", numbers=("00*",), to=("mobile",)), RouteRule("in", to=("pbx",)))
    ladder = new_ladder(peers=peers, routes=rules)
    ladder.party("other", Address("203.0.113.9", 5060), "")
    ladder.play(
        INVITED,
        """
        callee -> 302 | Contact: <sip:0049170@10.0.0.1>
        callee <- ACK
        other <- INVITE sip:0049170@203.0.113.9 sdp
    """,
        OTHER_ANSWERS,
    )


def test_a_telephone_number_is_routed_anew(new_ladder: Callable[..., Ladder]) -> None:
    peers = (*pbx(), Peer("mobile", "public", "203.0.113.9"))
    ladder = new_ladder(peers=peers)
    ladder.party("other", Address("203.0.113.9", 5060), "")
    ladder.play(
        INVITED,
        """
        callee -> 302 | Contact: <tel:+49170>
        callee <- ACK
        other <- INVITE sip:+49170@203.0.113.9;user=phone sdp
    """,
        REFUSED_THERE,
    )


def test_a_number_that_is_routed_nowhere_leads_nowhere(new_ladder: Callable[..., Ladder]) -> None:
    rules = (RouteRule("none", numbers=("99",), reject=404), RouteRule("in", to=("pbx",)))
    ladder = new_ladder(peers=pbx(), routes=rules)
    ladder.play(
        INVITED, "callee -> 302 | Contact: <sip:99@10.0.0.1>", "callee <- ACK", "caller <- 480", "caller -> ACK"
    )


def test_a_configured_peer_is_reached_as_such_in_its_zone(new_ladder: Callable[..., Ladder]) -> None:
    peers = (*pbx(), Peer("mobile", "public", "203.0.113.9", 5070))
    ladder = new_ladder(peers=peers, routes=(RouteRule("in", to=("pbx",)),))
    ladder.party("other", Address("203.0.113.9", 5070), "")
    ladder.play(
        INVITED,
        """
        callee -> 302 | Contact: <sip:0049170@203.0.113.9>
        callee <- ACK
        other <- INVITE sip:0049170@203.0.113.9:5070 sdp | Contact: <sip:192.0.2.1:5060>
    """,
        OTHER_ANSWERS,
    )
    assert ladder.record.b is not None
    assert (ladder.record.b.peer, ladder.record.b.zone) == ("mobile", "public")


def test_the_transport_that_a_contact_names_is_taken(ladder: Ladder) -> None:
    ladder.party("other", PBX2, "", "TCP")
    ladder.play(
        INVITED,
        """
        callee -> 302 | Contact: <sip:7042@10.0.0.6;transport=tcp>
        callee <- ACK
        other <- INVITE sip:7042@10.0.0.6 sdp | Via: SIP/2.0/TCP *
    """,
        REFUSED_THERE,
    )


def test_early_media_before_it_are_over(ladder: Ladder) -> None:
    ladder.play(
        INVITED,
        """
        callee -> 183 sdp
        caller <- 183 sdp
        callee -> 302 | Contact: <sip:7042@10.0.0.6>
        callee <- ACK
        other <- INVITE sdp
    """,
        OTHER_ANSWERS,
    )


def test_it_goes_before_the_targets_that_were_to_follow(new_ladder: Callable[..., Ladder]) -> None:
    first = Target("private", "sip:1001@10.0.0.5", PBX.host, None, ("UDP",), "pbx")
    then = Target("private", "sip:3@10.0.0.6", PBX2.host, None, ("UDP",), None)
    ladder = new_ladder(hooks=Chain(first, then))
    ladder.play(
        INVITED,
        """
        callee -> 302 | Contact: <sip:2@10.0.0.6>
        callee <- ACK
        other <- INVITE sip:2@10.0.0.6 sdp
        other -> 503
        other <- ACK
        other <- INVITE sip:3@10.0.0.6 sdp
    """,
        REFUSED_THERE,
    )


def test_it_rings_as_long_as_who_was_called_first(new_ladder: Callable[..., Ladder]) -> None:
    first = Target("private", "sip:1001@10.0.0.5", PBX.host, None, ("UDP",), "pbx", ring=10.0)
    ladder = new_ladder(hooks=Chain(first))
    ladder.play(
        INVITED,
        """
        callee -> 302 | Contact: <sip:2@10.0.0.6>
        callee <- ACK
        other <- INVITE sip:2@10.0.0.6 sdp
        other -> 180
        caller <- 180
        10 s
        other <- CANCEL | Reason: SIP;cause=408;text="No answer"
        other -> 200 CANCEL
        other -> 487
        other <- ACK
        caller <- 408
        caller -> ACK
    """,
    )


def test_who_redirects_beside_others_is_followed_at_once(new_ladder: Callable[..., Ladder]) -> None:
    first = Target("private", "sip:1001@10.0.0.5", PBX.host, None, ("UDP",), "pbx")
    beside = Target("private", "sip:1001@10.0.0.6", PBX2.host, None, ("UDP",), None, together=True)
    ladder = new_ladder(hooks=Chain(first, beside))
    ladder.party("third", Address("10.0.0.7", 5060), "")
    ladder.play(
        """
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        other <- INVITE sdp
        other -> 180
        caller <- 180
        callee -> 302 | Contact: <sip:9@10.0.0.7>
        callee <- ACK
        third <- INVITE sip:9@10.0.0.7 sdp
        third -> 200 sdp
        third <- ACK
        other <- CANCEL
        caller <- 200 sdp
        caller -> ACK
        other -> 200 CANCEL
        other -> 487
        other <- ACK
    """,
    )


# -- passed on ---------------------------------------------------------------------------------------------------------


def test_it_is_passed_on_with_the_same_users_at_us(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(peers=pbx(Redirection.PASS))
    ladder.play(
        INVITED,
        """
        callee -> 302 | Contact: <sip:7042@10.0.0.6>;q=0.5 | +Contact: "Ann at 10.0.0.6" <sip:ann%4010.0.0.6@10.0.0.6>
            | +Contact: <tel:+4930> | +Contact: <sip:10.0.0.6>
        callee <- ACK
        caller <- 302 | Contact: <sip:7042@192.0.2.1>;q=0.5 | Contact: <sip:ann@192.0.2.1>
            | Contact: <sip:+4930@192.0.2.1;user=phone>
        caller -> ACK
        0.1 s
    """,
    )
    assert (ladder.record.status, ladder.record.ended_by) == (302, "callee")


@pytest.mark.parametrize("contact", ["X-None: 1", "Contact: <sip:10.0.0.6>", "Contact: <mailto:ann@10.0.0.6>"])
def test_without_anybody_at_us_to_call_it_is_a_refusal(new_ladder: Callable[..., Ladder], contact: str) -> None:
    ladder = new_ladder(peers=pbx(Redirection.PASS))
    ladder.play(
        INVITED, f"callee -> 302 | -Contact | {contact}", "callee <- ACK", "caller <- 480 | -Contact", "caller -> ACK"
    )


def test_a_real_refusal_is_better_than_a_redirection_that_the_caller_cannot_use(
    new_ladder: Callable[..., Ladder],
) -> None:
    first = Target("private", "sip:1001@10.0.0.5", PBX.host, None, ("UDP",), "pbx")
    beside = Target("private", "sip:1001@10.0.0.6", PBX2.host, None, ("UDP",), None, together=True)
    ladder = new_ladder(hooks=Chain(first, beside), settings=Settings())
    ladder.play(
        """
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        other <- INVITE sdp
        callee -> 401 | WWW-Authenticate: Digest realm="office", nonce="x"
        callee <- ACK
        other -> 302 | Contact: <sip:7@10.0.0.7>
        other <- ACK
        caller <- 401
        caller -> ACK
    """,
    )
