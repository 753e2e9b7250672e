"""2xx to an INVITE and its ACK, lost and repeated, on either leg."""

from __future__ import annotations

import pytest

from tests.support.ladder import ANSWERED, HUNG_UP, Ladder

UNACKNOWLEDGED = """
    caller -> INVITE sdp
    caller <- 100
    callee <- INVITE sdp
    callee -> 200 sdp
    callee <- ACK
    caller <- 200 sdp
"""


def test_our_2xx_is_sent_again_until_its_ack_comes(ladder: Ladder) -> None:
    """RFC 3261 section 13.3.1.4: at T1, doubling up to T2."""
    ladder.play(
        UNACKNOWLEDGED,
        """
        0.5 s
        caller <- 200 sdp
        1 s
        caller <- 200 sdp
        2 s
        caller <- 200 sdp
        4 s
        caller <- 200 sdp
        4 s
        caller <- 200 sdp
        caller -> ACK
        60 s
    """,
        HUNG_UP,
    )


def test_without_an_ack_the_call_is_ended_with_bye(ladder: Ladder) -> None:
    repeats = "\n".join(f"{step} s\ncaller <- 200 sdp" for step in (0.5, 1, 2, 4, 4, 4, 4, 4, 4, 4))
    ladder.play(
        UNACKNOWLEDGED,
        repeats,
        """
        0.5 s
        caller <- BYE | Reason: SIP;cause=408;text="No ACK"
        callee <- BYE | Reason: SIP;cause=408;text="No ACK"
        caller -> 200 BYE
        callee -> 200 BYE
        0.1 s
    """,
    )
    assert (ladder.record.status, ladder.record.ended_by, ladder.record.cause) == (200, "sbc", "no ACK")


def test_an_ack_that_comes_twice_does_nothing(ladder: Ladder) -> None:
    ladder.play(ANSWERED, "caller -> again", "caller -> ACK", HUNG_UP)


@pytest.mark.parametrize("change", ["CSeq: 7 ACK", "To: <sip:1001@192.0.2.1>;tag=other", "From: <sip:x@y>;tag=other"])
def test_an_ack_of_something_else_is_none_of_ours(ladder: Ladder, change: str) -> None:
    ladder.play(UNACKNOWLEDGED, f"caller -> ACK | {change}", "0.5 s", "caller <- 200 sdp", "caller -> ACK")


def test_a_2xx_of_the_callee_that_comes_again_is_acknowledged_again(ladder: Ladder) -> None:
    """RFC 3261 section 13.2.2.4."""
    ladder.play(
        UNACKNOWLEDGED,
        """
        callee -> again
        callee <- ACK | CSeq: 1 ACK
        caller -> ACK
        callee -> again
        callee <- ACK | CSeq: 1 ACK
    """,
    )


def test_a_response_with_another_cseq_number_is_an_answer_to_nothing(ladder: Ladder) -> None:
    ladder.play(
        """
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 200 sdp | CSeq: 9 INVITE
        callee -> 200 sdp
        callee <- ACK | CSeq: 1 ACK
        caller <- 200 sdp
        caller -> ACK
    """,
        HUNG_UP,
    )


# -- delayed offers ----------------------------------------------------------------------------------------------------

DELAYED = """
    caller -> INVITE
    caller <- 100
    callee <- INVITE | -Content-Type
    callee -> 180
    caller <- 180
    callee -> 200 sdp
    caller <- 200 sdp
"""


def test_an_offer_in_the_2xx_is_answered_in_the_ack(ladder: Ladder) -> None:
    ladder.play(DELAYED, "callee -> again", "caller -> ACK sdp", "callee <- ACK sdp", HUNG_UP)
    assert len(ladder.record.streams) == 1


def test_an_ack_without_the_answer_leaves_no_session(ladder: Ladder) -> None:
    ladder.play(DELAYED, "caller -> ACK", "callee <- ACK")
    assert ladder.edge.flows == {}
    ladder.play("""
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 200 sdp
        callee <- ACK
        caller <- 200 sdp
        caller -> ACK
    """)
    assert len(ladder.edge.flows) == 1


def test_an_answer_in_the_ack_that_cannot_be_read_ends_the_call(ladder: Ladder) -> None:
    ladder.play(
        DELAYED,
        """
        caller -> ACK rubbish
        callee <- ACK
        caller <- BYE
        callee <- BYE
        caller -> 200 BYE
        callee -> 200 BYE
    """,
    )


def test_a_call_that_ends_before_the_answer_came_is_acknowledged_first(ladder: Ladder) -> None:
    """RFC 3261 section 13.2.2.4: the ACK, and then the BYE."""
    ladder.play(
        DELAYED,
        """
        caller -> BYE
        caller <- 200 BYE
        callee <- ACK
        callee <- BYE
        callee -> 200 BYE
    """,
    )


def test_a_call_without_any_session_description_is_a_call(ladder: Ladder) -> None:
    ladder.play(
        """
        caller -> INVITE
        caller <- 100
        callee <- INVITE
        callee -> 200
        callee <- ACK
        caller <- 200
        caller -> ACK
    """,
        HUNG_UP,
    )
