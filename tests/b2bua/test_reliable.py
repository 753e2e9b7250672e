"""Reliable provisional responses: end to end, on one leg alone, and what goes wrong with them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sbc.b2bua import Interworking, Mode, Peer, Settings
from sbc.policy import RouteRule
from tests.support.ladder import HUNG_UP, Ladder
from tests.support.world import PBX, PBX2

SPEAKS = "Supported: 100rel"
ALLOWS = "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, PRACK"
INVITED = f"""
    caller -> INVITE sdp | {SPEAKS} | {ALLOWS}
    caller <- 100
    callee <- INVITE sdp | Supported: 100rel
"""
PROGRESS = """
    callee -> 183 sdp rel
    caller <- 183 sdp rel
    caller -> PRACK
    callee <- PRACK | RAck: 501 1 INVITE
    callee -> 200 PRACK
    caller <- 200 PRACK | -Session-Expires | -Contact
"""
ANSWERED = """
    callee -> 200
    callee <- ACK
    caller <- 200
    caller -> ACK
"""
"""After an answer that was reliable the 2xx need not repeat it (RFC 3262 section 5)."""


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


DELAYED = f"""
    caller -> INVITE | {SPEAKS} | {ALLOWS}
    caller <- 100
    callee <- INVITE | Supported: 100rel
    callee -> 183 sdp rel
    caller <- 183 sdp rel
"""


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


def test_what_it_was_given_for_good_and_is_not_so_any_more_is_offered_again(ladder: Ladder) -> None:
    """The answer of the 2xx is another one than the early one: the caller, to whom the early one stands, is asked."""
    ladder.bodies["g722"] = ("application/sdp", _with_codec(b"9", b"G722"))
    ladder.bodies["pcma"] = ("application/sdp", _with_codec(b"8", b"PCMA"))
    ladder.bodies["both"] = ("application/sdp", _with_codec(b"8 9", b"PCMA"))
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


def _with_codec(number: bytes, name: bytes) -> bytes:
    return (
        b"v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n"
        b"m=audio 4000 RTP/AVP " + number + b"\r\na=rtpmap:" + number[:1] + b" " + name + b"/8000\r\n"
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


# -- the final response ------------------------------------------------------------------------------------------------

OWED = f"""
    caller -> INVITE sdp | Require: 100rel | {ALLOWS}
    caller <- 100
    callee <- INVITE sdp
    callee -> 183 sdp
    caller <- 183 sdp rel | To: *;tag=$tag
    callee -> 200 sdp
    callee <- ACK
"""
"""The callee has answered, the caller has not acknowledged what is before it."""
WITHDRAWN = """
    callee <- BYE
    callee -> 200 BYE
    caller -> ACK
    0.1 s
