"""The tables of section 17 by themselves: complete, free of contradiction, and with the clocks that the RFC gives."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from sbc.sip import (
    Absorbed,
    AckReceived,
    Address,
    Deliver,
    Packet,
    ResponseReceived,
    Timers,
    TransactionFailed,
    TransactionTimedOut,
    Transmit,
    parse,
)
from sbc.sip.machines import MACHINES, advance, start
from sbc.sip.transaction import Input, Machine, State, Transaction
from tests.support.sip_stack import LIMITS, TCP, UDP, answer_to, request_bytes

TIMERS = Timers()
STATES = {
    Machine.INVITE_CLIENT: {State.CALLING, State.PROCEEDING, State.ACCEPTED, State.COMPLETED},
    Machine.CLIENT: {State.TRYING, State.PROCEEDING, State.COMPLETED},
    Machine.INVITE_SERVER: {State.PROCEEDING, State.ACCEPTED, State.COMPLETED, State.CONFIRMED},
    Machine.SERVER: {State.TRYING, State.PROCEEDING, State.COMPLETED},
}
FIRST = {
    Machine.INVITE_CLIENT: State.CALLING,
    Machine.CLIENT: State.TRYING,
    Machine.INVITE_SERVER: State.PROCEEDING,
    Machine.SERVER: State.TRYING,
}
CLIENTS = (Machine.INVITE_CLIENT, Machine.CLIENT)


def new(machine: Machine, hop: Any = UDP) -> Transaction:
    method = "INVITE" if machine in (Machine.INVITE_CLIENT, Machine.INVITE_SERVER) else "OPTIONS"
    transaction = Transaction("z9hG4bKid", machine, FIRST[machine], method, hop, "a call")
    if machine in CLIENTS:
        transaction.message = request_bytes(method)
        start(transaction, TIMERS, 0.0)
    return transaction


def subject(given: Input, method: str = "INVITE") -> Any:
    """What goes with an input."""
    packet = Packet(request_bytes(method), UDP)
    if given in (Input.PROVISIONAL, Input.SUCCESS, Input.FAILURE):
        status = {Input.PROVISIONAL: 180, Input.SUCCESS: 200, Input.FAILURE: 486}[given]
        answer = answer_to(Transmit(request_bytes(method), UDP, None, ""), status)
        return parse(answer.data, LIMITS), answer
    if given is Input.ACK:
        return parse(request_bytes("ACK"), LIMITS), Packet(request_bytes("ACK"), UDP)
    if given is Input.REQUEST:
        return packet
    if given in (Input.SEND_PROVISIONAL, Input.SEND_SUCCESS, Input.SEND_FAILURE):
        return b"a response"
    return None


def give(transaction: Transaction, *inputs: Input, now: float = 0.0) -> list[Any]:
    effects: list[Any] = []
    for given in inputs:
        effects = advance(transaction, given, subject(given, transaction.method), TIMERS, now)
    return effects


@pytest.mark.parametrize("machine", Machine)
def test_every_state_and_input_is_decided_exactly_once(machine: Machine) -> None:
    rules = MACHINES[machine]
    for state in State:
        for given in Input:
            assert ((state, given) in rules.table) != ((state, given) in rules.ignored), (state, given)


@pytest.mark.parametrize("machine", Machine)
def test_a_machine_stays_within_its_states_and_can_reach_all_of_them(machine: Machine) -> None:
    table = MACHINES[machine].table
    reached = {FIRST[machine]}
    for _ in State:
        reached |= {after for (before, _), (after, _) in table.items() if before in reached}
    assert reached == STATES[machine] | {State.TERMINATED}
    assert {before for before, _ in table} == STATES[machine]


@pytest.mark.parametrize("machine", Machine)
def test_an_ignored_input_changes_nothing(machine: Machine) -> None:
    for state, given in MACHINES[machine].ignored:
        transaction = new(machine)
        transaction.state = state
        before = (transaction.message, transaction.resend_at, transaction.ends_at)
        assert advance(transaction, given, subject(given), TIMERS, 5.0) == []
        assert transaction.state is state
        assert (transaction.message, transaction.resend_at, transaction.ends_at) == before


def fired(transaction: Transaction) -> list[float]:
    """When the transaction sends again until it ends by itself."""
    times = []
    while transaction.state is not State.TERMINATED:
        now = min(transaction.resend_at, transaction.ends_at)
        given = Input.END if transaction.ends_at <= now else Input.RESEND
        if any(isinstance(effect, Transmit) for effect in give(transaction, given, now=now)):
            times.append(now)
    return times


def test_timer_a_doubles_without_bound_until_timer_b() -> None:
    assert fired(new(Machine.INVITE_CLIENT)) == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]


def test_timer_e_doubles_up_to_t2_until_timer_f() -> None:
    assert fired(new(Machine.CLIENT)) == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]


def test_timer_e_is_t2_in_proceeding() -> None:
    transaction = new(Machine.CLIENT)
    give(transaction, Input.PROVISIONAL)
    assert fired(transaction) == [0.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5]


def test_timer_g_doubles_up_to_t2_until_timer_h() -> None:
    transaction = new(Machine.INVITE_SERVER)
    give(transaction, Input.SEND_FAILURE)
    assert fired(transaction) == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]


@pytest.mark.parametrize("machine", CLIENTS)
def test_over_a_stream_a_request_is_sent_once_and_timed_out(machine: Machine) -> None:
    transaction = new(machine, TCP)
    assert transaction.resend_at == inf
    effects = give(transaction, Input.END, now=32.0)
    assert effects == [Deliver(TransactionTimedOut("z9hG4bKid", "a call"))]


def test_over_a_stream_a_refusal_is_sent_once_and_still_waits_for_its_ack() -> None:
    transaction = new(Machine.INVITE_SERVER, TCP)
    give(transaction, Input.SEND_FAILURE)
    assert (transaction.resend_at, transaction.ends_at) == (inf, 32.0)


LINGERING = [
    (Machine.INVITE_CLIENT, (Input.FAILURE,), 32.0),  # D
    (Machine.CLIENT, (Input.SUCCESS,), 5.0),  # K
    (Machine.INVITE_SERVER, (Input.SEND_FAILURE, Input.ACK), 5.0),  # I
    (Machine.SERVER, (Input.SEND_SUCCESS,), 32.0),  # J
]


@pytest.mark.parametrize(("machine", "inputs", "seconds"), LINGERING)
def test_timers_d_i_j_k_hold_a_finished_transaction_over_udp(
    machine: Machine, inputs: tuple[Input, ...], seconds: float
) -> None:
    transaction = new(machine)
    give(transaction, *inputs, now=10.0)
    assert (transaction.state is not State.TERMINATED, transaction.ends_at) == (True, 10.0 + seconds)
    assert transaction.resend_at == inf


@pytest.mark.parametrize(("machine", "inputs", "seconds"), LINGERING)
def test_timers_d_i_j_k_are_zero_over_a_stream(machine: Machine, inputs: tuple[Input, ...], seconds: float) -> None:
    transaction = new(machine, TCP)
    give(transaction, *inputs)
    assert transaction.state is State.TERMINATED


@pytest.mark.parametrize("hop", [UDP, TCP])
@pytest.mark.parametrize(
    ("machine", "given"), [(Machine.INVITE_CLIENT, Input.SUCCESS), (Machine.INVITE_SERVER, Input.SEND_SUCCESS)]
)
def test_timers_l_and_m_hold_an_accepted_invite_on_any_transport(machine: Machine, given: Input, hop: Any) -> None:
    transaction = new(machine, hop)
    give(transaction, given, now=1.0)
    assert (transaction.state, transaction.ends_at) == (State.ACCEPTED, 33.0)
    assert b"\r\n" not in transaction.message


def test_every_2xx_is_delivered_and_a_late_failure_is_not() -> None:
    transaction = new(Machine.INVITE_CLIENT)
    for _ in range(3):
        (effect,) = give(transaction, Input.SUCCESS)
        assert isinstance(effect.event, ResponseReceived)
    (absorbed,) = give(transaction, Input.FAILURE)
    assert isinstance(absorbed, Absorbed)


def test_a_repeated_failure_is_acknowledged_again_and_not_delivered() -> None:
    transaction = new(Machine.INVITE_CLIENT)
    acknowledged, told = give(transaction, Input.FAILURE)
    assert acknowledged.data.startswith(b"ACK ")
    assert isinstance(told.event, ResponseReceived)
    absorbed, again = give(transaction, Input.FAILURE)
    assert isinstance(absorbed, Absorbed)
    assert again == acknowledged


def test_an_ack_with_the_branch_of_an_accepted_invite_reaches_the_transaction_user() -> None:
    transaction = new(Machine.INVITE_SERVER)
    (effect,) = give(transaction, Input.SEND_SUCCESS, Input.ACK)
    assert isinstance(effect.event, AckReceived)


def test_timer_h_tells_that_no_ack_came() -> None:
    transaction = new(Machine.INVITE_SERVER)
    give(transaction, Input.SEND_FAILURE)
    assert give(transaction, Input.END, now=32.0) == [Deliver(TransactionTimedOut("z9hG4bKid", "a call"))]


def test_a_408_to_a_request_other_than_invite_is_silence() -> None:
    transaction = new(Machine.SERVER)
    assert give(transaction, Input.GIVE_UP) == []
    (absorbed,) = give(transaction, Input.REQUEST)
    assert isinstance(absorbed, Absorbed)


@pytest.mark.parametrize("machine", CLIENTS)
def test_a_transport_failure_is_told_once_before_the_final_response(machine: Machine) -> None:
    transaction = new(machine)
    assert give(transaction, Input.TRANSPORT_ERROR) == [Deliver(TransactionFailed("z9hG4bKid", "a call"))]
    assert transaction.state is State.TERMINATED
    assert give(transaction, Input.TRANSPORT_ERROR) == []


def test_a_transport_failure_after_the_final_response_is_not_told() -> None:
    transaction = new(Machine.INVITE_CLIENT)
    give(transaction, Input.FAILURE)
    assert give(transaction, Input.TRANSPORT_ERROR) == []
    assert transaction.state is State.TERMINATED


def test_a_server_transaction_outlives_a_transport_failure_that_is_told_once() -> None:
    transaction = new(Machine.INVITE_SERVER)
    give(transaction, Input.SEND_FAILURE)
    assert give(transaction, Input.TRANSPORT_ERROR) == [Deliver(TransactionFailed("z9hG4bKid", "a call"))]
    assert give(transaction, Input.TRANSPORT_ERROR) == []
    assert transaction.state is State.COMPLETED


def test_a_lost_connection_sends_the_response_to_the_port_of_sent_by() -> None:
    transaction = new(Machine.INVITE_SERVER, TCP)
    transaction.fallback = Address("198.51.100.7", 5062)
    give(transaction, Input.SEND_PROVISIONAL)
    (again,) = give(transaction, Input.TRANSPORT_ERROR)
    assert (again.hop.remote, again.hop.connection) == (Address("198.51.100.7", 5062), None)
    (failed,) = give(transaction, Input.TRANSPORT_ERROR)
    assert isinstance(failed.event, TransactionFailed)
