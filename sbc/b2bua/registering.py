"""Phones that register through us: REGISTER is passed to the registrar inside, and refreshes are answered here.

Two timers (RFC 3261 section 10): a short one that the phone keeps, so that its NAT and we know where it is, and what
the registrar has granted. The phone never gets longer than the registrar would give. The table of what may happen to a
REGISTER stands in docs/decisions/005-registrations.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sbc.b2bua import (
    authentication,
    contacts,
    keeping,
    locating,
    network,
    registrar_side,
    registrations,
    watching,
    whereabouts,
)
from sbc.b2bua.commands import Abandon, BindingRecord, Decided, ForgetBinding, KeepBinding, SendRequest
from sbc.b2bua.context import Context, answer
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

DEADLINE = "registrations"
PATIENCE = "registrar"
"""Kinds of deadlines that belong to no call; behind the second one stands the transaction."""

MARGIN = 32
"""Seconds before the end of the registrar's binding that the phone gets for renewing it: a transaction's life."""
GRACE = 10.0
"""Seconds that a binding lives on after what the phone was granted: a refresh that is lost is sent again."""
_PATIENCE = 4.0
"""Seconds that a phone waits for a silent registrar where we can answer ourselves."""
_SPREAD = 0.1
"""Part of the time granted by the registrar over which the renewals of all devices are spread."""
_WRITE_EVERY = 600.0
"""Seconds after which a binding is written down though nothing has happened but refreshes."""
_FLOW_TIMER = {"UDP": "30"}
_FLOW_TIMER_OF_STREAMS = "120"
"""RFC 5626 section 5.4: within this time the phone sends something over its flow."""
_FEW = 16
"""Bindings of one flow that are looked through."""
_GONE = frozenset({403, 404, 410, 604})
"""Answers by which the registrar says that the user is not to be registered."""
_NO_GRUUS: Mapping[str, str] = {}
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
    cached: registrations.Binding | None
    """What the phone can be told if the registrar does not answer."""
    again: bool = False
    """The registrar has refused it once because it wanted longer intervals."""
    answered: bool = False
    """The phone has been told what is in the cache."""


def request_received(context: Context, request: Request, transaction: TransactionId, hop: Hop) -> None:
    """A REGISTER out of the phones' zone."""
    access = context.access
    cached = _cached(context, request, hop)
    expires = contacts.expires_of(request, request.contact) if cached is not None and request.contact is not None else 0
    if cached is not None and expires >= access.expires_least:
        if _out_of_order(request, cached) and not _repeated(request, cached):
            respond(context, request, transaction, Reject("registrations", 500, "CSeq out of order"))
            return
        due = _due(context, access, cached, expires)
        if not due:
            _refresh(context, request, transaction, cached, expires, "refreshed here")
            return
    else:
        cached, due = None, "not in the cache"
    asked = contacts.read(context, request, transaction, hop)
    refusal = asked if isinstance(asked, Reject) else unacceptable(context, access, asked)
    if isinstance(asked, Reject) or refusal is not None:
        assert refusal is not None
        respond(context, request, transaction, refusal)
    elif not context.intake.admit(request.call_id, context.now):
        why = "the registrar does not answer" if context.alive.down else "the registrar has enough to do"
        _turned_away(context, request, transaction, cached, why)
    else:
        _pass(context, asked, cached)


# -- answered here -----------------------------------------------------------------------------------------------------


def _cached(context: Context, request: Request, hop: Hop) -> registrations.Binding | None:
    """The binding that a REGISTER refreshes: the same contact, letter by letter, over the same flow."""
    bindings = context.registrations.over(hop)
    if not bindings:
        return None
    written = request.headers.get_all("Contact")
    if len(written) != 1:
        return None
    to = request.to.uri_text
    if len(bindings) > _FEW:  # a gateway, or a proxy: the user's own are fewer
        bindings = _of_user(context, request, hop)
    return next((each for each in bindings if each.written == written[0] and each.to == to), None)


def _of_user(context: Context, request: Request, hop: Hop) -> list[registrations.Binding]:
    try:
        aor = locating.address_of_record(context, request.to.uri)
    except SipError:
        return []
    devices = context.registrations.by_aor(aor or "")
    return [flow for device in devices for flow in device.flows.values() if flow.hop == hop]


