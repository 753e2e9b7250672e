"""`SipStack`, as its transaction user and the network see it."""

from __future__ import annotations

import pytest

from sbc.sip import (
    Absorbed,
    AckReceived,
    Address,
    CancelReceived,
    Deliver,
    Effect,
    Hop,
    LocalProtocolError,
    Packet,
    Refused,
    Request,
    Response,
    ResponseReceived,
    SipStack,
    TransactionFailed,
    TransactionTimedOut,
    make_response,
)
from tests.support.sip_stack import (
    LOCAL,
    OTHER_ZONE,
    PEER,
    TCP,
    UDP,
    answer_to,
    delivered,
    is_empty,
    methods,
    new_stack,
    only_sent,
    read,
    received,
    refusal,
    request,
    request_bytes,
    respond,
    sent,
    statuses,
)

# -- server transactions ----------------------------------------------------------------------------------------------


def test_a_new_request_is_delivered_once_with_its_source_in_the_via() -> None:
    stack = new_stack()
    event = received(stack)
    assert event.request.via.received == PEER.host
    assert event.request.via.rport == PEER.port
    assert event.packet.hop == UDP
    assert delivered(stack.receive(Packet(request_bytes(), UDP), 0.1)) == []
    assert stack.server_count == 1


def test_a_repeated_request_gets_the_last_response_again() -> None:
    stack = new_stack()
    event = received(stack)
    first = only_sent(respond(stack, event, 180))
    absorbed, again = stack.receive(Packet(request_bytes(), UDP), 0.5)
    assert again == first
    assert absorbed == Absorbed(Packet(request_bytes(), UDP), "the call")


@pytest.mark.parametrize("status", [401, 407])
def test_a_challenge_goes_out_once_for_each_time_that_the_invite_comes(status: int) -> None:
    """RFC 3261 section 26.3.2.4: whoever forges an INVITE brings one challenge upon somebody, not eleven."""
    stack = new_stack()
    first = only_sent(respond(stack, received(stack), status))
    assert sent(stack.handle_timeout(16.0)) == []
    assert stack.receive(Packet(request_bytes(), UDP), 16.0)[1] == first
    assert sent(stack.handle_timeout(40.0)) == []
    assert stack.server_count == 0


def test_a_challenge_after_a_provisional_response_is_repeated_as_the_invite_is_not() -> None:
    stack = new_stack()
    event = received(stack)
    respond(stack, event, 100)
    challenge = only_sent(respond(stack, event, 407))
    assert only_sent(stack.handle_timeout(0.5)) == challenge


def test_a_request_that_nobody_has_answered_yet_is_absorbed_silently() -> None:
    stack = new_stack()
    received(stack, request_bytes("OPTIONS"))
    (effect,) = stack.receive(Packet(request_bytes("OPTIONS"), UDP), 0.5)
    assert isinstance(effect, Absorbed)


def test_after_a_2xx_a_repeated_invite_is_absorbed_and_the_2xx_may_be_sent_again_until_timer_l() -> None:
    stack = new_stack()
    event = received(stack)
    assert statuses(respond(stack, event, 200)) == [200]
    (effect,) = stack.receive(Packet(request_bytes(), UDP), 0.5)
    assert isinstance(effect, Absorbed)
    assert statuses(respond(stack, event, 200, 0.5)) == [200]
    assert respond(stack, event, 486, 0.6) == []
    assert stack.handle_timeout(32.0) == []
    assert is_empty(stack)
    assert respond(stack, event, 200, 33.0) == []


def test_an_ack_for_a_2xx_is_delivered() -> None:
    stack = new_stack()
    respond(stack, received(stack), 200)
    ack = Packet(request_bytes("ACK", branch="z9hG4bKack", to_tag="our-tag"), UDP)
    (event,) = delivered(stack.receive(ack, 0.1))
    assert isinstance(event, AckReceived)
    assert (event.request.method, event.packet) == ("ACK", ack)


