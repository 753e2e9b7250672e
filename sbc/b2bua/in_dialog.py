"""Requests inside a call's dialogs: they find their call by dialog (never by Request-URI) and cross to its other leg.

RFC 3261 section 12.2, RFC 6086 (INFO). What carries offers is `sbc.b2bua.exchange`'s.
"""

from __future__ import annotations

from collections.abc import Sequence

from sbc.b2bua import (
    answers,
    bodies,
    capabilities,
    crossing,
    doubts,
    dtmf,
    exchange,
    reliable,
    replies,
    teardown,
    transfer,
    transferred,
    whereabouts,
)
from sbc.b2bua.call import Call, CallState, Ending, Input, Leg, Purpose, Relay, Role
from sbc.b2bua.commands import Respond
from sbc.b2bua.context import Context, answer, border, own_agent
from sbc.b2bua.hooks import Reject
from sbc.sip import Credentials, Hop, Request, Response, TransactionId, make_response

_OFFERING = frozenset({"INVITE", "UPDATE"})
_SERVED = _OFFERING | {"PRACK"}
_TRANSFER = frozenset({"REFER", "NOTIFY"})
"""Their bodies do not cross as they are."""
_RELAYED = frozenset({"INFO", "MESSAGE"}) | _TRANSFER


def request_received(
    context: Context,
    call: Call,
    leg: Leg,
    request: Request,
    transaction: TransactionId,
    hop: Hop,
    given: Sequence[Credentials] = (),
) -> None:
    """A request other than ACK and CANCEL in a dialog of `leg`, that came over `hop`. `given`: its credentials for
    us."""
    dialog = leg.dialog_with(request.from_.tag or "")
    assert dialog is not None
    if not whereabouts.is_expected(context, leg, hop):
        if doubts.dealt_with(context, call, leg, request, transaction, hop, given):
            return
    if not dialog.accept(request):
        # 12.2.2: "If the remote sequence number ... is lower ... MUST be rejected with a 500"
        answer(context, call.id, request, transaction, 500, "CSeq Out of Order")
        return
    if whereabouts.is_expected(context, leg, hop):
        whereabouts.seen(context, call, leg, hop)  # not before: a repeated old request must not move the leg
    if request.method == "BYE":
        _end(context, call, leg, request, transaction)
        return
    refusal = _refusal(call, leg, request)
    if refusal is not None:
        context.decided(call, "call", refusal.policy, f"{request.method} refused: {refusal.status}", refusal.reason)
        answer(context, call.id, request, transaction, refusal.status, refusal.phrase, refusal.headers)
    elif request.method == "OPTIONS":
        headers = (("Allow", capabilities.ALLOW), ("Accept", bodies.ACCEPT))
        answer(context, call.id, request, transaction, 200, headers=headers)
    elif request.method in _OFFERING:
        capabilities.note(leg, request)
        if leg.forks:
            leg.dialog = dialog  # the early dialog that speaks
        exchange.offer_received(context, call, leg, request, transaction)
    elif request.method == "PRACK":
        reliable.prack_received(context, call, leg, request, transaction)
    else:
        _relay(context, call, leg, request, transaction)


def _end(context: Context, call: Call, leg: Leg, request: Request, transaction: TransactionId) -> None:
    answer(context, call.id, request, transaction, 200)
    answers.forget_2xx(context, call, leg)
    leg.bye_owed = None
    if transferred.leaves(context, call, leg):
        return
    if call.state is not CallState.CALLING:
        leg.told_the_end = True
        context.step(call, Input.BYE, (request, leg))
    elif leg is call.a:
        context.step(call, Input.BYE, request)
    elif call.role is Role.TAKING:
        leg.told_the_end = True
        context.step(call, Input.ENDED_HERE, Ending("callee", "BYE", 480))
    else:  # 15: the callee's UA "MUST NOT send a BYE on an early dialog": its 2xx is late, or lost
        leg.hung_up = request.from_.tag or ""
        exchange.gone(context, call, leg, leg.hung_up)
        reliable.gone(context, call, leg, leg.hung_up)


def _refusal(call: Call, leg: Leg, request: Request) -> Reject | None:
    """Why this request cannot cross now, or None."""
    method = request.method
    if call.state is CallState.CLOSING or leg.told_the_end or (request.from_.tag or "") == leg.hung_up:
        return Reject("call", 481, "the call is over")
    unsupported = capabilities.unsupported_extensions(request, leg)
    if unsupported is not None:
        return unsupported
    if method == "OPTIONS":
        return None
    if method not in _RELAYED and method not in _SERVED:
        return Reject("call", 405, f"{method} does not cross", headers=(("Allow", capabilities.ALLOW),))
    if request.max_forwards == 0:
        return Reject("call", 483, "Max-Forwards is 0")
    return None