def _out_of_order(request: Request, binding: registrations.Binding) -> bool:
    """10.3 step 7: of one Call-ID, only a higher CSeq changes anything."""
    return binding.call_id == request.call_id and request.cseq.number <= binding.cseq


def _repeated(request: Request, binding: registrations.Binding) -> bool:
    return request.cseq.number == binding.cseq and request.via.params.get("branch") == binding.branch is not None


def _due(context: Context, access: network.Access, binding: registrations.Binding, expires: int) -> str:
    """Why the registrar is to see this refresh; "" if it need not."""
    device = binding.device
    spread = int(device.token[:4], 16) / 0x10000 * _SPREAD * device.inside_granted
    if context.now + limited(access, binding.hop, expires) + MARGIN + spread >= device.granted_until:
        return "the registrar's binding is due"
    if context.alive.down or device.checked < context.alive.back:
        return "the registrar is away, or was and may have forgotten"
    if access.recheck and context.now - device.checked >= access.recheck:
        return "credentials are to be checked"
    return ""


def limited(access: network.Access, hop: Hop, expires: int) -> int:
    return min(expires, access.expires_udp if hop.transport == "UDP" else access.expires_stream)


def _refresh(
    context: Context,
    request: Request,
    transaction: TransactionId,
    binding: registrations.Binding,
    expires: int,
    decision: str,
) -> None:
    """Answer a refresh out of the cache: never for longer than the registrar's binding lasts. Nothing is remembered of
    it but what stands in the binding, since it is answered the same if it is repeated (RFC 3261 section 8.2.7)."""
    access = context.access
    now = context.now
    granted = min(limited(access, binding.hop, expires), int(binding.device.inside_until - now))
    binding.call_id = request.call_id
    binding.cseq = request.cseq.number
    binding.branch = request.via.params.get("branch")
    binding.granted = granted
    binding.decision = decision
    if context.registrations.refresh(binding, min(now + granted + GRACE, binding.device.inside_until)):
        plan(context)
    keeping.registered(context, binding)
    if now - binding.kept_at > _WRITE_EVERY:
        _keep(context, binding)
    tag = context.registrations.disguised(f"{binding.cseq} {request.call_id}")
    answer_all(context, request, transaction, binding.aor, binding, to_tag=tag)
    if binding.hop.transport == "UDP":
        context.out.append(Abandon(transaction))


def _turned_away(
    context: Context, request: Request, transaction: TransactionId, cached: registrations.Binding | None, why: str
) -> None:
    """The registrar is not asked: the phone keeps what it has, or comes again later."""
    if cached is not None and _lasts(context, cached):
        expires = contacts.expires_of(request, request.contact) if request.contact is not None else 0
        _refresh(context, request, transaction, cached, expires, f"refreshed here: {why}")
        return
    wait = str(context.intake.retry_after(context.now))
    respond(context, request, transaction, Reject("registrations", 503, why, headers=(("Retry-After", wait),)))


def _lasts(context: Context, binding: registrations.Binding) -> bool:
    """Whether the phone may be told that it is still registered. While the registrar is not there, and until it is the
    phone's turn afterwards, that may be for longer than it has granted: for `survive` seconds."""
    access, device = context.access, binding.device
    if not binding.watched:
        return False
    if context.alive.down or device.inside_until > device.granted_until + 1.0:
        needed = context.now + max(access.expires_udp, access.expires_stream) + GRACE
        most = device.granted_until + access.survive
        if device.inside_until < min(needed, most):
            device.inside_until = min(needed + _WRITE_EVERY, most)
            binding.kept_at = float("-inf")  # it is to be written down
    return device.inside_until - context.now >= 1.0


def answer_all(
    context: Context,
    request: Request,
    transaction: TransactionId,
    aor: str,
    binding: registrations.Binding | None,
    headers: Iterable[tuple[str, str]] = (),
    zone: str = "",
    to_tag: str = "",
) -> None:
    """200 with all that is registered (10.3 step 8). `binding` is the one that it is about, if one; `zone` is where the
    answer goes, if phones are in several: hidden ones elsewhere are not told of."""
    now = context.now
    told: list[tuple[str, str]] = []
    for device in context.registrations.by_aor(aor):
        for flow in device.flows.values():
            if zone and flow.hop.zone != zone and context.network.zones[flow.hop.zone].hidden:
                continue
            left = flow.granted if flow is binding else int(min(flow.until - GRACE, device.inside_until) - now)
            if left > 0:
                told.append(("Contact", f"{flow.shown};expires={left}"))
    if binding is not None:
        if binding.reg_id:
            # RFC 5626 section 6: "the registrar MUST include ... outbound in a Require header field"
            told.append(("Require", "outbound"))
            told.append(("Flow-Timer", _FLOW_TIMER.get(binding.hop.transport, _FLOW_TIMER_OF_STREAMS)))
        if binding.path:
            told.append(("Path", ", ".join(binding.path)))
        if binding.device.associated:
            told.append(("P-Associated-URI", ", ".join(binding.device.associated)))
    answer(context, "", request, transaction, 200, "", (*told, *headers), to_tag or context.tokens.tag())


