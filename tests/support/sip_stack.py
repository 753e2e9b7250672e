"""A `SipStack` with known addresses, and messages for it: for tests of the transaction layer."""

from __future__ import annotations

from random import Random

from sbc.sip import (
    Address,
    Deliver,
    Effect,
    Headers,
    Hop,
    Limits,
    Packet,
    Refused,
    Request,
    RequestReceived,
    Response,
    SipEvent,
    SipStack,
    Timers,
    Tokens,
    Transmit,
    make_response,
    parse,
)

LIMITS = Limits()
LOCAL = Address("192.0.2.1", 5060)
PEER = Address("198.51.100.7", 40123)
UDP = Hop("public", "UDP", LOCAL, PEER)
TCP = Hop("public", "TCP", LOCAL, PEER, 7)
OTHER_ZONE = Hop("private", "UDP", Address("10.0.0.1", 5060), Address("10.0.0.5", 5060))
SENT_BY = {
    ("public", "UDP", LOCAL): "sbc.example.com:5060",
    ("public", "TCP", LOCAL): "sbc.example.com:5060",
    ("private", "UDP", OTHER_ZONE.local): "10.0.0.1:5060",
}


def new_stack(max_transactions: int = 1000, timers: Timers | None = None, seed: int = 1) -> SipStack:
    return SipStack(timers or Timers(), LIMITS, Tokens(Random(seed).randbytes), SENT_BY, max_transactions)


def request_bytes(
    method: str = "INVITE",
    *,
    branch: str | None = "z9hG4bKone",
    sent_by: str = "10.9.9.9:5062",
    parameters: str = ";rport",
    transport: str = "UDP",
    uri: str = "sip:bob@sbc.example.com",
    from_tag: str | None = "alice-tag",
    to_tag: str | None = None,
    call_id: str = "call-1",
    cseq: int = 1,
    more: str = "",
) -> bytes:
    """A request as a peer sends it. Without `branch`: as of RFC 2543."""
    branched = "" if branch is None else f";branch={branch}"
    tag = "" if to_tag is None else f";tag={to_tag}"
    origin = "" if from_tag is None else f";tag={from_tag}"
    return (
        f"{method} {uri} SIP/2.0\r\n"
        f"Via: SIP/2.0/{transport} {sent_by}{branched}{parameters}\r\n"
        f"Max-Forwards: 70\r\n"
        f"From: Alice <sip:alice@example.com>{origin}\r\n"
        f"To: <sip:bob@example.com>{tag}\r\n"
        f"Call-ID: {call_id}\r\n"
        f"CSeq: {cseq} {method}\r\n"
        f"Contact: <sip:alice@10.9.9.9:5062>\r\n"
        f"{more}Content-Length: 0\r\n\r\n"
    ).encode()


def request(
    method: str = "INVITE", uri: str = "sip:bob@example.net", more: tuple[tuple[str, str], ...] = ()
) -> Request:
    """A request as the transaction user makes it: without Via."""
    made = Request(method, uri, parse_headers(method))
    for name, value in more:
        made.headers.add(name, value)
    return made


def parse_headers(method: str) -> Headers:
    received = parse(request_bytes(method), LIMITS)
    received.headers.remove("Via")
    return received.headers


def sent(effects: list[Effect]) -> list[Transmit]:
    return [effect for effect in effects if isinstance(effect, Transmit)]


def only_sent(effects: list[Effect]) -> Transmit:
    (transmit,) = sent(effects)
    return transmit


def read(transmit: Transmit) -> Request | Response:
    return parse(transmit.data, LIMITS)


def statuses(effects: list[Effect]) -> list[int]:
    return [message.status for message in map(read, sent(effects)) if isinstance(message, Response)]


def methods(effects: list[Effect]) -> list[str]:
    return [message.method for message in map(read, sent(effects)) if isinstance(message, Request)]


def delivered(effects: list[Effect]) -> list[SipEvent]:
    return [effect.event for effect in effects if isinstance(effect, Deliver)]


def answer_to(transmit: Transmit, status: int, to_tag: str | None = "bob-tag", hop: Hop | None = None) -> Packet:
    """The peer's response to a request that we sent."""
    received = read(transmit)
    assert isinstance(received, Request)
    return Packet(make_response(received, status, to_tag=to_tag).to_bytes(), hop or transmit.hop)


def received(stack: SipStack, data: bytes | None = None, hop: Hop = UDP, now: float = 0.0) -> RequestReceived:
    """The event that a new request gives."""
    (effect,) = stack.receive(Packet(data or request_bytes(), hop), now)
    assert isinstance(effect, Deliver)
    assert isinstance(effect.event, RequestReceived)
    return effect.event


def respond(stack: SipStack, event: RequestReceived, status: int, now: float = 0.0) -> list[Effect]:
    response = make_response(event.request, status, to_tag="our-tag")
    return stack.respond(event.transaction, response, now, label="the call")


def refusal(effects: list[Effect]) -> str:
    (refused,) = (effect for effect in effects if isinstance(effect, Refused))
    return refused.reason


def is_empty(stack: SipStack) -> bool:
    return (stack.client_count, stack.server_count, stack.next_deadline()) == (0, 0, None)
