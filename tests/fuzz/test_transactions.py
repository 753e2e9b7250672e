"""Random inputs to the transaction machines, and to a whole `SipStack`: the invariants of section 17 hold."""

from __future__ import annotations

from collections import Counter
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbc.sip import (
    AckReceived,
    CancelReceived,
    Deliver,
    Effect,
    Packet,
    Request,
    RequestReceived,
    ResponseReceived,
    Timers,
    TransactionFailed,
    TransactionTimedOut,
    Transmit,
    make_response,
    parse,
)
from sbc.sip.machines import advance, start
from sbc.sip.transaction import Input, Machine, State, Transaction
from tests.support.sip_stack import (
    LIMITS,
    PEER,
    TCP,
    UDP,
    answer_to,
    delivered,
    new_stack,
    request,
    request_bytes,
    sent,
)

TIMERS = Timers()
FIRST = {
    Machine.INVITE_CLIENT: (State.CALLING, "INVITE"),
    Machine.CLIENT: (State.TRYING, "OPTIONS"),
    Machine.INVITE_SERVER: (State.PROCEEDING, "INVITE"),
    Machine.SERVER: (State.TRYING, "OPTIONS"),
}
MOST_RETRANSMISSIONS = 11
"""64*T1 hold at most this many (table 4: timers A, E and G, the last two capped by T2)."""
STATUS = {Input.PROVISIONAL: 180, Input.SUCCESS: 200, Input.FAILURE: 500}


def subject(each: Input, method: str) -> Any:
    if each in STATUS:
        packet = answer_to(Transmit(request_bytes(method), UDP, None, ""), STATUS[each])
        return parse(packet.data, LIMITS), packet
    if each is Input.ACK:
        return parse(request_bytes("ACK"), LIMITS), Packet(request_bytes("ACK"), UDP)
    if each is Input.REQUEST:
        return Packet(request_bytes(method), UDP)
    return b"a response" if each.name.startswith("SEND_") else None


@pytest.mark.parametrize("machine", Machine)
@given(
    inputs=st.lists(st.tuples(st.sampled_from(Input), st.floats(0, 20)), max_size=60),
    hop=st.sampled_from((UDP, TCP)),
)
@settings(max_examples=150, deadline=None)
def test_a_machine_ends_at_most_once_and_is_quiet_afterwards(machine: Machine, inputs: Any, hop: Any) -> None:
    state, method = FIRST[machine]
    transaction = Transaction("z9hG4bKid", machine, state, method, hop)
    if machine in (Machine.INVITE_CLIENT, Machine.CLIENT):
        transaction.message = request_bytes(method)
        start(transaction, TIMERS, 0.0)
    now = 0.0
    ends = finals = retransmissions = 0
    for each, pause in inputs:
        if each in (Input.RESEND, Input.END):  # clocks fire when they are set, not at random
            now, each = fire(transaction, now)
            if each is None:
                continue
        else:
            now = min(now + pause, min(transaction.resend_at, transaction.ends_at))
        before = transaction.state
        effects = advance(transaction, each, subject(each, method), TIMERS, now)
        assert before is not State.TERMINATED or effects == []
        ends += before is not State.TERMINATED and transaction.state is State.TERMINATED
        finals += sum(is_final(effect) for effect in effects)
        retransmissions += each is Input.RESEND and len(sent(effects))
        assert transaction.resend_at > now or each is not Input.RESEND
        if transaction.state is State.TERMINATED:
            assert transaction.state is not before or effects == []
    assert ends <= 1
    assert finals <= 1
    assert retransmissions <= MOST_RETRANSMISSIONS


def fire(transaction: Transaction, now: float) -> tuple[float, Any]:
    if transaction.state is State.TERMINATED:
        return now, None
    when = min(transaction.resend_at, transaction.ends_at)
    if when == inf:
        return now, None
    return when, Input.END if transaction.ends_at <= when else Input.RESEND


def is_final(effect: Effect) -> bool:
    """A final word to the transaction user, 2xx to INVITE aside (which come as often as they are received)."""
    if not isinstance(effect, Deliver):
        return False
    event = effect.event
    if isinstance(event, ResponseReceived):
        return event.response.status >= 300 or (event.response.status >= 200 and event.response.cseq.method != "INVITE")
    return isinstance(event, TransactionTimedOut | TransactionFailed)


STEPS = st.one_of(
    st.tuples(
        st.just("request"),
        st.sampled_from(("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS")),
        st.sampled_from((None, "z9hG4bK1", "z9hG4bK2", "old")),
        st.sampled_from((None, "t")),
    ),
    st.tuples(st.just("respond"), st.integers(0, 5), st.sampled_from((100, 180, 200, 302, 408, 487, 603))),
    st.tuples(st.just("send"), st.sampled_from(("INVITE", "BYE", "OPTIONS")), st.booleans()),
    st.tuples(st.just("answer"), st.integers(0, 9), st.sampled_from((100, 180, 200, 404, 487))),
    st.tuples(st.just("cancel"), st.integers(0, 5)),
    st.tuples(st.just("fail"), st.integers(0, 9)),
    st.tuples(st.just("wait"), st.floats(0.01, 10)),
    st.tuples(st.just("junk"), st.binary(max_size=40)),
)


