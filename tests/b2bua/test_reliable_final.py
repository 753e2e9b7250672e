"""Final responses while a provisional one is not acknowledged."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.early import ALLOWS, INVITED, PROGRESS
from tests.support.ladder import HUNG_UP, Ladder

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


def test_who_has_hung_up_is_asked_nothing_more_although_its_2xx_has_not_come(ladder: Ladder) -> None:
    """The BYE has overtaken the 2xx: what the caller still says in the early dialog stays here."""
    ladder.play(
        INVITED,
        PROGRESS,
        """
        callee -> 180 rel
        caller <- 180 rel
        callee -> BYE
        callee <- 200 BYE
        caller -> PRACK sdp
        caller <- 500 PRACK | Retry-After: *
        caller -> INFO
        caller <- 500 INFO | Retry-After: *
        callee -> INFO
        callee <- 481 INFO
        callee -> 200
        callee <- ACK
        caller <- 480
        caller -> ACK
        0.1 s
    """,
    )
    assert (ladder.record.ended_by, ladder.record.cause) == ("callee", "BYE")


def test_a_bye_that_overtakes_the_2xx_ends_what_waits_in_its_dialog(ladder: Ladder) -> None:
    ladder.play(
        INVITED,
        PROGRESS,
        """
        callee -> 180 rel
        caller <- 180 rel
        caller -> PRACK sdp
        callee <- PRACK sdp
        callee -> BYE
        callee <- 200 BYE
        caller <- 504 PRACK
        callee -> 481 PRACK
        callee -> 200
        callee <- ACK
        caller <- 480
        caller -> ACK
        0.1 s
    """,
    )
