"""Targets that are tried at the same time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sbc.b2bua import PASS, AdmitVerdict, CallView, LegView, Peer, RouteVerdict, Settings, Target, Targets
from sbc.sip import Address, Request, Response
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


def test_the_challenges_of_all_come_together(both: Ladder) -> None:
    """RFC 3261 section 16.7 step 7; one that names a host of the hidden zone stays here."""
    both.play(
        BOTH_RING,
        """
        callee -> 407 | Proxy-Authenticate: Digest realm="office", nonce="x"
            | +Proxy-Authenticate: Digest realm="10.0.0.5", nonce="x"
        callee <- ACK
        other -> 401 | WWW-Authenticate: Digest realm="desk", nonce="y"
        other <- ACK
        caller <- 407 | Proxy-Authenticate: Digest realm="office", nonce="x"
            | WWW-Authenticate: Digest realm="desk", nonce="y"
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


# -- one group after the other -----------------------------------------------------------------------------------------

THIRD = Target("private", "sip:1@10.0.0.7", "10.0.0.7", None, ("UDP",), None)
TRIED_TOGETHER = """
    caller -> INVITE sdp
    caller <- 100
    callee <- INVITE sdp
    other <- INVITE sdp
"""
TAKEN_BY_THIRD = """
    third <- INVITE sdp
    third -> 200 sdp
    third <- ACK
    caller <- 200 sdp
    caller -> ACK
    caller -> BYE
    caller <- 200 BYE
    third <- BYE
    third -> 200 BYE
"""


def then_third(new_ladder: Callable[..., Ladder], ring: float = 0.0, **edge: Any) -> Ladder:
    ladder = new_ladder(peers=PEERS, hooks=Chain(FIRST._replace(ring=ring), SECOND._replace(ring=ring), THIRD), **edge)
    ladder.party("third", Address("10.0.0.7", 5060), "")
    return ladder


def test_after_those_who_did_not_answer_the_next_are_tried(new_ladder: Callable[..., Ladder]) -> None:
    """One is busy, the other is not there: the voice mail behind them is for that."""
    then_third(new_ladder, ring=10.0).play(
        TRIED_TOGETHER,
        """
        callee -> 486
        callee <- ACK
        other -> 180
        caller <- 180
        10 s
        other <- CANCEL | Reason: SIP;cause=408;text="No answer"
    """,
        TAKEN_BY_THIRD.replace("-> ACK\n", "-> ACK\n    other -> 200 CANCEL\n    other -> 487\n    other <- ACK\n", 1),
    )


@pytest.mark.parametrize("order", [("callee", "other"), ("other", "callee")])
@pytest.mark.parametrize("fails", [500, 503])
def test_after_those_of_whom_one_failed_the_next_are_tried(
    new_ladder: Callable[..., Ladder], order: tuple[str, str], fails: int
) -> None:
    one, two = order
    then_third(new_ladder).play(
        TRIED_TOGETHER, f"{one} -> 486\n{one} <- ACK\n{two} -> {fails}\n{two} <- ACK", TAKEN_BY_THIRD
    )


def test_after_those_who_all_refused_nobody_else_is_asked(new_ladder: Callable[..., Ladder]) -> None:
    then_third(new_ladder).play(
        TRIED_TOGETHER,
        """
        callee -> 486
        callee <- ACK
        other -> 404
        other <- ACK
        caller <- 486
        caller -> ACK
    """,
    )


def test_call_forwarding_on_busy_is_a_status_that_hands_over(new_ladder: Callable[..., Ladder]) -> None:
    then_third(new_ladder, settings=Settings(failover_statuses=frozenset({486, 603}))).play(
        TRIED_TOGETHER, "callee -> 486", "callee <- ACK", "other -> 603", "other <- ACK", TAKEN_BY_THIRD
    )


def test_when_all_ring_too_long_the_caller_hears_of_no_answer(new_ladder: Callable[..., Ladder]) -> None:
    """RFC 3261 section 16.8: as if each had sent a 408."""
    ladder = new_ladder(peers=PEERS, hooks=Chain(FIRST._replace(ring=5.0), SECOND._replace(ring=8.0)))
    ladder.play(
        BOTH_RING,
        """
        5 s
        callee <- CANCEL
        callee -> 200 CANCEL
        callee -> 487
        callee <- ACK
        3 s
        other <- CANCEL
        caller <- 408
        caller -> ACK
        other -> 200 CANCEL
        other -> 487
        other <- ACK
    """,
    )
    assert (ladder.record.ended_by, ladder.record.cause) == ("sbc", "no answer")


def test_a_target_that_rings_too_long_is_given_up_with_all_its_addresses(new_ladder: Callable[..., Ladder]) -> None:
    named = Target("private", "sip:1@pbx.secret.example", "pbx.secret.example", None, ("UDP",), None, ring=10.0)
    ladder = new_ladder(hooks=Chain(named), names={"pbx.secret.example": (PBX.host, PBX2.host)})
    ladder.play(
        """
        caller -> INVITE sdp
        caller <- 100
        0.1 s
        callee <- INVITE sdp
        callee -> 180
        caller <- 180
        10 s
        callee <- CANCEL
        caller <- 408
        caller -> ACK
        callee -> 200 CANCEL
        callee -> 487
        callee <- ACK
    """,
    )


def test_the_caller_is_told_how_to_ask_again_rather_than_that_one_is_busy(both: Ladder) -> None:
    """RFC 3261 section 16.7 step 6."""
    both.play(
        BOTH_RING,
        """
        callee -> 486
        callee <- ACK
        other -> 484
        other <- ACK
        caller <- 484
        caller -> ACK
    """,
    )


# -- media -------------------------------------------------------------------------------------------------------------


