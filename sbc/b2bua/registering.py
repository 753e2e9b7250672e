"""Phones that register through us: what is not answered out of the cache (`sbc.b2bua.refreshing`) is passed to the
registrar inside, and its answer is the phone's.

The table of what may happen to a REGISTER stands in docs/decisions/005-registrations.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from sbc.b2bua import (
    bindings,
    contacts,
    hosts,
    intake,
    network,
    refreshing,
    registrar_side,
    registrations,
    turns,
    watching,
    whereabouts,
)
from sbc.b2bua.commands import Abandon, SendRequest
from sbc.b2bua.context import Context
from sbc.b2bua.hooks import Reject
from sbc.sip import (
    Hop,
    Request,
    Response,
    ResponseReceived,
    SipError,
    TransactionFailed,
    TransactionId,
    TransactionTimedOut,
    parse_seconds,
)

PATIENCE = "registrar"
"""Kind of deadlines that belong to no call; behind it stands the transaction."""

_PATIENCE = 4.0
"""Seconds that a phone waits for a silent registrar where we can answer ourselves."""
_GONE = frozenset({403, 404, 410, 604})
"""Answers by which the registrar says that the user is not to be registered."""
_DOWN = frozenset({408, 500, 502, 503, 504})
"""Answers by which it says that it cannot tell."""


@dataclass(slots=True)
class Pending:
    """A REGISTER that the registrar has."""

    asked: contacts.Asked
    sent: Request
    hop: Hop
    others: tuple[Hop, ...]
    """Further ways to the registrar, for when this one fails."""
    wanted: int
    """Seconds asked for."""
    comer: intake.Comer
    """Who wants it, as the intake knows it."""
    cached: registrations.Binding | None
    """What the phone can be told if the registrar does not answer."""
    again: bool = False
    """The registrar has refused it once because it wanted longer intervals."""
    answered: bool = False
    """The phone has been told something."""
    turn: int = 0
    """0: it wants no change, and waits for none."""


def request_received(context: Context, request: Request, transaction: TransactionId, hop: Hop) -> None:
    """A REGISTER out of the phones' zone."""
    cached, expires = refreshing.cached(context, request, hop)
    if cached is not None and refreshing.answered(context, request, transaction, cached, expires):
        return
    asked = contacts.read(context, request, transaction, hop)
    refusal = asked if isinstance(asked, Reject) else bindings.unacceptable(context, context.access, asked)
    if isinstance(asked, Reject) or refusal is not None:
        assert refusal is not None
        refreshing.respond(context, request, transaction, refusal)
        return
    comer = _comer(context, asked)
    devices = frozenset(wish.device.token for wish in asked.wishes)
    if (devices or asked.everything) and context.turns.busy(asked.aor, devices):
        _wait(context, asked, turns.Waiting(request, transaction, hop, devices, comer.known))
    elif context.intake.admit(comer, context.now):
        _pass(context, asked, comer, cached)
    else:
        why = "the registrar does not answer" if context.alive.down else "the registrar has enough to do"
        _turned_away(context, asked, comer, cached, why)


def _wait(context: Context, asked: contacts.Asked, comer: turns.Waiting) -> None:
    """Another REGISTER of the device is with the registrar. Of those that wait only the newest is of use."""
    for each in context.turns.wait(asked.aor, comer):
        verdict = Reject("registrations", 500, "another REGISTER of this device waits", headers=(("Retry-After", "1"),))
        refreshing.respond(context, each.request, each.transaction, verdict)


def _go_on(context: Context, released: list[turns.Waiting]) -> None:
    for each in released:
        request_received(context, each.request, each.transaction, each.hop)


def _comer(context: Context, asked: contacts.Asked) -> intake.Comer:
    """A device is known where it came from last; so are new ones of the same user there."""
    source = hosts.source_of(asked.hop.remote.host)
    wanted = [wish.device for wish in asked.wishes]
    for device in (*wanted, *context.registrations.by_aor(asked.aor)):
        if device.source == source:
            return intake.Comer(source, device.token, True, asked.request.call_id)
    return intake.Comer(source, wanted[0].token if wanted else asked.aor, False, asked.request.call_id)


