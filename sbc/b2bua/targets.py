"""The B leg's beginning: targets get INVITEs, one after the other or together, until one answers.

RFC 3261 sections 13.2 (we are the UAC), 16.6 to 16.8 (targets, their time, and the choice between their refusals).
"""

from __future__ import annotations

from sbc.b2bua import (
    bodies,
    crossing,
    exchange,
    first_offer,
    privacy,
    redirect,
    reliable,
    replacing,
    session_timer,
    watching,
    whereabouts,
)
from sbc.b2bua.call import Attempt, Call, CallState, Ending, Input, Leg, Purpose, Refusal
from sbc.b2bua.capabilities import allow, note, passed
from sbc.b2bua.commands import Ask, CancelRequest, LegRecord
from sbc.b2bua.context import Context, border, contact, own_agent, uri_host
from sbc.b2bua.hooks import Resolve, Target
from sbc.b2bua.network import Redirection
from sbc.media import MediaError
from sbc.sip import Dialog, Headers, Hop, Request, Response, make_response

_ELSEWHERE = ('SIP;cause=200;text="Call completed elsewhere"',)
FLOW_GONE = 430
FLOW_FAILED = frozenset({408, FLOW_GONE})
"""RFC 5626 section 7: "If the proxy receives a final response from a branch other than a 408 (Request Timeout) or a 430
(Flow Failed) response, the proxy MUST NOT forward the same request to another target representing the same AOR and
instance-id"."""
_NO_ANSWER = ('SIP;cause=408;text="No answer"',)


def try_targets(context: Context, call: Call) -> None:
    """Go for the next target, with those that are to be tried together with it; without any, the call is refused."""
    if call.refused or not first_offer.may_be_repeated(call):
        call.targets.clear()
    while call.targets:
        call.refused = True
        group = _next_group(context, call)
        for target in group:
            _begin(context, call, target, len(group) > 1)
        if call.attempts or call.state is not CallState.CALLING:
            return
    if call.state is CallState.CALLING:
        context.step(call, Input.REFUSAL, call.refusal)


def _next_group(context: Context, call: Call) -> list[Target]:
    """The next target and those behind it that are tried together with it. They share the B leg's ports, so those of
    another zone have to wait their turn."""
    group = [call.targets.pop(0)]
    while call.targets and call.targets[0].together:
        if call.targets[0].zone != group[0].zone:
            call.targets[0] = call.targets[0]._replace(together=False)
            context.decided(call, "call", "targets", "not together", f"{call.targets[0].uri} is in another zone")
            break
        group.append(call.targets.pop(0))
    return group


def _begin(context: Context, call: Call, target: Target, beside: bool) -> None:
    """`beside`: others are tried together with it."""
    if call.state is not CallState.CALLING:
        return
    call.record.attempts += 1
    attempt = call.attempts[call.record.attempts] = Attempt(call.record.attempts, target, beside)
    if target.hop is not None:
        attempt.hops = [target.hop]
        _try_hop(context, call, attempt, "its flow is gone")
        return
    if whereabouts.is_address(target.host):
        attempt.hops = whereabouts.direct_hops(context, target)
        _try_hop(context, call, attempt, f"no listener of its family in zone {target.zone}")
        return
    attempt.question = context.tokens.user()
    context.questions[attempt.question] = (call, attempt.number)
    context.out.append(Ask(attempt.question, Resolve(target.zone, target.host, target.port, target.transports)))


def resolved(context: Context, call: Call, attempt: Attempt, hops: tuple[Hop, ...], error: str) -> None:
    """The addresses of a target are known, or that there are none."""
    attempt.question = ""
    attempt.hops = list(hops)
    _try_hop(context, call, attempt, error or "no address")
    if not call.attempts:
        try_targets(context, call)


def lost(context: Context, call: Call, attempt: Attempt, why: str) -> None:
    """The INVITE of `attempt` came to nothing: try its next address, else give the target up."""
    if not attempt.heard:
        watching.silent(context, attempt.target.peer, call.id)
    _try_hop(context, call, attempt, why)
    if not call.attempts:
        try_targets(context, call)


