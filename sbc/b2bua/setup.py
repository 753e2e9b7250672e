"""A call's beginning: from the INVITE of the A leg to the answer that it gets.

RFC 3261 sections 8.2, 12.1, 13.3 (we are the UAS of the A leg), 13.2 (the UAC of the B leg), 16.6 and 16.7 (targets).
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from sbc.b2bua import crossing, teardown
from sbc.b2bua.call import Call, CallState, Ending, Input, Leg, Purpose, Unacked
from sbc.b2bua.commands import (
    Ask,
    CallChanged,
    CallOpened,
    CallRecord,
    CancelRequest,
    LegRecord,
    MessageSeen,
    RemoveFlow,
    Respond,
    SendAck,
)
from sbc.b2bua.context import Context, border, contact, own_agent, record_copy, uri_host
from sbc.b2bua.hooks import CallView, Drop, Reject, Resolve, Target
from sbc.media import MediaError, SideFacts
from sbc.sip import (
    Address,
    Dialog,
    Headers,
    Hop,
    Packet,
    Request,
    Response,
    SipError,
    TransactionId,
    make_response,
    parse_name_address,
)

ALLOWED = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO", "UPDATE", "MESSAGE")
"""What a leg can carry; a leg is told those that its other side allows as well."""

ALLOW = ", ".join(ALLOWED)
"""What the SBC itself understands."""


def open_call(context: Context, request: Request, transaction: TransactionId, packet: Packet) -> None:
    """A new INVITE: admit it, make the call, and go for its first target."""
    hop = packet.hop
    zone = context.network.zones[hop.zone]
    peer = context.places.peer(hop.zone, hop.remote.host)
    view = CallView(request, hop, zone, peer, len(context.calls), context.draining)
    verdict = context.hooks.admit(view)
    if isinstance(verdict, Drop):
        return
    call = _new_call(context, view, transaction)
    context.out.append(CallOpened(record_copy(call.record)))
    context.out.append(MessageSeen(call.id, packet))
    refusal = verdict if isinstance(verdict, Reject) else _unserveable(request)
    if refusal is not None:
        refuse(context, call, "admit", refusal)
        return
    # 17.2.1: "The server transaction MUST generate a 100 (Trying) response unless it knows that the TU will generate a
    # provisional or final response within 200 ms"
    context.out.append(Respond(call.id, transaction, make_response(request, 100)))
    context.deadlines.set(call.id, "no answer", context.now + context.settings.no_answer)
    route = context.hooks.route(view)
    if isinstance(route, Reject):
        refuse(context, call, "route", route)
        return
    names = ", ".join(target.peer or target.uri for target in route.targets)
    context.decided(call, "route", route.policy, f"to {names}", route.reason)
    call.targets = list(route.targets)
    next_target(context, call, None)


def refuse(context: Context, call: Call, hook: str, verdict: Reject) -> None:
    context.decided(call, hook, verdict.policy, f"reject {verdict.status}", verdict.reason)
    context.step(call, Input.ENDED_HERE, Ending("sbc", verdict.reason, verdict.status, verdict.phrase, verdict.headers))


def _unserveable(request: Request) -> Reject | None:
    """What the core itself cannot serve, whoever asks (RFC 3261 section 8.2)."""
    if request.request_uri.scheme not in ("sip", "sips", "tel"):
        return Reject("call", 416, f"Request-URI of scheme {request.request_uri.scheme}")
    unsupported = unsupported_extensions(request)
    if unsupported is not None:
        return unsupported
    if request.max_forwards == 0:
        return Reject("call", 483, "Max-Forwards is 0")
    if request.contact is None:
        return Reject("call", 400, "an INVITE without Contact (RFC 3261 section 8.1.1.8)", "Missing Contact")
    return unreadable_body(request)


def unsupported_extensions(request: Request) -> Reject | None:
    """Require or Proxy-Require of anything: no extension is supported on a leg yet (8.2.2.3, 16.3 step 5)."""
    if "Require" not in request.headers and "Proxy-Require" not in request.headers:
        return None
    listed = ", ".join([*request.headers.values("Require"), *request.headers.values("Proxy-Require")])
    return Reject("call", 420, f"requires {listed}", headers=(("Unsupported", listed),)) if listed else None


def unreadable_body(request: Request) -> Reject | None:
    """A body that is no SDP, or is encoded (8.2.3)."""
    if request.body and request.content_type != "application/sdp":
        accept = (("Accept", "application/sdp"),)
        return Reject("call", 415, f"body of type {request.content_type}", headers=accept)
    if request.body and request.headers.get("Content-Encoding") not in (None, "identity"):
        return Reject("call", 415, "encoded body", headers=(("Accept-Encoding", "identity"),))
    return None


def _new_call(context: Context, view: CallView, transaction: TransactionId) -> Call:
    request, hop = view.request, view.hop
    tag = context.tokens.tag()
    listener = context.places.listener_of(hop) or view.zone.listeners[0]
    leg = Leg("a", view.zone, view.peer, listener, hop, contact(listener), tag, transaction, request)
    leg.dialog = Dialog.as_uas(request, tag)
    leg.fixed_hop = request.via.host != hop.remote.host
    leg.names = names_of(context, leg, request)
    follow_target(context, leg, request)
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
    call = Call(record.call, context.now, CallState.ROUTING, leg, record)
    context.calls[call.id] = call
    context.dialogs[(request.call_id, tag)] = (call, "a")
    return call


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


def direct_hops(context: Context, target: Target) -> list[Hop]:
    """Ways to a target that is named by IP address, in the order of its transports."""
    hops = []
    for transport in target.transports:
        listener = context.places.listener(target.zone, transport, target.host)
        if listener is not None:
            remote = Address(target.host, target.port or 5060)
            hops.append(Hop(target.zone, transport, listener.local, remote))
    return hops


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


def allow(message: Request | Response) -> str:
    """What the other leg may be told, given what this message's sender allows (RFC 3261 section 20.5)."""
    allowed = message.headers.get("Allow")
    if allowed is None or allowed == ALLOW:
        return ALLOW
    return _narrowed(", ".join(message.headers.get_all("Allow")))


