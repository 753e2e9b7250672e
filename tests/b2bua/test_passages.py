"""The table of a subscription's life."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.b2bua.passages import IGNORED, TRANSITIONS, SubscriptionAction, SubscriptionInput, SubscriptionState


@pytest.mark.parametrize("state", SubscriptionState)
@pytest.mark.parametrize("given_", SubscriptionInput)
def test_every_pair_is_decided_once(state: SubscriptionState, given_: SubscriptionInput) -> None:
    assert ((state, given_) in TRANSITIONS) != ((state, given_) in IGNORED)


@given(st.lists(st.sampled_from(SubscriptionInput)))
def test_it_is_forgotten_at_most_once_and_nothing_happens_after_that(inputs: list[SubscriptionInput]) -> None:
    state, done = SubscriptionState.ASKED, []
    for each in inputs:
        transition = TRANSITIONS.get((state, each))
        if transition is not None:
            state, action = transition
            done.append(action)
    assert done.count(SubscriptionAction.FORGET) == (state is SubscriptionState.OVER)
    assert SubscriptionAction.FORGET not in done[:-1]
    assert done.count(SubscriptionAction.TELL_THE_END) <= 1


def test_whatever_has_begun_comes_to_an_end_when_nobody_says_anything_any_more() -> None:
    for state in (SubscriptionState.ACTIVE, SubscriptionState.ENDING):
        for _ in range(2):
            state = TRANSITIONS.get((state, SubscriptionInput.EXPIRED), (state, None))[0]
        assert state is SubscriptionState.OVER
