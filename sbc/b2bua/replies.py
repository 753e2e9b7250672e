"""What the A leg gets for its INVITE: the target's responses, built anew, or a refusal of our own."""

from __future__ import annotations

from sbc.b2bua import (
    bodies,
    capabilities,
    crossing,
    first_offer,
    joining,
    redirect,
    reliable,
    session_timer,
    targets,
    teardown,
)
from sbc.b2bua.answers import acknowledge, answer_invite, session_description
from sbc.b2bua.call import Call, Ending, Leg, Refusal
from sbc.b2bua.commands import CallChanged, Respond
from sbc.b2bua.context import Context, border, own_agent
from sbc.b2bua.referred import our_place
from sbc.media import MediaError
from sbc.sip import Headers, Request, Response, make_response, wants_auth_int


def pass_provisional(context: Context, call: Call, event: object) -> None:
    assert isinstance(event, tuple)
    response, leg = event
    if call.record.ringing is None and response.status == 180:
        call.record.ringing = context.now
    body = _early_session(context, call, leg, response) if session_description(response) else b""
    reliable.send(context, call, leg, a_response(context, call, leg, response, body), response)


def _early_session(context: Context, call: Call, leg: Leg, response: Response) -> bytes:
    # an offer in it is one only if it is reliable all the way (RFC 3262 section 5)
    firm = reliable.is_reliable(response) and (call.first.by_caller or reliable.crosses(call, response))
    try:
        body = first_offer.heard(context, call, leg, response, firm)
    except MediaError as fault:  # an unreliable answer may be ignored: the one that counts is in the 2xx (13.2.1)
        context.decided(call, "adapt_media", "media", "early answer ignored", fault.reason)
        return b""
    return b"" if call.first.given else body  # what has been said for good is not said again


def a_response(context: Context, call: Call, other: Leg, received: Response, body: bytes) -> Response:
    """The A leg's response to its INVITE, built from the one on `other`."""
    leg = call.a
    response = make_response(leg.invite, received.status, phrase(received, other), to_tag=leg.local_tag)
    headers = response.headers
    if received.status < 300:
        # 12.1.1: "the UAS MUST copy all Record-Route header field values from the request into the response"
        for route in leg.invite.headers.get_all("Record-Route"):
            headers.add("Record-Route", route)
        headers.add("Contact", leg.contact)
        headers.add("Allow", capabilities.allow(received))
        capabilities.passed(received, headers, other)
    if 200 <= received.status < 300:
        session_timer.answer(context, call, leg, leg.invite, headers)
    crossing_border = border(other, leg)
    crossing.cross_headers(received.headers, headers, crossing_border)
    own_agent(context, headers, "Server")
    context.left_out(call, bodies.put(response, body, received, crossing_border))
    if received.status in CHALLENGES:
        _add_challenges(call, headers)
    context.rewrite(call, leg, response, received)
    return response


def _add_challenges(call: Call, headers: Headers) -> None:
    """16.7 step 7: the 401 or 407 that is passed on brings the challenges of the other targets, too, so that the caller
    can answer each of them."""
    for refusal in call.challenges:
        said, crossed = Headers(), Headers()
        for name in CHALLENGES.values():
            for value in refusal.response.headers.get_all(name):
                said.add(name, value)
        crossing.cross_headers(said, crossed, border(refusal.leg, call.a))
        for name in CHALLENGES.values():
            for value in crossed.get_all(name):
                if value not in headers.get_all(name):
                    headers.add(name, value)


def phrase(received: Response, source: Leg) -> str | None:
    """The reason phrase as received, unless it is out of a hidden zone; then the standard one of its status."""
    return None if source.zone.hidden else received.reason


def pass_answer(context: Context, call: Call, event: object) -> None:
    """The caller gets its 2xx; `event` is None where the answer was kept."""
    kept = event or call.kept
    assert isinstance(kept, tuple)
    received, body = kept
    leg, other = call.a, call.b
    assert other is not None
    context.deadlines.clear(call.id, "no answer")
    if context.settings.longest_call:
        context.deadlines.set(call.id, "longest", context.now + context.settings.longest_call)
    record = call.record
    record.answered, record.status = context.now, received.status
    if record.a is not None:
        record.a.status = received.status
    if record.b is not None:
        record.b.status = received.status
        record.b.user_agent = received.headers.get("Server") or received.headers.get("User-Agent") or ""
    if event is not None:
        _acknowledge(context, call, other, received, body)
    reliable.answered(context, call)
    response = a_response(context, call, other, received, b"" if call.first.given else body)
    context.out.append(CallChanged(record.copy()))
    answer_invite(context, call, leg, leg.transaction, response, leg.invite.cseq.number)


def _acknowledge(context: Context, call: Call, other: Leg, received: Response, body: bytes) -> None:
    if call.first.by_caller or not body:
        acknowledge(context, call, other, received, b"")
    else:
        other.ack_owed = received


def keep_answer(context: Context, call: Call, event: object) -> None:
    """A target has answered, and the caller owes us a PRACK: it gets its 2xx after that."""
    assert isinstance(event, tuple)
    assert call.b is not None
    received, body = call.kept = event
    _acknowledge(context, call, call.b, received, body)
    reliable.answered(context, call)


def take_back(context: Context, call: Call, event: object) -> None:
    """It ends before that: a refusal for the caller, BYE for who has answered."""
    assert call.b is not None
    ended = event
    request: Request | None = None
    if isinstance(event, Request):
        request, ended = event, Ending("caller", event.method, 487)
    elif not isinstance(event, Ending):  # a BYE
        assert isinstance(event, tuple)
        request, leg = event
        ended = Ending("caller", "BYE", 487) if leg is call.a else Ending("callee", "BYE", 480)
    assert isinstance(ended, Ending)
    teardown.hang_up(context, call, call.b, ended.reason, request, call.a)
    refuse_call(context, call, ended)


