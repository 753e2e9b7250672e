"""Digits (DTMF): telephone-events (RFC 4733) of one leg become SIP INFO on the other, and the other way round.

Where both elements speak telephone-events, these pass in RTP and nothing is done here; where neither does, INFO passes
as any other. Between one that has them and one that takes INFO (of no package, as `application/dtmf-relay`: what RFC
6086 calls legacy usage) each digit is said again as the other one wants it. Digits may be card numbers: which one it is
stands in no log, trail or record.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sbc.b2bua.call import Call, CallState, Ending, Input, Leg, Purpose
from sbc.b2bua.commands import SendDtmf
from sbc.b2bua.context import Context, answer, own_agent
from sbc.b2bua.network import DigitsBy
from sbc.media import (
    Dtmf,
    DtmfReceived,
    FlowId,
    MediaSession,
    dtmf_flow,
    signal_dtmf,
    takes_events,
    treat_dtmf,
)
from sbc.sip import Request, Response, SipError, TransactionId

RELAY, PLAIN = "application/dtmf-relay", "application/dtmf"
SHORTEST, USUAL, LONGEST = 100, 250, 5000
"""Milliseconds of a digit: less is taken for the shortest, more for the longest, none said for the usual."""
_MOST_WAITING = 32
"""Digits that wait for the answer to the one before."""
_CODES = "0123456789*#ABCD!"
"""By event code (RFC 4733 section 3.2); "!" stands for a flash."""
_DEAF = frozenset({401, 403, 405, 407, 415, 469, 488, 501})
"""Answers to a digit after which the next one would get the same."""


@dataclass(slots=True)
class Digits:
    """Of one leg."""

    kind: str = RELAY
    """Content type in which the element gets digits: the one that it uses itself."""
    sends: bool = False
    """It has sent digits by INFO."""
    twice: bool = False
    """It sends each digit as a telephone-event as well."""
    deaf: bool = False
    """It has refused digits by INFO."""
    waiting: list[tuple[str, int]] = field(default_factory=list)
    """Digits and their milliseconds, to be sent to it one after the other."""
    branch: TransactionId = ""
    """Of the INFO that is out."""
    told: set[str] = field(default_factory=set)
    """What the trail says of it already."""


# -- what media are told -----------------------------------------------------------------------------------------------


def prepare(session: MediaSession, leg: Leg, other: Leg | None) -> None:
    """Before a description of `leg` is given to its `session`: what may become of digits for it."""
    signal_dtmf(session, leg.side, _by_info(leg) or _may_be_tried(leg, other))


def _by_info(leg: Leg) -> bool:
    """Whether its element takes digits by INFO, for all that we know."""
    how = leg.how.dtmf
    if how is not DigitsBy.AUTO:
        return how is DigitsBy.INFO
    return (leg.allows is not None and "INFO" in leg.allows) or (leg.digits is not None and leg.digits.sends)


def _may_be_tried(leg: Leg, other: Leg | None) -> bool:
    """The other element speaks nothing but telephone-events: then it is offered them whatever this one says."""
    return leg.how.dtmf is DigitsBy.AUTO and other is not None and other.how.dtmf is DigitsBy.RTP


# -- INFO into telephone-events ----------------------------------------------------------------------------------------


def taken(context: Context, call: Call, leg: Leg, other: Leg, request: Request, transaction: TransactionId) -> bool:
    """An INFO of `leg` has a digit that `other` gets otherwise than by this INFO: it is answered here. False: it
    passes."""
    kind, media = _kind(request), call.media
    if not kind or media is None:
        return False
    digits = _of(leg)
    digits.sends, digits.kind = True, kind
    by_events = takes_events(media, other.side)
    if not by_events and not _is_ignored(leg, digits, media) and (other.digits is None or other.digits.kind == kind):
        return False
    try:
        digit, duration = _read(kind, request.body)
    except ValueError as fault:
        context.decided(call, "call", "dtmf", "INFO refused: 400", str(fault))
        answer(context, call.id, request, transaction, 400, "Malformed DTMF Body")
        return True
    answer(context, call.id, request, transaction, 200)
    if _is_ignored(leg, digits, media):
        _say_once(context, call, leg, "INFO ignored", "its digits come as telephone-events")
    elif by_events:
        _say_once(context, call, leg, "INFO becomes RFC 4733", f"leg {other.side} speaks telephone-events")
        flow_id = dtmf_flow(media, other.side) or _listen(context, call, leg, media, other.side)
        if flow_id is not None:
            context.out.append(SendDtmf(flow_id, other.side, digit, duration))
    else:
        _put(context, call, other, digit, duration)
    return True


def _kind(request: Request) -> str:
    """The content type of a digit; "" for any other INFO, those of a package (RFC 6086) among them."""
    try:
        kind = request.content_type if request.body else None
    except SipError:
        return ""
    if kind not in (RELAY, PLAIN) or "Info-Package" in request.headers or "Content-Encoding" in request.headers:
        return ""
    return kind


def _is_ignored(leg: Leg, digits: Digits, media: MediaSession) -> bool:
    """Its digits come as telephone-events already: what it says by INFO would be said twice."""
    return digits.twice or (leg.how.dtmf is DigitsBy.RTP and takes_events(media, leg.side))


def _listen(context: Context, call: Call, leg: Leg, media: MediaSession, side: str) -> FlowId | None:
    """Both legs speak telephone-events, and `leg` uses INFO all the same: packets go through the hands of the plane
    from now on, so that digits can be put between them, and we hear whether it sends events as well."""
    context.apply(call, treat_dtmf(media, leg.side, Dtmf.REPORT))
    return dtmf_flow(media, side)


_LINE = re.compile(r"[ \t]*(\w+)[ \t]*=[ \t]*(\S*)[ \t]*", re.ASCII)
_LONGEST_BODY = 256


def _read(kind: str, body: bytes) -> tuple[str, int]:
    """Digit and milliseconds. Raises ValueError, which does not say what it has read."""
    if len(body) > _LONGEST_BODY:
        raise ValueError("too long for one digit")
    text = body.decode("latin-1").strip()
    if kind == PLAIN:
        return _digit(text), USUAL
    fields: dict[str, str] = {}
    for line in filter(None, text.splitlines()):
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError("a line that is no name=value")
        fields.setdefault(match[1].lower(), match[2])
    duration = fields.get("duration") or str(USUAL)
    if not (duration.isascii() and duration.isdigit()):
        raise ValueError("a duration that is no number")
    return _digit(fields.get("signal", "")), _held(int(duration))


def _digit(text: str) -> str:
    """A digit as written, or by its event code."""
    upper = text.upper()
    if len(upper) == 1 and upper in _CODES:
        return upper
    if len(upper) == 2 and upper.isascii() and upper.isdigit() and 10 <= int(upper) < len(_CODES):
        return _CODES[int(upper)]
    raise ValueError("no digit")


def _held(duration: int) -> int:
    return max(SHORTEST, min(duration, LONGEST))


# -- telephone-events into INFO ----------------------------------------------------------------------------------------


def heard(context: Context, call: Call, event: DtmfReceived) -> None:
    """A telephone-event of one leg is over."""
    leg = call.leg(event.side)
    other = call.b if event.side == "a" else call.a
    if leg is None or other is None or call.media is None or call.state is CallState.CLOSING:
        return
    flow = next((flow for flow in call.media.flows() if flow.id == event.flow_id), None)
    if flow is None:
        return
    if not (flow.events_a if event.side == "a" else flow.events_b).swallow:  # it has passed
        _of(leg).twice = True
    elif leg.digits is not None and leg.digits.sends and not _is_ignored(leg, leg.digits, call.media):
        _say_once(context, call, leg, "telephone-events ignored", "its digits come by INFO")
    else:
        _say_once(context, call, leg, "RFC 4733 becomes INFO", f"leg {other.side} has no telephone-events")
        _put(context, call, other, event.digit, _held(event.duration))


def _put(context: Context, call: Call, leg: Leg, digit: str, duration: int) -> None:
    """A digit for the element of `leg`, after those that are on their way to it."""
    digits = _of(leg)
    if digits.deaf or leg.dialog is None or leg.told_the_end or not _by_info(leg):
        _say_once(context, call, leg, "a digit was dropped", "the element takes none by INFO")
    elif len(digits.waiting) >= _MOST_WAITING:
        _say_once(context, call, leg, "a digit was dropped", "too many wait for the answer to an INFO")
    else:
        digits.waiting.append((digit, duration))
        _send_next(context, call, leg, digits)


def _send_next(context: Context, call: Call, leg: Leg, digits: Digits) -> None:
    """One INFO at a time, so that digits arrive in their order whatever becomes of a datagram."""
    if digits.branch or not digits.waiting or leg.dialog is None or leg.told_the_end:
        return
    digit, duration = digits.waiting.pop(0)
    text = f"Signal={digit}\r\nDuration={duration}\r\n" if digits.kind == RELAY else digit
    info = leg.dialog.request("INFO", None)
    info.headers.add("Content-Type", digits.kind)
    info.body = text.encode()
    own_agent(context, info.headers, "User-Agent")
    digits.branch = context.send(call, leg, Purpose.DIGIT, info)


def answered(context: Context, call: Call, branch: TransactionId, response: Response) -> None:
    """A response to an INFO of ours."""
    status = response.status
    if status < 200:
        return
    call.clients.pop(branch, None)
    leg = _waiting_for(call, branch)
    if leg is None:
        return
    digits = _of(leg)
    if status >= 300:
        _say_once(context, call, leg, "a digit was refused", f"{status} to INFO")
    if status in (408, 481) and leg.confirmed:
        _gone(context, call, f"{status} to INFO")
    elif status in _DEAF:
        digits.deaf = True
        digits.waiting.clear()
    else:
        _send_next(context, call, leg, digits)


def lost(context: Context, call: Call, branch: TransactionId, timed_out: bool) -> None:
    """No answer to an INFO of ours, which ends the call (12.2.1.2), or it could not be sent, which need not last."""
    leg = _waiting_for(call, branch)
    if leg is None:
        return
    if timed_out and leg.confirmed:
        _gone(context, call, "no answer to INFO")
    else:
        _say_once(context, call, leg, "a digit was lost", "the INFO could not be sent")
        _send_next(context, call, leg, _of(leg))


def _waiting_for(call: Call, branch: TransactionId) -> Leg | None:
    """The leg on which that INFO was out; it is not any more."""
    for leg in (call.a, call.b):
        if leg is not None and leg.digits is not None and leg.digits.branch == branch:
            leg.digits.branch = ""
            return leg
    return None


def _gone(context: Context, call: Call, cause: str) -> None:
    context.step(call, Input.ENDED_HERE, Ending("sbc", cause, reason='SIP;cause=481;text="Dialog lost"'))


# -- both --------------------------------------------------------------------------------------------------------------


def moved(leg: Leg) -> None:
    """The leg goes over to another call: what is under way on it stays behind."""
    if leg.digits is not None:
        leg.digits.waiting.clear()
        leg.digits.branch = ""
        leg.digits.told.clear()


def _of(leg: Leg) -> Digits:
    if leg.digits is None:
        leg.digits = Digits()
    return leg.digits


def _say_once(context: Context, call: Call, leg: Leg, verdict: str, reason: str) -> None:
    """The trail tells it for the first digit; which digit it was it never tells."""
    told = _of(leg).told
    if verdict not in told:
        told.add(verdict)
        context.decided(call, "call", "dtmf", verdict, f"leg {leg.side}: {reason}")
