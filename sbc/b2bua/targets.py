"""The B leg's beginning: one target after the other gets an INVITE, until one answers.

RFC 3261 sections 13.2 (we are the UAC), 16.6 and 16.7 (targets and the choice between their refusals).
"""

from __future__ import annotations

from sbc.b2bua import bodies, crossing, redirect, reliable, replacing, session_timer
from sbc.b2bua.answers import session_description
from sbc.b2bua.call import Attempt, Call, CallState, Ending, Input, Leg, Purpose
from sbc.b2bua.capabilities import allow, note, passed
from sbc.b2bua.commands import Ask, CancelRequest, LegRecord, RemoveFlow
from sbc.b2bua.context import Context, border, contact, own_agent, uri_host
from sbc.b2bua.hooks import Resolve, Target
from sbc.b2bua.whereabouts import direct_hops, follow_target, is_address, names_of
from sbc.media import MediaError, SideFacts
from sbc.sip import Dialog, Headers, Hop, Request, Response


def try_targets(context: Context, call: Call) -> None:
    """Go for the next target, with those that are to be tried together with it; without any, the call is refused."""
    while call.targets:
        for target in _next_group(context, call):
            _begin(context, call, target)
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
    call.offer = b""
    return group


def _begin(context: Context, call: Call, target: Target) -> None:
    if call.state is not CallState.CALLING:
        return
    call.record.attempts += 1
    attempt = call.attempts[call.record.attempts] = Attempt(call.record.attempts, target)
    if is_address(target.host):
        attempt.hops = direct_hops(context, target)
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
    _try_hop(context, call, attempt, why)
    if not call.attempts:
        try_targets(context, call)


def _try_hop(context: Context, call: Call, attempt: Attempt, why: str) -> None:
    if attempt.leg is not None:
        let_go(context, call, attempt)
    if attempt.hops:
        if attempt.leg is not None:
            context.decided(call, "call", "targets", "next address", f"{attempt.leg.hop.remote.host}: {why}")
        _send_invite(context, call, attempt)
        return
    context.decided(call, "call", "targets", "target lost", f"{attempt.target.host}: {why}")
    call.attempts.pop(attempt.number, None)


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


def let_all_go(context: Context, call: Call, reasons: tuple[str, ...] = (), winner: Attempt | None = None) -> None:
    """Cancel every attempt but the winner's; nothing more is tried."""
    call.targets.clear()
    for attempt in call.attempts.values():
        if attempt is winner:
            context.deadlines.clear(call.id, f"ring {attempt.number}")
        else:
            let_go(context, call, attempt, reasons)
    call.attempts.clear()


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
    if not call.attempts.keys() - {attempt.number}:
        call.offer = b""  # nobody else has it: the media may be offered as they suit this address
    leg.names = (*context.places.names(zone), hop.remote.host, target.host.lower()) if zone.hidden else ()
    attempt.leg = leg
    attempt.heard = False
    if call.b is None or not call.attempts.keys() - {attempt.number}:
        call.b = leg
    try:
        body = _offer(context, call, leg)
    except MediaError as fault:
        context.decided(call, "adapt_media", "media", f"reject {fault.status}", fault.reason)
        context.step(call, Input.ENDED_HERE, Ending("sbc", fault.reason, fault.status))
        return
    request = _b_invite(context, call, leg, target, body)
    leg.invite = request
    call.b_legs.append(leg)
    context.dialogs[(request.call_id, leg.local_tag)] = (call, leg)
    leg.transaction = context.send(call, leg, Purpose.INVITE, request, alternative, received, attempt.number)
    if call.b is leg:
        call.record.b = _b_record(leg, target)
    if target.ring:
        context.deadlines.set(call.id, f"ring {attempt.number}", context.now + target.ring)
    if call.targets or attempt.hops:
        silent = context.now + context.settings.target_timeout
        context.deadlines.set(call.id, f"silent {attempt.number}", silent)


def _b_record(leg: Leg, target: Target) -> LegRecord:
    remote = leg.hop.remote
    request = leg.invite
    return LegRecord(
        leg.zone.name,
        target.peer or "",
        f"{uri_host(remote.host)}:{remote.port}/{leg.hop.transport}",
        request.call_id,
        request.headers.get("From") or "",
        request.headers.get("To") or "",
        request.uri,
    )


def _offer(context: Context, call: Call, leg: Leg) -> bytes:
    """The A leg's offer as a B leg gets it; empty where the A leg left the offer to the other side. Targets that are
    tried together get the same one."""
    received = call.a.invite
    if call.offer:
        return call.offer
    facts = side_facts(leg)
    if call.media is None:
        call.media = context.media.open(call.id, side_facts(call.a), facts)
    else:
        for flow_id in call.media.retarget(facts, context.now):
            context.out.append(RemoveFlow(flow_id))
        call.early_answer = b""
    body = session_description(received)
    if not body:
        return b""
    call.offer_in_invite = True
    call.offer = call.media.offer("a", body, context.now).sdp
    return call.offer


def side_facts(leg: Leg) -> SideFacts:
    latching = leg.peer.latching if leg.peer is not None else leg.zone.latching
    host = leg.hop.remote.host
    return SideFacts(leg.zone.media_v4, leg.zone.media_v6, latching, host, leg.zone.hidden, ":" in host)


def _b_invite(context: Context, call: Call, leg: Leg, target: Target, body: bytes) -> Request:
    received = call.a.invite
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
    if reliable.offered_to(call, leg):
        headers.add("Require" if reliable.required_of(leg) else "Supported", "100rel")
    session_timer.ask(context, leg, headers)
    passed(received, headers)
    replacing.add_replaces(call, headers)
    crossing.cross_headers(received.headers, headers, crossing_border)
    own_agent(context, headers, "User-Agent")
    invite = Request("INVITE", target.uri, headers)
    bodies.put(invite, body, received, crossing_border)
    return invite


