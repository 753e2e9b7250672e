"""Reliable provisional responses (RFC 3262): end to end where both legs speak 100rel, on one leg alone where one does.

Where both do, the PRACK of the A leg is awaited before ours goes to the B leg, and carries what it brings: an answer,
or a new offer. Where only the B leg does, it is acknowledged here at once.
"""

from __future__ import annotations

from sbc.b2bua import answers, bodies, exchange
from sbc.b2bua.call import Call, CallState, Ending, Input, Leg, Prack, PrackOwed, Purpose, Reliable
from sbc.b2bua.commands import Respond
from sbc.b2bua.context import Context, answer, border, own_agent
from sbc.b2bua.network import Mode
from sbc.media import MediaError
from sbc.sip import MAX_CSEQ, Request, Response, SipError, TransactionId, make_response, parse_rack

_MOST_WAITING = 8
"""Provisional responses that wait for the PRACK of the one before; more are not passed on."""


# -- what is offered and asked -----------------------------------------------------------------------------------------


def offered_to(call: Call, leg: Leg) -> bool:
    """Whether the INVITE on `leg` may say that we understand 100rel.

    Not when the caller left the offer to the other side and cannot answer it before the 2xx.
    """
    if leg.how.reliable is Mode.NEVER:
        return False
    return bool(answers.session_description(call.a.invite)) or speaks(call.a)


def required_of(leg: Leg) -> bool:
    return leg.how.reliable is Mode.ALWAYS


def speaks(leg: Leg) -> bool:
    """The element of the A leg takes reliable provisional responses."""
    if leg.how.reliable is Mode.NEVER:
        return False
    return "100rel" in leg.supports or "100rel" in leg.requires


def is_reliable(response: Response) -> bool:
    return "RSeq" in response.headers and any(tag.lower() == "100rel" for tag in response.headers.values("Require"))


# -- the B leg: we are the UAC -----------------------------------------------------------------------------------------


def provisional_received(context: Context, call: Call, leg: Leg, response: Response) -> bool:
    """A provisional response with a To tag on a B leg. False: it is a repetition, or out of order, and counts for
    nothing (section 4)."""
    if not is_reliable(response):
        return True
    number = _rseq(response)
    tag = response.to.tag or ""
    if number is None or (tag in leg.rseqs and number != leg.rseqs[tag] + 1):
        return False
    leg.rseqs[tag] = number
    owed = PrackOwed(tag, number, response.cseq.number)
    if _reliably(call, response) and response.status != 199:
        leg.prack_owed = owed  # until the A leg's PRACK has come
    else:
        _send_prack(context, call, leg, owed, b"")
    return True


def _rseq(response: Response) -> int | None:
    text = response.headers.get("RSeq") or ""
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 11 else 0
    return number if 0 < number < 2**32 else None


def _send_prack(
    context: Context, call: Call, leg: Leg, owed: PrackOwed, body: bytes, received: Request | None = None
) -> TransactionId | None:
    """`received`: the A leg's PRACK, that `body` came in."""
    dialog = leg.dialog_with(owed.tag)
    if dialog is None:
        return None
    request = dialog.request("PRACK", None)
    request.headers.add("RAck", f"{owed.rseq} {owed.cseq} INVITE")
    own_agent(context, request.headers, "User-Agent")
    bodies.put(request, body, received, border(call.a, leg))
    return context.send(call, leg, Purpose.PRACK, request)


# -- the A leg: we are the UAS -----------------------------------------------------------------------------------------


def _reliably(call: Call, received: Response) -> bool:
    """Whether what `received` becomes on the A leg is sent reliably."""
    leg = call.a
    if not speaks(leg):
        return False
    return "100rel" in leg.requires or leg.how.reliable is Mode.ALWAYS or is_reliable(received)


def send(context: Context, call: Call, response: Response, received: Response) -> None:
    """Send a provisional response to the A leg's INVITE, reliably where that is agreed."""
    leg = call.a
    if not _reliably(call, received):
        context.out.append(Respond(call.id, leg.transaction, response))
        return
    state = leg.reliable
    if state is None:
        # section 3: "The initial value of the header field ... is between 1 and 2**31 - 1"
        state = leg.reliable = Reliable(1 + context.tokens.number(MAX_CSEQ - 1))
    if state.pending is None:
        _transmit(context, call, state, response)
    elif len(state.waiting) < _MOST_WAITING:
        state.waiting.append(response)


def _transmit(context: Context, call: Call, state: Reliable, response: Response) -> None:
    timers = context.settings.timers
    response.headers.set("Require", "100rel")
    response.headers.set("RSeq", str(state.rseq))
    state.pending = response
    state.interval = timers.t1
    state.give_up = context.now + 64 * timers.t1
    context.deadlines.set(call.id, "1xx", context.now + timers.t1)
    context.out.append(Respond(call.id, call.a.transaction, response))