def _relay(context: Context, call: Call, leg: Leg, request: Request, transaction: TransactionId) -> None:
    """Build the same request on the other leg and send it."""
    other = call.b if leg is call.a else call.a
    if other is None or other.dialog is None or other.gone:
        answer(context, call.id, request, transaction, 500, "Not Yet Answered", exchange.RETRY_LATER)
        return
    if request.method == "REFER" and transferred.takes(context, call, leg, other, request, transaction):
        return
    if request.method == "INFO" and dtmf.taken(context, call, leg, other, request, transaction):
        return
    target_border = border(leg, other)
    built = other.dialog.request(request.method, None)
    forwards = request.max_forwards
    if forwards is not None:
        built.headers.set("Max-Forwards", str(forwards - 1))
    crossing.cross_headers(request.headers, built.headers, target_border)
    own_agent(context, built.headers, "User-Agent")
    refusal = None
    if request.method != "NOTIFY":
        refusal = bodies.refusal(request, target_border, offers=False)
        context.left_out(call, "" if refusal else bodies.put(built, b"", request, target_border))
    if refusal is not None:
        pass
    elif request.method == "REFER":
        refusal = transfer.refer(context, call, leg, other, request, built)
    elif request.method == "NOTIFY":
        refusal = transfer.notify(call, leg, other, request, built)
    if refusal is not None:
        context.decided(call, "call", refusal.policy, f"{request.method} refused: {refusal.status}", refusal.reason)
        answer(context, call.id, request, transaction, refusal.status, refusal.phrase, refusal.headers)
        return
    branch = context.send(call, other, Purpose.RELAY, built, received=request)
    call.relays[branch] = Relay(leg.side, request, transaction)


def response_received(context: Context, call: Call, branch: TransactionId, response: Response) -> None:
    """A response to a relayed request."""
    if response.status < 200:
        return
    call.clients.pop(branch, None)
    relay = call.relays.pop(branch, None)
    if relay is None:
        return
    leg, source = call.leg(relay.side), call.b if relay.side == "a" else call.a
    assert leg is not None
    assert source is not None
    gone = response.status in (408, 481)
    if gone and not source.confirmed:  # one early dialog is no more; to this side the call is one, and goes on
        answer(context, call.id, relay.request, relay.transaction, 500, headers=exchange.RETRY_LATER)
        return
    built = make_response(relay.request, response.status, replies.phrase(response, source))
    if response.status == 405:  # 21.4.6: "The response MUST include an Allow"
        built.headers.add("Allow", capabilities.allow(response))
    if relay.request.method == "REFER" and response.status < 300:
        built.headers.add("Contact", leg.contact)
    edge = border(source, leg)
    crossing.cross_headers(response.headers, built.headers, edge)
    own_agent(context, built.headers, "Server")
    context.left_out(call, bodies.put(built, b"", response, edge))
    context.rewrite(call, leg, built, response)
    context.out.append(Respond(call.id, relay.transaction, built))
    if gone and relay.request.method != "NOTIFY":
        # RFC 5057 section 5.1: to a NOTIFY it says that the subscription is not known any more
        _dialog_gone(context, call, f"{response.status} to {relay.request.method}")


def _dialog_gone(context: Context, call: Call, cause: str) -> None:
    """12.2.1.2: "the UAC SHOULD terminate the dialog", which "consists of sending a BYE"; on both legs, here."""
    context.step(call, Input.ENDED_HERE, Ending("sbc", cause, reason='SIP;cause=481;text="Dialog lost"'))


def lost(context: Context, call: Call, branch: TransactionId, timed_out: bool) -> None:
    """A relayed request got no answer, which ends the call (12.2.1.2), or could not be sent, which is as if 503 had
    come (8.1.3.1) and need not last."""
    relay = call.relays.pop(branch, None)
    if relay is not None:
        answer(context, call.id, relay.request, relay.transaction, 408 if timed_out else 503)
    if relay is None or not timed_out or relay.request.method == "NOTIFY":
        return
    other = call.b if relay.side == "a" else call.a
    if other is not None and other.confirmed:
        _dialog_gone(context, call, f"no answer to {relay.request.method}")


def ack_received(context: Context, call: Call, leg: Leg, request: Request, hop: Hop) -> None:
    """The ACK of our 2xx to an INVITE of `leg`."""
    unacked = leg.unacked
    if unacked is None or request.cseq.number != unacked.cseq:
        return
    if whereabouts.is_expected(context, leg, hop):
        whereabouts.seen(context, call, leg, hop)
    answers.forget_2xx(context, call, leg)
    other = call.b if leg is call.a else call.a
    if other is not None and other.ack_owed is not None:
        answers.answer_in_ack(context, call, leg, other, request)
    if leg is call.a and call.state is not CallState.CLOSING:
        context.step(call, Input.ACK, request)
    teardown.send_owed_bye(context, call, leg)
