"""Session timers (RFC 4028), on each leg for itself: what the two elements agreed with us may differ in every respect.

Towards an element that asks us for a session we are the UAS (section 9), towards one that we ask the UAC (section 7).
Whoever is the refresher asks again at half the interval, the other hangs up shortly before its end (section 10).
"""

from __future__ import annotations

from sbc.b2bua import exchange
from sbc.b2bua.call import Call, CallState, Ending, Input, Leg, SessionTimer
from sbc.b2bua.context import Context
from sbc.b2bua.hooks import Reject
from sbc.b2bua.network import Mode, Settings
from sbc.sip import Headers, Request, Response, SipError, parse_seconds

_EXPIRED = Ending("sbc", "session timer", 408, reason='SIP;cause=408;text="Session timer expired"')
_LEAST = 90
"""Seconds: what Min-SE means where it is not said (section 5)."""
_BRIEFEST = 10
"""Seconds: a peer that answers with less has us ask again no more often than that (unless less is configured)."""
_LONGEST = 86400
"""Seconds: nobody can want to know less often than once a day whether a call still is."""
_SOON = 2.0
_MOST_RAISES = 4
"""422s of one element in a row; each proxy on the way may want more than the one before."""


# -- we are the UAS ----------------------------------------------------------------------------------------------------


def too_small(context: Context, leg: Leg, request: Request) -> Reject | None:
    """Section 9: a Session-Expires below our Min-SE is refused with 422, if its sender can mend it."""
    if leg.how.session_timer is Mode.NEVER or "Session-Expires" not in request.headers:
        return None
    interval = _interval(request.headers)
    least = context.settings.min_session_expires
    if interval is None or interval >= least or "timer" not in leg.supports:
        return None
    return Reject("call", 422, f"Session-Expires {interval}", headers=(("Min-SE", str(least)),))


def answer(context: Context, call: Call, leg: Leg, request: Request, headers: Headers) -> None:
    """Put into our 2xx what was agreed (section 9, table 2), and set the clock."""
    mode = leg.how.session_timer
    speaks = "timer" in leg.supports
    if mode is Mode.NEVER or (not speaks and mode is not Mode.ALWAYS):
        stop(context, call, leg)
        return
    asked = _interval(request.headers)
    if asked is None:  # we ask; "MUST NOT" less than the Min-SE of the request
        asked = max(context.settings.session_expires, context.settings.min_session_expires, _min_se(request.headers))
    interval = max(1, min(asked, _LONGEST))
    refresher = "uas"
    if speaks:
        refresher = _refresher(request.headers) or ("uas" if leg.timer is not None and leg.timer.ours else "uac")
        headers.add("Require", "timer")
    headers.add("Session-Expires", f"{interval};refresher={refresher}")
    _start(context, call, leg, interval, refresher == "uas")


# -- we are the UAC ----------------------------------------------------------------------------------------------------


def ask(context: Context, leg: Leg, headers: Headers) -> None:
    """Put into a session request of ours what we would like (section 7.1), or what is agreed (section 7.4)."""
    if leg.how.session_timer is Mode.NEVER:
        return
    timer, settings = leg.timer, context.settings
    least = settings.min_session_expires
    interval, refresher = settings.session_expires, ""
    if timer is not None:
        least = max(least, timer.least)
        if timer.expires:
            interval, refresher = timer.interval, f";refresher={'uac' if timer.ours else 'uas'}"
    headers.add("Supported", "timer")
    headers.add("Session-Expires", f"{max(interval, least)}{refresher}")
    if least > _LEAST:
        headers.add("Min-SE", str(least))


def answered(context: Context, call: Call, leg: Leg, response: Response) -> None:
    """A 2xx to a session request of ours: it says who refreshes (section 7.2)."""
    mode = leg.how.session_timer
    interval = _interval(response.headers)
    if mode is Mode.NEVER or (interval is None and mode is not Mode.ALWAYS):
        stop(context, call, leg)
        return
    if interval is None:
        _start(context, call, leg, context.settings.session_expires, True)
    else:
        _start(context, call, leg, interval, (_refresher(response.headers) or "uac") == "uac")


def raised(settings: Settings, leg: Leg, response: Response) -> bool:
    """A 422: remember what the element wants at least (section 7.3). False if that leads nowhere."""
    timer = leg.timer
    least = min(_min_se(response.headers), 2 * _LONGEST)
    known = max(settings.min_session_expires, timer.least if timer is not None else 0)
    asked = timer.interval if timer is not None and timer.expires else settings.session_expires
    if leg.how.session_timer is Mode.NEVER or not max(known, asked) < least <= _LONGEST:
        return False
    if timer is None:
        timer = leg.timer = SessionTimer(0)
    timer.least = least
    timer.raises += 1
    return timer.raises <= _MOST_RAISES


# -- the clock ---------------------------------------------------------------------------------------------------------


def _start(context: Context, call: Call, leg: Leg, interval: int, ours: bool) -> None:
    least = leg.timer.least if leg.timer is not None else 0
    lasts = max(interval, min(_BRIEFEST, context.settings.min_session_expires))
    # section 10: who does not refresh ends the session "at min(32, SE/3) seconds" before it expires
    expires = context.now + lasts - min(32.0, lasts / 3)
    leg.timer = SessionTimer(interval, ours, least, expires)
    # "refreshes ... at half the session expiration"
    context.deadlines.set(call.id, f"session {leg.side}", context.now + lasts / 2 if ours else expires)


def stop(context: Context, call: Call, leg: Leg) -> None:
    if leg.timer is not None:
        leg.timer = None
        context.deadlines.clear(call.id, f"session {leg.side}")


def due(context: Context, call: Call, leg: Leg | None) -> None:
    """Half the interval is over, or nearly all of it."""
    if leg is None or leg.timer is None or call.state is CallState.CLOSING:
        return
    timer = leg.timer
    if context.now >= timer.expires:
        context.step(call, Input.ENDED_HERE, _EXPIRED)
    elif exchange.refresh(context, call, leg):
        context.deadlines.set(call.id, f"session {leg.side}", timer.expires)
    else:  # another exchange is under way: it may bring the refresh
        _later(context, call, leg, timer, _SOON)


def not_refreshed(context: Context, call: Call, leg: Leg | None) -> None:
    """Our refresh was refused, or had to make way: the element lives, and is asked again as long as there is time."""
    if leg is not None and leg.timer is not None and leg.timer.expires:
        _later(context, call, leg, leg.timer, max(_SOON, leg.timer.interval / 20))


def _later(context: Context, call: Call, leg: Leg, timer: SessionTimer, pause: float) -> None:
    context.deadlines.set(call.id, f"session {leg.side}", min(timer.expires, context.now + pause))


def _interval(headers: Headers) -> int | None:
    value = headers.get("Session-Expires")
    try:
        return parse_seconds(value) if value is not None else None
    except SipError:
        return None


def _min_se(headers: Headers) -> int:
    """What a request or a 422 says is the least; 0 where it says nothing that can be read."""
    try:
        return parse_seconds(headers.get("Min-SE") or "")
    except SipError:
        return 0


def _refresher(headers: Headers) -> str:
    value = (headers.get("Session-Expires") or "").lower().replace(" ", "")
    _, found, rest = value.partition(";refresher=")
    who = rest.partition(";")[0]
    return who if found and who in ("uac", "uas") else ""
