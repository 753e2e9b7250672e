"""Reliable provisional responses: end to end, on one leg alone, and what goes wrong with them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sbc.b2bua import Interworking, Mode, Peer
from tests.support.early import ALLOWS, ANSWERED, INVITED, PROGRESS, SPEAKS
from tests.support.ladder import HUNG_UP, Ladder
from tests.support.world import PBX


def peer(**how: Mode) -> tuple[Peer, ...]:
    return (Peer("pbx", "private", PBX.host, how=Interworking(**how)),)  # type: ignore[arg-type]


# -- end to end --------------------------------------------------------------------------------------------------------


def test_where_both_sides_speak_it_the_prack_goes_end_to_end(ladder: Ladder) -> None:
    ladder.play(INVITED, PROGRESS, ANSWERED, HUNG_UP)
    assert ladder.record.cause == "BYE"
    assert ladder.record.streams


def test_rseq_and_cseq_go_on_in_each_dialog(ladder: Ladder) -> None:
    ladder.play(
        INVITED,
        """
        callee -> 180 rel
        caller <- 180 rel | RSeq: $first
        caller -> PRACK
        callee <- PRACK | RAck: 501 1 INVITE | CSeq: 2 PRACK
        callee -> 200 PRACK
        caller <- 200 PRACK
        callee -> 183 sdp rel
        caller <- 183 sdp rel | RSeq: $second
        caller -> PRACK
        callee <- PRACK | RAck: 502 1 INVITE | CSeq: 3 PRACK
        callee -> 200 PRACK
        caller <- 200 PRACK
        callee -> 200
        callee <- ACK | CSeq: 1 ACK
        caller <- 200
        caller -> ACK
        caller -> BYE
        caller <- 200 BYE
        callee <- BYE | CSeq: 4 BYE
        callee -> 200 BYE
    """,
    )
    assert int(ladder["second"]) == int(ladder["first"]) + 1


def test_a_new_offer_in_a_prack_passes_and_its_answer_comes_back(ladder: Ladder) -> None:
    ladder.play(
        INVITED,
        """
        callee -> 183 sdp rel
        caller <- 183 sdp rel
        caller -> PRACK sdp
        callee <- PRACK sdp
        callee -> 200 PRACK sdp
        caller <- 200 PRACK sdp
    """,
        ANSWERED,
        HUNG_UP,
    )


@pytest.mark.parametrize(("answer", "given"), [("488 PRACK", "488 PRACK"), ("200 PRACK rubbish", "488 PRACK")])
def test_an_offer_in_a_prack_that_comes_to_nothing_leaves_the_session_as_it_was(
    ladder: Ladder, answer: str, given: str
) -> None:
    ladder.play(INVITED, "callee -> 183 sdp rel", "caller <- 183 sdp rel")
    before = dict(ladder.edge.flows)
    ladder.play(f"""
        caller -> PRACK sdp
        callee <- PRACK sdp
        callee -> {answer}
        caller <- {given}
    """)
    assert {name: (f.a.local, f.a.remote, f.b.remote) for name, f in ladder.edge.flows.items()} == {
        name: (f.a.local, f.a.remote, f.b.remote) for name, f in before.items()
    }
    ladder.play(ANSWERED, HUNG_UP)


def test_an_offer_in_a_prack_before_the_first_is_answered_is_refused(ladder: Ladder) -> None:
    """RFC 3264 section 4; the provisional response is acknowledged all the same."""
    ladder.play(
        INVITED,
        """
        callee -> 180 rel
        caller <- 180 rel
        caller -> PRACK sdp
        caller <- 500 PRACK | Retry-After: *
        callee <- PRACK
        callee -> 200 PRACK
        callee -> 200 sdp
        callee <- ACK
        caller <- 200 sdp
        caller -> ACK
    """,
        HUNG_UP,
    )


def test_preconditions_cross_beside_it(ladder: Ladder) -> None:
    """RFC 3312 is attributes in the session descriptions."""
    ladder.play("""
        caller -> INVITE sdp | Supported: 100rel, precondition
        caller <- 100
        callee <- INVITE sdp | Supported: precondition | Supported: 100rel
        callee -> 183 sdp rel | +Require: precondition
        caller <- 183 sdp rel | Require: precondition
    """)


def test_early_media_that_are_not_reliable_stay_so(ladder: Ladder) -> None:
    ladder.play(
        INVITED,
        """
        callee -> 183 sdp
        caller <- 183 sdp
        callee -> 180
        caller <- 180
        callee -> 200 sdp
        callee <- ACK
        caller <- 200 sdp
        caller -> ACK
    """,
        HUNG_UP,
    )


# -- one leg alone -----------------------------------------------------------------------------------------------------


def test_a_caller_that_does_not_speak_it_gets_plain_responses_and_we_acknowledge(ladder: Ladder) -> None:
    ladder.play(
        """
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp | Supported: 100rel
        callee -> 183 sdp rel
        callee <- PRACK | RAck: 501 1 INVITE
        caller <- 183 sdp
        callee -> 200 PRACK
        callee -> 200
        callee <- ACK
        caller <- 200 sdp
        caller -> ACK
    """,
        HUNG_UP,
    )


def test_a_caller_that_requires_it_gets_it_whatever_the_other_side_speaks(ladder: Ladder) -> None:
    ladder.play(
        f"""
        caller -> INVITE sdp | Require: 100rel | {ALLOWS}
        caller <- 100
        callee <- INVITE sdp | -Require
        callee -> 183 sdp
        caller <- 183 sdp rel
        caller -> PRACK
        caller <- 200 PRACK
        callee -> 200 sdp
        callee <- ACK
        caller <- 200
        caller -> ACK
    """,
        HUNG_UP,
    )


def test_a_callee_that_must_speak_it_is_asked_to(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(peers=peer(reliable=Mode.ALWAYS))
    ladder.play("""
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp | Require: 100rel
        callee -> 420 | Unsupported: 100rel
        callee <- ACK
        caller <- 420
        caller -> ACK
    """)


def test_a_callee_that_must_not_be_asked_is_not(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(peers=peer(reliable=Mode.NEVER))
    ladder.play(
        f"""
        caller -> INVITE sdp | {SPEAKS}
        caller <- 100
        callee <- INVITE sdp | Supported: timer
        callee -> 180
        caller <- 180
        callee -> 200 sdp
        callee <- ACK
        caller <- 200 sdp
        caller -> ACK
    """,
        HUNG_UP,
    )
    assert "100rel" not in ladder.parties["callee"].requests["INVITE"].headers.values("Supported")


def test_a_caller_with_whom_it_is_not_spoken_may_not_require_it(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(peers=peer(reliable=Mode.NEVER))
    ladder.party("callee", PBX, f"sip:2002@{ladder.parties['caller'].address.host}:5070")
    ladder.play("""
        callee -> INVITE sdp | Require: 100rel
        callee <- 420 | Unsupported: 100rel
        callee -> ACK
    """)


def test_a_caller_may_be_given_all_of_it_reliably(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(peers=peer(reliable=Mode.ALWAYS))
    ladder.party("callee", PBX, f"sip:2002@{ladder.parties['caller'].address.host}:5070")
    ladder.play(f"""
        callee -> INVITE sdp | {SPEAKS}
        callee <- 100
        caller <- INVITE sdp
        caller -> 180
        callee <- 180 rel
        callee -> PRACK
        callee <- 200 PRACK
        caller -> 486
        caller <- ACK
        callee <- 486
        callee -> ACK
    """)


def test_an_offer_in_the_prack_of_one_leg_becomes_an_update_on_the_other(ladder: Ladder) -> None:
    """The callee answered early for good, in another response than the one that is acknowledged now."""
    ladder.play(
        f"""
        caller -> INVITE sdp | Require: 100rel | {ALLOWS}
        caller <- 100
        callee <- INVITE sdp
        callee -> 183 sdp rel | {ALLOWS}
        caller <- 183 sdp rel
        caller -> PRACK
        callee <- PRACK
        callee -> 200 PRACK
        caller <- 200 PRACK
        callee -> 180
        caller <- 180 rel
        caller -> PRACK sdp
        callee <- UPDATE sdp
        callee -> 200 UPDATE sdp
        caller <- 200 PRACK sdp | -Session-Expires | -Contact
    """,
        ANSWERED,
        HUNG_UP,
    )


# -- what is lost, repeated or wrong -----------------------------------------------------------------------------------


def test_what_is_not_acknowledged_is_sent_again_and_ever_more_slowly(ladder: Ladder) -> None:
    ladder.play(
        INVITED,
        """
        callee -> 180 rel
        caller <- 180 rel | RSeq: $rseq
        0.5 s
        caller <- 180 rel | RSeq: $rseq
        1 s
        caller <- 180 rel | RSeq: $rseq
        2 s
        caller <- 180 rel | RSeq: $rseq
        caller -> PRACK
        callee <- PRACK
        callee -> 200 PRACK
        caller <- 200 PRACK
        30 s
        callee -> 486
        callee <- ACK
        caller <- 486
        caller -> ACK
    """,
    )


def test_a_caller_that_never_acknowledges_is_refused(ladder: Ladder) -> None:
    repeats = "\n".join(f"{pause} s\ncaller <- 180 rel" for pause in (0.5, 1, 2, 4, 8, 16))
    ladder.play(
        INVITED,
        "callee -> 180 rel",
        "caller <- 180 rel",
        repeats,
        """
        0.5 s
        caller <- 504
        callee <- CANCEL | Reason: SIP;cause=504;text="No PRACK"
        caller -> ACK
        callee -> 200 CANCEL
        callee -> 487
        callee <- ACK
    """,
    )
    assert (ladder.record.ended_by, ladder.record.cause, ladder.record.status) == ("sbc", "no PRACK", 504)


def test_a_repeated_prack_gets_its_answer_again(ladder: Ladder) -> None:
    ladder.play(INVITED, PROGRESS, "caller -> again", "caller <- 200 PRACK", ANSWERED, HUNG_UP)


@pytest.mark.parametrize("rack", ["77 2 INVITE", "$rseq 9 INVITE", "$rseq 2 BYE", "nonsense", "4294967296 2 INVITE"])
def test_a_prack_of_nothing_is_481(ladder: Ladder, rack: str) -> None:
    ladder.play(INVITED, "callee -> 180 rel", "caller <- 180 rel | RSeq: $rseq")
    rack = rack.replace("$rseq", ladder["rseq"])
    ladder.play(f"""
        caller -> PRACK | RAck: {rack}
        caller <- 481 PRACK
        caller -> PRACK
        callee <- PRACK
        callee -> 200 PRACK
        caller <- 200 PRACK
        caller -> PRACK
        caller <- 481 PRACK
    """)


def test_a_prack_without_rack_is_481(ladder: Ladder) -> None:
    ladder.play(INVITED, "callee -> 180 rel", "caller <- 180 rel", "caller -> PRACK | -RAck", "caller <- 481 PRACK")


def test_a_repeated_provisional_response_counts_once(ladder: Ladder) -> None:
    ladder.play(INVITED, "callee -> 180 rel", "caller <- 180 rel", "callee -> again", "0.1 s")


def test_a_repeated_provisional_response_that_we_acknowledged_counts_once(ladder: Ladder) -> None:
    ladder.play("""
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 180 rel
        callee <- PRACK
        caller <- 180
        callee -> again
        callee -> 200 PRACK
    """)


@pytest.mark.parametrize("rseq", ["503", "500", "0", "x", "4294967296"])
def test_what_is_out_of_order_waits_until_it_is_in_order(ladder: Ladder, rseq: str) -> None:
    """RFC 3262 section 4: "MUST NOT be acknowledged with a PRACK, and MUST NOT be processed further"."""
    ladder.play(
        INVITED,
        PROGRESS,
        f"""
        callee -> 180 rel | RSeq: {rseq}
        callee -> 180 rel | RSeq: 502
        caller <- 180 rel
    """,
    )


def test_more_than_one_at_a_time_go_one_after_the_other(ladder: Ladder) -> None:
    """The callee need not wait (unless there was SDP in it); the caller acknowledges them in their order."""
    ladder.play(
        INVITED,
        """
        callee -> 180 rel
        caller <- 180 rel
        callee -> 183 sdp rel
        callee -> 180
        caller <- 180
        caller -> PRACK
        callee <- PRACK | RAck: 501 1 INVITE
        caller <- 183 sdp rel
        callee -> 200 PRACK
        caller <- 200 PRACK
        caller -> PRACK
        callee <- PRACK | RAck: 502 1 INVITE
        callee -> 200 PRACK
        caller <- 200 PRACK
    """,
        ANSWERED,
        HUNG_UP,
    )


def test_a_callee_that_sends_them_without_end_has_to_wait(ladder: Ladder) -> None:
    ladder.play(INVITED, "callee -> 180 rel", "caller <- 180 rel")
    for _ in range(20):
        ladder.play("callee -> 180 rel")
    ladder.play(
        """
        caller -> PRACK
        callee <- PRACK | RAck: 501 1 INVITE
        caller <- 180 rel
        callee -> 200 PRACK
        caller <- 200 PRACK
        callee -> 180 rel | RSeq: 510
    """,
    )
    waiting = next(iter(ladder.edge.b2bua._context.calls.values())).a.reliable
    assert waiting is not None
    assert len(waiting.waiting) == 8


@pytest.mark.parametrize("status", [481, 500, 403])
def test_a_prack_that_the_callee_refuses_is_refused(ladder: Ladder, status: int) -> None:
    ladder.play(
        INVITED,
        f"""
        callee -> 180 rel
        caller <- 180 rel
        caller -> PRACK
        callee <- PRACK
        callee -> {status} PRACK
        caller <- {status} PRACK
    """,
    )


def test_a_prack_that_the_callee_does_not_answer_has_come_all_the_same(ladder: Ladder) -> None:
    repeats = "\n".join(f"{pause} s\ncallee <- PRACK" for pause in (0.5, 1, 2, 4, 4, 4, 4, 4, 4, 4))
    ladder.play(
        INVITED,
        """
        callee -> 180 rel
        caller <- 180 rel
        caller -> PRACK
        callee <- PRACK
    """,
        repeats,
        "0.5 s",
        "caller <- 200 PRACK",
    )


# -- re-INVITE ---------------------------------------------------------------------------------------------------------


def test_who_requires_it_in_a_re_invite_gets_no_unreliable_ones(ladder: Ladder) -> None:
    ladder.play(
        """
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 200 sdp
        callee <- ACK
        caller <- 200 sdp
        caller -> ACK
        caller -> INVITE sdp | Require: 100rel
        caller <- 100
        callee <- INVITE sdp
        callee -> 180
        callee -> 200 sdp
        callee <- ACK
        caller <- 200 sdp
        caller -> ACK
    """,
        HUNG_UP,
    )