def _turned_away(
    context: Context,
    asked: contacts.Asked,
    comer: intake.Comer,
    cached: registrations.Binding | None,
    why: str,
    at_least: int = 0,
) -> None:
    """The registrar is not asked: the phone keeps what it has, or comes again later, in `at_least` seconds."""
    request, transaction = asked.request, asked.transaction
    if not refreshing.kept(context, request, transaction, cached, why):
        wait = str(context.intake.retry_after(comer, context.now, at_least))
        refusal = Reject("registrations", 503, why, headers=(("Retry-After", wait),))
        tag = context.registrations.disguised(f"{request.cseq.number} {request.call_id}")
        refreshing.respond(context, request, transaction, refusal, tag)
        if asked.hop.transport == "UDP":  # as with refreshes: of a flood nothing stays behind
            context.out.append(Abandon(transaction))


def _pass(context: Context, asked: contacts.Asked, comer: intake.Comer, cached: registrations.Binding | None) -> None:
    access = context.access
    peer = context.network.peers[access.registrar]
    ways = whereabouts.ways_to(context, peer)
    listener = context.places.listener_of(ways[0]) if ways else None
    if listener is None:
        context.intake.shut(context.now)
        _turned_away(context, asked, comer, cached, "nobody knows where the registrar is")
        return
    wanted = max(access.expires_inside, context.intake.least)
    request = registrar_side.passed(context, asked, listener, wanted, False)
    pending = Pending(asked, request, ways[0], tuple(ways[1:]), wanted, comer, cached)
    if asked.wishes or asked.everything:
        pending.turn = context.turns.begin(asked.aor, frozenset(wish.device.token for wish in asked.wishes))
    _send(context, pending, peer)


def _send(context: Context, pending: Pending, peer: network.Peer) -> None:
    branch = context.tokens.branch()
    context.pending[branch] = pending
    alternative = context.places.over_tcp(pending.hop, peer) if pending.hop.transport == "UDP" else None
    context.out.append(SendRequest("", branch, pending.sent, pending.hop, alternative))
    context.deadlines.set("", f"{PATIENCE} {branch}", context.now + _PATIENCE)


def impatient(context: Context, branch: TransactionId) -> None:
    """The registrar is silent about a REGISTER: its phone does not wait longer where it can be told something, nor do
    others if it is not the only one."""
    pending = context.pending.get(branch)
    if not isinstance(pending, Pending):
        return
    comer = pending.comer
    context.intake.trouble(comer, context.now)
    watching.silent(context, context.access.registrar, comer.device if comer.known else "")
    if not pending.answered:
        _answer_meanwhile(context, branch, pending)
    _go_on(context, context.turns.late(pending.asked.aor, pending.turn))


def _answer_meanwhile(context: Context, branch: TransactionId, pending: Pending) -> None:
    asked, why = pending.asked, "the registrar does not answer"
    if context.alive.down:
        pending.answered = True
        _turned_away(context, asked, pending.comer, pending.cached, why)
        return
    pending.answered = refreshing.kept(context, asked.request, asked.transaction, pending.cached, why)
    if not pending.answered:
        context.deadlines.set("", f"{PATIENCE} {branch}", context.now + _PATIENCE)


def response_received(context: Context, event: ResponseReceived, pending: Pending) -> None:
    """The registrar has said something."""
    response = event.response
    if response.status < 200:
        return
    _over(context, event.transaction)
    status = response.status
    if status not in _DOWN:
        watching.heard(context)
    if status == 423 and not pending.again:
        _ask_for_longer(context, pending, response)
        return
    if status in _DOWN:
        _down(context, pending, f"the registrar said {status}", response.headers.get("Retry-After"))
    else:
        context.intake.answered()
        if status < 300:
            _accepted(context, pending, response)
        else:
            _refused(context, pending, response)
    _go_on(context, context.turns.over(pending.asked.aor, pending.turn))


def lost(context: Context, event: TransactionTimedOut | TransactionFailed, pending: Pending) -> None:
    """No answer, or no way to send; the transaction is not in `pending` any more."""
    _over(context, event.transaction)
    if pending.others and isinstance(event, TransactionFailed):
        access = context.access
        pending.hop, *others = pending.others
        pending.others = tuple(others)
        _send(context, pending, context.network.peers[access.registrar])
        return
    if isinstance(event, TransactionFailed):
        watching.unreachable(context)
    _down(context, pending, "the registrar did not answer", None)
    _go_on(context, context.turns.over(pending.asked.aor, pending.turn))


def _over(context: Context, branch: TransactionId) -> None:
    context.pending.pop(branch, None)
    context.deadlines.clear("", f"{PATIENCE} {branch}")


