"""The first offer of a call and its answers: across targets, forks, reliable and unreliable responses.

RFC 3264, RFC 3261 section 13.2.1, RFC 3262 section 5, RFC 6337 section 3.1. To the A leg the call is one dialog with
one answer; on the B side each early dialog gives an answer of its own, and the last one that spoke is heard.
"""

from __future__ import annotations

from sbc.b2bua import bodies, dtmf, privacy, reliable
from sbc.b2bua.call import Call, Heard, Leg
from sbc.b2bua.commands import ApplyFlow, RemoveFlow
from sbc.b2bua.context import Context
from sbc.media import MediaError, SideFacts
from sbc.sip import Response

_MOST_ANSWERS = 32
"""Of forks; more are not remembered."""


def made_for(context: Context, call: Call, leg: Leg, alone: bool) -> bytes:
    """The A leg's offer as a B leg gets it; empty where the A leg left the offer to the other side. Targets that are
    tried together get the same one: only one that is `alone` has it made anew. Raises MediaError."""
    first, received = call.first, call.a.invite
    if not alone:
        return first.sent
    facts = side_facts(leg)
    if call.media is None:
        call.media = context.media.open(call.id, side_facts(call.a), facts)
    else:
        for flow_id in call.media.retarget(facts, context.now):
            context.out.append(RemoveFlow(flow_id))
        first.speaker = ("", "")
        first.settled = False
        if not first.given:
            first.told = b""
    dtmf.prepare(call.media, call.a, leg)
    body = bodies.session_description(received)
    if not body:
        return b""
    first.by_caller = True
    if first.given:  # the A leg has its answer: it is told of another one by an offer of our own
        first.sent = call.media.offer_of("a", context.now)
    else:
        first.sent = context.offered(call, call.media.offer("a", body, context.now))
    return first.sent


def may_be_repeated(call: Call) -> bool:
    """Whether another target may still be tried: not when the A leg has answered the offer of one."""
    return call.first.by_caller or not call.first.settled


def side_facts(leg: Leg) -> SideFacts:
    told = leg.zone if leg.peer is None else leg.peer
    host = leg.hop.remote.host
    # RFC 3323 section 5.2: the caller's session tells no more of it than one out of a hidden zone
    hidden = leg.zone.hidden or (leg.side == "a" and "session" in privacy.wishes(leg.invite.headers))
    return SideFacts(leg.zone.media_v4, leg.zone.media_v6, told.latching, host, hidden, ":" in host, told.media)


def heard(context: Context, call: Call, leg: Leg, response: Response, firm: bool) -> bytes:
    """The SDP in a response to the INVITE of `leg`, for the A leg; empty where there is none to give. `firm`: it is a
    reliable provisional response, on both legs if the offer is in it, on this one if the answer is.

    Raises MediaError.
    """
    speaker = (leg.local_tag, response.to.tag or "")
    said = bodies.session_description(response)
    if call.first.by_caller:
        return _answer(context, call, leg, speaker, said, response.status >= 200, firm)
    return _offer(context, call, leg, speaker, said, response.status >= 200, firm)


def _answer(
    context: Context, call: Call, leg: Leg, speaker: tuple[str, str], said: bytes, final: bool, firm: bool
) -> bytes:
    first, media = call.first, call.media
    assert media is not None
    known = first.answers.get(speaker)
    if known is not None and known.firm:
        # RFC 3261 13.2.1: "any session descriptions in subsequent responses" are ignored
        said, firm = known.sdp, True
    elif not said:  # what is reliable has none; an earlier one that was not is good enough for a sloppy 2xx
        said, firm = known.sdp if known is not None else b"", False
    if not said:
        if final:
            raise MediaError(488, "the answer to the INVITE has no session description")  # 13.2.1
        return b""
    if speaker == first.speaker and known is not None and known.firm:
        return first.told
    if known is not None or len(first.answers) < _MOST_ANSWERS:
        first.answers[speaker] = Heard(said, firm)
    if not final and _is_busy(call):
        return b""  # it is heard when it takes the call
    _face(context, call, leg)
    if first.given:  # the A leg has its answer; this one is to the offer that this element has, whatever came since
        media.standing("b")
        context.apply(call, media.answer("b", said, context.now))
        first.retell = True
    else:
        exchange = media.answer("b", said, context.now, final=final or firm or first.settled)
        context.apply(call, exchange)
        first.told = exchange.sdp
    first.settled = first.settled or firm
    first.speaker = speaker
    return first.told


def _is_busy(call: Call) -> bool:
    """A new offer is open between the A leg and another early dialog."""
    return call.exchange is not None or any(prack.offer for prack in call.pracks.values())


def _offer(
    context: Context, call: Call, leg: Leg, speaker: tuple[str, str], said: bytes, final: bool, firm: bool
) -> bytes:
    first, media = call.first, call.media
    assert media is not None
    if first.settled:
        if final and speaker != first.speaker:
            raise MediaError(488, "another fork has agreed on the session")
        return b""  # offer and answer went in a reliable provisional response and its PRACK
    if not said or not (final or firm):
        return b""
    _face(context, call, leg)
    exchange = media.offer("b", said, context.now)
    context.apply(call, exchange)
    first.speaker = speaker
    first.settled = not final
    return exchange.sdp


def _face(context: Context, call: Call, leg: Leg) -> None:
    """Media come from the element of `leg` now."""
    if call.media is not None:
        dtmf.prepare(call.media, leg, call.a)
    if len(call.b_legs) > 1 and call.media is not None:
        for flow in call.media.now_facing(side_facts(leg)):
            context.out.append(ApplyFlow(flow))


def agreed_with(call: Call, leg: Leg, tag: str) -> bool:
    """Whether the session stands between the A leg and the early dialog `tag` of B leg `leg`, so that either may make a
    new offer before the answer (RFC 3311 section 5.1)."""
    first = call.first
    if not first.settled or first.speaker != (leg.local_tag, tag) or reliable.answer_waits(call):
        return False
    answer = first.answers.get(first.speaker)
    return not first.by_caller or (first.given and answer is not None and answer.firm)