def remote_of(ladder: Ladder) -> str:
    (flow,) = ladder.edge.flows.values()
    assert flow.b.remote is not None
    assert flow.b.signalling == flow.b.remote.host
    return flow.b.remote.host


def test_early_media_are_of_whom_spoke_last_and_the_winners_after_that(both: Ladder) -> None:
    """RFC 3261 section 13.2.1. The winner's 2xx repeats nothing, as its 183 was reliable."""
    both.play(
        BOTH_RING,
        """
        callee -> 183 sdp rel
        callee <- PRACK
        caller <- 183 sdp
        callee -> 200 PRACK
    """,
    )
    assert remote_of(both) == PBX.host
    both.play("other -> 183 sdp", "caller <- 183 sdp")
    assert remote_of(both) == PBX2.host
    both.play("callee -> 200", "callee <- ACK", "other <- CANCEL", "caller <- 200 sdp", "caller -> ACK")
    assert remote_of(both) == PBX.host


def test_a_sloppy_winner_whose_early_answer_another_one_followed_is_remembered(both: Ladder) -> None:
    both.play(
        BOTH_RING,
        """
        callee -> 183 sdp
        caller <- 183 sdp
        other -> 183 sdp
        caller <- 183 sdp
        callee -> 200
        callee <- ACK
        other <- CANCEL
        caller <- 200 sdp
        caller -> ACK
    """,
    )
    assert remote_of(both) == PBX.host


def test_whose_early_media_end_with_its_refusal_the_other_goes_on(both: Ladder) -> None:
    both.play(
        BOTH_RING,
        """
        other -> 183 sdp
        caller <- 183 sdp
        other -> 486
        other <- ACK
        callee -> 200 sdp
        callee <- ACK
        caller <- 200 sdp
        caller -> ACK
    """,
    )
    assert remote_of(both) == PBX.host


def test_one_whose_name_resolves_late_gets_the_same_offer(new_ladder: Callable[..., Ladder]) -> None:
    named = SECOND._replace(host="pbx.secret.example", uri="sip:1@pbx.secret.example", peer=None)
    names = {"pbx.secret.example": (PBX2.host,)}
    ladder = new_ladder(
        peers=PEERS, hooks=Chain(named._replace(together=False), FIRST._replace(together=True)), names=names
    )
    ladder.play(
        "caller -> INVITE sdp", "caller <- 100", "callee <- INVITE sdp", "callee -> 183 sdp", "caller <- 183 sdp"
    )
    ports = [(flow.a.local, flow.b.local) for flow in ladder.edge.flows.values()]
    ladder.play(
        "0.1 s", "other <- INVITE sdp", "other -> 200 sdp", "other <- ACK", "callee <- CANCEL", "caller <- 200 sdp"
    )
    assert ladder.parties["callee"].requests["INVITE"].body == ladder.parties["other"].requests["INVITE"].body
    assert ports == [(flow.a.local, flow.b.local) for flow in ladder.edge.flows.values()]


def test_without_an_offer_of_the_caller_the_winner_makes_it(both: Ladder) -> None:
    both.play(
        """
        caller -> INVITE
        caller <- 100
        callee <- INVITE
        other <- INVITE
        callee -> 183 sdp
        caller <- 183
        other -> 200 sdp
        callee <- CANCEL
        caller <- 200 sdp
        caller -> ACK sdp
        other <- ACK sdp
        callee -> 200 CANCEL
        callee -> 487
        callee <- ACK
        caller -> BYE
        caller <- 200 BYE
        other <- BYE
        other -> 200 BYE
    """,
    )


def test_without_an_offer_of_the_caller_none_of_them_makes_it_early(both: Ladder) -> None:
    """Each would want its answer before it answers, and the caller answers one offer."""
    both.play("caller -> INVITE | Supported: 100rel", "caller <- 100", "callee <- INVITE", "other <- INVITE")
    for party in ("callee", "other"):
        assert "100rel" not in both.parties[party].requests["INVITE"].headers.values("Supported")


# -- requests in early dialogs -----------------------------------------------------------------------------------------


def test_what_the_caller_says_goes_to_whom_it_heard_last_and_lives(both: Ladder) -> None:
    both.play(
        BOTH_RING,
        """
        caller -> INFO text
        other <- INFO text
        other -> 200 INFO
        caller <- 200 INFO
        other -> 486
        other <- ACK
        caller -> INFO text
        callee <- INFO text
        callee -> 200 INFO
        caller <- 200 INFO
        callee -> 486
        callee <- ACK
        caller <- 486
        caller -> ACK
    """,
    )


@pytest.mark.parametrize("status", [481, 408])
def test_an_early_dialog_that_is_not_known_any_more_ends_nothing(both: Ladder, status: int) -> None:
    both.play(
        BOTH_RING,
        f"""
        caller -> INFO text
        other <- INFO text
        other -> {status} INFO
        caller <- 500 INFO | Retry-After: *
        callee -> 200 sdp
        callee <- ACK
        other <- CANCEL
        caller <- 200 sdp
        caller -> ACK
    """,
    )


def test_who_has_lost_the_call_speaks_to_nobody(both: Ladder) -> None:
    both.play(
        BOTH_RING,
        """
        callee -> 200 sdp
        callee <- ACK
        other <- CANCEL
        caller <- 200 sdp
        caller -> ACK
        other -> UPDATE sdp
        other <- 481 UPDATE
        other -> INFO text
        other <- 481 INFO
    """,
    )


def test_who_is_not_the_one_that_the_caller_hears_makes_no_offers(both: Ladder) -> None:
    both.play(BOTH_RING, "callee -> UPDATE sdp", "callee <- 500 UPDATE | Retry-After: *")