@lru_cache(256)
def _narrowed(allowed: str) -> str:
    names = {name.strip().upper() for name in allowed.split(",")}
    return ", ".join(name for name in ALLOWED if name in names or name in ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS"))


# -- what the target answers -------------------------------------------------------------------------------------------


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
            body = _answer_sdp(context, call, response)
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


def _answer_sdp(context: Context, call: Call, response: Response) -> bytes:
    """The B leg's SDP in a 2xx (or 18x), rewritten for the A leg; empty where there is none to give."""
    if not response.body or response.content_type != "application/sdp":
        return call.early_answer if call.offer_in_invite else b""
    media = call.media
    assert media is not None
    if call.offer_in_invite:
        exchange = media.answer("b", response.body, context.now)
    else:
        exchange = media.offer("b", response.body, context.now)
    context.apply(exchange)
    return exchange.sdp


def pass_provisional(context: Context, call: Call, event: object) -> None:
    response = event
    assert isinstance(response, Response)
    body = b""
    if response.body and call.offer_in_invite:
        try:
            body = call.early_answer = _answer_sdp(context, call, response)
        except MediaError as fault:  # an unreliable answer may be ignored: the one that counts is in the 2xx (13.2.1)
            context.decided(call, "adapt_media", "media", "early answer ignored", fault.reason)
    if call.record.ringing is None and response.status == 180:
        call.record.ringing = context.now
    context.out.append(Respond(call.id, call.a.transaction, a_response(context, call, response, body)))


def a_response(context: Context, call: Call, received: Response, body: bytes) -> Response:
    """The A leg's response to its INVITE, built from the B leg's."""
    leg, other = call.a, call.b
    assert other is not None
    response = make_response(leg.invite, received.status, phrase(received, other), to_tag=leg.local_tag, body=body)
    headers = response.headers
    if received.status < 300:
        headers.add("Contact", leg.contact)
        headers.add("Allow", allow(received))
    own_agent(context, headers, "Server")
    crossing.cross_headers(received.headers, headers, border(other, leg))
    if body:
        headers.add("Content-Type", "application/sdp")
    context.rewrite(call, leg, response, received)
    return response


def phrase(received: Response, source: Leg) -> str | None:
    """The reason phrase as received, unless it is out of a hidden zone; then the standard one of its status."""
    return None if source.zone.hidden else received.reason


def pass_answer(context: Context, call: Call, event: object) -> None:
    assert isinstance(event, tuple)
    received, body = event
    leg, other = call.a, call.b
    assert other is not None
    context.deadlines.clear(call.id, "no answer")
    if context.settings.longest_call:
        context.deadlines.set(call.id, "longest", context.now + context.settings.longest_call)
    call.targets.clear()
    call.hops.clear()
    record = call.record
    record.answered, record.status = context.now, received.status
    if record.b is not None:
        record.b.status = received.status
        record.b.user_agent = received.headers.get("Server") or received.headers.get("User-Agent") or ""
    if call.offer_in_invite or not received.body:
        acknowledge(context, call, other, received, b"")
    else:
        other.ack_owed = received
    response = a_response(context, call, received, body)
    answer_invite(context, call, leg, leg.transaction, response, leg.invite.cseq.number)
    context.out.append(CallChanged(record_copy(record)))


def answer_invite(
    context: Context, call: Call, leg: Leg, transaction: TransactionId, response: Response, cseq: int
) -> None:
    """Send a 2xx to an INVITE of `leg`, again and again until its ACK comes (13.3.1.4)."""
    timers = context.settings.timers
    leg.unacked = Unacked(transaction, response, cseq, timers.t1, context.now + 64 * timers.t1)
    context.deadlines.set(call.id, f"2xx {leg.side}", context.now + timers.t1)
    context.out.append(Respond(call.id, transaction, response))


def acknowledge(context: Context, call: Call, leg: Leg, response: Response, body: bytes) -> None:
    """ACK a 2xx to an INVITE that we sent on `leg` (13.2.2.4)."""
    assert leg.dialog is not None
    cseq = response.cseq.number
    request = leg.dialog.request("ACK", None, cseq=cseq)
    if body:
        request.body = body
        request.headers.add("Content-Type", "application/sdp")
    leg.ack = (cseq, request, leg.hop)
    leg.ack_owed = None
    context.rewrite(call, leg, request, None)
    context.out.append(SendAck(call.id, request, leg.hop))


def refuse_answer(context: Context, call: Call, event: object) -> None:
    """The 2xx cannot be served: ACK and BYE for its sender, a failure for the caller."""
    assert isinstance(event, tuple)
    assert call.b is not None
    response, ending = event
    acknowledge(context, call, call.b, response, b"")
    teardown.hang_up(context, call, call.b, ending.reason)
    refuse_call(context, call, ending)


def pass_refusal(context: Context, call: Call, event: object) -> None:
    """The caller gets the best failure response, or 503 where no target answered at all."""
    received = event
    if not isinstance(received, Response):
        refuse_call(context, call, Ending("sbc", "no target could be reached", 503))
        return
    status = received.status
    if status < 400:
        context.decided(call, "call", "call", "480 for the caller", f"the target redirected ({status})")
        refuse_call(context, call, Ending("callee", f"{status} {received.reason}", 480))
        return
    response = a_response(context, call, received, b"")
    _final(context, call, response, Ending("callee", f"{status} {received.reason}"))


def refuse_call(context: Context, call: Call, event: object) -> None:
    """A final failure response of our own for the A leg."""
    assert isinstance(event, Ending)
    let_go(context, call, (event.reason,) if event.reason else ())
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
    teardown.close(context, call, ending)


def cancel_target(context: Context, call: Call, event: object) -> None:
    """The caller gave up (CANCEL, or BYE in an early dialog)."""
    assert isinstance(event, Request)
    let_go(context, call, tuple(crossed_reasons(context, call, event)))
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
    let_go(context, call, ('SIP;cause=408;text="No answer"',))
    refuse_call(context, call, Ending("sbc", "no answer", 408))


# -- repetitions -------------------------------------------------------------------------------------------------------


def repeat_ack(context: Context, call: Call, leg: Leg, response: Response) -> None:
    """A repeated 2xx to an INVITE of ours: its ACK was lost, send it again (13.2.2.4)."""
    if leg.ack is not None and leg.ack[0] == response.cseq.number:
        context.out.append(SendAck(call.id, leg.ack[1], leg.ack[2]))


def repeat_2xx(context: Context, call: Call, leg: Leg, unacked: Unacked) -> None:
    """13.3.1.4: at T1, doubling up to T2, "regardless of the transport"."""
    interval = min(2 * unacked.interval, context.settings.timers.t2)
    leg.unacked = unacked._replace(interval=interval)
    context.deadlines.set(call.id, f"2xx {leg.side}", min(context.now + interval, unacked.give_up))
    context.out.append(Respond(call.id, unacked.transaction, unacked.response))


# -- where an element is -----------------------------------------------------------------------------------------------


def names_of(context: Context, leg: Leg, message: Request | Response) -> tuple[str, ...]:
    """What names the element of `leg` and its network, as far as `message` tells."""
    names = {*context.places.names(leg.zone), leg.hop.remote.host}
    if message.contact is not None:
        names.add(message.contact.uri.host)
    if "@" in message.call_id:
        names.add(message.call_id.rpartition("@")[2].lower())
    names.discard("")
    return tuple(names)


def follow_target(context: Context, leg: Leg, message: Request | Response) -> None:
    """Point `leg.hop` to where requests inside its dialog go: the route set, else the remote target that `message` has
    just set (12.2.1.1).

    An element behind a NAT, or one whose next hop is a host name, keeps getting them where its signalling comes from:
    the name is the one that led there.
    """
    if leg.fixed_hop or leg.dialog is None:
        return
    try:
        if leg.dialog.route_set:
            uri = parse_name_address(leg.dialog.route_set[0]).uri
        elif message.contact is not None:
            uri = message.contact.uri
        else:
            return
    except SipError:
        return
    hop = leg.hop
    transport = (uri.params.get("transport") or "UDP").upper()
    remote = Address(uri.host, uri.port or 5060)
    if (remote == hop.remote and transport == hop.transport) or not is_address(uri.host):
        return
    listener = leg.listener
    if transport != hop.transport or (":" in uri.host) != (":" in hop.local.host):
        found = context.places.listener(leg.zone.name, transport, uri.host)
        if found is None:
            return
        listener = found
    same_stream = transport == hop.transport and uri.host == hop.remote.host
    leg.hop = Hop(leg.zone.name, transport, listener.local, remote, hop.connection if same_stream else None)


@lru_cache(4096)
def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
