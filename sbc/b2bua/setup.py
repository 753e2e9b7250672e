"""A call's beginning: a new INVITE is admitted, becomes a call, and is routed.

RFC 3261 sections 8.2, 12.1 and 13.3: we are the UAS of the A leg.
"""

from __future__ import annotations

from collections.abc import Sequence

from sbc.b2bua import (
    authentication,
    bodies,
    keeping,
    locating,
    network,
    referred,
    registrations,
    replacing,
    session_timer,
    taking_over,
    targets,
    watching,
    whereabouts,
)
from sbc.b2bua.call import Call, CallState, Ending, Input, Leg, Replaced, TakenOver
from sbc.b2bua.capabilities import can_be_called, note, required, unsupported_extensions
from sbc.b2bua.commands import Abandon, CallOpened, CallRecord, Decided, LegRecord, MessageSeen, Respond
from sbc.b2bua.context import Context, answer, contact, leaving, uri_host
from sbc.b2bua.hooks import CallView, Drop, Pass, Reject, RouteVerdict, Targets
from sbc.sip import Credentials, Dialog, Packet, Request, SipError, TransactionId, make_response


def open_call(
    context: Context,
    request: Request,
    transaction: TransactionId,
    packet: Packet,
    given: Sequence[Credentials] = (),
) -> Call | None:
    """A new INVITE: admit it, make the call, and go for its first target. None if it is dropped without a word, or
    challenged. `given`: its credentials for us."""
    hop = packet.hop
    zone = context.network.zones[hop.zone]
    peer = context.places.peer(hop.zone, hop.remote.host)
    view = CallView(request, hop, zone, peer, len(context.calls), context.draining)
    verdict = context.hooks.admit(view)
    if isinstance(verdict, Drop):
        context.out.append(Abandon(transaction))
        return None
    emergency = isinstance(verdict, Pass) and verdict.emergency
    caller = authentication.caller_of(context, view, given) if isinstance(verdict, Pass) and not emergency else None
    if isinstance(caller, Reject) and authentication.is_forgotten(caller):
        if authentication.is_guess(caller):
            told = f"INVITE of {request.from_.uri_text} from {hop.remote.host} refused: {caller.status}"
            context.out.append(Decided("", context.now, "admit", caller.policy, told, caller.reason))
        answer(context, "", request, transaction, caller.status, caller.phrase, caller.headers, context.tokens.tag())
        return None
    call = _new_call(context, view, transaction)
    context.out.append(CallOpened(call.record.copy()))
    context.out.append(MessageSeen(call.id, packet))
    if isinstance(caller, network.Account):
        context.decided(call, "admit", "registrar", "pass", f"it is from {caller.name}@{caller.domain}")
    if emergency:
        call.emergency = True
        context.decided(call, "admit", "admission", "emergency call", "limits do not hold for it")
    refused = verdict if isinstance(verdict, Reject) else caller
    refusal = refused if isinstance(refused, Reject) else _unserveable(call, request)
    refusal = refusal or session_timer.too_small(context, call.a, request)
    if refusal is not None:
        refuse(context, call, "admit", refusal)
        return call
    keeping.agree(context, request, hop)
    # 17.2.1: "The server transaction MUST generate a 100 (Trying) response unless it knows that the TU will generate a
    # provisional or final response within 200 ms"
    context.out.append(Respond(call.id, transaction, make_response(request, 100)))
    context.deadlines.set(call.id, "no answer", context.now + context.settings.no_answer)
    if context.draining:
        context.deadlines.set(call.id, "drain", context.drain_ends)
    taken_over = replacing.target_of(context, request)
    if isinstance(taken_over, Replaced):
        taking_over.begin(context, call, taken_over)
        return call
    route = taken_over if isinstance(taken_over, Reject) else _route(context, call, view, taken_over)
    if isinstance(route, Reject):
        refuse(context, call, "route", route)
        return call
    names = ", ".join(target.peer or target.uri for target in route.targets)
    context.decided(call, "route", route.policy, f"to {names}", route.reason)
    call.targets = list(route.targets)
    targets.try_targets(context, call)
    return call


def _route(context: Context, call: Call, view: CallView, taken_over: TakenOver | None) -> RouteVerdict:
    if taken_over is None:
        return whereto(context, call.a, view, call.emergency)
    call.replaces = taken_over.replaces
    call.replaces_in = taken_over.zone or (taken_over.target.zone if taken_over.target is not None else "")
    if taken_over.zone:
        return replacing.kept_in(taken_over.zone, whereto(context, call.a, view))
    if taken_over.target is None:
        return watching.route(context, referred.as_call(context, call.a, taken_over.uri))
    return Targets("transfer", (taken_over.target,), "it takes the place of a call of ours (Replaces)")