def silent(context: Context, call: Call, attempt: Attempt) -> None:
    """Nothing has come from where the INVITE went: somebody else gets it. Where there is nobody else it waits on,
    unless that place is known to be dead."""
    down = context.alive.down and watching.watched(context, attempt.target.peer) and not call.emergency
    if call.targets or attempt.hops or attempt.target.others or down:
        lost(context, call, attempt, "is silent")
    else:
        watching.silent(context, attempt.target.peer, call.id)


def rang_out(context: Context, call: Call, attempt: Attempt) -> None:
    """The time that the target was given is over. 16.8: "as if it had received a 408"."""
    assert attempt.leg is not None
    attempt.hops.clear()
    attempt.target = attempt.target._replace(others=())
    _remember(call, make_response(attempt.leg.invite, 408), attempt.leg)
    let_go(context, call, attempt, _NO_ANSWER)
    lost(context, call, attempt, "no answer in its time")


def _try_hop(context: Context, call: Call, attempt: Attempt, why: str, refused: bool = False) -> None:
    """`refused`: the element spoke for the target."""
    if attempt.leg is not None:
        let_go(context, call, attempt)
    if not attempt.hops and attempt.target.others:
        (uri, hop), *others = attempt.target.others
        attempt.target = attempt.target._replace(uri=uri, hop=hop, others=tuple(others))
        attempt.hops.append(hop)
    if attempt.hops and not refused and first_offer.may_be_repeated(call):
        if attempt.leg is not None:
            context.decided(call, "call", "targets", "next address", f"{attempt.leg.hop.remote.host}: {why}")
        _send_invite(context, call, attempt)
        return
    context.decided(call, "call", "targets", "target lost", f"{attempt.target.host}: {why}")
    call.attempts.pop(attempt.number, None)
    call.refused = call.refused and refused


def let_go(context: Context, call: Call, attempt: Attempt, reasons: tuple[str, ...] = ()) -> None:
    """Cancel the INVITE of `attempt`, if it still runs; whatever it brings now is a stray's."""
    context.deadlines.clear(call.id, f"silent {attempt.number}")
    context.deadlines.clear(call.id, f"ring {attempt.number}")
    if attempt.question:
        context.questions.pop(attempt.question, None)
    leg = attempt.leg
    sent = call.clients.get(leg.transaction) if leg is not None else None
    if leg is not None and sent is not None and sent.purpose is Purpose.INVITE and not leg.confirmed:
        call.clients[leg.transaction] = sent._replace(purpose=Purpose.STRAY)
        context.out.append(CancelRequest(call.id, leg.transaction, reasons))
    if leg is not None and not leg.confirmed:
        _gone(context, call, leg)


def _gone(context: Context, call: Call, leg: Leg) -> None:
    """The INVITE of `leg` is over, and with it are its early dialogs."""
    if leg.dialog is None:
        return
    exchange.gone(context, call, leg)
    reliable.gone(context, call, leg)
    leg.dialog = None
    leg.forks.clear()
    if call.b is leg:
        for attempt in call.attempts.values():
            if attempt.leg is not None and attempt.leg.dialog is not None:
                _speaks(call, attempt, attempt.leg)


def let_all_go(context: Context, call: Call, reasons: tuple[str, ...] = (), winner: Attempt | None = None) -> None:
    """Cancel every attempt but the winner's; nothing more is tried."""
    call.targets.clear()
    attempts = list(call.attempts.values())
    call.attempts.clear()
    for attempt in attempts:
        if attempt is winner:
            context.deadlines.clear(call.id, f"ring {attempt.number}")
        else:
            let_go(context, call, attempt, reasons)


