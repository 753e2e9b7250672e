"""One offer and its answer at a time between the legs of a call, from either side or from ourselves.

RFC 3264 and 6337 (offer and answer), RFC 3261 section 14 and RFC 6141 (re-INVITE), RFC 3311 (UPDATE). Each leg is
asked by a method that it allows: an UPDATE becomes a re-INVITE where the other element knows no UPDATE. The session
itself, and what a refusal takes back, is `MediaSession`'s.
"""

from __future__ import annotations

from collections.abc import Callable

from sbc.b2bua import bodies, connected, crossing, dtmf, first_offer, replies, session_timer, whereabouts
from sbc.b2bua.answers import BAD_MEDIA, acknowledge, answer_invite, repeat_ack, session_description
from sbc.b2bua.call import (
    Call,
    CallState,
    Doubt,
    Ending,
    Exchange,
    ExchangeInput,
    ExchangeState,
    Input,
    Leg,
    Purpose,
    Sent,
)
from sbc.b2bua.capabilities import ALLOW, allow, allows, required
from sbc.b2bua.commands import CancelRequest, Respond
from sbc.b2bua.context import Context, answer, border, leaving, own_agent
from sbc.b2bua.hooks import Reject
from sbc.media import MediaError
from sbc.sip import Request, Response, TransactionId, make_response

RETRY_LATER = (("Retry-After", "2"),)
_DIALOG_LOST = 'SIP;cause=481;text="Dialog lost"'
REFRESH = "refresh"
"""Purpose of an exchange that asks whether the session still is."""


# -- a request with, or for, an offer ----------------------------------------------------------------------------------


def offer_received(
    context: Context, call: Call, leg: Leg, request: Request, transaction: TransactionId, doubt: Doubt | None = None
) -> None:
    """A re-INVITE or UPDATE in the dialog of `leg`, or a PRACK with an offer. `doubt`: nobody knows yet whether its
    element has sent it; see `sbc.b2bua.doubts`."""
    assert leg.dialog is not None
    refusal = None
    if request.method != "PRACK":  # which is no target refresh request
        if doubt is None:
            whereabouts.retarget(context, leg, request)
        refusal = session_timer.too_small(context, leg, request)
    other = call.b if leg is call.a else call.a
    heeded = doubt is None and other is not None and other.dialog is not None
    news = heeded and other is not None and connected.noted(context, call, leg, other, request)
    offer = session_description(request)
    if refusal is None and doubt is None and _is_mere_refresh(call, leg, other, request, offer, news):
        _refreshed(context, call, leg, request, transaction)
        return
    _give_way(context, call)
    refusal = refusal or bodies.refusal(request, leaving(leg)) or _not_now(call, leg, other, request.method)
    if refusal is not None:
        _turn_away(context, call, request, transaction, refusal)
        return
    assert other is not None
    method = _method_for(other, "UPDATE" if request.method == "PRACK" else request.method)
    body = b""
    if doubt is not None and (doubt.asks or (method == "INVITE" and not offer)):
        body = call.media.standing(other.side) if call.media is not None and method == "INVITE" else b""
    elif offer:
        assert call.media is not None
        dtmf.prepare(call.media, leg, other)
        try:
            body = context.offered(call, call.media.offer(leg.side, offer, context.now))
        except MediaError as fault:
            refusal = Reject("media", fault.status, fault.reason, headers=RETRY_LATER if fault.status == 500 else ())
            _turn_away(context, call, request, transaction, refusal)
            return
    if method != request.method:
        why = f"leg {other.side} allows no UPDATE" if method == "INVITE" else f"leg {other.side} owes no PRACK"
        context.decided(call, "call", "exchange", f"{request.method} becomes {method}", why)
    call.exchange = Exchange(leg.side, other.side, method, bool(body), request, transaction, body=body, doubt=doubt)
    if request.method == "INVITE":  # 17.2.1, as for the first INVITE
        context.out.append(Respond(call.id, transaction, make_response(request, 100)))
    _send(context, call, call.exchange, other, body)


