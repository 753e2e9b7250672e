"""A call's end: whoever ends it, both legs learn it, the ports go back, and the last figures are gathered.

RFC 3261 sections 15 (BYE), 13.3.1.4 (no BYE before the ACK of our 2xx), RFC 3326 (Reason).
"""

from __future__ import annotations

from sbc.b2bua import bodies, crossing, exchange, gruus, reliable, session_timer
from sbc.b2bua.answers import acknowledge
from sbc.b2bua.call import Call, CallState, Ending, Leg, Purpose, Sent
from sbc.b2bua.commands import CallEnded, RemoveFlow, SendAck, SendRequest, StreamRecord
from sbc.b2bua.context import Context, answer, border, own_agent
from sbc.b2bua.whereabouts import hop_to
from sbc.media import MediaSession, StatsReport, StreamStats
from sbc.sip import Dialog, Request, Response


def end_by_peer(context: Context, call: Call, event: object) -> None:
    """A BYE came: `event` is (the request, its leg). It has been answered; the other leg is told."""
    assert isinstance(event, tuple)
    request, leg = event
    other = call.b if leg is call.a else call.a
    if other is not None:
        hang_up(context, call, other, "", request, leg)
    close(context, call, Ending("caller" if leg is call.a else "callee", "BYE"))


def end_by_sbc(context: Context, call: Call, event: object) -> None:
    assert isinstance(event, Ending)
    for leg in (call.a, call.b):
        if leg is not None:
            hang_up(context, call, leg, event.reason)
    close(context, call, event)


def hang_up(
    context: Context, call: Call, leg: Leg, reason: str, received: Request | None = None, source: Leg | None = None
) -> None:
    """Send a BYE on `leg`, once; after the ACK of our 2xx where that is still out (section 15)."""
    if leg.told_the_end or leg.dialog is None or not leg.confirmed:
        return
    leg.told_the_end = True
    if leg.ack_owed is not None:  # delayed offer: the 2xx must be acknowledged before the BYE (13.2.2.4)
        acknowledge(context, call, leg, leg.ack_owed, b"")
    bye = leg.dialog.request("BYE", None)
    if received is not None and source is not None:
        crossing.cross_headers(received.headers, bye.headers, border(source, leg))
        context.left_out(call, bodies.put(bye, b"", received, border(source, leg)))
    elif reason:
        bye.headers.add("Reason", reason)
    own_agent(context, bye.headers, "User-Agent")
    if leg.unacked is not None:
        leg.bye_owed = bye
    else:
        context.send(call, leg, Purpose.BYE, bye, received=received)


def send_owed_bye(context: Context, call: Call, leg: Leg) -> None:
    """The ACK came, or will not come any more: now the BYE may go."""
    if leg.bye_owed is not None:
        context.send(call, leg, Purpose.BYE, leg.bye_owed)
        leg.bye_owed = None


def close(context: Context, call: Call, ending: Ending) -> None:
    """Both legs know: give the ports back, stop the clocks, and wait for what is still under way."""
    record = call.record
    record.ended = context.now
    record.ended_by = ending.by
    record.cause = ending.cause
    context.decided(call, "call", "call", "ended", f"by {ending.by}: {ending.cause}")
    for kind in ("no answer", "longest", "drain"):
        context.deadlines.clear(call.id, kind)
    exchange.overtaken(context, call)
    reliable.overtaken(context, call)
    for leg in (call.a, call.b):
        if leg is not None:
            session_timer.stop(context, call, leg)
    end_relays(context, call)
    call.targets.clear()
    _forget_answered(context, call)
    if call.media is not None:
        call.record.streams = stream_records(call.media)
        for flow_id in call.media.close(context.now):
            call.draining_flows.add(flow_id)
            context.out.append(RemoveFlow(flow_id))
    if call.draining_flows:
        context.deadlines.set(call.id, "last figures", context.now + context.settings.final_stats_wait)


