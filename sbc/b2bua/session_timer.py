"""Session timers (RFC 4028), on each leg for itself: what the two elements agreed with us may differ in every respect.

Towards an element that asks us for a session we are the UAS (section 9), towards one that we ask the UAC (section 7).
Whoever is the refresher asks again at half the interval, the other hangs up shortly before its end (section 10).
"""

from __future__ import annotations

from sbc.b2bua import exchange
from sbc.b2bua.call import Call, CallState, Ending, Input, Leg, SessionTimer
from sbc.b2bua.context import Context
from sbc.b2bua.hooks import Reject
from sbc.b2bua.network import Mode
from sbc.sip import Headers, Request, Response, SipError, parse_seconds

_EXPIRED = Ending("sbc", "session timer", 408, reason='SIP;cause=408;text="Session timer expired"')


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
    interval = max(asked or context.settings.session_expires, context.settings.min_session_expires)
    refresher = _refresher(request.headers) or ("uac" if speaks else "uas")
    if not speaks:
        refresher = "uas"
    headers.add("Session-Expires", f"{interval};refresher={refresher}")
    if speaks and refresher == "uac":
        headers.add("Require", "timer")
    _start(context, call, leg, interval, refresher == "uas")


# -- we are the UAC ----------------------------------------------------------------------------------------------------


def ask(context: Context, leg: Leg, headers: Headers) -> None:
    """Put into a session request of ours what we would like (section 7.1)."""
    if leg.how.session_timer is Mode.NEVER:
        return
    timer = leg.timer
    interval = timer.interval if timer is not None else context.settings.session_expires
    headers.add("Supported", "timer")
    refresher = ";refresher=uac" if timer is not None and timer.ours else ""
    headers.add("Session-Expires", f"{interval}{refresher}")
    if timer is not None and timer.least:
        headers.add("Min-SE", str(timer.least))


def answered(context: Context, call: Call, leg: Leg, response: Response) -> None:
    """A 2xx to a session request of ours: it says who refreshes (section 7.2)."""
    mode = leg.how.session_timer
    interval = _interval(response.headers)
    if mode is Mode.NEVER or (interval is None and mode is not Mode.ALWAYS):
        stop(context, call, leg)
        return
    refresher = _refresher(response.headers) or "uac"
    _start(context, call, leg, interval or context.settings.session_expires, interval is None or refresher == "uac")


def raised(leg: Leg, response: Response) -> bool:
    """A 422: remember what the element wants at least (section 7.3). False if that leads nowhere."""
    try:
        least = parse_seconds(response.headers.get("Min-SE") or "")
    except SipError:
        return False
    timer = leg.timer
    if timer is None:
        timer = leg.timer = SessionTimer(0)
    if least <= timer.least or least > _LONGEST:
        return False
    timer.least = least
    timer.interval = max(timer.interval, least)
    return True


_LONGEST = 86400
"""Seconds: nobody can want to know less often than once a day whether a call still is."""


# -- the clock ---------------------------------------------------------------------------------------------------------


def _start(context: Context, call: Call, leg: Leg, interval: int, ours: bool) -> None:
    least = leg.timer.least if leg.timer is not None else 0
    leg.timer = SessionTimer(interval, ours, least)
    # section 10: the refresher "at half the session expiration"; the other ends "at min(32, SE/3) before"
    delay = interval / 2 if ours else interval - min(32.0, interval / 3)
    context.deadlines.set(call.id, f"session {leg.side}", context.now + delay)


def stop(context: Context, call: Call, leg: Leg) -> None:
    if leg.timer is not None:
        leg.timer = None
        context.deadlines.clear(call.id, f"session {leg.side}")


def due(context: Context, call: Call, leg: Leg | None) -> None:
    """Half the interval is over, or nearly all of it."""
    if leg is None or leg.timer is None or call.state is CallState.CLOSING:
        return
    timer = leg.timer
    if not timer.ours or timer.late:
        context.step(call, Input.ENDED_HERE, _EXPIRED)
        return
    if exchange.refresh(context, call, leg):
        timer.late = True  # until its 2xx starts the clock again
        left = timer.interval / 2 - min(32.0, timer.interval / 3)
        context.deadlines.set(call.id, f"session {leg.side}", context.now + max(left, 1.0))
    else:  # another exchange is under way: it may bring the refresh; else we try again soon
        context.deadlines.set(call.id, f"session {leg.side}", context.now + _SOON)


_SOON = 2.0


def _interval(headers: Headers) -> int | None:
    value = headers.get("Session-Expires")
    try:
        return parse_seconds(value) if value is not None else None
    except SipError:
        return None


def _refresher(headers: Headers) -> str:
    value = (headers.get("Session-Expires") or "").lower().replace(" ", "")
    _, found, rest = value.partition(";refresher=")
    who = rest.partition(";")[0]
    return who if found and who in ("uac", "uas") else ""