def _turn_away(context: Context, call: Call, request: Request, transaction: TransactionId, refusal: Reject) -> None:
    context.decided(call, "call", refusal.policy, f"{request.method} refused: {refusal.status}", refusal.reason)
    answer(context, call.id, request, transaction, refusal.status, refusal.phrase, refusal.headers)


def _is_mere_refresh(call: Call, leg: Leg, other: Leg | None, request: Request, offer: bytes, news: bool) -> bool:
    """A request that renews target and session timer, which are matters of this leg alone (RFC 3311 section 5.1, RFC
    4028 section 7.4): without an offer, or with the one that stands; and without `news` that `other` can learn."""
    if request.method == "UPDATE" and not offer:
        can_learn = other is not None and other.dialog is not None and allows(other, "UPDATE")
        return not (can_learn and (news or request.body))
    return (
        bool(offer)
        and not news
        and request.body == offer
        and leg.timer is not None
        and "Session-Expires" in request.headers
        and call.state is CallState.ESTABLISHED
        and call.exchange is None
        and leg.unacked is None
        and call.media is not None
        and call.media.unchanged(leg.side, offer)
    )


def _refreshed(context: Context, call: Call, leg: Leg, request: Request, transaction: TransactionId) -> None:
    body = b""
    if session_description(request):
        assert call.media is not None
        body = call.media.standing(leg.side)
        context.decided(call, "call", "exchange", f"{request.method} answered here", "it changes nothing")
    response = _own_success(context, call, leg, request, body)
    if request.method == "INVITE":
        answer_invite(context, call, leg, transaction, response, request.cseq.number)
    else:
        context.out.append(Respond(call.id, transaction, response))


def _give_way(context: Context, call: Call) -> None:
    """A refresh of ours that waits after a 491 need not keep others from their offers."""
    exchange = call.exchange
    if exchange is not None and exchange.state is ExchangeState.PAUSED and exchange.purpose == REFRESH:
        call.exchange = None
        context.deadlines.clear(call.id, "own offer")
        _take_back(context, call, exchange)
        session_timer.not_refreshed(context, call, call.leg(exchange.target))


def offer_to(context: Context, call: Call, leg: Leg, body: bytes, purpose: str) -> bool:
    """Offer `body`, which the session has made for `leg`, on our own account (b"": ask `leg` for an offer). False if
    another exchange is under way. `purpose` comes back to `Context.exchanged` with the outcome."""
    method = "INVITE" if not body else _method_for(leg, "UPDATE")
    if _not_now(call, leg, leg, method) is not None or not leg.confirmed:
        return False
    exchange = Exchange("", leg.side, method, bool(body), purpose=purpose, body=body)
    call.exchange = exchange
    _send(context, call, exchange, leg, body)
    return True


def refresh(context: Context, call: Call, leg: Leg, purpose: str = REFRESH) -> bool:
    """Ask the element of `leg` whether the session still is, without changing it (RFC 4028 section 10). False if
    another exchange is under way."""
    if _not_now(call, leg, leg, "UPDATE") is not None or not leg.confirmed or call.media is None:
        return False
    if allows(leg, "UPDATE"):
        call.exchange = Exchange("", leg.side, "UPDATE", False, purpose=purpose)
        _send(context, call, call.exchange, leg, b"")
        return True
    body = call.media.standing(leg.side)
    return bool(body) and offer_to(context, call, leg, body, purpose)


