"""Requests outside calls that are meant for somebody behind us: MESSAGE (RFC 3428), PUBLISH (RFC 3903), NOTIFY that
nobody has subscribed to, OPTIONS; and the first SUBSCRIBE of a subscription.

Each is built anew on the other leg, as an INVITE is: own Call-ID, tags and Contact, what the list of
`sbc.b2bua.crossing` lets cross, bodies less what names a hidden zone. One place after the other is asked until one
answers, and its answer goes back. Digest is between the ends: challenges and credentials cross.
"""

from __future__ import annotations

from functools import partial

from sbc.b2bua import (
    bodies,
    capabilities,
    commands,
    crossing,
    gruus,
    hooks,
    hosts,
    passages,
    privacy,
    replacing,
    replies,
    setup,
    targets,
    whereabouts,
)
from sbc.b2bua.call import Leg
from sbc.b2bua.context import Context, answer, border, contact, own_agent
from sbc.sip import Headers, Hop, Request, Response, TransactionId, make_response

METHODS = frozenset({"MESSAGE", "NOTIFY", "OPTIONS", "PUBLISH"})
_WITH_CONTACT = frozenset({"NOTIFY", "OPTIONS", "SUBSCRIBE"})
"""RFC 3428 section 4: "User Agents MUST NOT insert Contact header fields into MESSAGE requests"."""
_POLICY = "relay"
_RETRY = (("Retry-After", "10"),)


def opened(context: Context, view: hooks.CallView, transaction: TransactionId) -> passages.Passage | hooks.Reject:
    """A request from outside that may cross, with the places to try; or why it may not."""
    request = view.request
    unsupported = capabilities.unsupported_extensions(request)
    if unsupported is not None:
        return unsupported
    if request.max_forwards == 0:
        return hooks.Reject(_POLICY, 483, "Max-Forwards is 0")
    if request.method == "NOTIFY":
        if view.peer is None:
            return hooks.Reject(_POLICY, 481, "a stranger notifies of what nobody has subscribed to")
        if "Event" not in request.headers:
            return hooks.Reject(_POLICY, 400, "no Event (RFC 6665 section 8.2.1)", "Missing Event")
    if len(context.outside.passages) >= context.settings.max_passages:
        return hooks.Reject(_POLICY, 503, "too many requests are under way", headers=_RETRY)
    leg = setup.received_leg(context, view, transaction)
    route = setup.whereto(context, leg, view)
    if isinstance(route, hooks.Reject):
        return route
    return register(context, passages.Passage("", request, transaction, leg, targets=list(route.targets)))


def register(context: Context, passage: passages.Passage) -> passages.Passage:
    """From now on it is under way."""
    passage.id = context.tokens.user()
    context.outside.passages[passage.id] = passage
    if passage.transaction:
        # RFC 4320 section 4.1: 100, but not "before the amount of time it takes a client transaction's Timer E to be
        # reset to T2"
        context.deadlines.set(passage.id, "trying", context.now + 7 * context.settings.timers.t1)
    return passage


def still_trying(context: Context, passage: passages.Passage) -> None:
    context.out.append(commands.Respond("", passage.transaction, make_response(passage.request, 100)))


# -- the way there -----------------------------------------------------------------------------------------------------


def try_next(context: Context, passage: passages.Passage) -> None:
    """Ask the next place; without any, what has been heard is the outcome."""
    while passage.outcome is None:
        if passage.hops:
            _send(context, passage, passage.hops.pop(0))
            return
        if passage.target is not None and passage.target.others:
            (uri, hop), *others = passage.target.others
            passage.target = passage.target._replace(uri=uri, hop=hop, others=tuple(others))
            passage.hops = [hop]
            continue
        if not passage.targets:
            phone = passage.target is not None and passage.target.device
            status, why = (480, "the phone does not answer") if phone else (503, "no target could be reached")
            passage.outcome = passage.refusal or hooks.Reject(_POLICY, status, why)
            return
        target = passage.target = passage.targets.pop(0)
        if target.hop is not None:
            passage.hops = [target.hop]
            continue
        if whereabouts.is_address(target.host):
            passage.hops = whereabouts.direct_hops(context, target)
            continue
        _set_key(context, passage, context.tokens.user())
        context.out.append(
            commands.Ask(passage.key, hooks.Resolve(target.zone, target.host, target.port, target.transports))
        )
        return


def _set_key(context: Context, passage: passages.Passage, key: str) -> None:
    keys = context.outside.keys
    keys.pop(passage.key, None)
    passage.key = key
    if key:
        keys[key] = passage