def respond(context: Context, request: Request, transaction: TransactionId, verdict: Reject) -> None:
    """Refuse a REGISTER. Why is told to the operator, but for a phone that has only to show its password."""
    if verdict.status != 401 or verdict.reason not in ("", authentication.NO_CREDENTIALS):
        via = request.via  # which says by now where the request came from
        who = f"{request.to.uri_text} from {via.params.get('received') or via.host} refused: {verdict.status}"
        told = Decided("", context.now, "admit", verdict.policy, f"REGISTER of {who}", verdict.reason)
        context.out.append(told)
    answer(context, "", request, transaction, verdict.status, verdict.phrase, verdict.headers, context.tokens.tag())


# -- passed to the registrar -------------------------------------------------------------------------------------------


def unacceptable(context: Context, access: network.Access, asked: contacts.Asked) -> Reject | None:
    """Why a REGISTER goes no further, whatever the registrar would say."""
    users = context.registrations.by_aor(asked.aor)
    for device in users:
        if asked.everything and any(_out_of_order(asked.request, flow) for flow in device.flows.values()):
            return Reject("registrations", 500, "CSeq out of order")
    new = 0
    for wish in asked.wishes:
        flow = wish.device.flows.get(wish.reg_id)
        if flow is not None and _out_of_order(asked.request, flow):
            return Reject("registrations", 500, "CSeq out of order")
        if wish.expires and flow is None:
            new += 1
            if len(wish.device.flows) >= access.max_contacts:
                return Reject("registrations", 403, "too many flows of one device", "Too Many Flows")
    in_use = sum(1 for device in users if device.flows)
    if new and in_use + sum(not wish.device.flows for wish in asked.wishes if wish.expires) > access.max_contacts:
        return Reject("registrations", 403, f"{in_use} devices of {asked.aor}", "Too Many Contacts")
    if new and max(context.registrations.counts()) + len(context.pending) + new > access.max_registrations:
        return Reject("registrations", 503, "the table is full", headers=(("Retry-After", "300"),))
    return None


def _pass(context: Context, asked: contacts.Asked, cached: registrations.Binding | None) -> None:
    access = context.access
    peer = context.network.peers[access.registrar]
    ways = whereabouts.ways_to(context, peer)
    listener = context.places.listener_of(ways[0]) if ways else None
    if listener is None:
        context.intake.failed(context.now)
        _turned_away(context, asked.request, asked.transaction, cached, "nobody knows where the registrar is")
        return
    wanted = max(access.expires_inside, context.intake.least)
    request = registrar_side.passed(context, asked, listener, wanted, False)
    _send(context, Pending(asked, request, ways[0], tuple(ways[1:]), wanted, cached), peer)


def _send(context: Context, pending: Pending, peer: network.Peer) -> None:
    branch = context.tokens.branch()
    context.pending[branch] = pending
    alternative = context.places.over_tcp(pending.hop, peer) if pending.hop.transport == "UDP" else None
    context.out.append(SendRequest("", branch, pending.sent, pending.hop, alternative))
    context.deadlines.set("", f"{PATIENCE} {branch}", context.now + _PATIENCE)


def impatient(context: Context, branch: TransactionId) -> None:
    """The registrar is silent: others do not wait for it, and this phone does not where it can be told something."""
    pending = context.pending.get(branch)
    if not isinstance(pending, Pending):
        return
    context.intake.failed(context.now)
    watching.silent(context, context.access.registrar)
    cached = pending.cached
    if cached is not None and not pending.answered and _lasts(context, cached):
        pending.answered = True
        asked = pending.asked
        _turned_away(context, asked.request, asked.transaction, cached, "the registrar does not answer")


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
    elif status in _DOWN:
        _down(context, pending, f"the registrar said {status}", response.headers.get("Retry-After"))
    else:
        context.intake.answered()
        if status < 300:
            _accepted(context, pending, response)
        else:
            _refused(context, pending, response)