def _not_now(call: Call, leg: Leg, other: Leg | None, method: str) -> Reject | None:
    """Why no exchange can begin (14.2, RFC 3311 section 5.2), or None."""
    pending = call.exchange
    if pending is not None or leg.unacked is not None:
        if pending is not None and pending.origin != leg.side:
            return Reject("exchange", 491, "glare: another offer is under way")
        return Reject("exchange", 500, "an earlier exchange is under way", "Exchange Pending", RETRY_LATER)
    if other is None or other.dialog is None or other.gone:
        return Reject("exchange", 500, "the other leg has no dialog yet", "Not Yet Answered", RETRY_LATER)
    if other.unacked is not None:
        return Reject("exchange", 491, "the other side has not acknowledged the last exchange")
    if not leg.confirmed and method == "INVITE":
        # 14.2: 500 to a second INVITE before the final response to the first, 491 to one that crosses ours
        if leg.side == "a":
            return Reject("exchange", 500, "its INVITE is not answered yet", "Not Yet Answered", RETRY_LATER)
        return Reject("exchange", 491, "it has not answered our INVITE")
    if call.b is None or (leg is not call.a and leg is not call.b):
        return Reject("exchange", 500, "the caller speaks to another target", "Not Yet Answered", RETRY_LATER)
    if not (leg.confirmed and other.confirmed) and not (
        method != "INVITE"
        and allows(other, "UPDATE")
        and first_offer.agreed_with(call, call.b, call.b.dialog.remote_tag if call.b.dialog else "")
    ):
        return Reject("exchange", 500, "before the answer no new offer can cross", "Not Yet Answered", RETRY_LATER)
    return None


def _method_for(leg: Leg, wanted: str) -> str:
    return "INVITE" if wanted == "UPDATE" and not allows(leg, "UPDATE") else wanted


def _send(context: Context, call: Call, exchange: Exchange, leg: Leg, body: bytes) -> None:
    """Ask the target leg."""
    assert leg.dialog is not None
    received = exchange.request
    built = leg.dialog.request(exchange.method, leg.contact)
    headers = built.headers
    source = call.leg(exchange.origin) if exchange.origin else None
    crossing_border = None
    if received is not None and source is not None:
        forwards = received.max_forwards
        if forwards is not None:
            headers.set("Max-Forwards", str(forwards - 1))
        headers.add("Allow", allow(received))
        crossing_border = border(source, leg)
        crossing.cross_headers(received.headers, headers, crossing_border)
        if exchange.doubt is not None and exchange.doubt.asks:
            received = None
            for name in ("Authorization", "Proxy-Authorization"):
                headers.remove(name)
    else:
        headers.add("Allow", ALLOW)
        connected.introduce(call, leg, headers)
    if leg.confirmed:
        session_timer.ask(context, leg, headers)
    own_agent(context, headers, "User-Agent")
    context.left_out(call, bodies.put(built, body, received, crossing_border))
    exchange.state = ExchangeState.ASKED
    exchange.branch = context.send(call, leg, Purpose.EXCHANGE, built, received=received)
    if exchange.method == "INVITE":
        context.deadlines.set(call.id, "exchange", context.now + context.settings.no_answer)


def late(context: Context, call: Call) -> None:
    """A re-INVITE has provisional responses but no final one: as 16.6 step 11 asks of the first INVITE, it is taken
    back, so that it cannot block other exchanges for ever."""
    exchange = call.exchange
    if exchange is not None and exchange.state is ExchangeState.ASKED and exchange.method == "INVITE":
        context.decided(call, "call", "exchange", "re-INVITE cancelled", "no final response in its time")
        context.out.append(CancelRequest(call.id, exchange.branch))


# -- what the other side says ------------------------------------------------------------------------------------------


def response_received(context: Context, call: Call, branch: TransactionId, sent: Sent, response: Response) -> None:
    """A response to a re-INVITE or UPDATE that we sent."""
    exchange = call.exchange
    status = response.status
    if exchange is None or exchange.branch != branch or exchange.state is not ExchangeState.ASKED:
        _late(context, call, branch, sent, response)
        return
    leg = call.leg(sent.side)
    assert leg is not None
    if status < 200:
        given = ExchangeInput.PROVISIONAL
    elif status < 300:
        given = ExchangeInput.SUCCESS
    elif status == 491 and exchange.request is None:
        given = ExchangeInput.GLARE
    elif status in (405, 501) and exchange.method == "UPDATE":
        given = ExchangeInput.NO_METHOD
    elif status == 422 and session_timer.raised(context.settings, leg, response):
        given = ExchangeInput.TOO_BRIEF
    elif status in (408, 481):
        given = _lost(leg)
    else:
        given = ExchangeInput.REFUSAL
    if status >= 300 or sent.request.method != "INVITE":
        call.clients.pop(branch, None)
    step(context, call, exchange, given, response)