def invite_response(context: Context, call: Call, attempt: Attempt, response: Response) -> None:
    """A response to the INVITE of an attempt that is not answered yet."""
    leg = attempt.leg
    assert leg is not None
    if not attempt.heard:
        attempt.heard = True
        context.deadlines.clear(call.id, f"silent {attempt.number}")
    status = response.status
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
        if len(leg.forks) > 1:
            leg.forks.pop(tag or "", None)
        return
    _speaks(call, attempt, leg)
    context.step(call, Input.PROVISIONAL, response)


def _speaks(call: Call, attempt: Attempt, leg: Leg) -> None:
    """`leg` is the one that the caller hears of now."""
    if call.b is not leg or call.record.b is None:
        call.b = leg
        call.record.b = _b_record(leg, attempt.target)
        if call.media is not None:
            call.media.b.facts = side_facts(leg)


def _answered(context: Context, call: Call, attempt: Attempt, leg: Leg, response: Response) -> None:
    leg.names = names_of(context, leg, response)
    leg.dialog = Dialog.as_uac(leg.invite, response)
    leg.forked = bool(leg.forks.keys() - {leg.dialog.remote_tag})
    leg.forks.clear()
    note(leg, response)
    follow_target(context, leg, response)
    session_timer.answered(context, call, leg, response)
    _speaks(call, attempt, leg)
    let_all_go(context, call, ('SIP;cause=200;text="Call completed elsewhere"',), winner=attempt)
    try:
        body = answer_sdp(context, call, leg, response)
    except MediaError as fault:
        context.decided(call, "adapt_media", "media", "answer refused", fault.reason)
        context.step(call, Input.BAD_ANSWER, (response, Ending("sbc", fault.reason, 502)))
    else:
        context.step(call, Input.ANSWER, (response, body))


def _refused(context: Context, call: Call, attempt: Attempt, leg: Leg, response: Response) -> None:
    status = response.status
    call.clients.pop(leg.transaction, None)
    if status == 422 and session_timer.raised(leg, response):
        _ask_again(context, call, attempt, leg)
        return
    if call.record.b is not None and call.b is leg:
        call.record.b.status = status
    if status < 400 and redirect.follow(context, call, attempt, leg, response):
        attempt.hops.clear()
        lost(context, call, attempt, f"redirected ({status})")
        return
    if call.refusal is None or _rank(response) < _rank(call.refusal[0]):
        call.refusal = (response, leg)
    if status >= 600:  # 16.7 step 5: "any outstanding ... branches ... SHOULD be cancelled"
        attempt.leg = None
        let_all_go(context, call)
        context.step(call, Input.REFUSAL, call.refusal)
        return
    if status not in context.settings.failover_statuses:
        attempt.hops.clear()  # the element spoke for the target: its other addresses would say the same
        call.targets.clear()
    lost(context, call, attempt, f"answered {status}")


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
    leg.invite = again
    leg.forks.clear()
    leg.rseqs.clear()
    leg.transaction = context.send(call, leg, Purpose.INVITE, again, None, call.a.invite, attempt.number)


def _rank(response: Response) -> tuple[int, int]:
    """RFC 3261 section 16.7 step 6: a 6xx is best, else the lowest class, and no 503 where there is another."""
    status = response.status
    return (0, 0) if status >= 600 else (status // 100, 1 if status == 503 else 0)


def answer_sdp(context: Context, call: Call, leg: Leg, response: Response) -> bytes:
    """The SDP of `leg` in a 2xx or 18x, rewritten for the A leg; empty where there is none to give. Raises MediaError.

    An answer in a provisional response stands for the whole early dialog that gave it: its 2xx need not repeat it.
    """
    body, media = session_description(response), call.media
    assert media is not None
    speaker = (leg.local_tag, response.to.tag or "")
    if call.answered_early and (speaker == call.early_speaker or response.status < 200):
        # RFC 3262 section 5: the reliable provisional response gave the answer, for good
        return b"" if reliable.speaks(call.a) else call.early_answer
    if call.answered_early:
        return _answered_by_another(context, call, body)
    if not body:
        early = call.early_answer if call.early_speaker == speaker else b""
        if call.offer_in_invite and response.status >= 200 and not early:
            raise MediaError(488, "the answer to the INVITE has no session description")  # 13.2.1
        return early if call.offer_in_invite else b""
    if not call.offer_in_invite:
        if call.media_agreed:
            return b""  # offer and answer went in a reliable provisional response and its PRACK
        exchange = media.offer("b", body, context.now)
        context.apply(call, exchange)
        return exchange.sdp
    call.answered_early = reliable.is_reliable(response)
    final = response.status >= 200 or call.answered_early
    exchange = media.answer("b", body, context.now, final=final)
    context.apply(call, exchange)
    call.early_answer, call.early_speaker = exchange.sdp, speaker
    return exchange.sdp


def _answered_by_another(context: Context, call: Call, body: bytes) -> bytes:
    """One fork gave its answer in a reliable provisional response, another one takes the call: the A leg has to learn
    the other's session by an offer of our own, once it has acknowledged its 2xx."""
    assert call.media is not None
    if not body:
        raise MediaError(488, "the answer to the INVITE has no session description")
    exchange = call.media.offer("b", body, context.now)
    context.apply(call, exchange)
    call.renewal = exchange.sdp
    return b"" if reliable.speaks(call.a) else call.early_answer
