"""A transfer that is done here: the SBC answers the REFER, calls who is wanted or finds the call with it, joins the two
(`sbc.b2bua.joining`), and tells the transferor how it goes.

RFC 3515 and 7647 (REFER), 3420 (message/sipfrag), 4488 (norefersub), 5589 (call flows), 3891 (Replaces), 6665 (NOTIFY).

Who is wanted is called in a call of its own (`Role.PLACED`), whose A leg stands in for the transferee: it says who that
is and what media it speaks. The first call goes on until somebody answers; when nobody does, it has never stopped.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress

from sbc.b2bua import (
    capabilities,
    crossing,
    exchange,
    first_offer,
    joining,
    referred,
    reliable,
    replacing,
    session_timer,
    teardown,
    transfer,
)
from sbc.b2bua.answers import acknowledge
from sbc.b2bua.call import (
    Action,
    Call,
    CallState,
    Ending,
    Input,
    Leg,
    Purpose,
    Refusal,
    Replaced,
    Role,
    TakenOver,
)
from sbc.b2bua.commands import CallChanged, CallOpened, CallRecord, LegRecord
from sbc.b2bua.context import Context, answer, border, own_agent, uri_host
from sbc.b2bua.hooks import Drop, Reject, RouteVerdict, Targets
from sbc.b2bua.network import Refer
from sbc.b2bua.targets import let_all_go, try_targets
from sbc.b2bua.transfer_state import Transfer, TransferInput, TransferState
from sbc.media import MediaError
from sbc.sip import Headers, Request, Response, SipError, TransactionId, Uri, parse_name_address

POLICY = transfer.POLICY
_AGAIN = 0.2
"""Seconds until it is tried again to join two legs on which something is under way."""
_TO_LEAVE = 4.0
"""Seconds that the transferor has for its BYE."""
_GONE = 'SIP;cause=487;text="Transfer given up"'


# -- REFER -------------------------------------------------------------------------------------------------------------


def takes(context: Context, call: Call, leg: Leg, other: Leg, request: Request, transaction: TransactionId) -> bool:
    """Whether the REFER on `leg` is served here instead of by the element of `other`; if so, it has begun."""
    uri = transfer.refer_to(request)
    if isinstance(uri, Reject):
        return False
    try:
        replaces = replacing.in_refer_to(uri)
    except SipError:
        return False
    why = _why_here(context, leg, other, uri, replaces is not None)
    if not why:
        return False
    refusal = _not_now(call, leg, other)
    if refusal is not None:
        context.decided(call, "call", POLICY, f"REFER refused: {refusal.status}", refusal.reason)
        answer(context, call.id, request, transaction, refusal.status, refusal.phrase, refusal.headers)
        return True
    subscribed = (request.headers.get("Refer-Sub") or "").strip().lower() != "false"
    headers = (("Contact", leg.contact),) if subscribed else (("Contact", leg.contact), ("Refer-Sub", "false"))
    answer(context, call.id, request, transaction, 202 if subscribed else 200, headers=headers)
    context.decided(call, "call", POLICY, "transfer done here", why)
    until = context.now + context.settings.no_answer
    call.transfer = Transfer(leg.side, request.cseq.number, subscribed, until=until)
    _notify(context, call, call.transfer, 100)
    meant = replacing.meant(context, leg, uri, replaces) if replaces is not None else None
    if isinstance(meant, Reject):
        step(context, call, TransferInput.REFUSED, meant.status)
    elif isinstance(meant, Replaced):
        _want(context, call, call.transfer, meant)
    else:
        _place(context, call, call.transfer, request, uri, meant)
    return True


def _why_here(context: Context, leg: Leg, other: Leg, uri: Uri, attended: bool) -> str:
    """Why the REFER is not for the element of `other`; "" if it is."""
    how = other.how.refer
    if how is Refer.END:
        return f"leg {other.side} is to get no REFER"
    if how is Refer.PASS:
        return ""
    if not capabilities.allows(other, "REFER"):
        return f"leg {other.side} allows no REFER"
    if attended:
        return "" if "replaces" in other.supports else f"leg {other.side} does not support Replaces"
    named = referred.named_for(context, leg, other, uri)
    return "" if named is not None else f"leg {other.side} could not call who is meant"


def _not_now(call: Call, leg: Leg, other: Leg) -> Reject | None:
    if call.transfer is not None:
        return Reject(POLICY, 491, "a transfer is under way")
    if not leg.confirmed or not other.confirmed or other.told_the_end:
        return Reject(POLICY, 500, "the call is not answered yet", "Not Yet Answered", exchange.RETRY_LATER)
    return None


# -- who is wanted -----------------------------------------------------------------------------------------------------


def _want(context: Context, call: Call, transfer_: Transfer, found: Replaced) -> None:
    """Who is wanted is in a call already, of which the transferor is to get out."""
    wanted, leg = found
    vacated = wanted.b if leg is wanted.a else wanted.a
    if wanted is call or vacated is None or wanted.role is not Role.ORDINARY or wanted.transfer is not None:
        step(context, call, TransferInput.REFUSED, 482 if wanted is call else 491)
        return
    transfer_.wanted, transfer_.vacated = wanted.id, vacated.local_tag
    step(context, call, TransferInput.FOUND)


def _place(
    context: Context, call: Call, transfer_: Transfer, request: Request, uri: Uri, taken: TakenOver | None
) -> None:
    """Call who is wanted: by the transferor's right, in the transferee's name."""
    transferor, transferee = _legs(call, transfer_)
    view = referred.as_call(context, transferor, referred.bare(uri))
    admitted = context.hooks.admit(view)
    if isinstance(admitted, Drop | Reject):
        step(context, call, TransferInput.REFUSED, admitted.status if isinstance(admitted, Reject) else 403)
        return
    route: RouteVerdict = referred.route_of(context, transferor, uri)
    if taken is not None and taken.target is not None:
        route = Targets(POLICY, (taken.target,), "it takes the place of a call of the transferor's (Replaces)")
    placed = _placed_call(context, call, transferor, transferee, request, uri)
    transfer_.wanted, transfer_.vacated = placed.id, placed.a.local_tag
    placed.replaces = taken.replaces if taken is not None else ""
    context.deadlines.set(placed.id, "no answer", context.now + context.settings.no_answer)
    if isinstance(route, Reject):
        context.decided(placed, "route", route.policy, f"reject {route.status}", route.reason)
        context.step(placed, Input.ENDED_HERE, Ending("sbc", route.reason, route.status))
    else:
        names = ", ".join(target.peer or target.uri for target in route.targets)
        context.decided(placed, "route", route.policy, f"to {names}", route.reason)
        placed.targets = list(route.targets)
        try_targets(context, placed)
    teardown.settle(context, placed)


def _placed_call(context: Context, call: Call, transferor: Leg, transferee: Leg, request: Request, uri: Uri) -> Call:
    of = transferee
    invite = _invitation(context, call, transferor, transferee, request, uri)
    leg = joining.stand_in("a", of, context.tokens.tag(), invite)
    record = CallRecord(context.tokens.user(), context.now)
    remote = of.hop.remote
    record.a = LegRecord(
        of.zone.name,
        of.peer.name if of.peer is not None else "",
        f"{uri_host(remote.host)}:{remote.port}/{of.hop.transport}",
        of.invite.call_id,
        invite.from_.uri_text,
        invite.to.uri_text,
        invite.uri,
    )
    placed = Call(record.call, context.now, CallState.CALLING, leg, record, role=Role.PLACED, partner=call.id)
    context.calls[placed.id] = placed
    context.out.append(CallOpened(record.copy()))
    context.decided(placed, "call", POLICY, "placed", f"for a transfer in call {call.id}")
    context.decided(call, "call", POLICY, "placed", f"call {placed.id}")
    return placed


_IDENTITY = ("Privacy", "P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID")
"""What the transferee has said of itself in its INVITE, and says again."""
_HELD = re.compile(rb"(?m)^a=(?:sendonly|recvonly|inactive)(?=\r?$)")


def _invitation(context: Context, call: Call, transferor: Leg, transferee: Leg, request: Request, uri: Uri) -> Request:
    """The INVITE of the stand-in: as the transferee would send it, had it got the REFER."""
    dialog = transferee.dialog
    assert dialog is not None
    assert call.media is not None
    headers = Headers(
        (
            ("From", f"{dialog.remote};tag={dialog.remote_tag or '0'}"),
            ("To", f"<{referred.bare(uri)}>"),
            ("Call-ID", dialog.call_id),
            ("CSeq", "1 INVITE"),
        )
    )
    if not transferee.placed:
        for name in _IDENTITY:
            for value in transferee.invite.headers.get_all(name):
                headers.add(name, value)
    headers.add("Referred-By", _referrer(transferor, transferee, request))
    headers.add("Content-Type", "application/sdp")
    side = call.media.a if transferee.side == "a" else call.media.b
    # the transferor may hold the call, who is wanted does not
    return Request("INVITE", referred.bare(uri), headers, _HELD.sub(b"a=sendrecv", side.agreed.said))


def _referrer(transferor: Leg, transferee: Leg, request: Request) -> str:
    crossing_border = border(transferor, transferee)
    with suppress(SipError):
        said = parse_name_address(request.headers.get("Referred-By") or "")
        return crossing.crossed_identity(said, crossing_border)
    return crossing.crossed_identity(request.from_, crossing_border)


# -- the call that is placed -------------------------------------------------------------------------------------------


def _progress(context: Context, placed: Call, event: object) -> None:
    assert isinstance(event, tuple)
    response, leg = event
    if reliable.is_reliable(response):  # an answer in it stands for good
        try:
            first_offer.heard(context, placed, leg, response, True)
        except MediaError as fault:
            context.decided(placed, "adapt_media", "media", "early answer ignored", fault.reason)
    if placed.record.ringing is None and response.status == 180:
        placed.record.ringing = context.now
    _tell(context, placed, TransferInput.PROGRESS, response.status)


def _answered(context: Context, placed: Call, event: object) -> None:
    assert isinstance(event, tuple)
    assert placed.b is not None
    response, _ = event
    context.deadlines.clear(placed.id, "no answer")
    if context.settings.longest_call:
        context.deadlines.set(placed.id, "longest", context.now + context.settings.longest_call)
    record = placed.record
    record.answered, record.status = context.now, response.status
    if record.b is not None:
        record.b.status = response.status
    acknowledge(context, placed, placed.b, response, b"")
    context.out.append(CallChanged(record.copy()))
    _tell(context, placed, TransferInput.FOUND, response.status)


def _not_answered(context: Context, placed: Call, event: object) -> None:
    """`event`: as the action of an ordinary call gets it."""
    if isinstance(event, Ending):
        ending = event
    elif isinstance(event, tuple) and not isinstance(event, Refusal):  # a 2xx whose SDP cannot be served
        response, ending = event
        assert placed.b is not None
        acknowledge(context, placed, placed.b, response, b"")
        teardown.hang_up(context, placed, placed.b, ending.reason)
    elif isinstance(event, Refusal):
        response = event.response
        cause = event.ours or f"{response.status} {response.reason}"
        ending = Ending("sbc" if event.ours else "callee", cause, response.status)
    else:
        ending = Ending("sbc", "no target could be reached", 503)
    status = ending.status or 503
    let_all_go(context, placed, (ending.reason,) if ending.reason else ())
    placed.record.status = status
    teardown.close(context, placed, ending)
    _tell(context, placed, TransferInput.REFUSED, status)


def _no_answer(context: Context, placed: Call, event: object) -> None:
    _not_answered(context, placed, Ending("sbc", "no answer", 408, reason='SIP;cause=408;text="No answer"'))


def _ended_by_peer(context: Context, placed: Call, event: object) -> None:
    teardown.end_by_peer(context, placed, event)
    _tell(context, placed, TransferInput.REFUSED, 480)


def _ended_by_sbc(context: Context, placed: Call, event: object) -> None:
    teardown.end_by_sbc(context, placed, event)
    _tell(context, placed, TransferInput.REFUSED, 503)


def _never(context: Context, placed: Call, event: object) -> None:
    """The stand-in sends nothing."""


ACTIONS: dict[Action, Callable[[Context, Call, object], None]] = {
    Action.PASS_PROVISIONAL: _progress,
    Action.PASS_ANSWER: _answered,
    Action.KEEP_ANSWER: _never,
    Action.TAKE_BACK: _never,
    Action.REFUSE_ANSWER: _not_answered,
    Action.PASS_REFUSAL: _not_answered,
    Action.CANCEL_TARGETS: _never,
    Action.GIVE_UP: _no_answer,
    Action.REFUSE_CALL: _not_answered,
    Action.CONFIRM: _never,
    Action.END_BY_PEER: _ended_by_peer,
    Action.END_BY_SBC: _ended_by_sbc,
}
"""What is done in a call that is placed for a transfer (see `sbc.b2bua.call.TRANSITIONS`)."""


def _tell(context: Context, placed: Call, given: TransferInput, status: int) -> None:
    """Something has happened in the placed call that matters to the transfer."""
    call = context.calls.get(placed.partner)
    if call is not None and call.transfer is not None and call.transfer.wanted == placed.id:
        step(context, call, given, status)
        teardown.settle(context, call)


# -- the machine -------------------------------------------------------------------------------------------------------


def step(context: Context, call: Call, given: TransferInput, status: int = 0) -> None:
    """One input of the transfer's machine. `status`: what the transferor hears."""
    transfer_ = call.transfer
    if transfer_ is None:
        return
    transition = TRANSITIONS.get((transfer_.state, given))
    if transition is None:
        return
    transfer_.state, action = transition
    action(context, call, transfer_, status)


