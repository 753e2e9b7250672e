"""The table of a call decides everything that can happen."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import product

import pytest

from sbc.b2bua.call import IGNORED, TRANSITIONS, Action, CallState, Input, Leg
from sbc.sip import Address, Hop
from tests.support.ladder import Ladder

PAIRS = list(product(CallState, Input))


def test_every_state_and_input_is_decided_exactly_once() -> None:
    assert [pair for pair in PAIRS if (pair in TRANSITIONS) == (pair in IGNORED)] == []
    assert set(TRANSITIONS) | IGNORED <= set(PAIRS)


def test_every_action_and_state_can_be_reached() -> None:
    assert {action for _, action in TRANSITIONS.values()} == set(Action)
    assert {state for state, _ in TRANSITIONS.values()} == set(CallState)


def test_an_ended_call_stays_so() -> None:
    assert not [pair for pair in TRANSITIONS if pair[0] is CallState.CLOSING]


def test_under_any_inputs_a_call_is_answered_at_most_once_and_ends_at_most_once() -> None:
    rng = random.Random(7)
    final = {Action.PASS_ANSWER, Action.REFUSE_ANSWER, Action.PASS_REFUSAL, Action.CANCEL_TARGETS, Action.GIVE_UP}
    final.add(Action.REFUSE_CALL)
    for _ in range(2000):
        state, finals, ends = CallState.CALLING, 0, 0
        for given in rng.choices(list(Input), k=30):
            before = state
            state, action = TRANSITIONS.get((state, given), (state, None))
            finals += action in final
            ends += state is CallState.CLOSING and before is not CallState.CLOSING
        assert finals <= 1
        assert ends <= 1


UDP = Hop("public", "UDP", Address("192.0.2.1", 5060), Address("198.51.100.7", 5070))


@pytest.fixture
def leg(new_ladder: Callable[..., Ladder]) -> Leg:
    ladder = new_ladder()
    ladder.play("""
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
    """)
    (call,) = ladder.edge.b2bua._context.calls.values()
    return call.a


def test_a_leg_behind_a_nat_is_where_it_was_seen_last(leg: Leg) -> None:
    leg.fixed_hop = True
    elsewhere = UDP._replace(remote=Address("198.51.100.9", 1024))
    leg.seen_from(elsewhere)
    assert leg.hop == elsewhere


def test_another_leg_is_where_its_contact_says(leg: Leg) -> None:
    leg.seen_from(UDP._replace(remote=Address("198.51.100.9", 1024)))
    leg.seen_from(UDP._replace(remote=Address("198.51.100.7", 1024)))
    assert leg.hop == UDP


def test_a_new_stream_of_the_same_host_is_the_one_to_use(leg: Leg) -> None:
    leg.hop = UDP._replace(transport="TCP", connection=1)
    leg.seen_from(UDP._replace(transport="TCP", remote=Address("198.51.100.7", 40000), connection=2))
    assert leg.hop == UDP._replace(transport="TCP", connection=2)
    leg.seen_from(UDP._replace(transport="TCP", remote=Address("198.51.100.9", 40000), connection=3))
    assert leg.hop.connection == 2
