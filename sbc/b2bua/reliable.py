"""Reliable provisional responses (RFC 3262): end to end where both legs speak 100rel, on one leg alone where one does.

Where both do, the PRACK of the A leg is awaited before ours goes to the B leg, and carries what it brings: an answer,
or a new offer. Where only the B leg does, it is acknowledged here at once.
"""

from __future__ import annotations

from sbc.b2bua import bodies, crossing, exchange, first_offer
from sbc.b2bua.answers import session_description
from sbc.b2bua.call import Call, CallState, Ending, Input, Leg, Prack, PrackOwed, Provisional, Purpose, Reliable
from sbc.b2bua.commands import Respond
from sbc.b2bua.context import Context, answer, border, own_agent
from sbc.b2bua.network import Mode
from sbc.media import MediaError
from sbc.sip import MAX_CSEQ, Request, Response, SipError, TransactionId, make_response, parse_rack

_MOST_WAITING = 8
"""Provisional responses that wait for the PRACK of the one before; more are not taken."""


# -- what is offered and asked -----------------------------------------------------------------------------------------


def offered_to(call: Call, leg: Leg, beside: bool) -> bool:
    """Whether the INVITE on `leg` may say that we understand 100rel.

    Not when the caller left the offer to the other side and cannot answer it before the 2xx; nor when several targets
    would make it (`beside`): the caller answers one offer, and each of them would want its answer early.
    """
    if leg.how.reliable is Mode.NEVER:
        return False
    return bool(session_description(call.a.invite)) or (speaks(call.a) and not beside)


def required_of(leg: Leg) -> bool:
    return leg.how.reliable is Mode.ALWAYS


def speaks(leg: Leg) -> bool:
    """The element of the A leg takes reliable provisional responses."""
    if leg.how.reliable is Mode.NEVER:
        return False
    return "100rel" in leg.supports or "100rel" in leg.requires


def is_reliable(response: Response) -> bool:
    return "RSeq" in response.headers and any(tag.lower() == "100rel" for tag in response.headers.values("Require"))


def crosses(call: Call, received: Response) -> bool:
    """Whether what `received`, a provisional response on the B leg, becomes on the A leg is sent reliably there."""
    leg = call.a
    if received.status == 199 or not speaks(leg):
        return False
    return "100rel" in leg.requires or leg.how.reliable is Mode.ALWAYS or is_reliable(received)


# -- the B leg: we are the UAC -----------------------------------------------------------------------------------------


def provisional_received(context: Context, call: Call, leg: Leg, response: Response) -> bool:
    """A provisional response with a To tag on a B leg. False: it is a repetition, or out of order, and counts for
    nothing (section 4); or there is no room for it, and it will be repeated."""
    if not is_reliable(response):
        return True
    owed = _owed(response)
    if owed is None or owed.rseq != leg.rseqs.get(owed.tag, owed.rseq - 1) + 1 or leg.dialog_with(owed.tag) is None:
        return False
    first = call.first
    if not first.by_caller and first.settled and first.speaker != (leg.local_tag, owed.tag):
        if session_description(response):
            return False  # the caller answers one offer; this fork has to wait for the end of the others
    waits = crosses(call, response)
    if waits and call.a.reliable is not None and len(call.a.reliable.waiting) >= _MOST_WAITING:
        return False
    leg.rseqs[owed.tag] = owed.rseq
    if not waits:  # else when the A leg's PRACK has come
        _send_prack(context, call, leg, owed, b"")
    return True


def _owed(response: Response) -> PrackOwed | None:
    text = response.headers.get("RSeq") or ""
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 11 else 0
    return PrackOwed(response.to.tag or "", number, response.cseq.number) if 0 < number < 2**32 else None


def _send_prack(
    context: Context, call: Call, leg: Leg, owed: PrackOwed, body: bytes, received: Request | None = None
) -> TransactionId | None:
    """`received`: the A leg's PRACK, that `body` came in. None if that dialog is no more."""
    dialog = leg.dialog_with(owed.tag)
    if dialog is None:
        return None
    request = dialog.request("PRACK", None)
    request.headers.add("RAck", f"{owed.rseq} {owed.cseq} INVITE")
    own_agent(context, request.headers, "User-Agent")
    context.left_out(call, bodies.put(request, body, received, border(call.a, leg)))
    return context.send(call, leg, Purpose.PRACK, request)