def _send_invite(context: Context, call: Call, attempt: Attempt) -> None:
    """Build the INVITE of a B leg and send it to the attempt's next address."""
    target = attempt.target
    hop = attempt.hops.pop(0)
    alternative = None
    if hop.transport == "UDP" and attempt.hops and attempt.hops[0].transport == "TCP":
        # 18.1.1: TCP for what is too long for UDP; it stays in `hops` as the next way to try
        alternative = attempt.hops[0]
    zone = context.network.zones[target.zone]
    peer = context.network.peers.get(target.peer) if target.peer else None
    listener = context.places.listener_of(hop)
    assert listener is not None
    received = call.a.invite
    leg = Leg("b", zone, peer, listener, hop, contact(listener), context.tokens.tag(), "", received)
    # nobody else has the offer: the media may be offered as they suit this address
    alone = all(other is attempt or other.leg is None for other in call.attempts.values())
    leg.fixed_hop = target.hop is not None
    leg.device = target.device
    leg.names = (*context.places.names(zone), hop.remote.host, target.host.lower()) if zone.hidden else ()
    attempt.leg = leg
    attempt.heard = False
    if call.b is None or alone:
        call.b = leg
    unserved = privacy.unserved(received.headers) if not leg.trusted else None
    if unserved:  # RFC 3323 section 5
        reason = f"Privacy: {', '.join(sorted(unserved))} is critical"
        _unfit(context, call, attempt, leg, 500, reason, "Privacy Not Available")
        return
    try:
        body = first_offer.made_for(context, call, leg, alone)
    except MediaError as fault:
        context.decided(call, "adapt_media", "media", f"reject {fault.status}", fault.reason)
        _unfit(context, call, attempt, leg, fault.status, fault.reason)
        return
    request = _b_invite(context, call, leg, attempt, body)
    leg.invite = request
    call.b_legs.append(leg)
    context.dialogs[(request.call_id, leg.local_tag)] = (call, leg)
    context.goes_along(leg, (request.call_id, leg.local_tag))
    leg.transaction = context.send(call, leg, Purpose.INVITE, request, alternative, received, attempt.number)
    if call.b is leg:
        call.record.b = _b_record(leg, target)
    if target.ring:
        context.deadlines.set(call.id, f"ring {attempt.number}", context.now + target.ring)
    if call.targets or attempt.hops or target.others or watching.watched(context, target.peer):
        silent = context.now + context.settings.target_timeout
        context.deadlines.set(call.id, f"silent {attempt.number}", silent)


def _unfit(
    context: Context, call: Call, attempt: Attempt, leg: Leg, status: int, reason: str, phrase: str | None = None
) -> None:
    """The call cannot be made as this target would have to get it; another target, or address, may take it."""
    _remember(call, make_response(call.a.invite, status, phrase), leg, reason)
    attempt.leg = None
    _try_hop(context, call, attempt, reason)


def _b_record(leg: Leg, target: Target) -> LegRecord:
    remote = leg.hop.remote
    request = leg.invite
    return LegRecord(
        leg.zone.name,
        target.peer or "",
        f"{uri_host(remote.host)}:{remote.port}/{leg.hop.transport}",
        request.call_id,
        request.from_.uri_text,
        request.to.uri_text,
        request.uri,
    )


_CREDENTIALS = ("Authorization", "Proxy-Authorization")


def _b_invite(context: Context, call: Call, leg: Leg, attempt: Attempt, body: bytes) -> Request:
    received, target = call.a.invite, attempt.target
    crossing_border = border(call.a, leg)
    forwards = received.max_forwards
    headers = Headers()
    headers.add("Max-Forwards", "70" if forwards is None else str(forwards - 1))
    headers.add("From", f"{crossing.originator(received, crossing_border)};tag={leg.local_tag}")
    headers.add("To", crossing.addressed(received.to, target.uri, crossing_border))
    headers.add("Call-ID", context.tokens.call_id())
    headers.add("CSeq", "1 INVITE")
    headers.add("Contact", leg.contact)
    headers.add("Allow", allow(received))
    if reliable.offered_to(call, leg, attempt.beside):
        headers.add("Require" if reliable.required_of(leg) else "Supported", "100rel")
    session_timer.ask(context, leg, headers)
    passed(received, headers, call.a)
    for value in target.route:
        headers.add("Route", value)
    if target.uri.startswith("urn:"):  # RFC 6881 section 9.2: a service has no host to be found by
        headers.add("Route", f"<sip:{uri_host(target.host)}{f':{target.port}' if target.port else ''};lr>")
    replacing.add_replaces(call, headers)
    crossing.cross_headers(received.headers, headers, crossing_border)
    for name in _CREDENTIALS:
        if name in received.headers and name not in headers:
            context.decided(call, "call", "crossing", f"{name} stays behind", "it names a host of a hidden zone")
    own_agent(context, headers, "User-Agent")
    invite = Request("INVITE", target.uri, headers)
    context.left_out(call, bodies.put(invite, body, received, crossing_border))
    return invite