def test_an_ack_for_a_refusal_stops_it_and_stays_inside() -> None:
    stack = new_stack()
    respond(stack, received(stack), 486)
    assert statuses(stack.handle_timeout(0.5)) == [486]
    ack = Packet(request_bytes("ACK", to_tag="our-tag"), UDP)
    assert stack.receive(ack, 0.6) == [Absorbed(ack, "the call")]
    assert stack.receive(ack, 0.7) == [Absorbed(ack, "the call")]
    assert stack.next_deadline() == pytest.approx(5.6)
    assert stack.handle_timeout(5.6) == []
    assert is_empty(stack)


def test_without_an_ack_a_refusal_is_repeated_and_then_told() -> None:
    stack = new_stack()
    event = received(stack)
    respond(stack, event, 486)
    repeated = 0
    effects: list[Effect] = []
    while (when := stack.next_deadline()) is not None:
        effects = stack.handle_timeout(when)
        repeated += len(sent(effects))
    assert repeated == 10
    assert delivered(effects) == [TransactionTimedOut(event.transaction, "the call")]
    assert is_empty(stack)


def test_rfc_4320_forbids_408_and_most_provisionals_to_other_requests() -> None:
    stack = new_stack()
    event = received(stack, request_bytes("OPTIONS"))
    assert respond(stack, event, 180) == []
    assert statuses(respond(stack, event, 100)) == [100]
    assert respond(stack, event, 408) == []
    assert respond(stack, event, 200) == []
    stack.handle_timeout(32.0)
    assert is_empty(stack)


def test_a_408_to_an_invite_is_sent() -> None:
    stack = new_stack()
    assert statuses(respond(stack, received(stack), 408)) == [408]


def test_a_label_given_with_a_response_stays() -> None:
    stack = new_stack()
    event = received(stack)
    stack.respond(event.transaction, make_response(event.request, 100), 0.0, label="named")
    (transmit,) = sent(stack.respond(event.transaction, make_response(event.request, 180), 0.0))
    assert transmit.label == "named"


def test_over_a_stream_a_transaction_ends_with_its_final_response() -> None:
    stack = new_stack()
    event = received(stack, request_bytes("OPTIONS", transport="TCP"), TCP)
    transmit = only_sent(respond(stack, event, 200))
    assert transmit.hop == TCP
    assert is_empty(stack)


def test_responses_without_rport_go_to_the_port_of_sent_by_at_the_source_host() -> None:
    stack = new_stack()
    event = received(stack, request_bytes(parameters=";maddr=203.0.113.99"))
    assert only_sent(respond(stack, event, 200)).hop.remote == Address(PEER.host, 5062)


def test_a_request_of_rfc_2543_is_matched_with_its_repetition_its_cancel_and_its_ack() -> None:
    stack = new_stack()
    event = received(stack, request_bytes(branch=None))
    respond(stack, event, 180)
    assert statuses(stack.receive(Packet(request_bytes(branch=None), UDP), 0.5)) == [180]
    effects = stack.receive(Packet(request_bytes("CANCEL", branch=None), UDP), 0.6)
    assert statuses(effects) == [200]
    assert [type(each) for each in delivered(effects)] == [CancelReceived]
    respond(stack, event, 487, 0.7)
    strange = Packet(request_bytes("ACK", branch=None, to_tag="another"), UDP)
    assert [type(each) for each in delivered(stack.receive(strange, 0.8))] == [AckReceived]
    ack = Packet(request_bytes("ACK", branch=None, to_tag="our-tag"), UDP)
    assert stack.receive(ack, 0.8) == [Absorbed(ack, "the call")]


def test_a_lost_connection_is_replaced_by_one_to_the_port_of_sent_by() -> None:
    stack = new_stack()
    event = received(stack, request_bytes(transport="TCP"), TCP)
    respond(stack, event, 180)
    again = only_sent(stack.transport_failed(event.transaction, 0.1))
    assert again.hop == Hop("public", "TCP", LOCAL, Address(PEER.host, 5062), None)
    assert delivered(stack.transport_failed(event.transaction, 0.2)) == [
        TransactionFailed(event.transaction, "the call")
    ]
    assert stack.transport_failed(event.transaction, 0.3) == []


# -- what is answered without state -----------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"\r\n", b"\r\n\r\n", b"\0", b"\0\0\0\0", b" \r\n"])
def test_keep_alives_are_ignored_silently(data: bytes) -> None:
    assert new_stack().receive(Packet(data, UDP), 0.0) == []


