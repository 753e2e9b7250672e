"""The registrar inside is asked now and then whether it is there (OPTIONS, RFC 3261 section 11).

While it is not, phones that are registered keep that (`sbc.b2bua.registering`), call each other here, and nobody waits
for it where there is somebody else to ask.
"""

from __future__ import annotations

from dataclasses import dataclass

from sbc.b2bua import gruus, hooks, locating, whereabouts
from sbc.b2bua.alive import TRANSITIONS, UNREACHED, Sign, State
from sbc.b2bua.commands import Noticed, SendRequest
from sbc.b2bua.context import Context, own_question, uri_host
from sbc.sip import Hop, ResponseReceived, SipError, TransactionFailed, TransactionTimedOut

DEADLINE = "watch"
"""One, that belongs to no call."""
_FIRST = 1.0
"""Seconds after the start."""
_PATIENCE = 2.0
"""Seconds that an OPTIONS is waited for: it has been sent three times then (17.1.2.2). If its answer comes later that
counts, too."""
_AGAIN = 1.0
"""Seconds between two questions to a registrar that is in doubt, at least."""
_POLICY = "watch"
_AMONG_US = frozenset({"INVITE", "MESSAGE"})
"""What registered phones may ask of each other while the registrar is not there."""


@dataclass(slots=True)
class Probe:
    """An OPTIONS to the registrar that has no final answer yet."""

    hop: Hop


def begin(context: Context) -> None:
    access = context.settings.access
    if access is not None and access.registrar and access.watch:
        context.deadlines.set("", DEADLINE, context.now + _FIRST)


def end(context: Context) -> None:
    """No more questions."""
    context.alive.question = ""
    context.deadlines.clear("", DEADLINE)


def due(context: Context) -> None:
    """It is time for the next question; or the last one has not been answered in its time."""
    if context.alive.question:
        context.alive.question = ""
        _settled(context, Sign.MISSED)
    else:
        _ask(context)


def _ask(context: Context) -> None:
    alive, now = context.alive, context.now
    peer = context.network.peers[context.access.registrar]
    ways = whereabouts.ways_to(context, peer)
    alive.asked_at = now
    if not ways:
        _settled(context, Sign.MISSED)
        return
    port = f":{peer.port}" if peer.port else ""
    request = own_question(context, ways[0], f"sip:{uri_host(peer.host)}{port}")
    if request is None:
        return
    context.rewrite_alone(ways[0], request)
    alive.question = context.tokens.branch()
    context.pending[alive.question] = Probe(ways[0])
    context.out.append(SendRequest("", alive.question, request, ways[0]))
    context.deadlines.set("", DEADLINE, now + _PATIENCE)


def _settled(context: Context, sign: Sign) -> None:
    """The last question has its outcome. The next one comes in its turn, or at once if there is a doubt."""
    watch = context.access.watch
    context.deadlines.set("", DEADLINE, max(context.now + 1.0, context.alive.asked_at + watch))
    _see(context, sign)
    if context.alive.down:
        context.intake.shut(context.now, watch + _PATIENCE)
    _ask_soon(context)


def _ask_soon(context: Context) -> None:
    alive = context.alive
    if alive.doubted and not alive.question:
        context.deadlines.set("", DEADLINE, max(context.now, alive.asked_at + _AGAIN))


def response_received(context: Context, event: ResponseReceived, probe: Probe) -> None:
    status = event.response.status
    if status < 200:
        return
    del context.pending[event.transaction]
    sign = Sign.MISSED if status in UNREACHED else Sign.ANSWERED
    if context.alive.question == event.transaction:
        context.alive.question = ""
        _settled(context, sign)
    elif sign is Sign.ANSWERED:
        _see(context, sign)


def lost(context: Context, event: TransactionTimedOut | TransactionFailed, probe: Probe) -> None:
    """It could not be sent; of one that has timed out its silence has been seen before."""
    if context.alive.question == event.transaction:
        context.alive.question = ""
        _settled(context, Sign.UNREACHABLE if isinstance(event, TransactionFailed) else Sign.MISSED)


# -- what others see of it ---------------------------------------------------------------------------------------------


def watched(context: Context, peer: str | None) -> bool:
    """Whether it is of interest here whether the peer of this name answers."""
    access = context.settings.access
    return access is not None and bool(access.watch and peer) and peer == access.registrar


def heard(context: Context) -> None:
    """The registrar has answered something else."""
    context.alive.unanswered.clear()
    if context.alive.state is not State.UP:
        _see(context, Sign.HEARD)


