"""What is concluded from the answers and the silence of an element."""

from __future__ import annotations

import pytest

from sbc.b2bua.alive import TRANSITIONS, UNREACHED, Sign, State

A, M, H, S, U = Sign.ANSWERED, Sign.MISSED, Sign.HEARD, Sign.SILENT, Sign.UNREACHABLE


def after(*signs: Sign, state: State = State.UNPROVEN) -> State:
    for sign in signs:
        state = TRANSITIONS[state, sign]
    return state


def test_every_sign_means_something_in_every_state() -> None:
    assert TRANSITIONS.keys() == {(state, sign) for state in State for sign in Sign}


@pytest.mark.parametrize(
    ("signs", "state"),
    [
        ([A], State.UP),
        ([A, M], State.DOUBTED),
        ([A, M, A], State.UP),
        ([A, M, H], State.UP),
        ([A, M, M], State.DOWN),
        ([A, S, S, S], State.DOUBTED),
        ([A, S, M], State.DOWN),
        ([A, M, M, A], State.UP),
    ],
)
def test_two_questions_without_answer_are_silence_and_one_answer_ends_it(signs: list[Sign], state: State) -> None:
    assert after(*signs) is state


def test_who_never_answered_a_question_is_judged_by_other_requests_only() -> None:
    assert after(M, M, M, H, M) is State.UNPROVEN
    assert after(M, S) is State.DOWN
    assert after(M, S, H, M, M) is State.UNPROVEN


def test_where_the_network_says_that_nobody_is_there_no_earlier_answer_is_needed() -> None:
    assert after(U) is State.DOWN
    assert after(A, U) is State.DOUBTED
    assert after(A, U, U) is State.DOWN
    assert after(U, A) is State.UP


def test_an_element_that_refuses_lives() -> None:
    assert not UNREACHED & {200, 401, 403, 404, 405, 481, 483, 500, 501, 603}