def repeat(context: Context, call: Call) -> None:
    """Section 3: at T1, doubling each time; after 64*T1 without PRACK the INVITE is refused with a 5xx."""
    state = call.a.reliable
    if state is None or state.pending is None:
        return
    if context.now >= state.give_up:
        context.step(call, Input.ENDED_HERE, Ending("sbc", "no PRACK", 504, reason='SIP;cause=504;text="No PRACK"'))
        return
    state.interval *= 2
    context.deadlines.set(call.id, "1xx", min(context.now + state.interval, state.give_up))
    context.out.append(Respond(call.id, call.a.transaction, state.pending))


def hold(call: Call, response: Response) -> bool:
    """Whether a 2xx has to wait: "the UAS MUST NOT send a 2xx ... until the provisional is acknowledged" (section 3).
    It goes out with the PRACK."""
    state = call.a.reliable
    if state is None or state.pending is None:
        return False
    state.final = response
    return True


def release(context: Context, call: Call) -> None:
    """Send the 2xx that was held, if there is one: its time has come, or the call ends."""
    state, leg = call.a.reliable, call.a
    if state is not None and state.final is not None:
        response, state.final = state.final, None
        answers.answer_invite(context, call, leg, leg.transaction, response, leg.invite.cseq.number)


def prack_received(context: Context, call: Call, leg: Leg, request: Request, transaction: TransactionId) -> None:
    """A PRACK of the A leg."""
    state = leg.reliable
    if state is None or state.pending is None or not _matches(request, state, leg):
        # section 3: "the UAS MUST respond to the PRACK with a 481"
        answer(context, call.id, request, transaction, 481)
        return
    state.pending = None
    state.rseq += 1
    context.deadlines.clear(call.id, "1xx")
    _pass_on(context, call, leg, request, transaction)
    if call.state is CallState.CLOSING:
        return
    if state.waiting:
        _transmit(context, call, state, state.waiting.pop(0))
    else:
        release(context, call)


def _matches(request: Request, state: Reliable, leg: Leg) -> bool:
    try:
        rack = parse_rack(request.headers.get("RAck") or "")
    except SipError:
        return False
    return (rack.response_number, rack.cseq_number, rack.method) == (state.rseq, leg.invite.cseq.number, "INVITE")


def _pass_on(context: Context, call: Call, leg: Leg, request: Request, transaction: TransactionId) -> None:
    """To the B leg, if it waits for it, with the SDP that the PRACK brings; else it is answered here."""
    other = call.b
    body = answers.session_description(request)
    if other is None or other.prack_owed is None:
        if body:
            exchange.offer_received(context, call, leg, request, transaction)
        else:
            answer(context, call.id, request, transaction, 200)
        return
    owed, other.prack_owed = other.prack_owed, None
    answering = body and call.offered_early
    try:
        sdp = _taken(context, call, leg, body, answering=bool(answering))
    except MediaError as fault:
        context.decided(call, "adapt_media", "media", f"reject {fault.status}", fault.reason)
        answer(context, call.id, request, transaction, fault.status)
        _send_prack(context, call, other, owed, b"")
        return
    branch = _send_prack(context, call, other, owed, sdp, request)
    if branch is None:
        answer(context, call.id, request, transaction, 200)
    else:
        call.pracks[branch] = Prack(request, transaction, bool(sdp) and not answering)


def _taken(context: Context, call: Call, leg: Leg, body: bytes, answering: bool) -> bytes:
    if not body or call.media is None:
        return b""
    if answering:
        call.offered_early = False
        result = call.media.answer(leg.side, body, context.now)
        context.apply(call, result)
        return result.sdp
    return call.media.offer(leg.side, body, context.now).sdp


def prack_answered(context: Context, call: Call, branch: TransactionId, response: Response) -> None:
    """A response to our PRACK."""
    if response.status < 200:
        return
    call.clients.pop(branch, None)
    waiting = call.pracks.pop(branch, None)
    if waiting is None:
        return
    body = b""
    if waiting.offer and call.media is not None:
        try:
            if response.status < 300:
                result = call.media.answer("b", answers.session_description(response), context.now)
                body = result.sdp
            else:
                result = call.media.reject(context.now)
            context.apply(call, result)
        except MediaError as fault:
            context.decided(call, "adapt_media", "media", "answer refused", fault.reason)
            context.apply(call, call.media.reject(context.now))
            answer(context, call.id, waiting.request, waiting.transaction, 488)
            return
    built = make_response(waiting.request, response.status)
    bodies.put(built, body, response, border(call.b, call.a) if call.b is not None else None)
    own_agent(context, built.headers, "Server")
    context.out.append(Respond(call.id, waiting.transaction, built))


def prack_lost(context: Context, call: Call, branch: TransactionId) -> None:
    """Our PRACK got no answer."""
    waiting = call.pracks.pop(branch, None)
    if waiting is not None:
        if waiting.offer and call.media is not None:
            context.apply(call, call.media.reject(context.now))
        answer(context, call.id, waiting.request, waiting.transaction, 504)


def overtaken(context: Context, call: Call) -> None:
    """The call ends: nothing is sent again, and PRACKs that wait are answered."""
    context.deadlines.clear(call.id, "1xx")
    if call.a.reliable is not None:
        call.a.reliable.pending = None
        call.a.reliable.waiting.clear()
    for waiting in call.pracks.values():
        answer(context, call.id, waiting.request, waiting.transaction, 487)
    call.pracks.clear()