def _ask_for_longer(context: Context, pending: Pending, response: Response) -> None:
    """10.2.8. The phone is granted what we grant phones, whatever the registrar wants of us."""
    access = context.access
    context.intake.least = max(context.intake.least, min(_seconds(response.headers.get("Min-Expires")), 86400))
    pending.wanted = max(access.expires_inside, context.intake.least)
    pending.again = True
    listener = context.places.listener_of(pending.hop)
    assert listener is not None
    pending.sent = registrar_side.passed(context, pending.asked, listener, pending.wanted, True)
    _send(context, pending, context.network.peers[access.registrar])


def _down(context: Context, pending: Pending, why: str, retry_after: str | None) -> None:
    pause = _seconds(retry_after)
    context.intake.trouble(pending.comer, context.now, pause)
    if not pending.answered:
        _turned_away(context, pending.asked, pending.comer, pending.cached, why, pause)


def _seconds(text: str | None) -> int:
    try:
        return parse_seconds(text) if text else 0
    except SipError:
        return 0


def _refused(context: Context, pending: Pending, response: Response) -> None:
    """The registrar's answer is the phone's. Who proves nothing changes nothing, but over the flow of the phone
    itself."""
    asked, status = pending.asked, response.status
    if status in _GONE:
        for wish in asked.wishes:
            flow = wish.device.flows.get(wish.reg_id)
            if flow is not None and flow.hop == asked.hop and _settles(context, pending, wish.device):
                bindings.remove(context, wish.device)
    if pending.answered:
        return
    headers = registrar_side.crossed(context, asked, response, context.network.zones[pending.hop.zone])
    reason = "" if status == 401 else "by the registrar"
    phrase = ""
    unanswerable = registrar_side.unanswerable(response, headers)
    if unanswerable:
        status, reason, phrase = 403, unanswerable, "Challenge Withheld"
    elif status < 400:
        status = 480  # a registrar elsewhere inside is none that the phone could reach
    elif status in (401, 407):
        context.intake.challenge(asked.request.call_id, context.now)
    verdict = Reject("registrations", status, reason, phrase, tuple(headers))
    refreshing.respond(context, asked.request, asked.transaction, verdict)


def _accepted(context: Context, pending: Pending, response: Response) -> None:
    """2xx: what was asked for is so."""
    asked = pending.asked
    if asked.everything:
        for device in list(context.registrations.by_aor(asked.aor)):
            if _settles(context, pending, device):
                bindings.remove(context, device)
        context.turns.settles(asked.aor, "", pending.turn)
    about = None
    for wish in asked.wishes:
        about = _settle(context, pending, wish, response) or about
    bindings.plan(context)
    if not pending.answered:
        headers = registrar_side.crossed(context, asked, response, context.network.zones[pending.hop.zone])
        refreshing.answer_all(context, asked.request, asked.transaction, asked.aor, about, headers)


def _settles(context: Context, pending: Pending, device: registrations.Device) -> bool:
    return context.turns.settles(pending.asked.aor, device.token, pending.turn)


def _settle(
    context: Context, pending: Pending, wish: contacts.Wish, response: Response
) -> registrations.Binding | None:
    """One contact of a REGISTER that the registrar has accepted."""
    access = context.access
    table, asked, now = context.registrations, pending.asked, context.now
    device = table.device(asked.aor, wish.device.id)
    flow = device.flows.get(wish.reg_id)
    call_id, cseq = asked.request.call_id, asked.request.cseq.number
    if (device.settled[0] == call_id and cseq < device.settled[1]) or not _settles(context, pending, device):
        return None  # another one of the phone has overtaken it on the way back
    device.settled = call_id, cseq
    seconds, contact = registrar_side.granted(response, device, pending.wanted if wish.expires else 0)
    if seconds < 1:
        bindings.remove(context, device)
        return None
    device.inside_until = now + seconds
    device.inside_granted = seconds
    device.checked = now
    if not wish.expires:  # one flow of several
        if flow is not None:
            bindings.drop(context, flow)
        for other in device.flows.values():
            bindings.keep(context, other)
        return None
    zone = context.network.zones[pending.hop.zone]
    device.service_route = registrar_side.service_route(response)
    device.associated = registrar_side.associated(context, response, zone)
    if flow is not None and flow.call_id == call_id and cseq < flow.cseq:
        bindings.keep(context, flow)
        return flow  # the phone has refreshed it here meanwhile
    granted = min(refreshing.limited(access, asked.hop, wish.expires), seconds)
    return bindings.bind(context, asked, wish, device, granted, dict(registrar_side.gruus(context, contact, zone)))