def lost(context: Context, call: Call, branch: TransactionId, timed_out: bool) -> None:
    """No answer at all to our request, or it could not be sent."""
    exchange = call.exchange
    if exchange is not None and exchange.branch == branch:
        leg = call.leg(exchange.target)
        assert leg is not None
        step(context, call, exchange, _lost(leg) if timed_out else ExchangeInput.UNSENT, None)


def _lost(leg: Leg) -> ExchangeInput:
    """12.2.1.2: "the UAC SHOULD terminate the dialog". An early one ends with its INVITE, of which others may still
    come to something."""
    return ExchangeInput.LOST if leg.confirmed else ExchangeInput.UNSENT


def step(context: Context, call: Call, exchange: Exchange, given: ExchangeInput, response: Response | None) -> None:
    """One input of the exchange's machine."""
    transition = TRANSITIONS.get((exchange.state, given))
    if transition is None:
        return
    exchange.state, action = transition
    if exchange.state is ExchangeState.OVER:
        call.exchange = None
        context.deadlines.clear(call.id, "exchange")
    action(context, call, exchange, response)


def _late(context: Context, call: Call, branch: TransactionId, sent: Sent, response: Response) -> None:
    """A repeated 2xx, whose ACK was lost (13.2.2.4); or one to a re-INVITE that the end of the call has overtaken."""
    if response.status >= 300 or (response.status >= 200 and sent.request.method != "INVITE"):
        call.clients.pop(branch, None)
        return
    leg = call.leg(sent.side)
    if response.status < 200 or leg is None or leg.ack_owed is not None:
        return
    if leg.ack is not None and leg.ack[0] == response.cseq.number:
        repeat_ack(context, call, leg, response)
    else:
        acknowledge(context, call, leg, response, b"")


def _pass_provisional(context: Context, call: Call, exchange: Exchange, response: Response | None) -> None:
    assert response is not None
    request = exchange.request
    if request is None or request.method != "INVITE" or response.status in (100, 199):
        return
    if "100rel" not in required(request):  # then only reliable ones may be sent, or none (RFC 3262 section 3)
        _pass_back(context, call, exchange, response, b"")


def _succeed(context: Context, call: Call, exchange: Exchange, response: Response | None) -> None:
    """A 2xx: take its SDP over, acknowledge it, and give the side that asked its own 2xx."""
    assert response is not None
    target = call.leg(exchange.target)
    assert target is not None
    dialog = target.dialog_with(response.to.tag or "")
    invited = exchange.method == "INVITE"
    if dialog is not None:
        dialog.refresh_target(response)
        whereabouts.follow_target(context, target, response)
    if call.media is not None:
        dtmf.prepare(call.media, target, call.b if target is call.a else call.a)
    if target.confirmed:
        session_timer.answered(context, call, target, response)
    doubt, origin = exchange.doubt, call.leg(exchange.origin)
    if doubt is not None and not doubt.asks and origin is not None and exchange.request is not None:
        whereabouts.believe(context, call, origin, exchange.request, doubt.hop)
    body = b""
    try:
        if exchange.request is not None or exchange.offer:
            body = _taken_over(context, call, exchange, response)
    except MediaError as fault:
        context.decided(call, "adapt_media", "media", "answer refused", fault.reason)
        if invited:
            acknowledge(context, call, target, response, b"")
        if exchange.request is not None:
            answer(context, call.id, exchange.request, exchange.transaction, 488)
        context.step(call, Input.ENDED_HERE, Ending("sbc", fault.reason, reason=BAD_MEDIA))
        return
    if invited:
        call.clients.pop(target.reinvite, None)
        target.reinvite = exchange.branch
        if exchange.offer or not session_description(response):
            acknowledge(context, call, target, response, b"")
        else:
            target.ack_owed = response
    if exchange.request is None:
        exchange.answer = body
        context.exchanged(call, exchange, response)
    elif doubt is not None and doubt.asks:
        target.takes |= {exchange.method}
        _turn_away(context, call, exchange.request, exchange.transaction, whereabouts.NOT_FROM_THERE)
    else:
        _give_success(context, call, exchange, exchange.request, response, body)