def lost(context: Context, event: TransactionTimedOut | TransactionFailed, pending: Pending) -> None:
    """No answer, or no way to send; the transaction is not in `pending` any more."""
    _over(context, event.transaction)
    if pending.others and isinstance(event, TransactionFailed):
        access = context.access
        pending.hop, *others = pending.others
        pending.others = tuple(others)
        _send(context, pending, context.network.peers[access.registrar])
        return
    _down(context, pending, "the registrar did not answer", None)


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
    context.intake.failed(context.now, _seconds(retry_after))
    if not pending.answered:
        asked = pending.asked
        _turned_away(context, asked.request, asked.transaction, pending.cached, why)


def _seconds(text: str | None) -> int:
    try:
        return parse_seconds(text) if text else 0
    except SipError:
        return 0


def _refused(context: Context, pending: Pending, response: Response) -> None:
    """The registrar's answer is the phone's. Who proves nothing changes nothing, but over the flow of the phone
    itself."""
    asked, status = pending.asked, response.status
    if status in (401, 407):
        context.intake.challenge(asked.request.call_id, context.now)
    elif status in _GONE:
        for wish in asked.wishes:
            flow = wish.device.flows.get(wish.reg_id)
            if flow is not None and flow.hop == asked.hop:
                remove(context, wish.device)
    if pending.answered:
        return
    if status < 400:
        status = 480  # a registrar elsewhere inside is none that the phone could reach
    zone = context.network.zones[pending.hop.zone]
    headers = registrar_side.crossed(context, asked, response, zone)
    reason = "" if status == 401 else "by the registrar"
    respond(context, asked.request, asked.transaction, Reject("registrations", status, reason, headers=tuple(headers)))


def _accepted(context: Context, pending: Pending, response: Response) -> None:
    """2xx: what was asked for is so."""
    asked = pending.asked
    if asked.everything:
        for device in list(context.registrations.by_aor(asked.aor)):
            remove(context, device)
    about = None
    for wish in asked.wishes:
        about = _settle(context, pending, wish, response) or about
    plan(context)
    if not pending.answered:
        headers = registrar_side.crossed(context, asked, response, context.network.zones[pending.hop.zone])
        answer_all(context, asked.request, asked.transaction, asked.aor, about, headers)


def _settle(
    context: Context, pending: Pending, wish: contacts.Wish, response: Response
) -> registrations.Binding | None:
    """One contact of a REGISTER that the registrar has accepted."""
    access = context.access
    table, asked, now = context.registrations, pending.asked, context.now
    device = table.device(asked.aor, wish.device.id)
    flow = device.flows.get(wish.reg_id)
    call_id, cseq = asked.request.call_id, asked.request.cseq.number
    if device.settled[0] == call_id and cseq < device.settled[1]:
        return None  # another one of the phone has overtaken it on the way back
    device.settled = call_id, cseq
    seconds, contact = registrar_side.granted(response, device, pending.wanted if wish.expires else 0)
    if seconds < 1:
        remove(context, device)
        return None
    device.inside_until = now + seconds
    device.inside_granted = seconds
    device.checked = now
    if not wish.expires:  # one flow of several
        if flow is not None:
            drop(context, flow)
        for other in device.flows.values():
            _keep(context, other)
        return None
    zone = context.network.zones[pending.hop.zone]
    device.service_route = registrar_side.service_route(response)
    device.associated = registrar_side.associated(context, response, zone)
    if flow is not None and flow.call_id == call_id and cseq < flow.cseq:
        _keep(context, flow)
        return flow  # the phone has refreshed it here meanwhile
    granted = min(limited(access, asked.hop, wish.expires), seconds)
    return bind(context, asked, wish, device, granted, dict(registrar_side.gruus(context, contact, zone)))