class World:
    """Both ends of a `SipStack`, driven step by step."""

    def __init__(self) -> None:
        self.stack = new_stack(max_transactions=8)
        self.now = 0.0
        self.requests: list[RequestReceived] = []
        self.sent: list[Transmit] = []
        self.clients: list[str] = []
        self.final: Counter[str] = Counter()
        self.times_sent: Counter[tuple[str | None, bytes]] = Counter()

    def step(self, name: str, *arguments: Any) -> None:
        effects = getattr(self, name)(*arguments) or []
        for transmit in sent(effects):
            if transmit.transaction is not None:
                self.sent = [*self.sent[-9:], transmit]
        for effect in effects:
            if isinstance(effect, Deliver):
                self.deliver(effect)
        when = self.stack.next_deadline()
        assert when is None or when > self.now

    def deliver(self, effect: Deliver) -> None:
        event = effect.event
        if isinstance(event, RequestReceived):
            self.requests = [*self.requests[-5:], event]
        elif is_final(effect) and isinstance(event, ResponseReceived | TransactionTimedOut | TransactionFailed):
            self.final[event.transaction] += 1
        else:
            assert isinstance(event, ResponseReceived | AckReceived | CancelReceived)

    def request(self, method: str, branch: str | None, to_tag: str | None) -> list[Effect]:
        data = request_bytes(method, branch=branch, to_tag=to_tag, call_id=branch or "none")
        return self.stack.receive(Packet(data, UDP), self.now)

    def respond(self, index: int, status: int) -> list[Effect]:
        if index >= len(self.requests):
            return []
        event = self.requests[index]
        return self.stack.respond(event.transaction, make_response(event.request, status, to_tag="t"), self.now)

    def send(self, method: str, stream: bool) -> list[Effect]:
        transaction, effects = self.stack.send_request(request(method), TCP if stream else UDP, self.now)
        self.clients = [*self.clients[-5:], transaction]
        return effects

    def answer(self, index: int, status: int) -> list[Effect]:
        if index >= len(self.sent) or not isinstance(parse(self.sent[index].data, LIMITS), Request):
            return []
        return self.stack.receive(answer_to(self.sent[index], status), self.now)

    def cancel(self, index: int) -> list[Effect]:
        return self.stack.cancel(self.clients[index], self.now) if index < len(self.clients) else []

    def fail(self, index: int) -> list[Effect]:
        if index >= len(self.sent):
            return []
        return self.stack.transport_failed(self.sent[index].transaction or "", self.now)

    def wait(self, seconds: float) -> list[Effect]:
        self.now += seconds
        return self.stack.handle_timeout(self.now)

    def junk(self, data: bytes) -> list[Effect]:
        return self.stack.receive(Packet(data, UDP), self.now)


@given(steps=st.lists(STEPS, max_size=60))
@settings(max_examples=200, deadline=None)
def test_whatever_happens_every_transaction_comes_to_an_end(steps: list[tuple[Any, ...]]) -> None:
    world = World()
    for step in steps:
        world.step(*step)
        assert world.stack.server_count <= 2 * 10 + 1
    # the transaction user's part: every request is answered, every INVITE that only rings is cancelled
    for event in world.requests:
        world.stack.respond(event.transaction, make_response(event.request, 500, to_tag="t"), world.now)
    for transaction in list(world.stack._servers):
        server = world.stack._servers[transaction]
        if server.state in (State.TRYING, State.PROCEEDING):
            (made,) = (parse(request_bytes("OPTIONS"), LIMITS),)
            assert isinstance(made, Request)
            world.stack.respond(transaction, make_response(made, 500, to_tag="t"), world.now)
    for transaction in list(world.stack._clients):
        world.stack.cancel(transaction, world.now)
    fired = 0
    while (when := world.stack.next_deadline()) is not None:
        fired += 1
        assert fired < 1000
        assert when > world.now
        world.now = when
        for effect in world.stack.handle_timeout(when):
            if is_final(effect):
                world.deliver(effect)  # type: ignore[arg-type]
    assert (world.stack.client_count, world.stack.server_count) == (0, 0)
    assert not world.stack._unanswered
    assert all(count == 1 for count in world.final.values())


@given(
    data=st.binary(min_size=1, max_size=8),
    position=st.integers(0, 1000),
    method=st.sampled_from(("INVITE", "ACK", "CANCEL", "BYE")),
)
@settings(max_examples=400, deadline=None)
def test_a_damaged_message_raises_nothing_and_is_never_answered_elsewhere(
    data: bytes, position: int, method: str
) -> None:
    stack = new_stack()
    whole = request_bytes(method)
    at = position % len(whole)
    for effect in stack.receive(Packet(whole[:at] + data + whole[at + len(data) :], UDP), 0.0):
        if isinstance(effect, Transmit):
            assert effect.hop.remote.host == PEER.host


@given(data=st.binary(min_size=1, max_size=8), position=st.integers(0, 1000), status=st.sampled_from((180, 200, 486)))
@settings(max_examples=400, deadline=None)
def test_a_damaged_response_raises_nothing_and_is_answered_with_an_ack_at_most(
    data: bytes, position: int, status: int
) -> None:
    stack = new_stack()
    _, effects = stack.send_request(request(), UDP, 0.0)
    whole = answer_to(sent(effects)[0], status).data
    at = position % len(whole)
    outcome = stack.receive(Packet(whole[:at] + data + whole[at + len(data) :], UDP), 0.1)
    assert all(transmit.data.startswith(b"ACK ") for transmit in sent(outcome))
    assert len(delivered(outcome)) <= 1
