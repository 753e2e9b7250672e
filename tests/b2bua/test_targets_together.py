"""Targets that are tried at the same time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sbc.b2bua import PASS, AdmitVerdict, CallView, LegView, Peer, RouteVerdict, Target, Targets
from sbc.sip import Request, Response
from tests.support.ladder import Ladder
from tests.support.world import CALLER, PBX, PBX2


class Chain:
    rewrites = False

    def __init__(self, *targets: Target) -> None:
        self._targets = targets

    def admit(self, call: CallView) -> AdmitVerdict:
        return PASS

    def route(self, call: CallView) -> RouteVerdict:
        return Targets("test", self._targets, "as told")

    def rewrite(self, message: Request | Response, leg: LegView, received: Request | Response | None) -> None: ...


FIRST = Target("private", "sip:1@10.0.0.5", PBX.host, None, ("UDP",), "pbx")
SECOND = Target("private", "sip:1@10.0.0.6", PBX2.host, None, ("UDP",), "pbx2", together=True)
PEERS = (Peer("pbx", "private", PBX.host), Peer("pbx2", "private", PBX2.host))
BOTH_RING = """
    caller -> INVITE sdp
    caller <- 100
    callee <- INVITE sip:1@10.0.0.5 sdp | Call-ID: $first
    other <- INVITE sip:1@10.0.0.6 sdp | Call-ID: $second
    callee -> 180
    caller <- 180
    other -> 180
    caller <- 180
"""


@pytest.fixture
def both(new_ladder: Callable[..., Ladder]) -> Ladder:
    return new_ladder(peers=PEERS, hooks=Chain(FIRST, SECOND))


def test_the_first_to_answer_has_the_call_and_the_others_are_told(both: Ladder) -> None:
    both.play(
        BOTH_RING,
        """
        other -> 200 sdp
        other <- ACK
        callee <- CANCEL | Reason: SIP;cause=200;text="Call completed elsewhere"
        caller <- 200 sdp
        caller -> ACK
        callee -> 200 CANCEL
        callee -> 487
        callee <- ACK
        caller -> BYE
        caller <- 200 BYE
        other <- BYE
        other -> 200 BYE
        0.1 s
    """,
    )
    assert both["first"] != both["second"]
    assert both.record.b is not None
    assert (both.record.b.peer, both.record.attempts) == ("pbx2", 2)


def test_of_two_answers_that_cross_one_is_ended(both: Ladder) -> None:
    both.play(
        BOTH_RING,
        """
        callee -> 200 sdp
        callee <- ACK
        other <- CANCEL
        caller <- 200 sdp
        other -> 200 sdp
        other <- ACK
        other <- BYE
        other -> 200 BYE
        other -> 200 CANCEL
        caller -> ACK
    """,
    )


def test_the_caller_is_refused_when_all_have_refused_and_with_the_best(both: Ladder) -> None:
    both.play(
        BOTH_RING,
        """
        callee -> 503
        callee <- ACK
        other -> 486
        other <- ACK
        caller <- 486
        caller -> ACK
    """,
    )


def test_one_that_declines_for_all_ends_it_for_all(both: Ladder) -> None:
    """RFC 3261 section 16.7 step 5."""
    both.play(
        BOTH_RING,
        """
        callee -> 603
        callee <- ACK
        other <- CANCEL
        caller <- 603
        caller -> ACK
        other -> 200 CANCEL
        other -> 487
        other <- ACK
    """,
    )


def test_when_the_caller_gives_up_all_are_cancelled(both: Ladder) -> None:
    both.play(
        BOTH_RING,
        """
        caller -> CANCEL
        caller <- 200 CANCEL
        caller <- 487
        caller -> ACK
        callee <- CANCEL
        other <- CANCEL
        callee -> 200 CANCEL
        other -> 200 CANCEL
        callee -> 487
        callee <- ACK
        other -> 487
        other <- ACK
    """,
    )


def test_early_media_of_one_are_not_the_answer_of_another(both: Ladder) -> None:
    both.play(
        BOTH_RING,
        """
        callee -> 183 sdp
        caller <- 183 sdp
        other -> 200
        callee <- CANCEL
        other <- ACK
        other <- BYE
        other -> 200 BYE
        caller <- 502
        caller -> ACK
        callee -> 200 CANCEL
        callee -> 487
        callee <- ACK
    """,
    )


def test_media_may_come_from_where_the_winner_signals(both: Ladder) -> None:
    both.play(BOTH_RING, "other -> 200 sdp", "other <- ACK", "callee <- CANCEL", "caller <- 200 sdp", "caller -> ACK")
    (flow,) = both.edge.flows.values()
    assert flow.b.signalling == PBX2.host


def test_an_early_dialog_of_who_did_not_get_the_call_is_over(both: Ladder) -> None:
    """RFC 3261 section 12.3."""
    both.play(
        BOTH_RING,
        """
        other -> 200 sdp
        other <- ACK
        callee <- CANCEL
        caller <- 200 sdp
        caller -> ACK
        callee -> 200 CANCEL
    """,
    )
    invite = both.parties["callee"].requests["INVITE"]
    to, sender = f"{invite.headers.get('To')};tag=callee-own-tag", invite.headers.get("From") or ""
    both.parties["callee"].identity = (invite.call_id, to, sender)
    both.play("""
        callee -> INVITE sdp
        callee <- 481
        callee -> ACK
        callee -> INFO
        callee <- 481 INFO
        callee -> 487 | CSeq: 1 INVITE
        callee <- ACK
    """)


def test_a_target_that_rings_too_long_is_given_up(new_ladder: Callable[..., Ladder]) -> None:
    next_one = SECOND._replace(together=False)
    ladder = new_ladder(peers=PEERS, hooks=Chain(FIRST._replace(ring=15.0), next_one))
    ladder.play("""
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 180
        caller <- 180
        15 s
        callee <- CANCEL
        other <- INVITE sdp
        callee -> 200 CANCEL
        callee -> 487
        callee <- ACK
        other -> 200 sdp
        other <- ACK
        caller <- 200 sdp
        caller -> ACK
        caller -> BYE
        caller <- 200 BYE
        other <- BYE
        other -> 200 BYE
    """)
    assert "10.0.0.5: no answer in its time" in "\n".join(ladder.trail)


def test_a_target_in_another_zone_waits_its_turn(new_ladder: Callable[..., Ladder]) -> None:
    outside = Target("public", "sip:1@198.51.100.9", "198.51.100.9", None, ("UDP",), None, together=True)
    ladder = new_ladder(peers=PEERS, hooks=Chain(FIRST, outside))
    ladder.party("far", CALLER._replace(host="198.51.100.9", port=5060), "")
    ladder.play("""
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 503
        callee <- ACK
        far <- INVITE sdp
        far -> 486
        far <- ACK
        caller <- 486
        caller -> ACK
    """)