# -- the A leg: we are the UAS -----------------------------------------------------------------------------------------


def send(context: Context, call: Call, leg: Leg, response: Response, received: Response) -> None:
    """Send a provisional response to the A leg's INVITE, as one that was `received` on `leg`; reliably where that is
    agreed."""
    if not crosses(call, received):
        context.out.append(Respond(call.id, call.a.transaction, response))
        return
    state = call.a.reliable
    if state is None:
        # section 3: "The initial value of the header field ... is between 1 and 2**31 - 1"
        state = call.a.reliable = Reliable(1 + context.tokens.number(MAX_CSEQ - 1))
    owed = _owed(received) if is_reliable(received) else None
    provisional = Provisional(response, leg, owed, _offers(call, response))
    if state.pending is None:
        _transmit(context, call, state, provisional)
    elif len(state.waiting) < _MOST_WAITING:
        state.waiting.append(provisional)


def _offers(call: Call, response: Response) -> bool:
    return not call.first.by_caller and bool(session_description(response))


def _transmit(context: Context, call: Call, state: Reliable, provisional: Provisional) -> None:
    timers, response = context.settings.timers, provisional.response
    if response.body and call.first.by_caller:
        _give(call, response)
    response.headers.add("Require", "100rel")
    response.headers.add("RSeq", str(state.rseq))
    state.pending = provisional
    state.interval = timers.t1
    state.give_up = context.now + 64 * timers.t1
    context.deadlines.set(call.id, "1xx", context.now + timers.t1)
    context.out.append(Respond(call.id, call.a.transaction, response))


def _give(call: Call, response: Response) -> None:
    """The answer goes to the A leg for good (section 5); a second one would mean nothing to it."""
    first = call.first
    if first.given:
        response.body = b""
        for name in ("Content-Type", "Content-Disposition", "MIME-Version"):
            response.headers.remove(name)
    elif session_description(response):
        first.given = True
        if response.content_type == bodies.SDP:
            response.body = first.told  # another one may have answered while this one waited for its turn


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
    context.out.append(Respond(call.id, call.a.transaction, state.pending.response))


def answer_waits(call: Call) -> bool:
    """Whether a 2xx has to wait: section 3 forbids it while a provisional response with a session description is not
    acknowledged."""
    state = call.a.reliable
    return state is not None and state.pending is not None and bool(session_description(state.pending.response))


def answered(context: Context, call: Call) -> None:
    """The B leg has answered. What has not been sent is not news any more; what has been sent is sent again only where
    the 2xx has to wait for its PRACK (section 3: "MUST NOT continue to retransmit ... but it MUST be prepared to
    process PRACK requests for those outstanding responses")."""
    state = call.a.reliable
    if state is None:
        return
    for provisional in state.waiting:
        if provisional.owed is not None:
            _send_prack(context, call, provisional.leg, provisional.owed, b"")
    state.waiting.clear()
    if not answer_waits(call):
        context.deadlines.clear(call.id, "1xx")


def prack_received(context: Context, call: Call, leg: Leg, request: Request, transaction: TransactionId) -> None:
    """A PRACK of the A leg."""
    state = leg.reliable
    if state is None or state.pending is None or not _matches(request, state, leg):
        # section 3: "the UAS MUST respond to the PRACK with a 481"
        answer(context, call.id, request, transaction, 481)
        return
    acknowledged, state.pending = state.pending, None
    state.rseq += 1
    context.deadlines.clear(call.id, "1xx")
    _pass_on(context, call, leg, acknowledged, request, transaction)
    if call.state is CallState.KEPT:
        context.step(call, Input.PRACK, None)
    elif state.waiting and call.state is CallState.CALLING:
        _transmit(context, call, state, state.waiting.pop(0))


