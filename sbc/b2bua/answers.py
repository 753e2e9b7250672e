"""2xx to an INVITE and its ACK, on either leg (RFC 3261 sections 13.2.2.4 and 13.3.1.4)."""

from __future__ import annotations

from sbc.b2bua import bodies, gruus
from sbc.b2bua.bodies import session_description
from sbc.b2bua.call import Call, CallState, Ending, Input, Leg, Unacked
from sbc.b2bua.commands import Respond, SendAck
from sbc.b2bua.context import Context, border
from sbc.media import MediaError
from sbc.sip import Request, Response, TransactionId

__all__ = [
    "BAD_MEDIA",
    "acknowledge",
    "answer_in_ack",
    "answer_invite",
    "forget_2xx",
    "repeat_2xx",
    "repeat_ack",
    "session_description",
]

BAD_MEDIA = 'SIP;cause=488;text="Media answer not acceptable"'
"""Reason of a BYE because of it."""


def answer_invite(
    context: Context, call: Call, leg: Leg, transaction: TransactionId, response: Response, cseq: int
) -> None:
    """Send a 2xx to an INVITE of `leg`, again and again until its ACK comes (13.3.1.4)."""
    timers = context.settings.timers
    if leg.dialog is not None:
        leg.dialog.confirmed = True
    leg.unacked = Unacked(transaction, response, cseq, timers.t1, context.now + 64 * timers.t1)
    context.deadlines.set(call.id, f"2xx {leg.side}", context.now + timers.t1)
    context.out.append(Respond(call.id, transaction, response))


def forget_2xx(context: Context, call: Call, leg: Leg) -> None:
    """Our 2xx need not be sent again: its ACK has come, or whoever owes it has hung up."""
    leg.unacked = None
    context.deadlines.clear(call.id, f"2xx {leg.side}")


def repeat_2xx(context: Context, call: Call, leg: Leg, unacked: Unacked) -> None:
    """13.3.1.4: at T1, doubling up to T2, "regardless of the transport"."""
    interval = min(2 * unacked.interval, context.settings.timers.t2)
    leg.unacked = unacked._replace(interval=interval)
    context.deadlines.set(call.id, f"2xx {leg.side}", min(context.now + interval, unacked.give_up))
    context.out.append(Respond(call.id, unacked.transaction, unacked.response))


def acknowledge(
    context: Context, call: Call, leg: Leg, response: Response, body: bytes, received: Request | None = None
) -> None:
    """ACK a 2xx to an INVITE that we sent on `leg` (13.2.2.4). `received`: the other leg's ACK, that `body` came in."""
    assert leg.dialog is not None
    cseq = response.cseq.number
    request = leg.dialog.request("ACK", None, cseq=cseq)
    request.uri = gruus.dereferenced(context.registrations, request.uri, leg.hop, leg.device)
    source = call.b if leg is call.a else call.a
    edge = border(source, leg) if received is not None and source is not None else None
    context.left_out(call, bodies.put(request, body, received, edge))
    leg.ack = (cseq, request, leg.hop)
    leg.ack_owed = None
    context.rewrite(call, leg, request, None)
    context.out.append(SendAck(call.id, request, leg.hop))


def repeat_ack(context: Context, call: Call, leg: Leg, response: Response) -> None:
    """A repeated 2xx to an INVITE of ours: its ACK was lost, send it again (13.2.2.4)."""
    if leg.ack is not None and leg.ack[0] == response.cseq.number:
        context.out.append(SendAck(call.id, leg.ack[1], leg.ack[2]))


def answer_in_ack(context: Context, call: Call, leg: Leg, other: Leg, request: Request) -> None:
    """Delayed offer: the answer comes in the ACK of `leg` and goes on in ours to `other` (13.2.1)."""
    owed = other.ack_owed
    assert owed is not None
    body = session_description(request)
    if call.media is None or call.state is CallState.CLOSING:
        body = b""
    elif not body:  # 13.2.1 asks for an answer; without one the session stays as it was
        context.apply(call, call.media.reject(context.now))
    else:
        try:
            result = call.media.answer(leg.side, body, context.now)
        except MediaError as fault:
            context.decided(call, "adapt_media", "media", "answer refused", fault.reason)
            acknowledge(context, call, other, owed, b"")
            context.step(call, Input.ENDED_HERE, Ending("sbc", fault.reason, reason=BAD_MEDIA))
            return
        context.apply(call, result)
        body = result.sdp
    acknowledge(context, call, other, owed, body, request)