def leaves(context: Context, call: Call, leg: Leg) -> bool:
    """The element of `leg` has hung up. True if it is a transferor whom the transfer can do without."""
    transfer_ = call.transfer
    if transfer_ is None or transfer_.side != leg.side or transfer_.state is TransferState.OVER:
        return False
    leg.told_the_end = True
    session_timer.stop(context, call, leg)
    step(context, call, TransferInput.LEFT)
    return True


def due(context: Context, call: Call) -> None:
    joined = call.transfer is not None and call.transfer.state is TransferState.JOINED
    step(context, call, TransferInput.LET_GO if joined else TransferInput.FOUND)


def ended(context: Context, call: Call) -> None:
    """The call is over, whyever."""
    context.deadlines.clear(call.id, "transfer")
    step(context, call, TransferInput.ENDED, 487)


def _legs(call: Call, transfer_: Transfer) -> tuple[Leg, Leg]:
    """The transferor's leg, and the other one."""
    assert call.b is not None
    return (call.a, call.b) if transfer_.side == "a" else (call.b, call.a)


def _report(context: Context, call: Call, transfer_: Transfer, status: int) -> None:
    _notify(context, call, transfer_, status)


def _alone(context: Context, call: Call, transfer_: Transfer, status: int) -> None:
    transfer_.left = True
    context.decided(call, "call", POLICY, "the transferor has left", "the other one waits for who is wanted")