def whereto(context: Context, leg: Leg, view: CallView, emergency: bool = False) -> RouteVerdict:
    """Where a request goes that came on `leg` and begins something."""
    located = locating.locate(context, view.request, view.zone.name)
    if located is None and not emergency:
        located = watching.among_us(context, view)
    if located is not None:
        return located
    return watching.without_silent(context, service_route(context, leg, context.hooks.route(view)), emergency)


def _device_of(context: Context, request: Request, bindings: Sequence[registrations.Binding]) -> str:
    """Which device of those behind a flow has sent `request`: the one whose user it is from."""
    try:
        aor = locating.address_of_record(context, request.from_.uri)
    except SipError:
        aor = None
    return next((each.token for each in bindings if each.aor == aor), bindings[0].token)


def service_route(context: Context, leg: Leg, verdict: RouteVerdict) -> RouteVerdict:
    """RFC 3608 section 6.1: requests of a registered user take the route that its registrar has named. For them we are
    the user agent there."""
    device = context.registrations.by_token(leg.device)
    access = context.settings.access
    if device is None or access is None or not device.service_route or not isinstance(verdict, Targets):
        return verdict
    changed = tuple(
        target._replace(route=device.service_route) if target.peer == access.registrar else target
        for target in verdict.targets
    )
    return verdict._replace(targets=changed)


def refuse(context: Context, call: Call, hook: str, verdict: Reject) -> None:
    context.decided(call, hook, verdict.policy, f"reject {verdict.status}", verdict.reason)
    context.step(call, Input.ENDED_HERE, Ending("sbc", verdict.reason, verdict.status, verdict.phrase, verdict.headers))


def _unserveable(call: Call, request: Request) -> Reject | None:
    """What the core itself cannot serve, whoever asks (RFC 3261 section 8.2)."""
    if not can_be_called(request.request_uri):
        return Reject("call", 416, f"Request-URI of scheme {request.request_uri.scheme}")
    unsupported = unsupported_extensions(request, call.a)
    if unsupported is not None:
        return unsupported
    if request.max_forwards == 0:
        return Reject("call", 483, "Max-Forwards is 0")
    # Without Contact, as RFC 2543 allowed and RFC 4475 section 3.4.1 wants accepted, From is the remote target
    if request.contact is not None and request.contact.uri_text == "*":
        return Reject("call", 400, "an INVITE with Contact: * (RFC 3261 section 8.1.1.8)", "Bad Contact")
    return None if call.emergency else bodies.refusal(request, leaving(call.a))


def received_leg(context: Context, view: CallView, transaction: TransactionId) -> Leg:
    """The A leg of what a request begins, without its dialog."""
    request, hop = view.request, view.hop
    tag = context.tokens.tag()
    listener = context.places.listener_of(hop) or view.zone.listeners[0]
    leg = Leg("a", view.zone, view.peer, listener, hop, contact(listener), tag, transaction, request)
    bindings = context.registrations.over(hop)
    leg.fixed_hop = request.via.host != hop.remote.host or bool(bindings)
    if bindings:
        leg.device = _device_of(context, request, bindings)
    leg.names = whereabouts.names_of(context, leg, request)
    return leg


def _new_call(context: Context, view: CallView, transaction: TransactionId) -> Call:
    request, hop = view.request, view.hop
    leg = received_leg(context, view, transaction)
    leg.dialog = Dialog.as_uas(request, leg.local_tag)
    if leg.device:
        context.goes_along(leg, (request.call_id, leg.local_tag))
    note(leg, request)
    leg.requires = required(request)
    whereabouts.follow_target(context, leg, request)
    record = CallRecord(context.tokens.user(), context.now)
    record.a = LegRecord(
        view.zone.name,
        view.peer.name if view.peer else "",
        f"{uri_host(hop.remote.host)}:{hop.remote.port}/{hop.transport}",
        request.call_id,
        request.from_.uri_text,
        request.to.uri_text,
        request.uri,
        request.headers.get("User-Agent") or "",
    )
    call = Call(record.call, context.now, CallState.CALLING, leg, record)
    context.calls[call.id] = call
    context.dialogs[(request.call_id, leg.local_tag)] = (call, leg)
    return call