def test_stun_is_refused() -> None:
    binding_request = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12)
    assert "STUN" in refusal(new_stack().receive(Packet(binding_request, UDP), 0.0))


@pytest.mark.parametrize("data", [b"\x80\xc9junk", b"hello", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x00" * 40])
def test_what_is_not_sip_is_refused_without_an_answer(data: bytes) -> None:
    stack = new_stack()
    effects = stack.receive(Packet(data, UDP), 0.0)
    assert [type(effect) for effect in effects] == [Refused]
    assert is_empty(stack)


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ((b"SIP/2.0\r\nVia", b"SIP/7.0\r\nVia"), 505),
        ((b"Call-ID: call-1", b"Call-ID: call-1\r\nCall-ID: call-2"), 400),
        ((b"Content-Length: 0", b"Content-Length: -1"), 400),
        ((b"From: Alice <sip:alice@example.com>", b"From: <sip:alice"), 400),
        ((b"Contact: <sip:alice", b"Contact: <sip:a b"), 400),
        ((b"Contact: <sip:alice@10.9.9.9:5062>", b"Contact: <sip:>"), 400),
        ((b"sip:bob@sbc.example.com", b"sip:" + 3000 * b"b"), 414),
    ],
)
def test_a_faulty_request_is_answered_without_state(fault: tuple[bytes, bytes], status: int) -> None:
    stack = new_stack()
    packet = Packet(request_bytes().replace(*fault), UDP)
    effects = stack.receive(packet, 0.0)
    assert statuses(effects) == [status]
    assert refusal(effects)
    assert only_sent(effects).hop == UDP
    assert stack.receive(packet, 1.0) == effects
    assert is_empty(stack)


def test_a_request_whose_via_cannot_be_read_is_answered_to_where_it_came_from() -> None:
    packet = Packet(request_bytes(parameters=";;,;,,"), UDP)
    (transmit,) = sent(new_stack().receive(packet, 0.0))
    assert transmit.data.startswith(b"SIP/2.0 400 ")
    assert transmit.hop == UDP


def test_a_faulty_ack_and_a_faulty_response_are_never_answered() -> None:
    for data in (
        request_bytes("ACK").replace(b"Content-Length: 0", b"Content-Length: -1"),
        request_bytes("ACK").replace(b"From: Alice <sip:alice@example.com>", b"From: <sip:alice"),
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP sbc.example.com:5060;branch=z9hG4bKx\r\n\r\n",
    ):
        effects = new_stack().receive(Packet(data, UDP), 0.0)
        assert [type(effect) for effect in effects] == [Refused]


def test_a_request_from_an_address_that_cannot_be_answered_is_refused() -> None:
    stack = new_stack()
    for host in ("224.0.0.1", "255.255.255.255", "ff02::1"):
        hop = Hop("public", "UDP", LOCAL, Address(host, 5060))
        for data in (request_bytes(), request_bytes().replace(b"SIP/2.0\r\nVia", b"SIP/7.0\r\nVia")):
            effects = stack.receive(Packet(data, hop), 0.0)
            assert [type(effect) for effect in effects] == [Refused]
    assert is_empty(stack)


def test_beyond_the_limit_new_requests_get_503_with_retry_after() -> None:
    stack = new_stack(max_transactions=4)
    for number in range(4):
        received(stack, request_bytes(branch=f"z9hG4bK{number}", call_id=str(number)))
    effects = stack.receive(Packet(request_bytes(branch="z9hG4bKmore", call_id="more"), UDP), 0.0)
    assert statuses(effects) == [503]
    assert read(only_sent(effects)).headers.get("Retry-After") == "10"
    assert stack.server_count == 4


def test_beyond_the_limit_there_is_room_for_requests_that_end_calls_and_for_cancels() -> None:
    stack = new_stack(max_transactions=4)
    for number in range(4):
        received(stack, request_bytes(branch=f"z9hG4bK{number}", call_id=str(number)))
    effects = stack.receive(Packet(request_bytes("CANCEL", branch="z9hG4bK1", call_id="1"), UDP), 0.0)
    assert statuses(effects) == [200]
    stack = new_stack(max_transactions=4)
    for number in range(5):
        received(stack, request_bytes("BYE", branch=f"z9hG4bK{number}", to_tag="t"))
    effects = stack.receive(Packet(request_bytes("BYE", branch="z9hG4bKmore", to_tag="t"), UDP), 0.0)
    assert statuses(effects) == [503]