def answered(context: Context, peer: str | None, status: int) -> None:
    """The peer of this name has answered an INVITE so. 100 may be said by whoever stands before it, and some others."""
    if status > 100 and status not in UNREACHED and watched(context, peer):
        heard(context)


def unreachable(context: Context) -> None:
    """Something else could not be sent to the registrar."""
    if watched(context, context.access.registrar):
        _see(context, Sign.UNREACHABLE)
        _ask_soon(context)


def silent(context: Context, peer: str | None, request: str) -> None:
    """The peer of this name has left something else without answer. `request`: which; "": one that may be of a kind
    that nobody answers, so that it is only a reason to ask."""
    if not watched(context, peer):
        return
    alive = context.alive
    if request:
        _see(context, alive.left(request, context.now))
        _ask_soon(context)
    elif alive.state is State.UP and not alive.question:
        context.deadlines.set("", DEADLINE, max(context.now, alive.asked_at + _AGAIN))


def _see(context: Context, sign: Sign) -> None:
    alive, now, name = context.alive, context.now, context.access.registrar
    was_down = alive.down
    alive.state = TRANSITIONS[alive.state, sign]
    if sign is Sign.ANSWERED:
        alive.unanswered.clear()
    if alive.down and not was_down:
        alive.since = now
        context.intake.shut(now, context.access.watch + _PATIENCE)
        context.out.append(Noticed(f"peer {name} does not answer: phones that are registered stay so, without it"))
        _wait_no_longer(context, name)
    elif was_down and not alive.down:
        alive.back = now
        context.intake.answered()
        context.out.append(Noticed(f"peer {name} answers again, after {now - alive.since:.0f} s"))


def _wait_no_longer(context: Context, name: str) -> None:
    """Calls that it was to get go elsewhere, or are refused."""
    for call in context.calls.values():
        for attempt in call.attempts.values():
            if attempt.target.peer == name and attempt.leg is not None and not attempt.heard and not call.emergency:
                context.deadlines.set(call.id, f"silent {attempt.number}", context.now)


# -- where requests go meanwhile ---------------------------------------------------------------------------------------


def among_us(context: Context, view: hooks.CallView) -> hooks.Targets | hooks.Reject | None:
    """While the registrar is not there: where a request of a registered phone for another one goes. None: it is no such
    request. Whose phone it is is known by the flow, which only that phone has."""
    access, request = context.settings.access, view.request
    if not context.alive.down or access is None or request.method not in _AMONG_US or view.zone.name != access.zone:
        return None
    try:
        caller = locating.address_of_record(context, request.from_.uri)
        called = locating.address_of_record(context, request.request_uri)
    except SipError:
        return None
    if all(each.aor != caller for each in context.registrations.over(view.hop)):
        return None
    devices = context.registrations.by_aor(called or "")
    if "gr" in request.request_uri.params:
        devices = gruus.named(devices, request.request_uri)
    if not devices:
        return None
    for name in ("Authorization", "Proxy-Authorization"):
        request.headers.remove(name)  # for the registrar; another phone could guess the password by them
    return locating.targets(context, devices, f"{called} is registered here, and {access.registrar} does not answer")


def route(context: Context, view: hooks.CallView, emergency: bool = False) -> hooks.RouteVerdict:
    """Where a call goes that we make for somebody: as `sbc.b2bua.locating` says, less a registrar that is not there."""
    located = None if emergency else among_us(context, view)
    return located or without_silent(context, locating.route(context, view), emergency)


def without_silent(
    context: Context, verdict: hooks.RouteVerdict, emergency: bool = False
) -> hooks.Targets | hooks.Reject:
    """Nobody waits for a registrar that is not there; for an emergency call it is what is tried last."""
    if not context.alive.down or isinstance(verdict, hooks.Reject):
        return verdict
    name = context.access.registrar
    others = tuple(target for target in verdict.targets if target.peer != name)
    if len(others) == len(verdict.targets):
        return verdict
    silence = f"{name} has not answered for {context.now - context.alive.since:.0f} s"
    if emergency:
        silent_ones = tuple(target for target in verdict.targets if target.peer == name)
        return verdict._replace(targets=others + silent_ones, reason=f"{verdict.reason}; {silence}")
    if not others:
        return hooks.Reject(_POLICY, 503, silence)
    return verdict._replace(targets=others, reason=f"{verdict.reason}; {silence}")
