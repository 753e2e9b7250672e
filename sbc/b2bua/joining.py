"""Two calls exchange a leg, which is what every transfer comes down to that is done here.

In one call somebody talks to the transferor, in another one there is who is wanted. The former takes the transferor's
place in the latter; left over is a call in which there is nobody but the transferor. The legs stay the user agents that
they are, with their dialogs, ports and timers; offers of our own make each known to the other, where they must be.
"""

from __future__ import annotations

from sbc.b2bua import capabilities, connected, dtmf, exchange, session_timer, teardown
from sbc.b2bua.call import Call, CallState, Ending, Input, Leg, Purpose, Sent
from sbc.b2bua.commands import CallChanged, RemoveFlow
from sbc.b2bua.context import Context
from sbc.media import MediaError
from sbc.sip import Request, Response

PURPOSE = "join"
"""Of the offers that make the two known to each other."""
_MOST_ROUNDS = 6
_SOON = 0.5
_APART = Ending("sbc", "no common media after a transfer", 488, reason='SIP;cause=488;text="No common media"')
_UNDER_WAY = (CallState.ANSWERED, CallState.ESTABLISHED)


def may_move(call: Call, leg: Leg) -> bool:
    """Nothing is under way in `call` that would not survive that `leg` is in another one."""
    if call.state not in _UNDER_WAY or call.exchange is not None or call.media is None or call.media.closed:
        return False
    return leg.confirmed and not leg.told_the_end and leg.unacked is None and leg.ack_owed is None


def join(context: Context, call: Call, side: str, rest: Call, rest_side: str) -> None:
    """The leg on `rest_side` of `rest` takes the place of the one on `side` of `call`, which goes there. Raises
    MediaError, and then nothing has happened."""
    assert call.media is not None
    assert rest.media is not None
    streams = teardown.stream_records(rest.media)
    comes, stays = rest.leg(rest_side), call.b if side == "a" else call.a
    assert comes is not None
    assert stays is not None
    dtmf.prepare(call.media, stays, comes)
    dtmf.prepare(rest.media, comes, stays)
    result = call.media.bridge(side, rest.media, rest_side, context.now)
    for each in (call, rest):
        teardown.end_relays(context, each)
        each.refers.clear()
    rest.record.streams, rest.media = streams, None
    for flow_id in result.removed:
        call_id, _, _ = flow_id.rpartition("/")
        if call_id == rest.id:
            rest.draining_flows.add(flow_id)
        context.out.append(RemoveFlow(flow_id))
    context.apply(call, result._replace(removed=()))
    _swap(context, call, side, rest, rest_side)
    _rewrite_record(context, call, side, rest, rest_side)
    call.first.retell = False
    call.rounds = 0
    call.introductions.clear()
    rest.introductions.clear()
    if call.b is not None:
        connected.met(context, call, call.a, call.b)
        connected.met(context, call, call.b, call.a)
    call.partner, rest.partner = rest.id, call.id
    context.decided(call, "call", "transfer", "joined", f"leg {side} is now who was in call {rest.id}")
    context.decided(rest, "call", "transfer", "joined", f"its leg {rest_side} goes on in call {call.id}")


def _rewrite_record(context: Context, call: Call, side: str, rest: Call, rest_side: str) -> None:
    source = rest.record.a if rest_side == "a" else rest.record.b
    setattr(call.record, side, None if source is None else source.copy())
    context.out.append(CallChanged(call.record.copy()))


def _swap(context: Context, call: Call, side: str, rest: Call, rest_side: str) -> None:
    mine, theirs = call.leg(side), rest.leg(rest_side)
    assert mine is not None
    assert theirs is not None
    clocks = _take_clocks(context, call, side), _take_clocks(context, rest, rest_side)
    transactions = _take_transactions(call, side), _take_transactions(rest, rest_side)
    _put(context, call, side, theirs, clocks[1])
    _put(context, rest, rest_side, mine, clocks[0])
    call.ended_forks |= rest.ended_forks
    rest.ended_forks |= call.ended_forks
    for branch, sent in transactions[0].items():
        rest.clients[branch] = sent._replace(side=rest_side, attempt=0)
    for branch, sent in transactions[1].items():
        call.clients[branch] = sent._replace(side=side, attempt=0)


