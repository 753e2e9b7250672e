"""The B leg's beginning: one target after the other gets an INVITE, until one answers.

RFC 3261 sections 13.2 (we are the UAC), 16.6 and 16.7 (targets and the choice between their refusals).
"""

from __future__ import annotations

from sbc.b2bua import crossing
from sbc.b2bua.call import Call, Ending, Input, Leg, Purpose
from sbc.b2bua.capabilities import allow
from sbc.b2bua.commands import Ask, CancelRequest, LegRecord, RemoveFlow
from sbc.b2bua.context import Context, border, contact, own_agent, uri_host
from sbc.b2bua.hooks import Resolve, Target
from sbc.b2bua.whereabouts import direct_hops, follow_target, is_address, names_of
from sbc.media import MediaError, SideFacts
from sbc.sip import Dialog, Headers, Request, Response


def next_target(context: Context, call: Call, event: object) -> None:
    """Go for the next address of the current target, else for the next target, else give the best refusal back."""
    if call.b is not None:
        let_go(context, call)
    while True:
        if call.hops:
            context.step(call, Input.TARGET_FOUND, None)
            return
        if not call.targets:
            context.step(call, Input.REFUSAL, call.refusal)
            return
        call.target = target = call.targets.pop(0)
        if not is_address(target.host):
            ask(context, call, target)
            return
        call.hops = direct_hops(context, target)
        if not call.hops:
            context.decided(
                call, "call", "call", f"cannot reach {target.host}", "no listener of its family in its zone"
            )


def ask(context: Context, call: Call, target: Target) -> None:
    call.question = context.tokens.user()
    context.questions[call.question] = call
    context.out.append(Ask(call.question, Resolve(target.zone, target.host, target.port, target.transports)))


def let_go(context: Context, call: Call, reasons: tuple[str, ...] = ()) -> None:
    """Cancel the INVITE to the current target, if it still runs; whatever it brings now is a stray's."""
    leg = call.b
    if leg is None or leg.dialog is not None:
        return
    sent = call.clients.get(leg.transaction)
    if sent is not None and sent.purpose is Purpose.INVITE:
        call.clients[leg.transaction] = sent._replace(purpose=Purpose.STRAY)
        context.out.append(CancelRequest(call.id, leg.transaction, reasons))
    context.deadlines.clear(call.id, "target silent")


def send_invite(context: Context, call: Call, event: object) -> None:
    """Build the INVITE of the B leg and send it to the first of `call.hops`."""
    target = call.target
    assert target is not None
    hop = call.hops.pop(0)
    alternative = None
    if hop.transport == "UDP" and call.hops and call.hops[0].transport == "TCP":
        # 18.1.1: TCP for what is too long for UDP; it stays in `hops` as the next way to try
        alternative = call.hops[0]
    zone = context.network.zones[target.zone]
    peer = context.network.peers.get(target.peer) if target.peer else None
    listener = context.places.listener_of(hop)
    assert listener is not None
    received = call.a.invite
    leg = Leg("b", zone, peer, listener, hop, contact(listener), context.tokens.tag(), "", received)
    leg.names = (*context.places.names(zone), hop.remote.host)
    call.b = leg
    call.heard = False
    call.record.attempts += 1
    try:
        body = _offer(context, call, leg)
    except MediaError as fault:
        context.decided(call, "adapt_media", "media", f"reject {fault.status}", fault.reason)
        context.step(call, Input.ENDED_HERE, Ending("sbc", fault.reason, fault.status))
        return
    request = _b_invite(context, call, leg, target, body)
    leg.invite = request
    leg.transaction = context.send(call, leg, Purpose.INVITE, request, alternative, received)
    call.record.b = _b_record(leg, target)
    if call.targets or call.hops:
        context.deadlines.set(call.id, "target silent", context.now + context.settings.target_timeout)


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
    """The A leg's offer as the B leg gets it; empty where the A leg left the offer to the other side."""
    received = call.a.invite
    facts = side_facts(leg)
    if call.media is None:
        call.media = context.media.open(call.id, side_facts(call.a), facts)
    else:
        for flow_id in call.media.retarget(facts, context.now):
            context.out.append(RemoveFlow(flow_id))
        call.early_answer = b""
    if not received.body:
        return b""
    call.offer_in_invite = True
    return call.media.offer("a", received.body, context.now).sdp


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
    headers.add("From", f"{crossing.crossed_identity(received.from_, crossing_border)};tag={leg.local_tag}")
    headers.add("To", crossing.addressed(received.to, target.uri, crossing_border))
    headers.add("Call-ID", context.tokens.call_id())
    headers.add("CSeq", "1 INVITE")
    headers.add("Contact", leg.contact)
    headers.add("Allow", allow(received))
    own_agent(context, headers, "User-Agent")
    crossing.cross_headers(received.headers, headers, crossing_border)
    if body:
        headers.add("Content-Type", "application/sdp")
    return Request("INVITE", target.uri, headers, body)


def invite_response(context: Context, call: Call, response: Response) -> None:
    """A response to the INVITE of the current target."""
    leg = call.b
    assert leg is not None
    if not call.heard:
        call.heard = True
        context.deadlines.clear(call.id, "target silent")
    status = response.status
    if status < 200:
        if status not in (100, 199):  # 100 is hop by hop; 199 needs RFC 6228's 100rel
            context.step(call, Input.PROVISIONAL, response)
        return
    if status < 300:
        leg.names = names_of(context, leg, response)
        leg.dialog = Dialog.as_uac(leg.invite, response)
        follow_target(context, leg, response)
        context.dialogs[(leg.dialog.call_id, leg.local_tag)] = (call, "b")
        try:
            body = answer_sdp(context, call, response)
        except MediaError as fault:
            context.decided(call, "adapt_media", "media", "answer refused", fault.reason)
            context.step(call, Input.BAD_ANSWER, (response, Ending("sbc", fault.reason, 502)))
        else:
            context.step(call, Input.ANSWER, (response, body))
        return
    call.clients.pop(leg.transaction, None)
    if call.record.b is not None:
        call.record.b.status = status
    call.refusal = best_refusal(call.refusal, response)
    if status in context.settings.failover_statuses and (call.targets or call.hops):
        context.decided(call, "call", "failover", "next target", f"{leg.hop.remote.host} answered {status}")
        context.step(call, Input.TARGET_LOST, None)
    else:
        context.step(call, Input.REFUSAL, call.refusal if status < 600 else response)


def best_refusal(known: Response | None, new: Response) -> Response:
    """RFC 3261 section 16.7 step 6: a 6xx, else the lowest class, and no 503 where there is another."""

    def rank(response: Response) -> tuple[int, int]:
        status = response.status
        if status >= 600:
            return (0, 0)
        return (status // 100, 1 if status == 503 else 0)

    return new if known is None or rank(new) < rank(known) else known


def answer_sdp(context: Context, call: Call, response: Response) -> bytes:
    """The B leg's SDP in a 2xx or 18x, rewritten for the A leg; empty where there is none to give."""
    if not response.body or response.content_type != "application/sdp":
        return call.early_answer if call.offer_in_invite else b""
    media = call.media
    assert media is not None
    if call.offer_in_invite:
        exchange = media.answer("b", response.body, context.now, final=response.status >= 200)
    else:
        exchange = media.offer("b", response.body, context.now)
    context.apply(call, exchange)
    return exchange.sdp