def _join(context: Context, call: Call, transfer_: Transfer, status: int) -> None:
    wanted = context.calls.get(transfer_.wanted)
    side = _vacated(wanted, transfer_)
    if wanted is None or not side or wanted.state is CallState.CLOSING:
        step(context, call, TransferInput.REFUSED, 480)
        return
    _, transferee = _legs(call, transfer_)
    target = wanted.leg("a" if side == "b" else "b")
    if target is None or not joining.may_move(call, transferee) or not joining.may_move(wanted, target):
        if context.now >= transfer_.until:
            step(context, call, TransferInput.REFUSED, 500)
        else:
            context.deadlines.set(call.id, "transfer", context.now + _AGAIN)
        return
    try:
        joining.join(context, wanted, side, call, transferee.side)
    except MediaError as fault:
        context.decided(call, "adapt_media", "media", "not joined", fault.reason)
        step(context, call, TransferInput.REFUSED, fault.status)
        return
    step(context, call, TransferInput.READY, 200)


def _vacated(wanted: Call | None, transfer_: Transfer) -> str:
    """The side of the wanted call whose leg is to make room; "" if that is not there any more."""
    if wanted is None:
        return ""
    if wanted.a.local_tag == transfer_.vacated:
        return "a"
    return "b" if wanted.b is not None and wanted.b.local_tag == transfer_.vacated else ""


