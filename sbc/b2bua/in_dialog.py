"""Requests inside a call's dialogs: they find their call by dialog (never by Request-URI) and cross to its other leg.

RFC 3261 sections 12.2 and 14 (re-INVITE), RFC 3311 (UPDATE), RFC 6086 (INFO).
"""

from __future__ import annotations

from sbc.b2bua import answers, capabilities, crossing, replies, teardown, whereabouts
from sbc.b2bua.call import Call, CallState, Ending, Input, Leg, Purpose, Relay, Sent
from sbc.b2bua.commands import CancelRequest, Respond
from sbc.b2bua.context import Context, border, own_agent
from sbc.b2bua.hooks import Reject
from sbc.media import MediaError
from sbc.sip import Request, Response, TransactionId, make_response

_OFFERING = frozenset({"INVITE", "UPDATE"})
_RELAYED = frozenset({"INVITE", "UPDATE", "INFO", "MESSAGE"})
_RETRY_LATER = (("Retry-After", "2"),)


def request_received(context: Context, call: Call, leg: Leg, request: Request, transaction: TransactionId) -> None:
    """A request other than ACK and CANCEL in the dialog of `leg`."""
    assert leg.dialog is not None
    if not leg.dialog.accept(request):
        # 12.2.2: "If the remote sequence number ... is lower ... MUST be rejected with a 500"
        answer(context, call, request, transaction, 500, "CSeq Out of Order")
        return
    if request.method == "BYE":
        answer(context, call, request, transaction, 200)
        if call.state is CallState.CALLING and leg is not call.a:
            return  # 15: the callee's UA MUST NOT send a BYE on an early dialog; its final response will come
        leg.told_the_end = True
        context.step(call, Input.BYE, request if call.state is CallState.CALLING else (request, leg))
        return
    refusal = _refusal(call, leg, request)
    if refusal is not None:
        context.decided(call, "call", refusal.policy, f"{request.method} refused: {refusal.status}", refusal.reason)
        answer(context, call, request, transaction, refusal.status, refusal.phrase, refusal.headers)
    elif request.method == "OPTIONS":
        headers = (("Allow", capabilities.ALLOW), ("Accept", "application/sdp"))
        answer(context, call, request, transaction, 200, headers=headers)
    else:
        _relay(context, call, leg, request, transaction)


def _refusal(call: Call, leg: Leg, request: Request) -> Reject | None:
    """Why this request cannot cross now, or None."""
    method = request.method
    if call.state is CallState.CLOSING:
        return Reject("call", 481, "the call is over")
    unsupported = capabilities.unsupported_extensions(request)
    if unsupported is not None:
        return unsupported
    if method == "OPTIONS":
        return None
    if method not in _RELAYED:
        return Reject("call", 405, f"{method} does not cross", headers=(("Allow", capabilities.ALLOW),))
    if request.max_forwards == 0:
        return Reject("call", 483, "Max-Forwards is 0")
    if call.state is CallState.CALLING:
        return Reject("call", 500, "the other leg has no dialog yet", "Not Yet Answered", _RETRY_LATER)
    if method in _OFFERING:
        pending = call.relays.get(call.exchange)
        if pending is not None or leg.unacked is not None:
            if pending is not None and pending.side != leg.side:
                return Reject("call", 491, "glare: the other side's offer is under way")  # 14.2
            return Reject("call", 500, "an earlier exchange is under way", "Exchange Pending", _RETRY_LATER)  # 14.2
        return capabilities.unreadable_body(request)
    return None


def answer(
    context: Context,
    call: Call,
    request: Request,
    transaction: TransactionId,
    status: int,
    phrase: str = "",
    headers: tuple[tuple[str, str], ...] = (),
) -> None:
    response = make_response(request, status, phrase or None, headers=headers)
    own_agent(context, response.headers, "Server")
    context.out.append(Respond(call.id, transaction, response))