"""


def test_a_2xx_waits_for_the_prack_of_what_describes_the_session(ladder: Ladder) -> None:
    """RFC 3262 section 3."""
    ladder.play(
        OWED,
        """
        callee -> 200 sdp
        callee <- ACK
        caller -> PRACK
        caller <- 200 PRACK
        caller <- 200
        caller -> ACK
    """,
        HUNG_UP,
    )
    assert ladder.record.answered is not None


def test_a_2xx_does_not_wait_for_the_prack_of_what_merely_rings(ladder: Ladder) -> None:
    """It may come later, and is passed on."""
    ladder.play(
        INVITED,
        """
        callee -> 180 rel
        caller <- 180 rel
        callee -> 200 sdp
        callee <- ACK
        caller <- 200 sdp
        caller -> ACK
        10 s
        caller -> PRACK
        callee <- PRACK
        callee -> 200 PRACK
        caller <- 200 PRACK
    """,
        HUNG_UP,
    )


def test_what_waits_for_its_turn_is_no_news_after_the_answer(ladder: Ladder) -> None:
    ladder.play(
        INVITED,
        """
        callee -> 180 rel
        caller <- 180 rel
        callee -> 180 rel
        callee -> 200 sdp
        callee <- ACK
        callee <- PRACK | RAck: 502 1 INVITE
        caller <- 200 sdp
        callee -> 200 PRACK
        caller -> ACK
        1 s
    """,
        HUNG_UP,
    )


def test_cancel_while_the_answer_waits(ladder: Ladder) -> None:
    ladder.play(OWED, "caller -> CANCEL", "caller <- 200 CANCEL", "caller <- 487", WITHDRAWN)
    assert (ladder.record.ended_by, ladder.record.cause, ladder.record.answered) == ("caller", "CANCEL", None)


def test_the_caller_hangs_up_while_the_answer_waits(ladder: Ladder) -> None:
    ladder.play(OWED, "caller -> BYE", "caller <- 200 BYE", "caller <- 487", WITHDRAWN)
    assert (ladder.record.ended_by, ladder.record.cause, ladder.record.status) == ("caller", "BYE", 487)


def test_the_callee_hangs_up_while_the_answer_waits(ladder: Ladder) -> None:
    ladder.play(OWED, "callee -> BYE", "callee <- 200 BYE", "caller <- 480", "caller -> ACK", "0.1 s")
    assert (ladder.record.ended_by, ladder.record.cause, ladder.record.status) == ("callee", "BYE", 480)


def test_no_prack_ever_while_the_answer_waits(ladder: Ladder) -> None:
    repeats = "\n".join(f"{pause} s\ncaller <- 183 sdp rel" for pause in (0.5, 1, 2, 4, 8, 16))
    ladder.play(OWED, repeats, "0.5 s", "caller <- 504", WITHDRAWN)
    assert (ladder.record.ended_by, ladder.record.cause) == ("sbc", "no PRACK")


def test_the_service_ends_while_the_answer_waits(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder()
    ladder.play(OWED)
    ladder.edge.run(ladder.edge.b2bua.hang_up_all(ladder.events.now))
    ladder.play("caller <- 503", WITHDRAWN)


def test_a_refusal_does_not_wait(ladder: Ladder) -> None:
    ladder.play(
        INVITED,
        """
        callee -> 183 sdp rel
        caller <- 183 sdp rel
        callee -> 486
        callee <- ACK
        caller <- 486
        caller -> ACK
        10 s
    """,
    )


def test_cancel_while_a_provisional_response_is_pending(ladder: Ladder) -> None:
    ladder.play(
        INVITED,
        """
        callee -> 183 sdp rel
        caller <- 183 sdp rel
        caller -> CANCEL
        caller <- 200 CANCEL
        callee <- CANCEL
        caller <- 487
        caller -> ACK
        callee -> 200 CANCEL
        callee -> 487
        callee <- ACK
        10 s
    """,
    )


def test_the_end_of_the_call_answers_a_prack_under_way(ladder: Ladder) -> None:
    """That it has come is true, whatever becomes of it on the other side."""
    ladder.play(
        INVITED,
        """
        callee -> 183 sdp rel
        caller <- 183 sdp rel
        caller -> PRACK
        callee <- PRACK
        caller -> CANCEL
        caller <- 200 CANCEL
        callee <- CANCEL
        caller <- 200 PRACK
        caller <- 487
        caller -> ACK
        callee -> 200 PRACK
        callee -> 200 CANCEL
        callee -> 487
        callee <- ACK
    """,
    )


# -- targets and forks -------------------------------------------------------------------------------------------------

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
    ladder.bodies["pcma"] = ("application/sdp", _with_codec(b"8", b"PCMA"))
    ladder.bodies["pcmu"] = ("application/sdp", _with_codec(b"0", b"PCMU"))
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
    ladder.bodies["pcma"] = ("application/sdp", _with_codec(b"8", b"PCMA"))
    ladder.bodies["pcmu"] = ("application/sdp", _with_codec(b"0", b"PCMU"))
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
    ladder.bodies["pcma"] = ("application/sdp", _with_codec(b"8", b"PCMA"))
    ladder.bodies["pcmu"] = ("application/sdp", _with_codec(b"0", b"PCMU"))
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