def _give_success(
    context: Context, call: Call, exchange: Exchange, request: Request, response: Response, body: bytes
) -> None:
    origin = call.leg(exchange.origin)
    assert origin is not None
    if exchange.cancelled:
        context.decided(call, "call", "exchange", "re-INVITE answered", "its CANCEL came too late")
    built = _built_back(context, call, exchange, response, body)
    if request.method == "INVITE":
        answer_invite(context, call, origin, exchange.transaction, built, request.cseq.number)
    else:
        context.out.append(Respond(call.id, exchange.transaction, built))


def _taken_over(context: Context, call: Call, exchange: Exchange, response: Response) -> bytes:
    """The SDP of a 2xx for the side that asked: an answer, in a delayed exchange the offer; empty if there is none."""
    if exchange.method == "UPDATE" and not exchange.offer:
        return b""  # none was asked for
    body = session_description(response)
    if not body or call.media is None:
        _take_back(context, call, exchange)  # 13.2.1 asks for an answer; without one the session stays as it was
        return b""
    take = call.media.answer if exchange.offer else call.media.offer
    result = take(exchange.target, body, context.now)
    context.apply(call, result)
    return result.sdp


def _refuse(context: Context, call: Call, exchange: Exchange, response: Response | None) -> None:
    """The session stays as it was (14.1)."""
    assert response is not None
    _take_back(context, call, exchange)
    if exchange.request is not None and response.status == 422:  # it is about our interval
        answer(context, call.id, exchange.request, exchange.transaction, 500, headers=RETRY_LATER)
    elif exchange.request is not None:
        target = call.leg(exchange.target)
        if exchange.doubt is not None and target is not None and response.status in (401, 407):
            target.challenges |= {exchange.method}
        _pass_back(context, call, exchange, response, b"")
    else:
        context.decided(call, "call", "exchange", "our offer was refused", f"{response.status} {response.reason}")
        context.exchanged(call, exchange, response)


def _fail(context: Context, call: Call, exchange: Exchange, response: Response | None) -> None:
    """8.1.3.1: a request that could not be sent is as one that got a 503; that need not last."""
    _take_back(context, call, exchange)
    request = exchange.request
    unsent = make_response(request or call.a.invite, 503)
    if request is not None:
        answer(context, call.id, request, exchange.transaction, 503)
    else:
        context.exchanged(call, exchange, unsent)


def _lose(context: Context, call: Call, exchange: Exchange, response: Response | None) -> None:
    """The other side does not know the dialog any more, or says nothing: the call is over (12.2.1.2)."""
    _take_back(context, call, exchange)
    said = f"{response.status}" if response is not None else "no answer"
    if exchange.request is not None:
        if response is not None:
            _pass_back(context, call, exchange, response, b"")
        else:
            answer(context, call.id, exchange.request, exchange.transaction, 408)
    # "terminating the dialog consists of sending a BYE": who said nothing may yet hear it
    context.step(call, Input.ENDED_HERE, Ending("sbc", f"{said} to {exchange.method}", reason=_DIALOG_LOST))


def _take_back(context: Context, call: Call, exchange: Exchange) -> None:
    if exchange.offer and call.media is not None:
        context.apply(call, call.media.reject(context.now))