def _relay(context: Context, call: Call, leg: Leg, request: Request, transaction: TransactionId) -> None:
    """Build the same request on the other leg and send it."""
    other = call.b if leg is call.a else call.a
    assert leg.dialog is not None
    assert other is not None
    assert other.dialog is not None
    assert call.media is not None
    target_border = border(leg, other)
    body = request.body
    offering = request.method in _OFFERING
    if offering:
        leg.dialog.refresh_target(request)
        whereabouts.follow_target(context, leg, request)
        if body:
            try:
                exchange = call.media.offer(leg.side, body, context.now)
            except MediaError as fault:
                context.decided(call, "adapt_media", "media", f"reject {fault.status}", fault.reason)
                answer(context, call, request, transaction, fault.status)
                return
            context.apply(call, exchange)
            body = exchange.sdp
    elif target_border.hidden and crossing.names_host(body.decode("latin-1"), target_border):
        context.decided(
            call, "call", "call", f"{request.method} refused: 488", "its body names a host of a hidden zone"
        )
        answer(context, call, request, transaction, 488)
        return
    built = other.dialog.request(request.method, other.contact if offering else None)
    forwards = request.max_forwards
    if forwards is not None:
        built.headers.set("Max-Forwards", str(forwards - 1))
    if offering:
        built.headers.add("Allow", capabilities.allow(request))
    own_agent(context, built.headers, "User-Agent")
    crossing.cross_headers(request.headers, built.headers, target_border)
    if body:
        built.body = body
        built.headers.add("Content-Type", request.headers.get("Content-Type") or "application/octet-stream")
    branch = context.send(call, other, Purpose.RELAY, built, received=request)
    call.relays[branch] = Relay(leg.side, request, transaction, branch, built, bool(body) and offering)
    if offering:
        call.exchange = branch


def response_received(context: Context, call: Call, branch: TransactionId, sent: Sent, response: Response) -> None:
    """A response to a relayed request."""
    relay = call.relays.get(branch)
    status = response.status
    if relay is None:
        if 200 <= status < 300 and sent.request.method == "INVITE":
            _acknowledge_again(context, call, sent, response)
        elif status >= 300:
            call.clients.pop(branch, None)
        return
    if status < 200:
        if relay.request.method == "INVITE" and status not in (100, 199):
            _pass_back(context, call, relay, response, b"")
        return
    del call.relays[branch]
    if call.exchange == branch:
        call.exchange = ""
    if relay.request.method != "INVITE" or status >= 300:
        call.clients.pop(branch, None)
    if status >= 300:
        _refused(context, call, relay, response)
    elif relay.request.method == "INVITE":
        _reinvite_answered(context, call, relay, response)
    else:
        _answered(context, call, relay, response)


def _answered(context: Context, call: Call, relay: Relay, response: Response) -> None:
    """A 2xx to UPDATE, INFO or MESSAGE."""
    body = b""
    source = call.b if relay.side == "a" else call.a
    if relay.request.method == "UPDATE":
        if source is not None and source.dialog is not None:
            source.dialog.refresh_target(response)
            whereabouts.follow_target(context, source, response)
        try:
            body = _exchanged(context, call, relay, response)
        except MediaError as fault:
            context.decided(call, "adapt_media", "media", "answer refused", fault.reason)
            context.step(call, Input.ENDED_HERE, Ending("sbc", fault.reason, reason=_REASON_BAD_MEDIA))
            return
    _pass_back(context, call, relay, response, body)


_REASON_BAD_MEDIA = 'SIP;cause=488;text="Media answer not acceptable"'


def _reinvite_answered(context: Context, call: Call, relay: Relay, response: Response) -> None:
    source = call.b if relay.side == "a" else call.a
    leg = call.leg(relay.side)
    assert leg is not None
    assert source is not None
    assert source.dialog is not None
    source.dialog.refresh_target(response)
    whereabouts.follow_target(context, source, response)
    try:
        body = _exchanged(context, call, relay, response)
    except MediaError as fault:
        context.decided(call, "adapt_media", "media", "answer refused", fault.reason)
        answers.acknowledge(context, call, source, response, b"")
        answer(context, call, relay.request, relay.transaction, 488)
        context.step(call, Input.ENDED_HERE, Ending("sbc", fault.reason, reason=_REASON_BAD_MEDIA))
        return
    call.clients.pop(source.reinvite, None)
    source.reinvite = relay.branch
    if relay.offer or not body:
        answers.acknowledge(context, call, source, response, b"")
    else:
        source.ack_owed = response
    if relay.cancelled:
        context.decided(call, "call", "call", "re-INVITE answered", "its CANCEL came too late")
    built = _built_back(context, call, relay, response, body)
    answers.answer_invite(context, call, leg, relay.transaction, built, relay.request.cseq.number)


def _exchanged(context: Context, call: Call, relay: Relay, response: Response) -> bytes:
    """The SDP of a 2xx for the side that asked: an answer, in a delayed exchange the offer; empty if there is none."""
    if not response.body or response.content_type != "application/sdp" or call.media is None:
        return b""
    side = "b" if relay.side == "a" else "a"
    exchange_of = call.media.answer if relay.offer else call.media.offer
    exchange = exchange_of(side, response.body, context.now)
    context.apply(call, exchange)
    return exchange.sdp


