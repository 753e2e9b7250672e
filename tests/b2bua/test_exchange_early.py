"""Offers and answers before the call is answered (RFC 3311)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sbc.b2bua import Peer
from sbc.policy import RouteRule
from tests.support.ladder import HUNG_UP, Ladder
from tests.support.world import PBX, PBX2

ALLOWS = "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO"
AGREED_EARLY = f"""
    caller -> INVITE sdp | Supported: 100rel | {ALLOWS}
    caller <- 100
    callee <- INVITE sdp
    callee -> 183 sdp rel | {ALLOWS}
    caller <- 183 sdp rel
    caller -> PRACK
    callee <- PRACK
    callee -> 200 PRACK
    caller <- 200 PRACK
"""
TAKEN = """
    callee -> 200
    callee <- ACK
    caller <- 200
    caller -> ACK
"""


@pytest.mark.parametrize(("asks", "asked"), [("caller", "callee"), ("callee", "caller")])
def test_what_was_answered_for_good_may_be_changed_before_the_call_is(ladder: Ladder, asks: str, asked: str) -> None:
    """RFC 3311 section 5.1."""
    ladder.play(
        AGREED_EARLY,
        f"""
        {asks} -> UPDATE sdp
        {asked} <- UPDATE sdp | -Session-Expires
        {asked} -> 200 UPDATE sdp
        {asks} <- 200 UPDATE sdp | -Session-Expires | Contact: <sip:*:5060>
    """,
        TAKEN,
        HUNG_UP,
    )


def test_in_an_early_dialog_two_offers_at_once_are_glare(ladder: Ladder) -> None:
    ladder.play(
        AGREED_EARLY,
        """
        caller -> UPDATE sdp
        callee <- UPDATE sdp
        callee -> UPDATE sdp
        callee <- 491 UPDATE
        callee -> 491 UPDATE
        caller <- 491 UPDATE
    """,
        TAKEN,
        HUNG_UP,
    )


def test_an_early_offer_may_be_answered_after_the_call_is(ladder: Ladder) -> None:
    ladder.play(
        AGREED_EARLY,
        """
        caller -> UPDATE sdp
        callee <- UPDATE sdp
        callee -> 200
        callee <- ACK
        caller <- 200
        callee -> 200 UPDATE sdp
        caller <- 200 UPDATE sdp
        caller -> ACK
    """,
        HUNG_UP,
    )


@pytest.mark.parametrize("status", [408, 481])
def test_an_early_offer_to_whom_knows_no_dialog_ends_nothing(ladder: Ladder, status: int) -> None:
    ladder.play(
        AGREED_EARLY,
        f"""
        caller -> UPDATE sdp
        callee <- UPDATE sdp
        callee -> {status} UPDATE
        caller <- 503 UPDATE
    """,
        TAKEN,
        HUNG_UP,
    )


def test_an_early_offer_that_is_not_answered_ends_nothing(ladder: Ladder) -> None:
    repeats = "\n".join(f"{pause} s\ncallee <- UPDATE sdp" for pause in (0.5, 1, 2, 4, 4, 4, 4, 4, 4, 4))
    ladder.play(
        AGREED_EARLY, "caller -> UPDATE sdp", "callee <- UPDATE sdp", repeats, "0.5 s", "caller <- 503 UPDATE", TAKEN
    )


def test_an_early_offer_to_whom_the_call_is_lost_is_to_be_made_again(new_ladder: Callable[..., Ladder]) -> None:
    peers = (Peer("pbx", "private", PBX.host), Peer("pbx2", "private", PBX2.host))
    ladder = new_ladder(peers=peers, routes=(RouteRule("both", to=("pbx", "pbx2")),))
    ladder.play(
        AGREED_EARLY,
        """
        caller -> UPDATE sdp
        callee <- UPDATE sdp
        callee -> 503
        callee <- ACK
        caller <- 500 UPDATE | Retry-After: *
        other <- INVITE sdp
        caller -> UPDATE sdp
        caller <- 500 UPDATE | Retry-After: *
        callee -> 200 UPDATE sdp
        other -> 486
        other <- ACK
        caller <- 486
        caller -> ACK
    """,
    )


def test_an_early_offer_of_whom_the_call_is_lost_is_void(ladder: Ladder) -> None:
    ladder.play(
        AGREED_EARLY,
        """
        callee -> UPDATE sdp
        caller <- UPDATE sdp
        callee -> 486
        callee <- ACK
        callee <- 481 UPDATE
        caller <- 486
        caller -> ACK
        caller -> 200 UPDATE sdp
    """,
    )


def test_an_early_offer_to_a_fork_that_loses_is_void(ladder: Ladder) -> None:
    ladder.play(
        AGREED_EARLY,
        """
        caller -> UPDATE sdp
        callee <- UPDATE sdp
        callee -> 200 sdp tag=two
        callee <- ACK | To: *;tag=two
        caller <- 500 UPDATE
        caller <- 200
        caller -> ACK
        callee -> 200 UPDATE sdp
    """,
    )


def test_an_early_offer_before_the_prack_of_the_answer_has_to_wait(ladder: Ladder) -> None:
    """RFC 3311 section 5.1."""
    ladder.play(
        f"""
        caller -> INVITE sdp | Require: 100rel | {ALLOWS}
        caller <- 100
        callee <- INVITE sdp
        callee -> 183 sdp rel
        caller <- 183 sdp rel
        callee -> UPDATE sdp
        callee <- 500 UPDATE | Retry-After: *
        caller -> UPDATE sdp
        caller <- 500 UPDATE | Retry-After: *
    """,
    )


@pytest.mark.parametrize("says", ["Supported: 100rel", f"Supported: 100rel | {ALLOWS.replace(', UPDATE', '')}"])
def test_an_early_offer_to_whom_allows_none_has_to_wait(ladder: Ladder, says: str) -> None:
    ladder.play(
        AGREED_EARLY.replace(f"Supported: 100rel | {ALLOWS}", says),
        "callee -> UPDATE sdp",
        "callee <- 500 UPDATE | Retry-After: *",
        TAKEN,
        HUNG_UP,
    )


def test_an_early_offer_to_a_caller_whose_offer_is_not_answered_for_good_has_to_wait(ladder: Ladder) -> None:
    """The callee answered reliably, but the caller speaks no 100rel."""
    ladder.play(
        f"""
        caller -> INVITE sdp | {ALLOWS}
        caller <- 100
        callee <- INVITE sdp
        callee -> 183 sdp rel | {ALLOWS}
        callee <- PRACK
        caller <- 183 sdp
        callee -> 200 PRACK
        callee -> UPDATE sdp
        callee <- 500 UPDATE | Retry-After: *
        caller -> UPDATE sdp
        caller <- 500 UPDATE | Retry-After: *
    """,
    )


def test_a_second_invite_before_the_first_is_answered_is_refused(ladder: Ladder) -> None:
    """RFC 3261 section 14.2: 500 to the caller's, 491 to one that crosses ours."""
    ladder.play(AGREED_EARLY.replace("<- 183 sdp rel", "<- 183 sdp rel | To: *;tag=$tag"))
    ladder.play(f"""
        caller -> INVITE sdp | To: <sip:1001@192.0.2.1>;tag={ladder["tag"]} | CSeq: 8 INVITE
        caller <- 500 | Retry-After: *
        caller -> ACK | CSeq: 8 ACK
        callee -> 200
        callee <- ACK
        caller <- 200
    """)


def test_a_re_invite_while_the_answer_waits_for_a_prack_has_to_wait(ladder: Ladder) -> None:
    ladder.play(
        f"""
        caller -> INVITE sdp | Require: 100rel | {ALLOWS}
        caller <- 100
        callee <- INVITE sdp
        callee -> 183 sdp
        caller <- 183 sdp rel
        callee -> 200 sdp
        callee <- ACK
        callee -> INVITE sdp
        callee <- 500 | Retry-After: *
        callee -> ACK
        caller -> PRACK
        caller <- 200 PRACK
        caller <- 200
        caller -> ACK
    """,
        HUNG_UP,
    )


def test_an_update_without_an_offer_is_answered_here_at_any_time(ladder: Ladder) -> None:
    ladder.play(
        AGREED_EARLY,
        """
        caller -> UPDATE
        caller <- 200 UPDATE
        callee -> UPDATE
        callee <- 200 UPDATE
    """,
        TAKEN,
        """
        caller -> UPDATE
        caller <- 200 UPDATE
    """,
        HUNG_UP,
    )