def _send(context: Context, passage: passages.Passage, hop: Hop) -> None:
    target, received = passage.target, passage.request
    assert target is not None
    leg = _leg_to(context, target, hop, received)
    if not leg.trusted and privacy.unserved(received.headers):  # RFC 3323 section 5
        passage.outcome = hooks.Reject("privacy", 500, "a critical wish that is not known", "Privacy Not Available")
        return
    edge = border_between(context, passage.source, leg)
    refusal = bodies.refusal(received, edge, offers=False)
    if refusal is not None:
        passage.outcome = refusal
        return
    headers = Headers()
    headers.add("From", f"{crossing.originator(received, edge)};tag={leg.local_tag}")
    headers.add("To", crossing.addressed(received.to, target.uri, edge))
    headers.add("Call-ID", context.tokens.call_id())
    headers.add("CSeq", f"1 {received.method}")
    for value in target.route:
        headers.add("Route", value)
    if received.method in _WITH_CONTACT:
        headers.add("Contact", leg.contact)
    leg.invite = Request(received.method, target.uri, headers)
    fill(context, leg.invite, received, edge)
    context.left_out(None, bodies.put(leg.invite, b"", received, edge))
    subscription = context.outside.subscriptions.get(passage.subscription)
    if subscription is not None:
        context.outside.unname(subscription)
        subscription.b = leg
        context.outside.name(subscription, (subscription.a, leg))
    dispatch(context, passage, leg, leg.invite)
    if _others(passage):
        context.deadlines.set(passage.id, "unheard", context.now + context.settings.target_timeout)


def _leg_to(context: Context, target: hooks.Target, hop: Hop, received: Request) -> Leg:
    zone = context.network.zones[target.zone]
    peer = context.network.peers.get(target.peer) if target.peer else None
    listener = context.places.listener_of(hop)
    assert listener is not None
    leg = Leg("b", zone, peer, listener, hop, contact(listener), context.tokens.tag(), "", received)
    leg.fixed_hop = target.hop is not None
    leg.device = target.device
    leg.names = (*context.places.names(zone), hop.remote.host, target.host.lower()) if zone.hidden else ()
    return leg


def border_between(context: Context, source: Leg, target: Leg) -> hosts.Border:
    """How contents of `source` cross to `target`: what they say of dialogs is made to mean ours."""
    edge = border(source, target)
    return edge._replace(dialog=partial(replacing.told, context, source, target), ours=context.places.own_hosts)


def fill(context: Context, built: Request, received: Request, edge: hosts.Border) -> None:
    """Give `built` the header fields of `received` that cross."""
    forwards = received.max_forwards
    built.headers.set("Max-Forwards", "70" if forwards is None else str(forwards - 1))
    capabilities.passed(received, built.headers)
    crossing.cross_headers(received.headers, built.headers, edge, outside=True)
    own_agent(context, built.headers, "User-Agent")


def dispatch(context: Context, passage: passages.Passage, leg: Leg, built: Request) -> None:
    """Send `built` on `leg`; what becomes of it comes back to `passage`."""
    passage.leg = leg
    _follow_device(context, leg)
    built.uri = gruus.dereferenced(context.registrations, built.uri, leg.hop, leg.device)
    leg.transaction = context.tokens.branch()
    _set_key(context, passage, leg.transaction)
    alternative = None
    if built.body and leg.peer is not None and leg.hop.transport == "UDP":
        alternative = context.places.over_tcp(leg.hop, leg.peer)
    _rewrite(context, leg, passage.source, built, passage.request)
    context.out.append(commands.SendRequest("", leg.transaction, built, leg.hop, alternative))


def _follow_device(context: Context, leg: Leg) -> None:
    """A registered device is reached over a flow that it has now (RFC 5626 section 5.3)."""
    device = context.registrations.by_token(leg.device) if leg.device else None
    flows = [] if device is None else [flow.hop for flow in device.flows.values()]
    if flows and leg.hop not in flows:
        leg.hop, leg.fixed_hop = flows[-1], True


def _rewrite(
    context: Context, leg: Leg, source: Leg, message: Request | Response, received: Request | Response | None
) -> None:
    if context.hooks.rewrites:
        view = hooks.LegView(leg.zone, leg.peer, source.zone, leg.listener.advertised, leg.hop.remote.host)
        context.hooks.rewrite(message, view, received)


# -- what comes back ---------------------------------------------------------------------------------------------------


def resolved(context: Context, passage: passages.Passage, hops: tuple[Hop, ...]) -> None:
    """The addresses of the target are known, or that there are none."""
    passage.hops = list(hops)
    try_next(context, passage)