def bind(
    context: Context,
    asked: contacts.Asked,
    wish: contacts.Wish,
    device: registrations.Device,
    granted: int,
    gruus: Mapping[str, str] = _NO_GRUUS,
) -> registrations.Binding:
    """Put what a REGISTER asked for into the table, for `granted` seconds; `device.inside_until` is set already."""
    flow = device.flows.get(wish.reg_id)
    _make_room(context, context.access, device)
    binding = registrations.Binding(
        device,
        wish.reg_id,
        asked.request.to.uri_text,
        wish.written,
        wish.address.uri_text,
        _shown(wish, gruus),
        asked.hop,
        asked.request.call_id,
        asked.request.cseq.number,
        min(context.now + granted + GRACE, device.inside_until),
        granted,
        (asked.request.headers.get("User-Agent") or "")[:80],
        asked.path,
        "registered" if flow is None else "renewed" if flow.hop == asked.hop else "moved to another flow",
        keeping.signs_of_nat(asked.request, wish.address.uri.host, asked.hop),
    )
    context.registrations.bind(binding)
    if flow is not None:
        keeping.moved(context, flow.hop, asked.hop)
    keeping.registered(context, binding)
    _keep(context, binding)
    _follow(context, device)
    return binding


def _make_room(context: Context, access: network.Access, device: registrations.Device) -> None:
    """Devices of the user that have no flow any more go before a new one does not come in."""
    others = [each for each in context.registrations.by_aor(device.aor) if each is not device]
    idle = sorted((each for each in others if not each.flows), key=lambda each: each.inside_until)
    for each in idle[: max(0, len(others) + 1 - access.max_contacts)]:
        remove(context, each)


def _shown(wish: contacts.Wish, gruus: Mapping[str, str]) -> str:
    """The Contact as the phone is told it: as it was written, its expires taken out, what the registrar gave put in."""
    kept = {name: value for name, value in wish.address.params.items() if name != "expires" and name not in gruus}
    if "pub-gruu" in kept or "temp-gruu" in kept:
        kept = {name: value for name, value in kept.items() if name not in ("pub-gruu", "temp-gruu")}
    params = "".join(f";{name}" if value is None else f";{name}={value}" for name, value in {**kept, **gruus}.items())
    shown = f"<{wish.address.uri_text}>{params}"
    return wish.written if shown == wish.written else shown  # most often: held once


# -- changes of the table ----------------------------------------------------------------------------------------------


def _keep(context: Context, binding: registrations.Binding) -> None:
    binding.kept_at = context.now
    context.out.append(KeepBinding(binding.record()))


def drop(context: Context, binding: registrations.Binding) -> None:
    context.registrations.unbind(binding)
    context.out.append(ForgetBinding(binding.key))
    keeping.gone(context, binding.hop)
    _follow(context, binding.device)


def remove(context: Context, device: registrations.Device) -> None:
    for binding in context.registrations.remove(device):
        context.out.append(ForgetBinding(binding.key))
        keeping.gone(context, binding.hop)


def _follow(context: Context, device: registrations.Device) -> None:
    """Legs of calls that go to a flow that the device has left go to its newest one."""
    if not device.dialogs or not device.flows:
        return
    flows = [flow.hop for flow in device.flows.values()]
    for key in device.dialogs:
        call, leg = context.dialogs.get(key, (None, None))
        if call is not None and leg is not None and leg.hop not in flows:
            leg.hop = flows[-1]
            leg.fixed_hop = True
            where = f"{leg.hop.remote.host} {leg.hop.remote.port}"
            context.decided(call, "call", "registrations", "leg moved", f"leg {leg.side} is at {where} now")


def flow_lost(context: Context, hop: Hop) -> None:
    """A stream has ended: what was registered over it is reached over the device's other flows, if at all."""
    for binding in list(context.registrations.over(hop)):
        binding.decision = "flow lost"
        drop(context, binding)


def due(context: Context) -> None:
    """Some time is over that the table knows of."""
    flows, _ = context.registrations.expire(context.now)
    for binding in flows:
        context.out.append(ForgetBinding(binding.key))
        _follow(context, binding.device)
    plan(context)


def plan(context: Context) -> None:
    """Have `due` called in time, or a second later: bindings end together."""
    when = context.registrations.next()
    if when is not None:
        context.deadlines.set("", DEADLINE, when + 1.0)


def restore(context: Context, records: Iterable[BindingRecord]) -> None:
    """Go on with what was registered before a restart."""
    access = context.settings.access
    if access is not None:
        grace = max(access.expires_udp, access.expires_least) + GRACE
        for record in records:
            binding = registrations.restore(context.registrations, record, context.now, grace)
            if binding is not None:
                keeping.registered(context, binding, restored=True)
        plan(context)