def invite_response(context: Context, call: Call, attempt: Attempt, response: Response) -> None:
    """A response to the INVITE of an attempt that is not answered yet."""
    leg = attempt.leg
    assert leg is not None
    if not attempt.heard:
        attempt.heard = True
        context.deadlines.clear(call.id, f"silent {attempt.number}")
    status = response.status
    watching.answered(context, attempt.target.peer, status)
    if status < 200:
        _provisional(context, call, attempt, leg, response)
    elif status < 300:
        _answered(context, call, attempt, leg, response)
    else:
        _refused(context, call, attempt, leg, response)


_MOST_FORKS = 32
"""Early dialogs of one INVITE that are kept: nobody forks that far, but somebody may pretend to."""


def _provisional(context: Context, call: Call, attempt: Attempt, leg: Leg, response: Response) -> None:
    if response.status == 100:  # hop by hop
        return
    note(leg, response)
    tag = response.to.tag
    if tag is not None:
        if tag not in leg.forks and len(leg.forks) < _MOST_FORKS:
            leg.forks[tag] = Dialog.as_uac(leg.invite, response)
        leg.dialog = leg.forks.get(tag, leg.dialog)
        if not reliable.provisional_received(context, call, leg, response):
            return
    if response.status == 199:  # RFC 6228: one fork has ended; to the caller the call is one, and goes on
        _fork_gone(context, call, leg, tag or "")
        return
    _speaks(call, attempt, leg)
    context.step(call, Input.PROVISIONAL, (response, leg))


def _fork_gone(context: Context, call: Call, leg: Leg, tag: str) -> None:
    dialog = leg.forks.pop(tag, None)
    if dialog is not None:
        exchange.gone(context, call, leg, tag)
        reliable.gone(context, call, leg, tag)
        leg.dialog = next(reversed(leg.forks.values()), None)


def _speaks(call: Call, attempt: Attempt, leg: Leg) -> None:
    """`leg` is the one that the caller hears of now, and speaks to, unless it is just speaking to another one."""
    if call.record.b is None or (call.b is not leg and call.exchange is None):
        call.b = leg
        call.record.b = _b_record(leg, attempt.target)


def _answered(context: Context, call: Call, attempt: Attempt, leg: Leg, response: Response) -> None:
    leg.names = whereabouts.names_of(context, leg, response)
    early = leg.forks.get(response.to.tag or "")
    leg.dialog = Dialog.as_uac(leg.invite, response)
    if early is not None:  # 13.2.2.4: only the route set and the remote target are computed anew
        leg.dialog.local_cseq, leg.dialog.remote_cseq = early.local_cseq, early.remote_cseq
    others = leg.forks.keys() - {leg.dialog.remote_tag}
    leg.forked = bool(others)
    for tag in others:
        exchange.gone(context, call, leg, tag)
        reliable.gone(context, call, leg, tag)
    leg.forks.clear()
    note(leg, response)
    whereabouts.follow_target(context, leg, response)
    session_timer.answered(context, call, leg, response)
    let_all_go(context, call, _ELSEWHERE, winner=attempt)
    _speaks(call, attempt, leg)
    if leg.hung_up == leg.dialog.remote_tag:
        leg.told_the_end = True
        context.step(call, Input.BAD_ANSWER, (response, Ending("callee", "BYE", 480)))
        return
    try:
        body = first_offer.heard(context, call, leg, response, False)
    except MediaError as fault:
        context.decided(call, "adapt_media", "media", "answer refused", fault.reason)
        context.step(call, Input.BAD_ANSWER, (response, Ending("sbc", fault.reason, 502)))
        return
    given = Input.EARLY_ANSWER if reliable.answer_waits(call) else Input.ANSWER
    context.step(call, given, (response, body))