def refuse_answer(context: Context, call: Call, event: object) -> None:
    """The 2xx cannot be served: ACK and BYE for its sender, a failure for the caller."""
    assert isinstance(event, tuple)
    assert call.b is not None
    response, ending = event
    acknowledge(context, call, call.b, response, b"")
    teardown.hang_up(context, call, call.b, ending.reason)
    refuse_call(context, call, ending)


def pass_refusal(context: Context, call: Call, event: object) -> None:
    """The caller gets the best failure response; where no target answered at all, 480 for a phone that is registered
    here, else 503."""
    if event is None:
        if call.b is not None and call.b.device:  # the element that the PBX knows is us, and we serve
            refuse_call(context, call, Ending("sbc", "the phone does not answer", 480))
        else:
            refuse_call(context, call, Ending("sbc", "no target could be reached", 503))
        return
    assert isinstance(event, Refusal)
    received, leg, ours = event
    status = received.status
    if ours:
        refuse_call(context, call, Ending("sbc", ours, status, received.reason))
        return
    cause = f"{status} {received.reason}"
    if status < 400:
        _pass_redirection(context, call, leg, received, cause)
        return
    if status == targets.FLOW_GONE:  # RFC 5626 section 11.5: "Endpoints should never receive a 430 response"
        refuse_call(context, call, Ending("callee", cause, 480))
        return
    response = a_response(context, call, leg, received, b"")
    challenge = CHALLENGES.get(status)
    if challenge is not None and not _can_be_answered(leg, response.headers, challenge):
        # 21.4.2, 21.4.8: without its challenge the response says nothing
        context.decided(call, "call", "call", "403 for the caller", f"the challenge of a {status} may not cross")
        refuse_call(context, call, Ending("callee", cause, 403))
        return
    if status == 405:  # 21.4.6: "The response MUST include an Allow"
        response.headers.add("Allow", capabilities.allow(received))
    elif status == 503:
        # 16.7 step 6, 21.5.4: one target's pause must not keep the caller's side from sending calls for others
        response.headers.remove("Retry-After")
    # a 408 that never came stands for a target that rang out (`targets.rang_out`)
    _final(context, call, response, Ending("callee", cause) if received.raw else Ending("sbc", "no answer"))


def _can_be_answered(leg: Leg, headers: Headers, challenge: str) -> bool:
    """Whether any challenge has crossed that can be answered through us: none by auth-int, if there is a body."""
    values = headers.get_all(challenge)
    return any(not wants_auth_int(value) for value in values) if leg.invite.body else bool(values)


def _pass_redirection(context: Context, call: Call, leg: Leg, received: Response, cause: str) -> None:
    """A 3xx that was not followed."""
    contacts = redirect.passed_contacts(leg, received, our_place(context, call.a))
    if not contacts:
        # as they are its Contacts name elements of the other side, which the caller could not reach
        context.decided(call, "call", "redirect", "480 for the caller", f"the target redirected ({received.status})")
        refuse_call(context, call, Ending("callee", cause, 480))
        return
    response = a_response(context, call, leg, received, b"")
    for contact in contacts:
        response.headers.add("Contact", contact)
    _final(context, call, response, Ending("callee", cause))


CHALLENGES = {401: "WWW-Authenticate", 407: "Proxy-Authenticate"}
"""What a response of that status must hold."""


def refuse_call(context: Context, call: Call, event: object) -> None:
    """A final failure response of our own for the A leg."""
    assert isinstance(event, Ending)
    targets.let_all_go(context, call, (event.reason,) if event.reason else ())
    response = make_response(
        call.a.invite, event.status or 503, event.phrase or None, to_tag=call.a.local_tag, headers=event.headers
    )
    own_agent(context, response.headers, "Server")
    context.rewrite(call, call.a, response, None)
    _final(context, call, response, event)


def _final(context: Context, call: Call, response: Response, ending: Ending) -> None:
    context.out.append(Respond(call.id, call.a.transaction, response))
    call.a.told_the_end = True
    if call.record.answered is None:
        call.record.status = response.status
        if call.record.a is not None:
            call.record.a.status = response.status
    teardown.close(context, call, ending)


def cancel_targets(context: Context, call: Call, event: object) -> None:
    """The caller gave up (CANCEL, or BYE in an early dialog)."""
    assert isinstance(event, Request)
    targets.let_all_go(context, call, tuple(crossed_reasons(context, call, event)))
    refuse_call(context, call, Ending("caller", event.method, 487))


def crossed_reasons(context: Context, call: Call, request: Request) -> list[str]:
    if call.b is None or "Reason" not in request.headers:
        return []
    crossed = Headers()
    for value in request.headers.get_all("Reason"):
        crossed.add("Reason", value)
    kept = Headers()
    crossing.cross_headers(crossed, kept, border(call.a, call.b))
    return kept.get_all("Reason")


def give_up(context: Context, call: Call, event: object) -> None:
    """Timer C (16.8)."""
    targets.let_all_go(context, call, ('SIP;cause=408;text="No answer"',))
    refuse_call(context, call, Ending("sbc", "no answer", 408))


def confirm(context: Context, call: Call, event: object) -> None:
    """The A leg's ACK has come: what had to wait for it may go."""
    if call.first.retell:
        call.first.retell = False
        joining.agree(context, call)