def _ask_otherwise(context: Context, call: Call, exchange: Exchange, response: Response | None) -> None:
    """The element allows no UPDATE after all: a re-INVITE asks the same, once there is a dialog for it."""
    leg = call.leg(exchange.target)
    assert leg is not None
    leg.allows = (leg.allows or frozenset()) - {"UPDATE"}
    if exchange.request is not None and not exchange.body:  # it changes nothing but what this leg shows
        call.exchange, origin = None, call.leg(exchange.origin)
        assert origin is not None
        success = _own_success(context, call, origin, exchange.request, b"")
        context.out.append(Respond(call.id, exchange.transaction, success))
        return
    if not leg.confirmed or not exchange.body:
        call.exchange = None
        assert response is not None
        _refuse(context, call, exchange, response)
        return
    exchange.method = "INVITE"
    context.decided(call, "call", "exchange", "UPDATE becomes INVITE", f"leg {leg.side} allows no UPDATE")
    _send(context, call, exchange, leg, exchange.body)


def _ask_longer(context: Context, call: Call, exchange: Exchange, response: Response | None) -> None:
    """RFC 4028 section 7.3: the same again, with the interval that the element wants at least."""
    leg = call.leg(exchange.target)
    assert leg is not None
    _send(context, call, exchange, leg, exchange.body)


def _wait(context: Context, call: Call, exchange: Exchange, response: Response | None) -> None:
    """14.1: after a 491 the owner of the Call-ID waits 2.1 to 4 s, the other 0 to 2 s, in units of 10 ms."""
    exchange.glares += 1
    if exchange.glares > _MOST_GLARES:
        assert response is not None
        call.exchange = None
        _refuse(context, call, exchange, response)
        return
    leg = call.leg(exchange.target)
    owner = leg is not None and leg.placed
    units = context.tokens.number(190 if owner else 200)
    delay = (2.1 if owner else 0.0) + units / 100
    context.deadlines.set(call.id, "own offer", context.now + delay)


_MOST_GLARES = 5


def ask_again(context: Context, call: Call) -> None:
    """The time after a 491 is over."""
    exchange = call.exchange
    if exchange is not None:
        step(context, call, exchange, ExchangeInput.RETRY, None)


def _repeat(context: Context, call: Call, exchange: Exchange, response: Response | None) -> None:
    leg = call.leg(exchange.target)
    if leg is not None:
        _send(context, call, exchange, leg, exchange.body)


_Action = Callable[[Context, Call, Exchange, "Response | None"], None]

TRANSITIONS: dict[tuple[ExchangeState, ExchangeInput], tuple[ExchangeState, _Action]] = {
    (ExchangeState.ASKED, ExchangeInput.PROVISIONAL): (ExchangeState.ASKED, _pass_provisional),
    (ExchangeState.ASKED, ExchangeInput.SUCCESS): (ExchangeState.OVER, _succeed),
    # 14.1: "If a UA receives a non-2xx final response to a re-INVITE, the session parameters MUST remain unchanged"
    (ExchangeState.ASKED, ExchangeInput.REFUSAL): (ExchangeState.OVER, _refuse),
    (ExchangeState.ASKED, ExchangeInput.LOST): (ExchangeState.OVER, _lose),
    (ExchangeState.ASKED, ExchangeInput.UNSENT): (ExchangeState.OVER, _fail),
    (ExchangeState.ASKED, ExchangeInput.NO_METHOD): (ExchangeState.ASKED, _ask_otherwise),
    (ExchangeState.ASKED, ExchangeInput.TOO_BRIEF): (ExchangeState.ASKED, _ask_longer),
    (ExchangeState.ASKED, ExchangeInput.GLARE): (ExchangeState.PAUSED, _wait),
    (ExchangeState.PAUSED, ExchangeInput.RETRY): (ExchangeState.ASKED, _repeat),
}