def test_a_merged_request_gets_482() -> None:
    stack = new_stack()
    received(stack)
    effects = stack.receive(Packet(request_bytes(branch="z9hG4bKother"), UDP), 0.0)
    assert statuses(effects) == [482]
    assert stack.server_count == 1


def test_a_request_that_was_forked_to_two_addresses_of_ours_is_not_merged() -> None:
    stack = new_stack()
    received(stack)
    received(stack, request_bytes(branch="z9hG4bKother", uri="sip:carol@sbc.example.com"))
    assert stack.server_count == 2


def test_a_request_that_is_tried_again_after_a_refusal_is_not_merged() -> None:
    stack = new_stack()
    respond(stack, received(stack), 503)
    received(stack, request_bytes(branch="z9hG4bKother"))


def test_requests_inside_a_dialog_are_never_merged() -> None:
    stack = new_stack()
    received(stack, request_bytes("INFO", to_tag="t"))
    received(stack, request_bytes("INFO", to_tag="t", branch="z9hG4bKother"))


# -- client transactions ----------------------------------------------------------------------------------------------


def test_a_request_goes_out_with_our_via_on_top_and_stays_as_it_was() -> None:
    stack = new_stack()
    made = request(more=(("Via", "SIP/2.0/UDP below.example;branch=z9hG4bKb"),))
    before = made.to_bytes()
    transaction, effects = stack.send_request(made, UDP, 0.0, branch="z9hG4bKours", label="the call")
    transmit = only_sent(effects)
    assert read(transmit).headers.values("Via") == [
        "SIP/2.0/UDP sbc.example.com:5060;branch=z9hG4bKours;rport",
        "SIP/2.0/UDP below.example;branch=z9hG4bKb",
    ]
    assert (transaction, transmit.transaction) == ("z9hG4bKours", "z9hG4bKours")
    assert (transmit.hop, transmit.label) == (UDP, "the call")
    assert made.to_bytes() == before


def test_a_request_from_a_socket_that_is_not_ours_is_a_fault_of_the_transaction_user() -> None:
    with pytest.raises(LocalProtocolError):
        new_stack().send_request(request(), UDP._replace(zone="nowhere"), 0.0)


def test_branches_are_our_own_and_never_the_same() -> None:
    stack = new_stack()
    names = {stack.send_request(request("OPTIONS"), UDP, 0.0)[0] for _ in range(100)}
    assert len(names) == 100
    assert all(name.startswith("z9hG4bK") for name in names)


def test_a_long_request_goes_over_udp_where_tcp_cannot_be_reached() -> None:
    """18.1.1: "... should retry the request using UDP" """
    stack = new_stack()
    long = request(more=(("Subject", "x" * 1400),))
    branch, effects = stack.send_request(long, UDP, 0.0, alternative=TCP)
    assert only_sent(effects).hop == TCP
    again = only_sent(stack.transport_failed(branch, 1.0))
    assert again.hop == UDP
    assert b"SIP/2.0/UDP" in again.data
    assert len(only_sent(stack.handle_timeout(1.5)).data) == len(again.data)
    assert delivered(stack.transport_failed(branch, 2.0)) == [TransactionFailed(branch, "")]
    assert is_empty(stack)


def test_a_long_request_that_was_taken_back_is_not_sent_again() -> None:
    stack = new_stack()
    long = request(more=(("Subject", "x" * 1400),))
    branch, _ = stack.send_request(long, UDP, 0.0, alternative=TCP)
    stack.cancel(branch, 0.5)
    assert delivered(stack.transport_failed(branch, 1.0)) == [TransactionFailed(branch, "")]