def _refused(context: Context, call: Call, relay: Relay, response: Response) -> None:
    """The session stays as it was (14.1); a side that does not know the dialog any more ends the call (12.2.1.2)."""
    if relay.offer and call.media is not None:
        context.apply(call, call.media.reject(context.now))
    _pass_back(context, call, relay, response, b"")
    if response.status == 481:
        _dialog_gone(context, call, relay, f"{response.status} to {relay.request.method}")


def _dialog_gone(context: Context, call: Call, relay: Relay, cause: str) -> None:
    other = call.b if relay.side == "a" else call.a
    if other is not None:
        other.told_the_end = True  # it has no dialog that a BYE could end
    context.step(call, Input.ENDED_HERE, Ending("sbc", cause, reason='SIP;cause=481;text="Dialog lost"'))


def timed_out(context: Context, call: Call, branch: TransactionId) -> None:
    """A relayed request got no answer: 408 for the side that asked, and the call is over (12.2.1.2)."""
    relay = call.relays.pop(branch, None)
    if relay is None:
        return
    if call.exchange == branch:
        call.exchange = ""
    if relay.offer and call.media is not None:
        context.apply(call, call.media.reject(context.now))
    answer(context, call, relay.request, relay.transaction, 408)
    _dialog_gone(context, call, relay, f"no answer to {relay.request.method}")


def _pass_back(context: Context, call: Call, relay: Relay, response: Response, body: bytes) -> None:
    built = _built_back(context, call, relay, response, body)
    context.out.append(Respond(call.id, relay.transaction, built))


def _built_back(context: Context, call: Call, relay: Relay, received: Response, body: bytes) -> Response:
    leg, source = call.leg(relay.side), call.b if relay.side == "a" else call.a
    assert leg is not None
    assert source is not None
    built = make_response(relay.request, received.status, replies.phrase(received, source), body=body)
    if relay.request.method in _OFFERING and received.status < 300:
        built.headers.add("Contact", leg.contact)
        built.headers.add("Allow", capabilities.allow(received))
    own_agent(context, built.headers, "Server")
    crossing.cross_headers(received.headers, built.headers, border(source, leg))
    if body:
        built.headers.add("Content-Type", "application/sdp")
    context.rewrite(call, leg, built, received)
    return built


def _acknowledge_again(context: Context, call: Call, sent: Sent, response: Response) -> None:
    """A repeated 2xx: its ACK was lost (13.2.2.4). Or one to a re-INVITE that the end of the call has overtaken."""
    leg = call.leg(sent.side)
    if leg is None or leg.ack_owed is not None:
        return
    if leg.ack is not None and leg.ack[0] == response.cseq.number:
        answers.repeat_ack(context, call, leg, response)
    else:
        answers.acknowledge(context, call, leg, response, b"")


def ack_received(context: Context, call: Call, leg: Leg, request: Request) -> None:
    """The ACK of our 2xx to an INVITE of `leg`."""
    unacked = leg.unacked
    if unacked is None or request.cseq.number != unacked.cseq:
        return
    leg.unacked = None
    context.deadlines.clear(call.id, f"2xx {leg.side}")
    other = call.b if leg is call.a else call.a
    if other is not None and other.ack_owed is not None:
        _answer_in_ack(context, call, leg, other, request)
    if leg is call.a and call.state is not CallState.CLOSING:
        context.step(call, Input.ACK, request)
    teardown.send_owed_bye(context, call, leg)


def _answer_in_ack(context: Context, call: Call, leg: Leg, other: Leg, request: Request) -> None:
    """Delayed offer: the answer comes in the ACK and goes on in ours (13.2.1)."""
    owed = other.ack_owed
    assert owed is not None
    body = b""
    if call.media is not None and request.body and call.state is not CallState.CLOSING:
        try:
            exchange = call.media.answer(leg.side, request.body, context.now)
        except MediaError as fault:
            context.decided(call, "adapt_media", "media", "answer refused", fault.reason)
            answers.acknowledge(context, call, other, owed, b"")
            context.step(call, Input.ENDED_HERE, Ending("sbc", fault.reason, reason=_REASON_BAD_MEDIA))
            return
        context.apply(call, exchange)
        body = exchange.sdp
    answers.acknowledge(context, call, other, owed, body)


def cancel_received(context: Context, call: Call, transaction: TransactionId, request: Request) -> bool:
    """A CANCEL of a re-INVITE under way; False when the transaction is none."""
    for relay in call.relays.values():
        if relay.transaction == transaction:
            relay.cancelled = True
            context.out.append(CancelRequest(call.id, relay.branch))
            return True
    return False
