"""An INVITE with Replaces whose element does not know Replaces: the call is taken over here (RFC 3891 section 3).

The leg to that element goes over to the new call (`sbc.b2bua.joining`), is offered what the new caller offers, and the
new caller gets its answer. Whoever was on the other leg is let go.
"""

from __future__ import annotations

from collections.abc import Callable

from sbc.b2bua import exchange, first_offer, joining, replies, teardown
from sbc.b2bua.answers import answer_invite, session_description
from sbc.b2bua.call import Action, Call, CallState, Ending, Exchange, Input, Leg, Refusal, Replaced, Role
from sbc.b2bua.commands import CallChanged
from sbc.b2bua.context import Context
from sbc.media import MediaError
from sbc.sip import Response

PURPOSE = "take over"
_POLICY = "replaces"
_AGAIN = 0.2
_REPLACED = 'SIP;cause=200;text="Replaced"'


def begin(context: Context, call: Call, found: Replaced) -> None:
    """`call` is to be the call of the element that `found` names."""
    call.role = Role.TAKING
    call.taken = (found.call.id, found.leg.local_tag)
    context.decided(call, "call", _POLICY, "taken over here", f"its element in call {found.call.id} knows no Replaces")
    if not session_description(call.a.invite):
        _refuse(context, call, 488, "an INVITE with Replaces that leaves the offer to the other side")
        return
    go_on(context, call)


def go_on(context: Context, call: Call) -> None:
    """Take the leg, as soon as nothing is under way on it."""
    if call.role is not Role.TAKING or call.state is not CallState.CALLING:
        return
    held = context.calls.get(call.taken[0])
    leg = _leg(held, call.taken[1])
    if held is None or leg is None or held.state is CallState.CLOSING:
        # section 3: "If ... the dialog has already terminated, the UA SHOULD decline the request with a 603"
        _refuse(context, call, 603, "the call that its Replaces names is over")
    elif joining.may_move(held, leg):
        _take(context, call, held, leg)
    else:
        context.deadlines.set(call.id, "take", context.now + _AGAIN)


def _leg(held: Call | None, local_tag: str) -> Leg | None:
    if held is None:
        return None
    return next((leg for leg in (held.a, held.b) if leg is not None and leg.local_tag == local_tag), None)


def _take(context: Context, call: Call, held: Call, leg: Leg) -> None:
    offer = session_description(call.a.invite)
    call.media = context.media.open(call.id, first_offer.side_facts(call.a), first_offer.side_facts(leg))
    try:
        call.media.offer("a", offer, context.now)  # whether it can be served at all
        call.media.reject(context.now)
        call.b = joining.stand_in("b", leg, context.tokens.tag(), leg.invite)
        joining.join(context, call, "b", held, leg.side)
        body = context.offered(call, call.media.offer("a", offer, context.now))
    except MediaError as fault:
        _refuse(context, call, fault.status, fault.reason)
        return
    context.step(held, Input.ENDED_HERE, Ending("sbc", "replaced", reason=_REPLACED))
    teardown.settle(context, held)
    if not exchange.offer_to(context, call, leg, body, PURPOSE):
        _refuse(context, call, 500, "the leg that is taken over is busy")


def _refuse(context: Context, call: Call, status: int, reason: str) -> None:
    context.step(call, Input.ENDED_HERE, Ending("sbc", reason, status))


def offered(context: Context, call: Call, done: Exchange, response: Response) -> None:
    """The element that is taken over has answered the offer."""
    if response.status >= 300:
        assert call.b is not None
        context.step(call, Input.REFUSAL, Refusal(response, call.b))
    elif not done.answer:
        _refuse(context, call, 488, "the element that is taken over gave no answer")
    else:
        context.step(call, Input.ANSWER, (response, done.answer))


def _give(context: Context, call: Call, event: object) -> None:
    """The new caller gets its 2xx."""
    assert isinstance(event, tuple)
    assert call.b is not None
    received, body = event
    call.role = Role.ORDINARY
    context.deadlines.clear(call.id, "no answer")
    if context.settings.longest_call:
        context.deadlines.set(call.id, "longest", context.now + context.settings.longest_call)
    call.record.answered, call.record.status = context.now, received.status
    response = replies.a_response(context, call, call.b, received, body)
    context.out.append(CallChanged(call.record.copy()))
    answer_invite(context, call, call.a, call.a.transaction, response, call.a.invite.cseq.number)


def _letting_go(action: Callable[[Context, Call, object], None]) -> Callable[[Context, Call, object], None]:
    """`action`, and the leg that was taken over gets a BYE: nobody is left to speak to it."""

    def act(context: Context, call: Call, event: object) -> None:
        context.deadlines.clear(call.id, "take")
        if call.b is not None:
            teardown.hang_up(context, call, call.b, event.reason if isinstance(event, Ending) else "")
        action(context, call, event)

    return act


ACTIONS: dict[Action, Callable[[Context, Call, object], None]] = {
    Action.PASS_ANSWER: _give,
    Action.PASS_REFUSAL: _letting_go(replies.pass_refusal),
    Action.CANCEL_TARGETS: _letting_go(replies.cancel_targets),
    Action.GIVE_UP: _letting_go(replies.give_up),
    Action.REFUSE_CALL: _letting_go(replies.refuse_call),
}
"""What is done otherwise in a call that takes one over (see `sbc.b2bua.call.TRANSITIONS`)."""
