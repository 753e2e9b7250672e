"""CANCEL, received and sent (RFC 3261 section 9), through `SipStack`."""

from __future__ import annotations

import pytest

from sbc.sip import (
    Absorbed,
    CancelReceived,
    Deliver,
    LocalProtocolError,
    Packet,
    ResponseReceived,
    TransactionTimedOut,
)
from tests.support.sip_stack import (
    OTHER_ZONE,
    UDP,
    answer_to,
    delivered,
    is_empty,
    methods,
    new_stack,
    only_sent,
    read,
    received,
    request,
    request_bytes,
    respond,
    statuses,
)

# -- CANCEL received --------------------------------------------------------------------------------------------------


def test_a_cancel_is_answered_and_told_once() -> None:
    stack = new_stack()
    event = received(stack)
    respond(stack, event, 180)
    cancel = Packet(request_bytes("CANCEL"), UDP)
    answer, told = stack.receive(cancel, 0.5)
    message = read(only_sent([answer]))
    assert (statuses([answer]), message.to.tag, message.cseq.method) == ([200], "our-tag", "CANCEL")
    assert isinstance(told, Deliver)
    assert isinstance(told.event, CancelReceived)
    assert (told.event.transaction, told.event.label) == (event.transaction, "the call")
    again = stack.receive(cancel, 0.6)
    assert (statuses(again), delivered(again)) == ([200], [])


@pytest.mark.parametrize("status", [200, 486])
def test_a_cancel_after_the_final_response_is_answered_and_not_told(status: int) -> None:
    stack = new_stack()
    respond(stack, received(stack), status)
    effects = stack.receive(Packet(request_bytes("CANCEL"), UDP), 0.5)
    assert (statuses(effects), delivered(effects)) == ([200], [])
    assert read(only_sent(effects)).to.tag == "our-tag"


def test_a_cancel_that_matches_nothing_gets_481_with_the_same_tag_each_time() -> None:
    stack = new_stack()
    first = stack.receive(Packet(request_bytes("CANCEL"), UDP), 0.0)
    assert statuses(first) == [481]
    assert stack.receive(Packet(request_bytes("CANCEL"), UDP), 0.5) == first
    assert is_empty(stack)


def test_a_cancel_from_another_zone_matches_nothing() -> None:
    stack = new_stack()
    received(stack)
    effects = stack.receive(Packet(request_bytes("CANCEL"), OTHER_ZONE), 0.5)
    assert (statuses(effects), delivered(effects)) == ([481], [])


def test_a_cancel_for_a_request_other_than_invite_matches_nothing() -> None:
    stack = new_stack()
    received(stack, request_bytes("OPTIONS"))
    assert statuses(stack.receive(Packet(request_bytes("CANCEL"), UDP), 0.5)) == [481]


# -- CANCEL sent ------------------------------------------------------------------------------------------------------


def test_a_cancel_waits_for_a_provisional_response() -> None:
    stack = new_stack()
    transaction, effects = stack.send_request(request(), UDP, 0.0, label="the call")
    assert stack.cancel(transaction, 0.1, ["SIP;cause=200"]) == []
    outcome = stack.receive(answer_to(only_sent(effects), 100), 0.2)
    assert methods(outcome) == ["CANCEL"]
    cancel = read(only_sent(outcome))
    assert cancel.headers.get("Reason") == "SIP;cause=200"
    assert cancel.via.branch == transaction
    assert only_sent(outcome).label == "the call"
    assert methods(stack.receive(answer_to(only_sent(effects), 180), 0.3)) == []


def test_a_cancel_goes_out_at_once_after_a_provisional_response_and_only_once() -> None:
    stack = new_stack()
    transaction, effects = stack.send_request(request(), UDP, 0.0)
    stack.receive(answer_to(only_sent(effects), 180), 0.1)
    assert methods(stack.cancel(transaction, 0.2)) == ["CANCEL"]
    assert stack.cancel(transaction, 0.3) == []


@pytest.mark.parametrize("status", [200, 486])
def test_no_cancel_goes_out_after_the_final_response(status: int) -> None:
    stack = new_stack()
    transaction, effects = stack.send_request(request(), UDP, 0.0)
    stack.receive(answer_to(only_sent(effects), status), 0.1)
    assert stack.cancel(transaction, 0.2) == []


def test_a_cancel_that_lost_the_race_leaves_the_2xx_to_the_transaction_user() -> None:
    stack = new_stack()
    transaction, effects = stack.send_request(request(), UDP, 0.0)
    stack.cancel(transaction, 0.1)
    outcome = stack.receive(answer_to(only_sent(effects), 200), 0.2)
    assert methods(outcome) == []
    assert len(delivered(outcome)) == 1


def test_the_answer_to_a_cancel_is_not_delivered_but_the_487_is() -> None:
    stack = new_stack()
    transaction, effects = stack.send_request(request(), UDP, 0.0, label="the call")
    stack.receive(answer_to(only_sent(effects), 180), 0.1)
    cancelled = stack.cancel(transaction, 0.2)
    packet = answer_to(only_sent(cancelled), 200)
    assert stack.receive(packet, 0.3) == [Absorbed(packet, "the call")]
    (event,) = delivered(stack.receive(answer_to(only_sent(effects), 487), 0.4))
    assert isinstance(event, ResponseReceived)
    assert event.response.status == 487
    while (when := stack.next_deadline()) is not None:
        assert stack.handle_timeout(when) == []
    assert is_empty(stack)


def test_a_cancelled_invite_that_never_gets_its_final_response_ends_64_t1_later() -> None:
    stack = new_stack()
    transaction, effects = stack.send_request(request(), UDP, 0.0, label="the call")
    stack.receive(answer_to(only_sent(effects), 180), 0.1)
    stack.cancel(transaction, 100.0)
    events = []
    while (when := stack.next_deadline()) is not None:
        assert when <= 132.0
        events += delivered(stack.handle_timeout(when))
    assert events == [TransactionTimedOut(transaction, "the call")]


def test_a_cancel_that_cannot_be_delivered_is_not_told() -> None:
    stack = new_stack()
    transaction, effects = stack.send_request(request(), UDP, 0.0)
    stack.receive(answer_to(only_sent(effects), 180), 0.1)
    name = only_sent(stack.cancel(transaction, 0.2)).transaction
    assert name is not None
    assert stack.transport_failed(name, 0.3) == []
    assert stack.client_count == 1


def test_cancelling_what_is_not_an_invite_or_not_there_does_nothing() -> None:
    stack = new_stack()
    transaction, _ = stack.send_request(request("OPTIONS"), UDP, 0.0)
    assert stack.cancel(transaction, 0.1) == []
    assert stack.cancel("nothing", 0.1) == []


def test_a_reason_that_would_smuggle_a_line_is_not_taken() -> None:
    stack = new_stack()
    transaction, _ = stack.send_request(request(), UDP, 0.0)
    with pytest.raises(LocalProtocolError):
        stack.cancel(transaction, 0.1, ["SIP\r\nVia: x"])
