"""The offer/answer machine of one leg (RFC 3264, with the cases that RFC 6337 sorts out).

Only one offer may be open between two parties. Between offer and final response the answerer may show its answer
early, in provisional responses; the same or another answer (of another fork) may follow, and the last one counts.
"""

from __future__ import annotations

from enum import StrEnum


class Negotiation(StrEnum):
    """Where one leg stands, from our side of it."""

    STABLE = "stable"
    OFFER_RECEIVED = "offer received"
    OFFER_SENT = "offer sent"
    ANSWER_SENT = "answer sent"
    """Settled, unless we send the same or another answer to the same offer."""
    ANSWER_RECEIVED = "answer received"
    """Settled, unless they send the same or another answer to the same offer."""


class Move(StrEnum):
    """What can happen on a leg."""

    RECEIVE_OFFER = "receive an offer"
    SEND_OFFER = "send an offer"
    RECEIVE_ANSWER = "receive an answer"
    SEND_ANSWER = "send an answer"
    REJECT = "reject the offer"


class OfferAnswerError(Exception):
    """A move that is not allowed now. `status` is the SIP status that refuses it."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason


_S, _M = Negotiation, Move
_SETTLED = {
    # RFC 3264 section 8: at any time, either agent may generate a new offer
    _M.RECEIVE_OFFER: _S.OFFER_RECEIVED,
    _M.SEND_OFFER: _S.OFFER_SENT,
    # a preview was shown and the final response refuses (RFC 6337 section 3.4); also idle repetition
    _M.REJECT: _S.STABLE,
}
TABLE: dict[Negotiation, dict[Move, Negotiation | int]] = {
    _S.STABLE: {
        **_SETTLED,
        _M.RECEIVE_ANSWER: 400,  # an answer without an offer
        _M.SEND_ANSWER: 500,
    },
    _S.OFFER_RECEIVED: {
        _M.SEND_ANSWER: _S.ANSWER_SENT,
        _M.REJECT: _S.STABLE,  # RFC 3264 section 4: a rejected offer leaves the session as it was
        _M.RECEIVE_OFFER: 500,  # RFC 3261 section 14.2, RFC 3311 section 5.2: one is being worked on; Retry-After
        _M.SEND_OFFER: 500,  # RFC 3264 section 4: must not offer while the other's offer is unanswered
        _M.RECEIVE_ANSWER: 400,
    },
    _S.OFFER_SENT: {
        _M.RECEIVE_ANSWER: _S.ANSWER_RECEIVED,
        _M.REJECT: _S.STABLE,
        _M.RECEIVE_OFFER: 491,  # glare: RFC 3261 section 14.2, RFC 3311 section 5.2
        _M.SEND_OFFER: 500,
        _M.SEND_ANSWER: 500,
    },
    # RFC 6337 section 3.1.1: answers may be seen in several responses; of several forks, the last one counts
    _S.ANSWER_SENT: {**_SETTLED, _M.SEND_ANSWER: _S.ANSWER_SENT, _M.RECEIVE_ANSWER: 400},
    _S.ANSWER_RECEIVED: {**_SETTLED, _M.RECEIVE_ANSWER: _S.ANSWER_RECEIVED, _M.SEND_ANSWER: 500},
}
"""What each move leads to; a number is the status that refuses it."""


def advance(state: Negotiation, move: Move) -> Negotiation:
    """The state after `move`. Raises `OfferAnswerError`."""
    after = TABLE[state][move]
    if isinstance(after, int):
        raise OfferAnswerError(after, f"cannot {move.value}: {state.value}")
    return after