def response_received(context: Context, passage: passages.Passage, response: Response) -> None:
    context.deadlines.clear(passage.id, "unheard")
    if response.status < 200:
        return
    leg = passage.leg
    assert leg is not None
    leg.names = whereabouts.names_of(context, leg, response)
    status, target = response.status, passage.target
    if target is not None and target.device and status not in targets.FLOW_FAILED:
        passage.target = target._replace(others=())
    fails_over = status in context.settings.failover_statuses or status == targets.FLOW_GONE
    if fails_over and _others(passage):
        passage.refusal = response, leg
        try_next(context, passage)
    else:
        passage.outcome = response, leg


def lost(context: Context, passage: passages.Passage, timed_out: bool) -> None:
    """Nobody has answered, or the request could not be sent: the next place, if there is one."""
    context.deadlines.clear(passage.id, "unheard")
    if timed_out and not _others(passage):
        passage.silent = True
        passage.outcome = hooks.Reject(_POLICY, 408, "no answer")
    else:
        try_next(context, passage)


def _others(passage: passages.Passage) -> bool:
    """There are other places to try."""
    return bool(passage.targets or passage.hops or (passage.target is not None and passage.target.others))


def found(context: Context, passage: passages.Passage) -> None:
    """Whoever is being asked has spoken: nobody else is asked."""
    context.deadlines.clear(passage.id, "unheard")
    passage.targets.clear()
    passage.hops.clear()
    passage.target = None


def forget(context: Context, passage: passages.Passage) -> None:
    _set_key(context, passage, "")
    del context.outside.passages[passage.id]
    context.deadlines.clear_all(passage.id)


def give_back(context: Context, passage: passages.Passage) -> None:
    """Answer the request as its outcome says."""
    outcome, request, leg = passage.outcome, passage.request, passage.source
    if not passage.transaction:  # it was our own
        return
    _told(context, passage)
    if passage.silent:
        # RFC 4320 section 4.2: "A transaction-stateful SIP element MUST NOT send a response with Status-Code of 408 to
        # a non-INVITE request": who has asked has given up by now
        context.out.append(commands.Abandon(passage.transaction))
        return
    if isinstance(outcome, hooks.Reject):
        _refuse(context, passage, outcome)
        return
    assert outcome is not None
    received, other = outcome
    status = received.status
    if 300 <= status < 400 or status == targets.FLOW_GONE:  # its Contacts are places of the other side; RFC 5626 11.5
        _refuse(context, passage, hooks.Reject(_POLICY, 480, "redirected" if status < 400 else "its flow is gone"))
        return
    edge = border_between(context, other, leg)
    response = make_response(request, status, replies.phrase(received, other), to_tag=leg.local_tag)
    headers = response.headers
    if status < 300 and request.method in ("SUBSCRIBE", "NOTIFY"):
        for route in request.headers.get_all("Record-Route"):
            headers.add("Record-Route", route)
        headers.add("Contact", leg.contact)
    if status == 405 or (status < 300 and request.method == "OPTIONS"):
        headers.add("Allow", capabilities.allow(received))
    capabilities.passed(received, headers)
    crossing.cross_headers(received.headers, headers, edge, outside=True)
    challenge = replies.CHALLENGES.get(status)
    if challenge is not None and challenge not in headers:  # 21.4.2, 21.4.8: without it the response says nothing
        _refuse(context, passage, hooks.Reject(_POLICY, 403, f"the challenge of a {status} may not cross"))
        return
    if status == 503:  # 21.5.4: one target's pause must not keep the other side from asking others
        headers.remove("Retry-After")
    own_agent(context, headers, "Server")
    context.left_out(None, bodies.put(response, b"", received, edge))
    _rewrite(context, leg, other, response, received)
    context.out.append(commands.Respond("", passage.transaction, response))


def _told(context: Context, passage: passages.Passage) -> None:
    outcome, request, target = passage.outcome, passage.request, passage.target
    assert outcome is not None
    to = "" if target is None else f" to {target.peer or target.uri}"
    if isinstance(outcome, hooks.Reject):
        verdict, why = f"refused: {outcome.status}", outcome.reason
    else:
        verdict, why = f"answered: {outcome[0].status}", "as it came"
    source = passage.source
    who = source.peer.name if source.peer is not None else source.hop.remote.host
    context.out.append(
        commands.Decided("", context.now, "route", _POLICY, f"{request.method} of {who}{to} {verdict}", why)
    )


def _refuse(context: Context, passage: passages.Passage, refusal: hooks.Reject) -> None:
    request = passage.request
    answer(
        context,
        "",
        request,
        passage.transaction,
        refusal.status,
        refusal.phrase,
        refusal.headers,
        passage.source.local_tag,
        passage.source.hop,
    )
