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
_PATIENCE = 4.0
"""Seconds that an OPTIONS is waited for: it has been sent four times then (17.1.2.2)."""
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
    """The last question has its outcome. The next one comes in its turn, or at once where the first goes unanswered."""
    watch, former = context.access.watch, context.alive.state
    context.deadlines.set("", DEADLINE, max(context.now + 1.0, context.alive.asked_at + watch))
    _see(context, sign)
    if context.alive.down:
        context.intake.shut(context.now, watch + _PATIENCE)
    elif former is not context.alive.state is State.DOUBTED:
        context.deadlines.set("", DEADLINE, context.now)


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


def heard(context: Context) -> None:
    """The registrar has answered something else."""
    if context.alive.state is not State.UP:
        _see(context, Sign.HEARD)


def unreachable(context: Context) -> None:
    """Something else could not be sent to the registrar."""
    silent(context, context.access.registrar, Sign.UNREACHABLE)


def silent(context: Context, peer: str | None, sign: Sign = Sign.SILENT) -> None:
    """The peer of this name has left something else without answer."""
    access = context.settings.access
    if access is None or not access.watch or not peer or peer != access.registrar:
        return
    _see(context, sign)
    if context.alive.state is State.DOUBTED and not context.alive.question:
        context.deadlines.set("", DEADLINE, context.now)


def _see(context: Context, sign: Sign) -> None:
    alive, now, name = context.alive, context.now, context.access.registrar
    was_down = alive.down
    alive.state = TRANSITIONS[alive.state, sign]
    if alive.down and not was_down:
        alive.since = now
        context.intake.shut(now, context.access.watch + _PATIENCE)
        context.out.append(Noticed(f"peer {name} does not answer: phones that are registered stay so, without it"))
    elif was_down and not alive.down:
        alive.back = now
        context.intake.answered()
        context.out.append(Noticed(f"peer {name} answers again, after {now - alive.since:.0f} s"))


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