def test_a_request_too_long_for_the_path_goes_over_the_alternative() -> None:
    stack = new_stack()
    long = request(more=(("Subject", "x" * 1300),))
    transmit = only_sent(stack.send_request(long, UDP, 0.0, alternative=TCP)[1])
    assert transmit.hop == TCP
    assert read(transmit).via.transport == "TCP"
    assert "rport" not in read(transmit).via.params
    assert stack.next_deadline() == 32.0
    assert only_sent(stack.send_request(long, UDP, 0.0)[1]).hop == UDP
    assert only_sent(stack.send_request(request(), UDP, 0.0, alternative=TCP)[1]).hop == UDP
    assert only_sent(stack.send_ack(long, UDP, 0.0, alternative=TCP)).hop == TCP


def test_responses_are_delivered_with_label_and_packet() -> None:
    stack = new_stack()
    transaction, effects = stack.send_request(request(), UDP, 0.0, label="the call")
    for status in (180, 200, 200):
        packet = answer_to(only_sent(effects), status)
        (event,) = delivered(stack.receive(packet, 0.1))
        assert isinstance(event, ResponseReceived)
        assert (event.response.status, event.transaction) == (status, transaction)
        assert (event.packet, event.label) == (packet, "the call")
    assert stack.handle_timeout(32.1) == []
    assert is_empty(stack)


def test_a_refusal_is_acknowledged_each_time_and_delivered_once() -> None:
    stack = new_stack()
    _, effects = stack.send_request(request(), UDP, 0.0, label="the call")
    packet = answer_to(only_sent(effects), 486)
    first = stack.receive(packet, 0.1)
    assert methods(first) == ["ACK"]
    assert len(delivered(first)) == 1
    invite, ack = read(only_sent(effects)), read(only_sent(first))
    assert ack.via.branch == invite.via.branch
    assert ack.to.tag == "bob-tag"
    again = stack.receive(packet, 0.2)
    assert (sent(again), delivered(again)) == (sent(first), [])


def test_a_timeout_is_told_once() -> None:
    stack = new_stack()
    transaction, _ = stack.send_request(request(), UDP, 0.0, label="the call")
    effects = stack.handle_timeout(32.0)
    assert delivered(effects) == [TransactionTimedOut(transaction, "the call")]
    assert is_empty(stack)


def test_a_late_wake_up_sends_once_not_once_for_each_missed_time() -> None:
    stack = new_stack()
    stack.send_request(request("OPTIONS"), UDP, 0.0)
    assert len(sent(stack.handle_timeout(20.0))) == 1


def test_a_transport_failure_is_told_once() -> None:
    stack = new_stack()
    transaction, _ = stack.send_request(request(), UDP, 0.0, label="the call")
    assert stack.transport_failed(transaction, 0.1) == [Deliver(TransactionFailed(transaction, "the call"))]
    assert stack.transport_failed(transaction, 0.1) == []
    assert is_empty(stack)


@pytest.mark.parametrize("host", ["239.1.2.3", "255.255.255.255", "ff0e::1"])
def test_nothing_is_sent_to_multicast_or_broadcast(host: str) -> None:
    stack = new_stack()
    hop = UDP._replace(remote=Address(host, 5060))
    transaction, effects = stack.send_request(request(), hop, 0.0, label="the call")
    assert effects == [Deliver(TransactionFailed(transaction, "the call"))]
    assert stack.send_ack(request("ACK"), hop, 0.0) == []
    assert is_empty(stack)


def test_an_ack_for_a_2xx_has_a_branch_of_its_own_and_no_transaction() -> None:
    stack = new_stack()
    transmit = only_sent(stack.send_ack(request("ACK"), UDP, 0.0, label="the call"))
    assert (transmit.transaction, transmit.label) == (None, "the call")
    assert (read(transmit).via.branch or "").startswith("z9hG4bK")
    assert is_empty(stack)


@pytest.mark.parametrize(
    "forged",
    [
        (b"branch=z9hG4bKours", b"branch=z9hG4bKforged"),
        (b"sbc.example.com:5060", b"other.example.com:5060"),
        (b"sbc.example.com:5060", b"sbc.example.com:5061"),
        (b"1 INVITE", b"1 OPTIONS"),
    ],
)
def test_a_response_that_is_not_to_what_we_sent_is_refused(forged: tuple[bytes, bytes]) -> None:
    stack = new_stack()
    _, effects = stack.send_request(request(), UDP, 0.0, branch="z9hG4bKours")
    packet = answer_to(only_sent(effects), 200)
    assert refusal(stack.receive(packet._replace(data=packet.data.replace(*forged)), 0.1))