IGNORED: frozenset[tuple[ExchangeState, ExchangeInput]] = frozenset(
    {
        (ExchangeState.ASKED, ExchangeInput.RETRY),
        # While we wait to ask again nothing of ours is out.
        *((ExchangeState.PAUSED, given) for given in ExchangeInput if given is not ExchangeInput.RETRY),
        *((ExchangeState.OVER, given) for given in ExchangeInput),
    }
)


# -- responses to the side that asked ----------------------------------------------------------------------------------


def _pass_back(context: Context, call: Call, exchange: Exchange, response: Response, body: bytes) -> None:
    context.out.append(Respond(call.id, exchange.transaction, _built_back(context, call, exchange, response, body)))


def _built_back(context: Context, call: Call, exchange: Exchange, received: Response, body: bytes) -> Response:
    leg, source = call.leg(exchange.origin), call.leg(exchange.target)
    assert leg is not None
    assert source is not None
    assert exchange.request is not None
    built = make_response(exchange.request, received.status, replies.phrase(received, source))
    if received.status < 300 and exchange.request.method != "PRACK":
        built.headers.add("Contact", leg.contact)
        if received.status >= 200 and leg.confirmed:
            session_timer.answer(context, call, leg, exchange.request, built.headers)
    if received.status < 300 or received.status == 405:  # 21.4.6
        built.headers.add("Allow", allow(received))
    crossing_border = border(source, leg)
    crossing.cross_headers(received.headers, built.headers, crossing_border)
    own_agent(context, built.headers, "Server")
    context.left_out(call, bodies.put(built, body, received, crossing_border))
    context.rewrite(call, leg, built, received)
    return built


def _own_success(context: Context, call: Call, leg: Leg, request: Request, body: bytes) -> Response:
    headers = (("Contact", leg.contact), ("Allow", ALLOW))
    response = make_response(request, 200, headers=headers, body=body)
    if leg.confirmed:
        session_timer.answer(context, call, leg, request, response.headers)
    own_agent(context, response.headers, "Server")
    context.rewrite(call, leg, response, None)
    return response


# -- CANCEL, and the end -----------------------------------------------------------------------------------------------


def cancelled(context: Context, call: Call, transaction: TransactionId) -> bool:
    """A CANCEL of a re-INVITE under way; False when the transaction is none."""
    exchange = call.exchange
    if exchange is None or exchange.transaction != transaction:
        return False
    exchange.cancelled = True
    context.out.append(CancelRequest(call.id, exchange.branch))
    return True


def gone(context: Context, call: Call, leg: Leg, tag: str | None = None) -> None:
    """The INVITE of `leg` has come to nothing, or its early dialog `tag` has: so has an exchange in it."""
    exchange = call.exchange
    if exchange is None:
        return
    asked = exchange.origin == leg.side
    sent = call.clients.get(exchange.branch)
    request = exchange.request if asked else sent.request if sent is not None else None
    if request is None or request.call_id != leg.invite.call_id:
        return
    theirs = request.from_.tag if asked else request.to.tag
    if tag is not None and theirs != tag:
        return
    call.exchange = None
    context.deadlines.clear(call.id, "exchange")
    _take_back(context, call, exchange)
    if exchange.request is not None:
        answer(context, call.id, exchange.request, exchange.transaction, 481 if asked else 500, headers=RETRY_LATER)


def overtaken(context: Context, call: Call) -> None:
    """The call ends: 15.1.2: "the UAS ... MUST still respond to any pending requests ... RECOMMENDED that a 487"."""
    exchange, call.exchange = call.exchange, None
    context.deadlines.clear(call.id, "own offer")
    context.deadlines.clear(call.id, "exchange")
    if exchange is None:
        return
    if exchange.request is not None:
        answer(context, call.id, exchange.request, exchange.transaction, 487)
    if exchange.state is ExchangeState.ASKED and exchange.method == "INVITE":
        context.out.append(CancelRequest(call.id, exchange.branch))