def _take_clocks(context: Context, call: Call, side: str) -> dict[str, float]:
    """The deadlines of one leg: those that are named after its side."""
    clocks = {}
    for kind in context.deadlines.of(call.id):
        name, _, of = kind.rpartition(" ")
        if of == side:
            clocks[name] = context.deadlines.take(call.id, kind) or context.now
    return clocks


def _take_transactions(call: Call, side: str) -> dict[str, Sent]:
    """Those of one leg that were answered, but may be answered again."""
    kept = (Purpose.INVITE, Purpose.EXCHANGE)
    taken = {branch: sent for branch, sent in call.clients.items() if sent.side == side and sent.purpose in kept}
    for branch in taken:
        del call.clients[branch]
    return taken


def _put(context: Context, call: Call, side: str, leg: Leg, clocks: dict[str, float]) -> None:
    leg.side = side
    dtmf.moved(leg)
    if side == "a":
        call.a = leg
    else:
        call.b = leg
    key = (leg.invite.call_id, leg.local_tag)
    if key in context.dialogs:
        context.dialogs[key] = (call, leg)
    for name, when in clocks.items():
        context.deadlines.set(call.id, f"{name} {side}", when)


def stand_in(side: str, of: Leg, local_tag: str, invite: Request) -> Leg:
    """A leg with nobody behind it, in the place that `of` is to take."""
    leg = Leg(side, of.zone, of.peer, of.listener, of.hop, of.contact, local_tag, "", invite)
    leg.names, leg.told_the_end = of.names, True  # nobody is to be told anything on it
    return leg


def part(context: Context, call: Call, leg: Leg, reason: str) -> None:
    """Nobody is behind `leg` any more: it gets a BYE."""
    session_timer.stop(context, call, leg)
    teardown.hang_up(context, call, leg, reason)


# -- what the two know of each other -----------------------------------------------------------------------------------


def agree(context: Context, call: Call) -> None:
    """Offer each of the two what the other one said last, until nothing of it is news."""
    media = call.media
    if call.state not in _UNDER_WAY or media is None:
        return
    for told, source in ((call.a, "b"), (call.b, "a")):
        if told is None or call.rounds >= _MOST_ROUNDS:
            continue
        if not may_move(call, told):
            context.deadlines.set(call.id, "agree", context.now + _SOON)
            return
        try:
            body = media.offer_of(source, context.now)
        except MediaError as fault:
            context.decided(call, "adapt_media", "media", "not offered", fault.reason)
            continue
        if body and exchange.offer_to(context, call, told, body, PURPOSE):
            call.rounds += 1
            return
        if body:
            context.apply(call, media.reject(context.now))
            context.deadlines.set(call.id, "agree", context.now + _SOON)
            return
    if any(stream.apart for stream in media.streams):
        context.step(call, Input.ENDED_HERE, _APART)
        return
    for told in (call.a, call.b):
        if told is not None and told.side in call.introductions and _introduced(context, call, told):
            return


def _introduced(context: Context, call: Call, leg: Leg) -> bool:
    """Tell who has needed no offer who is there now; False where there is no way but a re-INVITE, for which this is too
    little an occasion."""
    if not capabilities.allows(leg, "UPDATE"):
        del call.introductions[leg.side]
        return False
    if not may_move(call, leg) or not exchange.refresh(context, call, leg, PURPOSE):
        context.deadlines.set(call.id, "agree", context.now + _SOON)
    return True


def agreed(context: Context, call: Call, response: Response) -> None:
    """One of the two has answered an offer of `agree`."""
    if response.status >= 300:
        call.rounds = _MOST_ROUNDS  # what one of them refused it would refuse again
    agree(context, call)