def _release(context: Context, call: Call, transfer_: Transfer, status: int) -> None:
    """They are joined; here is nobody but the transferor any more."""
    wanted = context.calls[transfer_.wanted]
    wanted.role = Role.ORDINARY
    transferor, vacated = _legs(call, transfer_)
    _notify(context, call, transfer_, status, final=True)
    session_timer.stop(context, call, transferor)
    joining.part(context, call, vacated, _TRANSFERRED)
    if wanted.state is CallState.ANSWERED:
        context.step(wanted, Input.ACK, None)
    joining.agree(context, wanted)
    teardown.settle(context, wanted)
    if transfer_.left:
        step(context, call, TransferInput.LEFT)
    else:
        context.deadlines.set(call.id, "transfer", context.now + _TO_LEAVE)


_TRANSFERRED = 'SIP;cause=200;text="Transferred"'


def _close(context: Context, call: Call, transfer_: Transfer, status: int) -> None:
    by = "caller" if transfer_.side == "a" else "callee"
    context.step(call, Input.ENDED_HERE, Ending(by, "transfer", reason=_TRANSFERRED))


def _fail(context: Context, call: Call, transfer_: Transfer, status: int) -> None:
    """It comes to nothing: the call goes on as if nothing had been asked, if there is one."""
    _notify(context, call, transfer_, status, final=True)
    context.decided(call, "call", POLICY, "transfer failed", f"{status}")
    context.deadlines.clear(call.id, "transfer")
    call.transfer = None
    _end_placed(context, transfer_)
    if transfer_.left:
        context.step(call, Input.ENDED_HERE, Ending("sbc", "transfer failed", reason=_GONE))


