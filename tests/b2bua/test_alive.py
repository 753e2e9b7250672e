"""What is concluded from the answers and the silence of an element."""

from __future__ import annotations

import pytest

from sbc.b2bua.alive import TRANSITIONS, UNREACHED, Sign, State, Watch

A, M, H, S, U = Sign.ANSWERED, Sign.MISSED, Sign.HEARD, Sign.SILENT, Sign.UNREACHABLE
SEVERAL = Sign.SEVERAL


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
        ([A, M, M], State.MISSING),
        ([A, M, M, A], State.UP),
        ([A, M, M, M], State.DOWN),
        ([A, S, S, SEVERAL], State.MISSING),
        ([A, S, M], State.DOWN),
        ([A, M, S, H], State.UP),
        ([A, M, M, M, A], State.UP),
    ],
)
def test_three_questions_without_answer_are_silence_and_one_answer_ends_it(signs: list[Sign], state: State) -> None:
    assert after(*signs) is state


def test_who_never_answered_a_question_is_judged_by_several_other_requests_only() -> None:
    assert after(M, M, M, H, M) is State.UNPROVEN
    assert after(M, S, S, S) is State.UNPROVEN
    assert after(M, SEVERAL) is State.DOWN
    assert after(M, SEVERAL, H, M, M) is State.UNPROVEN


def test_several_are_different_ones_within_a_time() -> None:
    watch = Watch()
    assert [watch.left("one", float(second)) for second in range(5)] == [S] * 5
    assert watch.left("two", 10.0) is S
    assert watch.left("three", 11.0) is SEVERAL
    assert watch.left("four", 12.0) is SEVERAL
    assert watch.left("five", 100.0) is S
    assert len(watch.unanswered) == 1


def test_where_the_network_says_that_nobody_is_there_no_earlier_answer_is_needed() -> None:
    assert after(U) is State.DOWN
    assert after(A, U) is State.MISSING
    assert after(A, U, U) is State.DOWN
    assert after(U, A) is State.UP


def test_an_element_that_refuses_lives() -> None:
    assert not UNREACHED & {200, 401, 403, 404, 405, 481, 483, 500, 501, 603}