def test_a_response_from_another_zone_is_refused() -> None:
    stack = new_stack()
    _, effects = stack.send_request(request(), UDP, 0.0)
    assert refusal(stack.receive(answer_to(only_sent(effects), 200, hop=OTHER_ZONE), 0.1))


def test_a_response_may_spell_our_via_in_another_way() -> None:
    stack = new_stack()
    _, effects = stack.send_request(request(), UDP, 0.0, branch="z9hG4bKours")
    packet = answer_to(only_sent(effects), 200)
    spelled = packet.data.replace(
        b"Via: SIP/2.0/UDP sbc.example.com:5060;branch=z9hG4bKours;rport",
        b"v: SIP / 2.0 / UDP SBC.example.com : 5060;rport=5060 ;received=192.0.2.1; branch = z9hG4bKours",
    )
    assert spelled != packet.data
    assert len(delivered(stack.receive(Packet(spelled, UDP), 0.1))) == 1


# -- loops ------------------------------------------------------------------------------------------------------------


def looped(stack: SipStack, uri: str) -> bool:
    transaction, _ = stack.send_request(request(uri="sip:bob@example.net"), UDP, 0.0)
    via = f"Via: SIP/2.0/UDP sbc.example.com:5060;branch={transaction}\r\n"
    effects = stack.receive(Packet(request_bytes(uri=uri, more=via), UDP), 0.0)
    return statuses(effects) == [482] and not delivered(effects)


def test_a_request_that_comes_back_as_it_was_sent_is_a_loop() -> None:
    assert looped(new_stack(), "sip:bob@example.net")


def test_a_request_that_comes_back_for_somebody_else_is_a_spiral() -> None:
    assert not looped(new_stack(), "sip:carol@example.net")


def test_a_request_by_way_of_others_is_no_loop() -> None:
    stack = new_stack()
    via = "Via: SIP/2.0/UDP other.example.com:5060;branch=z9hG4bKother\r\n"
    assert delivered(stack.receive(Packet(request_bytes(more=via), UDP), 0.0))


def test_an_abandoned_request_leaves_nothing_and_may_come_again() -> None:
    stack = new_stack()
    event = received(stack)
    stack.abandon(event.transaction)
    assert stack.server_count == 0
    assert stack.respond(event.transaction, make_response(event.request, 200), 0.0) == []
    assert received(stack).transaction == event.transaction
    stack.abandon("unknown")


# -- memory -----------------------------------------------------------------------------------------------------------


def test_after_many_calls_every_table_is_empty() -> None:
    stack = new_stack(max_transactions=100_000)
    now = 0.0
    for number in range(500):
        now = number / 100
        event = received(stack, request_bytes(branch=f"z9hG4bK{number}", call_id=str(number)), now=now)
        transaction, effects = stack.send_request(request(), OTHER_ZONE, now)
        stack.receive(answer_to(only_sent(effects), 180), now)
        if number % 3 == 0:
            stack.cancel(transaction, now)
            respond(stack, event, 487, now)
        else:
            stack.receive(answer_to(only_sent(effects), 200), now)
            respond(stack, event, 200, now)
        stack.handle_timeout(now)
    while (when := stack.next_deadline()) is not None:
        assert when >= now
        now = when
        stack.handle_timeout(now)
    assert is_empty(stack)
    assert not stack._unanswered
    assert len(stack._deadlines) == 0


def test_what_is_kept_of_an_answered_invite_is_no_message() -> None:
    stack = new_stack()
    respond(stack, received(stack), 200)
    _, effects = stack.send_request(request(), UDP, 0.0)
    stack.receive(answer_to(only_sent(effects), 200), 0.0)
    for transaction in (*stack._servers.values(), *stack._clients.values()):
        assert transaction.message in (b"", b"To: <sip:bob@example.com>;tag=our-tag")
        for name in type(transaction).__slots__:
            assert not isinstance(getattr(transaction, name), Request | Response)
