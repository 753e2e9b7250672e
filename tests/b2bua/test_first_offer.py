"""The first offer and its answers, across targets, forks and early dialogs."""

from __future__ import annotations

from collections.abc import Callable

from sbc.b2bua import Peer, Settings
from sbc.policy import RouteRule
from tests.support.early import ALLOWS, ANSWERED, DELAYED, INVITED, one_codec
from tests.support.ladder import HUNG_UP, Ladder
from tests.support.phone import sdp
from tests.support.world import CALLER, PBX, PBX2

PEERS = (Peer("pbx", "private", PBX.host), Peer("pbx2", "private", PBX2.host))
SERIAL = {"peers": PEERS, "routes": (RouteRule("both", to=("pbx", "pbx2")),), "settings": Settings(no_answer=60.0)}


def test_a_prack_of_a_target_that_is_lost_is_answered_here(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(**SERIAL)
    ladder.play(
        INVITED,
        """
        callee -> 180 rel
        caller <- 180 rel
        callee -> 503
        callee <- ACK
        other <- INVITE sdp
        caller -> PRACK
        caller <- 200 PRACK
        other -> 200 sdp
        other <- ACK
        caller <- 200 sdp
        caller -> ACK
        caller -> BYE
        caller <- 200 BYE
        other <- BYE
        other -> 200 BYE
    """,
    )


def test_a_prack_on_its_way_to_a_target_that_is_lost_is_answered_here(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(**SERIAL)
    ladder.play(
        INVITED,
        """
        callee -> 180 rel
        caller <- 180 rel
        caller -> PRACK
        callee <- PRACK
        callee -> 503
        callee <- ACK
        caller <- 200 PRACK
        other <- INVITE sdp
        callee -> 200 PRACK
        other -> 486
        other <- ACK
        caller <- 486
        caller -> ACK
    """,
    )


def test_after_an_early_answer_for_good_the_next_targets_session_is_offered(
    new_ladder: Callable[..., Ladder],
) -> None:
    """What the caller has is the first target's answer; RFC 3261 section 13.2.1 has it ignore any other."""
    ladder = new_ladder(**SERIAL)
    ladder.bodies["pcma"] = one_codec(8, "PCMA")
    ladder.bodies["pcmu"] = one_codec(0, "PCMU")
    ladder.play(
        INVITED,
        """
        callee -> 183 pcma rel
        caller <- 183 sdp rel
        caller -> PRACK
        callee <- PRACK
        callee -> 200 PRACK
        caller <- 200 PRACK
        callee -> 503
        callee <- ACK
        other <- INVITE sdp
        other -> 200 pcmu
        other <- ACK
        caller <- 200
        caller -> ACK
        caller <- UPDATE sdp
        caller -> 200 UPDATE pcmu
        caller -> BYE
        caller <- 200 BYE
        other <- BYE
        other -> 200 BYE
    """,
    )
    assert b" 0\r\n" in ladder.parties["caller"].requests["UPDATE"].body


def test_when_the_caller_has_answered_an_offer_no_other_target_can_be_tried(
    new_ladder: Callable[..., Ladder],
) -> None:
    ladder = new_ladder(**SERIAL)
    ladder.play(
        DELAYED,
        """
        caller -> PRACK sdp
        callee <- PRACK sdp
        callee -> 200 PRACK
        caller <- 200 PRACK
        callee -> 503
        callee <- ACK
        caller <- 503
        caller -> ACK
    """,
    )


def test_a_reliable_response_without_an_answer_makes_none_of_an_earlier_one(ladder: Ladder) -> None:
    ladder.play(
        INVITED,
        """
        callee -> 183 sdp
        caller <- 183 sdp
        callee -> 180 rel
        caller <- 180 rel
        caller -> PRACK sdp
        caller <- 500 PRACK
        callee <- PRACK
        callee -> 200 PRACK
        callee -> 200 sdp
        callee <- ACK
        caller <- 200 sdp
        caller -> ACK
    """,
        HUNG_UP,
    )


def test_each_fork_is_acknowledged_for_itself(ladder: Ladder) -> None:
    ladder.play(
        INVITED,
        """
        callee -> 180 rel tag=one
        caller <- 180 rel
        callee -> 180 rel tag=two
        caller -> PRACK
        callee <- PRACK | To: *;tag=one | RAck: 501 1 INVITE
        caller <- 180 rel
        callee -> 200 PRACK
        caller <- 200 PRACK
        caller -> PRACK
        callee <- PRACK | To: *;tag=two | RAck: 501 1 INVITE
        callee -> 200 PRACK
        caller <- 200 PRACK
    """,
    )


def test_one_fork_answers_early_for_good_and_another_takes_the_call(ladder: Ladder) -> None:
    ladder.bodies["pcma"] = one_codec(8, "PCMA")
    ladder.bodies["pcmu"] = one_codec(0, "PCMU")
    ladder.play(
        INVITED,
        """
        callee -> 183 pcma rel tag=one
        caller <- 183 sdp rel
        caller -> PRACK
        callee <- PRACK | To: *;tag=one
        callee -> 200 PRACK
        caller <- 200 PRACK
        callee -> 200 pcmu tag=two
        callee <- ACK | To: *;tag=two
        caller <- 200
        caller -> ACK
        caller <- UPDATE sdp
        caller -> 200 UPDATE pcmu
    """,
    )


def test_two_forks_answer_early_for_good_and_the_first_takes_the_call(ladder: Ladder) -> None:
    """Its answer need not be repeated in the 2xx: it is remembered."""
    ladder.bodies["pcma"] = one_codec(8, "PCMA")
    ladder.bodies["pcmu"] = one_codec(0, "PCMU")
    ladder.play(
        """
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 183 pcma rel tag=one
        callee <- PRACK | To: *;tag=one
        caller <- 183 sdp
        callee -> 200 PRACK
        callee -> 183 pcmu rel tag=two
        callee <- PRACK | To: *;tag=two
        caller <- 183 sdp
        callee -> 200 PRACK
        callee -> 200 tag=one
        callee <- ACK | To: *;tag=one
        caller <- 200 sdp
        caller -> ACK
    """,
    )
    answers = [data for _, _, target, data in ladder.network.sent if target.port == 5070 and b"SIP/2.0 200" in data]
    assert b"RTP/AVP 8\r\n" in answers[0]


def test_199_is_acknowledged_and_stays_here(ladder: Ladder) -> None:
    """RFC 6228."""
    ladder.play(
        INVITED,
        """
        callee -> 180 rel tag=one
        caller <- 180 rel
        callee -> 180 tag=two
        caller <- 180
        callee -> 199 rel tag=two
        callee <- PRACK | To: *;tag=two
        callee -> 200 PRACK
        caller -> PRACK
        callee <- PRACK | To: *;tag=one
        callee -> 200 PRACK
        caller <- 200 PRACK
    """,
    )


def test_more_forks_than_anybody_has_are_not_acknowledged(ladder: Ladder) -> None:
    ladder.play("caller -> INVITE sdp", "caller <- 100", "callee <- INVITE sdp")
    for number in range(32):
        ladder.play(f"callee -> 180 rel tag=fork{number}", "callee <- PRACK", "caller <- 180", "callee -> 200 PRACK")
    ladder.play("callee -> 180 rel tag=one-more")
    (call,) = ladder.edge.b2bua._context.calls.values()
    assert call.b is not None
    assert len(call.b.rseqs) == 32


def test_what_it_was_given_for_good_and_is_not_so_any_more_is_offered_again(ladder: Ladder) -> None:
    """The answer of the 2xx is another one than the early one: the caller, to whom the early one stands, is asked."""
    ladder.bodies["g722"] = one_codec(9, "G722")
    ladder.bodies["pcma"] = one_codec(8, "PCMA")
    ladder.bodies["both"] = ("application/sdp", sdp(CALLER, 4000).replace(b"0 8", b"8 9"))
    ladder.play(
        f"""
        caller -> INVITE both | Require: 100rel | {ALLOWS}
        caller <- 100
        callee <- INVITE sdp
        callee -> 183 pcma
        caller <- 183 sdp rel
        caller -> PRACK
        caller <- 200 PRACK
        callee -> 200 g722
        callee <- ACK
        caller <- 200
        caller -> ACK
        caller <- UPDATE sdp
        caller -> 200 UPDATE g722
    """,
        HUNG_UP,
    )
    assert b" 9\r\n" in ladder.parties["caller"].requests["UPDATE"].body


def test_without_an_offer_in_the_invite_it_comes_early_and_the_prack_answers(ladder: Ladder) -> None:
    ladder.play(
        DELAYED,
        """
        caller -> PRACK sdp
        callee <- PRACK sdp
        callee -> 200 PRACK
        caller <- 200 PRACK
    """,
    )
    (flow,) = ladder.edge.flows.values()
    assert (flow.a.remote, flow.b.remote) != (None, None)
    ladder.play(ANSWERED, HUNG_UP)


def test_a_prack_that_forgets_the_answer_leaves_no_session(ladder: Ladder) -> None:
    ladder.play(
        DELAYED,
        """
        caller -> PRACK
        callee <- PRACK
        callee -> 200 PRACK
        caller <- 200 PRACK
    """,
        ANSWERED,
        HUNG_UP,
    )


def test_an_answer_in_a_prack_that_cannot_be_read_is_refused(ladder: Ladder) -> None:
    ladder.play(
        DELAYED,
        """
        caller -> PRACK rubbish
        caller <- 400 PRACK
        callee <- PRACK
        callee -> 200 PRACK
    """,
        ANSWERED,
        HUNG_UP,
    )


def test_who_left_the_offer_to_the_callee_and_speaks_no_100rel_makes_it_unknown_there(ladder: Ladder) -> None:
    """The callee's offer in a reliable response would have to be answered before the caller can."""
    ladder.play(
        """
        caller -> INVITE
        caller <- 100
        callee <- INVITE
        callee -> 180
        caller <- 180
        callee -> 200 sdp
        caller <- 200 sdp
        caller -> ACK sdp
        callee <- ACK sdp
    """,
        HUNG_UP,
    )
    assert "100rel" not in ladder.parties["callee"].requests["INVITE"].headers.values("Supported")


def test_of_two_forks_that_make_the_offer_early_the_second_has_to_wait(ladder: Ladder) -> None:
    """The caller answers one. What is not acknowledged is repeated, until that fork is told of the end."""
    ladder.play(
        DELAYED.replace("callee -> 183 sdp rel", "callee -> 183 sdp rel tag=one"),
        """
        caller -> PRACK sdp
        callee <- PRACK sdp | To: *;tag=one
        callee -> 200 PRACK
        caller <- 200 PRACK
        callee -> 183 sdp rel tag=two
        callee -> again
        callee -> 200 tag=one
        callee <- ACK | To: *;tag=one
        caller <- 200
        caller -> ACK
    """,
    )


def test_a_fork_whose_offer_nobody_has_answered_cannot_take_the_call(ladder: Ladder) -> None:
    ladder.play(
        DELAYED.replace("callee -> 183 sdp rel", "callee -> 183 sdp rel tag=one"),
        """
        caller -> PRACK sdp
        callee <- PRACK sdp | To: *;tag=one
        callee -> 200 PRACK
        caller <- 200 PRACK
        callee -> 200 sdp tag=two
        callee <- ACK | To: *;tag=two
        callee <- BYE | To: *;tag=two
        callee -> 200 BYE
        caller <- 502
        caller -> ACK
    """,
    )