STRAYS_WAIT = 65
"""In T1: a cancelled INVITE brings its final response within 64 of them, or none that we would believe (9.1)."""


def drop_strays(call: Call) -> None:
    """Whatever has not been answered by now will not be."""
    call.clients = {branch: sent for branch, sent in call.clients.items() if sent.purpose is Purpose.BYE}


def stream_records(media: MediaSession) -> list[StreamRecord]:
    """What the streams are now."""
    return [StreamRecord(facts.media, facts.codecs[0] if facts.codecs else "") for facts in media.describe()]


def end_relays(context: Context, call: Call) -> None:
    """15.1.2: "the UAS ... MUST still respond to any pending requests ... RECOMMENDED that a 487 be generated"."""
    for relay in call.relays.values():
        answer(context, call.id, relay.request, relay.transaction, 487)
    call.relays.clear()


def _forget_answered(context: Context, call: Call) -> None:
    """Client transactions that have their final response need no more waiting for; the others have a limit."""
    waiting = {}
    for branch, sent in call.clients.items():
        leg = call.leg(sent.side)
        # forks that rang may have answered as well, before they heard that another one had (13.2.2.4)
        answered = leg is not None and (leg.reinvite == branch or (sent.purpose is Purpose.INVITE and not leg.forked))
        if not answered:
            waiting[branch] = sent
    call.clients = waiting
    if waiting:
        context.deadlines.set(call.id, "strays", context.now + STRAYS_WAIT * context.settings.timers.t1)


def figures(context: Context, call: Call, report: StatsReport) -> None:
    """The last figures of a removed flow."""
    call.draining_flows.discard(report.flow_id)
    index = int(report.flow_id.rpartition("/")[2])
    if index < len(call.record.streams):
        stream = call.record.streams[index]
        stream.a, stream.b = _figures(report.a), _figures(report.b)


def _figures(stats: StreamStats) -> dict[str, float | int | str]:
    source = f"{stats.source.host} {stats.source.port}" if stats.source is not None else ""
    return {**stats._asdict(), "source": source}


def settle(context: Context, call: Call) -> None:
    """Say `CallEnded` when the figures are in, and forget the call when nothing of it is under way any more."""
    if call.state is not CallState.CLOSING or call.id not in context.calls:
        return
    if not call.ended and not call.draining_flows:
        call.ended = True
        context.deadlines.clear(call.id, "last figures")
        context.out.append(CallEnded(call.record.copy()))
    if call.ended and not call.clients and _acknowledged(call.a) and (call.b is None or _acknowledged(call.b)):
        context.forget(call)


def _acknowledged(leg: Leg) -> bool:
    return leg.unacked is None and leg.bye_owed is None


def stray_answer(context: Context, call: Call, sent: Sent, response: Response) -> None:
    """A 2xx that nobody waits for (late, after CANCEL, of another fork): ACK and BYE (13.2.2.4, 9.1)."""
    dialog = Dialog.as_uac(sent.request, response)
    hop = hop_to(context, sent.hop, dialog, response)
    dialog.remote_target = gruus.dereferenced(context.registrations, dialog.remote_target, hop)
    ack = dialog.request("ACK", None, cseq=response.cseq.number)
    context.rewrite_alone(hop, ack)
    context.out.append(SendAck(call.id, ack, hop))
    fork = (dialog.call_id, dialog.remote_tag)
    if fork not in call.ended_forks and len(call.ended_forks) < _MOST_FORKS:
        call.ended_forks.add(fork)
        context.decided(call, "call", "call", "late answer ended", "a 2xx came that nobody waits for")
        bye = dialog.request("BYE", None)
        context.rewrite_alone(hop, bye)
        branch = context.tokens.branch()
        call.clients[branch] = Sent(Purpose.BYE, sent.side, bye, hop)
        context.out.append(SendRequest(call.id, branch, bye, hop))


_MOST_FORKS = 32
"""Late answers of more forks than this are not ended: nobody forks that far, but somebody may pretend to."""
