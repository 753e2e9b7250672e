"""Offers and answers inside a call: re-INVITE and UPDATE."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest

from sbc.b2bua import Settings
from sbc.b2bua.call import ExchangeInput, ExchangeState
from sbc.b2bua.exchange import IGNORED, TRANSITIONS
from tests.support.ladder import ANSWERED, HUNG_UP, RINGING, Ladder

ALLOWS = "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO"
BOTH_UPDATE = ANSWERED.replace("-> INVITE sdp", f"-> INVITE sdp | {ALLOWS}").replace(
    "callee -> 200 sdp", f"callee -> 200 sdp | {ALLOWS}"
)


def test_every_state_and_input_is_decided_exactly_once() -> None:
    pairs = set(product(ExchangeState, ExchangeInput))
    assert [pair for pair in pairs if (pair in TRANSITIONS) == (pair in IGNORED)] == []
    assert set(TRANSITIONS) | IGNORED == pairs


@pytest.mark.parametrize(("asks", "asked"), [("caller", "callee"), ("callee", "caller")])
def test_a_re_invite_of_either_side_passes_with_its_session_rewritten(ladder: Ladder, asks: str, asked: str) -> None:
    ladder.play(
        ANSWERED,
        f"""
        {asks} -> INVITE sdp | Subject: again
        {asks} <- 100
        {asked} <- INVITE sdp | Subject: again | Max-Forwards: 69 | Contact: <sip:*:5060>
        {asked} -> 180
        {asks} <- 180
        {asked} -> 200 sdp
        {asked} <- ACK
        {asks} <- 200 sdp | Contact: <sip:*:5060>
        {asks} -> ACK
    """,
        HUNG_UP,
    )
    assert ladder.record.status == 200


def test_of_a_re_invite_every_2xx_is_acknowledged_and_ours_repeated(ladder: Ladder) -> None:
    ladder.play(
        ANSWERED,
        """
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 200 sdp
        callee <- ACK | CSeq: $cseq
        caller <- 200 sdp
        callee -> again
        callee <- ACK | CSeq: $cseq
        0.5 s
        caller <- 200 sdp
        caller -> ACK
        10 s
    """,
        HUNG_UP,
    )


def test_a_re_invite_without_offer_is_answered_in_the_ack(ladder: Ladder) -> None:
    ladder.play(
        ANSWERED,
        """
        caller -> INVITE
        caller <- 100
        callee <- INVITE
        callee -> 200 sdp
        caller <- 200 sdp
        caller -> ACK sdp
        callee <- ACK sdp
    """,
        HUNG_UP,
    )


@pytest.mark.parametrize("status", [400, 403, 488, 491, 500, 503, 606])
def test_a_refused_re_invite_leaves_the_session_as_it_was(ladder: Ladder, status: int) -> None:
    ladder.play(ANSWERED)
    before = dict(ladder.edge.flows)
    ladder.play(f"""
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> {status}
        callee <- ACK
        caller <- {status}
        caller -> ACK
    """)
    assert ladder.edge.flows == before
    ladder.play(HUNG_UP)
    assert ladder.record.cause == "BYE"


@pytest.mark.parametrize("body", ["", "closed"])
def test_an_answer_that_is_missing_leaves_the_session_as_it_was(ladder: Ladder, body: str) -> None:
    ladder.play(ANSWERED)
    before = dict(ladder.edge.flows)
    ladder.play(f"""
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 200 {body}
        callee <- ACK
        caller <- 200
        caller -> ACK
        callee -> INVITE sdp
        callee <- 100
        caller <- INVITE sdp
        caller -> 488
        caller <- ACK
        callee <- 488
        callee -> ACK
    """)
    assert ladder.edge.flows == before


def test_an_answer_that_cannot_be_read_ends_the_call(ladder: Ladder) -> None:
    ladder.play(
        ANSWERED,
        """
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 200 rubbish
        callee <- ACK
        caller <- 488
        caller -> ACK
        caller <- BYE
        callee <- BYE
        caller -> 200 BYE
        callee -> 200 BYE
        0.1 s
    """,
    )
    assert ladder.record.ended_by == "sbc"


@pytest.mark.parametrize("status", [408, 481])
def test_a_side_that_does_not_know_the_dialog_ends_the_call(ladder: Ladder, status: int) -> None:
    """RFC 3261 section 12.2.1.2."""
    ladder.play(
        ANSWERED,
        f"""
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> {status}
        callee <- ACK
        caller <- {status}
        caller -> ACK
        caller <- BYE
        callee <- BYE
        caller -> 200 BYE
        callee -> 481 BYE
        0.1 s
    """,
    )
    assert ladder.record.cause == f"{status} to INVITE"


def test_a_side_that_says_nothing_ends_the_call_and_may_hear_of_it(ladder: Ladder) -> None:
    repeats = "\n".join(f"{step} s\ncallee <- INVITE sdp" for step in (0.5, 1, 2, 4, 8, 16))
    ladder.play(
        ANSWERED,
        "caller -> INVITE sdp",
        "caller <- 100",
        "callee <- INVITE sdp",
        repeats,
        """
        0.5 s
        caller <- 408
        caller -> ACK
        caller <- BYE
        callee <- BYE
        caller -> 200 BYE
        callee -> 200 BYE
        0.1 s
    """,
    )
    assert ladder.record.cause == "no answer to INVITE"


def test_an_offer_that_cannot_be_sent_ends_nothing(new_ladder: Callable[..., Ladder]) -> None:
    broken = False
    ladder = new_ladder(fails=lambda hop: broken and hop.remote.host == "10.0.0.5")
    ladder.play(ANSWERED)
    before = dict(ladder.edge.flows)
    broken = True
    ladder.play("caller -> INVITE sdp", "caller <- 100", "caller <- 503", "caller -> ACK")
    assert ladder.edge.flows == before
    broken = False
    ladder.play(HUNG_UP)
    assert ladder.record.cause == "BYE"


def test_somebody_who_rings_for_ever_does_not_block_the_exchange(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(settings=Settings(no_answer=30.0))
    ladder.play(
        ANSWERED,
        """
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 180
        caller <- 180
        30 s
        callee <- CANCEL
        callee -> 200 CANCEL
        callee -> 487
        callee <- ACK
        caller <- 487
        caller -> ACK
    """,
        HUNG_UP,
    )


def test_a_re_invite_may_be_cancelled(ladder: Ladder) -> None:
    ladder.play(
        ANSWERED,
        """
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 180
        caller <- 180
        caller -> CANCEL
        caller <- 200 CANCEL
        callee <- CANCEL
        callee -> 200 CANCEL
        callee -> 487
        callee <- ACK
        caller <- 487
        caller -> ACK
    """,
        HUNG_UP,
    )
    assert ladder.record.cause == "BYE"


def test_a_cancel_of_a_re_invite_may_come_too_late(ladder: Ladder) -> None:
    ladder.play(
        ANSWERED,
        """
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 100
        caller -> CANCEL
        caller <- 200 CANCEL
        callee <- CANCEL
        callee -> 200 CANCEL
        callee -> 200 sdp
        callee <- ACK
        caller <- 200 sdp
        caller -> ACK
    """,
        HUNG_UP,
    )


# -- glare -------------------------------------------------------------------------------------------------------------


def test_two_offers_at_once_are_glare(ladder: Ladder) -> None:
    """RFC 3261 section 14.2."""
    ladder.play(
        ANSWERED,
        """
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> INVITE sdp
        callee <- 491
        callee -> ACK
        callee -> 491
        callee <- ACK
        caller <- 491
        caller -> ACK
    """,
        HUNG_UP,
    )


def test_a_second_offer_of_the_same_side_has_to_wait(ladder: Ladder) -> None:
    ladder.play(
        BOTH_UPDATE,
        """
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        caller -> UPDATE sdp
        caller <- 500 UPDATE | Retry-After: *
        callee -> 200 sdp
        callee <- ACK
        caller <- 200 sdp
        caller -> ACK
    """,
    )


def test_a_re_invite_before_the_other_side_has_acknowledged_is_glare(ladder: Ladder) -> None:
    """RFC 3261 section 14.1."""
    ladder.play(
        ANSWERED.replace("caller -> ACK", ""),
        """
        callee -> INVITE sdp
        callee <- 491
        callee -> ACK
        caller -> ACK
        callee -> INVITE sdp
        callee <- 100
        caller <- INVITE sdp
        caller -> 488
        caller <- ACK
        callee <- 488
        callee -> ACK
    """,
    )


# -- UPDATE ------------------------------------------------------------------------------------------------------------


def test_an_update_passes_where_both_sides_allow_it(ladder: Ladder) -> None:
    ladder.play(
        BOTH_UPDATE,
        """
        callee -> UPDATE sdp
        caller <- UPDATE sdp | Contact: <sip:192.0.2.1:5060>
        caller -> 200 UPDATE sdp
        callee <- 200 UPDATE sdp | Contact: <sip:10.0.0.1:5060>
    """,
        HUNG_UP,
    )


def test_a_refused_update_leaves_the_session_as_it_was(ladder: Ladder) -> None:
    ladder.play(BOTH_UPDATE)
    before = dict(ladder.edge.flows)
    ladder.play("caller -> UPDATE sdp", "callee <- UPDATE sdp", "callee -> 488 UPDATE", "caller <- 488 UPDATE")
    assert ladder.edge.flows == before


def test_an_update_to_somebody_who_allows_none_becomes_a_re_invite(ladder: Ladder) -> None:
    ladder.play(
        ANSWERED,
        """
        caller -> UPDATE sdp
        callee <- INVITE sdp
        callee -> 200 sdp
        callee <- ACK
        caller <- 200 UPDATE sdp
    """,
        HUNG_UP,
    )


@pytest.mark.parametrize("body", ["closed", "rubbish"])
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_an_offer_that_cannot_be_read_is_refused(ladder: Ladder, method: str, body: str) -> None:
    status = 415 if body == "closed" else 400
    ladder.play(
        BOTH_UPDATE,
        f"""
        caller -> {method} {body}
        caller <- {status} {method}
        {"caller -> ACK" if method == "INVITE" else ""}
    """,
        HUNG_UP,
    )


def test_an_offer_before_the_answer_has_to_wait(ladder: Ladder) -> None:
    ladder.play(RINGING.replace("<- 180", "<- 180 | To: *;tag=$tag"))
    ladder.play(f"""
        caller -> UPDATE sdp | To: <sip:1001@192.0.2.1>;tag={ladder["tag"]} | CSeq: 2 UPDATE
        caller <- 500 UPDATE | Retry-After: *
    """)


# -- hiding ------------------------------------------------------------------------------------------------------------


def test_an_offer_out_of_a_hidden_zone_says_nothing_of_it(ladder: Ladder) -> None:
    ladder.play(
        ANSWERED,
        """
        callee -> INVITE sdp | Warning: 399 10.0.0.77 "x 10.0.0.77" | Subject: at 10.0.0.77 | Call-Info: <http://10.0.0.5/>
        callee <- 100
        caller <- INVITE sdp | -Subject | -Call-Info | Warning: 399 192.0.2.1 ""
        caller -> 200 sdp
        caller <- ACK
        callee <- 200 sdp
        callee -> ACK
    """,
        HUNG_UP,
    )


def test_a_new_contact_is_where_the_next_request_goes(ladder: Ladder) -> None:
    """Target refresh, RFC 3261 section 12.2."""
    ladder.play(
        ANSWERED,
        """
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 200 sdp | Contact: <sip:moved@10.0.0.6:5060>
        other <- ACK sip:moved@10.0.0.6:5060
        caller <- 200 sdp
        caller -> ACK
        caller -> BYE
        caller <- 200 BYE
        other <- BYE sip:moved@10.0.0.6:5060
        other -> 200 BYE
    """,
    )