def _give_up(context: Context, call: Call, transfer_: Transfer, status: int) -> None:
    """There is nobody any more to be joined with who is wanted."""
    _notify(context, call, transfer_, status, final=True)
    _end_placed(context, transfer_)


def _end_placed(context: Context, transfer_: Transfer) -> None:
    placed = context.calls.get(transfer_.wanted)
    if placed is not None and placed.role is Role.PLACED:
        context.step(placed, Input.ENDED_HERE, Ending("sbc", "transfer given up", 487, reason=_GONE))
        teardown.settle(context, placed)


def _done(context: Context, call: Call, transfer_: Transfer, status: int) -> None:
    """Nothing is left to be done."""


_Action = Callable[[Context, Call, Transfer, int], None]
_S, _I = TransferState, TransferInput

TRANSITIONS: dict[tuple[TransferState, TransferInput], tuple[TransferState, _Action]] = {
    # RFC 3515 section 2.4.5: NOTIFY "MUST contain a ... SIP Response Status-Line", how far the agent's request has come
    (_S.CALLING, _I.PROGRESS): (_S.CALLING, _report),
    (_S.CALLING, _I.FOUND): (_S.JOINING, _join),
    (_S.CALLING, _I.REFUSED): (_S.OVER, _fail),
    # RFC 5589 section 6.1: the transferor may end its dialog before it knows the outcome
    (_S.CALLING, _I.LEFT): (_S.CALLING, _alone),
    (_S.CALLING, _I.ENDED): (_S.OVER, _give_up),
    (_S.JOINING, _I.FOUND): (_S.JOINING, _join),
    (_S.JOINING, _I.READY): (_S.JOINED, _release),
    (_S.JOINING, _I.REFUSED): (_S.OVER, _fail),
    (_S.JOINING, _I.LEFT): (_S.JOINING, _alone),
    (_S.JOINING, _I.ENDED): (_S.OVER, _give_up),
    (_S.JOINED, _I.LEFT): (_S.OVER, _close),
    (_S.JOINED, _I.LET_GO): (_S.OVER, _close),
    (_S.JOINED, _I.ENDED): (_S.OVER, _done),
}

IGNORED: frozenset[tuple[TransferState, TransferInput]] = frozenset(
    {
        (_S.CALLING, _I.READY),
        (_S.CALLING, _I.LET_GO),
        (_S.JOINING, _I.PROGRESS),
        (_S.JOINING, _I.LET_GO),
        *((_S.JOINED, late) for late in (_I.PROGRESS, _I.FOUND, _I.REFUSED, _I.READY)),
        *((_S.OVER, late) for late in TransferInput),
    }
)


# -- NOTIFY ------------------------------------------------------------------------------------------------------------


def _notify(context: Context, call: Call, transfer_: Transfer, status: int, final: bool = False) -> None:
    """Tell the transferor, if it wants to know. Its subscription outlives its call (RFC 5057 section 4.1)."""
    leg, _ = _legs(call, transfer_)
    if not transfer_.subscribed or leg.dialog is None:
        return
    request = leg.dialog.request("NOTIFY", leg.contact)
    expires = max(1, int(transfer_.until - context.now) + 60)
    state = "terminated;reason=noresource" if final else f"active;expires={expires}"
    request.headers.add("Event", f"refer;id={transfer_.refer}")
    request.headers.add("Subscription-State", state)
    request.headers.add("Content-Type", transfer.FRAGMENT)
    request.body = transfer.fragment(status)
    own_agent(context, request.headers, "User-Agent")
    context.send(call, leg, Purpose.NOTIFY, request)
    transfer_.subscribed = not final


def notified(context: Context, call: Call, branch: TransactionId, response: Response) -> None:
    """The answer to a NOTIFY. RFC 6665 section 4.2.2: after a 481 the subscription is no more."""
    if response.status >= 200:
        call.clients.pop(branch, None)
    if response.status == 481 and call.transfer is not None:
        call.transfer.subscribed = False