def _refused(context: Context, call: Call, attempt: Attempt, leg: Leg, response: Response) -> None:
    status = response.status
    call.clients.pop(leg.transaction, None)
    if status == 422 and session_timer.raised(context.settings, leg, response):
        _ask_again(context, call, attempt, leg)
        return
    if call.record.b is not None and call.b is leg:
        call.record.b.status = status
    if status < 400 and redirect.follow(context, call, attempt, leg, response):
        _redirected(context, call, attempt, status)
        return
    _remember(call, response, leg)
    if attempt.target.device and status not in FLOW_FAILED:
        attempt.target = attempt.target._replace(others=())
    fails_over = status in context.settings.failover_statuses or status == FLOW_GONE
    if status >= 600 and not fails_over:  # 16.7 step 5: "any outstanding ... branches ... SHOULD be cancelled"
        let_all_go(context, call, (f"SIP;cause={status}",))
        context.step(call, Input.REFUSAL, call.refusal)
        return
    _try_hop(context, call, attempt, f"answered {status}", refused=not fails_over)
    if attempt.target.search and status < 600:
        call.refused = False
    if not call.attempts:
        try_targets(context, call)


def _redirected(context: Context, call: Call, attempt: Attempt, status: int) -> None:
    """The next targets are those of a redirection. Where others are being tried together with the one that redirects,
    its first new place takes its turn at once."""
    attempt.hops.clear()
    _try_hop(context, call, attempt, f"redirected ({status})")
    if not call.attempts:
        try_targets(context, call)
    elif call.targets[0].zone == attempt.target.zone:
        for target in _next_group(context, call):
            _begin(context, call, target, True)


def _remember(call: Call, response: Response, leg: Leg, ours: str = "") -> None:
    """Keep the better refusal: 16.7 step 6. `ours`: as in `Refusal`."""
    if response.status in (401, 407) and len(call.challenges) < _MOST_FORKS:
        call.challenges.append(Refusal(response, leg))
    if call.refusal is None or _rank(response, leg) < _rank(call.refusal.response, call.refusal.leg):
        call.refusal = Refusal(response, leg, ours)


def _ask_again(context: Context, call: Call, attempt: Attempt, leg: Leg) -> None:
    """RFC 4028 section 7.3: the same INVITE with the interval that the element wants at least."""
    invite = leg.invite
    again = Request("INVITE", invite.uri, invite.headers.copy(), invite.body)
    again.headers.set("CSeq", f"{invite.cseq.number + 1} INVITE")
    for name in ("Session-Expires", "Min-SE"):
        again.headers.remove(name)
    supported = again.headers.values("Supported")
    session_timer.ask(context, leg, again.headers)
    again.headers.set("Supported", ", ".join(dict.fromkeys([*supported, "timer"])))
    _gone(context, call, leg)
    leg.invite = again
    leg.rseqs.clear()
    leg.transaction = context.send(call, leg, Purpose.INVITE, again, None, call.a.invite, attempt.number)


_TELLING = frozenset({401, 407, 415, 420, 484})


def _rank(response: Response, leg: Leg) -> tuple[int, int]:
    """RFC 3261 section 16.7 step 6: a 6xx is best, else the lowest class; of the 4xx those that tell how to ask again,
    and no 430 or 503 where there is another. A redirection that does not go to the caller is one more 4xx."""
    status = response.status
    if status >= 600:
        return 0, 0
    if status < 400:
        return (3, 0) if leg.how.redirect is Redirection.PASS else (4, 1)
    return status // 100, 0 if status in _TELLING else 2 if status in (FLOW_GONE, 503) else 1