def _matches(request: Request, state: Reliable, leg: Leg) -> bool:
    try:
        rack = parse_rack(request.headers.get("RAck") or "")
    except SipError:
        return False
    return (rack.response_number, rack.cseq_number, rack.method) == (state.rseq, leg.invite.cseq.number, "INVITE")


def _pass_on(
    context: Context, call: Call, leg: Leg, acknowledged: Provisional, request: Request, transaction: TransactionId
) -> None:
    """To the B leg, if it waits for it, with the SDP that the PRACK brings; else it is answered here."""
    body = session_description(request)
    other, owed = acknowledged.leg, acknowledged.owed
    if owed is None or other.hung_up == owed.tag or other.dialog_with(owed.tag) is None:
        if body and not acknowledged.offer:
            exchange.offer_received(context, call, leg, request, transaction)
        else:
            answer(context, call.id, request, transaction, 200)
        return
    try:
        if body and not acknowledged.offer and not first_offer.agreed_with(call, other, owed.tag):
            raise MediaError(500, "the first offer is not answered on both legs")
        sdp = _taken(context, call, leg, body, acknowledged.offer)
    except MediaError as fault:
        context.decided(call, "adapt_media", "media", f"reject {fault.status}", fault.reason)
        retry = exchange.RETRY_LATER if fault.status == 500 else ()
        answer(context, call.id, request, transaction, fault.status, headers=retry)
        _send_prack(context, call, other, owed, b"")
        return
    branch = _send_prack(context, call, other, owed, sdp, request)
    assert branch is not None
    call.pracks[branch] = Prack(request, transaction, other, bool(sdp) and not acknowledged.offer)


def _taken(context: Context, call: Call, leg: Leg, body: bytes, answers_offer: bool) -> bytes:
    assert call.media is not None
    if answers_offer:
        result = call.media.answer(leg.side, body, context.now) if body else call.media.reject(context.now)
        context.apply(call, result)
        return result.sdp
    return context.offered(call, call.media.offer(leg.side, body, context.now)) if body else b""


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
                result = call.media.answer("b", session_description(response), context.now)
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
    crossing_border = border(waiting.leg, call.a)
    crossing.cross_headers(response.headers, built.headers, crossing_border)
    own_agent(context, built.headers, "Server")
    context.left_out(call, bodies.put(built, body, response, crossing_border))
    context.rewrite(call, call.a, built, response)
    context.out.append(Respond(call.id, waiting.transaction, built))


def prack_lost(context: Context, call: Call, branch: TransactionId) -> None:
    """Our PRACK got no answer."""
    waiting = call.pracks.pop(branch, None)
    if waiting is not None:
        _give_up(context, call, waiting)


def _give_up(context: Context, call: Call, waiting: Prack) -> None:
    """Nobody will answer a PRACK that was passed on. That it came is true all the same; but an offer in it is lost."""
    if waiting.offer and call.media is not None:
        context.apply(call, call.media.reject(context.now))
        answer(context, call.id, waiting.request, waiting.transaction, 504)
    else:
        answer(context, call.id, waiting.request, waiting.transaction, 200)


def gone(context: Context, call: Call, leg: Leg, tag: str | None = None) -> None:
    """The INVITE of B leg `leg` is over, or its early dialog `tag` is: what it said and the A leg has not heard is not
    said."""
    state = call.a.reliable
    if state is not None and tag is None:
        state.waiting = [each for each in state.waiting if each.leg is not leg]
    for branch, waiting in list(call.pracks.items()):
        sent = call.clients.get(branch)
        if waiting.leg is leg and (tag is None or sent is None or sent.request.to.tag == tag):
            _give_up(context, call, call.pracks.pop(branch))


def overtaken(context: Context, call: Call) -> None:
    """The call ends: nothing is sent again, and PRACKs that wait are answered."""
    context.deadlines.clear(call.id, "1xx")
    if call.a.reliable is not None:
        call.a.reliable.pending = None
        call.a.reliable.waiting.clear()
    for waiting in call.pracks.values():
        answer(context, call.id, waiting.request, waiting.transaction, 487)
    call.pracks.clear()
