"""Joining legs of two calls: when a leg may go over, and what stays in its place. What follows from it on the wire is
shown in test_transferred.py and test_taking_over.py."""

from __future__ import annotations

from sbc.b2bua.call import Call, CallState, Exchange
from sbc.b2bua.joining import may_move, stand_in
from tests.support.ladder import ANSWERED, HUNG_UP, Ladder


def only_call(ladder: Ladder) -> Call:
    (call,) = ladder.edge.b2bua._context.calls.values()
    return call


def test_both_legs_of_an_established_call_may_move(ladder: Ladder) -> None:
    ladder.play(ANSWERED)
    call = only_call(ladder)
    assert call.b is not None
    assert may_move(call, call.a)
    assert may_move(call, call.b)
    ladder.play(HUNG_UP)


def test_no_leg_moves_while_an_offer_is_under_way(ladder: Ladder) -> None:
    ladder.play(ANSWERED)
    call = only_call(ladder)
    call.exchange = Exchange("a", "b", "INVITE", True)
    assert not may_move(call, call.a)
    call.exchange = None
    ladder.play(HUNG_UP)


def test_no_leg_moves_that_has_been_told_the_end(ladder: Ladder) -> None:
    ladder.play(ANSWERED)
    call = only_call(ladder)
    ladder.play(HUNG_UP)
    assert call.state is CallState.CLOSING
    assert not may_move(call, call.a)


def test_a_stand_in_has_nobody_behind_it(ladder: Ladder) -> None:
    ladder.play(ANSWERED)
    call = only_call(ladder)
    leg = stand_in("a", call.a, "tag", call.a.invite)
    assert leg.told_the_end
    assert not leg.confirmed
    assert (leg.side, leg.zone, leg.hop, leg.names) == ("a", call.a.zone, call.a.hop, call.a.names)
    assert not may_move(call, leg)
    ladder.play(HUNG_UP)
