from __future__ import annotations

import itertools

import pytest

from sbc.sdp import TABLE, Move, Negotiation, OfferAnswerError, advance


def test_every_move_in_every_state_is_decided():
    for state, move in itertools.product(Negotiation, Move):
        assert isinstance(TABLE[state][move], Negotiation | int), (state, move)


def test_an_open_offer_leaves_by_its_answer_or_its_refusal_only():
    for state in (Negotiation.OFFER_RECEIVED, Negotiation.OFFER_SENT):
        ways = {move for move, after in TABLE[state].items() if isinstance(after, Negotiation)}
        answer = Move.SEND_ANSWER if state is Negotiation.OFFER_RECEIVED else Move.RECEIVE_ANSWER
        assert ways == {answer, Move.REJECT}


def test_an_answer_may_follow_an_answer():
    state = advance(advance(Negotiation.STABLE, Move.SEND_OFFER), Move.RECEIVE_ANSWER)
    assert advance(state, Move.RECEIVE_ANSWER) is state
    assert advance(state, Move.RECEIVE_OFFER) is Negotiation.OFFER_RECEIVED


@pytest.mark.parametrize(
    ("state", "move", "status"),
    [
        (Negotiation.STABLE, Move.RECEIVE_ANSWER, 400),
        (Negotiation.OFFER_SENT, Move.RECEIVE_OFFER, 491),
        (Negotiation.OFFER_RECEIVED, Move.RECEIVE_OFFER, 500),
        (Negotiation.OFFER_RECEIVED, Move.SEND_OFFER, 500),
        (Negotiation.ANSWER_SENT, Move.RECEIVE_ANSWER, 400),
    ],
)
def test_a_move_that_is_not_allowed_names_the_status(state, move, status):
    with pytest.raises(OfferAnswerError) as caught:
        advance(state, move)
    assert caught.value.status == status
